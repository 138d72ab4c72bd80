import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { statSync } from "node:fs"
import * as Address from "../../src/Address.ts"
import * as Peer from "../support/peer.ts"
import { shell, tool } from "../support/tool.ts"

const echo = (...options: ReadonlyArray<string>) => tool("echo", "tcp:0", ...options)

describe("echo", () => {
  it.scopedLive("says where it listens, and answers there byte by byte", () =>
    Effect.gen(function*() {
      const server = yield* echo()
      assert.match(yield* server.listening, /^tcp:127\.0\.0\.1:[1-9]\d*$/)
      const peer = yield* Peer.connect(yield* server.address)
      yield* peer.write("a")
      yield* peer.readBytes(1)
      yield* peer.write("bc\n")
      yield* peer.readBytes(4)
      assert.strictEqual(peer.text, "abc\n")
      assert.strictEqual(server.output, `listening ${yield* server.listening}\n`)
    }))

  it.scopedLive("serves on when it cannot say so, and exits 1", () =>
    Effect.gen(function*() {
      const server = yield* shell("exec $tool echo tcp:0 --verbose 2> /dev/full")
      const peer = yield* Peer.connect(yield* server.address)
      yield* peer.write("a")
      yield* peer.readBytes(1)
      server.kill("SIGTERM")
      peer.end()
      assert.strictEqual((yield* server.ended).code, 1)
    }))

  it.scopedLive("sends back all 20 MiB after the peer's half-close, and its own end", () =>
    Effect.gen(function*() {
      const server = yield* echo()
      const peer = yield* Peer.connect(yield* server.address)
      const bytes = randomBytes(20 << 20)
      peer.socket.write(bytes)
      peer.end()
      assert.isTrue(bytes.equals(yield* peer.readAll({ slow: true })))
      assert.isTrue(peer.ended)
      assert.isUndefined(peer.code)
      assert.strictEqual(server.stderr, "")
    }))

  it.scopedLive("stops reading from a peer that never reads: a few MiB, and its memory stays flat", () =>
    Effect.gen(function*() {
      const server = yield* echo()
      const peer = yield* Peer.connect(yield* server.address)
      yield* peer.write("warm")
      yield* peer.readBytes(4)
      peer.socket.pause()
      const before = server.residentMiB
      const chunk = Buffer.alloc(1 << 20)
      let sent = 0
      yield* Effect.fork(Effect.repeat(Effect.tap(peer.write(chunk), () => Effect.sync(() => sent++)), {
        while: () => peer.socket.writable
      }))
      // The flow has stopped when nothing moves for a while; only time can tell.
      let last = -1
      while (sent !== last) {
        last = sent
        yield* Effect.sleep("500 millis")
      }
      assert.isBelow(sent, 32)
      assert.isBelow(server.residentMiB - before, 16)
    }))

  it.scopedLive("a UNIX socket has the mode that was asked for, and goes with the server", () =>
    Effect.gen(function*() {
      const path = `${yield* Peer.directory}/s`
      const server = yield* tool("echo", `unix:${path}:mode=600`)
      assert.strictEqual(yield* server.listening, `unix:${path}`)
      assert.strictEqual(statSync(path).mode & 0o777, 0o600)
      const peer = yield* Peer.connect(Address.unix(path))
      yield* peer.write("hello")
      yield* peer.readBytes(5)
      assert.strictEqual(peer.text, "hello")
      server.kill("SIGTERM")
      assert.strictEqual((yield* server.ended).code, 0)
      assert.isUndefined(statSync(path, { throwIfNoEntry: false }))
    }))

  it.scopedLive("tells of a reset in one line, and serves on", () =>
    Effect.gen(function*() {
      const server = yield* echo()
      const address = yield* server.address
      const peer = yield* Peer.connect(address)
      const from = `127.0.0.1:${peer.socket.localPort}`
      yield* peer.write("x")
      yield* peer.readBytes(1)
      peer.reset()
      yield* server.says("\n")
      assert.match(server.stderr, new RegExp(`^failed ${from} -> ${Address.format(address)}: ConnectionReset: .*\n$`))
      const next = yield* Peer.connect(address)
      yield* next.write("y")
      yield* next.readBytes(1)
    }))
})

describe("echo --lines", () => {
  it.scopedLive("answers a line when it is complete, and the unterminated last one as it is", () =>
    Effect.gen(function*() {
      const server = yield* echo("--lines")
      const peer = yield* Peer.connect(yield* server.address)
      yield* peer.write("one\ntw")
      yield* peer.readBytes(4)
      assert.strictEqual(peer.text, "one\n")
      yield* peer.write("o\n\nthree")
      yield* peer.readBytes(9)
      assert.strictEqual(peer.text, "one\ntwo\n\n")
      peer.end()
      yield* peer.readAll()
      assert.strictEqual(peer.text, "one\ntwo\n\nthree")
      assert.strictEqual(server.stderr, "")
    }))

  it.scopedLive("sends back 5 MiB of long and short lines as they were, whatever stands in them", () =>
    Effect.gen(function*() {
      const server = yield* echo("--lines")
      const peer = yield* Peer.connect(yield* server.address)
      // One byte in 64 is a line feed, and one a carriage return.
      const bytes = randomBytes(5 << 20).map((byte) => byte & 63)
      peer.socket.write(bytes)
      peer.end()
      assert.isTrue(Buffer.from(bytes).equals(yield* peer.readAll({ slow: true })))
      assert.isUndefined(peer.code)
      assert.strictEqual(server.stderr, "")
    }))

  it.scopedLive("a line of 64 KiB passes", () =>
    Effect.gen(function*() {
      const server = yield* echo("--lines")
      const peer = yield* Peer.connect(yield* server.address)
      const line = `${"x".repeat(65536)}\n`
      yield* peer.write(line)
      yield* peer.readBytes(line.length)
      assert.strictEqual(peer.text, line)
    }))

  it.scopedLive("a longer one closes its connection, which is reported, and no other", () =>
    Effect.gen(function*() {
      const server = yield* echo("--lines")
      const address = yield* server.address
      const other = yield* Peer.connect(address)
      const peer = yield* Peer.connect(address)
      yield* peer.write(`before\n${"x".repeat(65537)}`)
      yield* peer.readAll()
      assert.strictEqual(peer.text, "before\n")
      assert.isTrue(peer.ended)
      yield* server.says(`failed 127.0.0.1:${peer.socket.localPort} -> ${Address.format(address)}: FrameTooLong: `)
      assert.strictEqual(server.complaints.length, 1)
      yield* other.write("still here\n")
      yield* other.readBytes(11)
      assert.strictEqual(other.text, "still here\n")
    }))
})
