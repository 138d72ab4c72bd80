import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Bell } from "../../src/internal/bell.ts"
import { settle } from "../support/fibers.ts"
import { pausedAt } from "../support/paused.ts"

const waits = (bell: Bell) =>
  Effect.gen(function*() {
    const waiting = yield* Effect.fork(bell.await)
    yield* settle
    assert.isNull(waiting.unsafePoll())
    yield* Fiber.interrupt(waiting)
  })

describe("a bell", () => {
  it.effect("wakes who waits, once", () =>
    Effect.gen(function*() {
      const bell = new Bell()
      const first = yield* Effect.fork(bell.await)
      yield* settle
      assert.isNull(first.unsafePoll())
      bell.ring()
      yield* Fiber.join(first)
      yield* waits(bell)
    }))

  it.effect("is heard by who comes after it, also when somebody else was interrupted meanwhile", () =>
    Effect.gen(function*() {
      const bell = new Bell()
      yield* waits(bell)
      bell.ring()
      bell.ring()
      yield* bell.await
      yield* waits(bell)
    }))

  it.live("is missed by nobody, at whichever step it rings", () =>
    Effect.gen(function*() {
      for (let step = 0; step < 20; step++) {
        const bell = new Bell()
        const waiting = pausedAt(bell.await, step)
        bell.ring()
        for (let turn = 0; turn < 2; turn++) {
          waiting.goOn()
          yield* settle
        }
        assert.isNotNull(waiting.fiber.unsafePoll(), `waits for ever when it yields before step ${step}`)
      }
    }))
})
