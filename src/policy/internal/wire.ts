/**
 * One connection, as it is told to a wiretap.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { WriteAfterEnd } from "../../ConnectionError.ts"
import { nothing } from "../../internal/bytes.ts"
import { Fifo } from "../../internal/fifo.ts"
import { advance, isDone, suspend } from "../../internal/immediate.ts"
import { accepted, Accepting, taken } from "../../internal/passed.ts"
import type { CloseReason, Transport } from "../../Transport.ts"
import type { Passed, Tap } from "../Wiretap.ts"

export class Wire<E> {
  private readonly transport: Transport<E>
  private readonly clock: Clock.Clock
  private readonly tell: (passed: Passed) => void
  /** Up to which byte the input was told. */
  private toldTo: number
  private readonly writers = new Fifo()
  private accepting: Accepting | undefined = undefined
  private readonly ends = { in: false, out: false }
  /** Once the connection is over: what is told behind the last bytes of its input. */
  private last: (() => void) | undefined = undefined

  constructor(transport: Transport<E>, tap: Tap, clock: Clock.Clock) {
    const { localAddress, remoteAddress } = transport
    this.transport = transport
    this.clock = clock
    this.tell = tap({ localAddress, remoteAddress, at: clock.unsafeCurrentTimeMillis() })
    this.toldTo = taken(transport.stats())
  }

  private passed(kind: Passed["kind"], direction: Passed["direction"], bytes = nothing): void {
    if (kind === "data" && bytes.length === 0) return
    // What answers a write comes after it.
    if ((kind !== "data" || direction === "in") && this.accepting !== undefined) this.wrote(this.accepting.next())
    this.tell({ kind, direction, at: this.clock.unsafeCurrentTimeMillis(), bytes })
  }

  // --- reading -----------------------------------------------------------------

  /** Of what was put back, nothing is told again. */
  read(chunk: Uint8Array): void {
    const position = taken(this.transport.stats())
    const fresh = Math.min(chunk.length, position - this.toldTo)
    if (fresh > 0) {
      this.toldTo = position
      this.passed("data", "in", chunk.subarray(chunk.length - fresh))
    }
    this.endInput()
  }

  /** Once the connection is over, nobody may ask for more than the last bytes. */
  private endInput(): void {
    const { last } = this
    if (last === undefined || this.transport.stats().unread > 0) return
    this.last = undefined
    last()
  }

  /** Looks at the next bytes, and puts them back: the pull that gives them to the consumer has no step after it. */
  get peek(): Effect.Effect<void, E> {
    const { transport } = this
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(transport.pull), (chunk) => {
        if (chunk === null) return Effect.sync(() => this.ended("in"))
        this.read(chunk)
        return transport.unread(chunk)
      })
    )
  }

  // --- writing -----------------------------------------------------------------

  /** Writes that wait for the one that is with the carrier. */
  get writersWaiting(): number {
    return this.writers.waiting
  }

  /** One chunk that finds room, and nobody before it, costs no fiber a wake-up. */
  write(chunks: Iterable<Uint8Array>): Effect.Effect<void, E | WriteAfterEnd> {
    return suspend(() => {
      const all = Array.from(chunks)
      const writing = this.transport.writeAll(all)
      if (all.length !== 1 || this.writers.first !== undefined) return this.inTurn(all, writing)
      const before = accepted(this.transport.stats())
      const rest = advance(writing)
      // Accepted, it may still take a breath.
      if (!isDone(rest) && accepted(this.transport.stats()) <= before) return this.inTurn(all, rest)
      this.passed("data", "out", all[0])
      return rest
    })
  }

  /** For one that would have to wait, be it for those before it here, there is no room. */
  offer(bytes: Uint8Array): boolean {
    if (this.writers.first !== undefined || !this.transport.outgoing.unsafeOffer(bytes)) return false
    this.passed("data", "out", bytes)
    return true
  }

  /** Of a write that does not succeed, as much is told as was accepted: no other one is with the carrier meanwhile. */
  private inTurn<E2>(all: ReadonlyArray<Uint8Array>, writing: Effect.Effect<void, E2>): Effect.Effect<void, E2> {
    return this.writers.inTurn(Effect.uninterruptibleMask((restore) => {
      const accepting = new Accepting(this.transport.stats, all)
      this.accepting = accepting
      return Effect.onExit(restore(writing), (exit) =>
        Effect.sync(() => {
          this.accepting = undefined
          this.wrote(Exit.isSuccess(exit) ? accepting.rest() : accepting.next())
        }))
    }))
  }

  private wrote(chunks: ReadonlyArray<Uint8Array>): void {
    for (const chunk of chunks) this.passed("data", "out", chunk)
  }

  // --- ending ------------------------------------------------------------------

  ended(direction: Passed["direction"]): void {
    if (this.ends[direction]) return
    this.ends[direction] = true
    this.passed("end", direction)
  }

  readonly closed = (reason: CloseReason<unknown>): void => {
    if (reason._tag === "Lost") {
      const { side } = reason.error as { readonly side?: unknown }
      this.last = () => this.passed("reset", side === "local" || side === undefined ? "out" : "in")
      return this.endInput()
    }
    if (reason.peerEnded) this.last = () => this.ended("in")
    if (reason.firstEnded === "local") this.ended("out")
    this.endInput()
    this.ended("out")
  }
}
