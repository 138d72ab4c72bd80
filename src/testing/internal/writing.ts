/**
 * Checks of writing: backpressure, order, the queue, the half-close.
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

const { bytes, entry, expect, expectBytes, expectEqual, expectFailure } = C

export const pressure: ReadonlyArray<Entry> = [
  entry(
    "against a peer that does not read, a writer suspends within the high-water mark and one chunk",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const highWaterMark = 1000
        const size = Math.ceil(bulk / 64)
        const [left] = yield* open({ highWaterMark })
        yield* Effect.fork(Effect.exit(Effect.forever(left.write(C.pattern(size)))))
        // However much the carrier takes, it is less than `bulk`.
        yield* C.until(() => left.stats().writersWaiting === 1)
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
        yield* Effect.fork(Effect.exit(Effect.forever(left.write(C.pattern(bulk)))))
        yield* C.until(() => left.stats().writersWaiting === 1)
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

  entry("writers at the same time never mix their chunks", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 100 })
      const writer = (value: number) => Effect.repeatN(left.write(new Uint8Array(50).fill(value)), 19)
      yield* Effect.fork(Effect.all([1, 2, 3, 4].map(writer), { concurrency: "unbounded" }))
      const received = yield* C.read(right, 4000)
      yield* expectEqual(received.length, 4000, "the number of bytes")
      yield* expectRuns(received, 50)
    })),

  entry("nothing comes between the chunks of one writeAll", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 100 })
      const writer = (value: number) => left.writeAll(Array.from({ length: 30 }, () => new Uint8Array(20).fill(value)))
      yield* Effect.fork(Effect.all([1, 2, 3, 4].map(writer), { concurrency: "unbounded" }))
      yield* expectRuns(yield* C.read(right, 2400), 600)
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
      const over = yield* Effect.fork(Queue.awaitShutdown(outgoing))
      const [received] = yield* Effect.all([C.readAll(right), Queue.shutdown(outgoing)], { concurrency: "unbounded" })
      yield* expectBytes(received, bytes(1, 2, 3), "what arrives before the end")
      yield* Fiber.join(over)
      yield* expectEqual(yield* Queue.offer(outgoing, bytes(4)), false, "the answer after the end")
      yield* expectEqual(yield* Queue.isShutdown(outgoing), true, "isShutdown")
    }))
]

/** Equal bytes stand together in runs of this length or a multiple of it. */
const expectRuns = (received: Uint8Array, length: number) => {
  const torn = received.findIndex((byte, at) => byte !== received[at - (at % length)])
  return expect(torn < 0, `chunks of ${length} bytes, each whole`, `a chunk that is torn at byte ${torn}`)
}

export const halfClose: ReadonlyArray<Entry> = [
  entry("after closeWrite reading goes on", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.all([left.closeWrite, C.expectEnd(right, "the peer's pull")], { concurrency: "unbounded" })
      yield* right.write(bytes(1, 2))
      const [received] = yield* Effect.all([C.readAll(left), right.closeWrite], { concurrency: "unbounded" })
      yield* expectBytes(received, bytes(1, 2), "what comes back")
    }), "halfClose"),

  entry("after the peer's end writing goes on", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.all([right.closeWrite, C.expectEnd(left, "the pull")], { concurrency: "unbounded" })
      const whole = C.pattern(100_000)
      yield* Effect.fork(Effect.zipRight(left.write(whole), left.closeWrite))
      yield* expectBytes(yield* C.readAll(right), whole, "what still arrives")
    }), "halfClose"),

  entry("a write after closeWrite fails with WriteAfterEnd and sends nothing", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes(1))
      const reading = yield* Effect.fork(C.readAll(right))
      yield* left.closeWrite
      yield* expectFailure(left.write(bytes(2)), "a write after closeWrite", "WriteAfterEnd")
      yield* expectFailure(left.write(bytes()), "an empty write after closeWrite", "WriteAfterEnd")
      yield* expectFailure(left.writeAll([bytes(2)]), "writeAll after closeWrite", "WriteAfterEnd")
      yield* expectBytes(yield* Fiber.join(reading), bytes(1), "what arrives")
    })),

  entry("closeWrite is idempotent", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes(1))
      const reading = yield* Effect.fork(C.readAll(right))
      yield* Effect.all([left.closeWrite, left.closeWrite], { concurrency: "unbounded" })
      yield* left.closeWrite
      yield* expectBytes(yield* Fiber.join(reading), bytes(1), "what arrives")
    })),

  entry(
    "closeWrite sends what was accepted, and refuses the write that waits",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open({ highWaterMark: 1 })
        const filler = yield* C.clog(left, bulk)
        const write = yield* C.suspendedWrite(left, bytes(1))
        const ending = yield* Effect.fork(left.closeWrite)
        yield* C.expectFailed(yield* Fiber.join(write), "the write that waits", "WriteAfterEnd")
        yield* expectBytes(yield* C.readAll(right), filler, "what arrives before the end")
        yield* Fiber.join(ending)
      })
  ),

  entry("the peer's end does not disturb a write that waits", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 1 })
      const filler = yield* C.clog(left, bulk)
      const write = yield* C.suspendedWrite(left, bytes(1))
      yield* Effect.all([right.closeWrite, C.expectEnd(left, "the pull")], { concurrency: "unbounded" })
      yield* expectBytes(yield* C.read(right, bulk + 1), concat([filler, bytes(1)]), "what arrives")
      yield* expect(Exit.isSuccess(yield* Fiber.join(write)), "the write succeeds", "it failed")
    }), "halfClose"),

  entry("both directions ended is closed, with no further call", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.fork(left.closeWrite)
      yield* C.readAll(right)
      yield* Effect.fork(right.closeWrite)
      yield* C.readAll(left)
      const [here, there] = yield* Effect.all([left.closed, right.closed])
      yield* expect(
        here._tag === "Clean" && here.firstEnded === "local" && here.peerEnded,
        "Clean, local first",
        show(here)
      )
      yield* expect(
        there._tag === "Clean" && there.firstEnded === "peer" && there.peerEnded,
        "Clean, peer first",
        show(there)
      )
      yield* C.expectEnd(left, "a pull after the close")
    }), "halfClose")
]

const show = (value: unknown): string => JSON.stringify(value)
