import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { advance, catchAll, Immediate } from "../../src/internal/immediate.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import type { Transport } from "../../src/Transport.ts"
import { bytes } from "../support/bytes.ts"

/** Counts its first steps, and goes on with `rest`. */
class Step<E = never> extends Immediate<void, E> {
  steps = 0
  private readonly rest: () => Effect.Effect<void, E>

  constructor(rest: () => Effect.Effect<void, E>) {
    super()
    this.rest = rest
  }

  commit() {
    this.steps++
    return this.rest()
  }
}

/** A carrier that holds nothing: what is written stays in the write buffer until it is pulled. */
const full = Effect.tap(
  MemoryTransport.pair({ capacity: 0, readBufferSize: 0, highWaterMark: 4, lowWaterMark: 0 }),
  ([left]) => Effect.addFinalizer(() => left.abort)
)

/** Everything up to the end. */
const drain = (transport: Transport) =>
  Effect.gen(function*() {
    const received: Array<number> = []
    for (let chunk = yield* transport.pull; chunk !== null; chunk = yield* transport.pull) received.push(...chunk)
    return received
  })

const isFailed = (effect: Effect.Effect<unknown, unknown>) => Exit.isExit(effect) && Exit.isFailure(effect)

describe("an immediate effect", () => {
  it.effect("is an Effect like any other: made once, it takes its step each time it is run", () =>
    Effect.gen(function*() {
      const step = new Step(() => Effect.yieldNow())
      assert.strictEqual(step.steps, 0)
      assert.isTrue(Effect.isEffect(step))
      yield* step
      yield* Effect.zipRight(step, step)
      yield* step.pipe(Effect.repeatN(1))
      assert.strictEqual(step.steps, 5)
    }))

  it.effect("fails, and dies, as its first step does, and as what is left", () =>
    Effect.gen(function*() {
      const thrown = new Error("thrown on purpose")
      assert.deepStrictEqual(yield* Effect.exit(new Step(() => Exit.fail("no"))), Exit.fail("no"))
      const late = new Step(() => Effect.zipRight(Effect.yieldNow(), Effect.fail("no")))
      assert.deepStrictEqual(yield* Effect.exit(late), Exit.fail("no"))
      const throwing = new Step(() => {
        throw thrown
      })
      assert.deepStrictEqual(yield* Effect.exit(throwing), Exit.die(thrown))
    }))
})

describe("advance", () => {
  it("takes the first step, and gives what is left", () => {
    const rest = Effect.yieldNow()
    const step = new Step(() => rest)
    assert.strictEqual(advance(step), rest)
    assert.strictEqual(step.steps, 1)
    assert.strictEqual(advance(new Step(() => Exit.void)), Exit.void)
  })

  it("leaves every other effect as it is", () => {
    let runs = 0
    const effect = Effect.sync(() => void runs++)
    assert.strictEqual(advance(effect), effect)
    assert.strictEqual(runs, 0)
  })

  it.effect("of what is left, and nothing of it before it is run", () =>
    Effect.gen(function*() {
      let later = 0
      const step = new Step(() => Effect.sync(() => void later++))
      const rest = advance(step)
      assert.strictEqual(later, 0)
      yield* rest
      assert.deepStrictEqual([step.steps, later], [1, 1])
    }))
})

