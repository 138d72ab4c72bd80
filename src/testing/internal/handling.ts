/**
 * Checks of reading by forEach.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { concat } from "../../internal/bytes.ts"
import type { Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectBytes, expectEqual, expectFailed, send } = C

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
