import * as Effect from "effect/Effect"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Transcript from "../../src/testing/Transcript.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { conforms } from "../support/conforms.ts"

const recorded = (name: string, options: MemoryTransport.PairOptions) =>
  conforms(`recorded, ${name}`, {
    makePair: (limits) =>
      Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair({ ...options, ...limits })
        const { transport } = yield* Transcript.record(left)
        return [transport, right] as const
      }),
    capabilities: { noDelay: false, keepAlive: false, bulk: 300_000 },
    around: VirtualClock.run,
    model: { runs: 100, sleeps: true }
  })

recorded("over memory", {})
recorded("over memory of 1 byte", { capacity: 1 })
