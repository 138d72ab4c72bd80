import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import * as Network from "../../src/Network.ts"
import * as Server from "../../src/server/Server.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import * as Rule from "../../src/testing/Rule.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import type { Transport } from "../../src/Transport.ts"
import { ascii, text } from "../support/bytes.ts"
import { rootFibers, settle } from "../support/fibers.ts"
import { pattern, readAll } from "../support/peer.ts"
import { thorough } from "../support/runs.ts"
import { connect, joined, listen, now, run } from "../support/simulated.ts"

const echo = (transport: Transport) => Stream.run(transport.stream, transport.sink)

const write = (transport: Transport, what: string) => Effect.zipRight(transport.write(ascii(what)), transport.flush)

const bothClose = (...transports: ReadonlyArray<Transport>) =>
  Effect.all(transports.map(({ close }) => close), { concurrency: "unbounded", discard: true })

const patient = { lingerTimeout: "1 day", closeTimeout: "1 day" } as const

describe("hosts", () => {
  it.live("are those that were asked for and localhost, each with an address of both families", () =>
    run(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      assert.deepStrictEqual(sim.hosts, ["client", "server", "localhost"])
      assert.strictEqual(Address.format(sim.addressOf("server", 80)), "10.0.0.2:80")
      assert.strictEqual(Address.format(sim.addressOf("server", 80, "IPv6")), "[fd00::2]:80")
      for (const family of ["IPv4", "IPv6"] as const) {
        const address = sim.addressOf("server", 80, family)
        const listener = yield* SimNetwork.on(Network.listen(address), "server")
        const client = yield* SimNetwork.on(Network.connect(address), "client")
        const server = yield* listener.accept
        assert.isTrue(Equal.equals(server.localAddress, address))
        assert.isTrue(Equal.equals(client.remoteAddress, address))
        assert.strictEqual((client.localAddress as Address.TcpAddress).host, sim.addressOf("client", 0, family).host)
        yield* bothClose(client, server)
      }
    })))

  it.live("have the loopback each for itself", () =>
    run(Effect.gen(function*() {
      const there = yield* SimNetwork.on(Network.listen(Address.tcp("127.0.0.1", 80)), "server")
      assert.strictEqual(
        (yield* Effect.flip(SimNetwork.on(Network.connect(there.address), "client")))._tag,
        "ConnectionRefused"
      )
      const here = yield* SimNetwork.on(Network.listen(Address.tcp("127.0.0.1", 80)), "client")
      yield* SimNetwork.on(Network.connect(here.address), "client")
      yield* SimNetwork.on(Network.connect(there.address), "server")
      yield* Effect.all([here.ready, there.ready])
      assert.deepStrictEqual([here.stats().connected, there.stats().connected], [1, 1])
    })))

  it.live("that are unknown are a mistake, wherever they are named", () =>
    run(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      const mistakes: ReadonlyArray<Effect.Effect<unknown, unknown, never>> = [
        Effect.sync(() => sim.addressOf("servre", 80)),
        Effect.sync(() => sim.networkOf("servre")),
        sim.crash("servre"),
        Effect.scoped(sim.apply(Rule.drop({ from: "servre" }))),
        Effect.scoped(sim.apply(Rule.partition({ between: ["client", ["server", "servre"]] }))),
        Effect.scoped(Effect.asVoid(SimNetwork.make({ rules: [Rule.crash({ host: "servre" })] })))
      ]
      for (const mistake of mistakes) {
        const defect = yield* Effect.flip(Effect.catchAllDefect(mistake, Effect.fail))
        assert.instanceOf(defect, RangeError)
        assert.include(defect.message, `"servre"`)
      }
    })))

  it.live("have a backlog, descriptors and buffers of their own", () =>
    run(
      Effect.gen(function*() {
        yield* listen()
        yield* connect()
        const error = yield* Effect.flip(connect())
        assert.strictEqual(error._tag, "TooManyOpenFiles")
      }),
      { hosts: { client: { maxDescriptors: 1 }, server: {} } }
    ))

  it.live("that crash take their programs with them, which start anew", () =>
    run(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      let starts = 0
      const program = Effect.gen(function*() {
        starts++
        const listener = yield* Network.listen(sim.addressOf("server", 80))
        yield* Server.serve(listener, echo)
      })
      yield* SimNetwork.boot(program, "server")
      yield* Effect.sleep("1 second")
      const first = yield* connect()
      yield* write(first, "one")
      assert.strictEqual(text((yield* first.pull)!), "one")
      yield* sim.crash("server")
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(sim.sockets().filter(({ host }) => host === "server"), [])
      yield* sim.restart("server")
      yield* Effect.sleep("1 second")
      yield* first.write(ascii("two"))
      assert.strictEqual((yield* Effect.flip(first.pull))._tag, "ConnectionReset")
      const second = yield* connect()
      yield* write(second, "three")
      assert.strictEqual(text((yield* second.pull)!), "three")
      assert.strictEqual(starts, 2)
    })))

  it.live("that crash again in the moment of their restart start their programs after that", () =>
    run(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(Rule.crash({ host: "server", at: "1 second", for: "1 second" }))
      yield* sim.apply(Rule.crash({ host: "server", at: "2 seconds", for: "1 second" }))
      let starts = 0
      const program = Effect.gen(function*() {
        yield* Network.listen(sim.addressOf("server", 80))
        starts++
        return yield* Effect.never
      })
      yield* SimNetwork.boot(program, "server")
      yield* Effect.sleep("4 seconds")
      assert.strictEqual(starts, 2)
    })))

  it.live("that crashed have power again when they are restarted, however often and by whatever they crashed", () =>
    run(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(Rule.crash({ host: "server" }))
      yield* sim.crash("server")
      yield* sim.crash("server")
      yield* sim.restart("server")
      yield* listen()
      yield* connect()
    })))

  it.live("that crash again after their restart stay without power when a rule of before ends", () =>
    run(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(Rule.crash({ host: "server", for: "2 seconds" }))
      yield* sim.restart("server")
      yield* sim.crash("server")
      yield* Effect.sleep("3 seconds")
      assert.include(yield* Effect.flip(listen()), { code: "ENETDOWN" })
    })))

  it.live("that a rule and the program have crashed stay without power when the rule ends", () =>
    run(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      yield* Effect.scoped(Effect.zipRight(sim.apply(Rule.crash({ host: "server" })), sim.crash("server")))
      assert.include(yield* Effect.flip(listen()), { code: "ENETDOWN" })
      yield* sim.restart("server")
      yield* listen()
    })))

  it.scopedLive("end their programs with the Scope, interrupted at every step", () =>
    Effect.gen(function*() {
      const { points } = yield* sweep({
        setup: Effect.void,
        scenario: () => Effect.scoped(Effect.flatMap(SimNetwork.boot(Effect.yieldNow(), "localhost"), Fiber.join)),
        check: () => Effect.void,
        timeout: "1 second"
      })
      assert.isAbove(points, 0)
    }).pipe(Effect.provide(SimNetwork.layer())), 60_000)

  it.live("that crash end no program that fails by that, they start it anew", () =>
    run(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      const listener = yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
      let starts = 0
      const program = Effect.gen(function*() {
        starts++
        const transport = yield* Network.connect(listener.address)
        return yield* transport.pull
      })
      yield* SimNetwork.boot(program, "client")
      yield* Effect.sleep("1 second")
      yield* sim.crash("client")
      yield* Effect.sleep("1 second")
      yield* sim.restart("client")
      yield* Effect.sleep("1 second")
      assert.strictEqual(starts, 2)
    })))
})

