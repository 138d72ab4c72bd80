import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Page from "../support/page.ts"

const guide = "docs/from-node-net.md"

describe("the page for who comes from node:net", () => {
  it.scopedLive("compiles, and prints what it says", () =>
    Effect.gen(function*() {
      const page = yield* Page.open(guide)
      yield* Page.compiles(page)
      yield* Page.prints(page)
    }), 120_000)

  it.scopedLive("has the same server in node:net", () =>
    Effect.gen(function*() {
      const [server] = yield* Page.blocks(guide, "js")
      const page = yield* Page.open(guide)
      yield* Page.write(
        page,
        "server.js",
        `
import * as net from "node:net"

${server}
server.on("listening", () => {
  const client = net.connect(server.address().port, "127.0.0.1", () => client.end("hello"))
  client.on("data", (bytes) => console.log(String(bytes)))
  client.on("end", () => server.close())
})
`
      )
      // What its counterpart prints first.
      assert.strictEqual(yield* Page.output(page, "server.js"), "hello\n")
    }), 60_000)
})
