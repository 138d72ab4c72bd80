import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Address from "../../src/Address.ts"
import * as Conformance from "../../src/testing/Conformance.ts"
import { simulated } from "../support/pairs.ts"
import { coreFaults } from "./conformance/coreFaults.ts"
import { driverFaults } from "./conformance/driverFaults.ts"
import type { Fault } from "./conformance/fault.ts"
import { good, lacking, pairFaults } from "./conformance/pairFaults.ts"

const bulk = 200_000
const capabilities: ReadonlyArray<Conformance.Capability> = [
  "halfClose",
  "reset",
  "mirroredAddresses",
  "noDelay",
  "keepAlive"
]

/** Of a transport that has everything, and of one that lacks it all. */
const all: ReadonlyArray<Conformance.Check> = [
  ...Conformance.checks({ bulk }),
  ...capabilities.flatMap((lack) => Conformance.checks({ [lack]: false, bulk }).filter(({ lacks }) => lacks.length > 0))
]

const named = (name: string): Conformance.Check => {
  const check = all.find((check) => check.name === name)
  if (check === undefined) throw new Error(`no check is named "${name}"`)
  return check
}

const seeded = { "a transport": pairFaults, "the connection core": coreFaults, "a driver": driverFaults }

/** With the fault in place. All in virtual time: what waits for ever waits for no longer than a moment. */
const seeding = <A, E>({ patch }: Fault, effect: Effect.Effect<A, E>) =>
  simulated(
    patch === undefined
      ? effect
      : Effect.acquireUseRelease(Effect.sync(patch), () => effect, (restore) => Effect.sync(restore))
  )

describe.each(Object.entries(seeded))("a fault of %s is found: it", (_, faults) => {
  for (const [name, fault] of Object.entries(faults)) {
    it.live(
      name,
      () =>
        Effect.forEach(fault.breaks, (check) =>
          Effect.map(
            Effect.exit(seeding(fault, named(check).run(fault.makePair, { timeout: "2 seconds" }))),
            (exit) => {
              assert.isTrue(Exit.isFailure(exit), `"${check}" holds`)
              if (Exit.isFailure(exit)) assert.isTrue(Cause.isFailType(exit.cause), Cause.pretty(exit.cause))
            }
          ))
    )
  }
})

describe("checks", () => {
  it("have names of their own, and there are many", () => {
    assert.strictEqual(new Set(all.map(({ name }) => name)).size, all.length)
    assert.isAtLeast(all.length, 120)
  })

  it("each fail with one of the faults", () => {
    const broken = new Set(
      Object.values(seeded).flatMap((faults) => Object.values(faults)).flatMap(({ breaks }) => breaks)
    )
    assert.deepStrictEqual(all.map(({ name }) => name).filter((name) => !broken.has(name)), [])
  })

  it("each fault is found by one of them, in the core and in a driver as well", () => {
    for (const faults of Object.values(seeded)) {
      assert.isAtLeast(Object.keys(faults).length, 12)
      for (const [name, { breaks }] of Object.entries(faults)) assert.isNotEmpty(breaks, name)
    }
  })

  it("of what is lacking apply to those that declare it, and the others do not", () => {
    for (const lack of capabilities) {
      const checks = Conformance.checks({ [lack]: false })
      assert.isTrue(checks.every(({ needs }) => !needs.includes(lack)))
      assert.strictEqual(checks.filter(({ lacks }) => lacks.includes(lack)).length, 1, lack)
    }
    assert.isTrue(Conformance.checks().every(({ lacks }) => lacks.length === 0))
  })

  it.live("hold for a transport that lacks something, if it says so", () =>
    Effect.forEach(
      Conformance.checks({ halfClose: false, noDelay: false, keepAlive: false, bulk }),
      (check) => simulated(check.run(lacking)),
      { discard: true }
    ))

  it.live("a failure names the check, what was expected and what was seen", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(named("one byte goes through").run(pairFaults["changes bytes"]!.makePair))
      assert.strictEqual(
        error.message,
        `"one byte goes through" does not hold. Expected: what the peer pulls: byte 0 is 42. Seen: byte 0 is 43.`
      )
    }))

  it.live("waiting for ever is a failure", () =>
    Effect.gen(function*() {
      const { makePair } = pairFaults["delivers nothing"]!
      const error = yield* Effect.flip(named("one byte goes through").run(makePair, { timeout: 20 }))
      assert.strictEqual(error.seen, "nothing for 20ms")
    }))

  it.live("a pair that cannot be made is a failure", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(named("one byte goes through").run(() => Effect.fail("no pair")))
      assert.match(error.seen, /no pair/)
    }))

  it.live("a fiber that is left is a failure of any of them", () =>
    Effect.gen(function*() {
      const { makePair } = pairFaults["leaves a fiber behind"]!
      const error = yield* Effect.flip(named("one byte goes through").run(makePair))
      assert.strictEqual(error.seen, "1 fibers, 0 timers")
    }))

  it.live("flip checks the other end", () =>
    Effect.gen(function*() {
      const [left] = yield* Effect.scoped(good({}))
      const [flipped] = yield* Effect.scoped(Conformance.flip(good)({}))
      assert.strictEqual(Address.format(left.localAddress), Address.format(flipped.remoteAddress))
    }))
})
