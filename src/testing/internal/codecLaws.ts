/**
 * The laws of codecs, each as a property.
 *
 * @internal
 */
import * as FastCheck from "effect/FastCheck"
import { concat } from "../../internal/bytes.ts"
import { aroundTheView, byteByByte, cutAnywhere, emptyChunks } from "./chunking.ts"
import { type Context, encode } from "./codecCase.ts"
import { hex } from "./codecInput.ts"
import { bounded, linear } from "./cost.ts"
import { expectBytes, expectSame, outcome } from "./decoding.ts"
import { staysFailed, truncation } from "./failing.ts"
import { handOver, limited, remaining } from "./takingOver.ts"
import { unchanged, value } from "./values.ts"

const roundTrip = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(FastCheck.array(context.frame, { maxLength: 6 }), (frames) => {
    const bytes = encode(context, frames)
    const wanted = { frames: frames.map(context.decoded), failure: undefined }
    expectSame(outcome(context.codec, [bytes]), wanted, context.equals, () => `Decoded from ${hex(bytes)}`)
  })

const encodeEach = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(FastCheck.array(context.frame, { maxLength: 6 }), (frames) => {
    const together = encode(context, frames)
    const first = together.slice()
    const each = frames.map((frame) => encode(context, [frame]))
    expectBytes(concat(each), first, () => "Encoded one by one, and together")
    expectBytes(encode(context, frames), first, () => "Encoded again")
    expectBytes(together, first, () => "What was encoded first, after more was")
  })

export const laws = <In, Out, E>(context: Context<In, Out, E>) => ({
  "round trip": roundTrip(context),
  "one by one": encodeEach(context),
  "byte by byte": byteByByte(context),
  "cut anywhere": cutAnywhere(context),
  "empty chunks": emptyChunks(context),
  "bytes around the view": aroundTheView(context),
  "a decoder is a value": value(context),
  "nothing given changes": unchanged(context),
  limit: limited(context),
  "left-over bytes": remaining(context),
  "hand-over": handOver(context),
  truncation: truncation(context),
  "failed for good": staysFailed(context),
  ...(context.maxHeld === undefined ? {} : { "bounded state": bounded(context, context.maxHeld) }),
  "linear scanning": linear(context)
})
