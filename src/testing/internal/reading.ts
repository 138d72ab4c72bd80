/**
 * Checks of bytes on their way, and of reading.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { concat } from "../../internal/bytes.ts"
import type { Transport } from "../../Transport.ts"
import type { Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectBytes, expectEqual, expectFailed } = C

/** Sends everything and ends. */
const send = (transport: Transport, chunks: Iterable<Uint8Array>) =>
  Effect.zipRight(Effect.forEach(chunks, transport.write, { discard: true }), transport.closeWrite)

const expectAllAndEnd = (transport: Transport, wanted: Uint8Array, what: string) =>
  Effect.flatMap(C.readAll(transport), (received) => expectBytes(received, wanted, what))

export const transfer: ReadonlyArray<Entry> = [
  entry("one byte goes through", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes(42))
      yield* expectBytes((yield* right.pull) ?? bytes(), bytes(42), "what the peer pulls")
    })),

  entry("an empty write has no meaning", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes())
      yield* left.writeAll([])
      yield* left.writeAll([bytes(), bytes(7), bytes()])
      yield* expectBytes((yield* right.pull) ?? bytes(), bytes(7), "the first chunk that the peer pulls")
    })),

  entry("chunks of any size arrive whole and in their order", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(100_000)
      yield* Effect.fork(send(left, C.pieces(whole, 3000)))
      yield* expectAllAndEnd(right, whole, "what arrives")
    })),

  entry("ten thousand tiny writes arrive whole", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(10_000)
      yield* Effect.fork(send(left, Array.from(whole, (byte) => bytes(byte))))
      yield* expectAllAndEnd(right, whole, "what arrives")
    })),

  entry("one large write reaches a slow reader whole", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(bulk)
      yield* Effect.fork(send(left, [whole]))
      const chunks: Array<Uint8Array> = []
      let length = 0
      let rested = 0
      let chunk: Uint8Array | null
      while ((chunk = yield* right.pull) !== null) {
        chunks.push(chunk)
        length += chunk.length
        if (length - rested >= bulk / 32) {
          rested = length
          yield* C.turn
        }
      }
      yield* expectBytes(concat(chunks), whole, "what arrives")
    })),

  entry("much goes both ways at once", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const [out, back] = [C.pattern(bulk / 4, 2), C.pattern(bulk / 4, 3)]
      const [there, here] = yield* Effect.all([
        C.readAll(right),
        C.readAll(left),
        send(left, C.pieces(out, 16384, 4)),
        send(right, C.pieces(back, 16384, 5))
      ], { concurrency: "unbounded" })
      yield* expectBytes(there, out, "what arrives at the peer")
      yield* expectBytes(here, back, "what arrives here")
    }), "halfClose"),

  entry("the counters of both ends agree", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.writeAll([C.pattern(3000), bytes(), C.pattern(500)])
      yield* C.read(right, 3500)
      yield* left.flush
      yield* expectEqual(left.stats().bytesWritten, 3500, "bytesWritten")
      yield* expectEqual(right.stats().bytesRead, 3500, "bytesRead of the peer")
      yield* expectEqual(left.stats().bytesRead, 0, "bytesRead")
    })),

  entry("a stream into a sink is an echo that ends with the peer", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(50_000)
      yield* Effect.fork(Effect.zipRight(Stream.run(right.stream, right.sink), right.closeWrite))
      yield* Effect.fork(send(left, C.pieces(whole, 5000)))
      yield* expectAllAndEnd(left, whole, "what comes back")
    }), "halfClose")
]

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
    }))
]

/** Notes what it is given, in the step that gives it, and takes its time with every third chunk. */
const noting = (chunks: Array<Uint8Array>) => (chunk: Uint8Array): Effect.Effect<void> =>
  chunks.push(chunk) % 3 === 0 ? Effect.yieldNow() : Effect.void

