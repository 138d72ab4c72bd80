import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { conforms } from "../support/conforms.ts"
import { tcpPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"
import { streamsPair, viaStreams } from "../support/viaStreams.ts"

const noOptions = { noDelay: false, keepAlive: false }

conforms("over two streams of the web", {
  makePair: streamsPair,
  capabilities: { ...noOptions, bulk: 1_000_000 },
  around: leavingNothing,
  model: { runs: 50 }
})

conforms("a transport as streams of the web, and back", {
  makePair: viaStreams((limits) => MemoryTransport.pair(limits)),
  capabilities: { ...noOptions, bulk: 1_000_000 },
  around: VirtualClock.run,
  model: { runs: 20, sleeps: true },
  flipped: false
})

conforms("a transport as streams of the web, and back, over TCP", {
  makePair: viaStreams(tcpPair),
  capabilities: noOptions,
  around: leavingNothing,
  model: { runs: 10 },
  flipped: false
})
