/**
 * The extensions in a header of version 2 of the PROXY protocol.
 *
 * @internal
 */
import { InvalidFrame } from "../../FrameError.ts"
import { concat } from "../../internal/bytes.ts"
import type { Extension, Other, Tls } from "../ProxyHeader.ts"
import { crc32c } from "./crc32c.ts"
import type { Tlv } from "./tlv.ts"
import { readTlvs, writeTlv } from "./tlv.ts"
import { isWellFormed } from "./utf8.ts"

const alpn = 0x01
const authority = 0x02
const checksum = 0x03
const padding = 0x04
const uniqueId = 0x05
const tls = 0x20
const namespace = 0x30
const registered: ReadonlyArray<number> = [alpn, authority, checksum, padding, uniqueId, tls, namespace]

/** The texts that TLS has, by their types. */
const tlsTexts = [
  [0x21, "version"],
  [0x22, "commonName"],
  [0x23, "cipher"],
  [0x24, "signatureAlgorithm"],
  [0x25, "keyAlgorithm"]
] as const

const maxUniqueId = 128

/** Of a whole header, from `from` on; its checksum is right if it has one. */
export const read = (header: Uint8Array, from: number): ReadonlyArray<Extension> | InvalidFrame => {
  const tlvs = readTlvs(header, from)
  if (tlvs instanceof InvalidFrame) return tlvs
  const extensions: Array<Extension> = []
  for (const tlv of tlvs) {
    const extension = tlv.type === checksum ? verified(header, tlv) : readOne(tlv)
    if (extension instanceof InvalidFrame) return extension
    extensions.push(extension)
  }
  return extensions
}

export const wrongChecksum = "its checksum is wrong"

const verified = (header: Uint8Array, { at, value }: Tlv): Extension | InvalidFrame => {
  if (value.length !== 4) return new InvalidFrame({ reason: `its checksum has ${value.length} bytes, not 4` })
  return new DataView(header.buffer, header.byteOffset + at).getUint32(0) === crc32c(header, at)
    ? { _tag: "Checksum" }
    : new InvalidFrame({ reason: wrongChecksum })
}

const readOne = ({ type, value }: Tlv): Extension | InvalidFrame => {
  switch (type) {
    case alpn:
      return { _tag: "Alpn", protocol: value }
    case authority:
      return named("Authority", value)
    case padding:
      return { _tag: "Padding", length: value.length }
    case uniqueId:
      return value.length > maxUniqueId ? longId(value) : { _tag: "UniqueId", id: value }
    case tls:
      return readTls(value)
    case namespace:
      return named("Namespace", value)
    default:
      return { _tag: "Other", type, value }
  }
}

const longId = (id: Uint8Array) =>
  new InvalidFrame({ reason: `its unique id has ${id.length} bytes, and may have ${maxUniqueId}` })

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textOf = (what: string, value: Uint8Array): string | InvalidFrame => {
  try {
    return utf8.decode(value)
  } catch (cause) {
    return new InvalidFrame({ reason: `its ${what} is not UTF-8`, cause })
  }
}

const named = (_tag: "Authority" | "Namespace", value: Uint8Array): Extension | InvalidFrame => {
  const name = textOf(_tag.toLowerCase(), value)
  return name instanceof InvalidFrame ? name : { _tag, name }
}

const readTls = (value: Uint8Array): Tls | InvalidFrame => {
  if (value.length < 5) return new InvalidFrame({ reason: `its extension about TLS has ${value.length} bytes, not 5` })
  const tlvs = readTlvs(value, 5)
  if (tlvs instanceof InvalidFrame) return tlvs
  const texts: { -readonly [K in typeof tlsTexts[number][1]]: string | undefined } = {
    version: undefined,
    commonName: undefined,
    cipher: undefined,
    signatureAlgorithm: undefined,
    keyAlgorithm: undefined
  }
  const others: Array<Other> = []
  for (const { type, value } of tlvs) {
    const key = tlsTexts.find(([known]) => known === type)?.[1]
    if (key === undefined) {
      others.push({ _tag: "Other", type, value })
      continue
    }
    const text = textOf(key, value)
    if (text instanceof InvalidFrame) return text
    texts[key] = text
  }
  const client = value[0]!
  return {
    _tag: "Tls",
    connected: (client & 1) !== 0,
    certificate: (client & 2) !== 0,
    sessionCertificate: (client & 4) !== 0,
    verify: new DataView(value.buffer, value.byteOffset).getUint32(1),
    ...texts,
    others
  }
}

