import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Tls from "../../src/node/Tls.ts"
import type * as Conformance from "../../src/testing/Conformance.ts"
import { Authority } from "../support/certificates.ts"
import { conforms } from "../support/conforms.ts"
import { tcpPair, unixPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"
import { has } from "../support/tool.ts"

type Secured = (version: Tls.Version, makePair: Conformance.MakePair) => Conformance.MakePair

/** TLS at both ends. The checks know the failures of a bare transport only, and look at their tags. */
const securedBy =
  (layers: (client: Tls.ClientOptions, server: Tls.ServerOptions) => readonly [unknown, unknown]): Secured =>
  (version, makePair) => {
    const authority = new Authority("authority")
    const identity = authority.issue("localhost", ["DNS:localhost"])
    const trust = Effect.runSync(Tls.context({ trustRoots: authority.root.certificate }))
    const context = Effect.runSync(Tls.context({ identity, maxVersion: version }))
    return (limits) => {
      const [client, server] = layers(
        { ...limits, serverName: "localhost", context: trust },
        { ...limits, context }
      ) as readonly [ReturnType<typeof Tls.client>, ReturnType<typeof Tls.server>]
      // A close waits for the carrier's linger time as well.
      return Effect.flatMap(
        makePair({ lingerTimeout: limits.lingerTimeout }),
        ([left, right]) => Effect.all([client(left), server(right)], { concurrency: "unbounded" })
      ) as unknown as ReturnType<
        Conformance.MakePair
      >
    }
  }

const detecting = securedBy((client, server) => [Tls.client(client), Tls.server(server)])

const lenient = securedBy((client, server) => [
  Tls.client({ ...client, truncation: "end" }),
  Tls.server({ ...server, truncation: "end" })
])

const suite = has("openssl") ? describe : describe.skip

suite("TLS (skipped: openssl is not installed)", () => {
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    conforms(`${version} over memory`, {
      makePair: detecting(version, MemoryTransport.pair),
      capabilities: { noDelay: false, keepAlive: false, bulk: 1_500_000 },
      around: leavingNothing,
      model: { runs: 10 },
      flipped: version === "TLSv1.3"
    })
  }

  conforms("TLSv1.3 over TCP", {
    makePair: detecting("TLSv1.3", tcpPair),
    capabilities: {},
    around: leavingNothing,
    model: { runs: 5 },
    flipped: false
  })

  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    conforms(`${version} straight on TCP sockets`, {
      makePair: lenient(version, tcpPair),
      capabilities: {},
      around: leavingNothing,
      model: { runs: 5 },
      flipped: version === "TLSv1.3"
    })
  }

  conforms("TLSv1.3 straight on UNIX sockets", {
    makePair: lenient("TLSv1.3", unixPair),
    capabilities: { reset: false, noDelay: false, keepAlive: false },
    around: leavingNothing,
    model: { runs: 5 },
    flipped: false
  })
})
