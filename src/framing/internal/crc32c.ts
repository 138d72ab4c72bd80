/**
 * CRC-32C (Castagnoli), as in RFC 9260 appendix A (RFC 4960 appendix B): reflected, polynomial 0x1edc6f41.
 *
 * @internal
 */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? remainder >>> 1 ^ 0x82f63b78 : remainder >>> 1
  return remainder
})

/** Of the bytes, of which the four at `field` count as zeros: there the sum itself stands. */
export const crc32c = (bytes: Uint8Array, field = -4): number => {
  let sum = 0xffffffff
  for (let at = 0; at < bytes.length; at++) {
    const byte = at >= field && at < field + 4 ? 0 : bytes[at]!
    sum = table[(sum ^ byte) & 0xff]! ^ sum >>> 8
  }
  return ~sum >>> 0
}
