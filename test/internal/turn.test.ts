import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import type { SystemFailure } from "../../src/ConnectionError.ts"
import * as Driver from "../../src/Driver.ts"
import * as Turn from "../../src/internal/turn.ts"
import { bytes } from "../support/bytes.ts"
import { carrier } from "../support/fakeDriver.ts"

/** What is done, in its order. */
const noting = () => {
  const noted: Array<string> = []
  return {
    noted,
    task: (name: string, then = () => {}) =>
      Turn.task(() => {
        noted.push(name)
        then()
      }),
    defer: (name: string, then = () => {}) =>
      Turn.defer({
        run: () => {
          noted.push(name)
          then()
        }
      })
  }
}

const event = (happens: () => void) => Turn.event(happens)()

const microtasks = async () => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

/** The event loop turns; microtasks alone do not get here. */
const turned = () => new Promise<void>((resolve) => setImmediate(resolve))

const ofTurn = <A, E>(effect: Effect.Effect<A, E>) => Effect.runFork(effect, { scheduler: Turn.scheduler })

const ofEffect = <A, E>(effect: Effect.Effect<A, E>) => Effect.runFork(effect)

/** What goes on for ever ends with its test. */
const stops: Array<() => void> = []
afterEach(async () => {
  for (const stop of stops.splice(0)) stop()
  await turned()
})

/** Something that goes on for ever: `next` makes it go on. */
const endless = (next: (run: () => void) => void) => {
  let runs = 0
  let over = false
  const run = () => {
    runs++
    if (!over) next(run)
  }
  stops.push(() => (over = true))
  next(run)
  return { runs: () => runs }
}

/** A fiber that never ends by itself. */
const busy = (effect: Effect.Effect<unknown, unknown>) => {
  const fiber = ofTurn(effect)
  stops.push(() => fiber.unsafeInterruptAsFork(fiber.id()))
}

const opened = (clock = Clock.make()) => {
  const fake = carrier<SystemFailure>({ highWaterMark: 1000 })
  return { transport: Driver.unsafeOpen(fake.carrier, clock), driver: fake.driver, events: fake.driver.events }
}

/** Gives what was thrown and nobody caught: within the call, or out of the event loop. */
const uncaught = async (act: () => void) => {
  const thrown: Array<unknown> = []
  const hear = (error: unknown) => void thrown.push(error)
  const names = ["uncaughtException", "unhandledRejection"] as const
  const others = names.map((name) => process.listeners(name as "uncaughtException"))
  for (const name of names) process.removeAllListeners(name).on(name, hear)
  try {
    act()
  } catch (error) {
    hear(error)
  }
  for (let turn = 0; turn < 3; turn++) await turned()
  names.forEach((name, index) => {
    process.removeAllListeners(name)
    for (const listener of others[index]!) process.on(name, listener)
  })
  return thrown
}

