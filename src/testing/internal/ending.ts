/**
 * Checks of how a connection ends: close, abort, losses, the Scope; and of what is left.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import * as Address from "../../Address.ts"
import type { Transport } from "../../Transport.ts"
import type { Context, Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectBytes, expectClean, expectEqual, expectFailed, expectFailure, readAndClose } = C

/** Nothing waits, nothing is kept, and both of `close` and `abort` are done. */
const expectNothingLeft = (transport: Transport) =>
  Effect.gen(function*() {
    yield* transport.closed
    const { buffered, pulling, unread, writersWaiting } = transport.stats()
    yield* expectEqual(buffered, 0, "buffered after the end")
    yield* expectEqual(unread, 0, "unread after the end")
    yield* expectEqual(writersWaiting, 0, "writersWaiting after the end")
    yield* expectEqual(pulling, false, "pulling after the end")
    yield* transport.close
    yield* transport.abort
  })

const expectLost = (transport: Transport, ...tags: ReadonlyArray<string>) =>
  Effect.flatMap(transport.closed, (reason) => {
    const tag = reason._tag === "Lost" ? reason.error._tag : reason._tag
    return expect(
      reason._tag === "Lost" && (tags.length === 0 || tags.includes(tag)),
      `closed tells of a loss${tags.length === 0 ? "" : `: ${tags.join(" or ")}`}`,
      tag
    )
  })

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
    })),

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
  )
]

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
      const writing = Effect.forever(Effect.zipRight(left.write(bytes(1)), C.turn))
      yield* expectFailure(writing, "writing", "ConnectionReset", "BrokenPipe")
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
    }))
]

/** Both ends of a pair whose Scope has ended with this. */
const endScope = ({ makePair }: Context, exit: Exit.Exit<unknown, unknown>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const pair = yield* Scope.extend(makePair({ lingerTimeout: 0 }), scope)
    yield* Scope.close(scope, exit)
    return pair
  })

/** One of them is aborted; the other is as well, or has learned of it before. */
const expectAborted = (pair: readonly [Transport, Transport]) =>
  Effect.gen(function*() {
    for (const transport of pair) {
      yield* expectLost(transport, "ConnectionAborted", "ConnectionReset")
      yield* expectNothingLeft(transport)
    }
  })

export const lifetime: ReadonlyArray<Entry> = [
  entry("a Scope that ends with success closes", (context) =>
    Effect.gen(function*() {
      for (const transport of yield* endScope(context, Exit.void)) {
        yield* expectClean(transport)
        yield* expectNothingLeft(transport)
      }
    })),

  entry(
    "a Scope that ends with a failure aborts",
    (context) => Effect.flatMap(endScope(context, Exit.fail("failure")), expectAborted)
  ),

  entry(
    "a Scope that ends with an interruption aborts",
    (context) => Effect.flatMap(endScope(context, Exit.interrupt(FiberId.none)), expectAborted)
  ),

  entry("closed is one value for everybody, now and later", ({ open }) =>
    Effect.gen(function*() {
      const [left] = yield* open()
      const early = yield* Effect.fork(Effect.all([left.closed, left.closed], { concurrency: "unbounded" }))
      yield* C.turn
      yield* expect(early.unsafePoll() === null, "closed waits while the connection is open", "it has completed")
      yield* left.abort
      const [first, second] = yield* Fiber.join(early)
      yield* expect(first === second && second === (yield* left.closed), "the same value", "different values")
    })),

  entry("each side's local address is the other side's remote address", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* expect(
        Equal.equals(left.localAddress, right.remoteAddress) && Equal.equals(right.localAddress, left.remoteAddress),
        `${Address.format(left.localAddress)} and ${Address.format(left.remoteAddress)} at both ends`,
        `${Address.format(right.remoteAddress)} and ${Address.format(right.localAddress)} at the other`
      )
    }), "mirroredAddresses"),

  entry("addresses stay after the end", ({ open }) =>
    Effect.gen(function*() {
      const [left] = yield* open()
      const before = [left.localAddress, left.remoteAddress].map(Address.format).join()
      yield* left.abort
      yield* expectEqual([left.localAddress, left.remoteAddress].map(Address.format).join(), before, "the addresses")
    })),

  entry(
    "an option that can be set has the value last set, the others are undefined",
    ({ open }) =>
      Effect.gen(function*() {
        const [{ options: { keepAlive, noDelay } }] = yield* open()
        if (noDelay !== undefined) {
          for (const value of [false, true]) {
            yield* noDelay.set(value)
            yield* expectEqual(noDelay.get(), value, "noDelay")
          }
        }
        if (keepAlive !== undefined) {
          for (const value of ["10 seconds", false] as const) {
            yield* keepAlive.set(value)
            yield* expectEqual(keepAlive.get(), value, "keepAlive")
          }
        }
      })
  )
]
