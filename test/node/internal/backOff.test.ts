import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { backOff } from "../../../src/node/internal/backOff.ts"
import * as VirtualClock from "../../../src/testing/VirtualClock.ts"

/** Each try lives so long, in milliseconds, and fails: the pauses between them. */
const pauses = (lives: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const all: Array<number> = []
    let tries = 0
    let failedAt: number | undefined
    const attempt = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      if (failedAt !== undefined) all.push(now - failedAt)
      const life = lives[tries++]
      if (life === undefined) return
      yield* Effect.sleep(life)
      failedAt = now + life
      return yield* Effect.fail("failed")
    })
    yield* Effect.retry(attempt, backOff)
    return all
  }).pipe(VirtualClock.run)

const growing = [100, 200, 400, 800, 1600, 3200, 6400]

describe("the pauses before a worker that failed is started anew", () => {
  it.live("grow up to ten seconds, and stay there for as long as it fails", () =>
    Effect.gen(function*() {
      const all = yield* pauses(Array.from({ length: 30 }, () => 0))
      assert.deepStrictEqual(all, [...growing, ...Array.from({ length: 23 }, () => 10_000)])
    }))

  it.live("begin anew after a minute without a failure", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* pauses([0, 0, 0, 61_000, 0, 0]), [100, 200, 400, 100, 200, 400])
      assert.deepStrictEqual(yield* pauses([0, 0, 0, 59_000, 0]), [100, 200, 400, 800, 1600])
    }))
})
