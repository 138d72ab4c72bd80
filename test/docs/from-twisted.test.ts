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
})
