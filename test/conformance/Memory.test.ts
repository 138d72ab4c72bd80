import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { conforms } from "../support/conforms.ts"

/** The two ends are alike. */
const memory = (name: string, options: MemoryTransport.PairOptions, bulk = 300_000, flipped = false) =>
  conforms(`memory ${name}`, {
    makePair: (limits) => MemoryTransport.pair({ ...options, ...limits }),
    capabilities: { noDelay: false, keepAlive: false, bulk },
    around: VirtualClock.run,
    model: { runs: 50, sleeps: true },
    flipped
  })

memory("with a capacity of 64 KiB", {}, 300_000, true)
memory("with a capacity of 1 byte", { capacity: 1 })
memory("in lockstep", { capacity: 0, readBufferSize: 0 })
memory("byte by byte", { maxChunkSize: 1, capacity: 4096, readBufferSize: 1024 }, 20_000)
memory("cut at random", { chunks: { seed: 1, max: 300 } })
memory("with a latency", { latency: 3 })
memory("with a latency and a capacity of 64 bytes, cut at random", {
  latency: 1,
  capacity: 64,
  chunks: { seed: 2, max: 100 }
}, 20_000)
memory("with a latency in lockstep", { latency: 1, capacity: 0, readBufferSize: 0 }, 300_000)
