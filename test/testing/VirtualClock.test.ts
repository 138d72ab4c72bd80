import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as asyncHooks from "node:async_hooks"
import * as fs from "node:fs/promises"
import * as Address from "../../src/Address.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Network from "../../src/Network.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import type { Transport } from "../../src/Transport.ts"
import { ascii, bytes, text } from "../support/bytes.ts"

const now = Clock.currentTimeMillis

/** How many immediates and timers of the host the effect takes. */
const counting = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const counts = { immediates: 0, timers: 0 }
      const hook = asyncHooks.createHook({
        init: (_, type) => {
          if (type === "Immediate") counts.immediates++
          if (type === "Timeout") counts.timers++
        }
      })
      return { counts, hook: hook.enable() }
    }),
    ({ counts }) => Effect.as(effect, counts),
    ({ hook }) => Effect.sync(() => hook.disable())
  )

describe("time", () => {
  it.live("begins at 0, or where it is told, and stands still while anything runs", () =>
    Effect.gen(function*() {
      const busy = Effect.gen(function*() {
        const before = yield* now
        for (let index = 0; index < 5000; index++) yield* Effect.yieldNow()
        return [before, yield* now]
      })
      assert.deepStrictEqual(yield* VirtualClock.run(busy), [0, 0])
      assert.deepStrictEqual(yield* VirtualClock.run(busy, { start: 1_000_000 }), [1_000_000, 1_000_000])
    }))

  it.live("stands still while a promise is on its way that waits for nothing outside", () =>
    VirtualClock.run(Effect.gen(function*() {
      yield* Effect.fork(Effect.sleep("1 hour"))
      yield* Effect.promise(async () => {
        for (let turn = 0; turn < 100; turn++) await Promise.resolve()
      })
      assert.strictEqual(yield* now, 0)
    })))

  it.live("jumps to the next timer, whatever its distance", () =>
    VirtualClock.run(Effect.gen(function*() {
      yield* Effect.sleep("3650 days")
      assert.strictEqual(yield* now, 3650 * 86_400_000)
      yield* Effect.sleep("1 millis")
      yield* Effect.sleep(0)
    })))

  it.live("has fractions of milliseconds, which the whole ones leave out", () =>
    VirtualClock.run(Effect.gen(function*() {
      yield* Effect.sleep("1500 micros")
      assert.strictEqual(yield* now, 1)
      assert.strictEqual(yield* Clock.currentTimeNanos, 1_500_000n)
      yield* Effect.sleep("1500 micros")
      assert.strictEqual(yield* now, 3)
    })))

  it.live("wakes in the order of the timers, and at one instant in the order in which they were set", () =>
    VirtualClock.run(Effect.gen(function*() {
      const log: Array<string> = []
      const sleeper = (millis: number, name: string) =>
        Effect.zipRight(Effect.sleep(millis), Effect.sync(() => log.push(name)))
      yield* Effect.all(
        [sleeper(30, "d"), sleeper(10, "a"), sleeper(20, "b"), sleeper(30, "e"), sleeper(20, "c"), sleeper(30, "f")],
        { concurrency: "unbounded" }
      )
      assert.strictEqual(log.join(""), "abcdef")
    })))

  it.live("does not go to timers that are cancelled", () =>
    VirtualClock.run(Effect.gen(function*() {
      const sleeping = yield* Effect.fork(Effect.sleep("1 hour"))
      yield* Effect.sleep("1 second")
      yield* Fiber.interrupt(sleeping)
      yield* Effect.sleep("2 hours")
      assert.strictEqual(yield* now, 7_201_000)
    })))

  it.live("is each run's own", () =>
    Effect.gen(function*() {
      const one = yield* Effect.fork(VirtualClock.run(Effect.zipRight(Effect.sleep("1 hour"), now)))
      const two = yield* Effect.fork(VirtualClock.run(Effect.zipRight(Effect.sleep("1 minute"), now)))
      assert.deepStrictEqual(yield* Fiber.join(Fiber.zip(one, two)), [3_600_000, 60_000])
    }))

  it.live("stands still while a program runs in it that has a time of its own", () =>
    VirtualClock.run(Effect.gen(function*() {
      const sleeping = yield* Effect.fork(Effect.sleep("1 minute"))
      const within = Effect.zipRight(Effect.sleep("2 hours"), Clock.currentTimeMillis)
      assert.strictEqual(yield* VirtualClock.run(within), 2 * 3_600_000)
      assert.strictEqual((yield* Effect.flip(VirtualClock.run(Effect.never)))._tag, "Deadlock")
      assert.isNull(sleeping.unsafePoll())
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
      yield* Fiber.join(sleeping)
      assert.strictEqual(yield* Clock.currentTimeMillis, 60_000)
    })))

  it.live("lets go of timers that are cancelled, however far away they are", () =>
    VirtualClock.run(Effect.gen(function*() {
      const { timers } = (yield* Effect.clock) as unknown as { readonly timers: { readonly size: number } }
      for (let index = 0; index < 1000; index++) yield* Effect.timeout(Effect.sleep(1), "1 day")
      assert.isBelow(timers.size, 200)
      assert.strictEqual(yield* now, 1000)
    })))

  it.live("wakes in the order of the timers also after many were cancelled", () =>
    VirtualClock.run(Effect.gen(function*() {
      const log: Array<number> = []
      const sleepers = yield* Effect.forEach(
        Array.from({ length: 300 }, (_, index) => index),
        (index) =>
          Effect.fork(
            Effect.zipRight(Effect.sleep((index * 7919) % 300), Effect.sync(() => log.push((index * 7919) % 300)))
          )
      )
      yield* Effect.yieldNow()
      yield* Fiber.interruptAll(sleepers.filter((_, index) => index % 3 !== 0))
      yield* Effect.sleep("1 second")
      assert.strictEqual(log.length, 100)
      assert.deepStrictEqual(log, log.toSorted((left, right) => left - right))
    })))

  it.live("of fifty thousand sleeps takes a turn of the event loop each, and no timer of the host", () =>
    Effect.gen(function*() {
      const count = 50_000
      const counts = yield* counting(VirtualClock.run(Effect.gen(function*() {
        for (let index = 0; index < count; index++) yield* Effect.sleep("1 minute")
        assert.strictEqual(yield* now, count * 60_000)
      })))
      assert.isAtMost(counts.immediates, 2 * count + 10)
      assert.isAtMost(counts.timers, 10)
    }))

  it.live("of ten thousand fibers that sleep until one instant takes few turns", () =>
    Effect.gen(function*() {
      const counts = yield* counting(VirtualClock.run(
        Effect.forEach(Array.from({ length: 10_000 }, () => Effect.sleep("1 minute")), (sleep) => sleep, {
          concurrency: "unbounded",
          discard: true
        })
      ))
      assert.isAtMost(counts.immediates, 200)
      assert.isAtMost(counts.timers, 10)
    }))
})

