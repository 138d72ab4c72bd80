/**
 * What a TLS socket knows of its peer and has agreed on with it, as plain values: Node's socket forgets it when it is destroyed.
 *
 * @internal
 */
import type { X509Certificate } from "node:crypto"
import type { TLSSocket } from "node:tls"
import type { Info, Session } from "../Tls.ts"
import type { Certificate } from "../TlsContext.ts"

const certificate = (x509: X509Certificate): Certificate => ({
  subject: x509.subject ?? "",
  issuer: x509.issuer ?? "",
  names: x509.subjectAltName?.split(", ") ?? [],
  serialNumber: x509.serialNumber,
  fingerprint: x509.fingerprint256,
  validFrom: new Date(x509.validFrom),
  validTo: new Date(x509.validTo)
})

/** The peer's own certificate first, then its issuers as far as they are known. */
export const chainOf = (socket: TLSSocket | undefined): ReadonlyArray<Certificate> => {
  const chain: Array<Certificate> = []
  let x509 = socket?.getPeerX509Certificate()
  while (x509 !== undefined && !chain.some(({ fingerprint }) => fingerprint === x509!.fingerprint256)) {
    chain.push(certificate(x509))
    x509 = x509.issuerCertificate
  }
  return chain
}

export const negotiated = (socket: TLSSocket, resumable?: Session): Info => ({
  protocol: socket.getProtocol() ?? "",
  cipher: socket.getCipher().standardName,
  alpn: socket.alpnProtocol || undefined,
  serverName: (socket as { readonly servername?: string | false | null }).servername || undefined,
  // A client's ticket has only the first of them in it.
  peerCertificates: socket.isSessionReused() && resumable ? resumable.peerCertificates : chainOf(socket),
  authorized: socket.authorized,
  authorizationError: socket.authorizationError ? String(socket.authorizationError) : undefined,
  resumed: socket.isSessionReused(),
  session: () => undefined
})
