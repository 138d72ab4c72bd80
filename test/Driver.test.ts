import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { SystemFailure } from "../src/ConnectionError.ts"
import * as Driver from "../src/Driver.ts"
import * as Transport from "../src/Transport.ts"
import { bytes } from "./support/bytes.ts"
import { carrier } from "./support/fakeDriver.ts"
import { settle } from "./support/fibers.ts"
import type { Paused } from "./support/paused.ts"
import { pausedAt } from "./support/paused.ts"

const reset: SystemFailure = { code: "ECONNRESET", syscall: "read", cause: undefined }

const opened = (limits: Parameters<typeof carrier>[0] = {}) =>
  Effect.gen(function*() {
    const fake = carrier<SystemFailure>(limits)
    // What a Scope would do has its own tests: here nobody is there to answer it.
    const transport = Driver.unsafeOpen(fake.carrier, yield* Effect.clock)
    return { transport, driver: fake.driver, events: fake.driver.events }
  })

/** All that is ready has run. */
describe("resolveLimits", () => {
  it("fills in the defaults", () => {
    assert.deepStrictEqual(Driver.resolveLimits(), {
      readBufferSize: 65536,
      highWaterMark: 262_144,
      lowWaterMark: 65536,
      lingerTimeout: 1000,
      closeTimeout: 5000
    })
  })

  it("the low-water mark is a quarter of the high-water mark", () => {
    assert.strictEqual(Driver.resolveLimits({ highWaterMark: 1 }).lowWaterMark, 0)
    assert.strictEqual(Driver.resolveLimits({ highWaterMark: 101 }).lowWaterMark, 25)
  })

  it("takes durations in any form", () => {
    const { closeTimeout, lingerTimeout } = Driver.resolveLimits({ lingerTimeout: "2 seconds", closeTimeout: 7 })
    assert.deepStrictEqual([lingerTimeout, closeTimeout], [2000, 7])
  })

  const wrong: ReadonlyArray<[limits: Transport.Limits, message: string]> = [
    [{ readBufferSize: -1 }, "readBufferSize is 0 or more bytes, not -1"],
    [{ readBufferSize: NaN }, "readBufferSize is 0 or more bytes, not NaN"],
    [{ highWaterMark: 0 }, "highWaterMark is at least 1 byte, not 0"],
    [{ highWaterMark: NaN }, "highWaterMark is at least 1 byte, not NaN"],
    [{ lowWaterMark: -1 }, "lowWaterMark is at least 0 and below the highWaterMark 262144, not -1"],
    [{ highWaterMark: 10, lowWaterMark: 10 }, "lowWaterMark is at least 0 and below the highWaterMark 10, not 10"]
  ]
  for (const [limits, message] of wrong) {
    it(`is a RangeError: ${message}`, () => {
      assert.throws(() => Driver.resolveLimits(limits), RangeError, message)
    })
  }
})

describe("the Scope", () => {
  const inScope = (
    act: (driver: ReturnType<typeof carrier<SystemFailure>>["driver"]) => Effect.Effect<void, string>
  ) => {
    const fake = carrier<SystemFailure>()
    fake.driver.within.end = () => fake.driver.events.finished()
    fake.driver.within.startReading = () => fake.driver.events.ended()
    fake.driver.within.release = () => fake.driver.events.released()
    fake.driver.within.reset = () => fake.driver.events.released()
    return Effect.as(
      Effect.exit(Effect.scoped(Effect.zipRight(Driver.open(fake.carrier), Effect.suspend(() => act(fake.driver))))),
      fake.driver
    )
  }

  it.effect("success closes gracefully", () =>
    Effect.gen(function*() {
      const { calls } = yield* inScope(() => Effect.void)
      assert.deepStrictEqual(calls, ["startReading", "end", "release"])
    }))

  it.effect("a failure aborts", () =>
    Effect.gen(function*() {
      const { calls } = yield* inScope(() => Effect.fail("no"))
      assert.deepStrictEqual(calls, ["reset"])
    }))

  it.effect("an interruption aborts", () =>
    Effect.gen(function*() {
      const { calls } = yield* inScope(() => Effect.interrupt)
      assert.deepStrictEqual(calls, ["reset"])
    }))

  it.effect("closing it waits until nothing is left", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const fake = carrier<SystemFailure>()
      yield* Scope.extend(Driver.open(fake.carrier), scope)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.fail("no")))
      yield* settle
      assert.isNull(closing.unsafePoll())
      fake.driver.events.released()
      yield* Fiber.join(closing)
    }))

  it.effect("a transport that is over already owes nothing", () =>
    Effect.gen(function*() {
      const { calls } = yield* inScope((driver) => Effect.sync(() => driver.events.failed(reset)))
      assert.deepStrictEqual(calls, ["reset"])
    }))
})

