/** The Socket of `HttpServerRequest.upgrade` as a transport, against a WebSocket client that is neither Effect's nor `ws`. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type * as Socket from "@effect/platform/Socket"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import type * as net from "node:net"
import { WebSocket } from "undici"
import * as Address from "../../src/Address.ts"
import type { ConnectionLost } from "../../src/ConnectionError.ts"
import * as Framed from "../../src/framing/Framed.ts"
import * as Ndjson from "../../src/framing/Ndjson.ts"
import * as SchemaCodec from "../../src/framing/SchemaCodec.ts"
import * as SocketTransport from "../../src/interop/SocketTransport.ts"
import * as Network from "../../src/Network.ts"
import * as Duplex from "../../src/node/Duplex.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import * as Server from "../../src/server/Server.ts"
import type { CloseReason, Transport } from "../../src/Transport.ts"
import { ascii, text } from "../support/bytes.ts"
import * as Peer from "../support/peer.ts"

type Failure = Socket.SocketError | SocketTransport.SocketOverflow | ConnectionLost
type Handler = (transport: Transport<Failure>) => Effect.Effect<unknown, unknown, Scope.Scope>

interface Service {
  readonly port: number
  readonly server: http.Server
  /** How the next connection ended. */
  readonly ended: Effect.Effect<CloseReason<Failure>>
}

/**
 * An HttpApp that upgrades every request, and hands the connection over as a transport. The platform runs it uninterruptibly,
 * and its Scope ends when the last WebSocket has: clients leave before that.
 */
const serving = (handler: Handler, options?: SocketTransport.Options): Effect.Effect<Service, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const ended = yield* Queue.unbounded<CloseReason<Failure>>()
    const app = Effect.gen(function*() {
      const socket = yield* HttpServerRequest.upgrade
      yield* Effect.scoped(Effect.gen(function*() {
        const transport = yield* SocketTransport.fromSocket(socket, options)
        yield* Effect.forkDaemon(Effect.flatMap(transport.closed, (reason) => Queue.offer(ended, reason)))
        yield* handler(transport)
      })).pipe(Effect.ignore)
      return HttpServerResponse.empty()
    })
    const server = http.createServer()
    const platform = yield* NodeHttpServer.make(() => server, { port: 0, host: "127.0.0.1" })
    yield* Effect.provideService(HttpServer.serveEffect(app), HttpServer.HttpServer, platform)
    return { port: (server.address() as net.AddressInfo).port, server, ended: Queue.take(ended) }
  })

interface Client {
  readonly socket: WebSocket
  readonly message: Effect.Effect<string>
  readonly closed: Effect.Effect<{ readonly code: number; readonly wasClean: boolean }>
}

const connected = (port: number): Effect.Effect<Client, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const messages = yield* Queue.unbounded<string>()
    const closed = yield* Deferred.make<{ readonly code: number; readonly wasClean: boolean }>()
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new WebSocket(`ws://127.0.0.1:${port}`)),
      (socket) => Effect.sync(() => socket.close())
    )
    socket.binaryType = "arraybuffer"
    socket.addEventListener("message", ({ data }) => messages.unsafeOffer(text(new Uint8Array(data as ArrayBuffer))))
    socket.addEventListener("close", ({ code, wasClean }) =>
      Deferred.unsafeDone(closed, Exit.succeed({ code, wasClean })))
    yield* Effect.async<void>((resume) =>
      socket.addEventListener("open", () => resume(Effect.void))
    )
    return { socket, message: Queue.take(messages), closed: Deferred.await(closed) }
  })

const Sum = Schema.Struct({ a: Schema.Number, b: Schema.Number })
const codec = SchemaCodec.make(Ndjson.make(), Sum)

const adding: Handler = (transport) =>
  Framed.forEach(
    transport,
    codec,
    (sums) => Effect.forEach(sums, ({ a, b }) => transport.write(ascii(`${a + b}\n`)), { discard: true })
  )

const added = (client: Client) =>
  Effect.gen(function*() {
    // A frame in two messages, and two frames in one; as text, and as bytes.
    client.socket.send("{\"a\":1,")
    client.socket.send("\"b\":2}\n")
    assert.strictEqual(yield* client.message, "3\n")
    client.socket.send(ascii("{\"a\":3,\"b\":4}\n{\"a\":5,\"b\":6}\n"))
    assert.strictEqual(yield* client.message, "7\n")
    assert.strictEqual(yield* client.message, "11\n")
  })

