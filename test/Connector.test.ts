import { assert, describe, it } from "@effect/vitest"
import * as Address from "../src/Address.ts"
import * as ConnectionError from "../src/ConnectionError.ts"
import * as Connector from "../src/Connector.ts"
import * as Endpoint from "../src/Endpoint.ts"
import * as MemoryTransport from "../src/memory/MemoryTransport.ts"
import * as Network from "../src/Network.ts"
import * as NodeNetwork from "../src/node/NodeNetwork.ts"
import * as Observability from "../src/Observability.ts"
import * as IdleTimeout from "../src/policy/IdleTimeout.ts"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import { pipe } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Transport } from "../src/Transport.ts"
import { sweep } from "../src/testing/InterruptSweep.ts"
import * as VirtualClock from "../src/testing/VirtualClock.ts"
import { failed } from "./support/fibers.ts"

// Addresses for documentation (RFC 5737, RFC 3849): nobody is there, and nobody is asked.
const a = Address.tcp("192.0.2.1", 80)
const b = Address.tcp("192.0.2.2", 80)
const c = Address.tcp("2001:db8::3", 80)

const refused = (address: Address.Address, cause?: unknown) =>
  new ConnectionError.ConnectionRefused({
    address,
    localAddress: undefined,
    code: "ECONNREFUSED",
    syscall: "connect",
    cause,
    attempts: []
  })

type Connect = (address: Address.Address, options?: Network.ConnectOptions) => Effect.Effect<
  Transport,
  ConnectionError.ConnectError,
  Scope.Scope
>

const opens: Connect = () => Effect.map(MemoryTransport.pair({ lingerTimeout: 0 }), ([left]) => left)

/** A network of one name, `host`, whose addresses answer as told; and what was asked of it. */
const fakeNetwork = (connect: Connect, addresses: ReadonlyArray<Address.TcpAddress> = [a, b, c]) => {
  const asked: Array<string> = []
  const layer = Layer.succeed(Network.Network, {
    listen: () => Effect.dieMessage("nobody listens here"),
    connect: (address, options) =>
      Effect.suspend(() => {
        asked.push(Address.format(address))
        return connect(address, options)
      }),
    resolve: (host, options = {}) =>
      Effect.suspend(() => {
        asked.push(`${host}:${options.port} ${options.family ?? "any"}`)
        const found = addresses.filter(({ family }) => options.family === undefined || family === options.family)
        return host === "host" && found.length > 0
          ? Effect.succeed(found)
          : Effect.fail(new ConnectionError.HostNotFound({ host, code: "ENOTFOUND", cause: undefined }))
      })
  })
  return { layer, asked }
}

const connector = Connector.make({ host: "host", port: 80 })

/** What an address does so many milliseconds after it is asked: it opens a connection or refuses it. */
type Answer = readonly ["opens" | "refuses", number] | "never"

const hostOf = (address: Address.Address) => address._tag === "TcpAddress" ? address.host : address._tag

/** A network of one name whose addresses answer so, in the resolver's order; and when what was seen of each attempt. */
const racing = (answers: ReadonlyArray<readonly [host: string, answer: Answer]>, options?: Connector.Options) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const now = Effect.clockWith((clock) => clock.currentTimeMillis)
    const see = (what: string) => Effect.map(now, (time) => void seen.push(`${time} ${what}`))
    const connect: Connect = (address) =>
      Effect.gen(function*() {
        const host = hostOf(address)
        const [, answer] = answers.find(([name]) => name === host)!
        yield* see(`asks ${host}`)
        if (answer === "never") return yield* Effect.never
        yield* Effect.sleep(answer[1])
        if (answer[0] === "refuses") return yield* refused(address)
        const transport = yield* opens(address)
        yield* Effect.addFinalizer((exit) => Exit.isSuccess(exit) ? Effect.void : see(`aborts ${host}`))
        yield* see(`opened ${host}`)
        return transport
      }).pipe(Effect.onInterrupt(() => see(`gives up ${hostOf(address)}`)))
    const { layer } = fakeNetwork(connect, answers.map(([host]) => Address.tcp(host, 80)))
    const dial = Connector.make({ host: "host", port: 80, ...options })
    const dialling = yield* Effect.fork(Effect.exit(Effect.provide(dial.connect, layer)))
    const until = (time: number) => Effect.flatMap(now, (start) => TestClock.adjust(time - start))
    return { dialling: Effect.flatten(Fiber.join(dialling)), isOver: () => dialling.unsafePoll() !== null, seen, until }
  })

