import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Codec from "../src/Codec.ts"
import { FrameTooLong, FrameTruncated, InvalidFrame } from "../src/FrameError.ts"
import * as Cobs from "../src/framing/Cobs.ts"
import * as FixedLength from "../src/framing/FixedLength.ts"
import * as IntPrefixed from "../src/framing/IntPrefixed.ts"
import * as Lines from "../src/framing/Lines.ts"
import * as Netstring from "../src/framing/Netstring.ts"
import * as Varint from "../src/framing/Varint.ts"
import { scanned } from "../src/internal/scanned.ts"
import * as CodecLaws from "../src/testing/CodecLaws.ts"
import { ascii, bytes, joined, text } from "./support/bytes.ts"
import { bytewise, decodeChunks, decoded, encoded, unencodable } from "./support/decoding.ts"

const nothing = bytes(0)

const lines = Lines.text()

/** A codec that says what it was called with. */
const recorder = () => {
  const calls: Array<unknown> = []
  const failure = new FrameTruncated({ held: 1 })
  const codec: Codec.Codec<string, string, FrameTruncated> = {
    step: (bytes, limit) => {
      calls.push(["step", bytes, limit])
      return { frames: ["a", "b"], next: codec, unread: bytes, failure }
    },
    end: () => ({ frames: ["c"], failure }),
    rest: () => ascii("rest"),
    encode: (frames) => {
      calls.push(["encode", frames])
      return Either.right(ascii("encoded"))
    }
  }
  return { calls, codec, failure }
}

const numbers = (frame: string): Either.Either<number, InvalidFrame> =>
  /^\d+$/.test(frame) ? Either.right(Number(frame)) : Either.left(new InvalidFrame({ reason: `it is ${frame}` }))

const notANumber = (frame: string) => ({ _tag: "InvalidFrame", reason: `it is ${frame}` })

/** Nothing is built up around a decoder while it goes on: a wrapper for each step would overflow the stack. */
const goesOn = <Frame, E>(decoder: Codec.Decoder<Frame, E>, frame: Uint8Array): void => {
  let next = decoder
  for (let count = 0; count < 100_000; count++) next = next.step(frame, 1).next
  assert.strictEqual(next.step(frame).frames.length, 1)
  assert.strictEqual(next.rest().length, 0)
  assert.deepStrictEqual(next.end(), { frames: [], failure: undefined })
}

describe("make", () => {
  it("is the decoder and the encoder", () => {
    const decoder = recorder()
    const encoder = recorder()
    const codec = Codec.make(decoder.codec, encoder.codec)
    const chunk = ascii("chunk")
    assert.strictEqual(codec.step(chunk, 3).next, decoder.codec)
    assert.deepStrictEqual(codec.end(), { frames: ["c"], failure: decoder.failure })
    assert.deepStrictEqual(codec.rest(), ascii("rest"))
    assert.deepStrictEqual(codec.encode(["frame"]), Either.right(ascii("encoded")))
    assert.deepStrictEqual(decoder.calls, [["step", chunk, 3]])
    assert.deepStrictEqual(encoder.calls, [["encode", ["frame"]]])
  })
})

describe("failed", () => {
  const failure = new FrameTooLong({ limit: 1, length: 2 })

  it("fails at each step and at the end, and takes nothing", () => {
    const decoder = Codec.failed(failure)
    for (const chunk of [ascii("chunk"), nothing]) {
      assert.deepStrictEqual(decoder.step(chunk), { frames: [], next: decoder, unread: chunk, failure })
      assert.deepStrictEqual(decoder.step(chunk, 1), { frames: [], next: decoder, unread: chunk, failure })
    }
    assert.deepStrictEqual(decoder.end(), { frames: [], failure })
  })

  it("has the rest that it is given", () => {
    assert.deepStrictEqual(Codec.failed(failure).rest(), nothing)
    assert.deepStrictEqual(Codec.failed(failure, ascii("rest")).rest(), ascii("rest"))
  })
})

