/**
 * Checks of writing: backpressure, order, the queue.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import { concat } from "../../internal/bytes.ts"
import type { Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectBytes, expectEqual, expectRuns } = C

export const pressure: ReadonlyArray<Entry> = [
  entry(
    "against a peer that does not read, a writer suspends within the high-water mark and one chunk",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const highWaterMark = 1000
        const size = Math.ceil(bulk / 64)
        const [left] = yield* open({ highWaterMark })
        // However much the carrier takes, it is less than `bulk`.
        const writing = yield* Effect.fork(Effect.exit(Effect.repeatN(left.write(C.pattern(size)), 127)))
        yield* C.until(() => left.stats().writersWaiting === 1 || writing.unsafePoll() !== null)
        yield* expect(writing.unsafePoll() === null, "a writer that waits", "all writes are over")
        yield* C.turns
        const { buffered, bytesWritten } = left.stats()
        const bound = highWaterMark + size
        yield* expect(buffered <= bound, `at most ${bound} bytes buffered`, buffered)
        yield* expect(bytesWritten <= bulk, `at most ${bulk} bytes taken by the carrier`, bytesWritten)
      })
  ),

  entry(
    "the write that reaches the high-water mark exactly does not wait, the next one does",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left] = yield* open({ highWaterMark: bulk })
        yield* left.write(C.pattern(bulk))
        const writing = yield* Effect.fork(Effect.exit(Effect.repeatN(left.write(C.pattern(bulk)), 3)))
        yield* C.until(() => left.stats().writersWaiting === 1 || writing.unsafePoll() !== null)
        yield* expect(writing.unsafePoll() === null, "a writer that waits", "all writes are over")
      })
  ),

  entry("a writer that waits goes on when the peer reads", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 1000 })
      const filler = yield* C.clog(left, bulk)
      const write = yield* C.suspendedWrite(left, bytes(1, 2, 3))
      const received = yield* C.read(right, bulk + 3)
      yield* expect(Exit.isSuccess(yield* Fiber.join(write)), "the write succeeds", "it failed")
      yield* expectBytes(received, concat([filler, bytes(1, 2, 3)]), "what arrives")
    })),

  entry("writers that wait are let in by the order of their calls", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 1 })
      yield* C.clog(left, bulk)
      for (let value = 0; value < 20; value++) yield* C.suspendedWrite(left, bytes(value))
      const received = yield* C.read(right, bulk + 20)
      yield* expectBytes(received.subarray(bulk), Uint8Array.from({ length: 20 }, (_, at) => at), "what they wrote")
    })),

  entry("writers at the same time never mix their chunks", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 100 })
      yield* C.clog(left, bulk)
      const writer = (value: number) => Effect.repeatN(left.write(new Uint8Array(50).fill(value)), 19)
      yield* Effect.fork(Effect.all([1, 2, 3, 4].map(writer), { concurrency: "unbounded" }))
      const received = yield* C.read(right, bulk + 4000)
      yield* expectEqual(received.length, bulk + 4000, "the number of bytes")
      yield* expectRuns(received.subarray(bulk), 50)
    })),

  entry("nothing comes between the chunks of one writeAll", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 100 })
      yield* C.clog(left, bulk)
      const writer = (value: number) => left.writeAll(Array.from({ length: 30 }, () => new Uint8Array(20).fill(value)))
      yield* Effect.fork(Effect.all([1, 2, 3, 4].map(writer), { concurrency: "unbounded" }))
      yield* expectRuns((yield* C.read(right, bulk + 2400)).subarray(bulk), 600)
    })),

  entry("what is no Uint8Array dies and sends nothing", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      for (
        const wrong of ["text", null, undefined, 7, new ArrayBuffer(2), [1, 2]] as ReadonlyArray<
          unknown
        > as ReadonlyArray<never>
      ) {
        const one = yield* Effect.exit(left.write(wrong))
        yield* expect(Exit.isFailure(one) && Cause.isDie(one.cause), `write(${typeof wrong}) dies`, one._tag)
        const all = yield* Effect.exit(left.writeAll([bytes(1), wrong]))
        yield* expect(Exit.isFailure(all) && Cause.isDie(all.cause), `writeAll([${typeof wrong}]) dies`, all._tag)
      }
      yield* left.write(bytes(8))
      yield* expectBytes((yield* right.pull) ?? bytes(), bytes(8), "the only chunk that arrives")
    })),

  entry(
    "after a flush nothing is buffered, and the writer may use its buffer again",
    ({ open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open()
        const buffer = C.pattern(3000)
        const reading = yield* Effect.fork(C.read(right, 6000))
        yield* left.write(buffer)
        yield* left.flush
        yield* expectEqual(left.stats().buffered, 0, "buffered after a flush")
        buffer.fill(1)
        yield* left.write(buffer)
        const wanted = concat([C.pattern(3000), new Uint8Array(3000).fill(1)])
        yield* expectBytes(yield* Fiber.join(reading), wanted, "what arrives")
      })
  ),

  entry("a flush waits for the peer to read", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* C.clog(left, bulk)
      const flush = yield* Effect.fork(left.flush)
      yield* C.turns
      yield* expect(flush.unsafePoll() === null, "a flush that waits", "it has completed")
      yield* C.read(right, bulk)
      yield* Fiber.join(flush)
    })),

  entry("the outgoing queue is the write buffer, with false for a failure", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 500 })
      const { outgoing } = left
      yield* expectEqual(outgoing.capacity(), 500, "capacity")
      yield* expectEqual(yield* Queue.offer(outgoing, bytes(1)), true, "the answer to offer")
      yield* expectEqual(yield* Queue.offerAll(outgoing, [bytes(2), bytes(3)]), true, "the answer to offerAll")
      // A layer may have no answer but `false`.
      const offered = bytes(4, 5, 6, 7).filter((value) => outgoing.unsafeOffer(bytes(value)))
      const over = yield* Effect.fork(Queue.awaitShutdown(outgoing))
      const [received] = yield* Effect.all([C.readAll(right), Queue.shutdown(outgoing)], { concurrency: "unbounded" })
      yield* expectBytes(received, concat([bytes(1, 2, 3), offered]), "what arrives before the end")
      yield* Fiber.join(over)
      yield* expectEqual(yield* Queue.offer(outgoing, bytes(8)), false, "the answer after the end")
      yield* expectEqual(outgoing.unsafeOffer(bytes(9)), false, "the answer to unsafeOffer after the end")
      yield* expectEqual(yield* Queue.isShutdown(outgoing), true, "isShutdown")
    })),

  entry(
    "whoever waits at the same time, to write and for a flush, goes on when the peer reads",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open({ highWaterMark: 1 })
        const filler = yield* C.clog(left, bulk)
        const flushes = yield* Effect.forEach([1, 2, 3], () => Effect.fork(left.flush))
        const writes = yield* Effect.forEach([1, 2, 3], (value) => C.suspendedWrite(left, bytes(value)))
        yield* expectBytes(yield* C.read(right, bulk + 3), concat([filler, bytes(1, 2, 3)]), "what arrives")
        yield* Fiber.joinAll(flushes)
        for (const exit of yield* Fiber.joinAll(writes)) yield* expect(Exit.isSuccess(exit), "the write succeeds", exit)
      })
  ),

  entry("a write that waits is released when the peer closes", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 1 })
      yield* C.clog(left, bulk)
      const write = yield* C.suspendedWrite(left, bytes(1))
      yield* Effect.fork(right.close)
      // The peer takes what comes and drops it, or lets go at once.
      yield* Fiber.join(write)
      yield* expectEqual(left.stats().writersWaiting, 0, "writersWaiting")
    }))
]
