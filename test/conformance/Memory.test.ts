import { describe, it } from "@effect/vitest"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Conformance from "../../src/testing/Conformance.ts"

const memory = (options: MemoryTransport.PairOptions, bulk = 300_000): Conformance.Subject => ({
  makePair: (limits) => MemoryTransport.pair({ ...options, ...limits }),
  bulk
})

const subjects: ReadonlyArray<readonly [name: string, subject: Conformance.Subject]> = [
  ["with a capacity of 64 KiB", memory({})],
  ["with a capacity of 1 byte", memory({ capacity: 1 })],
  ["in lockstep", memory({ capacity: 0, readBufferSize: 0 })],
  ["byte by byte", memory({ maxChunkSize: 1, capacity: 4096, readBufferSize: 1024 }, 20_000)]
]

describe.each(subjects)("memory %s", (_, subject) => {
  for (const check of Conformance.checksFor(subject)) it.live(check.name, () => check.run(subject))
})
