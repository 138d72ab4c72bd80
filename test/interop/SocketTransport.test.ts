import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Socket from "@effect/platform/Socket"
import type * as SocketServer from "@effect/platform/SocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { Duplex } from "node:stream"
import type { UnderlyingSink } from "node:stream/web"
import * as Address from "../../src/Address.ts"
import * as Framed from "../../src/framing/Framed.ts"
import * as Lines from "../../src/framing/Lines.ts"
import * as SocketTransport from "../../src/interop/SocketTransport.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import * as PlatformSocket from "../../src/interop/PlatformSocket.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import { ascii, bytes, text } from "../support/bytes.ts"
import * as Peer from "../support/peer.ts"

/** A WebSocket, and the server's end of it. */
const webSockets = Effect.gen(function*() {
  const server = yield* NodeSocketServer.makeWebSocket({ port: 0, host: "127.0.0.1" })
  const accepted = yield* Queue.unbounded<Socket.Socket>()
  yield* Effect.forkScoped(server.run((socket) => Effect.zipRight(Queue.offer(accepted, socket), Effect.never)))
  const { port } = server.address as SocketServer.TcpAddress
  const client = yield* Effect.provide(
    Socket.makeWebSocket(`ws://127.0.0.1:${port}`),
    NodeSocket.layerWebSocketConstructor
  )
  return { client, accepted: Queue.take(accepted) }
})

const joined = (options?: SocketTransport.Options) =>
  Effect.gen(function*() {
    const { accepted, client } = yield* webSockets
    return [
      yield* SocketTransport.fromSocket(client, options),
      yield* SocketTransport.fromSocket(yield* accepted, options)
    ] as const
  })

describe("a WebSocket as a transport", () => {
  it.scopedLive("carries what transports carry, both ways", () =>
    Effect.gen(function*() {
      const [client, server] = yield* joined()
      yield* Effect.forkScoped(Stream.run(Framed.stream(server, Lines.make()), Framed.sink(server, Lines.make())))
      yield* client.write(ascii("one\ntw"))
      yield* client.write(ascii("o\n"))
      const lines = yield* Framed.stream(client, Lines.make()).pipe(Stream.take(2), Stream.runCollect)
      assert.deepStrictEqual(Chunk.toReadonlyArray(lines).map(text), ["one", "two"])
    }))

  it.scopedLive("ends in both directions with the end of one", () =>
    Effect.gen(function*() {
      const [client, server] = yield* joined()
      yield* client.write(ascii("last"))
      yield* client.closeWrite
      assert.strictEqual((yield* Peer.readAll(server)).toString(), "last")
      yield* Effect.flip(Effect.zipRight(server.write(ascii("x")), server.flush))
      yield* client.closed
      yield* server.closed
    }))

  it.scopedLive("shows what it lacks", () =>
    Effect.gen(function*() {
      const [client] = yield* joined()
      assert.deepStrictEqual(client.options, { noDelay: undefined, keepAlive: undefined })
      assert.deepStrictEqual(`${client.remoteAddress}`, `${Address.pipe("socket")}`)
    }))

  it.scopedLive("is lost when more comes than may be held, since it cannot be paused", () =>
    Effect.gen(function*() {
      const [client, server] = yield* joined({ maxUnread: 100_000, readBufferSize: 1000 })
      yield* Effect.forkScoped(Effect.ignore(server.writeAll(Array.from({ length: 200 }, () => bytes(1000)))))
      const reason = yield* client.closed
      assert.deepInclude(reason, { _tag: "Lost" })
      assert.deepInclude(reason._tag === "Lost" ? reason.error : {}, { _tag: "SocketOverflow", limit: 100_000 })
    }))

  it.scopedLive("holds many small messages as cheaply as a few large ones", () =>
    Effect.gen(function*() {
      const waiting: Array<unknown> = []
      const gate = yield* Effect.makeLatch()
      const messages = 100_000
      const socket = Socket.Socket.of({
        [Socket.TypeId]: Socket.TypeId,
        // As a stock Socket does: it begins a handler for each message, and waits for none.
        run: (handler, options) =>
          Effect.zipRight(options?.onOpen ?? Effect.void, gate.await).pipe(
            Effect.zipRight(Effect.sync(() => {
              for (let message = 0; message < messages; message++) {
                const effect = handler(Uint8Array.of(message))
                if (effect !== undefined) waiting.push(effect)
              }
            })),
            Effect.zipRight(Effect.never)
          ),
        runRaw: () => Effect.never,
        writer: Effect.succeed(() => Effect.void)
      })
      const transport = yield* SocketTransport.fromSocket(socket)
      yield* gate.open
      const chunks: Array<Uint8Array> = []
      while (transport.stats().bytesRead < messages || transport.stats().unread > 0) {
        chunks.push((yield* transport.pull)!)
      }
      assert.isTrue(Buffer.concat(chunks).equals(Uint8Array.from({ length: messages }, (_, index) => index)))
      assert.isBelow(chunks.length, 1000)
      assert.isBelow(waiting.length, 2000)
    }), 10_000)

  it.scopedLive("opens where nothing is interrupted, as in an HttpApp", () =>
    Effect.gen(function*() {
      const { client } = yield* webSockets
      assert.isNull(
        yield* Effect.flatMap(
          Effect.uninterruptible(SocketTransport.fromSocket(client)),
          (transport) => Effect.zipRight(transport.closeWrite, transport.pull)
        )
      )
    }))

  it.scopedLive("that cannot be opened fails with the Socket's own error", () =>
    Effect.gen(function*() {
      const { address } = yield* Effect.scoped(Peer.listen(Address.tcp("127.0.0.1", 0)))
      const socket = yield* Effect.provide(
        Socket.makeWebSocket(`ws://127.0.0.1:${address.port}`),
        NodeSocket.layerWebSocketConstructor
      )
      assert.strictEqual((yield* Effect.flip(SocketTransport.fromSocket(socket))).reason, "Open")
    }))
})

