/**
 * What somebody at a terminal can try about a failure of TLS: here it is known what descriptions of endpoints can say.
 *
 * @internal
 */
import * as Tls from "../node/Tls.ts"

const trust = "If it is to be trusted, name the certificate of its issuer: trustRoots=FILE."

const named = "Connect to one of these names, or say which: serverName=NAME."

const unnamed = "What it is for has to be in its subjectAltName; its CN does not count."

/** By the reasons of verify(1). */
const ofCertificate: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "Is this machine's clock right? Then its owner has to renew it.",
  CERT_NOT_YET_VALID: "Is this machine's clock right?",
  DEPTH_ZERO_SELF_SIGNED_CERT: trust,
  SELF_SIGNED_CERT_IN_CHAIN: trust,
  UNABLE_TO_GET_ISSUER_CERT: trust,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: trust,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: trust,
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: "The trustRoots of this server ask each client for one."
}

const ofHandshake: Readonly<Record<string, string>> = {
  unknown_ca: "It does not trust the certificate of this side, which may lack those of its issuers.",
  certificate_required: "It asks for a certificate of this side: certificate=FILE:privateKey=FILE.",
  ERR_SSL_WRONG_VERSION_NUMBER: "Does the other side speak TLS on this port?",
  ERR_SSL_HTTP_REQUEST: "Does the other side know that this port speaks TLS?"
}

/** A sentence, or nothing. */
export const advice = (failure: object): string | undefined => {
  if (failure instanceof Tls.HostnameMismatch) return failure.names.length === 0 ? unnamed : named
  if (failure instanceof Tls.CertificateRejected) return ofCertificate[failure.code]
  // In version 1.3 a client hears only behind the handshake what is wrong with its certificate.
  return failure instanceof Tls.HandshakeFailed || failure instanceof Tls.TlsFailed
    ? ofHandshake[failure.alert ?? failure.code ?? ""]
    : undefined
}
