/**
 * Headers of the PROXY protocol, versions 1 and 2 (W. Tarreau, https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt):
 * what a proxy sends before the bytes of a connection, to say whose connection it is. `server/ProxyProtocol` has the layers
 * that read and write them.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Address from "../Address.ts"
import * as Codec from "../Codec.ts"
import type { FrameError } from "../FrameError.ts"
import { FrameTooLong, InvalidFrame } from "../FrameError.ts"
import { append, concat, nothing } from "../internal/bytes.ts"
import { scanned } from "../internal/scanned.ts"
import * as Delimited from "./Delimited.ts"
import { wholeNumber } from "./internal/limits.ts"
import * as Extensions from "./internal/proxyExtensions.ts"
import type { Endpoint } from "./internal/proxyAddresses.ts"
import * as Addresses from "./internal/proxyAddresses.ts"
import * as Sized from "./internal/sized.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * 1 is a line of text, for TCP alone; 2 is binary, and has UNIX-domain addresses and extensions too.
 *
 * @since 0.1.0
 * @category models
 */
export type Version = 1 | 2

/**
 * The connection is that of a client of the proxy.
 *
 * @since 0.1.0
 * @category models
 */
export interface Proxied {
  readonly _tag: "Proxied"
  readonly version: Version
  /** What the client has connected by: `datagram` only in version 2, where a `TcpAddress` is an address and a port of UDP. */
  readonly socket: "stream" | "datagram"
  /** The client's address. */
  readonly source: Address.TcpAddress | Address.UnixAddress
  /** Where the client has connected to. */
  readonly destination: Address.TcpAddress | Address.UnixAddress
  /** None in version 1. */
  readonly extensions: ReadonlyArray<Extension>
}

/**
 * The connection is the proxy's own, a health check (LOCAL): the addresses are those of the connection itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface Local {
  readonly _tag: "Local"
  readonly version: 2
  /** None also where the bytes behind the addresses, which are to be ignored, are no extensions, or their checksum is wrong. */
  readonly extensions: ReadonlyArray<Extension>
}

/**
 * The proxy cannot say whose connection it is (UNKNOWN in version 1, UNSPEC in version 2): the addresses are those of the
 * connection itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unknown {
  readonly _tag: "Unknown"
  readonly version: Version
  /** None in version 1, and where the bytes that are to be ignored are no extensions. */
  readonly extensions: ReadonlyArray<Extension>
}

/**
 * @since 0.1.0
 * @category models
 */
export type Header = Proxied | Local | Unknown

/**
 * The protocol that the client has negotiated, as in ALPN (RFC 7301): `h2`, in bytes.
 *
 * @since 0.1.0
 * @category extensions
 */
export interface Alpn {
  readonly _tag: "Alpn"
  readonly protocol: Uint8Array
}

/**
 * The name of the host that the client has asked for, as in SNI (RFC 6066 section 3).
 *
 * @since 0.1.0
 * @category extensions
 */
export interface Authority {
  readonly _tag: "Authority"
  readonly name: string
}

/**
 * A CRC-32C of the whole header: written as it has to be, and right if it was read.
 *
 * @since 0.1.0
 * @category extensions
 */
export interface Checksum {
  readonly _tag: "Checksum"
}

/**
 * So many bytes that mean nothing, beside the three that every extension takes (NOOP).
 *
 * @since 0.1.0
 * @category extensions
 */
export interface Padding {
  readonly _tag: "Padding"
  readonly length: number
}

/**
 * The proxy's name for the connection: at most 128 bytes.
 *
 * @since 0.1.0
 * @category extensions
 */
export interface UniqueId {
  readonly _tag: "UniqueId"
  readonly id: Uint8Array
}

/**
 * What the proxy, which has ended the client's TLS, says of it.
 *
 * @since 0.1.0
 * @category extensions
 */
