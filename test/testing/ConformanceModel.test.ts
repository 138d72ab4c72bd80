import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as ConformanceModel from "../../src/testing/ConformanceModel.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { simulated, tcpPair } from "../support/pairs.ts"
import { coreFaults } from "./conformance/coreFaults.ts"
import { driverFaults } from "./conformance/driverFaults.ts"
import type { Fault } from "./conformance/fault.ts"
import { good, pairFaults } from "./conformance/pairFaults.ts"

const seeding = <A, E>({ patch = () => () => {} }: Fault, effect: Effect.Effect<A, E>) =>
  simulated(Effect.acquireUseRelease(Effect.sync(patch), () => effect, (restore) => Effect.sync(restore)))

const shortest = (fault: Fault) =>
  Effect.flip(
    seeding(fault, ConformanceModel.check(fault.makePair, { bulk: 200_000, sleeps: true, runs: 1000, seed: 1 }))
  ).pipe(
    Effect.flatMap((failure) => failure._tag === "ModelFailure" ? Effect.succeed(failure) : Effect.fail(failure))
  )

/** Each with the most steps that it may take to show it. */
const found: ReadonlyArray<readonly [fault: Fault, name: string, steps: number]> = [
  ...([
    ["loses bytes", 1],
    ["holds every chunk back until the next", 1],
    ["accepts at no time", 1],
    ["writes successfully after a loss", 2],
    ["never says that it is closed", 0],
    ["says that every close is a loss", 0],
    ["loses what an interrupted pull has taken", 3],
    ["sends what an interrupted write has not", 4]
  ] as const).map(([name, steps]) => [pairFaults[name]!, name, steps] as const),
  ...([
    ["loses the chunk that comes after an interrupted reader", 3],
    ["gives the end before the data", 2],
    ["takes a failure for an end", 1],
    ["does not go on when the carrier has drained", 2],
    ["sends what was taken back", 3],
    ["loses what is put back", 2],
    ["does not know that it has ended", 2]
  ] as const).map(([name, steps]) => [coreFaults[name]!, name, steps] as const),
  ...([
    ["reports the end before the data", 2],
    ["reports twice what was written", 2],
    ["takes a reset for an end", 1],
    ["loses every third chunk", 6]
  ] as const).map(([name, steps]) => [driverFaults[name]!, name, steps] as const)
]

describe("a fault is found, and shrinks to few steps: it", () => {
  for (const [fault, name, steps] of found) {
    it.live(name, () =>
      Effect.gen(function*() {
        const failure = yield* shortest(fault)
        assert.isAtMost(failure.steps.length, steps, failure.message)
        // The steps alone show it again.
        const again = yield* Effect.flip(seeding(fault, ConformanceModel.replay(fault.makePair, failure.steps)))
        assert.strictEqual(again._tag, "ModelFailure")
      }), 60_000)
  }
})

describe("a failure", () => {
  it.live("is printed as a test that can be pasted", () =>
    Effect.gen(function*() {
      const { message, test } = yield* shortest(coreFaults["loses the chunk that comes after an interrupted reader"]!)
      assert.strictEqual(
        test,
        `it.live("goes by the model", () =>
  ConformanceModel.replay(makePair, [
    { act: "read", end: "left", bytes: 1 },
    { act: "interruptRead", end: "left" },
    { act: "write", end: "right", bytes: 1 }
  ], { bulk: 200000 }))`
      )
      assert.match(message, /^Expected: .*\. Seen: .* \(seed 1\)\.\n\nit\.live/)
    }))

  it.live("of the pair itself is one as well", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(ConformanceModel.replay(() => Effect.fail("no pair"), []))
      assert.match(failure.seen, /no pair/)
      assert.deepStrictEqual(failure.steps, [])
    }))
})

describe("the model", () => {
  it.live("knows every kind of step", () =>
    VirtualClock.run(ConformanceModel.replay(good, [
      { act: "write", end: "left", bytes: 300_000 },
      { act: "write", end: "left", bytes: 5 },
      { act: "interruptWrite", end: "left" },
      { act: "read", end: "right", bytes: 300_001 },
      { act: "interruptRead", end: "right" },
      { act: "sleep", millis: 500 },
      { act: "closeWrite", end: "left" },
      { act: "close", end: "right" },
      { act: "write", end: "right", bytes: 1 },
      { act: "abort", end: "left" },
      { act: "read", end: "left", bytes: 1 }
    ])))

  it.live("goes by itself what is lacking", () =>
    VirtualClock.run(
      ConformanceModel.check(MemoryTransport.pair, { halfClose: false, bulk: 300_000, sleeps: true, runs: 50 })
    ))

  it.live("tries lists of so many steps at most", () =>
    Effect.gen(function*() {
      const fault = pairFaults["loses bytes"]!
      const tried = (maxSteps: number) =>
        seeding(fault, ConformanceModel.check(fault.makePair, { maxSteps, runs: 100, seed: 1 }))
      assert.deepStrictEqual(yield* tried(0), { runs: 100 })
      assert.strictEqual((yield* Effect.flip(tried(1)))._tag, "ModelFailure")
    }))

  it.live("stops when it is interrupted", () =>
    Effect.gen(function*() {
      const checking = yield* Effect.fork(ConformanceModel.check(tcpPair, { runs: 1e9 }))
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(checking)
    }))
})
