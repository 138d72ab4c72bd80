import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as util from "node:util"
import * as Address from "../../src/Address.ts"
import * as Framed from "../../src/framing/Framed.ts"
import * as Lines from "../../src/framing/Lines.ts"
import * as Listener from "../../src/Listener.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as Server from "../../src/server/Server.ts"

// What hangs on it is large and in circles: a test runner that prints it would be busy for minutes.
const shows = (thing: unknown, expected: object) => {
  assert.deepStrictEqual(JSON.parse(JSON.stringify(thing)), expected)
  assert.deepStrictEqual(JSON.parse(String(thing)), expected)
  assert.strictEqual(util.inspect(thing), util.inspect(expected))
}

describe("who prints", () => {
  it.scoped("a transport, or messages on it, sees its addresses and counters, and nothing of its inside", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      const expected = { _id: "Transport", localAddress: "left", remoteAddress: "right", ...left.stats() }
      shows(left, expected)
      shows(NetworkLayer.derive(left, {}), expected)
      shows(yield* Framed.duplex(left, Lines.text()), { _id: "Framed", transport: expected })
    }))

  it.scoped("a listener or a server sees addresses and counters", () =>
    Effect.gen(function*() {
      const { listener } = Listener.make({ address: Address.memory("here"), maxPending: 1, stop: Effect.void })
      shows(listener, { _id: "Listener", address: "here", ...listener.stats() })
      const server = yield* Server.make(listener, () => Effect.void)
      shows(server, { _id: "Server", listeners: ["here"], phase: "Accepting", ...server.stats() })
    }))
})
