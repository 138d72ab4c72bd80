/**
 * Checks of what holds after an interruption.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { concat } from "../../internal/bytes.ts"
import type { Transport } from "../../Transport.ts"
import type { Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectBytes, expectClean, expectEqual, expectFailure, readAndClose } = C

/** Sends it little by little, and ends. */
const trickle = (transport: Transport, whole: Uint8Array) =>
  Effect.zipRight(
    Effect.forEach(C.pieces(whole, 10), (piece) => Effect.zipRight(transport.write(piece), Effect.yieldNow()), {
      discard: true
    }),
    transport.closeWrite
  )

interface Input {
  readonly chunks: Array<Uint8Array>
  ended: boolean
}

/** Reads and is interrupted after a few steps, until the input has ended. */
const interruptedAgainAndAgain = <E>(input: Input, read: Effect.Effect<void, E>) =>
  Effect.gen(function*() {
    const next = C.random(17)
    while (!input.ended) {
      const fiber = yield* Effect.fork(read)
      for (let steps = next(5); steps > 0; steps--) yield* Effect.yieldNow()
      if (next(8) === 0) yield* C.turn
      yield* Fiber.interrupt(fiber)
    }
  })

export const interruption: ReadonlyArray<Entry> = [
  entry("an interrupted pull loses no byte", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const pull = yield* C.suspendedPull(right)
      const write = yield* Effect.fork(left.write(bytes(1, 2, 3)))
      yield* Fiber.interrupt(pull)
      yield* Fiber.join(write)
      yield* expectEqual(right.stats().pulling, false, "pulling after the interruption")
      yield* expectBytes(yield* C.read(right, 3), bytes(1, 2, 3), "what the next pulls give")
    })),

  entry("pulls that are interrupted again and again lose no byte", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(3000)
      yield* Effect.fork(trickle(left, whole))
      const input: Input = { chunks: [], ended: false }
      yield* interruptedAgainAndAgain(
        input,
        Effect.flatMap(right.pull, (chunk) => {
          if (chunk === null) input.ended = true
          else input.chunks.push(chunk)
          return Effect.void
        })
      )
      yield* expectBytes(concat(input.chunks), whole, "what arrives")
    })),

  entry(
    "an interrupted write that waited takes back its own chunk, and only that",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open({ highWaterMark: 1 })
        const filler = yield* C.clog(left, bulk)
        yield* C.suspendedWrite(left, bytes(7))
        const withdrawn = yield* C.suspendedWrite(left, bytes(8))
        yield* C.suspendedWrite(left, bytes(9))
        yield* Fiber.interrupt(withdrawn)
        yield* expectEqual(left.stats().writersWaiting, 2, "writersWaiting after the interruption")
        yield* expectBytes(yield* C.read(right, bulk + 2), concat([filler, bytes(7, 9)]), "what arrives")
        yield* left.write(bytes(10))
        yield* expectBytes(yield* C.read(right, 1), bytes(10), "what arrives then")
      })
  ),

  entry("an interrupted writeAll takes back what was not accepted", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 1 })
      const filler = C.pattern(bulk)
      const writing = yield* Effect.fork(left.writeAll([filler, bytes(1), bytes(2)]))
      yield* C.until(() => left.stats().writersWaiting === 1)
      yield* Fiber.interrupt(writing)
      const [received] = yield* Effect.all([C.readAll(right), left.closeWrite], { concurrency: "unbounded" })
      yield* expectBytes(received, filler, "what arrives")
    })),

  entry("an interrupted flush changes nothing", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const filler = yield* C.clog(left, bulk)
      const flush = yield* Effect.fork(left.flush)
      yield* C.turn
      yield* Fiber.interrupt(flush)
      yield* expectBytes(yield* C.read(right, bulk), filler, "what arrives")
    })),

  entry("an interrupted closeWrite still ends the writing", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const filler = yield* C.clog(left, bulk)
      const ending = yield* Effect.fork(left.closeWrite)
      yield* C.turn
      yield* Fiber.interrupt(ending)
      yield* expectFailure(left.write(bytes(1)), "a write after it", "WriteAfterEnd")
      yield* expectBytes(yield* C.readAll(right), filler, "what arrives before the end")
    })),

  entry("an interrupted close goes on by itself", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const filler = yield* C.clog(left, bulk)
      const closing = yield* Effect.fork(left.close)
      yield* C.turn
      yield* Fiber.interrupt(closing)
      yield* expectBytes(yield* C.readAll(right), filler, "what arrives before the end")
      yield* right.close
      yield* expectClean(left)
    })),

  entry("an interrupted wait for closed changes nothing", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const waiting = yield* Effect.fork(left.closed)
      yield* C.turn
      yield* Fiber.interrupt(waiting)
      yield* left.write(bytes(1))
      yield* expectBytes(yield* C.read(right, 1), bytes(1), "what arrives")
    })),

  entry(
    "after an interrupted write and an interrupted pull both sides close cleanly",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open({ highWaterMark: 1 })
        const filler = yield* C.clog(left, bulk)
        yield* Fiber.interrupt(yield* C.suspendedWrite(left, bytes(1)))
        yield* Fiber.interrupt(yield* C.suspendedPull(left))
        const reading = yield* readAndClose(right)
        yield* left.close
        yield* expectBytes(yield* Fiber.join(reading), filler, "what arrives")
        yield* expectClean(left)
        yield* expectClean(right)
      })
  ),

  entry("an interrupted forEach that waits takes nothing", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const chunks: Array<Uint8Array> = []
      const handling = yield* C.suspended(right, right.forEach((chunk) => Effect.sync(() => chunks.push(chunk))))
      yield* Fiber.interrupt(handling)
      yield* expectEqual(right.stats().pulling, false, "pulling after the interruption")
      yield* left.write(bytes(1, 2, 3))
      yield* expectBytes(yield* C.read(right, 3), bytes(1, 2, 3), "what the next pulls give")
      yield* expectEqual(chunks.length, 0, "chunks that it gave")
    })),

  entry(
    "an interrupted forEach interrupts the Effect that runs, and leaves the rest",
    ({ open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open()
        const chunks: Array<Uint8Array> = []
        let interrupted = false
        const handling = yield* Effect.fork(right.forEach((chunk) => {
          chunks.push(chunk)
          return Effect.onInterrupt(Effect.never, () =>
            Effect.sync(() => {
              interrupted = true
            }))
        }))
        yield* left.write(bytes(1))
        yield* C.until(() => chunks.length === 1)
        yield* left.write(bytes(2, 3))
        yield* C.turns
        yield* Fiber.interrupt(handling)
        yield* expectEqual(interrupted, true, "the Effect was interrupted")
        yield* expectEqual(chunks.length, 1, "chunks that it gave")
        yield* expectBytes(yield* C.read(right, 2), bytes(2, 3), "what the next pulls give")
      })
  ),

  entry("a forEach that is interrupted again and again loses no byte", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(3000)
      yield* Effect.fork(trickle(left, whole))
      const input: Input = { chunks: [], ended: false }
      yield* interruptedAgainAndAgain(
        input,
        Effect.zipRight(
          right.forEach((chunk) => input.chunks.push(chunk) % 2 === 0 ? Effect.yieldNow() : Effect.void),
          Effect.sync(() => {
            input.ended = true
          })
        )
      )
      yield* expectBytes(concat(input.chunks), whole, "what arrives")
    })),

  entry(
    "writes that are interrupted again and again arrive whole and in their order, or not at all",
    ({ open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open({ highWaterMark: 100 })
        const reading = yield* Effect.fork(C.readAll(right))
        const next = C.random(23)
        const accepted: Array<number> = []
        for (let value = 0; value < 150; value++) {
          const write = yield* Effect.fork(left.write(new Uint8Array(40).fill(value)))
          for (let steps = next(5); steps > 0; steps--) yield* Effect.yieldNow()
          if (next(20) === 0) yield* C.turn
          if (Exit.isSuccess(yield* Fiber.interrupt(write))) accepted.push(value)
        }
        yield* left.closeWrite
        const received = yield* Fiber.join(reading)
        yield* C.expectRuns(received, 40)
        const values = Array.from({ length: received.length / 40 }, (_, at) => received[at * 40]!)
        yield* expect(values.every((value, at) => at === 0 || value > values[at - 1]!), "their order", values)
        const missing = accepted.filter((value) => !values.includes(value))
        yield* expectEqual(missing.length, 0, "writes that succeeded and did not arrive")
      })
  ),

  entry("an interrupted abort goes on by itself", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left] = yield* open()
      yield* C.clog(left, bulk)
      const aborting = yield* Effect.fork(left.abort)
      yield* C.turn
      yield* Fiber.interrupt(aborting)
      yield* C.expectLost(left, "ConnectionAborted")
    })),

  entry("what is interrupted before it begins does nothing", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      for (const act of [left.write(bytes(1)), left.pull, left.flush, left.closeWrite, left.close, left.abort]) {
        yield* Effect.flatMap(Effect.fork(Effect.exit(act)), Fiber.interrupt)
      }
      yield* expectEqual(left.stats().pulling, false, "pulling")
      yield* left.write(bytes(2))
      yield* expectBytes(yield* C.read(right, 1), bytes(2), "what arrives")
    })),

  entry("a pull that times out has taken nothing, and the next one goes on", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      for (let round = 0; round < 3; round++) {
        const none = yield* Effect.timeoutOption(right.pull, 3)
        yield* expect(Option.isNone(none), "no input in time", "some")
        yield* expectEqual(right.stats().pulling, false, "pulling after the time-out")
        yield* left.write(bytes(round))
        yield* expectBytes(yield* C.read(right, 1), bytes(round), "what the next pull gives")
      }
    })),

  entry(
    "a write that times out has sent nothing, and the next one goes on",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open({ highWaterMark: 1 })
        const filler = yield* C.clog(left, bulk)
        // The carrier may still take some of it.
        yield* Fiber.interrupt(yield* C.suspendedWrite(left, bytes(1)))
        const none = yield* Effect.timeoutOption(left.write(bytes(2)), 3)
        yield* expect(Option.isNone(none), "no room in time", "some")
        yield* expectEqual(left.stats().writersWaiting, 0, "writersWaiting after the time-out")
        yield* Effect.fork(left.write(bytes(3)))
        yield* expectBytes(yield* C.read(right, bulk + 1), concat([filler, bytes(3)]), "what arrives")
      })
  ),

  entry("all members may be used at the same time, again and again", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 100 })
      const round = (value: number) =>
        Effect.all([
          left.write(new Uint8Array(20).fill(value)),
          left.flush,
          Effect.sync(() => [left.stats(), left.localAddress, left.remoteAddress, left.options]),
          Effect.timeoutOption(left.closed, 2),
          right.write(bytes(value)),
          right.flush
        ], { concurrency: "unbounded", discard: true })
      const rounds = Effect.forEach(Array.from({ length: 100 }, (_, value) => value), round, {
        concurrency: 20,
        discard: true
      })
      const [there, here] = yield* Effect.all([C.read(right, 2000), C.read(left, 100), rounds], {
        concurrency: "unbounded"
      })
      yield* C.expectRuns(there, 20)
      const values = Array.from({ length: 100 }, (_, value) => value)
      yield* expectBytes(
        Uint8Array.from({ length: 100 }, (_, at) => there[at * 20]!).toSorted(),
        Uint8Array.from(values),
        "what arrives at the peer"
      )
      yield* expectBytes(here.toSorted(), Uint8Array.from(values), "what arrives here")
    }))
]
