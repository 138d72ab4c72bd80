/**
 * Captures as Wireshark and tcpdump read them: the blocks of pcapng (draft-ietf-opsawg-pcapng), in network byte order.
 *
 * A capture is a section header, the interfaces, and packets in the order of their time. Every block is whole in itself: what
 * has been written so far can be read at any moment.
 *
 * @internal
 */
import { concat } from "./bytes.ts"

/** LINKTYPE_RAW: packets begin with an IP header, of either version. */
const rawIp = 101

const block = (type: number, ...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const body = concat(parts)
  const length = 12 + body.length
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, type)
  view.setUint32(4, length)
  bytes.set(body, 8)
  // Again at the end, so that a file can be read backwards.
  view.setUint32(length - 4, length)
  return bytes
}

const words = (...values: ReadonlyArray<number>): Uint8Array => {
  const bytes = new Uint8Array(values.length * 4)
  const view = new DataView(bytes.buffer)
  values.forEach((value, index) => view.setUint32(index * 4, value))
  return bytes
}

const padded = (bytes: Uint8Array): Uint8Array => {
  const result = new Uint8Array((bytes.length + 3) & ~3)
  result.set(bytes)
  return result
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** An option of a block, and a record of a name resolution block: both are a code, a length and a value. */
const field = (code: number, value: Uint8Array): Uint8Array => {
  if (value.length > 0xffff) {
    throw new RangeError(`Of ${value.length} bytes, but at most 65535 fit into a pcapng option`)
  }
  return concat([words(code * 0x10000 + value.length), padded(value)])
}

const endOfFields = words(0)

/** `application` is what wrote it. */
export const sectionHeader = (application: string): Uint8Array =>
  // Version 1.0, of a length that is not known.
  block(0x0a0d0d0a, words(0x1a2b3c4d, 0x00010000, 0xffffffff, 0xffffffff), field(4, text(application)), endOfFields)

/** Packets refer to interfaces by their place in the capture, from 0. Times are nanoseconds, packets begin with IP. */
export const interfaceDescription = (name: string): Uint8Array =>
  block(1, words(rawIp * 0x10000, 0), field(2, text(name)), field(9, Uint8Array.of(9)), endOfFields)

/** Names by the bytes of their addresses, which are shown instead if one asks for it. */
export const nameResolution = (names: Iterable<readonly [address: Uint8Array, name: string]>): Uint8Array =>
  block(
    4,
    ...[...names].map(([address, name]) => field(address.length === 4 ? 1 : 2, concat([address, text(`${name}\0`)]))),
    endOfFields
  )

export interface CapturedPacket {
  /** Where it was seen; the first one is 0. */
  readonly interface: number
  readonly direction: "in" | "out"
  /** Nanoseconds since 1970. */
  readonly at: bigint
  readonly bytes: Uint8Array
  readonly comment?: string | undefined
}

/** Written in place: there is one for each packet. */
export const enhancedPacket = ({ at, bytes, comment, direction, interface: seenAt }: CapturedPacket): Uint8Array => {
  const commented = comment === undefined ? undefined : field(1, text(comment))
  const fieldsAt = 28 + (bytes.length + 3 & ~3)
  const flagsAt = fieldsAt + (commented?.length ?? 0)
  const length = flagsAt + 16
  const result = new Uint8Array(length)
  const view = new DataView(result.buffer)
  view.setUint32(0, 6)
  view.setUint32(4, length)
  view.setUint32(8, seenAt)
  view.setBigUint64(12, at)
  view.setUint32(20, bytes.length)
  view.setUint32(24, bytes.length)
  result.set(bytes, 28)
  if (commented !== undefined) result.set(commented, fieldsAt)
  // The field of flags, 4 bytes long, and the end of the fields, which is 0.
  view.setUint32(flagsAt, 0x00020004)
  view.setUint32(flagsAt + 4, direction === "in" ? 1 : 2)
  view.setUint32(length - 4, length)
  return result
}
