import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Varint from "../../src/framing/Varint.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, counting, cut, joined } from "../support/bytes.ts"
import {
  bytewise,
  decodeChunks,
  decoded,
  encoded,
  scansPerByte,
  tooLong,
  truncated,
  unencodable
} from "../support/decoding.ts"

const codec = Varint.make()

/** Node's, whose types have it without its values. */
const { Module } = (globalThis as unknown as {
  readonly WebAssembly: {
    readonly Module: {
      new (bytes: Uint8Array): object
      customSections(module: object, name: string): ReadonlyArray<ArrayBuffer>
    }
  }
}).WebAssembly

describe("the prefix", () => {
  for (
    const [length, prefix] of [
      [0, [0x00]],
      [1, [0x01]],
      [127, [0x7f]],
      [128, [0x80, 0x01]],
      // protobuf.dev, "Encoding": 150 is 96 01.
      [150, [0x96, 0x01]],
      [300, [0xac, 0x02]],
      [16383, [0xff, 0x7f]],
      [16384, [0x80, 0x80, 0x01]],
      [65536, [0x80, 0x80, 0x04]]
    ] as const
  ) {
    it(`of ${length} bytes is ${Buffer.from(prefix).toString("hex")}`, () => {
      const frame = counting(length)
      const wire = joined([Uint8Array.from(prefix), frame])
      assert.deepStrictEqual(encoded(codec, frame), wire)
      assert.deepStrictEqual(codec.step(wire).frames, [frame])
      for (let at = 1; at <= prefix.length; at++) {
        assert.deepStrictEqual(decodeChunks(codec, [wire.slice(0, at), wire.slice(at)]).frames, [frame])
      }
    })

    it(`of ${length} bytes is what WebAssembly reads as an unsigned LEB128`, () => {
      // A custom section: 0, its length as a varint, the length of its name, its name, its content.
      const content = counting(length)
      const module = joined([
        Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0),
        Uint8Array.of(0),
        encoded(Varint.make({ maxLength: 70_000 }), joined([Uint8Array.of(1), ascii("x"), content]))
      ])
      const sections = Module.customSections(new Module(module), "x")
      assert.deepStrictEqual(sections.map((section) => new Uint8Array(section)), [content])
    })
  }

  it("has up to five bytes for 32 bits", () => {
    const wide = Varint.make({ maxLength: 2 ** 32 - 1 })
    assert.deepStrictEqual(decoded(wide, Uint8Array.of(255, 255, 255, 255, 15)).failure, truncated(5))
    assert.deepStrictEqual(
      decoded(wide, Uint8Array.of(255, 255, 255, 255, 16)).failure,
      tooLong(2 ** 32 - 1, undefined)
    )
  })

  it("does not overflow", () => {
    const limit = Number.MAX_SAFE_INTEGER
    const wide = Varint.make({ maxLength: limit })
    assert.deepStrictEqual(decoded(wide, bytes(7, 255), Uint8Array.of(15)).failure, truncated(8))
    assert.deepStrictEqual(decoded(wide, bytes(7, 128), Uint8Array.of(16)).failure, tooLong(limit, undefined))
    assert.deepStrictEqual(decoded(wide, bytes(9, 255), Uint8Array.of(1)).failure, tooLong(limit, undefined))
    assert.deepStrictEqual(decoded(wide, bytes(9, 128), Uint8Array.of(1)).failure, tooLong(limit, undefined))
  })

  it("may go on with zeros, up to ten bytes", () => {
    assert.deepStrictEqual(
      decoded(
        codec,
        Uint8Array.of(0x81, 0x80, 0x00),
        ascii("a"),
        bytes(9, 0x80),
        Uint8Array.of(0),
        Uint8Array.of(1, 98)
      ),
      { frames: [ascii("a"), bytes(0), ascii("b")], failure: undefined }
    )
    assert.deepStrictEqual(decoded(codec, bytes(10, 0x80), Uint8Array.of(0)), {
      frames: [],
      failure: { _tag: "InvalidFrame", reason: "its length has more than 10 bytes" }
    })
    assert.strictEqual(codec.step(bytes(9, 0x80)).failure, undefined)
    assert.strictEqual(codec.step(bytes(10, 0x80)).failure?._tag, "InvalidFrame")
  })
})

