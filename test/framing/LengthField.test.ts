import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { inspect } from "node:util"
import * as LengthField from "../../src/framing/LengthField.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, counting, cut, cuts, joined } from "../support/bytes.ts"
import {
  bytewise,
  decodeChunks,
  decoded,
  encoded,
  invalid,
  scansPerByte,
  tooLong,
  truncated,
  unencodable
} from "../support/decoding.ts"

const hello = ascii("HELLO, WORLD")

describe("the length field", () => {
  // Python: struct.pack("!B", 12), "!H", "!I", "!Q", "<H", "<I", "<Q"; the odd lengths are cut out of "!Q" and "<Q".
  for (
    const [length, endianness, prefix] of [
      [1, "big", [12]],
      [2, "big", [0, 12]],
      [3, "big", [0, 0, 12]],
      [4, "big", [0, 0, 0, 12]],
      [5, "big", [0, 0, 0, 0, 12]],
      [6, "big", [0, 0, 0, 0, 0, 12]],
      [7, "big", [0, 0, 0, 0, 0, 0, 12]],
      [8, "big", [0, 0, 0, 0, 0, 0, 0, 12]],
      [1, "little", [12]],
      [2, "little", [12, 0]],
      [3, "little", [12, 0, 0]],
      [4, "little", [12, 0, 0, 0]],
      [5, "little", [12, 0, 0, 0, 0]],
      [6, "little", [12, 0, 0, 0, 0, 0]],
      [7, "little", [12, 0, 0, 0, 0, 0, 0]],
      [8, "little", [12, 0, 0, 0, 0, 0, 0, 0]]
    ] as const
  ) {
    it(`has ${length} bytes, ${endianness} end first, in both directions`, () => {
      const codec = LengthField.make({ length, endianness })
      const wire = joined([Uint8Array.from(prefix), hello])
      assert.deepStrictEqual(decoded(codec, wire), { frames: [hello], failure: undefined })
      assert.deepStrictEqual(encoded(codec, hello), wire)
    })
  }

  it("has four bytes, the most significant first, if nothing else is said", () => {
    // Python: struct.pack("!I", 0x010203)
    const frame = bytes(0x010203, 7)
    const codec = LengthField.make({ maxLength: 0x010203 })
    const wire = joined([Uint8Array.of(0, 1, 2, 3), frame])
    assert.deepStrictEqual(codec.step(wire).frames, [frame])
    assert.deepStrictEqual(encoded(codec, frame), wire)
  })

  it("is unsigned", () => {
    // Python: struct.pack("!I", 0x80000000), "!I" with 2**32 - 1, and "!B" with 255.
    const four = LengthField.make()
    assert.deepStrictEqual(decoded(four, Uint8Array.of(0x80, 0, 0, 0)).failure, tooLong(65536, 0x80000000))
    assert.deepStrictEqual(decoded(four, bytes(4, 255)).failure, tooLong(65536, 2 ** 32 - 1))
    const frame = counting(255)
    assert.deepStrictEqual(decoded(LengthField.make({ length: 1 }), bytes(1, 255), frame).frames, [frame])
  })

  it("does not overflow", () => {
    const eight = LengthField.make({ length: 8, maxLength: Number.MAX_SAFE_INTEGER })
    const limit = Number.MAX_SAFE_INTEGER
    // Python: struct.pack("!Q", 2**53 - 1), 2**53, 2**63, 2**64 - 1.
    const most = Uint8Array.of(0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
    assert.deepStrictEqual(decoded(eight, most), { frames: [], failure: truncated(8) })
    assert.deepStrictEqual(decoded(eight, Uint8Array.of(0, 0x20, 0, 0, 0, 0, 0, 0)).failure, tooLong(limit, 2 ** 53))
    assert.deepStrictEqual(decoded(eight, Uint8Array.of(0, 0x20, 0, 0, 0, 0, 0, 1)).failure, tooLong(limit, 2 ** 53))
    assert.deepStrictEqual(decoded(eight, Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 0)).failure, tooLong(limit, 2 ** 63))
    assert.deepStrictEqual(decoded(eight, bytes(8, 255)).failure, tooLong(limit, 2 ** 64))
  })

  it("does not overflow by an adjustment", () => {
    const limit = Number.MAX_SAFE_INTEGER
    const codec = LengthField.make({ length: 8, maxLength: limit, adjustment: 9 })
    const most = Uint8Array.of(0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
    assert.deepStrictEqual(decoded(codec, most).failure, tooLong(limit, limit + 9))
    assert.deepStrictEqual(decoded(codec, bytes(8, 255)).failure, tooLong(limit, 2 ** 64))
    const less = LengthField.make({ length: 8, maxLength: limit, adjustment: -9 })
    assert.deepStrictEqual(decoded(less, most).failure, truncated(8))
    assert.deepStrictEqual(
      decoded(less, Uint8Array.of(0, 0x20, 0, 0, 0, 0, 0, 0)).failure,
      tooLong(limit - 9, limit - 8)
    )
  })

  it("can be written with more than 32 bits", () => {
    const codec = LengthField.make({ length: 8, adjustment: -(2 ** 40) })
    // Python: struct.pack("!Q", 2**40 + 3)
    const wire = Uint8Array.of(0, 0, 1, 0, 0, 0, 0, 3, 7, 8, 9)
    assert.deepStrictEqual(encoded(codec, Uint8Array.of(7, 8, 9)), wire)
    assert.deepStrictEqual(decoded(codec, wire).frames, [Uint8Array.of(7, 8, 9)])
  })
})

describe("the layout", () => {
  // The layouts that Netty documents for LengthFieldBasedFrameDecoder.
  for (
    const [what, options, header, kept] of [
      ["a header that stays", { length: 2, strip: 0 }, [0, 12], 2],
      ["a header that is stripped", { length: 2 }, [0, 12], 0],
      ["a length of the whole, by adjustment", { length: 2, adjustment: -2, strip: 0 }, [0, 14], 2],
      ["a length of the whole", { length: 2, includesHeader: true, strip: 0 }, [0, 14], 2],
      ["a length of the whole, stripped", { length: 2, includesHeader: true }, [0, 14], 0],
      ["a length at the end of the header", { offset: 2, length: 3, strip: 0 }, [0xca, 0xfe, 0, 0, 12], 5],
      ["a length before the rest of the header", { length: 3, adjustment: 2, strip: 0 }, [0, 0, 12, 0xca, 0xfe], 5],
      ["a length within the header", { offset: 1, length: 2, adjustment: 1, strip: 0 }, [0xca, 0, 12, 0xfe], 4],
      ["a header of which some stays", { offset: 1, length: 2, adjustment: 1, strip: 3 }, [0, 0, 12, 0xfe], 1],
      [
        "a length of the whole, and some stays",
        { offset: 1, length: 2, adjustment: -3, strip: 3 },
        [0, 0, 16, 0xfe],
        1
      ],
      [
        "a length of all that is before, and some stays",
        { offset: 1, length: 2, includesHeader: true, strip: 3 },
        [0, 0, 16, 0xfe],
        1
      ],
      ["a header stripped up to the length", { offset: 2, length: 2, strip: 2 }, [0, 0, 0, 12], 2],
      ["a header stripped within the length", { offset: 1, length: 4, strip: 3 }, [0, 0, 0, 0, 12], 2],
      ["more stripped than the header", { length: 2, adjustment: 2, strip: 4 }, [0, 12, 0, 0], 0]
    ] as const
  ) {
    it(`has ${what}`, () => {
      const codec = LengthField.make(options)
      const wire = joined([Uint8Array.from(header), hello])
      const frame = wire.slice(header.length - kept)
      assert.deepStrictEqual(decoded(codec, wire, wire), { frames: [frame, frame], failure: undefined })
      assert.deepStrictEqual(encoded(codec, frame, frame), joined([wire, wire]))
    })
  }

  it("gives zeros for what is stripped and is not the length", () => {
    const codec = LengthField.make({ offset: 2, length: 2, adjustment: 1, strip: 5 })
    const wire = joined([Uint8Array.of(0xca, 0xfe, 0, 12, 0x99), hello])
    assert.deepStrictEqual(decoded(codec, wire).frames, [hello])
    assert.deepStrictEqual(encoded(codec, hello), joined([Uint8Array.of(0, 0, 0, 12, 0), hello]))
  })

  it("refuses to encode a frame whose own header has another length", () => {
    const codec = LengthField.make({ offset: 1, length: 2, strip: 0 })
    assert.deepStrictEqual(
      unencodable(codec, Uint8Array.of(9, 0, 2, 1)),
      invalid("the length in its header is not 1")
    )
    const within = LengthField.make({ offset: 1, length: 2, strip: 2 })
    assert.deepStrictEqual(unencodable(within, Uint8Array.of(3, 1, 2)), invalid("the length in its header is not 2"))
  })

  it("refuses a length that is less than the header's, adjusted", () => {
    const codec = LengthField.make({ offset: 1, length: 2, includesHeader: true })
    assert.deepStrictEqual(
      decoded(codec, Uint8Array.of(9, 0, 3, 9, 0, 2)),
      { frames: [bytes(0)], failure: invalid("the length in its header is 2 and must be 3 or more") }
    )
    assert.deepStrictEqual(
      decoded(LengthField.make({ length: 2, adjustment: -5 }), Uint8Array.of(0, 4)).failure,
      invalid("the length in its header is 4 and must be 5 or more")
    )
  })

  it("refuses a length that is less than what is stripped", () => {
    const codec = LengthField.make({ length: 1, strip: 3 })
    assert.deepStrictEqual(
      decoded(codec, Uint8Array.of(2, 9, 9, 1, 9)),
      { frames: [bytes(0)], failure: invalid("the length in its header is 1 and must be 2 or more") }
    )
  })

  it("refuses to encode a frame for which the length would be negative", () => {
    const codec = LengthField.make({ adjustment: 2 })
    assert.deepStrictEqual(encoded(codec, bytes(2)), bytes(6))
    assert.deepStrictEqual(unencodable(codec, bytes(1)), invalid("its length is 1 and must be 2 or more"))
  })

  it("refuses to encode a frame that is shorter than the header it has", () => {
    const codec = LengthField.make({ strip: 0 })
    assert.deepStrictEqual(unencodable(codec, bytes(3)), invalid("its length is 3 and must be 4 or more"))
    assert.deepStrictEqual(encoded(codec, bytes(4)), bytes(4))
  })

  it("can be any, and what was encoded is decoded to the same", () => {
    const options = FastCheck.record({
      offset: FastCheck.nat(5),
      length: FastCheck.integer({ min: 1, max: 8 }),
      endianness: FastCheck.constantFrom("big" as const, "little" as const),
      adjustment: FastCheck.integer({ min: -9, max: 9 }),
      includesHeader: FastCheck.boolean(),
      strip: FastCheck.nat(16)
    })
    /** Written by other means than those of the codec. */
    const written = (
      wire: Uint8Array,
      { endianness, length, offset }: { readonly endianness: string; readonly length: number; readonly offset: number },
      value: number
    ) => {
      const field = Buffer.alloc(8)
      if (endianness === "big") field.writeBigUInt64BE(BigInt(value))
      else field.writeBigUInt64LE(BigInt(value))
      wire.set(endianness === "big" ? field.subarray(8 - length) : field.subarray(0, length), offset)
      return wire
    }
    FastCheck.assert(
      FastCheck.property(
        options,
        FastCheck.array(FastCheck.uint8Array({ maxLength: 40 }), { maxLength: 5 }),
        cuts,
        (options, contents, cuts) => {
          const codec = LengthField.make(options)
          const header = options.offset + options.length
          const shift = options.adjustment + (options.includesHeader ? 0 : header)
          const least = Math.max(header, options.strip, shift)
          const wires = contents.map((content) => {
            const wire = joined([content, bytes(Math.max(0, least - content.length), 3)])
            wire.fill(0, 0, options.strip)
            return written(wire, options, wire.length - shift)
          })
          const frames = wires.map((wire) => wire.slice(options.strip))
          assert.deepStrictEqual(encoded(codec, ...frames), joined(wires))
          assert.deepStrictEqual(decodeChunks(codec, cut(joined(wires), cuts)), { frames, failure: undefined })
        }
      ),
      { numRuns: 1000 }
    )
  })
})

describe("maxLength", () => {
  it("is 65536 bytes, these included", () => {
    const codec = LengthField.make()
    const frame = bytes(65536, 1)
    assert.deepStrictEqual(codec.step(joined([Uint8Array.of(0, 1, 0, 0), frame])).frames, [frame])
    assert.deepStrictEqual(encoded(codec, frame).length, 65540)
    assert.deepStrictEqual(decoded(codec, Uint8Array.of(0, 1, 0, 1)).failure, tooLong(65536, 65537))
    assert.deepStrictEqual(unencodable(codec, bytes(65537)), tooLong(65536, 65537))
  })

  it("counts what is decoded, with the header if that is not stripped", () => {
    const stripped = LengthField.make({ length: 1, maxLength: 3 })
    assert.deepStrictEqual(decoded(stripped, Uint8Array.of(3, 1, 2, 3)).frames, [Uint8Array.of(1, 2, 3)])
    assert.deepStrictEqual(decoded(stripped, Uint8Array.of(4, 1, 2, 3)).failure, tooLong(3, 4))
    const kept = LengthField.make({ length: 1, maxLength: 3, strip: 0 })
    assert.deepStrictEqual(decoded(kept, Uint8Array.of(2, 1, 2)).frames, [Uint8Array.of(2, 1, 2)])
    assert.deepStrictEqual(decoded(kept, Uint8Array.of(3, 1, 2)).failure, tooLong(3, 4))
  })

  it("is never more than the field can tell", () => {
    const codec = LengthField.make({ length: 1 })
    assert.deepStrictEqual(encoded(codec, bytes(255)).length, 256)
    assert.deepStrictEqual(unencodable(codec, bytes(256)), tooLong(255, 256))
    const whole = LengthField.make({ length: 1, includesHeader: true })
    assert.deepStrictEqual(encoded(whole, bytes(254)).length, 255)
    assert.deepStrictEqual(unencodable(whole, bytes(255)), tooLong(254, 255))
  })

  it("can allow empty frames only", () => {
    const codec = LengthField.make({ maxLength: 0 })
    assert.deepStrictEqual(decoded(codec, bytes(8)).frames, [bytes(0), bytes(0)])
    assert.deepStrictEqual(unencodable(codec, bytes(1)), tooLong(0, 1))
  })

  it("is checked before any byte of the frame is there", () => {
    const { failure, frames, next } = LengthField.make({ maxLength: 8 }).step(Uint8Array.of(0, 0, 0, 1, 7, 0, 0, 0, 9))
    assert.deepStrictEqual(frames, [Uint8Array.of(7)])
    assert.strictEqual(failure?._tag, "FrameTooLong")
    assert.deepStrictEqual(next.step(bytes(20)).failure, failure)
    assert.deepStrictEqual(next.end().failure, failure)
  })

  it("refuses one frame of several before a byte is written", () => {
    assert.deepStrictEqual(
      unencodable(LengthField.make({ maxLength: 2 }), bytes(2), bytes(3), bytes(4)),
      tooLong(2, 3)
    )
  })
})

describe("the input", () => {
  const codec = LengthField.make({ length: 2 })

  it("can be empty", () => {
    assert.deepStrictEqual(decoded(codec), { frames: [], failure: undefined })
    assert.deepStrictEqual(encoded(codec), bytes(0))
  })

  it("has frames of no bytes", () => {
    assert.deepStrictEqual(decoded(codec, bytes(6)).frames, [bytes(0), bytes(0), bytes(0)])
    assert.deepStrictEqual(encoded(codec, bytes(0), bytes(0), bytes(0)), bytes(6))
  })

  it("can end within a header, or a frame", () => {
    assert.deepStrictEqual(decoded(codec, Uint8Array.of(0)).failure, truncated(1))
    assert.deepStrictEqual(decoded(codec, Uint8Array.of(0, 3)).failure, truncated(2))
    assert.deepStrictEqual(decoded(codec, Uint8Array.of(0, 1, 8, 0, 3, 1, 2)), {
      frames: [Uint8Array.of(8)],
      failure: truncated(4)
    })
  })

  it("that is cut gives the same frames, each taken with the other bytes", () => {
    const frames = [ascii("abcdefghi"), ascii("123"), ascii("hello world")]
    assert.deepStrictEqual(decoded(codec, encoded(codec, ...frames)), { frames, failure: undefined })
  })

  it("is decoded one frame at a time, if that is wanted", () => {
    const wire = encoded(codec, ascii("a"), ascii("b"), ascii("c"))
    const first = codec.step(wire, 1)
    assert.deepStrictEqual(first.frames, [ascii("a")])
    assert.deepStrictEqual(first.unread, wire.slice(3))
    assert.deepStrictEqual(first.next.rest(), bytes(0))
    const later = codec.step(wire.slice(0, 2)).next.step(wire.slice(2), 2)
    assert.deepStrictEqual(later.frames, [ascii("a"), ascii("b")])
    assert.deepStrictEqual(later.unread, wire.slice(6))
  })

  it("is looked at a bounded number of times, whatever the chunks", () => {
    const codec = LengthField.make({ maxLength: 1 << 20 })
    const wire = encoded(codec, bytes(1 << 17), ...Array.from({ length: 500 }, (_, length) => bytes(length)))
    assert.isBelow(scansPerByte(codec, bytewise(wire)), 4)
    assert.isBelow(scansPerByte(codec, cut(wire, [1000])), 4)
  })
})

describe("frames", () => {
  const codec = LengthField.make()

  it("that lie in one chunk are views of it", () => {
    const wire = encoded(codec, ascii("one"), ascii("two"))
    const { frames } = codec.step(wire)
    assert.deepStrictEqual(frames.map((frame) => [frame.buffer, frame.byteOffset]), [[wire.buffer, 4], [
      wire.buffer,
      11
    ]])
  })

  it("that lie in two chunks are copied, and those that follow are not", () => {
    const wire = encoded(codec, ascii("one"), ascii("two"))
    const second = wire.slice(6)
    const { frames } = codec.step(wire.slice(0, 6)).next.step(second)
    assert.deepStrictEqual(frames, [ascii("one"), ascii("two")])
    assert.notStrictEqual(frames[0]!.buffer, second.buffer)
    assert.strictEqual(frames[1]!.buffer, second.buffer)
  })

  it("of which only the header has come take no memory", () => {
    const codec = LengthField.make({ maxLength: 2 ** 31 })
    const claimed = codec.step(Uint8Array.of(0x7f, 0xff, 0xff, 0xff)).next
    assert.isAtMost(claimed.rest().buffer.byteLength, 64)
    const begun = claimed.step(bytes(1000)).next
    assert.isAtMost(begun.rest().buffer.byteLength, 4 * 1004)
  })

  it("take no more memory than their size once they are complete", () => {
    for (const length of [10, 1500]) {
      const frame = counting(length)
      const wire = encoded(codec, frame)
      for (const chunks of [bytewise(wire), cut(wire, [5, length])]) {
        const { frames } = decodeChunks(codec, chunks)
        assert.deepStrictEqual(frames, [frame])
        assert.strictEqual(frames[0]!.buffer.byteLength, length + 4)
      }
    }
  })

  it("are the same when a decoder is used twice", () => {
    const begun = codec.step(Uint8Array.of(0, 0, 0, 3, 1)).next
    const one = begun.step(Uint8Array.of(2, 3)).frames
    const other = begun.step(Uint8Array.of(8, 9)).frames
    assert.deepStrictEqual(one, [Uint8Array.of(1, 2, 3)])
    assert.deepStrictEqual(other, [Uint8Array.of(1, 8, 9)])
  })
})

describe("options", () => {
  for (
    const [options, message] of [
      [{ length: 0 }, /^length is a whole number from 1 to 8, not 0$/],
      [{ length: 9 }, /^length/],
      [{ length: 2.5 }, /^length/],
      [{ offset: -1 }, /^offset/],
      [{ strip: -1 }, /^strip/],
      [{ adjustment: 0.5 }, /^adjustment/],
      [{ maxLength: -1 }, /^maxLength/],
      [{ maxLength: Infinity }, /^maxLength/],
      [{ maxLength: NaN }, /^maxLength/],
      [{ strip: 0, maxLength: 3 }, /^No frame fits/],
      [{ length: 1, adjustment: -256 }, /^No frame fits/],
      [{ adjustment: 65537 }, /^No frame fits/]
    ] as ReadonlyArray<readonly [LengthField.LengthFieldOptions, RegExp]>
  ) {
    it(`${inspect(options)} are a bug of the caller`, () => {
      assert.throws(() => LengthField.make(options), RangeError, message)
    })
  }
})

describe("the laws", () => {
  const content = FastCheck.uint8Array({ maxLength: 20 })
  /** A frame that has its header. */
  const whole = FastCheck.uint8Array({ minLength: 4, maxLength: 20 }).map((frame) => {
    frame.set([frame.length, 0], 1)
    return frame
  })

  for (
    const [what, frames, options] of [
      ["a prefix", content, {}],
      ["a prefix of eight bytes, little end first", content, { length: 8, endianness: "little" }],
      ["a prefix that is counted", content, { length: 1, includesHeader: true }],
      ["a stripped header", content, { offset: 2, length: 3, adjustment: -1, strip: 7 }],
      ["a header that stays", whole, { offset: 1, length: 2, endianness: "little", includesHeader: true, strip: 0 }]
    ] as const
  ) {
    describe(`hold for ${what}`, () => {
      const codec = LengthField.make({ ...options, maxLength: 50 })
      const inputs = FastCheck.uint8Array({ max: 3, maxLength: 20 })
      for (const { name, run } of CodecLaws.laws({ codec, frames, inputs, maxHeld: 58 })) it(name, run)
    })
  }
})
