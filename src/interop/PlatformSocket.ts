/**
 * `@effect/platform`'s `Socket` over the connections of this library: for programs and packages that are written against
 * it, `@effect/rpc`, `@effect/cluster` and DevTools among them. Not a line of those changes.
 *
 * Where the stock sockets lose or hang, these do not: a handler that is behind holds the peer back, what was received is
 * handled before `run` ends, an answer after the peer's end arrives, and a failure has its typed cause.
 *
 * @since 0.1.0
 */
import * as Socket from "@effect/platform/Socket"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Connector from "../Connector.ts"
import type { Network } from "../Network.ts"
import type { Transport } from "../Transport.ts"
import { services } from "./internal/services.ts"
import { openError } from "./internal/socketErrors.ts"
import { SocketWriter } from "./internal/socketWriter.ts"
import { accepted, TransportSocket } from "./internal/transportSocket.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Handlers that may be unfinished at a time: 16. They begin in the order of the chunks; while so many are unfinished
   * nothing is read, so that the peer is held back. With 1, each is over before the next begins, and one that waits for
   * something of a later chunk waits for ever: an RPC client's stream that nobody reads holds up its other calls then. So
   * do 16 of them with 16, until its ping is not answered and all its calls fail: a client that leaves more streams unread
   * needs more.
   */
  readonly concurrency?: number | undefined
}

/**
 * What `layer` dials over TCP.
 *
 * @since 0.1.0
 * @category models
 */
export interface TcpOptions extends Connector.HostOptions, Options {}

/**
 * What `layer` dials over a UNIX socket.
 *
 * @since 0.1.0
 * @category models
 */
export interface UnixOptions extends Connector.Options, Options {
  /** As in `Connector.unix`. */
  readonly path: string
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A Socket that opens a connection for each `run`: a `Connector`'s, or whatever `open` makes of one.
 *
 * - `run` opens a connection, hands its input to the handler, and ends with success when the peer has ended and everything
 *   that came is handled. Then, and when it is interrupted, the connection is closed gracefully. It is interruptible, and
 *   can be run again. Fails with `Open` or `OpenTimeout`, with `Read` for a loss (what came before it is handled, handlers
 *   that are not over are interrupted), with `Close` when this side has ended the connection, and as the handler fails. The
 *   `cause` of a `SocketError` is this library's typed failure.
 * - A handler that gives no Effect, or one that is a write into a buffer with room, costs no fiber.
 * - `writer` can be had before the first `run`. A write waits until a connection is there, and completes when that has
 *   accepted it. One that was not accepted before the connection was lost goes to the next: who does not run the Socket
 *   again interrupts it. It fails with `Write` after this side's end.
 * - The release of the writer's Scope is a half-close: what was accepted is sent, then the end, and reading goes on.
 * - `CloseEvent`: 1000 closes gracefully, any other code aborts, so that the peer sees a reset. TCP carries no codes.
 * - A `concurrency` below 1 is a bug in the caller and dies with a `RangeError`.
 *
 * @example
 * ```ts
 * import * as Socket from "@effect/platform/Socket"
 * import * as Effect from "effect/Effect"
 * import * as Connector from "effect-transport/Connector"
 * import * as PlatformSocket from "effect-transport/interop/PlatformSocket"
 *
 * // What is written for a Socket gets one.
 * const program = Effect.flatMap(Socket.Socket, (socket) => socket.run((bytes) => Effect.log(bytes.length)))
 *
 * export const main = Effect.provideServiceEffect(
 *   program,
 *   Socket.Socket,
 *   PlatformSocket.make(Connector.make({ host: "localhost", port: 8080 }).connect)
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E, E2, R>(
  open: Effect.Effect<Transport<E>, E2, R>,
  options: Options = {}
): Effect.Effect<Socket.Socket, never, Exclude<R, Scope.Scope>> =>
  Effect.map(services<R>(), (context) => {
    const writer = new SocketWriter()
    const opened = (scope: Scope.Scope) =>
      Effect.mapError(Effect.provide(Scope.extend(open, scope), context), openError)
    return new TransportSocket(writer, (read, onOpen) =>
      Effect.acquireUseRelease(
        Scope.make(),
        (scope) =>
          Effect.flatMap(opened(scope), (transport) =>
            // First what undoes it: an interruption may come in between.
            Effect.flatMap(Scope.addFinalizer(scope, Effect.sync(() => writer.disconnected(transport))), () => {
              writer.connected(transport)
              return Effect.zipRight(onOpen, read(transport))
            })),
        (scope) => Scope.close(scope, Exit.void)
      ), options.concurrency)
  })

/**
 * One open connection as a Socket, as `PlatformSocketServer` gives them to its handlers. Whoever has opened it closes it.
 *
 * It differs from one that dials: `run` ends at the peer's end and leaves the connection open, so that an answer can still
 * be written; interrupted, it can be run again and goes on where it was; after the end it fails with `Close`. A write after
 * the loss fails with `Write`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromTransport = <E>(transport: Transport<E>, options: Options = {}): Socket.Socket =>
  accepted(transport, options.concurrency)

/**
 * The connection behind a Socket of this module, as it is now: for addresses and counters. `undefined` while there is none,
 * and for Sockets that are not of this module. Reading it beside `run` is a bug in the caller.
 *
 * @since 0.1.0
 * @category accessors
 */
export const transport = (socket: Socket.Socket): Transport<unknown> | undefined =>
  socket instanceof TransportSocket ? socket.transport : undefined

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

const dialling = (options: TcpOptions | UnixOptions): Effect.Effect<Socket.Socket, never, Network> =>
  make(("path" in options ? Connector.unix(options.path, options) : Connector.make(options)).connect, options)

/**
 * The Socket that dials a host and port, or the path of a UNIX socket. It dials when it is run: the Layer cannot fail.
 *
 * @example
 * ```ts
 * import * as RpcClient from "@effect/rpc/RpcClient"
 * import * as RpcSerialization from "@effect/rpc/RpcSerialization"
 * import * as Layer from "effect/Layer"
 * import * as PlatformSocket from "effect-transport/interop/PlatformSocket"
 * import * as NodeNetwork from "effect-transport/node/NodeNetwork"
 *
 * export const protocol = RpcClient.layerProtocolSocket().pipe(
 *   Layer.provide(PlatformSocket.layer({ host: "localhost", port: 8080 })),
 *   Layer.provide([RpcSerialization.layerMsgPack, NodeNetwork.layer])
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: TcpOptions | UnixOptions): Layer.Layer<Socket.Socket, never, Network> =>
  Layer.effect(Socket.Socket, dialling(options))

/**
 * `layer` with its options, or some of them, from `Config`.
 *
 * @example
 * ```ts
 * import * as Config from "effect/Config"
 * import * as PlatformSocket from "effect-transport/interop/PlatformSocket"
 *
 * export const layer = PlatformSocket.layerConfig({ host: Config.string("HOST"), port: Config.integer("PORT") })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<TcpOptions> | Config.Config.Wrap<UnixOptions>
): Layer.Layer<Socket.Socket, ConfigError, Network> =>
  Layer.effect(Socket.Socket, Effect.flatMap(Config.unwrap<TcpOptions | UnixOptions>(config), dialling))

// -----------------------------------------------------------------------------
// channels and streams
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface BufferOptions {
  /** Chunks that are held for the consumer: 16. */
  readonly bufferSize?: number | undefined
}

