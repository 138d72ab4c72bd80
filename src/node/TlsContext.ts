/**
 * What TLS is spoken with: certificates and keys from files, from PEM or from `Config`, whom to trust, which versions. All
 * of it is in `node/Tls` as well.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { X509Certificate } from "node:crypto"
import * as fs from "node:fs/promises"
import * as tls from "node:tls"
import { systemFailure } from "../ConnectionError.ts"

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
 * A context, or an Effect that is run for each handshake: a `Ref` is one, in which keys are replaced while the program
 * runs. Connections that are open keep theirs.
 *
 * @since 0.1.0
 * @category models
 */
export type ContextSource<E = never, R = never> = Context | Effect.Effect<Context, E, R>

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

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

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

const invalid = (cause: unknown) => new InvalidCredentials({ code: systemFailure(cause).code, cause })

/**
 * Reads and checks keys, certificates and trust roots. It costs about a millisecond: make one for many connections.
 *
 * @since 0.1.0
 * @category keys and trust
 */
export const context = (options: ContextOptions = {}): Effect.Effect<Context, InvalidCredentials> =>
  Effect.try({
    try: () => {
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
    },
    catch: invalid
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
  const read = (path: string) => Effect.tryPromise({ try: () => fs.readFile(path), catch: invalid })
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
