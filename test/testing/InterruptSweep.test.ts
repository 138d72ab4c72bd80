import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import { type Point, sweep } from "../../src/testing/InterruptSweep.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"

/** The points at which the scenario was interrupted, told by the check. */
const pointsOf = <A, E>(scenario: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const seen: Array<Point & { readonly exit: Exit.Exit<A, E> }> = []
    const { points } = yield* sweep({
      setup: Effect.void,
      scenario: () => scenario,
      check: (_, exit, point) => Effect.sync(() => seen.push({ ...point, exit }))
    })
    return { points, seen }
  })

const moments = (seen: ReadonlyArray<Point>, late: boolean) =>
  seen.filter((point) => point.late === late && point.moment !== undefined).map(({ moment }) => moment)

describe("sweep", () => {
  it.effect("runs the scenario once without an interruption, first", () =>
    Effect.gen(function*() {
      const { seen } = yield* pointsOf(Effect.succeed(1))
      assert.deepStrictEqual(seen[0], { index: 0, late: false, moment: undefined, exit: Exit.succeed(1) })
    }))

  it.effect("interrupts at every operation, in order, and then late at every operation", () =>
    Effect.gen(function*() {
      const { points, seen } = yield* pointsOf(Effect.zipRight(Effect.sync(() => 1), Effect.sync(() => 2)))
      assert.deepStrictEqual(moments(seen, false), moments(seen, true))
      assert.isAtLeast(moments(seen, false).length, 3)
      assert.strictEqual(points, moments(seen, false).length * 2)
      for (const { exit, index } of seen) if (index > 0 && index < 3) assert.isTrue(Exit.isInterrupted(exit))
    }))

  it.effect("interrupts while suspended, and in the tick of the resumption", () =>
    Effect.gen(function*() {
      const { seen } = yield* pointsOf(Effect.async<void>((resume) => queueMicrotask(() => resume(Effect.void))))
      assert.includeMembers(moments(seen, false), ["operation", "suspension", "resumption"])
    }))

  it.effect("an effect that is uninterruptible runs to its end once it has begun", () =>
    Effect.gen(function*() {
      const { points } = yield* sweep({
        setup: Effect.sync(() => ({ begun: 0, ended: 0 })),
        scenario: (count) =>
          Effect.uninterruptible(
            Effect.zipRight(
              Effect.sync(() => count.begun++),
              Effect.zipRight(Effect.yieldNow(), Effect.sync(() => count.ended++))
            )
          ),
        check: ({ begun, ended }) => Effect.sync(() => assert.strictEqual(begun, ended))
      })
      assert.isAbove(points, 10)
    }))

  it.effect("moments of a forked fiber count as well, and the interruption reaches it", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const child = Effect.onInterrupt(Effect.yieldNow(), () => Effect.sync(() => interrupted++))
      const alone = yield* pointsOf(Effect.void)
      const parent = yield* pointsOf(Effect.flatMap(Effect.fork(child), Fiber.join))
      assert.isAbove(parent.points, alone.points)
      assert.isAbove(interrupted, 0)
    }))

  it.effect("finds that Queue.take loses an element", () =>
    Effect.gen(function*() {
      const violation = yield* Effect.flip(sweep({
        setup: Effect.gen(function*() {
          const queue = yield* Queue.unbounded<number>()
          const offer = Effect.zipRight(Effect.yieldNow(), Queue.offer(queue, 1))
          return { queue, offering: yield* Effect.fork(offer), got: [] as Array<number> }
        }),
        scenario: ({ got, queue }) => Effect.flatMap(Queue.take(queue), (element) => Effect.succeed(got.push(element))),
        check: ({ got, offering, queue }) =>
          Effect.gen(function*() {
            yield* Fiber.join(offering)
            assert.deepStrictEqual([...got, ...yield* Queue.takeAll(queue)], [1])
          })
      }))
      assert.isAbove(violation.point.index, 0)
    }))

  it.effect("finds that Effect.async forgets its canceler when it is interrupted before it suspends", () =>
    Effect.gen(function*() {
      const violation = yield* Effect.flip(sweep({
        setup: Effect.sync(() => new Set<() => void>()),
        scenario: (listeners) =>
          Effect.async<void>((resume) => {
            const listener = () => resume(Effect.void)
            listeners.add(listener)
            queueMicrotask(listener)
            return Effect.sync(() => listeners.delete(listener))
          }),
        check: (listeners, exit) => Effect.sync(() => assert.strictEqual(listeners.size, Exit.isSuccess(exit) ? 1 : 0))
      }))
      assert.strictEqual(violation.point.moment, "operation")
      assert.match(violation.message, /interrupted at point \d+ \(operation\) breaks what was promised/)
    }))

  it.effect("a failing check is a violation at its point, with its cause", () =>
    Effect.gen(function*() {
      const violation = yield* Effect.flip(sweep({
        setup: Effect.void,
        scenario: () => Effect.zipRight(Effect.yieldNow(), Effect.yieldNow()),
        check: (_, exit, { index }) => index === 2 && Exit.isInterrupted(exit) ? Effect.fail("bad") : Effect.void
      }))
      assert.strictEqual(violation.point.index, 2)
      assert.deepStrictEqual(Cause.failureOption(violation.cause), Option.some("bad"))
    }))

  it.effect("a failing close of the run's Scope is a violation", () =>
    Effect.gen(function*() {
      const violation = yield* Effect.flip(sweep({
        setup: Effect.addFinalizer(() => Effect.die("leak")),
        scenario: () => Effect.void,
        check: () => Effect.void
      }))
      assert.strictEqual(violation.point.index, 0)
      assert.deepStrictEqual(Cause.dieOption(violation.cause), Option.some("leak"))
    }))

  it.live("a scenario that does not end after its interruption is a violation", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const violation = yield* Effect.flip(sweep({
        setup: Effect.void,
        scenario: () => Effect.onInterrupt(Effect.yieldNow(), () => Deferred.await(gate)),
        check: () => Effect.void,
        timeout: "20 millis"
      }))
      yield* Deferred.succeed(gate, undefined)
      assert.isTrue(Option.exists(Cause.failureOption(violation.cause), Cause.isTimeoutException))
      assert.isAbove(violation.point.index, 0)
    }))

  it.effect("what is promised for an interrupted sleep holds", () =>
    Effect.gen(function*() {
      const { points } = yield* sweep({
        setup: Effect.sync(() => ({ acquired: 0, released: 0 })),
        scenario: (count) =>
          Effect.acquireUseRelease(
            Effect.sync(() => count.acquired++),
            () => Effect.yieldNow(),
            () => Effect.sync(() => count.released++)
          ),
        check: ({ acquired, released }) => Effect.sync(() => assert.strictEqual(acquired, released))
      })
      assert.isAbove(points, 10)
    }))

  it.live("holds fibers back, and virtual time with them", () =>
    VirtualClock.run(Effect.gen(function*() {
      const times: Array<number> = []
      const { points } = yield* sweep({
        setup: Clock.currentTimeMillis,
        scenario: () =>
          Effect.flatMap(
            Effect.fork(Effect.sleep("1 hour")),
            (child) => Effect.zipRight(Effect.sleep("30 minutes"), Fiber.join(child))
          ),
        check: (start) => Effect.map(Clock.currentTimeMillis, (now) => times.push(now - start)),
        timeout: "2 hours"
      })
      assert.isAbove(points, 20)
      assert.deepStrictEqual([...new Set(times)].toSorted((left, right) => left - right), [0, 1_800_000, 3_600_000])
    })))
})
