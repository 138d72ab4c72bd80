/**
 * The laws of how an input is cut: the frames and the failure do not depend on it.
 *
 * @internal
 */
import * as FastCheck from "effect/FastCheck"
import { concat } from "../../internal/bytes.ts"
import { anyInput, type Context } from "./codecCase.ts"
import { chunksOf } from "./cutting.ts"
import { expectSame, outcome, shownChunks } from "./decoding.ts"

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

export const byteByByte = chunking((bytes) => [single(bytes)])

export const cutAnywhere = chunking((bytes, cuts) => [chunksOf(bytes, cuts).filter(notEmpty)])

export const emptyChunks = chunking((bytes, cuts) => [withEmpty(chunksOf(bytes, cuts))])

export const aroundTheView = chunking((bytes, cuts) => [views(bytes, cuts), surrounded(bytes, cuts)])
