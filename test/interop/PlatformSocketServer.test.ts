import type * as Socket from "@effect/platform/Socket"
import * as SocketServer from "@effect/platform/SocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import type { ListenerClosed } from "../../src/ConnectionError.ts"
import * as PlatformSocket from "../../src/interop/PlatformSocket.ts"
import * as PlatformSocketServer from "../../src/interop/PlatformSocketServer.ts"
import type { Network } from "../../src/Network.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import { settle } from "../support/fibers.ts"
import * as Peer from "../support/peer.ts"
import { ask, leave, network } from "../support/serving.ts"

class Name extends Context.Tag("Name")<Name, string>() {}

type Handler = (socket: Socket.Socket) => Effect.Effect<unknown, unknown>

/** Serves with a handler; where to connect, and the fiber of `run`. */
const served = (handler: Handler, options: PlatformSocketServer.Options = {}) =>
  Effect.gen(function*() {
    const listener = yield* Peer.listener("tcp")
    const server = yield* PlatformSocketServer.make(listener, { drainTimeout: 0, ...options })
    const running = yield* Effect.forkScoped(server.run(handler))
    return { running, listener, connect: Peer.connect(listener.address) }
  })

const echo: Handler = (socket) => Effect.scoped(Effect.flatMap(socket.writer, (write) => socket.run(write)))