export interface Tls {
  readonly _tag: "Tls"
  /** The client has connected over TLS. */
  readonly connected: boolean
  /** The client has shown a certificate in this connection. */
  readonly certificate: boolean
  /** The client has shown a certificate at least once in the TLS session. */
  readonly sessionCertificate: boolean
  /** 0: the client has shown a certificate, and it was verified. */
  readonly verify: number
  /** `TLSv1.3`. */
  readonly version: string | undefined
  /** The common name of the client's certificate. */
  readonly commonName: string | undefined
  /** `ECDHE-RSA-AES128-GCM-SHA256`. */
  readonly cipher: string | undefined
  /** By what the proxy's certificate is signed: `SHA256`. */
  readonly signatureAlgorithm: string | undefined
  /** The key of the proxy's certificate: `RSA2048`. */
  readonly keyAlgorithm: string | undefined
  readonly others: ReadonlyArray<Other>
}

/**
 * The network namespace in which the client has connected.
 *
 * @since 0.1.0
 * @category extensions
 */
export interface Namespace {
  readonly _tag: "Namespace"
  readonly name: string
}

/**
 * An extension that is not listed here: 0xe0 to 0xef are for applications (AWS has 0xea, Azure 0xee).
 *
 * @since 0.1.0
 * @category extensions
 */
export interface Other {
  readonly _tag: "Other"
  readonly type: number
  readonly value: Uint8Array
}

/**
 * What version 2 says beside the addresses, in type-length-value form.
 *
 * @since 0.1.0
 * @category extensions
 */
export type Extension = Alpn | Authority | Checksum | Padding | UniqueId | Tls | Namespace | Other

/**
 * @since 0.1.0
 * @category models
 */
