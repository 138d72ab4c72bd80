/**
 * The service behind which networks stand: the operating system's, and simulated ones. A program that opens its
 * connections through it is tested, with faults and virtual time, without changing a line.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Address, Family, TcpAddress } from "./Address.ts"
import type { ConnectError, ListenError, ResolveError } from "./ConnectionError.ts"
import type { Listener } from "./Listener.ts"
import type { Limits, Transport } from "./Transport.ts"

/**
 * What every connection is opened with, dialled or accepted.
 *
 * @since 0.1.0
 * @category models
 */
export interface SocketOptions extends Limits {
  /** TCP_NODELAY (tcp(7)): `true`. */
  readonly noDelay?: boolean | undefined
  /**
   * SO_KEEPALIVE (socket(7)): the idle time before the first probe, in whole seconds, rounded up, up to 9 hours; 0 is the
   * system's. Or `false`, the default.
   */
  readonly keepAlive?: Duration.DurationInput | false | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ListenOptions extends SocketOptions {
  /** The kernel's queue of connections that are not yet accepted (listen(2)): 511, cut to `net.core.somaxconn`. */
  readonly backlog?: number | undefined
  /**
   * Accepted connections that wait, unread, until `accept` takes them: 128. Node cannot stop accepting; one more is
   * closed at once.
   */
  readonly maxPending?: number | undefined
  /** An IPv6 wildcard takes IPv6 only, and not both families (IPV6_V6ONLY, ipv6(7)): `false`. */
  readonly ipv6Only?: boolean | undefined
  /** The permissions of a UNIX socket's file, as chmod(2) has them, such as 0o660: from the start. By default the umask's. */
  readonly mode?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ConnectOptions extends SocketOptions {
  /** The local address to connect from; port 0 picks one. */
  readonly localAddress?: TcpAddress | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ResolveOptions {
  /** The port of the addresses that are returned: 0. */
  readonly port?: number | undefined
  /** Only addresses of this family; both, in the resolver's order, by default. */
  readonly family?: Family | undefined
}

/**
 * The service. `NodeNetwork.layer` is the operating system's.
 *
 * @since 0.1.0
 * @category tags
 */
export class Network extends Context.Tag("effect-transport/Network")<Network, {
  readonly listen: <A extends Address>(
    address: A,
    options?: ListenOptions
  ) => Effect.Effect<Listener<A>, ListenError, Scope.Scope>
  readonly connect: (address: Address, options?: ConnectOptions) => Effect.Effect<Transport, ConnectError, Scope.Scope>
  readonly resolve: (
    host: string,
    options?: ResolveOptions
  ) => Effect.Effect<ReadonlyArray<TcpAddress>, ResolveError>
}>() {}

/**
 * Listens on an address. The listener is closed with the Scope; connections that it accepted are not.
 *
 * Port 0 picks a free one, which `Listener.address` tells. Fails with `AddressInUse` and its like; nothing is left then,
 * nor after an interruption.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as Network from "effect-transport/Network"
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
 *   const transport = yield* Network.connect(listener.address)
 *   return transport.remoteAddress
 * }))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const listen = <A extends Address>(
  address: A,
  options?: ListenOptions
): Effect.Effect<Listener<A>, ListenError, Scope.Scope | Network> =>
  Effect.flatMap(Network, (network) => network.listen(address, options))

/**
 * Connects to one literal address. Names, several addresses and deadlines are `Connector`'s.
 *
 * Suspends until the connection is established, or fails by its cause; interrupted, the attempt is given up and nothing is
 * left. The transport is closed with the Scope: gracefully after success, at once after a failure or an interruption.
 *
 * @since 0.1.0
 * @category accessors
 */
export const connect = (
  address: Address,
  options?: ConnectOptions
): Effect.Effect<Transport, ConnectError, Scope.Scope | Network> =>
  Effect.flatMap(Network, (network) => network.connect(address, options))

/**
 * The addresses of a name, at least one, in the order of the resolver. A literal is its own address.
 *
 * @since 0.1.0
 * @category accessors
 */
export const resolve = (
  host: string,
  options?: ResolveOptions
): Effect.Effect<ReadonlyArray<TcpAddress>, ResolveError, Network> =>
  Effect.flatMap(Network, (network) => network.resolve(host, options))