/** What was seen of the attempts of a dial that succeeds. */
const seenWith = (...[answers, options]: Parameters<typeof racing>) =>
  Effect.gen(function*() {
    const { dialling, seen, until } = yield* racing(answers, options)
    yield* until(5000)
    yield* dialling
    return seen
  })

/** A Clock whose quarter of a second takes no time, and whose half a minute never comes. */
const hasty = (): Clock.Clock => {
  const clock = Clock.make()
  let time = 0
  const sleep = (duration: Duration.Duration) => {
    if (Duration.greaterThan(duration, "1 second")) return Effect.never
    return Effect.zipRight(Effect.yieldNow(), Effect.sync(() => void (time += Duration.toMillis(duration))))
  }
  return Object.assign(Object.create(clock) as Clock.Clock, { sleep, unsafeCurrentTimeMillis: () => time })
}

describe("the race", () => {
  it.scoped("takes the first address if it answers in time, and asks no other", () =>
    Effect.gen(function*() {
      const { dialling, isOver, seen, until } = yield* racing([["::1", ["opens", 249]], ["127.0.0.1", ["opens", 0]]])
      yield* until(249)
      assert.isTrue(isOver())
      yield* until(60_000)
      yield* dialling
      assert.deepStrictEqual(seen, ["0 asks ::1", "249 opened ::1"])
    }))

  it.scoped("starts the next attempt after a quarter of a second, beside the one that goes on", () =>
    Effect.gen(function*() {
      const { dialling, seen, until } = yield* racing([
        ["::1", ["opens", 600]],
        ["127.0.0.1", "never"],
        ["::2", "never"],
        ["127.0.0.2", "never"]
      ])
      yield* until(249)
      assert.deepStrictEqual(seen, ["0 asks ::1"])
      yield* until(1000)
      yield* dialling
      assert.deepStrictEqual(seen, [
        "0 asks ::1",
        "250 asks 127.0.0.1",
        "500 asks ::2",
        "600 opened ::1",
        "600 gives up 127.0.0.1",
        "600 gives up ::2"
      ])
    }))

  it.scoped("starts the next attempt at once when the last one fails, and counts the delay from there", () =>
    Effect.gen(function*() {
      const seen = yield* seenWith([
        ["::1", ["refuses", 100]],
        ["127.0.0.1", "never"],
        ["::2", ["opens", 10]]
      ])
      assert.deepStrictEqual(seen, [
        "0 asks ::1",
        "100 asks 127.0.0.1",
        "350 asks ::2",
        "360 opened ::2",
        "360 gives up 127.0.0.1"
      ])
    }))

  it.scoped("does not hurry when an earlier attempt fails than the last one", () =>
    Effect.gen(function*() {
      const seen = yield* seenWith([
        ["::1", ["refuses", 300]],
        ["127.0.0.1", "never"],
        ["::2", ["opens", 0]]
      ])
      assert.deepStrictEqual(seen.slice(0, 3), ["0 asks ::1", "250 asks 127.0.0.1", "500 asks ::2"])
    }))

  it.scoped("a connection of a later attempt does for all, and leaves no other", () =>
    Effect.gen(function*() {
      const seen = yield* seenWith([["::1", "never"], ["127.0.0.1", ["opens", 20]]])
      assert.deepStrictEqual(seen, ["0 asks ::1", "250 asks 127.0.0.1", "270 opened 127.0.0.1", "270 gives up ::1"])
    }))

  it.scoped("of two connections of one moment one is given, and the other one is aborted", () =>
    Effect.gen(function*() {
      const seen = yield* seenWith([["::1", ["opens", 500]], ["127.0.0.1", ["opens", 250]]])
      const aborted = seen.filter((entry) => /gives up|aborts/.test(entry))
      assert.lengthOf(aborted, 1, seen.join("\n"))
    }))

  it.scoped("a connection that cannot be given up any more is aborted when it is there", () =>
    Effect.gen(function*() {
      const opened: Array<Transport> = []
      const { layer } = fakeNetwork((address) =>
        Effect.uninterruptible(Effect.tap(
          Effect.zipRight(Effect.sleep(address === a ? "10 seconds" : "1 second"), opens(address)),
          (transport) => opened.push(transport)
        )), [a, b])
      const dialling = yield* Effect.fork(Effect.provide(connector.connect, layer))
      yield* TestClock.adjust("10 seconds")
      const given = yield* Fiber.join(dialling)
      assert.strictEqual(given, opened[0])
      yield* given.write(Uint8Array.of(1))
      assert.strictEqual((yield* opened[1]!.closed)._tag, "Lost")
    }))

  it.scoped("an attempt that succeeds when the next one is due ends it, whichever comes first", () =>
    Effect.gen(function*() {
      const seen = yield* seenWith([["::1", ["opens", 250]], ["127.0.0.1", "never"]])
      const after = seen.filter((entry) => entry.endsWith("127.0.0.1"))
      assert.include([[], ["250 asks 127.0.0.1", "250 gives up 127.0.0.1"]].map(String), String(after))
    }))

  it.scoped("asks the families in turn, each in the resolver's order, the resolver's first one first", () =>
    Effect.gen(function*() {
      const asked = (...hosts: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const { dialling, seen, until } = yield* racing(hosts.map((host) => [host, ["refuses", 0]]))
          yield* until(0)
          yield* Effect.flip(dialling)
          return seen.map((entry) => entry.replace("0 asks ", "")).join(" ")
        })
      assert.strictEqual(yield* asked("::1", "::2", "::3", "0.0.0.1", "0.0.0.2"), "::1 0.0.0.1 ::2 0.0.0.2 ::3")
      assert.strictEqual(yield* asked("0.0.0.1", "::1", "::2", "::3"), "0.0.0.1 ::1 ::2 ::3")
      assert.strictEqual(yield* asked("::1", "::2"), "::1 ::2")
    }))

  it.scoped("goes on until the last one has failed, also after those that were started later", () =>
    Effect.gen(function*() {
      const { dialling, isOver, until } = yield* racing([["::1", ["refuses", 2000]], ["127.0.0.1", ["refuses", 0]]])
      yield* until(1999)
      assert.isFalse(isOver())
      yield* until(2000)
      const error = yield* Effect.flip(dialling)
      assert.instanceOf(error, ConnectionError.ConnectionRefused)
      assert.strictEqual(Address.format(error.address), "[::1]:80")
      assert.deepStrictEqual(error.attempts.map(({ startedAfter }) => startedAfter), [0, 250])
    }))

  const answer: FastCheck.Arbitrary<Answer> = FastCheck.oneof(
    FastCheck.tuple(
      FastCheck.constantFrom("opens" as const, "refuses" as const),
      FastCheck.integer({ min: 0, max: 999 })
    ),
    FastCheck.constant("never" as const)
  )

  it.scoped.prop(
    "starts when it is to, and gives the first connection, however each address answers",
    [FastCheck.array(answer, { minLength: 2, maxLength: 6 })],
    ([answers]) =>
      Effect.gen(function*() {
        const starts = [0]
        for (const answer of answers) {
          const fails = answer !== "never" && answer[0] === "refuses" ? answer[1] : Infinity
          starts.push(starts.at(-1)! + Math.min(250, fails))
        }
        starts.pop()
        const opened = answers.map((answer, i) =>
          answer !== "never" && answer[0] === "opens" ? starts[i]! + answer[1] : Infinity
        )
        const first = Math.min(...opened)
        // What comes first of two in the same moment is nobody's promise.
        const ties = [...starts, ...opened].filter((time) => time === first)
        if (first < Infinity && ties.length > 1) return
        const hosts = answers.map((_, i) => `127.0.0.${i}`)
        const { dialling, seen, until } = yield* racing(hosts.map((host, i) => [host, answers[i]!]))
        yield* until(30_000)
        const exit = yield* Effect.exit(dialling)
        const asked = hosts.flatMap((host, i) => starts[i]! < first ? [`${starts[i]} asks ${host}`] : [])
        assert.deepStrictEqual(seen.filter((entry) => entry.includes("asks")), asked)
        if (first < Infinity) assert.include(seen, `${first} opened ${hosts[opened.indexOf(first)]}`)
        else assert.strictEqual(failed(exit)._tag, answers.includes("never") ? "ConnectTimeout" : "ConnectionRefused")
      })
  )

  it.live("interrupted at every step, leaves no attempt and no connection", () =>
    Effect.gen(function*() {
      const { points } = yield* sweep({
        setup: Effect.sync(() => ({ asking: 0, opened: new Set<Transport>() })),
        scenario: (run) => {
          const connect: Connect = (address) =>
            Effect.acquireUseRelease(
              Effect.sync(() => run.asking++),
              () => address === a ? Effect.never : Effect.tap(opens(address), (opened) => run.opened.add(opened)),
              () => Effect.sync(() => run.asking--)
            )
          const { layer } = fakeNetwork(connect)
          return Effect.scoped(Effect.provide(connector.connect, layer)).pipe(Effect.withClock(hasty()))
        },
        check: ({ asking, opened }) =>
          Effect.gen(function*() {
            assert.strictEqual(asking, 0)
            for (const transport of opened) yield* transport.closed
          }),
        timeout: "1 second"
      })
      assert.isAbove(points, 0)
    }), 60_000)

  it.scoped("a defect of the network is its own at once", () =>
    Effect.gen(function*() {
      const { layer } = fakeNetwork((address) => address === a ? Effect.never : Effect.die("broken"))
      const dialling = yield* Effect.fork(Effect.exit(Effect.provide(connector.connect, layer)))
      yield* TestClock.adjust("250 millis")
      assert.deepStrictEqual(yield* Fiber.join(dialling), Exit.die("broken"))
    }))

  it.scoped("takes another delay", () =>
    Effect.gen(function*() {
      const { dialling, seen, until } = yield* racing([["::1", "never"], ["127.0.0.1", ["opens", 0]]], {
        attemptDelay: "10 millis"
      })
      yield* until(10)
      yield* dialling
      assert.deepStrictEqual(seen.slice(0, 2), ["0 asks ::1", "10 asks 127.0.0.1"])
    }))

  it.scoped("with an infinite delay never has two attempts open", () =>
    Effect.gen(function*() {
      const seen = yield* seenWith([["::1", ["refuses", 3000]], ["127.0.0.1", ["opens", 2000]]], {
        attemptDelay: Infinity
      })
      assert.deepStrictEqual(seen, ["0 asks ::1", "3000 asks 127.0.0.1", "5000 opened 127.0.0.1"])
    }))

  it("refuses a delay that RFC 8305 forbids", () => {
    for (const attemptDelay of [0, 9, -1, Number.NaN]) {
      assert.throws(() => Connector.make({ host: "host", port: 80, attemptDelay }), RangeError, "10 milliseconds")
    }
  })
})

