import { conforms } from "../support/conforms.ts"
import { tcpPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"

conforms("TCP", { makePair: tcpPair, capabilities: {}, around: leavingNothing, model: { runs: 20 } })
