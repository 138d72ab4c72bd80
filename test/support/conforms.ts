import { describe, it } from "@effect/vitest"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Conformance from "../../src/testing/Conformance.ts"
import * as ConformanceModel from "../../src/testing/ConformanceModel.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { tcpPair } from "./pairs.ts"
import { leavingNothing } from "./resources.ts"
import { thorough } from "./runs.ts"

export interface Subject<R> {
  readonly makePair: Conformance.MakePair<R>
  readonly capabilities: Conformance.Capabilities
  /** In what each check runs: a simulation, virtual time, a look at what the host has left. */
  readonly around: (
    check: Effect.Effect<unknown, unknown, NoInfer<Exclude<R, Scope.Scope>>>
  ) => Effect.Effect<unknown, unknown>
  readonly model: Pick<ConformanceModel.CheckOptions, "runs" | "sleeps" | "timeout">
  /** The other end is checked as well: `true`. */
  readonly flipped?: boolean
}

/** Every check that applies, and the model. */
export const conforms = <R>(name: string, subject: Subject<R>): void => {
  const { around, capabilities, flipped = true, makePair, model } = subject
  const ends = [["at one end", makePair], ["at the other end", Conformance.flip(makePair)]] as const
  describe.each(flipped ? ends : ends.slice(0, 1))(`${name}, %s`, (_, makePair) => {
    for (const check of Conformance.checks(capabilities)) it.live(check.name, () => around(check.run(makePair)))
  })
  it.live(
    `${name}, goes by the model`,
    () => around(ConformanceModel.check(makePair, { ...capabilities, ...model })),
    thorough ? 3_600_000 : 60_000
  )
}

/** What is made of pairs: of those in memory, whose ends are both checked unless they are `alike`, and of those over TCP. */
export const conformsThrough = (
  name: string,
  through: (makePair: Conformance.MakePair) => Conformance.MakePair,
  { alike = false, capabilities = {} }: {
    readonly alike?: boolean
    readonly capabilities?: Conformance.Capabilities
  } = {}
): void => {
  conforms(name, {
    makePair: through((limits) => MemoryTransport.pair(limits)),
    capabilities: { noDelay: false, keepAlive: false, bulk: 1_000_000 },
    around: VirtualClock.run,
    model: { runs: 20, sleeps: true },
    flipped: !alike
  })
  conforms(`${name}, over TCP`, {
    makePair: through(tcpPair),
    capabilities,
    around: leavingNothing,
    model: { runs: 10 },
    flipped: false
  })
}
