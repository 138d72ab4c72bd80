/**
 * TCP on Node: listening and connecting, on literal addresses.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as net from "node:net"
import * as Address from "../Address.ts"
import type { ConnectError, ListenError } from "../ConnectionError.ts"
import * as ConnectionError from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import type { Listener } from "../Listener.ts"
import type { ConnectOptions, ListenOptions, SocketOptions } from "../Network.ts"
import type { Transport } from "../Transport.ts"
import { dial } from "./internal/dial.ts"
import * as server from "./internal/server.ts"
import type { SocketSettings } from "./internal/socket.ts"

const settings = (options: SocketOptions): SocketSettings => ({
  kind: "tcp",
  noDelay: options.noDelay ?? true,
  keepAlive: options.keepAlive ?? false,
  limits: Driver.resolveLimits(options)
})

/**
 * Listens on a TCP address: SO_REUSEADDR is set, as Node does; `::` takes both families unless `ipv6Only`. See `Network.listen`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as Tcp from "effect-transport/node/Tcp"
 *
 * export const program = Effect.scoped(Effect.map(
 *   Tcp.listen(Address.tcp("127.0.0.1", 0)),
 *   (listener) => listener.address
 * ))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const listen = (
  address: Address.TcpAddress,
  options: ListenOptions = {}
): Effect.Effect<Listener<Address.TcpAddress>, ListenError, Scope.Scope> =>
  Effect.suspend(() =>
    server.listen({
      settings: settings(options),
      listen: { host: address.host, port: address.port },
      address,
      ipv6Only: options.ipv6Only
    }, options)
  )

/**
 * Takes over a descriptor that listens already, TCP or UNIX: from a parent process, or from a service manager. The
 * descriptor is this listener's from then on, and closed with it; other holders of the same socket are not affected, but
 * that the `backlog` is set anew for all of them.
 * One that does not listen yet does from then on; an unbound TCP socket at a port of the system's choice. Fails with
 * `InvalidDescriptor` when it is not open, or nothing that can listen.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adopt = (
  fd: number,
  options: ListenOptions = {}
): Effect.Effect<Listener<Address.TcpAddress | Address.UnixAddress>, ListenError, Scope.Scope> =>
  Effect.catchAll(
    Effect.suspend(() =>
      server.listen<Address.TcpAddress | Address.UnixAddress>({
        settings: settings(options),
        listen: { fd },
        address: Address.unspecified("IPv4")
      }, options)
    ),
    (error) =>
      Effect.fail(
        new ConnectionError.InvalidDescriptor({
          fd,
          code: "code" in error ? error.code : undefined,
          cause: "cause" in error ? error.cause : undefined
        })
      )
  )

/**
 * Connects to a TCP address. See `Network.connect`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const connect = (
  address: Address.TcpAddress,
  options: ConnectOptions = {}
): Effect.Effect<Transport, ConnectError, Scope.Scope> =>
  Effect.suspend(() =>
    dial({
      settings: settings(options),
      address,
      localAddress: options.localAddress,
      connect: {
        host: address.host,
        port: address.port,
        // One literal address: Node's own choice between several would only add timers.
        autoSelectFamily: false,
        ...(options.localAddress === undefined ? {} : {
          localAddress: options.localAddress.host,
          ...(options.localAddress.port === 0 ? {} : { localPort: options.localAddress.port })
        }),
        family: net.isIPv6(address.host) ? 6 : 4
      }
    })
  )
