import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Codec from "../../src/Codec.ts"
import { FrameTooLong, FrameTruncated } from "../../src/FrameError.ts"
import { concat } from "../../src/internal/bytes.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes } from "../support/bytes.ts"

// -----------------------------------------------------------------------------
// a format: two bytes of length, at most 60, and the content
// -----------------------------------------------------------------------------

const maxLength = 60

let scanned = 0

type Failure = FrameTooLong | FrameTruncated
type Step = Codec.Step<Uint8Array, Failure>
type Decoder = Codec.Decoder<Uint8Array, Failure>

const nothing = bytes(0)

/** Correct, and simple: what is held is copied with each chunk. */
const decoder = (held: Uint8Array, most = maxLength): Decoder => ({
  step: (bytes, limit = Infinity) => {
    const step = parsed(concat([held, bytes]), limit, most)
    scanned += bytes.length - step.unread.length
    return step
  },
  end: () => ({ frames: [], failure: held.length === 0 ? undefined : new FrameTruncated({ held: held.length }) }),
  rest: () => held
})

const parsed = (bytes: Uint8Array, limit: number, most: number): Step => {
  const frames: Array<Uint8Array> = []
  let at = 0
  while (frames.length < limit && bytes.length - at >= 2) {
    const length = bytes[at]! * 256 + bytes[at + 1]!
    if (length > most) {
      const failure = new FrameTooLong({ limit: most, length })
      return { frames, next: Codec.failed(failure), unread: bytes.subarray(at), failure }
    }
    if (bytes.length - at < 2 + length) break
    frames.push(bytes.subarray(at + 2, at + 2 + length))
    at += 2 + length
  }
  const left = bytes.subarray(at)
  return frames.length === limit
    ? { frames, next: decoder(nothing, most), unread: left, failure: undefined }
    : { frames, next: decoder(left, most), unread: nothing, failure: undefined }
}

const encoded = (frame: Uint8Array): Uint8Array => concat([Uint8Array.of(frame.length >> 8, frame.length), frame])

const encoder: Codec.Encoder<Uint8Array> = { encode: (frames) => Either.right(concat(frames.map(encoded))) }

const correct = Codec.make(decoder(nothing), encoder)

/** The decoder with each of its steps changed, those of its `next` too. */
const stepping = (change: (self: Decoder, bytes: Uint8Array, limit?: number) => Step) => (self: Decoder): Decoder => ({
  step: (bytes, limit) => {
    const step = change(self, bytes, limit)
    return { ...step, next: stepping(change)(step.next) }
  },
  end: () => self.end(),
  rest: () => self.rest()
})

const resting = (change: (rest: Uint8Array) => Uint8Array) => (self: Decoder): Decoder => ({
  step: (bytes, limit) => {
    const step = self.step(bytes, limit)
    return { ...step, next: resting(change)(step.next) }
  },
  end: () => self.end(),
  rest: () => change(self.rest())
})

const ending =
  (change: (end: Codec.End<Uint8Array, Failure>) => Codec.End<Uint8Array, Failure>) => (self: Decoder): Decoder => ({
    step: (bytes, limit) => {
      const step = self.step(bytes, limit)
      return { ...step, next: ending(change)(step.next) }
    },
    end: () => change(self.end()),
    rest: () => self.rest()
  })

// -----------------------------------------------------------------------------
// faults
// -----------------------------------------------------------------------------

type Fault = readonly [name: string, codec: Codec.Codec<Uint8Array, Uint8Array, Failure>]

const wrongDecoder = (name: string, change: (decoder: Decoder) => Decoder): Fault => [
  name,
  Codec.make(change(correct), encoder)
]

const wrongEncoder = (name: string, encode: (frames: ReadonlyArray<Uint8Array>) => Uint8Array): Fault => [
  name,
  Codec.make(correct, { encode: (frames) => Either.right(encode(frames)) })
]

const numbered = () => {
  let count = 0
  return (frames: ReadonlyArray<Uint8Array>) =>
    concat(frames.map((frame) => encoded(concat([frame, Uint8Array.of(count++)]))))
}

const oneBuffer = () => {
  const buffer = new Uint8Array(16384)
  return (frames: ReadonlyArray<Uint8Array>) => {
    const bytes = concat(frames.map(encoded))
    buffer.set(bytes)
    return buffer.subarray(0, bytes.length)
  }
}

const copyingTo = (buffer: Uint8Array) => (frame: Uint8Array): Uint8Array => {
  buffer.set(frame)
  return buffer.subarray(0, frame.length)
}

const losesAByteAtACut = stepping((self, bytes, limit) =>
  self.step(self.rest().length > 0 ? bytes.slice(1) : bytes, limit)
)

