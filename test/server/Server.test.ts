import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Supervisor from "effect/Supervisor"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import { WriteAfterEnd } from "../../src/ConnectionError.ts"
import * as Driver from "../../src/Driver.ts"
import * as Turn from "../../src/internal/turn.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import { HandshakeFailed } from "../../src/node/TlsError.ts"
import { IdleTimeout } from "../../src/policy/IdleTimeout.ts"
import { RelayLost } from "../../src/Relay.ts"
import { ProxyNotTrusted } from "../../src/server/ProxyProtocol.ts"
import * as Server from "../../src/server/Server.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import type { Transport } from "../../src/Transport.ts"
import { readExactly } from "../../src/Transport.ts"
import { ascii, bytes, text } from "../support/bytes.ts"
import { settle } from "../support/fibers.ts"
import * as Peer from "../support/peer.ts"
import { ask, ending, leave, network, none, obedient, serving } from "../support/serving.ts"

const echo = (transport: Transport) => Stream.run(transport.stream, transport.sink)

const isDone = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafePoll() !== null

type Ends = Pick<Transport, "localAddress" | "remoteAddress">

interface Entry {
  readonly level: string
  readonly message: string
  readonly cause: string
  readonly annotations: Record<string, unknown>
}

/** What was logged while the effect ran. */
const logs = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const entries: Array<Entry> = []
    const logger = Logger.make<unknown, void>(({ annotations, cause, logLevel, message }) => {
      entries.push({
        level: logLevel.label,
        message: String(message),
        cause: Cause.pretty(cause),
        annotations: Object.fromEntries(HashMap.toEntries(annotations))
      })
    })
    return Effect.as(effect, entries).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.Debug)
    )
  })

