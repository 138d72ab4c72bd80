import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import { addExtension, Packr } from "msgpackr"
import * as Codec from "../../src/Codec.ts"
import * as LengthField from "../../src/framing/LengthField.ts"
import * as MsgPack from "../../src/framing/MsgPack.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, cut, joined } from "../support/bytes.ts"
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

const codec = MsgPack.make()

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"))

const frames = (...values: ReadonlyArray<unknown>) => ({ frames: values, failure: undefined })

const neverUsed = invalid("byte 0xc1, which MessagePack does not use, begins an item")

const notUtf8 = invalid("a string in it is not UTF-8")
const noTime = invalid("a timestamp in it is no time that a Date can have")

/** Arrays in one another, so many. */
const nested = (depth: number): unknown => depth === 0 ? 0 : [nested(depth - 1)]

/** What the failure is but for the cause, of which only the message is told. */
const reasonOf = (failure: unknown) => {
  const { _tag, cause, reason } = failure as { _tag: string; cause?: Error; reason: string }
  return { _tag, reason, cause: cause?.message }
}

describe("MsgPack", () => {
  it("is what https://msgpack.org shows", () => {
    const wire = hex("82 a7636f6d70616374 c3 a6736368656d61 00")
    assert.deepStrictEqual(encoded(codec, { compact: true, schema: 0 }), wire)
    assert.deepStrictEqual(decoded(codec, wire), frames({ compact: true, schema: 0 }))
  })

  // The bytes are those of Python's msgpack 1.2.3: `packb(value)`.
  for (
    const [wire, value] of [
      ["c0", null],
      ["c2", false],
      ["c3", true],
      ["00", 0],
      ["7f", 127],
      ["cc80", 128],
      ["ccff", 255],
      ["cd0100", 256],
      ["cdffff", 65535],
      ["ce00010000", 65536],
      ["ceffffffff", 4294967295],
      ["ff", -1],
      ["e0", -32],
      ["d0df", -33],
      ["d080", -128],
      ["d1ff7f", -129],
      ["d18000", -32768],
      ["d2ffff7fff", -32769],
      ["d280000000", -2147483648],
      ["cb3ff8000000000000", 1.5],
      ["a0", ""],
      ["a161", "a"],
      ["a2c3a9", "é"],
      ["a4f09f9882", "😂"],
      [`bf${"78".repeat(31)}`, "x".repeat(31)],
      [`d920${"78".repeat(32)}`, "x".repeat(32)],
      [`da0100${"78".repeat(256)}`, "x".repeat(256)],
      ["c40200ff", Uint8Array.of(0, 255)],
      [`c50100${"00".repeat(256)}`, bytes(256)],
      ["90", []],
      ["80", {}],
      ["81a161920181a162c0", { a: [1, { b: null }] }],
      ["dc0010000102030405060708090a0b0c0d0e0f", Array.from({ length: 16 }, (_, index) => index)],
      ["d6ff65e071c0", new Date("2024-02-29T12:00:00Z")],
      ["d7ff3b9aca0065e071c0", new Date("2024-02-29T12:00:00.250Z")],
      ["c70cff1dcd6500ffffffffffffffff", new Date("1969-12-31T23:59:59.500Z")],
      ["d3ffffffff7fffffff", -2147483649n],
      ["d38000000000000000", -9223372036854775808n],
      ["cfffffffffffffffff", 18446744073709551615n]
    ] as const
  ) {
    it(`of Python reads and writes ${wire.length > 40 ? `${wire.slice(0, 40)}…` : wire}`, () => {
      assert.deepStrictEqual(decoded(codec, hex(wire)), frames(value))
      assert.deepStrictEqual(encoded(codec, value), hex(wire))
    })
  }

  it("reads and writes the first and the last Date", () => {
    for (
      const [wire, time] of [
        ["c70cff00000000fffff82457de8000", -8.64e15],
        ["c70cff00000000000007dba8218000", 8.64e15]
      ] as const
    ) {
      assert.deepStrictEqual(decoded(codec, hex(wire)), frames(new Date(time)))
      assert.deepStrictEqual(encoded(codec, new Date(time)), hex(wire))
    }
  })

  it("reads what it does not write: numbers and lengths that are longer than need be, floats of four bytes", () => {
    const wires = ["cc01", "cd0001", "ce00000001", "d001", "d20000 0001", "ca3f800000", "cb3ff0000000000000"]
    for (const wire of wires) assert.deepStrictEqual(decoded(codec, hex(wire)), frames(1), wire)
    for (const wire of ["d90161", "da000161", "db0000000161"]) {
      assert.deepStrictEqual(decoded(codec, hex(wire)), frames("a"))
    }
    for (const wire of ["c40161", "c5000161", "c60000000161"]) {
      assert.deepStrictEqual(decoded(codec, hex(wire)), frames(ascii("a")))
    }
    for (const wire of ["9101", "dc000101", "dd0000000101"]) {
      assert.deepStrictEqual(decoded(codec, hex(wire)), frames([1]))
    }
    for (const wire of ["81a16101", "de0001a16101", "df00000001a16101"]) {
      assert.deepStrictEqual(decoded(codec, hex(wire)), frames({ a: 1 }))
    }
    assert.deepStrictEqual(decoded(codec, hex("c704ff65e071c0")), frames(new Date("2024-02-29T12:00:00Z")))
  })

  it("has values one after the other", () => {
    const values = [null, 1, "two", [3], { four: 5 }, ascii("six"), null]
    const wire = encoded(codec, ...values)
    assert.deepStrictEqual(wire, joined(values.map((value) => encoded(codec, value))))
    assert.deepStrictEqual(decoded(codec, wire), frames(...values))
  })

  it("encodes nothing, 15, 16, 65535 and 65536 frames as so many", () => {
    for (const count of [0, 15, 16, 65535, 65536]) {
      assert.deepStrictEqual(encoded(codec, ...Array.from({ length: count }, () => 7)), bytes(count, 7))
    }
  })

  it("writes objects as small as they can be, and big ones", () => {
    assert.strictEqual(encoded(codec, { a: 1 }).length, 4)
    const big = Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [String(index), 0]))
    const [decodedBig] = codec.step(encoded(codec, big)).frames
    assert.strictEqual(Object.keys(decodedBig as object).length, 70_000)
  })

  it("leaves out properties that are undefined, and makes nil of undefined elsewhere", () => {
    assert.deepStrictEqual(decoded(codec, encoded(codec, { a: undefined, b: 1 }, [undefined], undefined)), {
      frames: [{ b: 1 }, [null], null],
      failure: undefined
    })
  })

  it("writes a Map, an object with toJSON, and an object of a class", () => {
    class Point {
      readonly x = 1
    }
    const shown = { toJSON: () => "shown" }
    Object.setPrototypeOf(shown, Point.prototype)
    const values = [new Map([["a", 1]]), shown, new Point(), Object.create(null)]
    assert.deepStrictEqual(decoded(codec, encoded(codec, ...values)), frames({ a: 1 }, "shown", { x: 1 }, {}))
  })

  it("gives binary as views of its bytes, as plain Uint8Arrays", () => {
    const wire = Buffer.from("93c403010203 c40104 a161".replaceAll(" ", ""), "hex")
    const [[first, second]] = codec.step(wire).frames as [[Uint8Array, Uint8Array]]
    assert.deepStrictEqual([first, second], [Uint8Array.of(1, 2, 3), Uint8Array.of(4)])
    assert.strictEqual(first.buffer, wire.buffer)
    assert.deepStrictEqual(Object.keys(wire).length, wire.length, "nothing is added to the bytes")
  })

  it("encodes to plain bytes of its own", () => {
    const first = encoded(codec, "first")
    encoded(codec, "second", "third")
    assert.strictEqual(Object.getPrototypeOf(first), Uint8Array.prototype)
    assert.deepStrictEqual(first, hex("a56669727374"))
  })
})

