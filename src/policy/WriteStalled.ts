/**
 * Ends a connection whose peer does not take what is written to it. An idle limit that counts both directions does not see
 * it as long as the peer sends, and one that counts writes ends connections that have nothing to say; this one looks only
 * while accepted bytes wait. (PostgreSQL's `tcp_user_timeout`; RFC 5482 is the kernel's, which Node does not offer.)
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "../Address.ts"
import type { Transport } from "../Transport.ts"
import type { Detail } from "./internal/watching.ts"
import { detailOf, millisOf, watched } from "./internal/watching.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface WriteStalledOptions {
  /** How long accepted bytes may wait without any of them moving; more than 0. */
  readonly duration: Duration.DurationInput
}

/**
 * The peer took nothing of what was written for too long, and the connection was aborted. Nothing more can be sent or
 * received; `bytesUnsent` never left.
 *
 * @since 0.1.0
 * @category errors
 */
export class WriteStalled extends Data.TaggedError("WriteStalled")<
  Detail & { readonly duration: Duration.Duration }
> {
  override get message() {
    return `The connection from ${Address.format(this.localAddress)} to ${Address.format(this.remoteAddress)} ` +
      `was aborted because the peer took none of ${this.bytesUnsent} bytes that wait to be sent for ` +
      `${Duration.format(this.duration)}, after ${this.bytesRead} bytes read and ${this.bytesWritten} written.`
  }
}

/**
 * A network layer that aborts a connection on which bytes wait to be written and none moves for `duration`, by the Clock; it is
 * noticed within a quarter of that more. A peer that takes a few bytes now and then is slow, and not stalled: for that there
 * is `Deadline`. Bytes count as moved when the carrier takes them.
 *
 * Reads, writes, `flush` and `closeWrite`, those that wait and those that come later, then fail with `WriteStalled`, and
 * `closed` gives it as the reason. `close` and `abort` have deadlines of their own and end the limit.
 *
 * It costs two fibers that sleep, and nothing for each chunk. They end with the connection. A duration of 0 or less is a
 * `RangeError`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as WriteStalled from "effect-transport/policy/WriteStalled"
 * import * as VirtualClock from "effect-transport/testing/VirtualClock"
 *
 * // The peer never reads.
 * const program = Effect.gen(function*() {
 *   const [left] = yield* MemoryTransport.pair({ capacity: 0 })
 *   const transport = yield* WriteStalled.make({ duration: "30 seconds" })(left)
 *   yield* transport.write(new Uint8Array(1000))
 *   return (yield* Effect.flip(transport.flush))._tag
 * })
 *
 * console.log(await Effect.runPromise(VirtualClock.run(Effect.scoped(program)))) // WriteStalled
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make =
  (options: WriteStalledOptions) =>
  <E>(transport: Transport<E>): Effect.Effect<Transport<E | WriteStalled>, never, Scope.Scope> =>
    Effect.suspend(() => {
      const limit = millisOf("WriteStalled", options.duration)
      /** Since when what waits was seen to wait; none of it has moved since. */
      let waiting: { readonly since: number; readonly bytesWritten: number } | undefined
      return watched(transport, (now) => {
        const { buffered, bytesWritten } = transport.stats()
        if (buffered === 0) waiting = undefined
        else if (waiting?.bytesWritten !== bytesWritten) waiting = { since: now, bytesWritten }
        return waiting === undefined || now < waiting.since + limit
          ? limit / 4
          : new WriteStalled({ duration: Duration.decode(options.duration), ...detailOf(transport) })
      })
    })