describe("catchAll", () => {
  const handled: Array<unknown> = []
  const handle = (error: unknown) => {
    handled.push(error)
    return Effect.fail(`handled ${String(error)}`)
  }

  it.effect("is lazy, and immediate if its effect is", () =>
    Effect.gen(function*() {
      const step = new Step(() => Exit.void)
      const caught = catchAll(step, handle)
      assert.isTrue(caught instanceof Immediate)
      assert.strictEqual(step.steps, 0)
      assert.strictEqual(advance(caught), Exit.void)
      assert.strictEqual(step.steps, 1)
      yield* caught
      yield* caught
      assert.strictEqual(step.steps, 3)
      assert.deepStrictEqual(handled.splice(0), [])
    }))

  it.effect("handles the failure of the first step, and of what is left", () =>
    Effect.gen(function*() {
      const failing = [
        new Step(() => Exit.fail("at once")),
        new Step(() => Effect.zipRight(Effect.yieldNow(), Effect.fail("at once")))
      ]
      for (const step of failing) {
        assert.strictEqual(yield* Effect.flip(catchAll(step, handle)), "handled at once")
        assert.strictEqual(yield* Effect.flip(advance(catchAll(step, handle))), "handled at once")
        assert.strictEqual(step.steps, 2)
      }
      assert.deepStrictEqual(handled.splice(0), ["at once", "at once", "at once", "at once"])
    }))

  it.effect("handles the failure of an effect that is not immediate", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.flip(catchAll(Effect.fail("plain"), handle)), "handled plain")
      assert.deepStrictEqual(handled.splice(0), ["plain"])
      yield* catchAll(Effect.yieldNow(), handle)
      assert.deepStrictEqual(handled, [])
    }))

  it.effect("lets defects and interruptions through", () =>
    Effect.gen(function*() {
      const defect = new Error("thrown on purpose")
      const throwing = new Step(() => {
        throw defect
      })
      for (const effect of [throwing, new Step(() => Effect.die(defect)), Effect.die(defect)]) {
        assert.deepStrictEqual(yield* Effect.exit(catchAll(effect, handle)), Exit.die(defect))
      }
      const exit = yield* Effect.exit(catchAll(new Step(() => Effect.interrupt), handle))
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      assert.deepStrictEqual(handled, [])
    }))

  it.effect("recovers, if that is what its function does", () =>
    Effect.gen(function*() {
      yield* catchAll(new Step(() => Exit.fail("no")), () => Effect.void)
      const nested = catchAll(catchAll(new Step(() => Exit.fail(1)), (error) => Effect.fail(error + 1)), (error) =>
        Effect.fail(error + 1))
      assert.strictEqual(yield* Effect.flip(nested), 3)
    }))
})

describe("a write", () => {
  it.scoped("does nothing when it is made, and writes each time it is run", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const [write, writeAll] = [left.write(bytes(1, 1)), left.writeAll([bytes(1, 2), bytes(1, 3)])]
      yield* Effect.yieldNow()
      assert.strictEqual(left.stats().buffered, 0)
      for (const effect of [write, writeAll, write, writeAll]) yield* effect
      yield* left.closeWrite
      assert.deepStrictEqual(yield* drain(right), [1, 2, 3, 1, 2, 3])
    }))

  it.scoped("into a buffer with room is over with its first step", () =>
    Effect.gen(function*() {
      const [left] = yield* full
      assert.strictEqual(advance(left.write(bytes(1))), Exit.void)
      assert.strictEqual(advance(left.writeAll([bytes(1), bytes(2)])), Exit.void)
      assert.strictEqual(advance(left.write(bytes(0))), Exit.void)
      assert.strictEqual(left.stats().buffered, 4)
    }))

  it.scoped("that finds no room waits for it, only when what is left is run", () =>
    Effect.gen(function*() {
      for (const write of ["write", "writeAll"] as const) {
        const [left, right] = yield* full
        yield* left.write(bytes(4))
        const rest = advance(write === "write" ? left.write(bytes(1, 7)) : left.writeAll([bytes(1, 7)]))
        assert.notStrictEqual(rest, Exit.void)
        assert.strictEqual(left.stats().writersWaiting, 0)
        const waiting = yield* Effect.fork(rest)
        yield* Effect.yieldNow()
        assert.strictEqual(left.stats().writersWaiting, 1)
        yield* right.pull
        yield* waiting.await
        assert.strictEqual(left.stats().buffered, 1)
      }
    }))

  it.scoped("after the end, or a loss, fails with its first step", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* left.closeWrite
      assert.isTrue(isFailed(advance(left.write(bytes(1)))))
      yield* left.abort
      assert.isTrue(isFailed(advance(left.write(bytes(1)))))
      yield* Effect.yieldNow()
      assert.isTrue(isFailed(advance(right.writeAll([bytes(1)]))))
    }))

  it.scoped("keeps what a writeAll was given, whatever becomes of the array while it waits", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* left.write(bytes(4))
      const chunks = [bytes(1, 1), bytes(1, 2)]
      const waiting = yield* Effect.fork(left.writeAll(chunks))
      yield* Effect.yieldNow()
      chunks.splice(0)
      assert.strictEqual((yield* right.pull)!.length, 4)
      yield* waiting.await
      yield* Effect.fork(left.closeWrite)
      assert.deepStrictEqual(yield* drain(right), [1, 2])
    }))

  it.scoped("that is run in a context needs none of it", () =>
    Effect.gen(function*() {
      const Name = Context.GenericTag<"Name", string>("Name")
      const [left] = yield* full
      yield* Effect.zipRight(Name, left.write(bytes(1))).pipe(Effect.provideService(Name, "Ada"))
      assert.strictEqual(left.stats().buffered, 1)
    }))
})
