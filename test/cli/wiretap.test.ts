import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { Authority } from "../support/certificates.ts"
import * as Peer from "../support/peer.ts"
import { has, run, tool } from "../support/tool.ts"

/** What tshark says of each packet with data. */
const fields = (file: string, ...names: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const shown = names.flatMap((name) => ["-e", name])
    const program = yield* run("tshark", ["-n", "-r", file, "-Y", "tcp.len > 0", "-T", "fields", ...shown])
    assert.strictEqual((yield* program.ended).code, 0, program.stderr)
    return program.output.split("\n").slice(0, -1).map((line) => line.split("\t"))
  })

const capture = Effect.map(Peer.directory, (directory) => `${directory}/traffic.pcapng`)

describe("--wiretap", () => {
  it.scopedLive.skipIf(!has("tshark"))(
    "shows tshark what was said, while it goes on (skipped: tshark is not installed)",
    () =>
      Effect.gen(function*() {
        const file = yield* capture
        writeFileSync(file, "something older")
        const server = yield* tool("echo", "tcp:0", "--wiretap", file)
        const address = yield* server.address
        const cat = yield* tool("cat", yield* server.listening)
        cat.child.stdin!.write("hello")
        yield* cat.until(() => cat.output === "hello")
        server.kill("SIGKILL")
        const hello = Buffer.from("hello").toString("hex")
        const found = yield* fields(file, "tcp.dstport", "tcp.payload")
        assert.deepStrictEqual(
          found.map(([to, payload]) => [to === String(address.port), payload]),
          [[true, hello], [false, hello]]
        )
      })
  )

  it.scopedLive.skipIf(!has("tshark") || !has("openssl"))(
    "shows what was said under TLS, at both ends (skipped: tshark or openssl is not installed)",
    () =>
      Effect.gen(function*() {
        const authority = new Authority("authority")
        const { certificate, privateKey } = authority.issue("localhost", ["DNS:localhost"]).files
        const [here, there] = [yield* capture, yield* capture]
        const server = yield* tool("echo", `tls:0:privateKey=${privateKey}:certKey=${certificate}`, "--wiretap", there)
        const { port } = yield* server.address
        const target = `tls:localhost:${port}:trustRoots=${authority.root.files.certificate}`
        const cat = yield* tool("cat", target, "--wiretap", here)
        cat.child.stdin!.end("hello")
        assert.strictEqual((yield* cat.ended).code, 0)
        for (const file of [here, there]) {
          const found = yield* fields(file, "tcp.dstport", "tcp.len")
          assert.deepStrictEqual(
            found.map(([to, length]) => [to === String(port), length]),
            [[true, "5"], [false, "5"]]
          )
        }
      })
  )

  for (
    const [path, reason] of [
      ["/does/not/exist.pcapng", "ENOENT: no such file or directory"],
      ["/", "EISDIR: illegal operation on a directory"]
    ] as const
  ) {
    it.scopedLive(`that cannot be written exits 1, and says why: ${reason}`, () =>
      Effect.gen(function*() {
        const program = yield* tool("echo", "tcp:0", "--wiretap", path)
        assert.strictEqual((yield* program.ended).code, 1)
        assert.match(program.stderr, /^CaptureFailed: .*\n$/)
        assert.include(program.stderr, `to ${path} (${reason}`)
        assert.strictEqual(program.output, "")
      }))
  }
})
