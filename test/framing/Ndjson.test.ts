import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Ndjson from "../../src/framing/Ndjson.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, cut, joined, text } from "../support/bytes.ts"
import { bytewise, decodeChunks, decoded, encoded, scansPerByte, tooLong, unencodable } from "../support/decoding.ts"

const codec = Ndjson.make()

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const frames = (...values: ReadonlyArray<unknown>) => ({ frames: values, failure: undefined })

const notJson = "it is not JSON"

/** What the frames are, or why they are none. */
const reasons = (frames: ReadonlyArray<Either.Either<unknown, { readonly reason: string }>>) =>
  frames.map(Either.getOrElse(({ reason }) => reason))

describe("Ndjson", () => {
  it("is the example of https://github.com/ndjson/ndjson-spec", () => {
    const wire = ascii(
      "{\"some\":\"thing\"}\n{\"foo\":17,\"bar\":false,\"quux\":true}\n{\"may\":{\"include\":\"nested\"}}\n"
    )
    const values = [{ some: "thing" }, { foo: 17, bar: false, quux: true }, { may: { include: "nested" } }]
    assert.deepStrictEqual(decoded(codec, wire), frames(...values))
    assert.deepStrictEqual(encoded(codec, ...values), wire)
  })

  // Made by Python's json.dumps, with and without ensure_ascii.
  for (
    const [line, value] of [
      ["null", null],
      ["true", true],
      ["-0.5", -0.5],
      ["1e+21", 1e21],
      ["\"\\u00e9\\u2028\\n\\\"\\\\/\\u0000\\ud83d\\ude00\\u007f\"", "é\u2028\n\"\\/\0😀\u007f"],
      ["\"é\u2028\\n\\\"\\\\/\\u0000😀\u007f\"", "é\u2028\n\"\\/\0😀\u007f"],
      ["{\"a\": [], \"b\": {\"c\": [1, \"2\"]}}", { a: [], b: { c: [1, "2"] } }],
      ["[]", []]
    ] as const
  ) {
    it(`of Python is read: ${line}`, () => {
      assert.deepStrictEqual(decoded(codec, utf8(`${line}\n`)), frames(value))
      assert.deepStrictEqual(decoded(codec, utf8(`${line}\r\n \t${line} `)), frames(value, value))
      assert.deepStrictEqual(decoded(codec, encoded(codec, value)), frames(value))
    })
  }

  it("writes one line for a value, whatever is in it", () => {
    const value = { "a\nb": "\r\n\u2028\u2029\u0085", c: "\ud800" }
    const wire = encoded(codec, value, null)
    assert.strictEqual(wire.filter((byte) => byte === 0x0a).length, 2)
    assert.deepStrictEqual(decoded(codec, wire), frames(value, null))
  })

  it("writes what toJSON gives, and leaves out what JSON leaves out", () => {
    const value = { at: new Date(0), none: undefined, f: () => 1, list: [undefined] }
    assert.strictEqual(text(encoded(codec, value)), "{\"at\":\"1970-01-01T00:00:00.000Z\",\"list\":[null]}\n")
  })

  it("needs no line feed at the end of the input", () => {
    assert.deepStrictEqual(decoded(codec, ascii("1\n[2]")), frames(1, [2]))
    assert.deepStrictEqual(decoded(codec), frames())
  })
})

