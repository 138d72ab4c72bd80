import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import * as Address from "../../src/Address.ts"
import * as Endpoint from "../../src/Endpoint.ts"
import * as Peer from "../support/peer.ts"
import { blackHole, tool } from "../support/tool.ts"

/** A server, a relay before it, and a client that is joined to it. */
const joined = Effect.gen(function*() {
  const server = yield* Effect.flatMap(Peer.free("tcp"), (address) => Peer.listen(address))
  const relay = yield* tool("relay", "tcp:0", Endpoint.describeClient(server.address))
  const client = yield* Peer.connect(yield* relay.address)
  const target = yield* server.accept
  return { server, relay, client, target }
})

describe("relay", () => {
  it.scopedLive("carries bytes both ways", () =>
    Effect.gen(function*() {
      const { client, relay, target } = yield* joined
      yield* client.write("question")
      yield* target.readBytes(8)
      yield* target.write("answer")
      yield* client.readBytes(6)
      assert.strictEqual(target.text, "question")
      assert.strictEqual(client.text, "answer")
      assert.strictEqual(relay.stderr, "")
    }))

  for (const first of ["client", "target"] as const) {
    it.scopedLive(`passes the half-close of the ${first} on, and 20 MiB the other way after it`, () =>
      Effect.gen(function*() {
        const ends = yield* joined
        const one = ends[first]
        const other = ends[first === "client" ? "target" : "client"]
        one.socket.end("done")
        yield* other.readAll()
        assert.strictEqual(other.text, "done")
        assert.isTrue(other.ended)
        const bytes = randomBytes(20 << 20)
        other.socket.end(bytes)
        assert.isTrue(bytes.equals(yield* one.readAll()))
        assert.isTrue(one.ended)
        assert.strictEqual(ends.relay.stderr, "")
      }))

    it.scopedLive(`passes the reset of the ${first} on as a reset, and tells it`, () =>
      Effect.gen(function*() {
        const ends = yield* joined
        const one = ends[first]
        const other = ends[first === "client" ? "target" : "client"]
        yield* one.write("x")
        yield* other.readBytes(1)
        one.reset()
        yield* other.awaitClosed
        assert.strictEqual(other.code, "ECONNRESET")
        assert.isFalse(other.ended)
        yield* ends.relay.says(/^failed 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+: ConnectionReset: .*\n$/)
      }))
  }

  it.scopedLive("a failed dial closes the accepted side, is told by its tag, and the next is served", () =>
    Effect.gen(function*() {
      const free = yield* Peer.free("tcp")
      const { address } = yield* Effect.scoped(Peer.listen(free))
      const relay = yield* tool("relay", "tcp:0", Endpoint.describeClient(address))
      const client = yield* Peer.connect(yield* relay.address)
      yield* client.write("is anybody there?")
      yield* client.readAll()
      assert.isTrue(client.ended)
      assert.strictEqual(client.text, "")
      yield* relay.says(
        new RegExp(`^failed 127\\.0\\.0\\.1:\\d+ -> \\S+: ConnectionRefused: .*${Address.format(address)}.*\n$`)
      )
      const server = yield* Peer.listen(address)
      const next = yield* Peer.connect(yield* relay.address)
      yield* server.accept
      assert.isFalse(next.ended)
    }))

  it.scopedLive("reads nothing from the accepted side before there is somewhere to send it", () =>
    Effect.gen(function*() {
      const relay = yield* tool("relay", "tcp:0", `tcp:127.0.0.1:${yield* blackHole}:timeout=0.5`)
      const { port } = yield* relay.address
      const client = yield* Peer.connect(Address.tcp("127.0.0.1", port))
      yield* client.write("early")
      yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => unread(port, client.socket.localPort!) === 5 })
      yield* relay.says(/^failed .*: ConnectTimeout: .*\n$/)
      yield* client.readAll()
      assert.isTrue(client.ended)
    }))
})

/** What lies in the kernel for the socket with these ports, unread: `rx_queue` in proc(5), hexadecimal. */
const unread = (localPort: number, remotePort: number): number => {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0")
  const sockets = readFileSync("/proc/net/tcp", "utf8").split("\n")
  const line = sockets.find((line) => line.includes(`:${hex(localPort)} 0100007F:${hex(remotePort)} `))
  return parseInt(/ [0-9A-F]{8}:([0-9A-F]{8}) /.exec(line ?? "")?.[1] ?? "0", 16)
}
