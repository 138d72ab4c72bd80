import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import type { SystemFailure } from "../../src/ConnectionError.ts"
import * as Driver from "../../src/Driver.ts"
import * as Turn from "../../src/internal/turn.ts"
import type { Transport } from "../../src/Transport.ts"
import { bytes } from "../support/bytes.ts"
import { carrier } from "../support/fakeDriver.ts"
import { pausedAt } from "../support/paused.ts"

const opened = (limits: Parameters<typeof carrier>[0] = {}) => {
  const fake = carrier<SystemFailure>(limits)
  return { transport: Driver.unsafeOpen(fake.carrier, Clock.make()), driver: fake.driver, events: fake.driver.events }
}

const reset: SystemFailure = { code: "ECONNRESET", syscall: "read", cause: undefined }

const turned = () => new Promise<void>((resolve) => setImmediate(resolve))

const settled = async () => {
  for (let turn = 0; turn < 3; turn++) await turned()
}

const schedulers: ReadonlyArray<readonly [name: string, scheduler: Scheduler.Scheduler]> = [
  ["Effect's scheduler", Scheduler.defaultScheduler],
  ["the turn's scheduler", Turn.scheduler]
]

const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafeInterruptAsFork(FiberId.none)

/** An effect that waits, in a fiber. */
const waiting = async <A, E>(
  effect: Effect.Effect<A, E>,
  scheduler: Scheduler.Scheduler = Scheduler.defaultScheduler
) => {
  const fiber = Effect.runFork(effect, { scheduler })
  await settled()
  return fiber
}

type Read = (transport: Transport, noted: Array<number>) => Effect.Effect<void, unknown>

/** The ways to read each of which notes what it was given in the step that gives it. */
const exact: ReadonlyArray<readonly [name: string, read: Read]> = [
  ["pull", (transport, noted) =>
    Effect.flatMap(transport.pull, (chunk) => {
      noted.push(...chunk ?? [])
      return Effect.void
    })],
  ["forEach", (transport, noted) =>
    transport.forEach((chunk) => {
      noted.push(...chunk)
      return Exit.void
    })],
  ["forEach with Effects that take time", (transport, noted) =>
    transport.forEach((chunk) => {
      noted.push(...chunk)
      return Effect.yieldNow()
    })]
]

/** It waits in another way than it began: after a primer, which is none of what is counted. */
const primer = 255

const primed: readonly [name: string, read: Read] = [
  "forEach whose last Effect took time",
  (transport, noted) =>
    Effect.zipRight(
      transport.unread(bytes(1, primer)),
      transport.forEach((chunk) => {
        if (chunk[0] === primer) return Effect.yieldNow()
        noted.push(...chunk)
        return Exit.void
      })
    )
]

/** A chunk that has begun its way through a Stream is lost with it. And it has a fiber of its own. */
const streamed: readonly [name: string, read: Read] = [
  "stream",
  (transport, noted) =>
    Stream.runForEach(transport.stream, (chunk) => {
      noted.push(...chunk)
      return Effect.void
    })
]

const readers = [...exact, streamed]

/** What is left, to the end of input. */
const rest = async ({ events, transport }: ReturnType<typeof opened>) => {
  events.ended()
  const left: Array<number> = []
  const loop: Effect.Effect<void, unknown> = Effect.flatMap(transport.pull, (chunk) => {
    if (chunk === null) return Effect.void
    left.push(...chunk)
    return loop
  })
  await Effect.runPromise(loop)
  return left.filter((byte) => byte !== primer)
}

const died = (exit: Exit.Exit<unknown, unknown> | null, message: string) =>
  exit !== null && Exit.isFailure(exit) && Cause.isDie(exit.cause) && Cause.pretty(exit.cause).includes(message)

const isInterrupted = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => {
  const exit = fiber.unsafePoll()
  return exit !== null && Exit.isInterrupted(exit)
}

const oneAtATime = "one pull at a time"