describe("options", () => {
  it("integers of 64 bits are bigints, numbers, or numbers where these are exact", () => {
    const wire = hex("d30000000000000001 cf0020000000000000 cf0020000000000001")
    const of = (int64AsType?: "bigint" | "number" | "auto") => decoded(MsgPack.make({ int64AsType }), wire).frames
    assert.deepStrictEqual(of(), [1n, 9007199254740992n, 9007199254740993n])
    assert.deepStrictEqual(of("number"), [1, 9007199254740992, 9007199254740992])
    assert.deepStrictEqual(of("auto"), [1, 9007199254740992, 9007199254740993n])
  })

  it("maps are objects, or Maps with keys of any kind", () => {
    const wire = hex("83 01a161 c0a162 c3a163")
    assert.deepStrictEqual(decoded(codec, wire), frames({ 1: "a", null: "b", true: "c" }))
    const maps = MsgPack.make({ mapsAsObjects: false })
    const map = new Map<unknown, unknown>([[1, "a"], [null, "b"], [[1], new Map()]])
    assert.deepStrictEqual(decoded(maps, encoded(maps, map)), frames(map))
  })

  it("the key __proto__ is a Map's alone", () => {
    const wire = hex("82 a95f5f70726f746f5f5f 81a16101 a85f5f70726f746f5f 02")
    const map = new Map<string, unknown>([["__proto__", new Map([["a", 1]])], ["__proto_", 2]])
    const maps = MsgPack.make({ mapsAsObjects: false })
    assert.deepStrictEqual(decoded(maps, wire), frames(map))
    assert.deepStrictEqual(encoded(maps, map), wire)
    const refused = invalid("a key in it is __proto__")
    for (const value of [map, JSON.parse(`[{ "a": { "__proto__": 1 } }]`)]) {
      assert.deepStrictEqual(unencodable(codec, value), refused)
    }
    assert.deepStrictEqual(decoded(codec, wire), { frames: [], failure: refused })
    const elsewhere = ["__proto__", ["__proto__", "__proto__"], { a: "__proto__", b: ["__proto__", {}] }]
    assert.deepStrictEqual(decoded(codec, encoded(codec, ...elsewhere)), frames(...elsewhere))
  })

  it("extensions that msgpackr was told of are read and written", () => {
    class Buffered {
      readonly id: number
      constructor(id: number) {
        this.id = id
      }
    }
    addExtension({
      Class: Buffered,
      type: 9,
      pack: ({ id }: Buffered) => Uint8Array.of(id),
      unpack: ([id]: Uint8Array) => new Buffered(id!)
    })
    const extended = MsgPack.make({ extensions: [9] })
    assert.deepStrictEqual(encoded(extended, [new Buffered(7)]), hex("91 d40907"))
    assert.deepStrictEqual(decoded(extended, hex("91 d40907 d40908")), frames([new Buffered(7)], new Buffered(8)))
    assert.deepStrictEqual(unencodable(codec, new Buffered(7)), invalid("an extension in it has type 9 and 1 bytes"))
    assert.deepStrictEqual(decoded(codec, hex("d40907")).failure, invalid("an extension in it has type 9 and 1 bytes"))
  })

  it("an extension that is not one value, as msgpackr's `write` and `read` are, is refused", () => {
    class Tagged {
      readonly value = 7
    }
    addExtension({ Class: Tagged, type: 10, write: ({ value }: Tagged) => value, read: () => new Tagged() })
    const extended = MsgPack.make({ extensions: [10] })
    assert.deepStrictEqual(unencodable(extended, new Tagged()), invalid("an extension in it is more than one value"))
    const { failure, frames } = extended.step(hex("d40a00 07"))
    assert.deepStrictEqual(frames, [])
    assert.strictEqual(failure?.message, "A frame is not valid: an extension in it is more than one value.")
  })

  it("that are no such numbers are a bug of the caller", () => {
    for (const maxLength of [0, -1, 0.5, Infinity, NaN]) assert.throws(() => MsgPack.make({ maxLength }), RangeError)
    for (const maxDepth of [-1, 0.5, Infinity]) assert.throws(() => MsgPack.either({ maxDepth }), RangeError)
    for (const type of [-129, 128, 0.5]) assert.throws(() => MsgPack.value({ extensions: [type] }), RangeError)
  })
})

