/**
 * TLS (RFC 8446, and RFC 5246 for version 1.2) over any transport: a socket, the in-memory pair, a simulated network, TLS
 * itself. `client` and `server` are network layers; the transport that they make has the whole contract.
 *
 * Secure by default: at least version 1.2, the peer's certificate and its name are verified before a byte of the program's is
 * sent or read, and an end of the carrier that TLS has not announced is a failure and no end.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as net from "node:net"
import type * as tls from "node:tls"
import type { ConnectionLost } from "../ConnectionError.ts"
import type * as Transport from "../Transport.ts"
import * as Handshake from "./internal/tlsHandshake.ts"
import type { AnyEnd } from "./internal/tlsLayer.ts"
import { infos, layer } from "./internal/tlsLayer.ts"
import { negotiated } from "./internal/tlsPeer.ts"
import { servers } from "./internal/tlsServers.ts"
import { dnsNameOf, rejected, untrusted } from "./internal/tlsVerification.ts"
import type { Certificate, Context, ContextSource } from "./TlsContext.ts"
import { context } from "./TlsContext.ts"
import type { TlsError, TlsFailed, TlsLost } from "./TlsError.ts"

/**
 * Keys and trust.
 *
 * @since 0.1.0
 * @category keys and trust
 */
export * from "./TlsContext.ts"

/**
 * The failures.
 *
 * @since 0.1.0
 * @category errors
 */
export * from "./TlsError.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What a client can resume with the same server: the handshake is shorter then, and nobody shows a certificate. It stands
 * for the verification of the connection that it is of. The ticket is a secret.
 *
 * @since 0.1.0
 * @category models
 */
export interface Session {
  readonly serverName: string | false
  readonly ticket: Uint8Array
  readonly authorized: boolean
  readonly peerCertificates: ReadonlyArray<Certificate>
}

/**
 * What the handshake has agreed on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Info {
  /** `TLSv1.3`, `TLSv1.2`. */
  readonly protocol: string
  /** The name of the cipher suite in the registry of IANA. */
  readonly cipher: string
  /** The application protocol that was chosen (ALPN, RFC 7301); `undefined` for none. */
  readonly alpn: string | undefined
  /**
   * The name that the client has asked for (SNI, RFC 6066 §3); `undefined` for none, and at a server for a resumed session of
   * version 1.2, of which OpenSSL does not tell it.
   */
  readonly serverName: string | undefined
  /**
   * The peer's certificate first, then its issuers as far as they are known; of a resumed session, those of the first
   * connection. Empty when it has shown none.
   */
  readonly peerCertificates: ReadonlyArray<Certificate>
  /** The peer's certificate was verified. `false` where none was asked for, or verification was not. */
  readonly authorized: boolean
  /** Why it was not; OpenSSL's name of the reason. */
  readonly authorizationError: string | undefined
  /** It is the continuation of an earlier session: no certificates were exchanged. */
  readonly resumed: boolean
  /**
   * A client's newest, for `session` of the next connection. Servers of version 1.3 send theirs after the handshake: it may
   * come with the first bytes that are read. `undefined` before, and at a server.
   */
  readonly session: () => Session | undefined
}

/**
 * A transport that speaks TLS.
 *
 * Its half-close is close_notify, followed by the end of the carrier. In version 1.3 reading goes on after it. A peer of
 * version 1.2 may answer with its own at once, and drop what it had not yet sent (RFC 5246 §7.2.1).
 *
 * @since 0.1.0
 * @category models
 */
export interface TlsTransport<out E = ConnectionLost> extends Transport.Transport<E | ConnectionLost | TlsLost> {
  readonly tls: Info

  /**
   * Ends TLS and gives the carrier back, open, for what follows in clear (FTP's CCC, RFC 4217): close_notify in both
   * directions. Bytes that the peer has sent behind its own are there for the next pull of the carrier.
   *
   * Suspends until the peer has ended TLS as well; what it sends before that is dropped: who wants it reads to the end
   * first. Fails with the loss. After a `closeWrite` the carrier that comes back can only be read. An interruption does not
   * take the end back: only `unwrap` again, `close` and `abort` make sense after it.
   */
  readonly unwrap: Effect.Effect<Transport.Transport<E>, E | ConnectionLost | TlsLost>
}

/**
 * A transport that speaks TLS, and takes any end of the carrier for the peer's own (`truncation: "end"`).
 *
 * @since 0.1.0
 * @category models
 */