describe("decode", () => {
  it("gives all frames, the last one too", () => {
    assert.deepStrictEqual(Codec.decode(lines, ascii("a\nb\nc")), { frames: ["a", "b", "c"], failure: undefined })
    assert.deepStrictEqual(Codec.decode(lines, nothing), { frames: [], failure: undefined })
  })

  it("gives the frames before a failure, in the middle or at the end", () => {
    const codec = Netstring.make()
    const middle = Codec.decode(codec, ascii("1:a,x1:b,"))
    assert.deepStrictEqual(middle.frames, [ascii("a")])
    assert.instanceOf(middle.failure, InvalidFrame)
    const end = Codec.decode(codec, ascii("1:a,1:b"))
    assert.deepStrictEqual(end, { frames: [ascii("a")], failure: new FrameTruncated({ held: 3 }) })
  })
})

describe("map", () => {
  const lengths = Codec.map(lines, (line) => line.length)

  it("maps each frame, of a step and of the end", () => {
    assert.deepStrictEqual(decoded(lengths, ascii("a\n\nabc\nab")), { frames: [1, 0, 3, 2], failure: undefined })
    assert.deepStrictEqual(Codec.map((line: string) => line.length)(lines).step(ascii("abc\n")).frames, [3])
  })

  it("keeps the limit, what is unread, the rest and the failure", () => {
    const step = lengths.step(ascii("a\nbc\ndef\ng"), 2)
    assert.deepStrictEqual([step.frames, step.unread], [[1, 2], ascii("def\ng")])
    assert.deepStrictEqual(lengths.step(ascii("a\nbc")).next.rest(), ascii("bc"))
    const { failure, frames, next, unread } = Codec.map(Netstring.make(), ({ length }) => length).step(ascii("2:ab,x"))
    assert.deepStrictEqual([frames, unread], [[2], ascii("x")])
    assert.strictEqual(next.step(ascii("1:a,")).failure, failure)
  })

  it("calls the function with the frame alone", () => {
    const seen: Array<unknown> = []
    Codec.map(lines, (...all) => seen.push(all)).step(ascii("a\nb\n"))
    assert.deepStrictEqual(seen, [["a"], ["b"]])
  })

  it("builds up nothing", () => goesOn(lengths, ascii("a\n")))
})

describe("mapEither", () => {
  const decoder = Codec.mapEither(lines, numbers)

  it("maps each frame, of a step and of the end", () => {
    assert.deepStrictEqual(decoded(decoder, ascii("1\n22\n333")), { frames: [1, 22, 333], failure: undefined })
    assert.deepStrictEqual(Codec.mapEither(numbers)(lines).step(ascii("1\n")).frames, [1])
  })

  it("fails with the frames before, however the bytes are cut", () => {
    assert.deepStrictEqual(decoded(decoder, ascii("1\n2\nx\n3\n")), { frames: [1, 2], failure: notANumber("x") })
    assert.deepStrictEqual(decoded(decoder, ascii("x\n3\n")), { frames: [], failure: notANumber("x") })
    assert.deepStrictEqual(decoded(decoder, ascii("1\nx")), { frames: [1], failure: notANumber("x") })
  })

  it("leaves the frame that failed, and all behind it, unread", () => {
    const { next, unread } = decoder.step(ascii("1\n2\nx\n3\n4"))
    assert.deepStrictEqual([next.rest(), unread], [nothing, ascii("x\n3\n4")])
    const first = decoder.step(ascii("x\n3\n4"))
    assert.deepStrictEqual([first.next.rest(), first.unread], [nothing, ascii("x\n3\n4")])
  })

  it("has the beginning of the frame that failed as its rest, if that came before", () => {
    const { next, unread } = decoder.step(ascii("1\nx")).next.step(ascii("y\n3\n"))
    assert.deepStrictEqual([next.rest(), unread], [ascii("x"), ascii("y\n3\n")])
    const second = decoder.step(ascii("1")).next.step(ascii("1\nx\n3\n"))
    assert.deepStrictEqual([second.frames, second.next.rest(), second.unread], [[11], nothing, ascii("x\n3\n")])
  })

  it("keeps the limit, and does not look behind it", () => {
    const step = decoder.step(ascii("1\n2\nx\n"), 2)
    assert.deepStrictEqual([step.frames, step.unread, step.failure], [[1, 2], ascii("x\n"), undefined])
  })

  it("fails as the decoder does, before a frame of the end does", () => {
    const strict = Codec.mapEither(Netstring.make(), (frame) => numbers(text(frame)))
    assert.deepStrictEqual(decoded(strict, ascii("1:1,x")).frames, [1])
    assert.deepStrictEqual(decoded(strict, ascii("1:1,1:")), {
      frames: [1],
      failure: { _tag: "FrameTruncated", held: 2 }
    })
  })

  it("builds up nothing", () => goesOn(decoder, ascii("1\n")))
})