describe("what a driver's transport passes on", () => {
  it.effect("addresses, options and handle, also after the end", () =>
    Effect.gen(function*() {
      const { driver, events, transport } = yield* opened()
      events.failed(reset)
      events.released()
      assert.strictEqual(transport.localAddress.toString(), "here")
      assert.strictEqual(transport.remoteAddress.toString(), "there")
      assert.deepStrictEqual(transport.options, { noDelay: undefined, keepAlive: undefined })
      assert.strictEqual(transport.unsafeHandle, driver)
    }))

  it.effect("the failure as an error with all its facts, made once", () =>
    Effect.gen(function*() {
      const { driver, events, transport } = yield* opened()
      driver.takesAtOnce = false
      yield* transport.write(bytes(7))
      const pulling = yield* Effect.fork(Effect.flip(transport.pull))
      yield* settle
      events.written(2)
      events.received(bytes(0))
      events.failed({ ...reset, cause: "the cause" })
      events.released()
      const error = yield* Fiber.join(pulling)
      assert.strictEqual(error._tag, "ConnectionReset")
      const { bytesRead, bytesUnsent, bytesWritten, cause, code, phase, side, syscall } = error
      assert.deepStrictEqual({ bytesRead, bytesUnsent, bytesWritten, cause, code, phase, side, syscall }, {
        bytesRead: 0,
        bytesUnsent: 5,
        bytesWritten: 2,
        cause: "the cause",
        code: "ECONNRESET",
        phase: "open",
        side: "peer",
        syscall: "read"
      })
      assert.strictEqual(yield* Effect.flip(transport.pull), error)
      assert.strictEqual(yield* Effect.flip(transport.write(bytes(1))), error)
      assert.strictEqual(yield* Effect.flip(transport.flush), error)
      assert.deepStrictEqual(yield* transport.closed, { _tag: "Lost", error })
    }))

  it.scoped("the typed failure of a layered carrier, as it is", () =>
    Effect.gen(function*() {
      const fake = carrier<{ readonly _tag: "Mine" }>()
      fake.driver.within.reset = () => fake.driver.events.released()
      const transport = yield* Driver.openLayered(fake.carrier)
      const failure = { _tag: "Mine" } as const
      fake.driver.events.failed(failure)
      assert.strictEqual(yield* Effect.flip(transport.pull), failure)
    }))

  it.effect("the counters", () =>
    Effect.gen(function*() {
      const { driver, events, transport } = yield* opened({ highWaterMark: 5 })
      driver.takesAtOnce = false
      yield* TestClock.adjust(10)
      const pulling = yield* Effect.fork(transport.pull)
      yield* settle
      assert.isTrue(transport.stats().pulling)
      events.received(bytes(3))
      yield* Fiber.join(pulling)
      events.received(bytes(2))
      yield* transport.write(bytes(6))
      yield* Effect.fork(transport.write(bytes(1)))
      yield* settle
      yield* TestClock.adjust(10)
      events.written(1)
      assert.deepStrictEqual(transport.stats(), {
        bytesRead: 5,
        bytesWritten: 1,
        buffered: 5,
        unread: 2,
        writersWaiting: 1,
        pulling: false,
        peerEnded: false,
        lastRead: 10,
        lastWrite: 20
      })
    }))

  it.effect("the close reason: once, and the same for everybody", () =>
    Effect.gen(function*() {
      const { events, transport } = yield* opened()
      const early = yield* Effect.fork(transport.closed)
      events.ended()
      yield* Effect.fork(transport.closeWrite)
      yield* settle
      events.finished()
      yield* settle
      assert.isNull(early.unsafePoll())
      events.released()
      const reason = yield* Fiber.join(early)
      assert.deepStrictEqual(reason, {
        _tag: "Clean",
        firstEnded: "peer",
        peerEnded: true,
        bytesRead: 0,
        bytesWritten: 0
      })
      assert.strictEqual(yield* transport.closed, reason)
    }))

  it.effect("a peer's end that comes late does not change the close reason, even if nobody has looked", () =>
    Effect.gen(function*() {
      const { driver, events, transport } = yield* opened()
      driver.within.end = () => events.finished()
      driver.within.release = () => events.released()
      yield* Effect.fork(transport.close)
      yield* settle
      yield* TestClock.adjust(1000)
      events.ended()
      const reason = yield* transport.closed
      assert.isTrue(reason._tag === "Clean" && !reason.peerEnded)
    }))
})

