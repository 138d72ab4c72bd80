import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Counts, Protocol, Replica } from "../../examples/counter.ts"
import * as Counter from "../../examples/counter.ts"
import * as FaultScript from "../../src/testing/FaultScript.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import { thorough, timeFor } from "../support/runs.ts"

const hosts = ["a", "b", "c"]

/** The same scripts in each run of the tests; others when many are asked for. */
const fixed = thorough ? {} : { seed: 1 }

class Disagreement extends Data.TaggedError("Disagreement")<{ readonly totals: ReadonlyArray<number> }> {}

/** Each of three hosts counts five times while all kinds of things happen; in the end all have the same number. */
const agree = (protocol?: Protocol) =>
  Effect.gen(function*() {
    const sim = yield* SimNetwork.SimNetwork
    const replicas = yield* Effect.forEach(hosts, (name) =>
      Effect.map(SubscriptionRef.make<Counts>({}), (counts): Replica => ({
        name,
        address: sim.addressOf(name, 7000),
        peers: hosts.filter((other) =>
          other !== name
        ).map((other) => sim.addressOf(other, 7000)),
        counts,
        ...(protocol === undefined ? {} : { protocol })
      })))
    for (const replica of replicas) {
      yield* SimNetwork.boot(Counter.run(replica), replica.name)
      yield* Effect.forkScoped(Effect.repeatN(Effect.zipRight(Effect.sleep("2 seconds"), Counter.count(replica)), 4))
    }
    const totals = Effect.forEach(replicas, ({ counts }) => Effect.map(SubscriptionRef.get(counts), Counter.total))
    const agreed: Effect.Effect<void, Disagreement> = Effect.flatMap(totals, (totals) => {
      if (totals.some((total) => total > 15)) return Effect.fail(new Disagreement({ totals }))
      if (totals.every((total) => total === 15)) return Effect.void
      return Effect.zipRight(Effect.sleep("1 second"), agreed)
    })
    yield* Effect.timeout(agreed, "2 minutes")
  })

/** Says only what is new: what was heard, and whose acknowledgement was lost, is counted twice. */
const news: Protocol = {
  say: (name, counts, acknowledged) => ({ [name]: (counts[name] ?? 0) - (acknowledged[name] ?? 0) }),
  hear: (counts, said) => {
    const sum: Record<string, number> = { ...counts }
    for (const [name, count] of Object.entries(said)) sum[name] = count + (sum[name] ?? 0)
    return sum
  }
}

describe("the replicated counter", () => {
  it.live("comes to the same number on all hosts, whatever happens between them", () =>
    Effect.gen(function*() {
      const { runs } = yield* FaultScript.check(agree(), { hosts, runs: 500, ...fixed })
      assert.isAtLeast(runs, 500)
    }), timeFor(500))

  it.live("would not, if it said only what is new: three faults at most show it", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(FaultScript.check(agree(news), { hosts, runs: 500, ...fixed }))
      assert.isAtMost(failure.rules.length, 3)
      assert.include(failure.message, "SimNetwork.run(program, {")
    }), timeFor(500))
})