export interface LenientTlsTransport<out E = ConnectionLost>
  extends Transport.Transport<E | ConnectionLost | TlsFailed>
{
  readonly tls: Info
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * What `client` and `server` make: a network layer for any transport, whatever that fails with. `E` and `R` are the
 * context's.
 *
 * @since 0.1.0
 * @category models
 */
export interface TlsLayer<out E = never, out R = never> {
  <E1>(transport: Transport.Transport<E1>): Effect.Effect<TlsTransport<E1>, TlsError | E1 | E, R | Scope.Scope>
}

/**
 * The same of options with `truncation: "end"`.
 *
 * @since 0.1.0
 * @category models
 */
export interface LenientTlsLayer<out E = never, out R = never> {
  <E1>(transport: Transport.Transport<E1>): Effect.Effect<LenientTlsTransport<E1>, TlsError | E1 | E, R | Scope.Scope>
}

/**
 * What both sides can say. The limits are of the new transport; the carrier keeps its own, and its close comes after this
 * one's.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Transport.Limits {
  /**
   * Application protocols, the preferred one first (ALPN, RFC 7301), each of 1 to 255 bytes. A server that has none of a
   * client's refuses it.
   */
  readonly alpn?: ReadonlyArray<string> | undefined
  /** The deadline of the handshake: 10 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * What an end of the carrier is that TLS has not announced: a failure (`TlsTruncated`), if nothing else is said; see
   * `Lenient`.
   */
  readonly truncation?: "fail" | undefined
}

/**
 * The same with `truncation: "end"`: an end of the carrier is the end of the input, announced or not. That is for protocols
 * that tell by themselves where a message ends; in others somebody in between can cut off what the peer has said.
 *
 * Then there can be a faster way: Node's TLS lies straight on the socket of a TCP or UNIX transport, and costs a third
 * less. It is taken where `transport` is one that was connected or accepted, without a layer in between. What differs is
 * that the carrier's counters are those of the new transport, that after this side's own end a reset may be taken for the
 * peer's, and that there is no `unwrap`.
 *
 * @since 0.1.0
 * @category models
 */
export type Lenient<O extends Options> = Omit<O, "truncation"> & { readonly truncation: "end" }

/**
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions<E = never, R = never> extends Options {
  /**
   * The DNS name or IP address of the server: what its certificate must be for, and, if it is a name, what the server is
   * told to choose a certificate by (SNI). `false`, for none of both, goes with `unsafeNoVerification` only.
   */
  readonly serverName: string | false
  /** `false` verifies the name, but does not send it, which is in clear: `true`. */
  readonly sendServerName?: boolean | undefined
  /** Trust in the roots that Node has, and no identity. */
  readonly context?: ContextSource<E, R> | undefined
  /**
   * What `Info.session` of an earlier connection gave. It is not used if that was to another `serverName`, or not verified
   * as this one has to be; and one that the server does not accept is no failure.
   */
  readonly session?: Session | undefined
  /** `true` takes any certificate: the peer can then be anybody. `Info.authorized` still tells. */
  readonly unsafeNoVerification?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ServerOptions<E = never, R = never> extends Options {
  /** With an identity. */
  readonly context: ContextSource<E, R>
  /**
   * For clients that ask for this name; `undefined` for those that get `context`, as those do who ask for none. Interrupted
   * when it takes as long as a whole handshake may. Not asked for a session that is resumed; with `clientCertificate` none
   * is, since each name has trust roots of its own.
   */
  readonly serverNames?: ((serverName: string) => Effect.Effect<Context | undefined>) | undefined
  /**
   * `required`: a client without a certificate that `trustRoots` of the context vouch for is rejected. `requested`: it may
   * have none, or a bad one, and `Info.authorized` tells. Not asked for.
   */
  readonly clientCertificate?: "required" | "requested" | undefined
}

const contextOf = <E, R>(source: ContextSource<E, R>): Effect.Effect<Context, E, R> =>
  Effect.isEffect(source) ? source : Effect.succeed(source)

const noContext: ContextSource = Effect.runSync(Effect.cached(Effect.orDie(context())))

