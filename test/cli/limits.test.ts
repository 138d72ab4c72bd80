import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Address from "../../src/Address.ts"
import * as Peer from "../support/peer.ts"
import { has, run, shell, tool } from "../support/tool.ts"
import { main } from "../support/tool.ts"

describe("--max-connections", () => {
  it.scopedLive("closes one more at once, and serves again when there is room", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--max-connections", "1")
      const address = yield* server.address
      const first = yield* Peer.connect(address)
      yield* first.exchange("first")
      const refused = yield* Peer.connect(address)
      yield* refused.readAll()
      assert.isTrue(refused.ended)
      assert.isUndefined(refused.code)
      yield* first.exchange("again")
      first.end()
      yield* first.readAll()
      // The end that the peer sees comes a moment before the server has counted it.
      const served = Effect.scoped(Effect.gen(function*() {
        const next = yield* Peer.connect(address)
        yield* next.write("next")
        return (yield* next.readBytes(4)).length === 4
      }))
      yield* Effect.repeat(served, { until: (isServed) => isServed })
      assert.strictEqual(server.stderr, "")
    }))
})

describe("--rate", () => {
  it.scopedLive("bounds the bytes of a second", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--rate", "64KiB")
      const peer = yield* Peer.connect(yield* server.address)
      const start = performance.now()
      peer.socket.write(Buffer.alloc(1 << 20))
      yield* peer.readBytes(128 << 10)
      const seconds = (performance.now() - start) / 1000
      assert.isAbove(seconds, 1.5)
      assert.isBelow(seconds, 8)
      assert.isBelow(peer.received, 256 << 10)
    }))
})

describe("--idle-timeout", () => {
  it.scopedLive("ends a connection on which nothing moves, and says so", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--idle-timeout", "300 millis")
      const peer = yield* Peer.connect(yield* server.address)
      yield* peer.exchange("hello")
      const start = performance.now()
      yield* peer.awaitClosed
      assert.isAbove(performance.now() - start, 200)
      yield* server.says(/^failed \S+ -> \S+: IdleTimeout: .*300ms.*\n$/)
    }))

  it.scopedLive("is no limit to a connection that waits for its share of the rate", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--idle-timeout", "500 millis", "--rate", "8KiB")
      const peer = yield* Peer.connect(yield* server.address)
      peer.socket.end(Buffer.alloc(16 << 10))
      yield* peer.readAll()
      assert.strictEqual(peer.received, 16 << 10)
      assert.isTrue(peer.ended)
    }))
})

describe("--max-per-peer", () => {
  it.scopedLive("closes one more of the same address at once, and says so only when asked", () =>
    Effect.gen(function*() {
      for (const verbose of [true, false]) {
        const server = yield* tool("echo", "tcp:0", "--max-per-peer", "1", ...verbose ? ["--verbose"] : [])
        const address = yield* server.address
        yield* (yield* Peer.connect(address)).exchange("first")
        const refused = yield* Peer.connect(address)
        yield* refused.readAll()
        assert.isTrue(refused.ended)
        if (verbose) yield* server.says(/^open .*\nfailed .*: TooManyConnections: .* 1 of this peer at a time\.\n$/)
        else assert.strictEqual(server.stderr, "")
      }
    }))
})

describe("--total-rate", () => {
  it.scopedLive("bounds the bytes of a second of all connections together", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--total-rate", "64KiB")
      const address = yield* server.address
      const start = performance.now()
      const peers = yield* Effect.replicateEffect(Peer.connect(address), 4)
      for (const peer of peers) peer.socket.write(Buffer.alloc(1 << 20))
      yield* Effect.forEach(peers, (peer) => peer.readBytes(32 << 10), { concurrency: "unbounded" })
      assert.isAbove((performance.now() - start) / 1000, 1.5)
    }))
})

