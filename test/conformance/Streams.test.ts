import { conforms, conformsThrough } from "../support/conforms.ts"
import { leavingNothing } from "../support/resources.ts"
import { streamsPair, viaStreams } from "../support/viaStreams.ts"

const noOptions = { noDelay: false, keepAlive: false }

conforms("over two streams of the web", {
  makePair: streamsPair,
  capabilities: { ...noOptions, bulk: 1_000_000 },
  around: leavingNothing,
  model: { runs: 50 }
})

conformsThrough("a transport as streams of the web, and back", viaStreams, { alike: true, capabilities: noOptions })