describe.each(schedulers)("a fiber that waits for input under %s", (_, scheduler) => {
  describe.each([...exact, primed])("in %s", (_, read) => {
    it("loses no byte, whenever the interruption comes between two chunks", async () => {
      const gaps = { "at once": async () => {}, "a microtask": () => Promise.resolve(), "a turn": turned }
      const orders = [["interrupt", 1, 2], [1, "interrupt", 2], [1, 2, "interrupt"]] as const
      for (const inEvent of [false, true]) {
        for (const order of orders) {
          for (const [first, firstGap] of Object.entries(gaps)) {
            for (const [second, secondGap] of Object.entries(gaps)) {
              const open = opened()
              const noted: Array<number> = []
              const fiber = Effect.runFork(read(open.transport, noted), { scheduler })
              await turned()
              const take = (step: "interrupt" | number) => {
                if (step === "interrupt") return interrupt(fiber)
                const report = () => open.events.received(bytes(2, step))
                if (inEvent) Turn.event(report)()
                else report()
              }
              take(order[0])
              await firstGap()
              take(order[1])
              await secondGap()
              take(order[2])
              await settled()
              const when = `${order.join()}, gaps: ${first}, ${second}${inEvent ? ", in events" : ""}`
              assert.isNotNull(fiber.unsafePoll(), when)
              assert.isFalse(open.transport.stats().pulling, when)
              assert.deepStrictEqual([...noted, ...await rest(open)], [1, 1, 2, 2], when)
            }
          }
        }
      }
    })

    it("loses no byte at any step, before it waits and after it was woken", async () => {
      for (let step = 0;; step++) {
        for (const dataFirst of [false, true]) {
          const open = opened()
          const noted: Array<number> = []
          const paused = pausedAt(read(open.transport, noted), step)
          await turned()
          // It waits: the step is one of those that follow.
          const woken = !paused.paused()
          if (woken || dataFirst) open.events.received(bytes(2, 1))
          if (woken) await turned()
          if (!paused.paused()) {
            assert.isAbove(step, 1)
            return interrupt(paused.fiber)
          }
          interrupt(paused.fiber)
          if (!woken && !dataFirst) open.events.received(bytes(2, 1))
          paused.goOn()
          await settled()
          assert.isNotNull(paused.fiber.unsafePoll(), `step ${step}`)
          assert.isFalse(open.transport.stats().pulling, `step ${step}`)
          assert.deepStrictEqual([...noted, ...await rest(open)], [1, 1], `step ${step}`)
        }
      }
    })

    it("where nothing interrupts, and interrupted, dies of the next reader, and takes nothing from it", async () => {
      for (const [name, other] of readers) {
        const { events, transport } = opened()
        const first = await waiting(Effect.uninterruptible(Effect.exit(read(transport, []))), scheduler)
        interrupt(first)
        await settled()
        const noted: Array<number> = []
        await waiting(other(transport, noted), scheduler)
        events.received(bytes(1, 7))
        await settled()
        events.ended()
        await settled()
        assert.isNotNull(first.unsafePoll(), `${name} leaves it for ever`)
        assert.deepStrictEqual(noted, [7], name)
      }
    })
  })

  describe.each([...readers, primed])("in %s", (_, read) => {
    it("and is interrupted leaves no trace", async () => {
      const { events, transport } = opened()
      const noted: Array<number> = []
      const first = await waiting(read(transport, noted), scheduler)
      assert.isTrue(transport.stats().pulling)
      interrupt(first)
      await settled()
      assert.isTrue(isInterrupted(first))
      assert.isFalse(transport.stats().pulling)
      const next = await waiting(transport.pull, scheduler)
      assert.isTrue(transport.stats().pulling)
      events.received(bytes(2, 7))
      await settled()
      assert.deepStrictEqual(next.unsafePoll(), Exit.succeed(bytes(2, 7)))
      assert.deepStrictEqual(noted, [])
    })

    it("interrupted in the tick in which its bytes come, leaves none when the connection ends", async () => {
      for (const act of ["close", "abort"] as const) {
        const { events, transport } = opened()
        const fiber = await waiting(read(transport, []), scheduler)
        events.received(bytes(2, 7))
        interrupt(fiber)
        await settled()
        Effect.runFork(transport[act])
        await settled()
        assert.strictEqual(transport.stats().unread, 0, act)
      }
    })

    it("where nothing interrupts, goes on and gets its bytes", async () => {
      const { events, transport } = opened()
      const noted: Array<number> = []
      const fiber = await waiting(Effect.uninterruptible(read(transport, noted)), scheduler)
      interrupt(fiber)
      await settled()
      assert.isNull(fiber.unsafePoll())
      for (const value of [7, 8]) {
        events.received(bytes(1, value))
        await settled()
        if (noted.length === 1 && fiber.unsafePoll() !== null) break
        assert.include(noted, value)
      }
      events.ended()
      await settled()
      assert.isNotNull(fiber.unsafePoll())
      assert.deepStrictEqual(noted.slice(0, 1), [7])
    })

    it("where nothing interrupts, interrupted in the tick in which its bytes come, gets them", async () => {
      for (const dataFirst of [false, true]) {
        const { events, transport } = opened()
        const noted: Array<number> = []
        const fiber = await waiting(Effect.uninterruptible(read(transport, noted)), scheduler)
        if (dataFirst) events.received(bytes(1, 7))
        interrupt(fiber)
        if (!dataFirst) events.received(bytes(1, 7))
        await settled()
        events.ended()
        await settled()
        assert.deepStrictEqual(noted, [7])
        assert.isNotNull(fiber.unsafePoll())
      }
    })

    it("dies of one that waits already, whichever, and that one goes on", async () => {
      for (const [name, other] of readers) {
        const { events, transport } = opened()
        const noted: Array<number> = []
        const first = await waiting(other(transport, noted), scheduler)
        const second = await waiting(read(transport, []), scheduler)
        assert.isTrue(died(second.unsafePoll(), oneAtATime), name)
        assert.isNull(first.unsafePoll())
        assert.isTrue(transport.stats().pulling)
        events.received(bytes(1, 7))
        await settled()
        assert.deepStrictEqual(noted, [7], name)
      }
    })

    it("in a finalizer of an interrupted fiber, waits like any other", async () => {
      const { events, transport } = opened()
      const noted: Array<number> = []
      const fiber = await waiting(
        Effect.onInterrupt(Effect.never, () => Effect.ignore(read(transport, noted))),
        scheduler
      )
      interrupt(fiber)
      await settled()
      assert.isTrue(transport.stats().pulling)
      // It is interrupted already: once more changes nothing.
      interrupt(fiber)
      await settled()
      assert.isTrue(transport.stats().pulling)
      assert.isTrue(died((await waiting(transport.pull)).unsafePoll(), oneAtATime))
      events.received(bytes(1, 7))
      await settled()
      events.ended()
      await settled()
      assert.deepStrictEqual(noted, [7])
      assert.isNotNull(fiber.unsafePoll())
    })

    it("in a finalizer of its own interruption, waits anew", async () => {
      for (const [name, other] of readers) {
        const { events, transport } = opened()
        const noted: Array<number> = []
        const fiber = await waiting(
          Effect.onInterrupt(read(transport, []), () => Effect.ignore(other(transport, noted))),
          scheduler
        )
        interrupt(fiber)
        await settled()
        assert.isTrue(transport.stats().pulling, name)
        events.received(bytes(1, 7))
        await settled()
        events.ended()
        await settled()
        assert.deepStrictEqual(noted, [7], name)
        assert.isNotNull(fiber.unsafePoll(), name)
      }
    })

    it("hears of the end, of a loss, of a close and of an abort", async () => {
      const happenings: ReadonlyArray<readonly [tag: string, happen: (open: ReturnType<typeof opened>) => void]> = [
        ["", ({ events }) => events.ended()],
        ["ConnectionReset", ({ events }) => events.failed(reset)],
        ["ConnectionClosed", ({ transport }) => void Effect.runFork(transport.close)],
        ["ConnectionAborted", ({ transport }) => void Effect.runFork(transport.abort)]
      ]
      for (const [tag, happen] of happenings) {
        const open = opened()
        const noted: Array<number> = []
        const failed = Effect.match(read(open.transport, noted), {
          onFailure: (error) => (error as { readonly _tag: string })._tag,
          onSuccess: () => ""
        })
        const fiber = await waiting(failed, scheduler)
        happen(open)
        await settled()
        assert.deepStrictEqual(fiber.unsafePoll(), Exit.succeed(tag))
        assert.deepStrictEqual(noted, [])
        assert.isFalse(open.transport.stats().pulling)
      }
    })
  })
})

