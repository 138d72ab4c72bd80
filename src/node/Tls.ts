/**
 * TLS (RFC 8446, and RFC 5246 for version 1.2) over any transport: a socket, the in-memory pair, a simulated network, TLS
 * itself. `client` and `server` are network layers; the transport that they make has the whole contract.
 *
 * Secure by default: at least version 1.2, the peer's certificate and its name are verified before a byte of the program's is
 * sent or read, and an end of the carrier that TLS has not announced is a failure and no end.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity, pipe } from "effect/Function"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { X509Certificate } from "node:crypto"
import * as fs from "node:fs/promises"
import * as net from "node:net"
import * as tls from "node:tls"
import * as Address from "../Address.ts"
import type { ConnectionLost } from "../ConnectionError.ts"
import { ConnectTimeout, systemFailure } from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import { timersOf } from "../internal/timers.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import type * as Transport from "../Transport.ts"
import { alertOf } from "./internal/tlsAlerts.ts"
import { TlsCarrier } from "./internal/tlsCarrier.ts"
import { DetectingDriver } from "./internal/tlsDetecting.ts"
import type { Failures } from "./internal/tlsDriver.ts"
import * as Handshake from "./internal/tlsHandshake.ts"
import { chainOf } from "./internal/tlsPeer.ts"
import { SocketCarrier, SocketTlsDriver } from "./internal/tlsSocket.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * Certificates or a key in PEM (RFC 7468), as text or as its bytes. A secret one may be `Redacted`, as `Config` gives it.
 *
 * @since 0.1.0
 * @category models
 */
export type Pem = string | Uint8Array | Redacted.Redacted<string>

/**
 * Who this side is: a certificate with the chain up to its root (the own one first), and the key that belongs to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Identity {
  readonly certificate: Pem
  readonly privateKey: Pem
  /** Of an encrypted key. */
  readonly passphrase?: string | Redacted.Redacted<string> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type Version = "TLSv1.2" | "TLSv1.3"

/**
 * @since 0.1.0
 * @category models
 */
export interface ContextOptions {
  /** A server needs one; a client only if the server asks for it. */
  readonly identity?: Identity | undefined
  /** Whom to trust, instead of the roots that Node has: `--use-openssl-ca` and `NODE_EXTRA_CA_CERTS` are about those. */
  readonly trustRoots?: Pem | ReadonlyArray<Pem> | undefined
  /** `TLSv1.2`. */
  readonly minVersion?: Version | undefined
  /** `TLSv1.3`. */
  readonly maxVersion?: Version | undefined
  /** Node's list, in OpenSSL's notation (openssl-ciphers(1)). */
  readonly ciphers?: string | undefined
}

/**
 * The brand of a `Context`.
 *
 * @since 0.1.0
 * @category type ids
 */
export const ContextTypeId: unique symbol = Symbol.for("effect-transport/Tls/Context")

/**
 * Keys, trust and versions, read and checked: made by `context`, used for any number of connections.
 *
 * @since 0.1.0
 * @category models
 */
export interface Context {
  readonly [ContextTypeId]: tls.SecureContextOptions
  /** Node's own. */
  readonly secureContext: tls.SecureContext
}

/**
 * A certificate as it was presented.
 *
 * @since 0.1.0
 * @category models
 */
export interface Certificate {
  /** The distinguished name, one attribute a line: `CN=example.org`. */
  readonly subject: string
  readonly issuer: string
  /** What it is for, in OpenSSL's notation: `DNS:example.org`, `IP Address:192.0.2.1`. */
  readonly names: ReadonlyArray<string>
  readonly serialNumber: string
  /** SHA-256 of the whole certificate, as `AB:CD:…`: what to pin. */
  readonly fingerprint: string
  readonly validFrom: Date
  readonly validTo: Date
}

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
  /** The name that the client has asked for (SNI, RFC 6066 §3); `undefined` for none. */
  readonly serverName: string | undefined
  /** The peer's certificate first, then its issuers as far as they are known. Empty when it has shown none. */
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
// errors
// -----------------------------------------------------------------------------

