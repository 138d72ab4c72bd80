/**
 * Whether a peer is whom it has to be, and what is said of it if not.
 *
 * @internal
 */
import * as tls from "node:tls"
import { domainToASCII } from "node:url"
import { systemFailure } from "../../ConnectionError.ts"
import type { Transport } from "../../Transport.ts"
import type { TlsError } from "../TlsError.ts"
import { CertificateRejected, HandshakeFailed, HostnameMismatch, ProtocolVersion } from "../TlsError.ts"
import { alertOf } from "./tlsAlerts.ts"
import { chainOf } from "./tlsPeer.ts"

export type Ends = Pick<Transport<unknown>, "localAddress" | "remoteAddress">

export const endsOf = ({ localAddress, remoteAddress }: Ends): Ends => ({ localAddress, remoteAddress })

export const untrusted = (socket: tls.TLSSocket, ends: Ends): CertificateRejected | undefined =>
  socket.authorized ? undefined : new CertificateRejected({
    ...ends,
    code: String(socket.authorizationError ?? "UNSPECIFIED"),
    chain: chainOf(socket)
  })

/** As SNI (RFC 6066 §3) and certificates have it: in ASCII, and without the dot that makes it absolute. */
export const dnsNameOf = (serverName: string): string => {
  const ascii = /[^\x00-\x7f]/.test(serverName) ? domainToASCII(serverName) : ""
  return (ascii || serverName).replace(/\.$/, "")
}

/** Who resumes a session shows no certificate: that of the session, which was verified, was offered for this name only. */
export const rejected = (
  socket: tls.TLSSocket,
  serverName: string,
  ends: Ends
): CertificateRejected | HostnameMismatch | undefined => {
  const distrust = untrusted(socket, ends)
  if (distrust !== undefined || socket.isSessionReused()) return distrust
  if (isFor(dnsNameOf(serverName), socket.getPeerCertificate(true))) return undefined
  const chain = chainOf(socket)
  return new HostnameMismatch({ ...ends, serverName, names: chain[0]?.names ?? [], chain })
}

/** With `*` for a part of a label: `f*.example.org`. */
const partialWildcards = /(^|, )DNS:(?!\*\.)[^.,"]*\*[^,"]*(?=, |$)/g

/**
 * Without what Node takes for a name of the server, and RFC 9525 forbids: its common name, where there is no DNS name, and
 * wildcards for a part of a label.
 */
const isFor = (name: string, { subject, subjectaltname, ...certificate }: tls.PeerCertificate): boolean =>
  tls.checkServerIdentity(name, {
    ...certificate,
    subject: { ...subject, CN: "" },
    subjectaltname: subjectaltname?.replace(partialWildcards, "$1")
  } as tls.PeerCertificate) === undefined

/** OpenSSL's words for a peer that speaks only versions that this side does not. */
const versionCodes = /^ERR_SSL_(UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE|VERSION_TOO_LOW|WRONG_SSL_VERSION)$/

export const broken = (cause: unknown, socket: tls.TLSSocket | undefined, ends: Ends): TlsError => {
  const { code } = systemFailure(cause)
  const alert = alertOf(cause)
  const reason = code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE" ? code : socket?.authorizationError
  if (reason) return new CertificateRejected({ ...ends, code: String(reason), chain: chainOf(socket) })
  return alert === "protocol_version" || (code !== undefined && versionCodes.test(code))
    ? new ProtocolVersion({ ...ends, cause })
    : new HandshakeFailed({ ...ends, alert, code, cause })
}

/** One of the handshake itself, and none of the carrier, the context or the deadline. */
export const isHandshakeError = (error: unknown): boolean =>
  error instanceof CertificateRejected || error instanceof HostnameMismatch || error instanceof ProtocolVersion ||
  error instanceof HandshakeFailed
