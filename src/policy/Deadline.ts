/**
 * Ends a connection that has lived too long, whatever happens on it: a limit for whole conversations, against peers that
 * send a byte now and then to look alive.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Transport } from "../Transport.ts"
import type { Detail } from "./internal/watching.ts"
import { detailOf, messageOf, millisOf, watched } from "./internal/watching.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface DeadlineOptions {
  /** How long the connection may live, from the making of the layer on; more than 0. */
  readonly duration: Duration.DurationInput
}

/**
 * The connection was not closed in time, and was aborted. Nothing more can be sent or received.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeadlineExceeded extends Data.TaggedError("DeadlineExceeded")<
  Detail & { readonly duration: Duration.Duration }
> {
  override get message() {
    return messageOf(this, `it was not over within ${Duration.format(this.duration)}`)
  }
}

/**
 * A network layer that aborts the connection `duration` after its making, by the Clock, unless `close` or `abort` was called
 * before: those have deadlines of their own.
 *
 * Reads, writes, `flush` and `closeWrite`, those that wait and those that come later, then fail with `DeadlineExceeded`, and
 * `closed` gives it as the reason. It costs two fibers that sleep, and nothing for each chunk. They end with the connection. A
 * duration of 0 or less is a `RangeError`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Deadline from "effect-transport/policy/Deadline"
 * import * as VirtualClock from "effect-transport/testing/VirtualClock"
 *
 * const program = Effect.gen(function*() {
 *   const [left] = yield* MemoryTransport.pair()
 *   const transport = yield* Deadline.make({ duration: "1 minute" })(left)
 *   return (yield* Effect.flip(transport.pull))._tag
 * })
 *
 * console.log(await Effect.runPromise(VirtualClock.run(Effect.scoped(program)))) // DeadlineExceeded
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make =
  (options: DeadlineOptions) =>
  <E>(transport: Transport<E>): Effect.Effect<Transport<E | DeadlineExceeded>, never, Scope.Scope> =>
    Effect.flatMap(Effect.clock, (clock) => {
      const end = clock.unsafeCurrentTimeMillis() + millisOf("a deadline", options.duration)
      return watched(transport, (now) =>
        now < end
          ? end - now
          : new DeadlineExceeded({ duration: Duration.decode(options.duration), ...detailOf(transport) }))
    })