interface Ends {
  readonly localAddress: Address.Address
  readonly remoteAddress: Address.Address
}

const cannot = ({ remoteAddress }: Ends, why: string): string =>
  `No TLS connection with ${Address.format(remoteAddress)}: ${why}.`

const subjectOf = ([certificate]: ReadonlyArray<Certificate>): string =>
  certificate === undefined ? "certificate" : `certificate of ${certificate.subject.replaceAll("\n", ", ")}`

/**
 * The peer's certificate is not to be trusted: unknown issuer, expired, revoked, not made for this purpose, or none at all.
 * The handshake was broken off; retrying does not help.
 *
 * @since 0.1.0
 * @category errors
 */
export class CertificateRejected extends Data.TaggedError("CertificateRejected")<
  Ends & {
    /** OpenSSL's name of the reason: `CERT_HAS_EXPIRED`, `DEPTH_ZERO_SELF_SIGNED_CERT`, … (verify(1)). */
    readonly code: string
    /** What the peer has shown, as far as it is known. */
    readonly chain: ReadonlyArray<Certificate>
  }
> {
  override get message() {
    return cannot(this, `the ${subjectOf(this.chain)} is rejected (${this.code})`)
  }
}

/**
 * The server's certificate is good, but for other names than the one that was asked for (RFC 9525). The handshake was broken
 * off.
 *
 * @since 0.1.0
 * @category errors
 */
export class HostnameMismatch extends Data.TaggedError("HostnameMismatch")<
  Ends & {
    readonly serverName: string
    /** What it is for. */
    readonly names: ReadonlyArray<string>
    readonly chain: ReadonlyArray<Certificate>
  }
> {
  override get message() {
    return cannot(this, `the certificate is not for ${this.serverName}, but for ${this.names.join(", ") || "no name"}`)
  }
}

/**
 * The two sides have no version of TLS in common.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProtocolVersion extends Data.TaggedError("ProtocolVersion")<Ends & { readonly cause: unknown }> {
  override get message() {
    return cannot(this, "there is no version that both sides speak; minVersion is TLSv1.2 if nothing else is said")
  }
}

/**
 * The handshake failed in another way: no cipher suite or application protocol in common, a peer that refuses this side's
 * certificate, that does not speak TLS at all, or that ends the connection.
 *
 * @since 0.1.0
 * @category errors
 */
export class HandshakeFailed extends Data.TaggedError("HandshakeFailed")<
  Ends & {
    /** The fatal alert that the peer has sent (RFC 8446 §6.2): `handshake_failure`. `undefined`: this side found the fault. */
    readonly alert: string | undefined
    /** Node's code: `ERR_SSL_WRONG_VERSION_NUMBER`; `ECONNRESET` when the connection ended. */
    readonly code: string | undefined
    readonly cause: unknown
  }
> {
  override get message() {
    return cannot(
      this,
      this.alert === undefined
        ? `the handshake failed (${this.code}): ${this.cause instanceof Error ? this.cause.message : "?"}`
        : `the peer broke the handshake off (${this.alert})`
    )
  }
}

/**
 * What the handshake can fail with, besides the failures of the carrier.
 *
 * @since 0.1.0
 * @category errors
 */
export type TlsError = CertificateRejected | HostnameMismatch | ProtocolVersion | HandshakeFailed | ConnectTimeout

/**
 * The carrier ended, and the peer had not announced it by close_notify: bytes may be missing, cut off by somebody in
 * between (a truncation attack). What came before is read first. Nothing more can be sent or received.
 *
 * @since 0.1.0
 * @category errors
 */
