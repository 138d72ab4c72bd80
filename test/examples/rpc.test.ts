import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Address from "../../src/Address.ts"
import * as Example from "../support/example.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

class Rpc extends Context.Tag("Rpc")<Rpc, Example.Server>() {}

/** Runs a Python program that has the functions `send` and `receive`. */
const python = (port: string, program: string) =>
  Effect.gen(function*() {
    const client = `
import json, socket, struct
connection = socket.create_connection(("127.0.0.1", ${port}))
file = connection.makefile("rb")
def send(*texts):
    connection.sendall(b"".join(struct.pack("!I", len(text)) + text for text in texts))
def receive():
    head = file.read(4)
    return json.loads(file.read(struct.unpack("!I", head)[0])) if head else None
${program}`
    const running = yield* run("python3", ["-c", client])
    assert.strictEqual((yield* running.ended).code, 0, running.stderr)
    return running.output.split("\n").slice(0, -1)
  })

layer(Layer.scoped(Rpc, Example.server("rpc")), { excludeTestServices: true })("the service", (it) => {
  it.scoped("answers its client", () =>
    Effect.gen(function*() {
      const { port } = yield* Rpc
      const client = yield* Example.example("rpc-client", port)
      assert.strictEqual((yield* client.ended).code, 0, client.stderr)
      assert.deepStrictEqual(client.output.split("\n").slice(0, -1), [
        "{\"_tag\":\"Divide\",\"dividend\":355,\"divisor\":113}: 3.1415929203539825",
        "{\"_tag\":\"Weekday\",\"date\":\"1969-07-20T00:00:00.000Z\"}: Sunday",
        "{\"_tag\":\"Divide\",\"dividend\":1,\"divisor\":0}: refused: The quotient is not a finite number"
      ])
    }))

  describe.skipIf(!has("python3"))("with a client in Python (skipped: python3 is not installed)", () => {
    it.scoped("answers 1000 requests that are sent at once, in their order", () =>
      Effect.gen(function*() {
        const { port } = yield* Rpc
        const output = yield* python(
          port,
          `
send(*[json.dumps({"_tag": "Divide", "dividend": n, "divisor": 4}).encode() for n in range(1000)])
print([receive() for _ in range(1000)] == [{"_tag": "Answer", "value": n / 4} for n in range(1000)])`
        )
        assert.deepStrictEqual(output, ["True"])
      }))

    it.scoped("refuses what is not a request, and goes on", () =>
      Effect.gen(function*() {
        const { port } = yield* Rpc
        const output = yield* python(
          port,
          `
send(b"", b"no JSON", b"\\xff", b'{"_tag":"Divide","dividend":1}', b'{"_tag":"Weekday","date":"' + b"x" * 4000 + b'"}')
send(b'{"_tag":"Weekday","date":"2000-01-01"}')
for _ in range(6):
    answer = receive()
    print(answer["_tag"], answer.get("reason") or answer["value"])`
        )
        assert.deepStrictEqual(output, [...Array<string>(5).fill("Refused Not a request"), "Answer Saturday"])
      }))

    it.scoped("refuses a request that is too long, and ends", () =>
      Effect.gen(function*() {
        const { port } = yield* Rpc
        const output = yield* python(
          port,
          `
send(b'{"_tag":"Weekday","date":"2000-01-01"}', b"x" * 4097, b'{"_tag":"Weekday","date":"2000-01-01"}')
print(receive()["value"])
print(receive()["reason"])
print(receive())`
        )
        assert.deepStrictEqual(output, ["Saturday", "Longer than 4096 bytes", "None"])
      }))
  })
})

describe("the client", () => {
  it.scopedLive("says so when there is no server", () =>
    Effect.gen(function*() {
      const { address } = yield* Effect.scoped(Peer.listen(Address.tcp("127.0.0.1", 0)))
      const client = yield* Example.example("rpc-client", `${address.port}`)
      assert.strictEqual((yield* client.ended).code, 1)
      assert.match(client.stderr, /^Cannot connect to .*: nothing listens there; .*\n$/)
    }))

  it.scopedLive("says so when the server ends without an answer", () =>
    Effect.gen(function*() {
      const { accept, address } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      const client = yield* Example.example("rpc-client", `${address.port}`)
      const server = yield* accept
      yield* server.readBytes(1)
      server.end()
      assert.strictEqual((yield* client.ended).code, 1)
      assert.match(client.stderr, /^The peer at .* before it had answered\.\n$/)
    }))
})

describe("Ctrl-C", () => {
  it.scopedLive("ends idle clients, and the server", () => Example.endsInOrder("rpc", "\0\0\0\0"))
})
