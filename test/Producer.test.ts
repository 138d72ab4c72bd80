import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as path from "node:path"
import { Readable } from "node:stream"
import type { ConnectionLost } from "../src/ConnectionError.ts"
import { WriteAfterEnd } from "../src/ConnectionError.ts"
import * as MemoryTransport from "../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../src/NetworkLayer.ts"
import * as Producer from "../src/Producer.ts"
import { sweep } from "../src/testing/InterruptSweep.ts"
import * as Transport from "../src/Transport.ts"
import { ascii, bytes, counting, joined, text } from "./support/bytes.ts"
import { failed, rootFibers, settle } from "./support/fibers.ts"
import { tcpPair } from "./support/pairs.ts"
import * as Peer from "./support/peer.ts"

/** Nothing leaves the write buffer but what is pulled: it has just what was written. */
const lockstep: MemoryTransport.PairOptions = { capacity: 0, readBufferSize: 0, highWaterMark: 4, lowWaterMark: 1 }

/** A push producer that notes what it is told, and whether it would write now. */
const pusher = (log: Array<string>) => {
  const state = { pushing: true }
  const told = (what: string, pushing: boolean) =>
    Effect.sync(() => {
      log.push(what)
      state.pushing = pushing
    })
  const producer = Producer.push({
    pause: told("pause", false),
    resume: told("resume", true),
    stop: told("stop", false)
  })
  return { state, producer }
}

/** A pull producer of these chunks, that notes when it is asked and stopped. */
const puller = (log: Array<string>, chunks: ReadonlyArray<Uint8Array>) => {
  const rest = [...chunks]
  return Producer.pull({
    pull: Effect.sync(() => {
      log.push("pull")
      return rest.shift() ?? null
    }),
    stop: Effect.sync(() => log.push("stop"))
  })
}

/** A source that never ends by itself, of either kind. */
const endless = (log: Array<string>) => ({
  push: pusher(log).producer,
  pull: Producer.pull({ pull: Effect.never, stop: Effect.sync(() => log.push("stop")) })
})

/** A consumer that does not wait for sources that go on when the Scope of the test ends. */
const impatient = <E>(transport: Transport.Transport<E>) => Producer.consumer(transport, { drainTimeout: 0 })

const kinds = ["push", "pull"] as const

const isDone = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafePoll() !== null

