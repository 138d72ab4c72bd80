/**
 * Checks of the half-close.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { concat } from "../../internal/bytes.ts"
import type { Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectBytes, expectClean, expectFailure } = C

export const halfClose: ReadonlyArray<Entry> = [
  entry("after closeWrite reading goes on", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.all([left.closeWrite, C.expectEnd(right, "the peer's pull")], { concurrency: "unbounded" })
      yield* right.write(bytes(1, 2))
      const [received] = yield* Effect.all([C.readAll(left), right.closeWrite], { concurrency: "unbounded" })
      yield* expectBytes(received, bytes(1, 2), "what comes back")
    }), "halfClose"),

  entry("a closeWrite in the midst of the input loses none of it", ({ bulk, open }) =>
    Effect.gen(function*() {
      const whole = C.pattern(bulk / 32)
      for (const last of [2, 5]) {
        const [left, right] = yield* open()
        yield* Effect.fork(C.send(right, C.pieces(whole, whole.length / 8)))
        // Time for more than one chunk to come.
        yield* C.turn
        const chunks: Array<Uint8Array> = []
        yield* left.forEach((chunk) => chunks.push(chunk) === last ? left.closeWrite : Effect.void)
        yield* expectBytes(concat(chunks), whole, `what arrives when this side ends at the ${last}. chunk`)
      }
    }), "halfClose"),

  entry("after the peer's end writing goes on", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.all([right.closeWrite, C.expectEnd(left, "the pull")], { concurrency: "unbounded" })
      const whole = C.pattern(bulk)
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
    }), "halfClose"),

  entry("closeWrite does not disturb a flush that waits", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const filler = yield* C.clog(left, bulk)
      const flush = yield* Effect.fork(left.flush)
      yield* C.turn
      const ending = yield* Effect.fork(left.closeWrite)
      yield* C.turn
      yield* expect(flush.unsafePoll() === null, "a flush that waits", "it is over")
      yield* expectBytes(yield* C.readAll(right), filler, "what arrives before the end")
      yield* Fiber.join(flush)
      yield* Fiber.join(ending)
    })),

  entry("close after both directions have ended changes nothing", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.fork(right.closeWrite)
      yield* C.readAll(left)
      yield* Effect.fork(left.closeWrite)
      yield* C.readAll(right)
      const reason = yield* left.closed
      yield* left.close
      yield* expectClean(left)
      yield* expect((yield* left.closed) === reason, "the same reason as before", "another one")
    }), "halfClose")
]

const show = (value: unknown): string => JSON.stringify(value)
