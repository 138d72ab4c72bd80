/**
 * Consistent Overhead Byte Stuffing (S. Cheshire and M. Baker, SIGCOMM 1997, doi:10.1145/263105.263168): what serial lines
 * and microcontrollers speak.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Codec from "../Codec.ts"
import { FrameTooLong, FrameTruncated, InvalidFrame } from "../FrameError.ts"
import { scanned } from "../internal/scanned.ts"
import * as Delimited from "./internal/delimited.ts"
import { maxLengthOf } from "./internal/limits.ts"
import { Refusal } from "./internal/sized.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface CobsOptions {
  /** The longest frame, in bytes, as it is given: neither stuffed nor delimited. 65536. */
  readonly maxLength?: number | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A frame's bytes are written without their zeros, in blocks of a code and `code - 1` bytes: a zero stood behind each block,
 * but for the last one, and for those of code 255, which are full. Then comes a zero, which is the delimiter and stands
 * nowhere else. That costs two bytes a frame, and one more for each 254 in which there is no zero.
 *
 * A frame that was decoded is a copy, not a view, since its zeros have to be put in. Zeros with nothing before them, which
 * some senders begin with to end whatever is on the line, are no frames. A frame of no bytes is a block: `01 00`.
 *
 * - FrameTooLong: the frame has more than `maxLength` bytes. Decoding fails as soon as so many are there that it must.
 * - FrameTruncated: the input ended within a frame.
 * - InvalidFrame: the last block has fewer bytes than its code says.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Either from "effect/Either"
 * import * as Codec from "effect-transport/Codec"
 * import * as Cobs from "effect-transport/framing/Cobs"
 *
 * const codec = Cobs.make()
 * const bytes = Either.getOrThrow(codec.encode([Uint8Array.of(0x11, 0, 0x22)]))
 * deepStrictEqual(bytes, Uint8Array.of(2, 0x11, 2, 0x22, 0))
 * deepStrictEqual(Codec.decode(codec, bytes).frames, [Uint8Array.of(0x11, 0, 0x22)])
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options?: CobsOptions
): Codec.Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated | InvalidFrame> => {
  const limit = maxLengthOf(options)
  const decoder = Delimited.decoder<Uint8Array, FrameTooLong | FrameTruncated | InvalidFrame>({
    delimiters: new Delimited.Delimiters([Uint8Array.of(0)]),
    maxLength: stuffedLength(limit),
    limit,
    whenTooLong: "fail",
    frame: (bytes, from, contentEnd) => from === contentEnd ? undefined : unstuffed(bytes, from, contentEnd, limit),
    last: ({ length }) => ({ frames: [], failure: new FrameTruncated({ held: length }) })
  })
  return Codec.make(decoder, { encode: (frames) => encode(frames, limit) })
}

/** Of a block of 254 bytes, behind which no zero stood. */
const fullCode = 255

/** At most, for so many bytes. */
const stuffedLength = (length: number): number => length + Math.floor(length / (fullCode - 1)) + 1

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

const unstuffed = (
  stuffed: Uint8Array,
  from: number,
  end: number,
  limit: number
): Uint8Array | Refusal<FrameTooLong | InvalidFrame> => {
  scanned.bytes += end - from
  const bytes = new Uint8Array(end - from - 1)
  let length = 0
  for (let at = from; at < end;) {
    const code = stuffed[at++]!
    const blockEnd = at + code - 1
    if (blockEnd > end) return new Refusal(new InvalidFrame({ reason: "its last block is incomplete" }))
    while (at < blockEnd) bytes[length++] = stuffed[at++]!
    if (code < fullCode && at < end) length++
  }
  if (length > limit) return new Refusal(new FrameTooLong({ limit, length: undefined }))
  return length === bytes.length ? bytes : bytes.subarray(0, length)
}

// -----------------------------------------------------------------------------
// encoding
// -----------------------------------------------------------------------------

const encode = (frames: ReadonlyArray<Uint8Array>, limit: number): Either.Either<Uint8Array, FrameTooLong> => {
  let most = 0
  for (const { length } of frames) {
    if (length > limit) return Either.left(new FrameTooLong({ limit, length }))
    most += stuffedLength(length) + 1
  }
  const bytes = new Uint8Array(most)
  let at = 0
  for (const frame of frames) at = stuff(frame, bytes, at)
  return Either.right(bytes.subarray(0, at))
}

/** Writes the frame from `start` on, with its delimiter; gives where it ends. */
const stuff = (frame: Uint8Array, bytes: Uint8Array, start: number): number => {
  let code = start
  let at = start + 1
  for (let next = 0; next < frame.length; next++) {
    const byte = frame[next]!
    if (byte !== 0) bytes[at++] = byte
    // A full block is the end if the frame ends with it: nothing follows that would need a code.
    if (byte === 0 || (at - code === fullCode && next + 1 < frame.length)) {
      bytes[code] = at - code
      code = at++
    }
  }
  bytes[code] = at - code
  return at + 1
}
