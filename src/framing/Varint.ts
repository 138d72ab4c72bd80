/**
 * Frames after a varint (unsigned LEB128) that counts their bytes: protobuf's delimited messages, libp2p's
 * `it-length-prefixed`, Netty's `ProtobufVarint32FrameDecoder`.
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
export interface VarintOptions {
  /** The longest frame, in bytes, without the prefix. 65536. */
  readonly maxLength?: number | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Each byte of a varint has seven bits of the number, the lowest first, and its highest bit tells whether another byte
 * follows (protobuf, "Base 128 Varints"; DWARF 5, section 7.6).
 *
 * The prefix that is written is the shortest. As in protobuf, one that goes on with zeros is read as well, up to ten bytes.
 *
 * - FrameTooLong: the frame has more than `maxLength` bytes. Decoding fails with the first byte of the prefix that makes it
 *   so, and hence does not tell the length.
 * - InvalidFrame: the prefix has more than ten bytes.
 * - FrameTruncated: the input ended within a frame.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Codec from "effect-transport/Codec"
 * import * as Varint from "effect-transport/framing/Varint"
 *
 * const codec = Varint.make()
 * deepStrictEqual(Codec.decode(codec, Uint8Array.of(2, 0x68, 0x69, 0)).frames, [
 *   Uint8Array.of(0x68, 0x69),
 *   Uint8Array.of()
 * ])
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options?: VarintOptions
): Codec.Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated | InvalidFrame> => {
  const format = new Format(maxLengthOf(options))
  return Codec.make(Sized.decoder(format), Sized.encoder(format))
}

const longestPrefix = 10

class Format implements Sized.Format<Uint8Array, FrameTooLong | InvalidFrame>, Sized.Writer<Uint8Array, FrameTooLong> {
  private readonly maxLength: number

  constructor(maxLength: number) {
    this.maxLength = maxLength
  }

  size(bytes: Uint8Array, at: number, end: number): number | FrameTooLong | InvalidFrame {
    let length = 0
    let weight = 1
    for (let next = at; next < end; next++, weight *= 128) {
      const byte = bytes[next]!
      scanned.bytes++
      length += (byte & 0x7f) * weight
      if (length > this.maxLength) return new FrameTooLong({ limit: this.maxLength, length: undefined })
      if (byte < 0x80) return next + 1 - at + length
      if (next + 1 - at === longestPrefix) {
        return new InvalidFrame({ reason: `its length has more than ${longestPrefix} bytes` })
      }
    }
    return at - end - 1
  }

  frame(bytes: Uint8Array, at: number, end: number): Uint8Array {
    let from = at
    while (bytes[from]! >= 0x80) from++
    return view(bytes, from + 1, end)
  }

  sizeOf({ length }: Uint8Array): number | FrameTooLong {
    if (length > this.maxLength) return new FrameTooLong({ limit: this.maxLength, length })
    let size = 1 + length
    for (let left = length; left >= 0x80; left = Math.floor(left / 0x80)) size++
    return size
  }

  write(frame: Uint8Array, bytes: Uint8Array, at: number): number {
    let next = at
    let left = frame.length
    for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes[next++] = 0x80 | (left % 0x80)
    bytes[next++] = left
    bytes.set(frame, next)
    return next + frame.length
  }
}
