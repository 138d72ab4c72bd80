import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Address from "../src/Address.ts"
import * as Listener from "../src/Listener.ts"
import * as MemoryTransport from "../src/memory/MemoryTransport.ts"
import { forked, settle } from "./support/fibers.ts"
import { pausedAt } from "./support/paused.ts"

const address = Address.memory("listener")

const make = (maxPending = 9, stop: Effect.Effect<void> = Effect.void) => Listener.make({ address, maxPending, stop })

/** All that is ready has run. */
const connection = Effect.map(MemoryTransport.pair({ lingerTimeout: 0 }), ([ours, theirs]) => ({ ours, theirs }))

describe("accept", () => {
  it.scoped("gives the connections in their order, also to who waits", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      const [one, two] = [yield* connection, yield* connection]
      const waiting = yield* forked(listener.accept)
      offer(one.ours)
      offer(two.ours)
      assert.strictEqual(yield* Fiber.join(waiting), one.ours)
      assert.strictEqual(yield* listener.accept, two.ours)
    }))

  it.scoped("any number of fibers may accept, and each connection is one's", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      const fibers = yield* Effect.all(Array.from({ length: 3 }, () => Effect.fork(listener.accept)))
      yield* settle
      const all = yield* Effect.all(Array.from({ length: 3 }, () => connection))
      for (const { ours } of all) offer(ours)
      const accepted = yield* Fiber.join(Fiber.all(fibers))
      assert.deepStrictEqual(new Set(accepted), new Set(all.map(({ ours }) => ours)))
    }))

  it.scoped("interrupted, it takes none", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      const { ours } = yield* connection
      const waiting = yield* forked(listener.accept)
      // In the same tick: the connection, and the interruption.
      offer(ours)
      yield* Fiber.interrupt(waiting)
      assert.strictEqual(listener.stats().pending, 1)
      assert.strictEqual(yield* listener.accept, ours)
    }))

  for (const succeeds of [true, false]) {
    it.scoped(`the connection ends with the Scope: ${succeeds ? "closed" : "aborted"}`, () =>
      Effect.gen(function*() {
        const { listener, offer } = make()
        const { ours, theirs } = yield* connection
        offer(ours)
        const scope = yield* Scope.make()
        yield* Scope.extend(listener.accept, scope)
        yield* Effect.fork(Effect.zipRight(Effect.ignore(theirs.pull), theirs.close))
        yield* Scope.close(scope, succeeds ? Exit.void : Exit.fail("no"))
        assert.strictEqual((yield* ours.closed)._tag, succeeds ? "Clean" : "Lost")
      }))
  }

  it.scoped("fails with ListenerClosed once it is closed, also when it waited", () =>
    Effect.gen(function*() {
      const { listener } = make()
      const waiting = yield* forked(Effect.flip(listener.accept))
      const ready = yield* forked(Effect.flip(listener.ready))
      yield* listener.close
      for (const error of [yield* Fiber.join(waiting), yield* Fiber.join(ready), yield* Effect.flip(listener.accept)]) {
        assert.strictEqual(error._tag, "ListenerClosed")
        assert.strictEqual(error.message, "The listener on listener is closed.")
      }
    }))

  it.live("does not miss a connection, nor the close, between two of its steps", () =>
    Effect.gen(function*() {
      for (const closes of [true, false]) {
        for (let step = 0; step < 30; step++) {
          const { listener, offer } = make()
          const { ours } = yield* connection
          const waiting = pausedAt(Effect.exit(listener.ready), step)
          if (closes) yield* listener.close
          else offer(ours)
          for (let turn = 0; turn < 3; turn++) {
            waiting.goOn()
            yield* settle
          }
          const exit = waiting.fiber.unsafePoll()
          if (exit === null) return assert.fail(`waits for ever when it yields before step ${step}`)
          assert.strictEqual(Exit.isSuccess(exit) && Exit.isFailure(exit.value), closes)
        }
      }
    }).pipe(Effect.scoped))
})

describe("ready and unsafePoll", () => {
  it.scoped("ready takes none, unsafePoll does", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      assert.isUndefined(listener.unsafePoll())
      const waiting = yield* forked(listener.ready)
      const { ours } = yield* connection
      offer(ours)
      yield* Fiber.join(waiting)
      yield* listener.ready
      assert.strictEqual(listener.unsafePoll(), ours)
      assert.isUndefined(listener.unsafePoll())
    }))

  it.scoped("unsafeAwait calls once, at once if one waits; withdrawn, never; and there is none after the close", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      let calls = 0
      const call = () => void calls++
      listener.unsafeAwait(call)!()
      listener.unsafeAwait(call)
      offer((yield* connection).ours)
      offer((yield* connection).ours)
      assert.strictEqual(calls, 1)
      listener.unsafeAwait(call)
      assert.strictEqual(calls, 2)
      while (listener.unsafePoll() !== undefined);
      listener.unsafeAwait(call)
      yield* listener.close
      assert.strictEqual(calls, 3)
      assert.isUndefined(listener.unsafeAwait(call))
      assert.strictEqual(calls, 3)
    }))

  it.scoped("ready completes, and does not fail, while a connection waits", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      const { ours } = yield* connection
      offer(ours)
      yield* listener.ready
      assert.strictEqual(listener.stats().pending, 1)
    }))
})

