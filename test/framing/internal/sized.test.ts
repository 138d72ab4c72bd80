import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Codec from "../../../src/Codec.ts"
import { FrameTooLong, InvalidFrame } from "../../../src/FrameError.ts"
import { decoder, encoder, type Format, Refusal } from "../../../src/framing/internal/sized.ts"
import * as CodecLaws from "../../../src/testing/CodecLaws.ts"
import { ascii, bytes, joined, text } from "../../support/bytes.ts"
import { bytewise, decodeChunks, decoded } from "../../support/decoding.ts"

const maxLength = 20

/** How a frame begins: "#" once or several times, that many digits of its length, and these. "##12" is the longest. */
const sizeOf = (bytes: Uint8Array, at: number, end: number): number | FrameTooLong | InvalidFrame => {
  let marks = 0
  while (marks < 3 && at + marks < end && bytes[at + marks] === 0x23) marks++
  if (marks === 3 || (marks === 0 && at < end)) return new InvalidFrame({ reason: "its marks are not one or two" })
  if (at + marks === end) return -(marks + 1)
  if (at + 2 * marks > end) return -2 * marks
  const digits = text(bytes.subarray(at + marks, at + 2 * marks))
  const length = Number(digits)
  if (!/^\d+$/.test(digits)) return new InvalidFrame({ reason: "its length is not a number" })
  return length > maxLength ? new FrameTooLong({ limit: maxLength, length }) : 2 * marks + length
}

type Failure = FrameTooLong | InvalidFrame

/** Holds whoever asks to what the format may rely on. */
const format: Format<string, Failure> = {
  size: (bytes, at, end) => {
    assert.isTrue(at >= 0 && at < end && end <= bytes.length, "there are bytes")
    const size = sizeOf(bytes, at, end)
    if (typeof size === "number" && size < 0) assert.isAbove(-size, end - at)
    return size
  },
  frame: (bytes, at, end) => {
    assert.strictEqual(sizeOf(bytes, at, end), end - at, "it is the whole frame")
    const content = text(bytes.subarray(at + (bytes[at + 1] === 0x23 ? 4 : 2), end))
    return content.includes("!") ? new Refusal(new InvalidFrame({ reason: "it has an exclamation mark" })) : content
  }
}

const codec = Codec.make(
  decoder(format),
  encoder<string, Failure>({
    sizeOf: ({ length }) =>
      length > maxLength ? new FrameTooLong({ limit: maxLength, length }) : length + (length < 10 ? 2 : 4),
    write: (frame, bytes, at) => {
      const wire = ascii(`${frame.length < 10 ? "#" : "##"}${frame.length}${frame}`)
      bytes.set(wire, at)
      return at + wire.length
    }
  })
)