export interface ProxyHeaderOptions {
  /** Which versions are read: both. */
  readonly versions?: ReadonlyArray<Version> | undefined
  /**
   * Whether a header of version 2 has to have a checksum that is right: `required`; or only if it has one: `optional`, which
   * is the default. Then one of LOCAL, which a receiver has to accept whatever its rest is, may be wrong too.
   */
  readonly checksum?: "optional" | "required" | undefined
  /** The longest header of version 2 as a whole, in bytes: 16384, haproxy's buffer; at least 16. (Version 1: always 107.) */
  readonly maxLength?: number | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * The header for the connection of a client: `Unknown` if the version has no way to say these addresses.
 *
 * @example
 * ```ts
 * import { strictEqual } from "node:assert"
 * import * as Either from "effect/Either"
 * import * as Address from "effect-transport/Address"
 * import * as ProxyHeader from "effect-transport/framing/ProxyHeader"
 *
 * const header = ProxyHeader.make({
 *   version: 1,
 *   source: Address.tcp("192.0.2.1", 56324),
 *   destination: Address.tcp("192.0.2.11", 443)
 * })
 * const bytes = Either.getOrThrow(ProxyHeader.codec().encode([header]))
 * strictEqual(new TextDecoder().decode(bytes), "PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n")
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly version: Version
  readonly source: Address.Address
  readonly destination: Address.Address
  readonly extensions?: ReadonlyArray<Extension> | undefined
}): Proxied | Unknown => {
  const { destination, extensions = [], source, version } = options
  return isEndpoint(source, version) && isEndpoint(destination, version) && source._tag === destination._tag
    ? { _tag: "Proxied", version, socket: "stream", source, destination, extensions }
    : { _tag: "Unknown", version, extensions }
}

const isEndpoint = (address: Address.Address, version: Version): address is Endpoint =>
  address._tag === "TcpAddress" || (address._tag === "UnixAddress" && version === 2)

/**
 * Both versions as one codec, which tells them apart by their first bytes. Version 1 is read by its exact grammar, within 107
 * bytes; version 2 with all lengths checked, and the checksum if there is one, except in LOCAL. What is neither is refused
 * with the first byte that cannot be right.
 *
 * - FrameTooLong: a header of version 1 without its CRLF after 107 bytes, one of version 2 of more than `maxLength`.
 * - FrameTruncated: the input ended within a header.
 * - InvalidFrame: anything else that the specification does not allow, or, in encoding, that it has no way to say.
 *
 * @since 0.1.0
 * @category constructors
 */
export const codec = (options: ProxyHeaderOptions = {}): Codec.Codec<Header, Header, FrameError> => {
  const { checksum = "optional", versions = [1, 2] } = options
  const maxLength = wholeNumber("maxLength", options.maxLength ?? 16384, fixedLength, fixedLength + 0xffff)
  const binary = new Binary(maxLength, checksum)
  const formats = versions.map((version) =>
    version === 1 ? { prefix: keyword, decoder: lines } : { prefix: signature, decoder: Sized.decoder(binary) }
  )
  const refusal = new InvalidFrame({ reason: `it does not begin as one of version ${versions.join(" or ")} does` })
  const encode = (header: Header) => header.version === 1 ? encodeLine(header) : encodeBinary(header, maxLength)
  return Codec.make<Header, Header, FrameError, FrameError>(new Versions(formats, refusal, undefined), {
    encode: (headers) => Either.map(Either.all(headers.map(encode)), (all) => all.length === 0 ? nothing : concat(all))
  })
}

const invalid = (reason: string): Either.Either<never, InvalidFrame> => Either.left(new InvalidFrame({ reason }))

// -----------------------------------------------------------------------------
// which version
// -----------------------------------------------------------------------------

interface Format {
  readonly prefix: Uint8Array
  readonly decoder: Codec.Decoder<Header, FrameError>
}

/** A header that has begun: so many bytes of its prefix were there. */
interface Begun {
  readonly prefix: Uint8Array
  readonly matched: number
  readonly decoder: Codec.Decoder<Header, FrameError>
}

class Versions implements Codec.Decoder<Header, FrameError> {
  private readonly formats: ReadonlyArray<Format>
  private readonly refusal: InvalidFrame
  private readonly begun: Begun | undefined

  constructor(formats: ReadonlyArray<Format>, refusal: InvalidFrame, begun: Begun | undefined) {
    this.formats = formats
    this.refusal = refusal
    this.begun = begun
  }

  step(bytes: Uint8Array, limit = Infinity): Codec.Step<Header, FrameError> {
    const frames: Array<Header> = []
    let { begun } = this
    let unread = bytes
    while (unread.length > 0 && frames.length < limit) {
      begun = matching(begun ?? this.begin(unread[0]!), unread)
      if (begun === undefined) return this.refused(frames, this.begun, unread)
      const step = begun.decoder.step(unread, 1)
      unread = step.unread
      if (step.failure !== undefined) return { frames, next: step.next, unread, failure: step.failure }
      begun = step.frames.length === 0 ? { ...begun, decoder: step.next } : undefined
      for (const frame of step.frames) frames.push(frame)
    }
    return { frames, next: new Versions(this.formats, this.refusal, begun), unread, failure: undefined }
  }

  end(): Codec.End<Header, FrameError> {
    return this.begun === undefined ? { frames: [], failure: undefined } : this.begun.decoder.end()
  }

  rest(): Uint8Array {
    return this.begun === undefined ? nothing : this.begun.decoder.rest()
  }

  private begin(first: number): Begun | undefined {
    const format = this.formats.find(({ prefix }) => prefix[0] === first)
    return format === undefined ? undefined : { ...format, matched: 0 }
  }

  /** Of the header that was refused, earlier steps have taken bytes only if it is the first one of this step. */
  private refused(
    frames: ReadonlyArray<Header>,
    begun: Begun | undefined,
    unread: Uint8Array
  ): Codec.Step<Header, FrameError> {
    const held = frames.length === 0 && begun !== undefined ? begun.decoder.rest() : nothing
    return { frames, next: Codec.failed(this.refusal, held), unread, failure: this.refusal }
  }
}

/** With what more of the prefix is there; `undefined` if it is another one. */
const matching = (begun: Begun | undefined, bytes: Uint8Array): Begun | undefined => {
  if (begun === undefined) return undefined
  const { matched, prefix } = begun
  const count = Math.min(prefix.length - matched, bytes.length)
  scanned.bytes += count
  for (let at = 0; at < count; at++) {
    if (bytes[at] !== prefix[matched + at]) return undefined
  }
  return { ...begun, matched: matched + count }
}

// -----------------------------------------------------------------------------
// version 1
// -----------------------------------------------------------------------------

const keyword = new TextEncoder().encode("PROXY ")

const line = /^PROXY (?:(TCP4|TCP6) (\S+) (\S+) (\S+) (\S+)|UNKNOWN(?: [^\r\n]*)?)$/

const parseLine = (bytes: Uint8Array): Either.Either<Header, InvalidFrame> => {
  scanned.bytes += bytes.length
  const fields = line.exec(String.fromCharCode(...bytes))
  if (fields === null) return invalid("its line is not that of version 1: PROXY TCP4 source destination port port")
  const [, protocol, source, destination, sourcePort, destinationPort] = fields
  if (protocol === undefined) return Either.right({ _tag: "Unknown", version: 1, extensions: [] })
  for (const host of [source!, destination!]) {
    // A zone is no part of the grammar; a dotted tail is what inet_ntop(3), and so haproxy, writes for mapped addresses.
    if (!Address.isLiteral(host) || host.includes("%") || host.includes(":") !== (protocol === "TCP6")) {
      return invalid(`${JSON.stringify(host)} is no address of ${protocol}`)
    }
  }
  for (const port of [sourcePort!, destinationPort!]) {
    if (!/^(?:0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65535) return invalid(`${JSON.stringify(port)} is no port`)
  }
  return Either.right({
    _tag: "Proxied",
    version: 1,
    socket: "stream",
    source: Address.tcp(source!, Number(sourcePort)),
    destination: Address.tcp(destination!, Number(destinationPort)),
    extensions: []
  })
}

/** 107 bytes with the CRLF, which is the longest `UNKNOWN` line. */
const lines: Codec.Decoder<Header, FrameError> = Codec.mapEither(
  Delimited.make({ delimiters: ["\r\n"], maxLength: 105 }),
  parseLine
)

const encodeLine = (header: Header): Either.Either<Uint8Array, InvalidFrame> => {
  if (header.extensions.length > 0) return invalid("version 1 has no extensions")
  if (header._tag !== "Proxied") return Either.right(new TextEncoder().encode("PROXY UNKNOWN\r\n"))
  const { destination, socket, source } = header
  if (source._tag !== "TcpAddress" || destination._tag !== "TcpAddress" || socket !== "stream") {
    return invalid("version 1 has addresses of TCP alone")
  }
  const family = source.family === "IPv4" && destination.family === "IPv4" ? "TCP4" : "TCP6"
  const [from, to] = [source, destination].map(({ hostWithoutZone }) => hostIn(family, hostWithoutZone))
  return Either.right(
    new TextEncoder().encode(`PROXY ${family} ${from} ${to} ${source.port} ${destination.port}\r\n`)
  )
}

/** Beside an IPv6 address, an IPv4 one is mapped (RFC 4291 section 2.5.5.2). */
const hostIn = (family: "TCP4" | "TCP6", host: string): string => {
  if (family === "TCP4" || host.includes(":")) return host
  const [a, b, c, d] = host.split(".").map(Number) as [number, number, number, number]
  return `::ffff:${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

// -----------------------------------------------------------------------------
// version 2
// -----------------------------------------------------------------------------

const signature = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)

/** The signature, version and command, family and protocol, and the length of the rest. */
const fixedLength = 16

const local = 0
const proxy = 1
const sockets = [undefined, "stream", "datagram"] as const

class Binary implements Sized.Format<Header, FrameTooLong | InvalidFrame> {
  private readonly maxLength: number
  private readonly checksum: "optional" | "required"

