import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { ConnectionAborted, ConnectionReset, WriteAfterEnd } from "../../src/ConnectionError.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as IdleTimeout from "../../src/policy/IdleTimeout.ts"
import { ascii, bytes, text } from "../support/bytes.ts"
import { rootFibers, settle } from "../support/fibers.ts"

const second = IdleTimeout.make({ duration: "1 second" })

/** A watched end, and the peer's. */
const watched = (
  options: IdleTimeout.IdleTimeoutOptions = { duration: "1 second" },
  pair: MemoryTransport.PairOptions = {}
) =>
  Effect.gen(function*() {
    const [carrier, peer] = yield* MemoryTransport.pair(pair)
    return { carrier, peer, transport: yield* IdleTimeout.make(options)(carrier) }
  })

/** Lets time pass, and tells whether the limit has struck. */
const struckAfter = (fiber: Fiber.RuntimeFiber<unknown, unknown>, milliseconds: number) =>
  Effect.gen(function*() {
    yield* TestClock.adjust(milliseconds)
    yield* settle
    return (yield* Fiber.poll(fiber))._tag === "Some"
  })

describe("when it strikes", () => {
  it.scoped("at its making plus the duration, and not a millisecond before", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched()
      const closed = yield* Effect.fork(transport.closed)
      assert.isFalse(yield* struckAfter(closed, 999))
      assert.isTrue(yield* struckAfter(closed, 1))
    }))

  it.scoped("at the last byte read plus the duration", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* watched()
      const closed = yield* Effect.fork(transport.closed)
      const reading = yield* Effect.fork(Effect.forever(transport.pull))
      yield* TestClock.adjust(700)
      yield* peer.write(ascii("x"))
      assert.isFalse(yield* struckAfter(closed, 999))
      assert.isTrue(yield* struckAfter(closed, 1))
      assert.strictEqual((yield* Effect.flip(Fiber.join(reading)))._tag, "IdleTimeout")
    }))

  it.scoped("at the last byte written plus the duration", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched()
      const closed = yield* Effect.fork(transport.closed)
      yield* TestClock.adjust(700)
      yield* transport.write(ascii("x"))
      assert.isFalse(yield* struckAfter(closed, 999))
      assert.isTrue(yield* struckAfter(closed, 1))
    }))

  it.scoped("never, while bytes move often enough", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* watched()
      const reading = yield* Effect.fork(Effect.forever(transport.pull))
      for (let round = 0; round < 5; round++) {
        yield* TestClock.adjust(999)
        yield* round % 2 === 0 ? peer.write(ascii("x")) : transport.write(ascii("y"))
        yield* settle
      }
      assert.isTrue((yield* Fiber.poll(reading))._tag === "None")
    }))

  it.scoped("counts from its own making on a connection that was idle before", () =>
    Effect.gen(function*() {
      const [carrier] = yield* MemoryTransport.pair()
      yield* TestClock.adjust("1 hour")
      const transport = yield* second(carrier)
      const closed = yield* Effect.fork(transport.closed)
      assert.isFalse(yield* struckAfter(closed, 999))
      assert.isTrue(yield* struckAfter(closed, 1))
    }))

  it.scoped("not on a slow big write, but when the peer stops taking it", () =>
    Effect.gen(function*() {
      // Nothing is held between the two ends: a byte counts as written when the peer takes it.
      const { peer, transport } = yield* watched({ duration: "1 second", direction: "write" }, {
        capacity: 0,
        readBufferSize: 0,
        maxChunkSize: 100
      })
      yield* transport.write(bytes(1000))
      const closed = yield* Effect.fork(transport.closed)
      for (let taken = 0; taken < 5; taken++) {
        assert.isFalse(yield* struckAfter(closed, 900))
        yield* peer.pull
      }
      assert.isFalse(yield* struckAfter(closed, 999))
      assert.isTrue(yield* struckAfter(closed, 1))
      const reason = yield* Fiber.join(closed)
      assert(reason._tag === "Lost" && reason.error._tag === "IdleTimeout")
      assert.strictEqual(reason.error.bytesWritten, 500)
      assert.strictEqual(reason.error.bytesUnsent, 500)
    }))

  it.scoped("not early when the timer is (Node's may be, by a millisecond)", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const hasty: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
        currentTimeMillis: clock.currentTimeMillis,
        currentTimeNanos: clock.currentTimeNanos,
        sleep: (duration) => clock.sleep(Duration.millis(Math.max(1, Duration.toMillis(duration) - 1)))
      }
      const { transport } = yield* Effect.withClock(watched(), hasty)
      const closed = yield* Effect.fork(transport.closed)
      assert.isFalse(yield* struckAfter(closed, 999))
      assert.isTrue(yield* struckAfter(closed, 1))
    }))

  it.scoped("never with an infinite duration", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched({ duration: Duration.infinity })
      const closed = yield* Effect.fork(transport.closed)
      assert.isFalse(yield* struckAfter(closed, 1e12))
    }))
})

