import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type * as Codec from "../../../src/Codec.ts"
import type { FrameTooLong } from "../../../src/FrameError.ts"
import { decoder, Delimiters, encoder } from "../../../src/framing/internal/delimited.ts"
import { scanned } from "../../../src/internal/scanned.ts"
import * as CodecLaws from "../../../src/testing/CodecLaws.ts"
import { ascii, bytes, cut, joined, text } from "../../support/bytes.ts"
import { bytewise, decodeChunks, decoded } from "../../support/decoding.ts"

interface Options {
  readonly delimiters: ReadonlyArray<string>
  readonly maxLength?: number
  readonly whenTooLong?: "fail" | "skip"
}

/** Frames as "content|delimiter", so that it is seen which of them ended one; what the input ends with has none. */
const make = ({ delimiters, maxLength = 1000, whenTooLong = "fail" }: Options): Codec.Decoder<string, FrameTooLong> =>
  decoder<string, never>({
    delimiters: new Delimiters(delimiters.map(ascii)),
    maxLength,
    whenTooLong,
    frame: (bytes, from, contentEnd, end) =>
      `${text(bytes.subarray(from, contentEnd))}|${text(bytes.subarray(contentEnd, end))}`,
    last: (bytes) => ({ frames: [text(bytes)], failure: undefined })
  })

interface Reference {
  readonly frames: ReadonlyArray<string>
  readonly failure: unknown
  /** Where the bytes behind each frame begin, and the frame that failed. */
  readonly ends: ReadonlyArray<number>
  readonly failedAt: number | undefined
}

/** By definition, with all of the input there: the delimiter that begins first, of these the longest. */
const reference = (input: string, { delimiters, maxLength = 1000, whenTooLong = "fail" }: Options): Reference => {
  const longestFirst = delimiters.toSorted((a, b) => b.length - a.length)
  const frames: Array<string> = []
  const ends: Array<number> = []
  let start = 0
  const done = (failed: boolean): Reference => ({
    frames,
    ends,
    failure: failed ? { _tag: "FrameTooLong", limit: maxLength, length: undefined } : undefined,
    failedAt: failed ? start : undefined
  })
  for (let at = 0; at <= input.length; at++) {
    const over = at === input.length
    const delimiter = over ? "" : longestFirst.find((delimiter) => input.startsWith(delimiter, at))
    if (delimiter === undefined || (over && start === at)) continue
    if (at - start <= maxLength) {
      frames.push(over ? input.slice(start) : `${input.slice(start, at)}|${delimiter}`)
      ends.push(at + delimiter.length)
    } else if (whenTooLong === "fail") return done(true)
    if (over) break
    start = at + delimiter.length
    at = start - 1
  }
  return done(false)
}

const plain = ({ failure, frames }: Codec.End<string, FrameTooLong>) => ({
  frames,
  failure: failure === undefined ? undefined : { ...failure }
})

/** Formats whose delimiters get in each other's way. */
const sets: ReadonlyArray<ReadonlyArray<string>> = [
  ["\n"],
  ["\r\n"],
  ["\r\n", "\n"],
  ["\r\n", "\r", "\n"],
  ["ABCD", "B"],
  ["ABCD", "BC", "D"],
  ["aab", "ab", "b"],
  ["aab"],
  ["aa"],
  ["aba", "ab"],
  ["abab", "ba"],
  ["aaaa", "aa", "b"]
]

const named = (delimiters: ReadonlyArray<string>) => delimiters.map((delimiter) => JSON.stringify(delimiter)).join(", ")

/** Inputs of the bytes of the delimiters and another one, of many lengths, with delimiters whole and in part. */
const inputFor = (delimiters: ReadonlyArray<string>) =>
  FastCheck.array(
    FastCheck.oneof(
      FastCheck.constantFrom("x", ...delimiters.join("")),
      FastCheck.constantFrom(...delimiters),
      FastCheck.constantFrom(...delimiters.map((delimiter) => delimiter.slice(0, -1)))
    ),
    { maxLength: 24 }
  ).map((parts) => parts.join(""))