describe("names", () => {
  const resolve = (name: string, options?: Network.ResolveOptions) =>
    Effect.map(Network.resolve(name, options), (addresses) => addresses.map(Address.format))

  it.live("are the hosts' own and their aliases, in any case", () =>
    run(
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* resolve("server", { port: 80 }), ["10.0.0.2:80", "[fd00::2]:80"])
        assert.deepStrictEqual(yield* resolve("WWW.Example.ORG", { family: "IPv6" }), ["[fd00::2]:0"])
        assert.deepStrictEqual(yield* resolve("localhost"), ["127.0.0.1:0", "[::1]:0"])
        assert.deepInclude(yield* Effect.flip(resolve("nobody")), { _tag: "HostNotFound", host: "nobody" })
      }),
      { hosts: { client: {}, server: { aliases: ["www.example.org"] } } }
    ))

  it.live("can be slow, wrong, unknown, or without an answer", () =>
    run(Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      const under = <A, E>(rule: Rule.Rule, effect: Effect.Effect<A, E, Network.Network>) =>
        Effect.scoped(Effect.zipRight(sim.apply(rule), effect))
      assert.deepStrictEqual(yield* under(Rule.names({ name: "server", answers: ["10.0.0.1"] }), resolve("server")), [
        "10.0.0.1:0"
      ])
      const unknown = yield* Effect.flip(under(Rule.names({ fails: "NXDOMAIN" }), resolve("server")))
      assert.strictEqual(unknown._tag, "HostNotFound")
      const silent = yield* Effect.flip(under(Rule.names({ fails: "SERVFAIL" }), resolve("server")))
      assert.strictEqual(silent._tag, "ResolverUnavailable")
      assert.strictEqual(yield* now, 0)
      yield* under(Rule.names({ by: "5 seconds" }), resolve("server"))
      assert.strictEqual(yield* now, 5000)
    })))
})