describe("between two steps of a fiber", () => {
  // Effect's scheduler can put any other fiber between any two steps of this one. The wake-up must not be missed.

  const forkedPull = (transport: Transport.Transport) =>
    Effect.zipLeft(Effect.fork(Effect.exit(transport.pull)), settle)

  /** It may yield before what was done, or, if it waits, only after it. */
  const toItsEnd = (running: Paused<unknown, unknown>) =>
    Effect.repeatN(Effect.zipRight(Effect.sync(running.goOn), settle), 3)

  /** Lets the act happen before each step of the effect in turn; the effect must come to the same end each time. */
  const atEveryStep = <A, E, E2>(
    run: () => Effect.Effect<{ readonly effect: Effect.Effect<A, E>; readonly act: () => void }, E2>,
    check: (exit: Exit.Exit<A, E>, step: number) => void
  ) =>
    Effect.gen(function*() {
      let pauses = 0
      for (let step = 0; step < 40; step++) {
        const { act, effect } = yield* run()
        const running = pausedAt(effect, step)
        if (running.paused()) pauses++
        act()
        yield* toItsEnd(running)
        const exit = running.fiber.unsafePoll()
        if (exit === null) return assert.fail(`it waits for ever when it yields before step ${step}`)
        check(exit, step)
      }
      assert.isAbove(pauses, 1)
    })

  const filled = Effect.gen(function*() {
    const all = yield* opened({ highWaterMark: 10 })
    all.driver.takesAtOnce = false
    yield* all.transport.write(bytes(10))
    yield* settle
    return all
  })

  it.live("a pull finds the input", () =>
    atEveryStep(
      () =>
        Effect.map(opened(), ({ events, transport }) => ({
          effect: transport.pull,
          act: () => events.received(bytes(1, 7))
        })),
      (exit) => assert.deepStrictEqual(exit, Exit.succeed(bytes(1, 7)))
    ))

  it.live("a pull finds the end", () =>
    atEveryStep(
      () => Effect.map(opened(), ({ events, transport }) => ({ effect: transport.pull, act: () => events.ended() })),
      (exit) => assert.deepStrictEqual(exit, Exit.succeed(null))
    ))

  it.live("a pull finds the loss", () =>
    atEveryStep(
      () =>
        Effect.map(opened(), ({ events, transport }) => ({
          effect: Effect.flip(transport.pull),
          act: () => events.failed(reset)
        })),
      (exit) => assert.isTrue(Exit.isSuccess(exit) && exit.value._tag === "ConnectionReset")
    ))

  it.live("a second pull dies, and takes no place from the first", () =>
    Effect.gen(function*() {
      for (let step = 0; step < 20; step++) {
        const { events, transport } = yield* opened()
        const first = pausedAt(Effect.exit(transport.pull), step)
        const second = yield* forkedPull(transport)
        yield* toItsEnd(first)
        events.received(bytes(1, 7))
        yield* toItsEnd(first)
        const died = [first.fiber, second].map((fiber) => {
          const exit = fiber.unsafePoll()
          return exit !== null && Exit.isSuccess(exit) ? Exit.isFailure(exit.value) : assert.fail(`waits, step ${step}`)
        })
        assert.strictEqual(died.filter(Boolean).length, 1, `step ${step}`)
      }
    }))

  it.live("a second reader dies while the first one takes its breath, and takes nothing from it", () =>
    Effect.gen(function*() {
      const readers: ReadonlyArray<(transport: Transport.Transport) => Effect.Effect<unknown, unknown>> = [
        ({ pull }) => pull,
        ({ stream }) => Stream.runHead(stream),
        (transport) => transport.forEach((chunk) => Effect.fail(chunk))
      ]
      for (const read of readers) {
        const { events, transport } = yield* opened()
        for (let value = 0; value < 64; value++) yield* transport.write(bytes(1, value))
        const first = yield* Effect.fork(Effect.exit(read(transport)))
        yield* Effect.repeatN(Effect.yieldNow(), 8)
        assert.isTrue(transport.stats().pulling)
        const second = yield* Effect.fork(Effect.exit(transport.pull))
        events.received(bytes(1, 7))
        events.received(bytes(1, 8))
        assert.isTrue(Exit.isFailure(yield* Fiber.join(second)))
        yield* Fiber.join(first)
        assert.deepStrictEqual(yield* transport.pull, bytes(1, 8))
      }
    }))

  it.live("nothing comes between the chunks of a writeAll", () =>
    Effect.gen(function*() {
      let pauses = 0
      for (let step = 0; step < 40; step++) {
        const { driver, events, transport } = yield* opened({ highWaterMark: 10 })
        driver.takesAtOnce = false
        driver.within.write = () =>
          queueMicrotask(() => events.written(driver.batches.at(-1)!.flatMap((chunk) => [...chunk]).length))
        const several = pausedAt(transport.writeAll([bytes(10, 1), bytes(10, 2), bytes(10, 3)]), step)
        yield* settle
        if (several.paused()) pauses++
        const other = yield* Effect.fork(transport.write(bytes(10, 4)))
        yield* settle
        yield* toItsEnd(several)
        yield* Fiber.join(other)
        yield* transport.flush
        const order = driver.written.filter((_, index) => index % 10 === 0)
        assert.include([[1, 2, 3, 4].join(), [4, 1, 2, 3].join()], order.join(), `it yields before step ${step}`)
      }
      assert.isAbove(pauses, 1)
    }))

  it.live("a pull that comes between never makes another one find an end that is none", () =>
    Effect.gen(function*() {
      for (let step = 0; step < 20; step++) {
        const { events, transport } = yield* opened()
        yield* transport.unread(bytes(1, 7))
        const first = pausedAt(Effect.exit(transport.pull), step)
        const second = yield* forkedPull(transport)
        yield* toItsEnd(first)
        events.received(bytes(1, 8))
        yield* toItsEnd(first)
        const results = [first.fiber, second].map((fiber) => {
          const exit = fiber.unsafePoll()
          if (exit === null || Exit.isFailure(exit)) return assert.fail(`waits, step ${step}`)
          return Exit.isSuccess(exit.value) ? exit.value.value : "died"
        })
        assert.notInclude(results, null, `step ${step}`)
      }
    }))

  for (const end of ["close", "abort"] as const) {
    it.live(`readExactly and ${end}: the bytes, or the failure, and never an end in their place`, () =>
      atEveryStep(
        () =>
          Effect.map(opened(), ({ events, transport }) => {
            events.received(bytes(3))
            events.ended()
            return {
              effect: Transport.readExactly(transport, 3),
              act: () => void Effect.runFork(transport[end])
            }
          }),
        (exit, step) => {
          const outcome = Exit.isSuccess(exit)
            ? exit.value.length
            : Option.getOrThrow(Cause.failureOption(exit.cause))._tag
          assert.include([3, end === "close" ? "ConnectionClosed" : "ConnectionAborted"], outcome, `step ${step}`)
        }
      ))
  }

  it.live("a write finds the room", () =>
    atEveryStep(
      () =>
        Effect.map(filled, ({ events, transport }) => ({
          effect: transport.write(bytes(1)),
          act: () => events.written(10)
        })),
      (exit) => assert.isTrue(Exit.isSuccess(exit))
    ))

  it.live("a write finds the end, or is accepted before it", () =>
    atEveryStep(
      () =>
        Effect.map(filled, ({ transport }) => ({
          effect: transport.write(bytes(1)),
          act: () => void Effect.runFork(transport.closeWrite)
        })),
      (exit) => assert.isTrue(Exit.isFailure(exit))
    ))

  it.live("a write finds the loss", () =>
    atEveryStep(
      () =>
        Effect.map(filled, ({ events, transport }) => ({
          effect: transport.write(bytes(1)),
          act: () => events.failed(reset)
        })),
      (exit) => assert.isTrue(Exit.isFailure(exit))
    ))

  it.live("a flush finds that all is sent", () =>
    atEveryStep(
      () => Effect.map(filled, ({ events, transport }) => ({ effect: transport.flush, act: () => events.written(10) })),
      (exit) => assert.isTrue(Exit.isSuccess(exit))
    ))

  it.live("closeWrite finds that the end is sent", () =>
    Effect.gen(function*() {
      for (let step = 0; step < 30; step++) {
        const { driver, events, transport } = yield* opened()
        const ending = pausedAt(transport.closeWrite, step)
        if (driver.count("end") > 0) events.finished()
        yield* toItsEnd(ending)
        if (!driver.count("end")) return assert.fail(`no end when it yields before step ${step}`)
        events.finished()
        yield* toItsEnd(ending)
        assert.deepStrictEqual(ending.fiber.unsafePoll(), Exit.void, `step ${step}`)
      }
    }))

  it.live("closed finds that it is over", () =>
    atEveryStep(
      () =>
        Effect.map(opened(), ({ events, transport }) => ({
          effect: transport.closed,
          act: () => {
            events.failed(reset)
            events.released()
          }
        })),
      (exit) => assert.isTrue(Exit.isSuccess(exit))
    ))

  it.live("abort finds that it is over", () =>
    atEveryStep(
      () =>
        Effect.map(opened(), ({ driver, events, transport }) => {
          driver.within.reset = () => events.released()
          return { effect: transport.abort, act: () => events.failed(reset) }
        }),
      (exit) => assert.isTrue(Exit.isSuccess(exit))
    ))

  it.live("awaitShutdown finds that the write side has ended", () =>
    atEveryStep(
      () =>
        Effect.map(opened(), ({ events, transport }) => ({
          effect: Queue.awaitShutdown(transport.outgoing),
          act: () => events.failed(reset)
        })),
      (exit) => assert.isTrue(Exit.isSuccess(exit))
    ))
})

