/**
 * Limits the speed of connections by token buckets, of one connection and one direction, or shared by many: in every span of
 * time `t` at most `bytesPerSecond × t + burst` bytes pass, and who always has something to pass comes to that rate.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { ConnectionLost } from "../ConnectionError.ts"
import { async } from "../internal/async.ts"
import type { Timers } from "../internal/connection.ts"
import { next } from "../internal/immediate.ts"
import { timersOf } from "../internal/timers.ts"
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
 * @category type ids
 */
export const SharedTypeId: unique symbol = Symbol.for("effect-transport/policy/Throttle/Shared")

/**
 * A rate that several connections have together, each getting its turn: of a group, of a server, of a process. Made by
 * `share`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Shared {
  readonly [SharedTypeId]: typeof SharedTypeId
  /** How many directions of connections wait for their turn now. */
  readonly waiting: () => number
}

/**
 * One limit: a number is bytes per second.
 *
 * @since 0.1.0
 * @category models
 */
export type Limit = Rate | number | Shared

/**
 * @since 0.1.0
 * @category models
 */
export interface ThrottleOptions extends Omit<Limits, "readBufferSize"> {
  /** How fast input is taken, by one limit, or by several of which each holds. Unlimited by default. */
  readonly read?: Limit | ReadonlyArray<Limit> | undefined
  /** How fast output is handed to the carrier, by one limit, or by several of which each holds. Unlimited by default. */
  readonly write?: Limit | ReadonlyArray<Limit> | undefined
  /**
   * What is buffered for writing before writers wait: as much as is sent in one second, or in one burst where that is more,
   * by the connection's own limits, and 65536 at most; 262144 without one of its own. (One chunk of any size is accepted on
   * top, as always.)
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
      const limits = { read: limitsOf(options.read, clock), write: limitsOf(options.write, clock) }
      const own = limits.write.filter((limit) => limit instanceof TokenBucket)
      const marks = own.map(({ highWaterMark }) => highWaterMark)
      const highWaterMark = options.highWaterMark ?? (marks.length === 0 ? undefined : Math.min(...marks))
      const giveBack = Effect.sync(() => {
        for (const limit of [...limits.read, ...limits.write]) limit.spend(0)
      })
      return Effect.zipRight(
        Effect.addFinalizer(() => giveBack),
        NetworkLayer.buffered(transport, {
          read: together(limits.read),
          write: together(limits.write),
          // Read ahead of the consumer, bytes would be saved up for it on top of the burst.
          limits: { ...options, highWaterMark, readBufferSize: 0 }
        })
      )
    })

/**
 * A rate for several connections together: give it to `make` for each of them. Whoever waits gets its turn in the order of
 * asking, with a twentieth of a second's worth, or half of the burst where that is less, as long as others wait.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import type { Listener } from "effect-transport/Listener"
 * import * as Throttle from "effect-transport/policy/Throttle"
 * import * as Server from "effect-transport/server/Server"
 *
 * // 100 KB/s for each connection, and 1 MB/s for all of them.
 * export const serve = (listener: Listener) =>
 *   Effect.flatMap(Throttle.share(1_000_000), (all) => {
 *     const throttle = Throttle.make({ read: [100_000, all] })
 *     return Server.serve(listener, (transport) => Effect.flatMap(throttle(transport), ({ forEach, write }) => forEach(write)))
 *   })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const share = (rate: Rate | number): Effect.Effect<Shared> =>
  Effect.map(Effect.clock, (clock) => new SharedBucket(new TokenBucket(rateOf(rate), clock), clock))

const rateOf = (rate: Rate | number): Rate => typeof rate === "number" ? { bytesPerSecond: rate } : rate

const limitsOf = (limits: Limit | ReadonlyArray<Limit> | undefined, clock: Clock.Clock) =>
  Arr.ensure(limits ?? []).map((limit) =>
    limit instanceof SharedBucket ? new Portion(limit) : new TokenBucket(rateOf(limit as Rate | number), clock)
  )

/** What passes one has to pass the next; what that does not let through is kept for the next time. */
const together = (paces: ReadonlyArray<NetworkLayer.Pace>): NetworkLayer.Pace | undefined =>
  paces.length < 2 ? paces[0] : {
    ready: (bytes) =>
      paces.reduce<Effect.Effect<number>>((ready, pace) => next(ready, pace.ready), Exit.succeed(bytes)),
    spend: (bytes) => {
      for (const pace of paces) pace.spend(bytes)
    }
  }

/**
 * Counts in thousandths of a byte, so that whole rates and whole milliseconds give whole numbers: no bound is missed by a
 * rounding. It is filled when somebody looks; no timer runs.
 */
class TokenBucket implements NetworkLayer.Pace {
  private readonly clock: Clock.Clock
  private readonly rate: number
  private readonly burst: number
  /** With fewer bytes than these it is worth waiting for more: 20 pieces a second, and never quite a full bucket. */
  readonly quantum: number
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

