/**
 * Formats in which the beginning of a frame tells its size: length fields, prefixes, netstrings, fixed lengths.
 *
 * @internal
 */
import * as Either from "effect/Either"
import type { Decoder, Encoder, End, Step } from "../../Codec.ts"
import { failed } from "../../Codec.ts"
import { FrameTruncated } from "../../FrameError.ts"
import { nothing } from "../../internal/bytes.ts"
import { Held } from "./held.ts"

/** A format, asked about the frame that begins at `at`, of which the bytes up to `end` are there. */
export interface Format<Frame, E> {
  /**
   * The size of the whole frame, header included; or, negative, how many of its bytes have to be there before that can be
   * told, more than there are; or why it is refused. Called again only with so many bytes.
   */
  readonly size: (bytes: Uint8Array, at: number, end: number) => number | E
  /** The frame in these bytes, which are all of it. */
  readonly frame: (bytes: Uint8Array, at: number, end: number) => Frame | Refusal<E>
}

/** What `frame` gives for a frame whose bytes break a rule. */
export class Refusal<E> {
  readonly failure: E

  constructor(failure: E) {
    this.failure = failure
  }
}

export const decoder = <Frame, E>(format: Format<Frame, E>): Decoder<Frame, E | FrameTruncated> =>
  new Sized(format, Held.empty, 1)

class Sized<Frame, E> implements Decoder<Frame, E | FrameTruncated> {
  private readonly format: Format<Frame, E>
  /** The beginning of a frame, and how many of its bytes have to be there before it is worth a look. */
  private readonly held: Held
  private readonly needed: number

  constructor(format: Format<Frame, E>, held: Held, needed: number) {
    this.format = format
    this.held = held
    this.needed = needed
  }

  step(bytes: Uint8Array, limit = Infinity): Step<Frame, E | FrameTruncated> {
    const frames: Array<Frame> = []
    return this.held.length === 0 ? this.within(bytes, 0, frames, limit) : this.across(bytes, frames, limit)
  }

  end(): End<Frame, FrameTruncated> {
    const { length } = this.held
    return { frames: [], failure: length === 0 ? undefined : new FrameTruncated({ held: length }) }
  }

  rest(): Uint8Array {
    return this.held.bytes
  }

  /** Frames that lie in the bytes as a whole are views of them. */
  private within(
    bytes: Uint8Array,
    from: number,
    frames: Array<Frame>,
    limit: number
  ): Step<Frame, E | FrameTruncated> {
    const { format } = this
    let at = from
    let needed = 1
    while (frames.length < limit && bytes.length - at >= needed) {
      const size = format.size(bytes, at, bytes.length)
      if (typeof size !== "number") return this.refused(size, Held.empty, bytes, at, frames)
      needed = Math.abs(size)
      if (size < 0 || bytes.length - at < size) continue
      const frame = format.frame(bytes, at, at + size)
      if (frame instanceof Refusal) return this.refused(frame.failure, Held.empty, bytes, at, frames)
      frames.push(frame)
      at += size
      needed = 1
    }
    if (at === bytes.length) return { frames, next: this.anew(), unread: nothing, failure: undefined }
    if (frames.length >= limit) return { frames, next: this.anew(), unread: bytes.subarray(at), failure: undefined }
    const held = Held.empty.append(bytes, at, bytes.length, needed)
    return { frames, next: new Sized(format, held, needed), unread: nothing, failure: undefined }
  }

  /** The frame that began in earlier bytes; of these it takes no more than it needs. */
  private across(bytes: Uint8Array, frames: Array<Frame>, limit: number): Step<Frame, E | FrameTruncated> {
    const { format } = this
    let { held, needed } = this
    let at = 0
    for (;;) {
      const to = Math.min(bytes.length, at + needed - held.length)
      held = held.append(bytes, at, to, needed)
      at = to
      if (held.length < needed) {
        return { frames, next: new Sized(format, held, needed), unread: nothing, failure: undefined }
      }
      const all = held.bytes
      const size = format.size(all, 0, all.length)
      if (typeof size !== "number") return this.refused(size, held, bytes, at, frames)
      if (size === all.length) {
        const frame = format.frame(all, 0, size)
        if (frame instanceof Refusal) return this.refused(frame.failure, held, bytes, at, frames)
        frames.push(frame)
        return this.within(bytes, at, frames, limit)
      }
      needed = Math.abs(size)
    }
  }

  private anew(): Sized<Frame, E> {
    return this.held.length === 0 ? this : new Sized(this.format, Held.empty, 1)
  }

  private refused(
    failure: E,
    held: Held,
    bytes: Uint8Array,
    at: number,
    frames: Array<Frame>
  ): Step<Frame, E | FrameTruncated> {
    return { frames, next: failed(failure, held.bytes), unread: bytes.subarray(at), failure }
  }
}

/** How the frames of a format are written. */
export interface Writer<Frame, E> {
  /** The size of the whole frame, header included, or why it cannot be written. */
  readonly sizeOf: (frame: Frame) => number | E
  /** Writes the frame into zeros, from `at` on, and tells where the next one begins. */
  readonly write: (frame: Frame, bytes: Uint8Array, at: number) => number
}

export const encoder = <Frame, E>(writer: Writer<Frame, E>): Encoder<Frame, E> => ({
  encode: (frames) => {
    let total = 0
    for (const frame of frames) {
      const size = writer.sizeOf(frame)
      if (typeof size !== "number") return Either.left(size)
      total += size
    }
    const bytes = new Uint8Array(total)
    let at = 0
    for (const frame of frames) at = writer.write(frame, bytes, at)
    return Either.right(bytes)
  }
})