describe("a run", () => {
  const conversation = Effect.gen(function*() {
    const { client, server } = yield* joined(patient)
    yield* Effect.fork(Effect.zipRight(echo(server), server.closeWrite))
    for (let round = 0; round < 10; round++) {
      yield* client.write(pattern(yield* Random.nextIntBetween(1, 5000)))
      yield* Effect.sleep(yield* Random.nextIntBetween(1, 500))
    }
    yield* client.closeWrite
    yield* readAll(client)
    return (yield* SimNetwork.SimNetwork).fingerprint()
  })

  const options = (seed: number): SimNetwork.Options => ({
    seed,
    latency: ["1 millis", "20 millis"],
    rules: [Rule.drop({ rate: 0.1 }), Rule.delay({ by: "10 millis", jitter: "10 millis" })]
  })

  it.live("is a function of its seed", () =>
    Effect.gen(function*() {
      const of = (seed: number) => run(conversation, options(seed))
      const fingerprints = yield* Effect.all(Array.from({ length: 20 }, (_, seed) => of(seed)))
      const again = yield* Effect.all(Array.from({ length: 20 }, (_, seed) => of(seed)), { concurrency: "unbounded" })
      assert.deepStrictEqual(again, fingerprints)
      assert.strictEqual(new Set(fingerprints).size, 20)
    }))

  it.live("fails with a deadlock when both ends wait for each other", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run(Effect.flatMap(joined(), ({ client, server }) =>
        Effect.all([client.pull, server.pull], { concurrency: "unbounded" }))))
      assert.strictEqual(error._tag, "Deadlock")
    }))

  it.live("has time also for two programs on one host that answer each other for ever", () =>
    SimNetwork.run(Effect.scoped(Effect.gen(function*() {
      const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
      const client = yield* Network.connect(listener.address)
      const server = yield* listener.accept
      yield* Effect.fork(Effect.all([echo(client), echo(server)], { concurrency: "unbounded" }))
      yield* client.write(ascii("hot potato"))
      yield* Effect.sleep("100 millis")
      assert.isAbove(client.stats().bytesRead, 10_000)
      yield* client.abort
    }))))

  it.live("of an hour with a few messages a second is an hour of the simulation", () =>
    run(Effect.gen(function*() {
      const { client, server } = yield* joined({ keepAlive: "30 seconds" })
      yield* Effect.fork(echo(server))
      let answers = 0
      yield* Effect.fork(client.forEach(() => Effect.sync(() => answers++)))
      yield* Effect.repeat(
        client.write(ascii("hello")),
        Schedule.intersect(Schedule.spaced("500 millis"), Schedule.recurs(7200))
      )
      yield* Effect.sleep("1 second")
      assert.strictEqual(answers, 7201)
      assert.isAtLeast(yield* now, 3_600_000)
    })))
})

