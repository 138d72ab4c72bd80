import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { CloseTimeout, ConnectionAborted, ConnectionReset, WriteAfterEnd } from "../../src/ConnectionError.ts"
import * as Driver from "../../src/Driver.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as IdleTimeout from "../../src/policy/IdleTimeout.ts"
import * as Throttle from "../../src/policy/Throttle.ts"
import type { Transport } from "../../src/Transport.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import { counting as carrierThatCounts } from "../cost/carrier.ts"
import { ascii, bytes, counting, joined, text } from "../support/bytes.ts"
import { rootFibers, schedulerThatCounts, settle } from "../support/fibers.ts"

const throttled = (options: Throttle.ThrottleOptions, pair: MemoryTransport.PairOptions = {}) =>
  Effect.gen(function*() {
    const [carrier, peer] = yield* MemoryTransport.pair(pair)
    const transport = yield* Throttle.make(options)(carrier)
    // A test that ends with bytes under way need not wait for time to pass.
    yield* Effect.addFinalizer(() => peer.abort)
    return { carrier, peer, transport }
  })

/** Reads everything, after pauses that come over and over, and notes what came when. */
const record = <E>(transport: Transport<E>, pauses: ReadonlyArray<number> = [0]) => {
  const seen: Array<{ readonly at: number; readonly chunk: Uint8Array }> = []
  const pause = Effect.suspend(() => {
    const milliseconds = pauses[seen.length % pauses.length]!
    return milliseconds === 0 ? Effect.void : Effect.sleep(milliseconds)
  })
  const loop: Effect.Effect<void, E> = Effect.flatMap(
    Effect.zipRight(pause, transport.pull),
    (chunk) =>
      chunk === null ? Effect.void : Effect.flatMap(Effect.clock, (clock) => {
        seen.push({ at: clock.unsafeCurrentTimeMillis(), chunk })
        return loop
      })
  )
  return { seen, loop }
}

type Seen = ReadonlyArray<{ readonly at: number; readonly chunk: Uint8Array }>

/** In no window from one arrival to another have more bytes come than the bucket allows. */
const assertWithin = (seen: Seen, rate: number, burst: number) => {
  for (let first = 0; first < seen.length; first++) {
    let bytes = 0
    for (let last = first; last < seen.length; last++) {
      bytes += seen[last]!.chunk.length
      const milliseconds = seen[last]!.at - seen[first]!.at
      const most = rate * milliseconds / 1000 + burst
      // Thousands of windows: an assertion for each would take longer than all else.
      if (bytes > most) assert.fail(`${bytes} bytes, and not ${most}, in ${milliseconds} ms from ${seen[first]!.at}`)
    }
  }
}

const limit = FastCheck.record({
  rate: FastCheck.oneof(FastCheck.integer({ min: 1, max: 50 }), FastCheck.integer({ min: 50, max: 1_000_000 })),
  burst: FastCheck.oneof(FastCheck.integer({ min: 1, max: 20 }), FastCheck.integer({ min: 1, max: 400 }))
})

/** A limit, and chunks to be written after pauses: not so many bytes that passing them takes forever. */
const traffic = limit.chain(({ burst, rate }) =>
  FastCheck.record({
    burst: FastCheck.constant(burst),
    rate: FastCheck.constant(rate),
    steps: FastCheck.array(
      FastCheck.record({
        pause: FastCheck.oneof(FastCheck.constant(0), FastCheck.nat(3000)),
        size: FastCheck.nat(30 * Math.max(1, Math.floor(Math.min(burst / 2, rate / 20))))
      }),
      { maxLength: 8 }
    )
  })
)

/** A long pause, and then several pulls at once, would find what was saved up. */
const pauses = FastCheck.array(FastCheck.oneof(FastCheck.constant(0), FastCheck.nat(1000)), {
  minLength: 1,
  maxLength: 6
})

const writeSchedule = <E>(transport: Transport<E>, steps: ReadonlyArray<{ pause: number; size: number }>) =>
  Effect.zipRight(
    Effect.forEach(
      steps,
      ({ pause, size }, index) => Effect.zipRight(Effect.sleep(pause), transport.write(counting(size, index))),
      { discard: true }
    ),
    transport.closeWrite
  )

const written = (steps: ReadonlyArray<{ size: number }>) =>
  joined(steps.map(({ size }, index) => counting(size, index)))