export class TlsTruncated extends Data.TaggedError("TlsTruncated")<Ends & { readonly bytesRead: number }> {
  override get message() {
    return `The TLS connection with ${
      Address.format(this.remoteAddress)
    } was cut off after ${this.bytesRead} bytes read: ` +
      `the connection beneath it ended, and TLS had not.`
  }
}

/**
 * TLS failed after the handshake: a record that was tampered with, garbage, or a fatal alert of the peer. In version 1.3
 * a client hears only then that the server does not accept its certificate. The carrier is aborted.
 *
 * @since 0.1.0
 * @category errors
 */
export class TlsFailed extends Data.TaggedError("TlsFailed")<
  Ends & {
    /** The fatal alert that the peer has sent; `undefined`: this side found the fault. */
    readonly alert: string | undefined
    readonly code: string | undefined
    readonly cause: unknown
  }
> {
  override get message() {
    return `The TLS connection with ${Address.format(this.remoteAddress)} failed (${this.alert ?? this.code}).`
  }
}

/**
 * What TLS adds to the failures of an open transport.
 *
 * @since 0.1.0
 * @category errors
 */
export type TlsLost = TlsTruncated | TlsFailed

/**
 * Certificates or keys that cannot be used: a file that is not there or not PEM, a key that belongs to another certificate.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidCredentials extends Data.TaggedError("InvalidCredentials")<{
  readonly code: string | undefined
  readonly cause: unknown
}> {
  override get message() {
    return `The certificates or keys for TLS cannot be used: ${
      this.cause instanceof Error ? this.cause.message : this.code
    }.`
  }
}

// -----------------------------------------------------------------------------
// keys and trust
// -----------------------------------------------------------------------------

const pem = (value: Pem): string | Buffer =>
  Redacted.isRedacted(value) ? Redacted.value(value) : typeof value === "string" ? value : Buffer.from(value)

const credentials = <A>(use: () => A): Effect.Effect<A, InvalidCredentials> =>
  Effect.try({ try: use, catch: (cause) => new InvalidCredentials({ code: systemFailure(cause).code, cause }) })

/**
 * Reads and checks keys, certificates and trust roots. It costs about a millisecond: make one for many connections.
 *
 * @since 0.1.0
 * @category keys and trust
 */
export const context = (options: ContextOptions = {}): Effect.Effect<Context, InvalidCredentials> =>
  credentials(() => {
    const { ciphers, identity, maxVersion, trustRoots } = options
    const roots = trustRoots === undefined ? undefined : [trustRoots].flat().map(pem)
    // OpenSSL passes over what is no certificate.
    roots?.forEach((root) => new X509Certificate(root))
    const resolved: tls.SecureContextOptions = {
      minVersion: options.minVersion ?? "TLSv1.2",
      // A session must not be taken for one of another program's; without a name of its own OpenSSL refuses to resume any
      // with a client that was verified.
      sessionIdContext: "effect-transport",
      ...(maxVersion && { maxVersion }),
      ...(ciphers && { ciphers }),
      ...(roots && { ca: roots }),
      ...(identity && { cert: pem(identity.certificate), key: pem(identity.privateKey) }),
      ...(identity?.passphrase !== undefined && { passphrase: String(pem(identity.passphrase)) })
    }
    return { [ContextTypeId]: resolved, secureContext: tls.createSecureContext(resolved) }
  })

/**
 * Reads an identity from two PEM files.
 *
 * @since 0.1.0
 * @category keys and trust
 */
export const identityFromFiles = (paths: {
  readonly certificate: string
  readonly privateKey: string
  readonly passphrase?: string | Redacted.Redacted<string> | undefined
}): Effect.Effect<Identity, InvalidCredentials> => {
  const read = (path: string) =>
    Effect.tryPromise({
      try: () => fs.readFile(path),
      catch: (cause) => new InvalidCredentials({ code: systemFailure(cause).code, cause })
    })
  return Effect.map(
    Effect.all([read(paths.certificate), read(paths.privateKey)]),
    ([certificate, privateKey]) => ({ certificate, privateKey, passphrase: paths.passphrase })
  )
}

