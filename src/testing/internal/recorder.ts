/**
 * Notes what goes over a transport, from above it.
 *
 * Input is put back and taken anew once it is noted, because the carrier's `pull` has to be the last step of a pull: how
 * far it had been noted, the carrier's counters tell. Writers come one after the other, so that what the carrier accepts
 * meanwhile is that writer's: what an interrupted one got in, its exit does not tell.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { WriteAfterEnd } from "../../ConnectionError.ts"
import { Fifo } from "../../internal/fifo.ts"
import { accepted, Accepting, taken } from "../../internal/passed.ts"
import * as NetworkLayer from "../../NetworkLayer.ts"
import type { CloseReason, Transport } from "../../Transport.ts"
import type { Event, Transcript } from "../Transcript.ts"

export class Recorder<E> {
  private readonly carrier: Transport<E>
  private readonly clock: Clock.Clock
  private readonly start: number
  private readonly events: Array<Event> = []
  private readonly writers = new Fifo()
  private accepting: Accepting | undefined = undefined
  /** What the carrier had accepted before, and what is noted of its output since, in bytes. */
  private readonly acceptedBefore: number
  private written = 0
  /** How much of the input is noted. */
  private position: number
  private peerEnded = false
  private localEnded = false
  private localClosed = false
  private over = false

  constructor(carrier: Transport<E>, clock: Clock.Clock) {
    this.carrier = carrier
    this.clock = clock
    this.start = clock.unsafeCurrentTimeMillis()
    this.position = taken(carrier.stats())
    this.acceptedBefore = accepted(carrier.stats())
  }

  readonly transcript = (): Transcript => ({
    localAddress: this.carrier.localAddress,
    remoteAddress: this.carrier.remoteAddress,
    startedAt: this.start,
    // A write may be noted behind the loss that dropped it.
    events: this.events.map((event) =>
      event._tag === "Loss" && this.unsent > 0 ? { ...event, bytesUnsent: this.unsent } : event
    )
  })

  // --- input -----------------------------------------------------------------------

  readonly pull: Effect.Effect<Uint8Array | null, E> = Effect.suspend(() =>
    Effect.zipRight(
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(this.carrier.pull), (chunk) => {
          if (chunk === null) return Effect.sync(this.inputEnded)
          this.received(chunk)
          return this.carrier.unread(chunk)
        })
      ),
      this.carrier.pull
    )
  )

  private received(chunk: Uint8Array): void {
    const fresh = Math.min(taken(this.carrier.stats()) - this.position, chunk.length)
    if (fresh <= 0) return
    this.position += fresh
    this.note({ _tag: "Data", at: this.now, from: "peer", chunks: [chunk.slice(chunk.length - fresh)] })
  }

  private readonly inputEnded = (): void => {
    if (this.peerEnded) return
    this.peerEnded = true
    this.note({ _tag: "End", at: this.now, from: "peer" })
  }

  // --- output ----------------------------------------------------------------------

  readonly writeAll = (chunks: Iterable<Uint8Array>): Effect.Effect<void, E | WriteAfterEnd> =>
    Effect.suspend(() => {
      const all = Array.from(chunks)
      return this.writers.inTurn(Effect.uninterruptibleMask((restore) => {
        const accepting = new Accepting(this.carrier.stats, all)
        this.accepting = accepting
        return Effect.onExit(restore(this.carrier.writeAll(all)), (exit) =>
          Effect.sync(() => {
            this.accepting = undefined
            this.sent(Exit.isSuccess(exit) ? accepting.rest() : accepting.next())
          }))
      }))
    })

  /** Those who wait for their turn wait for room as well. */
  get writersWaiting(): number {
    return this.writers.waiting
  }

  private sent(chunks: ReadonlyArray<Uint8Array>): void {
    const copies = chunks.filter(({ length }) => length > 0).map((chunk) => new Uint8Array(chunk))
    if (copies.length === 0) return
    for (const { length } of copies) this.written += length
    this.note({ _tag: "Data", at: this.now, from: "local", chunks: copies })
  }

  /** Of what is noted, once the connection is lost: in bytes. */
  private get unsent(): number {
    const left = Math.max(0, this.carrier.stats().bytesWritten - this.acceptedBefore)
    return Math.max(0, this.written - left)
  }

  // --- ending ----------------------------------------------------------------------

  readonly closeWrite: Effect.Effect<void, E> = Effect.suspend(() => {
    this.ended()
    return this.carrier.closeWrite
  })

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.ended()
    // Where it has not, the connection was lost before.
    if (this.localEnded && !this.localClosed && !this.over) {
      this.localClosed = true
      this.note({ _tag: "Close", at: this.now, from: "local" })
    }
    return Effect.zipRight(this.carrier.close, Effect.asVoid(this.closed))
  })

  readonly abort: Effect.Effect<void> = Effect.suspend(() =>
    Effect.zipRight(this.carrier.abort, Effect.asVoid(this.closed))
  )

  readonly closed: Effect.Effect<CloseReason<E>> = Effect.suspend(() =>
    Effect.map(this.carrier.closed, (reason) => {
      if (!this.over && reason._tag === "Lost") this.note({ _tag: "Loss", at: this.now, ...lossOf(reason.error) })
      this.over = true
      return reason
    })
  )

  private ended(): void {
    if (this.localEnded || !this.carrier.outgoing.isActive()) return
    this.localEnded = true
    this.note({ _tag: "End", at: this.now, from: "local" })
  }

  // --- noting ----------------------------------------------------------------------

  private get now(): number {
    return Math.max(0, this.clock.unsafeCurrentTimeMillis() - this.start)
  }

  /** What is noted late belongs before the end that it came before: a write that was cut short, input that was read later. */
  private note(event: Event): void {
    // What answers a write comes after it.
    if (event._tag !== "Data" || event.from === "peer") this.sent(this.accepting?.next() ?? [])
    const end = this.mayBeLate(event)
      ? this.events.findIndex(({ _tag, from }) =>
        _tag === "Loss" || _tag === "End" && from === event.from && event._tag === "Data"
      )
      : -1
    // Times do not go back, though the Clock may.
    if (end < 0) this.events.push({ ...event, at: Math.max(event.at, this.events.at(-1)?.at ?? 0) })
    else this.events.splice(end, 0, { ...event, at: this.events[end]!.at })
  }

  /** Only then all events are looked through: a long conversation would cost the square of its length. */
  private mayBeLate({ _tag, from }: Event): boolean {
    return this.over || _tag === "Data" && (from === "local" ? this.localEnded : this.peerEnded)
  }
}

/** What is no loss of this library's may have fields of the same names that say something else. */
const lossOf = (error: unknown) => {
  const { _tag, code, side, syscall } = error as Readonly<Record<string, unknown>>
  return {
    from: side === "local" || side === "peer" ? side : "network",
    error: typeof _tag === "string" ? _tag : String(error),
    code: textOf(code),
    syscall: textOf(syscall)
  } as const
}

const textOf = (value: unknown): string | undefined =>
  typeof value === "string" || typeof value === "number" ? String(value) : undefined

/** The transport that notes what goes over it. */
export const derive = <E>(carrier: Transport<E>, recorder: Recorder<E>): Transport<E> => {
  const { abort, close, closed, closeWrite, pull, writeAll } = recorder
  const stats = () => {
    const counters = carrier.stats()
    return { ...counters, writersWaiting: counters.writersWaiting + recorder.writersWaiting }
  }
  return NetworkLayer.derive<E, E>(carrier, { abort, close, closed, closeWrite, pull, stats, writeAll })
}
