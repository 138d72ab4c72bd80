import * as Effect from "effect/Effect"
import * as Tap from "../../src/policy/Tap.ts"
import { conformsThrough } from "../support/conforms.ts"

const tap = Tap.make(() => ({ read: () => {}, written: () => {}, pressed: () => {}, closed: () => {} }))

conformsThrough(
  "tapped for metrics",
  (makePair) => (limits) =>
    Effect.flatMap(makePair(limits), ([left, right]) => Effect.map(tap(left), (tapped) => [tapped, right] as const))
)
