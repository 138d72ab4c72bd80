import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as WriteStalled from "../../src/policy/WriteStalled.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { rootFibers } from "../support/fibers.ts"

const limited = Effect.gen(function*() {
  const [carrier, peer] = yield* MemoryTransport.pair({ capacity: 100, lingerTimeout: 0 })
  return { peer, transport: yield* WriteStalled.make({ duration: "10 seconds" })(carrier) }
})

describe("WriteStalled", () => {
  it.live("ends a connection whose peer takes nothing, after the duration and at most a quarter more", () =>
    VirtualClock.run(Effect.scoped(Effect.gen(function*() {
      const { transport } = yield* limited
      yield* Effect.sleep("1 minute")
      yield* transport.write(new Uint8Array(1000))
      const failure = yield* Effect.flip(transport.flush)
      assert.strictEqual(failure._tag, "WriteStalled")
      assert.strictEqual(failure.bytesUnsent, 900)
      assert.include(failure.message, "took none of 900 bytes that wait to be sent for 10s")
      const after = (yield* Clock.currentTimeMillis) - 60_000
      assert.isTrue(after >= 10_000 && after <= 12_500, `${after}`)
      const later = yield* Effect.flip(transport.write(new Uint8Array(1)))
      assert.strictEqual(later, failure)
    }))))

  it.live("ends it in that time whenever the bytes are written", () =>
    VirtualClock.run(Effect.forEach([0, 1, 1250, 2499], (millis) =>
      Effect.scoped(Effect.gen(function*() {
        const { transport } = yield* limited
        yield* Effect.sleep(millis)
        const start = yield* Clock.currentTimeMillis
        yield* transport.write(new Uint8Array(1000))
        yield* Effect.flip(transport.flush)
        const after = (yield* Clock.currentTimeMillis) - start
        assert.isTrue(after >= 10_000 && after <= 12_500, `${after}`)
      })))))

  it.live("lets a slow peer be, however slow", () =>
    VirtualClock.run(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* limited
      const sending = yield* Effect.fork(Effect.zipRight(transport.write(new Uint8Array(1000)), transport.flush))
      for (let bytes = 0; bytes < 1000;) {
        yield* Effect.sleep("9 seconds")
        bytes += (yield* peer.pull)!.length
      }
      yield* Fiber.join(sending)
      assert.strictEqual(transport.stats().buffered, 0)
    }))))

  it.live("lets a connection be that has nothing to write", () =>
    VirtualClock.run(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* limited
      yield* Effect.sleep("1 hour")
      yield* transport.write(new Uint8Array(1))
      assert.strictEqual((yield* peer.pull)!.length, 1)
    }))))

  it.live("starts anew with each time that bytes wait", () =>
    VirtualClock.run(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* limited
      for (let round = 0; round < 5; round++) {
        yield* transport.write(new Uint8Array(1000))
        yield* Effect.sleep("9 seconds")
        for (let bytes = 0; bytes < 1000;) bytes += (yield* peer.pull)!.length
        yield* Effect.sleep("9 seconds")
      }
      assert.strictEqual(transport.stats().bytesWritten, 5000)
    }))))

  it.live("leaves nothing, and close has deadlines of its own", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      yield* VirtualClock.run(Effect.scoped(Effect.gen(function*() {
        const { transport } = yield* limited
        yield* transport.write(new Uint8Array(1000))
        yield* Effect.sleep("8 seconds")
        yield* transport.close
        const reason = yield* transport.closed
        assert.strictEqual(reason._tag === "Lost" && reason.error._tag, "CloseTimeout")
      })))
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.scoped("a duration that is none is a RangeError", () =>
    Effect.gen(function*() {
      const [carrier] = yield* MemoryTransport.pair()
      const exit = yield* Effect.exit(WriteStalled.make({ duration: 0 })(carrier))
      assert(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof RangeError)
    }))
})