describe("a decoder of frames that a delimiter ends", () => {
  for (const delimiters of sets) {
    for (const whenTooLong of ["fail", "skip"] as const) {
      it.prop(
        `${named(delimiters)}: gives what a search in the whole input does, however that is cut (${whenTooLong})`,
        [CodecLaws.rechunked(inputFor(delimiters).map(ascii)), FastCheck.constantFrom(1000, 3, 2, 1, 0)],
        ([chunks, maxLength]) => {
          const options = { delimiters, maxLength, whenTooLong }
          const { failure, frames } = reference(text(chunks), options)
          assert.deepStrictEqual(plain(decodeChunks(make(options), chunks)), { frames, failure })
          assert.deepStrictEqual(plain(decodeChunks(make(options), bytewise(joined(chunks)))), { frames, failure })
        },
        { fastCheck: { numRuns: 1000 } }
      )
    }

    it.prop(
      `${named(delimiters)}: gives back the bytes behind any number of frames, and a frame that failed`,
      [CodecLaws.rechunked(inputFor(delimiters).map(ascii)), FastCheck.constantFrom(1000, 2)],
      ([chunks, maxLength]) => {
        const input = text(chunks)
        const { ends, failedAt, frames } = reference(input, { delimiters, maxLength })
        const seen: Array<string> = []
        let next = make({ delimiters, maxLength })
        const unread = [...chunks]
        while (unread.length > 0) {
          const step = next.step(unread[0]!, 1)
          seen.push(...step.frames)
          next = step.next
          unread[0] = step.unread
          const left = text([next.rest(), ...unread])
          if (step.failure !== undefined) {
            assert.strictEqual(left, input.slice(failedAt))
            break
          }
          assert.strictEqual(left, input.slice(ends[seen.length - 1] ?? 0))
          if (step.unread.length === 0) unread.shift()
        }
        assert.deepStrictEqual(seen, frames.slice(0, seen.length))
      },
      { fastCheck: { numRuns: 500 } }
    )
  }

  const part = FastCheck.string({ unit: FastCheck.constantFrom("a", "b"), minLength: 1, maxLength: 5 })

  it.prop(
    "gives what a search in the whole input does, whatever the delimiters are",
    [
      FastCheck.array(part, { minLength: 1, maxLength: 4 }),
      CodecLaws.rechunked(FastCheck.string({ unit: FastCheck.constantFrom("a", "b", "c"), maxLength: 30 }).map(ascii)),
      FastCheck.nat(8),
      FastCheck.constantFrom("fail" as const, "skip" as const)
    ],
    ([delimiters, chunks, maxLength, whenTooLong]) => {
      const options = { delimiters, maxLength, whenTooLong }
      const { failure, frames } = reference(text(chunks), options)
      assert.deepStrictEqual(plain(decodeChunks(make(options), chunks)), { frames, failure })
    },
    { fastCheck: { numRuns: 5000 } }
  )

  it("waits for a longer delimiter, and takes the shorter one when that does not come", () => {
    const { next, ...step } = make({ delimiters: ["ABCD", "B"] }).step(ascii("xABC"))
    assert.deepStrictEqual([step.frames, next.rest()], [[], ascii("xABC")])
    assert.deepStrictEqual(next.step(ascii("D")).frames, ["x|ABCD"])
    assert.deepStrictEqual(decodeChunks(next, [ascii("E")]).frames, ["xA|B", "CE"])
    assert.deepStrictEqual(next.end().frames, ["xA|B", "C"])
    assert.deepStrictEqual(decodeChunks(next, [ascii("ABCD")]).frames, ["xA|B", "C|ABCD"])
    assert.deepStrictEqual(decodeChunks(next, [ascii("BB")]).frames, ["xA|B", "C|B", "|B"])
  })

  it("takes each CR of many for itself, one by one as well, and a CR and a LF that are cut for one", () => {
    const decoder = make({ delimiters: ["\r\n", "\r", "\n"] })
    const returns = bytes(1000, 0x0d)
    const frames = Array.from({ length: 1000 }, () => "|\r")
    for (const chunks of [[returns], bytewise(returns), cut(returns, [2, 1, 3])]) {
      assert.deepStrictEqual(decodeChunks(decoder, chunks).frames, frames)
      assert.deepStrictEqual(decodeChunks(decoder, [...chunks, ascii("\n")]).frames, [...frames.slice(1), "|\r\n"])
      assert.deepStrictEqual(decodeChunks(decoder, [...chunks, ascii("x")]).frames, [...frames, "x"])
    }
  })

  describe("has a longest content, and no longer one", () => {
    const table: ReadonlyArray<readonly [input: string, fail: ReadonlyArray<string>, skip: ReadonlyArray<string>]> = [
      ["abc\r\nd", ["abc|\r\n", "d"], ["abc|\r\n", "d"]],
      ["abcd\r\nd", [], ["d"]],
      ["a\r\nabcd\r\n", ["a|\r\n"], ["a|\r\n"]],
      ["abc", ["abc"], ["abc"]],
      ["abcd", [], []],
      ["ab\r", ["ab\r"], ["ab\r"]],
      ["abc\r", [], []],
      ["abc\rd\r\ne\r\n", [], ["e|\r\n"]],
      ["abcdefgh\r\rabc\r\r\n\r\nabcd\r\nx\r\n", [], ["|\r\n", "x|\r\n"]]
    ]
    const tooLong = { _tag: "FrameTooLong", limit: 3, length: undefined }
    for (const [input, fail, skip] of table) {
      it(JSON.stringify(input), () => {
        const failing = decoded(make({ delimiters: ["\r\n"], maxLength: 3 }), ascii(input))
        assert.deepStrictEqual(failing.frames, fail)
        const failure = reference(input, { delimiters: ["\r\n"], maxLength: 3 }).failure
        assert.deepStrictEqual(failing.failure, failure === undefined ? undefined : tooLong)
        const skipping = decoded(make({ delimiters: ["\r\n"], maxLength: 3, whenTooLong: "skip" }), ascii(input))
        assert.deepStrictEqual(skipping, { frames: skip, failure: undefined })
      })
    }
  })

  it("refuses a long frame before its delimiter comes, and holds nothing of one that is skipped", () => {
    const failing = make({ delimiters: ["\r\n"], maxLength: 3 })
    assert.strictEqual(failing.step(ascii("abc\r")).failure, undefined)
    assert.isDefined(failing.step(ascii("abcd")).failure)
    assert.isDefined(failing.step(ascii("abc")).next.step(ascii("d")).failure)
    let skipping = make({ delimiters: ["ABCD"], maxLength: 3, whenTooLong: "skip" })
    for (const byte of bytewise(ascii("xxxxxABCxxABCABABxxx".repeat(100)))) {
      skipping = skipping.step(byte).next
      assert.isAtMost(skipping.rest().length, 3 + 3)
    }
    assert.deepStrictEqual(decodeChunks(skipping, [ascii("ABC"), ascii("Dy")]).frames, ["y"])
  })

  it("takes no more room than the longest frame needs", () => {
    let held = make({ delimiters: ["\r\n"], maxLength: 1000 })
    for (let count = 0; count < 1000; count += 100) {
      held = held.step(bytes(100)).next
      assert.isAtMost(held.rest().buffer.byteLength, 1002)
    }
  })

  it("gives frames that one chunk holds as views of it", () => {
    const views = decoder<Uint8Array, never>({
      delimiters: new Delimiters([ascii("\n")]),
      maxLength: 10,
      whenTooLong: "fail",
      frame: (bytes, from, contentEnd) => bytes.subarray(from, contentEnd),
      last: (bytes) => ({ frames: [bytes], failure: undefined })
    })
    const chunk = ascii("a\nbc\nd")
    const { frames, next } = views.step(chunk)
    for (const frame of frames) assert.strictEqual(frame.buffer, chunk.buffer)
    const more = ascii("ef\ng\n")
    const second = next.step(more)
    assert.deepStrictEqual(second.frames.map(text), ["def", "g"])
    assert.strictEqual(second.frames[1]!.buffer, more.buffer)
  })

  it("takes no frame that the format makes none of", () => {
    const words = decoder<string, never>({
      delimiters: new Delimiters([ascii(" ")]),
      maxLength: 10,
      whenTooLong: "fail",
      frame: (bytes, from, contentEnd) => from === contentEnd ? undefined : text(bytes.subarray(from, contentEnd)),
      last: () => ({ frames: [], failure: undefined })
    })
    assert.deepStrictEqual(decoded(words, ascii("  a   b c  ")), { frames: ["a", "b", "c"], failure: undefined })
    assert.deepStrictEqual(words.step(ascii("  a   b"), 1).unread, ascii("  b"))
  })

  describe("looks at each byte a bounded number of times", () => {
    const size = 20_000
    const inputs: ReadonlyArray<readonly [delimiters: ReadonlyArray<string>, unit: string]> = [
      [["\r\n", "\r", "\n"], "\r"],
      [["\r\n", "\n"], "x\r"],
      [["\r\n"], "\r"],
      [["ABCD", "B"], "ABC"],
      [["ABCD", "B"], "A"],
      [["aab", "ab", "b"], "a"],
      [["aaaa", "aa"], "a"],
      [["abababab"], "ab"]
    ]
    for (const [delimiters, unit] of inputs) {
      it(`${JSON.stringify(unit)} again and again, with ${named(delimiters)}`, () => {
        const input = ascii(unit.repeat(size / unit.length))
        const decoder = make({ delimiters, maxLength: size })
        const cost = (chunks: ReadonlyArray<Uint8Array>) => {
          const before = scanned.bytes
          const { frames } = decodeChunks(decoder, chunks)
          return scanned.bytes - before - 8 * frames.length
        }
        for (const chunks of [[input], bytewise(input), cut(input, [3]), cut(input, [1, 100])]) {
          assert.isAtMost(cost(chunks), 4 * size, `${chunks.length} chunks`)
        }
      })
    }
  })
})

