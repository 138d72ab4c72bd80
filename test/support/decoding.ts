import { assert } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Codec from "../../src/Codec.ts"
import { scanned } from "../../src/internal/scanned.ts"
import { joined } from "./bytes.ts"

/** Decodes chunk after chunk, and the end of the input; a failure ends it. */
export const decodeChunks = <Frame, E>(
  decoder: Codec.Decoder<Frame, E>,
  chunks: Iterable<Uint8Array>
): Codec.End<Frame, E> => {
  const frames: Array<Frame> = []
  let next = decoder
  for (const chunk of chunks) {
    const step = next.step(chunk)
    frames.push(...step.frames)
    if (step.failure !== undefined) return { frames, failure: step.failure }
    next = step.next
  }
  const end = next.end()
  return { frames: [...frames, ...end.frames], failure: end.failure }
}

/** Each byte by itself. */
export const bytewise = (wire: Uint8Array): Array<Uint8Array> => Array.from(wire, (byte) => Uint8Array.of(byte))

/** What the decoder makes of these bytes: the same as a whole, cut in two at each place, and byte by byte. */
export const decoded = <Frame, E>(decoder: Codec.Decoder<Frame, E>, ...parts: ReadonlyArray<Uint8Array>) => {
  const wire = joined(parts)
  const whole = plain(Codec.decode(decoder, wire))
  for (let at = 0; at <= wire.length; at++) {
    assert.deepStrictEqual(plain(decodeChunks(decoder, [wire.slice(0, at), wire.slice(at)])), whole, `cut at ${at}`)
  }
  assert.deepStrictEqual(plain(decodeChunks(decoder, bytewise(wire))), whole, "byte by byte")
  return whole
}

/** A failure as a record of its fields, to be compared. */
const plain = <Frame, E>({ failure, frames }: Codec.End<Frame, E>) => ({
  frames,
  failure: failure === undefined ? undefined : fieldsOf(failure)
})

const fieldsOf = (failure: unknown): Record<string, unknown> => ({ ...failure as object })

// The failures, as such records.

export const tooLong = (limit: number, length?: number) => ({ _tag: "FrameTooLong", limit, length })

export const truncated = (held: number) => ({ _tag: "FrameTruncated", held })

export const invalid = (reason: string) => ({ _tag: "InvalidFrame", reason })

/** The bytes of the frames. */
export const encoded = <In, E>(codec: Codec.Encoder<In, E>, ...frames: ReadonlyArray<In>): Uint8Array =>
  Either.getOrThrowWith(codec.encode(frames), (failure) => new Error(`it cannot be encoded: ${String(failure)}`))

/** Why the frames cannot be encoded, as a record. */
export const unencodable = <In, E>(codec: Codec.Encoder<In, E>, ...frames: ReadonlyArray<In>) =>
  Either.match(codec.encode(frames), {
    onLeft: fieldsOf,
    onRight: (bytes) => assert.fail(`it was encoded: ${bytes}`)
  })

/** How many bytes were looked at or copied for a byte of the input. */
export const scansPerByte = <Frame, E>(decoder: Codec.Decoder<Frame, E>, chunks: ReadonlyArray<Uint8Array>): number => {
  const before = scanned.bytes
  decodeChunks(decoder, chunks)
  return (scanned.bytes - before) / chunks.reduce((sum, chunk) => sum + chunk.length, 0)
}
