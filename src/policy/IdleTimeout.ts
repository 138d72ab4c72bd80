/**
 * Ends a connection over which nothing moves. What counts is bytes that moved, not calls that were made (Netty's
 * `IdleStateHandler` with `observeOutput`; Twisted's `TimeoutProtocol` counts calls): a big write that the peer takes
 * slowly is not idle, a write that the peer does not take is.
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
 * Which bytes keep a connection alive.
 *
 * - `read`: bytes that came in. The limit ends when the peer has ended its writing: an answer may take its time. A consumer
 *   that does not pull holds input back, and that is idle too.
 * - `write`: bytes that were handed to the carrier. It is idle when nothing was written, and also when the peer takes
 *   nothing of what was. The limit ends when this side's end is sent.
 * - `both`: either. It is idle when bytes move in neither direction; that holds for a half-closed connection as well.
 *
 * @since 0.1.0
 * @category models
 */
export type Direction = "read" | "write" | "both"

/**
 * @since 0.1.0
 * @category models
 */
export interface IdleTimeoutOptions {
  /** How long nothing may move; more than 0. An infinite one never ends. */
  readonly duration: Duration.DurationInput
  /** `both`. */
  readonly direction?: Direction | undefined
}

/**
 * Nothing moved for too long, and the connection was aborted. Nothing more can be sent or received.
 *
 * @since 0.1.0
 * @category errors
 */
export class IdleTimeout extends Data.TaggedError("IdleTimeout")<
  Detail & {
    readonly duration: Duration.Duration
    readonly direction: Direction
  }
> {
  override get message() {
    const what =
      { read: "nothing was read", write: "nothing was sent", both: "nothing was read or sent" }[this.direction]
    return messageOf(this, `${what} for ${Duration.format(this.duration)}`)
  }
}

/**
 * A network layer that aborts an idle connection: at the last movement of bytes, or its own making, plus `duration`, by
 * the Clock. Reads, writes, `flush` and `closeWrite`, those that wait and those that come later, then fail with
 * `IdleTimeout`, and `closed` gives it as the reason.
 *
 * It costs two fibers that sleep, and nothing for each chunk. They end with the connection. `close` and `abort` have
 * deadlines of their own and end the limit. A duration of 0 or less is a `RangeError`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as Network from "effect-transport/Network"
 * import * as IdleTimeout from "effect-transport/policy/IdleTimeout"
 *
 * export const greeting = Network.connect(Address.tcp("127.0.0.1", 25)).pipe(
 *   Effect.flatMap(IdleTimeout.make({ duration: "30 seconds", direction: "read" })),
 *   Effect.flatMap((transport) => transport.pull),
 *   Effect.catchTag("IdleTimeout", (timeout) => Effect.die(timeout.message)),
 *   Effect.scoped
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make =
  (options: IdleTimeoutOptions) =>
  <E>(transport: Transport<E>): Effect.Effect<Transport<E | IdleTimeout>, never, Scope.Scope> =>
    Effect.flatMap(Effect.clock, (clock) => {
      const limit = millisOf("an idle timeout", options.duration)
      const direction = options.direction ?? "both"
      const since = clock.unsafeCurrentTimeMillis()
      return watched(transport, (now) => {
        const { buffered, lastRead, lastWrite, peerEnded } = transport.stats()
        const writeEnded = buffered === 0 && !transport.outgoing.isActive()
        if (direction === "read" && peerEnded || direction === "write" && writeEnded) return Infinity
        const lastMoved = Math.max(since, direction === "write" ? 0 : lastRead, direction === "read" ? 0 : lastWrite)
        const remaining = lastMoved + limit - now
        return remaining > 0
          ? remaining
          : new IdleTimeout({ duration: Duration.decode(options.duration), direction, ...detailOf(transport) })
      })
    })
