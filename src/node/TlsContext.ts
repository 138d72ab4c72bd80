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
import { createPrivateKey, X509Certificate } from "node:crypto"
import * as fs from "node:fs/promises"
import * as tls from "node:tls"
import { systemFailure } from "../ConnectionError.ts"
import { encrypted, mismatched, noCertificate } from "./internal/credentials.ts"

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

const subject = {
  certificate: "The certificate",
  privateKey: "The private key",
  trustRoots: "A trust root",
  ciphers: "The list of ciphers"
}

/**
 * A certificate, a key or a setting that cannot be used: a file that is not there or not PEM, a key that belongs to another
 * certificate.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidCredentials extends Data.TaggedError("InvalidCredentials")<{
  readonly part: keyof typeof subject
  /** What is wrong with it: `does not belong to the certificate`. */
  readonly reason: string
  /** `ENOENT`, `ERR_OSSL_PEM_NO_START_LINE`. */
  readonly code: string | undefined
  readonly cause: unknown
}> {
  override get message() {
    return `${subject[this.part]} for TLS ${this.reason}.`
  }
}

// -----------------------------------------------------------------------------
// keys and trust
// -----------------------------------------------------------------------------

const pem = (value: Pem): string | Buffer =>
  Redacted.isRedacted(value) ? Redacted.value(value) : typeof value === "string" ? value : Buffer.from(value)

const notPem: Readonly<Record<string, string>> = {
  certificate: noCertificate,
  privateKey: "is no private key in PEM, which begins with -----BEGIN PRIVATE KEY-----",
  trustRoots: noCertificate
}

const because: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "is not for this user to read",
  EISDIR: "is a directory",
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: mismatched,
  ERR_OSSL_BAD_DECRYPT: encrypted,
  ERR_MISSING_PASSPHRASE: encrypted,
  // OpenSSL asks for the passphrase.
  ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED: encrypted,
  ERR_SSL_NO_CIPHER_MATCH: "has no cipher that OpenSSL knows, see openssl-ciphers(1)"
}

/** What OpenSSL says where it finds no PEM: of certificates, and of keys. */
const isNoPem = (code: string | undefined) => code === "ERR_OSSL_PEM_NO_START_LINE" || code === "ERR_OSSL_UNSUPPORTED"

const invalid = (part: InvalidCredentials["part"]) => (cause: unknown) => {
  const { code } = systemFailure(cause)
  const reason = because[code ?? ""] ?? (isNoPem(code) ? notPem[part] : undefined)
  const said = cause instanceof Error ? cause.message : String(cause)
  return new InvalidCredentials({ part, reason: reason ?? `cannot be used: ${said}`, code, cause })
}

/**
 * Reads and checks keys, certificates and trust roots. It costs about two milliseconds: make one for many connections.
 *
 * @since 0.1.0
 * @category keys and trust
 */
export const context = (options: ContextOptions = {}): Effect.Effect<Context, InvalidCredentials> =>
  Effect.suspend(() => {
    const { ciphers, identity, maxVersion, trustRoots } = options
    const roots = trustRoots === undefined ? undefined : [trustRoots].flat().map(pem)
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
    // OpenSSL passes over what is no certificate, and over all that comes behind it.
    const checkRoots = () =>
      roots?.forEach((root) => (String(root).match(certificates) ?? [""]).forEach((one) => new X509Certificate(one)))
    // It keeps a key of another kind for another certificate, which never comes.
    const checkKey = () => {
      if (identity === undefined) return
      const key = createPrivateKey({ key: pem(identity.privateKey), passphrase: resolved.passphrase })
      if (!new X509Certificate(pem(identity.certificate)).checkPrivateKey(key)) throw mismatch
    }
    return Effect.try({
      try: () => {
        checkRoots()
        checkKey()
        return { [ContextTypeId]: resolved, secureContext: tls.createSecureContext(resolved) }
      },
      // It does not name the part that it cannot use: it gets them one after the other.
      catch: (cause) =>
        failureOf("trustRoots", checkRoots) ??
          failureOf("certificate", () => tls.createSecureContext({ cert: resolved.cert })) ??
          failureOf("privateKey", checkKey) ??
          invalid("ciphers")(cause)
    })
  })

/** Those in a file, also one that is cut off. */
const certificates = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(?:[^]*?-----END [^-]*-----|[^]*$)/g

const mismatch = Object.assign(new Error("The key is another certificate's"), {
  code: "ERR_OSSL_X509_KEY_VALUES_MISMATCH"
})

const failureOf = (part: InvalidCredentials["part"], take: () => void): InvalidCredentials | undefined => {
  try {
    take()
    return undefined
  } catch (cause) {
    return invalid(part)(cause)
  }
}

const contentOf = (part: InvalidCredentials["part"], path: string): Effect.Effect<Uint8Array, InvalidCredentials> =>
  Effect.tryPromise({ try: () => fs.readFile(path), catch: invalid(part) })

/**
 * Reads an identity from two PEM files. What is in them `context` checks.
 *
 * @since 0.1.0
 * @category keys and trust
 */
export const identityFromFiles = (paths: {
  readonly certificate: string
  readonly privateKey: string
  readonly passphrase?: string | Redacted.Redacted<string> | undefined
}): Effect.Effect<Identity & { readonly certificate: Uint8Array }, InvalidCredentials> =>
  Effect.gen(function*() {
    const certificate = yield* contentOf("certificate", paths.certificate)
    // A pipe (`<(…)`, /dev/stdin) can be read once.
    const privateKey = paths.privateKey === paths.certificate
      ? certificate
      : yield* contentOf("privateKey", paths.privateKey)
    return { certificate, privateKey, passphrase: paths.passphrase }
  })

/**
 * Reads trust roots from a PEM file. What is in it `context` checks.
 *
 * @since 0.1.0
 * @category keys and trust
 */
export const trustRootsFromFile = (path: string): Effect.Effect<Uint8Array, InvalidCredentials> =>
  contentOf("trustRoots", path)

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
