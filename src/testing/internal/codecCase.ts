/**
 * What the laws of codecs are asked about.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type { Codec } from "../../Codec.ts"
import { beginnings, describe, type Input, inputs } from "./codecInput.ts"
import { type Cut, cutting } from "./cutting.ts"
import { type Equals, expect, shownFailure } from "./decoding.ts"

export interface Context<In, Out, E> {
  readonly codec: Codec<In, Out, E>
  readonly frame: FastCheck.Arbitrary<In>
  readonly decoded: (frame: In) => Out
  readonly equals: Equals<Out>
  /** Inputs to try beside those that are made from frames. */
  readonly others: FastCheck.Arbitrary<Uint8Array>
  /** The most bytes that a decoder may hold. */
  readonly maxHeld: number | undefined
  /** How many bytes have been looked at or copied so far. */
  readonly scanned: () => number
}

/** What a law is asked about: an input, and where it is cut. A report shows it on one line. */
export interface Case<In> extends Cut<Input<In>> {
  readonly bytes: Uint8Array
}

const casesOf = <In>(input: FastCheck.Arbitrary<Input<In>>): FastCheck.Arbitrary<Case<In>> =>
  cutting(input, ({ bytes }) => bytes.length).map(({ cuts, whole }) => ({
    cuts,
    whole,
    get bytes() {
      expect(whole.refusal === undefined, () => `${describe(whole)} cannot be encoded: ${shownFailure(whole.refusal)}`)
      return whole.bytes
    },
    [FastCheck.toStringMethod]: () => `${describe(whole)}, cut at [${cuts.join(", ")}]`
  }))

export const anyInput = <In, Out, E>({ codec, frame, others }: Context<In, Out, E>) =>
  casesOf(inputs(codec, frame, others))

/** What the codec has encoded, or a beginning of it. */
export const encodedInput = <In, Out, E>({ codec, frame }: Context<In, Out, E>) => casesOf(beginnings(codec, frame))

export const encode = <In, Out, E>({ codec }: Context<In, Out, E>, frames: ReadonlyArray<In>): Uint8Array =>
  Either.getOrThrowWith(
    codec.encode(frames),
    (failure) => new Error(`${FastCheck.stringify(frames)} cannot be encoded: ${shownFailure(failure)}`)
  )

/** Where each of the frames begins, and where the last one ends. */
export const startsOf = <In, Out, E>(
  context: Context<In, Out, E>,
  frames: ReadonlyArray<In>
): ReadonlyArray<number> => {
  const starts = [0]
  for (const frame of frames) starts.push(starts.at(-1)! + encode(context, [frame]).length)
  return starts
}