describe("contramapEither", () => {
  const encoder = Codec.contramapEither(
    lines,
    (frame: number) => frame < 0 ? Either.left("negative" as const) : Either.right(String(frame))
  )

  it("encodes what frames are mapped to", () => {
    assert.deepStrictEqual(encoder.encode([1, 23]), Either.right(ascii("1\n23\n")))
    assert.deepStrictEqual(encoder.encode([]), Either.right(nothing))
    const dataLast = Codec.contramapEither((frame: number) => Either.right(String(frame)))(lines)
    assert.deepStrictEqual(dataLast.encode([1]), Either.right(ascii("1\n")))
  })

  it("fails with the first failure", () => {
    assert.deepStrictEqual(encoder.encode([1, -1, 2]), Either.left("negative"))
    assert.isTrue(
      Either.isLeft(Codec.contramapEither(lines, (frame: string) => Either.right(frame)).encode(["a", "b\nc"]))
    )
  })
})

describe("transform", () => {
  const codec = Codec.transform(lines, {
    decode: numbers,
    encode: (frame: number) => frame < 0 ? Either.left("negative" as const) : Either.right(String(frame))
  })

  it("is a function for each direction", () => {
    assert.deepStrictEqual(encoded(codec, 1, 23), ascii("1\n23\n"))
    assert.deepStrictEqual(decoded(codec, ascii("1\n23\nx")), { frames: [1, 23], failure: notANumber("x") })
    assert.deepStrictEqual(codec.encode([-1]), Either.left("negative"))
  })

  describe("keeps the laws", () => {
    const inputs = FastCheck.constantFrom("x\n", "1\n2\nx\n3\n", "11\n12x").map(ascii)
    for (const { name, run } of CodecLaws.laws({ codec, frames: FastCheck.nat(), inputs })) it(name, run)
  })
})

