import type * as Duration from "effect/Duration"
import * as Rule from "../../src/testing/Rule.ts"
import type * as SimNetwork from "../../src/testing/SimNetwork.ts"
import { conforms } from "../support/conforms.ts"
import { simPair, simulated } from "../support/pairs.ts"

const network = (
  name: string,
  options: SimNetwork.Options,
  flipped = true,
  timeout: Duration.DurationInput = "1 minute"
) =>
  conforms(`simulated TCP ${name}`, {
    makePair: simPair,
    capabilities: { bulk: 300_000 },
    around: (check) => simulated(check, options),
    model: { runs: 50, sleeps: true, timeout },
    flipped
  })

network("without latency", { latency: 0 })
network("with a latency of 20 to 30 ms", { latency: ["20 millis", "30 millis"] })
network("in slices of 100 bytes", { rules: [Rule.slice({ size: 100 })] }, false)
// A reset is not sent again: who is not told of it stays half-open.
const lossy = Rule.drop({ rate: 0.1, matching: ({ kind }) => kind !== "RST" })

// The news that a window is open again may be lost; the probes of it are up to two minutes apart (RFC 9293 §3.8.6.1), and
// lost as well. After a quarter of an hour TCP gives up.
network("on a network that loses every tenth packet", { rules: [lossy] }, false, "20 minutes")