describe("directions", () => {
  it.scoped("read: what is written does not count", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched({ duration: "1 second", direction: "read" })
      const closed = yield* Effect.fork(transport.closed)
      yield* TestClock.adjust(900)
      yield* transport.write(ascii("x"))
      assert.isFalse(yield* struckAfter(closed, 99))
      assert.isTrue(yield* struckAfter(closed, 1))
    }))

  it.scoped("write: what is read does not count", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* watched({ duration: "1 second", direction: "write" })
      const closed = yield* Effect.fork(transport.closed)
      yield* TestClock.adjust(900)
      yield* peer.write(ascii("x"))
      assert.strictEqual(text((yield* transport.pull)!), "x")
      assert.isFalse(yield* struckAfter(closed, 99))
      assert.isTrue(yield* struckAfter(closed, 1))
    }))

  it.scoped("read: the end of input ends the limit, so that an answer may take its time", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* watched({ duration: "1 second", direction: "read" })
      const before = yield* rootFibers
      yield* peer.closeWrite
      assert.isNull(yield* transport.pull)
      yield* TestClock.adjust("1 hour")
      yield* transport.write(ascii("answer"))
      assert.strictEqual(text((yield* peer.pull)!), "answer")
      yield* settle
      // The one that slept is gone; the other one waits for the end of the connection.
      assert.strictEqual(yield* rootFibers, before - 1)
    }))

  it.scoped("write: this side's end ends the limit", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* watched({ duration: "1 second", direction: "write" })
      yield* transport.closeWrite
      yield* TestClock.adjust("1 hour")
      yield* peer.write(ascii("late"))
      assert.strictEqual(text((yield* transport.pull)!), "late")
    }))

  it.scoped("write: an end that the peer does not let through does not end the limit", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched({ duration: "1 second", direction: "write" }, { capacity: 0 })
      yield* transport.write(ascii("stuck"))
      const ending = yield* Effect.fork(transport.closeWrite)
      assert.isFalse(yield* struckAfter(ending, 999))
      assert.isTrue(yield* struckAfter(ending, 1))
      assert.strictEqual((yield* Effect.flip(Fiber.join(ending)))._tag, "IdleTimeout")
    }))

  it.scoped("both: a half-closed connection over which nothing moves is idle", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* watched()
      const closed = yield* Effect.fork(transport.closed)
      yield* peer.closeWrite
      assert.isNull(yield* transport.pull)
      assert.isFalse(yield* struckAfter(closed, 999))
      assert.isTrue(yield* struckAfter(closed, 1))
    }))
})

describe("what fails then", () => {
  it.scoped("everything that waits", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched({ duration: "1 second" }, { capacity: 0, highWaterMark: 1 })
      yield* transport.write(ascii("full"))
      const acts: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>> = [
        transport.pull,
        transport.write(ascii("more")),
        transport.writeAll([ascii("and"), ascii("more")]),
        transport.flush
      ]
      const waiting = yield* Effect.forEach(acts, (act) => Effect.fork(act))
      const offered = yield* Effect.fork(transport.outgoing.offer(ascii("offered")))
      yield* TestClock.adjust("1 second")
      for (const fiber of waiting) assert.strictEqual((yield* Effect.flip(Fiber.join(fiber)))._tag, "IdleTimeout")
      assert.isFalse(yield* Fiber.join(offered))
    }))

  it.scoped("a handler's transport, and not what the handler itself fails with", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* watched({ duration: "1 second" })
      yield* peer.write(ascii("x"))
      assert.strictEqual(yield* Effect.flip(transport.forEach(() => Effect.fail("own"))), "own")
      const handling = yield* Effect.fork(transport.forEach(() => Effect.void))
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Effect.flip(Fiber.join(handling)), { _tag: "IdleTimeout", bytesRead: 1 })
    }))

  it.scoped("everything that comes later, with the same error", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched()
      yield* TestClock.adjust("1 second")
      const reason = yield* transport.closed
      assert(reason._tag === "Lost" && reason.error._tag === "IdleTimeout")
      const acts: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        transport.pull,
        transport.write(ascii("x")),
        transport.writeAll([ascii("x")]),
        transport.flush,
        transport.closeWrite
      ]
      for (const act of acts) assert.strictEqual(yield* Effect.flip(act), reason.error)
      assert.strictEqual(yield* transport.closed, reason)
    }))

  it.scoped("the peer sees a reset", () =>
    Effect.gen(function*() {
      const { peer } = yield* watched()
      const pull = yield* Effect.fork(peer.pull)
      yield* TestClock.adjust("1 second")
      assert.instanceOf(yield* Effect.flip(Fiber.join(pull)), ConnectionReset)
    }))

  it.scoped("the error tells what, where and how much", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* watched({ duration: "1 second", direction: "read" })
      yield* transport.write(ascii("four"))
      yield* peer.write(ascii("sixsix"))
      yield* transport.pull
      yield* TestClock.adjust("1 second")
      const error = yield* Effect.flip(transport.pull)
      assert(error instanceof IdleTimeout.IdleTimeout)
      assert.strictEqual(error.localAddress, transport.localAddress)
      assert.strictEqual(error.remoteAddress, transport.remoteAddress)
      assert.strictEqual(Duration.toMillis(error.duration), 1000)
      assert.strictEqual(
        error.message,
        "The connection from left to right was aborted because nothing was read for 1s, " +
          "after 6 bytes read and 4 written."
      )
    }))
})