describe("an attempt", () => {
  it.scoped("tries only the family that it connects from", () =>
    Effect.gen(function*() {
      const localAddress = Address.tcp("::1", 0)
      const from: Array<Address.Address | undefined> = []
      const { asked, layer } = fakeNetwork((address, options) => {
        from.push(options?.localAddress)
        return opens(address)
      })
      yield* Effect.provide(Connector.make({ host: "host", port: 80, localAddress }).connect, layer)
      assert.deepStrictEqual(asked, ["host:80 IPv6", "[2001:db8::3]:80"])
      assert.deepStrictEqual(from, [localAddress])
    }))

  it.scoped("passes the socket's options on, and not its own", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const { layer } = fakeNetwork((address, options) => {
        seen.push(options)
        return opens(address)
      })
      const dial = Connector.make({ host: "host", port: 80, timeout: "1 second", noDelay: false, highWaterMark: 1024 })
      yield* Effect.provide(dial.connect, layer)
      assert.deepStrictEqual(seen, [{ noDelay: false, highWaterMark: 1024 }])
    }))
})

describe("failures", () => {
  it.scoped("gives the first attempt's error with all attempts", () =>
    Effect.gen(function*() {
      const cause = new Error("the cause")
      const { layer } = fakeNetwork((address) =>
        Effect.zipRight(Effect.sleep("1 second"), Effect.fail(refused(address, cause)))
      )
      const fiber = yield* Effect.fork(Effect.provide(Effect.flip(connector.connect), layer))
      yield* TestClock.adjust("3 seconds")
      const error = yield* Fiber.join(fiber)
      assert.instanceOf(error, ConnectionError.ConnectionRefused)
      assert.strictEqual(error.address, a)
      assert.strictEqual(error.cause, cause)
      assert.include(error.message, "192.0.2.1:80")
      assert.deepStrictEqual(
        error.attempts.map(({ address, error, startedAfter }) => [address, startedAfter, error._tag]),
        [[a, 0, "ConnectionRefused"], [c, 250, "ConnectionRefused"], [b, 500, "ConnectionRefused"]]
      )
    }))

  it.scoped("gives a lone attempt's error as it is", () =>
    Effect.gen(function*() {
      const failure = refused(a)
      const { layer } = fakeNetwork(() => Effect.fail(failure), [a])
      assert.strictEqual(yield* Effect.provide(Effect.flip(connector.connect), layer), failure)
    }))

  it.scoped("gives the first attempt's error as it is where it has no list of attempts", () =>
    Effect.gen(function*() {
      const failure = new ConnectionError.TooManyOpenFiles({
        address: a,
        code: "EMFILE",
        syscall: "socket",
        cause: undefined
      })
      const { asked, layer } = fakeNetwork(() => Effect.fail(failure))
      assert.strictEqual(yield* Effect.provide(Effect.flip(connector.connect), layer), failure)
      assert.lengthOf(asked, 4)
    }))

  it.scoped("tries nothing when the name is not found", () =>
    Effect.gen(function*() {
      const { asked, layer } = fakeNetwork(opens)
      const error = yield* Effect.provide(Effect.flip(Connector.make({ host: "nowhere", port: 80 }).connect), layer)
      assert.strictEqual(error._tag, "HostNotFound")
      assert.deepStrictEqual(asked, ["nowhere:80 any"])
    }))

  it("refuses a port that is none", () => {
    assert.throws(() => Connector.make({ host: "host", port: 0 }), RangeError)
    assert.throws(() => Connector.make({ host: "host", port: 65536 }), RangeError)
  })
})

