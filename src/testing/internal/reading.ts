/**
 * Checks of reading by pulls.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { concat } from "../../internal/bytes.ts"
import type { Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectAllAndEnd, expectBytes, expectEqual, send } = C

export const reading: ReadonlyArray<Entry> = [
  entry("no byte is taken before the first pull", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes(1, 2, 3))
      yield* C.turns
      yield* expectEqual(right.stats().bytesRead, 0, "bytesRead before the first pull")
      yield* expectBytes(yield* C.read(right, 3), bytes(1, 2, 3), "what is pulled then")
    })),

  entry("reading ahead of the consumer is bounded", ({ bulk, open }) =>
    Effect.gen(function*() {
      const readBufferSize = 1000
      const [left, right] = yield* open({ readBufferSize })
      yield* left.write(C.pattern(bulk))
      const first = yield* right.pull
      yield* C.turns
      const { unread } = right.stats()
      // One chunk more may have been under way: 64 KiB at most.
      const bound = readBufferSize + Math.max(65536, first?.length ?? 0)
      yield* expect(unread <= bound, `at most ${bound} bytes unread`, unread)
    })),

  entry("with no read buffer, input is taken only for a pull", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ readBufferSize: 0 })
      yield* Effect.fork(send(left, C.pieces(C.pattern(5000), 100)))
      yield* expectBytes(yield* C.readAll(right), C.pattern(5000), "what arrives")
      yield* expectEqual(right.stats().unread, 0, "unread")
    })),

  entry("a pull waits until there is input", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const pull = yield* C.suspendedPull(right)
      yield* left.write(bytes(5))
      const exit = yield* Fiber.join(pull)
      yield* expectBytes(Exit.isSuccess(exit) ? exit.value ?? bytes() : bytes(), bytes(5), "what the pull gives")
      yield* expectEqual(right.stats().pulling, false, "pulling afterwards")
    })),

  entry("a second pull at the same time dies, and the first goes on", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const first = yield* C.suspendedPull(right)
      const second = yield* Effect.exit(right.pull)
      yield* expect(Exit.isFailure(second) && Cause.isDie(second.cause), "the second pull dies", second._tag)
      yield* left.write(bytes(6))
      yield* expect(Exit.isSuccess(yield* Fiber.join(first)), "the first pull gets the input", "it failed")
    })),

  entry("bytes that were pulled stay as they are", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(C.pattern(1000, 7))
      const first = (yield* right.pull) ?? bytes()
      const copy = first.slice()
      yield* left.write(C.pattern(5000, 8))
      yield* C.read(right, 6000 - first.length)
      yield* expectBytes(first, copy, "the first chunk after later pulls")
    })),

  entry("bytes that are put back come first, before what follows them", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes(3, 4))
      yield* right.unread(bytes(2))
      yield* right.unread(bytes())
      yield* right.unread(bytes(1))
      yield* expectBytes(yield* C.read(right, 4), bytes(1, 2, 3, 4), "what is pulled")
    })),

  entry("bytes that are put back wake a pull", ({ open }) =>
    Effect.gen(function*() {
      const [, right] = yield* open()
      const pull = yield* C.suspendedPull(right)
      yield* right.unread(bytes(1))
      const exit = yield* Fiber.join(pull)
      yield* expectBytes(Exit.isSuccess(exit) ? exit.value ?? bytes() : bytes(), bytes(1), "what the pull gives")
    })),

  entry("the end comes after the data, and again at each later pull", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.fork(send(left, [bytes(1, 2, 3)]))
      yield* expectAllAndEnd(right, bytes(1, 2, 3), "what comes before the end")
      yield* C.expectEnd(right, "the second pull after the data")
      yield* C.expectEnd(right, "the third pull after the data")
    })),

  entry(
    "who reads late gets all that came before the end",
    ({ open }) =>
      Effect.forEach([100, 20_000, 50_000], (size) =>
        Effect.gen(function*() {
          const [left, right] = yield* open()
          const sending = yield* Effect.fork(send(left, C.pieces(C.pattern(size), size / 2)))
          yield* C.turns
          // The end itself may wait for whoever reads what comes before it.
          const first = (yield* right.pull) ?? bytes()
          yield* C.turns
          yield* expectBytes(concat([first, yield* C.readAll(right)]), C.pattern(size), "what comes before the end")
          yield* Fiber.join(sending)
        }))
  ),

  entry("the end of a peer that sent nothing comes to a pull that waits", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const pull = yield* C.suspendedPull(right)
      yield* left.closeWrite
      const exit = yield* Fiber.join(pull)
      yield* expect(Exit.isSuccess(exit) && exit.value === null, "null", exit._tag)
    })),

  entry("bytes that are put back after the end come before it", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.fork(left.closeWrite)
      yield* C.expectEnd(right, "the first pull")
      yield* right.unread(bytes(9))
      yield* expectAllAndEnd(right, bytes(9), "what was put back")
    })),

  entry("a reader that rests again and again gets everything in its order", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ readBufferSize: 100 })
      const whole = C.pattern(16_384)
      yield* Effect.fork(send(left, C.pieces(whole, 150)))
      const chunks: Array<Uint8Array> = []
      let rest = 0
      let chunk: Uint8Array | null
      while ((chunk = yield* right.pull) !== null) {
        chunks.push(chunk)
        rest += chunk.length
        if (rest < 500) continue
        rest = 0
        yield* C.turn
      }
      yield* expectBytes(concat(chunks), whole, "what arrives")
    })),

  entry("a stream that is left takes nothing beyond what it gave", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes(1))
      const meanwhile = Effect.zipRight(left.write(bytes(2)), C.turns)
      yield* Stream.runDrain(Stream.take(Stream.tap(right.stream, () => meanwhile), 1))
      yield* expectBytes(yield* C.read(right, 1), bytes(2), "what the next pull gives")
    })),

  entry("stats tell what is buffered, and that the peer has ended", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const accepted = () => left.stats().buffered + left.stats().bytesWritten
      const before = accepted()
      yield* C.clog(left, bulk)
      yield* expectEqual(accepted() - before, bulk, "what the write has added to buffered and bytesWritten")
      yield* expectEqual(right.stats().peerEnded, false, "peerEnded before the end")
      yield* Effect.fork(left.closeWrite)
      yield* C.readAll(right)
      yield* expectEqual(right.stats().peerEnded, true, "peerEnded after the end")
    })),

  entry("stats tell when bytes last moved", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const before = { read: right.stats().lastRead, write: left.stats().lastWrite }
      yield* C.turns
      yield* left.write(bytes(1))
      yield* C.read(right, 1)
      yield* left.flush
      const { lastWrite } = left.stats()
      const { lastRead } = right.stats()
      yield* expect(lastWrite > before.write, `lastWrite later than ${before.write}`, lastWrite)
      yield* expect(lastRead > before.read, `lastRead of the peer later than ${before.read}`, lastRead)
    }))
]
