import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { concat } from "../../src/internal/bytes.ts"
import * as Network from "../../src/Network.ts"
import * as Rule from "../../src/testing/Rule.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import type { SegmentEvent } from "../../src/testing/Trace.ts"
import type { Transport } from "../../src/Transport.ts"

const hosts = ["client", "server"]
const latency = "10 millis"

const simulated = <A, E>(
  program: Effect.Effect<A, E, SimNetwork.SimNetwork | Network.Network>,
  options: SimNetwork.Options = {}
) => SimNetwork.run(program, { hosts, latency, ...options })

/** A connection of the client to the server, and what was measured by the Clock. */
const connected = Effect.gen(function*() {
  const sim = yield* SimNetwork.SimNetwork
  const listener = yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
  const client = yield* SimNetwork.on(Network.connect(listener.address), "client")
  return { sim, client, server: yield* listener.accept, listener }
})

const readAll = (transport: Transport) =>
  Effect.gen(function*() {
    const chunks: Array<Uint8Array> = []
    for (let chunk = yield* transport.pull; chunk !== null; chunk = yield* transport.pull) chunks.push(chunk)
    return concat(chunks)
  })

/** Milliseconds that it takes. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const start = Number(yield* Clock.currentTimeNanos) / 1e6
    yield* effect
    return Number(yield* Clock.currentTimeNanos) / 1e6 - start
  })

const bytes = (size: number) => new Uint8Array(size).map((_, index) => index)

/** How long one byte takes from the client to the server with these rules, of which it knows nothing when it connects. */
const journey = (rule: Rule.Rule, after: Duration.DurationInput = 0) =>
  Effect.scoped(Effect.gen(function*() {
    const { client, server, sim } = yield* connected
    yield* sim.apply(rule)
    yield* Effect.sleep(after)
    return yield* timed(Effect.zipRight(client.write(bytes(1)), server.pull))
  }))

describe("which packets a rule is about", () => {
  const by = "1 second"
  const cases: ReadonlyArray<readonly [name: string, rule: Rule.Rule, millis: number]> = [
    ["all", Rule.delay({ by }), 1010],
    ["those from a host", Rule.delay({ by, from: "client" }), 1010],
    ["not those from another", Rule.delay({ by, from: "server" }), 10],
    ["those to a host", Rule.delay({ by, to: "server" }), 1010],
    ["not those to another", Rule.delay({ by, to: "client" }), 10],
    ["those between two hosts", Rule.delay({ by, between: ["server", "client"] }), 1010],
    ["not those between others", Rule.delay({ by, between: ["server", "localhost"] }), 10],
    ["those of a port", Rule.delay({ by, port: 80 }), 1010],
    ["not those of another", Rule.delay({ by, port: 81 }), 10],
    ["those of a connection", Rule.delay({ by, connection: 1 }), 1010],
    ["not those of another", Rule.delay({ by, connection: 2 }), 10],
    ["those that match", Rule.delay({ by, matching: ({ kind, offset }) => kind === "DATA" && offset === 0 }), 1010],
    ["not those that do not", Rule.delay({ by, matching: ({ payload }) => payload.length > 1 }), 10]
  ]
  it.live.each(cases)("%s", ([, rule, millis]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* simulated(journey(rule)), millis)
    }))

  it.live("begins and ends in time", () =>
    Effect.gen(function*() {
      const rule = Rule.delay({ by: "1 second", at: "2 seconds", for: "1 second" })
      assert.strictEqual(yield* simulated(journey(rule, "1999 millis")), 10)
      assert.strictEqual(yield* simulated(journey(rule, "2 seconds")), 1010)
      assert.strictEqual(yield* simulated(journey(rule, "2999 millis")), 1010)
      assert.strictEqual(yield* simulated(journey(rule, "3 seconds")), 10)
    }))

  it.live("ends with the Scope that it was given in", () =>
    Effect.gen(function*() {
      const [within, after] = yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, server, sim } = yield* connected
        const send = timed(Effect.zipRight(client.write(bytes(1)), server.pull))
        const within = yield* Effect.scoped(Effect.zipRight(sim.apply(Rule.delay({ by: "1 second" })), send))
        // Copies that are still on their way are not overtaken.
        yield* Effect.sleep("10 seconds")
        return [within, yield* send]
      })))
      assert.deepStrictEqual([within, after], [1010, 10])
    }))

  it.live("refuses the name of a host that there is not", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(simulated(Effect.void, { rules: [Rule.crash({ host: "servr" })] }))
      assert.include(String(Exit.isFailure(exit) && exit.cause), "no host \"servr\", only client, server, localhost")
    }))
})

