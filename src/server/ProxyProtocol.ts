/**
 * The PROXY protocol (W. Tarreau, https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt) as network layers: behind a
 * proxy that sends its header, a transport has the addresses of the client; and a proxy tells the next server.
 *
 * The header itself, as a value and as a codec, is `framing/ProxyHeader`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import ipaddr from "ipaddr.js"
import * as Address from "../Address.ts"
import type * as Codec from "../Codec.ts"
import type { WriteAfterEnd } from "../ConnectionError.ts"
import type { FrameError, FrameTooLong, InvalidFrame } from "../FrameError.ts"
import * as ProxyHeader from "../framing/ProxyHeader.ts"
import { append, view } from "../internal/bytes.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import type { Transport } from "../Transport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * Whose headers are believed: peers by their addresses, `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.1`, and `unix` for all
 * that have connected to a UNIX-domain socket; or whatever the function says.
 *
 * @since 0.1.0
 * @category models
 */
export type Trusted = ReadonlyArray<string> | ((peer: Address.Address) => boolean)

/**
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions extends ProxyHeader.ProxyHeaderOptions {
  /**
   * The proxies. Whoever else could reach the port could give itself any address, so there is no default. An entry that is
   * neither an address nor a CIDR block is a `RangeError`.
   */
  readonly trusted: Trusted
  /**
   * What becomes of another peer: `refuse` (the default) aborts; `pass` leaves its connection as it is, and takes nothing
   * from it: a header that it sends is input like any other.
   */
  readonly untrusted?: "refuse" | "pass" | undefined
  /** How long the header may take, from the making of the layer: 5 seconds. (The specification asks for 3 at least.) */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * A transport behind a proxy.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProxiedTransport<out E> extends Transport<E> {
  /** What the proxy has said; `undefined` of a peer that is not trusted and was passed. */
  readonly proxyHeader: ProxyHeader.Header | undefined
}

/**
 * The header of one's own: in this version, with these extensions.
 *
 * @since 0.1.0
 * @category models
 */
export interface WriteOptions {
  /** 2. */
  readonly version?: ProxyHeader.Version | undefined
  /** Version 2 only: none. */
  readonly extensions?: ReadonlyArray<ProxyHeader.Extension> | undefined
  /**
   * The accepted connection on whose behalf this one was dialled: its two addresses are told. By default they are those of
   * the dialled connection itself, which a health check has to tell.
   */
  readonly client?: Pick<Transport<unknown>, "localAddress" | "remoteAddress"> | undefined
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

interface Ends {
  /** The proxy's side of the connection: its own address, not that of a client. */
  readonly remoteAddress: Address.Address
  readonly localAddress: Address.Address
}

const from = ({ remoteAddress }: Ends): string => `the connection from ${Address.format(remoteAddress)}`

/**
 * What came first is no header, or not one that is accepted here. The connection was aborted.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProxyHeaderInvalid extends Data.TaggedError("ProxyHeaderInvalid")<
  Ends & {
    /** What is wrong with it. */
    readonly failure: FrameError
    /** What came first: its first 256 bytes at most. */
    readonly bytes: Uint8Array
  }
> {
  override get message() {
    return `There is no valid PROXY header at the beginning of ${from(this)}. ${this.failure.message} ` +
      `Is the proxy configured to send one?`
  }
}

/**
 * The peer ended its writing before the header was complete. With no bytes at all it is what a check of the port looks like.
 * The connection was aborted.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProxyHeaderTruncated extends Data.TaggedError("ProxyHeaderTruncated")<
  Ends & {
    readonly bytes: Uint8Array
  }
> {
  override get message() {
    return `The PROXY header was not complete when ${from(this)} ended, after ${this.bytes.length} bytes.`
  }
}

/**
 * The header was not complete in time. The connection was aborted.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProxyHeaderTimeout extends Data.TaggedError("ProxyHeaderTimeout")<
  Ends & {
    readonly duration: Duration.Duration
    /** So many bytes of it had come. */
    readonly held: number
  }
> {
  override get message() {
    return `Only ${this.held} bytes of a PROXY header came within ${Duration.format(this.duration)} on ${
      from(this)
    }. ` +
      `Is the proxy configured to send one?`
  }
}

/**
 * The peer is none of the trusted proxies. Nothing was read; the connection was aborted.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProxyNotTrusted extends Data.TaggedError("ProxyNotTrusted")<Ends> {
  override get message() {
    return `There is no trust in a PROXY header on ${from(this)}. If that is a proxy, list it as a trusted one.`
  }
}

/**
 * All that reading a header can fail with, beside the loss of the connection.
 *
 * @since 0.1.0
 * @category errors
 */