/**
 * The side that begins. Completes when the server is verified, within `timeout`; what fails or is interrupted before
 * leaves nothing, the carrier is closed.
 *
 * It takes the carrier over as it is: bytes that somebody put back into it (`unread`) are TLS's, so an upgrade in the middle
 * of a connection (STARTTLS, RFC 3207) needs no more.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as Network from "effect-transport/Network"
 * import * as Tls from "effect-transport/node/Tls"
 *
 * export const greeting = Network.connect(Address.tcp("192.0.2.1", 993)).pipe(
 *   Effect.flatMap(Tls.client({ serverName: "imap.example.org", timeout: "5 seconds" })),
 *   Effect.tap((transport) => Effect.log(transport.tls.protocol)),
 *   Effect.flatMap((transport) => transport.pull),
 *   Effect.catchTag("HostnameMismatch", ({ names }) => Effect.dieMessage(`that is ${names.join()}`)),
 *   Effect.scoped
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const client: {
  <CE = never, CR = never>(options: Lenient<ClientOptions<CE, CR>>): LenientTlsLayer<CE, CR>
  <CE = never, CR = never>(options: ClientOptions<CE, CR>): TlsLayer<CE, CR>
} = <CE, CR>(options: AnyEnd<ClientOptions<CE, CR>>) => {
  const { serverName, unsafeNoVerification = false } = options
  if (serverName === false && !unsafeNoVerification) {
    throw new TypeError("A TLS client without a serverName verifies nobody: say unsafeNoVerification if that is meant")
  }
  // It proves that this is the server that it is of, and no more than was verified then.
  const offered = options.session?.serverName === serverName && (unsafeNoVerification || options.session.authorized)
    ? options.session
    : undefined
  const name = serverName === false ? "" : dnsNameOf(serverName)
  const sent = options.sendServerName !== false && net.isIP(name) === 0
  return layer(options, (ends) => {
    let ticket: Uint8Array | undefined
    const begin = Effect.map(contextOf(options.context ?? noContext), ({ secureContext }) =>
      Handshake.connect(
        {
          secureContext,
          ...(sent && { servername: name }),
          ...(options.alpn && { ALPNProtocols: [...options.alpn] }),
          ...(offered && { session: Buffer.from(offered.ticket) })
        },
        (issued) => (ticket = issued)
      ))
    const verify = (socket: tls.TLSSocket) =>
      unsafeNoVerification || serverName === false ? undefined : rejected(socket, serverName, ends)
    const agreed = (socket: tls.TLSSocket): Info => {
      const info = negotiated(socket, offered)
      const { authorized, peerCertificates } = info
      return { ...info, session: () => ticket && { serverName, ticket, authorized, peerCertificates } }
    }
    return { begin, verify, agreed }
  })
}

/**
 * The side that answers: like `client` in all else. As the layer of a server it stands in front of the handler, so that a
 * peer that does not get through the handshake costs that connection only.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Tls from "effect-transport/node/Tls"
 * import type { Transport } from "effect-transport/Transport"
 *
 * export const secured = Effect.gen(function*() {
 *   const identity = yield* Tls.identityFromFiles({ certificate: "cert.pem", privateKey: "key.pem" })
 *   const tls = Tls.server({ context: yield* Tls.context({ identity }) })
 *   return (connection: Transport) =>
 *     Effect.flatMap(tls(connection), (transport) => transport.forEach((chunk) => transport.write(chunk)))
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const server: {
  <CE = never, CR = never>(options: Lenient<ServerOptions<CE, CR>>): LenientTlsLayer<CE, CR>
  <CE = never, CR = never>(options: ServerOptions<CE, CR>): TlsLayer<CE, CR>
} = <CE, CR>(options: AnyEnd<ServerOptions<CE, CR>>) => {
  const { clientCertificate } = options
  const serverOf = servers(options)
  return layer(options, (ends) => ({
    begin: Effect.zipWith(
      contextOf(options.context),
      Effect.runtime(),
      (context, runtime) => Handshake.accept(serverOf(context, runtime))
    ),
    verify: (socket) => clientCertificate === "required" ? untrusted(socket, ends) : undefined,
    agreed: negotiated
  }))
}

/**
 * What the handshake of this transport has agreed on; `undefined` if it does not speak TLS. It looks through layers above TLS,
 * as long as they leave `unsafeHandle` alone.
 *
 * @since 0.1.0
 * @category accessors
 */
export const info = <E>(transport: Transport.Transport<E>): Info | undefined =>
  infos.get(transport.unsafeHandle as tls.TLSSocket)
