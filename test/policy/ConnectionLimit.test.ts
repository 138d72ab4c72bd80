import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Network from "../../src/Network.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as ConnectionLimit from "../../src/policy/ConnectionLimit.ts"
import * as Server from "../../src/server/Server.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import { text } from "../support/bytes.ts"
import { settle } from "../support/fibers.ts"

/** A transport from there. */
const from = (remoteAddress: Address.Address) =>
  Effect.map(MemoryTransport.pair(), ([transport]) => NetworkLayer.derive(transport, { remoteAddress }))

const tcp = (host: string) => from(Address.tcp(host, 1024))

const scopeOf = (result: Exit.Exit<unknown, ConnectionLimit.TooManyConnections>) =>
  Exit.match(result, {
    onSuccess: () => "admitted",
    onFailure: (cause) => cause._tag === "Fail" ? cause.error.scope : ""
  })

const outcomes = (limit: ConnectionLimit.ConnectionLimit, ...hosts: ReadonlyArray<string>) =>
  Effect.forEach(hosts, (host) => Effect.map(Effect.exit(Effect.flatMap(tcp(host), limit.admit)), scopeOf))

describe("ConnectionLimit", () => {
  it.scoped("admits so many in all, and another when one has gone", () =>
    Effect.gen(function*() {
      const limit = yield* ConnectionLimit.make({ total: 2 })
      const scope = yield* Scope.make()
      yield* Scope.extend(Effect.flatMap(tcp("192.0.2.1"), limit.admit), scope)
      assert.deepStrictEqual(yield* outcomes(limit, "192.0.2.1", "192.0.2.2"), ["admitted", "total"])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* outcomes(limit, "192.0.2.2", "192.0.2.3"), ["admitted", "total"])
      assert.strictEqual(limit.stats().total, 2)
    }))

  it.scoped("keeps nothing of who has gone", () =>
    Effect.gen(function*() {
      const limit = yield* ConnectionLimit.make({ perPeer: 1 })
      const before = yield* Effect.scoped(
        Effect.map(outcomes(limit, "192.0.2.1", "2001:db8::1"), () => limit.stats())
      )
      assert.deepStrictEqual(limit.stats(), { total: 0, peers: new Map() })
      // What was told stays as it was.
      assert.deepStrictEqual(before, { total: 2, peers: new Map([["192.0.2.1", 1], ["2001:db8::/64", 1]]) })
    }))

  it.live("interrupted at any step, counts nobody who is not there", () =>
    Effect.gen(function*() {
      const { points } = yield* sweep({
        setup: Effect.all({ limit: ConnectionLimit.make(), transport: tcp("192.0.2.1") }),
        scenario: ({ limit, transport }) => Effect.scoped(limit.admit(transport)),
        check: ({ limit }) => Effect.sync(() => assert.strictEqual(limit.stats().total, 0))
      })
      assert.isAbove(points, 0)
    }))

  it.scoped("admits so many of each peer, which for IPv6 is a /64", () =>
    Effect.gen(function*() {
      const limit = yield* ConnectionLimit.make({ perPeer: 1 })
      assert.deepStrictEqual(
        yield* outcomes(
          limit,
          "192.0.2.1",
          "192.0.2.1",
          "192.0.2.2",
          "2001:db8::1",
          "2001:db8::ffff:1",
          "2001:db8:0:1::1"
        ),
        ["admitted", "perPeer", "admitted", "admitted", "perPeer", "admitted"]
      )
      assert.deepStrictEqual(
        [...limit.stats().peers],
        [["192.0.2.1", 1], ["192.0.2.2", 1], ["2001:db8::/64", 1], ["2001:db8:0:1::/64", 1]]
      )
    }))

  it.scoped("counts by another prefix, and an address with a zone", () =>
    Effect.gen(function*() {
      const limit = yield* ConnectionLimit.make({ perPeer: 1, prefixLength: 48 })
      assert.deepStrictEqual(
        yield* outcomes(limit, "2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1", "fe80::1%eth0", "fe80::2%eth0"),
        ["admitted", "perPeer", "admitted", "admitted", "perPeer"]
      )
    }))

  it.scoped("knows no peers without an address", () =>
    Effect.gen(function*() {
      const limit = yield* ConnectionLimit.make({ perPeer: 0, total: 2 })
      const unnamed = Effect.flatMap(from(Address.unix("")), limit.admit)
      yield* unnamed
      yield* unnamed
      assert.strictEqual(
        (yield* Effect.flip(unnamed)).message,
        "The connection from (unnamed) is one too many: " +
          "there may be 2 in all at a time."
      )
    }))

  it.scoped("has other limits from one moment to the next; who is there stays", () =>
    Effect.gen(function*() {
      const limit = yield* ConnectionLimit.make()
      assert.deepStrictEqual(yield* outcomes(limit, "192.0.2.1", "192.0.2.1"), ["admitted", "admitted"])
      yield* limit.set({ total: 1 })
      assert.deepStrictEqual(yield* outcomes(limit, "192.0.2.1"), ["total"])
      assert.strictEqual(limit.stats().total, 2)
      yield* limit.set({ total: 3, perPeer: 2 })
      assert.deepStrictEqual(yield* outcomes(limit, "192.0.2.1", "192.0.2.2", "192.0.2.3"), [
        "perPeer",
        "admitted",
        "total"
      ])
    }))

  it.effect("a limit that is none is a RangeError", () =>
    Effect.gen(function*() {
      for (
        const limits of [{ total: -1 }, { perPeer: 1.5 }, { total: Number.NaN }, { prefixLength: 0 }, {
          prefixLength: 129
        }]
      ) {
        const exit = yield* Effect.exit(ConnectionLimit.make(limits))
        assert(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof RangeError)
      }
    }))

  it.live("of a server tells who is one too many, and lets the next one in when there is room", () =>
    SimNetwork.run(
      Effect.scoped(Effect.gen(function*() {
        const sim = yield* SimNetwork.SimNetwork
        const limit = yield* ConnectionLimit.make({ perPeer: 1 })
        const listener = yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
        yield* Effect.forkScoped(Server.serve(listener, (transport) =>
          limit.admit(transport).pipe(
            Effect.flatMap(({ forEach, write }) => forEach(write)),
            Effect.catchTag("TooManyConnections", () => transport.write(new TextEncoder().encode("busy\n")))
          )))
        const ask = (host: string) =>
          Effect.gen(function*() {
            const transport = yield* SimNetwork.on(Network.connect(listener.address), host)
            yield* transport.write(new TextEncoder().encode("hello\n"))
            return text((yield* transport.pull)!)
          })
        assert.strictEqual(yield* ask("one"), "hello\n")
        assert.strictEqual(yield* ask("two"), "hello\n")
        assert.strictEqual(yield* Effect.scoped(ask("one")), "busy\n")
        const scope = yield* Scope.make()
        assert.strictEqual(yield* Scope.extend(ask("three"), scope), "hello\n")
        yield* Scope.close(scope, Exit.void)
        yield* Effect.sleep("1 second")
        assert.strictEqual(yield* ask("three"), "hello\n")
      })),
      { hosts: ["server", "one", "two", "three"] }
    ))
})

