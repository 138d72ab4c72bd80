/**
 * `@effect/cluster` over this library's connections: the two layers that `SocketRunner.layer` needs beside its storages and
 * `ShardingConfig`. They stand where `NodeClusterSocket.layerClientProtocol` and `NodeClusterSocket.layerSocketServer` do.
 *
 * This module alone needs `@effect/cluster` and `@effect/rpc`.
 *
 * @since 0.1.0
 */
import type * as RunnerAddress from "@effect/cluster/RunnerAddress"
import * as Runners from "@effect/cluster/Runners"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as Socket from "@effect/platform/Socket"
import type * as SocketServer from "@effect/platform/SocketServer"
import * as RpcClient from "@effect/rpc/RpcClient"
import type * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Connector from "../Connector.ts"
import type { Network } from "../Network.ts"
import type { Transport } from "../Transport.ts"
import { services } from "./internal/services.ts"
import * as PlatformSocket from "./PlatformSocket.ts"
import * as PlatformSocketServer from "./PlatformSocketServer.ts"

/**
 * How a runner reaches the others.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions<E2, R> extends PlatformSocket.Options {
  /** Opens a connection to a runner: TCP to its host and port, within a second. */
  readonly open: (address: RunnerAddress.RunnerAddress) => Effect.Effect<Transport<any>, E2, R>
}

/**
 * How a runner listens. The address is that of the `ShardingConfig`.
 *
 * @since 0.1.0
 * @category models
 */
export type ServerOptions<Err = never, R = never> = Omit<PlatformSocketServer.TcpOptions<Err, R>, "host" | "port">

/**
 * How runners call each other: over one connection for each two, opened when it is needed first and again when it is lost.
 * A connection is closed with its Scope, and with that of the Layer at the latest: `Runners` forgets one that fails while it
 * is used and asked for again (the `RcMap` of Effect 3, https://github.com/Effect-TS/effect/issues/7515), and a process that
 * had lost a runner would not end.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClientProtocolWith = <E2, R>(
  { open, ...options }: ClientOptions<E2, R>
): Layer.Layer<Runners.RpcClientProtocol, never, RpcSerialization.RpcSerialization | Exclude<R, Scope.Scope>> =>
  Layer.scoped(
    Runners.RpcClientProtocol,
    Effect.gen(function*() {
      const context = yield* services<RpcSerialization.RpcSerialization | R>()
      const layer = yield* Effect.scope
      const protocol = (address: RunnerAddress.RunnerAddress, scope: Scope.Scope) =>
        RpcClient.makeProtocolSocket().pipe(
          Effect.provideServiceEffect(Socket.Socket, PlatformSocket.make(open(address), options)),
          Scope.extend(scope),
          Effect.provide(context),
          Effect.map((protocol) => within(protocol, scope))
        )
      return (address) =>
        Effect.flatMap(
          Effect.acquireRelease(Scope.fork(layer, ExecutionStrategy.sequential), Scope.close),
          (scope) => protocol(address, scope)
        )
    })
  )

/** Whoever runs it is interrupted when the Scope is closed. */
const within = (protocol: RpcClient.Protocol["Type"], scope: Scope.Scope): RpcClient.Protocol["Type"] => ({
  ...protocol,
  run: (handle) =>
    Effect.withFiberRuntime((fiber) =>
      Effect.zipRight(Scope.addFinalizer(scope, Fiber.interrupt(fiber)), protocol.run(handle))
    )
})

/**
 * `layerClientProtocolWith` over TCP.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClientProtocol: Layer.Layer<
  Runners.RpcClientProtocol,
  never,
  RpcSerialization.RpcSerialization | Network
> = layerClientProtocolWith({
  open: ({ host, port }) => Connector.make({ host, port, timeout: "1 second" }).connect
})

/**
 * Where a runner listens: at `runnerListenAddress`, or at `runnerAddress` if there is none. A `ShardingConfig` that has
 * neither is that of a client, which needs no server: it dies saying so. Fails with `Open` when it cannot listen.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSocketServerWith = <Err = never, R = never>(
  options: ServerOptions<Err, R> = {}
): Layer.Layer<
  SocketServer.SocketServer,
  SocketServer.SocketServerError,
  ShardingConfig.ShardingConfig | Network | Exclude<R, Scope.Scope>
> =>
  Layer.unwrapEffect(Effect.map(ShardingConfig.ShardingConfig, ({ runnerAddress, runnerListenAddress }) => {
    const address = Option.orElse(runnerListenAddress, () => runnerAddress)
    if (Option.isNone(address)) {
      return Layer.die(new TypeError("A ShardingConfig without runnerListenAddress and runnerAddress is a client's"))
    }
    const { host, port } = address.value
    return PlatformSocketServer.layer({ ...options, host, port })
  }))

/**
 * `layerSocketServerWith` its defaults.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSocketServer: Layer.Layer<
  SocketServer.SocketServer,
  SocketServer.SocketServerError,
  ShardingConfig.ShardingConfig | Network
> = layerSocketServerWith()