/** The format decoded by its definition, with all of the input there. */
const reference = (wire: string): Codec.End<string, Record<string, unknown>> => {
  const frames: Array<string> = []
  for (let at = 0; at < wire.length;) {
    const head = /^(#{1,2})(?!#)/.exec(wire.slice(at))
    const fail = (failure: Record<string, unknown>) => ({ frames, failure })
    const truncated = fail({ _tag: "FrameTruncated", held: wire.length - at })
    if (head === null) {
      return /^#{0,2}$/.test(wire.slice(at))
        ? truncated
        : fail({ _tag: "InvalidFrame", reason: "its marks are not one or two" })
    }
    const marks = head[1]!.length
    if (at + marks === wire.length) return truncated
    const digits = wire.slice(at + marks, at + 2 * marks)
    if (digits.length < marks) return truncated
    if (!/^\d+$/.test(digits)) return fail({ _tag: "InvalidFrame", reason: "its length is not a number" })
    const length = Number(digits)
    if (length > maxLength) return fail({ _tag: "FrameTooLong", limit: maxLength, length })
    const content = wire.slice(at + 2 * marks, at + 2 * marks + length)
    if (content.length < length) return truncated
    if (content.includes("!")) return fail({ _tag: "InvalidFrame", reason: "it has an exclamation mark" })
    frames.push(content)
    at += 2 * marks + length
  }
  return { frames, failure: undefined }
}

describe("a decoder of frames whose beginning tells their size", () => {
  const table: ReadonlyArray<readonly [what: string, wire: string]> = [
    ["nothing", ""],
    ["frames of no bytes", "#0##00#0"],
    ["frames of several sizes", "#3abc##12abcdefghijkl#1x"],
    ["the longest frame", `##20${"x".repeat(20)}`],
    ["a frame that is too long", "#1a##21"],
    ["a frame whose size is refused at once", "#1a###"],
    ["a frame whose size is refused later", "#1a##x1"],
    ["a frame that is refused when it is there", "#1a#3b!c#1d"],
    ["half a header", "#1a##1"],
    ["half a frame", "#1a##12abc"]
  ]
  for (const [what, wire] of table) {
    it(`gives what ${what} is`, () => assert.deepStrictEqual(decoded(codec, ascii(wire)), reference(wire)))
  }

  const wire = FastCheck.string({ unit: FastCheck.constantFrom("#", "#", "0", "1", "2", "a", "!"), maxLength: 40 })

  it.prop("gives what the format says, of any input, however it is cut", [
    CodecLaws.rechunked(wire.map(ascii))
  ], ([chunks]) => {
    const { failure, frames } = decodeChunks(codec, chunks)
    const plain = failure === undefined ? undefined : { ...failure }
    assert.deepStrictEqual({ frames, failure: plain }, reference(text(chunks)))
  }, { fastCheck: { numRuns: 5000 } })

  it.prop("gives what is left behind each frame", [wire], ([wire]) => {
    const { frames } = reference(wire)
    const left = frames.map((_, index) => {
      const { next, unread } = codec.step(ascii(wire), index + 1)
      assert.strictEqual(next.rest().length, 0)
      return text(unread)
    })
    for (const [index, rest] of left.entries()) assert.deepStrictEqual(reference(rest).frames, frames.slice(index + 1))
  })

  it("gives frames that one chunk holds as views of it, and others as views of one copy", () => {
    const views = decoder<Uint8Array, Failure>({
      size: format.size,
      frame: (bytes, at, end) => bytes.subarray(at, end)
    })
    const chunk = ascii("#1a#2bc#3d")
    const { frames, next } = views.step(chunk)
    for (const frame of frames) assert.strictEqual(frame.buffer, chunk.buffer)
    const more = ascii("ef#1g")
    const second = next.step(more)
    assert.deepStrictEqual(second.frames.map(text), ["#3def", "#1g"])
    assert.notStrictEqual(second.frames[0]!.buffer, more.buffer)
    assert.strictEqual(second.frames[1]!.buffer, more.buffer)
  })

  it("asks for the size as often as its header is looked at, not for each byte", () => {
    let asked = 0
    const counting = decoder<string, Failure>({
      ...format,
      size: (...all) => {
        asked++
        return format.size(...all)
      }
    })
    decodeChunks(counting, bytewise(ascii(`##20${"x".repeat(20)}`)))
    // For each byte of the header, and for the whole.
    assert.isAtMost(asked, 5)
  })

  it("makes no room for a frame before its bytes come", () => {
    const long = decoder<Uint8Array, never>({
      size: () => 1_000_000,
      frame: (bytes, at, end) => bytes.subarray(at, end)
    })
    let next = long.step(bytes(1)).next
    assert.isAtMost(next.rest().buffer.byteLength, 64)
    next = next.step(bytes(100_000)).next
    assert.isAtMost(next.rest().buffer.byteLength, 400_004)
    const { frames } = next.step(bytes(900_000))
    assert.strictEqual(frames[0]!.length, 1_000_000)
    assert.strictEqual(next.step(bytes(899_998)).next.rest().buffer.byteLength, 1_000_000)
  })

  it("leaves the frame that failed, and all behind it, to whoever takes over", () => {
    for (const failing of ["###", "#3b!c", "##21"]) {
      const wire = ascii(`#1a${failing}#1d`)
      for (let at = 0; at <= wire.length; at++) {
        const first = codec.step(wire.subarray(0, at))
        const last = first.failure === undefined ? first.next.step(wire.subarray(at)) : first
        const left = joined([last.next.rest(), last.unread, ...(last === first ? [wire.subarray(at)] : [])])
        assert.strictEqual(text(left), `${failing}#1d`, `cut at ${at}`)
      }
    }
  })

  describe("keeps the laws", () => {
    const frames = FastCheck.string({ unit: FastCheck.constantFrom("a", "#", "1"), maxLength, size: "max" })
    for (const { name, run } of CodecLaws.laws({ codec, frames, inputs: wire.map(ascii), maxHeld: maxLength + 3 })) {
      it(name, run)
    }
  })
})

describe("an encoder of frames with their size", () => {
  it("writes all frames into one buffer of their size", () => {
    const wire = Codec.make(codec, codec).encode(["a", "", "bc"])
    assert.strictEqual(wire._tag === "Right" && text(wire.right), "#1a#0#2bc")
    assert.strictEqual(wire._tag === "Right" && wire.right.buffer.byteLength, 9)
  })

  it("fails as the first frame does that cannot be written, before any is", () => {
    const written: Array<string> = []
    const refusing = encoder<string, string>({
      sizeOf: (frame) => frame === "" ? "empty" : frame === "x" ? "x" : frame.length,
      write: (frame, _bytes, at) => {
        written.push(frame)
        return at + frame.length
      }
    })
    const encoded = refusing.encode(["a", "", "x"])
    assert.strictEqual(encoded._tag === "Left" && encoded.left, "empty")
    assert.deepStrictEqual(written, [])
  })
})