describe("the bound", () => {
  it.effect.prop(
    "holds for what the carrier is given, in every window, however the peer pauses",
    [traffic, FastCheck.integer({ min: 256, max: 5000 }), pauses],
    ([{ burst, rate, steps }, capacity, pauses]) =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const clock = yield* Effect.clock
          const [carrier, peer] = yield* MemoryTransport.pair({
            capacity,
            highWaterMark: capacity,
            readBufferSize: 0,
            maxChunkSize: capacity
          })
          const given: Array<{ readonly at: number; readonly chunk: Uint8Array }> = []
          const recorded = NetworkLayer.derive(carrier, {
            writeAll: (chunks) =>
              Effect.map(carrier.writeAll(chunks), () => {
                for (const chunk of chunks) given.push({ at: clock.unsafeCurrentTimeMillis(), chunk })
              })
          })
          const transport = yield* Throttle.make({ write: { bytesPerSecond: rate, burst } })(recorded)
          const { loop, seen } = record(peer, pauses)
          yield* Effect.zip(loop, writeSchedule(transport, steps), { concurrent: true })
          assertWithin(given, rate, burst)
          assert.deepStrictEqual(joined(seen.map(({ chunk }) => chunk)), written(steps))
        }))
      ),
    { fastCheck: { numRuns: 40, interruptAfterTimeLimit: 15_000 } }
  )

  it.effect.prop(
    "holds for what the consumer reads, in every window, however it pauses",
    [traffic, FastCheck.integer({ min: 1, max: 5000 }), pauses],
    ([{ burst, rate, steps }, maxChunkSize, pauses]) =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const { peer, transport } = yield* throttled({ read: { bytesPerSecond: rate, burst } }, { maxChunkSize })
          const { loop, seen } = record(transport, pauses)
          yield* Effect.zip(loop, writeSchedule(peer, steps), { concurrent: true })
          assertWithin(seen, rate, burst)
          assert.deepStrictEqual(joined(seen.map(({ chunk }) => chunk)), written(steps))
        }))
      ),
    { fastCheck: { numRuns: 40, interruptAfterTimeLimit: 15_000 } }
  )

  it.scoped("does not stand still when the Clock is put back", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(3_600_000)
      const { peer, transport } = yield* throttled({ write: { bytesPerSecond: 1000, burst: 100 } })
      yield* transport.write(new Uint8Array(100))
      assert.strictEqual((yield* peer.pull)!.length, 100)
      yield* TestClock.setTime(0)
      yield* transport.write(new Uint8Array(50))
      yield* settle
      yield* TestClock.adjust("50 millis")
      assert.strictEqual((yield* peer.pull)!.length, 50)
    }))

  const enough = FastCheck.integer({ min: 1, max: 1_000_000 }).chain((rate) =>
    FastCheck.record({
      rate: FastCheck.constant(rate),
      burst: FastCheck.integer({ min: Math.max(1, Math.ceil(rate / 500)), max: 2_000_000 }),
      size: FastCheck.integer({ min: 1, max: rate * 2 })
    })
  )

  it.effect.prop(
    "is reached, but for a piece of a twentieth of a second",
    [enough, FastCheck.boolean()],
    ([limit, reading]) =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const clock = yield* Effect.clock
          const { burst, rate, size } = limit
          const options = { [reading ? "read" : "write"]: { bytesPerSecond: rate, burst } }
          const { peer, transport } = yield* throttled(options, { capacity: 1e9, highWaterMark: 1e9 })
          const [from, to] = reading ? [peer, transport] : [transport, peer]
          const { loop } = record(to)
          yield* Effect.zip(loop, Effect.zipRight(from.write(bytes(size)), from.closeWrite), { concurrent: true })
          const least = Math.max(0, size - burst) / rate * 1000
          assert.isAtLeast(clock.unsafeCurrentTimeMillis(), least)
          assert.isAtMost(clock.unsafeCurrentTimeMillis(), least + 51 + 1000 / rate)
        }))
      ),
    { fastCheck: { numRuns: 40, interruptAfterTimeLimit: 15_000 } }
  )

  it.scoped("holds when the carrier accepts late: what it held up does not come on top of what was saved meanwhile", () =>
    Effect.gen(function*() {
      const narrow = { capacity: 0, highWaterMark: 1, readBufferSize: 0 }
      const { carrier, peer, transport } = yield* throttled({ write: { bytesPerSecond: 1000, burst: 100 } }, narrow)
      yield* transport.write(bytes(300))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(carrier.stats().buffered, 100)
      yield* peer.pull
      yield* settle
      yield* peer.pull
      yield* settle
      assert.strictEqual(carrier.stats().bytesWritten + carrier.stats().buffered, 200)
    }))

  it.scoped("nothing is taken from the carrier before the first pull", () =>
    Effect.gen(function*() {
      const { carrier, peer } = yield* throttled({ read: 1000 }, { capacity: 0 })
      yield* peer.write(ascii("early"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(carrier.stats().bytesRead, 0)
      assert.strictEqual(peer.stats().buffered, 5)
    }))

  it.scoped("a fast peer is held back by the carrier, not saved up", () =>
    Effect.gen(function*() {
      const { carrier, peer, transport } = yield* throttled({ read: 10 }, {
        capacity: 100,
        readBufferSize: 0,
        maxChunkSize: 50
      })
      const writing = yield* Effect.fork(peer.writeAll(Array.from({ length: 10_000 }, () => bytes(100))))
      yield* Effect.fork(Effect.forever(transport.pull))
      yield* TestClock.adjust("10 seconds")
      // What the consumer has, what is held, and what is on its way to it.
      assert.isAtMost(carrier.stats().bytesRead, 101 + 50)
      assert.strictEqual((yield* Fiber.poll(writing))._tag, "None")
    }))

  it.scoped("a direction without a rate is not limited", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ read: 1 })
      yield* transport.write(bytes(50_000))
      assert.strictEqual((yield* peer.pull)!.length, 50_000)
      yield* peer.write(ascii("ab"))
      assert.strictEqual(text((yield* transport.pull)!), "a")
      const second = yield* Effect.fork(transport.pull)
      yield* TestClock.adjust(999)
      assert.strictEqual((yield* Fiber.poll(second))._tag, "None")
      yield* TestClock.adjust(1)
      assert.strictEqual(text((yield* Fiber.join(second))!), "b")
    }))
})

