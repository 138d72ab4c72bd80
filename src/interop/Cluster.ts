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
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Connector from "../Connector.ts"
import type { Network } from "../Network.ts"
import type { Transport } from "../Transport.ts"
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
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClientProtocolWith = <E2, R>(
  { open, ...options }: ClientOptions<E2, R>
): Layer.Layer<Runners.RpcClientProtocol, never, RpcSerialization.RpcSerialization | Exclude<R, Scope.Scope>> =>
  Layer.effect(
    Runners.RpcClientProtocol,
    Effect.map(
      Effect.context<RpcSerialization.RpcSerialization | Exclude<R, Scope.Scope>>(),
      (context) => (address) =>
        RpcClient.makeProtocolSocket().pipe(
          Effect.provideServiceEffect(Socket.Socket, PlatformSocket.make(open(address), options)),
          Effect.provide(context)
        )
    )
  )

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