/** With zeros where the checksum is to be. */
export const write = (extensions: ReadonlyArray<Extension>): Uint8Array | InvalidFrame => {
  if (extensions.filter(({ _tag }) => _tag === "Checksum").length > 1) {
    return new InvalidFrame({ reason: "it has more than one checksum" })
  }
  const parts: Array<Uint8Array> = [new Uint8Array(0)]
  for (const extension of extensions) {
    const part = writeOne(extension)
    if (part instanceof InvalidFrame) return part
    parts.push(part)
  }
  return concat(parts)
}

const text = new TextEncoder()

const writeText = (type: number, what: string, value: string): Uint8Array | InvalidFrame =>
  isWellFormed(value) ? writeTlv(type, text.encode(value)) : new InvalidFrame({ reason: `its ${what} is not UTF-8` })

const isWhole = (value: number, most: number): boolean => Number.isInteger(value) && value >= 0 && value <= most

const writePadding = (length: number): Uint8Array | InvalidFrame =>
  isWhole(length, 0xffff)
    ? writeTlv(padding, new Uint8Array(length))
    : new InvalidFrame({ reason: `its padding has ${length} bytes, and may have 0 to 65535` })

const writeOne = (extension: Extension): Uint8Array | InvalidFrame => {
  switch (extension._tag) {
    case "Alpn":
      return writeTlv(alpn, extension.protocol)
    case "Authority":
      return writeText(authority, "authority", extension.name)
    case "Checksum":
      return writeTlv(checksum, new Uint8Array(4))
    case "Padding":
      return writePadding(extension.length)
    case "UniqueId":
      return extension.id.length > maxUniqueId ? longId(extension.id) : writeTlv(uniqueId, extension.id)
    case "Tls":
      return writeTls(extension)
    case "Namespace":
      return writeText(namespace, "namespace", extension.name)
    case "Other":
      return writeOther(extension, registered)
  }
}

const writeOther = ({ type, value }: Other, taken: ReadonlyArray<number>): Uint8Array | InvalidFrame =>
  isWhole(type, 0xff) && !taken.includes(type)
    ? writeTlv(type, value)
    : new InvalidFrame({ reason: `${type} is no type of another extension` })

const writeTls = (extension: Tls): Uint8Array | InvalidFrame => {
  if (!isWhole(extension.verify, 0xffffffff)) {
    return new InvalidFrame({ reason: `its result of verifying, ${extension.verify}, is no number of 32 bits` })
  }
  const fixed = new Uint8Array(5)
  fixed[0] = (extension.connected ? 1 : 0) | (extension.certificate ? 2 : 0) | (extension.sessionCertificate ? 4 : 0)
  new DataView(fixed.buffer).setUint32(1, extension.verify)
  const parts: Array<Uint8Array> = [fixed]
  for (const [type, key] of tlsTexts) {
    const value = extension[key]
    if (value === undefined) continue
    const part = writeText(type, key, value)
    if (part instanceof InvalidFrame) return part
    parts.push(part)
  }
  for (const other of extension.others) {
    const part = writeOther(other, tlsTexts.map(([type]) => type))
    if (part instanceof InvalidFrame) return part
    parts.push(part)
  }
  return writeTlv(tls, concat(parts))
}

/** Fills in the checksum of a header whose extensions begin at `from`. */
export const writeChecksum = (header: Uint8Array, from: number): void => {
  const tlvs = readTlvs(header, from)
  const field = tlvs instanceof InvalidFrame ? undefined : tlvs.find(({ type }) => type === checksum)
  if (field !== undefined) new DataView(header.buffer).setUint32(field.at, crc32c(header, field.at))
}
