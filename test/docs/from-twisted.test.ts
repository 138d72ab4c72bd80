import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Page from "../support/page.ts"

/** Both servers of the page, each with a client of its own. */
const clients = `
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
import * as Protocol from "effect-transport/Protocol"
import * as Transport from "effect-transport/Transport"
import * as callbacks from "./callbacks.ts"
import * as effects from "./echo.ts"

const said = (server: (transport: Transport.Transport) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const [client, transport] = yield* MemoryTransport.pair()
    yield* Effect.fork(Effect.zipRight(server(transport), transport.close))
    yield* client.write(new TextEncoder().encode("what?"))
    const answer = yield* Transport.readExactly(client, 12)
    yield* client.closeWrite
    return JSON.stringify(new TextDecoder().decode(answer))
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None))

console.log(await Effect.runPromise(said(Protocol.handler(callbacks.echo))))
console.log(await Effect.runPromise(said(Protocol.handler(effects.echo))))
`

describe("the guide from Twisted", () => {
  it.scopedLive("has the same server twice: both say hello and echo", () =>
    Effect.gen(function*() {
      const page = yield* Page.open("docs/from-twisted.md")
      yield* Page.compiles(page)
      yield* Effect.promise(() => fs.writeFile(path.join(page.folder, "clients.ts"), clients))
      const answer = `"hello\\r\\nwhat?"\n`
      yield* Page.prints({ ...page, printed: new Map([["clients.ts", answer + answer]]) })
    }), 60_000)
})