describe("a push producer", () => {
  it.scoped("is paused strictly over the high-water mark, and told once", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left] = yield* MemoryTransport.pair(lockstep)
      const consumer = impatient(left)
      yield* consumer.register(pusher(log).producer)
      yield* consumer.write(bytes(3))
      yield* consumer.write(bytes(1))
      yield* settle
      assert.deepStrictEqual(log, [])
      const writing = yield* Effect.fork(consumer.write(bytes(1)))
      yield* settle
      assert.deepStrictEqual(log, ["pause"])
      assert.isFalse(isDone(writing))
      yield* Effect.fork(consumer.write(bytes(1)))
      yield* settle
      assert.deepStrictEqual(log, ["pause"])
    }))

  it.scoped("is paused by a write that is accepted whole, before that write is done", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left] = yield* MemoryTransport.pair(lockstep)
      const consumer = impatient(left)
      yield* consumer.register(pusher(log).producer)
      yield* consumer.write(bytes(5))
      assert.deepStrictEqual(log, ["pause"])
    }))

  it.scoped("is resumed, once, when the buffer has drained to the low-water mark", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair({ ...lockstep, maxChunkSize: 1 })
      const consumer = impatient(left)
      yield* consumer.register(pusher(log).producer)
      yield* consumer.write(bytes(6))
      for (const expected of [5, 4, 3, 2]) {
        yield* right.pull
        yield* settle
        assert.strictEqual(left.stats().buffered, expected)
        assert.deepStrictEqual(log, ["pause"])
      }
      yield* right.pull
      yield* settle
      assert.deepStrictEqual(log, ["pause", "resume"])
      yield* right.pull
      yield* settle
      assert.deepStrictEqual(log, ["pause", "resume"])
    }))

  it.scoped("goes through ten thousand cycles of a tiny buffer that fills and drains", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair({ ...lockstep, highWaterMark: 2, lowWaterMark: 0 })
      const consumer = impatient(left)
      const { producer, state } = pusher(log)
      yield* consumer.register(producer)
      const cycles = 10_000
      let written = 0
      let read = 0
      const readOne = Effect.map(right.pull, (chunk) => {
        for (const byte of chunk!) assert.strictEqual(byte, read++ & 0xff)
      })
      const reading = yield* Effect.fork(Effect.forever(readOne))
      while (log.length < 2 * cycles) {
        if (state.pushing) yield* consumer.write(counting(1, written++))
        else yield* Effect.yieldNow()
        assert.isAtMost(left.stats().buffered, 3)
      }
      yield* left.flush
      yield* Fiber.interrupt(reading)
      assert.strictEqual(log.length, 2 * cycles)
      assert.isTrue(log.every((what, index) => what === (index % 2 === 0 ? "pause" : "resume")))
      assert.isAtLeast(written, cycles)
    }), 60_000)

  it.scopedLive(
    "loses and reorders nothing, and overshoots by one chunk at most, whatever the sizes and marks",
    () =>
      Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(
            FastCheck.array(FastCheck.integer({ min: 1, max: 9 }), { maxLength: 30 }),
            FastCheck.integer({ min: 1, max: 12 }),
            FastCheck.nat({ max: 11 }),
            FastCheck.integer({ min: 1, max: 9 }),
            (sizes, highWaterMark, low, maxChunkSize) =>
              Effect.runPromise(Effect.scoped(Effect.gen(function*() {
                const log: Array<string> = []
                const lowWaterMark = low % highWaterMark
                const [left, right] = yield* MemoryTransport.pair({
                  ...lockstep,
                  highWaterMark,
                  lowWaterMark,
                  maxChunkSize
                })
                const consumer = impatient(left)
                const { producer, state } = pusher(log)
                const registration = yield* consumer.register(producer)
                const total = sizes.reduce((sum, size) => sum + size, 0)
                const reading = yield* Effect.fork(Transport.readExactly(right, total))
                let sent = 0
                for (const size of sizes) {
                  yield* Effect.iterate(0, { while: () => !state.pushing, body: () => settle as Effect.Effect<any> })
                  const { buffered } = left.stats()
                  yield* consumer.write(counting(size, sent))
                  assert.strictEqual(buffered + size > highWaterMark, log.length > 0 && !state.pushing)
                  assert.isAtMost(left.stats().buffered, highWaterMark + size)
                  sent += size
                }
                assert.deepStrictEqual(yield* Fiber.join(reading), counting(total))
                yield* registration.unregister
                const pauses = log.filter((what) => what === "pause").length
                const resumes = log.filter((what) => what === "resume").length
                assert.isTrue(pauses === resumes || pauses === resumes + 1)
                assert.isFalse(log.includes("stop"))
              })))
          ),
          { numRuns: 60 }
        )
      ),
    60_000
  )

  it.scoped("may write when it is resumed until it is paused again", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = impatient(left)
      let pushing = true
      let pauses = 0
      let written = 0
      const produce = Effect.suspend(() => {
        pushing = true
        return Effect.orDie(Effect.whileLoop({
          while: () => pushing && written < 1000,
          body: () => Effect.suspend(() => consumer.write(counting(1, written++))),
          step: () => {}
        }))
      })
      const pause = Effect.sync(() => {
        pushing = false
        pauses++
      })
      yield* consumer.register(Producer.push({ pause, resume: produce, stop: Effect.void }))
      yield* Effect.fork(produce)
      assert.deepStrictEqual(yield* Transport.readExactly(right, 1000), counting(1000))
      // Five take the buffer over its mark of four.
      assert.isAtLeast(pauses, 1000 / 5)
    }))

  describe("whose pause takes its time", () => {
    const pausing = Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = Producer.consumer(left)
      const paused = yield* Effect.makeLatch()
      const producer = Producer.push({ pause: paused.await, resume: Effect.void, stop: Effect.void })
      const { unregister } = yield* consumer.register(producer)
      yield* consumer.write(ascii("abcd"))
      const writing = yield* Effect.fork(consumer.write(ascii("e")))
      yield* settle
      return { consumer, paused, right, unregister, writing }
    })

    it.scoped("is not cut off when it unregisters meanwhile", () =>
      Effect.gen(function*() {
        const { consumer, paused, right, unregister, writing } = yield* pausing
        yield* unregister
        yield* Effect.fork(consumer.close)
        yield* settle
        yield* paused.open
        assert.strictEqual(text(yield* Stream.runCollect(right.stream)), "abcde")
        yield* Fiber.join(writing)
      }))

    it.scoped("is not overtaken by another write", () =>
      Effect.gen(function*() {
        const { consumer, paused, right, unregister } = yield* pausing
        yield* Effect.fork(consumer.write(ascii("f")))
        yield* settle
        yield* paused.open
        yield* unregister
        assert.strictEqual(text(yield* Transport.readExactly(right, 6)), "abcdef")
      }))

    it.scoped("takes a write back that is interrupted meanwhile", () =>
      Effect.gen(function*() {
        const { consumer, paused, right, unregister, writing } = yield* pausing
        yield* Fiber.interruptFork(writing)
        yield* settle
        yield* paused.open
        yield* Fiber.await(writing)
        yield* unregister
        yield* Effect.fork(consumer.write(ascii("f")))
        assert.strictEqual(text(yield* Transport.readExactly(right, 5)), "abcdf")
      }))
  })

  it.scoped("whose write is interrupted while it is paused is resumed all the same", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = impatient(left)
      yield* consumer.register(pusher(log).producer)
      yield* consumer.write(bytes(4))
      const writing = yield* Effect.fork(consumer.write(bytes(1)))
      yield* settle
      yield* Fiber.interrupt(writing)
      assert.deepStrictEqual(yield* Transport.readExactly(right, 4), bytes(4))
      yield* settle
      assert.deepStrictEqual(log, ["pause", "resume"])
      assert.strictEqual(left.stats().buffered, 0)
    }))

  it.scoped("whose pause dies is resumed all the same: it is the write that dies", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = impatient(left)
      yield* consumer.register({ ...pusher(log).producer, pause: Effect.die("broken") })
      assert.deepStrictEqual(yield* Effect.exit(consumer.write(bytes(5))), Exit.die("broken"))
      assert.deepStrictEqual(yield* Transport.readExactly(right, 5), bytes(5))
      yield* settle
      assert.deepStrictEqual(log, ["resume"])
    }))

  it.scoped("is told nothing after it has unregistered", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = impatient(left)
      const registration = yield* consumer.register(pusher(log).producer)
      yield* consumer.write(bytes(5))
      yield* registration.unregister
      yield* registration.unregister
      yield* registration.ended
      yield* Transport.readExactly(right, 5)
      yield* consumer.write(bytes(5))
      yield* left.abort
      yield* settle
      assert.deepStrictEqual(log, ["pause"])
    }))

  it.scoped("is not paused while it is being stopped", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left] = yield* MemoryTransport.pair(lockstep)
      const consumer = impatient(left)
      const stopping = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const slow = { ...pusher(log).producer, stop: Deferred.await(stopping) }
      yield* Scope.extend(consumer.register(slow), scope)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.fail("no")))
      yield* settle
      yield* consumer.write(bytes(5))
      assert.isFalse(isDone(closing))
      assert.deepStrictEqual(log, [])
      yield* Deferred.succeed(stopping, undefined)
      yield* Fiber.join(closing)
    }))

  it.scoped("that unregisters while writes wait has ended when they are accepted; the next one is let in at once", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = Producer.consumer(left)
      const registration = yield* consumer.register(pusher(log).producer)
      yield* consumer.write(counting(4))
      yield* Effect.fork(consumer.write(counting(1, 4)))
      yield* Effect.fork(consumer.write(counting(1, 5)))
      yield* settle
      yield* registration.unregister
      const ended = yield* Effect.fork(registration.ended)
      yield* consumer.register(puller([], []))
      yield* settle
      assert.isFalse(isDone(ended))
      assert.deepStrictEqual(yield* Transport.readExactly(right, 6), counting(6))
      yield* Fiber.join(ended)
      assert.deepStrictEqual(log, ["pause"])
    }))

  it.scoped("that unregisters while writes wait ends with the loss, if that comes before they are accepted", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = Producer.consumer(left)
      const registration = yield* consumer.register(pusher(log).producer)
      yield* consumer.write(bytes(4))
      const waiting = yield* Effect.fork(Effect.flip(consumer.write(bytes(1))))
      yield* settle
      yield* registration.unregister
      yield* right.abort
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "ConnectionReset")
      assert.strictEqual((yield* Effect.flip(registration.ended))._tag, "ConnectionReset")
      assert.deepStrictEqual(log, ["pause"])
    }))

  it.scoped("that dies when it is resumed takes the connection with it, and is not stopped", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = impatient(left)
      const registration = yield* consumer.register({
        ...pusher(log).producer,
        resume: Effect.zipRight(Effect.sync(() => log.push("resume")), Effect.die("broken"))
      })
      yield* consumer.write(bytes(5))
      yield* right.pull
      assert.deepStrictEqual(yield* Effect.exit(registration.ended), Exit.die("broken"))
      assert.strictEqual((yield* Effect.flip(Peer.readAll(right)))._tag, "ConnectionReset")
      assert.deepStrictEqual(log, ["pause", "resume"])
    }))

  it.scoped("has what it needs wherever it is told", () =>
    Effect.gen(function*() {
      class Log extends Context.Tag("Log")<Log, Array<string>>() {}
      const tell = (what: string) => Effect.map(Log, (log) => log.push(what))
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = impatient(left)
      const log: Array<string> = []
      yield* consumer.register(
        Producer.push({ pause: tell("pause"), resume: tell("resume"), stop: tell("stop") })
      ).pipe(Effect.provideService(Log, log))
      yield* consumer.write(bytes(5))
      yield* Transport.readExactly(right, 5)
      yield* settle
      yield* right.abort
      yield* settle
      assert.deepStrictEqual(log, ["pause", "resume", "stop"])
    }))
})