describe("a driver that fails within write", () => {
  it.effect("writeAll reports no success for what came after the loss, and queues nothing of it", () =>
    Effect.gen(function*() {
      const { driver, events, transport } = yield* opened({ highWaterMark: 10 })
      driver.within.write = () => events.failed(reset)
      const exit = yield* Effect.exit(transport.writeAll([bytes(10), bytes(1), bytes(1)]))
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(transport.stats().buffered, 0)
      assert.strictEqual(driver.written.length, 10)
    }))

  it.effect("a write that finds the buffer full fails with the loss", () =>
    Effect.gen(function*() {
      const { driver, events, transport } = yield* opened({ highWaterMark: 10 })
      driver.within.write = () => events.failed(reset)
      assert.isTrue(transport.outgoing.unsafeOffer(bytes(10)))
      assert.strictEqual((yield* Effect.flip(transport.write(bytes(1))))._tag, "ConnectionReset")
      assert.isFalse(transport.outgoing.unsafeOffer(bytes(1)))
    }))
})

describe("a turn of the event loop", () => {
  it.live("does not let a later write overtake an earlier one", () =>
    Effect.gen(function*() {
      const { driver, events, transport } = yield* opened({ highWaterMark: 1000 })
      for (let value = 0; value < 64; value++) yield* transport.write(bytes(1, value))
      const earlier = yield* Effect.fork(transport.write(bytes(1, 64)))
      yield* Effect.yieldNow()
      events.turned()
      yield* transport.write(bytes(1, 65))
      transport.outgoing.unsafeOffer(bytes(1, 66))
      yield* Fiber.join(earlier)
      yield* transport.flush
      assert.deepStrictEqual(driver.written.slice(-3), [64, 65, 66])
    }))

  it.live("does not let a later writeAll overtake an earlier one", () =>
    Effect.gen(function*() {
      const { driver, events, transport } = yield* opened({ highWaterMark: 1000 })
      for (let value = 0; value < 64; value++) yield* transport.writeAll([bytes(1, value)])
      const earlier = yield* Effect.fork(transport.writeAll([bytes(1, 64), bytes(1, 65)]))
      yield* Effect.yieldNow()
      events.turned()
      yield* transport.writeAll([bytes(1, 66)])
      yield* Fiber.join(earlier)
      yield* transport.flush
      assert.deepStrictEqual(driver.written.slice(-3), [64, 65, 66])
    }))
})

it.effect("deadlines go by the Clock of whoever opened it", () =>
  Effect.gen(function*() {
    const { driver, events, transport } = yield* opened()
    driver.within.end = () => events.finished()
    driver.within.release = () => events.released()
    const closing = yield* Effect.fork(Effect.withClock(transport.close, Clock.make()))
    yield* settle
    yield* TestClock.adjust(999)
    yield* settle
    assert.isNull(closing.unsafePoll())
    yield* TestClock.adjust(1)
    yield* Fiber.join(closing)
  }))
