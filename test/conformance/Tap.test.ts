import * as Effect from "effect/Effect"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Tap from "../../src/policy/Tap.ts"
import type * as Conformance from "../../src/testing/Conformance.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { conforms } from "../support/conforms.ts"
import { tcpPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"

const tapped = (makePair: Conformance.MakePair): Conformance.MakePair => (limits) =>
  Effect.gen(function*() {
    const [left, right] = yield* makePair(limits)
    const tap = Tap.make(() => ({ read: () => {}, written: () => {}, pressed: () => {}, closed: () => {} }))
    return [yield* tap(left), right] as const
  })

conforms("tapped for metrics", {
  makePair: tapped((limits) => MemoryTransport.pair(limits)),
  capabilities: { noDelay: false, keepAlive: false, bulk: 1_000_000 },
  around: VirtualClock.run,
  model: { runs: 20, sleeps: true }
})

conforms("tapped for metrics, over TCP", {
  makePair: tapped(tcpPair),
  capabilities: {},
  around: leavingNothing,
  model: { runs: 10 },
  flipped: false
})