describe("a pull producer", () => {
  it.scoped("is asked at once, and then once each time that all it gave is taken", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair({ ...lockstep, maxChunkSize: 2 })
      const consumer = Producer.consumer(left)
      const registration = yield* consumer.register(puller(log, [bytes(3), bytes(2), bytes(1)]))
      yield* settle
      assert.strictEqual(log.length, 1)
      yield* right.pull
      yield* settle
      assert.strictEqual(log.length, 1)
      yield* right.pull
      yield* settle
      assert.strictEqual(log.length, 2)
      yield* right.pull
      yield* settle
      assert.strictEqual(log.length, 3)
      yield* right.pull
      yield* registration.ended
      assert.deepStrictEqual(log, ["pull", "pull", "pull", "pull"])
    }))

  it.scoped("is never paused, however much it gives", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = Producer.consumer(left)
      yield* consumer.register(puller(log, [counting(100), counting(100, 100)]))
      assert.deepStrictEqual(yield* Transport.readExactly(right, 200), counting(200))
      yield* settle
      assert.deepStrictEqual(log, ["pull", "pull", "pull"])
    }))

  it.scoped("that gives nothing is asked again", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      yield* Producer.consumer(left).register(puller(log, [bytes(0), bytes(1)]))
      assert.deepStrictEqual(yield* right.pull, bytes(1))
    }))

  for (const when of ["before", "after"] as const) {
    it.scopedLive(`C11: an abort in its second pull, ${when} any byte, stops it once`, () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const [left, right] = yield* Effect.orDie(tcpPair({}))
        const consumer = Producer.consumer(left)
        let pulls = 0
        const pull = Effect.gen(function*() {
          log.push("pull")
          if (++pulls === 1) return ascii("1")
          if (when === "after") yield* left.write(ascii("2"))
          yield* left.abort
          return ascii("3")
        })
        const registration = yield* consumer.register(
          Producer.pull({ pull, stop: Effect.sync(() => log.push("stop")) })
        )
        const reason = yield* Effect.flip(registration.ended)
        assert.strictEqual(reason._tag, "ConnectionAborted")
        assert.deepStrictEqual(log, ["pull", "pull", "stop"])
        yield* Effect.flip(Peer.readAll(right))
        assert.isAtMost(right.stats().bytesRead, 2)
      }))
  }

  for (const [how, failure] of [["fails", Effect.fail("broken")], ["dies", Effect.die("broken")]] as const) {
    it.scoped(`C14: that ${how} takes the connection with it, by a reset, and is not stopped`, () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const [left, right] = yield* MemoryTransport.pair()
        const consumer = Producer.consumer(left)
        let pulls = 0
        const registration = yield* consumer.register(Producer.pull({
          pull: Effect.suspend((): Effect.Effect<Uint8Array, string> =>
            ++pulls === 1 ? Effect.succeed(ascii("half")) : failure
          ),
          stop: Effect.sync(() => log.push("stop"))
        }))
        const exit: Exit.Exit<void, string | ConnectionLost | WriteAfterEnd> = yield* Effect.exit(registration.ended)
        const cause = Exit.isFailure(exit) ? exit.cause : Cause.empty
        assert.deepStrictEqual(cause, how === "fails" ? Cause.fail("broken") : Cause.die("broken"))
        assert.strictEqual((yield* Effect.flip(Peer.readAll(right)))._tag, "ConnectionReset")
        yield* settle
        assert.deepStrictEqual(log, [])
      }))
  }

  it.scoped("that fails is not stopped, and ends by its failure, also where the abort takes its time", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left] = yield* MemoryTransport.pair()
      const slow = NetworkLayer.derive(left, { abort: Effect.zipRight(left.abort, settle) })
      const broken = Producer.pull({ pull: Effect.fail("broken"), stop: Effect.sync(() => log.push("stop")) })
      const registration = yield* Producer.consumer(slow).register(broken)
      assert.strictEqual(failed(yield* Effect.exit(registration.ended)), "broken")
      yield* settle
      assert.deepStrictEqual(log, [])
    }))

  it.scoped("is stopped when a write fails and the connection goes on, and ends by that failure", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left] = yield* MemoryTransport.pair()
      const broken = new WriteAfterEnd({ localAddress: left.localAddress, remoteAddress: left.remoteAddress })
      const full = NetworkLayer.derive(left, { writeAll: () => Effect.fail(broken) })
      const registration = yield* Producer.consumer(full).register(puller(log, [ascii("x")]))
      assert.strictEqual(yield* Effect.flip(registration.ended), broken)
      assert.deepStrictEqual(log, ["pull", "stop"])
      assert.isTrue(left.outgoing.isActive())
    }))

  it.scoped("D14: that is asked when it is stopped is interrupted first, and told nothing after", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair()
      const pull = Effect.onInterrupt(
        Effect.never,
        () => Effect.zipRight(settle, Effect.sync(() => log.push("interrupted")))
      )
      const registration = yield* Producer.consumer(left).register(
        Producer.pull({ pull, stop: Effect.sync(() => log.push("stop")) })
      )
      yield* settle
      yield* right.abort
      assert.strictEqual((yield* Effect.flip(registration.ended))._tag, "ConnectionReset")
      assert.deepStrictEqual(log, ["interrupted", "stop"])
    }))

  it.scoped("that unregisters while it is asked is not asked to the end", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const consumer = Producer.consumer(left)
      const registered = yield* Deferred.make<Producer.Registration<unknown>>()
      const registration = yield* consumer.register(Producer.pull({
        pull: Effect.zipRight(
          Effect.flatMap(Deferred.await(registered), ({ unregister }) => unregister),
          Effect.succeed(ascii("x"))
        ),
        stop: Effect.die("it was the end")
      }))
      yield* Deferred.succeed(registered, registration)
      yield* registration.ended
      yield* consumer.write(ascii("y"))
      assert.strictEqual(text((yield* right.pull)!), "y")
    }))
})

