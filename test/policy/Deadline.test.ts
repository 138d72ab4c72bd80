import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Deadline from "../../src/policy/Deadline.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { rootFibers } from "../support/fibers.ts"

const limited = Effect.gen(function*() {
  const [carrier, peer] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
  return { peer, transport: yield* Deadline.make({ duration: "1 minute" })(carrier) }
})

describe("Deadline", () => {
  it.live("ends the connection in time, whatever moves", () =>
    VirtualClock.run(Effect.scoped(Effect.gen(function*() {
      const { peer, transport } = yield* limited
      yield* Effect.fork(Effect.forever(Effect.zipRight(Effect.sleep("1 second"), peer.write(new Uint8Array(1)))))
      const failure = yield* Effect.flip(Effect.forever(transport.pull))
      assert.strictEqual(failure._tag, "DeadlineExceeded")
      assert.strictEqual(yield* Clock.currentTimeMillis, 60_000)
      assert.include(failure.message, "not over within 1m, after 59 bytes read")
      const reason = yield* transport.closed
      assert.isTrue(reason._tag === "Lost" && reason.error === failure)
    }))))

  it.live("is over with a close, which has deadlines of its own", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      yield* VirtualClock.run(Effect.scoped(Effect.gen(function*() {
        const { transport } = yield* limited
        yield* Effect.sleep("59 seconds")
        yield* transport.close
        yield* Effect.sleep("1 minute")
        assert.strictEqual((yield* transport.closed)._tag, "Clean")
      })))
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.scoped("a duration that is none is a RangeError", () =>
    Effect.gen(function*() {
      const [carrier] = yield* MemoryTransport.pair()
      const exit = yield* Effect.exit(Deadline.make({ duration: -1 })(carrier))
      assert(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof RangeError)
    }))
})
