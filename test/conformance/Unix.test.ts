import { conforms } from "../support/conforms.ts"
import { unixPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"

conforms("UNIX", {
  makePair: unixPair,
  // unix(7): a peer that goes away is an end, whatever it left unread.
  capabilities: { reset: false, noDelay: false, keepAlive: false },
  around: leavingNothing,
  model: { runs: 20 }
})