/**
 * An identity from the settings of the program, in PEM: `CERTIFICATE` and `PRIVATE_KEY`. Nest it for a prefix of its own.
 *
 * @since 0.1.0
 * @category keys and trust
 */
export const identityFromConfig: Config.Config<Identity> = Config.all({
  certificate: Config.string("CERTIFICATE"),
  privateKey: Config.redacted("PRIVATE_KEY")
})

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * A context, or an Effect that is run for each handshake: a `Ref` is one, in which keys are replaced while the program
 * runs. Connections that are open keep theirs.
 *
 * @since 0.1.0
 * @category models
 */
export type ContextSource<E = never, R = never> = Context | Effect.Effect<Context, E, R>

/**
 * What both sides can say. The limits are of the new transport; the carrier keeps its own, and its close comes after this
 * one's.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Transport.Limits {
  /** Application protocols, the preferred one first (ALPN, RFC 7301). A server that has none of a client's refuses it. */
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
   * at the deadline of the handshake.
   */
  readonly serverNames?: ((serverName: string) => Effect.Effect<Context | undefined>) | undefined
  /**
   * `required`: a client without a certificate that `trustRoots` of the context vouch for is rejected. `requested`: it may
   * have none, or a bad one, and `Info.authorized` tells. Not asked for.
   */
  readonly clientCertificate?: "required" | "requested" | undefined
}

type AnyEnd<O extends Options> = Omit<O, "truncation"> & { readonly truncation?: "fail" | "end" | undefined }

const defaultTimeout = Duration.seconds(10)

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
  <CE = never, CR = never>(
    options: Lenient<ClientOptions<CE, CR>>
  ): <E>(
    transport: Transport.Transport<E>
  ) => Effect.Effect<LenientTlsTransport<E>, TlsError | E | CE, CR | Scope.Scope>
  <CE = never, CR = never>(
    options: ClientOptions<CE, CR>
  ): <E>(transport: Transport.Transport<E>) => Effect.Effect<TlsTransport<E>, TlsError | E | CE, CR | Scope.Scope>
} = <CE, CR>(options: AnyEnd<ClientOptions<CE, CR>>) => {
  const { serverName, unsafeNoVerification = false } = options
  if (serverName === false && !unsafeNoVerification) {
    throw new TypeError("A TLS client without a serverName verifies nobody: say unsafeNoVerification if that is meant")
  }
  const source = options.context ?? noContext
  // It proves that this is the server that it is of, and no more than was verified then.
  const offered = options.session?.serverName === serverName && (unsafeNoVerification || options.session.authorized)
    ? options.session
    : undefined
  const sent = serverName !== false && options.sendServerName !== false && net.isIP(serverName) === 0
  return <E>(
    transport: Transport.Transport<E>
  ): Effect.Effect<Opened<E>, TlsError | E | CE, CR | Scope.Scope> => {
    let ticket: Uint8Array | undefined
    const begin = Effect.map(contextOf(source), ({ secureContext }) =>
      Handshake.connect(
        {
          secureContext,
          ...(sent && { servername: serverName }),
          ...(options.alpn && { ALPNProtocols: [...options.alpn] }),
          ...(offered && { session: Buffer.from(offered.ticket) })
        },
        (issued) => (ticket = issued)
      ))
    const verify = (socket: tls.TLSSocket) =>
      unsafeNoVerification || serverName === false ? undefined : rejected(socket, serverName, endsOf(transport))
    const agreed = (socket: tls.TLSSocket): Info => {
      const { authorized, peerCertificates, ...rest } = negotiated(socket, offered)
      const session = () => ticket && { serverName, ticket, authorized, peerCertificates }
      return { ...rest, authorized, peerCertificates, session }
    }
    return layered(transport, options, { begin, verify, agreed })
  }
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
  <CE = never, CR = never>(
    options: Lenient<ServerOptions<CE, CR>>
  ): <E>(
    transport: Transport.Transport<E>
  ) => Effect.Effect<LenientTlsTransport<E>, TlsError | E | CE, CR | Scope.Scope>
  <CE = never, CR = never>(
    options: ServerOptions<CE, CR>
  ): <E>(transport: Transport.Transport<E>) => Effect.Effect<TlsTransport<E>, TlsError | E | CE, CR | Scope.Scope>
} = <CE, CR>(options: AnyEnd<ServerOptions<CE, CR>>) => {
  const { clientCertificate } = options
  const serverOf = servers(options)
  return <E>(
    transport: Transport.Transport<E>
  ): Effect.Effect<Opened<E>, TlsError | E | CE, CR | Scope.Scope> => {
    const begin = Effect.zipWith(
      contextOf(options.context),
      Effect.runtime(),
      (context, runtime) => Handshake.accept(serverOf(context, runtime))
    )
    const verify = (socket: tls.TLSSocket) =>
      clientCertificate === "required" ? untrusted(socket, endsOf(transport)) : undefined
    return layered(transport, options, { begin, verify, agreed: negotiated })
  }
}

