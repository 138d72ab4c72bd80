import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as Conformance from "../../src/testing/Conformance.ts"
import { duplexPair, simPair, simulated, socketPair, tcpPair, unixPair } from "../support/pairs.ts"

const all = ["halfClose", "reset", "mirroredAddresses", "noDelay", "keepAlive"] as const

/** What each transport of the library has. */
const pinned: Record<string, readonly [Conformance.MakePair, ReadonlyArray<Conformance.Capability>]> = {
  TCP: [tcpPair, all],
  UNIX: [unixPair, ["halfClose", "mirroredAddresses"]],
  memory: [MemoryTransport.pair, ["halfClose", "reset", "mirroredAddresses"]],
  "Duplex over two joined streams": [duplexPair, ["halfClose", "reset", "mirroredAddresses"]],
  "Duplex over sockets": [socketPair, ["halfClose", "mirroredAddresses"]],
  // In a simulation.
  "simulated TCP": [simPair as unknown as Conformance.MakePair, all],
  "a layer over simulated TCP": [
    (limits) =>
      Effect.flatMap(
        (simPair as unknown as Conformance.MakePair)(limits),
        ([left, right]) => Effect.map(NetworkLayer.buffered(left, { limits }), (outer) => [outer, right] as const)
      ),
    all
  ]
}

/** Of each capability, the check of its lack says whether it is there. */
const capabilitiesOf = (makePair: Conformance.MakePair) =>
  Effect.filter(all, (capability) => {
    const lack = Conformance.checks({ [capability]: false }).find(({ lacks }) => lacks.includes(capability))!
    return Effect.map(Effect.exit(lack.run(makePair, { timeout: "300 millis" })), Exit.isFailure)
  })

describe("the capabilities of", () => {
  for (const [name, [makePair, capabilities]] of Object.entries(pinned)) {
    it.live(`${name} are ${capabilities.join(", ")}`, () =>
      Effect.gen(function*() {
        const real = !name.includes("simulated")
        const found = yield* real ? capabilitiesOf(makePair) : simulated(capabilitiesOf(makePair))
        assert.deepStrictEqual(found, [...capabilities])
      }))
  }
})