describe("what is not JSON", () => {
  for (
    const line of [
      "",
      " ",
      "{oops}",
      "{\"a\":1",
      "[1,]",
      "NaN",
      "'a'",
      "1 2",
      "undefined",
      "\u2028",
      "\ufeff{}",
      "\"a\tb\""
    ]
  ) {
    it(`is refused: ${JSON.stringify(line)}`, () => {
      const { failure, frames, unread } = codec.step(utf8(`1\n${line}\n2\n`))
      assert.deepStrictEqual(frames, [1])
      assert.strictEqual(failure?.message, `A frame is not valid: ${notJson}.`)
      assert.instanceOf((failure as { cause?: unknown } | undefined)?.cause, SyntaxError)
      assert.deepStrictEqual(unread, utf8(`${line}\n2\n`))
      assert.strictEqual(
        (decodeChunks(codec, bytewise(utf8(`1\n${line}\n2\n`))).failure as Error).message,
        failure!.message
      )
    })
  }

  it("is refused at the end of the input: half a value", () => {
    assert.strictEqual(decoded(codec, ascii("1\n{\"a\":")).failure?.["reason"], notJson)
  })

  it("is refused: bytes that are not UTF-8", () => {
    const wire = joined([ascii("1\n\""), Uint8Array.of(0xff), ascii("\"\n2\n")])
    assert.deepStrictEqual(decoded(codec, wire), {
      frames: [1],
      failure: { _tag: "InvalidFrame", reason: "it is not UTF-8" }
    })
  })
})

describe("what cannot be written", () => {
  for (
    const [what, value, reason] of [
      ["undefined", undefined, "JSON has nothing for undefined"],
      ["a function", () => 1, "JSON has nothing for function"],
      ["a symbol", Symbol("s"), "JSON has nothing for symbol"]
    ] as const
  ) {
    it(what, () => assert.deepStrictEqual(unencodable(codec, 1, value), { _tag: "InvalidFrame", reason }))
  }

  it("a bigint, what contains itself, and what throws, with the cause", () => {
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    const thrown = new Error("toJSON failed")
    const throwing = {
      toJSON() {
        throw thrown
      }
    }
    for (const [value, constructor] of [[{ a: 1n }, TypeError], [cycle, TypeError], [throwing, Error]] as const) {
      const failure = Either.merge(codec.encode([value])) as { cause?: unknown; message: string }
      assert.strictEqual(failure.message, "A frame is not valid: it cannot be written as JSON.")
      assert.instanceOf(failure.cause, constructor)
    }
  })

  it("nesting without an end", () => {
    let deep: unknown = 0
    for (let depth = 0; depth < 200_000; depth++) deep = [deep]
    assert.strictEqual(
      (Either.merge(codec.encode([deep])) as { reason?: string }).reason,
      "it cannot be written as JSON"
    )
    const wire = joined([bytes(200_000, 0x5b), bytes(200_000, 0x5d), ascii("\n7\n")])
    assert.strictEqual(codec.step(wire).frames[1], 7)
  })
})

describe("options", () => {
  it("maxLength is a MiB by default, and counts bytes", () => {
    assert.strictEqual(encoded(codec, "x".repeat(1048574)).length, 1048577)
    assert.deepStrictEqual(unencodable(codec, "x".repeat(1048575)), tooLong(1048576, 1048577))
    const short = Ndjson.make({ maxLength: 4 })
    assert.deepStrictEqual(decoded(short, utf8("\"é\"\n\"éé\"\n")), { frames: ["é"], failure: tooLong(4) })
    assert.deepStrictEqual(unencodable(short, "é", "éé"), tooLong(4, 6))
    for (const maxLength of [-1, 0.5, NaN]) assert.throws(() => Ndjson.either({ maxLength }), RangeError)
  })

  describe("ignoreEmptyLines", () => {
    const ignoring = Ndjson.make({ ignoreEmptyLines: true })

    it("leaves out lines without a character, and no others", () => {
      assert.deepStrictEqual(decoded(ignoring, ascii("\n\n1\n\r\n2\r\n\n\n[3]\n\n")), frames(1, 2, [3]))
      assert.deepStrictEqual(decoded(ignoring, ascii("\n\n")), frames())
      assert.strictEqual(decoded(ignoring, ascii("\n1\n \n")).failure?.["reason"], notJson)
    })

    it("stops at the limit, between two lines", () => {
      const step = ignoring.step(ascii("\n1\n\n2\n\n\n3\n"), 2)
      assert.deepStrictEqual(step.frames, [1, 2])
      assert.deepStrictEqual(joined([step.next.rest(), step.unread]), ascii("\n\n3\n"))
      const half = ignoring.step(ascii("\n\n1\n\n2"), 2)
      assert.deepStrictEqual(half.frames, [1])
      assert.deepStrictEqual(half.next.rest(), ascii("2"))
      assert.deepStrictEqual(half.unread, bytes(0))
    })

    it("leaves the line that failed unread, and not the empty ones before", () => {
      const { failure, next, unread } = ignoring.step(ascii("\n1\n\n\n{oops\n"))
      assert.strictEqual(failure?._tag, "InvalidFrame")
      assert.include(["{oops\n", "\n\n{oops\n"], text(joined([next.rest(), unread])))
    })
  })
})