describe("pipe", () => {
  const nested = Codec.pipe(Netstring.make(), lines)

  it("encodes each frame within one of its own", () => {
    assert.strictEqual(text(encoded(nested, "a", "", "bc")), "2:a\n,1:\n,3:bc\n,")
    assert.strictEqual(encoded(nested).length, 0)
  })

  it("fails to encode as the inner one does, and as the outer one", () => {
    assert.strictEqual(unencodable(nested, "a", "a\nb")["_tag"], "InvalidFrame")
    const short = Codec.pipe(Netstring.make({ maxLength: 3 }), lines)
    assert.deepStrictEqual(unencodable(short, "a", "abc"), { _tag: "FrameTooLong", limit: 3, length: 4 })
  })

  it("encodes any number of frames of which each fits", () => {
    const short = Codec.pipe(Netstring.make({ maxLength: 3 }), lines)
    assert.strictEqual(
      Codec.decode(short, encoded(short, ...Array.from({ length: 100 }, () => "ab"))).frames.length,
      100
    )
  })

  it("takes what the outer frames contain as one stream", () => {
    assert.deepStrictEqual(decoded(nested, ascii("0:,1:a,3:bc\n,0:,4:\nd\ne,1:f,")), {
      frames: ["abc", "", "d", "ef"],
      failure: undefined
    })
  })

  it("fails as the outer one does, and as the inner one, with the frames before", () => {
    assert.deepStrictEqual(decoded(nested, ascii("4:a\nbc,x")).frames, ["a"])
    assert.strictEqual(decoded(nested, ascii("4:a\nbc,x")).failure?.["_tag"], "InvalidFrame")
    assert.deepStrictEqual(decoded(nested, ascii("4:a\nbc,2:d")), {
      frames: ["a"],
      failure: { _tag: "FrameTruncated", held: 3 }
    })
    const inner = Codec.pipe(Lines.make(), Netstring.make())
    assert.deepStrictEqual(decoded(inner, ascii("1:a,1:b\n")), {
      frames: [ascii("a")],
      failure: { _tag: "FrameTruncated", held: 3 }
    })
    assert.deepStrictEqual(decoded(inner, ascii("1:a,1:b")), decoded(inner, ascii("1:a,1:b\n")))
    assert.deepStrictEqual(decoded(inner, ascii("1:a,x\n1:b,\n")).frames, [ascii("a")])
    assert.deepStrictEqual(decoded(inner, ascii("1:a,\nx")).frames, [ascii("a")])
  })

  it("fails at the end as the inner one does first, which has its bytes before", () => {
    const failing: Codec.Codec<Uint8Array, Uint8Array, string> = {
      ...Lines.make(),
      step: (bytes) => ({ frames: [], next: failing, unread: bytes.subarray(bytes.length), failure: undefined }),
      end: () => ({ frames: [ascii("1:a,x")], failure: "outer" }),
      encode: () => Either.left("outer")
    }
    const { failure, frames } = Codec.pipe(failing, Netstring.make()).end()
    assert.deepStrictEqual(frames, [ascii("a")])
    assert.instanceOf(failure, InvalidFrame)
    assert.deepStrictEqual(Codec.pipe(failing, lines).end(), { frames: [], failure: "outer" })
  })

  it("gives what is left over in the format of the outer one", () => {
    const { next, unread } = nested.step(ascii("7:a\nb\ncd\n,2:e\n,1:f,2:g"), 2)
    assert.deepStrictEqual([next.rest(), text(unread)], [nothing, "3:cd\n,2:e\n,1:f,2:g"])
    const end = next.step(unread)
    assert.deepStrictEqual([end.frames, text(end.next.rest())], [["cd", "e"], "1:f,2:g"])
  })

  it("gives what is left over after a failure of the inner one", () => {
    const numbered = Codec.pipe(Netstring.make(), Codec.make(Codec.mapEither(lines, numbers), lines))
    const { next, unread } = numbered.step(ascii("6:1\nx\ny\n,2:2\n,"))
    assert.deepStrictEqual([next.rest(), text(unread)], [nothing, "4:x\ny\n,2:2\n,"])
    const later = numbered.step(ascii("3:1\nx,")).next.step(ascii("2:z\n,2:2\n,"))
    assert.deepStrictEqual([text(later.next.rest()), text(later.unread)], ["1:x,", "2:z\n,2:2\n,"])
  })

  it("gives what is left of several frames as several ones, if one cannot hold it", () => {
    const short = Codec.pipe(Netstring.make({ maxLength: 3 }), lines)
    const { next } = short.step(ascii("3:abc,3:def,3:ghi,1:j,"))
    assert.strictEqual(short.step(joined([next.rest(), ascii("1:\n,")])).frames[0], "abcdefghij")
  })

  it("leaves as it is what the outer one cannot hold", () => {
    const fixed = Codec.pipe(FixedLength.make({ length: 4 }), lines)
    assert.deepStrictEqual(fixed.step(ascii("a\nbcdefghi")).next.rest(), ascii("bcdefghi"))
    assert.deepStrictEqual(fixed.step(ascii("a\nbcd"), 1).unread, ascii("bcd"))
  })

  const formats: ReadonlyArray<readonly [string, Codec.Codec<Uint8Array, Uint8Array, unknown>]> = [
    ["netstrings", Netstring.make({ maxLength: 40 })],
    ["16-bit lengths", IntPrefixed.int16({ maxLength: 40 })],
    ["varints", Varint.make({ maxLength: 40 })],
    ["COBS", Cobs.make({ maxLength: 40 })]
  ]
  const content = FastCheck.uint8Array({ maxLength: 12, max: 3 })

  for (const [outerName, outer] of formats) {
    for (const [innerName, inner] of formats) {
      const codec = Codec.pipe(outer, inner)

      it.prop(
        `${innerName} in ${outerName} may begin and end anywhere in these, and go on after each frame`,
        [
          FastCheck.array(content, { maxLength: 5 }),
          FastCheck.infiniteStream(FastCheck.integer({ min: 0, max: 8 })),
          FastCheck.nat(5)
        ],
        ([frames, lengths, taken]) => {
          const contents = pieces(encoded(inner, ...frames), lengths)
          const chunks = pieces(encoded(outer, ...contents), lengths)
          assert.deepStrictEqual(decodeChunks(codec, chunks), { frames, failure: undefined })
          const wire = joined(chunks)
          const { frames: first, next, unread } = codec.step(wire, taken + 1)
          assert.deepStrictEqual(first, frames.slice(0, taken + 1))
          const others = { frames: frames.slice(taken + 1), failure: undefined }
          assert.deepStrictEqual(decodeChunks(next, [unread]), others)
          assert.deepStrictEqual(decodeChunks(codec, [next.rest(), unread]), others)
        }
      )
    }
  }

  for (const [name, outer] of formats) {
    describe(`keeps the laws of lines in ${name}`, () => {
      const frames = FastCheck.string({ maxLength: 8, unit: "binary" }).filter((line) =>
        !/[\r\n]|[\uD800-\uDFFF]/.test(line)
      )
      const codec = Codec.pipe(outer, Lines.text({ maxLength: 36 }))
      const inputs = FastCheck.array(FastCheck.string({ maxLength: 40, unit: FastCheck.constantFrom("a", "\n") }))
        .map((contents) => encoded(outer, ...contents.map(ascii)))
      for (const { name, run } of CodecLaws.laws({ codec, frames, inputs })) it(name, run)
    })
  }

  it("builds up nothing", () => goesOn(nested, ascii("2:a\n,")))
})

