/**
 * What `Uint8Array` lacks.
 *
 * @internal
 */

/** No bytes: one array for all. */
export const nothing: Uint8Array = new Uint8Array(0)

/** One array of all chunks; the chunk itself when there is only one. */
export const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  if (chunks.length === 1) return chunks[0]!
  let length = 0
  for (const chunk of chunks) length += chunk.length
  const bytes = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

/** The two one after the other; one of them itself if the other one is empty. */
export const append = (head: Uint8Array, tail: Uint8Array): Uint8Array =>
  head.length === 0 ? tail : tail.length === 0 ? head : concat([head, tail])

/**
 * Some of the bytes, not copied: a plain `Uint8Array` also of Node's `Buffer`, whose `slice` and `toString` are others. (Of a
 * `Buffer`, 42 ns and not `subarray`'s 49; else 42 and not 35.)
 */
export const view = (bytes: Uint8Array, from: number, to: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from)

/** Where `needle` first stands in `bytes`, or -1. `indexOf` of one byte is native; the rest is compared from there. */
export const indexOf = (bytes: Uint8Array, needle: Uint8Array): number => {
  const first = needle[0]!
  const last = bytes.length - needle.length
  for (let at = bytes.indexOf(first); at >= 0 && at <= last; at = bytes.indexOf(first, at + 1)) {
    let matched = 1
    while (matched < needle.length && bytes[at + matched] === needle[matched]) matched++
    if (matched === needle.length) return at
  }
  return -1
}
