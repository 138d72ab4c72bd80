/**
 * Checks of the Scope, of what stays the same, and of what can be set.
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
import type { Context, Entry, Pair } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectBytes, expectClean, expectEqual, expectLost, expectNothingLeft } = C

/** Both ends of a pair whose Scope has ended with this. */
const endScope = ({ makePair }: Context, exit: Exit.Exit<unknown, unknown>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const pair = yield* Scope.extend(makePair({ lingerTimeout: 0 }), scope)
    yield* Scope.close(scope, exit)
    return pair
  })

/** One of them is aborted; the other is as well, or has learned of it before. */
const expectAborted = (pair: Pair) =>
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

  entry("noDelay has the value last set", ({ open }) =>
    Effect.gen(function*() {
      const [{ options: { noDelay } }] = yield* open()
      if (noDelay === undefined) return yield* expect(false, "an option that can be set", noDelay)
      for (const value of [false, true]) {
        yield* noDelay.set(value)
        yield* expectEqual(noDelay.get(), value, "noDelay")
      }
    }), "noDelay"),

  entry("keepAlive has the value last set", ({ open }) =>
    Effect.gen(function*() {
      const [{ options: { keepAlive } }] = yield* open()
      if (keepAlive === undefined) return yield* expect(false, "an option that can be set", keepAlive)
      for (const value of ["10 seconds", false] as const) {
        yield* keepAlive.set(value)
        yield* expectEqual(keepAlive.get(), value, "keepAlive")
      }
    }), "keepAlive"),

  entry("a Scope that ends with success sends what was accepted", ({ makePair }) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const [left, right] = yield* Scope.extend(makePair({}), scope)
      yield* left.write(C.pattern(3000))
      yield* Effect.fork(Effect.exit(C.readAll(right)))
      yield* Scope.close(scope, Exit.void)
      yield* expectClean(left)
      // The peer may close as well, and drop what it reads: it counts it.
      yield* expectEqual(left.stats().bytesWritten, 3000, "bytesWritten")
      yield* expectEqual(right.stats().bytesRead, 3000, "bytesRead of the peer")
    })),

  entry(
    "a Scope that is closed by two fibers, and then once more, closes once",
    ({ makePair }) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const pair = yield* Scope.extend(makePair({ lingerTimeout: 50 }), scope)
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* Effect.yieldNow()
        yield* Scope.close(scope, Exit.fail("a failure"))
        yield* Fiber.join(closing)
        yield* Scope.close(scope, Exit.fail("a failure"))
        for (const transport of pair) {
          yield* expectClean(transport)
          yield* expectNothingLeft(transport)
        }
      })
  ),

  entry(
    "nothing is left of a pair that was used: no fiber, no timer, nobody who waits",
    ({ bulk, makePair }) =>
      Effect.scoped(Effect.gen(function*() {
        const [left, right] = yield* makePair({ highWaterMark: 1, lingerTimeout: 0 })
        yield* Fiber.interrupt(yield* C.suspendedPull(left))
        const filler = yield* C.clog(left, bulk)
        yield* Fiber.interrupt(yield* C.suspendedWrite(left, bytes(1)))
        yield* expectBytes(yield* C.read(right, bulk), filler, "what arrives")
        yield* Effect.fork(Effect.all([left.flush, left.closed, right.closed]))
        yield* C.turn
        // What is left, is looked for after each check.
      }))
  )
]