describe("reading ahead, when a reader has left", () => {
  const readBufferSize = 10

  /** Gives chunks as long as they are asked for: all within one event, or one in a turn of the event loop. */
  const deliver = async ({ driver, events }: ReturnType<typeof opened>, size: number, gap: boolean) => {
    const reads = () => driver.count("startReading") > driver.count("stopReading")
    for (let count = 0; count < 100 && reads(); count++) {
      events.received(bytes(size))
      if (gap) await turned()
    }
    assert.isFalse(reads())
  }

  for (const [name, read] of readers) {
    for (const size of [1, 9, 10, 50]) {
      it(`from ${name}, is at most readBufferSize and one chunk, of ${size} bytes`, async () => {
        for (const gap of [false, true]) {
          const open = opened({ readBufferSize })
          const fiber = await waiting(read(open.transport, []))
          interrupt(fiber)
          await settled()
          await deliver(open, size, gap)
          await settled()
          assert.isAtMost(open.transport.stats().unread, readBufferSize + size, gap ? "one in a turn" : "all at once")
        }
      })

      it(`from ${name} in the tick of a chunk of ${size} bytes, is at most that chunk more`, async () => {
        for (const gap of [false, true]) {
          for (const interruptFirst of [false, true]) {
            const open = opened({ readBufferSize })
            const fiber = await waiting(read(open.transport, []))
            if (interruptFirst) interrupt(fiber)
            open.events.received(bytes(size))
            if (!interruptFirst) interrupt(fiber)
            if (gap) await turned()
            await deliver(open, size, gap)
            await settled()
            // Where chunks come one in a turn, as a socket's do, it is told to stop before the second.
            assert.isAtMost(open.transport.stats().unread, readBufferSize + size + (gap ? 0 : size))
          }
        }
      })
    }
  }
})

