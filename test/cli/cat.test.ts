import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import * as Address from "../../src/Address.ts"
import * as Endpoint from "../../src/Endpoint.ts"
import { sha256 } from "../support/bytes.ts"
import * as Peer from "../support/peer.ts"
import { blackHole, shell, tool } from "../support/tool.ts"

const listen = Effect.flatMap(Peer.free("tcp"), (address) => Peer.listen(address))

const catTo = (server: Peer.PeerServer) => tool("cat", Endpoint.describeClient(server.address))

/** Writes for as long as the peer is there. */
const flood = (peer: Peer.Peer, chunk: Uint8Array, written = () => {}) =>
  Effect.repeat(Effect.tap(peer.write(chunk), () => Effect.sync(written)), { while: () => peer.socket.writable })

describe("cat", () => {
  it.scopedLive("sends stdin and half-closes at its end, prints what comes until the peer ends, exits 0", () =>
    Effect.gen(function*() {
      const server = yield* listen
      const cat = yield* catTo(server)
      const peer = yield* server.accept
      cat.child.stdin!.end("question")
      yield* peer.readAll()
      assert.strictEqual(peer.text, "question")
      assert.isTrue(peer.ended)
      yield* peer.write("answer")
      peer.end()
      assert.deepStrictEqual(yield* cat.ended, { code: 0, signal: null })
      assert.strictEqual(cat.output, "answer")
      assert.strictEqual(cat.stderr, "")
    }))

  it.scopedLive("ends when the peer ends, though stdin goes on", () =>
    Effect.gen(function*() {
      const server = yield* listen
      const cat = yield* catTo(server)
      const peer = yield* server.accept
      peer.socket.end("bye")
      assert.deepStrictEqual(yield* cat.ended, { code: 0, signal: null })
      assert.strictEqual(cat.output, "bye")
    }))

  it.scopedLive("a UNIX socket will do", () =>
    Effect.gen(function*() {
      const server = yield* Effect.flatMap(Peer.free("unix"), (address) => Peer.listen(address))
      const cat = yield* catTo(server)
      const peer = yield* server.accept
      peer.socket.end("bye")
      assert.strictEqual((yield* cat.ended).code, 0)
      assert.strictEqual(cat.output, "bye")
    }))

  it.scopedLive("20 MiB come back whole from the tool's own echo", () =>
    Effect.gen(function*() {
      const echo = yield* tool("echo", "tcp:0")
      const bytes = randomBytes(20 << 20)
      const cat = yield* tool("cat", yield* echo.listening)
      for (let at = 0; at < bytes.length; at += 1 << 20) cat.child.stdin!.write(bytes.subarray(at, at + (1 << 20)))
      cat.child.stdin!.end()
      assert.strictEqual((yield* cat.ended).code, 0)
      assert.strictEqual(sha256(cat.stdout), sha256(bytes))
      assert.strictEqual(cat.stderr, "")
    }))

  for (const stdin of ["open", "ended"] as const) {
    it.scopedLive(`data that a reset follows at once: the data is there, and the reset too (stdin ${stdin})`, () =>
      Effect.gen(function*() {
        const server = yield* listen
        const cat = yield* catTo(server)
        const peer = yield* server.accept
        // Not before it knows that it is connected: libuv gives up on a connection that is reset until then.
        cat.child.stdin!.write("go")
        if (stdin === "ended") cat.child.stdin!.end()
        yield* stdin === "ended" ? peer.readAll() : peer.readBytes(2)
        yield* peer.write("the last words")
        peer.reset()
        assert.deepStrictEqual(yield* cat.ended, { code: 1, signal: null })
        assert.strictEqual(cat.output, "the last words")
        assert.match(cat.stderr, /^ConnectionReset: .*\n$/)
      }))
  }

  it.scopedLive("a reset out of the blue exits 1", () =>
    Effect.gen(function*() {
      const server = yield* listen
      const cat = yield* catTo(server)
      const peer = yield* server.accept
      yield* peer.write("x")
      yield* cat.until(() => cat.output === "x")
      peer.reset()
      assert.strictEqual((yield* cat.ended).code, 1)
      assert.match(cat.stderr, /^ConnectionReset: .*\n$/)
    }))

  it.scopedLive("exits 1 where nobody listens", () =>
    Effect.gen(function*() {
      const address = (yield* Effect.scoped(listen)).address
      const cat = yield* tool("cat", Endpoint.describeClient(address))
      assert.strictEqual((yield* cat.ended).code, 1)
      assert.match(cat.stderr, new RegExp(`^ConnectionRefused: .*${Address.format(address)}.*\n$`))
      assert.strictEqual(cat.output, "")
    }))

  it.scopedLive("exits 1 for a name that there is not", () =>
    Effect.gen(function*() {
      const cat = yield* tool("cat", "tcp:does-not-exist.invalid:1")
      assert.strictEqual((yield* cat.ended).code, 1)
      assert.match(cat.stderr, /^(HostNotFound|ResolverUnavailable): .*does-not-exist\.invalid.*\n$/)
    }))

  it.scopedLive("exits 1 at the deadline of the description", () =>
    Effect.gen(function*() {
      const port = yield* blackHole
      const cat = yield* tool("cat", `tcp:127.0.0.1:${port}:timeout=0.3`)
      assert.strictEqual((yield* cat.ended).code, 1)
      assert.match(cat.stderr, /^ConnectTimeout: .*\n$/)
    }))

  it.scopedLive("a stdout that nobody reads holds the peer back", () =>
    Effect.gen(function*() {
      const server = yield* listen
      const cat = yield* catTo(server)
      cat.child.stdout!.pause()
      const peer = yield* server.accept
      const megabyte = Buffer.alloc(1 << 20)
      const sent = { megabytes: 0 }
      yield* Effect.fork(flood(peer, megabyte, () => sent.megabytes++))
      // The flow has stopped when nothing moves for a while; only time can tell.
      let before = -1
      while (sent.megabytes !== before) {
        before = sent.megabytes
        yield* Effect.sleep("400 millis")
      }
      assert.isBelow(before, 24)
      cat.child.stdout!.resume()
      yield* cat.until(() => cat.printed > (before + 1) << 20)
    }))

  it.scopedLive("a reader that has seen enough is no failure", () =>
    Effect.gen(function*() {
      const server = yield* listen
      const pipe = yield* shell("$tool cat \"$to\" | head -1; echo \"${PIPESTATUS[0]}\"", {
        to: Endpoint.describeClient(server.address)
      })
      const peer = yield* server.accept
      const line = Buffer.alloc(65536, "line\n")
      yield* Effect.fork(flood(peer, line))
      yield* pipe.ended
      assert.strictEqual(pipe.output, "line\n0\n")
      assert.strictEqual(pipe.stderr, "")
    }))

  it.scopedLive("a stdout that cannot take it exits 1", () =>
    Effect.gen(function*() {
      const server = yield* listen
      const cat = yield* shell("exec $tool cat \"$to\" > /dev/full", { to: Endpoint.describeClient(server.address) })
      const peer = yield* server.accept
      yield* peer.write("x")
      assert.strictEqual((yield* cat.ended).code, 1)
      assert.match(cat.stderr, /^OutputFailed: .*ENOSPC.*\n$/)
    }))

  for (const [what, from, code] of [["cannot be read", "0> /dev/null", "EBADF"], ["is a directory", "< /", "EISDIR"]]) {
    it.scopedLive(`a stdin that ${what} exits 1`, () =>
      Effect.gen(function*() {
        const server = yield* listen
        const cat = yield* shell(`exec $tool cat "$to" ${from}`, { to: Endpoint.describeClient(server.address) })
        assert.strictEqual((yield* cat.ended).code, 1)
        assert.match(cat.stderr, new RegExp(`^InputFailed: .*${code}.*\\n$`))
      }))
  }

  it.scopedLive("a signal ends it", () =>
    Effect.gen(function*() {
      const server = yield* listen
      const cat = yield* catTo(server)
      yield* server.accept
      cat.kill("SIGTERM")
      assert.deepStrictEqual(yield* cat.ended, { code: null, signal: "SIGTERM" })
    }))
})