export const handling: ReadonlyArray<Entry> = [
  entry("forEach gives everything in its order, and is over at the end", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(50_000)
      yield* Effect.fork(send(left, C.pieces(whole, 3000)))
      const chunks: Array<Uint8Array> = []
      yield* right.forEach(noting(chunks))
      yield* expectBytes(concat(chunks), whole, "what forEach gives")
      yield* C.expectEnd(right, "a pull after it")
    })),

  entry("forEach waits with a chunk until the Effect for the last one is over", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.fork(send(left, C.pieces(C.pattern(2000), 50)))
      let running = 0
      yield* right.forEach(() =>
        Effect.flatMap(expectEqual(++running, 1, "Effects that run"), () =>
          Effect.map(Effect.yieldNow(), () => running--))
      )
      yield* expectEqual(running, 0, "Effects that run after forEach")
    })),

  entry(
    "a failure within forEach ends it, a throw is a defect, and the rest is there for the next reader",
    ({ open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open()
        const chunks: Array<Uint8Array> = []
        const stopping = (how: () => Effect.Effect<void, C.Unexpected>) =>
          Effect.gen(function*() {
            yield* Effect.fork(left.write(bytes(1, 2, 3)))
            return yield* Effect.exit(right.forEach((chunk) => {
              chunks.push(chunk)
              return how()
            }))
          })
        const late = Effect.zipRight(Effect.yieldNow(), expect(false, "late", ""))
        yield* expectFailed(yield* stopping(() => expect(false, "at once", "")), "forEach", "Unexpected")
        yield* expectFailed(yield* stopping(() => late), "a later one", "Unexpected")
        const thrown = yield* stopping(() => {
          throw new Error("thrown on purpose")
        })
        yield* expect(Exit.isFailure(thrown) && Cause.isDie(thrown.cause), "what is thrown is a defect", thrown._tag)
        yield* expectEqual(chunks.length, 3, "chunks that were given")
        yield* Effect.fork(left.closeWrite)
        const rest = yield* C.readAll(right)
        yield* expectBytes(concat([...chunks, rest]), bytes(1, 2, 3, 1, 2, 3, 1, 2, 3), "what arrives in all")
      })
  ),

  entry("beside a forEach that waits another reader dies, and the first goes on", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const chunks: Array<Uint8Array> = []
      const first = yield* C.suspended(right, right.forEach(noting(chunks)))
      for (const second of [right.pull, right.forEach(() => Effect.void)]) {
        const exit = yield* Effect.exit(second)
        yield* expect(Exit.isFailure(exit) && Cause.isDie(exit.cause), "the second reader dies", exit._tag)
      }
      yield* Effect.fork(send(left, [bytes(6)]))
      yield* expect(Exit.isSuccess(yield* Fiber.join(first)), "the first goes on to the end", "it failed")
      yield* expectBytes(concat(chunks), bytes(6), "what it gives")
    })),

  entry("forEach gives first what was put back", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Effect.fork(send(left, [bytes(3, 4)]))
      yield* right.unread(bytes(2))
      const chunks: Array<Uint8Array> = []
      yield* right.forEach((chunk) => {
        chunks.push(chunk)
        return chunks.length === 1 ? right.unread(bytes(9)) : Effect.void
      })
      yield* expectBytes(concat(chunks), bytes(2, 9, 3, 4), "what forEach gives")
    })),

  entry(
    "a forEach that waits fails when this side closes, and when it aborts",
    ({ open }) =>
      Effect.forEach(
        [["close", "ConnectionClosed"], ["abort", "ConnectionAborted"]] as const,
        ([act, tag]) =>
          Effect.gen(function*() {
            const [left, right] = yield* open()
            const handling = yield* C.suspended(
              left,
              left.forEach(() => Effect.void)
            )
            yield* C.readAndClose(right)
            yield* left[act]
            yield* expectFailed(yield* Fiber.join(handling), `forEach after ${act}`, tag)
            yield* C.expectFailure(left.forEach(() => Effect.void), `a later one after ${act}`, tag)
          })
      )
  ),

  entry(
    "an echo by forEach reads no further than its peer reads what comes back",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open({ highWaterMark: 1000 })
        const whole = C.pattern(2 * bulk)
        yield* Effect.fork(left.forEach((chunk) => left.write(chunk)))
        yield* Effect.fork(right.writeAll(C.pieces(whole, 65536)))
        // Full, at last: kernels move bytes between their buffers for a while.
        const seen = { bytesRead: 0, times: 0 }
        yield* C.until(() => {
          const { bytesRead, writersWaiting } = left.stats()
          seen.times = writersWaiting === 1 && bytesRead === seen.bytesRead ? seen.times + 1 : 0
          seen.bytesRead = bytesRead
          return seen.times === 5
        })
        yield* expect(seen.bytesRead < whole.length, `less than ${whole.length} bytes read`, seen.bytesRead)
        yield* expectBytes(yield* C.read(right, whole.length), whole, "what comes back")
      })
  )
]