describe("what is refused", () => {
  for (
    const [what, wire, failure] of [
      ["byte 0xc1", "c1", neverUsed],
      ["byte 0xc1 in an array", "92 01 c1", neverUsed],
      ["a character that is cut off", "a1c3", notUtf8],
      ["a character cut off that would go on in the next item", "92 a1c3 cc05", notUtf8],
      ["an overlong form", "a2c080", notUtf8],
      ["half of a surrogate pair", "a3eda080", notUtf8],
      ["a character above U+10FFFF", "a4f4908080", notUtf8],
      ["a key that is not UTF-8", "81 a1ff 01", notUtf8],
      ["an extension", "d40500", invalid("an extension in it has type 5 and 1 bytes")],
      ["an extension of a negative type", "c703fe010203", invalid("an extension in it has type -2 and 3 bytes")],
      ["a timestamp of one byte", "d4ff00", invalid("an extension in it has type -1 and 1 bytes")],
      ["a second of 2 ** 30 - 1 nanoseconds", "d7ffffffffff00000000", noTime],
      ["one of 1000000000", "c70cff3b9aca000000000000000000", noTime],
      ["a time after the last Date", "c70cff00000001000007dba8218000", noTime],
      ["one long after it", "c70cff000000000001000000000000", noTime],
      ["a time before the first Date", "c70cff00000000fffff82457de7fff", noTime],
      ["a record of msgpackr", "d47240 91a161 01", invalid("an extension in it has type 114 and 1 bytes")],
      ["an undefined of msgpackr", "d40000", invalid("an extension in it has type 0 and 1 bytes")]
    ] as const
  ) {
    it(what, () => {
      assert.deepStrictEqual(decoded(codec, hex("a26f6b"), hex(wire)), { frames: ["ok"], failure })
    })
  }

  it("a key that is an array, and cannot be an object's", () => {
    for (const chunks of [[hex("01 81900203")], bytewise(hex("01 81900203"))]) {
      const { failure, frames } = decodeChunks(codec, chunks)
      assert.deepStrictEqual(frames, [1])
      assert.deepStrictEqual(reasonOf(failure), {
        ...invalid("it cannot be unpacked"),
        cause: "Invalid property type for record: object"
      })
      assert.deepStrictEqual(Object.keys((failure as { cause?: object }).cause!), [])
    }
  })

  it("what @effect/platform's MsgPack and msgpackr write by default: records", () => {
    const { failure } = codec.step(new Packr().pack({ a: 1 }))
    assert.strictEqual(failure?.message, "A frame is not valid: an extension in it has type 114 and 1 bytes.")
    assert.deepStrictEqual(decoded(codec, new Packr({ useRecords: false }).pack({ a: 1 })), frames({ a: 1 }))
  })

  it("leaves the value that failed unread, and what is behind it", () => {
    const { failure, frames, next, unread } = codec.step(hex("01 02 91d40500 03"))
    assert.deepStrictEqual(frames, [1, 2])
    assert.deepStrictEqual(unread, hex("91d40500 03"))
    assert.deepStrictEqual(next.rest(), bytes(0))
    assert.strictEqual(next.step(hex("01")).failure, failure)
    const half = codec.step(hex("92 a2c3")).next
    const other = half.step(hex("28 01 03"))
    assert.deepStrictEqual(joined([other.next.rest(), other.unread]), hex("92 a2c328 01 03"))
  })
})

