/**
 * Lines, of bytes or of text: what a line feed ends, or any other delimiter (Netty's `LineBasedFrameDecoder`, Twisted's
 * `LineReceiver`, npm's `split2`).
 *
 * @since 0.1.0
 */
import * as Codec from "../Codec.ts"
import type { FrameTooLong } from "../FrameError.ts"
import { InvalidFrame } from "../FrameError.ts"
import { view } from "../internal/bytes.ts"
import * as Delimited from "./internal/delimited.ts"
import { maxLengthOf } from "./internal/limits.ts"
import { Refusal } from "./internal/sized.ts"
import * as TextLines from "./internal/textLines.ts"
import { isWellFormed } from "./internal/utf8.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface LinesOptions {
  /**
   * What ends a line. By default LF, and if a CR stands before it, that is no content either: both kinds are read, and LF is
   * written. `"\n"`: only LF, a CR before it is content. `"\r\n"`: only both together. Any other text, as UTF-8.
   */
  readonly delimiter?: string | undefined
  /** A line is given with its delimiter, as it came, and has to be given to the encoder so. By default without. */
  readonly keepDelimiter?: boolean | undefined
  /** The longest line, in bytes, without its delimiter. 65536. */
  readonly maxLength?: number | undefined
  /** A longer line: `fail`, the default, or `skip` to the next one, and nothing tells of it. */
  readonly whenTooLong?: "fail" | "skip" | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TextOptions extends LinesOptions {
  /** Bytes that are not UTF-8, or a string that is not well-formed: `fail`, the default, or `replace` them by U+FFFD. */
  readonly invalid?: "fail" | "replace" | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Lines as bytes. What the input ends with is a line as well, if it is not empty, with no delimiter behind it.
 *
 * - FrameTooLong: the line has more than `maxLength` bytes. Decoding fails as soon as they are there.
 * - InvalidFrame: only the encoder fails so, with a line that would not be read as the same one: it contains the delimiter,
 *   or makes one sooner together with that behind it. By default a line that ends with CR is therefore written with CRLF
 *   behind it: all that was decoded can be encoded. With `keepDelimiter` the line has to end with its delimiter, and the
 *   last one of an input may not.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: LinesOptions): Codec.Codec<Uint8Array, Uint8Array, FrameTooLong | InvalidFrame> => {
  const format = formatOf(options)
  const decoder = Delimited.decoder<Uint8Array, never>({
    ...format,
    frame: (bytes, from, contentEnd, end) => view(bytes, from, format.keepDelimiter ? end : contentEnd),
    last: (bytes) => ({ frames: [bytes], failure: undefined })
  })
  return Codec.make(decoder, Delimited.encoder(format))
}

/**
 * Lines as strings: `make` and UTF-8. A byte order mark is content. A line is decoded when all of it is there, so that the
 * bytes of a character may come in different chunks; `maxLength` counts bytes.
 *
 * - FrameTooLong, InvalidFrame: as in `make`.
 * - InvalidFrame: the bytes of a line are not UTF-8; the lines before it are decoded. Or a string to encode is not
 *   well-formed: it has one half of a surrogate pair. Neither with `invalid: "replace"`.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Codec from "effect-transport/Codec"
 * import * as Lines from "effect-transport/framing/Lines"
 *
 * const bytes = new TextEncoder().encode("one\ntwo\r\nthree")
 * deepStrictEqual(Codec.decode(Lines.text(), bytes).frames, ["one", "two", "three"])
 * deepStrictEqual(Codec.decode(Lines.text({ delimiter: "\r\n" }), bytes).frames, ["one\ntwo", "three"])
 * deepStrictEqual(Codec.decode(Lines.text({ keepDelimiter: true }), bytes).frames, ["one\n", "two\r\n", "three"])
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (options?: TextOptions): Codec.Codec<string, string, FrameTooLong | InvalidFrame> => {
  const format = { ...formatOf(options), delimiter: options?.delimiter, invalid: options?.invalid ?? "fail" }
  const decoder = Delimited.decoder<string, InvalidFrame>({
    ...format,
    frame: (bytes, from, contentEnd, end) =>
      TextLines.decoded(bytes.subarray(from, format.keepDelimiter ? end : contentEnd), format) ?? notText,
    several: TextLines.several(format),
    last: (bytes) => {
      const text = TextLines.decoded(bytes, format)
      return text === undefined
        ? { frames: [], failure: notText.failure }
        : { frames: [text], failure: undefined }
    }
  })
  return Codec.make(decoder, TextLines.encoder(Delimited.encoder(format), format))
}

const notText = new Refusal(new InvalidFrame({ reason: "it is not UTF-8" }))

const formatOf = (options: LinesOptions | undefined) => ({
  delimiters: new Delimited.Delimiters(delimitersOf(options?.delimiter)),
  keepDelimiter: options?.keepDelimiter ?? false,
  maxLength: maxLengthOf(options),
  whenTooLong: options?.whenTooLong ?? "fail"
})

const utf8 = new TextEncoder()

const delimitersOf = (delimiter: string | undefined): ReadonlyArray<Uint8Array> => {
  if (delimiter === undefined) return [utf8.encode("\n"), utf8.encode("\r\n")]
  if (isWellFormed(delimiter)) return [utf8.encode(delimiter)]
  throw new RangeError("A delimiter is well-formed: it has no half of a surrogate pair")
}
