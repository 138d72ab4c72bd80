import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Codec from "../../src/Codec.ts"
import * as Cobs from "../../src/framing/Cobs.ts"
import * as Delimited from "../../src/framing/Delimited.ts"
import * as FixedLength from "../../src/framing/FixedLength.ts"
import * as IntPrefixed from "../../src/framing/IntPrefixed.ts"
import * as LengthField from "../../src/framing/LengthField.ts"
import * as Lines from "../../src/framing/Lines.ts"
import * as MsgPack from "../../src/framing/MsgPack.ts"
import * as Ndjson from "../../src/framing/Ndjson.ts"
import * as Netstring from "../../src/framing/Netstring.ts"
import * as SchemaCodec from "../../src/framing/SchemaCodec.ts"
import * as Varint from "../../src/framing/Varint.ts"
import { scanned } from "../../src/internal/scanned.ts"
import { ascii, joined, text } from "../support/bytes.ts"
import { encoded } from "../support/decoding.ts"
import { thorough } from "../support/runs.ts"

const mebibyte = 1024 * 1024

interface Format {
  /** A mebibyte of frames, whole ones. Any number of times, it is the input. */
  readonly wire: Uint8Array
  readonly decoder: Codec.Decoder<unknown, unknown>
}

/** Frames of all lengths up to 2000, as often as they go into a mebibyte. */
const format = <Frame>(codec: Codec.Codec<Frame, unknown, unknown>, frameOf: (text: string) => Frame): Format => {
  const parts: Array<Uint8Array> = []
  for (let size = 0, length = 0;; length = (length * 7 + 1) % 2001) {
    const part = encoded(codec, frameOf("0123456789".repeat(200).slice(0, length)))
    size += part.length
    if (size > mebibyte) return { wire: joined(parts), decoder: codec }
    parts.push(part)
  }
}

const bytesOf = (codec: Codec.Codec<Uint8Array, unknown, unknown>): Format => format(codec, ascii)

const textOf = (codec: Codec.Codec<string, unknown, unknown>): Format => format(codec, (text) => text)

const lines = Lines.text()

/** Netstrings: a length and a colon, and then so many bytes and a comma. */
const lengths = Codec.map(Delimited.make({ delimiters: [":"] }), (digits) => Number(text(digits)))

const switched = Codec.switchTo(
  lengths,
  (frame: number | Uint8Array) => typeof frame === "number" ? FixedLength.make({ length: frame + 1 }) : lengths
)

const formats: { readonly [name: string]: () => Format } = {
  Lines: () => bytesOf(Lines.make()),
  "Lines, as text": () => textOf(lines),
  "Lines, ended by CRLF": () => bytesOf(Lines.make({ delimiter: "\r\n" })),
  Delimited: () => bytesOf(Delimited.make({ delimiters: ["ABCD", "B"] })),
  Cobs: () => bytesOf(Cobs.make()),
  LengthField: () => bytesOf(LengthField.make()),
  "IntPrefixed, 16 bits": () => bytesOf(IntPrefixed.int16()),
  "IntPrefixed, 32 bits": () => bytesOf(IntPrefixed.int32()),
  Varint: () => bytesOf(Varint.make()),
  Netstring: () => bytesOf(Netstring.make()),
  FixedLength: () => format(FixedLength.make({ length: 1000 }), () => new Uint8Array(1000)),
  Ndjson: () => format(Ndjson.make(), (text) => ({ text, list: [...text.slice(0, 20)] })),
  MsgPack: () => format(MsgPack.make(), (text) => ({ text, list: [...text.slice(0, 20)] })),
  SchemaCodec: () =>
    format(SchemaCodec.make(Ndjson.make(), Schema.Struct({ text: Schema.String })), (text) => ({ text })),
  "Codec.pipe": () => textOf(Codec.pipe(Netstring.make(), lines)),
  "Codec.orElse": () => ({
    ...textOf(lines),
    decoder: Codec.orElse(Netstring.make(), lines, Codec.startsWith(ascii("5:")))
  }),
  "Codec.switchTo": () => ({ ...bytesOf(Netstring.make()), decoder: switched })
}

const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))

function* singly(wire: Uint8Array, times: number) {
  for (let count = 0; count < times; count++) for (const byte of wire) yield bytes[byte]!
}

/** With frames that lie across the ends of chunks. */
function* inChunks(wire: Uint8Array, times: number) {
  const twice = joined([wire, wire])
  for (let at = 0; at < times * wire.length; at += 65536) {
    const from = at % wire.length
    yield twice.subarray(from, from + Math.min(65536, times * wire.length - at))
  }
}

/** How many bytes were looked at or copied, and how many frames there were. */
const decode = (decoder: Codec.Decoder<unknown, unknown>, chunks: Iterable<Uint8Array>) => {
  const before = scanned.bytes
  let next = decoder
  let frames = 0
  for (const chunk of chunks) {
    const step = next.step(chunk)
    // 64 million times: an assertion for each costs minutes.
    if (step.failure !== undefined) assert.isUndefined(step.failure)
    frames += step.frames.length
    next = step.next
  }
  return { cost: scanned.bytes - before, frames }
}

describe("byte by byte, decoding costs three times what it does in chunks of 64 KiB, at most", () => {
  for (const [name, make] of Object.entries(formats)) {
    const times = thorough || name === "Lines" ? 64 : 1
    it(`${times} MiB of ${name}`, () => {
      const { decoder, wire } = make()
      const large = decode(decoder, inChunks(wire, times))
      const small = decode(decoder, singly(wire, times))
      assert.strictEqual(small.frames, large.frames)
      assert.isAbove(small.frames, 0)
      // Each byte counts once for having come: of a frame that is a view, none is looked at.
      const size = times * wire.length
      assert.isAtMost((small.cost + size) / size, 3 * (large.cost + size) / size)
    }, 600_000)
  }
})