describe("what cannot be written", () => {
  for (
    const [what, value, reason] of [
      ["a function", () => 1, "MessagePack has nothing for a function"],
      ["a plain object's toJSON", { toJSON: () => 1 }, "MessagePack has nothing for a function"],
      ["a symbol", [Symbol("s")], "MessagePack has nothing for a symbol"],
      ["a Set", { a: new Set([1]) }, "MessagePack has nothing for Set"],
      ["a RegExp", [/x/], "MessagePack has nothing for RegExp"],
      ["an error", new TypeError("x"), "MessagePack has nothing for TypeError"],
      ["a typed array of another kind", new Float64Array(2), "MessagePack has nothing for Float64Array"],
      ["one in a Map", new Map([["a", [new Int16Array(1)]]]), "MessagePack has nothing for Int16Array"],
      [
        "one in what toJSON gives",
        new class {
          toJSON() {
            return [new DataView(new ArrayBuffer(1))]
          }
        }(),
        "MessagePack has nothing for DataView"
      ],
      ["half of a surrogate pair", "\ud800", "a string in it is not UTF-8"],
      ["a key that is half of one", { "\udc00": 1 }, "a string in it is not UTF-8"],
      ["half of one in a long string", ["x".repeat(100) + "\ud83d"], "a string in it is not UTF-8"],
      ["a long key with half of one", { a: { ["x".repeat(100) + "\udc00"]: 1 } }, "a string in it is not UTF-8"],
      ["a Map's", new Map([["x".repeat(100) + "\udc00", 1]]), "a string in it is not UTF-8"],
      ["an invalid Date", new Date(NaN), "an extension in it has type -1 and 1 bytes"]
    ] as const
  ) {
    it(what, () => assert.deepStrictEqual(unencodable(codec, 1, value), invalid(reason)))
  }

  it("bigints of more than 64 bits", () => {
    assert.deepStrictEqual(encoded(codec, 2n ** 64n - 1n), hex("cfffffffffffffffff"))
    for (const bigint of [2n ** 64n, -(2n ** 63n) - 1n]) {
      const { cause, reason } = reasonOf(Option.getOrThrow(Either.getLeft(codec.encode([bigint]))))
      assert.strictEqual(reason, "it cannot be packed")
      assert.include(cause!, "too large")
    }
  })

  it("what contains itself, however big it is", () => {
    const array: Array<unknown> = ["x".repeat(1_000_000)]
    array.push(array)
    const map = new Map<string, unknown>()
    map.set("self", map)
    const object = { self: {} }
    object.self = object
    for (const value of [array, map, object]) {
      assert.deepStrictEqual(
        unencodable(codec, value),
        invalid("its arrays and objects are too deep, or contain themselves")
      )
    }
  })

  it("what throws, and what is deeper than the stack", () => {
    const thrown = new Error("no")
    const throwing = {
      get a() {
        throw thrown
      }
    }
    assert.deepStrictEqual(reasonOf(Either.merge(codec.encode([throwing]))), {
      ...invalid("it cannot be packed"),
      cause: "no"
    })
    let deep: unknown = 0
    for (let depth = 0; depth < 100_000; depth++) deep = [deep]
    assert.deepStrictEqual(reasonOf(Either.merge(MsgPack.make({ maxDepth: 1e6 }).encode([deep]))), {
      ...invalid("it cannot be packed"),
      cause: "Maximum call stack size exceeded"
    })
  })

  it("is told of the first frame that cannot be, and nothing is written", () => {
    const short = MsgPack.make({ maxLength: 4 })
    assert.deepStrictEqual(unencodable(short, 1, 2, "12345", Symbol("s")), tooLong(4, 6))
    assert.deepStrictEqual(encoded(short, 1), hex("01"))
  })
})