describe("what goes by the Clock of Effect goes by this one", () => {
  it.live("timeouts", () =>
    VirtualClock.run(Effect.gen(function*() {
      assert.strictEqual((yield* Effect.timeoutOption(Effect.never, "1 hour"))._tag, "None")
      assert.strictEqual(yield* now, 3_600_000)
      // One that is not needed is not waited for.
      yield* Effect.timeout(Effect.sleep("1 second"), "1 day")
      assert.strictEqual(yield* now, 3_601_000)
    })))

  it.live("schedules", () =>
    VirtualClock.run(Effect.gen(function*() {
      const times: Array<number> = []
      const attempt = Effect.flatMap(now, (time) => {
        times.push(time)
        return Effect.fail("again")
      })
      yield* Effect.exit(
        Effect.retry(attempt, Schedule.intersect(Schedule.exponential("1 second"), Schedule.recurs(5)))
      )
      assert.deepStrictEqual(times, [0, 1000, 3000, 7000, 15_000, 31_000])
    })))

  it.live("streams that are throttled", () =>
    VirtualClock.run(Effect.gen(function*() {
      const times = yield* Stream.range(1, 5).pipe(
        Stream.rechunk(1),
        Stream.throttle({ cost: Chunk.size, units: 1, duration: "1 minute" }),
        Stream.mapEffect(() => now),
        Stream.runCollect
      )
      assert.deepStrictEqual(Chunk.toReadonlyArray(times), [0, 60_000, 120_000, 180_000, 240_000])
    })))
})

