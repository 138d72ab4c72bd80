import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as FixedLength from "../../src/framing/FixedLength.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, counting, cut } from "../support/bytes.ts"
import { bytewise, decodeChunks, decoded, encoded, scansPerByte, unencodable } from "../support/decoding.ts"

describe("FixedLength", () => {
  const codec = FixedLength.make({ length: 3 })

  it("cuts the input into frames of so many bytes", () => {
    const wire = ascii("abcdefghi")
    const frames = [ascii("abc"), ascii("def"), ascii("ghi")]
    assert.deepStrictEqual(decoded(codec, wire), { frames, failure: undefined })
    assert.deepStrictEqual(encoded(codec, ...frames), wire)
  })

  it("can be one byte", () => {
    const one = FixedLength.make({ length: 1 })
    assert.deepStrictEqual(decoded(one, ascii("ab")).frames, [ascii("a"), ascii("b")])
  })

  it("has nothing for no input", () => {
    assert.deepStrictEqual(decoded(codec), { frames: [], failure: undefined })
    assert.deepStrictEqual(encoded(codec), bytes(0))
  })

  it("is truncated by an end within a frame", () => {
    assert.deepStrictEqual(decoded(codec, ascii("abcd")), {
      frames: [ascii("abc")],
      failure: { _tag: "FrameTruncated", held: 1 }
    })
    assert.deepStrictEqual(decoded(codec, ascii("ab")).failure, { _tag: "FrameTruncated", held: 2 })
  })

  it("refuses to encode another length", () => {
    for (const length of [0, 2, 4]) {
      const reason = `its length is ${length} and must be 3`
      assert.deepStrictEqual(unencodable(codec, ascii("abc"), bytes(length)), { _tag: "InvalidFrame", reason })
    }
  })

  it("gives views of the input", () => {
    const wire = ascii("abcdef")
    const { frames } = codec.step(wire)
    assert.deepStrictEqual(frames.map((frame) => [frame.buffer, frame.byteOffset]), [[wire.buffer, 0], [
      wire.buffer,
      3
    ]])
  })

  it("takes memory as bytes come", () => {
    const long = FixedLength.make({ length: 2 ** 31 })
    assert.isAtMost(long.step(bytes(1)).next.rest().buffer.byteLength, 64)
  })

  it("looks at bytes a bounded number of times, whatever the chunks", () => {
    const long = FixedLength.make({ length: 10_000 })
    const wire = counting(100_000)
    assert.strictEqual(decodeChunks(long, cut(wire, [7])).frames.length, 10)
    assert.isBelow(scansPerByte(long, bytewise(wire)), 4)
    assert.isBelow(scansPerByte(long, cut(wire, [999])), 4)
  })

  it("of no whole number of bytes is a bug of the caller", () => {
    for (const length of [0, -1, 1.5, NaN, Infinity]) {
      assert.throws(() => FixedLength.make({ length }), RangeError, /^length is a whole number from 1 to/)
    }
  })
})

describe("the laws", () => {
  for (const length of [1, 3, 100]) {
    describe(`hold for a length of ${length}`, () => {
      const codec = FixedLength.make({ length })
      const frames = FastCheck.uint8Array({ minLength: length, maxLength: length })
      for (const { name, run } of CodecLaws.laws({ codec, frames, maxHeld: length })) it(name, run)
    })
  }
})