export type ProxyProtocolError = ProxyHeaderInvalid | ProxyHeaderTruncated | ProxyHeaderTimeout | ProxyNotTrusted

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/**
 * A network layer for accepted connections: reads the header, which both versions may be, and gives the transport of what
 * comes after it. Its addresses are those of the client and of where the client has connected to; for LOCAL and UNKNOWN they
 * stay those of the connection. The header is its `proxyHeader`. Losses of the connection go on to tell the carrier's own.
 *
 * Suspends until the header is there: the specification has a server do nothing before. Fails with the carrier's loss, or
 * with a `ProxyProtocolError`, and then the connection is aborted. After an interruption the bytes that had come are
 * read again, but for a header that was whole by then: it may be gone. There is no guessing: a connection of a trusted proxy
 * has a header, any other one has none.
 *
 * Who has reset the connection before it was accepted, as a check of the port may do, has no address to be trusted by: that
 * fails with the loss.
 *
 * It costs nothing for the bytes after the header. A timeout of 0 or less is a `RangeError`; an infinite one never ends.
 *
 * @example
 * ```ts
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 * import * as ProxyProtocol from "effect-transport/server/ProxyProtocol"
 * import type { Transport } from "effect-transport/Transport"
 *
 * const behindProxy = ProxyProtocol.read({ trusted: ["10.0.0.0/8", "unix"], timeout: "3 seconds" })
 *
 * // A handler, for Server.serve.
 * export const handler = (carrier: Transport) =>
 *   Effect.flatMap(behindProxy(carrier), (transport) =>
 *     Effect.zipRight(
 *       Console.log(`${transport.remoteAddress}`),
 *       transport.forEach((chunk) => transport.write(chunk))
 *     ))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const read = (options: ReadOptions) => {
  const trusts = typeof options.trusted === "function" ? options.trusted : trusting(options.trusted)
  const decoder = ProxyHeader.codec(options)
  const duration = Duration.decode(options.timeout ?? "5 seconds")
  if (!(Duration.toMillis(duration) > 0)) {
    throw new RangeError(`The timeout of a PROXY header is more than 0, not ${Duration.format(duration)}`)
  }
  return <E>(transport: Transport<E>): Effect.Effect<ProxiedTransport<E>, E | ProxyProtocolError> =>
    Effect.suspend((): Effect.Effect<ProxiedTransport<E>, E | ProxyProtocolError> => {
      const { localAddress, remoteAddress } = transport
      if (trusts(remoteAddress)) {
        return Effect.map(readWithin(transport, decoder, duration), (header) => proxied(transport, header))
      }
      if (options.untrusted === "pass") return Effect.succeed(proxied(transport, undefined))
      const untrusted = new ProxyNotTrusted({ localAddress, remoteAddress })
      if (!Address.isUnspecified(remoteAddress)) return Effect.fail(untrusted)
      // The kernel has forgotten who has reset the connection before it was accepted, as haproxy's checks do: it is a loss.
      const lost = Effect.zipRight(transport.forEach(() => Effect.void), Effect.fail(untrusted))
      return Effect.timeoutFail(lost, { duration, onTimeout: () => untrusted })
    }).pipe(Effect.tapError(() => transport.abort))
}

const proxied = <E>(transport: Transport<E>, header: ProxyHeader.Header | undefined): ProxiedTransport<E> => {
  const addresses = header?._tag === "Proxied"
    ? { localAddress: header.destination, remoteAddress: header.source }
    : {}
  return Object.assign(NetworkLayer.derive(transport, addresses), { proxyHeader: header })
}

const readWithin = <E>(
  transport: Transport<E>,
  decoder: Codec.Decoder<ProxyHeader.Header, FrameError>,
  duration: Duration.Duration
): Effect.Effect<ProxyHeader.Header, E | ProxyProtocolError> => {
  const { localAddress, remoteAddress } = transport
  const progress = { held: 0 }
  const header = readHeader(transport, decoder, progress)
  if (!Duration.isFinite(duration)) return header
  return Effect.timeoutFail(Effect.interruptible(header), {
    duration,
    onTimeout: () => new ProxyHeaderTimeout({ localAddress, remoteAddress, duration, held: progress.held })
  })
}

/** What an error shows of what came. */
const shown = 256

/** Like the derived reads of `Transport`: what was pulled is put back on a loss or an interruption. */
const readHeader = <E>(
  transport: Transport<E>,
  decoder: Codec.Decoder<ProxyHeader.Header, FrameError>,
  progress: { held: number }
): Effect.Effect<ProxyHeader.Header, E | ProxyHeaderInvalid | ProxyHeaderTruncated> =>
  Effect.uninterruptibleMask((restore) => {
    const { localAddress, remoteAddress } = transport
    const putBack = (bytes: Uint8Array) => bytes.length === 0 ? Effect.void : transport.unread(bytes)
    const loop = (
      decoder: Codec.Decoder<ProxyHeader.Header, FrameError>
    ): Effect.Effect<ProxyHeader.Header, E | ProxyHeaderInvalid | ProxyHeaderTruncated> =>
      Effect.matchCauseEffect(restore(transport.pull), {
        onFailure: (cause) => Effect.zipRight(putBack(decoder.rest()), Effect.failCause(cause)),
        onSuccess: (chunk) => {
          if (chunk === null) {
            return Effect.fail(new ProxyHeaderTruncated({ localAddress, remoteAddress, bytes: decoder.rest() }))
          }
          const { failure, frames: [header], next, unread } = decoder.step(chunk, 1)
          if (header !== undefined) return Effect.as(putBack(unread), header)
          const held = next.rest()
          progress.held = held.length
          if (failure === undefined) return loop(next)
          const bytes = append(held, unread)
          return Effect.fail(
            new ProxyHeaderInvalid({
              localAddress,
              remoteAddress,
              failure,
              bytes: view(bytes, 0, Math.min(shown, bytes.length))
            })
          )
        }
      })
    return loop(decoder)
  })

