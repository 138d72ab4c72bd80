/**
 * Values with a type of one byte and a length of two, network byte order, one after the other.
 *
 * @internal
 */
import { InvalidFrame } from "../../FrameError.ts"
import { view } from "../../internal/bytes.ts"

export interface Tlv {
  readonly type: number
  readonly value: Uint8Array
  /** Where the value begins. */
  readonly at: number
}

const headerLength = 3

/** All that stand from `from` to the end, which has to be the end of the last one. */
export const readTlvs = (bytes: Uint8Array, from: number): ReadonlyArray<Tlv> | InvalidFrame => {
  const tlvs: Array<Tlv> = []
  for (let next = from; next < bytes.length;) {
    const at = next + headerLength
    if (at > bytes.length) return new InvalidFrame({ reason: "it ends within the type and length of an extension" })
    next = at + (bytes[at - 2]! << 8 | bytes[at - 1]!)
    const type = bytes[at - headerLength]!
    if (next > bytes.length) {
      return new InvalidFrame({ reason: `it ends within its extension of type 0x${type.toString(16)}` })
    }
    tlvs.push({ type, value: view(bytes, at, next), at })
  }
  return tlvs
}

export const writeTlv = (type: number, value: Uint8Array): Uint8Array | InvalidFrame => {
  if (value.length > 0xffff) {
    return new InvalidFrame({ reason: `an extension has ${value.length} bytes, and at most 65535 fit into one` })
  }
  const bytes = new Uint8Array(headerLength + value.length)
  bytes.set([type, value.length >> 8, value.length & 0xff])
  bytes.set(value, headerLength)
  return bytes
}