describe("registering", () => {
  it.scoped("D5: a second one is refused, and neither started nor stopped; the first goes on", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const second: Array<string> = []
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = Producer.consumer(left)
      const first = yield* consumer.register(puller(log, [counting(1), counting(1, 1)]))
      const producer = puller(second, [])
      const refused = yield* Effect.flip(consumer.register(producer))
      assert.isTrue(refused._tag === "ProducerRegistered" && refused.refused === producer)
      assert.match(refused.message, /^Cannot register the pull producer: a pull producer is registered, and only one /)
      assert.deepStrictEqual(yield* Transport.readExactly(right, 2), counting(2))
      yield* first.ended
      assert.deepStrictEqual(second, [])
      yield* Effect.flatMap(consumer.register(producer), ({ ended }) => ended)
      assert.deepStrictEqual(second, ["pull"])
    }))

  for (const kind of kinds) {
    for (const ended of ["aborted", "reset by the peer", "closed", "half-closed"] as const) {
      it.scoped(`a ${kind} producer on a connection that is ${ended} stops it at once, and fails by the cause`, () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
          if (ended === "aborted") yield* left.abort
          if (ended === "reset by the peer") yield* right.abort
          if (ended === "closed") yield* Effect.fork(left.close)
          if (ended === "half-closed") yield* left.closeWrite
          yield* settle
          const error = yield* Effect.flip(Producer.consumer(left).register(endless(log)[kind]))
          assert.deepStrictEqual(log, ["stop"])
          const aborted = ended === "aborted" ? "ConnectionAborted" : "WriteAfterEnd"
          assert.strictEqual(error._tag, ended === "reset by the peer" ? "ConnectionReset" : aborted)
          yield* settle
          assert.deepStrictEqual(log, ["stop"])
        }))

      it.scoped(`a ${kind} producer is stopped once when the connection is ${ended}, whatever comes after`, () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
          const consumer = Producer.consumer(left)
          const registration = yield* consumer.register(endless(log)[kind])
          if (ended === "aborted") yield* left.abort
          if (ended === "reset by the peer") yield* right.abort
          if (ended === "closed") yield* Effect.fork(left.close)
          if (ended === "half-closed") yield* left.closeWrite
          const error = yield* Effect.flip(registration.ended)
          const aborted = ended === "aborted" ? "ConnectionAborted" : "WriteAfterEnd"
          assert.strictEqual(error._tag, ended === "reset by the peer" ? "ConnectionReset" : aborted)
          assert.deepStrictEqual(log, ["stop"])
          // D8: it changes nothing any more, and brings nothing back.
          yield* registration.unregister
          yield* left.abort
          yield* consumer.close
          yield* settle
          assert.deepStrictEqual(log, ["stop"])
          assert.strictEqual((yield* Effect.flip(registration.ended))._tag, error._tag)
        }))
    }

    it.scoped(`a ${kind} producer that is being stopped at a loss is awaited by its Scope`, () =>
      Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair()
        const stopping = yield* Deferred.make<void>()
        const scope = yield* Scope.make()
        const slow = { ...endless([])[kind], stop: Deferred.await(stopping) }
        yield* Scope.extend(Producer.consumer(left).register(slow), scope)
        yield* right.abort
        yield* settle
        const closing = yield* Effect.fork(Scope.close(scope, Exit.fail("lost")))
        yield* settle
        assert.isFalse(isDone(closing))
        yield* Deferred.succeed(stopping, undefined)
        yield* Fiber.join(closing)
      }))

    it.scoped(`a ${kind} producer whose stop dies has ended all the same, and the next one is let in`, () =>
      Effect.gen(function*() {
        const [left] = yield* MemoryTransport.pair()
        const consumer = Producer.consumer(left)
        const scope = yield* Scope.make()
        const broken = { ...endless([])[kind], stop: Effect.die("broken") }
        const { ended } = yield* Scope.extend(consumer.register(broken), scope)
        assert.deepStrictEqual(yield* Effect.exit(Scope.close(scope, Exit.fail("no"))), Exit.die("broken"))
        assert.isTrue(Exit.isInterrupted(yield* Effect.exit(ended)))
        yield* Effect.flatMap(consumer.register(endless([])[kind]), ({ unregister }) => unregister)
      }))

    it.scoped(`a ${kind} producer that is stopped is awaited before the next one is let in`, () =>
      Effect.gen(function*() {
        const [left] = yield* MemoryTransport.pair()
        const consumer = Producer.consumer(left)
        const stopping = yield* Deferred.make<void>()
        const slow = { ...endless([])[kind], stop: Deferred.await(stopping) }
        const scope = yield* Scope.make()
        yield* Scope.extend(consumer.register(slow), scope)
        const closing = yield* Effect.fork(Scope.close(scope, Exit.fail("no")))
        yield* settle
        assert.isFalse(isDone(closing))
        assert.strictEqual((yield* Effect.flip(consumer.register(endless([])[kind])))._tag, "ProducerRegistered")
        yield* Deferred.succeed(stopping, undefined)
        yield* Fiber.join(closing)
        yield* Effect.flatMap(consumer.register(endless([])[kind]), ({ unregister }) => unregister)
      }))
  }
})