describe("the deadline", () => {
  const dialUntilDeadline = (
    dial: Connector.Connector,
    layer: Layer.Layer<Network.Network>,
    duration: Duration.DurationInput
  ) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.provide(Effect.flip(dial.connect), layer))
      yield* TestClock.adjust(Duration.subtract(Duration.decode(duration), "1 millis"))
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.instanceOf(error, ConnectionError.ConnectTimeout)
      return error
    })

  it.scoped("is 30 seconds by default, for an address that never answers", () =>
    Effect.gen(function*() {
      const { layer } = fakeNetwork(() => Effect.never, [a])
      const error = yield* dialUntilDeadline(connector, layer, "30 seconds")
      assert.strictEqual(error.phase, "connect")
      assert.strictEqual(error.target, "tcp:host:80")
      assert.deepStrictEqual(error.duration, Duration.seconds(30))
      assert.deepStrictEqual(error.attempts, [])
    }))

  it.scoped("covers all attempts together, and tells them all", () =>
    Effect.gen(function*() {
      const { asked, layer } = fakeNetwork((address) =>
        address === a ? Effect.zipRight(Effect.sleep("1 second"), Effect.fail(refused(address))) : Effect.never
      )
      const dial = Connector.make({ host: "host", port: 80, timeout: "5 seconds" })
      const error = yield* dialUntilDeadline(dial, layer, "5 seconds")
      assert.deepStrictEqual(
        error.attempts.map(({ address, error, startedAfter }) => [address, startedAfter, error._tag]),
        [[a, 0, "ConnectionRefused"], [c, 250, "ConnectTimeout"], [b, 500, "ConnectTimeout"]]
      )
      const spent = error.attempts.map(({ error }) => error._tag === "ConnectTimeout" ? error.duration : undefined)
      assert.deepStrictEqual(spent, [undefined, Duration.millis(4750), Duration.millis(4500)])
      assert.strictEqual(asked.length, 4)
    }))

  it.live("tells all attempts also when the last one fails in the same moment", () =>
    VirtualClock.run(
      Effect.scoped(Effect.gen(function*() {
        const { layer } = fakeNetwork((address) =>
          Effect.zipRight(Effect.sleep("1 second"), Effect.fail(refused(address)))
        )
        const dial = Connector.make({ host: "host", port: 80, timeout: "1500 millis" })
        const error = yield* Effect.provide(Effect.flip(dial.connect), layer)
        assert.instanceOf(error, ConnectionError.ConnectTimeout)
        assert.deepStrictEqual(error.attempts.map(({ address }) => address), [a, c, b])
      }))
    ))

  it.scoped("covers the look-up of the name", () =>
    Effect.gen(function*() {
      const network = Layer.succeed(Network.Network, {
        listen: () => Effect.dieMessage("nobody listens here"),
        connect: () => Effect.dieMessage("there is no address yet"),
        resolve: () => Effect.never
      })
      const error = yield* dialUntilDeadline(connector, network, "30 seconds")
      assert.strictEqual(error.phase, "resolve")
    }))

  it.scoped("holds for a path as well", () =>
    Effect.gen(function*() {
      const { layer } = fakeNetwork(() => Effect.never)
      const error = yield* dialUntilDeadline(Connector.unix("/run/x", { timeout: "1 second" }), layer, "1 second")
      assert.strictEqual(error.target, "unix:/run/x")
    }))

  it.scoped("closes a connection that is established in the same moment", () =>
    Effect.gen(function*() {
      let opened: Transport | undefined
      const { layer } = fakeNetwork(() =>
        Effect.uninterruptible(Effect.tap(
          Effect.zipRight(Effect.sleep("30 seconds"), opens(a)),
          (transport) => opened = transport
        )), [a])
      const fiber = yield* Effect.fork(Effect.provide(Effect.exit(connector.connect), layer))
      yield* TestClock.adjust("30 seconds")
      const exit = yield* Fiber.join(fiber)
      // Either is right: what must not be is a failure that leaves the connection open.
      if (Exit.isFailure(exit)) assert.strictEqual((yield* opened!.closed)._tag, "Lost")
      else assert.isDefined(opened)
    }))
})