describe("an event", () => {
  it("is over when all is done that it brought about, and what that brought about", () => {
    const { defer, noted, task } = noting()
    event(() => {
      task("a", () => task("c", () => task("d")))
      task("b")
      defer("flush")
      assert.deepStrictEqual(noted, [])
    })
    assert.deepStrictEqual(noted, ["a", "b", "c", "d", "flush"])
  })

  it("ends with what was put off, after every task", () => {
    const { defer, noted, task } = noting()
    event(() => {
      task("a", () => {
        defer("first")
        task("b", () => defer("second"))
      })
    })
    assert.deepStrictEqual(noted, ["a", "b", "first", "second"])
  })

  it("goes on with the tasks that the end has woken, and ends again", () => {
    const { defer, noted, task } = noting()
    event(() => defer("first", () => task("woken", () => defer("second"))))
    assert.deepStrictEqual(noted, ["first", "woken", "second"])
  })

  const [one, other] = [{}, {}]

  it("that holds what is put off leaves it to the next one, which need not come in the same turn", async () => {
    const { defer, noted, task } = noting()
    event(() => {
      Turn.hold(one)
      task("a", () => defer("first"))
    })
    assert.deepStrictEqual(noted, ["a"])
    await microtasks()
    assert.deepStrictEqual(noted, ["a"])
    event(() => task("b", () => defer("second")))
    assert.deepStrictEqual(noted, ["a", "b", "first", "second"])
    event(() => {
      Turn.hold(one)
      defer("third")
    })
    await turned()
    assert.deepStrictEqual(noted, ["a", "b", "first", "second", "third"])
  })

  it("that is held by one leaves what was held for another", async () => {
    const { defer, noted } = noting()
    const reading = (by: object, name: string) =>
      event(() => {
        Turn.hold(by)
        defer(name)
      })
    reading(one, "a")
    reading(one, "b")
    assert.deepStrictEqual(noted, [])
    reading(other, "c")
    assert.deepStrictEqual(noted, ["a", "b"])
    event(() => defer("d"))
    assert.deepStrictEqual(noted, ["a", "b", "c", "d"])
    reading(one, "e")
    await turned()
    assert.deepStrictEqual(noted, ["a", "b", "c", "d", "e"])
  })

  it("is held by nobody from without", async () => {
    const { defer, noted } = noting()
    Turn.hold(one)
    event(() => defer("event"))
    Turn.hold(one)
    defer("microtask")
    assert.deepStrictEqual(noted, ["event"])
    await microtasks()
    assert.deepStrictEqual(noted, ["event", "microtask"])
  })

  it("within an event is over with the outer one", () => {
    const { defer, noted, task } = noting()
    event(() => {
      event(() => {
        task("task")
        defer("flush")
      })
      assert.deepStrictEqual(noted, [])
    })
    assert.deepStrictEqual(noted, ["task", "flush"])
  })

  it("that comes within a task is over with the one that is under way", () => {
    const { defer, noted, task } = noting()
    event(() => {
      task("task", () => {
        event(() => {
          task("inner")
          defer("inner flush")
        })
        noted.push("task is over")
      })
      defer("flush")
    })
    assert.deepStrictEqual(noted, ["task", "task is over", "inner", "flush", "inner flush"])
  })

  it("that comes within the end leaves nothing put off for ever", async () => {
    const { defer, noted } = noting()
    event(() => defer("outer", () => event(() => defer("inner"))))
    await turned()
    assert.deepStrictEqual(noted, ["outer", "inner"])
  })

  it("leaves nothing for a microtask, and the next one begins anew", async () => {
    const { noted, task } = noting()
    event(() => task("first"))
    await microtasks()
    assert.deepStrictEqual(noted, ["first"])
    event(() => task("second"))
    assert.deepStrictEqual(noted, ["first", "second"])
  })

  it("takes over what waits for a microtask", async () => {
    const { defer, noted, task } = noting()
    defer("flush")
    task("a")
    event(() => task("b"))
    assert.deepStrictEqual(noted, ["a", "b", "flush"])
    await microtasks()
    assert.lengthOf(noted, 3)
  })
})

describe("without an event", () => {
  it("tasks and what is put off run in a microtask, in this order", async () => {
    const { defer, noted, task } = noting()
    defer("flush")
    task("a", () => task("b"))
    assert.deepStrictEqual(noted, [])
    await microtasks()
    assert.deepStrictEqual(noted, ["a", "b", "flush"])
  })

  it("what is put off by what was put off runs as well", async () => {
    const { defer, noted } = noting()
    defer("first", () => defer("second", () => defer("third")))
    for (let turn = 0; turn < 4; turn++) await turned()
    assert.deepStrictEqual(noted, ["first", "second", "third"])
  })

  it("what comes in a later microtask runs in one", async () => {
    const { noted, task } = noting()
    for (const name of ["a", "b", "c"]) {
      task(name)
      await microtasks()
      assert.strictEqual(noted.at(-1), name)
    }
  })
})