describe("what is not its business", () => {
  it.scoped("an abort by this side is an abort", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched()
      yield* transport.abort
      yield* TestClock.adjust("1 hour")
      assert.instanceOf(yield* Effect.flip(transport.pull), ConnectionAborted)
    }))

  it.scoped("an abort by this side is an abort, also when the carrier is slow to let go", () =>
    Effect.gen(function*() {
      const [carrier] = yield* MemoryTransport.pair()
      const slow = NetworkLayer.derive(carrier, { closed: Effect.never })
      const transport = yield* second(slow)
      yield* transport.abort
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.instanceOf(yield* Effect.flip(transport.pull), ConnectionAborted)
    }))

  it.scoped("a write after the end is that", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched()
      yield* transport.closeWrite
      assert.instanceOf(yield* Effect.flip(transport.write(ascii("x"))), WriteAfterEnd)
    }))

  it.scoped("a loss before it is that loss", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* watched()
      const pull = yield* Effect.fork(transport.pull)
      yield* settle
      yield* peer.abort
      yield* TestClock.adjust("1 hour")
      assert.instanceOf(yield* Effect.flip(Fiber.join(pull)), ConnectionReset)
      const reason = yield* transport.closed
      assert(reason._tag === "Lost" && reason.error instanceof ConnectionReset)
    }))

  it.scoped("a loss before it is that loss, also when the carrier is slow to let go", () =>
    Effect.gen(function*() {
      const [carrier, peer] = yield* MemoryTransport.pair()
      const transport = yield* second(NetworkLayer.derive(carrier, { closed: Effect.never }))
      yield* peer.abort
      yield* TestClock.adjust("1 hour")
      assert.instanceOf(yield* Effect.flip(transport.pull), ConnectionReset)
    }))

  it.scoped("a close has its own deadlines, also when the limit is shorter", () =>
    Effect.gen(function*() {
      const { transport } = yield* watched({ duration: 100 })
      yield* transport.write(ascii("all sent"))
      const closing = yield* Effect.fork(transport.close)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      assert.strictEqual((yield* transport.closed)._tag, "Clean")
    }))
})

describe("what is left", () => {
  it.effect("nothing after the connection is over, while its Scope is open", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const before = yield* rootFibers
      const { peer, transport } = yield* Scope.extend(watched(), scope)
      yield* Effect.zip(transport.close, peer.close, { concurrent: true })
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
      yield* Scope.close(scope, Exit.void)
    }))

  it.effect("nothing after its Scope is closed", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      yield* Effect.scoped(Effect.gen(function*() {
        const { peer } = yield* watched()
        yield* peer.closeWrite
      }))
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.effect("nothing after it has struck", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const before = yield* rootFibers
      yield* Scope.extend(watched(), scope)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
      yield* Scope.close(scope, Exit.void)
    }))

  it.scoped("it can be made where nothing can be interrupted", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      const [carrier, peer] = yield* MemoryTransport.pair()
      const transport = yield* Effect.uninterruptible(second(carrier))
      yield* Effect.zip(transport.close, peer.close, { concurrent: true })
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
    }))
})

it.scoped("a duration that is no duration is a RangeError", () =>
  Effect.gen(function*() {
    const [carrier] = yield* MemoryTransport.pair()
    for (const duration of [0, -1, Number.NaN]) {
      const exit = yield* Effect.exit(IdleTimeout.make({ duration })(carrier))
      assert(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof RangeError)
    }
  }))
