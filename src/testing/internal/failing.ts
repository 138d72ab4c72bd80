/**
 * The laws of inputs that end too soon, and of decoders that have failed.
 *
 * @internal
 */
import * as FastCheck from "effect/FastCheck"
import { FrameTruncated } from "../../FrameError.ts"
import { nothing } from "../../internal/bytes.ts"
import { anyInput, type Context, encode, encodedInput, startsOf } from "./codecCase.ts"
import { hex } from "./codecInput.ts"
import { chunksOf } from "./cutting.ts"
import { expect, expectBytes, expectSame, feed, type Outcome, outcome, shownChunks, shownFailure } from "./decoding.ts"

/** The whole frames are there, and of the one within which the input ends either a failure or a shorter frame. */
export const truncation = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(encodedInput(context), ({ cuts, whole: { frames } }) => {
    const all = encode(context, frames)
    const starts = startsOf(context, frames)
    const stride = 1 + Math.floor(all.length / 64)
    for (let length = (cuts[0] ?? 0) % stride; length <= all.length; length += stride) {
      const bytes = all.slice(0, length)
      const seen = outcome(context.codec, [bytes])
      const count = starts.findLastIndex((start) => start <= length)
      const told = () => `Of ${count} frames, truncated to ${hex(bytes)}`
      expectSame(
        { frames: seen.frames.slice(0, count), failure: undefined },
        { frames: frames.slice(0, count).map(context.decoded), failure: undefined },
        context.equals,
        told
      )
      expectTruncated(seen, count, length - starts[count]!, told)
      const chunks = chunksOf(bytes, cuts.filter((cut) => cut <= length))
      expectSame(outcome(context.codec, chunks), seen, context.equals, () => `${told()}, ${shownChunks(chunks)}`)
    }
  })

/** What came of the `incomplete` bytes that follow so many frames. */
const expectTruncated = (
  { failure, frames }: Outcome<unknown>,
  count: number,
  incomplete: number,
  told: () => string
): void => {
  const more = frames.length - count
  const seen = () => `${told()}: there are ${more} more frames, and ${shownFailure(failure)}`
  if (incomplete === 0) expect(failure === undefined && more === 0, seen)
  else expect((failure === undefined) === (more > 0), seen)
  if (failure instanceof FrameTruncated) {
    expect(failure.held === incomplete, () => `${told()}: held ${failure.held}, and are ${incomplete}`)
  }
}

export const staysFailed = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(anyInput(context), ({ bytes, cuts }) => {
    const chunks = chunksOf(bytes, cuts)
    const { failure, next } = feed(context.codec, chunks)
    if (failure === undefined) return
    const told = () => `After the failure, ${shownChunks(chunks)}`
    const rest = next.rest().slice()
    let decoder = next
    for (const more of [nothing, ...chunks, bytes, nothing]) {
      const step = decoder.step(more)
      expectSame(step, { frames: [], failure }, context.equals, () => `${told()}, given ${hex(more)}`)
      expectBytes(step.unread, more, () => `${told()}: the unread bytes`)
      decoder = step.next
    }
    expectSame(decoder.end(), { frames: [], failure }, context.equals, () => `${told()}, at the end`)
    expectBytes(decoder.rest(), rest, () => `${told()}: the rest`)
  })
