/**
 * Checks of the graceful end.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { concat } from "../../internal/bytes.ts"
import type { Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectBytes, expectClean, expectEqual, expectFailed, expectFailure } = C
const { expectLost, expectNothingLeft, readAndClose } = C

export const closing: ReadonlyArray<Entry> = [
  entry("close sends everything that was accepted, and then the end", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(bulk)
      yield* left.write(whole)
      const reading = yield* readAndClose(right)
      yield* left.close
      yield* expectBytes(yield* Fiber.join(reading), whole, "what arrives")
      const reason = yield* left.closed
      const wanted = { _tag: "Clean", firstEnded: "local", peerEnded: true, bytesRead: 0, bytesWritten: bulk }
      yield* expectEqual(JSON.stringify(reason), JSON.stringify(wanted), "closed")
      yield* expectNothingLeft(left)
    })),

  entry("close with unread input loses nothing of what was sent", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(100_000)
      yield* Effect.fork(Effect.exit(right.write(C.pattern(100_000, 2))))
      yield* left.pull
      yield* left.write(whole)
      const closing = yield* Effect.fork(left.close)
      yield* C.turns
      yield* expectBytes(yield* C.readAll(right), whole, "what arrives")
      yield* right.close
      yield* Fiber.join(closing)
      yield* expectClean(left)
    })),

  entry("a pull that waits fails when this side closes, and so does a later one", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const pull = yield* C.suspendedPull(left)
      yield* readAndClose(right)
      yield* left.close
      yield* expectFailed(yield* Fiber.join(pull), "the pull that waits", "ConnectionClosed")
      yield* expectFailure(left.pull, "a pull after close", "ConnectionClosed")
    })),

  entry("input that was not pulled is given up by close", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* right.write(bytes(1, 2, 3))
      yield* expectBytes(yield* C.read(left, 3), bytes(1, 2, 3), "what arrives")
      yield* left.unread(bytes(3))
      yield* readAndClose(right)
      yield* left.close
      yield* left.unread(bytes(3))
      yield* expectFailure(left.pull, "a pull after close", "ConnectionClosed")
      yield* expectEqual(left.stats().unread, 0, "unread after close")
    })),

  entry(
    "a write that waits fails when this side closes, and so does a later one",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open({ highWaterMark: 1 })
        const filler = yield* C.clog(left, bulk)
        const write = yield* C.suspendedWrite(left, bytes(1))
        const closing = yield* Effect.fork(left.close)
        yield* expectFailed(yield* Fiber.join(write), "the write that waits", "WriteAfterEnd")
        yield* expectFailure(left.write(bytes(1)), "a write after close", "WriteAfterEnd")
        yield* expectBytes(yield* C.readAll(right), filler, "what arrives")
        yield* right.close
        yield* Fiber.join(closing)
      })
  ),

  entry("close is idempotent, one after the other and at the same time", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes(1))
      const reading = yield* readAndClose(right)
      yield* Effect.all([left.close, left.close], { concurrency: "unbounded" })
      yield* left.close
      yield* expectBytes(yield* Fiber.join(reading), bytes(1), "what arrives")
      yield* expectClean(left)
    })),

  entry("both sides may close at the same time", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.all([left.close, right.close], { concurrency: "unbounded" })
      yield* expectClean(left)
      yield* expectClean(right)
    })),

  entry("close after the peer's end needs no waiting", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ lingerTimeout: "1 minutes" })
      yield* Effect.fork(right.close)
      yield* C.expectEnd(left, "the pull")
      yield* left.close
      yield* expectClean(left)
      yield* expectClean(right)
    })),

  entry("close after closeWrite sends what was accepted", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(100_000)
      yield* left.write(whole)
      const ending = yield* Effect.fork(left.closeWrite)
      const reading = yield* readAndClose(right)
      yield* left.close
      yield* Fiber.join(ending)
      yield* expectBytes(yield* Fiber.join(reading), whole, "what arrives")
      yield* expectClean(left)
    })),

  entry("with no linger time, close does not wait for the peer's end", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ lingerTimeout: 0 })
      yield* left.write(bytes(1))
      const reading = yield* Effect.fork(C.readAll(right))
      yield* left.close
      yield* expectBytes(yield* Fiber.join(reading), bytes(1), "what arrives")
      const reason = yield* left.closed
      yield* expect(
        reason._tag === "Clean" && !reason.peerEnded,
        "Clean, with the peer's end unseen",
        JSON.stringify(reason)
      )
    }), "halfClose"),

  entry(
    "a close that takes longer than closeTimeout aborts, and tells what is unsent",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left] = yield* open({ closeTimeout: "30 millis" })
        yield* left.write(C.pattern(bulk))
        yield* left.close
        yield* expectLost(left, "CloseTimeout")
        const reason = yield* left.closed
        const unsent = reason._tag === "Lost" ? reason.error.bytesUnsent : 0
        const { bytesWritten } = left.stats()
        yield* expectEqual(unsent + bytesWritten, bulk, "bytesUnsent and bytesWritten, added")
        yield* expectNothingLeft(left)
      })
  ),

  entry("what was sent before a close arrives, though nobody read until then", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ lingerTimeout: 0 })
      const whole = C.pattern(2000)
      yield* left.write(whole)
      const closing = yield* Effect.fork(left.close)
      yield* C.turns
      yield* expectBytes(yield* C.readAll(right), whole, "what arrives before the end")
      yield* right.close
      yield* Fiber.join(closing)
    })),

  entry(
    "a large write, one more byte while it is under way, and a close: all of it arrives",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open({ highWaterMark: 2 * bulk })
        const whole = C.pattern(bulk)
        yield* left.write(whole)
        const reading = yield* readAndClose(right)
        yield* C.turn
        yield* left.write(bytes(7))
        yield* left.close
        yield* expectBytes(yield* Fiber.join(reading), concat([whole, bytes(7)]), "what arrives")
        yield* expectClean(left)
      })
  ),

  entry("after close every kind of write is refused, the empty one as well", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* readAndClose(right)
      yield* left.close
      yield* expectFailure(left.write(bytes()), "an empty write", "WriteAfterEnd")
      yield* expectFailure(left.writeAll([bytes(1), bytes(2)]), "writeAll", "WriteAfterEnd")
      yield* expectFailure(Stream.run(Stream.make(bytes(1)), left.sink), "the sink", "WriteAfterEnd")
      yield* expectEqual(yield* Queue.offer(left.outgoing, bytes(1)), false, "the answer of the outgoing queue")
      yield* expectEqual(left.stats().bytesWritten, 0, "bytesWritten")
    })),

  entry("a flush and a closeWrite after a close find nothing to do", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes(1))
      yield* readAndClose(right)
      yield* left.close
      yield* left.flush
      yield* left.closeWrite
      yield* expectClean(left)
    })),

  entry("a flush that waits fails when the close takes too long", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left] = yield* open({ closeTimeout: "30 millis" })
      yield* C.clog(left, bulk)
      const flush = yield* Effect.fork(Effect.exit(left.flush))
      yield* C.turn
      yield* left.close
      yield* expectFailed(yield* Fiber.join(flush), "the flush that waits", "CloseTimeout")
    })),

  entry("writing to a peer that has closed fails in the end, and from then on", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ lingerTimeout: 0 })
      yield* right.close
      yield* expectFailure(C.writeOn(left), "writing")
      yield* expectFailure(left.write(bytes(1)), "a write after the failure")
    }))
]
