import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as ConnectionLimit from "../../src/policy/ConnectionLimit.ts"
import * as Server from "../../src/server/Server.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import type { Transport } from "../../src/Transport.ts"
import { bytes } from "../support/bytes.ts"
import { settle } from "../support/fibers.ts"
import * as Peer from "../support/peer.ts"
import { ask, ending, leave, network, none } from "../support/serving.ts"

const echo = (transport: Transport) => transport.forEach(transport.write)

const isServed = (client: Transport) => Effect.map(ask(client, "?"), (answer) => answer === "?")

const rangeError = (exit: Exit.Exit<unknown, unknown>): string | undefined =>
  Exit.isFailure(exit) && Cause.isDieType(exit.cause) && exit.cause.defect instanceof RangeError
    ? exit.cause.defect.message
    : undefined

describe("the limits of a server", () => {
  it.scoped("raised while it runs: who was held is taken at once", () =>
    Effect.gen(function*() {
      const net = network()
      const server = yield* Server.make(net.listener, echo, { maxConnections: 1 })
      const clients = yield* Effect.all(Array.from({ length: 5 }, () => net.connect))
      yield* settle
      assert.deepStrictEqual([server.stats().open, net.listener.stats().pending], [1, 4])
      yield* server.adjust({ maxConnections: 3 })
      yield* settle
      assert.deepStrictEqual([server.stats().open, net.listener.stats().pending], [3, 2])
      yield* server.adjust({ maxConnections: undefined })
      for (const client of clients) assert.isTrue(yield* isServed(client))
    }))

  it.scoped("lowered while it runs: who is there stays, and the next one waits until enough have gone", () =>
    Effect.gen(function*() {
      const net = network()
      const server = yield* Server.make(net.listener, echo)
      const clients = yield* Effect.all([net.connect, net.connect, net.connect])
      for (const client of clients) yield* isServed(client)
      yield* server.adjust({ maxConnections: 1 })
      const next = yield* net.connect
      for (const client of clients) {
        assert.isTrue(yield* isServed(client))
        yield* settle
        assert.strictEqual(net.listener.stats().pending, 1)
        yield* client.closeWrite
        yield* ending(client)
        yield* settle
      }
      assert.isTrue(yield* isServed(next))
    }))

  it.scoped("no longer held: who waits is refused, and so is the next one", () =>
    Effect.gen(function*() {
      const net = network()
      const server = yield* Server.make(net.listener, echo, { maxConnections: 1 })
      const [served, held] = yield* Effect.all([net.connect, net.connect])
      yield* isServed(served)
      yield* server.adjust({ whenFull: "refuse" })
      assert.strictEqual(yield* leave(held), "end")
      assert.strictEqual(yield* leave(yield* net.connect), "end")
      assert.isTrue(yield* isServed(served))
      assert.strictEqual(server.stats().refused, 2)
    }))

  it.scoped("who is refused is there until it has left: the server waits for it", () =>
    Effect.gen(function*() {
      const net = network({ lingerTimeout: "1 hour", closeTimeout: "1 hour" })
      const server = yield* Server.make(net.listener, echo, { admit: () => false })
      const refused = yield* net.connect
      assert.strictEqual(yield* ending(refused), "end")
      assert.deepStrictEqual(server.stats(), { ...none, accepted: 1, open: 1 })
      const draining = yield* Effect.fork(server.drain("1 minute"))
      yield* settle
      assert.isNull(draining.unsafePoll())
      yield* refused.closeWrite
      assert.deepStrictEqual(yield* Fiber.join(draining), { ...none, accepted: 1, refused: 1 })
    }))

  it.scoped("that are not given stay as they were", () =>
    Effect.gen(function*() {
      const net = network()
      const server = yield* Server.make(net.listener, echo, { maxConnections: 1, whenFull: "refuse" })
      const served = yield* net.connect
      yield* isServed(served)
      yield* server.adjust({ admit: () => true })
      assert.strictEqual(yield* leave(yield* net.connect), "end")
      yield* server.adjust({ maxConnections: 2, admit: () => false })
      assert.strictEqual(yield* leave(yield* net.connect), "end")
      yield* server.adjust({ admit: undefined })
      assert.isTrue(yield* isServed(yield* net.connect))
    }))

  it.scoped("that are none die, and change nothing", () =>
    Effect.gen(function*() {
      const net = network()
      const server = yield* Server.make(net.listener, echo)
      for (const limits of [{ maxConnections: 0 }, { maxPerPeer: 0 }, { maxBuffered: Number.NaN }]) {
        const [name] = Object.keys(limits)
        assert.include(rangeError(yield* Effect.exit(server.adjust(limits))), name)
        assert.include(rangeError(yield* Effect.exit(Server.serve(net.listener, echo, limits))), name)
      }
      assert.isTrue(yield* isServed(yield* net.connect))
    }))

  describe("for each peer", () => {
    const tcp = (host: string) => Address.tcp(host, 1024)

    it.scoped("refuse one more of the same address or /64, until one has gone", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* Server.make(net.listener, echo, { maxPerPeer: 1 })
        const outcomes: Array<boolean> = []
        const hosts = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
        const clients = yield* Effect.forEach(hosts, (host) => net.connectFrom(tcp(host)))
        for (const client of clients) {
          const served = yield* isServed(client)
          outcomes.push(served)
          if (!served) yield* client.closeWrite
        }
        assert.deepStrictEqual(outcomes, [true, false, true, true, false, true])
        yield* clients[0]!.closeWrite
        yield* ending(clients[0]!)
        yield* settle
        assert.isTrue(yield* isServed(yield* net.connectFrom(tcp("192.0.2.1"))))
        assert.strictEqual(server.stats().refused, 2)
      }))

    it.scoped("count no one who was refused before they were set, and has not left", () =>
      Effect.gen(function*() {
        const net = network({ lingerTimeout: "1 hour", closeTimeout: "1 hour" })
        const server = yield* Server.make(net.listener, echo, {
          maxConnections: 1,
          whenFull: "refuse",
          drainTimeout: 0
        })
        yield* isServed(yield* net.connectFrom(tcp("192.0.2.1")))
        const refused = yield* net.connectFrom(tcp("192.0.2.2"))
        assert.strictEqual(yield* ending(refused), "end")
        yield* server.adjust({ maxConnections: 3, maxPerPeer: 1 })
        assert.isTrue(yield* isServed(yield* net.connectFrom(tcp("192.0.2.2"))))
      }))

    it.scoped("do not hold for what has no address", () =>
      Effect.gen(function*() {
        const net = network()
        yield* Server.make(net.listener, echo, { maxPerPeer: 1 })
        for (const client of yield* Effect.all([net.connect, net.connect])) assert.isTrue(yield* isServed(client))
      }))

    it.scopedLive("hold over TCP", () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
        const server = yield* Server.make(listener, echo, { maxPerPeer: 2, drainTimeout: 0 })
        const peers = yield* Effect.all([1, 2, 3].map(() => Peer.connect(listener.address)))
        const [, second, third] = peers as [Peer.Peer, Peer.Peer, Peer.Peer]
        yield* third.readAll()
        assert.isTrue(third.ended)
        third.end()
        yield* Peer.eventually(() => server.stats().refused === 1)
        yield* second.write("hello")
        assert.strictEqual(String(yield* second.readBytes(5)), "hello")
        assert.deepStrictEqual(server.stats(), { ...none, accepted: 3, refused: 1, open: 2 })
      }))

    const hosts = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"]

    /** What happens to a server: somebody comes or goes, or the limits are other ones. */
    const event = FastCheck.oneof(
      { weight: 6, arbitrary: FastCheck.record({ comes: FastCheck.constantFrom(...hosts) }) },
      { weight: 3, arbitrary: FastCheck.record({ goes: FastCheck.nat() }) },
      {
        weight: 1,
        arbitrary: FastCheck.record({
          maxPerPeer: FastCheck.option(FastCheck.integer({ min: 1, max: 4 }), { nil: undefined }),
          maxConnections: FastCheck.integer({ min: 1, max: 8 })
        })
      }
    )

    it.effect.prop(
      "let in exactly who there is room for, whoever comes and goes and however they change",
      [FastCheck.array(event, { minLength: 20, maxLength: 40 })],
      ([events]) =>
        Effect.scoped(Effect.gen(function*() {
          const net = network()
          let limits: Server.Limits = { maxPerPeer: 2 }
          const server = yield* Server.make(net.listener, echo, { ...limits, whenFull: "refuse" })
          let inside: ReadonlyArray<{ readonly peer: string | undefined; readonly client: Transport }> = []
          for (const event of events) {
            if ("comes" in event) {
              const address = tcp(event.comes)
              const peer = ConnectionLimit.peerOf(address)
              const fits = inside.length < (limits.maxConnections ?? Infinity) &&
                inside.filter((other) => other.peer === peer).length < (limits.maxPerPeer ?? Infinity)
              const client = yield* net.connectFrom(address)
              assert.strictEqual(yield* isServed(client), fits)
              if (fits) inside = [...inside, { peer, client }]
              else yield* client.closeWrite
            } else if ("goes" in event) {
              const one = inside[event.goes % inside.length]
              if (one === undefined) continue
              inside = inside.filter((other) => other !== one)
              yield* one.client.closeWrite
              yield* ending(one.client)
            } else {
              limits = event
              yield* server.adjust(limits)
            }
            yield* settle
            assert.strictEqual(server.stats().open, inside.length)
          }
          for (const { client } of inside) yield* client.abort
        })),
      { fastCheck: { numRuns: 50 } }
    )
  })

  describe("for all that is buffered", () => {
    /** Sends on and on, as fast as its client takes it. */
    const flood = (size: number) => (transport: Transport) => Effect.forever(transport.write(bytes(size, 7)))

    const slowest = (ends: ReadonlyArray<Server.ConnectionEnd>) =>
      ends.flatMap(({ exit, outcome, remoteAddress }) =>
        Exit.isFailure(exit) && Cause.isFailType(exit.cause) && exit.cause.error instanceof Server.SlowConsumer
          ? { host: Address.format(remoteAddress), outcome, error: exit.cause.error }
          : []
      )

    /** Sends as many thousands of bytes as it is told by the first one that it gets. */
    const giving = (transport: Transport) =>
      Effect.flatMap(
        transport.pull,
        (size) => Effect.zipRight(transport.write(bytes(size![0]! * 1000)), Effect.never)
      )

    /** Reads so many bytes, then waits for so long, and so on. */
    const reading = (client: Transport, size: number, pause: number) => {
      let taken = 0
      const loop: Effect.Effect<void, unknown> = Effect.flatMap(client.pull, (chunk) => {
        if (chunk === null) return Effect.void
        taken += chunk.length
        if (taken < size) return loop
        taken = 0
        return Effect.zipRight(Effect.sleep(pause), loop)
      })
      return Effect.ignore(loop)
    }

    it.live("abort the slowest, which is named, while the fast ones go on", () =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const net = network({ capacity: 16_384, highWaterMark: 16_384, readBufferSize: 0 })
          const ends: Array<Server.ConnectionEnd> = []
          const messages: Array<string> = []
          const logger = Logger.make(({ cause }) => messages.push(Cause.pretty(cause)))
          const server = yield* Server.make(net.listener, flood(1024), {
            maxBuffered: 60_000,
            drainTimeout: 0,
            onEnd: (end) => ends.push(end)
          }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
          const from = (host: string) => net.connectFrom(Address.tcp(host, 1024))
          const fast = yield* Effect.all([from("192.0.2.1"), from("192.0.2.2")])
          for (const client of fast) yield* Effect.forkScoped(reading(client, 16_384, 10))
          yield* Effect.sleep("1 second")
          const trickling = yield* from("192.0.2.3")
          yield* Effect.forkScoped(reading(trickling, 64, 50))
          yield* Effect.sleep("1 second")
          assert.deepStrictEqual(ends, [])
          // Takes nothing at all: one too much.
          const stuck = yield* from("192.0.2.4")
          yield* Effect.sleep("1 second")
          const [first, ...others] = slowest(ends)
          assert.deepStrictEqual(others, [])
          assert.deepStrictEqual([first!.host, first!.outcome], ["192.0.2.4:1024", "aborted"])
          const { buffered, limit, taken, total } = first!.error
          assert.deepStrictEqual([limit, taken], [60_000, 0])
          assert.isAtLeast(buffered, 16_384)
          assert.isAbove(total, limit)
          assert.lengthOf(messages, 1)
          assert.include(messages[0], "192.0.2.4:1024 takes too little: ")
          assert.strictEqual(yield* ending(stuck), "ConnectionReset")
          // Now that one, which takes some.
          yield* server.adjust({ maxBuffered: 40_000 })
          yield* Effect.sleep("1 second")
          assert.deepStrictEqual(slowest(ends).map(({ host }) => host), ["192.0.2.4:1024", "192.0.2.3:1024"])
          const before = fast.map((client) => client.stats().bytesRead)
          yield* Effect.sleep("1 second")
          for (const [index, client] of fast.entries()) assert.isAbove(client.stats().bytesRead, before[index]! + 1e6)
          assert.deepStrictEqual(server.stats(), { ...none, accepted: 4, aborted: 2, open: 2 })
          yield* Effect.all([...fast, trickling].map((client) => client.abort))
        }))
      ))

    it.live("abort as many as it takes, those for whom most waits first", () =>
      VirtualClock.run(
        Effect.scoped(
          Effect.gen(function*() {
            const net = network({ capacity: 1, highWaterMark: 1 })
            const ends: Array<Server.ConnectionEnd> = []
            const server = yield* Server.make(
              net.listener,
              giving,
              // Exactly what is left without the first.
              { maxBuffered: 15_996, drainTimeout: 0, onEnd: (end) => ends.push(end) }
            )
            const clients = yield* Effect.forEach([3, 9, 5, 7, 1], (size) =>
              Effect.tap(net.connectFrom(Address.tcp("192.0.2.1", size)), (client) =>
                client.write(bytes(1, size))))
            yield* Effect.sleep("250 millis")
            assert.deepStrictEqual(
              slowest(ends).map(({ host }) =>
                host
              ),
              ["192.0.2.1:9"]
            )
            yield* server.adjust({ maxBuffered: 5000 })
            yield* Effect.sleep("250 millis")
            assert.deepStrictEqual(
              slowest(ends).map(({ host }) => host),
              ["192.0.2.1:9", "192.0.2.1:7", "192.0.2.1:5"]
            )
            yield* Effect.all(clients.map((client) => client.abort))
          }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
        )
      ))

    it.live("let a burst pass: what is gone in a tenth of a second", () =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const net = network({ highWaterMark: 1_000_000 })
          const ends: Array<Server.ConnectionEnd> = []
          yield* Server.make(net.listener, (transport) =>
            Effect.forever(Effect.zipRight(Effect.sleep("1 second"), transport.write(bytes(1_000_000)))), {
            maxBuffered: 100_000,
            drainTimeout: 0,
            onEnd: (end) =>
              ends.push(end)
          })
          const clients = yield* Effect.all(Array.from({ length: 10 }, () =>
            net.connect))
          for (const client of clients) yield* Effect.forkScoped(reading(client, 65_536, 5))
          yield* Effect.sleep("5500 millis")
          for (const client of clients) assert.strictEqual(client.stats().bytesRead, 5_000_000)
          assert.deepStrictEqual(ends, [])
          yield* Effect.all(clients.map((client) => client.abort))
        }))
      ))

    it.live("are not exceeded by exactly as much, and are looked at anew when they are set anew", () =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const net = network({ capacity: 1, highWaterMark: 1 })
          const ends: Array<Server.ConnectionEnd> = []
          const server = yield* Server.make(net.listener, giving, {
            maxBuffered: 9999,
            drainTimeout: 0,
            onEnd: (end) => ends.push(end)
          })
          const [exactly, more] = yield* Effect.all([net.connect, net.connect])
          yield* exactly.write(bytes(1, 10))
          yield* Effect.sleep("350 millis")
          yield* more.write(bytes(1, 1))
          // Once over them: a burst, also if it is forgotten and there is another one.
          yield* Effect.sleep("100 millis")
          yield* server.adjust({ maxBuffered: undefined })
          yield* server.adjust({ maxBuffered: 9999 })
          yield* Effect.sleep("150 millis")
          assert.deepStrictEqual(ends, [])
          yield* Effect.sleep("100 millis")
          assert.lengthOf(slowest(ends), 1)
        })).pipe(Logger.withMinimumLogLevel(LogLevel.None))
      ))

    it.live("are looked at also when nobody else is taken, since the server is full", () =>
      VirtualClock.run(Effect.scoped(Effect.gen(function*() {
        const net = network()
        const server = yield* Server.make(net.listener, flood(1024), { maxConnections: 1, maxBuffered: 10_000 })
        const client = yield* net.connect
        assert.strictEqual((yield* client.closed)._tag, "Lost")
        assert.strictEqual((yield* server.drain()).aborted, 1)
      }))).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.live("abort who has the longest to go, though another one takes fewer bytes", () =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const net = network({ capacity: 1, highWaterMark: 1, maxChunkSize: 1, readBufferSize: 0 })
          const ends: Array<Server.ConnectionEnd> = []
          const server = yield* Server.make(net.listener, giving, {
            maxBuffered: 10_000,
            drainTimeout: 0,
            onEnd: (end) => ends.push(end)
          })
          for (const [size, pause] of [[9, 5], [3, 7]] as const) {
            const client = yield* net.connectFrom(Address.tcp("192.0.2.1", size))
            yield* client.write(bytes(1, size))
            yield* Effect.forkScoped(reading(client, 1, pause))
          }
          yield* Effect.sleep("250 millis")
          assert.deepStrictEqual(slowest(ends).map(({ host }) => host), ["192.0.2.1:9"])
          assert.strictEqual(server.stats().open, 1)
        })).pipe(Logger.withMinimumLogLevel(LogLevel.None))
      ))

    it.live("leave who has come since the last look to the next one, however much waits for it", () =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const net = network({ capacity: 1, highWaterMark: 1, maxChunkSize: 1, readBufferSize: 0 })
          const ends: Array<Server.ConnectionEnd> = []
          yield* Server.make(
            net.listener,
            giving,
            { maxBuffered: 10_000, drainTimeout: 0, onEnd: (end) => ends.push(end) }
          )
          const connect = (size: number, port: number) =>
            Effect.tap(
              net.connectFrom(Address.tcp("192.0.2.1", port)),
              (client) => client.write(bytes(1, size))
            )
          const before = yield* Effect.all([connect(9, 1), connect(9, 2)])
          for (const client of before) yield* Effect.forkScoped(reading(client, 1, 10))
          yield* Effect.sleep("150 millis")
          const next = yield* connect(10, 3)
          yield* Effect.sleep("100 millis")
          assert.sameMembers(slowest(ends).map(({ host }) => host), ["192.0.2.1:1", "192.0.2.1:2"])
          yield* Effect.all([...before, next].map((client) => client.abort))
        })).pipe(Logger.withMinimumLogLevel(LogLevel.None))
      ))

    it.live("tell what an aborted one has taken, also if nothing waited for it at the last look", () =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const net = network({ capacity: 1, highWaterMark: 1, maxChunkSize: 1 })
          const ends: Array<Server.ConnectionEnd> = []
          yield* Server.make(net.listener, giving, {
            maxBuffered: 10_000,
            drainTimeout: 0,
            onEnd: (end) => ends.push(end)
          })
          const [before, after] = yield* Effect.all([net.connect, net.connect])
          yield* before.write(bytes(1, 20))
          yield* Effect.sleep("150 millis")
          yield* before.abort
          yield* after.write(bytes(1, 20))
          yield* Effect.sleep("100 millis")
          assert.deepStrictEqual(slowest(ends).map(({ error }) => [error.taken, error.buffered]), [[1, 19_999]])
        })).pipe(Logger.withMinimumLogLevel(LogLevel.None))
      ))

    it.live("stay the reason of who was aborted by them, also if the server ends before its handler does", () =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const net = network()
          const ends: Array<Server.ConnectionEnd> = []
          const handler = (transport: Transport) => Effect.ensuring(flood(1024)(transport), Effect.sleep("1 second"))
          const server = yield* Server.make(net.listener, handler, {
            maxBuffered: 10_000,
            isIdle: () => true,
            onEnd: (end) => ends.push(end)
          })
          const client = yield* net.connect
          assert.strictEqual((yield* client.closed)._tag, "Lost")
          assert.strictEqual((yield* server.drain("500 millis")).aborted, 1)
          assert.lengthOf(slowest(ends), 1)
        })).pipe(Logger.withMinimumLogLevel(LogLevel.None))
      ))

    it.live("keep no timer while nobody is connected", () =>
      Effect.gen(function*() {
        const program = Effect.gen(function*() {
          const net = network()
          yield* Server.make(net.listener, echo, { maxBuffered: 1 })
          const client = yield* net.connect
          yield* isServed(client)
          yield* client.closeWrite
          yield* ending(client)
          // With a timer, time would pass for ever.
          yield* Effect.never
        })
        const exit = yield* Effect.exit(VirtualClock.run(Effect.scoped(program)))
        assert.isTrue(Exit.isFailure(exit))
      }))

    it.scoped("can be set while it runs", () =>
      Effect.gen(function*() {
        const net = network({ capacity: 1, highWaterMark: 1 })
        const server = yield* Server.make(net.listener, flood(100), { drainTimeout: 0 })
        const client = yield* net.connect
        yield* settle
        yield* TestClock.adjust("1 second")
        assert.strictEqual(server.stats().open, 1)
        yield* server.adjust({ maxBuffered: 50 })
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(server.stats().open, 1)
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(yield* ending(client), "ConnectionReset")
        assert.strictEqual(server.stats().aborted, 1)
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))
  })
})
