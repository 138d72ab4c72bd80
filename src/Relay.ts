/**
 * Two transports joined: what either side sends, the other gets, with its end, its reset and its backpressure.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { WriteAfterEnd } from "./ConnectionError.ts"
import { firstOf } from "./internal/firstOf.ts"
import * as Immediate from "./internal/immediate.ts"
import type { Transport } from "./Transport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * How much a relay has moved, in bytes: read from one side and accepted by the other one's write buffer. How much of it was
 * never handed to the carrier, the loss of that side tells (`bytesUnsent`). When one direction fails, a chunk that the
 * other was just about to count is not in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface RelayReport {
  readonly leftToRight: number
  readonly rightToLeft: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RelayOptions {
  /**
   * How long the one direction may rest after the other has ended; none by default, since a half-open connection is a
   * legitimate one (RFC 9293 §3.6). A peer that never ends its side would hold both connections for ever.
   */
  readonly halfOpenTimeout?: Duration.DurationInput | undefined
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

const moved = (report: RelayReport): string =>
  `after ${report.leftToRight} bytes from left to right and ${report.rightToLeft} from right to left`

/**
 * One side was lost. The other one was aborted, so that its peer sees a reset and does not take a part for the whole.
 *
 * @since 0.1.0
 * @category errors
 */
export class RelayLost<E> extends Data.TaggedError("RelayLost")<
  RelayReport & {
    readonly side: "left" | "right"
    /** What that side failed with; `WriteAfterEnd` if somebody else had ended its writing. */
    readonly error: E | WriteAfterEnd
  }
> {
  override get message() {
    const { error } = this
    return `The relay lost its ${this.side} side ${moved(this)}: ${
      error instanceof Error ? error.message : String(error)
    }`
  }
}

/**
 * One direction had ended, and the other one moved no byte for `halfOpenTimeout`. Both sides were aborted.
 *
 * @since 0.1.0
 * @category errors
 */
export class HalfOpenTimeout extends Data.TaggedError("HalfOpenTimeout")<
  RelayReport & {
    /** The direction that had not ended. */
    readonly open: "leftToRight" | "rightToLeft"
    readonly duration: Duration.Duration
  }
> {
  override get message() {
    const [from, to] = this.open === "leftToRight" ? ["left", "right"] : ["right", "left"]
    return `The relay was half-open and nothing moved from ${from} to ${to} for ${Duration.format(this.duration)}; ` +
      `both sides were aborted ${moved(this)}.`
  }
}

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/**
 * Runs with a fiber at its side, which ends with it. Neither `race` nor `all`: interrupted after they have made their fibers
 * and before they have started them, those wait for them for ever.
 */
const beside = <A>(
  aside: Effect.Effect<void>,
  main: (aside: Fiber.Fiber<void>) => Effect.Effect<A>
): Effect.Effect<A> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.fork(restore(aside)),
      (fiber) => Effect.ensuring(restore(main(fiber)), Fiber.interrupt(fiber))
    )
  )

/** The target has not accepted a chunk: to be told from a failure of the source. */
class Refused<E> {
  readonly reason: E

  constructor(reason: E) {
    this.reason = reason
  }
}

const sides = {
  leftToRight: { from: "left", to: "right", other: "rightToLeft" },
  rightToLeft: { from: "right", to: "left", other: "leftToRight" }
} as const

