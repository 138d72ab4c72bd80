/**
 * The operating system's network, through Node: TCP and UNIX sockets, and the system's resolver.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as dns from "node:dns/promises"
import * as fs from "node:fs"
import * as os from "node:os"
import * as Address from "../Address.ts"
import * as ConnectionError from "../ConnectionError.ts"
import * as Network from "../Network.ts"
import * as Tcp from "./Tcp.ts"
import * as Unix from "./Unix.ts"

const unsupported = (address: Address.Address) =>
  Effect.fail(
    new ConnectionError.AddressUnsupported({ address, code: undefined, syscall: undefined, cause: undefined })
  )

const families = { IPv4: 4, IPv6: 6 } as const

/** Where it has no descriptor left for its files and sockets, getaddrinfo(3) knows no name, and does not say why. */
const shortage = (): ConnectionError.SystemFailure | undefined => {
  try {
    fs.closeSync(fs.openSync(os.devNull, "r"))
    return undefined
  } catch (cause) {
    const failure = ConnectionError.systemFailure(cause)
    return failure.code === "EMFILE" || failure.code === "ENFILE" ? failure : undefined
  }
}

/** Each kind of address gives a listener of that kind, which the compiler cannot follow. */
const listen = (address: Address.Address, options?: Network.ListenOptions) =>
  address._tag === "TcpAddress"
    ? Tcp.listen(address, options)
    : address._tag === "UnixAddress"
    ? Unix.listen(address, options)
    : unsupported(address)

/** getaddrinfo(3), which heeds /etc/hosts and nsswitch.conf. It cannot be interrupted: its answer is ignored then. */
const resolve: Network.Network["Type"]["resolve"] = (host, options = {}) => {
  const { family, port = 0 } = options
  const notFound = Effect.suspend(() =>
    Effect.fail(new ConnectionError.HostNotFound({ host, family, code: undefined, cause: undefined }))
  )
  const ofFamily = (addresses: ReadonlyArray<Address.TcpAddress>) => {
    const wanted = addresses.filter((address) => family === undefined || address.family === family)
    return wanted.length === 0 ? notFound : Effect.succeed(wanted)
  }
  if (Address.isLiteral(host)) return ofFamily([Address.tcp(host, port)])
  // Node answers an empty name with an address of its own making.
  if (host === "") return notFound
  return Effect.flatMap(
    Effect.tryPromise({
      try: () =>
        dns.lookup(host, {
          all: true,
          verbatim: true,
          family: family === undefined ? 0 : families[family]
        }),
      catch: (cause) =>
        ConnectionError.fromResolveFailure(shortage() ?? ConnectionError.systemFailure(cause), host, family)
    }),
    (found) => ofFamily(found.map(({ address }) => Address.tcp(address, port)))
  )
}

/**
 * The operating system's network.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Network from "effect-transport/Network"
 * import * as NodeNetwork from "effect-transport/node/NodeNetwork"
 *
 * export const program = Network.resolve("localhost", { port: 80 }).pipe(Effect.provide(NodeNetwork.layer))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Network.Network> = Layer.succeed(Network.Network, {
  listen: listen as Network.Network["Type"]["listen"],
  connect: (address, options) =>
    address._tag === "TcpAddress"
      ? Tcp.connect(address, options)
      : address._tag === "UnixAddress"
      ? Unix.connect(address, options)
      : unsupported(address),
  resolve
})