/** The last one that was made, as long as the context is the same: making one reads the keys again. */
const servers = ({ alpn, clientCertificate, serverNames, timeout }: AnyEnd<ServerOptions<unknown, unknown>>) => {
  let made: { readonly context: Context; readonly server: tls.Server } | undefined
  return (context: Context, runtime: Runtime.Runtime<never>): tls.Server => {
    if (made?.context === context) return made.server
    const { [ContextTypeId]: resolved } = context
    if (resolved.key === undefined) throw new TypeError("A TLS server needs a context with an identity")
    const server = tls.createServer({
      ...resolved,
      ...(alpn && { ALPNProtocols: [...alpn] }),
      ...(serverNames && { SNICallback: choosing(serverNames, timeout, runtime) }),
      requestCert: clientCertificate !== undefined,
      rejectUnauthorized: clientCertificate === "required",
      // The deadline is this module's, by the Clock.
      handshakeTimeout: 2 ** 31 - 1
    })
    made = { context, server }
    return server
  }
}

type Choose = (serverName: string, chosen: (error: Error | null, context?: tls.SecureContext) => void) => void

/** Node does not say for which connection it asks: that its handshake is over, is known by the time only. */
const choosing = (
  serverNames: NonNullable<ServerOptions["serverNames"]>,
  timeout: Options["timeout"],
  runtime: Runtime.Runtime<never>
): Choose =>
(serverName, chosen) => {
  const choice = Effect.timeout(serverNames(serverName), timeout ?? defaultTimeout)
  Runtime.runFork(runtime, Effect.interruptible(choice)).addObserver((exit) =>
    Exit.isSuccess(exit) ? chosen(null, exit.value?.secureContext) : chosen(new Error("serverNames did not answer"))
  )
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

const infos = new WeakMap<tls.TLSSocket, Info>()

// -----------------------------------------------------------------------------
// verification
// -----------------------------------------------------------------------------

const endsOf = ({ localAddress, remoteAddress }: Ends): Ends => ({ localAddress, remoteAddress })

const untrusted = (socket: tls.TLSSocket, ends: Ends): CertificateRejected | undefined =>
  socket.authorized ? undefined : new CertificateRejected({
    ...ends,
    code: String(socket.authorizationError ?? "UNSPECIFIED"),
    chain: chainOf(socket)
  })

/** Who resumes a session shows no certificate: that of the session, which was verified, was offered for this name only. */
const rejected = (
  socket: tls.TLSSocket,
  serverName: string,
  ends: Ends
): CertificateRejected | HostnameMismatch | undefined => {
  const distrust = untrusted(socket, ends)
  if (distrust !== undefined || socket.isSessionReused()) return distrust
  if (tls.checkServerIdentity(serverName, socket.getPeerCertificate(true)) === undefined) return undefined
  const chain = chainOf(socket)
  return new HostnameMismatch({ ...ends, serverName, names: chain[0]?.names ?? [], chain })
}

/** OpenSSL's words for a peer that speaks only versions that this side does not. */
const versionCodes = /^ERR_SSL_(UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE|VERSION_TOO_LOW|WRONG_SSL_VERSION)$/

const broken = (cause: unknown, socket: tls.TLSSocket | undefined, ends: Ends): TlsError => {
  const { code } = systemFailure(cause)
  const alert = alertOf(cause)
  const reason = code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE" ? code : socket?.authorizationError
  if (reason) return new CertificateRejected({ ...ends, code: String(reason), chain: chainOf(socket) })
  return alert === "protocol_version" || (code !== undefined && versionCodes.test(code))
    ? new ProtocolVersion({ ...ends, cause })
    : new HandshakeFailed({ ...ends, alert, code, cause })
}

// -----------------------------------------------------------------------------
// the layer
// -----------------------------------------------------------------------------

/** Which of them it is, the options say. */
type Opened<E> = TlsTransport<E> & LenientTlsTransport<E>

interface Sort<CE, CR> {
  readonly begin: Effect.Effect<Handshake.Handshake<TlsError>["begin"], CE, CR>
  readonly verify: (socket: tls.TLSSocket) => TlsError | undefined
  readonly agreed: (socket: tls.TLSSocket) => Info
}

const layered = <E, CE, CR>(
  transport: Transport.Transport<E>,
  options: AnyEnd<Options>,
  { agreed, begin, verify }: Sort<CE, CR>
): Effect.Effect<Opened<E>, TlsError | E | CE, CR | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.zip(Effect.runtime(), Effect.clock), ([runtime, clock]) => {
      const ends = endsOf(transport)
      const timers = timersOf(clock)
      const duration = Duration.decode(options.timeout ?? defaultTimeout)
      const limits = Driver.resolveLimits(options)
      const run = (effect: Effect.Effect<void>) =>
        Runtime.runFork(runtime, Effect.interruptible(effect), { immediate: false })
      const isLenient = options.truncation === "end"
      const carrier = isLenient && SocketCarrier.of(transport, run) || new TlsCarrier(transport, run, timers.now)
      const handshake = Effect.map(begin, (begin) =>
        Handshake.perform<E, TlsError>(carrier, {
          begin,
          verify,
          describe: (cause, socket) => broken(cause, socket, ends),
          timeout: Duration.toMillis(duration),
          timedOut: () => handshakeTimeout(ends, duration)
        }, timers))
      // The peer is to hear the alert that says why. Who does not even answer, hears nothing.
      const givenUp = (error: unknown) => {
        const how = isTlsError(error) ? "close" : "abort"
        const left = Effect.map(Effect.sync(() => carrier.run(carrier.leave(how))), Fiber.await)
        return Effect.flatMap(left, how === "close" ? restore : identity)
      }
      return pipe(
        restore(Effect.flatten(handshake)),
        Effect.tapErrorCause((cause) => givenUp(cause._tag === "Fail" ? cause.error : undefined)),
        Effect.flatMap((socket) =>
          carrier instanceof SocketCarrier
            ? openedOnSocket(socket, carrier, limits, agreed(socket))
            : opened(socket, carrier, limits, agreed(socket), isLenient)
        )
      )
    })
  )

