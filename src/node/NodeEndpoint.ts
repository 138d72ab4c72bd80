/**
 * What `Endpoint` describes, made ready: files are read and checked, and TLS is a network layer.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { X509Certificate } from "node:crypto"
import * as path from "node:path"
import type { ConnectionLost, ListenError } from "../ConnectionError.ts"
import * as Connector from "../Connector.ts"
import * as Endpoint from "../Endpoint.ts"
import type { Listener } from "../Listener.ts"
import * as Network from "../Network.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import type { Transport } from "../Transport.ts"
import { encrypted, mismatched, noCertificate } from "./internal/credentials.ts"
import * as Tls from "./Tls.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What a transport can fail with that a described layer made.
 *
 * @since 0.1.0
 * @category models
 */
export type Lost = ConnectionLost | Tls.TlsLost

/**
 * TLS, or nothing: what belongs on a connection when it has been accepted or dialled. It can take a while, and fail: that
 * costs the one connection.
 *
 * @since 0.1.0
 * @category models
 */
export type Secure = (
  transport: Transport
) => Effect.Effect<Transport<Lost>, ConnectionLost | Tls.TlsError, Scope.Scope>

/**
 * A server, described.
 *
 * @since 0.1.0
 * @category models
 */
export interface Server {
  /** Listens: each time anew, until the Scope ends. */
  readonly listen: Effect.Effect<Listener, ListenError, Network.Network | Scope.Scope>
  readonly secure: Secure
}

/**
 * A client, described.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  /** Dials, and makes the connection secure. */
  readonly connector: Connector.Connector<Lost, ConnectionLost | Tls.TlsError>
  /** Dials only: for what comes before TLS, as a PROXY header does. */
  readonly carrier: Connector.Connector
  readonly secure: Secure
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * A file of a description cannot be used. Nothing was opened.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidCredentialFile extends Data.TaggedError("InvalidCredentialFile")<{
  /** As which the description has it: `privateKey`. */
  readonly key: string
  /** The absolute path. */
  readonly path: string
  /** What is wrong with it. */
  readonly reason: string
  /** `ENOENT`, `ERR_OSSL_PEM_NO_START_LINE`. */
  readonly code: string | undefined
  readonly cause: unknown
}> {
  override get message() {
    return `The ${this.key} ${this.path} ${this.reason}.`
  }
}

/**
 * Why credentials cannot be used.
 *
 * @since 0.1.0
 * @category errors
 */
export type CredentialError = InvalidCredentialFile | Tls.InvalidCredentials

// -----------------------------------------------------------------------------
// what is described
// -----------------------------------------------------------------------------

