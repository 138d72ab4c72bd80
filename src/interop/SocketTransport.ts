/**
 * Any `Socket` of `@effect/platform` as a transport: a WebSocket, `HttpServerRequest.upgrade`, a stock TCP socket. What is
 * written for transports (codecs, network layers, relays) runs over it then.
 *
 * @since 0.1.0
 */
import type * as Socket from "@effect/platform/Socket"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Address from "../Address.ts"
import type { ConnectionLost } from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import type * as Transport from "../Transport.ts"
import { SocketDriver } from "./internal/socketDriver.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Transport.Limits {
  /** What `localAddress` says: a `PipeAddress` named `local`. A Socket does not tell. */
  readonly localAddress?: Address.Address | undefined
  /** What `remoteAddress` says: a `PipeAddress` named `socket`. */
  readonly remoteAddress?: Address.Address | undefined
  /**
   * Whether the end of the writer's Scope ends one direction of this Socket, and not both: `false`, since a WebSocket has no
   * half-close. Without one, `closeWrite` closes the Socket (code 1000), and the end of one direction is the end of both.
   */
  readonly halfClose?: boolean | undefined
  /**
   * How many bytes may come while nobody reads: 1048576. A stock Socket, a WebSocket above all, cannot hold its peer back;
   * more than this is a `SocketOverflow`. One that waits for its handlers, as `PlatformSocket`s do, never comes near.
   */
  readonly maxUnread?: number | undefined
}

/**
 * More came than may be held, over a Socket that cannot hold its peer back. The Socket is closed.
 *
 * @since 0.1.0
 * @category errors
 */
export class SocketOverflow extends Data.TaggedError("SocketOverflow")<{
  /** In bytes. */
  readonly limit: number
}> {
  override get message() {
    return `More than ${this.limit} bytes came over a Socket while nobody read them: it cannot hold its peer back.`
  }
}

/**
 * Runs the Socket, and gives the transport when it is open. The transport is tied to the Scope. From here on nobody else runs
 * the Socket or writes to it.
 *
 * What a Socket lacks is seen:
 *
 * - It cannot be paused: see `maxUnread`. It begins to receive when it is opened, and not with the first pull.
 * - A half-close only if `halfClose` says so; and once the peer has ended, a stock Socket cannot be written to.
 * - No reset: `abort` closes it. No `noDelay` and `keepAlive`. No addresses.
 * - A WebSocket whose peer does not answer the close holds its descriptor for as long as it waits for that (30 seconds in `ws`),
 *   also after `closed`.
 * - Each write of the transport is a message of a WebSocket; the borders of messages are not kept when reading.
 * - A WebSocket takes every write at once, and holds without a bound what its peer does not read: `write` never suspends.
 * - A WebSocket that breaks (code 1006) ends in order, unless its `closeCodeIsError` says otherwise.
 *
 * Fails as the Socket's `run` does: with `Open` and its like before it is open, and later wherever the transport fails. A
 * close code that the Socket takes for an error is one here; the others are the end of input.
 *
 * @example
 * ```ts
 * import * as Socket from "@effect/platform/Socket"
 * import * as Effect from "effect/Effect"
 * import * as Framed from "effect-transport/framing/Framed"
 * import * as Lines from "effect-transport/framing/Lines"
 * import * as SocketTransport from "effect-transport/interop/SocketTransport"
 *
 * // The lines that come over a WebSocket.
 * export const lines = Effect.gen(function*() {
 *   const socket = yield* Socket.makeWebSocket("wss://example.com")
 *   const transport = yield* SocketTransport.fromSocket(socket)
 *   return Framed.stream(transport, Lines.make())
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromSocket = (
  socket: Socket.Socket,
  options: Options = {}
): Effect.Effect<
  Transport.Transport<Socket.SocketError | SocketOverflow | ConnectionLost>,
  Socket.SocketError,
  Scope.Scope
> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { halfClose = false, maxUnread = 1048576 } = options
      const runtime = yield* Effect.runtime()
      const writing = yield* Scope.make()
      let driver: SocketDriver<SocketOverflow>
      const transport = yield* Driver.openLayered<Socket.SocketError | SocketOverflow>({
        driver: (events) =>
          driver = new SocketDriver<SocketOverflow>(socket, writing, events, {
            halfClose,
            maxUnread,
            overflow: () => new SocketOverflow({ limit: maxUnread }),
            fork: (effect) => Runtime.runFork(runtime, Effect.interruptible(effect), { immediate: false })
          }),
        localAddress: options.localAddress ?? Address.pipe("local"),
        remoteAddress: options.remoteAddress ?? Address.pipe("socket"),
        options: undefined,
        handle: socket,
        limits: Driver.resolveLimits(options)
      })
      yield* restore(driver!.open)
      return transport
    })
  )
