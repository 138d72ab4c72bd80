/** What is measured of a format: this library's codec, or a package in its place. */
import * as Either from "effect/Either"
import type * as Codec from "effect-transport/Codec"

export type Direction = "decode" | "encode"

/** `peers/codecs/*.mjs` are modules of this form. What comes out of it goes to `seen`, one by one. */
export interface Side {
  readonly decoder: (seen: (frame: unknown) => void, size: number) => (chunks: ReadonlyArray<Buffer>) => unknown
  /** Some packages only decode. */
  readonly encoder?: (seen: (bytes: Uint8Array) => void) => (messages: ReadonlyArray<never>) => unknown
}

/** This library's, which encodes so many messages at once. */
export const own = (codec: Codec.Codec<never, unknown, unknown>, batch: number): Required<Side> => ({
  decoder: (seen) => {
    let decoder: Codec.Decoder<unknown, unknown> = codec
    return (chunks) => {
      for (const chunk of chunks) {
        const { failure, frames, next } = decoder.step(chunk)
        if (failure !== undefined) throw failure
        for (const frame of frames) seen(frame)
        decoder = next
      }
    }
  },
  encoder: (seen) => (messages) => {
    for (let from = 0; from < messages.length; from += batch) {
      seen(Either.getOrThrow(codec.encode(messages.slice(from, from + batch))))
    }
  }
})