describe("under TestClock", () => {
  const layer = SimNetwork.layer({ hosts: ["client", "server"], latency: "10 millis" })

  it.scoped("connections take the time that the test lets pass, and nothing happens before", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const connecting = yield* Effect.fork(connect())
      const passes = (millis: number) => Effect.zipRight(Effect.zipRight(settle, TestClock.adjust(millis)), settle)
      yield* passes(19)
      assert.isNull(connecting.unsafePoll())
      yield* passes(1)
      const client = yield* Fiber.join(connecting)
      assert.strictEqual(listener.stats().connected, 0)
      yield* passes(10)
      const server = yield* listener.accept
      yield* client.write(ascii("hello"))
      const reading = yield* Effect.fork(server.pull)
      yield* passes(9)
      assert.isNull(reading.unsafePoll())
      yield* passes(1)
      assert.strictEqual(text((yield* Fiber.join(reading))!), "hello")
      const closing = yield* Effect.fork(bothClose(client, server))
      yield* passes(10)
      yield* Fiber.join(closing)
      yield* listener.close
    }).pipe(Effect.provide(layer)))

  it.scoped("rules and losses go by it too", () =>
    Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(Rule.partition({ between: ["client", "server"] }))
      const connecting = yield* Effect.fork(Effect.flip(connect()))
      yield* settle
      yield* TestClock.adjust("127 seconds")
      assert.strictEqual((yield* Fiber.join(connecting))._tag, "ConnectTimeout")
    }).pipe(Effect.provide(layer)))

  it.effect("however much is going to happen, one fiber sleeps for it", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      yield* Effect.scoped(Effect.gen(function*() {
        yield* listen()
        yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.fork(connect()), { discard: true })
        yield* settle
        assert.isAtMost((yield* rootFibers) - before, 1)
      }))
      yield* settle
    }).pipe(Effect.scoped, Effect.provide(layer)))

  it.effect("the loopback needs some time as well", () =>
    Effect.gen(function*() {
      const program = Effect.scoped(Effect.gen(function*() {
        const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
        const client = yield* Network.connect(listener.address)
        const server = yield* listener.accept
        yield* client.write(ascii("hello"))
        assert.strictEqual(text((yield* server.pull)!), "hello")
        yield* bothClose(client, server)
      }))
      const running = yield* Effect.fork(program)
      yield* settle
      assert.isNull(running.unsafePoll())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(running)
    }).pipe(Effect.provide(layer)))
})

describe("a server", () => {
  it.live("serves clients that come from other hosts, and drains in virtual time", () =>
    run(Effect.gen(function*() {
      const listener = yield* listen()
      const busy = yield* Deferred.make<void>()
      const serving = yield* Effect.fork(Server.serve(listener, (transport) =>
        Effect.flatMap(transport.pull, (bytes) =>
          bytes !== null && text(bytes) === "slow"
            ? Effect.zipRight(Deferred.succeed(busy, undefined), Effect.never)
            : Effect.zipRight(transport.write(bytes!), echo(transport))), { drainTimeout: "1 minute" }))
      const answers = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, index) =>
          `client ${index}`),
        (line) =>
          Effect.scoped(Effect.gen(function*() {
            const client = yield* connect()
            yield* client.write(ascii(line))
            yield* client.closeWrite
            return (yield* readAll(client)).toString()
          })),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(answers, Array.from({ length: 50 }, (_, index) => `client ${index}`))
      const slow = yield* connect()
      yield* slow.write(ascii("slow"))
      yield* Deferred.await(busy)
      const begin = yield* now
      yield* listener.close
      const report = yield* Fiber.join(serving)
      assert.deepInclude(report, { accepted: 51, completed: 50, aborted: 1 })
      assert.isAtLeast((yield* now) - begin, 60_000)
      assert.strictEqual((yield* Effect.flip(slow.pull))._tag, "ConnectionReset")
    })))
})

// -----------------------------------------------------------------------------
// whatever happens on the way
// -----------------------------------------------------------------------------

