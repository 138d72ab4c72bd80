/**
 * What `Endpoint` describes, made ready: files are read and checked, and TLS is a network layer.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as crypto from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import type { ConnectionLost, ListenError } from "../ConnectionError.ts"
import { systemFailure } from "../ConnectionError.ts"
import * as Connector from "../Connector.ts"
import * as Endpoint from "../Endpoint.ts"
import type { Listener } from "../Listener.ts"
import * as Network from "../Network.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import type { Transport } from "../Transport.ts"
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
    dialling(endpoint),
    (secure) => ({ connector: Connector.layered(carrier, secure), carrier, secure })
  )
}

// -----------------------------------------------------------------------------
// TLS
// -----------------------------------------------------------------------------

const accepting = (endpoint: Endpoint.ServerEndpoint): Effect.Effect<Secure, CredentialError> =>
  Effect.gen(function*() {
    if (endpoint._tag !== "TlsServer") return NetworkLayer.identity
    const { certificate, privateKey, trustRoots } = endpoint
    const identity = yield* identityOf({ key: "certKey", path: certificate }, privateKey)
    const roots = trustRoots === undefined ? undefined : yield* certificatesOf({ key: "trustRoots", path: trustRoots })
    const context = yield* Tls.context({ identity, trustRoots: roots })
    return Tls.server({ context, clientCertificate: roots === undefined ? undefined : "required" })
  })

const dialling = (endpoint: Endpoint.ClientEndpoint): Effect.Effect<Secure, CredentialError> =>
  Effect.gen(function*() {
    if (endpoint._tag !== "TlsClient") return NetworkLayer.identity
    const { certificate, host, privateKey, serverName, timeout, trustRoots } = endpoint
    const identity = certificate === undefined || privateKey === undefined
      ? undefined
      : yield* identityOf({ key: "certificate", path: certificate }, privateKey)
    const roots = trustRoots === undefined ? undefined : yield* certificatesOf({ key: "trustRoots", path: trustRoots })
    const context = yield* Tls.context({ identity, trustRoots: roots })
    return Tls.client({ context, serverName: serverName ?? host, timeout })
  })

// -----------------------------------------------------------------------------
// files
// -----------------------------------------------------------------------------

interface File {
  readonly key: string
  readonly path: string
}

const encrypted = "is encrypted; write a copy that is not, with openssl pkey -in FILE -out FILE"

const because: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "is not for this user to read",
  EISDIR: "is a directory",
  // It asks for a passphrase.
  ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED: encrypted,
  ERR_MISSING_PASSPHRASE: encrypted
}

const invalid = ({ key, path: relative }: File, otherwise: string) => (cause: unknown) => {
  const { code } = systemFailure(cause)
  return new InvalidCredentialFile({
    key,
    path: path.resolve(relative),
    reason: because[code ?? ""] ?? otherwise,
    code,
    cause
  })
}

const contentOf = (file: File) =>
  Effect.tryPromise({ try: () => fs.readFile(file.path, "utf8"), catch: invalid(file, "cannot be read") })

const certificatesOf = (file: File) =>
  Effect.tap(contentOf(file), (pem) =>
    Effect.try({
      try: () => new crypto.X509Certificate(pem),
      catch: invalid(file, "has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----")
    }))

const identityOf = (certificateFile: File, privateKeyPath: string) =>
  Effect.gen(function*() {
    const privateKeyFile = { key: "privateKey", path: privateKeyPath }
    const certificate = yield* certificatesOf(certificateFile)
    const privateKey = yield* contentOf(privateKeyFile)
    const key = yield* Effect.try({
      try: () => crypto.createPrivateKey(privateKey),
      catch: invalid(privateKeyFile, "has no private key in PEM, which begins with -----BEGIN PRIVATE KEY-----")
    })
    const own = new crypto.X509Certificate(certificate)
    if (!own.checkPrivateKey(key)) {
      const belongs = `does not belong to the first certificate of ${path.resolve(certificateFile.path)}`
      return yield* Effect.fail(invalid(privateKeyFile, belongs)(undefined))
    }
    if (new Date(own.validTo).getTime() < (yield* Clock.currentTimeMillis)) {
      yield* Effect.logWarning(`The certificate ${certificateFile.path} has expired, on ${own.validTo}`)
    }
    return { certificate, privateKey }
  })
