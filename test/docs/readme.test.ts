import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Address from "../../src/Address.ts"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { Authority } from "../support/certificates.ts"
import * as Page from "../support/page.ts"
import * as Peer from "../support/peer.ts"
import { has, main, run } from "../support/tool.ts"

const readme = "README.md"

describe("the README", () => {
  it.scopedLive("compiles", () => Effect.flatMap(Page.open(readme), Page.compiles), 60_000)

  it.scopedLive("has a server that answers in capitals, and that Ctrl-C ends", () =>
    Effect.gen(function*() {
      const port = yield* Page.freePort
      const server = yield* Page.start(yield* Page.open(readme, { ports: { 4000: port } }), "main.ts")
      const client = yield* Page.connect(port)
      yield* client.write("hello\n")
      assert.strictEqual((yield* client.readBytes(6)).toString(), "HELLO\n")
      server.kill("SIGINT")
      // Idle: it is ended in order, and not waited for.
      yield* client.readAll()
      assert.deepStrictEqual([client.ended, client.code], [true, undefined])
      client.end()
      yield* server.ended
      yield* Peer.listen(Address.tcp("127.0.0.1", port))
    }), 60_000)

  it.scopedLive("has a test of it that passes", () =>
    Effect.gen(function*() {
      const output = yield* Page.passes(yield* Page.open(readme), "shout.test.ts")
      assert.match(output, /✓ shout\.test\.ts \(1 test\)/)
    }), 60_000)

  it.scopedLive("has an RPC service that prints what it says", () =>
    Effect.flatMap(
      Effect.flatMap(Page.freePort, (port) => Page.open(readme, { ports: { 4001: port } })),
      Page.prints
    ), 60_000)

  it.scopedLive("has a client that asks a server, and knows when there is none", () =>
    Effect.gen(function*() {
      const redis = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      const page = yield* Page.open(readme, { ports: { 6379: redis.address.port } })
      yield* Page.write(
        page,
        "pings.ts",
        `
import * as Effect from "effect/Effect"
import { ping } from "./ping.ts"

console.log(JSON.stringify(await Effect.runPromise(ping)))
`
      )
      const asking = yield* Effect.fork(Page.output(page, "pings.ts"))
      const client = yield* redis.accept
      assert.strictEqual((yield* client.readBytes(6)).toString(), "PING\r\n")
      // In two pieces: it reads to the end of the line.
      yield* client.write("+PO")
      yield* client.write("NG\r\n")
      client.end()
      assert.strictEqual(yield* Fiber.join(asking), `"+PONG"\n`)
      redis.server.close()
      assert.strictEqual(yield* Page.output(page, "pings.ts"), `"no redis there"\n`)
    }), 60_000)

  it.scopedLive("has a server of messages that adds", () =>
    Effect.gen(function*() {
      const page = yield* Page.open(readme)
      yield* Page.write(
        page,
        "asked.ts",
        `
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
import { sums } from "./sums.ts"

const asked = Effect.gen(function*() {
  const [client, server] = yield* MemoryTransport.pair()
  yield* Effect.fork(Effect.zipRight(sums(server), server.closeWrite))
  yield* client.write(new TextEncoder().encode('{"a":1,"b":2}\\n{"a":20,"b":22}\\n'))
  yield* client.closeWrite
  return yield* Stream.mkString(Stream.decodeText(client.stream))
})

console.log(JSON.stringify(await Effect.runPromise(Effect.scoped(asked))))
`
      )
      assert.strictEqual(yield* Page.output(page, "asked.ts"), `"3\\n42\\n"\n`)
    }), 60_000)

  it.scopedLive("has a test that fails, with the shortest script of faults", () =>
    Effect.gen(function*() {
      const { code, output } = yield* Page.tested(yield* Page.open(readme), "faults.test.ts")
      assert.strictEqual(code, 1, output)
      assert.match(output, /× connects, whatever happens/)
      // One rule.
      assert.match(output, /SimNetwork\.run\(program, \{\n +seed: .*\n +hosts: .*\n +rules: \[\n +Rule\..*\n +\]\n/)
    }), 60_000)

  it.scopedLive("starts with a demonstration that shows what it says", () =>
    Effect.gen(function*() {
      const [quickly] = yield* Page.blocks(readme, "sh")
      assert.include(quickly!, "npm run demo")
      const demo = yield* run("npm", ["run", "demo"], { cwd: Page.root, detached: true })
      yield* demo.ended
      for (
        const shown of [
          "all 256 MiB came back",
          "each byte in its place",
          "memory in use rose",
          "resident memory rose",
          "the reset is a ConnectionReset"
        ]
      ) {
        assert.include(demo.output, `✔ ${shown}`)
      }
    }), 90_000)
})

describe("what the README says of the tool", () => {
  /** Each line, in a folder with what it needs: what it has listened on, or its end. */
  const started = (line: string, folder: string) =>
    Effect.gen(function*() {
      const port = yield* Page.freePort
      // Where it listens, any port will do.
      const command = line.replace("npx effect-transport", `"${process.execPath}" "${main}"`)
        .replace(/ (echo|relay) (.*?)(8080|8443)/, " $1 $20").replaceAll("8080", `${port}`)
      return yield* run("bash", ["-c", command], { cwd: folder, detached: true })
    })

  const commands = Effect.map(Page.blocks(readme, "sh"), (blocks) => {
    const lines = blocks.join("").split("\n").filter((line) => line.startsWith("npx effect-transport"))
    return (part: string) => lines.filter((line) => line.includes(part))
  })

  it.scopedLive("listens as it says", () =>
    Effect.gen(function*() {
      const { folder } = yield* Page.open(readme)
      const lines = yield* commands
      if (has("openssl")) {
        const { files } = new Authority("authority").issue("localhost")
        yield* Effect.promise(() => fs.copyFile(files.privateKey, path.join(folder, "key.pem")))
        yield* Effect.promise(() => fs.copyFile(files.certificate, path.join(folder, "cert.pem")))
      }
      const listening = [...lines(" echo "), ...lines(" relay ")].filter((line) =>
        has("openssl") || !line.includes(".pem")
      )
      assert.isAtLeast(listening.length, 3)
      for (const line of listening) {
        const program = yield* started(line, folder)
        assert.include(yield* program.listening, "127.0.0.1", line)
      }
    }), 60_000)

  it.scopedLive("exits with 1 and names the loss", () =>
    Effect.gen(function*() {
      const { folder } = yield* Page.open(readme)
      const [cat] = (yield* commands)(" cat ")
      const program = yield* started(cat!, folder)
      assert.strictEqual((yield* program.ended).code, 1)
      assert.match(program.stderr, /ConnectionRefused/)
    }), 60_000)
})