/** One decoder for all, which is its own `next`. */
const mutable = (self: Decoder): Decoder => {
  let current = self
  const decoder: Decoder = {
    step: (bytes, limit) => {
      const step = current.step(bytes, limit)
      current = step.next
      return { ...step, next: decoder }
    },
    end: () => current.end(),
    rest: () => current.rest()
  }
  return decoder
}

const holding = (held: Uint8Array): Decoder => ({
  step: (bytes) => ({ frames: [], next: holding(concat([held, bytes])), unread: nothing, failure: undefined }),
  end: () => ({ frames: parsed(held, Infinity, maxLength).frames, failure: undefined }),
  rest: () => held
})

const again = stepping((self, bytes, limit) => {
  const step = self.step(bytes, limit)
  return step.frames.length === limit ? { ...step, next: self, unread: bytes } : step
})

const reviving = (self: Decoder): Decoder => ({
  step: (bytes, limit) => {
    const step = self.step(bytes, limit)
    return { ...step, next: reviving(step.failure === undefined ? step.next : correct) }
  },
  end: () => self.end(),
  rest: () => self.rest()
})

const faults: { readonly [Name in CodecLaws.LawName]: ReadonlyArray<Fault> } = {
  "round trip": [
    wrongDecoder("the decoder gives a part of a frame", (self) => Codec.map(self, (frame) => frame.subarray(0, 3))),
    wrongEncoder(
      "the encoder leaves out an empty frame",
      (frames) => concat(frames.filter((frame) => frame.length > 0).map(encoded))
    ),
    wrongEncoder("the encoder gives an incomplete frame", (frames) => concat(frames.map(encoded)).slice(0, -1)),
    ["the encoder refuses", Codec.make(correct, { encode: () => Either.left(new FrameTruncated({ held: 0 })) })]
  ],
  "one by one": [
    wrongEncoder("the encoder numbers the frames", numbered()),
    wrongEncoder("the encoder uses one buffer again and again", oneBuffer()),
    wrongEncoder(
      "the encoder writes a head before the first frame",
      (frames) => concat([ascii("*"), ...frames.map(encoded)])
    )
  ],
  "byte by byte": [
    wrongDecoder("a byte is lost at a cut", losesAByteAtACut),
    wrongDecoder(
      "a chunk is taken to have a header",
      stepping((self, bytes, limit) =>
        bytes.length === 1 ? { frames: [], next: self, unread: nothing, failure: undefined } : self.step(bytes, limit)
      )
    )
  ],
  "cut anywhere": [
    wrongDecoder("a byte is lost at a cut", losesAByteAtACut),
    wrongDecoder(
      "a byte is lost at a cut in a header",
      stepping((self, bytes, limit) =>
        self.step(self.rest().length === 1 && bytes.length > 1 ? bytes.slice(1) : bytes, limit)
      )
    )
  ],
  "empty chunks": [
    wrongDecoder(
      "an empty chunk is taken for the end",
      stepping((self, bytes, limit) =>
        bytes.length === 0
          ? {
            frames: [],
            next: Codec.failed(new FrameTruncated({ held: 0 })),
            unread: nothing,
            failure: new FrameTruncated({ held: 0 })
          }
          : self.step(bytes, limit)
      )
    ),
    wrongDecoder(
      "an empty chunk is a frame",
      stepping((self, bytes, limit) =>
        bytes.length === 0
          ? { frames: [bytes], next: self, unread: nothing, failure: undefined }
          : self.step(bytes, limit)
      )
    )
  ],
  "bytes around the view": [
    wrongDecoder(
      "the whole buffer of a view is read",
      stepping((self, bytes, limit) => self.step(new Uint8Array(bytes.buffer), limit))
    ),
    wrongDecoder(
      "a view is read from the beginning of its buffer",
      stepping((self, bytes, limit) => self.step(new Uint8Array(bytes.buffer, 0, bytes.length), limit))
    ),
    wrongDecoder(
      "a view is read to the end of its buffer",
      stepping((self, bytes, limit) => self.step(new Uint8Array(bytes.buffer, bytes.byteOffset), limit))
    )
  ],
  "a decoder is a value": [
    wrongDecoder("a step changes its decoder", mutable)
  ],
  "nothing given changes": [
    wrongDecoder("frames are in a buffer that is used again", (self) => Codec.map(self, copyingTo(bytes(maxLength)))),
    wrongDecoder(
      "the bytes are changed where they stand",
      stepping((self, bytes, limit) => {
        const step = self.step(bytes.slice(), limit)
        bytes.fill(0)
        return step
      })
    )
  ],
  "limit": [
    wrongDecoder("a limit is not kept", stepping((self, bytes) => self.step(bytes))),
    wrongDecoder(
      "a limit is too high by one",
      stepping((self, bytes, limit = Infinity) => self.step(bytes, limit + 1))
    ),
    wrongDecoder(
      "what comes after the limit is held",
      stepping((self, bytes, limit) => {
        const step = self.step(bytes, limit)
        return { ...step, next: decoder(step.unread), unread: nothing }
      })
    ),
    wrongDecoder("the same frame is given again and again", again),
    wrongDecoder(
      "what comes after the limit is lost",
      stepping((self, bytes, limit) => ({
        ...self.step(bytes, limit),
        unread: nothing
      }))
    ),
    wrongDecoder(
      "what comes after the limit is not all",
      stepping((self, bytes, limit) => {
        const step = self.step(bytes, limit)
        return { ...step, unread: step.unread.subarray(1) }
      })
    ),
    wrongDecoder(
      "bytes are unread without a limit",
      stepping((self, bytes, limit) => {
        const step = self.step(bytes, limit)
        return limit === undefined && step.failure === undefined
          ? { ...step, next: correct, unread: concat([step.next.rest(), step.unread]) }
          : step
      })
    )
  ],
  "left-over bytes": [
    wrongDecoder("the rest is lost", resting(() => nothing)),
    wrongDecoder("the rest is without the header", resting((rest) => rest.subarray(2))),
    wrongDecoder(
      "bytes are both unread and the rest",
      stepping((self, bytes, limit) => {
        const step = self.step(bytes, limit)
        return { ...step, next: decoder(step.unread) }
      })
    )
  ],
  "hand-over": [
    wrongDecoder("the rest is lost", resting(() => nothing)),
    wrongDecoder(
      "the frame that failed is lost",
      stepping((self, bytes, limit) => {
        const step = self.step(bytes, limit)
        return step.failure === undefined ? step : { ...step, unread: nothing }
      })
    )
  ],
  "truncation": [
    wrongDecoder("an incomplete frame is not told", ending(() => ({ frames: [], failure: undefined }))),
    wrongDecoder(
      "a truncation is told without an incomplete frame",
      ending(() => ({
        frames: [],
        failure: new FrameTruncated({ held: 0 })
      }))
    ),
    wrongDecoder(
      "the wrong number of bytes is told",
      ending(({ failure, frames }) => ({
        frames,
        failure: failure && new FrameTruncated({ held: (failure as FrameTruncated).held - 1 })
      }))
    ),
    wrongDecoder(
      "an incomplete frame is told and given",
      ending(({ failure }) => ({
        frames: failure === undefined ? [] : [nothing],
        failure
      }))
    )
  ],
  "failed for good": [
    wrongDecoder("after a failure it goes on", reviving),
    wrongDecoder("after a failure the end is good", ending(() => ({ frames: [], failure: undefined })))
  ],
  "bounded state": [
    wrongDecoder("all is held until the end", () => holding(nothing)),
    wrongDecoder("the limit is too high", () => decoder(nothing, maxLength + 40))
  ],
  "linear scanning": [
    wrongDecoder("the same frame is given again and again", again),
    wrongDecoder(
      "what is held is looked at again with each chunk",
      stepping((self, bytes, limit) => {
        scanned += self.rest().length
        return self.step(bytes, limit)
      })
    ),
    wrongDecoder(
      "all that follows is looked at for each frame of a chunk",
      stepping((self, bytes, limit) => {
        const step = self.step(bytes, limit)
        scanned += bytes.length * step.frames.length
        return step
      })
    ),
    wrongDecoder(
      "all that follows is looked at for each frame that is taken",
      stepping((self, bytes, limit) => {
        scanned += bytes.length
        return self.step(bytes, limit)
      })
    )
  ]
}

