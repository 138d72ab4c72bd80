import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as ConnectionLimit from "../../src/policy/ConnectionLimit.ts"
import * as Deadline from "../../src/policy/Deadline.ts"
import * as IdleTimeout from "../../src/policy/IdleTimeout.ts"
import * as Throttle from "../../src/policy/Throttle.ts"
import * as WriteStalled from "../../src/policy/WriteStalled.ts"
import * as FaultLayer from "../../src/testing/FaultLayer.ts"
import type * as Conformance from "../../src/testing/Conformance.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import type { Limits, Transport } from "../../src/Transport.ts"
import { conforms } from "../support/conforms.ts"
import { simPair, simulated, tcpPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"
import { thorough } from "../support/runs.ts"

type Make = (transport: Transport, limits: Limits) => Effect.Effect<Transport<unknown>, never, Scope.Scope>

/** A layer on the first one of two transports. */
const over = <R>(makePair: Conformance.MakePair<R>, make: Make): Conformance.MakePair<R> => (limits) =>
  Effect.gen(function*() {
    const [left, right] = yield* makePair(limits)
    // The checks know the failures of a bare transport only, and look at their tags.
    return [yield* make(left, limits) as Effect.Effect<Transport, never, Scope.Scope>, right] as const
  })

const buffered: Make = (transport, limits) => NetworkLayer.buffered(transport, { limits })

const counted = (transport: Transport) =>
  Effect.flatMap(ConnectionLimit.make({ total: 1, perPeer: 1 }), ({ admit }) => Effect.orDie(admit(transport)))

const throttled: Make = (transport, limits) =>
  Effect.flatMap(Throttle.share(1e9), (all) => Throttle.make({ ...limits, read: all, write: [1e9, all] })(transport))

const unharmed: Make = (transport, limits) => FaultLayer.make({ ...limits, rules: [] })(transport)

const layers: Record<string, Make> = {
  "derived, with its failures mapped": (transport) =>
    Effect.succeed(NetworkLayer.mapError(transport, (error) => error)),
  "watched by an idle limit": IdleTimeout.make({ duration: "2 hours" }),
  buffered,
  "buffered twice": (transport, limits) =>
    Effect.flatMap(NetworkLayer.buffered(transport), (middle) => buffered(middle, limits)),
  "watched for writes that stall": WriteStalled.make({ duration: "2 hours" }),
  "watched by a deadline": Deadline.make({ duration: "1000 days" }),
  "counted by a limit": counted,
  "throttled by a rate that is shared": throttled,
  "with faults of which none comes": unharmed,
  throttled: (transport, limits) => Throttle.make({ ...limits, read: 1e9, write: 1e9 })(transport)
}

const memory = (carrier: MemoryTransport.PairOptions): Conformance.MakePair => (limits) =>
  MemoryTransport.pair({ ...limits, ...carrier })

const inMemory = (name: string, carrier: MemoryTransport.PairOptions, make: Make, flipped = true) => {
  const makePair = over(memory(carrier), make)
  conforms(name, {
    makePair,
    capabilities: { noDelay: false, keepAlive: false, bulk: 1_000_000 },
    around: VirtualClock.run,
    model: { runs: 20, sleeps: true },
    flipped
  })
}

for (const [name, make] of Object.entries(layers)) {
  inMemory(name, {}, make)
  const makePair = over(simPair, make)
  conforms(`${name}, over simulated TCP`, {
    makePair,
    capabilities: { bulk: 1_000_000 },
    around: simulated,
    model: { runs: 20, sleeps: true },
    flipped: false
  })
}

/** Real time passes here: those that only watch go together. */
const overTcp: Record<string, Make> = {
  buffered,
  "counted and watched": (transport) =>
    counted(transport).pipe(
      Effect.flatMap(WriteStalled.make({ duration: "1 minute" })),
      Effect.flatMap(Deadline.make({ duration: "1 minute" })),
      Effect.flatMap(IdleTimeout.make({ duration: "1 minute" }))
    ),
  throttled,
  // Megabytes that TCP's buffers hold, many times through a simulated connection: half a minute.
  ...thorough ? { "with faults of which none comes": unharmed } : {}
}

for (const [name, make] of Object.entries(overTcp)) {
  conforms(`${name}, over TCP`, {
    makePair: over<never>(tcpPair, make),
    capabilities: {},
    around: leavingNothing,
    model: { runs: 3 },
    flipped: false
  })
}

inMemory("buffered over a carrier of 1 byte", { capacity: 1, highWaterMark: 1, lowWaterMark: 0 }, buffered, false)
