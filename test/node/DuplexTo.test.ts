import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as http from "node:http"
import type * as net from "node:net"
import type * as stream from "node:stream"
import * as tls from "node:tls"
import { Client } from "undici"
import type * as Address from "../../src/Address.ts"
import { ConnectionReset } from "../../src/ConnectionError.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as Duplex from "../../src/node/Duplex.ts"
import * as Tls from "../../src/node/Tls.ts"
import * as IdleTimeout from "../../src/policy/IdleTimeout.ts"
import { ascii } from "../support/bytes.ts"
import { Authority } from "../support/certificates.ts"
import { rootFibers, settle } from "../support/fibers.ts"
import { tcpPair } from "../support/pairs.ts"
import * as Peer from "../support/peer.ts"

const pair = (options: MemoryTransport.PairOptions = {}) =>
  Effect.flatMap(
    MemoryTransport.pair(options),
    ([left, peer]) => Effect.map(Duplex.to(left), (duplex) => ({ duplex, transport: left, peer }))
  )

const event = (emitter: NodeJS.EventEmitter, name: string) =>
  Effect.async<ReadonlyArray<unknown>>((resume) => {
    emitter.once(name, (...values: ReadonlyArray<unknown>) => resume(Effect.succeed(values)))
  })

const collect = (readable: stream.Readable) =>
  Effect.promise(async () => {
    const chunks: Array<Buffer> = []
    for await (const chunk of readable) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  })

/** So many of them keep the process. */
const resources = (name: string) => process.getActiveResourcesInfo().filter((resource) => resource === name).length