// -----------------------------------------------------------------------------
// tests
// -----------------------------------------------------------------------------

const frame = FastCheck.uint8Array({ maxLength, size: "max" })

/** Lengths around the limit, which random bytes do not hit upon. */
const headers = FastCheck.integer({ min: maxLength - 1, max: maxLength + 40 })
  .map((length) => Uint8Array.of(length >> 8, length))

interface Tried {
  readonly seed?: number
  readonly path?: string
  readonly runs?: number
}

const lawsFor = (codec: Fault[1], tried?: Tried) =>
  CodecLaws.laws({
    codec,
    frames: frame,
    inputs: headers,
    maxHeld: maxLength + 2,
    scanned: () => scanned,
    ...tried
  })

const law = (name: string, codec: Fault[1], tried?: Tried): CodecLaws.Law =>
  lawsFor(codec, tried).find((law) => law.name === name)!

const reportOf = (law: CodecLaws.Law): string => {
  try {
    law.run()
  } catch (error) {
    return (error as Error).message
  }
  assert.fail(`The law ${law.name} holds`)
}

describe("laws", () => {
  describe("hold for a correct codec", () => {
    for (const { name, run } of lawsFor(correct)) it(name, run)
  })

  for (const [name, wrong] of Object.entries(faults)) {
    describe(`${name} does not hold if`, () => {
      for (const [fault, codec] of wrong) {
        it(fault, () => assert.include(reportOf(law(name, codec)), "Counterexample"))
      }
    })
  }

  it("are all there, bounded state only if a bound is given", () => {
    const names = lawsFor(correct).map(({ name }) => name)
    assert.sameMembers(names, Object.keys(faults))
    const without = CodecLaws.laws({ codec: correct, frames: frame }).map(({ name }) => name)
    assert.sameMembers(without, names.filter((name) => name !== "bounded state"))
  })

  it("tell the fewest and smallest frames, and where they are cut", () => {
    const [, codec] = faults["cut anywhere"][1]!
    for (let seed = 0; seed < 20; seed++) {
      assert.match(reportOf(law("cut anywhere", codec, { seed })), /bytes 00 0[01] 00( 00)?, cut at \[1\]\]/)
    }
  })

  it("fail in the same way with the seed and the path of a report", () => {
    const [, codec] = faults["byte by byte"][0]!
    const report = reportOf(law("byte by byte", codec))
    const [, seed, path] = /seed: (-?\d+), path: "([\d:]+)"/.exec(report)!
    const counterexample = /Counterexample: .*/.exec(report)![0]
    const again = reportOf(law("byte by byte", codec, { seed: Number(seed), path: path! }))
    assert.include(again, counterexample)
    assert.include(again, "failed after 1 tests")
  })

  it("are tried 1000 times, or as often as they are asked to be, or as the environment says", () => {
    const tried = (options?: { readonly runs: number }) => {
      let count = 0
      const codec = Codec.make(correct, {
        encode: (frames: ReadonlyArray<Uint8Array>) => {
          count++
          return encoder.encode(frames)
        }
      })
      law("cut anywhere", codec, options).run()
      return count
    }
    const variable = "EFFECT_TRANSPORT_RUNS"
    const before = process.env[variable]
    try {
      delete process.env[variable]
      assert.isAtLeast(tried(), 700)
      assert.isAtMost(tried(), 1000)
      assert.isAtMost(tried({ runs: 10 }), 10)
      process.env[variable] = "20"
      assert.isAtMost(tried(), 20)
      assert.isAtMost(tried({ runs: 1000 }), 20)
    } finally {
      if (before === undefined) delete process.env[variable]
      else process.env[variable] = before
    }
  })
})

