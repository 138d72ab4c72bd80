/**
 * TCP segments as they stand on the wire, with IPv4 or IPv6 around them: for captures.
 *
 * @internal
 */
import ipaddr from "ipaddr.js"
import type { TcpAddress } from "../Address.ts"

export interface TcpPacket {
  readonly source: TcpAddress
  readonly destination: TcpAddress
  readonly syn?: boolean | undefined
  readonly ack?: boolean | undefined
  readonly fin?: boolean | undefined
  readonly rst?: boolean | undefined
  /** Modulo 2³², as is the acknowledgement. */
  readonly sequence: number
  readonly acknowledgement: number
  /** The field as it stands, at most 65535. */
  readonly window: number
  /** Whole words: 40 bytes at most. */
  readonly options?: Uint8Array | undefined
  /** `maxPayload` at most. */
  readonly payload: Uint8Array
  /** Tells IPv4 packets apart, modulo 2¹⁶. */
  readonly identification?: number | undefined
}

/** More does not fit beside the headers into a packet, which has at most 65535 bytes. */
export const maxPayload = 65535 - 20 - 60

const tcp = 6
const hopLimit = 64

/** What stands in a SYN: the maximum segment size (RFC 9293 §3.7.1), and by how many bits windows are shifted (RFC 7323 §2.2). */
export const handshakeOptions = (mss: number, windowShift: number): Uint8Array =>
  Uint8Array.of(2, 4, mss >> 8, mss & 0xff, 1, 3, 3, windowShift)

const parsed = new WeakMap<TcpAddress, Uint8Array>()

/** The bytes of an address, not to be changed: 4 or 16. A zone has no place in a packet. */
export const addressBytes = (address: TcpAddress): Uint8Array => {
  let bytes = parsed.get(address)
  if (bytes === undefined) {
    bytes = Uint8Array.from(ipaddr.parse(address.hostWithoutZone).toByteArray())
    parsed.set(address, bytes)
  }
  return bytes
}

/** RFC 1071: of 16-bit words, the last of which may lack a byte. */
const sum = (bytes: Uint8Array, from: number, to: number): number => {
  let total = 0
  const even = to - (to - from) % 2
  for (let at = from; at < even; at += 2) total += bytes[at]! << 8 | bytes[at + 1]!
  return even < to ? total + (bytes[even]! << 8) : total
}

const checksum = (total: number): number => {
  let folded = total
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16)
  return ~folded & 0xffff
}

/** Without addresses and checksum. */
const writeIpv4Header = (view: DataView, length: number, identification: number) => {
  view.setUint8(0, 0x45)
  view.setUint16(2, 20 + length)
  view.setUint16(4, identification)
  // Not to be fragmented.
  view.setUint16(6, 0x4000)
  view.setUint8(8, hopLimit)
  view.setUint8(9, tcp)
}

/** Without addresses. */
const writeIpv6Header = (view: DataView, length: number) => {
  view.setUint8(0, 0x60)
  view.setUint16(4, length)
  view.setUint8(6, tcp)
  view.setUint8(7, hopLimit)
}

/** Without options and checksum. */
const writeTcpHeader = (view: DataView, at: number, packet: TcpPacket, length: number) => {
  view.setUint16(at, packet.source.port)
  view.setUint16(at + 2, packet.destination.port)
  view.setUint32(at + 4, packet.sequence)
  view.setUint32(at + 8, packet.ack ? packet.acknowledgement : 0)
  view.setUint8(at + 12, length << 2)
  view.setUint8(at + 13, (packet.fin ? 1 : 0) | (packet.syn ? 2 : 0) | (packet.rst ? 4 : 0) | (packet.ack ? 16 : 0))
  view.setUint16(at + 14, packet.window)
}

export const tcpPacket = (packet: TcpPacket): Uint8Array => {
  const { options, payload } = packet
  if (payload.length > maxPayload) {
    throw new RangeError(`A packet can carry ${maxPayload} bytes at most, but has ${payload.length}`)
  }
  const source = addressBytes(packet.source)
  const destination = addressBytes(packet.destination)
  const ipLength = source.length === 4 ? 20 : 40
  const headerLength = 20 + (options?.length ?? 0)
  const length = headerLength + payload.length
  const bytes = new Uint8Array(ipLength + length)
  const view = new DataView(bytes.buffer)
  if (ipLength === 20) writeIpv4Header(view, length, packet.identification ?? 0)
  else writeIpv6Header(view, length)
  // The last of the header, in both versions.
  const addresses = ipLength - 2 * source.length
  bytes.set(source, addresses)
  bytes.set(destination, addresses + source.length)
  if (ipLength === 20) view.setUint16(10, checksum(sum(bytes, 0, 20)))
  writeTcpHeader(view, ipLength, packet, headerLength)
  if (options !== undefined) bytes.set(options, ipLength + 20)
  bytes.set(payload, ipLength + headerLength)
  // With the pseudo-header of RFC 9293 §3.1: the addresses, which stand right before the segment, protocol and length.
  view.setUint16(ipLength + 16, checksum(tcp + length + sum(bytes, addresses, bytes.length)))
  return bytes
}