/** Serves one connection, with which the client does something, and gives what was logged. */
const logged = <E, R>(
  handler: (transport: Transport) => Effect.Effect<unknown, E, R>,
  client: (transport: Transport) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  logs(Effect.gen(function*() {
    const net = network()
    const server = yield* serving(net, handler)
    yield* client(yield* net.connect)
    yield* settle
    yield* net.listener.close
    yield* Fiber.join(server)
  }))

describe("Server.serve", () => {
  describe("a connection", () => {
    it.scoped("is served, closed after the handler's success, and counted", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, obedient)
        const client = yield* net.connect
        yield* client.write(ascii("ab."))
        assert.strictEqual(text(yield* Peer.readAll(client)), "ab.")
        yield* client.closeWrite
        assert.strictEqual((yield* client.closed)._tag, "Clean")
        yield* settle
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, completed: 1 })
      }))

    it.scoped("is aborted after the handler's failure, defect or interruption, and only this one", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(
          net,
          (transport) =>
            Effect.flatMap(transport.pull, (order) => text(order!) === "i" ? Effect.interrupt : obedient(transport))
        )
        const clients = yield* Effect.all(Array.from({ length: 4 }, () => net.connect))
        yield* clients[0]!.write(ascii("i"))
        yield* clients[1]!.writeAll([ascii("a"), ascii("!")])
        yield* clients[2]!.writeAll([ascii("a"), ascii("?")])
        for (const client of clients.slice(0, 3)) assert.strictEqual(yield* ending(client), "ConnectionReset")
        yield* clients[3]!.write(ascii("a"))
        assert.strictEqual(yield* ask(clients[3]!, "still here"), "still here")
        const another = yield* net.connect
        yield* another.write(ascii("a"))
        assert.strictEqual(yield* ask(another, "me too"), "me too")
        yield* Effect.fork(leave(clients[3]!))
        yield* Effect.fork(leave(another))
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 5, failed: 3, drained: 2 })
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.scoped("ends alone also when the handler throws instead of giving an Effect", () =>
      Effect.gen(function*() {
        const net = network()
        let first = true
        const server = yield* serving(net, (transport) => {
          if (first) {
            first = false
            throw new Error("not even an Effect")
          }
          return echo(transport)
        })
        assert.strictEqual(yield* ending(yield* net.connect), "ConnectionReset")
        const client = yield* net.connect
        assert.strictEqual(yield* ask(client, "next"), "next")
        yield* client.closeWrite
        yield* ending(client)
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, failed: 1, completed: 1 })
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.scoped("every second one dies in its handler, and the others echo", () =>
      Effect.gen(function*() {
        const net = network()
        let count = 0
        const server = yield* serving(
          net,
          (transport) => count++ % 2 === 0 ? Effect.zipRight(transport.pull, Effect.die("bad luck")) : echo(transport)
        )
        const clients = yield* Effect.all(Array.from({ length: 40 }, () => net.connect))
        const answers = yield* Effect.forEach(
          clients,
          (client) => Effect.zipRight(client.write(ascii("x")), Effect.zipRight(client.closeWrite, ending(client))),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(answers, clients.map((_, index) => index % 2 === 0 ? "ConnectionReset" : "end"))
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 40, failed: 20, completed: 20 })
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.scoped("has a Scope: its finalizers run, before the transport ends, whatever became of the handler", () =>
      Effect.gen(function*() {
        const net = network()
        const seen: Array<string> = []
        const server = yield* serving(net, (transport) =>
          Effect.gen(function*() {
            yield* Effect.addFinalizer((exit) =>
              Effect.flatMap(Effect.exit(transport.write(ascii("bye"))), (wrote) =>
                Effect.sync(() => seen.push(`${exit._tag} ${wrote._tag}`)))
            )
            const order = text((yield* transport.pull)!)
            if (order === "!") {
              yield* Effect.fail("failure")
            }
            if (order === "?") {
              yield* Effect.die("defect")
            }
            if (order === "i") {
              yield* Effect.interrupt
            }
          }))
        for (const order of [".", "!", "?", "i"]) {
          const client = yield* net.connect
          yield* client.write(ascii(order))
          yield* leave(client)
        }
        assert.deepStrictEqual(seen, ["Success Success", "Failure Success", "Failure Success", "Failure Success"])
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 4, completed: 1, failed: 3 })
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.scoped("whose finalizer dies has failed, and the transport is ended all the same", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, () => Effect.addFinalizer(() => Effect.die("late")))
        const client = yield* net.connect
        assert.strictEqual(yield* leave(client), "end")
        yield* client.closed
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, failed: 1 })
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.scoped("runs in the context of the server: services, FiberRefs, logger", () =>
      Effect.gen(function*() {
        const Greeting = Context.GenericTag<"Greeting", string>("Greeting")
        const name = FiberRef.unsafeMake("nobody")
        const entries = yield* logs(Effect.gen(function*() {
          const net = network()
          const server = yield* serving(net, (transport) =>
            Effect.gen(function*() {
              const said = `${yield* Greeting}, ${yield* FiberRef.get(name)}`
              yield* Effect.logInfo(said)
              yield* transport.write(ascii(said))
            })).pipe(Effect.provideService(Greeting, "Hello"), Effect.locally(name, "Ada"))
          const client = yield* net.connect
          assert.strictEqual(text(yield* Peer.readAll(client)), "Hello, Ada")
          yield* client.closeWrite
          yield* net.listener.close
          yield* Fiber.join(server)
        }))
        const [entry] = entries
        assert.deepInclude(entry, { level: "INFO", message: "Hello, Ada" })
        assert.deepStrictEqual(entry!.annotations, {
          localAddress: Address.format(Address.memory("right")),
          remoteAddress: Address.format(Address.memory("left")),
          listener: Address.format(Address.memory("server"))
        })
      }))

    it.scoped("has services of its own beside those of the server, and a Scope that is not the server's", () =>
      Effect.gen(function*() {
        const Greeting = Context.GenericTag<"Greeting", string>("Greeting")
        const Guest = Context.GenericTag<"Guest", string>("Guest")
        const net = network()
        const ended: Array<string> = []
        const serve: Effect.Effect<Server.ServerReport, never, "Greeting"> = Server.serve(
          net.listener,
          (transport) =>
            Effect.gen(function*() {
              const guest = yield* Guest
              yield* Effect.addFinalizer(() => Effect.map(Greeting, (greeting) => ended.push(`${greeting}, ${guest}`)))
              yield* transport.pull
            }).pipe(Effect.provideService(Guest, "guest"))
        )
        const whole = yield* Effect.scope
        const server = yield* Effect.forkDaemon(
          Effect.scoped(serve).pipe(Effect.provideService(Greeting, "Bye"), Effect.provideService(Scope.Scope, whole))
        )
        for (const count of [1, 2]) {
          const client = yield* net.connect
          yield* client.write(ascii("x"))
          yield* leave(client)
          yield* settle
          assert.lengthOf(ended, count)
        }
        assert.deepStrictEqual(ended, ["Bye, guest", "Bye, guest"])
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, completed: 2 })
      }))

    it.scoped("inherits the FiberRefs of the server, and changes nobody else's", () =>
      Effect.gen(function*() {
        const count = FiberRef.unsafeMake(0)
        const net = network()
        const seen: Array<number> = []
        const server = yield* Effect.forkDaemon(
          Effect.locally(
            Effect.zip(
              Server.serve(net.listener, (transport) =>
                Effect.zipRight(
                  FiberRef.updateAndGet(count, (value) => value + 1),
                  transport.forEach(() => Effect.map(FiberRef.get(count), (value) => seen.push(value)))
                )),
              FiberRef.get(count)
            ),
            count,
            10
          )
        )
        for (let connection = 0; connection < 3; connection++) {
          const client = yield* net.connect
          yield* client.write(ascii("x"))
          yield* client.closeWrite
          yield* ending(client)
        }
        assert.deepStrictEqual(seen, [11, 11, 11])
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), [{ ...none, accepted: 3, completed: 3 }, 10])
      }))

    it.scoped("is annotated in its logs beside what the server's are, in its Effects, finalizers and failures", () =>
      Effect.gen(function*() {
        const entries = yield* logs(Effect.gen(function*() {
          const net = network()
          const server = yield* Effect.annotateLogs(
            serving(net, (transport) =>
              Effect.zipRight(
                Effect.addFinalizer(() => Effect.logInfo("finalizer")),
                transport.forEach(() => Effect.zipRight(Effect.logInfo("handler"), Effect.fail("as ordered")))
              )),
            { service: "test" }
          )
          const client = yield* net.connect
          yield* client.write(ascii("x"))
          yield* ending(client)
          yield* net.listener.close
          yield* Fiber.join(server)
        }))
        const annotations = { service: "test", localAddress: "right", remoteAddress: "left", listener: "server" }
        assert.deepStrictEqual(
          entries.map(({ annotations, message }) => [message, annotations]),
          ["handler", "finalizer", "The handler of a connection failed"].map((message) => [message, annotations])
        )
      }))

    it.scoped("is served by a forEach: its answers, its failure, its end", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, (transport) =>
          transport.forEach((chunk) =>
            text(chunk) === "!" ? Effect.die("as ordered") : transport.write(chunk)
          ))
        const client = yield* net.connect
        assert.strictEqual(yield* ask(client, "one"), "one")
        assert.strictEqual(yield* ask(client, "two"), "two")
        assert.strictEqual(
          yield* leave(yield* Effect.tap(net.connect, (other) => other.write(ascii("!")))),
          "ConnectionReset"
        )
        yield* client.closeWrite
        assert.strictEqual(yield* ending(client), "end")
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, completed: 1, failed: 1 })
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.scoped("has no fiber while a forEach serves it, and one with services, FiberRefs and a Scope when it needs it", () =>
      Effect.gen(function*() {
        const Greeting = Context.GenericTag<"Greeting", string>("Greeting")
        const net = network()
        const answer = yield* Deferred.make<void>()
        const seen: Array<unknown> = []
        const fibers = new Set<unknown>()
        const counter = Effect.supervised(
          new (class extends Supervisor.AbstractSupervisor<void> {
            value = Effect.void
            override onStart(_c: unknown, _e: unknown, _p: unknown, fiber: Fiber.RuntimeFiber<any, any>) {
              fibers.add(fiber)
            }
          })()
        )
        const server = yield* Effect.forkDaemon(
          Server.serve(
            net.listener,
            (transport) =>
              transport.forEach((chunk) =>
                text(chunk) === "a" ? transport.write(chunk) : Effect.gen(function*() {
                  yield* Effect.addFinalizer((exit) => Effect.sync(() => seen.push(exit._tag)))
                  seen.push(yield* Greeting, (yield* FiberRef.get(FiberRef.currentLogAnnotations)).pipe(HashMap.size))
                  yield* Deferred.await(answer)
                  yield* transport.write(chunk)
                })
              )
          ).pipe(Effect.provideService(Greeting, "hello"), counter)
        )
        yield* settle
        const before = fibers.size
        const client = yield* net.connect
        assert.strictEqual(yield* ask(client, "a"), "a")
        assert.strictEqual(yield* ask(client, "a"), "a")
        assert.strictEqual(fibers.size, before)
        yield* client.write(ascii("b"))
        yield* settle
        assert.strictEqual(fibers.size, before + 1)
        yield* Deferred.succeed(answer, undefined)
        assert.strictEqual(text((yield* client.pull)!), "b")
        assert.strictEqual(yield* ask(client, "a"), "a")
        assert.strictEqual(fibers.size, before + 1)
        yield* client.closeWrite
        assert.strictEqual(yield* ending(client), "end")
        assert.deepStrictEqual(seen, ["hello", 3, "Success"])
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, completed: 1 })
      }))

    it.scoped("that a forEach serves without a fiber is aborted after the deadline, too, and when it is not idle", () =>
      Effect.gen(function*() {
        const net = network({ highWaterMark: 1, capacity: 1 })
        const server = yield* serving(net, (transport) => transport.forEach(transport.write))
        const client = yield* net.connect
        for (const order of "abc") {
          yield* client.write(ascii(order))
          yield* settle
        }
        yield* net.listener.close
        yield* settle
        assert.isFalse(isDone(server))
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(yield* ending(client), "ConnectionReset")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, aborted: 1 })
      }))

    it.scoped("gets what a finalizer writes, before its end", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, (transport) =>
          Effect.zipRight(
            Effect.addFinalizer(() =>
              Effect.zipRight(Effect.sleep("1 second"), Effect.ignore(transport.write(ascii("bye"))))
            ),
            transport.write(ascii("hello, "))
          ))
        const client = yield* net.connect
        const reading = yield* Effect.fork(Peer.readAll(client))
        yield* settle
        yield* TestClock.adjust("999 millis")
        yield* settle
        assert.isFalse(isDone(reading))
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(text(yield* Fiber.join(reading)), "hello, bye")
        yield* client.closeWrite
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, completed: 1 })
      }))

    it.scoped("gets all that its handler wrote before it returned", () =>
      Effect.gen(function*() {
        const net = network({ highWaterMark: 2 ** 20, capacity: 4096 })
        const server = yield* serving(net, (transport) => transport.write(bytes(2 ** 20, 7)))
        const client = yield* net.connect
        assert.strictEqual((yield* Peer.readAll(client)).length, 2 ** 20)
        yield* client.closeWrite
        yield* net.listener.close
        assert.strictEqual((yield* Fiber.join(server)).completed, 1)
      }))

    it.scoped("leaves no trace when it is over: a thousand leave no fiber", () =>
      Effect.gen(function*() {
        const net = network()
        const supervisor = yield* Supervisor.track
        const server = yield* Effect.supervised(serving(net, obedient), supervisor)
        yield* settle
        const alone = (yield* supervisor.value).length
        for (let batch = 0; batch < 10; batch++) {
          const clients = yield* Effect.all(Array.from({ length: 100 }, () => net.connect))
          const orders = [".", "!", "a."]
          yield* Effect.forEach(clients, (client, index) =>
            Effect.zipRight(client.write(ascii(orders[index % 3]!)), leave(client)), { concurrency: "unbounded" })
        }
        yield* settle
        assert.strictEqual((yield* supervisor.value).length, alone)
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1000, completed: 670, failed: 330 })
        assert.strictEqual((yield* supervisor.value).length, 0)
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.scoped("is counted by the metrics, by outcome, and the open ones by a gauge", () =>
      Effect.gen(function*() {
        const read = Effect.map(Metric.snapshot, (pairs) => {
          const value = (name: string, outcome?: string) => {
            const pair = pairs.find(({ metricKey }) =>
              metricKey.name === name && metricKey.tags.every((label) => label.value === outcome)
            )
            return pair === undefined ? 0 : Number(Object.values(pair.metricState).find(Number.isFinite))
          }
          return {
            open: value("effect_transport_connections"),
            completed: value("effect_transport_connections_total", "completed"),
            failed: value("effect_transport_connections_total", "failed"),
            refused: value("effect_transport_connections_total", "refused")
          }
        })
        const before = yield* read
        const net = network()
        const server = yield* serving(net, obedient, { maxConnections: 2, whenFull: "refuse" })
        const [first, second] = [yield* net.connect, yield* net.connect]
        yield* ask(first, "a")
        yield* ask(second, "a")
        assert.strictEqual((yield* read).open, before.open + 2)
        yield* leave(yield* net.connect)
        yield* first.write(ascii("."))
        yield* second.write(ascii("!"))
        yield* leave(first)
        yield* leave(second)
        yield* net.listener.close
        yield* Fiber.join(server)
        assert.deepStrictEqual(yield* read, {
          open: before.open,
          completed: before.completed + 1,
          failed: before.failed + 1,
          refused: before.refused + 1
        })
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))
  })

  describe("the scheduler", () => {
    const current = FiberRef.get(FiberRef.currentScheduler)

    /** That of the handler, and that of who serves, when it is over. */
    const schedulers = Effect.gen(function*() {
      const net = network()
      const seen: Array<Scheduler.Scheduler> = []
      const serve = Server.serve(
        net.listener,
        (transport) => Effect.zipRight(transport.pull, Effect.map(current, (scheduler) => seen.push(scheduler)))
      )
      const server = yield* Effect.forkDaemon(Effect.zipRight(serve, current))
      const client = yield* net.connect
      yield* client.write(ascii("x"))
      yield* leave(client)
      yield* net.listener.close
      return [...seen, yield* Fiber.join(server)]
    })

    it.scoped("is the turn's where it would be Effect's default, for the handler and as long as it serves", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* schedulers, [Turn.scheduler, Scheduler.defaultScheduler])
      }))

    it.scoped("is that of whoever serves, if it has one of its own", () =>
      Effect.gen(function*() {
        let tasks = 0
        const own = Scheduler.make((task) => {
          tasks++
          setImmediate(task)
        })
        assert.deepStrictEqual(yield* Effect.withScheduler(schedulers, own), [own, own])
        assert.isAbove(tasks, 0)
      }))

    it.scopedLive("is not held by handlers that yield for ever, nor is the event loop, nor any connection", () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
        let yields = 0
        const busy = Effect.forever(Effect.zipRight(Effect.sync(() => yields++), Effect.yieldNow()))
        const server = yield* Effect.forkDaemon(
          Server.serve(
            listener,
            (transport) => transport.forEach((chunk) => text(chunk) === "busy" ? busy : transport.write(chunk)),
            { drainTimeout: 0 }
          )
        )
        const hogs = yield* Effect.all([Peer.connect(listener.address), Peer.connect(listener.address)])
        for (const hog of hogs) yield* hog.write("busy")
        yield* Peer.eventually(() => yields > 1000)
        const peer = yield* Peer.connect(listener.address)
        for (let round = 1; round <= 50; round++) {
          yield* peer.write("x")
          yield* peer.readBytes(round)
        }
        const before = yields
        yield* Peer.turns(3)
        assert.isAbove(yields, before)
        // A few times in a flush, for both, and one flush in a turn: however many events there were.
        assert.isAtMost(yields - before, 1000)
        yield* listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 3, drained: 0, aborted: 3 })
      }))
  })

  describe("metrics", () => {
    it.scoped("have the labels of whoever serves", () =>
      Effect.gen(function*() {
        const labelled = Effect.map(Metric.snapshot, (pairs) =>
          pairs
            .filter(({ metricKey }) =>
              metricKey.tags.some(({ key, value }) => key === "service" && value === "labelled")
            )
            .filter(({ metricKey }) => metricKey.name.startsWith("effect_transport_connections"))
            .map(({ metricKey, metricState }) => {
              const outcome = metricKey.tags.find(({ key }) => key === "outcome")?.value ?? "open"
              return [outcome, Number(Object.values(metricState).find(Number.isFinite))] as const
            }))
        const net = network()
        const server = yield* Effect.tagMetrics(
          serving(net, obedient, { maxConnections: 2, whenFull: "refuse" }),
          "service",
          "labelled"
        )
        const [first, second] = [yield* net.connect, yield* net.connect]
        yield* ask(first, "a")
        yield* ask(second, "a")
        assert.deepStrictEqual(yield* labelled, [["open", 2]])
        yield* leave(yield* net.connect)
        yield* first.write(ascii("."))
        yield* second.write(ascii("!"))
        yield* leave(first)
        yield* leave(second)
        yield* net.listener.close
        yield* Fiber.join(server)
        assert.deepStrictEqual(
          (yield* labelled).toSorted(([one], [other]) => one < other ? -1 : 1),
          [["completed", 1], ["failed", 1], ["open", 0], ["refused", 1]]
        )
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))
  })

  describe("reports", () => {
    const annotations = { localAddress: "right", remoteAddress: "left", listener: "server" }

    it.scoped("a failure of the handler, as a warning with the addresses", () =>
      Effect.gen(function*() {
        const entries = yield* logged(obedient, (client) => Effect.zipRight(client.write(ascii("!")), ending(client)))
        assert.deepInclude(entries, {
          level: "WARN",
          message: "The handler of a connection failed",
          cause: "Error: as ordered",
          annotations
        })
        assert.lengthOf(entries, 1)
      }))

    it.scoped("a defect of the handler, as an error", () =>
      Effect.gen(function*() {
        const entries = yield* logged(obedient, (client) => Effect.zipRight(client.write(ascii("?")), ending(client)))
        assert.deepInclude(entries, {
          level: "ERROR",
          message: "The handler of a connection died",
          cause: "Error: as ordered",
          annotations
        })
        assert.lengthOf(entries, 1)
      }))

    it.scoped("a failure that is no object as well", () =>
      Effect.gen(function*() {
        const entries = yield* logged(() => Effect.fail(null), ending)
        assert.deepStrictEqual(entries.map(({ level }) => level), ["WARN"])
      }))

    it.scoped("the loss of just this connection, for debugging only", () =>
      Effect.gen(function*() {
        const entries = yield* logged(
          obedient,
          (client) => Effect.zipRight(ask(client, "a"), client.abort)
        )
        assert.deepStrictEqual(entries.map(({ level, message }) => [level, message]), [[
          "DEBUG",
          "A connection was lost"
        ]])
        assert.match(entries[0]!.cause, /was reset by the peer/)
      }))

    it.scoped("the loss of a connection that has no fiber, in the same way", () =>
      Effect.gen(function*() {
        const entries = yield* logged(
          (transport) => transport.forEach(transport.write),
          (client) => Effect.zipRight(ask(client, "a"), client.abort)
        )
        assert.deepStrictEqual(
          entries.map(({ annotations, level }) => [level, annotations]),
          [["DEBUG", {
            listener: Address.format(Address.memory("server")),
            localAddress: Address.format(Address.memory("right")),
            remoteAddress: Address.format(Address.memory("left"))
          }]]
        )
      }))

    for (const other of ["localAddress", "remoteAddress"]) {
      it.scoped(`the loss of a connection with another ${other}, as any failure`, () =>
        Effect.gen(function*() {
          const entries = yield* logged(
            (transport) =>
              Effect.catchAll(transport.pull, (error) =>
                Effect.fail(Object.assign(Object.create(error), { [other]: Address.memory("other") }))),
            (client) =>
              client.abort
          )
          assert.deepStrictEqual(entries.map(({ level }) => level), ["WARN"])
        }))
    }

    const whole = { leftToRight: 0, rightToLeft: 0, side: "left" } as const
    const fault = { alert: undefined, code: "ERR_SSL_HTTP_REQUEST", cause: undefined }
    const idle = {
      duration: Duration.minutes(1),
      direction: "both",
      bytesRead: 0,
      bytesWritten: 0,
      bytesUnsent: 0
    } as const
    const failures: ReadonlyArray<readonly [string, string, (ends: Ends) => unknown]> = [
      ["a limit of this connection", "DEBUG", (ends) => new IdleTimeout({ ...idle, ...ends })],
      ["a handshake with who speaks no TLS", "DEBUG", (ends) => new HandshakeFailed({ ...fault, ...ends })],
      [
        "a relay that lost it",
        "DEBUG",
        (ends) => new RelayLost({ ...whole, error: new HandshakeFailed({ ...fault, ...ends }) })
      ],
      ["a relay that lost another one", "WARN", ({ localAddress }) =>
        new RelayLost({
          ...whole,
          error: new HandshakeFailed({ ...fault, localAddress, remoteAddress: Address.memory("upstream") })
        })],
      [
        "a peer that refuses the certificate",
        "WARN",
        (ends) => new HandshakeFailed({ ...fault, ...ends, alert: "certificate expired" })
      ],
      ["a write after the end", "WARN", (ends) => new WriteAfterEnd(ends)],
      ["a proxy that is not trusted", "WARN", (ends) => new ProxyNotTrusted(ends)]
    ]
    it.scoped.each(failures)("%s as %s", ([, level, failure]) =>
      Effect.gen(function*() {
        const entries = yield* logged(
          ({ localAddress, remoteAddress }) => Effect.fail(failure({ localAddress, remoteAddress })),
          ending
        )
        assert.deepStrictEqual(entries.map((entry) => entry.level), [level])
      }))

    it.scoped("the loss of another connection that a forEach reads, also if nobody debugs", () =>
      Effect.gen(function*() {
        const [upstream, far] = yield* MemoryTransport.pair()
        const net = network()
        const entries = yield* logs(
          Effect.gen(function*() {
            const server = yield* serving(net, () => upstream.forEach(() => Effect.void))
            const client = yield* net.connect
            yield* settle
            yield* far.abort
            yield* ending(client)
            yield* net.listener.close
            yield* Fiber.join(server)
          }).pipe(Logger.withMinimumLogLevel(LogLevel.Info))
        )
        assert.deepStrictEqual(entries.map(({ level }) => level), ["WARN"])
      }))

    it.scoped("a failure beside the loss of the connection, as any", () =>
      Effect.gen(function*() {
        const entries = yield* logged(
          (transport) =>
            Effect.catchAllCause(transport.pull, (cause) =>
              Effect.failCause(Cause.parallel(cause, Cause.fail("no place on the disk")))),
          (client) =>
            client.abort
        )
        assert.deepStrictEqual(entries.map(({ level }) => level), ["WARN"])
      }))

    it.scoped("nothing of what goes as it should: success, an interruption, the drain", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* logged(echo, (client) => Effect.zipRight(client.closeWrite, ending(client))), [])
        assert.deepStrictEqual(yield* logged(() => Effect.interrupt, ending), [])
        assert.deepStrictEqual(
          yield* logged(echo, (client) => Effect.zipRight(ask(client, "a"), Effect.forkScoped(leave(client)))),
          []
        )
      }))
  })

  describe("at its limit", () => {
    it.scoped("refuses one more, whose peer sees an end and no reset, also when it has sent something", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, obedient, { maxConnections: 1, whenFull: "refuse" })
        const first = yield* net.connect
        yield* ask(first, "a")
        const second = yield* net.connect
        yield* second.write(ascii("is anybody there?"))
        assert.strictEqual(yield* leave(second), "end")
        assert.strictEqual((yield* second.closed)._tag, "Clean")
        assert.strictEqual(yield* ask(first, "b"), "b")
        yield* first.write(ascii("."))
        yield* leave(first)
        yield* settle
        const third = yield* net.connect
        assert.strictEqual(yield* ask(third, "c"), "c")
        yield* Effect.fork(leave(third))
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), {
          ...none,
          accepted: 3,
          refused: 1,
          completed: 1,
          drained: 1
        })
      }))

    it.scoped("holds the others unread, by default, and takes them in their order", () =>
      Effect.gen(function*() {
        const net = network({ maxPending: 3 })
        const served: Array<string> = []
        const server = yield* serving(net, (transport) =>
          Effect.gen(function*() {
            served.push(text((yield* transport.pull)!))
            yield* transport.pull
          }), { maxConnections: 2 })
        const clients: Array<Transport> = []
        for (const name of ["0", "1", "2", "3", "4"]) {
          const client = yield* net.connect
          yield* client.write(ascii(name))
          yield* settle
          clients.push(client)
        }
        assert.deepStrictEqual(served, ["0", "1"])
        assert.strictEqual(net.listener.stats().pending, 3)
        // The listener's own bound: nobody waits for ever in a queue that grows.
        const tooMany = yield* net.connect
        assert.strictEqual(yield* leave(tooMany), "end")
        assert.strictEqual(net.listener.stats().refused, 1)
        for (const [index, client] of clients.entries()) {
          yield* client.closeWrite
          assert.strictEqual(yield* ending(client), "end")
          yield* settle
          assert.deepStrictEqual(served, ["0", "1", "2", "3", "4"].slice(0, index + 3))
        }
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 5, completed: 5 })
      }))

    it.scoped("never serves more than it may", () =>
      Effect.gen(function*() {
        const net = network()
        let now = 0
        let most = 0
        const server = yield* serving(net, (transport) =>
          Effect.gen(function*() {
            most = Math.max(most, ++now)
            yield* Effect.addFinalizer(() => Effect.sync(() => now--))
            yield* echo(transport)
          }), { maxConnections: 7 })
        const clients = yield* Effect.all(Array.from({ length: 100 }, () => net.connect))
        yield* Effect.forEach(clients, (client) => Effect.zipRight(client.closeWrite, ending(client)), {
          concurrency: "unbounded"
        })
        assert.strictEqual(most, 7)
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 100, completed: 100 })
      }))

    it.scoped("ends also when it is full, and the held ones see an end", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, echo, { maxConnections: 1 })
        const [served, held] = [yield* net.connect, yield* net.connect]
        yield* ask(served, "a")
        yield* Effect.fork(leave(served))
        const seen = yield* Effect.fork(leave(held))
        yield* net.listener.close
        assert.strictEqual(yield* Fiber.join(seen), "end")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("refuses whom `admit` does not want, before it reads", () =>
      Effect.gen(function*() {
        const net = network()
        const asked: Array<string> = []
        const verdicts = [false, true, false, true]
        const server = yield* serving(net, echo, {
          admit: (address) => {
            asked.push(Address.format(address))
            return verdicts[asked.length - 1]!
          }
        })
        const clients = yield* Effect.all(Array.from({ length: 4 }, () => net.connect))
        for (const client of clients) {
          yield* client.write(ascii("x"))
          yield* client.closeWrite
        }
        const answers = yield* Effect.forEach(clients, Peer.readAll)
        assert.deepStrictEqual(answers.map(String), ["", "x", "", "x"])
        assert.deepStrictEqual(asked, Array.from({ length: 4 }, () => "left"))
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 4, refused: 2, completed: 2 })
      }))

    it.scoped("refuses when `admit` throws, says so, and goes on", () =>
      Effect.gen(function*() {
        const entries = yield* logs(Effect.gen(function*() {
          const net = network()
          const server = yield* serving(net, echo, {
            admit: () => {
              throw new Error("no list")
            }
          })
          assert.strictEqual(yield* leave(yield* net.connect), "end")
          assert.strictEqual(yield* leave(yield* net.connect), "end")
          yield* net.listener.close
          assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, refused: 2 })
        }))
        assert.deepStrictEqual(entries.map(({ level }) => level), ["ERROR", "ERROR"])
        assert.match(entries[0]!.cause, /no list/)
      }))

    it.effect("dies of a limit that is none", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Server.serve(network().listener, echo, { maxConnections: 0 }))
        const defect = Exit.isFailure(exit) ? Cause.dieOption(exit.cause) : Option.none()
        assert.isTrue(Option.isSome(defect) && defect.value instanceof RangeError)
      }))
  })

  describe("when the listener is closed", () => {
    it.scoped("ends at once if there is nobody, and reports nothing", () =>
      Effect.gen(function*() {
        const net = network()
        yield* net.listener.close
        assert.deepStrictEqual(yield* Server.serve(net.listener, echo), none)
      }))

    it.scoped("ends idle connections at once, and their peers see an end", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, obedient)
        const clients = yield* Effect.all([net.connect, net.connect, net.connect])
        for (const client of clients) yield* ask(client, "hello")
        const leaving = yield* Effect.fork(Effect.forEach(clients, leave, { concurrency: "unbounded" }))
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(leaving), ["end", "end", "end"])
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 3, drained: 3 })
      }))

    it.scoped("takes for used who has only got something", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(
          net,
          (transport) => Effect.zipRight(transport.write(ascii("hi")), echo(transport))
        )
        const client = yield* net.connect
        assert.strictEqual(text((yield* client.pull)!), "hi")
        yield* net.listener.close
        assert.strictEqual(yield* leave(client), "end")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("takes for used who has only sent something", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, (transport) => transport.forEach(() => Effect.void))
        const client = yield* net.connect
        yield* client.write(ascii("hi"))
        yield* settle
        yield* net.listener.close
        assert.strictEqual(yield* leave(client), "end")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("an idle one whose handler dies of its interruption has failed: its peer sees no end in order", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(
          net,
          (transport) => Effect.onInterrupt(echo(transport), () => Effect.die("no end"))
        )
        const client = yield* net.connect
        assert.strictEqual(yield* ask(client, "hello"), "hello")
        yield* net.listener.close
        assert.strictEqual(yield* leave(client), "ConnectionReset")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, failed: 1 })
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

    it.scoped("gives who has just connected a quarter of a second to send: the answer is not lost", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, obedient)
        const [silent, late] = yield* Effect.all([net.connect, net.connect])
        yield* settle
        yield* net.listener.close
        yield* TestClock.adjust("240 millis")
        assert.strictEqual(yield* ask(late, "hello"), "hello")
        const left = yield* Effect.fork(leave(late))
        yield* settle
        assert.isFalse(silent.stats().peerEnded)
        const gone = yield* Effect.fork(leave(silent))
        yield* TestClock.adjust("20 millis")
        assert.deepStrictEqual([yield* Fiber.join(left), yield* Fiber.join(gone)], ["end", "end"])
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, drained: 2 })
      }))

    it.scoped("lets the others finish, and ends them when they get idle", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, obedient)
        const [busy, last] = yield* Effect.all([net.connect, net.connect])
        yield* busy.write(ascii("w"))
        yield* last.write(ascii("ww."))
        yield* settle
        yield* net.listener.close
        yield* TestClock.adjust("999 millis")
        yield* settle
        assert.isFalse(isDone(server))
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(text((yield* busy.pull)!), "w")
        const left = yield* Effect.fork(leave(busy))
        yield* TestClock.adjust("20 millis")
        assert.strictEqual(yield* Fiber.join(left), "end")
        assert.isFalse(isDone(server))
        yield* TestClock.adjust("980 millis")
        assert.strictEqual(text(yield* Peer.readAll(last)), "ww.")
        yield* last.closeWrite
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, drained: 1, completed: 1 })
      }))

    it.scoped("takes a forEach that waits for idle, and one whose Effect runs for busy", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, (transport) =>
          transport.forEach((chunk) =>
            text(chunk) === "w"
              ? Effect.zipRight(Effect.sleep("1 second"), transport.write(chunk))
              : transport.write(chunk)
          ))
        const [idle, busy] = yield* Effect.all([net.connect, net.connect])
        assert.strictEqual(yield* ask(idle, "hello"), "hello")
        yield* busy.write(ascii("w"))
        yield* settle
        const left = yield* Effect.fork(leave(idle))
        yield* net.listener.close
        assert.strictEqual(yield* Fiber.join(left), "end")
        yield* TestClock.adjust("1 second")
        assert.strictEqual(text((yield* busy.pull)!), "w")
        const last = yield* Effect.fork(leave(busy))
        yield* TestClock.adjust("20 millis")
        assert.strictEqual(yield* Fiber.join(last), "end")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, drained: 2 })
      }))

    it.scoped("waits for a forEach that nothing interrupts: it answers on, until its peer ends", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(
          net,
          (transport) => Effect.uninterruptible(transport.forEach((chunk) => transport.write(chunk)))
        )
        const client = yield* net.connect
        assert.strictEqual(yield* ask(client, "before"), "before")
        yield* net.listener.close
        yield* settle
        const answer = yield* Effect.fork(ask(client, "after"))
        yield* settle
        assert.isTrue(isDone(answer))
        yield* client.closeWrite
        assert.strictEqual(yield* ending(client), "end")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("aborts what is left after 5 seconds", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, (transport) => Effect.zipRight(transport.pull, Effect.never))
        const client = yield* net.connect
        yield* client.write(ascii("x"))
        const seen = yield* Effect.fork(ending(client))
        yield* settle
        yield* net.listener.close
        yield* TestClock.adjust("4999 millis")
        yield* settle
        assert.isFalse(isDone(seen))
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* Fiber.join(seen), "ConnectionReset")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, aborted: 1 })
      }))

    it.scoped("does not take a connection for idle that has something left to send", () =>
      Effect.gen(function*() {
        const net = network({ capacity: 16 })
        const server = yield* serving(
          net,
          (transport) => Effect.zipRight(transport.write(bytes(1000)), echo(transport))
        )
        const client = yield* net.connect
        yield* settle
        yield* net.listener.close
        yield* TestClock.adjust("4 seconds")
        yield* settle
        yield* client.write(ascii("still there?"))
        const seen = yield* Effect.fork(Effect.zipLeft(Peer.readAll(client), client.closeWrite))
        yield* settle
        yield* TestClock.adjust("20 millis")
        assert.strictEqual(String(yield* Fiber.join(seen)).slice(1000), "still there?")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("does not take a connection for idle whose input waits until the event loop has turned", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, echo)
        const client = yield* net.connect
        yield* settle
        yield* client.writeAll(Array.from({ length: 200 }, (_, index) => Uint8Array.of(index)))
        const reading = yield* Effect.fork(readExactly(client, 200))
        yield* net.listener.close
        assert.lengthOf(yield* Fiber.join(reading), 200)
        const left = yield* Effect.fork(leave(client))
        yield* TestClock.adjust("20 millis")
        assert.strictEqual(yield* Fiber.join(left), "end")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("aborts everything at once with a drainTimeout of 0", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, obedient, { drainTimeout: 0 })
        const [idle, busy] = yield* Effect.all([net.connect, net.connect])
        yield* ask(idle, "a")
        yield* ask(busy, "a")
        yield* busy.write(ascii("w"))
        yield* settle
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, aborted: 2 })
        assert.strictEqual(yield* ending(idle), "ConnectionReset")
        assert.strictEqual(yield* ending(busy), "ConnectionReset")
      }))

    it.scoped("aborts also a graceful close that takes longer than it may", () =>
      Effect.gen(function*() {
        const net = network({ lingerTimeout: "1 hour", closeTimeout: "1 hour" })
        const server = yield* serving(net, obedient, { drainTimeout: "2 seconds" })
        const [silent, refused] = [yield* net.connect, yield* net.connect]
        yield* ask(silent, "a")
        assert.strictEqual(yield* Effect.zipRight(silent.write(ascii(".")), ending(silent)), "end")
        yield* ask(refused, "a")
        yield* net.listener.close
        yield* TestClock.adjust("1999 millis")
        yield* settle
        assert.isFalse(isDone(server))
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, aborted: 2 })
        assert.strictEqual((yield* silent.closed)._tag, "Lost")
      }))

    it.scoped("aborts also the close of an idle connection that a forEach served, and counts it once", () =>
      Effect.gen(function*() {
        const net = network({ lingerTimeout: "1 hour", closeTimeout: "1 hour" })
        const ends: Array<Server.Outcome> = []
        const server = yield* serving(net, (transport) => transport.forEach(transport.write), {
          drainTimeout: "2 seconds",
          onEnd: ({ outcome }) => ends.push(outcome)
        })
        const silent = yield* net.connect
        yield* ask(silent, "a")
        yield* net.listener.close
        assert.strictEqual(yield* ending(silent), "end")
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, aborted: 1 })
        assert.strictEqual((yield* silent.closed)._tag, "Lost")
        yield* settle
        assert.deepStrictEqual(ends, ["aborted"])
      }))

    it.scoped("closes the Scope of an idle connection as after success: what was opened in it ends in order", () =>
      Effect.gen(function*() {
        const net = network()
        const [upstream, far] = yield* MemoryTransport.pair()
        const server = yield* serving(net, (transport) =>
          Effect.gen(function*() {
            yield* Driver.closeWithScope(upstream)
            yield* Effect.addFinalizer((exit) =>
              Exit.isSuccess(exit) ? Effect.ignore(transport.write(ascii("goodbye"))) : Effect.void
            )
            yield* echo(transport)
          }))
        const client = yield* net.connect
        yield* ask(client, "hello")
        const farEnd = yield* Effect.fork(leave(far))
        const clientEnd = yield* Effect.fork(Effect.zipLeft(Peer.readAll(client), client.closeWrite))
        yield* net.listener.close
        assert.strictEqual(yield* Fiber.join(farEnd), "end")
        assert.strictEqual(String(yield* Fiber.join(clientEnd)), "goodbye")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("waits for work in an uninterruptible region, which can still answer", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, (transport) =>
          Effect.gen(function*() {
            // Reads ahead while it works on the answer: it looks idle.
            const work = Effect.uninterruptible(
              Effect.zipRight(Effect.sleep("1 second"), transport.write(ascii("done")))
            )
            yield* Effect.zip(work, transport.pull, { concurrent: true })
          }))
        const client = yield* net.connect
        yield* settle
        yield* net.listener.close
        const seen = yield* Effect.fork(Effect.zipLeft(Peer.readAll(client), client.closeWrite))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(String(yield* Fiber.join(seen)), "done")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, drained: 1 })
      }))

    it.scoped("asks `isIdle` instead, if there is one", () =>
      Effect.gen(function*() {
        const net = network()
        let idle = false
        const server = yield* serving(net, echo, { isIdle: () => idle })
        const client = yield* net.connect
        yield* ask(client, "a")
        yield* net.listener.close
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* ask(client, "b"), "b")
        idle = true
        const left = yield* Effect.fork(leave(client))
        yield* TestClock.adjust("20 millis")
        assert.strictEqual(yield* Fiber.join(left), "end")
        assert.strictEqual((yield* Fiber.join(server)).drained, 1)
      }))

    it.scoped("tells `isIdle` what it would do without it", () =>
      Effect.gen(function*() {
        const net = network()
        let mayEnd = false
        const server = yield* serving(net, echo, { isIdle: (_, looksIdle) => mayEnd && looksIdle })
        const used = yield* net.connect
        yield* ask(used, "a")
        const fresh = yield* net.connect
        yield* settle
        yield* net.listener.close
        yield* TestClock.adjust("200 millis")
        mayEnd = true
        const left = yield* Effect.fork(leave(used))
        yield* TestClock.adjust("20 millis")
        assert.strictEqual(yield* Fiber.join(left), "end")
        // It has connected just now.
        assert.strictEqual(yield* ask(fresh, "b"), "b")
        yield* Effect.fork(leave(fresh))
        yield* TestClock.adjust("20 millis")
        assert.strictEqual((yield* Fiber.join(server)).drained, 2)
      }))

    it.scoped("takes none for idle when `isIdle` throws, and still keeps its deadline", () =>
      Effect.gen(function*() {
        const entries = yield* logs(Effect.gen(function*() {
          const net = network()
          const server = yield* serving(net, echo, {
            isIdle: () => {
              throw new Error("who knows")
            }
          })
          yield* ask(yield* net.connect, "a")
          yield* net.listener.close
          yield* TestClock.adjust("5 seconds")
          assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, aborted: 1 })
        }))
        assert.deepStrictEqual(entries.map(({ level }) => level), ["ERROR", "DEBUG"])
        assert.match(entries[0]!.cause, /who knows/)
      }))

    it.scoped("is over as soon as the last connection is, not at the next look", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, (transport) => Effect.zipRight(Effect.sleep("1005 millis"), transport.pull))
        const client = yield* net.connect
        yield* client.closeWrite
        yield* settle
        yield* net.listener.close
        yield* TestClock.adjust("1005 millis")
        assert.strictEqual(yield* ending(client), "end")
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, completed: 1 })
      }))
  })

  describe("interrupted", () => {
    it.scoped("closes the listener, lets go of the idle, lets the busy finish, aborts the rest", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, obedient, { drainTimeout: "3 seconds" })
        const [idle, busy, slow] = yield* Effect.all([net.connect, net.connect, net.connect])
        yield* ask(idle, "a")
        yield* busy.write(ascii("w."))
        yield* slow.write(ascii("wwwwwwww"))
        yield* settle
        const interruption = yield* Effect.fork(Fiber.interrupt(server))
        assert.strictEqual(yield* leave(idle), "end")
        yield* net.listener.closed
        assert.strictEqual((yield* Effect.flip(Effect.scoped(net.listener.accept)))._tag, "ListenerClosed")
        yield* TestClock.adjust("1 second")
        assert.strictEqual(text(yield* Peer.readAll(busy)), "w.")
        yield* busy.closeWrite
        yield* settle
        assert.isFalse(isDone(interruption))
        yield* TestClock.adjust("2 seconds")
        assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interruption)))
        assert.strictEqual(yield* ending(slow), "ConnectionReset")
      }))

    it.scoped("while it is full, while it drains, or twice: it ends all the same", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* serving(net, obedient, { maxConnections: 1, drainTimeout: "1 second" })
        const [busy, held] = yield* Effect.all([net.connect, net.connect])
        yield* busy.write(ascii("ww"))
        yield* settle
        yield* Effect.fork(Fiber.interrupt(server))
        assert.strictEqual(yield* leave(held), "end")
        yield* Effect.fork(Fiber.interrupt(server))
        yield* TestClock.adjust("1 second")
        assert.isTrue(Exit.isInterrupted(yield* Fiber.await(server)))
        assert.strictEqual(yield* ending(busy), "ConnectionReset")
      }))

    it.scoped("before it has accepted anything, it leaves nobody waiting", () =>
      Effect.gen(function*() {
        const net = network()
        const client = yield* net.connect
        const server = yield* serving(net, echo)
        yield* Effect.fork(Fiber.interrupt(server))
        const left = yield* Effect.fork(leave(client))
        yield* settle
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(left), "end")
        assert.isTrue(Exit.isInterrupted(yield* Fiber.await(server)))
        yield* net.listener.closed
      }))

    it.scoped("inside an uninterruptible region it ends with its listener, also when it is full", () =>
      Effect.gen(function*() {
        const net = network()
        const server = yield* Effect.fork(
          Effect.uninterruptible(Server.serve(net.listener, echo, { maxConnections: 1 }))
        )
        const [first, second] = yield* Effect.all([net.connect, net.connect])
        yield* ask(first, "a")
        yield* first.closeWrite
        yield* ending(first)
        assert.strictEqual(yield* ask(second, "b"), "b")
        yield* Effect.fork(leave(second))
        yield* net.listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 2, completed: 1, drained: 1 })
      }))

    it.scopedLive(
      "at any moment, it ends and loses no connection: each peer sees an end or a reset",
      () =>
        Effect.gen(function*() {
          const { points } = yield* sweep({
            setup: Effect.gen(function*() {
              const net = network({ lingerTimeout: 0 })
              const clients = yield* Effect.all([net.connect, net.connect])
              const over: Array<string> = []
              for (const client of clients) {
                yield* Effect.forkScoped(Effect.map(leave(client), (how) => over.push(how)))
              }
              return { net, clients, over }
            }),
            scenario: ({ clients, net }) =>
              Effect.gen(function*() {
                yield* Effect.fork(
                  Server.serve(net.listener, obedient, { maxConnections: 1, drainTimeout: "20 millis" })
                )
                yield* settle
                yield* clients[0].write(ascii("a."))
                yield* clients[1].write(ascii("!"))
                yield* settle
              }),
            check: ({ net, over }) =>
              Effect.gen(function*() {
                // One that was interrupted before it had begun has closed nothing.
                yield* net.listener.close
                yield* Effect.timeout(Peer.eventually(() => over.length === 2), "3 seconds")
              })
          })
          assert.isAbove(points, 0)
        }).pipe(Logger.withMinimumLogLevel(LogLevel.None)),
      60_000
    )
  })

  describe("over TCP", () => {
    const loopback = Address.tcp("127.0.0.1", 0)

    it.scopedLive("the port can be bound again while old connections still drain", () =>
      Effect.gen(function*() {
        const answer = yield* Deferred.make<void>()
        const asked = yield* Deferred.make<void>()
        const listener = yield* Tcp.listen(loopback)
        const server = yield* Effect.fork(Server.serve(listener, (transport) =>
          Effect.gen(function*() {
            yield* transport.pull
            yield* Deferred.succeed(asked, undefined)
            yield* Deferred.await(answer)
            yield* transport.write(ascii("old"))
          })))
        const old = yield* Peer.connect(listener.address)
        yield* old.write("x")
        yield* Deferred.await(asked)
        yield* listener.close
        const again = yield* Tcp.listen(listener.address)
        const successor = yield* Effect.fork(Server.serve(again, (transport) => transport.write(ascii("new"))))
        const young = yield* Peer.connect(again.address)
        assert.strictEqual(String(yield* young.readAll()), "new")
        young.end()
        assert.isFalse(isDone(server))
        yield* Deferred.succeed(answer, undefined)
        assert.strictEqual(String(yield* old.readAll()), "old")
        old.end()
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, completed: 1 })
        yield* again.close
        assert.deepStrictEqual(yield* Fiber.join(successor), { ...none, accepted: 1, completed: 1 })
      }))

    it.scopedLive("serves five hundred that connect at once", () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(loopback)
        const server = yield* Effect.fork(Server.serve(listener, echo))
        const answers = yield* Effect.forEach(
          Array.from({ length: 500 }, (_, index) => `${index}`),
          (name) =>
            Effect.gen(function*() {
              const peer = yield* Peer.connect(listener.address)
              yield* peer.write(name)
              peer.end()
              return String(yield* peer.readAll()) === name && peer.ended && peer.code === undefined
            }),
          { concurrency: "unbounded" }
        )
        assert.isTrue(answers.every(Boolean))
        yield* listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 500, completed: 500 })
      }))

    it.scopedLive("a refused peer sees FIN and not RST, also when it has sent something", () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(loopback)
        const server = yield* Effect.fork(Server.serve(listener, echo, { admit: () => false }))
        const peer = yield* Peer.connect(listener.address)
        yield* peer.write(Buffer.alloc(200_000))
        yield* peer.readAll()
        assert.isTrue(peer.ended)
        peer.end()
        yield* peer.awaitClosed
        assert.isUndefined(peer.code)
        yield* listener.close
        assert.deepStrictEqual(yield* Fiber.join(server), { ...none, accepted: 1, refused: 1 })
      }))

    it.scopedLive("interrupted, an idle peer sees FIN after all it was sent, and no RST", () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(loopback)
        const server = yield* Effect.fork(
          Server.serve(listener, (transport) => Effect.zipRight(transport.write(bytes(100_000)), transport.pull))
        )
        const peer = yield* Peer.connect(listener.address)
        yield* Peer.eventually(() => listener.stats().connected === 1 && listener.stats().pending === 0)
        yield* Peer.turns(3)
        const interruption = yield* Effect.fork(Fiber.interrupt(server))
        assert.strictEqual((yield* peer.readAll()).length, 100_000)
        assert.isTrue(peer.ended)
        peer.end()
        yield* peer.awaitClosed
        assert.isUndefined(peer.code)
        yield* Fiber.join(interruption)
        // Nobody listens there any more.
        assert.strictEqual((yield* Peer.connect(listener.address)).code, "ECONNREFUSED")
      }))
  })
})
