/**
 * One attempt to connect, for TCP and UNIX sockets.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as net from "node:net"
import * as Address from "../../Address.ts"
import type { ConnectError } from "../../ConnectionError.ts"
import * as ConnectionError from "../../ConnectionError.ts"
import * as Driver from "../../Driver.ts"
import type { Transport } from "../../Transport.ts"
import type { SocketSettings } from "./socket.ts"
import * as socket from "./socket.ts"

export interface Dialling {
  readonly settings: SocketSettings
  readonly address: Address.Address
  readonly localAddress: Address.TcpAddress | undefined
  readonly connect: net.NetConnectOpts
}

/** The transport is tied to the Scope. Interrupted or failed, no socket is left. */
export const dial = (dialling: Dialling): Effect.Effect<Transport, ConnectError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.clock, (clock) =>
      Effect.suspend(() => {
        const { address, localAddress, settings } = dialling
        // Paused before it connects: nothing is read before somebody asks (a connected socket starts by itself). The
        // options are the socket's: `connect` ignores them.
        const connection = new net.Socket({ ...socket.socketOptions, ...socket.nodeOptions(settings) })
        connection.pause()
        const failed = (cause: unknown) =>
          Effect.fail(
            ConnectionError.fromConnectFailure(ConnectionError.systemFailure(cause), { address, localAddress })
          )
        const attempt = Effect.async<void, ConnectError>((resume) => {
          // Both stay: an error after the connect finds a listener until the transport has its own.
          connection.once("connect", () => resume(Effect.void))
          connection.once("error", (cause) => resume(failed(cause)))
          connection.connect(dialling.connect)
        })
        const open = Effect.suspend(() => {
          if (connection.destroyed) return failed(connection.errored)
          const [local, remote] = settings.kind === "unix" ? [Address.unix(""), address] : [undefined, address]
          return Driver.closeWithScope(socket.unsafeOpen(connection, settings, local, remote, clock))
        })
        return Effect.zipRight(Effect.onError(restore(attempt), () => Effect.sync(() => connection.destroy())), open)
      }))
  )