describe("Rule", () => {
  it.live("delay: adds up, jitters within its bounds, and keeps the order", () =>
    Effect.gen(function*() {
      const rules = [Rule.delay({ by: "100 millis" }), Rule.delay({ by: "100 millis", jitter: "50 millis" })]
      const arrivals = yield* simulated(
        Effect.scoped(Effect.gen(function*() {
          const { client, server, sim } = yield* connected
          for (let at = 0; at < 50; at++) {
            yield* client.write(bytes(1))
            yield* Effect.sleep("1 millis")
          }
          yield* client.closeWrite
          assert.strictEqual((yield* readAll(server)).length, 50)
          return sim.trace().filter((event): event is SegmentEvent =>
            event._tag === "Segment" && event.payload.length > 0
          )
        })),
        { rules }
      )
      const delays = arrivals.map(({ arrives, at }) => arrives! - at)
      assert.isTrue(delays.every((delay) => delay >= 160 && delay <= 260))
      assert.isAbove(new Set(delays).size, 10)
      const times = arrivals.map(({ arrives }) => arrives!)
      assert.deepStrictEqual(times, times.toSorted((left, right) => left - right))
    }))

  it.live("pass: exempts from what comes after it", () =>
    Effect.gen(function*() {
      const rules = [Rule.pass({ from: "client" }), Rule.delay({ by: "1 second" })]
      const both = Effect.scoped(Effect.gen(function*() {
        const { client, server } = yield* connected
        return [
          yield* timed(Effect.zipRight(client.write(bytes(1)), server.pull)),
          yield* timed(Effect.zipRight(server.write(bytes(1)), client.pull))
        ]
      }))
      assert.deepStrictEqual(yield* simulated(both, { rules }), [10, 1010])
    }))

  it.live("drop: what is lost is sent again after the retransmission timeout, twice as late each time", () =>
    Effect.gen(function*() {
      // Linux waits for a round trip and 200 ms; the third copy passes.
      const time = yield* simulated(journey(Rule.drop({ from: "client", for: "500 millis" })))
      assert.strictEqual(time, 220 + 440 + 10)
    }))

  it.live("drop: with a rate, some are lost and everything arrives", () =>
    Effect.gen(function*() {
      const whole = bytes(300_000)
      const lost = yield* simulated(
        Effect.scoped(Effect.gen(function*() {
          const { client, server, sim } = yield* connected
          const reading = yield* Effect.fork(readAll(server))
          yield* client.write(whole)
          yield* client.closeWrite
          assert.deepStrictEqual(yield* Fiber.join(reading), whole)
          return sim.trace().filter((event) => event._tag === "Segment" && event.fate === "lost").length
        })),
        { rules: [Rule.drop({ rate: 0.1 })] }
      )
      assert.isAbove(lost, 5)
    }))

  it.live("partition: divides two sides in both directions, and nobody within them", () =>
    Effect.gen(function*() {
      const program = Effect.scoped(Effect.gen(function*() {
        const sim = yield* SimNetwork.SimNetwork
        const reach = (from: string, to: string) =>
          Effect.scoped(Effect.gen(function*() {
            const listener = yield* SimNetwork.on(Network.listen(sim.addressOf(to, 80)), to)
            const attempt = SimNetwork.on(Network.connect(listener.address), from)
            return (yield* Effect.timeoutOption(attempt, "10 seconds"))._tag === "Some"
          }))
        return yield* Effect.all([reach("a", "b"), reach("a", "c"), reach("c", "a"), reach("c", "d")])
      }))
      const reached = yield* simulated(program, {
        hosts: ["a", "b", "c", "d"],
        rules: [Rule.partition({ between: [["a", "b"], ["c", "d"]] })]
      })
      assert.deepStrictEqual(reached, [true, false, false, true])
    }))

  it.live("bandwidth: bytes take their time, and wait in line", () =>
    Effect.gen(function*() {
      const time = yield* simulated(
        Effect.scoped(Effect.gen(function*() {
          const { client, server } = yield* connected
          const sending = Effect.zipRight(client.write(bytes(100_000)), client.closeWrite)
          return yield* timed(Effect.all([sending, readAll(server)], { concurrency: "unbounded" }))
        })),
        { rules: [Rule.bandwidth({ from: "client", bytesPerSecond: 10_000 })] }
      )
      assert.closeTo(time, 10_000, 50)
    }))

  it.live("slice: data comes in pieces of that size, one after the other", () =>
    Effect.gen(function*() {
      const sizes = yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, server, sim } = yield* connected
        yield* sim.apply(Rule.slice({ size: 100, variation: 20, gap: "5 millis" }))
        yield* client.write(bytes(1000))
        const sizes: Array<number> = []
        for (let total = 0; total < 1000; total += sizes.at(-1)!) sizes.push((yield* server.pull)!.length)
        assert.closeTo(yield* Clock.currentTimeMillis, 40 + 5 * (sizes.length - 1), 1)
        return sizes
      })))
      assert.isAtLeast(sizes.length, 8)
      assert.isTrue(sizes.slice(0, -1).every((size) => size >= 80 && size <= 120))
    }))

  it.live("slice: what was lost and comes in pieces is sent again once, not once for each piece", () =>
    Effect.gen(function*() {
      const pieces = yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, server, sim } = yield* connected
        yield* sim.apply(Rule.slice({ size: 10 }))
        yield* sim.apply(Rule.drop({ from: "client", for: "1 second" }))
        yield* client.write(bytes(5000))
        yield* client.closeWrite
        assert.deepStrictEqual(yield* readAll(server), bytes(5000))
        return sim.trace().filter((event) =>
          event._tag === "Segment" && event.fate === "delivered" && event.payload.length > 0
        ).length
      })))
      assert.strictEqual(pieces, 500)
    }))

  it.live("duplicate: of a connection attempt too, and nobody notices", () =>
    Effect.gen(function*() {
      const rules = [Rule.duplicate({ after: "100 millis" })]
      const program = Effect.scoped(Effect.gen(function*() {
        const { client, listener, server, sim } = yield* connected
        yield* client.write(bytes(5000))
        yield* client.closeWrite
        assert.deepStrictEqual(yield* readAll(server), bytes(5000))
        yield* server.close
        assert.strictEqual(yield* client.pull, null)
        assert.strictEqual(listener.stats().connected, 1)
        return sim.trace().filter((event) => event._tag === "Segment" && event.fate === "copied" && event.syn).length
      }))
      assert.strictEqual(yield* simulated(program, { rules }), 2)
    }))

  it.live("reset: after exactly so many bytes, for both ends", () =>
    Effect.gen(function*() {
      yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, server, sim } = yield* connected
        yield* sim.apply(Rule.reset({ from: "client", afterBytes: 2000 }))
        const early = yield* Effect.fork(Effect.flip(client.pull))
        yield* client.write(bytes(5000))
        const failure = yield* Effect.flip(readAll(server))
        assert.strictEqual(failure._tag, "ConnectionReset")
        assert.strictEqual(server.stats().bytesRead, 2000)
        assert.strictEqual((yield* Fiber.join(early))._tag, "ConnectionReset")
      })))
    }))

  const isFirstData = ({ kind, offset }: Rule.Packet) => kind === "DATA" && offset === 0

  /** How many bytes come, of 20,000 the first of which are lost once, and what comes then. */
  const cut = (rule: Rule.Rule) =>
    simulated(
      Effect.scoped(Effect.gen(function*() {
        const { client, server } = yield* connected
        yield* client.write(bytes(20_000))
        yield* client.closeWrite
        const exit = yield* Effect.either(readAll(server))
        return [server.stats().bytesRead, exit._tag === "Left" ? exit.left._tag : "end"]
      })),
      { rules: [Rule.drop({ from: "client", for: "100 millis", matching: isFirstData }), rule] }
    )

  // In the first segment, in one behind it, just where they end, and beyond.
  for (const k of [0, 100, 5000, 20_000, 20_001]) {
    const delivered = Math.min(k, 20_000)
    it.live(`reset: after exactly ${k} bytes, also where the first are lost and sent again`, () =>
      Effect.gen(function*() {
        const end = k > 20_000 ? "end" : "ConnectionReset"
        assert.deepStrictEqual(yield* cut(Rule.reset({ from: "client", afterBytes: k })), [delivered, end])
      }))

    it.live(`limit: after exactly ${k} bytes, also where the first are lost and sent again`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* cut(Rule.limit({ from: "client", bytes: k })), [delivered, "end"])
      }))
  }

  it.live("limit: an orderly end also for one that has not heard yet that the handshake is done", () =>
    Effect.gen(function*() {
      const program = Effect.scoped(Effect.gen(function*() {
        const sim = yield* SimNetwork.SimNetwork
        const listener = yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
        const client = yield* SimNetwork.on(Network.connect(listener.address), "client")
        yield* client.closeWrite
        const server = yield* listener.accept
        assert.deepStrictEqual(yield* readAll(server), bytes(0))
        assert.strictEqual(yield* client.pull, null)
      }))
      const rules = [Rule.drop({ from: "client", matching: ({ kind }) => kind === "ACK" }), Rule.limit({ bytes: 0 })]
      yield* simulated(program, { rules })
    }))

  it.live("reset: after a time", () =>
    Effect.gen(function*() {
      yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, server, sim } = yield* connected
        yield* sim.apply(Rule.reset({ after: "1 second" }))
        const writing = Effect.forever(Effect.zipRight(client.write(bytes(1)), Effect.sleep("100 millis")))
        yield* Effect.fork(writing)
        const time = yield* timed(Effect.flip(readAll(server)))
        assert.closeTo(time, 1010, 110)
      })))
    }))

  it.live("reset: after a time also of a connection on which nothing happens", () =>
    Effect.gen(function*() {
      const program = Effect.scoped(Effect.gen(function*() {
        const { client, server } = yield* connected
        const failures = yield* Effect.all([Effect.flip(client.pull), Effect.flip(server.pull)], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(failures.map(({ _tag }) => _tag), ["ConnectionReset", "ConnectionReset"])
        assert.strictEqual(yield* Clock.currentTimeMillis, 1010)
      }))
      yield* simulated(program, { rules: [Rule.reset({ after: "1 second" })] })
    }))

  it.live("reset: after a time an attempt that nobody has answered is refused when it comes again", () =>
    Effect.gen(function*() {
      const attempt = Effect.scoped(Effect.flip(connected))
      const rules = [Rule.reset({ after: "500 millis" }), Rule.drop({ for: "900 millis" })]
      assert.strictEqual((yield* simulated(attempt, { rules }))._tag, "ConnectionRefused")
      assert.strictEqual(yield* simulated(timed(attempt), { rules }), 1010)
    }))

  it.live("reset: not after a time by which the rule has ended", () =>
    Effect.gen(function*() {
      const program = Effect.scoped(Effect.gen(function*() {
        const { client, server } = yield* connected
        yield* Effect.sleep("5 seconds")
        yield* client.write(bytes(1))
        assert.deepStrictEqual(yield* server.pull, bytes(1))
      }))
      yield* simulated(program, { rules: [Rule.reset({ after: "2 seconds", for: "1 second" })] })
    }))

  it.live("limit: an orderly end for both after so many bytes", () =>
    Effect.gen(function*() {
      yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, server, sim } = yield* connected
        yield* sim.apply(Rule.limit({ from: "client", bytes: 3000 }))
        yield* client.write(bytes(5000))
        assert.deepStrictEqual(yield* readAll(server), bytes(3000))
        assert.strictEqual(yield* client.pull, null)
        // What is sent nevertheless meets a connection that is gone.
        const writing = Effect.forever(Effect.zipRight(client.write(bytes(1)), Effect.sleep("1 second")))
        assert.include(["ConnectionReset", "BrokenPipe"], (yield* Effect.flip(writing))._tag)
      })))
    }))

  it.live("stall: data waits until it ends", () =>
    Effect.gen(function*() {
      const time = yield* simulated(journey(Rule.stall({ for: "5 seconds" })))
      assert.isAbove(time, 5000)
      assert.isBelow(time, 10_000)
    }))

  it.live("stall: or ends the connection for both", () =>
    Effect.gen(function*() {
      yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, server, sim } = yield* connected
        yield* sim.apply(Rule.stall({ closeAfter: "3 seconds" }))
        yield* client.write(bytes(1))
        assert.strictEqual(yield* timed(server.pull), 3010)
        assert.strictEqual(server.stats().bytesRead, 0)
        assert.strictEqual(yield* client.pull, null)
      })))
    }))

  it.live("stall: does not end the connection once it has ended itself, in time or with its Scope", () =>
    Effect.gen(function*() {
      const stalled = (stall: Effect.Effect<void, never, SimNetwork.SimNetwork | Scope.Scope>) =>
        simulated(Effect.scoped(Effect.gen(function*() {
          const { client, server } = yield* connected
          yield* Effect.scoped(
            stall.pipe(Effect.zipRight(client.write(bytes(1))), Effect.zipRight(Effect.sleep("2 seconds")))
          )
          yield* Effect.sleep("10 seconds")
          assert.deepStrictEqual(yield* server.pull, bytes(1))
          yield* server.write(bytes(2))
          assert.deepStrictEqual(yield* client.pull, bytes(2))
        })))
      const apply = (rule: Rule.Rule) => Effect.flatMap(SimNetwork.SimNetwork, (sim) => sim.apply(rule))
      yield* stalled(apply(Rule.stall({ for: "1 second", closeAfter: "5 seconds" })))
      yield* stalled(apply(Rule.stall({ closeAfter: "5 seconds" })))
    }))

  it.live("slowClose: the end comes later than the data", () =>
    Effect.gen(function*() {
      yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, server, sim } = yield* connected
        yield* sim.apply(Rule.slowClose({ by: "2 seconds" }))
        yield* client.write(bytes(1))
        yield* client.closeWrite
        assert.strictEqual(yield* timed(server.pull), 10)
        assert.closeTo(yield* timed(server.pull), 2000, 1)
      })))
    }))

  it.live("down: refuses attempts, and resets what is open", () =>
    Effect.gen(function*() {
      yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, listener, server, sim } = yield* connected
        yield* sim.apply(Rule.down({}))
        const refused = yield* Effect.flip(SimNetwork.on(Network.connect(listener.address), "client"))
        assert.strictEqual(refused._tag, "ConnectionRefused")
        yield* client.write(bytes(1))
        assert.strictEqual((yield* Effect.flip(client.pull))._tag, "ConnectionReset")
        assert.strictEqual(
          (yield* Effect.flip(Effect.zipRight(server.write(bytes(1)), server.pull)))._tag,
          "ConnectionReset"
        )
      })))
    }))

  it.live("unreachable: attempts fail at once", () =>
    Effect.gen(function*() {
      const attempt = Effect.scoped(Effect.gen(function*() {
        const sim = yield* SimNetwork.SimNetwork
        return yield* Effect.flip(SimNetwork.on(Network.connect(sim.addressOf("server", 80)), "client"))
      }))
      const failure = yield* simulated(attempt, { rules: [Rule.unreachable({ to: "server" })] })
      assert.strictEqual(failure._tag, "HostUnreachable")
    }))

  it.live("crash: nobody is told; after the restart the old connection is answered with a reset", () =>
    Effect.gen(function*() {
      yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { client, server, sim } = yield* connected
        yield* sim.apply(Rule.crash({ host: "server", at: "1 second", for: "10 seconds" }))
        yield* Effect.sleep("2 seconds")
        assert.strictEqual((yield* Effect.flip(server.pull))._tag, "PeerUnreachable")
        yield* client.write(bytes(1))
        const time = yield* timed(Effect.flip(client.pull))
        assert.isAbove(time, 9000)
        assert.isBelow(time, 30_000)
        yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
      })))
    }))

  it.live("names: late, wrong, missing and failing answers", () =>
    Effect.gen(function*() {
      const resolve = Effect.gen(function*() {
        return yield* Effect.match(Network.resolve("server"), {
          onFailure: ({ _tag }) => _tag,
          onSuccess: (addresses) => addresses.map(String).join(" ")
        })
      })
      const withRule = (rule: Rule.Rule) => simulated(resolve, { rules: [rule] })
      assert.strictEqual(yield* simulated(resolve), "10.0.0.2:0 [fd00::2]:0")
      assert.strictEqual(yield* withRule(Rule.names({ fails: "NXDOMAIN" })), "HostNotFound")
      assert.strictEqual(yield* withRule(Rule.names({ name: "server", fails: "SERVFAIL" })), "ResolverUnavailable")
      assert.strictEqual(yield* withRule(Rule.names({ name: "SERVER", fails: "SERVFAIL" })), "ResolverUnavailable")
      assert.strictEqual(yield* withRule(Rule.names({ name: "other", fails: "SERVFAIL" })), "10.0.0.2:0 [fd00::2]:0")
      assert.strictEqual(yield* withRule(Rule.names({ answers: ["10.0.0.9"] })), "10.0.0.9:0")
      assert.strictEqual(yield* simulated(timed(resolve), { rules: [Rule.names({ by: "5 seconds" })] }), 5000)
    }))

  it.live("descriptors: connecting fails, and what is accepted is closed at once", () =>
    Effect.gen(function*() {
      yield* simulated(Effect.scoped(Effect.gen(function*() {
        const { listener, sim } = yield* connected
        const connect = SimNetwork.on(Network.connect(listener.address), "client")
        const failure = yield* Effect.scoped(
          Effect.zipRight(sim.apply(Rule.descriptors({ host: "client", limit: 1 })), Effect.flip(connect))
        )
        assert.strictEqual(failure._tag, "TooManyOpenFiles")
        yield* sim.apply(Rule.descriptors({ host: "server", limit: 2 }))
        const client = yield* connect
        assert.strictEqual(yield* client.pull, null)
        assert.strictEqual(listener.stats().connected, 1)
      })))
    }))

  it.live("descriptors: of several limits the least holds, and the end of one lifts no other", () =>
    Effect.gen(function*() {
      const descriptors = (limit: number, duration: Duration.DurationInput) =>
        Rule.descriptors({ host: "client", limit, for: duration })
      const program = Effect.scoped(Effect.gen(function*() {
        const { listener } = yield* connected
        const attempt = Effect.match(Effect.scoped(SimNetwork.on(Network.connect(listener.address), "client")), {
          onFailure: ({ _tag }) => _tag,
          onSuccess: () => "connected"
        })
        const each = Effect.zipRight(Effect.sleep("1 second"), attempt)
        return yield* Effect.all([each, each, each, each])
      }))
      const rules = [descriptors(1, "2500 millis"), descriptors(1, "1500 millis"), descriptors(5, "3500 millis")]
      assert.deepStrictEqual(yield* simulated(program, { rules }), [
        "TooManyOpenFiles",
        "TooManyOpenFiles",
        "connected",
        "connected"
      ])
    }))
})
