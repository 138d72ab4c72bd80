import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Scope from "effect/Scope"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Throttle from "../../src/policy/Throttle.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { rootFibers } from "../support/fibers.ts"

interface Passed {
  readonly at: number
  readonly bytes: number
  readonly connection: number
}

/** Reads from so many connections, whose peers always have something to say, for so long; what passed, and when. */
const read = (limits: ReadonlyArray<Throttle.Limit>, connections: number, seconds: number) =>
  Effect.scoped(Effect.gen(function*() {
    const passed: Array<Passed> = []
    const one = (connection: number) =>
      Effect.gen(function*() {
        const [carrier, peer] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
        const transport = yield* Throttle.make({ read: limits })(carrier)
        yield* Effect.forkScoped(Effect.forever(peer.write(new Uint8Array(10_000))))
        const pull = Effect.flatMap(transport.pull, (chunk) =>
          Effect.map(Clock.currentTimeMillis, (at) => {
            passed.push({ at, bytes: chunk!.length, connection })
          }))
        yield* Effect.forkScoped(Effect.forever(pull))
      })
    for (let connection = 0; connection < connections; connection++) yield* one(connection)
    yield* Effect.sleep(seconds * 1000)
    return [...passed]
  }))

/** Has written so many bytes; what lets it go away. */
const leaving = (all: Throttle.Shared, bytes: number) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const [carrier] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
    const transport = yield* Scope.extend(Throttle.make({ write: all })(carrier), scope)
    yield* transport.write(new Uint8Array(bytes))
    return Scope.close(scope, Exit.fail("abort"))
  })

const sum = (passed: ReadonlyArray<Passed>) => passed.reduce((total, { bytes }) => total + bytes, 0)

