/**
 * The laws of values: a decoder is never changed, nor is what it was given or has given.
 *
 * @internal
 */
import * as FastCheck from "effect/FastCheck"
import type { Decoder } from "../../Codec.ts"
import { concat } from "../../internal/bytes.ts"
import { anyInput, type Context } from "./codecCase.ts"
import { hex } from "./codecInput.ts"
import { chunksOf } from "./cutting.ts"
import { begun, ended, expect, expectBytes, expectSame, feed, goOn, outcome, shownChunks } from "./decoding.ts"

/** One decoder, two inputs. */
export const value = <In, Out, E>(context: Context<In, Out, E>) => {
  const unused = context.codec.end()
  return FastCheck.property(anyInput(context), anyInput(context), ({ bytes, cuts: [cut = 0] }, other) => {
    expectSame(context.codec.end(), unused, context.equals, () => "The end of the codec, after a use of it")
    const start = () => feed(context.codec, [bytes.slice(0, cut)])
    const branches = [bytes.slice(cut), other.bytes]
    const alone = branches.map((branch) => outcome(start().next, [branch.slice()]))
    const { next: decoder } = start()
    const [rest, end] = [decoder.rest().slice(), decoder.end()]
    // One after the other, in turns byte by byte, and once more.
    const first = branches.map((branch) => feed(decoder, [branch.slice()]))
    const turns = branches.map(() => begun(decoder))
    for (let at = 0; at < Math.max(...branches.map((branch) => branch.length)); at++) {
      for (const [index, branch] of branches.entries()) turns[index] = goOn(turns[index]!, branch.slice(at, at + 1))
    }
    const again = branches.map((branch) => feed(decoder, [branch.slice()]))
    for (const [index, branch] of branches.entries()) {
      for (const [when, fed] of [["first", first], ["in turns with other bytes", turns], ["again", again]] as const) {
        const told = () => `After ${hex(bytes.subarray(0, cut))}, stepped ${when} with ${hex(branch)}`
        expectSame(ended(fed[index]!), alone[index]!, context.equals, told)
      }
    }
    expectBytes(decoder.rest(), rest, () => "The rest of a decoder that was stepped")
    expectSame(decoder.end(), end, context.equals, () => "The end of a decoder that was stepped")
  })
}

/** A frame, and all else that was given, is as it was when all has been decoded. */
export const unchanged = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(anyInput(context), ({ bytes, cuts }) => {
    const chunks = chunksOf(bytes, cuts)
    const steps = []
    let next: Decoder<Out, E> = context.codec
    for (const chunk of chunks) {
      const step = next.step(chunk)
      steps.push({ step, shown: FastCheck.stringify(step.frames), rest: step.next.rest().slice() })
      next = step.next
      if (step.failure !== undefined) break
    }
    next.end()
    const told = () => shownChunks(chunksOf(bytes, cuts))
    expectBytes(concat(chunks), bytes, () => `${told()}: the bytes that were decoded`)
    for (const { rest, shown, step } of steps) {
      const now = FastCheck.stringify(step.frames)
      expect(now === shown, () => `${told()}: there were the frames ${shown}, which then became ${now}`)
      expectBytes(step.next.rest(), rest, () => `${told()}: the rest of an earlier decoder`)
    }
  })
