import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import type * as Transport from "../../src/Transport.ts"
import { ascii, bytes, chunks, counting, cuts, joined, text } from "../support/bytes.ts"
import { countedTimers } from "../support/countedTimers.ts"
import { forked, rootFibers, settle } from "../support/fibers.ts"

/** All that is ready has run. */
const drain = <E>(transport: Transport.Transport<E>) => Effect.map(Stream.runCollect(transport.stream), joined)

const lossOf = <E>(reason: Transport.CloseReason<E>): E | undefined => reason._tag === "Lost" ? reason.error : undefined

describe("pair", () => {
  it.scoped("the ends are each other's peers", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      assert.deepStrictEqual(left.localAddress, right.remoteAddress)
      assert.deepStrictEqual(right.localAddress, left.remoteAddress)
      assert.notDeepEqual(left.localAddress, right.localAddress)
      assert.deepStrictEqual(left.options, { noDelay: undefined, keepAlive: undefined })
    }))

  const wrong: ReadonlyArray<[options: MemoryTransport.PairOptions, message: string]> = [
    [{ capacity: -1 }, "capacity is 0 or more bytes, not -1"],
    [{ capacity: NaN }, "capacity is 0 or more bytes, not NaN"],
    [{ maxChunkSize: 0 }, "maxChunkSize is at least 1 byte, not 0"],
    [{ readBufferSize: -1 }, "readBufferSize is 0 or more bytes, not -1"],
    [{ latency: Infinity }, "latency is finite: what never arrives is no connection"],
    [{ chunks: [] }, "chunks needs at least one length"],
    [{ chunks: [3, 0] }, "A chunk is of 1 or more bytes, not 0"],
    [{ chunks: { seed: 0, max: 1.5 } }, "A chunk is of 1 or more bytes, not 1.5"]
  ]
  for (const [options, message] of wrong) {
    it.effect(`dies with a RangeError: ${message}`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Effect.scoped(MemoryTransport.pair(options)))
        const defect = Exit.isFailure(exit) ? Chunk.toArray(Cause.defects(exit.cause))[0] : undefined
        assert.instanceOf(defect, RangeError)
        assert.strictEqual(defect.message, message)
      }))
  }

  it.scoped("delivers chunks of maxChunkSize at most", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 3 })
      yield* left.writeAll([counting(7), counting(2, 7)])
      yield* left.closeWrite
      const sizes = Array.from(yield* Stream.runCollect(right.stream), (chunk) => chunk.length)
      assert.deepStrictEqual(sizes, [3, 3, 1, 2])
    }))

  it.scoped("gives the reader a copy: the writer may use its buffer again after the flush", () =>
    Effect.gen(function*() {
      for (const buffer of [Buffer.from("first"), ascii("first")]) {
        const [left, right] = yield* MemoryTransport.pair()
        yield* left.write(buffer)
        yield* left.flush
        buffer.fill(0)
        yield* left.write(buffer)
        yield* left.closeWrite
        assert.strictEqual(text((yield* right.pull)!), "first")
      }
    }))
})