/** Cut into pieces of these lengths, of which some are 0. */
const pieces = (whole: Uint8Array, lengths: Iterator<number>): Array<Uint8Array> => {
  const all: Array<Uint8Array> = []
  for (let at = 0; at < whole.length;) {
    const length = Number(lengths.next().value)
    all.push(whole.slice(at, at + length))
    at += length
  }
  return all
}

describe("startsWith", () => {
  const table: ReadonlyArray<[first: string, prefix: string, result: boolean | undefined]> = [
    ["", "ab", undefined],
    ["a", "ab", undefined],
    ["b", "ab", false],
    ["ab", "ab", true],
    ["ac", "ab", false],
    ["abc", "ab", true],
    ["", "", true],
    ["a", "", true]
  ]
  for (const [first, prefix, result] of table) {
    it(`of ${JSON.stringify(prefix)} for ${JSON.stringify(first)} is ${result}`, () => {
      assert.strictEqual(Codec.startsWith(ascii(prefix))(ascii(first)), result)
    })
  }
})

describe("orElse", () => {
  const words = Codec.map(lines, (line) => `line ${line}`)
  const netstrings = Codec.map(Netstring.make(), (frame) => `netstring ${text(frame)}`)
  const fixed = Codec.map(FixedLength.make({ length: 2 }), (frame) => `two ${text(frame)}`)
  const either = Codec.orElse(words, netstrings, Codec.startsWith(ascii("GET ")))

  it("is the first one if the first bytes match, and the second one if not", () => {
    assert.deepStrictEqual(decoded(either, ascii("GET a\n1:b,\n")), {
      frames: ["line GET a", "line 1:b,"],
      failure: undefined
    })
    assert.deepStrictEqual(decoded(either, ascii("1:a,3:GET,")), {
      frames: ["netstring a", "netstring GET"],
      failure: undefined
    })
    const dataLast = Codec.orElse(netstrings, Codec.startsWith(ascii("GET ")))(words)
    assert.deepStrictEqual(dataLast.step(ascii("1:a,")).frames, ["netstring a"])
  })

  it("is the second one if the input ends before it is known", () => {
    const other = Codec.orElse(netstrings, words, Codec.startsWith(ascii("1:a,2:")))
    assert.deepStrictEqual(decoded(other, ascii("1:a,")), { frames: ["line 1:a,"], failure: undefined })
    assert.deepStrictEqual(decoded(other, nothing), { frames: [], failure: undefined })
    assert.deepStrictEqual(decoded(either, ascii("GE")).failure?.["_tag"], "InvalidFrame")
  })

  it("tries several, in either way to write it", () => {
    const isNetstring = ([first]: Uint8Array) => first! >= 0x30 && first! <= 0x39
    const isGet = Codec.startsWith(ascii("GET "))
    const right = Codec.orElse(words, Codec.orElse(netstrings, fixed, isNetstring), isGet)
    const left = Codec.orElse(
      Codec.orElse(words, netstrings, isGet),
      fixed,
      (first) => isNetstring(first) || isGet(first)
    )
    for (const decoder of [left, right]) {
      assert.deepStrictEqual(decoded(decoder, ascii("GET a\n")).frames, ["line GET a"])
      assert.deepStrictEqual(decoded(decoder, ascii("1:a,")).frames, ["netstring a"])
      assert.deepStrictEqual(decoded(decoder, ascii("GEab")).frames, ["two GE", "two ab"])
      assert.deepStrictEqual(decoded(decoder, ascii("abcd")).frames, ["two ab", "two cd"])
    }
  })

  it("keeps the limit, what is unread and the rest", () => {
    const first = either.step(ascii("GE"), 1)
    assert.deepStrictEqual([first.frames, first.unread, first.next.rest()], [[], nothing, ascii("GE")])
    const second = first.next.step(ascii("T a\nb\nc"), 1)
    assert.deepStrictEqual([second.frames, second.unread, second.next.rest()], [["line GET a"], ascii("b\nc"), nothing])
  })

  it("does not change when an empty chunk comes", () => {
    const asked: Array<number> = []
    const decoder = Codec.orElse(words, fixed, (first) => {
      asked.push(first.length)
      return undefined
    })
    assert.deepStrictEqual(decodeChunks(decoder, [nothing, ascii("a"), nothing, ascii("b")]).frames, ["two ab"])
    assert.deepStrictEqual(asked, [1, 2])
  })

  it("waits for 4096 bytes, and asks about no more", () => {
    for (const [at, frame] of [[4095, "line"], [4096, "two"]] as const) {
      const decoder = Codec.orElse(words, fixed, (first) => first.includes(0x78, 0) ? true : undefined)
      const wire = joined([bytes(at, 0x61), ascii("x\n"), bytes(at % 2, 0x61)])
      for (const chunks of [[wire], bytewise(wire), [wire.slice(0, 4095), wire.slice(4095)]]) {
        const { failure, frames } = decodeChunks(decoder, chunks)
        assert.strictEqual(failure, undefined)
        assert.match(frames[0]!, new RegExp(`^${frame}`), `byte ${at}, ${chunks.length} chunks`)
      }
    }
  })

  it("holds 4095 bytes at most", () => {
    let next: Codec.Decoder<string, unknown> = Codec.orElse(words, fixed, () => undefined)
    for (let count = 0; count < 5000; count++) {
      next = next.step(ascii("a")).next
      assert.isAtMost(next.rest().length, 4095)
    }
  })

  it("is nothing but the decoder that was chosen, once it is", () => {
    const { codec } = recorder()
    assert.strictEqual(Codec.orElse(codec, lines, () => true).step(ascii("a")).next, codec)
    assert.strictEqual(Codec.orElse(lines, codec, () => false).step(ascii("a")).next, codec)
    goesOn(either, ascii("1:a,"))
  })

  it("fails as the one does that was chosen", () => {
    assert.deepStrictEqual(decoded(either, ascii("1:a,x")).frames, ["netstring a"])
    assert.strictEqual(decoded(either, ascii("1:a,x")).failure?.["_tag"], "InvalidFrame")
    assert.strictEqual(decoded(either, ascii("1:a,1:")).failure?.["_tag"], "FrameTruncated")
  })

  describe("keeps the laws", () => {
    const one = Netstring.make({ maxLength: 40 })
    const codec = Codec.make(
      Codec.orElse(one, Lines.make({ maxLength: 40 }), ([first]) => first! >= 0x30 && first! <= 0x39),
      one
    )
    const frames = FastCheck.uint8Array({ maxLength: 12 })
    const inputs = FastCheck.string({ maxLength: 60, unit: FastCheck.constantFrom("a", "\n", "1", ":", ",") }).map(
      ascii
    )
    for (const { name, run } of CodecLaws.laws({ codec, frames, inputs, maxHeld: 44 })) {
      // A new decoder looks again which of the two it is.
      if (name !== "hand-over") it(name, run)
    }
  })
})