describe("maxLength", () => {
  it("is 65536 bytes, these included", () => {
    assert.deepStrictEqual(codec.step(encoded(codec, bytes(65536))).frames, [bytes(65536)])
    assert.deepStrictEqual(unencodable(codec, bytes(65537)), tooLong(65536, 65537))
    assert.deepStrictEqual(decoded(codec, Uint8Array.of(0x81, 0x80, 0x04)).failure, tooLong(65536, undefined))
  })

  it("is refused with the byte of the prefix that exceeds it, and without a frame that is complete", () => {
    const short = Varint.make({ maxLength: 200 })
    assert.strictEqual(short.step(Uint8Array.of(0xc8)).failure, undefined)
    assert.deepStrictEqual(decoded(short, Uint8Array.of(0xc8, 1), bytes(200)).frames, [bytes(200)])
    assert.deepStrictEqual(decoded(short, Uint8Array.of(0xc9, 1), bytes(201)), {
      frames: [],
      failure: tooLong(200, undefined)
    })
    assert.strictEqual(short.step(Uint8Array.of(0xff, 0xff)).failure?._tag, "FrameTooLong")
  })

  it("that is no number of bytes is a bug of the caller", () => {
    for (const maxLength of [-1, 0.5, Infinity, NaN]) assert.throws(() => Varint.make({ maxLength }), RangeError)
  })
})

describe("the input", () => {
  it("can be empty, and have frames of no bytes", () => {
    assert.deepStrictEqual(decoded(codec), { frames: [], failure: undefined })
    assert.deepStrictEqual(decoded(codec, bytes(2)).frames, [bytes(0), bytes(0)])
    assert.deepStrictEqual(encoded(codec, bytes(0), bytes(0)), bytes(2))
  })

  it("can end within a prefix, or a frame", () => {
    assert.deepStrictEqual(decoded(codec, Uint8Array.of(0x80)).failure, truncated(1))
    assert.deepStrictEqual(decoded(codec, Uint8Array.of(1, 9, 2, 9)), { frames: [bytes(1, 9)], failure: truncated(2) })
  })

  it("that is cut gives the same frames", () => {
    const frames = [ascii("a"), counting(200), bytes(0), counting(129)]
    assert.deepStrictEqual(decoded(codec, encoded(codec, ...frames)), { frames, failure: undefined })
  })

  it("gives views of its bytes", () => {
    const wire = encoded(codec, counting(5), counting(200))
    const { frames } = codec.step(wire)
    assert.deepStrictEqual(frames.map((frame) => [frame.buffer, frame.byteOffset]), [[wire.buffer, 1], [
      wire.buffer,
      8
    ]])
  })

  it("takes no memory for what is only announced", () => {
    const { next } = codec.step(Uint8Array.of(0x80, 0x80, 0x04))
    assert.isAtMost(next.rest().buffer.byteLength, 64)
  })

  it("is looked at a bounded number of times, whatever the chunks", () => {
    const wire = encoded(codec, ...Array.from({ length: 2000 }, (_, at) => bytes(at % 300)))
    assert.isBelow(scansPerByte(codec, bytewise(wire)), 4)
    assert.isBelow(scansPerByte(codec, cut(wire, [100])), 4)
  })
})

describe("the laws", () => {
  const codec = Varint.make({ maxLength: 300 })
  const frames = FastCheck.oneof(FastCheck.uint8Array({ maxLength: 5 }), FastCheck.nat(300).map(counting))
  const prefixes = FastCheck.array(FastCheck.constantFrom(0, 1, 2, 0x7f, 0x80, 0x81, 0xff), { maxLength: 24 })
  const inputs = prefixes.map((prefix) => Uint8Array.from(prefix))
  for (const { name, run } of CodecLaws.laws({ codec, frames, inputs, maxHeld: 310 })) it(name, run)
})