describe("either", () => {
  it("gives a line that is not JSON, or not UTF-8, as a Left, and goes on", () => {
    const wire = joined([
      ascii("1\n{oops\n\n\""),
      Uint8Array.of(0xff),
      ascii("\"\n\"\ufffd\"\n"),
      utf8("\"\ufffd\"\n7")
    ])
    for (const chunks of [[wire], bytewise(wire), cut(wire, [3])]) {
      const { failure, frames } = decodeChunks(Ndjson.either(), chunks)
      assert.strictEqual(failure, undefined)
      assert.deepStrictEqual(reasons(frames), [1, notJson, notJson, "it is not UTF-8", "\ufffd", "\ufffd", 7])
    }
  })

  it("takes a byte order mark for no JSON", () => {
    assert.deepStrictEqual(reasons(Ndjson.either().step(utf8("\ufeff1\n")).frames), [notJson])
  })

  it("leaves out empty lines if it is told to", () => {
    const codec = Ndjson.either({ ignoreEmptyLines: true })
    assert.deepStrictEqual(reasons(codec.step(ascii("\n1\n\n{\n\n2\n")).frames), [1, notJson, 2])
  })

  it("fails with a line that is too long", () => {
    const { failure, frames } = decoded(Ndjson.either({ maxLength: 4 }), ascii("{oop\n12345\n"))
    assert.deepStrictEqual(failure, tooLong(4))
    assert.deepStrictEqual(reasons(frames), [notJson])
  })

  it("takes values, not Eithers, to encode", () => {
    assert.deepStrictEqual(encoded(Ndjson.either(), 1, "a"), ascii("1\n\"a\"\n"))
    assert.strictEqual(unencodable(Ndjson.either(), 1n)["_tag"], "InvalidFrame")
  })
})

describe("the input", () => {
  it("is looked at a bounded number of times, whatever the chunks", () => {
    const wire = encoded(codec, ...Array.from({ length: 1000 }, (_, at) => ({ at, text: "x".repeat(at % 300) })))
    for (const decoder of [codec, Ndjson.make({ ignoreEmptyLines: true }), Ndjson.either()]) {
      assert.isBelow(scansPerByte(decoder, bytewise(wire)), 6)
      assert.isBelow(scansPerByte(decoder, cut(wire, [100])), 6)
    }
  })
})

describe("the laws", () => {
  const value = FastCheck.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown)
  const inputs = FastCheck.array(
    FastCheck.constantFrom("\n", "\r\n", "{", "}", "\"a\":", "1", ",", "[", "]", "null", " ", "\u2028"),
    { maxLength: 12 }
  ).map((parts) => utf8(parts.join("")))

  for (const { name, run } of CodecLaws.laws({ codec, frames: value, inputs, runs: 500 })) it(name, run)

  describe("without empty lines, with a small limit", () => {
    const codec = Ndjson.make({ ignoreEmptyLines: true, maxLength: 20 })
    const frames = value.filter((value) => Either.isRight(codec.encode([value])))
    const laws = CodecLaws.laws({ codec, frames, inputs, maxHeld: 22, runs: 300 })
    for (const { name, run } of laws) it(name, run)
  })

  describe("of the Either form", () => {
    const codec = Ndjson.either()
    const decoded = (value: unknown) => Either.right(value)
    for (const { name, run } of CodecLaws.laws({ codec, frames: value, inputs, decoded, runs: 300 })) it(name, run)
  })
})
