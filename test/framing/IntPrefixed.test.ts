import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Codec from "../../src/Codec.ts"
import * as IntPrefixed from "../../src/framing/IntPrefixed.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, counting, joined } from "../support/bytes.ts"
import { decoded, encoded, tooLong, unencodable } from "../support/decoding.ts"

const hello = ascii("hello")

describe("IntPrefixed", () => {
  // Python: struct.pack(format, 5) + b"hello".
  for (
    const [name, codec, format, prefix] of [
      ["int8", IntPrefixed.int8(), "!B", [5]],
      ["int16", IntPrefixed.int16(), "!H", [0, 5]],
      ["int32", IntPrefixed.int32(), "!I", [0, 0, 0, 5]],
      ["int16, little end first", IntPrefixed.int16({ endianness: "little" }), "<H", [5, 0]],
      ["int32, little end first", IntPrefixed.int32({ endianness: "little" }), "<I", [5, 0, 0, 0]]
    ] as const
  ) {
    it(`${name} is Python's struct.pack("${format}", length) and the bytes`, () => {
      const wire = joined([Uint8Array.from(prefix), hello])
      assert.deepStrictEqual(encoded(codec, hello), wire)
      assert.deepStrictEqual(decoded(codec, wire), { frames: [hello], failure: undefined })
    })

    it(`${name} has frames of no bytes, and ends between any two`, () => {
      const nothing = new Uint8Array(prefix.length)
      const wire = encoded(codec, bytes(0), hello, bytes(0))
      assert.deepStrictEqual(wire, joined([nothing, Uint8Array.from(prefix), hello, nothing]))
      assert.deepStrictEqual(decoded(codec, wire), { frames: [bytes(0), hello, bytes(0)], failure: undefined })
      assert.deepStrictEqual(decoded(codec), { frames: [], failure: undefined })
    })

    it(`${name} that ends within a frame is truncated`, () => {
      const wire = encoded(codec, hello)
      for (let held = 1; held < wire.length; held++) {
        assert.deepStrictEqual(decoded(codec, wire.slice(0, held)).failure, { _tag: "FrameTruncated", held })
      }
    })
  }

  it("int8 holds 255 bytes", () => {
    const frame = counting(255)
    assert.deepStrictEqual(decoded(IntPrefixed.int8(), encoded(IntPrefixed.int8(), frame)).frames, [frame])
    assert.deepStrictEqual(unencodable(IntPrefixed.int8(), bytes(256)), tooLong(255, 256))
  })

  it("int16 holds 65535 bytes", () => {
    const frame = bytes(65535, 1)
    assert.deepStrictEqual(Codec.decode(IntPrefixed.int16(), encoded(IntPrefixed.int16(), frame)).frames, [frame])
    assert.deepStrictEqual(unencodable(IntPrefixed.int16(), bytes(65536)), tooLong(65535, 65536))
  })

  it("int32 holds 65536 bytes if nothing else is said, and refuses more by the prefix alone", () => {
    assert.strictEqual(encoded(IntPrefixed.int32(), bytes(65536)).length, 65540)
    assert.deepStrictEqual(unencodable(IntPrefixed.int32(), bytes(65537)), tooLong(65536, 65537))
    assert.deepStrictEqual(decoded(IntPrefixed.int32(), Uint8Array.of(0, 1, 0, 1)).failure, tooLong(65536, 65537))
    // What an HTTP server would send: "HTTP" as a length.
    assert.deepStrictEqual(decoded(IntPrefixed.int32(), ascii("HTTP/1.1")).failure, tooLong(65536, 0x48545450))
  })

  for (
    const [name, make] of Object.entries({ int8: IntPrefixed.int8, int16: IntPrefixed.int16, int32: IntPrefixed.int32 })
  ) {
    it(`${name} has a limit, these bytes included, and delivers no longer frame even if it is complete`, () => {
      const codec = make({ maxLength: 10 })
      const fits = encoded(codec, bytes(10))
      assert.deepStrictEqual(decoded(codec, fits).frames, [bytes(10)])
      assert.deepStrictEqual(unencodable(codec, bytes(11)), tooLong(10, 11))
      assert.deepStrictEqual(decoded(codec, fits, encoded(make(), bytes(11))), {
        frames: [bytes(10)],
        failure: tooLong(10, 11)
      })
    })
  }
})

describe("the laws", () => {
  for (
    const [name, codec] of [
      ["int8", IntPrefixed.int8({ maxLength: 50 })],
      ["int16", IntPrefixed.int16({ maxLength: 50 })],
      ["int32", IntPrefixed.int32({ maxLength: 50, endianness: "little" })]
    ] as const
  ) {
    describe(`hold for ${name}`, () => {
      const frames = FastCheck.uint8Array({ maxLength: 20 })
      for (const { name, run } of CodecLaws.laws({ codec, frames, maxHeld: 54 })) it(name, run)
    })
  }
})

it("of a Buffer, as a socket gives it, frames are plain Uint8Arrays, whose slice copies", () => {
  const { frames } = IntPrefixed.int8().step(Buffer.from([2, 7, 8]))
  assert.strictEqual(frames[0]!.constructor, Uint8Array)
  assert.notStrictEqual(frames[0]!.slice().buffer, frames[0]!.buffer)
})