/** The levels of what is logged meanwhile. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const levels: Array<string> = []
  const logger = Logger.make(({ logLevel }) => void levels.push(logLevel.label))
  return effect.pipe(
    Effect.as(levels),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
    Logger.withMinimumLogLevel(LogLevel.Debug)
  )
}

describe("run", () => {
  it.scopedLive("gives each connection its Socket", () =>
    Effect.gen(function*() {
      const { connect } = yield* served(echo)
      for (const text of ["one", "two"]) {
        const peer = yield* connect
        yield* peer.write(text)
        peer.end()
        assert.strictEqual((yield* peer.readAll()).toString(), text)
        assert.isTrue(peer.ended)
      }
    }))

  it.scopedLive("lets a handler answer after the peer's end", () =>
    Effect.gen(function*() {
      const { connect } = yield* served((socket) =>
        Effect.scoped(Effect.gen(function*() {
          yield* socket.run(() => {})
          const write = yield* socket.writer
          yield* write(Peer.pattern(1024 * 1024))
        }))
      )
      const peer = yield* connect
      yield* peer.write("question")
      peer.end()
      assert.isTrue((yield* peer.readAll()).equals(Peer.pattern(1024 * 1024)))
    }))

  it.scopedLive("knows who the peer is", () =>
    Effect.gen(function*() {
      const addresses = yield* Deferred.make<Address.Address>()
      const { connect } = yield* served((socket) =>
        Deferred.succeed(addresses, PlatformSocket.transport(socket)!.remoteAddress)
      )
      const { socket } = yield* connect
      assert.deepStrictEqual(yield* Deferred.await(addresses), Address.tcp("127.0.0.1", socket.localPort!))
    }))

  it.scopedLive("sends what a handler has written before it failed, and goes on", () =>
    Effect.gen(function*() {
      const { connect } = yield* served((socket) =>
        Effect.scoped(Effect.gen(function*() {
          const write = yield* socket.writer
          yield* write("sorry")
          return yield* Effect.fail("boom")
        }))
      )
      for (let connection = 0; connection < 2; connection++) {
        const peer = yield* connect
        assert.strictEqual((yield* peer.readAll()).toString(), "sorry")
        assert.isTrue(peer.ended)
        peer.end()
      }
    }))

  it.scopedLive("logs a failure as a warning, a loss as debug, and no end that was wanted", () =>
    Effect.gen(function*() {
      const levelsOf = (handler: Handler, act: (peer: Peer.Peer) => void) =>
        logged(Effect.scoped(Effect.gen(function*() {
          const ended = yield* Deferred.make<void>()
          const { connect } = yield* served(handler, { onEnd: () => Deferred.unsafeDone(ended, Exit.void) })
          act(yield* connect)
          yield* Deferred.await(ended)
        })))
      const fails: Handler = () => Effect.fail("boom")
      assert.deepStrictEqual(yield* levelsOf(fails, (peer) => peer.end()), ["WARN"])
      // As RpcServer runs a Socket.
      const orDie: Handler = (socket) => Effect.orDie(socket.run(() => {}))
      assert.deepStrictEqual(yield* levelsOf(orDie, (peer) => peer.reset()), ["DEBUG"])
      assert.deepStrictEqual(yield* levelsOf(orDie, (peer) => peer.end()), [])
    }))

  it.scopedLive("interrupted, ends live connections; handlers that are not over may finish", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const gate = yield* Effect.makeLatch()
      const { connect, running } = yield* served(
        (socket) =>
          Effect.scoped(
            Effect.flatMap(socket.writer, (write) =>
              socket.run(() =>
                Deferred.succeed(begun, undefined).pipe(Effect.zipRight(gate.await), Effect.zipRight(write("done")))
              ))
          ),
        { drainTimeout: "5 seconds" }
      )
      const idle = yield* connect
      const busy = yield* connect
      yield* busy.write("x")
      yield* Deferred.await(begun)
      const stopping = yield* Effect.fork(Fiber.interrupt(running))
      yield* idle.readAll()
      idle.end()
      assert.isTrue(idle.ended)
      assert.isFalse(busy.ended)
      yield* gate.open
      assert.strictEqual((yield* busy.readAll()).toString(), "done")
      busy.end()
      yield* Fiber.join(stopping)
    }))

  it.scoped("interrupted, gives who has just connected a quarter of a second to send: the answer is not lost", () =>
    Effect.gen(function*() {
      const net = network()
      const server = yield* PlatformSocketServer.make(net.listener)
      const running = yield* Effect.fork(server.run(echo))
      const [silent, late] = yield* Effect.all([net.connect, net.connect])
      yield* settle
      const stopping = yield* Effect.fork(Fiber.interrupt(running))
      yield* TestClock.adjust("240 millis")
      assert.strictEqual(yield* ask(late, "hello"), "hello")
      assert.isFalse(silent.stats().peerEnded)
      const leaving = yield* Effect.fork(Effect.forEach([silent, late], leave, { concurrency: "unbounded" }))
      yield* TestClock.adjust("20 millis")
      assert.deepStrictEqual(yield* Fiber.join(leaving), ["end", "end"])
      yield* Fiber.join(stopping)
    }))

  it.scoped("interrupted, asks `isIdle` instead, if there is one, and tells it of handlers that are not over", () =>
    Effect.gen(function*() {
      const net = network()
      const told = new Set<boolean>()
      let mayEnd = false
      const server = yield* PlatformSocketServer.make(net.listener, {
        isIdle: (_, looksIdle) => {
          told.add(looksIdle)
          return mayEnd
        }
      })
      const running = yield* Effect.fork(server.run((socket) => socket.run(() => Effect.never)))
      const client = yield* net.connect
      yield* client.write(Uint8Array.of(1))
      yield* settle
      const stopping = yield* Effect.fork(Fiber.interrupt(running))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([...told], [false])
      assert.isFalse(client.stats().peerEnded)
      const leaving = yield* Effect.fork(leave(client))
      mayEnd = true
      yield* TestClock.adjust("20 millis")
      assert.strictEqual(yield* Fiber.join(leaving), "end")
      yield* Fiber.join(stopping)
    }))

  for (const concurrency of [1, 2]) {
    it.scoped(`interrupted, lets a handler finish above a layer that reads ahead, concurrency ${concurrency}`, () =>
      Effect.gen(function*() {
        const net = network()
        const gate = Effect.unsafeMakeLatch()
        const handler: Handler = (socket) =>
          Effect.scoped(
            Effect.flatMap(socket.writer, (write) => socket.run((bytes) => Effect.zipRight(gate.await, write(bytes))))
          )
        const server = yield* PlatformSocketServer.make(net.listener, { concurrency, through: NetworkLayer.buffered })
        const running = yield* Effect.fork(server.run(handler))
        const client = yield* net.connect
        const asking = yield* Effect.fork(ask(client, "hello"))
        yield* settle
        const stopping = yield* Effect.fork(Fiber.interrupt(running))
        yield* TestClock.adjust("1 second")
        assert.isFalse(client.stats().peerEnded)
        yield* gate.open
        assert.strictEqual(yield* Fiber.join(asking), "hello")
        const leaving = yield* Effect.fork(leave(client))
        yield* TestClock.adjust("20 millis")
        assert.strictEqual(yield* Fiber.join(leaving), "end")
        yield* Fiber.join(stopping)
      }))
  }

  it.scopedLive("gives a layer the services that it was made with, and the connection's Scope", () =>
    Effect.gen(function*() {
      const events = yield* Queue.unbounded<string>()
      const listener = yield* Peer.listener("tcp")
      const server = yield* PlatformSocketServer.make(listener, {
        through: (transport) =>
          Effect.gen(function*() {
            yield* Queue.offer(events, yield* Name)
            yield* Effect.addFinalizer(() => Queue.offer(events, "closed"))
            return transport
          })
      }).pipe(Effect.provideService(Name, "made"))
      yield* Effect.forkScoped(Effect.provideService(server.run(echo), Name, "run"))
      const peer = yield* Peer.connect(listener.address)
      assert.strictEqual(yield* Queue.take(events), "made")
      peer.end()
      assert.strictEqual(yield* Queue.take(events), "closed")
    }))

  it.scopedLive("fails with Unknown when the listener is closed, also by an earlier run", () =>
    Effect.gen(function*() {
      const listener = yield* Peer.listener("tcp")
      const server = yield* PlatformSocketServer.make(listener, { drainTimeout: 0 })
      const first = yield* Effect.fork(server.run(echo))
      yield* Peer.connect(listener.address)
      yield* Fiber.interrupt(first)
      const error = yield* Effect.flip(server.run(echo))
      assert.deepStrictEqual([error.reason, (error.cause as ListenerClosed)._tag], ["Unknown", "ListenerClosed"])
    }))
})

describe("the layer", () => {
  const build = <E>(layer: Layer.Layer<SocketServer.SocketServer, E, Network>) =>
    Effect.flatMap(
      Effect.provide(Layer.build(layer), NodeNetwork.layer),
      (context) => Effect.provide(SocketServer.SocketServer, context)
    )

  it.scopedLive("has the address, of TCP on the loopback and of a UNIX socket", () =>
    Effect.gen(function*() {
      const { address } = yield* build(PlatformSocketServer.layer({ port: 0 }))
      assert.deepInclude(address, { _tag: "TcpAddress", hostname: "127.0.0.1" })
      assert.isAbove((address as SocketServer.TcpAddress).port, 0)
      const { path } = (yield* Peer.free("unix")) as Address.UnixAddress
      assert.deepStrictEqual((yield* build(PlatformSocketServer.layer({ path }))).address, {
        _tag: "UnixAddress",
        path
      })
    }))

  it.scopedLive("takes its options from a Config, and resolves a name", () =>
    Effect.gen(function*() {
      const layer = PlatformSocketServer.layerConfig({ host: Config.string("HOST"), port: Config.integer("PORT") })
      const config = ConfigProvider.fromMap(new Map([["HOST", "localhost"], ["PORT", "0"]]))
      const { address } = yield* Effect.withConfigProvider(build(layer), config)
      assert.match((address as SocketServer.TcpAddress).hostname, /^(127\.0\.0\.1|::1)$/)
    }))

  it.scopedLive("fails with Open, and the cause is the library's failure", () =>
    Effect.gen(function*() {
      const { address } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      const { port } = address
      const error = yield* Effect.flip(build(PlatformSocketServer.layer({ port })))
      assert.deepStrictEqual([error.reason, (error.cause as { _tag: string })._tag], ["Open", "AddressInUse"])
    }))

  it.scopedLive("ends with live connections, and frees the address", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const server = yield* Scope.extend(build(PlatformSocketServer.layer({ port: 0, drainTimeout: 0 })), scope)
      const running = yield* Effect.forkScoped(server.run(echo))
      const { hostname, port } = server.address as SocketServer.TcpAddress
      const peer = yield* Peer.connect(Address.tcp(hostname, port))
      yield* peer.write("x")
      yield* peer.readBytes(1)
      yield* Scope.close(scope, Exit.void)
      yield* Peer.listen(Address.tcp(hostname, port))
      yield* peer.awaitClosed.pipe(Effect.raceFirst(peer.readAll()))
      assert.strictEqual((yield* Effect.flip(Fiber.join(running))).reason, "Unknown")
    }))
})
