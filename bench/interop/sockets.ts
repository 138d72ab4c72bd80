/** The two kinds of Sockets that are compared: those of @effect/platform-node, and this library's. */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Socket from "@effect/platform/Socket"
import type * as SocketServer from "@effect/platform/SocketServer"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "../../src/Address.ts"
import * as Connector from "../../src/Connector.ts"
import * as PlatformSocket from "../../src/interop/PlatformSocket.ts"
import * as PlatformSocketServer from "../../src/interop/PlatformSocketServer.ts"
import * as Network from "../../src/Network.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"

export interface Sockets {
  /** Listens on a free port of the loopback. */
  readonly server: Effect.Effect<SocketServer.SocketServer["Type"], unknown, Scope.Scope>
  /** Dials when it is run. */
  readonly client: (port: number) => Effect.Effect<Socket.Socket, unknown>
  readonly toChannel: (socket: Socket.Socket) => PlatformSocket.SocketChannel<Uint8Array, never>
}

export type Kind = "stock" | "ours" | "strict"

const host = "127.0.0.1"

const ours = (concurrency: number): Sockets => ({
  server: Effect.provide(
    Effect.flatMap(
      Network.listen(Address.tcp(host, 0)),
      (listener) => PlatformSocketServer.make(listener, { concurrency })
    ),
    NodeNetwork.layer
  ),
  client: (port) =>
    Effect.provide(
      PlatformSocket.make(Connector.make({ host, port, timeout: 1000 }).connect, { concurrency }),
      NodeNetwork.layer
    ),
  toChannel: (socket) => PlatformSocket.toChannel(socket)
})

export const sockets: Record<Kind, Sockets> = {
  stock: {
    server: NodeSocketServer.make({ host, port: 0, allowHalfOpen: true }),
    client: (port) => NodeSocket.makeNet({ host, port, openTimeout: 1000 }),
    toChannel: (socket) => Socket.toChannel(socket)
  },
  ours: ours(16),
  strict: ours(1)
}

export const portOf = (server: SocketServer.SocketServer["Type"]): number =>
  (server.address as SocketServer.TcpAddress).port