  /** Milliseconds until some of so many bytes may pass: 0 if they may now. */
  wait(bytes: number): number {
    // What is there already needs no look at the clock: it can only have become more.
    if (this.tokens < bytes * 1000) this.fill()
    const missing = Math.min(bytes, this.quantum) * 1000 - this.tokens
    return Math.max(0, Math.ceil(missing / this.rate))
  }

  /** How many of so many bytes may pass now. */
  available(bytes: number): number {
    return Math.min(bytes, Math.floor(this.tokens / 1000))
  }

  readonly ready = (bytes: number): Effect.Effect<number> => {
    const wait = this.wait(bytes)
    return wait > 0
      ? Effect.flatMap(this.clock.sleep(Duration.millis(wait)), () => this.ready(bytes))
      : Exit.succeed(this.available(bytes))
  }

  /** Takes what may pass of so many bytes, as `wait` has just seen. */
  take(bytes: number): number {
    const taken = this.available(bytes)
    this.spend(taken)
    return taken
  }

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

interface Waiting {
  readonly bytes: number
  readonly portion: Portion
  readonly notify: () => void
}

/** A bucket from which tokens are taken when they are granted, not when bytes have passed: nobody else may see them. */
class SharedBucket implements Shared {
  readonly [SharedTypeId]: typeof SharedTypeId = SharedTypeId
  private readonly bucket: TokenBucket
  private readonly schedule: Timers["schedule"]
  private readonly queue = new Set<Waiting>()
  private cancel: (() => void) | undefined = undefined

  constructor(bucket: TokenBucket, clock: Clock.Clock) {
    this.bucket = bucket
    this.schedule = timersOf(clock).schedule
  }

  readonly waiting = () => this.queue.size

  /** Grants some of so many bytes if some may pass now, and nobody waits for its turn: 0 otherwise. */
  take(bytes: number): number {
    return this.queue.size > 0 || this.bucket.wait(bytes) > 0 ? 0 : this.bucket.take(bytes)
  }

  /** Grants in turn; gives what withdraws the request. */
  request(waiting: Waiting): () => void {
    this.queue.add(waiting)
    this.grant()
    return () => {
      this.queue.delete(waiting)
      this.grant()
    }
  }

  giveBack(bytes: number): void {
    this.bucket.spend(-bytes)
    this.grant()
  }

  private readonly grant = (): void => {
    this.cancel?.()
    this.cancel = undefined
    for (const first of this.queue) {
      const most = this.queue.size === 1 ? first.bytes : Math.min(first.bytes, this.bucket.quantum)
      const wait = this.bucket.wait(most)
      if (wait > 0) {
        this.cancel = this.schedule(wait, this.grant)
        return
      }
      this.queue.delete(first)
      first.portion.granted = this.bucket.take(most)
      first.notify()
    }
  }
}

/** What one direction of one connection has been granted of a shared rate, and not yet used. */
class Portion implements NetworkLayer.Pace {
  granted = 0
  private readonly shared: SharedBucket

  constructor(shared: SharedBucket) {
    this.shared = shared
  }

  // A wake-up carries nothing: what was granted to a fiber that is interrupted is there for the next one.
  readonly ready = (bytes: number): Effect.Effect<number> => {
    if (this.granted === 0) this.granted = this.shared.take(bytes)
    return this.granted > 0
      ? Exit.succeed(Math.min(bytes, this.granted))
      : Effect.flatMap(this.turn(bytes), () => this.ready(bytes))
  }

  private turn(bytes: number): Effect.Effect<void> {
    return async((resume) => this.shared.request({ bytes, portion: this, notify: () => resume(Effect.void) }))
  }

  // Kept, the rest would be saved up by each connection on top of what all may pass.
  readonly spend = (bytes: number): void => {
    const rest = this.granted - bytes
    this.granted = 0
    if (rest !== 0) this.shared.giveBack(rest)
  }
}