describe("priorities", () => {
  const ordered = (...priorities: ReadonlyArray<number>) => {
    const noted: Array<number> = []
    event(() => {
      for (const priority of priorities) Turn.scheduler.scheduleTask(() => void noted.push(priority), priority)
    })
    return noted
  }

  it("order the tasks that are due together, the least first", () => {
    assert.deepStrictEqual(ordered(2, 0, 1, 0, 3), [0, 0, 1, 2, 3])
  })

  it("are those of Effect's own queue, also below 0", () => {
    const buckets = new Scheduler.PriorityBuckets<number>()
    const priorities = [1, 0, -1, -5, 0]
    for (const priority of priorities) buckets.scheduleTask(priority, priority)
    assert.deepStrictEqual(ordered(...priorities), buckets.buckets.flatMap(([, tasks]) => tasks))
  })

  it("of the same number keep their order", () => {
    const noted: Array<string> = []
    event(() => {
      for (const name of ["a", "b", "c"]) Turn.scheduler.scheduleTask(() => void noted.push(name), 7)
    })
    assert.deepStrictEqual(noted, ["a", "b", "c"])
  })

  it("of tasks that come up meanwhile count from then on", async () => {
    const noted: Array<string> = []
    Turn.scheduler.scheduleTask(() => {
      noted.push("first")
      Turn.scheduler.scheduleTask(() => void noted.push("later"), 1)
      Turn.scheduler.scheduleTask(() => void noted.push("sooner"), 0)
    }, 5)
    await microtasks()
    assert.deepStrictEqual(noted, ["first", "sooner", "later"])
  })
})

describe("tasks without end", () => {
  it("do not hold an event: they go on when the event loop has turned", async () => {
    let tasks!: ReturnType<typeof endless>
    event(() => {
      tasks = endless(Turn.task)
    })
    const within = tasks.runs()
    assert.isAbove(within, 0)
    assert.isAtMost(within, 100)
    await microtasks()
    assert.strictEqual(tasks.runs(), within)
    await turned()
    assert.isAbove(tasks.runs(), within)
  })

  it("run no more often in a turn of the event loop in which many events come", async () => {
    const tasks = endless(Turn.task)
    await turned()
    const before = tasks.runs()
    for (let count = 0; count < 50; count++) event(() => {})
    await microtasks()
    assert.isAtMost(tasks.runs() - before, 100)
    await turned()
    assert.isAbove(tasks.runs(), before)
  })

  it("run no more often in a turn of the event loop after many events", async () => {
    const tasks = endless(Turn.task)
    for (let count = 0; count < 100; count++) {
      event(() => {})
      if (count % 10 === 0) await turned()
    }
    const runsOfOneTurn = async () => {
      const before = tasks.runs()
      await turned()
      return tasks.runs() - before
    }
    await turned()
    assert.isAtMost(await runsOfOneTurn(), 100)
  })

  it("of any priority let the event loop turn", async () => {
    const before = endless((run) => Turn.scheduler.scheduleTask(run, -1))
    const after = endless((run) => Turn.scheduler.scheduleTask(run, 3))
    await turned()
    await turned()
    assert.isAbove(before.runs(), 0)
    assert.isAbove(after.runs(), 0)
  })

  it("do not hold what is put off", async () => {
    const { defer, noted } = noting()
    endless(Turn.task)
    event(() => defer("within the event"))
    assert.deepStrictEqual(noted, ["within the event"])
    defer("without an event")
    await turned()
    await turned()
    assert.deepStrictEqual(noted, ["within the event", "without an event"])
  })

  it("let the event loop turn also when they are put off, or woken by what is put off", async () => {
    const deferred = endless((run) => Turn.defer({ run }))
    const alternating = endless((run) => Turn.defer({ run: () => Turn.task(run) }))
    await turned()
    await turned()
    assert.isAbove(deferred.runs(), 0)
    assert.isAbove(alternating.runs(), 0)
  })

  it("let the tasks of the next event run within it", async () => {
    const { noted, task } = noting()
    endless(Turn.task)
    await turned()
    event(() => task("a", () => task("b")))
    assert.deepStrictEqual(noted, ["a", "b"])
  })
})