describe("a stock TCP socket as a transport", () => {
  it.scopedLive("half-closes, if that is said", () =>
    Effect.gen(function*() {
      const { accept, address } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      const { host, port } = address
      const socket = yield* NodeSocket.makeNet({ host, port, allowHalfOpen: true })
      const transport = yield* SocketTransport.fromSocket(socket, { halfClose: true })
      const peer = yield* accept
      yield* transport.write(ascii("question"))
      yield* transport.closeWrite
      assert.strictEqual((yield* peer.readAll()).toString(), "question")
      yield* peer.write("answer")
      peer.end()
      assert.strictEqual((yield* Peer.readAll(transport)).toString(), "answer")
      yield* transport.closed
    }))
})

describe("a Socket that ends both directions at once, as a transport", () => {
  const kinds = {
    "a stock one": NodeSocket.makeNet,
    "one of the library": (options: { readonly host: string; readonly port: number }) =>
      Effect.provide(Socket.Socket, Layer.provide(PlatformSocket.layer(options), NodeNetwork.layer))
  }
  for (const [kind, make] of Object.entries(kinds)) {
    for (const ending of ["closeWrite", "close"] as const) {
      it.scopedLive(`${kind}: ${ending} is an end in order`, () =>
        Effect.gen(function*() {
          const { accept, address } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
          const { host, port } = address
          const transport = yield* SocketTransport.fromSocket(yield* make({ host, port }))
          const peer = yield* accept
          yield* transport.write(ascii("last"))
          yield* transport.flush
          const ended = yield* Effect.fork(transport[ending])
          assert.strictEqual((yield* peer.readAll()).toString(), "last")
          peer.end()
          yield* Fiber.join(ended)
          if (ending === "closeWrite") assert.isNull(yield* transport.pull)
          assert.deepStrictEqual((yield* transport.closed)._tag, "Clean")
        }), 3000)
    }
  }
})

describe("a Duplex of Node in a Socket, as a transport", () => {
  it.scopedLive("is aborted without an error that nobody hears", () =>
    Effect.gen(function*() {
      const duplex = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })
      const unheard: Array<unknown> = []
      const emit = duplex.emit.bind(duplex)
      duplex.emit = (event: string, ...args: Array<unknown>) => {
        if (event !== "error" || duplex.listenerCount(event) > 0) return emit(event, ...args)
        unheard.push(args[0])
        return false
      }
      const closed = yield* Deferred.make<void>()
      duplex.once("close", () => Deferred.unsafeDone(closed, Exit.void))
      const transport = yield* Effect.flatMap(NodeSocket.fromDuplex(Effect.succeed(duplex)), SocketTransport.fromSocket)
      yield* transport.abort
      yield* Deferred.await(closed)
      assert.deepStrictEqual(unheard, [])
    }), 3000)
})

