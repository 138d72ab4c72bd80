/**
 * `@effect/platform`'s `SocketServer` over a listener of this library: for `RpcServer.layerProtocolSocketServer`, the runners
 * of `@effect/cluster`, DevTools, and handlers of one's own that are written for a Socket.
 *
 * @since 0.1.0
 */
import * as Socket from "@effect/platform/Socket"
import * as SocketServer from "@effect/platform/SocketServer"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Address from "../Address.ts"
import type { ConnectionLost } from "../ConnectionError.ts"
import { ListenerClosed } from "../ConnectionError.ts"
import type { Listener } from "../Listener.ts"
import * as Network from "../Network.ts"
import type { NetworkLayer } from "../NetworkLayer.ts"
import * as Server from "../server/Server.ts"
import type { Transport } from "../Transport.ts"
import { services } from "./internal/services.ts"
import type { TransportSocket } from "./internal/transportSocket.ts"
import { accepted } from "./internal/transportSocket.ts"
import type * as PlatformSocket from "./PlatformSocket.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * How connections are served: `Server.serve`'s options, and how a Socket's handler is called.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<Err = never, R = never> extends Server.ServeOptions, PlatformSocket.Options {
  /** What stands between each connection and its Socket: TLS, a PROXY header, an idle limit. Nothing by default. */
  readonly through?: NetworkLayer<ConnectionLost, any, Err, R> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TcpOptions<Err = never, R = never> extends Network.ListenOptions, Options<Err, R> {
  /** The address of an interface, or a name for it: 127.0.0.1. All interfaces are `0.0.0.0`, or `::`. */
  readonly host?: string | undefined
  /** 0 picks a free one. */
  readonly port: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface UnixOptions<Err = never, R = never> extends Network.ListenOptions, Options<Err, R> {
  /** As in `Address.unix`. */
  readonly path: string
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A listener as a SocketServer.
 *
 * `run` serves each connection in a fiber and a Scope of its own, as `Server.serve` does, and never ends by itself.
 *
 * - The Socket that a handler gets is `PlatformSocket.fromTransport`'s: after the peer's end it can still be written to. The
 *   connection is closed gracefully when the handler is over. A handler that fails ends its own connection only, and the
 *   failure is logged, see `Server.serve`; `Close` with code 1000 or 1006 is none.
 * - Interrupted, it closes the listener and drains: idle connections are ended at once, the others when they get idle, and at
 *   `drainTimeout` all that is left. So it runs once: after that it fails with `Unknown`, as it does when the listener is
 *   closed by somebody else, and `cause` is a `ListenerClosed`. The default of `isIdle` is that of `Server`, and none of the
 *   Socket's handlers unfinished.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as PlatformSocketServer from "effect-transport/interop/PlatformSocketServer"
 * import * as Network from "effect-transport/Network"
 *
 * // An echo server: each handler writes back what it gets.
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
 *   const server = yield* PlatformSocketServer.make(listener)
 *   return yield* server.run((socket) =>
 *     Effect.scoped(Effect.flatMap(socket.writer, (write) => socket.run(write)))
 *   )
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Err = never, R = never>(
  listener: Listener,
  options: Options<Err, R> = {}
): Effect.Effect<SocketServer.SocketServer["Type"], never, Exclude<R, Scope.Scope>> =>
  Effect.map(services<R>(), (context) => {
    const through: NetworkLayer<ConnectionLost, unknown, Err, R> = options.through ?? Effect.succeed
    const sockets = new WeakMap<Transport, TransportSocket>()
    const { isIdle = (_, looksIdle) => looksIdle } = options
    const serving: Server.ServeOptions = {
      ...options,
      isIdle: (carrier, looksIdle) => isIdle(carrier, looksIdle && !sockets.get(carrier)?.unfinished)
    }
    const handle = <_, E2, R2>(handler: (socket: Socket.Socket) => Effect.Effect<_, E2, R2>) => (carrier: Transport) =>
      Effect.flatMap(
        Effect.provide(through(carrier), context),
        (transport) => {
          const socket = accepted(transport, options.concurrency)
          sockets.set(carrier, socket)
          return Effect.tapErrorCause(handler(socket), (cause) =>
            // As the stock server does: what the handler has written before it failed is sent.
            Cause.isInterruptedOnly(cause) ? Effect.void : transport.close)
        }
      )
    return SocketServer.SocketServer.of({
      address: addressOf(listener.address),
      run: <R2, E2, _>(handler: (socket: Socket.Socket) => Effect.Effect<_, E2, R2>) =>
        Effect.zipRight(
          Server.serve(listener, (carrier) => Effect.catchAllCause(handle(handler)(carrier), ended), serving),
          Effect.suspend(() => Effect.fail(serverError("Unknown")(new ListenerClosed({ address: listener.address }))))
        ) as Effect.Effect<never, SocketServer.SocketServerError, R2>
    })
  })

/** The failure in a `SocketError`, for the server to know a loss by; an end that this side wanted is none. */
const ended = <E>(cause: Cause.Cause<E>): Effect.Effect<void, unknown> => {
  const error = Cause.squash(cause)
  if (!Socket.isSocketError(error)) return Effect.failCause(cause)
  if (error.reason !== "Close") return Effect.fail(error.cause)
  return Socket.defaultCloseCodeIsError(error.code) ? Effect.failCause(cause) : Effect.void
}

const serverError = (reason: SocketServer.SocketServerError["reason"]) => (cause: unknown) =>
  new SocketServer.SocketServerError({ reason, cause })

const addressOf = (address: Address.Address): SocketServer.Address =>
  address._tag === "TcpAddress"
    ? { _tag: "TcpAddress", hostname: address.host, port: address.port }
    : { _tag: "UnixAddress", path: address._tag === "UnixAddress" ? address.path : Address.format(address) }

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

const listening = <Err, R>(options: TcpOptions<Err, R> | UnixOptions<Err, R>) =>
  Effect.gen(function*() {
    const address = "path" in options
      ? Address.unix(options.path)
      : (yield* Network.resolve(options.host ?? "127.0.0.1", { port: options.port }))[0]!
    return yield* Network.listen(address, options)
  }).pipe(
    Effect.mapError(serverError("Open")),
    Effect.flatMap((listener) => make(listener, options))
  )

/**
 * The SocketServer that listens on a host and port, or on a path. The Layer fails with `Open` when it cannot; `cause` is this
 * library's typed failure. The end of the Layer closes the listener and waits for no connection: those are `run`'s.
 *
 * @example
 * ```ts
 * import * as RpcSerialization from "@effect/rpc/RpcSerialization"
 * import * as RpcServer from "@effect/rpc/RpcServer"
 * import * as Layer from "effect/Layer"
 * import * as PlatformSocketServer from "effect-transport/interop/PlatformSocketServer"
 * import * as NodeNetwork from "effect-transport/node/NodeNetwork"
 *
 * export const protocol = RpcServer.layerProtocolSocketServer.pipe(
 *   Layer.provide(PlatformSocketServer.layer({ port: 8080, maxConnections: 1000 })),
 *   Layer.provide([RpcSerialization.layerMsgPack, NodeNetwork.layer])
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <Err = never, R = never>(
  options: TcpOptions<Err, R> | UnixOptions<Err, R>
): Layer.Layer<
  SocketServer.SocketServer,
  SocketServer.SocketServerError,
  Network.Network | Exclude<R, Scope.Scope>
> => Layer.scoped(SocketServer.SocketServer, listening(options))

/**
 * `layer` with its options, or some of them, from `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<TcpOptions> | Config.Config.Wrap<UnixOptions>
): Layer.Layer<SocketServer.SocketServer, SocketServer.SocketServerError | ConfigError, Network.Network> =>
  Layer.scoped(
    SocketServer.SocketServer,
    Effect.flatMap(Config.unwrap<TcpOptions | UnixOptions>(config), (options) => listening(options))
  )
