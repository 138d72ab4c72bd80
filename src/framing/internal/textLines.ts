/**
 * Lines as strings: many at a time where that gives the same as one by one.
 *
 * A `TextDecoder` or `TextEncoder` costs 100 to 400 ns a call. All lines of a chunk decoded as one string, and split there,
 * take 26 to 38 ns for a line of 64 bytes, and 145 one by one; joined and encoded as one, 45 to 100, and 120 to 150.
 *
 * @internal
 */
import * as Either from "effect/Either"
import type { Encoder } from "../../Codec.ts"
import { contramapEither } from "../../Codec.ts"
import { InvalidFrame } from "../../FrameError.ts"
import { scanned } from "../../internal/scanned.ts"
import type { Several } from "./delimited.ts"
import { isWellFormed } from "./utf8.ts"

export interface Format {
  /** What ends lines, if there is one; otherwise LF does, also behind a CR that is no content. */
  readonly delimiter: string | undefined
  readonly keepDelimiter: boolean
  /** In bytes, without the delimiter. */
  readonly maxLength: number
  readonly invalid: "fail" | "replace"
}

const utf8 = new TextEncoder()
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const lenient = new TextDecoder("utf-8", { ignoreBOM: true })

const carriageReturn = 0x0d

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

/** `undefined` if they are not UTF-8. */
export const decoded = (bytes: Uint8Array, { invalid }: Format): string | undefined => {
  scanned.bytes += bytes.length
  if (invalid === "replace") return lenient.decode(bytes)
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

/** Undefined if the lines have to be decoded one by one. */
export const several = (format: Format): Several<string> | undefined => {
  if (!splitsAlike(format)) return undefined
  const { delimiter = "\n", keepDelimiter, maxLength } = format
  const delimiterBytes = utf8.encode(delimiter)
  const stripsReturn = format.delimiter === undefined && !keepDelimiter

  return {
    lastEnd: (bytes, from) => lastEnd(bytes, from, delimiterBytes),
    add: (bytes, lines) => {
      const text = decoded(bytes, format)
      if (text === undefined) return false
      // A character of a string is three bytes at most; if there are as many as bytes, each is one.
      const longest = text.length === bytes.length ? maxLength : maxLength / 3
      const split = text.split(delimiter)
      const mayEndInReturn = stripsReturn && text.includes("\r")
      const before = lines.length
      // Behind the last delimiter is nothing.
      for (let at = 0; at < split.length - 1; at++) {
        let line = split[at]!
        if (mayEndInReturn && line.charCodeAt(line.length - 1) === carriageReturn) line = line.slice(0, -1)
        if (line.length > longest) {
          lines.length = before
          return false
        }
        lines.push(keepDelimiter ? line + delimiter : line)
      }
      return true
    }
  }
}

/**
 * Whether text can be split where bytes can. In UTF-8 no character is found within another one, nor in bytes that are
 * replaced; only U+FFFD is found where it was not. And to know where the last line ends without the others, no delimiter may
 * overlap the next one.
 */
const splitsAlike = ({ delimiter = "\n", invalid }: Format): boolean => {
  for (let at = 1; at < delimiter.length; at++) {
    if (delimiter.startsWith(delimiter.slice(at))) return false
  }
  return invalid === "fail" || !delimiter.includes("\uFFFD")
}

/** Where the last delimiter ends that stands behind `from`; `from` if none does. */
const lastEnd = (bytes: Uint8Array, from: number, delimiter: Uint8Array): number => {
  const last = delimiter.length - 1
  let at = bytes.lastIndexOf(delimiter[last]!)
  while (at >= from + last) {
    let matched = 0
    while (matched < last && bytes[at - last + matched] === delimiter[matched]) matched++
    if (matched === last) break
    at = bytes.lastIndexOf(delimiter[last]!, at - 1)
  }
  const end = at < from + last ? from : at + 1
  scanned.bytes += bytes.length - end
  return end
}

// -----------------------------------------------------------------------------
// encoding
// -----------------------------------------------------------------------------

export const encoder = <E>(lines: Encoder<Uint8Array, E>, format: Format): Encoder<string, E | InvalidFrame> => {
  const oneByOne = contramapEither(lines, (line: string) =>
    format.invalid === "replace" || isWellFormed(line)
      ? Either.right(utf8.encode(line))
      : Either.left(new InvalidFrame({ reason: "it has one half of a surrogate pair" })))
  return {
    encode: (frames) => {
      const bytes = joined(frames, format)
      return bytes === undefined ? oneByOne.encode(frames) : Either.right(bytes)
    }
  }
}

/** The lines that the bytes are; `undefined` if one of them may not be encoded, or not like the others. */
const joined = (lines: ReadonlyArray<string>, format: Format): Uint8Array | undefined => {
  if (lines.length === 0) return undefined
  const { delimiter = "\n", keepDelimiter, maxLength } = format
  const added = keepDelimiter ? "" : delimiter
  const stripsReturn = format.delimiter === undefined && !keepDelimiter
  const text = lines.join(added) + added
  let at = 0
  for (const line of lines) {
    const found = text.indexOf(delimiter, at)
    const end = at + line.length + added.length
    if (found + delimiter.length !== end || (found - at) * 3 > maxLength) return undefined
    if (stripsReturn && line.charCodeAt(line.length - 1) === carriageReturn) return undefined
    at = end
  }
  return isWellFormed(text) ? utf8.encode(text) : undefined
}
