import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { firstOf } from "../../src/internal/firstOf.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import { settle } from "../support/fibers.ts"

describe("firstOf", () => {
  it.effect("ends as whichever ends first, whatever that is, and however", () =>
    Effect.gen(function*() {
      for (const exit of [Exit.succeed(1), Exit.fail("no"), Exit.die("never")]) {
        const first = Effect.zipRight(Effect.yieldNow(), exit)
        for (const race of [firstOf(first, Effect.never), firstOf(Effect.never, first)]) {
          assert.deepStrictEqual(yield* Effect.exit(race), exit)
        }
      }
    }))

  it.effect("is over when the other one is, which is interrupted", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch()
      const race = yield* Effect.fork(firstOf(Effect.yieldNow(), Effect.onInterrupt(Effect.never, () => gate.await)))
      yield* settle
      assert.isNull(race.unsafePoll())
      yield* gate.open
      yield* Fiber.join(race)
    }))

  it.scoped("leaves what the first one has set in its FiberRefs", () =>
    Effect.gen(function*() {
      const ref = yield* FiberRef.make("before")
      yield* firstOf(FiberRef.set(ref, "set"), Effect.never)
      assert.strictEqual(yield* FiberRef.get(ref), "set")
    }))

  it.effect("interrupts both when it is interrupted, before what is to be done after it", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const seen: Array<string> = []
      const note = (what: string) => Effect.sync(() => void seen.push(what))
      const one = Effect.onInterrupt(Effect.never, () => note("one"))
      const other = Effect.onInterrupt(
        Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never),
        () => note("other")
      )
      const race = yield* Effect.fork(Effect.ensuring(firstOf(one, other), note("after")))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(race)
      assert.deepStrictEqual(seen, ["one", "other", "after"])
    }))

  it.live(
    "interrupted at every step, waits for nothing that has not begun, and leaves nothing behind",
    () =>
      Effect.gen(function*() {
        const { points } = yield* sweep({
          setup: Effect.sync(() => ({ running: 0 })),
          scenario: (run) => {
            const counted = (effect: Effect.Effect<void>) =>
              Effect.acquireUseRelease(
                Effect.sync(() => run.running++),
                () => effect,
                () => Effect.sync(() => run.running--)
              )
            return firstOf(counted(Effect.yieldNow()), counted(Effect.never))
          },
          check: ({ running }) => Effect.sync(() => assert.strictEqual(running, 0)),
          timeout: "1 second"
        })
        assert.isAbove(points, 0)
      }),
    60_000
  )
})
