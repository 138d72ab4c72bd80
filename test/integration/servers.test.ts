import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { sha256 } from "../support/bytes.ts"
import * as Peer from "../support/peer.ts"
import { has, run, tool } from "../support/tool.ts"

/** Runs a program to its end, which has to be a success. */
const output = (command: string, args: ReadonlyArray<string>, input = "") =>
  Effect.scoped(Effect.gen(function*() {
    const program = yield* run(command, args)
    program.child.stdin!.end(input)
    const { code } = yield* program.ended
    assert.strictEqual(code, 0, program.stderr)
    return program.output
  }))

const relayTo = (client: string) =>
  Effect.gen(function*() {
    const relay = yield* tool("relay", "tcp:0", client)
    return { relay, port: `${(yield* relay.address).port}` }
  })

describe.skipIf(!has("redis-server"))("redis behind a relay (skipped: redis-server is not installed)", () => {
  const redis = Effect.gen(function*() {
    const path = `${yield* Peer.directory}/redis`
    const server = yield* run("redis-server", ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"])
    yield* server.until(() => server.output.toLowerCase().includes("ready to accept connections"))
    return yield* relayTo(`unix:${path}`)
  })

  it.scopedLive("a large value goes in and comes out", () =>
    Effect.gen(function*() {
      const { port, relay } = yield* redis
      const value = randomBytes(8 << 20).toString("hex")
      assert.strictEqual(yield* output("redis-cli", ["-p", port, "-x", "set", "key"], value), "OK\n")
      assert.strictEqual(yield* output("redis-cli", ["-p", port, "get", "key"]), `${value}\n`)
      assert.strictEqual(relay.stderr, "")
    }))

  it.scopedLive("50 clients with pipelined requests", () =>
    Effect.gen(function*() {
      const { port } = yield* redis
      const report = yield* output("redis-benchmark", ["-p", port, "-n", "1000", "-P", "16", "-q", "-t", "set,get"])
      assert.match(report, /SET: [\d.]+ requests per second/)
      assert.match(report, /GET: [\d.]+ requests per second/)
    }))
})

describe.skipIf(!has("curl"))("an HTTP server behind a relay (skipped: curl is not installed)", () => {
  it.scopedLive("20 MiB come through whole", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      const bytes = randomBytes(20 << 20)
      writeFileSync(`${directory}/file`, bytes)
      const args = ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", directory]
      const server = yield* run("python3", args)
      yield* server.until(() => /port \d+/.test(server.output))
      const { port, relay } = yield* relayTo(`tcp:127.0.0.1:${/port (\d+)/.exec(server.output)![1]}`)
      yield* output("curl", ["--silent", "--fail", "--output", `${directory}/copy`, `http://127.0.0.1:${port}/file`])
      assert.strictEqual(sha256(readFileSync(`${directory}/copy`)), sha256(bytes))
      assert.strictEqual(relay.stderr, "")
    }))
})

describe.skipIf(!has("haproxy"))("echo behind haproxy (skipped: haproxy is not installed)", () => {
  it.scopedLive("answers through it, half-close included", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      const echo = yield* tool("echo", `unix:${directory}/echo`)
      yield* echo.listening
      writeFileSync(
        `${directory}/haproxy.cfg`,
        `
        defaults
          mode tcp
          timeout connect 5s
          timeout client 20s
          timeout server 20s
        listen echo
          bind unix@${directory}/front
          server echo unix@${directory}/echo
        `.replaceAll(/^ {8}/gm, "")
      )
      yield* run("haproxy", ["-db", "-f", `${directory}/haproxy.cfg`])
      yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => existsSync(`${directory}/front`) })
      const cat = yield* tool("cat", `unix:${directory}/front`)
      const bytes = randomBytes(8 << 20)
      cat.child.stdin!.end(bytes)
      assert.strictEqual((yield* cat.ended).code, 0, cat.stderr)
      assert.strictEqual(sha256(cat.stdout), sha256(bytes))
      assert.strictEqual(echo.stderr, "")
    }))
})

describe.skipIf(!has("openssl"))("TLS through a relay (skipped: openssl is not installed)", () => {
  it.scopedLive("s_client and s_server shake hands and talk", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      const [key, certificate] = [`${directory}/key.pem`, `${directory}/certificate.pem`]
      const subject = ["-subj", "/CN=localhost", "-days", "1"]
      yield* output("openssl", [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        certificate,
        ...subject
      ])
      const server = yield* run("openssl", [
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-key",
        key,
        "-cert",
        certificate,
        "-rev"
      ])
      yield* server.until(() => /ACCEPT .*:\d+/.test(server.output))
      const { port, relay } = yield* relayTo(`tcp:127.0.0.1:${/ACCEPT .*:(\d+)/.exec(server.output)![1]}`)
      const client = yield* run("openssl", [
        "s_client",
        "-quiet",
        "-connect",
        `127.0.0.1:${port}`,
        "-CAfile",
        certificate
      ])
      client.child.stdin!.write("desserts\n")
      yield* client.until(() => client.output.includes("stressed\n"))
      assert.strictEqual(relay.stderr, "")
    }))
})
