/**
 * Whether bytes are UTF-8, and whether strings can be.
 *
 * @internal
 */

/** No half of a surrogate pair is in it. In the standard library's types only from ES2024 on. */
export const isWellFormed = (text: string): boolean =>
  (text as string & { readonly isWellFormed: () => boolean }).isWellFormed()

/**
 * RFC 3629: no overlong forms, no halves of surrogate pairs, nothing above U+10FFFF. For strings so short that a call of
 * `TextDecoder`, 100 ns, costs more than they do.
 */
export const isUtf8 = (bytes: Uint8Array, from: number, to: number): boolean => {
  let at = from
  // Most strings are ASCII: 0.5 ns a byte, and 1 ns from the first other one on.
  while (at + 4 <= to && (bytes[at]! | bytes[at + 1]! | bytes[at + 2]! | bytes[at + 3]!) < 0x80) at += 4
  while (at < to) {
    const first = bytes[at]!
    if (first < 0x80) at++
    else if (first < 0xe0) {
      if (first < 0xc2 || at + 2 > to || !continues(bytes[at + 1]!)) return false
      at += 2
    } else if (first < 0xf0) {
      if (at + 3 > to || !continues(bytes[at + 1]!) || !continues(bytes[at + 2]!)) return false
      const bits = (first & 0x0f) << 6 | bytes[at + 1]! & 0x3f
      if (bits < 0x20 || (bits >= 0x360 && bits < 0x380)) return false
      at += 3
    } else {
      if (at + 4 > to || !continues(bytes[at + 1]!) || !continues(bytes[at + 2]!) || !continues(bytes[at + 3]!)) {
        return false
      }
      const bits = (first & 0x0f) << 6 | bytes[at + 1]! & 0x3f
      if (bits < 0x10 || bits >= 0x110) return false
      at += 4
    }
  }
  return true
}

const continues = (byte: number): boolean => byte >> 6 === 0b10
