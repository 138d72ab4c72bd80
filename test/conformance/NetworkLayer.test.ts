import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as IdleTimeout from "../../src/policy/IdleTimeout.ts"
import * as Throttle from "../../src/policy/Throttle.ts"
import * as Conformance from "../../src/testing/Conformance.ts"
import type { Limits, Transport } from "../../src/Transport.ts"

type Make = (transport: Transport, limits: Limits) => Effect.Effect<Transport<unknown>, never, Scope.Scope>

/** A layer on the first one of two transports in memory. */
const over = (carrier: MemoryTransport.PairOptions, make: Make): Conformance.Subject => ({
  makePair: (limits) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ ...limits, ...carrier })
      // The checks know the failures of a bare transport only, and look at their tags.
      return [yield* make(left, limits) as Effect.Effect<Transport, never, Scope.Scope>, right] as const
    }),
  bulk: 1_000_000
})

const buffered: Make = (transport, limits) => NetworkLayer.buffered(transport, { limits })

const subjects: ReadonlyArray<readonly [name: string, subject: Conformance.Subject]> = [
  [
    "derived, with its failures mapped",
    over({}, (transport) => Effect.succeed(NetworkLayer.mapError(transport, (error) => error)))
  ],
  ["watched by an idle limit", over({}, IdleTimeout.make({ duration: "1 minute" }))],
  ["buffered", over({}, buffered)],
  ["buffered over a carrier of 1 byte", over({ capacity: 1, highWaterMark: 1, lowWaterMark: 0 }, buffered)],
  [
    "buffered twice",
    over(
      {},
      (transport, limits) =>
        Effect.flatMap(NetworkLayer.buffered(transport), (middle) => NetworkLayer.buffered(middle, { limits }))
    )
  ],
  ["throttled", over({}, (transport, limits) => Throttle.make({ ...limits, read: 1e9, write: 1e9 })(transport))]
]

describe.each(subjects)("%s", (_, subject) => {
  for (const check of Conformance.checksFor(subject)) it.live(check.name, () => check.run(subject))
})
