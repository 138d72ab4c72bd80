/**
 * The laws of what is left: between two frames another decoder can go on, with just the bytes that follow.
 *
 * @internal
 */
import * as FastCheck from "effect/FastCheck"
import type { Decoder } from "../../Codec.ts"
import { nothing } from "../../internal/bytes.ts"
import { anyInput, type Context, encodedInput, startsOf } from "./codecCase.ts"
import { chunksOf } from "./cutting.ts"
import {
  begun,
  ended,
  expect,
  expectBytes,
  expectSame,
  feed,
  goOn,
  leftOver,
  outcome,
  shownChunks,
  take
} from "./decoding.ts"

export const limited = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(anyInput(context), FastCheck.integer({ min: 1, max: 4 }), ({ bytes, cuts }, limit) => {
    const wanted = outcome(context.codec, [bytes.slice()])
    const told = () => `With the limit ${limit}, ${shownChunks(chunksOf(bytes, cuts))}`
    const frames: Array<Out> = []
    let next: Decoder<Out, E> = context.codec
    let failure: E | undefined
    const unread = [...chunksOf(bytes, cuts)]
    while (unread.length > 0 && failure === undefined) {
      const step = next.step(unread[0]!, limit)
      frames.push(...step.frames)
      next = step.next
      failure = step.failure
      expect(step.frames.length <= limit, () => `${told()}: a step gave ${step.frames.length} frames`)
      expect(frames.length <= wanted.frames.length, () => `${told()}: frames are decoded twice`)
      if (failure !== undefined) break
      if (step.frames.length === limit) {
        expectBytes(next.rest(), nothing, () => `${told()}: the rest after a limited step`)
      } else {
        expectBytes(step.unread, nothing, () => `${told()}: the unread bytes after a step with fewer frames`)
      }
      if (step.unread.length === 0) unread.shift()
      else unread[0] = step.unread
    }
    expectSame(ended({ frames, next, failure, unread }), wanted, context.equals, told)
  })

/** After each number of frames, and after each chunk. */
export const remaining = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(encodedInput(context), ({ bytes, cuts, whole }) => {
    const starts = startsOf(context, whole.frames)
    const chunks = () => chunksOf(bytes, cuts)
    for (let count = 0; count <= whole.frames.length; count++) {
      const fed = take(context.codec, chunks(), count)
      if (fed.frames.length < count) break
      expectBytes(leftOver(fed), bytes.subarray(starts[count]), () => `After ${count} frames ${shownChunks(chunks())}`)
    }
    let fed = begun(context.codec)
    for (const [index, end] of [...cuts, bytes.length].entries()) {
      fed = goOn(fed, bytes.slice(cuts[index - 1] ?? 0, end))
      const told = () => `After the first ${end} bytes ${shownChunks(chunks())}`
      expectBytes(leftOver(fed), bytes.subarray(starts[fed.frames.length], end), told)
    }
  })

/** After each number of frames, and after a failure, which a new decoder meets at once. */
export const handOver = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(anyInput(context), ({ bytes, cuts }) => {
    const chunks = () => chunksOf(bytes, cuts)
    const wanted = outcome(context.codec, [bytes.slice()])
    for (let count = 0; count <= wanted.frames.length; count++) {
      const fed = take(context.codec, chunks(), count)
      if (fed.frames.length < count) break
      const told = () => `A new decoder after ${count} frames ${shownChunks(chunks())}`
      const others = { frames: wanted.frames.slice(count), failure: wanted.failure }
      expectSame(outcome(context.codec, [leftOver(fed)]), others, context.equals, told)
    }
    const fed = feed(context.codec, chunks())
    const told = () => `A new decoder after all frames ${shownChunks(chunks())}`
    const others = { frames: wanted.frames.slice(fed.frames.length), failure: wanted.failure }
    expectSame(outcome(context.codec, [leftOver(fed)]), others, context.equals, told)
  })
