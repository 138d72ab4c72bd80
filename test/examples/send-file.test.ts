import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import * as Address from "../../src/Address.ts"
import { sha256 } from "../support/bytes.ts"
import * as Example from "../support/example.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

const size = 20 << 20

const sending = Effect.gen(function*() {
  const path = `${yield* Peer.directory}/file`
  const bytes = randomBytes(size)
  writeFileSync(path, bytes)
  const server = yield* Example.server("send-file", path)
  return { bytes, port: server.port, program: server.program }
})

describe.skipIf(!has("nc"))("a file that is sent to nc (skipped: nc is not installed)", () => {
  it.scopedLive("comes whole, with its progress shown", () =>
    Effect.gen(function*() {
      const { bytes, port, program } = yield* sending
      const nc = yield* run("nc", ["-d", "127.0.0.1", port])
      assert.strictEqual((yield* nc.ended).code, 0)
      assert.strictEqual(sha256(nc.stdout), sha256(bytes))
      yield* program.until(() => program.output.includes(`was sent ${size} bytes\n`))
      const progress = [...program.output.matchAll(/^(\d+) %$/gm)].map(([, percent]) => Number(percent))
      assert.deepStrictEqual(progress, progress.toSorted((a, b) => a - b))
      assert.isAtLeast(progress.length, 9)
      assert.strictEqual(program.stderr, "")
    }))
})

describe("a peer that leaves", () => {
  it.scopedLive("is told from one that has it all", () =>
    Effect.gen(function*() {
      const { port, program } = yield* sending
      const peer = yield* Peer.connect(Address.tcp("127.0.0.1", Number(port)))
      yield* peer.readBytes(1)
      peer.reset()
      yield* program.says(/^Sending stopped after \d+ bytes, .*\n/)
      assert.notInclude(program.output, "was sent")
    }))
})