describe("maxLength", () => {
  const short = MsgPack.make({ maxLength: 6 })

  it("is a MiB of a whole value, these included", () => {
    assert.strictEqual(encoded(codec, bytes(1048571)).length, 1048576)
    assert.deepStrictEqual(unencodable(codec, bytes(1048572)), tooLong(1048576, 1048577))
    assert.strictEqual(codec.step(hex("c6000ffffb")).failure, undefined)
    assert.deepStrictEqual(decoded(codec, hex("c6000ffffc")).failure, tooLong(1048576, 1048577))
  })

  it("is refused with the head that exceeds it, before its content", () => {
    assert.deepStrictEqual(decoded(short, hex("a5 3132333435"), hex("a6")), {
      frames: ["12345"],
      failure: tooLong(6, 7)
    })
    assert.deepStrictEqual(decoded(short, hex("dbffffffff")).failure, tooLong(6, 4294967300))
    assert.deepStrictEqual(decoded(short, hex("93 01 a4")).failure, tooLong(6))
    assert.deepStrictEqual(decoded(short, hex("92 01 a4")).failure, tooLong(6, 7))
  })

  it("counts a byte for each item that is announced", () => {
    assert.deepStrictEqual(decoded(short, hex("95 0102030405")), frames([1, 2, 3, 4, 5]))
    assert.deepStrictEqual(decoded(short, hex("96")).failure, tooLong(6))
    assert.deepStrictEqual(decoded(short, hex("93 01 93")).failure, tooLong(6))
    assert.deepStrictEqual(decoded(short, hex("93 01 a3")).failure, tooLong(6))
    assert.deepStrictEqual(decoded(short, hex("93 01 a2")).failure, truncated(3))
    assert.deepStrictEqual(decoded(short, hex("ddffffffff")).failure, tooLong(6))
    assert.deepStrictEqual(decoded(short, hex("83")).failure, tooLong(6))
    assert.deepStrictEqual(decoded(codec, hex("dfffffffff")).failure, tooLong(1048576))
  })

  it("bounds what is held, and takes no memory for what is only announced", () => {
    assert.isAtMost(codec.step(hex("c6000ffffb")).next.rest().buffer.byteLength, 64)
    const chunk = bytes(65536, 0x91)
    let decoder: Codec.Decoder<unknown, unknown> = MsgPack.make({ maxLength: 1000, maxDepth: 1e6 })
    for (let count = 0; count < 3; count++) {
      decoder = decoder.step(chunk).next
      assert.isAtMost(decoder.rest().length, 1000)
    }
  })
})