describe("whatever the network does for a while", () => {
  const many = { fastCheck: { numRuns: thorough ? 10_000 : 300 }, timeout: thorough ? 1_200_000 : 60_000 }
  const between = (host: SimNetwork.HostOptions) => ({
    latency: ["1 millis", "50 millis"],
    hosts: { client: host, server: host }
  } as const)
  const millis = (max: number) => FastCheck.integer({ min: 0, max })
  const rate = FastCheck.constantFrom(0.05, 0.3, 0.7, 1)

  const when = {
    // Over before the kernels give up.
    at: millis(5000),
    for: millis(15_000),
    from: FastCheck.constantFrom(undefined, "client", "server")
  }

  const rules: FastCheck.Arbitrary<ReadonlyArray<Rule.Rule>> = FastCheck.array(
    FastCheck.oneof(
      FastCheck.record({ ...when, rate }).map(Rule.drop),
      FastCheck.record({ ...when, by: millis(2000), jitter: millis(2000) }).map(Rule.delay),
      FastCheck.record({
        ...when,
        size: FastCheck.integer({ min: 1, max: 2000 }),
        variation: millis(500),
        gap: millis(50)
      }).map(Rule.slice),
      FastCheck.record({ ...when, rate, after: millis(5000) }).map(Rule.duplicate),
      FastCheck.record({ ...when, bytesPerSecond: FastCheck.integer({ min: 1000, max: 1_000_000 }) }).map(
        Rule.bandwidth
      ),
      FastCheck.record({ at: when.at, for: when.for, between: FastCheck.constant(["client", "server"] as const) })
        .map(Rule.partition)
    ),
    { maxLength: 5 }
  )

  const writes = FastCheck.array(
    FastCheck.record({ after: millis(1000), size: FastCheck.integer({ min: 1, max: 10_000 }) }),
    { maxLength: 6 }
  )

  const buffers = FastCheck.record({
    sendBuffer: FastCheck.constantFrom(1000, 65_536),
    receiveBuffer: FastCheck.constantFrom(300, 3000, 65_536)
  })

  type Writes = ReadonlyArray<{ readonly after: number; readonly size: number }>

  const send = (transport: Transport, writes: Writes) =>
    Effect.zipRight(
      Effect.forEach(
        writes,
        ({ after, size }) => Effect.zipRight(Effect.sleep(after), transport.write(pattern(size))),
        { discard: true }
      ),
      transport.closeWrite
    )
  const expected = (writes: Writes) => Buffer.concat(writes.map(({ size }) => pattern(size)))

  it.effect.prop(
    "what both ends write arrives whole and in order, both end cleanly, and nothing is left",
    { rules, fromClient: writes, fromServer: writes, buffers, noDelay: FastCheck.boolean(), seed: FastCheck.nat() },
    ({ buffers, fromClient, fromServer, noDelay, rules, seed }) => {
      const converse = (transport: Transport, writes: Writes) =>
        Effect.gen(function*() {
          const [input] = yield* Effect.all([readAll(transport), send(transport, writes)], { concurrency: "unbounded" })
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", peerEnded: true })
          return input
        })
      const body = Effect.gen(function*() {
        const options: Network.SocketOptions = { ...patient, noDelay }
        const listener = yield* listen(options)
        // The server may hear of the connection only by what the client sends.
        const [here, there] = yield* Effect.all([
          Effect.flatMap(connect(options), (client) => converse(client, fromClient)),
          Effect.flatMap(listener.accept, (server) => converse(server, fromServer))
        ], { concurrency: "unbounded" })
        assert.isTrue(there.equals(expected(fromClient)))
        assert.isTrue(here.equals(expected(fromServer)))
        yield* Effect.sleep("10 minutes")
        const sim = yield* SimNetwork.SimNetwork
        assert.deepStrictEqual(sim.sockets().map(({ state }) => state), ["LISTEN"])
      })
      return run(body, { ...between(buffers), rules, seed })
    },
    many
  )

  /** Of these, what remains in force for ever ends connections. */
  const endings: FastCheck.Arbitrary<Rule.Rule> = FastCheck.oneof(
    FastCheck.record({ at: millis(3000), from: when.from, rate: FastCheck.constantFrom(0.5, 1) }).map(Rule.drop),
    FastCheck.record({
      at: millis(3000),
      from: when.from,
      afterBytes: FastCheck.option(millis(5000), { nil: undefined })
    })
      .map(Rule.reset),
    FastCheck.record({ at: millis(3000), from: when.from, bytes: millis(20_000) }).map(Rule.limit),
    FastCheck.record({
      at: millis(3000),
      from: when.from,
      closeAfter: FastCheck.option(millis(9000), { nil: undefined })
    })
      .map(Rule.stall),
    FastCheck.record({ at: millis(3000) }).map(Rule.down),
    FastCheck.record({ at: millis(3000), for: millis(3000), host: FastCheck.constantFrom("client", "server") })
      .map(Rule.crash),
    FastCheck.record({ at: millis(3000), host: FastCheck.constantFrom("client", "server") }).map(Rule.crash),
    FastCheck.record({ at: millis(3000), between: FastCheck.constant(["client", "server"] as const) }).map(
      Rule.partition
    )
  )

  it.effect.prop(
    "and for ever after: what arrives is the beginning of what was sent, and nobody waits for ever",
    { rules, ending: endings, fromClient: writes, fromServer: writes, buffers, seed: FastCheck.nat() },
    ({ buffers, ending, fromClient, fromServer, rules, seed }) => {
      const converse = (transport: Transport, writes: Writes, theirs: Writes) =>
        Effect.gen(function*() {
          const input: Array<Uint8Array> = []
          const reading = transport.forEach((chunk) => Effect.sync(() => input.push(chunk)))
          yield* Effect.all([Effect.exit(reading), Effect.exit(send(transport, writes))], { concurrency: "unbounded" })
          yield* transport.close
          const reason = yield* transport.closed
          const received = Buffer.concat(input)
          const all = expected(theirs)
          assert.isTrue(all.subarray(0, received.length).equals(received))
          if (reason._tag === "Clean" && ending._tag !== "Limit" && ending._tag !== "Stall") {
            assert.strictEqual(received.length, all.length)
          }
        })
      const body = Effect.gen(function*() {
        const options: Network.SocketOptions = { keepAlive: "1 minute" }
        const listener = yield* Effect.exit(listen(options))
        const server = Effect.flatMap(
          listener,
          ({ accept }) => Effect.flatMap(accept, (server) => converse(server, fromServer, fromClient))
        )
        const client = Effect.flatMap(connect(options), (client) => converse(client, fromClient, fromServer))
        yield* Effect.all([
          Effect.catchAll(client, () => Effect.void),
          Effect.catchAll(Effect.timeout(server, "1 hour"), () => Effect.void)
        ], { concurrency: "unbounded" })
      })
      return run(body, { ...between(buffers), rules: [...rules, ending], seed })
    },
    many
  )

  const cuts = FastCheck.record({ from: FastCheck.constant("client"), bytes: millis(20_000) })

  it.effect.prop(
    "and a cut as well: exactly so many bytes arrive, and then what it is that cuts",
    {
      rules,
      cut: FastCheck.oneof(
        cuts.map(Rule.limit),
        cuts.map(({ bytes, from }) => Rule.reset({ from, afterBytes: bytes }))
      ),
      first: FastCheck.boolean(),
      fromClient: writes,
      buffers,
      seed: FastCheck.nat()
    },
    ({ buffers, cut, first, fromClient, rules, seed }) => {
      const at = cut._tag === "Limit" ? cut.bytes : cut._tag === "Reset" ? cut.afterBytes! : assert.fail()
      const all = expected(fromClient)
      const body = Effect.gen(function*() {
        const listener = yield* listen(patient)
        const client = yield* connect(patient)
        yield* Effect.fork(Effect.ignore(send(client, fromClient)))
        // Of a cut at the first byte the server may hear before it hears of the connection.
        const server = yield* Effect.timeoutOption(listener.accept, "1 hour")
        if (server._tag === "None") return assert.isTrue(at === 0 && cut._tag === "Reset")
        const input: Array<Uint8Array> = []
        const exit = yield* Effect.either(server.value.forEach((chunk) => Effect.sync(() => input.push(chunk))))
        assert.isTrue(Buffer.concat(input).equals(all.subarray(0, at)))
        assert.strictEqual(
          exit._tag === "Left" ? exit.left._tag : "end",
          cut._tag === "Reset" && at <= all.length ? "ConnectionReset" : "end"
        )
      })
      return run(body, { ...between(buffers), rules: first ? [cut, ...rules] : [...rules, cut], seed })
    },
    many
  )
})
