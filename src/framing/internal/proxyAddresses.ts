/**
 * The addresses in a header of version 2 of the PROXY protocol.
 *
 * @internal
 */
import ipaddr from "ipaddr.js"
import * as Address from "../../Address.ts"
import { InvalidFrame } from "../../FrameError.ts"

export type Endpoint = Address.TcpAddress | Address.UnixAddress

export interface Endpoints {
  readonly source: Endpoint
  readonly destination: Endpoint
}

const inet = 1
const inet6 = 2
const unix = 3

/** sizeof(sockaddr_un.sun_path) on Linux. */
const pathLength = 108

/** How many bytes the addresses of a family take: none of an unspecified one. */
export const lengthOf = (family: number): number =>
  family === inet ? 12 : family === inet6 ? 36 : family === unix ? 2 * pathLength : 0

/** The addresses, which begin with the bytes and end within them. */
export const readEndpoints = (bytes: Uint8Array, family: number): Endpoints => {
  if (family === unix) {
    return {
      source: readPath(bytes.subarray(0, pathLength)),
      destination: readPath(bytes.subarray(pathLength, 2 * pathLength))
    }
  }
  const size = family === inet ? 4 : 16
  const tcp = (index: number) => {
    const port = 2 * size + 2 * index
    const host = ipaddr.fromByteArray([...bytes.subarray(index * size, (index + 1) * size)]).toString()
    return Address.tcp(host, bytes[port]! << 8 | bytes[port + 1]!)
  }
  return { source: tcp(0), destination: tcp(1) }
}

/** The family of the addresses, and their bytes. */
export const writeEndpoints = (
  { destination, source }: Endpoints
): { readonly family: number; readonly bytes: Uint8Array } | InvalidFrame => {
  if (source._tag === "UnixAddress" || destination._tag === "UnixAddress") {
    if (source._tag !== destination._tag) {
      return new InvalidFrame({ reason: "one of its addresses is a UNIX-domain address and the other one is not" })
    }
    const bytes = new Uint8Array(lengthOf(unix))
    for (const [at, address] of [[0, source], [pathLength, destination]] as const) {
      const path = writePath(address as Address.UnixAddress)
      if (path instanceof InvalidFrame) return path
      bytes.set(path, at)
    }
    return { family: unix, bytes }
  }
  const family = source.family === "IPv4" && destination.family === "IPv4" ? inet : inet6
  const ports = [source.port, destination.port].flatMap((port) => [port >> 8, port & 0xff])
  return { family, bytes: Uint8Array.from([...hostBytes(source, family), ...hostBytes(destination, family), ...ports]) }
}

/** A zone means something to one machine only; beside an IPv6 address, an IPv4 one is mapped (RFC 4291 section 2.5.5.2). */
const hostBytes = ({ hostWithoutZone }: Address.TcpAddress, family: number): ReadonlyArray<number> => {
  const parsed = ipaddr.parse(hostWithoutZone)
  return parsed instanceof ipaddr.IPv4 && family === inet6
    ? parsed.toIPv4MappedAddress().toByteArray()
    : parsed.toByteArray()
}

// Paths are whatever bytes the system took: like Node, what is no UTF-8 is shown by U+FFFD.
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

/** A path ends with the first NUL; an abstract name begins with one, and those that pad it cannot be told from its own. */
const readPath = (field: Uint8Array): Address.UnixAddress => {
  const text = utf8.decode(field)
  return Address.unix(text.startsWith("\0") ? text.replace(/\0+$/, "") : text.replace(/\0.*$/s, ""))
}

const writePath = (address: Address.UnixAddress): Uint8Array | InvalidFrame => {
  const field = new Uint8Array(pathLength)
  const path = new TextEncoder().encode(address.path)
  if (path.length <= pathLength) field.set(path)
  return path.length <= pathLength && readPath(field).path === address.path
    ? field
    : new InvalidFrame({ reason: `its path ${Address.format(address)} does not fit into ${pathLength} bytes as it is` })
}
