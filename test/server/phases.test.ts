import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import type { Listener } from "../../src/Listener.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as Server from "../../src/server/Server.ts"
import type { Transport } from "../../src/Transport.ts"
import { ascii, text } from "../support/bytes.ts"
import { countedTimers } from "../support/countedTimers.ts"
import { settle } from "../support/fibers.ts"
import * as Peer from "../support/peer.ts"
import { ask, leave, network, none, obedient } from "../support/serving.ts"

const echo = (transport: Transport) => transport.forEach(transport.write)

/** All phases until the last one. */
const phases = (server: Server.Server) =>
  Effect.map(
    Effect.fork(Stream.runCollect(server.phase.changes)),
    (fiber) => Effect.map(Fiber.join(fiber), Chunk.toReadonlyArray)
  )

const goodbye = (transport: Transport) =>
  Effect.zipRight(
    Effect.raceFirst(obedient(transport), Effect.flatMap(Server.Server, (server) => server.draining)),
    transport.write(ascii("goodbye"))
  )

describe("Server.make", () => {
  describe("its phase", () => {
    it.scoped("is Accepting, Draining until the deadline, Closed with the report; each can be asked for and watched", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* Server.make(net.listener, obedient, { drainTimeout: "3 seconds" })
        const seen = yield* phases(server)
        const client = yield* net.connect
        yield* client.write(ascii("w."))
        yield* settle
        assert.deepStrictEqual(yield* server.phase.get, { _tag: "Accepting" })
        yield* TestClock.adjust("500 millis")
        const report = yield* Effect.fork(server.drain())
        yield* settle
        assert.deepStrictEqual(yield* server.phase.get, { _tag: "Draining", deadline: 3500 })
        assert.deepStrictEqual(server.stats(), { ...none, accepted: 1, open: 1 })
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(text(yield* Peer.readAll(client)), "w.")
        yield* client.closeWrite
        const expected = { ...none, accepted: 1, completed: 1 }
        assert.deepStrictEqual(yield* Fiber.join(report), expected)
        assert.deepStrictEqual(yield* server.phase.get, { _tag: "Closed", report: expected })
        assert.deepStrictEqual(yield* seen, [
          { _tag: "Accepting" },
          { _tag: "Draining", deadline: 3500 },
          { _tag: "Closed", report: expected }
        ])
        assert.deepStrictEqual(yield* server.drain(0), expected)
        assert.deepStrictEqual(server.stats(), { ...expected, open: 0 })
      }))

    it.scoped("is Closing when the deadline is over and something is left", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* Server.make(net.listener, () =>
          Effect.zipRight(Effect.addFinalizer(() => Effect.sleep("1 second")), Effect.never))
        const seen = yield* phases(server)
        yield* net.connect
        yield* settle
        yield* Effect.fork(server.drain("2 seconds"))
        yield* settle
        yield* TestClock.adjust("2 seconds")
        yield* settle
        assert.deepStrictEqual(yield* server.phase.get, { _tag: "Closing" })
        // Too late for another deadline.
        yield* Effect.fork(server.drain("1 hour"))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* server.closed, { ...none, accepted: 1, aborted: 1 })
        assert.deepStrictEqual(
          (yield* seen).map(({ _tag }) =>
            _tag
          ),
          ["Accepting", "Draining", "Closing", "Closed"]
        )
      }))

    it.scoped("is Draining, too, when the listener is closed by somebody else", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* Server.make(net.listener, echo)
        const seen = yield* phases(server)
        yield* settle
        yield* net.listener.close
        assert.deepStrictEqual((yield* seen).map(({ _tag }) => _tag), ["Accepting", "Draining", "Closed"])
      }))

    it.scopedLive("answers a health check, while a connection of the service goes on", () =>
      Effect.gen(function*() {
        const loopback = Address.tcp("127.0.0.1", 0)
        const [service, health] = yield* Effect.all([Tcp.listen(loopback), Tcp.listen(loopback)])
        const server = yield* Server.make(service, (transport) => Effect.uninterruptible(echo(transport)))
        yield* Server.make(health, ({ write }) =>
          Effect.flatMap(server.phase.get, ({ _tag }) =>
            write(ascii(_tag === "Accepting" ? "200" : "503"))))
        const check = Effect.scoped(
          Effect.gen(function*() {
            const peer = yield* Peer.connect(health.address)
            peer.end()
            return String(yield* peer.readAll())
          })
        )
        const client = yield* Peer.connect(service.address)
        yield* client.write("hello")
        yield* client.readBytes(5)
        assert.strictEqual(yield* check, "200")
        const report = yield* Effect.fork(server.drain())
        yield* server.draining
        assert.strictEqual(yield* check, "503")
        yield* client.write(", world")
        assert.strictEqual(String(yield* client.readBytes(12)), "hello, world")
        client.end()
        assert.deepStrictEqual(yield* Fiber.join(report), { ...none, accepted: 1, drained: 1 })
        assert.strictEqual(yield* check, "503")
      }))
  })

  describe("drained", () => {
    it.scoped("lets go on for as long as it is told then", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* Server.make(net.listener, obedient, { drainTimeout: "1 second" })
        const client = yield* net.connect
        yield* client.write(ascii("wwww."))
        yield* settle
        yield* Effect.fork(server.drain("1 minute"))
        yield* settle
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual(text(yield* Peer.readAll(client)), "wwww.")
        yield* client.closeWrite
        assert.deepStrictEqual(yield* server.closed, { ...none, accepted: 1, completed: 1 })
      }))

    it.scoped("a second time, it has that deadline, or the one it had", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* Server.make(net.listener, () => Effect.never)
        const seen = yield* phases(server)
        yield* net.connect
        yield* settle
        yield* Effect.fork(server.drain("1 second"))
        yield* settle
        yield* Effect.fork(server.drain())
        yield* Effect.fork(server.drain("4 seconds"))
        yield* settle
        yield* TestClock.adjust("2 seconds")
        yield* settle
        assert.deepStrictEqual(yield* server.phase.get, { _tag: "Draining", deadline: 4000 })
        // At once, not at the next look.
        assert.deepStrictEqual(yield* server.drain(0), { ...none, accepted: 1, aborted: 1 })
        assert.deepStrictEqual(
          (yield* seen).map((phase) => phase._tag === "Draining" ? phase.deadline : phase._tag),
          ["Accepting", 1000, 4000, 2000, "Closing", "Closed"]
        )
      }))

    it.scoped("goes on when who asked for it is interrupted", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* Server.make(net.listener, obedient)
        const client = yield* net.connect
        yield* client.write(ascii("w"))
        yield* settle
        const asked = yield* Effect.fork(server.drain())
        yield* settle
        yield* Fiber.interrupt(asked)
        const left = yield* Effect.fork(leave(client))
        yield* TestClock.adjust("1020 millis")
        assert.strictEqual(yield* Fiber.join(left), "end")
        assert.deepStrictEqual(yield* server.closed, { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("before it has accepted anybody, it turns away who waits", () =>
      Effect.gen(function*() {
        const net = network()
        const client = yield* net.connect
        const left = yield* Effect.fork(leave(client))
        const server = yield* Server.make(net.listener, echo)
        const { accepted, drained } = yield* server.drain()
        assert.strictEqual(accepted, drained)
        assert.strictEqual(yield* Fiber.join(left), "end")
      }))

    it.scoped("it gives up those that waited in the listener, and do not leave, at the same deadline", () =>
      Effect.gen(function*() {
        const net = network({ lingerTimeout: "1 hour", closeTimeout: "1 hour" })
        const server = yield* Server.make(net.listener, echo, { maxConnections: 1 })
        yield* net.connect
        const held = yield* net.connect
        // Not at one of the looks, 20 ms apart.
        const draining = yield* Effect.fork(server.drain("3010 millis"))
        yield* settle
        yield* TestClock.adjust("3009 millis")
        assert.isNull(draining.unsafePoll())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* Fiber.join(draining)).accepted, 1)
        assert.strictEqual((yield* held.closed)._tag, "Lost")
      }))

    it.scoped("it waits for those that it turns away, also when nobody else is left", () =>
      Effect.gen(function*() {
        const net = network({ lingerTimeout: "1 hour", closeTimeout: "1 hour" })
        const server = yield* Server.make(net.listener, echo, { maxConnections: 1 })
        const served = yield* net.connect
        const held = yield* net.connect
        yield* ask(served, "hello")
        const draining = yield* Effect.fork(server.drain("1 minute"))
        assert.strictEqual(yield* leave(served), "end")
        yield* settle
        assert.strictEqual(server.stats().open, 0)
        assert.isNull(draining.unsafePoll())
        assert.strictEqual(yield* leave(held), "end")
        assert.deepStrictEqual(yield* Fiber.join(draining), { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("it counts once whose handler is over, and whose peer does not take the rest", () =>
      Effect.gen(function*() {
        const net = network({ capacity: 0, readBufferSize: 0, lingerTimeout: "1 hour", closeTimeout: "1 hour" })
        const server = yield* Server.make(net.listener, echo)
        const client = yield* net.connect
        yield* client.write(ascii("x"))
        yield* client.closeWrite
        yield* settle
        assert.deepStrictEqual(yield* server.drain(0), { ...none, accepted: 1, aborted: 1 })
      }))

    it.scopedLive("leaves no timer, also when the deadline is another one then", () =>
      Effect.gen(function*() {
        const { armed, clock } = countedTimers()
        const net = network()
        const server = yield* Effect.withClock(
          Server.make(net.listener, () => Effect.never, { maxBuffered: 1 }),
          clock
        )
        yield* net.connect
        yield* settle
        yield* Effect.fork(server.drain("1 hour"))
        yield* server.draining
        yield* settle
        assert.deepStrictEqual(yield* server.drain(0), { ...none, accepted: 1, aborted: 1 })
        assert.strictEqual(armed(), 0)
      }))

    it.scoped("by the end of its Scope, which waits for that", () =>
      Effect.gen(function*() {
        const net = network()
        const scope = yield* Scope.make()
        const server = yield* Scope.extend(Server.make(net.listener, obedient), scope)
        const client = yield* net.connect
        yield* client.write(ascii("w."))
        yield* settle
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* settle
        assert.isNull(closing.unsafePoll())
        yield* TestClock.adjust("1 second")
        assert.strictEqual(text(yield* Peer.readAll(client)), "w.")
        yield* client.closeWrite
        yield* Fiber.join(closing)
        assert.deepStrictEqual(yield* server.phase.get, {
          _tag: "Closed",
          report: { ...none, accepted: 1, completed: 1 }
        })
      }))
  })

  describe("its handlers", () => {
    it.scoped("are told the deadline, and say goodbye before idle connections are ended", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* Server.make(net.listener, goodbye)
        const clients = yield* Effect.all(Array.from({ length: 10 }, () => net.connect))
        for (const client of clients) yield* ask(client, "hello")
        const reading = yield* Effect.fork(
          Effect.forEach(clients, (client) => Effect.zipLeft(Peer.readAll(client), client.closeWrite), {
            concurrency: "unbounded"
          })
        )
        yield* TestClock.adjust("1 second")
        const report = yield* Effect.fork(server.drain("7 seconds"))
        assert.strictEqual(yield* server.draining, 8000)
        assert.deepStrictEqual((yield* Fiber.join(reading)).map(String), clients.map(() => "goodbye"))
        assert.deepStrictEqual(yield* Fiber.join(report), { ...none, accepted: 10, completed: 10 })
      }))

    it.scoped("have the server as a service, also in what a forEach runs, and each its own", () =>
      Effect.gen(function*() {
        const [one, two] = [network(), network()]
        const seen: Array<Server.Server> = []
        const handler = (transport: Transport) =>
          transport.forEach((chunk) =>
            Effect.flatMap(Server.Server, (server) => {
              seen.push(server)
              return transport.write(chunk)
            })
          )
        const first = yield* Server.make(one.listener, handler)
        const second = yield* Effect.provideService(Server.make(two.listener, handler), Server.Server, first)
        yield* ask(yield* one.connect, "a")
        yield* ask(yield* two.connect, "a")
        assert.deepStrictEqual([seen[0] === first, seen[1] === second], [true, true])
      }))

    it.scoped("are interrupted at the deadline, also where a forEach had its first chunk, put back before, at once", () =>
      Effect.gen(function*() {
        const net = network()
        let interrupted = 0
        const server = yield* Server.make(net.listener, (transport) => {
          Effect.runSync(transport.unread(ascii("x")))
          return transport.forEach(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)))
        })
        yield* net.connect
        yield* settle
        assert.deepStrictEqual(yield* server.drain(0), { ...none, accepted: 1, aborted: 1 })
        assert.strictEqual(interrupted, 1)
      }))
  })

  describe("of several listeners", () => {
    it.scoped("has one report, and tells the handler which one it is", () =>
      Effect.gen(function*() {
        const nets = [network({ name: "one" }), network({ name: "two" })] as const
        const server = yield* Server.make(
          nets.map(({ listener }) => listener),
          (transport, { address }) => transport.write(ascii(Address.format(address)))
        )
        for (const net of nets) {
          const client = yield* net.connect
          assert.strictEqual(text(yield* Peer.readAll(client)), Address.format(net.listener.address))
          yield* client.closeWrite
        }
        assert.deepStrictEqual(yield* server.drain(), { ...none, accepted: 2, completed: 2 })
        for (const { listener } of nets) yield* listener.closed
      }))

    it.scoped("goes on until the last one is closed", () =>
      Effect.gen(function*() {
        const [one, two] = [network(), network()]
        const server = yield* Server.make([one.listener, two.listener], echo)
        const first = yield* one.connect
        yield* ask(first, "a")
        yield* one.listener.close
        yield* settle
        assert.strictEqual(yield* ask(first, "b"), "b")
        const second = yield* two.connect
        assert.strictEqual(yield* ask(second, "c"), "c")
        assert.deepStrictEqual(yield* server.phase.get, { _tag: "Accepting" })
        yield* Effect.fork(Effect.all([leave(first), leave(second)], { concurrency: "unbounded" }))
        yield* two.listener.close
        assert.deepStrictEqual(yield* server.closed, { ...none, accepted: 2, drained: 2 })
      }))

    it.scoped("waits at each once, however many come to another one", () =>
      Effect.gen(function*() {
        const [busy, idle] = [network(), network()]
        let waits = 0
        const quiet: Listener = {
          ...idle.listener,
          unsafeAwait: (notify) => {
            waits++
            return idle.listener.unsafeAwait(notify)
          }
        }
        yield* Server.make([busy.listener, quiet], echo)
        for (const question of "abc") yield* ask(yield* busy.connect, question)
        assert.strictEqual(waits, 1)
        assert.strictEqual(yield* ask(yield* idle.connect, "d"), "d")
        yield* settle
        assert.strictEqual(waits, 2)
      }))

    it.scoped("has one limit, and takes of each in turn", () =>
      Effect.gen(function*() {
        const nets = { a: network(), b: network(), c: network() }
        const served: Array<string> = []
        const clients = new Map<string, Transport>()
        yield* Server.make(
          Object.values(nets).map(({ listener }) => listener),
          (transport) =>
            Effect.flatMap(transport.pull, (name) => {
              served.push(text(name!))
              return echo(transport)
            }),
          { maxConnections: 1 }
        )
        for (const count of [0, 1, 2]) {
          for (const [name, net] of Object.entries(nets)) {
            const client = yield* net.connect
            yield* client.write(ascii(`${name}${count}`))
            clients.set(`${name}${count}`, client)
          }
        }
        for (let turn = 0; turn < clients.size; turn++) {
          yield* settle
          assert.lengthOf(served, turn + 1)
          yield* clients.get(served[turn]!)!.closeWrite
        }
        assert.deepStrictEqual(served, ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"])
      }))

    it.scoped("of none at all is closed at once", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* Server.serve([], echo), none)
      }))
  })

  describe("onEnd", () => {
    it.scoped("tells of each connection how it ended, how long it took, and how much went", () =>
      Effect.gen(function*() {
        const net = network()
        const ends: Array<unknown> = []
        const server = yield* Server.make(net.listener, obedient, {
          maxConnections: 4,
          whenFull: "refuse",
          onEnd: ({ bytesRead, bytesWritten, duration, exit, outcome, remoteAddress }) => {
            assert.strictEqual(Address.format(remoteAddress), "left")
            ends.push([outcome, exit._tag, Duration.toMillis(duration), bytesRead, bytesWritten])
          }
        })
        yield* TestClock.adjust("1 hour")
        const clients = yield* Effect.all(Array.from({ length: 5 }, () => net.connect))
        const [completes, fails, idles, hangs, refused] = clients as [
          Transport,
          Transport,
          Transport,
          Transport,
          Transport
        ]
        assert.strictEqual(yield* leave(refused), "end")
        yield* completes.write(ascii("w."))
        yield* fails.write(ascii("abc!"))
        yield* leave(fails)
        yield* ask(idles, "hello")
        yield* hangs.write(ascii("wwwwwwwwwwwwww"))
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* leave(completes)
        yield* Effect.fork(leave(idles))
        yield* Effect.fork(server.drain("2 seconds"))
        yield* settle
        yield* TestClock.adjust("2 seconds")
        yield* server.closed
        assert.deepStrictEqual(ends, [
          ["refused", "Success", 0, 0, 0],
          ["failed", "Failure", 0, 4, 0],
          ["completed", "Success", 1000, 2, 2],
          ["drained", "Success", 1000, 5, 5],
          ["aborted", "Failure", 3000, 14, 2]
        ])
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.scoped("has the loss of a connection that a forEach served, though nobody logs it", () =>
      Effect.gen(function*() {
        const net = network()
        const ends: Array<string> = []
        const server = yield* Server.make(net.listener, echo, {
          onEnd: ({ exit }) => ends.push(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "")
        })
        const client = yield* net.connect
        yield* ask(client, "a")
        yield* client.abort
        yield* server.drain()
        assert.lengthOf(ends, 1)
        assert.match(ends[0]!, /was reset by the peer/)
      }))

    it.scoped("comes when the fibers that the handler has forked are over, and so does the end of the server", () =>
      Effect.gen(function*() {
        const net = network()
        const order: Array<string> = []
        const note = (what: string) => Effect.sync(() => void order.push(what))
        const server = yield* Server.make(net.listener, (transport) =>
          Effect.gen(function*() {
            yield* Effect.addFinalizer(() => note("finalizer"))
            yield* Effect.fork(
              Effect.onInterrupt(Effect.never, () => Effect.zipRight(Effect.sleep("1 second"), note("fiber")))
            )
            yield* transport.pull
          }), { onEnd: () => order.push("connection") })
        const client = yield* net.connect
        yield* client.closeWrite
        yield* leave(client)
        const closed = yield* Effect.fork(Effect.zipRight(server.drain("1 minute"), note("server")))
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closed)
        assert.deepStrictEqual(order, ["finalizer", "fiber", "connection", "server"])
      }))

    it.scoped("may throw: that is logged, and changes nothing", () =>
      Effect.gen(function*() {
        const messages: Array<string> = []
        const logger = Logger.make(({ message }) => messages.push(String(message)))
        const net = network()
        const server = yield* Server.make(net.listener, echo, {
          onEnd: () => {
            throw new Error("no space left")
          }
        }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
        const client = yield* net.connect
        yield* client.closeWrite
        yield* leave(client)
        assert.deepStrictEqual(yield* server.drain(), { ...none, accepted: 1, completed: 1 })
        assert.deepStrictEqual(messages, ["Telling of the end of a connection died"])
      }))

    it.scoped("sees a connection that is over before the server is", () =>
      Effect.gen(function*() {
        const net = network()
        const order: Array<string> = []
        const server = yield* Server.make(net.listener, echo, { onEnd: () => order.push("connection") })
        const client = yield* net.connect
        yield* ask(client, "a")
        yield* Effect.fork(leave(client))
        yield* server.drain()
        order.push(`server, ${yield* Clock.currentTimeMillis}`)
        assert.deepStrictEqual(order, ["connection", "server, 0"])
      }))
  })
})
