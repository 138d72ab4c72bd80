import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { concat } from "../../src/internal/bytes.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as FaultLayer from "../../src/testing/FaultLayer.ts"
import * as RecordingTransport from "../../src/testing/RecordingTransport.ts"
import * as Rule from "../../src/testing/Rule.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import type { Transport } from "../../src/Transport.ts"
import { rootFibers } from "../support/fibers.ts"
import { tcpPair } from "../support/pairs.ts"

const readAll = <E>(transport: Transport<E>) =>
  Effect.map(Stream.runCollect(transport.stream), (chunks) => concat([...chunks]))

const bytes = (size: number) => new Uint8Array(size).map((_, index) => index)

/** A transport with these faults, over one in memory, and that one's peer. */
const faulty = (...rules: ReadonlyArray<Rule.Rule>) =>
  Effect.gen(function*() {
    const [carrier, peer] = yield* MemoryTransport.pair()
    return { transport: yield* FaultLayer.make({ rules })(carrier), peer, carrier }
  })

const inTime = <A, E>(program: Effect.Effect<A, E>) => VirtualClock.run(program)

const millis = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos) / 1e6)

describe("FaultLayer, with the toxics of Toxiproxy", () => {
  it.live("latency: both ways", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* faulty(Rule.delay({ by: "1 second" }))
      yield* transport.write(bytes(1))
      assert.deepStrictEqual(yield* peer.pull, bytes(1))
      assert.strictEqual(yield* millis, 1000)
      yield* peer.write(bytes(2))
      assert.deepStrictEqual(yield* transport.pull, bytes(2))
      assert.strictEqual(yield* millis, 2000)
    }))))

  it.live("bandwidth", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* faulty(Rule.bandwidth({ from: "there", bytesPerSecond: 1000 }))
      const sending = Effect.zipRight(peer.write(bytes(30_000)), peer.closeWrite)
      const [, received] = yield* Effect.all([sending, readAll(transport)], { concurrency: "unbounded" })
      assert.deepStrictEqual(received, bytes(30_000))
      assert.closeTo(yield* millis, 30_000, 10)
    }))))

  it.live("slow_close", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* faulty(Rule.slowClose({ from: "there", by: "5 seconds" }))
      yield* Effect.zipRight(peer.write(bytes(1)), peer.closeWrite)
      assert.deepStrictEqual(yield* transport.pull, bytes(1))
      assert.strictEqual(yield* millis, 0)
      assert.isNull(yield* transport.pull)
      assert.strictEqual(yield* millis, 5000)
    }))))

  it.live("timeout: nothing passes, and then it ends", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* faulty(Rule.stall({ closeAfter: "3 seconds" }))
      yield* transport.write(bytes(1))
      assert.isNull(yield* transport.pull)
      assert.isNull(yield* peer.pull)
      assert.strictEqual(yield* millis, 3000)
      assert.strictEqual(peer.stats().bytesRead, 0)
    }))))

  it.live("reset_peer: this side sees a reset, and the peer sees one", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* faulty(Rule.reset({ from: "there", afterBytes: 1000 }))
      yield* peer.write(bytes(3000))
      const failure = yield* Effect.flip(readAll(transport))
      assert.strictEqual(failure._tag, "ConnectionReset")
      assert.strictEqual(failure.bytesRead, 1000)
      assert.strictEqual(`${failure.localAddress} ${failure.remoteAddress}`, "left right")
      assert.strictEqual((yield* Effect.flip(peer.pull))._tag, "ConnectionReset")
    }))))

  it.live("reset_peer, after a time: from the layer's start, also where nothing is sent", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const lost = (...rules: ReadonlyArray<Rule.Rule>) =>
        Effect.gen(function*() {
          const start = yield* millis
          const { peer, transport } = yield* faulty(...rules)
          const pulls = [transport.pull, peer.pull].map((pull) => Effect.map(Effect.flip(pull), ({ _tag }) => _tag))
          const tags = yield* Effect.timeout(Effect.all(pulls, { concurrency: "unbounded" }), "1 minute")
          return [...tags, (yield* millis) - start]
        }).pipe(Effect.scoped, Effect.catchTag("TimeoutException", () => Effect.succeed("not lost")))
      const resets = ["ConnectionReset", "ConnectionReset"] as const
      const after = "3 seconds"
      assert.deepStrictEqual(yield* lost(Rule.delay({ by: "1 second" }), Rule.reset({ after })), [...resets, 3000])
      assert.deepStrictEqual(yield* lost(Rule.reset({ from: "there", after, for: "4 seconds" })), [...resets, 3000])
      assert.deepStrictEqual(yield* lost(Rule.reset({ at: "2 seconds", after, for: "4 seconds" })), [...resets, 5000])
      assert.strictEqual(yield* lost(Rule.reset({ after, for: "2 seconds" })), "not lost")
      assert.strictEqual(yield* lost(Rule.pass({ to: "there" }), Rule.reset({ to: "there", after })), "not lost")
      assert.strictEqual(
        yield* lost(Rule.reset({ after, matching: ({ payload }) => payload.length > 0 })),
        "not lost"
      )
    }))))

  it.live("slicer", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* faulty(Rule.slice({ from: "there", size: 10, gap: "1 millis" }))
      yield* peer.write(bytes(100))
      for (let piece = 0; piece < 10; piece++) assert.strictEqual((yield* transport.pull)?.length, 10)
    }))))

  it.live("limit_data: an orderly end for both", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* faulty(Rule.limit({ from: "here", bytes: 1000 }))
      yield* transport.write(bytes(3000))
      assert.deepStrictEqual(yield* readAll(peer), bytes(1000))
      assert.isNull(yield* transport.pull)
    }))))

  it.live("down", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* faulty(Rule.down({ at: "1 second" }))
      yield* Effect.sleep("1 second")
      yield* transport.write(bytes(1))
      assert.strictEqual((yield* Effect.flip(transport.pull))._tag, "ConnectionReset")
      assert.strictEqual((yield* Effect.flip(peer.pull))._tag, "ConnectionReset")
    }))))
})

