import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "../../src/Address.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as Tls from "../../src/node/Tls.ts"
import * as ConnectionLimit from "../../src/policy/ConnectionLimit.ts"
import * as Deadline from "../../src/policy/Deadline.ts"
import * as IdleTimeout from "../../src/policy/IdleTimeout.ts"
import * as Tap from "../../src/policy/Tap.ts"
import * as Throttle from "../../src/policy/Throttle.ts"
import * as Wiretap from "../../src/policy/Wiretap.ts"
import * as WriteStalled from "../../src/policy/WriteStalled.ts"
import * as ProxyProtocol from "../../src/server/ProxyProtocol.ts"
import type * as Conformance from "../../src/testing/Conformance.ts"
import * as FaultLayer from "../../src/testing/FaultLayer.ts"
import * as Rule from "../../src/testing/Rule.ts"
import type { Transport } from "../../src/Transport.ts"
import { Authority } from "../support/certificates.ts"
import { pattern, readAll } from "../support/peer.ts"
import { tcpPair } from "../support/pairs.ts"
import { leavingNothing } from "../support/resources.ts"
import { has } from "../support/tool.ts"

type Any = Transport<unknown>

type Make = (transport: Any) => Effect.Effect<Any, unknown, Scope.Scope>

/** A layer, as it stands at both ends of a connection. */
interface Sides {
  readonly name: string
  readonly client: Make
  readonly server: Make
}

const both = (name: string, make: Make): Sides => ({ name, client: make, server: make })

const secured = (): ReadonlyArray<Sides> => {
  const authority = new Authority("authority")
  const identity = authority.issue("localhost", ["DNS:localhost"])
  const trust = Effect.runSync(Tls.context({ trustRoots: authority.root.certificate }))
  const context = Effect.runSync(Tls.context({ identity }))
  const here = { serverName: "localhost", context: trust } as const
  return [
    { name: "Tls", client: Tls.client(here), server: Tls.server({ context }) },
    {
      name: "Tls that takes any end",
      client: Tls.client({ ...here, truncation: "end" }),
      server: Tls.server({ context, truncation: "end" })
    }
  ]
}

const client = { localAddress: Address.tcp("198.51.100.1", 443), remoteAddress: Address.tcp("203.0.113.7", 40000) }

const layers: ReadonlyArray<Sides> = [
  ...has("openssl") ? secured() : [],
  {
    name: "ProxyProtocol",
    client: ProxyProtocol.write({ client }),
    server: ProxyProtocol.read({ trusted: () => true })
  },
  both("Throttle", Throttle.make({ read: 1e9, write: 1e9 })),
  both("IdleTimeout", IdleTimeout.make({ duration: "1 minute" })),
  both("WriteStalled", WriteStalled.make({ duration: "1 minute" })),
  both("Deadline", Deadline.make({ duration: "1 minute" })),
  both(
    "ConnectionLimit",
    (transport) => Effect.flatMap(ConnectionLimit.make({ total: 1, perPeer: 1 }), ({ admit }) => admit(transport))
  ),
  both("Wiretap", Wiretap.make(Wiretap.pcapng(() => {}))),
  both("Tap", Tap.make(() => ({ read: () => {}, written: () => {}, pressed: () => {}, closed: () => {} }))),
  both("FaultLayer", FaultLayer.make({ rules: [Rule.slice({ size: 1000, variation: 500 })] }))
]

const stacked = (layers: ReadonlyArray<Sides>, side: "client" | "server"): Make =>
  layers.reduce<Make>((below, layer) => NetworkLayer.compose(below, layer[side]), NetworkLayer.identity)

/** Small chunks, and one that is more than a buffer; then the end. */
const send = (transport: Any, bytes: Uint8Array) =>
  Effect.gen(function*() {
    for (const [from, to] of [[0, 1], [1, 1000], [1000, 1001], [1001, 40_000], [40_000, 120_000]]) {
      yield* transport.write(bytes.subarray(from, to))
    }
    yield* transport.closeWrite
  })

/** Each end sends, and gets what the other one sends, to the end; both have ended in order. */
const transfers = (layers: ReadonlyArray<Sides>, makePair: Conformance.MakePair) =>
  Effect.gen(function*() {
    const pair = yield* makePair({})
    const ends = yield* Effect.all([stacked(layers, "client")(pair[0]), stacked(layers, "server")(pair[1])], {
      concurrency: "unbounded"
    })
    const bytes = [pattern(120_000), pattern(120_000).toReversed()] as const
    const [atClient, atServer] = yield* Effect.all(
      [readAll(ends[0]), readAll(ends[1]), send(ends[0], bytes[0]), send(ends[1], bytes[1])],
      { concurrency: "unbounded" }
    )
    assert.isTrue(atServer.equals(bytes[0]))
    assert.isTrue(atClient.equals(bytes[1]))
    for (const end of [...ends, ...pair]) {
      assert.deepInclude(yield* end.closed, { _tag: "Clean", peerEnded: true })
    }
  })

const nameOf = (layers: ReadonlyArray<Sides>) => layers.map(({ name }) => name).join(", then ")

describe("bytes go both ways, and their ends, in memory, through", () => {
  for (const first of layers) {
    for (const second of layers) {
      const stack = [first, second]
      it.live(nameOf(stack), () => Effect.scoped(transfers(stack, MemoryTransport.pair)))
    }
  }
})

const named = (...names: ReadonlyArray<string>) =>
  names.flatMap((name) => layers.filter((layer) => layer.name === name))

describe("bytes go both ways, and their ends, over TCP, through", () => {
  const stacks = [
    ...layers.map((layer) => [layer]),
    // As the tool has them.
    named("ConnectionLimit", "ProxyProtocol", "Tls", "Wiretap", "WriteStalled", "Deadline", "Throttle", "IdleTimeout"),
    named("Tls that takes any end", "ProxyProtocol", "Tls", "FaultLayer"),
    layers.toReversed()
  ]
  for (const stack of stacks) {
    it.live(nameOf(stack), () => leavingNothing(transfers(stack, tcpPair)))
  }
})