/**
 * Joins two transports until both are over, and tells how much went each way.
 *
 * - Suspends until both directions have ended and nothing of either transport is left: no close is owed.
 * - An end of input on one side ends the writing of the other (half-close), after its bytes; the other direction goes on.
 * - A loss on one side aborts the other, and fails with `RelayLost`: which side, why, and how much had been moved. What came
 *   before the loss goes first, if the other side has room for it; if not, the loss does not wait for that.
 * - With `halfOpenTimeout`, fails with `HalfOpenTimeout` when a half-open relay rests for longer; both sides are aborted.
 * - It holds no bytes but the one chunk on its way: a side that does not read holds the other one back, within their own
 *   limits.
 * - A defect, or an interruption, of a layer beneath it aborts both sides, and is the relay's own.
 * - Interrupted, it leaves no fiber and ends neither side: their Scopes abort them. The chunk on its way is lost then.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Relay from "effect-transport/Relay"
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const [client, left] = yield* MemoryTransport.pair()
 *   const [right, server] = yield* MemoryTransport.pair()
 *   const relay = yield* Effect.fork(Relay.run(left, right))
 *   yield* client.write(new TextEncoder().encode("hello"))
 *   yield* client.closeWrite
 *   yield* server.closeWrite
 *   while ((yield* server.pull) !== null);
 *   while ((yield* client.pull) !== null);
 *   return yield* relay // { leftToRight: 5, rightToLeft: 0 }
 * }))
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const run = <E1, E2>(
  left: Transport<E1>,
  right: Transport<E2>,
  options: RelayOptions = {}
): Effect.Effect<RelayReport, RelayLost<E1 | E2> | HalfOpenTimeout> =>
  Effect.suspend(() => {
    const count = { leftToRight: 0, rightToLeft: 0 }
    const transports: { readonly left: Transport<E1 | E2>; readonly right: Transport<E1 | E2> } = { left, right }
    const duration = options.halfOpenTimeout === undefined ? undefined : Duration.decode(options.halfOpenTimeout)
    let failure: RelayLost<E1 | E2> | HalfOpenTimeout | undefined
    let defect: Cause.Cause<never> | undefined

    /** With both sides aborted, nothing waits any more: each direction ends by itself. */
    const abort = (first: Transport<E1 | E2>, then: Transport<E1 | E2>) => Effect.ensuring(first.abort, then.abort)

    /** What was accepted in this very turn has not left yet, and an abort would drop it. What finds no room is not waited for. */
    const handOver = (transport: Transport<E1 | E2>) => firstOf(Effect.ignore(transport.flush), Effect.yieldNow())

    const lost = (side: "left" | "right") => (error: E1 | E2 | WriteAfterEnd): Effect.Effect<void> =>
      Effect.suspend(() => {
        failure ??= new RelayLost({ side, error, ...count })
        const [first, then] = side === "left" ? [right, left] : [left, right]
        return Effect.ensuring(handOver(first), abort(first, then))
      })

    /** A defect ends both directions, whoever dies of it. */
    const guarded = (effect: Effect.Effect<void>): Effect.Effect<void> =>
      Effect.catchAllCause(effect, (cause) => {
        defect ??= cause
        return abort(left, right)
      })

    /** Aborts where a direction leads to when nothing has moved on it for too long: its transports know when it last did. */
    const watch = (direction: keyof RelayReport, timeout: Duration.Duration): Effect.Effect<void> => {
      const source = transports[sides[direction].from]
      const target = transports[sides[direction].to]
      const rest = (since: number): Effect.Effect<void> =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const lastMoved = Math.max(since, source.stats().lastRead, target.stats().lastWrite)
          const left = lastMoved + Duration.toMillis(timeout) - now
          if (left > 0) return Effect.zipRight(Effect.sleep(Duration.millis(left)), rest(since))
          failure ??= new HalfOpenTimeout({ open: direction, duration: timeout, ...count })
          return target.abort
        })
      return Effect.flatMap(Clock.currentTimeMillis, rest)
    }

    const forward = (direction: keyof RelayReport): Effect.Effect<void> => {
      const { from, other, to } = sides[direction]
      const source = transports[from]
      const target = transports[to]
      const targetLost = lost(to)
      /** The source is not read, or not any more: only `closed` tells of its loss. */
      let unread = false
      /** What follows from the loss of the source. */
      let sourceLost: Effect.Effect<void> | undefined
      const watchSource = Effect.flatMap(source.closed, (reason) => {
        if (reason._tag === "Clean") return Effect.void
        sourceLost = lost(from)(reason.error)
        return unread ? sourceLost : Effect.void
      })

      /** While it waits for the target, or for the end of the other direction. */
      const whileUnread = <E>(effect: Effect.Effect<void, E>): Effect.Effect<void, E> =>
        Immediate.suspend(() => {
          const rest = Immediate.advance(effect)
          if (Exit.isExit(rest)) return rest
          unread = true
          return sourceLost === undefined ? rest : Effect.zipRight(sourceLost, rest)
        })

      // Hot path: while the target has room, a chunk costs no wake-up of the fiber.
      const forwarding = source.forEach((chunk) =>
        Immediate.matchEffect(whileUnread(target.write(chunk)), {
          onFailure: (error) => Effect.fail(new Refused(error)),
          onSuccess: () => {
            unread = false
            count[direction] += chunk.length
            return Effect.void
          }
        })
      )
      return guarded(beside(guarded(watchSource), (watcher) => {
        // Both ends of this side are out once the other direction has ended too: a loss until then is still a loss.
        const over = whileUnread(Effect.asVoid(Fiber.await(watcher)))
        const watched = duration === undefined ? over : beside(watch(other, duration), () => over)
        const ended = Effect.matchEffect(whileUnread(target.closeWrite), {
          onFailure: targetLost,
          onSuccess: () => watched
        })
        return Effect.matchEffect(forwarding, {
          onFailure: (error) => error instanceof Refused ? targetLost(error.reason) : lost(from)(error),
          onSuccess: () => ended
        })
      }))
    }

    const both = beside(
      forward("rightToLeft"),
      (rightToLeft) => Effect.zipRight(forward("leftToRight"), Fiber.await(rightToLeft))
    )
    return Effect.flatMap(both, () => {
      if (defect !== undefined) return Effect.failCause(defect)
      return failure === undefined ? Effect.succeed({ ...count }) : Effect.fail(failure)
    })
  })
