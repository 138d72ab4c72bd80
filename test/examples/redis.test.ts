import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomBytes } from "node:crypto"
import * as Address from "../../src/Address.ts"
import * as Example from "../support/example.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

class Redis extends Context.Tag("Redis")<Redis, Example.Server>() {}

/** Runs a client to its end, which has to be a success. */
const output = (command: string, args: ReadonlyArray<string>, input: string | Uint8Array = "") =>
  Effect.gen(function*() {
    const program = yield* run(command, args)
    program.child.stdin!.end(input)
    assert.strictEqual((yield* program.ended).code, 0, program.stderr)
    return program.output
  })

layer(Layer.scoped(Redis, Example.server("redis")), { excludeTestServices: true })("the little redis", (it) => {
  describe.skipIf(!has("redis-cli"))("with redis-cli (skipped: redis-cli is not installed)", () => {
    const cli = (args: ReadonlyArray<string>, input?: string | Uint8Array) =>
      Effect.flatMap(Redis, ({ port }) => output("redis-cli", ["-p", port, ...args], input))

    it.scoped("answers commands, given as arguments", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* cli(["PING"]), "PONG\n")
        assert.strictEqual(yield* cli(["ECHO", "a b"]), "a b\n")
        assert.strictEqual(yield* cli(["-r", "3", "INCR", "counter"]), "1\n2\n3\n")
        assert.strictEqual(yield* cli(["FLUSHALL"]), "ERR unknown command\n\n")
        assert.strictEqual(yield* cli(["SET", "a"]), "ERR too few arguments\n\n")
      }))

    it.scoped("answers commands, given as lines", () =>
      Effect.gen(function*() {
        const lines = ["set x y", "get x", "incr x", "del x none", "get x", "ping \"still there\""]
        const answers = [
          "OK",
          "\"y\"",
          "(error) ERR value is not an integer",
          "(integer) 1",
          "(nil)",
          "\"still there\""
        ]
        const interactive = yield* cli(["--no-raw"], lines.map((line) => `${line}\n`).join(""))
        assert.strictEqual(interactive, answers.map((line) => `${line}\n`).join(""))
      }))

    it.scoped("takes any bytes, and answers on when there are too many", () =>
      Effect.gen(function*() {
        const value = randomBytes(60_000)
        assert.strictEqual(yield* cli(["-x", "SET", "bytes"], value), "OK\n")
        const { port } = yield* Redis
        const get = yield* run("redis-cli", ["-p", port, "GET", "bytes"])
        yield* get.ended
        assert.deepStrictEqual(get.stdout.subarray(0, -1), value)
        assert.match(yield* cli(["-x", "SET", "bytes"], "x".repeat(70_000)), /^ERR Protocol error/)
        assert.strictEqual(yield* cli(["PING"]), "PONG\n")
      }))

    it.scoped("takes 10,000 commands through its pipe mode", () =>
      Effect.gen(function*() {
        const wire = Array.from({ length: 10_000 }, () => "*2\r\n$4\r\nINCR\r\n$5\r\npiped\r\n").join("")
        assert.include(yield* cli(["--pipe"], wire), "errors: 0, replies: 10000")
        assert.strictEqual(yield* cli(["GET", "piped"]), "10000\n")
      }))

    it.scoped("pushes what is published to those who have subscribed", () =>
      Effect.gen(function*() {
        const { port } = yield* Redis
        const subscriber = yield* run("redis-cli", ["-p", port, "SUBSCRIBE", "news", "weather"])
        yield* subscriber.until(() => subscriber.output === "subscribe\nnews\n1\nsubscribe\nweather\n2\n")
        assert.strictEqual(yield* cli(["PUBLISH", "weather", "sunny"]), "1\n")
        assert.strictEqual(yield* cli(["PUBLISH", "sports", "1:0"]), "0\n")
        yield* subscriber.until(() => subscriber.output.endsWith("2\nmessage\nweather\nsunny\n"))
        subscriber.kill("SIGTERM")
        yield* Effect.repeat(cli(["PUBLISH", "weather", "rain"]), { until: (receivers) => receivers === "0\n" })
      }))

    it.scoped("is not held up by a subscriber that does not read", () =>
      Effect.gen(function*() {
        const { port } = yield* Redis
        const deaf = yield* Peer.connect(Address.tcp("127.0.0.1", Number(port)))
        yield* deaf.write("SUBSCRIBE flood\r\n")
        yield* Effect.repeat(cli(["PUBLISH", "flood", "0"]), { until: (receivers) => receivers === "1\n" })
        const wire = `*3\r\n$7\r\nPUBLISH\r\n$5\r\nflood\r\n$60000\r\n${"x".repeat(60_000)}\r\n`
        assert.include(yield* cli(["--pipe"], wire.repeat(500)), "errors: 0, replies: 500")
      }))
  })

  describe.skipIf(!has("redis-benchmark"))("with redis-benchmark (skipped: redis-benchmark is not installed)", () => {
    it.scoped("serves 50 clients with pipelined commands", () =>
      Effect.gen(function*() {
        const { port } = yield* Redis
        const args = ["-p", port, "-t", "ping,set,get", "-n", "5000", "-P", "16", "-q"]
        const report = yield* output("redis-benchmark", args)
        for (const test of ["PING_INLINE", "PING_MBULK", "SET", "GET"]) {
          assert.match(report, new RegExp(`${test}: [\\d.]+ requests per second`))
        }
      }))
  })

  describe.skipIf(!has("nc"))("with nc (skipped: nc is not installed)", () => {
    it.scoped("answers words, and ends at what is no RESP", () =>
      Effect.gen(function*() {
        const { port } = yield* Redis
        const answers = yield* output("nc", ["-N", "127.0.0.1", port], "PING\nECHO a\n*x\nPING\n")
        assert.strictEqual(answers, "+PONG\r\n$1\r\na\r\n-ERR Protocol error\r\n")
      }))
  })
})

describe("Ctrl-C", () => {
  it.scopedLive("ends idle clients, and the server", () => Example.endsInOrder("redis", "SUBSCRIBE a\r\n"))
})