  constructor(maxLength: number, checksum: "optional" | "required") {
    this.maxLength = maxLength
    this.checksum = checksum
  }

  size(bytes: Uint8Array, at: number, end: number): number | FrameTooLong | InvalidFrame {
    if (end - at < fixedLength) return -fixedLength
    const [versionAndCommand, familyAndProtocol] = [bytes[at + 12]!, bytes[at + 13]!]
    const version = versionAndCommand >> 4
    const command = versionAndCommand & 0xf
    if (version !== 2) return new InvalidFrame({ reason: `it is of version ${version}, with the signature of 2` })
    if (command !== local && command !== proxy) {
      return new InvalidFrame({ reason: `its command is ${command}, and neither LOCAL, 0, nor PROXY, 1` })
    }
    const family = familyAndProtocol >> 4
    const protocol = familyAndProtocol & 0xf
    // The family of LOCAL is ignored.
    if (command === proxy && (family > 3 || protocol > 2)) {
      return new InvalidFrame({ reason: `its family ${family} and protocol ${protocol} are not assigned` })
    }
    const length = fixedLength + (bytes[at + 14]! << 8 | bytes[at + 15]!)
    if (length > this.maxLength) return new FrameTooLong({ limit: this.maxLength, length })
    return length
  }

  frame(bytes: Uint8Array, at: number, end: number): Header | Sized.Refusal<InvalidFrame> {
    const header = this.parse(bytes.subarray(at, end))
    return header instanceof InvalidFrame ? new Sized.Refusal(header) : header
  }

