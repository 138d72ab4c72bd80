/**
 * What holds for every codec, as properties: no test runner is needed, and any will do.
 *
 * A law that does not hold throws FastCheck's report, in which the frames are as few and as small as can be, and so are
 * the cut points.
 *
 * @since 0.1.0
 */
import * as FastCheck from "effect/FastCheck"
import type { Codec } from "../Codec.ts"
import { scanned } from "../internal/scanned.ts"
import * as properties from "./internal/codecLaws.ts"
import { chunksOf, cutting } from "./internal/cutting.ts"
import { parametersOf } from "./internal/runs.ts"
import { same } from "./internal/same.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The laws. The inputs are what the codec has encoded, the same truncated, with a byte changed or bytes put in, and random
 * bytes; a law about chunks compares with the same bytes in one chunk.
 *
 * - `round trip`: what is encoded is decoded again.
 * - `one by one`: encoded together, frames are the same bytes as encoded one after the other; the encoder keeps no state.
 * - `byte by byte`, `cut anywhere`, `empty chunks`, `bytes around the view`: the frames and the failure do not depend on
 *   how the bytes are cut, nor on empty chunks, nor on what else is in the buffers of which the chunks are views.
 * - `a decoder is a value`: a decoder can be stepped twice, with the same bytes or others, in turns as well.
 * - `nothing given changes`: frames, the bytes given and the rest of earlier decoders are as they were when all is decoded.
 * - `limit`: a limited step gives no more frames, holds nothing when it gives so many, and leaves the other bytes unread.
 * - `left-over bytes`: after any number of encoded frames, `rest` and `unread` are exactly the bytes that follow.
 * - `hand-over`: a new decoder that is given `rest` and `unread` goes on with the same frames, or with the same failure.
 * - `truncation`: an encoding that ends too soon gives its whole frames, and then a failure or a shorter frame, and
 *   `FrameTruncated` tells the number of bytes.
 * - `failed for good`: a decoder that has failed takes nothing any more, and fails in the same way.
 * - `bounded state`: `rest` is never longer than `maxHeld`. Left out if that is not given.
 * - `linear scanning`: byte by byte, or one frame at a time, three times as many bytes are looked at or copied as in one
 *   step, at most, and 64 for each frame. It counts what the codec counts: see `scanned`.
 *
 * @since 0.1.0
 * @category models
 */
export type LawName =
  | "round trip"
  | "one by one"
  | "byte by byte"
  | "cut anywhere"
  | "empty chunks"
  | "bytes around the view"
  | "a decoder is a value"
  | "nothing given changes"
  | "limit"
  | "left-over bytes"
  | "hand-over"
  | "truncation"
  | "failed for good"
  | "bounded state"
  | "linear scanning"

/**
 * A law, to be checked.
 *
 * @since 0.1.0
 * @category models
 */
export interface Law {
  readonly name: LawName
  /** Throws FastCheck's report if the law does not hold. */
  readonly run: () => void
}

/**
 * What laws are asked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<In, Out, E> {
  readonly codec: Codec<In, Out, E>
  /** Frames that can be encoded. Few and short ones find most. */
  readonly frames: FastCheck.Arbitrary<In>
  /** What becomes of a frame that is encoded and decoded, if not the same. */
  readonly decoded?: ((frame: In) => Out) | undefined
  /** Whether two decoded frames are the same: by content. */
  readonly equals?: ((left: Out, right: Out) => boolean) | undefined
  /** Inputs to try as well: ones that the codec is to refuse, and that random bytes do not hit upon. */
  readonly inputs?: FastCheck.Arbitrary<Uint8Array> | undefined
  /** The most bytes that a decoder may hold between two steps. */
  readonly maxHeld?: number | undefined
  /**
   * How many bytes the codec has looked at or copied so far, all its decoders together. The codecs of this library are
   * counted by default; another one can count for itself, and without that `linear scanning` says nothing about it.
   */
  readonly scanned?: (() => number) | undefined
  /** How often each law is tried: 1000. The environment variable `EFFECT_TRANSPORT_RUNS`, if it is set, says it for all. */
  readonly runs?: number | undefined
  /** As a report tells them, to see the same again. */
  readonly seed?: number | undefined
  readonly path?: string | undefined
}

// -----------------------------------------------------------------------------
// laws
// -----------------------------------------------------------------------------

/**
 * The laws for a codec.
 *
 * Two of them do not suit every codec, and can be left out by their names: `hand-over` does not hold for one that is in
 * another format after the first frames (`Codec.switchTo`, `Codec.orElse`), nor `left-over bytes` for one in which the same
 * frame can be written in several ways.
 *
 * @example
 * ```ts
 * import * as FastCheck from "effect/FastCheck"
 * import * as Netstring from "effect-transport/framing/Netstring"
 * import * as CodecLaws from "effect-transport/testing/CodecLaws"
 *
 * const laws = CodecLaws.laws({ codec: Netstring.make(), frames: FastCheck.uint8Array({ maxLength: 20 }), runs: 100 })
 *
 * // With a test runner: for (const { name, run } of laws) it(name, run)
 * for (const { run } of laws) run()
 * ```
 *
 * @since 0.1.0
 * @category laws
 */
export const laws = <In, Out, E>(options: Options<In, Out, E>): ReadonlyArray<Law> => {
  const all = properties.laws({
    codec: options.codec,
    frame: options.frames,
    decoded: options.decoded ?? ((frame) => frame as unknown as Out),
    equals: options.equals ?? same,
    others: options.inputs ?? FastCheck.uint8Array({ maxLength: 8 }),
    maxHeld: options.maxHeld,
    scanned: options.scanned ?? (() => scanned.bytes)
  })
  const { path, runs = 1000, seed } = options
  const parameters = parametersOf(runs, seed, path)
  return Object.entries(all).map(([name, property]) => ({
    name: name as LawName,
    run: () => FastCheck.assert(property as FastCheck.IProperty<unknown>, parameters)
  }))
}

// -----------------------------------------------------------------------------
// arbitraries
// -----------------------------------------------------------------------------

/**
 * The bytes in chunks: in one, or in few, or in many, of which some may be empty; never none. Shrinks to fewer chunks, cut
 * nearer to the beginning; bytes that are an arbitrary themselves shrink first, and keep their cut points.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as FastCheck from "effect/FastCheck"
 * import * as CodecLaws from "effect-transport/testing/CodecLaws"
 *
 * FastCheck.assert(
 *   FastCheck.property(CodecLaws.rechunked(Uint8Array.of(1, 2, 3)), (chunks) => {
 *     deepStrictEqual(chunks.flatMap((chunk) => [...chunk]), [1, 2, 3])
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const rechunked = (
  bytes: Uint8Array | FastCheck.Arbitrary<Uint8Array>
): FastCheck.Arbitrary<ReadonlyArray<Uint8Array>> =>
  cutting(bytes instanceof Uint8Array ? FastCheck.constant(bytes) : bytes, ({ length }) => length)
    .map(({ cuts, whole }) => chunksOf(whole, cuts))