const isTlsError = (error: unknown): boolean =>
  error instanceof CertificateRejected || error instanceof HostnameMismatch || error instanceof ProtocolVersion ||
  error instanceof HandshakeFailed

const handshakeTimeout = ({ remoteAddress }: Ends, duration: Duration.Duration): ConnectTimeout =>
  new ConnectTimeout({
    phase: "handshake",
    target: Address.format(remoteAddress),
    duration,
    code: undefined,
    cause: undefined,
    attempts: []
  })

type Lost = TlsLost | ConnectionLost

const failuresOf = <E>(transport: Transport.Transport<E>): Failures<Lost> => {
  const ends = endsOf(transport)
  return {
    truncated: (bytesRead) => new TlsTruncated({ ...ends, bytesRead }),
    failed: (cause) => new TlsFailed({ ...ends, alert: alertOf(cause), code: systemFailure(cause).code, cause }),
    endedBeneath: () => NetworkLayer.endedBeneath(transport)
  }
}

const opened = <E>(
  socket: tls.TLSSocket,
  carrier: TlsCarrier<E>,
  limits: Driver.ResolvedLimits,
  agreed: Info,
  isLenient: boolean
): Effect.Effect<Opened<E>, never, Scope.Scope> => {
  const { transport } = carrier
  infos.set(socket, agreed)
  let driver: DetectingDriver<E, Lost>
  const outer = Driver.openLayered<E | Lost>({
    driver: (events) =>
      driver = new DetectingDriver<E, Lost>(socket, carrier, events, failuresOf(transport), isLenient),
    ...endsOf(transport),
    options: transport.options,
    handle: socket,
    limits
  })
  return Effect.flatMap(outer, (outer) => {
    driver.watch()
    const closing = Effect.sync(() => {
      driver.trusting = true
    })
    const derived = NetworkLayer.derive(outer, {
      flush: Effect.zipRight(outer.flush, transport.flush),
      close: Effect.zipRight(closing, outer.close)
    })
    const unwrap = Effect.suspend(() => {
      carrier.kept = true
      return outer.closeWrite.pipe(
        Effect.zipRight(outer.forEach(() => Effect.void)),
        Effect.zipRight(outer.closed),
        Effect.flatMap((reason) => reason._tag === "Clean" ? Effect.succeed(transport) : Effect.fail(reason.error))
      )
    })
    Object.defineProperties(derived, { tls: { value: agreed }, unwrap: { value: unwrap } })
    return Effect.as(Effect.addFinalizer(() => closing), derived)
  }) as Effect.Effect<Opened<E>, never, Scope.Scope>
}

