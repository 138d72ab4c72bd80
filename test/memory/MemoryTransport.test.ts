import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import type * as Transport from "../../src/Transport.ts"
import { ascii, bytes, counting, joined, text } from "../support/bytes.ts"

/** All that is ready has run. */
const settled = Effect.promise(() => new Promise<void>((done) => setImmediate(done)))

const forked = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.zipLeft(Effect.fork(effect), settled)

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
    [{ readBufferSize: -1 }, "readBufferSize is 0 or more bytes, not -1"]
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
      yield* settled
      assert.isAtMost(right.stats().unread, 28)
      assert.isAtLeast(right.stats().unread, 20)
    }))

  it.scoped("with a capacity and a readBufferSize of 0 a byte leaves when a pull asks for it", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ capacity: 0, readBufferSize: 0, maxChunkSize: 1 })
      yield* left.write(counting(10))
      yield* settled
      assert.strictEqual(left.stats().bytesWritten, 0)
      for (let pulled = 1; pulled <= 10; pulled++) {
        yield* right.pull
        yield* settled
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
      yield* settled
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
      yield* settled
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
      yield* settled
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
      yield* settled
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