describe("maxDepth", () => {
  it("is 128 arrays and maps in one another, empty ones and those as keys included", () => {
    const wire = encoded(codec, nested(128))
    assert.deepStrictEqual(decoded(codec, wire), frames(nested(128)))
    const deep = invalid("its arrays and maps are more than 128 deep")
    assert.deepStrictEqual(unencodable(codec, nested(129)), deep)
    assert.deepStrictEqual(decoded(codec, bytes(128, 0x91), hex("90")).failure, deep)
    assert.deepStrictEqual(decoded(codec, bytes(128, 0x91), hex("80")).failure, deep)
    assert.deepStrictEqual(decoded(codec, bytes(129, 0x81)).failure, deep)
  })

  it("is not what stands side by side", () => {
    const wide = Array.from({ length: 1000 }, () => [[], {}])
    assert.deepStrictEqual(codec.step(encoded(codec, wide)).frames, [wide])
    const flat = MsgPack.make({ maxDepth: 1 })
    assert.deepStrictEqual(decoded(flat, hex("90 80 9101 8101a161 00")), frames([], {}, [1], { 1: "a" }, 0))
    assert.strictEqual(unencodable(flat, [[]])["_tag"], "InvalidFrame")
    assert.deepStrictEqual(encoded(flat, [new Date(0)]), hex("91 d6ff00000000"))
  })

  it("does not count what toJSON gives twice", () => {
    const shown = new class {
      toJSON() {
        return [1]
      }
    }()
    assert.deepStrictEqual(encoded(MsgPack.make({ maxDepth: 2 }), [shown]), hex("91 91 01"))
  })

  it("of a million is a failure where the stack ends, not a defect", () => {
    const deep = MsgPack.make({ maxDepth: 1e6 })
    const { failure } = deep.step(joined([bytes(500_000, 0x91), hex("c0")]))
    assert.deepStrictEqual(reasonOf(failure), {
      ...invalid("it cannot be unpacked"),
      cause: "Maximum call stack size exceeded"
    })
    assert.deepStrictEqual(codec.step(hex("9101")).frames, [[1]], "others are decoded after it")
  })
})

describe("either", () => {
  const codec = MsgPack.either()

  it("gives a value that cannot be read as a Left, and the values behind it", () => {
    for (const wire of [hex("01 91d40500 03 a1c3 819002 c403c1c1c1 d4ff00 81a95f5f70726f746f5f5f01 07")]) {
      for (const chunks of [[wire], bytewise(wire), cut(wire, [3])]) {
        const { failure, frames } = decodeChunks(codec, chunks)
        assert.strictEqual(failure, undefined)
        assert.deepStrictEqual(frames.map(Either.getOrElse(({ reason }) => reason)), [
          1,
          "an extension in it has type 5 and 1 bytes",
          3,
          "a string in it is not UTF-8",
          "it cannot be unpacked",
          Uint8Array.of(0xc1, 0xc1, 0xc1),
          "an extension in it has type -1 and 1 bytes",
          "a key in it is __proto__",
          7
        ])
      }
    }
  })

  it("fails where the end of a value cannot be known", () => {
    assert.deepStrictEqual(decoded(codec, hex("c1")).failure, neverUsed)
    assert.deepStrictEqual(decoded(codec, hex("92a1c3c1")).failure, neverUsed)
    assert.deepStrictEqual(decoded(codec, bytes(129, 0x91)).failure?.["_tag"], "InvalidFrame")
    assert.deepStrictEqual(decoded(codec, hex("ddffffffff")).failure, tooLong(1048576))
    assert.deepStrictEqual(decoded(codec, hex("92a1c3")).failure, truncated(3))
  })

  it("takes values, not Eithers, to encode", () => {
    assert.deepStrictEqual(encoded(codec, 1, "a"), hex("01 a161"))
  })

  it("stops at the limit", () => {
    const { frames, next, unread } = codec.step(hex("01 d40500 03 04"), 2)
    assert.strictEqual(frames.length, 2)
    assert.deepStrictEqual(unread, hex("03 04"))
    assert.deepStrictEqual(next.rest(), bytes(0))
  })
})