/** Without `unwrap`, which the type of a lenient one does not promise: Node does not let go of a socket before its end. */
const openedOnSocket = <E>(
  socket: tls.TLSSocket,
  carrier: SocketCarrier<E>,
  limits: Driver.ResolvedLimits,
  agreed: Info
): Effect.Effect<Opened<E>, never, Scope.Scope> => {
  const { transport } = carrier
  infos.set(socket, agreed)
  let driver: SocketTlsDriver<E, Lost>
  const opened = Driver.openLayered<E | Lost>({
    driver: (events) => driver = new SocketTlsDriver<E, Lost>(socket, carrier, events, failuresOf(transport)),
    ...endsOf(transport),
    options: transport.options,
    handle: socket,
    limits
  })
  return Effect.map(opened, (opened) => {
    driver.watch()
    // Who limits or drains connections looks at those that were accepted.
    Object.defineProperty(transport, "stats", { value: opened.stats })
    return Object.defineProperty(opened, "tls", { value: agreed })
  }) as Effect.Effect<Opened<E>, never, Scope.Scope>
}

const negotiated = (socket: tls.TLSSocket, resumable?: Session): Info => ({
  protocol: socket.getProtocol() ?? "",
  cipher: socket.getCipher().standardName,
  alpn: socket.alpnProtocol || undefined,
  serverName: (socket as { readonly servername?: string | false | null }).servername || undefined,
  peerCertificates: socket.isSessionReused() ? resumable?.peerCertificates ?? [] : chainOf(socket),
  authorized: socket.authorized,
  authorizationError: socket.authorizationError ? String(socket.authorizationError) : undefined,
  resumed: socket.isSessionReused(),
  session: () => undefined
})
