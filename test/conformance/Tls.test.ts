import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Tls from "../../src/node/Tls.ts"
import type * as Conformance from "../../src/testing/Conformance.ts"
import { Authority } from "../support/certificates.ts"
import { conforms } from "../support/conforms.ts"
import { tcpPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"
import { has } from "../support/tool.ts"

/** TLS at both ends. The checks know the failures of a bare transport only, and look at their tags. */
const secured = (version: Tls.Version, makePair: Conformance.MakePair): Conformance.MakePair => {
  const authority = new Authority("authority")
  const identity = authority.issue("localhost", ["DNS:localhost"])
  const trust = Effect.runSync(Tls.context({ trustRoots: authority.root.certificate }))
  const context = Effect.runSync(Tls.context({ identity, maxVersion: version }))
  return (limits) =>
    // A close waits for the carrier's linger time as well.
    Effect.flatMap(makePair({ lingerTimeout: limits.lingerTimeout }), ([left, right]) =>
      Effect.all([
        Tls.client({ ...limits, serverName: "localhost", context: trust })(left),
        Tls.server({ ...limits, context })(right)
      ], { concurrency: "unbounded" })) as unknown as ReturnType<Conformance.MakePair>
}

const suite = has("openssl") ? describe : describe.skip

suite("TLS (skipped: openssl is not installed)", () => {
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    conforms(`${version} over memory`, {
      makePair: secured(version, MemoryTransport.pair),
      capabilities: { noDelay: false, keepAlive: false, bulk: 1_500_000 },
      around: leavingNothing,
      model: { runs: 10 },
      flipped: version === "TLSv1.3"
    })
  }

  conforms("TLSv1.3 over TCP", {
    makePair: secured("TLSv1.3", tcpPair),
    capabilities: {},
    around: leavingNothing,
    model: { runs: 5 },
    flipped: false
  })
})
