import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Network from "../../src/Network.ts"
import * as FaultScript from "../../src/testing/FaultScript.ts"
import * as Rule from "../../src/testing/Rule.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import * as Trace from "../../src/testing/Trace.ts"

const hosts = ["a", "b", "c"]

const millisOf = (duration: Duration.DurationInput | undefined) => Duration.toMillis(duration ?? 0)

/** Connects once, in the fifth second, and expects it to succeed. */
const naive = Effect.gen(function*() {
  const sim = yield* SimNetwork.SimNetwork
  yield* SimNetwork.boot(Effect.zipRight(Network.listen(sim.addressOf("a", 80)), Effect.never), "a")
  yield* Effect.sleep("5 seconds")
  yield* SimNetwork.on(Network.connect(sim.addressOf("a", 80)), "b")
})

describe("a fault script", () => {
  it.prop("keeps within its hosts, times and number of rules, and can always be run", [
    FaultScript.arbitrary({ hosts, within: "3 seconds", longest: "1 second", maxRules: 4 })
  ], ([script]) => {
    assert.isAtMost(script.length, 4)
    for (const rule of script) {
      const { at, for: duration } = rule as Rule.When
      assert.isTrue(millisOf(at) > 0 && millisOf(at) <= 3000)
      assert.isTrue(millisOf(duration) > 0 && millisOf(duration) <= 1000)
    }
    return Exit.isSuccess(Effect.runSyncExit(Effect.scoped(SimNetwork.make({ hosts, rules: script }))))
  })

  it.prop("keeps within times that are short as well", [
    FaultScript.arbitrary({ hosts, within: "20 millis", longest: "50 millis" })
  ], ([script]) => {
    for (const rule of script) {
      const { at, for: duration } = rule as Rule.When
      assert.isTrue(millisOf(at) > 0 && millisOf(at) <= 20)
      assert.isTrue(millisOf(duration) > 0 && millisOf(duration) <= 50)
    }
  })

  it("has all kinds of faults, or those that are asked for", () => {
    const kinds = (options: Partial<FaultScript.ScriptOptions>) =>
      new Set(
        FastCheck.sample(FaultScript.arbitrary({ hosts, ...options }), { seed: 1, numRuns: 300 })
          .flatMap((script) => script.map(({ _tag }) => _tag))
      )
    assert.strictEqual(kinds({}).size, 12)
    assert.deepStrictEqual([...kinds({ kinds: ["Limit", "Names", "Descriptors"] })].toSorted(), [
      "Descriptors",
      "Limit",
      "Names"
    ])
  })

  it("is printed as the code that makes it", () => {
    const script = [
      Rule.partition({ between: [["a"], ["b", "c"]], at: "300 millis", for: Duration.seconds(2) }),
      Rule.drop({ from: "a", to: undefined, rate: 0.5 }),
      Rule.down({})
    ]
    assert.strictEqual(
      FaultScript.format(script),
      `[
  Rule.partition({ between: [["a"], ["b", "c"]], at: "300 millis", for: "2000 millis" }),
  Rule.drop({ from: "a", rate: 0.5 }),
  Rule.down({})
]`
    )
    assert.strictEqual(FaultScript.format([]), "[]")
  })

  it("is printed with numbers that JSON does not know", () => {
    const script = [
      Rule.delay({ by: 5_000_000n }),
      Rule.drop({ for: Infinity }),
      Rule.stall({ for: Duration.infinity, closeAfter: [1, 500] })
    ]
    assert.strictEqual(
      FaultScript.format(script),
      `[
  Rule.delay({ by: 5000000n }),
  Rule.drop({ for: Infinity }),
  Rule.stall({ for: Infinity, closeAfter: [1, 500] })
]`
    )
  })
})

