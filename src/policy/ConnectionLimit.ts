/**
 * How many connections there may be at a time: in all, and of one peer. What is above it can still be told so, and is
 * then closed.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import ipaddr from "ipaddr.js"
import * as Address from "../Address.ts"
import { tally } from "../internal/tally.ts"
import type { Transport } from "../Transport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The limits; each is any number if it is not given.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /** All connections: at least 0. */
  readonly total?: number | undefined
  /**
   * Those of one peer: at least 0. A peer is an IPv4 address, or the first `prefixLength` bits of an IPv6 address. What has no
   * such address (UNIX sockets, pipes) counts for the total alone.
   */
  readonly perPeer?: number | undefined
  /** Of IPv6 addresses: 64, which is what one customer has (RFC 6177, RFC 7421). From 1 to 128. */
  readonly prefixLength?: number | undefined
}

/**
 * A count of connections, and its limits.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionLimit {
  /**
   * A network layer that counts the transport until the Scope ends, or fails with `TooManyConnections`: the transport is as it
   * was then, and may be told why before it is closed.
   */
  readonly admit: <E>(transport: Transport<E>) => Effect.Effect<Transport<E>, TooManyConnections, Scope.Scope>
  /** Other limits from now on, and those alone: one that is not given is no limit any more. Connections that are there stay. */
  readonly set: (limits: Limits) => Effect.Effect<void>
  /** How many there are: in all, and of each peer. */
  readonly stats: () => { readonly total: number; readonly peers: ReadonlyMap<string, number> }
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * There are as many connections already as there may be. This one is not counted, and is open.
 *
 * @since 0.1.0
 * @category errors
 */
export class TooManyConnections extends Data.TaggedError("TooManyConnections")<{
  readonly remoteAddress: Address.Address
  /** Which limit it is. */
  readonly scope: "total" | "perPeer"
  readonly limit: number
}> {
  override get message() {
    const of = this.scope === "total" ? "in all" : "of this peer"
    return `The connection from ${Address.format(this.remoteAddress)} is one too many: ` +
      `there may be ${this.limit} ${of} at a time.`
  }
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A limit for connections, to be made once and used for each. A limit that is no whole number of at least 0 is a `RangeError`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import type { Listener } from "effect-transport/Listener"
 * import * as ConnectionLimit from "effect-transport/policy/ConnectionLimit"
 * import * as Server from "effect-transport/server/Server"
 *
 * export const serve = (listener: Listener) =>
 *   Effect.flatMap(ConnectionLimit.make({ total: 10_000, perPeer: 10 }), ({ admit }) =>
 *     Server.serve(listener, (transport) =>
 *       admit(transport).pipe(
 *         Effect.flatMap(({ forEach, write }) => forEach(write)),
 *         Effect.catchTag("TooManyConnections", () => transport.write(new TextEncoder().encode("busy\n")))
 *       )))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (limits: Limits = {}): Effect.Effect<ConnectionLimit> =>
  Effect.sync(() => {
    let current = checked(limits)
    let total = 0
    const peers = new Map<string, number>()

    const refusal = (remoteAddress: Address.Address, peer: string | undefined): TooManyConnections | undefined => {
      if (total >= current.total) return new TooManyConnections({ remoteAddress, scope: "total", limit: current.total })
      if (peer === undefined || (peers.get(peer) ?? 0) < current.perPeer) return undefined
      return new TooManyConnections({ remoteAddress, scope: "perPeer", limit: current.perPeer })
    }
    const count = (peer: string | undefined, by: 1 | -1): void => {
      total += by
      tally(peers, peer, by)
    }

    return {
      admit: (transport) =>
        Effect.uninterruptible(Effect.suspend(() => {
          const { remoteAddress } = transport
          const peer = peerOf(remoteAddress, current.prefixLength)
          const refused = refusal(remoteAddress, peer)
          if (refused !== undefined) return Effect.fail(refused)
          count(peer, 1)
          return Effect.as(Effect.addFinalizer(() => Effect.sync(() => count(peer, -1))), transport)
        })),
      set: (limits) =>
        Effect.sync(() => {
          current = checked(limits)
        }),
      stats: () => ({ total, peers: new Map(peers) })
    }
  })

const checked = ({ perPeer = Infinity, prefixLength = 64, total = Infinity }: Limits) => {
  for (const [name, limit] of Object.entries({ total, perPeer })) {
    if (limit !== Infinity && !(Number.isInteger(limit) && limit >= 0)) {
      throw new RangeError(`${name} is a whole number of connections, at least 0, not ${limit}`)
    }
  }
  if (!(Number.isInteger(prefixLength) && prefixLength >= 1 && prefixLength <= 128)) {
    throw new RangeError(`prefixLength is from 1 to 128, not ${prefixLength}`)
  }
  return { total, perPeer, prefixLength }
}

/**
 * Who counts as one peer: an IPv4 address, or the first `prefixLength` bits of an IPv6 address, in CIDR notation. `undefined`
 * for what has no such address.
 *
 * @since 0.1.0
 * @category peers
 */
export const peerOf = (address: Address.Address, prefixLength = 64): string | undefined => {
  if (address._tag !== "TcpAddress") return undefined
  if (address.family === "IPv4") return address.host
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${address.hostWithoutZone}/${prefixLength}`)}/${prefixLength}`
}
