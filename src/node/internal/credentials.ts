/**
 * What is wrong with credentials, where it is said in other words of files: `InvalidCredentials.reason`.
 *
 * @internal
 */

export const noCertificate = "is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----"

export const encrypted = "is encrypted, and needs its passphrase"

export const mismatched = "does not belong to the certificate"
