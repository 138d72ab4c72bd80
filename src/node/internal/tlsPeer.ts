/**
 * What a TLS socket knows of its peer, as plain values: Node's socket forgets it when it is destroyed.
 *
 * @internal
 */
import type { X509Certificate } from "node:crypto"
import type { TLSSocket } from "node:tls"
import type { Certificate } from "../Tls.ts"

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