describe("rechunked", () => {
  it.prop("has all bytes in their order", [CodecLaws.rechunked(FastCheck.uint8Array())], ([chunks]) => {
    assert.isAtLeast(chunks.length, 1)
  })

  const whole = ascii("hello, world")

  it.prop("cuts the same bytes", [CodecLaws.rechunked(whole)], ([chunks]) => {
    assert.deepStrictEqual(concat(chunks), whole)
  })

  it("cuts everywhere, into one chunk and into many, with empty ones", () => {
    const samples = FastCheck.sample(CodecLaws.rechunked(whole), 2000).map((chunks) =>
      chunks.map(({ length }) => length)
    )
    assert.isTrue(samples.some((lengths) => lengths.length === 1))
    assert.isTrue(samples.some((lengths) => lengths.length > 8))
    assert.isTrue(samples.some((lengths) => lengths.includes(0)))
    for (let at = 0; at <= whole.length; at++) assert.isTrue(samples.some(([length]) => length === at))
  })

  it("shrinks the bytes, and the cuts with them", () => {
    const isSplit = (chunks: ReadonlyArray<Uint8Array>) =>
      chunks.some((chunk, index) => chunk.at(-1) === 13 && chunks[index + 1]?.at(0) === 10)
    const text = FastCheck.array(FastCheck.constantFrom(13, 10, 97), { maxLength: 30 }).map((codes) =>
      Uint8Array.from(codes)
    )
    for (let seed = 0; seed < 20; seed++) {
      const property = FastCheck.property(CodecLaws.rechunked(text), (chunks) => !isSplit(chunks))
      const { counterexample } = FastCheck.check(property, { seed, numRuns: 10_000 })
      assert.deepStrictEqual(counterexample, [[Uint8Array.of(13), Uint8Array.of(10)]])
    }
  })
})
