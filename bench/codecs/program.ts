/**
 * One side of one format, in a process of its own, in which V8 has compiled for nothing else:
 *
 *   program FORMAT SIZE decode|encode PEER check            whether what comes out is right
 *   program FORMAT SIZE decode|encode PEER SECONDS          after as long a warm-up; prints messages per second
 *
 * PEER is the module of a package, or "" for this library's own codec.
 */
import { isDeepStrictEqual } from "node:util"
import * as Codec from "effect-transport/Codec"
import * as formats from "./formats.ts"
import type { Direction, Side } from "./side.ts"
import { own } from "./side.ts"

const total = 4 * 1024 * 1024
const batchSize = 64 * 1024

const [key, sizeText, direction, peer, task] = process.argv.slice(2) as [string, string, Direction, string, string]
const size = Number(sizeText)
const { codec: make, message } = formats.all.find((format) => format.key === key)!
const codec = make(size)
const library = own(codec, batchSize / size)

// -----------------------------------------------------------------------------
// input
// -----------------------------------------------------------------------------

const messages = Array.from({ length: total / size }, (_, index) => message(size, index) as never)

const batches: Array<Uint8Array> = []
library.encoder((bytes) => batches.push(bytes))(messages)
const encoded = Buffer.concat(batches)

/** Each in memory of its own, as from a socket. Of this size, they cut messages of 64 KiB at all places. */
const chunkSize = 63 * 1024
const chunks = Array.from({ length: Math.ceil(encoded.length / chunkSize) }, (_, index) => {
  const bytes = Uint8Array.from(encoded.subarray(index * chunkSize, (index + 1) * chunkSize))
  return Buffer.from(bytes.buffer)
})

// -----------------------------------------------------------------------------
// runs
// -----------------------------------------------------------------------------

const { decoder, encoder } = peer === "" ? library : await import(peer) as Side

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Runs all messages through once; perhaps some come out of a stream a turn later. */
const start = (seen: (output: never) => void): () => unknown => {
  if (direction === "decode") {
    const decode = decoder(seen as (frame: unknown) => void, size)
    return () => decode(chunks)
  }
  const encode = encoder!(seen as (bytes: Uint8Array) => void)
  return () => encode(messages)
}

const check = async (): Promise<void> => {
  const outputs: Array<never> = []
  const run = start((output) => outputs.push(output))
  await run()
  await turn()
  const { frames } = direction === "decode" ? { frames: outputs } : Codec.decode(codec, Buffer.concat(outputs))
  const isRight = frames.length === messages.length && frames.every((frame, index) => isSame(frame, messages[index]))
  if (!isRight) throw new Error(`What comes out is not right: ${process.argv.slice(2).join(" ")}`)
}

const isSame = (a: unknown, b: unknown): boolean =>
  a instanceof Uint8Array && b instanceof Uint8Array ? Buffer.compare(a, b) === 0 : isDeepStrictEqual(a, b)

/** Messages per second. */
const rate = async (seconds: number): Promise<number> => {
  const out = { count: 0 }
  const run = start(
    direction === "decode" ? () => out.count++ : ({ length }: Uint8Array) => out.count += length
  )
  await run()
  await turn()
  const all = out.count
  const repeat = async () => {
    const since = performance.now()
    for (let passes = 1;; passes++) {
      out.count = 0
      await run()
      while (out.count < all) await turn()
      const elapsed = (performance.now() - since) / 1000
      if (elapsed >= seconds) return passes * messages.length / elapsed
    }
  }
  await repeat()
  return repeat()
}

if (task === "check") await check()
const figure = task === "check" ? 0 : await rate(Number(task))
console.log(JSON.stringify({ figure, bytes: encoded.length / messages.length }))
