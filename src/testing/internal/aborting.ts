/**
 * Checks of abort, of a peer that aborts, and of what a loss leaves.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Context, Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectClean, expectEqual, expectFailed, expectFailure } = C
const { expectLost, expectNothingLeft, readAndClose } = C

/** The peer is gone, and nothing of it was read. */
const aborted = ({ open }: Context) =>
  Effect.gen(function*() {
    const [left, right] = yield* open()
    yield* right.abort
    return [left, right] as const
  })

export const aborting: ReadonlyArray<Entry> = [
  entry("abort leaves nothing, and closed says so", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left] = yield* open()
      yield* left.write(C.pattern(bulk))
      yield* left.abort
      yield* expectLost(left, "ConnectionAborted")
      yield* expectNothingLeft(left)
    })),

  entry("a pull that waits fails when this side aborts, and so does a later one", ({ open }) =>
    Effect.gen(function*() {
      const [left] = yield* open()
      const pull = yield* C.suspendedPull(left)
      yield* left.abort
      yield* expectFailed(yield* Fiber.join(pull), "the pull that waits", "ConnectionAborted")
      yield* expectFailure(left.pull, "a pull after abort", "ConnectionAborted")
      yield* expectFailure(Stream.runDrain(left.stream), "a stream after abort", "ConnectionAborted")
    })),

  entry(
    "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left] = yield* open({ highWaterMark: 1 })
        yield* C.clog(left, bulk)
        const write = yield* C.suspendedWrite(left, bytes(1))
        const flush = yield* Effect.fork(Effect.exit(left.flush))
        yield* C.turn
        yield* left.abort
        yield* expectFailed(yield* Fiber.join(write), "the write that waits", "ConnectionAborted")
        yield* expectFailed(yield* Fiber.join(flush), "the flush that waits", "ConnectionAborted")
        yield* expectFailure(left.write(bytes(1)), "a write after abort", "ConnectionAborted")
        yield* expectFailure(left.flush, "a flush after abort", "ConnectionAborted")
        yield* expectFailure(left.closeWrite, "closeWrite after abort", "ConnectionAborted")
      })
  ),

  entry("a closeWrite that waits fails when this side aborts", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left] = yield* open()
      yield* C.clog(left, bulk)
      const ending = yield* Effect.fork(Effect.exit(left.closeWrite))
      yield* C.turn
      yield* left.abort
      yield* expectFailed(yield* Fiber.join(ending), "the closeWrite that waits", "ConnectionAborted")
    })),

  entry("abort is idempotent, and a close after it changes nothing", ({ open }) =>
    Effect.gen(function*() {
      const [left] = yield* open()
      yield* Effect.all([left.abort, left.abort], { concurrency: "unbounded" })
      yield* left.close
      yield* expectLost(left, "ConnectionAborted")
    })),

  entry("abort cuts a close short", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left] = yield* open({ closeTimeout: "1 minutes" })
      yield* left.write(C.pattern(bulk))
      const closing = yield* Effect.fork(left.close)
      yield* C.turn
      yield* left.abort
      yield* Fiber.join(closing)
      yield* expectLost(left, "ConnectionAborted")
    })),

  entry("abort in the moment of a close is an abort", ({ open }) =>
    Effect.gen(function*() {
      const [left] = yield* open({ closeTimeout: "1 minutes", lingerTimeout: "1 minutes" })
      yield* Effect.all([left.close, left.abort], { concurrency: "unbounded" })
      yield* expectLost(left, "ConnectionAborted")
      yield* expectNothingLeft(left)
    })),

  entry("abort after a close that is done changes nothing", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* readAndClose(right)
      yield* left.close
      yield* left.abort
      yield* expectClean(left)
    })),

  entry(
    "what comes after the peer's abort is a loss or the end: no data, no waiting",
    (context) =>
      Effect.gen(function*() {
        const [left] = yield* aborted(context)
        for (let pulls = 0; pulls < 3; pulls++) {
          const exit = yield* Effect.exit(left.pull)
          yield* expect(Exit.isFailure(exit) || exit.value === null, "a failure or the end", "data")
        }
      })
  ),

  entry("a reset is not taken for an end", (context) =>
    Effect.gen(function*() {
      const [left] = yield* aborted(context)
      yield* expectFailure(left.pull, "the pull after the peer's abort", "ConnectionReset")
      yield* expectFailure(left.pull, "the pull after that", "ConnectionReset")
      yield* expectLost(left, "ConnectionReset")
    }), "reset"),

  entry("a stream does not take a reset for an end", (context) =>
    Effect.gen(function*() {
      const [left] = yield* aborted(context)
      yield* expectFailure(Stream.runDrain(left.stream), "the stream after the peer's abort", "ConnectionReset")
    }), "reset"),

  entry("a pull that waits fails when the peer resets", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const pull = yield* C.suspendedPull(left)
      yield* right.abort
      yield* expectFailed(yield* Fiber.join(pull), "the pull that waits", "ConnectionReset")
    }), "reset"),

  entry("data and then a reset is no clean end", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const pull = yield* C.suspendedPull(left)
      yield* right.write(bytes(1, 2, 3))
      yield* right.flush
      yield* right.abort
      const first = yield* Fiber.join(pull)
      const exit = Exit.isFailure(first) ? first : yield* Effect.exit(C.readAll(left))
      yield* expectFailed(exit, "reading to the end", "ConnectionReset")
    }), "reset"),

  entry(
    "a reset after this side has ended is no clean end",
    ({ open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open()
        yield* Effect.all([left.closeWrite, C.expectEnd(right, "the peer's pull")], { concurrency: "unbounded" })
        yield* right.abort
        yield* expectFailure(C.readAll(left), "reading to the end", "ConnectionReset")
      }),
    "reset",
    "halfClose"
  ),

  entry("a write that waits fails when the peer is gone", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open({ highWaterMark: 1 })
      yield* C.clog(left, bulk)
      const write = yield* C.suspendedWrite(left, bytes(1))
      yield* right.abort
      yield* expectFailed(yield* Fiber.join(write), "the write that waits")
      yield* expectLost(left, "ConnectionReset", "BrokenPipe")
      yield* expectNothingLeft(left)
    })),

  entry("writing to a peer that is gone fails in the end, and from then on", (context) =>
    Effect.gen(function*() {
      const [left] = yield* aborted(context)
      yield* expectFailure(C.writeOn(left), "writing", "ConnectionReset", "BrokenPipe")
      yield* expectFailure(left.write(bytes(1)), "a write after the failure", "ConnectionReset", "BrokenPipe")
      yield* expectLost(left, "ConnectionReset", "BrokenPipe")
    })),

  entry("a loss tells what was read, written and left unsent", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* right.write(bytes(1, 2, 3))
      yield* C.read(left, 3)
      yield* left.write(C.pattern(bulk))
      yield* C.turns
      yield* left.abort
      const reason = yield* left.closed
      if (reason._tag === "Clean") return yield* expect(false, "a loss", "a clean close")
      const { bytesRead, bytesUnsent, bytesWritten, localAddress, remoteAddress, side } = reason.error
      yield* expectEqual(bytesRead, 3, "bytesRead")
      yield* expectEqual(bytesWritten + bytesUnsent, bulk, "bytesWritten and bytesUnsent, added")
      yield* expectEqual(side, "local", "side")
      yield* expect(Equal.equals(localAddress, left.localAddress), "the local address in the error", localAddress)
      yield* expect(Equal.equals(remoteAddress, left.remoteAddress), "the remote address in the error", remoteAddress)
    })),

  entry(
    "abort from within forEach ends it, and nothing that is written after it is sent",
    ({ open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open()
        const handling = yield* Effect.fork(Effect.exit(
          right.forEach(() => Effect.zipRight(right.abort, Effect.exit(right.write(bytes(9)))))
        ))
        yield* left.write(bytes(1))
        yield* expectFailed(yield* Fiber.join(handling), "forEach", "ConnectionAborted")
        const exit = yield* Effect.exit(left.pull)
        yield* expect(Exit.isFailure(exit) || exit.value === null, "a failure or the end for the peer", "data")
        yield* expectLost(right, "ConnectionAborted")
      })
  ),

  entry("a thousand writes after a loss fail one by one, and harm nobody", (context) =>
    Effect.gen(function*() {
      const [left] = yield* aborted(context)
      yield* Effect.exit(C.writeOn(left))
      const exits = yield* Effect.replicateEffect(Effect.exit(left.write(bytes(1))), 1000)
      yield* expectEqual(exits.filter(Exit.isFailure).length, 1000, "writes that fail")
      yield* expectNothingLeft(left)
    })),

  entry("the counters stay as they were when it ended", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* right.write(bytes(1, 2))
      yield* Effect.fork(C.read(right, 3))
      yield* left.write(bytes(1, 2, 3))
      yield* left.flush
      yield* C.read(left, 2)
      yield* left.abort
      const { bytesRead, bytesWritten } = left.stats()
      yield* expectEqual(bytesRead, 2, "bytesRead")
      yield* expectEqual(bytesWritten, 3, "bytesWritten")
    }))
]
