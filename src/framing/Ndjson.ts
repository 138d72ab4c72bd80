/**
 * JSON, a value on each line: newline-delimited JSON (https://github.com/ndjson/ndjson-spec), also known as JSON Lines
 * (https://jsonlines.org).
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Codec from "../Codec.ts"
import type { FrameTooLong } from "../FrameError.ts"
import { InvalidFrame } from "../FrameError.ts"
import * as Lines from "./Lines.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface NdjsonOptions {
  /** The longest text of a value, in bytes. 1 MiB. */
  readonly maxLength?: number | undefined
  /** Lines without a character are no frames. `false`: they are no JSON either, and invalid. */
  readonly ignoreEmptyLines?: boolean | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A frame is a JSON value (RFC 8259): what `JSON.parse` gives of a line, and `JSON.stringify` makes one of. LF and CRLF end a
 * line, LF is written.
 *
 * What the input ends with needs no LF: a peer that is lost within a number may have sent the beginning of another one.
 *
 * - FrameTooLong: the line has more than `maxLength` bytes. Decoding fails as soon as they are there.
 * - InvalidFrame: the line is not JSON, or not UTF-8; a byte order mark is not JSON either. Or `JSON.stringify` cannot
 *   write the frame: `undefined`, a function or a symbol; a bigint; what contains itself. Why is in its `cause`.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Either from "effect/Either"
 * import * as Codec from "effect-transport/Codec"
 * import * as Ndjson from "effect-transport/framing/Ndjson"
 *
 * const codec = Ndjson.make()
 * const bytes = Either.getOrThrow(codec.encode([{ some: "thing" }, null]))
 * deepStrictEqual(bytes, new TextEncoder().encode("{\"some\":\"thing\"}\nnull\n"))
 * deepStrictEqual(Codec.decode(codec, bytes).frames, [{ some: "thing" }, null])
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: NdjsonOptions): Codec.Codec<unknown, unknown, FrameTooLong | InvalidFrame> => {
  const lines = Lines.text(linesOf(options))
  return Codec.make(
    Codec.mapEither(framesOf(lines, options), parse),
    Codec.contramapEither(lines, stringify)
  )
}

/**
 * `make`, where a line that is not JSON, or not UTF-8, is a frame as well: a `Left`, and the lines behind it are decoded.
 * Decoding fails only with FrameTooLong.
 *
 * @example
 * ```ts
 * import { deepStrictEqual, strictEqual } from "node:assert"
 * import * as Either from "effect/Either"
 * import * as Codec from "effect-transport/Codec"
 * import * as Ndjson from "effect-transport/framing/Ndjson"
 *
 * const { failure, frames } = Codec.decode(Ndjson.either(), new TextEncoder().encode("1\n{oops\n3\n"))
 * deepStrictEqual(frames.map(Either.getOrElse(({ message }) => message)), [
 *   1,
 *   "A frame is not valid: it is not JSON.",
 *   3
 * ])
 * strictEqual(failure, undefined)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const either = (
  options?: NdjsonOptions
): Codec.Codec<unknown, Either.Either<unknown, InvalidFrame>, FrameTooLong | InvalidFrame> =>
  Codec.make(
    Codec.map(framesOf(Lines.make(linesOf(options)), options), (bytes) => Either.flatMap(textOf(bytes), parse)),
    Codec.contramapEither(Lines.text(linesOf(options)), stringify)
  )

const linesOf = (options: NdjsonOptions | undefined): Lines.LinesOptions => ({
  maxLength: options?.maxLength ?? 1048576
})

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textOf = (bytes: Uint8Array): Either.Either<string, InvalidFrame> => {
  try {
    return Either.right(utf8.decode(bytes))
  } catch (cause) {
    return Either.left(new InvalidFrame({ reason: "it is not UTF-8", cause }))
  }
}

const parse = (text: string): Either.Either<unknown, InvalidFrame> => {
  try {
    return Either.right(JSON.parse(text))
  } catch (cause) {
    return Either.left(new InvalidFrame({ reason: "it is not JSON", cause }))
  }
}

const stringify = (value: unknown): Either.Either<string, InvalidFrame> => {
  try {
    const text = JSON.stringify(value) as string | undefined
    return text === undefined
      ? Either.left(new InvalidFrame({ reason: `JSON has nothing for ${typeof value}` }))
      : Either.right(text)
  } catch (cause) {
    return Either.left(new InvalidFrame({ reason: "it cannot be written as JSON", cause }))
  }
}

const framesOf = <Line extends { readonly length: number }, E>(
  lines: Codec.Decoder<Line, E>,
  options: NdjsonOptions | undefined
): Codec.Decoder<Line, E> => options?.ignoreEmptyLines === true ? withoutEmpty(lines) : lines

const withoutEmpty = <Line extends { readonly length: number }, E>(
  self: Codec.Decoder<Line, E>
): Codec.Decoder<Line, E> => ({
  step: (bytes, limit = Infinity) => {
    const kept: Array<Line> = []
    let [decoder, input] = [self, bytes]
    for (;;) {
      const asked = limit - kept.length
      const { failure, frames, next, unread } = decoder.step(input, asked)
      for (const line of frames) if (line.length > 0) kept.push(line)
      if (failure !== undefined || kept.length === limit || frames.length < asked) {
        return { frames: kept, next: withoutEmpty(next), unread, failure }
      }
      decoder = next
      input = unread
    }
  },
  end: () => {
    const { failure, frames } = self.end()
    return { frames: frames.filter((line) => line.length > 0), failure }
  },
  rest: () => self.rest()
})
