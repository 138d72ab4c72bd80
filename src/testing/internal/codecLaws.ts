/**
 * The laws of codecs, each as a property.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type { Codec, Decoder } from "../../Codec.ts"
import { FrameTruncated } from "../../FrameError.ts"
import { concat } from "../../internal/bytes.ts"
import { beginnings, describe, hex, type Input, inputs } from "./codecInput.ts"
import { chunksOf, type Cut, cutting } from "./cutting.ts"
import {
  begun,
  ended,
  type Equals,
  expect,
  expectBytes,
  expectSame,
  type Fed,
  feed,
  goOn,
  leftOver,
  type Outcome,
  outcome,
  shownChunks,
  shownFailure,
  take
} from "./decoding.ts"

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
interface Case<In> extends Cut<Input<In>> {
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

const anyInput = <In, Out, E>({ codec, frame, others }: Context<In, Out, E>) => casesOf(inputs(codec, frame, others))

/** What the codec has encoded, or a beginning of it. */
const encodedInput = <In, Out, E>({ codec, frame }: Context<In, Out, E>) => casesOf(beginnings(codec, frame))

const nothing = new Uint8Array(0)

// -----------------------------------------------------------------------------
// both directions
// -----------------------------------------------------------------------------

const encode = <In, Out, E>({ codec }: Context<In, Out, E>, frames: ReadonlyArray<In>): Uint8Array =>
  Either.getOrThrowWith(
    codec.encode(frames),
    (failure) => new Error(`${FastCheck.stringify(frames)} cannot be encoded: ${shownFailure(failure)}`)
  )

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

// -----------------------------------------------------------------------------
// chunks
// -----------------------------------------------------------------------------

/** Whatever the chunks, the frames and the failure are those of the bytes in one chunk of their own. */
const chunking =
  (chunksFor: (bytes: Uint8Array, cuts: ReadonlyArray<number>) => ReadonlyArray<ReadonlyArray<Uint8Array>>) =>
  <In, Out, E>(context: Context<In, Out, E>) =>
    FastCheck.property(anyInput(context), ({ bytes, cuts }) => {
      const wanted = outcome(context.codec, [bytes.slice()])
      for (const chunks of chunksFor(bytes, cuts)) {
        const told = shownChunks(chunks)
        expectSame(outcome(context.codec, chunks), wanted, context.equals, () => told)
      }
    })

const notEmpty = (chunk: Uint8Array): boolean => chunk.length > 0

const single = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => Array.from(bytes, (byte) => Uint8Array.of(byte))

