import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as Endpoint from "../../src/Endpoint.ts"
import * as Peer from "../support/peer.ts"
import { main, run, tool } from "../support/tool.ts"

const answered = (peer: Peer.Peer) => Effect.zipRight(peer.write("x"), peer.readBytes(1))

/** Enough that neither side's kernel buffers hold it: its echo is stuck until the peer reads. */
const much = Buffer.alloc(16 << 20)

const busy = Effect.gen(function*() {
  const server = yield* tool("echo", "tcp:0")
  const peer = yield* Peer.connect(yield* server.address)
  yield* answered(peer)
  peer.socket.pause()
  peer.socket.end(much)
  return { server, peer }
})

const isClosed = (server: Effect.Effect.Success<ReturnType<typeof tool>>) =>
  Effect.gen(function*() {
    const address = yield* server.address
    const dial = Effect.scoped(Effect.map(Peer.connect(address), ({ code }) => code))
    yield* Effect.repeat(dial, { until: (code) => code === "ECONNREFUSED" })
  })

describe("SIGTERM, SIGINT and SIGHUP", () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    it.scopedLive(`${signal} ends idle connections at once and exits 0`, () =>
      Effect.gen(function*() {
        const server = yield* tool("echo", "tcp:0")
        const peer = yield* Peer.connect(yield* server.address)
        yield* answered(peer)
        const start = performance.now()
        server.kill(signal)
        yield* peer.readAll()
        assert.isTrue(peer.ended)
        peer.end()
        assert.deepStrictEqual(yield* server.ended, { code: 0, signal: null })
        assert.isBelow(performance.now() - start, 2500)
        assert.strictEqual(server.stderr, "")
      }))
  }

  it.scopedLive("one that comes as soon as it listens: exits 0, and leaves no file of a UNIX socket", () =>
    Effect.gen(function*() {
      const path = `${yield* Peer.directory}/s`
      // No process hears of the file as fast as one that waits for nothing else.
      const signaller = yield* run("python3", [
        "-c",
        `
import os, signal, subprocess, sys
tool = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
while not os.path.exists(sys.argv[1]) and tool.poll() is None: pass
tool.send_signal(signal.SIGTERM)
sys.exit(tool.wait())
`,
        path,
        ...[process.execPath, main, "echo", `unix:${path}`]
      ])
      assert.deepStrictEqual(yield* signaller.ended, { code: 0, signal: null }, signaller.stderr)
      assert.isFalse(fs.existsSync(path))
    }))

  it.scopedLive("an idle relay ends on both sides", () =>
    Effect.gen(function*() {
      const target = yield* Effect.flatMap(Peer.free("tcp"), (address) => Peer.listen(address))
      const relay = yield* tool("relay", "tcp:0", Endpoint.describeClient(target.address))
      const client = yield* Peer.connect(yield* relay.address)
      const server = yield* target.accept
      yield* client.write("x")
      yield* server.readBytes(1)
      relay.kill("SIGTERM")
      yield* client.readAll()
      yield* server.readAll()
      assert.isTrue(client.ended && server.ended)
      assert.strictEqual((yield* relay.ended).code, 0)
      assert.strictEqual(relay.stderr, "")
    }))

  it.scopedLive("accepting stops, and a connection that is busy gets all that is due to it", () =>
    Effect.gen(function*() {
      const { peer, server } = yield* busy
      server.kill("SIGTERM")
      yield* isClosed(server)
      assert.isUndefined(server.exit)
      const bytes = yield* peer.readAll()
      assert.strictEqual(bytes.length, much.length + 1)
      assert.isTrue(peer.ended)
      assert.strictEqual((yield* server.ended).code, 0)
    }))

  it.scopedLive("what is busy after 5 seconds is cut, and told", () =>
    Effect.gen(function*() {
      const { peer, server } = yield* busy
      const start = performance.now()
      server.kill("SIGINT")
      assert.strictEqual((yield* server.ended).code, 0)
      const seconds = (performance.now() - start) / 1000
      assert.isAbove(seconds, 4.5)
      assert.isBelow(seconds, 9)
      assert.match(server.stderr, /^failed .*: ConnectionAborted: .*\n$/)
      yield* peer.readAll()
      assert.strictEqual(peer.code, "ECONNRESET")
    }))

  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
    it.scopedLive(`a second ${signal} exits ${code} at once`, () =>
      Effect.gen(function*() {
        const { server } = yield* busy
        server.kill("SIGTERM")
        yield* isClosed(server)
        const start = performance.now()
        server.kill(signal)
        assert.deepStrictEqual(yield* server.ended, { code, signal: null })
        assert.isBelow(performance.now() - start, 2000)
      }))
  }
})
