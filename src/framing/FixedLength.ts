/**
 * Frames that all have the same length, with nothing between them: Netty's `FixedLengthFrameDecoder`.
 *
 * @since 0.1.0
 */
import * as Codec from "../Codec.ts"
import type { FrameTruncated } from "../FrameError.ts"
import { InvalidFrame } from "../FrameError.ts"
import { view } from "../internal/bytes.ts"
import { wholeNumber } from "./internal/limits.ts"
import * as Sized from "./internal/sized.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface FixedLengthOptions {
  /** So many bytes has each frame, at least 1. So many are held as well, before one is delivered. */
  readonly length: number
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Cuts the input into frames of `length` bytes.
 *
 * - InvalidFrame: a frame that is to be encoded has another length.
 * - FrameTruncated: the input ended within a frame.
 *
 * @example
 * ```ts
 * import { deepStrictEqual, strictEqual } from "node:assert"
 * import * as Codec from "effect-transport/Codec"
 * import * as FixedLength from "effect-transport/framing/FixedLength"
 *
 * const { failure, frames } = Codec.decode(FixedLength.make({ length: 2 }), Uint8Array.of(1, 2, 3, 4, 5))
 * deepStrictEqual(frames, [Uint8Array.of(1, 2), Uint8Array.of(3, 4)])
 * strictEqual(failure?._tag, "FrameTruncated")
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: FixedLengthOptions
): Codec.Codec<Uint8Array, Uint8Array, FrameTruncated | InvalidFrame> => {
  const length = wholeNumber("length", options.length, 1)
  const decoder = Sized.decoder<Uint8Array, never>({
    size: () => length,
    frame: view
  })
  const encoder = Sized.encoder<Uint8Array, InvalidFrame>({
    sizeOf: (frame) =>
      frame.length === length
        ? length
        : new InvalidFrame({ reason: `its length is ${frame.length} and must be ${length}` }),
    write: (frame, bytes, at) => {
      bytes.set(frame, at)
      return at + length
    }
  })
  return Codec.make(decoder, encoder)
}