describe("the end", () => {
  for (const kind of kinds) {
    for (const by of ["close", "the Scope's success"] as const) {
      const ending = (log: Array<string>) =>
        Effect.gen(function*() {
          const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
          const consumer = Producer.consumer(left, { drainTimeout: "7 seconds" })
          const scope = yield* Scope.make()
          const chunks = yield* Deferred.make<void>()
          let rest = 3
          const producer: Producer.Producer = kind === "push" ? pusher(log).producer : Producer.pull({
            pull: Effect.suspend(() =>
              rest-- > 0 ? Effect.as(Deferred.await(chunks), ascii("x")) : Effect.succeed(null)
            ),
            stop: Effect.sync(() => log.push("stop"))
          })
          const registration = yield* Scope.extend(consumer.register(producer), scope)
          const end = by === "close" ? consumer.close : Effect.zipRight(Scope.close(scope, Exit.void), left.close)
          const closing = yield* Effect.fork(end)
          yield* settle
          return { left, right, consumer, registration, closing, chunks }
        })

      it.scoped(`${by} drains a ${kind} producer: the peer sees the end after its last byte`, () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const { chunks, closing, consumer, left, registration, right } = yield* ending(log)
          assert.isFalse(isDone(closing))
          assert.isTrue(left.outgoing.isActive())
          yield* TestClock.adjust("6 seconds")
          if (kind === "push") {
            for (let rest = 3; rest > 0; rest--) yield* consumer.write(ascii("x"))
            yield* registration.unregister
          } else yield* Deferred.succeed(chunks, undefined)
          assert.strictEqual(String(yield* Peer.readAll(right)), "xxx")
          yield* right.closeWrite
          yield* Fiber.join(closing)
          yield* registration.ended
          assert.strictEqual((yield* left.closed)._tag, "Clean")
          assert.deepStrictEqual(log, [])
        }))

      it.scoped(`${by} stops a ${kind} producer that does not end in time, once, and the peer sees a reset`, () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const { closing, registration, right } = yield* ending(log)
          yield* TestClock.adjust("6999 millis")
          yield* settle
          assert.deepStrictEqual(log, [])
          yield* TestClock.adjust("1 millis")
          yield* Fiber.join(closing)
          assert.deepStrictEqual(log, ["stop"])
          assert.strictEqual((yield* Effect.flip(registration.ended))._tag, "ConnectionAborted")
          assert.strictEqual((yield* Effect.flip(Peer.readAll(right)))._tag, "ConnectionReset")
        }))
    }

    it.scoped(`the Scope's failure stops a ${kind} producer at once, and leaves the connection`, () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const [left, right] = yield* MemoryTransport.pair()
        const consumer = Producer.consumer(left)
        const scope = yield* Scope.make()
        const registration = yield* Scope.extend(consumer.register(endless(log)[kind]), scope)
        yield* Scope.close(scope, Exit.fail("no"))
        assert.deepStrictEqual(log, ["stop"])
        assert.isTrue(Exit.isInterrupted(yield* Effect.exit(registration.ended)))
        yield* consumer.write(ascii("still here"))
        assert.strictEqual(text((yield* right.pull)!), "still here")
      }))
  }

  it.scoped("a close gives a producer five seconds to end, where nothing else is said", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left] = yield* MemoryTransport.pair()
      const consumer = Producer.consumer(left)
      yield* consumer.register(endless(log).pull)
      const closing = yield* Effect.fork(consumer.close)
      yield* settle
      yield* TestClock.adjust("4999 millis")
      yield* settle
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(log, ["stop"])
    }))

  it.scoped("a close does not count the time that the peer takes for what is accepted", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ ...lockstep, closeTimeout: "1 hour" })
      const consumer = Producer.consumer(left, { drainTimeout: "1 second" })
      yield* consumer.write(bytes(5))
      yield* Effect.fork(consumer.close)
      yield* settle
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(joined(yield* Stream.runCollect(right.stream)), bytes(5))
    }))

  it.scoped("a close without a producer is the transport's", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const closing = yield* Effect.fork(Producer.consumer(left).close)
      assert.isNull(yield* right.pull)
      yield* right.closeWrite
      yield* Fiber.join(closing)
    }))

  const sources = [
    "nobody",
    "a producer that is registered",
    "a producer that has unregistered",
    "a producer that is stopped"
  ] as const
  for (const source of sources) {
    it.scoped(`a close lets the writes of ${source} that wait go first`, () =>
      Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair({ ...lockstep, lingerTimeout: 0 })
        const consumer = Producer.consumer(left)
        const scope = yield* Scope.make()
        const register = Scope.extend(consumer.register(endless([]).push), scope)
        const registration = source === "nobody" ? undefined : yield* register
        yield* consumer.write(counting(4))
        const waiting = yield* Effect.fork(consumer.write(counting(2, 4)))
        yield* settle
        if (source === "a producer that has unregistered") yield* registration!.unregister
        const closing = yield* Effect.fork(consumer.close)
        yield* settle
        if (source === "a producer that is registered") yield* registration!.unregister
        if (source === "a producer that is stopped") yield* Scope.close(scope, Exit.fail("no"))
        yield* settle
        assert.deepStrictEqual(new Uint8Array(yield* Peer.readAll(right)), counting(6))
        yield* Fiber.join(waiting)
        yield* Fiber.join(closing)
        assert.strictEqual((yield* left.closed)._tag, "Clean")
      }))
  }

  it.scoped("a close whose writes still wait at the deadline aborts the connection", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair(lockstep)
      const consumer = Producer.consumer(left, { drainTimeout: "7 seconds" })
      yield* consumer.write(bytes(4))
      const waiting = yield* Effect.fork(Effect.flip(consumer.write(bytes(1))))
      yield* settle
      const closing = yield* Effect.fork(consumer.close)
      yield* settle
      yield* TestClock.adjust("6999 millis")
      assert.isFalse(isDone(closing))
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "ConnectionAborted")
    }))

  it.scoped("a push producer is not paused any more while it is being stopped", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [left] = yield* MemoryTransport.pair(lockstep)
      const consumer = Producer.consumer(left)
      const scope = yield* Scope.make()
      const stopping = yield* Effect.makeLatch()
      yield* Scope.extend(consumer.register(Producer.push({ ...pusher(log).producer, stop: stopping.await })), scope)
      const ending = yield* Effect.fork(Scope.close(scope, Exit.fail("no")))
      yield* settle
      yield* consumer.write(bytes(5))
      yield* stopping.open
      yield* Fiber.join(ending)
      assert.deepStrictEqual(log, [])
    }))

  it.scoped("the Scope's failure interrupts the end of a producer whose writes still wait; they do so on", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = Producer.consumer(left)
      const scope = yield* Scope.make()
      const registration = yield* Scope.extend(consumer.register(endless([]).push), scope)
      yield* consumer.write(bytes(4))
      const waiting = yield* Effect.fork(consumer.write(bytes(1)))
      yield* settle
      yield* registration.unregister
      yield* Scope.close(scope, Exit.fail("no"))
      assert.isTrue(Exit.isInterrupted(yield* Effect.exit(registration.ended)))
      // That of the write that waits.
      assert.strictEqual(yield* rootFibers, before + 1)
      yield* Transport.readExactly(right, 5)
      yield* Fiber.join(waiting)
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.scoped("a close that is interrupted while it drains changes nothing", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      const consumer = Producer.consumer(left)
      const registration = yield* consumer.register(endless([]).push)
      const closing = yield* Effect.fork(consumer.close)
      yield* settle
      yield* Fiber.interrupt(closing)
      yield* TestClock.adjust("1 minute")
      assert.isTrue(left.outgoing.isActive())
      yield* registration.unregister
    }))

  it.scopedLive("nothing is left: no fiber, and no producer that was not told", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      for (const kind of kinds) {
        for (const exit of [Exit.void, Exit.fail("no")]) {
          const log: Array<string> = []
          const scope = yield* Scope.make()
          const [left] = yield* Scope.extend(MemoryTransport.pair({ lingerTimeout: 0 }), scope)
          const consumer = Producer.consumer(left, { drainTimeout: 0 })
          yield* Scope.extend(consumer.register(endless(log)[kind]), scope)
          yield* Scope.close(scope, exit)
          assert.deepStrictEqual(log, ["stop"])
        }
      }
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
    }))

  for (const kind of kinds) {
    it.scopedLive(
      `a program with a ${kind} producer, interrupted at any moment, stops it once or lets it end`,
      () =>
        Effect.gen(function*() {
          const { points } = yield* sweep({
            setup: Effect.gen(function*() {
              const [left, right] = yield* MemoryTransport.pair({ ...lockstep, lingerTimeout: 0 })
              const reading = yield* Effect.forkScoped(Effect.exit(Peer.readAll(right)))
              return {
                left,
                right,
                reading,
                log: [] as Array<string>,
                state: { registered: false, unregistered: false }
              }
            }),
            scenario: ({ left, log, state }) =>
              Effect.scoped(Effect.gen(function*() {
                const consumer = Producer.consumer(left, { drainTimeout: 0 })
                const producer: Producer.Producer = kind === "push"
                  ? pusher(log).producer
                  : puller(log, [bytes(3), bytes(3), bytes(3)])
                // Noted in the step that gives it.
                const registration = yield* Effect.flatMap(consumer.register(producer), (registration) => {
                  state.registered = true
                  return Effect.succeed(registration)
                })
                if (kind === "push") {
                  for (let write = 0; write < 3; write++) yield* consumer.write(bytes(3))
                  yield* Effect.suspend(() => {
                    state.unregistered = true
                    return registration.unregister
                  })
                }
                yield* registration.ended
              })),
            check: ({ left, log, state }, exit) =>
              Effect.gen(function*() {
                yield* settle
                const stops = log.filter((what) => what === "stop").length
                assert.isAtMost(stops, 1)
                if (Exit.isSuccess(exit)) assert.strictEqual(stops, 0)
                const told = log.length
                yield* left.abort
                yield* settle
                assert.strictEqual(log.length, told)
                const ended = state.unregistered || log.filter((what) => what === "pull").length === 4
                assert.isTrue(stops === 1 || ended || !state.registered && log.length === 0)
              })
          })
          assert.isAbove(points, 10)
        }),
      60_000
    )
  }
})