describe("backpressure", () => {
  it.scoped("a peer that does not read holds back all but its capacity and the write buffer", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair({ capacity: 100, highWaterMark: 10, lowWaterMark: 4 })
      const writing = yield* forked(Effect.forever(left.write(bytes(5))))
      assert.isNull(writing.unsafePoll())
      assert.strictEqual(left.stats().bytesWritten, 100)
      assert.strictEqual(left.stats().buffered, 10)
      assert.strictEqual(left.stats().writersWaiting, 1)
    }))

  it.scoped("a reader reads ahead by readBufferSize and one chunk, and no further", () =>
    Effect.gen(function*() {
      const options = { capacity: 100, readBufferSize: 20, maxChunkSize: 8, highWaterMark: 10 }
      const [left, right] = yield* MemoryTransport.pair(options)
      yield* Effect.fork(Effect.forever(left.write(bytes(5))))
      assert.strictEqual(right.stats().bytesRead, 0)
      yield* right.pull
      yield* settle
      assert.isAtMost(right.stats().unread, 28)
      assert.isAtLeast(right.stats().unread, 20)
    }))

  it.scoped("with a capacity and a readBufferSize of 0 a byte leaves when a pull asks for it", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ capacity: 0, readBufferSize: 0, maxChunkSize: 1 })
      yield* left.write(counting(10))
      yield* settle
      assert.strictEqual(left.stats().bytesWritten, 0)
      for (let pulled = 1; pulled <= 10; pulled++) {
        yield* right.pull
        yield* settle
        assert.strictEqual(left.stats().bytesWritten, pulled)
        assert.strictEqual(left.stats().buffered, 10 - pulled)
      }
    }))

  it.scoped("a flush is over when the last byte is within the capacity", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ capacity: 4, readBufferSize: 0, maxChunkSize: 1 })
      yield* left.write(counting(6))
      const flushing = yield* forked(left.flush)
      yield* right.pull
      yield* settle
      assert.isNull(flushing.unsafePoll())
      yield* right.pull
      yield* Fiber.join(flushing)
      assert.strictEqual(left.stats().bytesWritten, 6)
    }))
})

describe("ending", () => {
  for (const capacity of [0, 1, 7, 65536]) {
    it.scoped(`a half-close leaves the other direction, capacity ${capacity}`, () =>
      Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair({ capacity })
        yield* left.write(ascii("question"))
        yield* Effect.fork(left.closeWrite)
        assert.strictEqual(text(yield* drain(right)), "question")
        yield* right.write(ascii("answer"))
        yield* Effect.fork(right.closeWrite)
        assert.strictEqual(text(yield* drain(left)), "answer")
        assert.deepStrictEqual(yield* left.closed, {
          _tag: "Clean",
          firstEnded: "local",
          peerEnded: true,
          bytesRead: 6,
          bytesWritten: 8
        })
        assert.deepStrictEqual(yield* right.closed, {
          _tag: "Clean",
          firstEnded: "peer",
          peerEnded: true,
          bytesRead: 8,
          bytesWritten: 6
        })
      }))
  }

  it.scoped("an abort is a reset to the peer, and drops what was under way", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      yield* left.write(ascii("lost"))
      yield* left.flush
      yield* left.abort
      const error = yield* Effect.flip(right.pull)
      assert.deepInclude(error, { _tag: "ConnectionReset", side: "peer", phase: "open", code: "ECONNRESET" })
      assert.strictEqual(lossOf(yield* right.closed), error)
      assert.deepInclude(lossOf(yield* left.closed), { _tag: "ConnectionAborted", side: "local", code: undefined })
    }))

  it.scoped("an abort tells how much of what was accepted was not sent", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair({ capacity: 3 })
      yield* left.write(bytes(10))
      yield* settle
      yield* left.abort
      assert.deepInclude(lossOf(yield* left.closed), { bytesWritten: 3, bytesUnsent: 7, phase: "open" })
    }))

  it.scoped("a write to an end that is gone is a broken pipe", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 10 })
      const closing = yield* forked(right.close)
      yield* TestClock.adjust(10)
      yield* Fiber.join(closing)
      yield* left.write(bytes(1))
      const error = yield* Effect.flip(left.flush)
      assert.deepInclude(error, { _tag: "BrokenPipe", side: "peer", code: "EPIPE", bytesUnsent: 1 })
      // The peer had ended in order before.
      assert.strictEqual(yield* Effect.map(Effect.flip(left.pull), ({ _tag }) => _tag), "BrokenPipe")
    }))

  it.scoped("a peer that has gone in order leaves what it sent, and its end, to be read", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 10 })
      yield* right.write(ascii("last words"))
      const closing = yield* forked(right.close)
      yield* TestClock.adjust(10)
      yield* Fiber.join(closing)
      assert.strictEqual(text(yield* drain(left)), "last words")
      yield* left.closeWrite
      assert.strictEqual((yield* left.closed)._tag, "Clean")
    }))

  it.scoped("a close with unread input does not destroy what was sent", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      yield* right.write(bytes(1000))
      yield* right.flush
      yield* left.write(ascii("answer"))
      const closing = yield* forked(left.close)
      assert.strictEqual(text(yield* drain(right)), "answer")
      yield* right.closeWrite
      yield* Fiber.join(closing)
      assert.deepInclude(yield* left.closed, { _tag: "Clean", peerEnded: true, bytesRead: 1000 })
      assert.strictEqual((yield* right.closed)._tag, "Clean")
    }))

  it.scoped("a close reads and discards a peer that goes on writing", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ capacity: 10, highWaterMark: 10 })
      const closing = yield* forked(left.close)
      yield* Effect.repeatN(right.write(bytes(100)), 9)
      yield* right.closeWrite
      yield* Fiber.join(closing)
      assert.strictEqual(left.stats().bytesRead, 1000)
    }))
})

