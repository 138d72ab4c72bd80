/**
 * What the laws of codecs do with decoders, and how they tell what they expected.
 *
 * @internal
 */
import * as FastCheck from "effect/FastCheck"
import type { Decoder } from "../../Codec.ts"
import { append, concat } from "../../internal/bytes.ts"
import { hex } from "./codecInput.ts"
import { same, sameBytes } from "./same.ts"

export type Equals<Out> = (left: Out, right: Out) => boolean

/** What became of an input up to some place in it. */
export interface Fed<Out, E> {
  readonly frames: ReadonlyArray<Out>
  readonly next: Decoder<Out, E>
  readonly failure: E | undefined
  /** What was not taken, in order. */
  readonly unread: ReadonlyArray<Uint8Array>
}

/** What became of an input and its end. */
export interface Outcome<Out> {
  readonly frames: ReadonlyArray<Out>
  readonly failure: unknown
}

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

/** Chunk after chunk, up to a failure. */
export const feed = <Out, E>(decoder: Decoder<Out, E>, chunks: ReadonlyArray<Uint8Array>): Fed<Out, E> => {
  const frames: Array<Out> = []
  let next = decoder
  for (const [index, chunk] of chunks.entries()) {
    const step = next.step(chunk)
    frames.push(...step.frames)
    next = step.next
    expect(
      step.failure !== undefined || step.unread.length === 0,
      () => `Without a limit, ${hex(step.unread)} is unread`
    )
    if (step.failure !== undefined) {
      return { frames, next, failure: step.failure, unread: [step.unread, ...chunks.slice(index + 1)] }
    }
  }
  return { frames, next, failure: undefined, unread: [] }
}

export const begun = <Out, E>(decoder: Decoder<Out, E>): Fed<Out, E> => ({
  frames: [],
  next: decoder,
  failure: undefined,
  unread: []
})

/** With one more chunk. */
export const goOn = <Out, E>(fed: Fed<Out, E>, chunk: Uint8Array): Fed<Out, E> => {
  if (fed.failure !== undefined) return { ...fed, unread: [...fed.unread, chunk] }
  const more = feed(fed.next, [chunk])
  return { ...more, frames: [...fed.frames, ...more.frames] }
}

/** The first `count` frames, one at a time; fewer if there are no more, or if one fails. */
export const take = <Out, E>(
  decoder: Decoder<Out, E>,
  chunks: ReadonlyArray<Uint8Array>,
  count: number
): Fed<Out, E> => {
  const frames: Array<Out> = []
  let next = decoder
  const unread = [...chunks]
  const most = concat(chunks).length
  while (frames.length < count && unread.length > 0) {
    const step = next.step(unread[0]!, 1)
    frames.push(...step.frames)
    expect(frames.length <= most, () => `There are more frames than bytes: ${shownChunks(chunks)}`)
    next = step.next
    if (step.failure !== undefined) return { frames, next, failure: step.failure, unread: unread.with(0, step.unread) }
    if (step.frames.length === 0 || step.unread.length === 0) unread.shift()
    else unread[0] = step.unread
  }
  return { frames, next, failure: undefined, unread }
}

/** What whoever takes over reads first. */
export const leftOver = <Out, E>({ next, unread }: Fed<Out, E>): Uint8Array => append(next.rest(), concat(unread))

export const ended = <Out, E>({ failure, frames, next }: Fed<Out, E>): Outcome<Out> => {
  if (failure !== undefined) return { frames, failure }
  const end = next.end()
  return { frames: [...frames, ...end.frames], failure: end.failure }
}

export const outcome = <Out, E>(decoder: Decoder<Out, E>, chunks: ReadonlyArray<Uint8Array>): Outcome<Out> =>
  ended(feed(decoder, chunks))

// -----------------------------------------------------------------------------
// expectations
// -----------------------------------------------------------------------------

export const expect = (holds: boolean, told: () => string): void => {
  if (!holds) throw new Error(told())
}

const sameFrames = <Out>(
  left: ReadonlyArray<Out>,
  right: ReadonlyArray<Out>,
  equals: Equals<Out>
): boolean => left.length === right.length && left.every((frame, index) => equals(frame, right[index]!))

export const shownFailure = (failure: unknown): string =>
  failure === undefined
    ? "no failure"
    : `the failure ${failure instanceof Error ? `${failure.name}: ${failure.message}` : FastCheck.stringify(failure)}`

const told = ({ failure, frames }: Outcome<unknown>): string =>
  `the frames ${FastCheck.stringify(frames)} and ${shownFailure(failure)}`

export const expectSame = <Out>(
  seen: Outcome<Out>,
  wanted: Outcome<Out>,
  equals: Equals<Out>,
  what: () => string
): void =>
  expect(
    sameFrames(seen.frames, wanted.frames, equals) && same(seen.failure, wanted.failure),
    () => `${what()}: there are to be ${told(wanted)}, and there are ${told(seen)}`
  )

export const expectBytes = (seen: Uint8Array, wanted: Uint8Array, what: () => string): void =>
  expect(sameBytes(seen, wanted), () => `${what()}: these are to be ${hex(wanted)}, and are ${hex(seen)}`)

export const shownChunks = (chunks: ReadonlyArray<Uint8Array>): string => `in the chunks ${chunks.map(hex).join(" | ")}`