describe("a Duplex of a transport", () => {
  it.scopedLive("carries bytes both ways, half-closes, and closes when both ends have", () =>
    Effect.gen(function*() {
      const { duplex, peer, transport } = yield* pair()
      duplex.write("one ")
      duplex.end("two")
      assert.strictEqual((yield* Peer.readAll(peer)).toString(), "one two")
      const closed = yield* Effect.fork(event(duplex, "close"))
      yield* peer.write(ascii("answer"))
      yield* peer.closeWrite
      assert.strictEqual((yield* collect(duplex)).toString(), "answer")
      yield* Fiber.join(closed)
      assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
    }))

  it.scopedLive("without allowHalfOpen, ends with the peer", () =>
    Effect.gen(function*() {
      const [left, peer] = yield* MemoryTransport.pair()
      const duplex = yield* Duplex.to(left, { allowHalfOpen: false })
      duplex.resume()
      yield* peer.closeWrite
      assert.isNull(yield* peer.pull)
      assert.strictEqual((yield* left.closed)._tag, "Clean")
    }))

  it.scopedLive("takes nothing before somebody reads, and holds the peer back while nobody does", () =>
    Effect.gen(function*() {
      const { duplex, peer, transport } = yield* pair({ readBufferSize: 1, capacity: 1000, highWaterMark: 1000 })
      const writing = yield* Effect.fork(Effect.forever(peer.write(new Uint8Array(100))))
      yield* Peer.turns(20)
      assert.strictEqual(transport.stats().bytesRead, 0)
      duplex.once("data", () => duplex.pause())
      yield* Peer.turns(20)
      const { bytesRead } = transport.stats()
      assert.isAtMost(bytesRead, 1000)
      assert.isAtMost(duplex.readableLength, 1000)
      yield* Peer.turns(20)
      assert.strictEqual(transport.stats().bytesRead, bytesRead)
      assert.strictEqual(peer.stats().writersWaiting, 1)
      yield* Fiber.interrupt(writing)
    }))

  it.scopedLive("calls a write back when the carrier has it, and tells a writer to wait until then", () =>
    Effect.gen(function*() {
      const { duplex, peer } = yield* pair({ capacity: 10, highWaterMark: 10 })
      const taken: Array<number> = []
      for (const size of [10, 10, 20_000]) duplex.write(new Uint8Array(size), () => taken.push(size))
      assert.isTrue(duplex.writableNeedDrain)
      yield* Peer.turns(5)
      assert.deepStrictEqual(taken, [10])
      const drained = yield* Effect.fork(event(duplex, "drain"))
      const read = yield* Effect.fork(Peer.readAll(peer))
      yield* Fiber.join(drained)
      yield* Peer.turns(1)
      assert.deepStrictEqual(taken, [10, 10, 20_000])
      duplex.end()
      assert.strictEqual((yield* Fiber.join(read)).length, 20_020)
    }))

  it.scopedLive("closes gracefully when it is destroyed, and says 'close' when nothing is left", () =>
    Effect.gen(function*() {
      const { duplex, peer, transport } = yield* pair()
      duplex.write("sent")
      yield* peer.write(ascii("unread"))
      duplex.destroy()
      const closed = yield* Effect.fork(event(duplex, "close"))
      assert.strictEqual((yield* Peer.readAll(peer)).toString(), "sent")
      yield* peer.close
      yield* Fiber.join(closed)
      assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local" })
      assert.deepInclude(transport.stats(), { buffered: 0, pulling: false, writersWaiting: 0 })
    }))

  it.scopedLive("aborts when it is destroyed with an error, or before what was written is out", () =>
    Effect.gen(function*() {
      const failed = yield* pair()
      failed.duplex.destroy(new Error("no more"))
      const cut = yield* pair({ capacity: 1, highWaterMark: 1 })
      for (let writes = 0; writes < 3; writes++) cut.duplex.write(new Uint8Array(100))
      cut.duplex.destroy()
      for (const { duplex, peer, transport } of [failed, cut]) {
        const lost = yield* Effect.flip(Peer.readAll(peer))
        assert.instanceOf(lost, ConnectionReset)
        const reason = yield* transport.closed
        assert.isTrue(reason._tag === "Lost" && reason.error._tag === "ConnectionAborted")
        if (!duplex.closed) yield* event(duplex, "close")
      }
    }))

  it.scopedLive("is destroyed by a loss, with its error, after the bytes that came before", () =>
    Effect.gen(function*() {
      const { duplex, peer } = yield* pair()
      const chunks = duplex[Symbol.asyncIterator]()
      const next = Effect.promise(async () => String((await chunks.next()).value))
      yield* peer.write(ascii("one"))
      assert.strictEqual(yield* next, "one")
      yield* peer.write(ascii("two"))
      yield* Peer.turns(1)
      yield* peer.write(ascii("three"))
      yield* Peer.turns(1)
      yield* peer.abort
      yield* Peer.turns(3)
      assert.strictEqual(yield* next, "two")
      assert.strictEqual(yield* next, "three")
      const failure = yield* Effect.flip(Effect.tryPromise({ try: () => chunks.next(), catch: (error) => error }))
      assert.instanceOf(failure, ConnectionReset)
      assert.strictEqual(duplex.errored, failure)
    }))

  it.scopedLive("is destroyed by an Error whose cause is the loss, where a layer's losses are none, also if nobody reads", () =>
    Effect.gen(function*() {
      const [left, peer] = yield* MemoryTransport.pair()
      const duplex = yield* Duplex.to(NetworkLayer.mapError(left, ({ _tag }) => _tag))
      duplex.once("data", () => duplex.pause())
      yield* peer.writeAll([ascii("read"), ascii("unread"), ascii("unread")])
      yield* Peer.turns(3)
      const closed = yield* Effect.fork(event(duplex, "close"))
      yield* peer.abort
      yield* Fiber.join(closed)
      assert.instanceOf(duplex.errored, Error)
      assert.strictEqual(duplex.errored.cause, "ConnectionReset")
    }))

  it.scopedLive("a loss in the network waits for a reader that has stopped, like one by the peer", () =>
    Effect.gen(function*() {
      const [left, peer] = yield* MemoryTransport.pair()
      const duplex = yield* Duplex.to(NetworkLayer.mapError(left, () => ({ side: "network" })))
      duplex.once("data", () => duplex.pause())
      yield* peer.writeAll([ascii("read"), ascii("unread")])
      yield* Peer.turns(3)
      yield* peer.abort
      yield* Peer.turns(3)
      assert.isFalse(duplex.destroyed)
      const closed = yield* Effect.fork(event(duplex, "close"))
      const rest: Array<string> = []
      duplex.on("data", (chunk) => rest.push(String(chunk)))
      duplex.resume()
      yield* Fiber.join(closed)
      assert.deepStrictEqual(rest, ["unread"])
    }))

  it.live("destroyed after a loss, it leaves nothing, though bytes that came before are not read", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      const scope = yield* Scope.make()
      const { duplex, peer } = yield* Scope.extend(pair(), scope)
      duplex.once("data", () => duplex.pause())
      yield* peer.writeAll([ascii("read"), ascii("unread"), ascii("unread")])
      yield* Peer.turns(3)
      yield* peer.abort
      yield* Peer.turns(3)
      assert.isFalse(duplex.destroyed)
      duplex.destroy()
      yield* event(duplex, "close")
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
      yield* Scope.close(scope, Exit.void)
    }))

  it.scopedLive("tells a writer of a loss, and ends no process of which nobody listens", () =>
    Effect.gen(function*() {
      const { duplex, peer } = yield* pair()
      yield* peer.abort
      const error = yield* Effect.async<unknown>((resume) => {
        duplex.write("x", (error) => resume(Effect.succeed(error)))
      })
      assert.propertyVal(error, "_tag", "ConnectionReset")
      assert.isTrue(duplex.destroyed)
    }))

  it.scoped("tells a reader that has stopped when this side has ended the transport", () =>
    Effect.gen(function*() {
      const [left, peer] = yield* MemoryTransport.pair()
      const duplex = yield* Duplex.to(yield* IdleTimeout.make({ duration: "1 minute" })(left))
      duplex.once("data", () => duplex.pause())
      yield* peer.writeAll([ascii("read"), ascii("unread")])
      const closed = yield* Effect.fork(event(duplex, "close"))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(closed)
      assert.propertyVal(duplex.errored, "_tag", "IdleTimeout")
    }))

  it.live("is destroyed with its transport after the peer's end as well, when that is read", () =>
    Effect.gen(function*() {
      for (const [how, tag] of [["close", "WriteAfterEnd"], ["abort", "ConnectionAborted"]] as const) {
        const [transport, peer] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
        const duplex = yield* Duplex.to(transport)
        const closed = new Promise<unknown>((resolve) => duplex.once("close", () => resolve(duplex.errored)))
        yield* peer.write(ascii("last"))
        yield* peer.closeWrite
        const read: Array<unknown> = []
        duplex.on("data", (chunk) => read.push(chunk.toString())).on("end", () => read.push("end"))
        yield* Effect.promise(() => new Promise((resolve) => duplex.once("end", resolve)))
        yield* transport[how]
        assert.propertyVal(yield* Effect.promise(() => closed), "_tag", tag)
        assert.deepStrictEqual(read, ["last", "end"])
        // What was ended before ends as ever.
        const [other, its] = yield* MemoryTransport.pair()
        const ended = yield* Duplex.to(other)
        ended.end().resume()
        yield* its.closeWrite
        yield* Effect.promise(() => new Promise((resolve) => ended.once("close", resolve)))
        assert.isNull(ended.errored)
      }
    }).pipe(Effect.scoped))

  it.live("is destroyed with the Scope of its transport, also if nobody ever read", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { duplex, peer } = yield* Scope.extend(pair(), scope)
      yield* Effect.fork(Peer.readAll(peer))
      const closed = yield* Effect.fork(event(duplex, "close"))
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(closed)
      assert.propertyVal(duplex.errored, "_tag", "ConnectionClosed")
    }))

  it.scopedLive("leaves the errors of its listeners to the process, and goes on", () =>
    Effect.gen(function*() {
      const { duplex, peer } = yield* pair()
      const seen: Array<string> = []
      duplex.on("data", (chunk: Buffer) => {
        seen.push(String(chunk))
        if (seen.length === 1) throw new Error("of a listener")
      })
      const listeners = process.listeners("uncaughtException")
      process.removeAllListeners("uncaughtException")
      const uncaught = yield* Effect.fork(event(process, "uncaughtException"))
      yield* Effect.yieldNow()
      yield* peer.write(ascii("one"))
      const [error] = yield* Fiber.join(uncaught)
      listeners.forEach((listener) => process.on("uncaughtException", listener))
      assert.propertyVal(error, "message", "of a listener")
      yield* peer.write(ascii("two"))
      yield* peer.closeWrite
      yield* event(duplex, "end")
      assert.deepStrictEqual(seen, ["one", "two"])
    }))

  it.scoped("emits 'timeout' when nothing has moved for so long, by the Clock, and again after a movement", () =>
    Effect.gen(function*() {
      const { duplex, peer } = yield* pair()
      let timeouts = 0
      duplex.on("timeout", () => timeouts++).resume()
      duplex.setTimeout(1000)
      assert.strictEqual(duplex.timeout, 1000)
      yield* TestClock.adjust(999)
      yield* peer.write(ascii("x"))
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust(999)
      assert.strictEqual(timeouts, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(timeouts, 1)
      yield* TestClock.adjust(5000)
      assert.strictEqual(timeouts, 1)
      duplex.write("y")
      yield* TestClock.adjust(1000)
      assert.strictEqual(timeouts, 2)
      duplex.write("z")
      duplex.setTimeout(0)
      yield* TestClock.adjust(5000)
      assert.strictEqual(timeouts, 2)
    }))

  it.scopedLive("keeps the process by its timeout only where it keeps it itself", () =>
    Effect.gen(function*() {
      const { duplex } = yield* pair()
      const before = resources("Timeout")
      const more = () => resources("Timeout") - before
      assert.strictEqual((duplex.setTimeout(60_000), more()), 1)
      assert.strictEqual((duplex.unref(), more()), 0)
      assert.strictEqual((duplex.setTimeout(50_000), more()), 0)
      assert.strictEqual((duplex.ref(), more()), 1)
      assert.strictEqual((duplex.setTimeout(0), more()), 0)
    }))

  it.scopedLive("lets the process end, whatever TLS lies on", () =>
    Effect.gen(function*() {
      const authority = new Authority("of the test")
      const identity = authority.issue("localhost", ["DNS:localhost"])
      const server = yield* Tls.context({ identity })
      const client = yield* Tls.context({ trustRoots: authority.root.certificate })
      const lingerTimeout = 50
      const named = { serverName: "localhost", context: client, lingerTimeout }
      for (const secure of [Tls.client(named), Tls.client({ ...named, truncation: "end" })]) {
        const carriers = yield* tcpPair({ lingerTimeout })
        const layers = [secure(carriers[0]), Tls.server({ context: server, lingerTimeout })(carriers[1])] as const
        const [left] = yield* Effect.all(layers, { concurrency: 2 })
        const duplex = yield* Duplex.to(left)
        const before = resources("TCPSocketWrap")
        assert.strictEqual((duplex.unref(), resources("TCPSocketWrap")), before - 1)
        assert.strictEqual((duplex.ref(), resources("TCPSocketWrap")), before)
      }
    }))

  it.scopedLive("has the addresses and the options of its transport", () =>
    Effect.gen(function*() {
      const [left] = yield* tcpPair({})
      const { host, port } = left.remoteAddress as Address.TcpAddress
      const duplex = yield* Duplex.to(left)
      assert.deepInclude(duplex, { remoteAddress: host, remotePort: port, remoteFamily: "IPv4", localAddress: host })
      duplex.setNoDelay(false).setKeepAlive(true, 5000).unref().ref()
      assert.strictEqual(left.options.noDelay!.get(), false)
      const inMemory = (yield* pair()).duplex
      assert.strictEqual(inMemory.remoteAddress, undefined)
      assert.strictEqual(inMemory.setNoDelay().setKeepAlive(true).unref(), inMemory)
    }))
})