describe("under any order of comings and goings", () => {
  const hosts = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
  const peers = ["192.0.2.1", "192.0.2.2", "2001:db8::/64", "2001:db8::/64", "2001:db8:0:1::/64"]
  const most = FastCheck.option(FastCheck.nat(4), { nil: undefined })
  const step = FastCheck.oneof(
    { weight: 6, arbitrary: FastCheck.record({ come: FastCheck.nat(hosts.length - 1), stays: FastCheck.nat(5000) }) },
    { weight: 1, arbitrary: FastCheck.record({ total: most, perPeer: most }) }
  )

  it.effect.prop(
    "nobody is admitted above a limit, nobody refused below it, and who has gone does not count",
    [FastCheck.array(FastCheck.tuple(FastCheck.nat(1000), step), { maxLength: 60 })],
    ([steps]) =>
      Effect.gen(function*() {
        const limit = yield* ConnectionLimit.make({ total: 3, perPeer: 2 })
        let limits: ConnectionLimit.Limits = { total: 3, perPeer: 2 }
        let now = 0
        /** Who is there, until when. */
        let there: ReadonlyArray<{ readonly peer: string; readonly until: number }> = []
        for (const [pause, step] of steps) {
          yield* TestClock.adjust(pause)
          now += pause
          there = there.filter(({ until }) => until > now)
          if (!("come" in step)) {
            limits = step
            yield* limit.set(step)
            continue
          }
          const peer = peers[step.come]!
          const same = there.filter((other) => other.peer === peer).length
          const expected = there.length >= (limits.total ?? Infinity)
            ? "total"
            : same >= (limits.perPeer ?? Infinity)
            ? "perPeer"
            : "admitted"
          const answer = yield* Deferred.make<string>()
          const visit = Effect.gen(function*() {
            const admitted = yield* Effect.exit(Effect.flatMap(tcp(hosts[step.come]!), limit.admit))
            yield* Deferred.succeed(answer, scopeOf(admitted))
            if (Exit.isSuccess(admitted)) yield* Effect.sleep(step.stays)
          })
          yield* Effect.fork(Effect.scoped(visit))
          assert.strictEqual(yield* Deferred.await(answer), expected)
          if (expected === "admitted" && step.stays > 0) there = [...there, { peer, until: now + step.stays }]
          yield* settle
          assert.strictEqual(limit.stats().total, there.length)
          for (const [host, count] of limit.stats().peers) {
            assert.strictEqual(count, there.filter((other) => other.peer === host).length)
          }
        }
      }),
    { fastCheck: { numRuns: 50 } }
  )
})