describe("FaultLayer", () => {
  it.live("fails as the carrier when that is lost", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const { carrier, peer, transport } = yield* faulty()
      const pull = yield* Effect.fork(Effect.flip(transport.pull))
      yield* peer.abort
      assert.strictEqual(yield* Fiber.join(pull), yield* Effect.flip(carrier.pull))
    }))))

  it.live("gives what the carrier has read before its loss, also where both come at once", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      for (const rules of [[], [Rule.delay({ by: "1 second" })]]) {
        const peer = yield* RecordingTransport.make()
        const transport = yield* FaultLayer.make({ rules })(peer.transport)
        const reading = yield* Effect.fork(Effect.zip(transport.pull, Effect.flip(transport.pull)))
        yield* Effect.sleep(1)
        yield* peer.receive(bytes(10))
        yield* peer.reset
        const [chunk, loss] = yield* Fiber.join(reading)
        assert.deepStrictEqual(chunk, bytes(10))
        assert.strictEqual(loss._tag, "ConnectionReset")
      }
    }))))

  it.live("what is on its way when its Scope ends arrives, or is cut off by a reset", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const closing = (rule: Rule.Rule, closeTimeout?: Duration.DurationInput) =>
        Effect.gen(function*() {
          const [carrier, peer] = yield* MemoryTransport.pair()
          const reading = yield* Effect.fork(Effect.either(readAll(peer)))
          const start = yield* millis
          yield* Effect.scoped(Effect.gen(function*() {
            const transport = yield* FaultLayer.make({ rules: [rule], closeTimeout })(carrier)
            yield* transport.write(bytes(100))
            yield* transport.close
          }))
          const duration = (yield* millis) - start
          yield* carrier.close
          const read = yield* Fiber.join(reading)
          return [read._tag === "Right" ? read.right.length : read.left._tag, duration]
        })
      assert.deepStrictEqual(yield* closing(Rule.delay({ by: "3 seconds" })), [100, 3000])
      assert.deepStrictEqual((yield* closing(Rule.delay({ by: "10 seconds" })))[0], "ConnectionReset")
      assert.deepStrictEqual((yield* closing(Rule.delay({ by: "10 seconds" }), "20 seconds"))[0], 100)
      assert.deepStrictEqual((yield* closing(Rule.stall({ from: "here" })))[0], "ConnectionReset")
    }))))

  it.live("what is on its way arrives also where the end of its Scope is interrupted", () =>
    inTime(Effect.scoped(Effect.gen(function*() {
      const [carrier, peer] = yield* MemoryTransport.pair()
      const running = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
        const transport = yield* FaultLayer.make({ rules: [Rule.delay({ by: "3 seconds" })] })(carrier)
        yield* transport.write(bytes(100))
      })))
      yield* Effect.sleep("1 second")
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(yield* peer.pull, bytes(100))
      assert.strictEqual(yield* millis, 3000)
    }))))

  it.live("without faults it changes nothing, and leaves nothing", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      yield* inTime(Effect.scoped(Effect.gen(function*() {
        const { peer, transport } = yield* faulty()
        const echo = yield* Effect.fork(Effect.zipRight(Stream.run(peer.stream, peer.sink), peer.close))
        yield* Effect.zipRight(transport.write(bytes(100_000)), transport.closeWrite)
        assert.deepStrictEqual(yield* readAll(transport), bytes(100_000))
        yield* Fiber.join(echo)
        yield* transport.close
        assert.strictEqual((yield* transport.closed)._tag, "Clean")
      })))
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.scopedLive("works on real sockets, in real time", () =>
    Effect.gen(function*() {
      const [carrier, peer] = yield* tcpPair({})
      const transport = yield* FaultLayer.make({ rules: [Rule.reset({ from: "there", afterBytes: 5 })] })(carrier)
      yield* transport.write(bytes(3))
      assert.deepStrictEqual(yield* peer.pull, bytes(3))
      yield* peer.write(bytes(10))
      assert.deepStrictEqual(yield* transport.pull, bytes(5))
      assert.strictEqual((yield* Effect.flip(transport.pull))._tag, "ConnectionReset")
      assert.strictEqual((yield* Effect.flip(peer.pull))._tag, "ConnectionReset")
    }))
})