describe("Delimiters", () => {
  it("are at least one, of at least one byte", () => {
    assert.throws(() => new Delimiters([]), RangeError)
    assert.throws(() => new Delimiters([ascii("a"), bytes(0)]), RangeError)
  })

  for (const delimiters of sets) {
    it.prop(`${named(delimiters)}: find the first, and tell how far it is known that none stands there`, [
      inputFor(delimiters),
      FastCheck.nat(6),
      FastCheck.boolean()
    ], ([input, from, over]) => {
      if (from > input.length) return
      const at = new Delimiters(delimiters.map(ascii)).find(ascii(input), from, over)
      const mayStand = (at: number) =>
        delimiters.some((delimiter) =>
          input.startsWith(delimiter, at) || (!over && delimiter.startsWith(input.slice(at)))
        )
      let first = from
      while (first < input.length && !mayStand(first)) first++
      // Where a longer one may still come, it is not known which of them stands there.
      const longer = delimiters.some((delimiter) =>
        delimiter.length > input.length - first && delimiter.startsWith(input.slice(first))
      )
      const stands = first < input.length && delimiters.some((delimiter) => input.startsWith(delimiter, first))
      assert.strictEqual(at, stands && (over || !longer) ? first : ~first)
    }, { fastCheck: { numRuns: 500 } })
  }
})

describe("an encoder of frames that a delimiter ends", () => {
  for (const delimiters of sets) {
    it.prop(`${named(delimiters)}: refuses just what would not be decoded as the same frame, whatever follows`, [
      inputFor(delimiters),
      inputFor(delimiters)
    ], ([frame, following]) => {
      const codec = encoder({ delimiters: new Delimiters(delimiters.map(ascii)), maxLength: 1000 })
      const encoded = codec.encode([ascii(frame)])
      const options = { delimiters }
      const decodes = (wire: string, behind: string) => {
        const [first = ""] = reference(wire + behind, options).frames
        return first === `${frame}|${wire.slice(frame.length)}`
      }
      if (Either.isRight(encoded)) {
        assert.isTrue(decodes(text(encoded.right), following))
      } else {
        assert.strictEqual(encoded.left._tag, "InvalidFrame")
        const anything = ["", ...delimiters, ...delimiters.join("")]
        assert.isTrue(delimiters.every((delimiter) => anything.some((behind) => !decodes(frame + delimiter, behind))))
      }
    })
  }
})
