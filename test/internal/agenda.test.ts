import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as TestClock from "effect/TestClock"
import { Agenda, Alarm } from "../../src/internal/agenda.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { settle } from "../support/fibers.ts"

const agenda = Effect.map(Effect.clock, (clock) => new Agenda(clock))

/** Looks up its Clock so often, at most: one that comes a trifle too early would be set again and again. */
const counting = <A, E>(effect: Effect.Effect<A, E>, looks: { count: number }) =>
  Effect.flatMap(Effect.clock, (clock) =>
    Effect.withClock(effect, {
      ...clock,
      unsafeCurrentTimeNanos: () => {
        looks.count++
        return clock.unsafeCurrentTimeNanos()
      }
    }))

describe("an agenda", () => {
  it.effect.prop(
    "does all that it holds in the order of its times, each at its time",
    { delays: FastCheck.array(FastCheck.double({ min: 0, max: 3, noNaN: true }), { maxLength: 30 }) },
    ({ delays }) =>
      VirtualClock.run(Effect.gen(function*() {
        const looks = { count: 0 }
        yield* counting(
          Effect.gen(function*() {
            const { schedule, ...rest } = yield* Effect.map(agenda, (agenda) => ({
              now: () => agenda.now,
              schedule: agenda.schedule.bind(agenda)
            }))
            const done: Array<number> = []
            // Each sets the next one: the sums are no round numbers.
            yield* Effect.async<void>((resume) => {
              let due = 0
              const next = (index: number): void => {
                if (index === delays.length) return resume(Effect.void)
                due = rest.now() + delays[index]!
                schedule(delays[index]!, () => {
                  assert.approximately(rest.now(), due, 1e-6)
                  done.push(index)
                  next(index + 1)
                })
              }
              next(0)
            })
            assert.strictEqual(done.length, delays.length)
          }),
          looks
        )
        assert.isAtMost(looks.count, 12 * delays.length + 2)
      }))
  )

  it.effect("sets one timer, under TestClock too, and none once it has ended", () =>
    Effect.gen(function*() {
      const own = yield* agenda
      const log: Array<string> = []
      own.schedule(20, () => log.push("b"))
      own.schedule(10, () => log.push("a"))
      own.schedule(20, () => log.push("c"))
      const cancelled = own.schedule(15, () => log.push("x"))
      cancelled.run = undefined
      own.schedule(Infinity, () => log.push("never"))
      yield* settle
      yield* TestClock.adjust("20 millis")
      yield* settle
      assert.strictEqual(log.join(""), "abc")
      own.schedule(1, () => log.push("too late"))
      own.end()
      own.schedule(1, () => log.push("too late"))
      yield* settle
      yield* TestClock.adjust("1 hour")
      yield* settle
      assert.strictEqual(log.join(""), "abc")
    }))
})

describe("an alarm", () => {
  const times = (act: (alarm: Alarm, agenda: Agenda) => void) =>
    VirtualClock.run(Effect.gen(function*() {
      const own = yield* agenda
      const rung: Array<number> = []
      const alarm = new Alarm(own, () => rung.push(own.now))
      act(alarm, own)
      yield* Effect.sleep("1 minute")
      assert.isFalse(alarm.isSet)
      assert.strictEqual(yield* Clock.currentTimeMillis, 60_000)
      return rung
    }))

  it.live("rings once, at the time that was set last", () =>
    Effect.gen(function*() {
      const later = times((alarm) => {
        alarm.set(10)
        alarm.set(20)
      })
      assert.deepStrictEqual(yield* later, [20])
      const earlier = times((alarm) => {
        alarm.set(20)
        alarm.set(10)
      })
      assert.deepStrictEqual(yield* earlier, [10])
    }))

  it.live("does not ring when it was cancelled, or ended, and can be set again after a cancel", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* times((alarm) => (alarm.set(10), alarm.cancel())), [])
      assert.deepStrictEqual(yield* times((alarm) => (alarm.set(10), alarm.end())), [])
      assert.deepStrictEqual(yield* times((alarm) => (alarm.set(10), alarm.cancel(), alarm.set(30))), [30])
      const again = times((alarm, agenda) => {
        alarm.set(10)
        agenda.schedule(15, () => alarm.set(10))
      })
      assert.deepStrictEqual(yield* again, [10, 25])
    }))
})