describe("switchTo", () => {
  const raw = (length: number) => FixedLength.make({ length })

  /** "DATA 5" announces five raw bytes. */
  const announced = Codec.switchTo(lines, (frame: string | Uint8Array) => {
    if (typeof frame !== "string") return lines
    const [, length] = /^DATA ([1-9]\d?)$/.exec(frame) ?? []
    return length === undefined ? undefined : raw(Number(length))
  })

  it("goes on with the same decoder until another one is chosen", () => {
    assert.deepStrictEqual(decoded(announced, ascii("a\nDATA 5\nb\nc\n\nd\nDATA 1\n\nDATA 2\n\n\ne")), {
      frames: ["a", "DATA 5", ascii("b\nc\n\n"), "d", "DATA 1", ascii("\n"), "DATA 2", ascii("\n\n"), "e"],
      failure: undefined
    })
    const dataLast = Codec.switchTo((frame: string | Uint8Array) => frame === "raw" ? raw(2) : undefined)(lines)
    assert.deepStrictEqual(dataLast.step(ascii("raw\na\n")).frames, ["raw", ascii("a\n")])
  })

  it("reads headers as lines, then so many raw bytes, then headers again", () => {
    // The length is kept by the decoder of the other headers.
    const messages = Codec.switchTo(lines, (frame: string | Uint8Array) => {
      const [, length] = typeof frame === "string" ? /^Content-Length: (\d+)$/.exec(frame) ?? [] : []
      return length === undefined ?
        undefined :
        Codec.switchTo(
          lines,
          (frame: string | Uint8Array) =>
            frame === "" ? raw(Number(length)) : typeof frame === "string" ? undefined : lines
        )
    })
    const message = "POST / HTTP/1.1\r\nContent-Length: 7\r\nHost: a\r\n\r\n\r\nbody\n"
    const frames = ["POST / HTTP/1.1", "Content-Length: 7", "Host: a", "", ascii("\r\nbody\n")]
    assert.deepStrictEqual(decoded(messages, ascii(message + message + "GET")), {
      frames: [...frames, ...frames, "GET"],
      failure: undefined
    })
    goesOn(messages, ascii("a\n"))
  })

  it("keeps the limit, what is unread and the rest, on both sides of a switch", () => {
    const wire = ascii("a\nDATA 3\nbc\nd\ne")
    const frames = ["a", "DATA 3", ascii("bc\n"), "d"]
    const unread = ["DATA 3\nbc\nd\ne", "bc\nd\ne", "d\ne", "e"]
    for (let limit = 1; limit <= 4; limit++) {
      const step = announced.step(wire, limit)
      assert.deepStrictEqual([step.frames, text(step.unread)], [frames.slice(0, limit), unread[limit - 1]!])
      assert.deepStrictEqual(step.next.rest(), nothing)
      assert.deepStrictEqual(Codec.decode(step.next, step.unread).frames, [...frames.slice(limit), "e"])
    }
    assert.deepStrictEqual(announced.step(ascii("DATA 3\nb")).next.rest(), ascii("b"))
    assert.deepStrictEqual(announced.step(ascii("DATA 3\nbcdef")).next.rest(), ascii("ef"))
  })

  it("fails as the decoder does that was chosen, with the frames before", () => {
    assert.deepStrictEqual(decoded(announced, ascii("a\nDATA 3\nbc")), {
      frames: ["a", "DATA 3"],
      failure: { _tag: "FrameTruncated", held: 2 }
    })
    const strict = Codec.switchTo(lines, () => Netstring.make())
    const { failure, frames, next, unread } = strict.step(ascii("a\n1:b,x1:c,"))
    assert.deepStrictEqual([frames, text(unread)], [["a", ascii("b")], "x1:c,"])
    assert.instanceOf(failure, InvalidFrame)
    const again = next.step(ascii("1:b,"))
    assert.deepStrictEqual([again.frames, again.unread, again.failure], [[], ascii("1:b,"), failure])
  })

  it("asks once after each frame, in order", () => {
    const seen: Array<string> = []
    const decoder = Codec.switchTo(lines, (frame: string) => {
      seen.push(frame)
      return undefined
    })
    decodeChunks(decoder, [ascii("a\nb"), ascii("b\nc\n"), ascii("d")])
    assert.deepStrictEqual(seen, ["a", "bb", "c"])
  })

  it("switches 100,000 times in one chunk at the cost of each byte once", () => {
    const part = ascii("DATA 3\na\nb")
    const wire = joined(Array.from({ length: 50_000 }, () => part))
    const before = scanned.bytes
    const { failure, frames, next } = announced.step(wire)
    assert.isAtMost(scanned.bytes - before, 2 * wire.length)
    assert.deepStrictEqual([frames.length, failure, next.rest()], [100_000, undefined, nothing])
    assert.deepStrictEqual(frames.slice(-2), ["DATA 3", ascii("a\nb")])
  })

  it("builds up nothing", () => {
    goesOn(announced, ascii("a\n"))
    let next: Codec.Decoder<string | Uint8Array, unknown> = announced
    for (let count = 0; count < 100_000; count++) next = next.step(ascii(count % 2 === 0 ? "DATA 1\n" : "x")).next
    assert.deepStrictEqual(next.step(ascii("a\n")).frames, ["a"])
  })

  describe("keeps the laws", () => {
    const codec = Codec.make(announced, {
      encode: (frames: ReadonlyArray<string | Uint8Array>) =>
        Either.right(joined(frames.flatMap((frame) =>
          typeof frame === "string"
            ? [ascii(`${frame}\n`)]
            : [ascii(`DATA ${frame.length}\n`), frame]
        )))
    })
    const frames = FastCheck.oneof(
      FastCheck.string({ maxLength: 4, unit: FastCheck.constantFrom("a", "b") }),
      FastCheck.uint8Array({ minLength: 1, maxLength: 12 })
    )
    // What announces raw bytes is a frame itself: there are two where one was encoded. A new decoder expects a line.
    const others = ["round trip", "left-over bytes", "hand-over", "truncation"]
    const inputs = FastCheck.string({ maxLength: 4, unit: FastCheck.constantFrom("a", "\n") })
      .map((rest) => ascii(`a\nDATA 3\n${rest}`))
    for (const { name, run } of CodecLaws.laws({ codec, frames, inputs })) if (!others.includes(name)) it(name, run)
  })
})