describe("--write-timeout", () => {
  it.scopedLive("ends a connection whose peer takes nothing, though it sends", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--write-timeout", "300 millis")
      const peer = yield* Peer.connect(yield* server.address)
      // More than the buffers of both kernels hold.
      peer.socket.write(Buffer.alloc(32 << 20))
      yield* server.says(/^failed .*: WriteStalled: .*\n$/)
    }))
})

describe("--max-duration", () => {
  it.scopedLive("ends a connection, whatever happens on it", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--max-duration", "400 millis")
      const peer = yield* Peer.connect(yield* server.address)
      yield* Effect.fork(Effect.forever(Effect.zipRight(peer.exchange("x"), Effect.sleep("20 millis"))))
      yield* server.says(/^failed .*: DeadlineExceeded: .*400ms.*\n$/)
    }))
})

describe("--verbose", () => {
  it.scopedLive("a line when a connection opens, and one when it closes", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--verbose")
      const address = yield* server.address
      const peer = yield* Peer.connect(address)
      const label = `127.0.0.1:${peer.socket.localPort} -> ${Address.format(address)}`
      yield* server.says(`open ${label}\n`)
      yield* peer.exchange("hello")
      peer.end()
      yield* server.says(/close/)
      yield* server.until(() => server.complaints.length === 2)
      assert.match(
        server.stderr,
        new RegExp(`close ${label}: 5 bytes in, 5 bytes out, \\d+\\.\\d s: the peer ended first\n$`)
      )
    }))

  it.scopedLive("IPv6 addresses stand in brackets; a loss is told once, by its tag", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0:interface=\\:\\:1", "--verbose")
      const description = yield* server.listening
      assert.match(description, /^tcp:\\:\\:1:\d+$/)
      const peer = yield* Peer.connect(Address.tcp("::1", Number(description.split(":").at(-1))))
      yield* peer.exchange("x")
      peer.reset()
      yield* server.says(/close .*\n/)
      assert.match(
        server.stderr,
        /^open \[::1\]:\d+ -> \[::1\]:\d+\nclose \[::1\]:\d+ -> \[::1\]:\d+: 1 bytes in, 1 bytes out, .* s: ConnectionReset: .*\n$/
      )
    }))
})

describe("--watch", () => {
  it.scopedLive("plain lines where there is no terminal", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--watch")
      const peer = yield* Peer.connect(yield* server.address)
      yield* peer.exchange("x".repeat(4096))
      yield* server.says(/^127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+: .+\/s in, .+\/s out, .+ buffered$/m)
      yield* server.says(/^1 connection: .+\/s in, .+\/s out, .+ buffered$/m)
      assert.notInclude(server.stderr, "\x1b")
    }))

  it.scopedLive.skipIf(!has("script"))(
    "a table that is redrawn in place on a terminal (skipped: script is not installed)",
    () =>
      Effect.gen(function*() {
        const command = `${process.execPath} ${main} echo tcp:0 --watch`
        const server = yield* run("script", ["--quiet", "--flush", "--command", command, "/dev/null"])
        yield* server.until(() => /listening tcp:127\.0\.0\.1:(\d+)/.test(server.output))
        const port = Number(/listening tcp:127\.0\.0\.1:(\d+)/.exec(server.output)![1])
        const peer = yield* Peer.connect(Address.tcp("127.0.0.1", port))
        yield* peer.exchange("x")
        yield* server.until(() => /CONNECTION +IN +OUT +BUFFERED/.test(server.output))
        yield* server.until(() =>
          new RegExp(`\\x1b\\[\\d+A\\x1b\\[J[^]*:${peer.socket.localPort} -> `).test(server.output)
        )
      })
  )
})

describe("a reader of the output that goes away", () => {
  it.scopedLive("does not end the service", () =>
    Effect.gen(function*() {
      const pipe = yield* shell("$tool echo tcp:0 --verbose 2>&1 | { head -1; exec sleep 60 < /dev/null; }")
      const address = yield* pipe.address
      for (const text of ["one", "two"]) {
        const peer = yield* Peer.connect(address)
        yield* peer.exchange(text)
        peer.end()
        yield* peer.readAll()
      }
    }))
})