describe("FaultScript.check", () => {
  it.live("finds the shortest script that breaks a promise, which breaks it again", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(FaultScript.check(naive, { hosts, runs: 500, kinds: ["Down", "Delay"] }))
      assert.strictEqual(failure.rules.length, 1)
      const again = yield* Effect.exit(
        SimNetwork.run(Effect.scoped(naive), { hosts, seed: failure.seed, rules: failure.rules })
      )
      assert.isTrue(Exit.isFailure(again))
      assert.include(failure.message, "SimNetwork.run(program, {")
      assert.include(failure.message, "Rule.down({ from: ")
      assert.include(failure.message, "ConnectionRefused")
    }))

  it.live("finds again by what it tells what only a network with these options shows", () =>
    Effect.gen(function*() {
      const slow = Effect.gen(function*() {
        const sim = yield* SimNetwork.SimNetwork
        yield* SimNetwork.on(Network.listen(sim.addressOf("a", 80)), "a")
        yield* SimNetwork.on(Network.connect(sim.addressOf("a", 80)), "b-1").pipe(Effect.timeout("1 second"))
        assert.fail("it was fast enough")
      }).pipe(Effect.catchTag("TimeoutException", () => Effect.fail("too slow")))
      const failure = yield* Effect.flip(FaultScript.check(slow, {
        hosts: { a: {}, "b-1": { maxDescriptors: Infinity } },
        latency: ["1 second", Duration.seconds(2)],
        mss: 500,
        traceLimit: 10,
        runs: 1
      }))
      assert.include(
        failure.message,
        `SimNetwork.run(program, {
  seed: ${failure.seed},
  hosts: { a: {}, "b-1": { maxDescriptors: Infinity } },
  latency: ["1 second", "2000 millis"],
  mss: 500,
  traceLimit: 10,
  rules: []
})`
      )
      assert.strictEqual(yield* Effect.flip(SimNetwork.run(Effect.scoped(slow), failure)), "too slow")
    }))

  it.live("tries the same scripts for the same seed", () =>
    Effect.gen(function*() {
      const check = Effect.flip(FaultScript.check(naive, { hosts, runs: 500, seed: 7 }))
      const [one, other] = [yield* check, yield* check]
      assert.deepStrictEqual([one.seed, one.runs, one.shrinks, one.rules], [
        other.seed,
        other.runs,
        other.shrinks,
        other.rules
      ])
      assert.strictEqual(one.checkSeed, 7)
    }))

  it.live("finds that a program waits for ever", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(FaultScript.check(Effect.never, { hosts, runs: 10 }))
      assert.deepStrictEqual(failure.rules, [])
      assert.include(failure.message, "Deadlock")
    }))

  it.live("finds that a program goes on for ever, and says after how long", () =>
    Effect.gen(function*() {
      const endless = Effect.flatMap(SimNetwork.SimNetwork, (sim) =>
        SimNetwork.on(Network.connect(sim.addressOf("a", 80)), "b").pipe(
          Effect.scoped,
          Effect.retry(Schedule.spaced("1 minute"))
        ))
      const failure = yield* Effect.flip(FaultScript.check(endless, { hosts, runs: 10 }))
      assert.deepStrictEqual(failure.rules, [])
      assert.include(failure.message, "not over after 1h of virtual time")
      assert.include(failure.message, `  limit: "1 hour",\n`)
      const again = yield* Effect.flip(SimNetwork.run(Effect.scoped(endless), failure))
      assert.strictEqual(again._tag, "TimeLimitExceeded")
      const patient = yield* Effect.flip(FaultScript.check(endless, { hosts, runs: 1, limit: "3 hours" }))
      assert.include(patient.message, "not over after 3h")
    }))

  it.live("has the trace of the run that failed, which is the same again", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(FaultScript.check(naive, { hosts, runs: 500, kinds: ["Down"] }))
      let again: () => ReadonlyArray<Trace.TraceEvent> = () => []
      const noting = Effect.flatMap(SimNetwork.SimNetwork, (sim) => {
        again = sim.trace
        return Effect.scoped(naive)
      })
      yield* Effect.exit(SimNetwork.run(noting, failure))
      assert.include(Trace.format(failure.trace()), "forged")
      assert.deepStrictEqual(failure.trace(), again())
    }))

  it.live("applies the rules that are given to all runs", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(
        FaultScript.check(naive, { hosts, runs: 10, rules: [Rule.down({ to: "a" })] })
      )
      assert.deepStrictEqual(failure.rules, [Rule.down({ to: "a" })])
    }))

  it.live("tells how many scripts were tried", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* FaultScript.check(Effect.void, { hosts, runs: 20 }), { runs: 20 })
    }))

  it.live("stops when it is interrupted", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      let runs = 0
      const endless = Effect.zipRight(Deferred.succeed(begun, undefined), Effect.forever(Effect.sleep("1 second")))
        .pipe(
          Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)),
          Effect.tap(Effect.sync(() => runs++))
        )
      const fiber = yield* Effect.fork(FaultScript.check(endless, { hosts }))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(interrupted)
      assert.strictEqual(runs, 0)
    }))
})