describe("writing", () => {
  it.scoped("a chunk larger than the burst is accepted whole, and leaves in pieces", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ write: { bytesPerSecond: 1000, burst: 100 } })
      yield* transport.write(counting(1000))
      const { loop, seen } = record(peer)
      const reading = yield* Effect.fork(loop)
      yield* Effect.fork(transport.closeWrite)
      yield* TestClock.adjust(899)
      assert.isBelow(joined(seen.map(({ chunk }) => chunk)).length, 1000)
      yield* TestClock.adjust(1)
      yield* Fiber.join(reading)
      assert.deepStrictEqual(joined(seen.map(({ chunk }) => chunk)), counting(1000))
    }))

  it.scoped("buffers what is sent in a second, then writers wait", () =>
    Effect.gen(function*() {
      const { transport } = yield* throttled({ write: 1000 })
      assert.strictEqual(transport.outgoing.capacity(), 1000)
      yield* transport.write(bytes(1200))
      const waiting = yield* Effect.fork(transport.write(ascii("x")))
      yield* settle
      assert.strictEqual(transport.stats().writersWaiting, 1)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiting)
    }))

  it.scoped("interrupted before the acceptance, nothing of it is sent; after it, everything", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ write: { bytesPerSecond: 100, burst: 1 } })
      // One byte leaves at once.
      yield* transport.write(counting(101))
      const accepted = yield* Effect.fork(transport.closeWrite)
      const refused = yield* Effect.flip(transport.write(ascii("never")))
      assert.instanceOf(refused, WriteAfterEnd)
      yield* Fiber.interrupt(accepted)
      const { loop, seen } = record(peer)
      const reading = yield* Effect.fork(loop)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(reading)
      assert.deepStrictEqual(joined(seen.map(({ chunk }) => chunk)), counting(101))
    }))

  it.scoped("a writer that is interrupted while it waits withdraws its bytes", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ write: { bytesPerSecond: 100, burst: 1 }, highWaterMark: 10 })
      // One byte leaves at once.
      yield* transport.write(bytes(11, 1))
      const withdrawn = yield* Effect.fork(transport.write(bytes(10, 2)))
      const waiting = yield* Effect.fork(transport.write(bytes(10, 3)))
      yield* TestClock.adjust(20)
      yield* Fiber.interrupt(withdrawn)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiting)
      yield* transport.closeWrite
      const { loop, seen } = record(peer)
      yield* loop
      assert.deepStrictEqual(joined(seen.map(({ chunk }) => chunk)), joined([bytes(11, 1), bytes(10, 3)]))
    }))

  it.scoped("flush waits for the bucket and for the carrier", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ write: { bytesPerSecond: 100, burst: 10 } }, { capacity: 0 })
      yield* transport.write(bytes(20))
      const flushed = yield* Effect.fork(transport.flush)
      yield* TestClock.adjust("1 second")
      // All is with the carrier; the peer has taken none of it.
      assert.strictEqual(transport.stats().buffered, 0)
      assert.strictEqual((yield* Fiber.poll(flushed))._tag, "None")
      yield* Effect.fork(Effect.forever(peer.pull))
      yield* Fiber.join(flushed)
    }))
})