describe("connections", () => {
  it.scoped("are all, until it is closed", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      const running = yield* forked(Stream.runCollect(Stream.take(listener.connections, 2)))
      const [one, two] = [yield* connection, yield* connection]
      offer(one.ours)
      offer(two.ours)
      assert.deepStrictEqual(Chunk.toArray(yield* Fiber.join(running)), [one.ours, two.ours])
      const rest = yield* forked(Stream.runCount(listener.connections))
      yield* listener.close
      assert.strictEqual(yield* Fiber.join(rest), 0)
    }))
})

describe("refusal", () => {
  it.scoped("a connection that finds no place is closed gracefully, and counted", () =>
    Effect.gen(function*() {
      const { listener, offer } = make(1)
      const [one, two] = [yield* connection, yield* connection]
      offer(one.ours)
      offer(two.ours)
      assert.isNull(yield* two.theirs.pull)
      assert.deepStrictEqual(listener.stats(), { connected: 2, refused: 1, pending: 1 })
      assert.strictEqual(listener.unsafePoll(), one.ours)
    }))

  it.scoped("one that comes after the close as well", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      yield* listener.close
      const { ours, theirs } = yield* connection
      offer(ours)
      assert.isNull(yield* theirs.pull)
      assert.deepStrictEqual(listener.stats(), { connected: 1, refused: 1, pending: 0 })
    }))
})

describe("close", () => {
  it.scoped("stops once, closes what waits to be accepted, and does not touch what was", () =>
    Effect.gen(function*() {
      let stopped = 0
      const { listener, offer } = make(9, Effect.sync(() => void stopped++))
      const [one, two] = [yield* connection, yield* connection]
      offer(one.ours)
      offer(two.ours)
      const accepted = yield* listener.accept
      yield* Effect.fork(Effect.zipRight(two.theirs.pull, two.theirs.closeWrite))
      const closed = yield* forked(listener.closed)
      yield* listener.close
      yield* listener.close
      yield* Fiber.join(closed)
      yield* listener.closed
      assert.strictEqual(stopped, 1)
      assert.strictEqual((yield* two.ours.closed)._tag, "Clean")
      yield* accepted.write(new Uint8Array(1))
      assert.strictEqual((yield* one.theirs.pull)?.length, 1)
      assert.strictEqual(listener.address, address)
    }))

  it.scoped("a second close waits for the first one: the address is free when it completes", () =>
    Effect.gen(function*() {
      const stopping = yield* Deferred.make<void>()
      const { listener } = make(9, Deferred.await(stopping))
      const first = yield* forked(listener.close)
      const second = yield* forked(listener.close)
      yield* listener.closed
      assert.isNull(first.unsafePoll())
      assert.isNull(second.unsafePoll())
      yield* Deferred.succeed(stopping, undefined)
      yield* Fiber.join(first)
      yield* Fiber.join(second)
    }))

  it.scoped("waits for those that were turned away, whenever that was, and counts them", () =>
    Effect.gen(function*() {
      const { listener, offer } = make(1)
      const all = yield* Effect.all(
        Array.from({ length: 2 }, () => MemoryTransport.pair({ lingerTimeout: "1 hour", closeTimeout: "1 hour" }))
      )
      for (const [ours] of all) offer(ours)
      const closing = yield* forked(listener.close)
      for (const [, theirs] of all) {
        assert.isNull(closing.unsafePoll())
        yield* theirs.close
      }
      yield* Fiber.join(closing)
      assert.deepStrictEqual(listener.stats(), { connected: 2, refused: 2, pending: 0 })
    }))

  it.scoped("interrupted, it aborts them", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      const [ours] = yield* MemoryTransport.pair({ lingerTimeout: "1 hour", closeTimeout: "1 hour" })
      offer(ours)
      const closing = yield* forked(listener.close)
      const waiting = yield* forked(listener.close)
      yield* Fiber.interrupt(closing)
      assert.strictEqual((yield* ours.closed)._tag, "Lost")
      yield* Fiber.join(waiting)
    }))

  it.scoped("interrupted while it waits for the first one, leaves that as it is", () =>
    Effect.gen(function*() {
      const { listener, offer } = make()
      const [ours, theirs] = yield* MemoryTransport.pair({ lingerTimeout: "1 hour", closeTimeout: "1 hour" })
      offer(ours)
      const closing = yield* forked(listener.close)
      const waiting = yield* forked(listener.close)
      yield* Fiber.interrupt(waiting)
      assert.isNull(closing.unsafePoll())
      yield* theirs.close
      yield* Fiber.join(closing)
      assert.strictEqual((yield* ours.closed)._tag, "Clean")
    }))

  it.scoped("an interruption does not take it back", () =>
    Effect.gen(function*() {
      const stopping = yield* Deferred.make<void>()
      let stopped = false
      const { listener } = make(9, Effect.zipRight(Deferred.await(stopping), Effect.sync(() => void (stopped = true))))
      const closing = yield* forked(listener.close)
      const interrupting = yield* forked(Fiber.interrupt(closing))
      yield* Deferred.succeed(stopping, undefined)
      yield* Fiber.join(interrupting)
      assert.isTrue(stopped)
    }))
})

it.effect("isListener", () =>
  Effect.sync(() => {
    assert.isTrue(Listener.isListener(make().listener))
    for (const other of [undefined, null, {}, make()]) assert.isFalse(Listener.isListener(other))
  }))