describe("the Scope", () => {
  it.effect("holds the transport: it is closed with it", () =>
    Effect.gen(function*() {
      const { layer } = fakeNetwork(opens)
      const scope = yield* Scope.make()
      const transport = yield* connector.connect.pipe(Scope.extend(scope), Effect.provide(layer))
      yield* Effect.fork(Scope.close(scope, Exit.interrupt(yield* Effect.fiberId)))
      const reason = yield* transport.closed
      assert.isTrue(reason._tag === "Lost" && reason.error._tag === "ConnectionAborted")
    }))

  it.scoped("an interruption gives the attempt up at once", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const gaveUp = yield* Deferred.make<void>()
      const { asked, layer } = fakeNetwork(() =>
        Effect.zipRight(Deferred.succeed(started, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.succeed(gaveUp, undefined))
        )
      )
      const fiber = yield* Effect.fork(Effect.provide(connector.connect, layer))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(gaveUp)
      assert.strictEqual(asked.length, 2)
    }))
})

describe("descriptions", () => {
  const connectorOf = (description: string, options?: Connector.Options) =>
    Connector.fromEndpoint(
      Either.getOrThrow(Endpoint.parseClient(description)) as Endpoint.TcpClient | Endpoint.UnixClient,
      options
    )

  it("are read back from the target", () => {
    const bound = "tcp:example.com:443:bindAddress=127.0.0.1"
    for (const description of ["tcp:example.com:443", bound, "tcp:\\:\\:1:80", "unix:/run/x"]) {
      assert.strictEqual(connectorOf(description).target, description)
    }
    assert.isTrue(Connector.isConnector(connector))
    assert.isFalse(Connector.isConnector({ target: "tcp:host:80" }))
  })

  it.scoped("say where to connect from, and how long it may take", () =>
    Effect.gen(function*() {
      const { asked, layer } = fakeNetwork(() => Effect.never)
      const dial = connectorOf("tcp:host:80:timeout=0.5:bindAddress=127.0.0.1").connect
      const fiber = yield* Effect.fork(Effect.provide(Effect.flip(dial), layer))
      yield* TestClock.adjust("500 millis")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "ConnectTimeout")
      assert.strictEqual(asked[0], "host:80 IPv4")
    }))

  it("say how long it may take before the options do, for a path as well", () => {
    const endpoints = ["tcp:host:80:timeout=0.5", "unix:/run/x:timeout=0.5", "tcp:host:80", "unix:/run/x"]
    assert.deepStrictEqual(
      endpoints.map((description) => Duration.toMillis(connectorOf(description, { timeout: "2 seconds" }).timeout)),
      [500, 500, 2000, 2000]
    )
  })
})