describe("node:http over transports", () => {
  const serving = (listener: http.RequestListener) =>
    Effect.acquireRelease(
      Effect.sync(() => http.createServer(listener)),
      (server) => Effect.sync(() => server.closeAllConnections())
    )

  /** One more connection to the server; the client's end as a Duplex. */
  const dial = (server: http.Server) =>
    Effect.gen(function*() {
      const [client, accepted] = yield* MemoryTransport.pair()
      server.emit("connection", yield* Duplex.to(accepted))
      return { client, socket: yield* Duplex.to(client) }
    })

  it.scopedLive("serves requests on one connection, bodies both ways", () =>
    Effect.gen(function*() {
      const server = yield* serving((request, response) => request.pipe(response))
      const { socket } = yield* dial(server)
      let dialled = 0
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
      Object.assign(agent, {
        createConnection: () => {
          dialled++
          return socket
        }
      })
      const body = Peer.pattern(500_000)
      for (let requests = 0; requests < 3; requests++) {
        const request = http.request({ agent, method: "POST", host: "memory" })
        request.end(body)
        const [response] = (yield* event(request, "response")) as [http.IncomingMessage]
        assert.isTrue((yield* collect(response)).equals(body))
      }
      assert.strictEqual(dialled, 1)
      agent.destroy()
      yield* event(socket, "close")
    }))

  it.scopedLive("closes a connection that idles for keepAliveTimeout", () =>
    Effect.gen(function*() {
      const server = yield* serving((_, response) => response.end("x"))
      server.keepAliveTimeout = 1
      const { client } = yield* dial(server)
      yield* client.write(ascii("GET / HTTP/1.1\r\nhost: memory\r\n\r\n"))
      const all = yield* Peer.readAll(client)
      assert.match(all.toString(), /^HTTP\/1.1 200 OK\r\n/)
    }))

  it.scopedLive("sees that a client is gone while an answer is worked on", () =>
    Effect.gen(function*() {
      const gone = Effect.async<boolean>((resume) => {
        const server = http.createServer((request) =>
          request.on("close", () => resume(Effect.succeed(request.errored !== null)))
        )
        Effect.runFork(Effect.scoped(Effect.gen(function*() {
          const { client } = yield* dial(server)
          yield* client.write(ascii("GET / HTTP/1.1\r\nhost: memory\r\n\r\n"))
          yield* Peer.turns(5)
          yield* client.abort
        })))
      })
      assert.isTrue(yield* gone)
    }))

  it.scopedLive("is undici's connection as well", () =>
    Effect.gen(function*() {
      const server = yield* serving((request, response) => request.pipe(response))
      const { socket } = yield* dial(server)
      const client = new Client("http://memory", {
        // Not at once: undici would not look again.
        connect: (_, callback) => queueMicrotask(() => callback(null, socket as unknown as net.Socket))
      })
      const body = Peer.pattern(500_000)
      for (let requests = 0; requests < 3; requests++) {
        const text = yield* Effect.promise(async () => {
          const response = await client.request({ path: "/", method: "POST", body })
          return response.body.arrayBuffer()
        })
        assert.isTrue(Buffer.from(text).equals(body))
      }
      yield* Effect.promise(() => client.destroy())
      yield* event(socket, "close").pipe(Effect.unless(() => socket.closed))
    }))
})

describe("node:tls over transports", () => {
  it.scopedLive("speaks through both ends, and ends in order", () =>
    Effect.gen(function*() {
      const authority = new Authority("of the test")
      const { certificate, privateKey } = authority.issue("localhost", ["DNS:localhost"])
      const [left, right] = yield* MemoryTransport.pair({ capacity: 1000 })
      const server = new tls.TLSSocket(yield* Duplex.to(right), { isServer: true, cert: certificate, key: privateKey })
      const client = tls.connect({
        socket: yield* Duplex.to(left),
        servername: "localhost",
        ca: authority.root.certificate
      })
      server.pipe(server)
      const body = Peer.pattern(500_000)
      client.end(body)
      assert.isTrue((yield* collect(client)).equals(body))
      assert.strictEqual((yield* left.closed)._tag, "Clean")
      assert.strictEqual((yield* right.closed)._tag, "Clean")
    }))
})