describe("what throws", () => {
  const error = new Error("thrown on purpose")
  const fail = () => {
    throw error
  }

  for (const [name, occur] of [["in an event", event], ["without one", (act: () => void) => act()]] as const) {
    it(`${name}, a task, is heard of, and costs no other task its run`, async () => {
      const { defer, noted, task } = noting()
      const thrown = await uncaught(() =>
        occur(() => {
          task("before")
          Turn.task(fail)
          task("after", () => task("its own"))
          Turn.scheduler.scheduleTask(fail, 1)
          Turn.scheduler.scheduleTask(() => void noted.push("of another priority"), 1)
          defer("flush")
        })
      )
      assert.deepStrictEqual(noted.toSorted(), ["after", "before", "flush", "its own", "of another priority"])
      assert.include(thrown, error)
    })

    it(`${name}, something that was put off, is heard of, and keeps nothing else from leaving`, async () => {
      const { defer, noted } = noting()
      const thrown = await uncaught(() =>
        occur(() => {
          defer("before")
          Turn.defer({ run: fail })
          defer("after")
        })
      )
      assert.deepStrictEqual(noted, ["before", "after"])
      assert.include(thrown, error)
    })

    it(`${name}, is over with it: the next events and microtasks are as ever`, async () => {
      await uncaught(() => occur(() => Turn.task(fail)))
      await uncaught(() => occur(() => Turn.defer({ run: fail })))
      const { defer, noted, task } = noting()
      event(() => {
        task("in an event")
        defer("at its end")
      })
      assert.deepStrictEqual(noted, ["in an event", "at its end"])
      task("without one")
      defer("put off")
      await microtasks()
      assert.deepStrictEqual(noted, ["in an event", "at its end", "without one", "put off"])
    })
  }

  it("a listener, throws as ever, and its event is over all the same", () => {
    const { defer, noted, task } = noting()
    assert.throws(
      () =>
        event(() => {
          task("a task")
          defer("at the end")
          fail()
        }),
      "thrown on purpose"
    )
    event(() => task("the next event's"))
    assert.deepStrictEqual(noted, ["a task", "at the end", "the next event's"])
  })

  it("is what a fiber's observer throws, too", async () => {
    const dying = ofTurn(Effect.yieldNow())
    const other = ofTurn(Effect.zipRight(Effect.yieldNow(), Effect.yieldNow()))
    dying.addObserver(fail)
    assert.include(await uncaught(() => event(() => {})), error)
    assert.isNotNull(other.unsafePoll())
  })
})

