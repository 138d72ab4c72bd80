import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { sha256 } from "../support/bytes.ts"
import * as Peer from "../support/peer.ts"
import { has, run, tool } from "../support/tool.ts"

const size = 8 << 20

/** Sends bytes through a program that is joined to an echo, to the end. */
const echoed = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const bytes = randomBytes(size)
    const program = yield* run(command, args)
    program.child.stdin!.end(bytes)
    assert.strictEqual((yield* program.ended).code, 0)
    assert.strictEqual(sha256(program.stdout), sha256(bytes))
  })

describe.skipIf(!has("nc"))("nc (skipped: nc is not installed)", () => {
  it.scopedLive("is answered by echo over TCP", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0")
      yield* echoed("nc", "-N", "127.0.0.1", `${(yield* server.address).port}`)
      assert.strictEqual(server.stderr, "")
    }))

  it.scopedLive("is answered by echo over a UNIX socket", () =>
    Effect.gen(function*() {
      const path = `${yield* Peer.directory}/s`
      const server = yield* tool("echo", `unix:${path}`)
      yield* server.listening
      yield* echoed("nc", "-N", "-U", path)
      assert.strictEqual(server.stderr, "")
    }))

  it.scopedLive("listens for cat", () =>
    Effect.gen(function*() {
      const path = `${yield* Peer.directory}/s`
      const server = yield* run("nc", ["-l", "-v", "-N", "-U", path])
      yield* server.says(/Listening|Bound/)
      server.child.stdin!.end("from nc")
      const cat = yield* tool("cat", `unix:${path}`)
      cat.child.stdin!.end("from cat")
      assert.strictEqual((yield* cat.ended).code, 0)
      assert.strictEqual(cat.output, "from nc")
      yield* server.ended
      assert.strictEqual(server.output, "from cat")
    }))
})

describe.skipIf(!has("socat"))("socat (skipped: socat is not installed)", () => {
  it.scopedLive("is answered by echo over TCP", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0")
      yield* echoed("socat", "-t", "10", "-", `TCP:127.0.0.1:${(yield* server.address).port}`)
      assert.strictEqual(server.stderr, "")
    }))

  it.scopedLive("is answered by echo over a UNIX socket", () =>
    Effect.gen(function*() {
      const path = `${yield* Peer.directory}/s`
      const server = yield* tool("echo", `unix:${path}`)
      yield* server.listening
      yield* echoed("socat", "-t", "10", "-", `UNIX-CONNECT:${path}`)
      assert.strictEqual(server.stderr, "")
    }))

  it.scopedLive("is answered by echo --lines", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "tcp:0", "--lines")
      const client = yield* run("socat", ["-t", "10", "-", `TCP:127.0.0.1:${(yield* server.address).port}`])
      const text = Array.from({ length: 10_000 }, (_, line) => `line ${line}\n`).join("")
      client.child.stdin!.end(text)
      assert.strictEqual((yield* client.ended).code, 0)
      assert.strictEqual(client.output, text)
    }))
})
