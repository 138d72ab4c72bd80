import * as FastCheck from "effect/FastCheck"
import { createHash } from "node:crypto"

/** The bytes of an ASCII text. */
export const ascii = (text: string): Uint8Array => new TextEncoder().encode(text)

/** `bytes(3, 7)`: three bytes of value 7. */
export const bytes = (length: number, value = 0): Uint8Array => new Uint8Array(length).fill(value)

/** `counting(3, 7)`: 7, 8, 9, and so on, modulo 256. */
export const counting = (length: number, from = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (from + index) & 0xff)

export const joined = (chunks: Iterable<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat([...chunks]))

export const text = (chunks: Uint8Array | Iterable<Uint8Array>): string =>
  new TextDecoder().decode(chunks instanceof Uint8Array ? chunks : joined(chunks))

export const sha256 = (...chunks: ReadonlyArray<Uint8Array>): string => {
  const hash = createHash("sha256")
  for (const chunk of chunks) hash.update(chunk)
  return hash.digest("hex")
}

/** Chunks, also empty ones, and few different byte values, so that delimiters and coincidences come up. */
export const chunks: FastCheck.Arbitrary<Array<Uint8Array>> = FastCheck.array(
  FastCheck.uint8Array({ maxLength: 12, max: 3 }),
  { maxLength: 12 }
)

/** A way to cut any bytes into chunks: the lengths are used over and over. */
export const cuts: FastCheck.Arbitrary<ReadonlyArray<number>> = FastCheck.array(
  FastCheck.integer({ min: 1, max: 5 }),
  { minLength: 1, maxLength: 6 }
)

export const cut = (whole: Uint8Array, lengths: ReadonlyArray<number>): Array<Uint8Array> => {
  const result: Array<Uint8Array> = []
  for (let at = 0, next = 0; at < whole.length; next++) {
    const length = lengths[next % lengths.length]!
    result.push(whole.slice(at, at + length))
    at += length
  }
  return result
}