describe("Producer.fromStream", () => {
  const chunked = Stream.fromChunks(Chunk.make(ascii("a"), ascii("b")), Chunk.empty(), Chunk.make(ascii("c")))

  it.scoped("gives the stream's chunks, one each time it is asked, and its end", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const stream = Stream.ensuring(chunked, Effect.sync(() => log.push("closed")))
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const consumer = Producer.consumer(left)
      const registration = yield* consumer.register(yield* Producer.fromStream(stream))
      for (const expected of ["a", "b", "c"]) assert.strictEqual(text((yield* right.pull)!), expected)
      yield* registration.ended
      assert.deepStrictEqual(log, ["closed"])
    }))

  it.scoped("fails as the stream does", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const exits: Array<Exit.Exit<unknown, unknown>> = []
      const note = (exit: Exit.Exit<unknown, unknown>) => Effect.sync(() => exits.push(exit))
      const opened = Effect.acquireRelease(Effect.void, (_, exit) => note(exit))
      const failing = Stream.concat(chunked, Stream.fail("broken" as const))
      const stream = Stream.ensuringWith(Stream.unwrapScoped(Effect.as(opened, failing)), note)
      const registration = yield* Producer.consumer(left).register(yield* Producer.fromStream(stream))
      const error: "broken" | ConnectionLost | WriteAfterEnd = yield* Effect.flip(registration.ended)
      assert.strictEqual(error, "broken")
      assert.deepStrictEqual(exits, [Exit.fail("broken"), Exit.fail("broken")])
      assert.strictEqual((yield* Effect.flip(Peer.readAll(right)))._tag, "ConnectionReset")
    }))

  it.scoped("that is stopped runs the stream's finalizers", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const stream = Stream.ensuring(Stream.concat(chunked, Stream.never), Effect.sync(() => log.push("closed")))
      const [left, right] = yield* MemoryTransport.pair()
      const registration = yield* Producer.consumer(left).register(yield* Producer.fromStream(stream))
      yield* Transport.readExactly(right, 3)
      yield* right.abort
      yield* Effect.flip(registration.ended)
      assert.deepStrictEqual(log, ["closed"])
    }))

  it.scoped("gives the elements of a chunk that has more of them than a call may have arguments", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.fromStream(
        Stream.fromChunk(Chunk.makeBy(200_000, (index) => counting(1, index)))
      )
      assert.deepStrictEqual(yield* producer.pull, counting(1))
      assert.deepStrictEqual(yield* producer.pull, counting(1, 1))
    }))

  it.scoped("has what the stream needs", () =>
    Effect.gen(function*() {
      class Text extends Context.Tag("Text")<Text, string>() {}
      const producer = yield* Producer.fromStream(Stream.map(Stream.fromEffect(Text), ascii)).pipe(
        Effect.provideService(Text, "hello")
      )
      assert.strictEqual(text((yield* producer.pull)!), "hello")
      assert.isNull(yield* producer.pull)
    }))
})

