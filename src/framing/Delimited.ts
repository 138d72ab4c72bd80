/**
 * Frames that end with a delimiter: one, or any of several (Netty's `DelimiterBasedFrameDecoder`, tokio's
 * `AnyDelimiterCodec`, Pekko's `Framing.delimiter`).
 *
 * @since 0.1.0
 */
import * as Codec from "../Codec.ts"
import type { FrameTooLong, InvalidFrame } from "../FrameError.ts"
import { FrameTruncated } from "../FrameError.ts"
import { view } from "../internal/bytes.ts"
import * as Delimited from "./internal/delimited.ts"
import { maxLengthOf } from "./internal/limits.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface DelimitedOptions {
  /** At least one, each of at least one byte. A string stands for its UTF-8. */
  readonly delimiters: ReadonlyArray<Uint8Array | string>
  /** The longest frame, in bytes, without its delimiter. 65536. */
  readonly maxLength?: number | undefined
  /** A longer frame: `fail`, the default, or `skip` to the next one, and nothing tells of it. */
  readonly whenTooLong?: "fail" | "skip" | undefined
  /** Whether what the input ends with is a frame without a delimiter. By default it is a failure. */
  readonly allowTruncation?: boolean | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A frame ends where the first delimiter begins, of several that begin there the longest one; it is given without it. Where
 * a longer one may come, `\r\n` and not `\r`, the frame waits for the bytes that tell, or the end of the input.
 *
 * Each frame is written with the first of the delimiters, in the given order, with which it is read again as the same one,
 * whatever follows: that is the first of all, but for one with which a longer one begins, and for frames that make another
 * one together with it.
 *
 * - FrameTooLong: the frame has more than `maxLength` bytes. Decoding fails as soon as they are there.
 * - FrameTruncated: the input ended within a frame.
 * - InvalidFrame: only the encoder fails so, with a frame that contains a delimiter, or makes one with each.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Codec from "effect-transport/Codec"
 * import * as Delimited from "effect-transport/framing/Delimited"
 *
 * const codec = Delimited.make({ delimiters: ["\r\n", "\r", "\n"] })
 * const { frames } = Codec.decode(codec, new TextEncoder().encode("one\rtwo\r\n\nfour\n"))
 * deepStrictEqual(frames.map((frame) => new TextDecoder().decode(frame)), ["one", "two", "", "four"])
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: DelimitedOptions
): Codec.Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated | InvalidFrame> => {
  const format: Delimited.Format<Uint8Array, FrameTruncated> = {
    delimiters: new Delimited.Delimiters(options.delimiters.map(bytesOf)),
    maxLength: maxLengthOf(options),
    whenTooLong: options.whenTooLong ?? "fail",
    frame: (bytes, from, contentEnd) => view(bytes, from, contentEnd),
    last: options.allowTruncation === true
      ? (bytes) => ({ frames: [bytes], failure: undefined })
      : ({ length }) => ({ frames: [], failure: new FrameTruncated({ held: length }) })
  }
  return Codec.make(Delimited.decoder(format), Delimited.encoder(format))
}

const utf8 = new TextEncoder()

/** A copy: what is given may be changed later. */
const bytesOf = (delimiter: Uint8Array | string): Uint8Array =>
  typeof delimiter === "string" ? utf8.encode(delimiter) : Uint8Array.from(delimiter)
