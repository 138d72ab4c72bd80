/**
 * What TLS can fail with. All of it is in `node/Tls` as well; this module takes nothing of Node.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import { hasProperty } from "effect/Predicate"
import * as Address from "../Address.ts"
import type { ConnectTimeout } from "../ConnectionError.ts"
import type { Certificate } from "./TlsContext.ts"

interface Ends {
  readonly localAddress: Address.Address
  readonly remoteAddress: Address.Address
}

interface Fault extends Ends {
  /** The fatal alert that the peer has sent (RFC 8446 §6.2): `handshake_failure`. `undefined`: this side found the fault. */
  readonly alert: string | undefined
  /** Node's code: `ERR_SSL_WRONG_VERSION_NUMBER`; `ECONNRESET` when the connection ended. */
  readonly code: string | undefined
  readonly cause: unknown
}

const cannot = ({ remoteAddress }: Ends, why: string): string =>
  `No TLS connection with ${Address.format(remoteAddress)}: ${why}.`

const subjectOf = ([certificate]: ReadonlyArray<Certificate>): string =>
  certificate === undefined ? "certificate" : `certificate of ${certificate.subject.replaceAll("\n", ", ")}`

// -----------------------------------------------------------------------------
// of the handshake
// -----------------------------------------------------------------------------

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

/** OpenSSL's own words; the message of its errors is a line of its log, with the places in its source. */
const reasonOf = (cause: unknown): unknown =>
  hasProperty(cause, "reason") ? cause.reason : cause instanceof Error ? cause.message : "?"

/**
 * The handshake failed in another way: no cipher suite or application protocol in common, a peer that refuses this side's
 * certificate, that does not speak TLS at all, or that ends the connection.
 *
 * @since 0.1.0
 * @category errors
 */
export class HandshakeFailed extends Data.TaggedError("HandshakeFailed")<Fault> {
  override get message() {
    return cannot(
      this,
      this.alert === undefined
        ? `the handshake failed${this.code === undefined ? "" : ` (${this.code})`}: ${reasonOf(this.cause)}`
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

// -----------------------------------------------------------------------------
// of an open connection
// -----------------------------------------------------------------------------

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
export class TlsFailed extends Data.TaggedError("TlsFailed")<Fault> {
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