describe("a Socket over a pair of streams as a transport", () => {
  const overStreams = (sink: UnderlyingSink<Uint8Array>) =>
    Effect.flatMap(
      Socket.fromTransformStream(
        Effect.sync(() => ({ readable: new ReadableStream<Uint8Array>(), writable: new WritableStream(sink) }))
      ),
      (socket) => SocketTransport.fromSocket(socket, { halfClose: true, lingerTimeout: 0 })
    )

  it.scopedLive("closeWrite ends the stream once, after several writes", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const transport = yield* overStreams({
        write: (chunk) => {
          seen.push(text(chunk))
        },
        close: () => {
          seen.push("end")
        }
      })
      for (const chunk of ["a", "b"]) yield* Effect.zipRight(transport.write(ascii(chunk)), transport.flush)
      yield* transport.closeWrite
      assert.deepStrictEqual(seen, ["a", "b", "end"])
    }), 3000)

  it.scopedLive("what the stream fails with is the loss, for a write and for the end", () =>
    Effect.gen(function*() {
      const broken = new Error("broken")
      const writing = yield* overStreams({ write: () => Promise.reject(broken) })
      yield* writing.write(ascii("a"))
      assert.deepInclude(yield* Effect.flip(writing.flush), { _tag: "SocketError", reason: "Write", cause: broken })
      const ending = yield* overStreams({ close: () => Promise.reject(broken) })
      assert.deepInclude(yield* Effect.flip(ending.closeWrite), { _tag: "SocketError", reason: "Write", cause: broken })
      assert.strictEqual((yield* ending.closed)._tag, "Lost")
    }), 3000)

  it.live("its release may fail: an abort is over all the same", () =>
    Effect.scoped(Effect.gen(function*() {
      const transport = yield* SocketTransport.fromSocket(Socket.Socket.of({
        [Socket.TypeId]: Socket.TypeId,
        run: (_, options) => Effect.zipRight(options?.onOpen ?? Effect.void, Effect.never),
        runRaw: () => Effect.never,
        writer: Effect.acquireRelease(Effect.succeed(() => Effect.void), () => Effect.die("no release"))
      }))
      yield* transport.write(ascii("a"))
      yield* transport.flush
      yield* transport.abort
      assert.strictEqual((yield* transport.closed)._tag, "Lost")
    })), 3000)

  it.scopedLive("a run that is interrupted by somebody else is a loss", () =>
    Effect.gen(function*() {
      const transport = yield* SocketTransport.fromSocket(Socket.Socket.of({
        [Socket.TypeId]: Socket.TypeId,
        run: (_, options) =>
          (options?.onOpen ?? Effect.void).pipe(Effect.zipRight(Effect.yieldNow()), Effect.zipRight(Effect.interrupt)),
        runRaw: () => Effect.never,
        writer: Effect.succeed(() => Effect.void)
      }))
      assert.deepInclude(yield* Effect.flip(transport.pull), { _tag: "SocketError", reason: "Read" })
    }), 3000)

  it.scopedLive("its writer is had once, however much is written", () =>
    Effect.gen(function*() {
      let writers = 0
      const transport = yield* SocketTransport.fromSocket(Socket.Socket.of({
        [Socket.TypeId]: Socket.TypeId,
        run: (_, options) => Effect.zipRight(options?.onOpen ?? Effect.void, Effect.never),
        runRaw: () => Effect.never,
        writer: Effect.acquireRelease(
          Effect.sync(() => {
            writers++
            return () => Effect.void
          }),
          () => Effect.void
        )
      }))
      for (let write = 0; write < 10; write++) yield* Effect.zipRight(transport.write(ascii("a")), transport.flush)
      assert.strictEqual(writers, 1)
    }), 3000)
})

describe("a Socket of the library as a transport", () => {
  it.scopedLive("holds the peer back, whatever comes", () =>
    Effect.gen(function*() {
      const { accept, address } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      const { host, port } = address
      const sent = Peer.pattern(8 * 1024 * 1024)
      const transport = yield* Effect.flatMap(
        Socket.Socket,
        (socket) => SocketTransport.fromSocket(socket, { maxUnread: 200_000 })
      ).pipe(
        Effect.provide(PlatformSocket.layer({ host, port, concurrency: 1 })),
        Effect.provide(NodeNetwork.layer)
      )
      const peer = yield* accept
      yield* Effect.forkScoped(Effect.zipRight(peer.write(sent), Effect.sync(() => peer.end())))
      yield* Peer.turns(20)
      assert.isTrue((yield* Peer.readAll(transport)).equals(sent))
    }))

  for (const region of [Effect.interruptible, Effect.uninterruptible]) {
    it.live(`opens or does not, interrupted at every step, ${region.name}`, () =>
      Effect.gen(function*() {
        const { points } = yield* sweep({
          setup: MemoryTransport.pair({ lingerTimeout: 0 }),
          scenario: ([ours]) =>
            Effect.scoped(region(SocketTransport.fromSocket(PlatformSocket.fromTransport(ours), { lingerTimeout: 0 }))),
          check: ([ours]) => Effect.sync(() => assert.isFalse(ours.stats().pulling)),
          timeout: "1 second"
        })
        assert.isAbove(points, 0)
      }), 60_000)
  }
})