describe("a rate that is shared", () => {
  it("holds for all connections together, in every window, and is reached", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.integer({ min: 1, max: 6 }),
        FastCheck.integer({ min: 1000, max: 20_000 }),
        FastCheck.integer({ min: 100, max: 3000 }),
        async (connections, bytesPerSecond, burst) => {
          const program = Effect.flatMap(
            Throttle.share({ bytesPerSecond, burst }),
            (all) => read([all], connections, 2)
          )
          const passed = await Effect.runPromise(VirtualClock.run(program))
          let over = 0
          for (let from = 0; from < passed.length; from++) {
            let bytes = 0
            for (let to = from; to < passed.length; to++) {
              bytes += passed[to]!.bytes
              const window = (passed[to]!.at - passed[from]!.at) / 1000
              over = Math.max(over, bytes - Math.ceil(window * bytesPerSecond) - burst)
            }
          }
          assert.strictEqual(over, 0)
          assert.isAtLeast(sum(passed), bytesPerSecond * 1.8)
        }
      ),
      { numRuns: 20 }
    ))

  it.live("gives everybody its turn", () =>
    VirtualClock.run(Effect.gen(function*() {
      const all = yield* Throttle.share(100_000)
      const passed = yield* read([all], 10, 10)
      for (let connection = 0; connection < 10; connection++) {
        assert.closeTo(sum(passed.filter((one) => one.connection === connection)), 100_000, 15_000)
      }
    })))

  it.live("holds beside a connection's own", () =>
    VirtualClock.run(Effect.gen(function*() {
      const all = yield* Throttle.share(100_000)
      assert.closeTo(sum(yield* read([20_000, all], 1, 10)), 200_000, 5000)
      assert.closeTo(sum(yield* read([20_000, all], 20, 10)), 1_000_000, 20_000)
    })))

  it.live("who asks while others wait comes after them, though there is enough for it", () =>
    VirtualClock.run(
      Effect.gen(function*() {
        const all = yield* Throttle.share({ bytesPerSecond: 1000, burst: 1000 })
        const order: Array<string> = []
        const write = (name: string, bytes: number) =>
          Effect.gen(function*() {
            const [carrier, peer] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
            yield* Effect.forkScoped(peer.forEach(() => Effect.sync(() => order.push(name))))
            const transport = yield* Throttle.make({ write: all })(carrier)
            yield* transport.write(new Uint8Array(bytes))
          })
        yield* write("all of the burst", 1000)
        yield* write("first", 50)
        yield* Effect.sleep(20)
        yield* write("last", 10)
        yield* Effect.sleep(20)
        assert.strictEqual(all.waiting(), 2)
        yield* Effect.sleep(1000)
        assert.deepStrictEqual(order, ["all of the burst", "first", "last"])
      }).pipe(Effect.scoped)
    ))

  it.live("loses nothing to a connection that goes away while it waits for its turn", () =>
    VirtualClock.run(
      Effect.gen(function*() {
        const all = yield* Throttle.share({ bytesPerSecond: 1000, burst: 1000 })
        const [carrier, peer] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
        const transport = yield* Throttle.make({ write: all })(carrier)
        const leave = yield* leaving(all, 2000)
        yield* transport.write(new Uint8Array(1000))
        yield* Effect.sleep("1 millis")
        assert.strictEqual(all.waiting(), 2)
        yield* leave
        assert.strictEqual(all.waiting(), 1)
        for (let bytes = 0; bytes < 1000;) bytes += (yield* peer.pull)!.length
        assert.strictEqual(yield* Clock.currentTimeMillis, 1000)
        assert.strictEqual(all.waiting(), 0)
      }).pipe(Effect.scoped)
    ))

  it.live("gives back what a connection was granted that goes away at that moment", () =>
    VirtualClock.run(
      Effect.gen(function*() {
        const all = yield* Throttle.share({ bytesPerSecond: 1000, burst: 1000 })
        const leave = yield* Effect.forEach([2000, 10], (bytes) => leaving(all, bytes))
        yield* Effect.sleep("10 millis")
        assert.strictEqual(all.waiting(), 2)
        // The end of the first grants the second what it waits for, whose end is under way.
        yield* Effect.all(leave, { concurrency: "unbounded" })
        const [carrier, peer] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
        const transport = yield* Throttle.make({ write: all })(carrier)
        yield* transport.write(new Uint8Array(10))
        for (let bytes = 0; bytes < 10;) bytes += (yield* peer.pull)!.length
        assert.strictEqual(yield* Clock.currentTimeMillis, 10)
      }).pipe(Effect.scoped)
    ))

  it.live("who asks for little does not wait for the turn of one that has gone away", () =>
    VirtualClock.run(
      Effect.gen(function*() {
        const all = yield* Throttle.share({ bytesPerSecond: 1000, burst: 1000 })
        const leave = yield* leaving(all, 2000)
        const [carrier, peer] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
        const transport = yield* Throttle.make({ write: all })(carrier)
        yield* transport.write(new Uint8Array(1))
        yield* Effect.sleep("1 millis")
        assert.strictEqual(all.waiting(), 2)
        yield* leave
        assert.strictEqual((yield* peer.pull)!.length, 1)
        assert.strictEqual(yield* Clock.currentTimeMillis, 1)
      }).pipe(Effect.scoped)
    ))

  it.live("a connection whose peer does not read takes nothing from the others, and saves nothing up", () =>
    VirtualClock.run(
      Effect.gen(function*() {
        const all = yield* Throttle.share({ bytesPerSecond: 1000, burst: 1000 })
        const held = yield* Effect.forEach(Array.from({ length: 10 }), () =>
          Effect.gen(function*() {
            const [carrier, peer] = yield* MemoryTransport.pair({ capacity: 0, highWaterMark: 1, lingerTimeout: 0 })
            // It is full.
            yield* carrier.write(new Uint8Array(1))
            const transport = yield* Throttle.make({ write: all, highWaterMark: 5000 })(carrier)
            yield* transport.write(new Uint8Array(1000))
            yield* Effect.sleep("1 second")
            return peer
          }))
        const [carrier, peer] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
        const transport = yield* Throttle.make({ write: all })(carrier)
        const start = yield* Clock.currentTimeMillis
        yield* transport.write(new Uint8Array(1000))
        for (let bytes = 0; bytes < 1000;) bytes += (yield* peer.pull)!.length
        assert.strictEqual(yield* Clock.currentTimeMillis, start)
        let passed = 0
        for (const peer of held) {
          yield* Effect.forkScoped(peer.forEach((chunk) => Effect.sync(() => void (passed += chunk.length))))
        }
        yield* Effect.sleep("999 millis")
        // What filled them was not limited.
        assert.isAtMost(passed, 10 + 999)
        assert.isAtLeast(passed, 10 + 900)
      }).pipe(Effect.scoped)
    ))

  it.live("leaves nothing", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      yield* VirtualClock.run(Effect.flatMap(Throttle.share(10_000), (all) => read([all], 3, 2)))
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.effect("a wrong rate is a RangeError", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Throttle.share(0))
      assert(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof RangeError)
    }))
})