  private parse(bytes: Uint8Array): Header | InvalidFrame {
    scanned.bytes += bytes.length
    const command = bytes[12]! & 0xf
    const family = bytes[13]! >> 4
    const socket = sockets[bytes[13]! & 0xf]
    const addresses = fixedLength + Addresses.lengthOf(family)
    const proxied = command === proxy && family !== 0 && socket !== undefined
    if (proxied && bytes.length < addresses) {
      return new InvalidFrame({ reason: `its length ${bytes.length - fixedLength} is too short for its addresses` })
    }
    const read = Extensions.read(bytes, addresses)
    // What stands behind addresses that are to be ignored is not certain to be anything, but a checksum is. LOCAL is to be
    // accepted whatever it has.
    const ignored = read instanceof InvalidFrame && !proxied &&
      (command === local || read.reason !== Extensions.wrongChecksum)
    const extensions = ignored ? [] : read
    if (extensions instanceof InvalidFrame) return extensions
    if (this.checksum === "required" && !extensions.some(({ _tag }) => _tag === "Checksum")) {
      return new InvalidFrame({ reason: "it has no checksum" })
    }
    if (command === local) return { _tag: "Local", version: 2, extensions }
    if (!proxied) return { _tag: "Unknown", version: 2, extensions }
    const endpoints = Addresses.readEndpoints(bytes.subarray(fixedLength, addresses), family)
    return { _tag: "Proxied", version: 2, socket, ...endpoints, extensions }
  }
}

const encodeBinary = (
  header: Header,
  maxLength: number
): Either.Either<Uint8Array, FrameTooLong | InvalidFrame> => {
  const written = header._tag === "Proxied" ? Addresses.writeEndpoints(header) : { family: 0, bytes: nothing }
  if (written instanceof InvalidFrame) return Either.left(written)
  const extensions = Extensions.write(header.extensions)
  if (extensions instanceof InvalidFrame) return Either.left(extensions)
  const rest = append(written.bytes, extensions)
  const length = fixedLength + rest.length
  if (length > maxLength) return Either.left(new FrameTooLong({ limit: maxLength, length }))
  const command = header._tag === "Local" ? local : proxy
  const protocol = header._tag === "Proxied" ? sockets.indexOf(header.socket) : 0
  const bytes = concat([
    signature,
    Uint8Array.of(2 << 4 | command, written.family << 4 | protocol, rest.length >> 8, rest.length & 0xff),
    rest
  ])
  Extensions.writeChecksum(bytes, fixedLength + written.bytes.length)
  return Either.right(bytes)
}