describe("deadlines", () => {
  it.scoped("lingerTimeout is waited for the peer's end, exactly", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair({ lingerTimeout: "3 seconds" })
      const closing = yield* forked(left.close)
      yield* TestClock.adjust(2999)
      yield* settle
      assert.isNull(closing.unsafePoll())
      yield* TestClock.adjust(1)
      yield* Fiber.join(closing)
      assert.deepInclude(yield* left.closed, { _tag: "Clean", firstEnded: "local", peerEnded: false })
    }))

  it.scoped("closeTimeout is waited for a peer that does not read, exactly", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ capacity: 4, closeTimeout: "3 seconds" })
      yield* left.write(bytes(10))
      const closing = yield* forked(left.close)
      yield* TestClock.adjust(2999)
      yield* settle
      assert.isNull(closing.unsafePoll())
      yield* TestClock.adjust(1)
      yield* Fiber.join(closing)
      assert.deepInclude(lossOf(yield* left.closed), {
        _tag: "CloseTimeout",
        side: "local",
        phase: "closing",
        bytesWritten: 4,
        bytesUnsent: 6
      })
      assert.deepInclude(lossOf(yield* right.closed), { _tag: "ConnectionReset" })
    }))

  it.scoped("an interrupted close goes on by itself", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      yield* Fiber.interrupt(yield* forked(left.close))
      yield* TestClock.adjust(1000)
      assert.strictEqual((yield* left.closed)._tag, "Clean")
    }))

  it.scoped("without a close there is no deadline", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      yield* left.closeWrite
      yield* TestClock.adjust("10 days")
      yield* right.write(ascii("late"))
      assert.strictEqual(text((yield* left.pull)!), "late")
      assert.strictEqual(left.stats().lastRead, 864_000_000)
    }))

  it.scoped("an abort ends a close that waits", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      const closing = yield* forked(left.close)
      yield* left.abort
      yield* Fiber.join(closing)
      yield* left.close
      yield* left.abort
      assert.deepInclude(lossOf(yield* left.closed), { _tag: "ConnectionAborted", phase: "closing" })
    }))
})

describe("the Scope", () => {
  const after = (end: Effect.Effect<void, string>) =>
    Effect.gen(function*() {
      let pair: readonly [Transport.Transport, Transport.Transport] | undefined
      yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
        pair = yield* MemoryTransport.pair()
        yield* pair[0].write(bytes(3))
        yield* end
      })))
      return [yield* pair![0].closed, yield* pair![1].closed] as const
    })

  it.effect("success closes both ends, and what was written has left", () =>
    Effect.gen(function*() {
      const [left, right] = yield* after(Effect.void)
      assert.deepInclude(left, { _tag: "Clean", bytesWritten: 3 })
      assert.deepInclude(right, { _tag: "Clean", bytesRead: 3 })
    }))

  for (const [name, end] of [["a failure", Effect.fail("no")], ["an interruption", Effect.interrupt]] as const) {
    it.effect(`${name} aborts`, () =>
      Effect.gen(function*() {
        const [left] = yield* after(end)
        assert.strictEqual(lossOf(left)?._tag, "ConnectionAborted")
      }))
  }
})