/**
 * Reads and checks the files of a server. Fails with the one that cannot be used; a certificate that has expired is
 * logged as a warning, since its clients refuse it.
 *
 * Of a `HaproxyServer` it wants the `server`: the header is for `ProxyProtocol.read` to take off, before TLS.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Endpoint from "effect-transport/Endpoint"
 * import * as NetworkLayer from "effect-transport/NetworkLayer"
 * import * as NodeEndpoint from "effect-transport/node/NodeEndpoint"
 * import * as ProxyProtocol from "effect-transport/server/ProxyProtocol"
 * import * as Server from "effect-transport/server/Server"
 *
 * // Such as haproxy:tls\:443\:privateKey=key.pem\:certKey=cert.pem
 * export const echo = (description: string) =>
 *   Effect.scoped(Effect.gen(function*() {
 *     const endpoint = yield* Endpoint.parseServer(description)
 *     const isProxied = endpoint._tag === "HaproxyServer"
 *     const { listen, secure } = yield* NodeEndpoint.server(isProxied ? endpoint.server : endpoint)
 *     const header = isProxied ? ProxyProtocol.read({ trusted: endpoint.trusted }) : NetworkLayer.identity
 *     return yield* Server.serve(yield* listen, (accepted) =>
 *       header(accepted).pipe(
 *         Effect.flatMap(secure),
 *         Effect.flatMap(({ forEach, write }) => forEach(write))
 *       ))
 *   }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const server = (
  endpoint: Exclude<Endpoint.ServerEndpoint, Endpoint.HaproxyServer>
): Effect.Effect<Server, CredentialError> => {
  const listen = Network.listen(endpoint.address, {
    backlog: endpoint.backlog,
    mode: endpoint._tag === "UnixServer" ? endpoint.mode : undefined
  })
  return Effect.map(accepting(endpoint), (secure) => ({ listen, secure }))
}

/**
 * Reads and checks the files of a client. Fails with the one that cannot be used.
 *
 * The deadline of the description goes before the one in the options, and is for the handshake as well.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Endpoint from "effect-transport/Endpoint"
 * import * as NodeEndpoint from "effect-transport/node/NodeEndpoint"
 *
 * export const greeting = Effect.scoped(Effect.gen(function*() {
 *   const endpoint = yield* Endpoint.parseClient("tls:imap.example.org:993:trustRoots=roots.pem:timeout=5")
 *   const { connector } = yield* NodeEndpoint.client(endpoint)
 *   const transport = yield* connector.connect
 *   return yield* transport.pull
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const client = (
  endpoint: Endpoint.ClientEndpoint,
  options: Connector.Options = {}
): Effect.Effect<Client, CredentialError> => {
  const described = endpoint._tag === "TlsClient" ? new Endpoint.TcpClient(endpoint) : endpoint
  const carrier = Connector.fromEndpoint(described, options)
  return Effect.map(
    dialling(endpoint, endpoint.timeout ?? options.timeout),
    (secure) => ({ connector: Connector.layered(carrier, secure), carrier, secure })
  )
}

// -----------------------------------------------------------------------------
// TLS
// -----------------------------------------------------------------------------

const accepting = (endpoint: Endpoint.ServerEndpoint): Effect.Effect<Secure, CredentialError> => {
  if (endpoint._tag !== "TlsServer") return Effect.succeed(NetworkLayer.identity)
  const { certificate, privateKey, trustRoots } = endpoint
  return Effect.map(
    contextOf({
      // Without a certKey it is in the same file.
      certificate: { key: certificate === privateKey ? "privateKey" : "certKey", path: certificate },
      privateKey: fileOf("privateKey", privateKey),
      trustRoots: fileOf("trustRoots", trustRoots)
    }),
    (context) => Tls.server({ context, clientCertificate: trustRoots === undefined ? undefined : "required" })
  )
}

const dialling = (
  endpoint: Endpoint.ClientEndpoint,
  timeout: Duration.DurationInput | undefined
): Effect.Effect<Secure, CredentialError> => {
  if (endpoint._tag !== "TlsClient") return Effect.succeed(NetworkLayer.identity)
  const { certificate, host, privateKey, serverName, trustRoots } = endpoint
  return Effect.map(
    contextOf({
      certificate: fileOf("certificate", certificate),
      privateKey: fileOf("privateKey", privateKey),
      trustRoots: fileOf("trustRoots", trustRoots)
    }),
    (context) => Tls.client({ context, serverName: serverName ?? host, timeout })
  )
}

// -----------------------------------------------------------------------------
// files
// -----------------------------------------------------------------------------

/** By which key the description has a file, and where it is. */
interface File {
  readonly key: string
  readonly path: string
}

const fileOf = (key: string, path: string | undefined): File | undefined =>
  path === undefined ? undefined : { key, path }

type Files = { readonly [Part in Exclude<Tls.InvalidCredentials["part"], "ciphers">]: File | undefined }

const contextOf = (files: Files): Effect.Effect<Tls.Context, CredentialError> =>
  Effect.gen(function*() {
    const { certificate, privateKey, trustRoots } = files
    const identity = certificate === undefined || privateKey === undefined
      ? undefined
      : yield* Tls.identityFromFiles({ certificate: certificate.path, privateKey: privateKey.path })
    const roots = trustRoots === undefined ? undefined : yield* Tls.trustRootsFromFile(trustRoots.path)
    const context = yield* Tls.context({ identity, trustRoots: roots })
    if (certificate !== undefined && identity !== undefined) yield* warnOfExpired(certificate, identity.certificate)
    return context
  }).pipe(Effect.mapError((error) => inFile(files, error)))

const inFile = (files: Files, error: Tls.InvalidCredentials): CredentialError => {
  const { cause, code, part, reason } = error
  const file = part === "ciphers" ? undefined : files[part]
  if (file === undefined) return error
  return new InvalidCredentialFile({
    key: file.key,
    path: path.resolve(file.path),
    reason: reasonIn(files, file, reason),
    code,
    cause
  })
}

const reasonIn = ({ certificate }: Files, { key }: File, reason: string): string => {
  if (reason === noCertificate && key === "privateKey") return `${reason}; name the file of one with certKey=FILE`
  // A description has no place for a passphrase.
  if (reason === encrypted) return "is encrypted; write a copy that is not, with openssl pkey -in FILE -out FILE"
  if (reason !== mismatched || certificate === undefined) return reason
  return `does not belong to the first certificate of ${path.resolve(certificate.path)}`
}

const warnOfExpired = ({ path }: File, certificate: Uint8Array) =>
  Effect.gen(function*() {
    const { validTo } = new X509Certificate(certificate)
    if (new Date(validTo).getTime() >= (yield* Clock.currentTimeMillis)) return
    yield* Effect.logWarning(`The certificate ${path} has expired, on ${validTo}`)
  })
