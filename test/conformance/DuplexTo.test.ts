import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { conforms } from "../support/conforms.ts"
import { tcpPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"
import { viaDuplex } from "../support/viaDuplex.ts"

const noOptions = { noDelay: false, keepAlive: false }

conforms("a transport as a Duplex, and back", {
  makePair: viaDuplex((limits) => MemoryTransport.pair(limits)),
  capabilities: { ...noOptions, bulk: 1_000_000 },
  around: VirtualClock.run,
  model: { runs: 20, sleeps: true },
  flipped: false
})

conforms("a transport as a Duplex, and back, over TCP", {
  makePair: viaDuplex(tcpPair),
  capabilities: noOptions,
  around: leavingNothing,
  model: { runs: 10 },
  flipped: false
})