describe("chunks", () => {
  const lengths = (options: MemoryTransport.PairOptions, written: ReadonlyArray<Uint8Array>) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(options)
      yield* Effect.fork(Effect.zipRight(left.writeAll(written), left.closeWrite))
      const read = [...yield* Stream.runCollect(right.stream)]
      assert.deepStrictEqual(joined(read), joined(written))
      return read.map(({ length }) => length)
    }).pipe(Effect.scoped)

  const small = Array.from({ length: 30 }, (_, index) => bytes(4, index))

  it.effect("lengths are used over and over, across the writes", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* lengths({ chunks: [3, 5] }, [counting(4), counting(9, 4)]), [3, 5, 3, 2])
      assert.deepStrictEqual(yield* lengths({ chunks: [100] }, small), [100, 20])
      assert.deepStrictEqual(yield* lengths({ chunks: [100], maxChunkSize: 60 }, small), [60, 40, 20])
    }))

  it.effect("what is missing of a chunk comes by itself, so that the places of the cuts stay", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ chunks: [5] })
      yield* left.write(counting(3))
      assert.strictEqual((yield* right.pull)?.length, 3)
      yield* left.write(counting(6, 3))
      assert.deepStrictEqual(yield* right.pull, counting(2, 3))
      assert.deepStrictEqual(yield* right.pull, counting(4, 5))
    }).pipe(Effect.scoped))

  it.effect("the same seed cuts at the same places, another one does not", () =>
    Effect.gen(function*() {
      const written = [counting(10_000)]
      const first = yield* lengths({ chunks: { seed: 1, max: 1000 } }, written)
      assert.deepStrictEqual(yield* lengths({ chunks: { seed: 1, max: 1000 } }, written), first)
      assert.notDeepEqual(yield* lengths({ chunks: { seed: 2, max: 1000 } }, written), first)
    }))

  it.effect("a seed brings small pieces and large ones, up to max", () =>
    Effect.gen(function*() {
      const read = yield* lengths({ chunks: { seed: 7, max: 64 } }, [counting(50_000)])
      const among = (from: number, to: number) => read.filter((length) => length >= from && length <= to).length
      assert.strictEqual(among(1, 64), read.length)
      for (const [from, to] of [[1, 1], [2, 3], [4, 7], [8, 15], [16, 31], [32, 64]] as const) {
        assert.isAbove(among(from, to), read.length / 10, `${from} to ${to}`)
      }
    }))

  it.effect("the two directions are cut at different places", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ chunks: { seed: 3 } })
      const sent = (from: Transport.Transport, to: Transport.Transport) =>
        Effect.gen(function*() {
          yield* from.write(counting(40_000))
          yield* Effect.fork(from.closeWrite)
          return Array.from(yield* Stream.runCollect(to.stream), ({ length }) => length)
        })
      assert.notDeepEqual(yield* sent(left, right), yield* sent(right, left))
    }).pipe(Effect.scoped))

  it.effect.prop(
    "the bytes are the same, whatever the pieces, the capacity and the latency",
    {
      written: chunks,
      cuts,
      capacity: FastCheck.constantFrom(0, 1, 5, 65536),
      latency: FastCheck.constantFrom(0, 2)
    },
    ({ capacity, cuts, latency, written }) =>
      VirtualClock.run(Effect.asVoid(lengths({ chunks: cuts, capacity, latency, readBufferSize: capacity }, written)))
  )
})

