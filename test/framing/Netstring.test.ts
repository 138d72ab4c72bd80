import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Codec from "../../src/Codec.ts"
import * as FixedLength from "../../src/framing/FixedLength.ts"
import * as Netstring from "../../src/framing/Netstring.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, cut, text } from "../support/bytes.ts"
import {
  bytewise,
  decoded,
  encoded,
  invalid,
  scansPerByte,
  tooLong,
  truncated,
  unencodable
} from "../support/decoding.ts"

const codec = Netstring.make()

describe("Netstring", () => {
  it("is that of http://cr.yp.to/proto/netstrings.txt", () => {
    const wire = Uint8Array.of(
      ...[0x31, 0x32, 0x3a, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20, 0x77, 0x6f, 0x72, 0x6c, 0x64, 0x21, 0x2c]
    )
    assert.deepStrictEqual(encoded(codec, ascii("hello world!")), wire)
    assert.deepStrictEqual(decoded(codec, wire), { frames: [ascii("hello world!")], failure: undefined })
    assert.deepStrictEqual(encoded(codec, bytes(0)), ascii("0:,"))
    assert.deepStrictEqual(decoded(codec, ascii("0:,")), { frames: [bytes(0)], failure: undefined })
  })

  it("holds any bytes, those of netstrings too", () => {
    const frames = [ascii("1:a,"), ascii(":,"), bytes(0), bytes(100, 0), bytes(10, 0x2c), bytes(9, 255)]
    assert.deepStrictEqual(decoded(codec, encoded(codec, ...frames)), { frames, failure: undefined })
  })

  for (const length of [0, 1, 9, 10, 11, 99, 100, 999, 1000, 9999, 10000, 65535, 65536]) {
    it(`of ${length} bytes has its length in decimal digits`, () => {
      const frame = bytes(length, 0x61)
      const wire = ascii(`${length}:${"a".repeat(length)},`)
      assert.deepStrictEqual(encoded(codec, frame), wire)
      assert.deepStrictEqual(codec.step(wire).frames, [frame])
    })
  }

  it("can be nested", () => {
    const inner = encoded(codec, ascii("a"), bytes(0), ascii("bc"))
    assert.strictEqual(text(encoded(codec, inner)), "12:1:a,0:,2:bc,,")
    const { frames } = Codec.decode(codec, encoded(codec, inner, inner))
    assert.deepStrictEqual(frames.map((frame) => Codec.decode(codec, frame)), [
      { frames: [ascii("a"), bytes(0), ascii("bc")], failure: undefined },
      { frames: [ascii("a"), bytes(0), ascii("bc")], failure: undefined }
    ])
  })

  it("can be nested by Codec.pipe, and an inner one may begin in one frame and end in the next", () => {
    const nested = Codec.pipe(codec, codec)
    const frames = [ascii("a"), bytes(0), ascii("bc")]
    assert.strictEqual(text(encoded(nested, ...frames)), "4:1:a,,3:0:,,5:2:bc,,")
    assert.deepStrictEqual(decoded(nested, encoded(nested, ...frames)), { frames, failure: undefined })
    assert.deepStrictEqual(decoded(nested, ascii("5:1:a,2,0:,4::bc,,")), {
      frames: [ascii("a"), ascii("bc")],
      failure: undefined
    })
    assert.deepStrictEqual(decoded(nested, ascii("5:1:a,x,")), {
      frames: [ascii("a")],
      failure: invalid("byte 0x78 stands where its length is to be")
    })
  })

  it("can be nested though many together are longer than the outer one may be", () => {
    const nested = Codec.pipe(Netstring.make({ maxLength: 20 }), codec)
    const frames = Array.from({ length: 10 }, () => bytes(10))
    assert.deepStrictEqual(decoded(nested, encoded(nested, ...frames)), { frames, failure: undefined })
  })

  it("can be in frames of another format that could not hold what is left over", () => {
    const within = Codec.pipe(FixedLength.make({ length: 4 }), codec)
    assert.deepStrictEqual(decoded(within, ascii("1:a,3:aXYZ;")), {
      frames: [ascii("a")],
      failure: truncated(3)
    })
    assert.deepStrictEqual(decoded(within, ascii("1:a,3:aXYZ;.")).failure, invalid("byte 0x5a follows it, not a comma"))
    assert.deepStrictEqual(within.step(ascii("1:a,")).next.step(ascii("3:aX")).next.rest(), ascii("3:aX"))
    assert.deepStrictEqual(within.step(ascii("1:a,3:aX")).next.rest(), ascii("3:aX"))
  })
})