const withEmpty = (chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> => [
  new Uint8Array(0),
  ...chunks.flatMap((chunk) => [chunk, new Uint8Array(0)])
]

/** Views of one buffer, which has all the bytes and others around them. */
const views = (bytes: Uint8Array, cuts: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const buffer = concat([distraction, bytes, distraction])
  return [...cuts, bytes.length].map((cut, index) =>
    buffer.subarray(distraction.length + (cuts[index - 1] ?? 0), distraction.length + cut)
  )
}

const distraction = Uint8Array.of(0, 13, 10, 49, 44, 255)

/** Each in a buffer of its own. */
const surrounded = (bytes: Uint8Array, cuts: ReadonlyArray<number>): ReadonlyArray<Uint8Array> =>
  chunksOf(bytes, cuts).flatMap((chunk) => views(chunk, []))

// -----------------------------------------------------------------------------
// values
// -----------------------------------------------------------------------------

/** One decoder, two inputs. */
const value = <In, Out, E>(context: Context<In, Out, E>) => {
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
const unchanged = <In, Out, E>(context: Context<In, Out, E>) =>
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

// -----------------------------------------------------------------------------
// taking over
// -----------------------------------------------------------------------------

const limited = <In, Out, E>(context: Context<In, Out, E>) =>
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
const remaining = <In, Out, E>(context: Context<In, Out, E>) =>
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

/** Where each of the frames begins, and where the last one ends. */
const startsOf = <In, Out, E>(context: Context<In, Out, E>, frames: ReadonlyArray<In>): ReadonlyArray<number> => {
  const starts = [0]
  for (const frame of frames) starts.push(starts.at(-1)! + encode(context, [frame]).length)
  return starts
}

/** After each number of frames, and after a failure, which a new decoder meets at once. */
const handOver = <In, Out, E>(context: Context<In, Out, E>) =>
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

// -----------------------------------------------------------------------------
// the end and failures
// -----------------------------------------------------------------------------

/** The whole frames are there, and of the one within which the input ends either a failure or a shorter frame. */
const truncation = <In, Out, E>(context: Context<In, Out, E>) =>
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

const staysFailed = <In, Out, E>(context: Context<In, Out, E>) =>
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

// -----------------------------------------------------------------------------
// cost
// -----------------------------------------------------------------------------

/** Long inputs: frames again and again, and bytes that may never be a frame. */
const longInput = <In, Out, E>({ codec, frame, others }: Context<In, Out, E>, length: number) =>
  FastCheck.oneof(
    inputs(codec, frame, others).map(({ bytes }) => bytes),
    others,
    FastCheck.uint8Array({ maxLength: 3 })
  ).map((bytes) => {
    const long = new Uint8Array(bytes.length === 0 ? 0 : Math.max(length, bytes.length))
    for (let at = 0; at < long.length; at++) long[at] = bytes[at % bytes.length]!
    return long
  })

const bounded = <In, Out, E>(context: Context<In, Out, E>, maxHeld: number) =>
  FastCheck.property(longInput(context, 2 * maxHeld + 64), (bytes) => {
    // Few bytes at a time, so that no frame is complete before it is seen how much is held of it.
    const size = Math.ceil(bytes.length / 1024)
    let fed = begun(context.codec)
    for (let at = 0; at < bytes.length && fed.failure === undefined; at += size) {
      fed = feed(fed.next, [bytes.slice(at, at + size)])
      const held = fed.failure === undefined ? fed.next.rest().length : 0
      expect(held <= maxHeld, () => `${held} bytes are held, of ${hex(bytes.subarray(0, at + size))}`)
    }
  })

/**
 * A byte counts once for having come, and a frame may cost a little more, whatever its length. One frame at a time costs
 * as much as all at once, so that who looks after each one whether to go on does not pay for it.
 */
const linear = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(longInput(context, 512), (bytes) => {
    const whole = costOf(context, () => feed(context.codec, [bytes]))
    const told = `${bytes.length} bytes with ${whole.frames} frames cost ${whole.cost} in one chunk`
    const frames = perFrame * (1 + whole.frames)
    expect(whole.cost <= perByte * bytes.length + frames, () => `${told}, more than ${perByte} each`)
    const most = 3 * (bytes.length + whole.cost) + frames - bytes.length
    const single = costOf(context, () => feed(context.codec, Array.from(bytes, (byte) => Uint8Array.of(byte))))
    expect(single.cost <= most, () => `${told}, and ${single.cost} byte by byte`)
    const limited = costOf(context, () => take(context.codec, [bytes], Infinity))
    expect(limited.cost <= most, () => `${told}, and ${limited.cost} one frame at a time`)
  })

const perByte = 8
const perFrame = 64

const costOf = <In, Out, E>({ scanned }: Context<In, Out, E>, decode: () => Fed<Out, E>) => {
  const before = scanned()
  const { frames } = decode()
  return { cost: scanned() - before, frames: frames.length }
}

// -----------------------------------------------------------------------------
// all of them
// -----------------------------------------------------------------------------

export const laws = <In, Out, E>(context: Context<In, Out, E>) => ({
  "round trip": roundTrip(context),
  "one by one": encodeEach(context),
  "byte by byte": chunking((bytes) => [single(bytes)])(context),
  "cut anywhere": chunking((bytes, cuts) => [chunksOf(bytes, cuts).filter(notEmpty)])(context),
  "empty chunks": chunking((bytes, cuts) => [withEmpty(chunksOf(bytes, cuts))])(context),
  "bytes around the view": chunking((bytes, cuts) => [views(bytes, cuts), surrounded(bytes, cuts)])(context),
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
