import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import type { Scheduling } from "../../src/internal/timers.ts"
import { timersOf } from "../../src/internal/timers.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { rootFibers, settle } from "../support/fibers.ts"

const timers = Effect.map(Effect.clock, timersOf)

const fired = (delay: number) =>
  Effect.flatMap(
    timers,
    ({ schedule }) => Effect.async<void>((resume) => void schedule(delay, () => resume(Effect.void)))
  )

/** Runs it as a program has it that sets a timer: TestClock, the kit's own clock, the host's. */
const everywhere = (name: string, body: Effect.Effect<void>) => {
  it.effect(`${name} (TestClock)`, () => body)
  it.live(`${name} (VirtualClock)`, () => VirtualClock.run(body))
  it.live(`${name} (live)`, () => body)
}

describe("timers", () => {
  everywhere(
    "without a delay come at once, but not before they are set",
    Effect.gen(function*() {
      const { schedule } = yield* timers
      let set = false
      const early = yield* Effect.async<boolean>((resume) => {
        schedule(0, () => resume(Effect.succeed(!set)))
        set = true
      })
      assert.isFalse(early)
    })
  )

  it.effect("are the same ones for the same Clock", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* timers, yield* timers)
    }))

  it.effect("go by the TestClock, and leave no fiber when they are cancelled", () =>
    Effect.gen(function*() {
      const { now, schedule } = yield* timers
      const before = yield* rootFibers
      const log: Array<number> = []
      schedule(20, () => log.push(20))
      schedule(10, () => log.push(10))
      const cancel = schedule(15, () => log.push(15))
      yield* settle
      cancel()
      yield* TestClock.adjust("19 millis")
      yield* settle
      assert.deepStrictEqual(log, [10])
      yield* TestClock.adjust("1 millis")
      yield* settle
      assert.deepStrictEqual(log, [10, 20])
      assert.strictEqual(now(), 20)
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.live("go by a Clock that schedules by itself, without a fiber", () =>
    VirtualClock.run(Effect.gen(function*() {
      const before = yield* rootFibers
      const { schedule } = yield* timers
      schedule(1, () => {})
      assert.strictEqual(yield* rootFibers, before)
      yield* fired(86_400_000)
      assert.strictEqual(yield* Clock.currentTimeMillis, 86_400_000)
    })))

  it.live("of the host's Clock are the host's", () =>
    Effect.gen(function*() {
      const { schedule } = yield* timers
      let late = false
      const cancel = schedule(1, () => (late = true))
      cancel()
      yield* fired(5)
      assert.isFalse(late)
    }))

  it.live("in the background keep no process alive", () =>
    Effect.gen(function*() {
      const { schedule }: { readonly schedule: Scheduling["unsafeSchedule"] } = yield* timers
      const waitedFor = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length
      const before = waitedFor()
      const cancel = schedule(60_000, () => {}, true)
      assert.strictEqual(waitedFor(), before)
      cancel()
    }))

  it.live("that are later than the host can count never come, and not at once", () =>
    Effect.gen(function*() {
      const { schedule } = yield* timers
      let fired = false
      for (const delay of [2 ** 31, Infinity]) schedule(delay, () => (fired = true))()
      schedule(Infinity, () => (fired = true))
      yield* Effect.sleep("5 millis")
      assert.isFalse(fired)
    }))
})