describe("fibers", () => {
  it("run before the event is over that wakes them, and what they write leaves at once then", () => {
    const { driver, events, transport } = opened()
    const fiber = ofTurn(
      Effect.flatMap(
        transport.pull,
        (chunk) =>
          Effect.zipRight(transport.write(chunk!), Effect.zipRight(transport.write(bytes(1, 8)), transport.pull))
      )
    )
    event(() => {
      events.received(bytes(1, 7))
      assert.lengthOf(driver.batches, 0)
    })
    assert.deepStrictEqual(driver.batches, [[bytes(1, 7), bytes(1, 8)]])
    event(() => events.received(bytes(1, 9)))
    assert.isNotNull(fiber.unsafePoll())
  })

  it("that wake one another run all before the event is over", () => {
    const [first, second] = [opened(), opened()]
    ofTurn(Effect.flatMap(first.transport.pull, (chunk) =>
      Effect.zipRight(
        Effect.forEach([1, 2, 3], () => Effect.zipRight(second.transport.write(chunk!), Effect.yieldNow())),
        second.transport.write(bytes(1, 9))
      )))
    event(() => first.events.received(bytes(1, 7)))
    assert.deepStrictEqual(second.driver.batches, [[bytes(1, 7), bytes(1, 7), bytes(1, 7), bytes(1, 9)]])
  })

  it("of several connections that are woken in one event write one batch each", () => {
    const connections = [opened(), opened(), opened()]
    for (const { transport } of connections) {
      ofTurn(transport.forEach((chunk) => Effect.zipRight(transport.write(chunk), transport.write(chunk))))
    }
    event(() => {
      for (const { events } of connections) events.received(bytes(2, 7))
    })
    for (const { driver } of connections) assert.deepStrictEqual(driver.batches, [[bytes(2, 7), bytes(2, 7)]])
  })

  it("of Effect's scheduler run in microtasks, and what they write leaves gathered in one", async () => {
    const { driver, events, transport } = opened()
    ofEffect(
      Effect.flatMap(transport.pull, (chunk) => Effect.zipRight(transport.write(chunk!), transport.write(chunk!)))
    )
    event(() => events.received(bytes(1, 7)))
    assert.lengthOf(driver.batches, 0)
    await microtasks()
    assert.deepStrictEqual(driver.batches, [[bytes(1, 7), bytes(1, 7)]])
  })

  it("that write without an event write one batch in a microtask", async () => {
    for (const run of [ofTurn, ofEffect]) {
      const { driver, transport } = opened()
      run(Effect.zipRight(transport.write(bytes(1, 1)), transport.write(bytes(1, 2))))
      transport.outgoing.unsafeOffer(bytes(1, 3))
      assert.lengthOf(driver.batches, 0)
      await microtasks()
      assert.deepStrictEqual(driver.batches, [[bytes(1, 1), bytes(1, 2), bytes(1, 3)]])
    }
  })

  it("a driver that writes to a transport beneath it, within its own write, sends what it wrote", async () => {
    const [above, beneath] = [opened(), opened()]
    above.driver.within.write = () => {
      for (const chunk of above.driver.batches.at(-1)!) beneath.transport.outgoing.unsafeOffer(chunk)
    }
    ofEffect(above.transport.write(bytes(1, 7)))
    await turned()
    await turned()
    assert.deepStrictEqual(beneath.driver.written, [7])
  })

  it("that yield for ever starve neither timers nor the event loop, nor other fibers", async () => {
    let yields = 0
    for (let count = 0; count < 3; count++) {
      busy(Effect.forever(Effect.zipRight(Effect.sync(() => yields++), Effect.yieldNow())))
    }
    await turned()
    await new Promise((resolve) => setTimeout(resolve, 1))
    const before = yields
    await new Promise<void>((resolve) => void ofTurn(Effect.zipRight(Effect.yieldNow(), Effect.sync(resolve))))
    await turned()
    assert.isAbove(yields, before)
  })

  it("that never wait yield after Effect's number of operations, or a little later", async () => {
    for (const max of [100, 2048]) {
      let operations = 0
      const loop: Effect.Effect<void> = Effect.suspend(() => ++operations < 10_000 ? loop : Effect.void)
      const fiber = ofTurn(Effect.withMaxOpsBeforeYield(loop, max))
      assert.isAbove(operations, 0)
      // The limit is looked at after every 64th.
      assert.isAtMost(operations, max + 64)
      while (fiber.unsafePoll() === null) await turned()
      assert.strictEqual(operations, 10_000)
    }
  })

  it("that yield after they wrote let it leave", async () => {
    const { driver, transport } = opened()
    busy(Effect.zipRight(transport.write(bytes(1, 7)), Effect.forever(Effect.yieldNow())))
    await turned()
    assert.deepStrictEqual(driver.written, [7])
  })

  it("their children and what they fork belong to the turn as well", () => {
    const { driver, events, transport } = opened()
    const parent = Effect.gen(function*() {
      const chunk = yield* transport.pull
      const child = yield* Effect.fork(transport.write(chunk!))
      yield* Effect.forkDaemon(transport.write(bytes(1, 8)))
      yield* Fiber.join(child)
    })
    ofTurn(parent)
    event(() => events.received(bytes(1, 7)))
    assert.deepStrictEqual(driver.batches, [[bytes(1, 7), bytes(1, 8)]])
  })
})

describe("the time", () => {
  /** Each look at the host's clock is a millisecond later. */
  const counting = () => {
    let looks = 0
    const clock = vi.spyOn(Date, "now").mockImplementation(() => ++looks)
    stops.push(() => clock.mockRestore())
  }

  it("is asked for once in an event, by what it brings about as well", () => {
    counting()
    const noted: Array<number> = []
    const note = () => void noted.push(Turn.now())
    event(() => {
      note()
      event(note)
      Turn.task(note)
      Turn.defer({ run: note })
    })
    assert.deepStrictEqual(noted, [1, 1, 1, 1])
    event(note)
    assert.strictEqual(noted.at(-1), 2)
  })

  it("is the host's outside of an event, before the work that was put off and after it", async () => {
    counting()
    const noted: Array<number> = []
    Turn.defer({ run: () => void noted.push(Turn.now(), Turn.now()) })
    noted.push(Turn.now(), Turn.now())
    await microtasks()
    noted.push(Turn.now())
    assert.deepStrictEqual(noted, [1, 2, 3, 3, 4])
  })

  it("of a connection on the host's clock is that of the event that moved its bytes", () => {
    const { events, transport } = opened(Effect.runSync(Effect.clock))
    const read = () => {
      events.received(bytes(1, 7))
      return transport.stats().lastRead
    }
    counting()
    const noted: Array<number> = []
    event(() => void noted.push(read(), read()))
    event(() => void noted.push(read()))
    assert.deepStrictEqual(noted, [1, 1, 2])
  })
})