describe("what is no netstring", () => {
  for (
    const [what, input, failure] of [
      ["no length", ":,", invalid("byte 0x3a stands where its length is to be")],
      ["no colon", "3abc,", invalid("byte 0x61 stands where its length is to be")],
      ["no digits at all", "abc", invalid("byte 0x61 stands where its length is to be")],
      ["a sign", "-1:a,", invalid("byte 0x2d stands where its length is to be")],
      ["a blank", " 1:a,", invalid("byte 0x20 stands where its length is to be")],
      ["a hexadecimal length", "0xa:", invalid("byte 0x78 stands where its length is to be")],
      ["the character after the digits", ";", invalid("byte 0x3b stands where its length is to be")],
      ["the character before the digits", "/", invalid("byte 0x2f stands where its length is to be")],
      ["a leading zero", "01:a,", invalid("its length has a leading zero")],
      ["two zeros", "00:,", invalid("its length has a leading zero")],
      ["another byte for the comma", "3:abc;", invalid("byte 0x3b follows it, not a comma")],
      ["more bytes than it says", "2:abc,", invalid("byte 0x63 follows it, not a comma")],
      ["fewer bytes than it says", "4:abc,1:a,", invalid("byte 0x31 follows it, not a comma")],
      ["no comma after nothing", "0:x", invalid("byte 0x78 follows it, not a comma")],
      ["a line end between", "\n1:b,", invalid("byte 0x0a stands where its length is to be")]
    ] as const
  ) {
    it(`is refused: ${what}`, () => {
      assert.deepStrictEqual(decoded(codec, ascii("2:ok,"), ascii(input)), { frames: [ascii("ok")], failure })
    })
  }

  it("is refused with the first byte that cannot be right", () => {
    for (const input of ["a", ":", "1x", "00", "3:abcd"]) {
      const wire = ascii(input)
      assert.strictEqual(codec.step(wire.slice(0, -1)).failure, undefined, input)
      assert.strictEqual(codec.step(wire).failure?._tag, "InvalidFrame", input)
    }
  })

  it("stays refused", () => {
    const { failure, next } = codec.step(ascii("x"))
    assert.strictEqual(next.step(ascii("1:a,")).failure, failure)
  })
})

describe("maxLength", () => {
  it("is 65536 bytes, these included", () => {
    assert.strictEqual(encoded(codec, bytes(65536)).length, 65543)
    assert.deepStrictEqual(unencodable(codec, bytes(65537)), tooLong(65536, 65537))
    assert.strictEqual(codec.step(ascii("65536:")).failure, undefined)
    assert.deepStrictEqual(decoded(codec, ascii("65537:")).failure, tooLong(65536))
  })

  it("is refused with the digit that exceeds it, before the colon", () => {
    assert.deepStrictEqual(decoded(codec, ascii("99999999:")).failure, tooLong(65536))
    assert.strictEqual(codec.step(ascii("9999")).failure, undefined)
    assert.strictEqual(codec.step(ascii("99999")).failure?._tag, "FrameTooLong")
    const short = Netstring.make({ maxLength: 10 })
    assert.deepStrictEqual(decoded(short, ascii("10:0123456789,11:0123456789a,")), {
      frames: [ascii("0123456789")],
      failure: tooLong(10)
    })
  })

  it("limits the digits, however many come", () => {
    assert.deepStrictEqual(decoded(codec, ascii("1".repeat(400))).failure, tooLong(65536))
    const wide = Netstring.make({ maxLength: Number.MAX_SAFE_INTEGER })
    assert.deepStrictEqual(decoded(wide, ascii("9007199254740991:a")).failure, truncated(18))
    assert.deepStrictEqual(decoded(wide, ascii("9007199254740992")).failure, tooLong(Number.MAX_SAFE_INTEGER))
  })

  it("of nothing allows the empty one", () => {
    const empty = Netstring.make({ maxLength: 0 })
    assert.deepStrictEqual(decoded(empty, ascii("0:,0:,1:a,")), { frames: [bytes(0), bytes(0)], failure: tooLong(0) })
  })

  it("that is no number of bytes is a bug of the caller", () => {
    for (const maxLength of [-1, 0.5, Infinity, NaN]) assert.throws(() => Netstring.make({ maxLength }), RangeError)
  })
})

describe("the input", () => {
  it("can end between frames, and not within one", () => {
    assert.deepStrictEqual(decoded(codec), { frames: [], failure: undefined })
    const wire = ascii("3:abc,")
    for (let held = 1; held < wire.length; held++) {
      assert.deepStrictEqual(decoded(codec, wire, wire.slice(0, held)), {
        frames: [ascii("abc")],
        failure: truncated(held)
      })
    }
  })

  it("gives views of its bytes", () => {
    const wire = ascii("3:abc,2:de,")
    const { frames } = codec.step(wire)
    assert.deepStrictEqual(frames.map((frame) => [frame.buffer, frame.byteOffset]), [[wire.buffer, 2], [
      wire.buffer,
      8
    ]])
  })

  it("takes no memory for what is only announced", () => {
    assert.isAtMost(codec.step(ascii("65536:")).next.rest().buffer.byteLength, 64)
  })

  it("is looked at a bounded number of times, whatever the chunks", () => {
    const wire = encoded(codec, ...Array.from({ length: 2000 }, (_, at) => bytes(at % 300)))
    assert.isBelow(scansPerByte(codec, bytewise(wire)), 4)
    assert.isBelow(scansPerByte(codec, cut(wire, [100])), 4)
  })
})

describe("the laws", () => {
  const codec = Netstring.make({ maxLength: 120 })
  const frames = FastCheck.oneof(
    FastCheck.uint8Array({ maxLength: 12 }),
    FastCheck.nat(120).map((length) => bytes(length))
  )
  const inputs = FastCheck.array(FastCheck.constantFrom("0", "1", "2", ":", ",", "a"), { maxLength: 16 })
    .map((characters) => ascii(characters.join("")))
  for (const { name, run } of CodecLaws.laws({ codec, frames, inputs, maxHeld: 125 })) it(name, run)
})

describe("the laws of nested ones", () => {
  const codec = Codec.pipe(Netstring.make({ maxLength: 20 }), Netstring.make({ maxLength: 40 }))
  const frames = FastCheck.uint8Array({ maxLength: 15 })
  for (const { name, run } of CodecLaws.laws({ codec, frames })) it(name, run)
})
