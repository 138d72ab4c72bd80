import type * as Socket from "@effect/platform/Socket"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Driver from "../../src/Driver.ts"
import * as PlatformSocket from "../../src/interop/PlatformSocket.ts"
import * as SocketTransport from "../../src/interop/SocketTransport.ts"
import * as Conformance from "../../src/testing/Conformance.ts"
import type { Transport } from "../../src/Transport.ts"
import { tcpPair } from "../support/pairs.ts"

/** The checks know the failures of the library: a Socket has others. */
const transport = (socket: Socket.Socket, options: SocketTransport.Options) =>
  SocketTransport.fromSocket(socket, options) as Effect.Effect<Transport, Socket.SocketError, Scope.Scope>

/** Closed when its run is over, as a connection that was dialled is. */
const socketOf = (connection: Transport) => PlatformSocket.make(Driver.closeWithScope(connection), { concurrency: 1 })

const pair: Conformance.MakePair = (limits) =>
  Effect.gen(function*() {
    const [left, right] = yield* tcpPair(limits)
    const options = { ...limits, halfClose: true }
    return [yield* transport(yield* socketOf(left), options), yield* transport(yield* socketOf(right), options)]
  })

/** What no Socket of the platform can promise. */
const lacking = {
  "It receives from when it is opened.": ["no byte is taken before the first pull"],
  "Its run ends with the peer's end, and its connection with that.": [
    "after the peer's end writing goes on",
    "the peer's end does not disturb a write that waits",
    "after closeWrite reading goes on",
    "with no linger time, close does not wait for the peer's end"
  ],
  "Its failures have names of their own.": [
    "a write that waits fails when the peer is gone",
    "writing to a peer that is gone fails in the end, and from then on"
  ]
}

const checks = Conformance.checks({ noDelay: false, keepAlive: false, reset: false, mirroredAddresses: false })
const excepted = new Set(Object.values(lacking).flat())

describe("SocketTransport over the library's own Sockets", () => {
  for (const check of checks) {
    if (!excepted.has(check.name)) it.live(check.name, () => check.run(pair))
  }

  it("leaves out promises that there are", () => {
    const names = new Set(checks.map(({ name }) => name))
    assert.deepStrictEqual([...excepted].filter((name) => !names.has(name)), [])
  })
})
