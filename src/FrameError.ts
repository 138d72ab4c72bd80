/**
 * What can be wrong with a frame, on one page: every codec of this library fails with these, and with nothing else. (But
 * for a Schema over one, `SchemaCodec`, which adds Effect's `ParseError`.)
 *
 * A failure says what the peer sent, or what it was asked to send; the connection itself is as before. Where the frames
 * after a bad one begin cannot be known in general, so a decoder that has failed stays so.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * A frame is longer than the codec's limit: refused as soon as that is known, before the frame is held.
 *
 * @since 0.1.0
 * @category errors
 */
export class FrameTooLong extends Data.TaggedError("FrameTooLong")<{
  /** The longest frame that is allowed, in bytes of its content. */
  readonly limit: number
  /** The length that the frame announces, in bytes; `undefined` where a format tells it only at the end. */
  readonly length: number | undefined
}> {
  override get message() {
    const length = this.length === undefined ? "longer than that" : `${this.length} bytes long`
    return `A frame may be ${this.limit} bytes long and is ${length}. A codec's maxLength can be set.`
  }
}

/**
 * The input ended within a frame.
 *
 * @since 0.1.0
 * @category errors
 */
export class FrameTruncated extends Data.TaggedError("FrameTruncated")<{
  /** So many bytes of the frame were there, those of its header or delimiter included. */
  readonly held: number
}> {
  override get message() {
    return `The input ended within a frame, of which ${this.held} bytes had come.`
  }
}

/**
 * The bytes break the format's rules, or what is to be sent cannot be written in the format.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidFrame extends Data.TaggedError("InvalidFrame")<{
  /** Which rule, as the end of a sentence: "its length has a leading zero". */
  readonly reason: string
  /** What a parser threw, if one did. */
  readonly cause?: unknown
}> {
  override get message() {
    return `A frame is not valid: ${this.reason}.`
  }
}

/**
 * All that a codec of this library can fail with, without a Schema over it.
 *
 * @since 0.1.0
 * @category errors
 */
export type FrameError = FrameTooLong | FrameTruncated | InvalidFrame
