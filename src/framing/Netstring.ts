/**
 * Netstrings: `12:hello world!,` (D. J. Bernstein, http://cr.yp.to/proto/netstrings.txt; SCGI, QMTP, Twisted's
 * `NetstringReceiver`).
 *
 * @since 0.1.0
 */
import * as Codec from "../Codec.ts"
import type { FrameTruncated } from "../FrameError.ts"
import { FrameTooLong, InvalidFrame } from "../FrameError.ts"
import { scanned } from "../internal/scanned.ts"
import { view } from "../internal/bytes.ts"
import { maxLengthOf } from "./internal/limits.ts"
import * as Sized from "./internal/sized.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface NetstringOptions {
  /** The longest frame, in bytes, without its length, colon and comma. 65536. */
  readonly maxLength?: number | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A frame is its length in decimal digits, a colon, its bytes, and a comma. The empty one is `0:,`; no other length begins
 * with a zero. A frame can hold netstrings in its turn: `Codec.decode(codec, frame)`.
 *
 * - FrameTooLong: the frame has more than `maxLength` bytes. Decoding fails with the first digit that makes it so, and
 *   hence does not tell the length.
 * - InvalidFrame: a byte that is no digit or colon in the length, none before the colon, a leading zero; no comma at the end.
 * - FrameTruncated: the input ended within a frame.
 *
 * @example
 * ```ts
 * import { deepStrictEqual, strictEqual } from "node:assert"
 * import * as Codec from "effect-transport/Codec"
 * import * as Netstring from "effect-transport/framing/Netstring"
 *
 * const text = new TextEncoder()
 * const { failure, frames } = Codec.decode(Netstring.make(), text.encode("12:hello world!,0:,5:hello;"))
 * deepStrictEqual(frames, [text.encode("hello world!"), new Uint8Array(0)])
 * strictEqual(failure?.message, "A frame is not valid: byte 0x3b follows it, not a comma.")
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options?: NetstringOptions
): Codec.Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated | InvalidFrame> => {
  const format = new Format(maxLengthOf(options))
  return Codec.make(Sized.decoder(format), Sized.encoder(format))
}

const zero = 0x30
const nine = 0x39
const colon = 0x3a
const comma = 0x2c

class Format implements Sized.Format<Uint8Array, FrameTooLong | InvalidFrame>, Sized.Writer<Uint8Array, FrameTooLong> {
  private readonly maxLength: number

  constructor(maxLength: number) {
    this.maxLength = maxLength
  }

  size(bytes: Uint8Array, at: number, end: number): number | FrameTooLong | InvalidFrame {
    let length = 0
    for (let next = at; next < end; next++) {
      const byte = bytes[next]!
      scanned.bytes++
      if (byte === colon && next > at) return next + 1 - at + length + 1
      if (byte < zero || byte > nine) return invalid(byte, "stands where its length is to be")
      if (length === 0 && next > at) return new InvalidFrame({ reason: "its length has a leading zero" })
      length = length * 10 + (byte - zero)
      if (length > this.maxLength) return new FrameTooLong({ limit: this.maxLength, length: undefined })
    }
    return at - end - 1
  }

  frame(bytes: Uint8Array, at: number, end: number): Uint8Array | Sized.Refusal<InvalidFrame> {
    const last = bytes[end - 1]!
    return last === comma
      ? view(bytes, bytes.indexOf(colon, at) + 1, end - 1)
      : new Sized.Refusal(invalid(last, "follows it, not a comma"))
  }

  sizeOf({ length }: Uint8Array): number | FrameTooLong {
    return length > this.maxLength
      ? new FrameTooLong({ limit: this.maxLength, length })
      : digits(length) + 1 + length + 1
  }

  write(frame: Uint8Array, bytes: Uint8Array, at: number): number {
    const end = at + digits(frame.length)
    let left = frame.length
    for (let next = end - 1; next >= at; next--) {
      bytes[next] = zero + left % 10
      left = Math.floor(left / 10)
    }
    bytes[end] = colon
    bytes.set(frame, end + 1)
    bytes[end + 1 + frame.length] = comma
    return end + 1 + frame.length + 1
  }
}

const invalid = (byte: number, what: string): InvalidFrame =>
  new InvalidFrame({ reason: `byte 0x${byte.toString(16).padStart(2, "0")} ${what}` })

const digits = (number: number): number => {
  let count = 1
  for (let left = number; left >= 10; left = Math.floor(left / 10)) count++
  return count
}
