import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Page from "../support/page.ts"

const guide = "docs/from-twisted.md"

describe("the guide from Twisted", () => {
  it.scopedLive("compiles", () => Effect.flatMap(Page.open(guide), Page.compiles), 60_000)

  it.scopedLive(
    "has a server of callbacks that says hello, echoes, and tells how it ended",
    () =>
      Effect.gen(function*() {
        const port = yield* Page.freePort
        const page = yield* Page.open(guide, { ports: { 4000: port } })
        yield* Page.write(
          page,
          "main.ts",
          `
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { program } from "./callbacks.ts"

NodeRuntime.runMain(program)
`
        )
        const server = yield* Page.start(page, "main.ts")
        const client = yield* Page.connect(port)
        yield* client.write("what?")
        assert.strictEqual((yield* client.readBytes(12)).toString(), "hello\r\nwhat?")
        client.end()
        yield* server.until(() => /lost\s+Clean/.test(server.output))
      }),
    60_000
  )

  it.scopedLive("has the same one without callbacks", () =>
    Effect.gen(function*() {
      const page = yield* Page.open(guide)
      yield* Page.write(
        page,
        "asked.ts",
        `
import * as Effect from "effect/Effect"
import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
import * as Protocol from "effect-transport/Protocol"
import * as Transport from "effect-transport/Transport"
import { echo } from "./echo.ts"

const asked = Effect.gen(function*() {
  const [client, transport] = yield* MemoryTransport.pair()
  yield* Effect.fork(Effect.zipRight(Protocol.handler(echo)(transport), transport.close))
  yield* client.write(new TextEncoder().encode("what?"))
  const answer = yield* Transport.readExactly(client, 12)
  yield* client.closeWrite
  return JSON.stringify(new TextDecoder().decode(answer))
})

console.log(await Effect.runPromise(Effect.scoped(asked)))
`
      )
      assert.strictEqual(yield* Page.output(page, "asked.ts"), `"hello\\r\\nwhat?"\n`)
    }), 60_000)

  it.scopedLive("has a client that connects again, whether the peer has ended or reset", () =>
    Effect.gen(function*() {
      const page = yield* Page.open(guide)
      yield* Page.write(
        page,
        "asking.ts",
        `
import * as Effect from "effect/Effect"
import * as Address from "effect-transport/Address"
import * as Connector from "effect-transport/Connector"
import * as Framed from "effect-transport/framing/Framed"
import * as Lines from "effect-transport/framing/Lines"
import * as Network from "effect-transport/Network"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"
import { client } from "./again.ts"

const answering = (transport: Transport) =>
  Framed.forEach(transport, Lines.text(), ([question]) => {
    if (question === "end") return transport.closeWrite
    if (question === "reset") return transport.abort
    return transport.write(new TextEncoder().encode(\`\${question}!\\n\`))
  })

const asking = Effect.gen(function*() {
  const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
  yield* Server.make(listener, answering)
  const { port } = listener.address
  const ask = yield* client(Connector.make({ host: "127.0.0.1", port }))
  for (const question of ["a", "b", "end", "c", "reset", "d"]) {
    const answer = yield* Effect.merge(Effect.mapError(ask(question), ({ _tag }) => _tag))
    console.log(listener.stats().connected, answer)
  }
})

await Effect.runPromise(asking.pipe(Effect.scoped, Effect.provide(NodeNetwork.layer)))
`
      )
      assert.deepStrictEqual((yield* Page.output(page, "asking.ts")).trim().split("\n"), [
        "1 a!",
        "1 b!",
        "1 Unanswered",
        "2 c!",
        "2 ConnectionReset",
        "3 d!"
      ])
    }), 60_000)
})
