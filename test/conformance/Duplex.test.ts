import { conforms } from "../support/conforms.ts"
import { duplexPair, socketPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"

const noOptions = { noDelay: false, keepAlive: false }

conforms("Duplex over two joined streams", {
  makePair: duplexPair,
  capabilities: { ...noOptions, bulk: 1_000_000 },
  around: leavingNothing,
  model: { runs: 50 }
})

conforms("Duplex over sockets", {
  makePair: socketPair,
  // A stream has no reset; on a socket, abort is a plain close.
  capabilities: { ...noOptions, reset: false },
  around: leavingNothing,
  model: { runs: 20 }
})