describe("ending", () => {
  it.scoped("half-close passes in both directions, after all bytes", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ read: { bytesPerSecond: 10, burst: 1 }, write: 1000 })
      yield* peer.write(ascii("abc"))
      yield* peer.closeWrite
      const { loop, seen } = record(transport)
      const reading = yield* Effect.fork(loop)
      yield* TestClock.adjust(200)
      yield* Fiber.join(reading)
      assert.strictEqual(text(seen.map(({ chunk }) => chunk)), "abc")
      yield* transport.write(ascii("still open"))
      yield* transport.closeWrite
      assert.strictEqual(text((yield* peer.pull)!), "still open")
      assert.isNull(yield* peer.pull)
      const reason = yield* transport.closed
      assert(reason._tag === "Clean")
      assert.deepInclude(reason, { firstEnded: "peer", peerEnded: true, bytesRead: 3, bytesWritten: 10 })
    }))

  it.scoped("a reset of the peer fails readers, and writers that wait", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ write: { bytesPerSecond: 1, burst: 1 }, highWaterMark: 1 })
      yield* transport.write(bytes(1000))
      const writing = yield* Effect.fork(transport.write(ascii("x")))
      const reading = yield* Effect.fork(transport.pull)
      yield* settle
      yield* peer.abort
      assert.instanceOf(yield* Effect.flip(Fiber.join(writing)), ConnectionReset)
      assert.instanceOf(yield* Effect.flip(Fiber.join(reading)), ConnectionReset)
      assert.strictEqual((yield* transport.closed)._tag, "Lost")
    }))

  it.scoped("after a loss, what had come in before is given at once, and then the loss", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ read: { bytesPerSecond: 1, burst: 1 } })
      yield* peer.write(ascii("abcdef"))
      assert.strictEqual(text((yield* transport.pull)!), "a")
      yield* peer.abort
      const reason = yield* transport.closed
      assert(reason._tag === "Lost" && reason.error instanceof ConnectionReset)
      assert.strictEqual(text((yield* transport.pull)!), "bcdef")
      assert.strictEqual(yield* Effect.flip(transport.pull), reason.error)
    }))

  it.scoped("an abort resets the peer, and fails who waits for the bucket", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ write: { bytesPerSecond: 1, burst: 1 }, highWaterMark: 1 })
      yield* transport.write(bytes(1000))
      const flushing = yield* Effect.fork(transport.flush)
      const reading = yield* Effect.fork(Effect.forever(peer.pull))
      yield* settle
      yield* transport.abort
      assert.instanceOf(yield* Effect.flip(Fiber.join(flushing)), ConnectionAborted)
      assert.instanceOf(yield* Effect.flip(Fiber.join(reading)), ConnectionReset)
    }))

  it.scoped("a close sends what is buffered at its rate, if it can within its deadline", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({ write: { bytesPerSecond: 100, burst: 1 } })
      yield* transport.write(counting(401))
      const { loop, seen } = record(peer)
      const reading = yield* Effect.fork(Effect.zipRight(loop, peer.closeWrite))
      const closing = yield* Effect.fork(transport.close)
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(closing)
      yield* Fiber.join(reading)
      assert.deepStrictEqual(joined(seen.map(({ chunk }) => chunk)), counting(401))
      assert.strictEqual((yield* transport.closed)._tag, "Clean")
    }))

  it.scoped("a close that cannot aborts at its deadline, and says how much was unsent", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* throttled({
        write: { bytesPerSecond: 100, burst: 1 },
        closeTimeout: "2 seconds"
      })
      yield* transport.write(counting(1000))
      const reading = yield* Effect.fork(Effect.forever(peer.pull))
      const closing = yield* Effect.fork(transport.close)
      yield* TestClock.adjust(1999)
      yield* settle
      assert.strictEqual((yield* Fiber.poll(closing))._tag, "None")
      yield* TestClock.adjust(1)
      yield* Fiber.join(closing)
      const reason = yield* transport.closed
      assert(reason._tag === "Lost" && reason.error instanceof CloseTimeout)
      assert.isAtMost(Math.abs(reason.error.bytesUnsent - 800), 5)
      assert.instanceOf(yield* Effect.flip(Fiber.join(reading)), ConnectionReset)
    }))

  it.scoped("the idle limit beneath strikes through it", () =>
    Effect.gen(function*() {
      const [carrier] = yield* MemoryTransport.pair()
      const transport = yield* IdleTimeout.make({ duration: "1 second" })(carrier).pipe(
        Effect.flatMap(Throttle.make({ read: 1000, write: 1000 }))
      )
      const closed = yield* Effect.fork(transport.closed)
      yield* TestClock.adjust("1 second")
      const reason = yield* Fiber.join(closed)
      assert(reason._tag === "Lost" && reason.error._tag === "IdleTimeout")
    }))
})