/**
 * What `Socket.toChannel` gives.
 *
 * @since 0.1.0
 * @category models
 */
export type SocketChannel<A, IE> = Channel.Channel<
  Chunk.Chunk<A>,
  Chunk.Chunk<Uint8Array | string | Socket.CloseEvent>,
  Socket.SocketError | IE,
  IE,
  void,
  unknown
>

/**
 * `Socket.toChannelMap` with a bound: it holds `bufferSize` chunks for the consumer, and then as many handlers wait as the
 * Socket leaves unfinished, which for the Sockets of this module are `concurrency`, and the peer is held back. The stock
 * ones start a handler for every chunk that comes: their chunks are held without a bound, here as there.
 *
 * @since 0.1.0
 * @category channels
 */
export const toChannelMap = <IE, A>(
  self: Socket.Socket,
  f: (data: Uint8Array | string) => A,
  { bufferSize = 16 }: BufferOptions = {}
): SocketChannel<A, IE> =>
  Channel.unwrapScoped(Effect.gen(function*() {
    const scope = yield* Effect.scope
    const mailbox = yield* Mailbox.make<A, Socket.SocketError | IE>(bufferSize)
    const writing = yield* Scope.fork(scope, scope.strategy)
    const write = yield* Scope.extend(self.writer, writing)
    const offer = (data: Uint8Array | string) => {
      const item = f(data)
      // `false`: there is no room, or nobody who takes it. An offer waits for either.
      return mailbox.unsafeOffer(item) ? undefined : mailbox.offer(item)
    }
    yield* self.runRaw(offer).pipe(Mailbox.into(mailbox), Effect.forkIn(scope), Effect.interruptible)
    return Channel.embedInput(Mailbox.toChannel(mailbox), {
      awaitRead: () => Effect.void,
      emit: (chunk) =>
        Effect.catchAllCause(Effect.forEach(chunk, write, { discard: true }), (cause) => mailbox.failCause(cause)),
      error: (cause) => Effect.zipRight(Scope.close(writing, Exit.void), mailbox.failCause(cause)),
      done: () => Scope.close(writing, Exit.void)
    })
  }))

/**
 * `Socket.toChannel` with a bound: see `toChannelMap`.
 *
 * @since 0.1.0
 * @category channels
 */
export const toChannel = <IE = never>(self: Socket.Socket, options?: BufferOptions): SocketChannel<Uint8Array, IE> => {
  const encoder = new TextEncoder()
  return toChannelMap(self, (data) => typeof data === "string" ? encoder.encode(data) : data, options)
}

/**
 * `Socket.toChannelString` with a bound: see `toChannelMap`. A character whose bytes come in two chunks stays whole; one
 * that the end cuts off is U+FFFD.
 *
 * @since 0.1.0
 * @category channels
 */
export const toChannelString = <IE = never>(
  self: Socket.Socket,
  { encoding, ...options }: BufferOptions & { readonly encoding?: string | undefined } = {}
): SocketChannel<string, IE> =>
  Channel.suspend(() => {
    const decoder = new TextDecoder(encoding)
    const decode = (data: Uint8Array | string) =>
      typeof data === "string" ? data : decoder.decode(data, { stream: true })
    const end = Channel.suspend(() => {
      const cutOff = decoder.decode()
      return cutOff === "" ? Channel.void : Channel.write(Chunk.of(cutOff))
    })
    return Channel.zipRight(toChannelMap<IE, string>(self, decode, options), end)
  })

/**
 * What the Socket receives, as a Stream: it runs the Socket, holds the peer back like `toChannelMap`, and ends when the
 * Socket's `run` does.
 *
 * @since 0.1.0
 * @category channels
 */
export const toStream = (self: Socket.Socket, options?: BufferOptions): Stream.Stream<Uint8Array, Socket.SocketError> =>
  Stream.pipeThroughChannel(Stream.never, toChannel<never>(self, options))
