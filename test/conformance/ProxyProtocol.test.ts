import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Address from "../../src/Address.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as ProxyProtocol from "../../src/server/ProxyProtocol.ts"
import * as Conformance from "../../src/testing/Conformance.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { tcpPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"

const client = { localAddress: Address.tcp("198.51.100.1", 443), remoteAddress: Address.tcp("203.0.113.7", 40000) }

/** A connection that has begun with a header. */
const behindProxy = (makePair: Conformance.MakePair): Conformance.MakePair => (limits) =>
  Effect.gen(function*() {
    const [proxy, server] = yield* makePair(limits)
    const written = yield* Effect.orDie(ProxyProtocol.write({ client })(proxy))
    return [written, yield* Effect.orDie(ProxyProtocol.read({ trusted: () => true })(server))] as const
  })

// The addresses are the client's, the carrier has been read from, and its counters, which losses tell too, have the header.
const otherwise: ReadonlySet<string> = new Set([
  "each side's local address is the other side's remote address",
  "no byte is taken before the first pull",
  "the counters of both ends agree",
  "the counters stay as they were when it ended",
  "an operation does nothing until it is run, and runs anew each time",
  "close sends everything that was accepted, and then the end",
  "a close that takes longer than closeTimeout aborts, and tells what is unsent",
  "after close every kind of write is refused, the empty one as well",
  "a loss tells what was read, written and left unsent",
  "a Scope that ends with success sends what was accepted"
])

const conforms = (
  name: string,
  makePair: Conformance.MakePair,
  capabilities: Conformance.Capabilities,
  around: (check: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown>
) => {
  const behind = behindProxy(makePair)
  const ends = [["at the proxy's end", behind], ["at the server's end", Conformance.flip(behind)]] as const
  describe.each(ends)(`a connection with a PROXY header, ${name}, %s`, (_, end) => {
    for (const check of Conformance.checks(capabilities)) {
      if (!otherwise.has(check.name)) it.live(check.name, () => around(check.run(end)))
    }
  })
}

const capabilities = { noDelay: false, keepAlive: false, bulk: 1_000_000 }
conforms("in memory", (limits) => MemoryTransport.pair(limits), capabilities, VirtualClock.run)
conforms("over TCP", tcpPair, {}, leavingNothing)
