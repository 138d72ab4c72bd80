import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import type * as SocketServer from "@effect/platform/SocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Address from "../../src/Address.ts"
import { ascii } from "../support/bytes.ts"
import * as Page from "../support/page.ts"
import * as Peer from "../support/peer.ts"

const guide = "docs/from-effect-socket.md"

/** Runs what a block calls `main`. */
const running = (file: string) => `
import * as Effect from "effect/Effect"
import { main } from "./${file}"

await Effect.runPromise(main)
`

/** Prints the messages of a server. */
const printing = (port: number) => `
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { messages } from "./websocket.ts"

const print = Stream.runForEach(messages("ws://127.0.0.1:${port}"), (message) =>
  Effect.sync(() => console.log(JSON.stringify(message))))

await Effect.runPromise(Effect.provide(print, NodeSocket.layerWebSocketConstructor))
`

describe("the page for users of Effect's Socket", () => {
  it.scopedLive("compiles, and prints what it says", () =>
    Effect.flatMap(
      Page.open(guide),
      (page) => Effect.zipRight(Page.compiles(page), Page.prints(page))
    ), 60_000)

  it.scopedLive("has a client that asks, and logs the answer", () =>
    Effect.gen(function*() {
      const { accept, address } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      const page = yield* Page.open(guide, { ports: { 8080: address.port } })
      yield* Page.write(page, "main.ts", running("client.ts"))
      const asking = yield* Effect.fork(Page.output(page, "main.ts"))
      const peer = yield* accept
      assert.strictEqual((yield* peer.readBytes(13)).toString(), "how are you?\n")
      yield* peer.write("fine")
      peer.end()
      assert.match(yield* Fiber.join(asking), /message=fine\n/)
      yield* peer.readAll()
      assert.isTrue(peer.ended)
    }), 60_000)

  it.scopedLive("has a server that answers after the client's end", () =>
    Effect.gen(function*() {
      const port = yield* Page.freePort
      const page = yield* Page.open(guide, { ports: { 8080: port } })
      yield* Page.write(page, "main.ts", running("server.ts"))
      yield* Page.start(page, "main.ts")
      const client = yield* Page.connect(port)
      yield* client.write("question")
      client.end()
      assert.strictEqual((yield* client.readAll()).toString(), "8 bytes\n")
      assert.isTrue(client.ended)
    }), 60_000)

  it.scopedLive("has a stream of the messages that come over a WebSocket", () =>
    Effect.gen(function*() {
      const server = yield* NodeSocketServer.makeWebSocket({ port: 0, host: "127.0.0.1" })
      // What a line is, and what a message of the WebSocket, has nothing to do with each other.
      yield* Effect.forkScoped(server.run((socket) =>
        Effect.gen(function*() {
          const write = yield* socket.writer
          const send = Effect.forEach(["{\"a\":1}\n{\"a\"", ":2}\n", ascii("[3]\n")], write)
          yield* Effect.raceFirst(Effect.zipRight(send, Effect.never), socket.run(() => {}))
        })
      ))
      const page = yield* Page.open(guide)
      yield* Page.write(page, "main.ts", printing((server.address as SocketServer.TcpAddress).port))
      const client = yield* Page.start(page, "main.ts")
      yield* client.until(() => client.output === `{"a":1}\n{"a":2}\n[3]\n`)
    }), 60_000)
})