describe("a deadlock", () => {
  it.live("is a failure of its own, with the time at which it came", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(VirtualClock.run(Effect.zipRight(Effect.sleep("90 seconds"), Effect.never)))
      assert.strictEqual(error._tag, "Deadlock")
      assert.strictEqual(error.after, 90_000)
      assert.include(error.message, "1m 30s")
      assert.include(error.message, "whenStuck")
    }))

  it.live("is one also where fibers wait for each other", () =>
    Effect.gen(function*() {
      const waiting = Effect.gen(function*() {
        const [left, right] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        yield* Effect.all([
          Effect.zipRight(Deferred.await(left), Deferred.succeed(right, undefined)),
          Effect.zipRight(Deferred.await(right), Deferred.succeed(left, undefined))
        ], { concurrency: "unbounded" })
      })
      assert.strictEqual((yield* Effect.flip(VirtualClock.run(waiting)))._tag, "Deadlock")
    }))

  it.live("tells which transports were open, and who waited for what", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const limits = { highWaterMark: 1000, lowWaterMark: 0 }
        const [left, right] = yield* MemoryTransport.pair({ ...limits, capacity: 0 })
        const [over] = yield* MemoryTransport.pair()
        yield* over.abort
        yield* right.closeWrite
        yield* left.write(bytes(1000))
        yield* Effect.zip(left.write(bytes(1)), Effect.zipRight(left.pull, Effect.never), { concurrent: true })
      })
      const error = yield* Effect.flip(VirtualClock.run(Effect.scoped(program)))
      if (error._tag !== "Deadlock") return assert.fail(error.message)
      const [left, right] = error.transports
      assert.deepInclude(left, { buffered: 1000, writersWaiting: 1, peerEnded: true, pulling: false })
      assert.deepInclude(right, { buffered: 0, unread: 0, pulling: false })
      assert.strictEqual(
        error.message.slice(error.message.indexOf("\n")),
        `
Open transports:
  left to right: 0 bytes read, 0 written, is not read, its peer has ended, 1 write waits for room, 1000 bytes not sent
  right to left: 0 bytes read, 0 written, is not read`
      )
    }))

  it.live("runs the finalizers, in their time", () =>
    Effect.gen(function*() {
      const log: Array<number> = []
      const note = Effect.map(now, (time) => log.push(time))
      const program = Effect.ensuring(Effect.never, Effect.zipRight(Effect.sleep("1 minute"), note))
      const error = yield* Effect.flip(VirtualClock.run(program))
      assert.strictEqual(error.after, 0)
      assert.deepStrictEqual(log, [60_000])
    }))

  it.live("is one also when the finalizers wait for ever", () =>
    Effect.gen(function*() {
      const program = Effect.ensuring(Effect.never, Effect.never)
      assert.strictEqual((yield* Effect.flip(VirtualClock.run(program)))._tag, "Deadlock")
    }))

  it.live("is one also when nothing is left but probes of a peer that does not read, or is silent", () =>
    Effect.gen(function*() {
      const ends = Effect.gen(function*() {
        const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
        const client = yield* Network.connect(listener.address, { keepAlive: "1 second" })
        return [client, yield* listener.accept] as const
      })
      const silent = Effect.flatMap(
        ends,
        ([client, server]) => Effect.zip(client.pull, server.pull, { concurrent: true })
      )
      const flooding = Effect.flatMap(ends, ([client, server]) => {
        const write = (transport: Transport) => Effect.zipRight(transport.write(bytes(1_000_000)), transport.flush)
        return Effect.zip(write(client), write(server), { concurrent: true })
      })
      for (const program of [Effect.asVoid(silent), Effect.asVoid(flooding)]) {
        const error = yield* Effect.flip(SimNetwork.run(Effect.scoped(program)))
        // Not when the last probe came.
        if (error._tag !== "Deadlock") return assert.fail(error.message)
        assert.isBelow(error.after, 5000)
      }
    }))

  it.live("is none while a timer in the background may still wake somebody", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const sim = yield* SimNetwork.SimNetwork
        const listener = yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
        const client = yield* SimNetwork.on(Network.connect(listener.address, { keepAlive: "5 hours" }), "client")
        yield* sim.crash("server")
        return yield* Effect.flip(client.pull)
      })
      const error = yield* SimNetwork.run(Effect.scoped(program), { hosts: ["client", "server"] })
      assert.strictEqual(error._tag, "ConnectionTimedOut")
    }))

  it.live("is told before what the finalizers die of", () =>
    Effect.gen(function*() {
      const program = Effect.ensuring(Effect.never, Effect.die("broken"))
      const cause = yield* Effect.flip(Effect.sandbox(VirtualClock.run(program)))
      assert.deepStrictEqual(Chunk.toReadonlyArray(Cause.failures(cause)).map(({ _tag }) => _tag), ["Deadlock"])
      assert.deepStrictEqual(Chunk.toReadonlyArray(Cause.defects(cause)), ["broken"])
    }))

  it.live("is none of a program that has an answer to its interruption", () =>
    Effect.gen(function*() {
      const program = Effect.onInterrupt(Effect.never, () => Effect.die("stubborn"))
      const exit = yield* Effect.exit(VirtualClock.run(program))
      assert.isTrue(Exit.isFailure(exit))
    }))
})