describe("pipe", () => {
  it("goes on with what is made of a connector", () => {
    const connector = Connector.make({ host: "localhost", port: 80 })
    const guarded = connector.pipe(
      Connector.layered(IdleTimeout.make({ duration: "1 second" })),
      Observability.connector,
      Connector.layered(IdleTimeout.make({ duration: "2 seconds" }))
    )
    assert.strictEqual(guarded.pipe(Connector.isConnector), true)
    assert.strictEqual(Observability.connector(guarded).pipe(({ target }) => target), connector.target)
  })
})

describe("layered", () => {
  const timed = Connector.make({ host: "host", port: 80, timeout: "1 second" })

  it.scoped("makes the layer on each connection; its failure is one of connecting, and leaves no connection", () =>
    Effect.gen(function*() {
      const opened: Array<Transport> = []
      const { layer } = fakeNetwork(() =>
        Effect.tap(opens(a), (transport) => Effect.sync(() => opened.push(transport)))
      )
      const failing = Connector.layered(timed, () => Effect.fail("no hand to shake" as const))
      assert.deepStrictEqual([failing.target, failing.timeout], [timed.target, Duration.seconds(1)])
      assert.strictEqual(yield* Effect.flip(Effect.provide(failing.connect, layer)), "no hand to shake")
      assert.strictEqual((yield* opened[0]!.closed)._tag, "Lost")
      const idle = pipe(timed, Connector.layered(IdleTimeout.make({ duration: "1 second" })))
      const transport = yield* Effect.provide(idle.connect, layer)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Effect.flip(transport.pull))._tag, "IdleTimeout")
    }))

  it.scoped("has one deadline for connecting and for the layer", () =>
    Effect.gen(function*() {
      const opened: Array<Transport> = []
      const { layer } = fakeNetwork(() =>
        Effect.delay(opens(a), 600).pipe(Effect.tap((transport) => Effect.sync(() => opened.push(transport))))
      )
      const stalling = Connector.layered(timed, () => Effect.never)
      const fiber = yield* Effect.fork(Effect.flip(Effect.provide(stalling.connect, layer)))
      yield* TestClock.adjust(999)
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust(1)
      const error = yield* Fiber.join(fiber)
      assert.deepInclude(error, { _tag: "ConnectTimeout", phase: "handshake", target: "tcp:host:80" })
      assert.strictEqual((yield* opened[0]!.closed)._tag, "Lost")
    }))

  it.scoped("an interruption in the layer leaves no connection", () =>
    Effect.gen(function*() {
      const opened = yield* Deferred.make<Transport>()
      const { layer } = fakeNetwork(() => opens(a))
      const stalling = Connector.layered(timed, (transport) =>
        Effect.zipRight(Deferred.succeed(opened, transport), Effect.never))
      const fiber = yield* Effect.fork(Effect.provide(stalling.connect, layer))
      const transport = yield* Deferred.await(opened)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* transport.closed)._tag, "Lost")
    }))
})

