import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Codec from "../../src/Codec.ts"
import * as Cobs from "../../src/framing/Cobs.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, counting, cut, joined } from "../support/bytes.ts"
import { bytewise, decoded, encoded, scansPerByte, tooLong, truncated, unencodable } from "../support/decoding.ts"

const codec = Cobs.make()

const incomplete = { _tag: "InvalidFrame", reason: "its last block is incomplete" }

const from = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"))

const through = (first: number, last: number): Uint8Array => counting(last - first + 1, first)

const frames = (...frames: ReadonlyArray<Uint8Array>) => ({ frames, failure: undefined })

describe("a frame", () => {
  // npm cobs 0.2.1 (`cobs.encode`), with the delimiter behind it.
  for (
    const [what, frame, wire] of [
      ["no byte", from(""), from("01 00")],
      ["a zero", from("00"), from("01 01 00")],
      ["two zeros", from("00 00"), from("01 01 01 00")],
      ["zeros around a byte", from("00 11 00"), from("01 02 11 01 00")],
      ["a zero within", from("11 22 00 33"), from("03 11 22 02 33 00")],
      ["zeros at the end", from("11 00 00 00"), from("02 11 01 01 01 00")],
      ["text", ascii("Hello world\0!\0\0"), from("0c 48656c6c6f20776f726c64 02 21 01 01 00")],
      ["one byte more than a block", through(1, 255), joined([from("ff"), through(1, 254), from("02 ff 00")])],
      [
        "a zero behind a full block",
        joined([through(2, 255), from("00")]),
        joined([from("ff"), through(2, 255), from("01 01 00")])
      ],
      [
        "a zero within a block",
        joined([through(3, 255), from("00 01")]),
        joined([from("fe"), through(3, 255), from("02 01 00")])
      ]
    ] as const
  ) {
    it(`of ${what} is the same in both directions`, () => {
      assert.deepStrictEqual(encoded(codec, frame), wire)
      assert.deepStrictEqual(decoded(codec, wire), frames(frame))
    })
  }

  // npm cobs 0.2.1 writes one more block, of nothing, behind a full one: code 1.
  it("of full blocks has no empty one at its end, and may have one", () => {
    const full = through(1, 254)
    assert.deepStrictEqual(encoded(codec, full), joined([from("ff"), full, from("00")]))
    assert.deepStrictEqual(decoded(codec, from("ff"), full, from("01 00")), frames(full))
    const zero = joined([from("00"), full])
    assert.deepStrictEqual(encoded(codec, zero), joined([from("01 ff"), full, from("00")]))
    assert.deepStrictEqual(decoded(codec, from("01 ff"), full, from("01 00")), frames(zero))
    assert.strictEqual(encoded(codec, bytes(508, 7)).length, 511)
  })

  it("is written after another, in one buffer", () => {
    const wire = encoded(codec, from("11"), from(""), from("00"))
    assert.deepStrictEqual(wire, from("02 11 00 01 00 01 01 00"))
    assert.deepStrictEqual(decoded(codec, wire), frames(from("11"), from(""), from("00")))
    assert.deepStrictEqual(encoded(codec), from(""))
  })

  it("is not what lies between zeros that follow each other", () => {
    assert.deepStrictEqual(decoded(codec, from("00 00 02 11 00 00 02 22 00 00")), frames(from("11"), from("22")))
    assert.deepStrictEqual(codec.step(from("00 02 11 00 00 02 22 00"), 1).unread, from("00 02 22 00"))
  })

  it("is a copy: the bytes of the chunk may be used again", () => {
    const chunk = from("02 11 00")
    const [frame] = codec.step(chunk).frames
    chunk.fill(0xff)
    assert.deepStrictEqual(frame, from("11"))
  })
})

describe("a frame is refused", () => {
  it("if its last block is incomplete, after the frames before it", () => {
    assert.deepStrictEqual(decoded(codec, from("02 11 00 03 22 00")), { frames: [from("11")], failure: incomplete })
    assert.deepStrictEqual(decoded(codec, from("ff 01 00")), { frames: [], failure: incomplete })
    assert.deepStrictEqual(decoded(codec, from("02 11 02 00")), { frames: [], failure: incomplete })
  })

  it("if the input ends within it", () => {
    assert.deepStrictEqual(decoded(codec, from("02 11 00 03 22")), { frames: [from("11")], failure: truncated(2) })
  })

  it("if it is too long, also if its blocks are full and it is written with few bytes more", () => {
    const small = Cobs.make({ maxLength: 3 })
    assert.deepStrictEqual(decoded(small, from("04 11 22 33 00")), frames(from("11 22 33")))
    assert.deepStrictEqual(decoded(small, from("01 01 01 01 00")), frames(from("00 00 00")))
    assert.deepStrictEqual(decoded(small, from("05 11 22 33 44 00")), { frames: [], failure: tooLong(3) })
    assert.deepStrictEqual(decoded(small, from("05 11 22 33 44")), { frames: [], failure: tooLong(3) })
    assert.deepStrictEqual(unencodable(small, from("11 22 33 44")), tooLong(3, 4))
    const block = Cobs.make({ maxLength: 254 })
    const full = through(1, 254)
    assert.deepStrictEqual(decoded(block, from("ff"), full, from("01 00")), frames(full))
    assert.deepStrictEqual(
      Codec.decode(block, joined([from("ff"), through(1, 254), from("02 ff 00")])).failure?._tag,
      "FrameTooLong"
    )
    assert.deepStrictEqual(decoded(block, bytes(255, 1), from("00")), frames(bytes(254)))
    assert.deepStrictEqual(decoded(block, bytes(256, 1), from("00")), { frames: [], failure: tooLong(254) })
  })

  it("from 65537 bytes on, if nothing else is said", () => {
    const wire = encoded(codec, bytes(65536, 1))
    assert.strictEqual(wire.length, 65536 + 259 + 1)
    assert.deepStrictEqual(Codec.decode(codec, wire).frames, [bytes(65536, 1)])
    assert.deepStrictEqual(unencodable(codec, bytes(65537, 1)), tooLong(65536, 65537))
    assert.throws(() => Cobs.make({ maxLength: -1 }), RangeError, /^maxLength/)
  })
})

describe("the cost", () => {
  it("is linear, whatever the chunks", () => {
    const wire = encoded(codec, ...Array.from({ length: 100 }, () => counting(100)))
    for (const chunks of [[wire], cut(wire, [1000]), cut(wire, [7]), bytewise(wire)]) {
      assert.isBelow(scansPerByte(codec, chunks), 6)
    }
  })
})

describe("the laws", () => {
  const byte = FastCheck.constantFrom(0, 0, 1, 2, 255)
  const short = FastCheck.array(byte, { maxLength: 12 }).map((all) => Uint8Array.from(all))
  const blocks = FastCheck.array(FastCheck.constantFrom(from("00"), bytes(1, 7), bytes(253, 7), bytes(254, 7)), {
    maxLength: 2
  }).map(joined)
  const inputs = FastCheck.array(FastCheck.constantFrom(0, 1, 2, 3, 255), { maxLength: 12 })
    .map((all) => Uint8Array.from(all))

  for (
    const [what, frames, maxLength] of [["short frames", short, 12], ["long frames", blocks, 508]] as const
  ) {
    describe(`hold for ${what}`, () => {
      const codec = Cobs.make({ maxLength })
      for (const { name, run } of CodecLaws.laws({ codec, frames, inputs, maxHeld: maxLength + 5 })) it(name, run)
    })
  }
})
