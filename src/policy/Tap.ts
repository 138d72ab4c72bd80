/**
 * Tells how much passes, and how long writers wait: for metrics. It looks at counters, and copies nothing. What passes,
 * `Wiretap` shows.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { advance, isDone, suspend } from "../internal/immediate.ts"
import { accepted, taken } from "../internal/passed.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import type { CloseReason, Transport } from "../Transport.ts"

/**
 * What a tap is told, each function of what it cares for. None may throw.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tap {
  /**
   * So many bytes more were read by whoever uses the transport: of a chunk that `forEach` gives at once, of one that is
   * pulled when the next one is asked for, or at the end, for which a fiber waits. Bytes that are put back are told once;
   * input that a close discards is told as well.
   */
  readonly read?: ((bytes: number) => void) | undefined
  /** So many bytes more were accepted for writing. */
  readonly written?: ((bytes: number) => void) | undefined
  /** A write had to wait so long for room, in milliseconds of the Clock; also if it failed or was interrupted then. */
  readonly pressed?: ((duration: number) => void) | undefined
  /** The connection is over: after everything else. A fiber waits for it, if it is asked for. */
  readonly closed?: ((reason: CloseReason<unknown>) => void) | undefined
}

/**
 * A network layer that tells a tap of each connection: one more call for a chunk, no fiber for it, and the handler form stays
 * as cheap as it is.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Metric from "effect/Metric"
 * import * as MetricBoundaries from "effect/MetricBoundaries"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Tap from "effect-transport/policy/Tap"
 *
 * const boundaries = MetricBoundaries.exponential({ start: 1, factor: 4, count: 8 })
 * const waits = Metric.histogram("app_write_waits_milliseconds", boundaries)
 * const tapped = Tap.make(() => ({ pressed: (duration) => waits.unsafeUpdate(duration, []) }))
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const [left] = yield* MemoryTransport.pair()
 *   const transport = yield* tapped(left)
 *   yield* transport.write(new TextEncoder().encode("hello"))
 * }))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const make =
  (tap: (transport: Transport<unknown>) => Tap) => <E>(transport: Transport<E>): Effect.Effect<Transport<E>> =>
    Effect.gen(function*() {
      const counted = new Counted(transport, tap(transport), yield* Effect.clock)
      if (counted.tap.closed !== undefined || counted.tap.read !== undefined) {
        yield* Effect.forkDaemon(Effect.interruptible(Effect.map(transport.closed, counted.closed)))
      }
      // The carrier's own, and not one of pulls: it needs no fiber for a chunk.
      const forEach: Transport<E>["forEach"] = (f) =>
        transport.forEach((chunk) => {
          counted.look()
          return f(chunk)
        })
      return NetworkLayer.derive(transport, {
        pull: Effect.suspend(() => {
          counted.look()
          return transport.pull
        }),
        forEach,
        write: (bytes) => suspend(() => counted.write(lengthOf(bytes), transport.write(bytes))),
        writeAll: (chunks) =>
          suspend(() => {
            const all = Array.from(chunks)
            return counted.write(all.reduce((sum, chunk) => sum + lengthOf(chunk), 0), transport.writeAll(all))
          }),
        // The carrier's own as well: it takes what need not wait.
        unsafeOffer: (bytes) => {
          const isAccepted = transport.outgoing.unsafeOffer(bytes)
          counted.look()
          return isAccepted
        }
      })
    })

/** What is no bytes, the carrier refuses. */
const lengthOf = (bytes: Uint8Array): number => bytes instanceof Uint8Array ? bytes.length : 0

/** How far the tap was told. */
class Counted {
  readonly tap: Tap
  private readonly stats: Transport["stats"]
  private readonly clock: Clock.Clock
  private read: number
  private written: number

  constructor({ stats }: Transport<unknown>, tap: Tap, clock: Clock.Clock) {
    const counters = stats()
    this.tap = tap
    this.stats = stats
    this.clock = clock
    this.read = taken(counters)
    this.written = accepted(counters)
  }

  look(): void {
    const counters = this.stats()
    this.read = told(this.read, taken(counters), this.tap.read)
    this.written = told(this.written, accepted(counters), this.tap.written)
  }

  /** Takes the first step of writing so many bytes: what is left of it. */
  write<E>(bytes: number, effect: Effect.Effect<void, E>): Effect.Effect<void, E> {
    const before = accepted(this.stats())
    const rest = advance(effect)
    // Accepted, it may still take a breath, which is no pressure.
    const isAccepted = isDone(rest) || accepted(this.stats()) >= before + bytes
    this.look()
    return isAccepted ? rest : this.waiting(rest)
  }

  private waiting<E>(rest: Effect.Effect<void, E>): Effect.Effect<void, E> {
    const since = this.clock.unsafeCurrentTimeMillis()
    return Effect.onExit(rest, () =>
      Effect.sync(() => {
        const waited = this.clock.unsafeCurrentTimeMillis() - since
        if (waited > 0) this.tap.pressed?.(waited)
        this.look()
      }))
  }

  readonly closed = (reason: CloseReason<unknown>): void => {
    this.look()
    this.tap.closed?.(reason)
  }
}

/** What was put back, or dropped unsent, is not told again. */
const told = (before: number, now: number, tell: ((bytes: number) => void) | undefined): number => {
  if (now <= before) return before
  tell?.(now - before)
  return now
}