describe("value", () => {
  const { decode, encode } = MsgPack.value({ maxLength: 10, maxDepth: 1 })

  it("is one value in the frame of another format", () => {
    const codec = Codec.transform(LengthField.make({ length: 1 }), MsgPack.value())
    const wire = encoded(codec, [1], { a: "b" })
    assert.deepStrictEqual(wire, hex("02 9101 05 81a161a162"))
    assert.deepStrictEqual(decoded(codec, wire), frames([1], { a: "b" }))
  })

  it("refuses bytes that are less or more", () => {
    for (const wire of ["", "92 01", "01 02", "a2 61", "9190", "c1", "d40500", "a1c3", "ab"]) {
      assert.isTrue(Either.isLeft(decode(hex(wire))), wire)
    }
    assert.deepStrictEqual(decode(hex("9101")), Either.right([1]))
    assert.deepStrictEqual(encode([1]), Either.right(hex("9101")))
    assert.isTrue(Either.isLeft(encode([[1]])))
  })

  it("adds nothing to the bytes that it is given", () => {
    const wire = hex("9101")
    decode(wire)
    assert.deepStrictEqual(Object.keys(wire), ["0", "1"])
  })
})

describe("the input", () => {
  it("can end between values, and not within one", () => {
    assert.deepStrictEqual(decoded(codec), frames())
    const wire = hex("93 a26162 cd0100 81a161c40101")
    for (let held = 1; held < wire.length; held++) {
      assert.deepStrictEqual(decoded(codec, hex("01"), wire.slice(0, held)), { frames: [1], failure: truncated(held) })
    }
  })

  it("is looked at a bounded number of times, whatever the chunks and the nesting", () => {
    const values = [
      nested(100),
      Array.from({ length: 3000 }, (_, index) => `item ${index}`),
      Array.from({ length: 30 }, () => ({ text: "x".repeat(300), data: bytes(300) })),
      Array.from({ length: 300 }, () => [nested(20), nested(3)])
    ]
    for (const value of values) {
      const wire = encoded(codec, value)
      assert.isBelow(scansPerByte(codec, bytewise(wire)), 6)
      assert.isBelow(scansPerByte(codec, cut(wire, [100])), 6)
    }
  })
})

describe("the laws", () => {
  const scalar = FastCheck.oneof(
    FastCheck.constantFrom<unknown>(null, true, false),
    FastCheck.integer(),
    FastCheck.double({ noNaN: true }).filter((number) => !Object.is(number, -0)),
    FastCheck.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    FastCheck.string({ unit: "grapheme", maxLength: 40 }),
    FastCheck.uint8Array({ maxLength: 20 }),
    FastCheck.date({ noInvalidDate: true })
  )
  const key = FastCheck.string({ unit: "grapheme", maxLength: 4 }).filter((key) => key !== "__proto__")
  const { value } = FastCheck.letrec<{ value: unknown }>((tie) => ({
    value: FastCheck.oneof(
      { maxDepth: 3, withCrossShrink: true },
      { weight: 3, arbitrary: scalar },
      FastCheck.array(tie("value"), { maxLength: 4 }),
      FastCheck.dictionary(key, tie("value"), { maxKeys: 4, noNullPrototype: true })
    )
  }))
  // Beginnings of all formats, so that random bytes make items of them.
  const inputs = FastCheck.array(
    FastCheck.constantFrom(
      0,
      1,
      2,
      0x61,
      0x80,
      0x81,
      0x91,
      0x92,
      0xa0,
      0xa2,
      0xc0,
      0xc1,
      0xc4,
      0xc5,
      0xc7,
      0xc3,
      0xa9,
      0xcb,
      0xcd,
      0xd3,
      0xd4,
      0xd6,
      0xd9,
      0xdc,
      0xdd,
      0xde,
      0xff
    ),
    { maxLength: 24 }
  ).map((list) => Uint8Array.from(list))

  for (const { name, run } of CodecLaws.laws({ codec, frames: value, inputs })) it(name, run)

  describe("of the Either form, with a small limit", () => {
    const codec = MsgPack.either({ maxLength: 30, maxDepth: 2 })
    const frames = value.filter((value) => Either.isRight(codec.encode([value])))
    const options = { codec, frames, inputs, decoded: (value: unknown) => Either.right(value), maxHeld: 38, runs: 300 }
    for (const { name, run } of CodecLaws.laws(options)) it(name, run)
  })
})
