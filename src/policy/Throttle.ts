/**
 * Limits the speed of a connection, each direction by a token bucket of its own: in every span of time `t` at most
 * `bytesPerSecond × t + burst` bytes pass, and a connection that always has something to pass comes to that rate.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ConnectionLost } from "../ConnectionError.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import type { Limits, Transport } from "../Transport.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Rate {
  /** More than 0, and finite. */
  readonly bytesPerSecond: number
  /**
   * How many bytes may pass at once after a pause, at least 1: what comes in a tenth of a second. The bucket is full at the
   * beginning. Timers go by milliseconds: a burst smaller than what comes in two of them lowers the rate.
   */
  readonly burst?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ThrottleOptions extends Omit<Limits, "readBufferSize"> {
  /** How fast input is taken; a number is bytes per second. Unlimited by default. */
  readonly read?: Rate | number | undefined
  /** How fast output is handed to the carrier; a number is bytes per second. Unlimited by default. */
  readonly write?: Rate | number | undefined
  /**
   * What is buffered for writing before writers wait: as much as is sent in one second, or in one burst where that is more,
   * and 65536 at most. (One chunk of any size is accepted on top, as always.)
   */
  readonly highWaterMark?: number | undefined
  /**
   * How long a close may take to send what was accepted: 5 seconds. The default buffer is sent in one second; whoever writes
   * chunks of more than four seconds' worth needs longer.
   */
  readonly closeTimeout?: Duration.DurationInput | undefined
}

/**
 * A network layer that limits the speed of one connection.
 *
 * - Input: a pull takes at most what the bucket holds; what the carrier gave beyond is held, so that the peer is held back
 *   by the carrier's own flow control. Nothing is saved up for a consumer that pauses, but for the burst, and what an
 *   interrupted pull has left.
 * - Output: a chunk is accepted whole, as always, and leaves in pieces. Bytes count when the carrier accepts them.
 * - After a loss, what had come in before is given at once.
 *
 * Half-close, close, abort and reset pass as with `NetworkLayer.buffered`. Waiting costs one sleeping fiber for each
 * direction, and no timer otherwise. A wrong rate, burst or limit is a `RangeError`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Throttle from "effect-transport/policy/Throttle"
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const [left, right] = yield* MemoryTransport.pair()
 *   const slow = yield* Throttle.make({ read: 1000, write: { bytesPerSecond: 20_000, burst: 512 } })(left)
 *   yield* slow.write(new Uint8Array(1024))
 *   return yield* right.pull // the first 512 bytes
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make =
  (options: ThrottleOptions) =>
  <E>(transport: Transport<E>): Effect.Effect<Transport<E | ConnectionLost>, never, Scope.Scope> =>
    Effect.flatMap(Effect.clock, (clock) => {
      const read = bucket(options.read, clock)
      const write = bucket(options.write, clock)
      const highWaterMark = options.highWaterMark ?? write?.highWaterMark
      return NetworkLayer.buffered(transport, {
        read,
        write,
        // Read ahead of the consumer, bytes would be saved up for it on top of the burst.
        limits: { ...options, highWaterMark, readBufferSize: 0 }
      })
    })

const bucket = (rate: Rate | number | undefined, clock: Clock.Clock): TokenBucket | undefined =>
  rate === undefined ? undefined : new TokenBucket(typeof rate === "number" ? { bytesPerSecond: rate } : rate, clock)

/**
 * Counts in thousandths of a byte, so that whole rates and whole milliseconds give whole numbers: no bound is missed by a
 * rounding. It is filled when somebody looks; no timer runs.
 */
class TokenBucket implements NetworkLayer.Pace {
  private readonly clock: Clock.Clock
  private readonly rate: number
  private readonly burst: number
  /** With fewer bytes than these it is worth waiting for more: 20 pieces a second, and never quite a full bucket. */
  private readonly quantum: number
  private tokens: number
  private filledAt: number

  constructor({ burst, bytesPerSecond }: Rate, clock: Clock.Clock) {
    if (!(bytesPerSecond > 0 && bytesPerSecond < Infinity)) {
      throw new RangeError(`bytesPerSecond is more than 0 and finite, not ${bytesPerSecond}`)
    }
    this.clock = clock
    this.rate = bytesPerSecond
    this.burst = burst ?? Math.max(1, Math.floor(bytesPerSecond / 10))
    if (!(this.burst >= 1 && this.burst < Infinity)) {
      throw new RangeError(`burst is at least 1 byte and finite, not ${this.burst}`)
    }
    this.quantum = Math.max(1, Math.floor(Math.min(bytesPerSecond / 20, this.burst / 2)))
    this.tokens = this.burst * 1000
    this.filledAt = clock.unsafeCurrentTimeMillis()
  }

  /** What is worth buffering: a second's worth, or a burst's. */
  get highWaterMark(): number {
    return Math.min(65536, Math.ceil(Math.max(this.burst, this.rate)))
  }

  readonly ready = (bytes: number): Effect.Effect<number> =>
    Effect.suspend(() => {
      this.fill()
      const missing = Math.min(bytes, this.quantum) * 1000 - this.tokens
      return missing > 0
        ? Effect.zipRight(this.clock.sleep(Duration.millis(Math.ceil(missing / this.rate))), this.ready(bytes))
        : Effect.succeed(Math.min(bytes, Math.floor(this.tokens / 1000)))
    })

  readonly spend = (bytes: number): void => {
    this.fill()
    this.tokens -= bytes * 1000
  }

  private fill(): void {
    const now = this.clock.unsafeCurrentTimeMillis()
    this.tokens = Math.min(this.burst * 1000, this.tokens + Math.max(0, now - this.filledAt) * this.rate)
    this.filledAt = now
  }
}
