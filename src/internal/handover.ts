/**
 * The driver of a transport whose other end is not a peer, but whoever takes what is written.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { SystemFailure } from "../ConnectionError.ts"
import type { Driver, Events } from "../Driver.ts"
import { Bell } from "./bell.ts"

/** Hands over what is written, chunk by chunk, as it is asked for. Its other end never says anything. */
export class Handover implements Driver {
  ended = false
  private readonly events: Events<SystemFailure>
  private chunks: ReadonlyArray<Uint8Array> = []
  private next = 0
  private released = false
  private readonly news = new Bell()

  constructor(events: Events<SystemFailure>) {
    this.events = events
  }

  readonly startReading = () => {}
  readonly stopReading = () => {}

  readonly write = (chunks: ReadonlyArray<Uint8Array>) => {
    this.chunks = chunks
    this.next = 0
    this.news.ring()
    return false
  }

  readonly end = () => {
    this.ended = true
    this.news.ring()
    this.events.finished()
  }

  readonly release = () => {
    this.chunks = []
    this.released = true
    this.news.ring()
    this.events.released()
  }

  readonly reset = this.release

  /** `null` at the end, whichever it is. */
  readonly pull: Effect.Effect<Uint8Array | null> = Effect.suspend(() => {
    const bytes = this.chunks[this.next]
    if (bytes !== undefined) {
      this.next++
      this.events.written(bytes.length)
      return Effect.succeed(bytes)
    }
    return this.ended || this.released ? Effect.succeed(null) : Effect.zipRight(this.news.await, this.pull)
  })
}
