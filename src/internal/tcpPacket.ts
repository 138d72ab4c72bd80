/**
 * TCP segments as they stand on the wire, with IPv4 or IPv6 around them: for captures.
 *
 * @internal
 */
import ipaddr from "ipaddr.js"
import type { TcpAddress } from "../Address.ts"
import { concat } from "./bytes.ts"

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

/** The bytes of an address: 4 or 16. A zone has no place in a packet. */
export const addressBytes = ({ hostWithoutZone }: TcpAddress): Uint8Array =>
  Uint8Array.from(ipaddr.parse(hostWithoutZone).toByteArray())

/** RFC 1071: of 16-bit words, the last of which may lack a byte. */
const sum = (bytes: Uint8Array): number => {
  let total = 0
  for (let at = 0; at < bytes.length; at += 2) total += bytes[at]! << 8 | (bytes[at + 1] ?? 0)
  return total
}

const checksum = (total: number): number => {
  let folded = total
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16)
  return ~folded & 0xffff
}

const segmentOf = (packet: TcpPacket): Uint8Array => {
  const { options = new Uint8Array(0), payload } = packet
  const headerLength = 20 + options.length
  const segment = new Uint8Array(headerLength + payload.length)
  const view = new DataView(segment.buffer)
  view.setUint16(0, packet.source.port)
  view.setUint16(2, packet.destination.port)
  view.setUint32(4, packet.sequence)
  view.setUint32(8, packet.ack ? packet.acknowledgement : 0)
  view.setUint8(12, headerLength << 2)
  view.setUint8(13, (packet.fin ? 1 : 0) | (packet.syn ? 2 : 0) | (packet.rst ? 4 : 0) | (packet.ack ? 16 : 0))
  view.setUint16(14, packet.window)
  segment.set(options, 20)
  segment.set(payload, headerLength)
  return segment
}

const ipv4Header = (source: Uint8Array, destination: Uint8Array, length: number, identification: number) => {
  const header = new Uint8Array(20)
  const view = new DataView(header.buffer)
  view.setUint8(0, 0x45)
  view.setUint16(2, 20 + length)
  view.setUint16(4, identification)
  // Not to be fragmented.
  view.setUint16(6, 0x4000)
  view.setUint8(8, hopLimit)
  view.setUint8(9, tcp)
  header.set(source, 12)
  header.set(destination, 16)
  view.setUint16(10, checksum(sum(header)))
  return header
}

const ipv6Header = (source: Uint8Array, destination: Uint8Array, length: number) => {
  const header = new Uint8Array(40)
  const view = new DataView(header.buffer)
  view.setUint8(0, 0x60)
  view.setUint16(4, length)
  view.setUint8(6, tcp)
  view.setUint8(7, hopLimit)
  header.set(source, 8)
  header.set(destination, 24)
  return header
}

export const tcpPacket = (packet: TcpPacket): Uint8Array => {
  if (packet.payload.length > maxPayload) {
    throw new RangeError(`A packet can carry ${maxPayload} bytes at most, but has ${packet.payload.length}`)
  }
  const source = addressBytes(packet.source)
  const destination = addressBytes(packet.destination)
  const segment = segmentOf(packet)
  // With the pseudo-header of RFC 9293 §3.1, which both versions of IP have.
  const total = sum(source) + sum(destination) + tcp + segment.length + sum(segment)
  new DataView(segment.buffer).setUint16(16, checksum(total))
  return concat([
    source.length === 4
      ? ipv4Header(source, destination, segment.length, packet.identification ?? 0)
      : ipv6Header(source, destination, segment.length),
    segment
  ])
}