describe("Producer.toStream", () => {
  const marks = { highWaterMark: 4, lowWaterMark: 1 }

  it.scoped("gives what was written, in order, and ends with the program", () =>
    Effect.gen(function*() {
      const stream = Producer.toStream((consumer) =>
        Effect.forEach(["a", "b", "c"], (letter) => consumer.write(ascii(letter)))
      )
      assert.strictEqual(text(yield* Stream.runCollect(stream)), "abc")
      assert.strictEqual(text(yield* Stream.runCollect(stream)), "abc")
    }))

  it.scoped("has all that was written before a close, however long that takes, and ends with its last chunk", () =>
    Effect.gen(function*() {
      const stream = Producer.toStream((consumer) =>
        Effect.zipRight(
          Effect.forEach(["a", "b", "c"], (letter) => consumer.write(ascii(letter))),
          consumer.close
        )
      )
      const seen: Array<string> = []
      const running = yield* Effect.fork(
        Stream.runForEach(stream, (chunk) => Effect.delay(Effect.sync(() => seen.push(text(chunk))), "1 minute"))
      )
      for (const so of ["a", "ab", "abc"]) {
        yield* settle
        yield* TestClock.adjust("1 minute")
        yield* settle
        assert.strictEqual(seen.join(""), so)
      }
      assert.isTrue(isDone(running))
      yield* Fiber.join(running)
    }))

  it.scoped("ends at once after a close, if it is taken at once", () =>
    Effect.gen(function*() {
      const stream = Producer.toStream((consumer) => Effect.zipRight(consumer.write(ascii("a")), consumer.close))
      assert.strictEqual(text(yield* Stream.runCollect(stream)), "a")
    }))

  it.effect("gives nothing more of what an abort has dropped", () =>
    Effect.gen(function*() {
      const failing = yield* Effect.makeLatch()
      const got: Array<string> = []
      const stream = Producer.toStream((consumer) =>
        Effect.gen(function*() {
          yield* consumer.write(ascii("a"))
          yield* consumer.write(ascii("b"))
          const pull = Effect.zipRight(failing.await, Effect.fail("broken"))
          const { ended } = yield* consumer.register(Producer.pull({ pull, stop: Effect.void }))
          yield* ended
        })
      )
      const taking = Stream.runForEach(stream, (chunk) => {
        got.push(text(chunk))
        return Effect.zipRight(failing.open, settle)
      })
      assert.strictEqual(yield* Effect.flip(taking), "broken")
      assert.deepStrictEqual(got, ["a"])
    }))

  it.scoped("pauses a push producer strictly over the bound, resumes it when that is taken, ends when it unregisters", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const { producer } = pusher(log)
      const registered = yield* Deferred.make<{
        readonly consumer: Producer.Consumer<never>
        readonly registration: Producer.Registration<never>
      }>()
      const stream: Stream.Stream<Uint8Array, Producer.ProducerRegistered> = Producer.toStream(
        (consumer) =>
          Effect.flatMap(
            consumer.register(producer),
            (registration) => Deferred.succeed(registered, { consumer, registration })
          ),
        marks
      )
      const pull = yield* Stream.toPull(stream)
      const first = yield* Effect.fork(pull)
      const { consumer, registration } = yield* Deferred.await(registered)
      yield* consumer.write(bytes(1))
      yield* Fiber.join(first)
      yield* consumer.write(bytes(2))
      yield* consumer.write(bytes(2))
      yield* settle
      assert.deepStrictEqual(log, [])
      const over = yield* Effect.fork(consumer.write(bytes(1)))
      yield* settle
      assert.deepStrictEqual(log, ["pause"])
      assert.isFalse(isDone(over))
      yield* pull
      yield* settle
      assert.deepStrictEqual(log, ["pause"])
      yield* pull
      yield* Fiber.join(over)
      yield* settle
      assert.deepStrictEqual(log, ["pause", "resume"])
      yield* registration.unregister
      assert.deepStrictEqual(yield* pull, Chunk.of(bytes(1)))
      const end = yield* Effect.flip(pull)
      assert.strictEqual(end._tag, "None")
      assert.deepStrictEqual(log, ["pause", "resume"])
    }))

  it.scoped("asks a pull producer when all that it gave is taken", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const stream = Producer.toStream((consumer) => consumer.register(puller(log, [ascii("a"), ascii("b")])))
      const pull = yield* Stream.toPull(stream)
      assert.strictEqual(text(yield* pull), "a")
      yield* settle
      assert.deepStrictEqual(log, ["pull", "pull"])
      assert.strictEqual(text(yield* pull), "b")
      assert.strictEqual((yield* Effect.flip(pull))._tag, "None")
      assert.deepStrictEqual(log, ["pull", "pull", "pull"])
    }))

  for (const kind of kinds) {
    it.scoped(`cut short, it stops a ${kind} producer once, and interrupts the program`, () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const stream = Producer.toStream((consumer) =>
          Effect.gen(function*() {
            const registration = yield* consumer.register(endless(log)[kind])
            yield* consumer.write(ascii("x"))
            yield* registration.ended
          }).pipe(Effect.onInterrupt(() => Effect.sync(() => log.push("interrupted"))))
        )
        assert.strictEqual(text(yield* Stream.runCollect(Stream.take(stream, 1))), "x")
        assert.deepStrictEqual(log.toSorted(), ["interrupted", "stop"])
      }))

    it.scoped(`interrupted while it waits, it stops a ${kind} producer once`, () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const stream = Producer.toStream((consumer) => consumer.register(endless(log)[kind]))
        const running = yield* Effect.fork(Stream.runDrain(stream))
        yield* settle
        assert.deepStrictEqual(log, [])
        yield* Fiber.interrupt(running)
        assert.deepStrictEqual(log, ["stop"])
      }))
  }

  it.scoped("waits for a producer that the program has left for as long as it takes", () =>
    Effect.gen(function*() {
      const chunks = [ascii("slow")]
      const slow = Producer.pull({
        pull: Effect.delay(Effect.sync(() => chunks.shift() ?? null), "1 hour"),
        stop: Effect.void
      })
      const stream = Producer.toStream((consumer) => consumer.register(slow))
      const running = yield* Effect.fork(Stream.runCollect(stream))
      yield* settle
      yield* TestClock.adjust("1 hour")
      yield* settle
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(text(yield* Fiber.join(running)), "slow")
    }))

  it.scoped("cut short while writes of a producer that has unregistered wait, its end is interrupted, and no failure", () =>
    Effect.gen(function*() {
      const ends: Array<Exit.Exit<void>> = []
      const stream = Producer.toStream((consumer) =>
        Effect.gen(function*() {
          const registration = yield* consumer.register(endless([]).push)
          yield* Effect.fork(Effect.forever(consumer.write(bytes(10))))
          yield* settle
          yield* registration.unregister
          yield* Effect.uninterruptible(Effect.map(Effect.exit(registration.ended), (exit) => ends.push(exit)))
        }), { highWaterMark: 4 })
      const running = yield* Effect.fork(Stream.runForEach(stream, () => Effect.never))
      yield* settle
      yield* settle
      yield* Fiber.interrupt(running)
      assert.lengthOf(ends, 1)
      assert.isTrue(Exit.isInterrupted(ends[0]!))
    }))

  it.scoped("cut short where nothing interrupts, it interrupts the program all the same", () =>
    Effect.gen(function*() {
      const stream = Producer.toStream((consumer) => Effect.zipRight(consumer.write(ascii("x")), Effect.never))
      const taken = yield* Effect.uninterruptible(Stream.runCollect(Stream.take(stream, 1)))
      assert.strictEqual(text(taken), "x")
    }))

  it.scoped("fails as the program does, after what was written before", () =>
    Effect.gen(function*() {
      const stream: Stream.Stream<Uint8Array, "broken"> = Producer.toStream((consumer) =>
        Effect.zipRight(consumer.write(ascii("half")), Effect.fail("broken" as const))
      )
      const seen: Array<string> = []
      const exit = yield* Effect.exit(Stream.runForEach(stream, (chunk) => Effect.sync(() => seen.push(text(chunk)))))
      assert.strictEqual(failed(exit), "broken")
      assert.deepStrictEqual(seen, ["half"])
    }))

  it.scoped("fails as a pull producer does whose end the program awaits; unawaited, it is no clean end", () =>
    Effect.gen(function*() {
      const broken = Producer.pull({ pull: Effect.fail("broken" as const), stop: Effect.void })
      const awaited = Producer.toStream((consumer) => Effect.flatMap(consumer.register(broken), ({ ended }) => ended))
      assert.strictEqual(failed(yield* Effect.exit(Stream.runDrain(awaited))), "broken")
      const unawaited = Producer.toStream((consumer) => consumer.register(broken))
      assert.isTrue(Exit.isInterrupted(yield* Effect.exit(Stream.runDrain(unawaited))))
    }))

  it.scoped("after its end a write and a registration are interrupted, and the producer is stopped", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      let kept: Producer.Consumer<never> | undefined
      yield* Stream.runDrain(Producer.toStream((consumer) => Effect.sync(() => kept = consumer)))
      assert.isTrue(Exit.isInterrupted(yield* Effect.exit(kept!.write(ascii("x")))))
      assert.isTrue(Exit.isInterrupted(yield* Effect.exit(kept!.register(endless(log).push))))
      assert.deepStrictEqual(log, ["stop"])
    }))

  it.scoped("of fromStream is the stream, whatever its chunks and the bound", () =>
    Effect.promise(() =>
      FastCheck.assert(FastCheck.asyncProperty(
        FastCheck.array(FastCheck.uint8Array({ minLength: 1, maxLength: 9 }), { maxLength: 20 }),
        FastCheck.integer({ min: 1, max: 12 }),
        (chunks, highWaterMark) =>
          Effect.runPromise(Effect.gen(function*() {
            const stream = Producer.toStream(
              (consumer) =>
                Effect.flatMap(Producer.fromStream(Stream.fromIterable(chunks)), (producer) =>
                  consumer.register(producer)),
              { highWaterMark }
            )
            assert.deepStrictEqual(Array.from(yield* Stream.runCollect(stream)), chunks)
          }))
      ))
    ))

  it.live("makes a bounded stream of an emitter of events", () =>
    Effect.gen(function*() {
      let held = 0
      const chunks = Array.from({ length: 500 }, (_, index) => counting(1000, index))
      const stream = Producer.toStream((consumer) =>
        Effect.gen(function*() {
          const readable = Readable.from(chunks)
          const registration = yield* consumer.register(Producer.push({
            pause: Effect.sync(() => readable.pause()),
            resume: Effect.sync(() => readable.resume()),
            stop: Effect.sync(() => readable.destroy())
          }))
          let given = 0
          let taken = 0
          readable.on("data", (chunk: Uint8Array) => {
            given++
            held = Math.max(held, given - taken)
            Effect.runFork(Effect.map(consumer.write(chunk), () => taken++))
          })
          readable.on("end", () => Effect.runFork(registration.unregister))
          yield* registration.ended
        }), { highWaterMark: 4000 })
      const slow = Stream.mapEffect(stream, (chunk) => Effect.as(Effect.yieldNow(), chunk))
      assert.deepStrictEqual(joined(yield* Stream.runCollect(slow)), joined(chunks))
      // Accepted are four and one that goes over; the pause comes at once.
      assert.isAtMost(held, 2)
    }))

  it.live("has all of an emitter that ends while it is paused", () =>
    Effect.gen(function*() {
      const chunks = Array.from({ length: 5 }, (_, index) => counting(1000, index))
      const stream = Producer.toStream((consumer) =>
        Effect.gen(function*() {
          const readable = Readable.from(chunks)
          const registration = yield* consumer.register(Producer.push({
            pause: Effect.sync(() => readable.pause()),
            resume: Effect.sync(() => readable.resume()),
            stop: Effect.sync(() => readable.destroy())
          }))
          readable.on("data", (chunk: Uint8Array) => Effect.runFork(consumer.write(chunk)))
          readable.on("end", () => Effect.runFork(registration.unregister))
          yield* registration.ended
        }), { highWaterMark: 4000 })
      const slow = Stream.mapEffect(stream, (chunk) => Effect.as(settle, chunk))
      assert.deepStrictEqual(joined(yield* Stream.runCollect(slow)), joined(chunks))
    }))
})

