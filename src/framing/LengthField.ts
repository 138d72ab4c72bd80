/**
 * Frames whose header has a field with their length: Netty's `LengthFieldBasedFrameDecoder` and `LengthFieldPrepender`,
 * tokio's `LengthDelimitedCodec`. One value configures both directions.
 *
 * @since 0.1.0
 */
import * as Codec from "../Codec.ts"
import type { FrameTruncated } from "../FrameError.ts"
import { FrameTooLong, InvalidFrame } from "../FrameError.ts"
import { view } from "../internal/bytes.ts"
import { maxLengthOf, wholeNumber } from "./internal/limits.ts"
import * as Sized from "./internal/sized.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * Where the length is, and what it counts. On the wire a frame is
 *
 * ```text
 * | offset bytes | length field | … |
 * | strip bytes       | the frame that is decoded, and encoded |
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface LengthFieldOptions {
  /** So many bytes come before the length field. 0. Netty: `lengthFieldOffset`. */
  readonly offset?: number | undefined
  /** The length field has so many bytes, 1 to 8, and is unsigned. 4. Netty: `lengthFieldLength`. */
  readonly length?: number | undefined
  /** `big`, the network's order. Netty: `byteOrder`. */
  readonly endianness?: "big" | "little" | undefined
  /**
   * What is added to the field's value to make it the number of bytes after the field: 3 if three bytes that follow it do
   * not count, negative if some count that come before. 0. Netty: `lengthAdjustment` of the decoder; its encoder has the
   * opposite sign.
   */
  readonly adjustment?: number | undefined
  /**
   * Whether the field's value counts the bytes before it and its own as well, so that it is the size of the whole. `false`.
   * Netty: `lengthIncludesLengthFieldLength`.
   */
  readonly includesHeader?: boolean | undefined
  /** So many bytes at the beginning are not part of the frame. All up to the end of the field. Netty: `initialBytesToStrip`. */
  readonly strip?: number | undefined
  /** The longest frame, in bytes of what is decoded. 65536, and never more than the field can tell. */
  readonly maxLength?: number | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A codec of frames with a length field. By default the field has 4 bytes, most significant first, and counts what follows.
 *
 * A frame is what follows the first `strip` bytes. So these are what encoding adds: the length, and zeros where the header
 * has more. With a lower `strip` a frame brings its header, or a part of it, with it; the length in it must be right. So
 * what was encoded is decoded to the same frames, whatever the options. Whoever needs the header leaves it in the frame,
 * and takes it apart with `Codec.transform`.
 *
 * - FrameTooLong: the frame has more than `maxLength` bytes. Decoding fails before any of these is held. A length of more
 *   than `Number.MAX_SAFE_INTEGER` is told as the nearest number.
 * - InvalidFrame: the length says that the frame is shorter than its own header, or than `strip`; or a frame to be encoded
 *   has another length in its header than its own, or is shorter than an `adjustment` allows.
 * - FrameTruncated: the input ended within a frame.
 *
 * Options that no frame fits are a `RangeError`.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Either from "effect/Either"
 * import * as Codec from "effect-transport/Codec"
 * import * as LengthField from "effect-transport/framing/LengthField"
 *
 * // A magic number of two bytes, the size of the whole in two more; frames are delivered with both.
 * const codec = LengthField.make({ offset: 2, length: 2, includesHeader: true, strip: 0 })
 *
 * const hello = Uint8Array.of(0xca, 0xfe, 0, 6, 0x68, 0x69)
 * deepStrictEqual(codec.encode([hello]), Either.right(hello))
 * deepStrictEqual(Codec.decode(codec, hello), { frames: [hello], failure: undefined })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: LengthFieldOptions = {}
): Codec.Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated | InvalidFrame> => {
  const layout = new Layout(options)
  return Codec.make(Sized.decoder(layout), Sized.encoder(layout))
}

type Refused = FrameTooLong | InvalidFrame

class Layout implements Sized.Format<Uint8Array, Refused>, Sized.Writer<Uint8Array, Refused> {
  private readonly offset: number
  private readonly length: number
  private readonly little: boolean
  private readonly strip: number
  /** Up to here goes the length field. */
  private readonly header: number
  /** So much more than the frame's length is the field's value, or less. */
  private readonly surplus: number
  /** The field's value in the shortest frame, and in the longest. */
  private readonly least: number
  private readonly most: number
  /** Room for comparing. */
  private readonly field: Uint8Array

  constructor(options: LengthFieldOptions) {
    this.offset = wholeNumber("offset", options.offset ?? 0, 0)
    this.length = wholeNumber("length", options.length ?? 4, 1, 8)
    this.little = options.endianness === "little"
    this.field = new Uint8Array(this.length)
    this.header = this.offset + this.length
    this.strip = wholeNumber("strip", options.strip ?? this.header, 0)
    const adjustment = wholeNumber("adjustment", options.adjustment ?? 0, Number.MIN_SAFE_INTEGER)
    this.surplus = this.strip - adjustment - (options.includesHeader === true ? 0 : this.header)
    this.least = Math.max(0, Math.max(0, this.header - this.strip) + this.surplus)
    this.most = Math.min(2 ** (8 * this.length) - 1, Number.MAX_SAFE_INTEGER, maxLengthOf(options) + this.surplus)
    if (this.most < this.least) throw new RangeError("No frame fits these options of a length field")
  }

  size(bytes: Uint8Array, at: number, end: number): number | Refused {
    if (end - at < this.header) return -this.header
    const value = this.read(bytes, at + this.offset)
    if (value > this.most) return this.tooLong(value - this.surplus)
    if (value < this.least) {
      return new InvalidFrame({ reason: `the length in its header is ${value} and must be ${this.least} or more` })
    }
    return value - this.surplus + this.strip
  }

  frame(bytes: Uint8Array, at: number, end: number): Uint8Array {
    return view(bytes, at + this.strip, end)
  }

  sizeOf(frame: Uint8Array): number | Refused {
    const value = frame.length + this.surplus
    if (value > this.most) return this.tooLong(frame.length)
    if (value < this.least) {
      const least = this.least - this.surplus
      return new InvalidFrame({ reason: `its length is ${frame.length} and must be ${least} or more` })
    }
    if (this.strip < this.header && !this.states(frame, value)) {
      return new InvalidFrame({ reason: `the length in its header is not ${value}` })
    }
    return this.strip + frame.length
  }

  write(frame: Uint8Array, bytes: Uint8Array, at: number): number {
    this.put(frame.length + this.surplus, bytes, at + this.offset)
    bytes.set(frame, at + this.strip)
    return at + this.strip + frame.length
  }

  private tooLong(length: number): FrameTooLong {
    return new FrameTooLong({ limit: this.most - this.surplus, length })
  }

  /** Whether what the frame has of the field is right. */
  private states(frame: Uint8Array, value: number): boolean {
    this.put(value, this.field, 0)
    for (let at = Math.max(this.offset, this.strip); at < this.header; at++) {
      if (frame[at - this.strip] !== this.field[at - this.offset]) return false
    }
    return true
  }

  // By multiplication and division: operators on bits end at 32 of them. From 2 ** 53 on it is not exact, but never less.

  private read(bytes: Uint8Array, at: number): number {
    let value = 0
    for (let place = 0; place < this.length; place++) value = value * 256 + bytes[this.place(at, place)]!
    return value
  }

  private put(value: number, bytes: Uint8Array, at: number): void {
    for (let place = this.length - 1, left = value; place >= 0; place--, left = Math.floor(left / 256)) {
      bytes[this.place(at, place)] = left % 256
    }
  }

  /** Where the digit of that place is, the most significant being the first. */
  private place(at: number, place: number): number {
    return this.little ? at + this.length - 1 - place : at + place
  }
}