describe("stream", () => {
  it("takes its breath after 64 chunks", async () => {
    const open = opened({ readBufferSize: 1000 })
    for (let value = 0; value < 100; value++) open.events.received(bytes(1, value))
    const noted: Array<number> = []
    const fiber = Effect.runFork(streamed[1](open.transport, noted))
    // Of what it does in a turn of the event loop, it begins with this.
    await turned()
    assert.isAbove(noted.length, 0)
    assert.isAtMost(noted.length, 64)
    const before = noted.length
    interrupt(fiber)
    await settled()
    assert.lengthOf(noted, before)
    assert.deepStrictEqual([...noted, ...await rest(open)], Array.from({ length: 100 }, (_, value) => value))
  })
})

describe("forEach", () => {
  /** How often a fiber was to be run. */
  const counting = (inner: Scheduler.Scheduler) => {
    let runs = 0
    const scheduler: Scheduler.Scheduler = {
      shouldYield: (fiber) => inner.shouldYield(fiber),
      scheduleTask: (task, priority, fiber) => {
        runs++
        inner.scheduleTask(task, priority, fiber)
      }
    }
    return { scheduler, runs: () => runs }
  }

  const immediate: ReadonlyArray<
    readonly [name: string, effect: (transport: Transport) => Effect.Effect<void, unknown>]
  > = [
    ["a write into a buffer with room", (transport) => transport.write(bytes(1))],
    ["a writeAll into a buffer with room", (transport) => transport.writeAll([bytes(1), bytes(1)])],
    ["Exit.void", () => Exit.void],
    ["Effect.void", () => Effect.void]
  ]

  for (const [name, effect] of immediate) {
    it(`wakes no fiber while its Effects are ${name}`, async () => {
      const { events, transport } = opened()
      const { runs, scheduler } = counting(Scheduler.defaultScheduler)
      let handled = 0
      await waiting(
        transport.forEach(() => {
          handled++
          return effect(transport)
        }),
        scheduler
      )
      const before = runs()
      for (let count = 1; count <= 200; count++) {
        events.turned()
        events.received(bytes(1))
        await turned()
        assert.strictEqual(handled, count)
      }
      assert.strictEqual(runs(), before)
    })
  }

  it("wakes its fiber once for each chunk whose Effect takes more than a step, and for the one after it", async () => {
    const { events, transport } = opened()
    const { runs, scheduler } = counting(Scheduler.defaultScheduler)
    const handled: Array<number> = []
    const fiber = await waiting(
      transport.forEach((chunk) => {
        handled.push(...chunk)
        return chunk[0] === 1 ? Effect.sync(() => {}) : Exit.void
      }),
      scheduler
    )
    const wakes: Array<number> = []
    for (const value of [0, 1, 1, 1, 0, 0, 0, 1, 0]) {
      const before = runs()
      events.received(bytes(1, value))
      await settled()
      wakes.push(runs() - before)
    }
    assert.deepStrictEqual(handled, [0, 1, 1, 1, 0, 0, 0, 1, 0])
    assert.deepStrictEqual(wakes, [0, 1, 1, 1, 1, 0, 0, 1, 1])
    events.ended()
    await settled()
    assert.deepStrictEqual(fiber.unsafePoll(), Exit.void)
  })

  it("handles a chunk before the event is over that brought it, and the answer leaves then", async () => {
    const { driver, events, transport } = opened()
    await waiting(transport.forEach((chunk) => transport.write(chunk)))
    Turn.event(() => {
      events.received(bytes(1, 7))
      events.received(bytes(1, 8))
      assert.deepStrictEqual(driver.batches, [])
    })()
    assert.deepStrictEqual(driver.batches, [[bytes(1, 7), bytes(1, 8)]])
  })

  it("calls its function in no fiber but its own", async () => {
    const { events, transport } = opened()
    const seen: Array<Fiber.RuntimeFiber<unknown, unknown> | undefined> = []
    const { getCurrentFiber } = await import("effect/Fiber")
    const note = (chunk: Uint8Array) => {
      const fiber = getCurrentFiber()
      seen.push(fiber._tag === "Some" ? fiber.value : undefined)
      return transport.write(chunk)
    }
    events.received(bytes(1))
    const fiber = await waiting(transport.forEach(note))
    // Another fiber runs in the same tick, which has nothing to do with this.
    Turn.task(() => events.received(bytes(1)))
    Effect.runFork(Effect.zipRight(Effect.yieldNow(), Effect.sync(() => events.received(bytes(1)))))
    await settled()
    assert.lengthOf(seen, 3)
    assert.isTrue(seen.every((other) => other === undefined || other === fiber))
  })

  it("is lazy, and can be run again", async () => {
    const { events, transport } = opened()
    let called = 0
    const effect = transport.forEach(() => {
      called++
      return called === 1 ? Effect.fail("enough") : Exit.void
    })
    events.received(bytes(1))
    await settled()
    assert.strictEqual(called, 0)
    assert.isFalse(transport.stats().pulling)
    assert.deepStrictEqual((await waiting(effect)).unsafePoll(), Exit.fail("enough"))
    events.received(bytes(1))
    const again = await waiting(effect)
    assert.strictEqual(called, 2)
    events.ended()
    await settled()
    assert.deepStrictEqual(again.unsafePoll(), Exit.void)
  })

  it("interrupted by its own function, gives back what that was not given", async () => {
    for (const [, scheduler] of schedulers) {
      const open = opened({ readBufferSize: 1000 })
      const noted: Array<number> = []
      const fiber = await waiting(
        open.transport.forEach((chunk) => {
          noted.push(...chunk)
          if (chunk[0] === 3) interrupt(fiber)
          return Exit.void
        }),
        scheduler
      )
      for (let value = 0; value < 10; value++) {
        open.events.received(bytes(1, value))
        if (value % 4 === 0) await turned()
      }
      await settled()
      assert.isTrue(isInterrupted(fiber))
      assert.deepStrictEqual([...noted, ...await rest(open)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }
  })

  it("takes its breath after 64 chunks, and is a fiber that can be interrupted then", async () => {
    const open = opened({ readBufferSize: 1000 })
    await Effect.runPromise(open.transport.unread(bytes(1, 0)))
    for (let value = 1; value < 100; value++) open.events.received(bytes(1, value))
    const noted: Array<number> = []
    const fiber = Effect.runFork(open.transport.forEach((chunk) => {
      noted.push(...chunk)
      return Exit.void
    }))
    assert.isAtMost(noted.length, 64)
    const before = noted.length
    await Promise.resolve()
    assert.lengthOf(noted, before)
    interrupt(fiber)
    await settled()
    assert.lengthOf(noted, before)
    assert.deepStrictEqual([...noted, ...await rest(open)], Array.from({ length: 100 }, (_, value) => value))
  })

  it("dies of a pull that waits when the Effect of its function is over, which goes on", async () => {
    const { events, transport } = opened()
    let over: (() => void) | undefined
    const fiber = await waiting(
      transport.forEach(() =>
        Effect.async<void>((resume) => {
          over = () => resume(Effect.void)
        })
      )
    )
    events.received(bytes(1, 7))
    await settled()
    const pull = await waiting(transport.pull)
    over!()
    await settled()
    assert.isTrue(died(fiber.unsafePoll(), oneAtATime))
    events.received(bytes(1, 8))
    await settled()
    assert.deepStrictEqual(pull.unsafePoll(), Exit.succeed(bytes(1, 8)))
  })

  it("lets its function's Effect pull, and unread what it pulled", async () => {
    const { events, transport } = opened()
    const noted: Array<string> = []
    const fiber = await waiting(transport.forEach((chunk) =>
      Effect.flatMap(transport.pull, (next) => {
        noted.push(`${chunk[0]} then ${next?.[0]}`)
        return chunk[0] === 1 ? transport.unread(bytes(1, 5)) : Effect.void
      })
    ))
    for (const value of [1, 2, 3]) events.received(bytes(1, value))
    await settled()
    events.ended()
    await settled()
    assert.deepStrictEqual(noted, ["1 then 2", "5 then 3"])
    assert.deepStrictEqual(fiber.unsafePoll(), Exit.void)
  })
})