// -----------------------------------------------------------------------------
// writing
// -----------------------------------------------------------------------------

/**
 * A network layer for dialled connections: writes the header as the first bytes, at once. Given a header, that; else one of
 * the two addresses of the `client`, or of the connection itself: UNKNOWN if the version has no way to say them.
 *
 * A receiver need not take all that version 2 can say: haproxy refuses the addresses of UNIX sockets, and UNSPEC. Version 1
 * tells it UNKNOWN for these, which it takes.
 *
 * Completes when the header is accepted for writing. Fails with the carrier's loss, and with FrameTooLong or InvalidFrame if
 * the version has no way to say what was given: then nothing was written.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as Network from "effect-transport/Network"
 * import * as Relay from "effect-transport/Relay"
 * import * as ProxyProtocol from "effect-transport/server/ProxyProtocol"
 * import type { Transport } from "effect-transport/Transport"
 *
 * // A proxy: the handler of one connection, for Server.serve.
 * export const handler = (client: Transport) =>
 *   Network.connect(Address.tcp("10.0.0.7", 80)).pipe(
 *     Effect.flatMap(ProxyProtocol.write({ client, version: 2, extensions: [{ _tag: "Checksum" }] })),
 *     Effect.flatMap((server) => Relay.run(client, server))
 *   )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const write =
  (options: ProxyHeader.Header | WriteOptions = {}) =>
  <E>(transport: Transport<E>): Effect.Effect<Transport<E>, E | WriteAfterEnd | FrameTooLong | InvalidFrame> =>
    Effect.flatMap(
      Effect.suspend(() => encode("_tag" in options ? options : headerOf(transport, options))),
      (bytes) => Effect.as(transport.write(bytes), transport)
    )

const writer = ProxyHeader.codec({ maxLength: 16 + 65535 })

/** What is encoded is never truncated. */
const encode = (header: ProxyHeader.Header) =>
  writer.encode([header]) as Either.Either<Uint8Array, FrameTooLong | InvalidFrame>

const headerOf = (
  dialled: Pick<Transport<unknown>, "localAddress" | "remoteAddress">,
  { client, extensions, version = 2 }: WriteOptions
): ProxyHeader.Header =>
  ProxyHeader.make({
    version,
    extensions,
    source: client === undefined ? dialled.localAddress : client.remoteAddress,
    destination: client === undefined ? dialled.remoteAddress : client.localAddress
  })

// -----------------------------------------------------------------------------
// trust
// -----------------------------------------------------------------------------

/** A block of addresses: those whose first `bits` are the same. */
interface Block {
  readonly address: ipaddr.IPv4 | ipaddr.IPv6
  readonly bits: number
}

const trusting = (trusted: ReadonlyArray<string>): (peer: Address.Address) => boolean => {
  const unix = trusted.includes("unix")
  const blocks = trusted.filter((entry) => entry !== "unix").map(blockOf)
  return (peer) => {
    if (peer._tag === "UnixAddress") return unix
    if (peer._tag !== "TcpAddress") return false
    // A zone says by which interface the peer is near, and is no part of a block.
    const address = ipaddr.parse(peer.hostWithoutZone)
    return blocks.some((block) => block.address.kind() === address.kind() && address.match(block.address, block.bits))
  }
}

const blockOf = (entry: string): Block => {
  const [host, prefix, ...more] = entry.split("/") as [string, ...Array<string>]
  if (!Address.isLiteral(host) || host.includes("%") || more.length > 0 || !/^(?:\d{1,3})?$/.test(prefix ?? "")) {
    throw notBlock(entry)
  }
  // Mapped addresses are IPv4 ones here: the first 96 bits of a block of them are gone.
  const address = ipaddr.parse(Address.tcp(host, 0).host)
  const all = address.kind() === "ipv4" ? 32 : 128
  const bits = prefix === undefined ? all : Number(prefix) - (host.includes(":") ? 128 - all : 0)
  if (prefix === "" || bits < 0 || bits > all) throw notBlock(entry)
  return { address, bits }
}

const notBlock = (entry: string): RangeError =>
  new RangeError(
    `A trusted proxy is an address or a CIDR block, as 192.0.2.1 or 10.0.0.0/8, or "unix", not ${JSON.stringify(entry)}`
  )