describe("a limit", () => {
  const endless = Effect.forever(Effect.sleep("1 second"))

  it.live("ends a program that goes on for ever, and runs its finalizers in their time", () =>
    Effect.gen(function*() {
      const log: Array<number> = []
      const note = Effect.map(now, (time) => log.push(time))
      const program = Effect.ensuring(endless, Effect.zipRight(Effect.sleep("30 minutes"), note))
      const error = yield* Effect.flip(VirtualClock.run(program, { limit: "1 hour", start: 1000 }))
      assert.strictEqual(error._tag, "TimeLimitExceeded")
      assert.strictEqual(error.after, 3_600_000)
      assert.include(error.message, "1h")
      assert.deepStrictEqual(log, [1000 + 3_600_000 + 30 * 60_000])
    }))

  it.live("tells which transports were open, ten of them in words", () =>
    Effect.gen(function*() {
      const program = Effect.zipRight(Effect.replicateEffect(MemoryTransport.pair(), 6), endless)
      const error = yield* Effect.flip(VirtualClock.run(Effect.scoped(program), { limit: "1 minute" }))
      if (error._tag !== "TimeLimitExceeded") return assert.fail(error.message)
      assert.strictEqual(error.transports.length, 12)
      const lines = error.message.split("\n")
      assert.strictEqual(lines.length, 13)
      assert.strictEqual(lines.at(-1), "  and 2 more")
    }))

  it.live("ends it also when the finalizers go on for ever", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(VirtualClock.run(Effect.ensuring(endless, endless), { limit: "1 minute" }))
      assert.strictEqual(error._tag, "TimeLimitExceeded")
    }))

  it.live("ends it also where what is outside is waited for", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(VirtualClock.run(endless, { limit: "1 minute", whenStuck: "wait" }))
      assert.strictEqual(error._tag, "TimeLimitExceeded")
    }))

  it.live("is none of a program that is over when it is reached", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* VirtualClock.run(Effect.as(Effect.sleep("1 hour"), 1), { limit: "1 hour" }), 1)
      assert.strictEqual((yield* Effect.flip(VirtualClock.run(Effect.never, { limit: "1 hour" })))._tag, "Deadlock")
      // A timer that is cancelled exceeds nothing.
      const beyond = Effect.zipRight(Effect.timeout(Effect.sleep("1 second"), "2 hours"), Effect.never)
      assert.strictEqual((yield* Effect.flip(VirtualClock.run(beyond, { limit: "1 hour" })))._tag, "Deadlock")
    }))
})

describe("a run", () => {
  it.live("dies of a start that is no time", () =>
    Effect.gen(function*() {
      for (const start of [NaN, Infinity]) {
        const cause = yield* Effect.flip(Effect.sandbox(VirtualClock.run(Effect.void, { start })))
        assert.instanceOf(Cause.squash(cause), RangeError)
        assert.include(`${Cause.squash(cause)}`, "start")
      }
    }))

  it.live("gives and fails as the program does", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* VirtualClock.run(Effect.succeed(1)), 1)
      assert.strictEqual(yield* Effect.flip(VirtualClock.run(Effect.fail("no"))), "no")
      assert.deepStrictEqual(yield* Effect.exit(VirtualClock.run(Effect.die("bug"))), Exit.die("bug"))
    }))

  it.live("that is interrupted interrupts the program, whose finalizers have their time", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const started = yield* Deferred.make<void>()
      const program = Effect.ensuring(
        Effect.zipRight(Deferred.succeed(started, undefined), Effect.never),
        Effect.zipRight(Effect.sleep("1 hour"), Effect.sync(() => log.push("cleaned up")))
      )
      const running = yield* Effect.fork(VirtualClock.run(program, { whenStuck: "wait" }))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(log, ["cleaned up"])
    }))

  it.live("that is interrupted is over also when the finalizers wait for ever", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const program = Effect.ensuring(Effect.zipRight(Deferred.succeed(started, undefined), Effect.never), Effect.never)
      const running = yield* Effect.forkDaemon(VirtualClock.run(program))
      yield* Deferred.await(started)
      const exit = yield* Fiber.interrupt(running)
      assert.isTrue(Exit.isInterrupted(exit))
    }))

  it.live("can be interrupted also while time does not stop and does not pass", () =>
    Effect.gen(function*() {
      for (const program of [Effect.sleep(0), Effect.sleep(1), Effect.yieldNow()]) {
        const running = yield* Effect.fork(VirtualClock.run(Effect.forever(program)))
        yield* Effect.sleep("5 millis")
        yield* Fiber.interrupt(running)
      }
    }))

  it.live("waits in real time for what is outside, if it is told to and no timer is left", () =>
    VirtualClock.run(
      Effect.gen(function*() {
        const content = yield* Effect.promise(() => fs.readFile(import.meta.filename, "utf8"))
        assert.include(content, "in real time")
        assert.strictEqual(yield* now, 0)
        yield* Effect.sleep("1 hour")
        const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
        const client = yield* Network.connect(listener.address)
        const server = yield* listener.accept
        yield* client.write(ascii("hello"))
        assert.strictEqual(text((yield* server.pull)!), "hello")
        yield* Effect.all([client.close, server.close], { concurrency: "unbounded" })
      }).pipe(Effect.scoped, Effect.provide(NodeNetwork.layer)),
      { whenStuck: "wait" }
    ))
})