describe("the operating system's network", () => {
  const exchange = (dial: Connector.Connector, listener: Effect.Effect.Success<ReturnType<typeof Network.listen>>) =>
    Effect.gen(function*() {
      const client = yield* dial.connect
      const server = yield* listener.accept
      yield* client.write(new TextEncoder().encode("ping"))
      assert.strictEqual(new TextDecoder().decode((yield* server.pull) ?? undefined), "ping")
      yield* client.closeWrite
    })

  it.scopedLive("reaches localhost, whatever family its first address has", () =>
    Effect.gen(function*() {
      const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
      const port = listener.address.port
      yield* exchange(Connector.make({ host: "localhost", port }), listener)
    }).pipe(Effect.provide(NodeNetwork.layer)))

  it.scopedLive("reaches a path", () =>
    Effect.gen(function*() {
      const directory = mkdtempSync(join(tmpdir(), "connector-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true })))
      const path = join(directory, "s")
      const listener = yield* Network.listen(Address.unix(path))
      yield* exchange(Connector.unix(path), listener)
    }).pipe(Effect.provide(NodeNetwork.layer)))

  it.scopedLive("says where nobody listens", () =>
    Effect.gen(function*() {
      const { address } = yield* Effect.scoped(Network.listen(Address.tcp("127.0.0.1", 0)))
      const port = address.port
      const error = yield* Effect.flip(Connector.make({ host: "127.0.0.1", port }).connect)
      assert.strictEqual(error._tag, "ConnectionRefused")
    }).pipe(Effect.provide(NodeNetwork.layer)))
})