describe("Producer.send", () => {
  const parts = Stream.make(ascii("abc"), ascii("de"), ascii("f"))

  it.scoped("sends all, tells its progress, and how much it was", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const progress: Array<number> = []
      const sent = yield* Producer.send(parts, left, { progress: (bytes) => Effect.sync(() => progress.push(bytes)) })
      assert.strictEqual(sent, 6)
      assert.deepStrictEqual(progress, [3, 5, 6])
      assert.strictEqual(left.stats().buffered, 0)
      assert.strictEqual(yield* Producer.send(Stream.empty, left), 0)
      yield* left.write(ascii("!"))
      assert.strictEqual(text(yield* Transport.readExactly(right, 7)), "abcdef!")
    }))

  it.scoped("completes when the last byte is in the carrier's hands", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      const sending = yield* Effect.fork(Producer.send(parts, left))
      yield* Transport.readExactly(right, 5)
      yield* settle
      assert.isFalse(isDone(sending))
      yield* right.pull
      assert.strictEqual(yield* Fiber.join(sending), 6)
    }))

  it.scoped("D13: a source that fails stops it by that cause, with exact counts; the transport goes on", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ ...lockstep, highWaterMark: 100 })
      yield* left.write(ascii("before"))
      const source = Stream.concat(parts, Stream.fail("broken" as const))
      const stopped: Producer.SendStopped<"broken" | ConnectionLost | WriteAfterEnd> = yield* Effect.flip(
        Producer.send(source, left)
      )
      assert.deepInclude(stopped, { by: "source", error: "broken", bytesSent: 0, bytesUnsent: 6 })
      assert.strictEqual(
        stopped.message,
        "Sending stopped after 0 bytes, with 6 accepted bytes unsent, because of the source: broken"
      )
      yield* left.write(ascii("!"))
      assert.strictEqual(text(yield* Transport.readExactly(right, 13)), "beforeabcdef!")
    }))

  it.scoped("a source that fails while the buffer is full stops it at once", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair(lockstep)
      const stopped = yield* Effect.flip(Producer.send(Stream.concat(Stream.make(bytes(5)), Stream.fail("no")), left))
      assert.deepInclude(stopped, { by: "source", bytesSent: 0, bytesUnsent: 5 })
      yield* left.abort
    }))

  it.scoped("a loss stops it by the loss, with exact counts", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ ...lockstep, highWaterMark: 8, maxChunkSize: 5 })
      yield* left.write(ascii("xx"))
      const sending = yield* Effect.fork(Effect.flip(Producer.send(Stream.make(...Array(9).fill(ascii("abc"))), left)))
      const pulled = [yield* right.pull, yield* right.pull, yield* right.pull]
      yield* settle
      yield* right.abort
      const stopped = yield* Fiber.join(sending)
      assert.isTrue(stopped.by === "transport" && stopped.error._tag === "ConnectionReset")
      assert.strictEqual(stopped.bytesSent, joined(pulled.map((chunk) => chunk!)).length - ascii("xx").length)
      assert.isAbove(stopped.bytesUnsent, 0)
      const { bytesUnsent } = stopped.error as ConnectionLost
      assert.strictEqual(stopped.bytesUnsent, bytesUnsent)
      assert.strictEqual((stopped.bytesSent + stopped.bytesUnsent) % 3, 0)
    }))

  it.scoped("a loss before its first byte took nothing of it, whatever else was unsent", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(lockstep)
      yield* left.write(bytes(5))
      const sending = yield* Effect.fork(Effect.flip(Producer.send(parts, left)))
      yield* settle
      yield* right.abort
      assert.deepInclude(yield* Fiber.join(sending), { by: "transport", bytesSent: 0, bytesUnsent: 0 })
    }))

  it.scoped("a loss while the source fails does not count what was dropped as sent", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ ...lockstep, highWaterMark: 100 })
      const source = Stream.concat(parts, Stream.fromEffect(Effect.zipRight(right.abort, Effect.fail("broken"))))
      assert.deepInclude(yield* Effect.flip(Producer.send(source, left)), {
        by: "source",
        bytesSent: 0,
        bytesUnsent: 6
      })
    }))

  it.scoped("an end of writing by somebody else stops it, and what was accepted is on its way", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ ...lockstep, highWaterMark: 100 })
      const source = Stream.concat(parts, Stream.fromEffect(Effect.as(Effect.fork(left.closeWrite), ascii("late"))))
      const stopped = yield* Effect.flip(
        Producer.send(Stream.tap(source, () => settle), left)
      )
      assert.deepInclude(stopped, { by: "transport", bytesSent: 0, bytesUnsent: 6 })
      assert.isTrue(stopped.error instanceof WriteAfterEnd)
      assert.strictEqual(String(yield* Peer.readAll(right)), "abcdef")
    }))

  it.scopedLive("sends a file over TCP, unchanged, in the memory of a few chunks", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const file = path.join(yield* Peer.directory, "file")
      const content = Peer.pattern(5 * 1024 * 1024 + 1)
      yield* fileSystem.writeFile(file, content)
      const [left, right] = yield* tcpPair({})
      let highest = 0
      const progress = () => Effect.sync(() => highest = Math.max(highest, left.stats().buffered))
      const sending = yield* Effect.fork(
        Effect.zipLeft(Producer.send(fileSystem.stream(file), left, { progress }), left.closeWrite)
      )
      assert.isTrue((yield* Peer.readAll(right)).equals(content))
      assert.strictEqual(yield* Fiber.join(sending), content.length)
      assert.isAtMost(highest, 2 * 65536)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scopedLive("over TCP, a peer that resets in the middle: the counts are those of the loss", () =>
    Effect.gen(function*() {
      const [left, right] = yield* tcpPair({})
      const sending = yield* Effect.fork(Effect.flip(
        Producer.send(Stream.repeatValue(bytes(10_000)), left)
      ))
      yield* Transport.readExactly(right, 100_000)
      yield* right.abort
      const stopped = yield* Fiber.join(sending)
      assert.strictEqual(stopped.by, "transport")
      const loss = stopped.error as ConnectionLost
      assert.strictEqual(loss._tag, "ConnectionReset")
      assert.strictEqual(stopped.bytesSent, loss.bytesWritten)
      assert.strictEqual(stopped.bytesUnsent, loss.bytesUnsent)
      assert.strictEqual((stopped.bytesSent + stopped.bytesUnsent) % 10_000, 0)
    }))
})