describe("latency", () => {
  /** What has come in, noted in the step that brings it. */
  const collected = (transport: Transport.Transport) =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const reading = transport.forEach((chunk) => Effect.sync(() => seen.push(text(chunk)))).pipe(
        Effect.match({
          onFailure: ({ _tag }) => void seen.push(_tag),
          onSuccess: () => void seen.push("end")
        })
      )
      yield* forked(reading)
      return seen
    })

  /** A pair that ends with bytes unsent: a close would wait for the clock. */
  const abandoned = (options: MemoryTransport.PairOptions) =>
    Effect.tap(
      MemoryTransport.pair(options),
      ([left, right]) => Effect.addFinalizer(() => Effect.zipRight(left.abort, right.abort))
    )

  const passing = (duration: number) => Effect.zipRight(TestClock.adjust(duration), settle)

  it.scoped("bytes and the end arrive after it, exactly", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ latency: "1 seconds" })
      const seen = yield* collected(right)
      const answer = yield* collected(left)
      yield* left.write(ascii("a"))
      yield* passing(400)
      yield* left.write(ascii("b"))
      yield* left.closeWrite
      yield* passing(599)
      assert.deepStrictEqual(seen, [])
      yield* passing(1)
      assert.deepStrictEqual(seen, ["a"])
      yield* passing(399)
      assert.deepStrictEqual(seen, ["a"])
      yield* passing(1)
      assert.deepStrictEqual(seen, ["a", "b", "end"])
      yield* right.closeWrite
      yield* passing(1000)
      assert.deepStrictEqual(answer, ["end"])
      assert.deepInclude(yield* left.closed, { _tag: "Clean", firstEnded: "local", bytesWritten: 2 })
      assert.deepInclude(yield* right.closed, { _tag: "Clean", firstEnded: "peer", bytesRead: 2 })
    }))

  it.scoped("what set out a millisecond later arrives a millisecond later", () =>
    Effect.gen(function*() {
      const [left, right] = yield* abandoned({ latency: 10 })
      const seen = yield* collected(right)
      for (const letter of "abc") {
        yield* left.write(ascii(letter))
        yield* passing(1)
      }
      for (const expected of ["a", "ab", "abc"]) {
        assert.strictEqual(seen.join(""), expected.slice(0, -1))
        yield* passing(expected === "a" ? 7 : 1)
        assert.strictEqual(seen.join(""), expected)
      }
    }))

  it.scoped("a reset arrives after what was delivered before it, and nothing after it", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ latency: 10, capacity: 1 })
      const seen = yield* collected(right)
      yield* left.write(ascii("ab"))
      yield* settle
      yield* left.abort
      assert.deepInclude(lossOf(yield* left.closed), { _tag: "ConnectionAborted", bytesWritten: 1, bytesUnsent: 1 })
      yield* passing(9)
      assert.deepStrictEqual(seen, [])
      yield* passing(1)
      assert.deepStrictEqual(seen, ["a", "ConnectionReset"])
      assert.deepInclude(lossOf(yield* right.closed), { _tag: "ConnectionReset", bytesRead: 1 })
    }))

  it.scoped("what is on its way counts against the capacity: so much passes in each latency", () =>
    Effect.gen(function*() {
      const [left, right] = yield* abandoned({ latency: 100, capacity: 10, highWaterMark: 5 })
      const seen = yield* collected(right)
      yield* forked(Effect.forever(left.write(ascii("x"))))
      for (let round = 0; round < 5; round++) {
        assert.strictEqual(left.stats().bytesWritten, 10 * (round + 1))
        assert.strictEqual(left.stats().buffered, 5)
        assert.strictEqual(seen.join("").length, 10 * round)
        yield* passing(100)
      }
    }))

  it.scoped("without a capacity a byte sets out when a pull asks for it", () =>
    Effect.gen(function*() {
      const [left, right] = yield* abandoned({ latency: 5, capacity: 0, readBufferSize: 0, maxChunkSize: 1 })
      yield* left.write(ascii("abc"))
      yield* passing(100)
      assert.strictEqual(left.stats().bytesWritten, 0)
      const pulling = yield* forked(right.pull)
      assert.strictEqual(left.stats().bytesWritten, 1)
      yield* passing(4)
      assert.isNull(pulling.unsafePoll())
      yield* passing(1)
      assert.strictEqual(text((yield* Fiber.join(pulling))!), "a")
      assert.strictEqual(left.stats().bytesWritten, 1)
    }))

  it.scoped("a write to an end that is gone fails after the way there and back", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ latency: 50, lingerTimeout: 10 })
      const closing = yield* forked(right.close)
      yield* passing(10)
      yield* Fiber.join(closing)
      yield* left.write(ascii("?"))
      const flushing = yield* forked(Effect.flip(left.flush))
      yield* passing(99)
      assert.isNull(flushing.unsafePoll())
      yield* passing(1)
      assert.deepInclude(yield* Fiber.join(flushing), { _tag: "BrokenPipe", bytesUnsent: 1 })
    }))

  it.scoped("input that is not read when its end goes is a broken pipe to who sent it", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ latency: 50, lingerTimeout: 10 })
      yield* left.write(ascii("unread"))
      yield* settle
      const closing = yield* forked(right.close)
      yield* passing(10)
      yield* Fiber.join(closing)
      yield* passing(50)
      assert.deepInclude(lossOf(yield* left.closed), { _tag: "BrokenPipe" })
    }))

  it.scoped("both ends of a pair that is aborted at both are over at once", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ latency: "1 hours" })
      yield* left.write(ascii("never"))
      yield* Effect.all([left.abort, right.abort])
      assert.strictEqual(lossOf(yield* left.closed)?._tag, "ConnectionAborted")
      assert.strictEqual(lossOf(yield* right.closed)?._tag, "ConnectionAborted")
    }))

  it.effect("an hour of questions and answers, under a clock that jumps", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ latency: "500 millis" })
      yield* Effect.fork(right.forEach((chunk) => right.write(chunk)))
      for (let count = 0; count < 3600; count++) {
        yield* left.write(Uint8Array.of(count))
        assert.deepStrictEqual(yield* left.pull, Uint8Array.of(count))
      }
      assert.strictEqual(yield* Effect.clockWith((clock) => clock.currentTimeMillis), 3_600_000)
    }).pipe(Effect.scoped, VirtualClock.run))

  it.live("under the host's clock it takes its time, with one timer for each direction, and leaves none", () =>
    Effect.gen(function*() {
      const { armed, clock } = countedTimers()
      const fibers = yield* rootFibers
      const began = performance.now()
      yield* Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair({ latency: 20 })
        yield* Effect.forEach(["a", "b"], (letter) => left.write(ascii(letter)))
        yield* right.pull
        assert.isAtLeast(performance.now() - began, 18)
      }).pipe(Effect.scoped, Effect.withClock(clock))
      assert.strictEqual(armed(), 0)
      yield* Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair({ latency: "1 hour" })
        for (const letter of "abc") {
          yield* left.write(ascii(letter))
          yield* settle
        }
        assert.strictEqual(armed(), 1)
        yield* right.write(ascii("d"))
        yield* settle
        assert.strictEqual(armed(), 2)
        yield* Effect.all([left.abort, right.abort])
        assert.strictEqual(armed(), 0)
      }).pipe(Effect.scoped, Effect.withClock(clock))
      assert.strictEqual(yield* rootFibers, fibers)
    }))

  it.scoped("without one there are no timers", () =>
    Effect.gen(function*() {
      const { armed, clock } = countedTimers()
      const [left, right] = yield* Effect.withClock(MemoryTransport.pair({ latency: 0, chunks: { seed: 1 } }), clock)
      yield* left.write(ascii("a"))
      yield* settle
      assert.strictEqual(armed(), 0)
      yield* right.pull
    }))
})