describe("an HTTP request that is upgraded, as a transport", () => {
  it.scopedLive("carries frames, whatever the messages are, and ends with the client", () =>
    Effect.gen(function*() {
      const { ended, port } = yield* serving(adding)
      const client = yield* connected(port)
      yield* added(client)
      client.socket.close(1000)
      assert.deepInclude(yield* client.closed, { code: 1000, wasClean: true })
      assert.deepInclude(yield* ended, { _tag: "Clean" })
    }))

  it.scopedLive("serves many at once, each with its own", () =>
    Effect.gen(function*() {
      const { port } = yield* serving(adding)
      yield* Effect.all(Effect.replicate(Effect.scoped(Effect.flatMap(connected(port), added)), 20), {
        concurrency: "unbounded"
      })
    }))

  it.scopedLive("runs over the connections of a listener", () =>
    Effect.gen(function*() {
      const { server } = yield* serving(adding)
      const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
      yield* Effect.forkScoped(Server.serve(listener, (transport) =>
        Effect.flatMap(Duplex.to(transport), (duplex) => {
          server.emit("connection", duplex)
          return transport.closed
        }), { drainTimeout: 0 }))
      yield* Effect.scoped(Effect.flatMap(connected(listener.address.port), added))
    }).pipe(Effect.provide(NodeNetwork.layer)))

  it.scopedLive("is closed with 1000 when its handler is over, after what was written", () =>
    Effect.gen(function*() {
      const { ended, port } = yield* serving((transport) => transport.write(ascii("bye")))
      const client = yield* connected(port)
      assert.strictEqual(yield* client.message, "bye")
      assert.deepInclude(yield* client.closed, { code: 1000, wasClean: true })
      assert.deepInclude(yield* ended, { _tag: "Clean" })
    }))

  it.scopedLive("is closed with a code of its own when its handler fails", () =>
    Effect.gen(function*() {
      const { ended, port } = yield* serving(() => Effect.fail("no"))
      const client = yield* connected(port)
      assert.deepInclude(yield* client.closed, { code: 4000 })
      assert.deepInclude(yield* ended, { _tag: "Lost" })
    }))

  it.scopedLive("is lost with the code that the client gave, if that is of a failure", () =>
    Effect.gen(function*() {
      const { ended, port } = yield* serving(adding)
      const client = yield* connected(port)
      client.socket.close(4321, "why")
      const reason = yield* ended
      assert.deepInclude(reason, { _tag: "Lost" })
      assert.deepInclude(reason._tag === "Lost" ? reason.error : {}, {
        reason: "Close",
        code: 4321,
        closeReason: "why"
      })
    }))

  it.scopedLive("is lost when more comes than may be held", () =>
    Effect.gen(function*() {
      const { ended, port } = yield* serving((transport) => transport.closed, { maxUnread: 1000, readBufferSize: 1000 })
      const client = yield* connected(port)
      for (let message = 0; message < 20; message++) client.socket.send(new Uint8Array(1000))
      const reason = yield* ended
      assert.deepInclude(reason._tag === "Lost" ? reason.error : {}, { _tag: "SocketOverflow", limit: 1000 })
    }))
})

describe("a client without manners", () => {
  /** The handshake of RFC 6455 section 1.3, and then whatever the test does. */
  const handshaken = (port: number) =>
    Effect.gen(function*() {
      const peer = yield* Peer.connect(Address.tcp("127.0.0.1", port))
      yield* peer.write(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
      )
      peer.read()
      yield* peer.until(() => peer.text.includes("\r\n\r\n"))
      assert.match(peer.text, /^HTTP\/1\.1 101 /)
      return peer
    })

  it.scopedLive("that vanishes is an end of input: the platform takes 1006 for one", () =>
    Effect.gen(function*() {
      const { ended, port } = yield* serving(adding)
      const peer = yield* handshaken(port)
      peer.reset()
      assert.deepInclude(yield* ended, { _tag: "Clean" })
    }))

  it.scopedLive("that does not read holds nobody back: a WebSocket takes every write at once", () =>
    Effect.gen(function*() {
      const written = yield* Deferred.make<number>()
      const { port } = yield* serving((transport) =>
        transport.writeAll(Array.from({ length: 64 }, () => new Uint8Array(1024 * 1024))).pipe(
          Effect.zipRight(transport.flush),
          Effect.zipRight(Effect.suspend(() => Deferred.succeed(written, transport.stats().bytesWritten))),
          Effect.zipRight(Peer.readAll(transport))
        )
      )
      const peer = yield* handshaken(port)
      peer.socket.pause()
      assert.strictEqual(yield* Deferred.await(written), 64 * 1024 * 1024)
      assert.isBelow(peer.received, 64 * 1024 * 1024)
      peer.destroy()
    }))
})