describe("while there is room", () => {
  const shared = Effect.runSync(Throttle.share(1e12))
  const limits: Record<string, Throttle.Limit | ReadonlyArray<Throttle.Limit>> = {
    "its own": 1e12,
    "a shared one": shared,
    "several": [1e12, shared, shared]
  }
  for (const [name, limit] of Object.entries(limits)) {
    it.live(`a message costs no fiber, no wake-up, no copy and one write, limited by ${name}`, () =>
      Effect.gen(function*() {
        const { carrier, counts } = carrierThatCounts({ messages: 1000, size: 64, taking: "a turn later" })
        const transport = yield* Effect.flatMap(Driver.open(carrier), Throttle.make({ read: limit, write: limit }))
        const { scheduler, wakeUps } = schedulerThatCounts()
        yield* Effect.withScheduler(transport.forEach(transport.write), scheduler)
        const { copied, fibers, writes } = counts()
        assert.deepStrictEqual({ copied, fibers, writes }, { copied: 0, fibers: 0, writes: 1000 })
        assert.isAtMost(wakeUps(), 5)
      }).pipe(Effect.scoped))
  }
})

describe("what is left", () => {
  it.scoped("nothing after the Scope is closed, though bytes were waiting", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      const scope = yield* Scope.make()
      const [carrier, peer] = yield* MemoryTransport.pair()
      const transport = yield* Scope.extend(Throttle.make({ read: 10, write: 10 })(carrier), scope)
      yield* Effect.fork(Effect.ignore(transport.pull))
      yield* transport.write(bytes(20))
      const { loop, seen } = record(peer)
      yield* Effect.fork(Effect.zipRight(loop, peer.closeWrite))
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(closing)
      yield* settle
      assert.strictEqual(joined(seen.map(({ chunk }) => chunk)).length, 20)
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.effect("nothing after a loss", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      const scope = yield* Scope.make()
      const { peer, transport } = yield* Scope.extend(throttled({ read: 10, write: 10 }), scope)
      yield* Effect.fork(Effect.ignore(transport.pull))
      yield* transport.write(bytes(20))
      yield* settle
      yield* peer.abort
      yield* transport.closed
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
      yield* Scope.close(scope, Exit.void)
    }))
})

it.scoped("a wrong rate, burst or limit is a RangeError", () =>
  Effect.gen(function*() {
    const [carrier] = yield* MemoryTransport.pair()
    const wrong: ReadonlyArray<Throttle.ThrottleOptions> = [
      { read: 0 },
      { write: -1 },
      { read: Number.NaN },
      { write: Infinity },
      { read: { bytesPerSecond: 1, burst: 0 } },
      { write: { bytesPerSecond: 1, burst: Number.NaN } },
      { highWaterMark: 0 }
    ]
    for (const options of wrong) {
      const exit = yield* Effect.exit(Throttle.make(options)(carrier))
      assert(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof RangeError)
    }
  }))
