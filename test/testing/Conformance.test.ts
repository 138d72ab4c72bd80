import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Address from "../../src/Address.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Conformance from "../../src/testing/Conformance.ts"
import * as Transport from "../../src/Transport.ts"

type T = Transport.Transport

const bulk = 200_000
const good: Conformance.MakePair = (limits) => MemoryTransport.pair({ lingerTimeout: 50, ...limits })

/** A transport that is as good as this one, but for what is put in place. */
const but = (transport: T, faults: Partial<T>): T =>
  new Proxy(transport, {
    get: (target, key) => key in faults ? faults[key as keyof T] : Reflect.get(target, key, target)
  })

/** Both ends have the fault. */
const both = (fault: (transport: T) => Partial<T>): Conformance.MakePair => (limits) =>
  Effect.map(good(limits), ([left, right]) => [but(left, fault(left)), but(right, fault(right))])

const pulled = (change: (chunk: Uint8Array) => Uint8Array): Conformance.MakePair =>
  both(({ pull }) => ({ pull: Effect.map(pull, (chunk) => chunk === null ? null : change(chunk)) }))

const never = Effect.never
const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)
const notOwned = (limits: Transport.Limits) =>
  Effect.flatMap(Scope.make(), (scope) => Scope.extend(good(limits), scope))
const detached = <A, E>(effect: Effect.Effect<A, E>) => Effect.flatMap(Effect.forkDaemon(effect), Fiber.join)

interface Fault {
  readonly makePair: Conformance.MakePair
  readonly breaks: ReadonlyArray<string>
}

const faults: Record<string, Fault> = {
  "delivers nothing": {
    makePair: both(() => ({ pull: never })),
    breaks: [
      "one byte goes through",
      "an empty write has no meaning"
    ]
  },
  "loses bytes": {
    makePair: pulled((chunk) => chunk.length > 2 ? chunk.subarray(1) : chunk),
    breaks: [
      "chunks of any size arrive whole and in their order",
      "one large write reaches a slow reader whole",
      "the end comes after the data, and again at each later pull"
    ]
  },
  "changes bytes": {
    makePair: pulled((chunk) => chunk.map((byte) => byte ^ 1)),
    breaks: [
      "one byte goes through",
      "an empty write has no meaning",
      "no byte is taken before the first pull",
      "a pull waits until there is input",
      "bytes that are put back come first, before what follows them",
      "bytes that are put back wake a pull",
      "the end comes after the data, and again at each later pull",
      "a writer that waits goes on when the peer reads",
      "an interrupted pull loses no byte",
      "an interrupted wait for closed changes nothing"
    ]
  },
  "delivers empty chunks": {
    makePair: pulled((chunk) => chunk.length === 1 ? bytes() : chunk),
    breaks: [
      "one byte goes through",
      "an empty write has no meaning",
      "ten thousand tiny writes arrive whole",
      "with no read buffer, input is taken only for a pull",
      "a pull waits until there is input",
      "bytes that are put back wake a pull",
      "bytes that are put back after the end come before it",
      "a write after closeWrite fails with WriteAfterEnd and sends nothing",
      "pulls that are interrupted again and again lose no byte"
    ]
  },
  "holds every chunk back until the next": {
    makePair: both((transport) => {
      let held: Uint8Array = bytes()
      return {
        write: (chunk) => {
          const last = held
          held = chunk
          return transport.write(last)
        }
      }
    }),
    breaks: [
      "a flush waits for the peer to read"
    ]
  },
  "tears chunks": {
    makePair: both(({ write }) => ({
      write: (chunk) =>
        Effect.zipRight(
          write(chunk.subarray(0, chunk.length / 2)),
          Effect.zipRight(Effect.yieldNow(), write(chunk.subarray(chunk.length / 2)))
        )
    })),
    breaks: [
      "writers at the same time never mix their chunks"
    ]
  },
  "writes the chunks of writeAll one by one": {
    makePair: both(({ write }) => ({
      writeAll: (chunks) =>
        Effect.forEach(chunks, (chunk) => Effect.zipRight(Effect.yieldNow(), write(chunk)), { discard: true })
    })),
    breaks: [
      "nothing comes between the chunks of one writeAll",
      "what is no Uint8Array dies and sends nothing"
    ]
  },
  "accepts without a bound": {
    makePair: (limits) => good({ ...limits, highWaterMark: 1e9 }),
    breaks: [
      "the outgoing queue is the write buffer, with false for a failure"
    ]
  },
  "accepts at no time": {
    makePair: both(() => ({ write: () => never })),
    breaks: [
      "one byte goes through",
      "an empty write has no meaning"
    ]
  },
  "suspends the writer that reaches the mark": {
    makePair: both((transport) => ({
      write: (chunk) => Effect.zipRight(transport.write(chunk), transport.flush)
    })),
    breaks: [
      "reading ahead of the consumer is bounded",
      "against a peer that does not read, a writer suspends within the high-water mark and one chunk"
    ]
  },
  "lets the last writer in first": {
    makePair: both((transport) => {
      const waiting: Array<Uint8Array> = []
      return {
        write: (chunk) => {
          if (transport.stats().buffered === 0 || chunk.length > 1) return transport.write(chunk)
          waiting.unshift(chunk)
          return Effect.zipRight(
            transport.flush,
            Effect.suspend(() => transport.write(waiting.shift() ?? bytes()))
          )
        },
        stats: () => ({ ...transport.stats(), writersWaiting: waiting.length })
      }
    }),
    breaks: [
      "writers that wait are let in by the order of their calls",
      "an interrupted write that waited takes back its own chunk, and only that",
      "against a peer that does not read, a writer suspends within the high-water mark and one chunk",
      "the write that reaches the high-water mark exactly does not wait, the next one does"
    ]
  },
  "takes anything for bytes": {
    makePair: both((transport) => ({
      write: (chunk) => transport.write(Uint8Array.from((chunk as unknown) instanceof Uint8Array ? chunk : [])),
      writeAll: (chunks) => transport.writeAll([...chunks].filter((chunk) => (chunk as unknown) instanceof Uint8Array))
    })),
    breaks: [
      "what is no Uint8Array dies and sends nothing"
    ]
  },
  "flushes nothing": {
    makePair: both(() => ({ flush: Effect.void })),
    breaks: [
      "after a flush nothing is buffered, and the writer may use its buffer again",
      "a flush waits for the peer to read",
      "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls"
    ]
  },
  "has a queue that is not its buffer": {
    makePair: (limits) =>
      Effect.flatMap(Queue.unbounded<Uint8Array>(), (outgoing) => both(() => ({ outgoing }))(limits)),
    breaks: [
      "the outgoing queue is the write buffer, with false for a failure"
    ]
  },
  "has a sink that swallows": {
    makePair: both(() => ({ sink: Sink.drain })),
    breaks: [
      "a stream into a sink is an echo that ends with the peer"
    ]
  },
  "reads without being asked": {
    makePair: (limits) =>
      Effect.flatMap(good(limits), ([left, right]) => {
        const early = Effect.runFork(right.pull)
        let first = true
        const pull = Effect.suspend(() => {
          if (!first) return right.pull
          first = false
          return Fiber.join(early)
        })
        return Effect.as(Effect.yieldNow(), [left, but(right, { pull })] as const)
      }),
    breaks: [
      "no byte is taken before the first pull"
    ]
  },
  "reads ahead without a bound": {
    makePair: (limits) => good({ ...limits, readBufferSize: 1e9 }),
    breaks: [
      "reading ahead of the consumer is bounded"
    ]
  },
  "lets many pull at once": {
    makePair: both((transport) => ({
      pull: Effect.suspend(() => transport.stats().pulling ? never : transport.pull)
    })),
    breaks: [
      "a second pull at the same time dies, and the first goes on"
    ]
  },
  "uses its read buffer again": {
    makePair: both((transport) => {
      const buffer = new Uint8Array(100_000)
      return {
        pull: Effect.map(transport.pull, (chunk) => {
          if (chunk === null) return null
          buffer.set(chunk)
          return buffer.subarray(0, chunk.length)
        })
      }
    }),
    breaks: [
      "chunks of any size arrive whole and in their order",
      "ten thousand tiny writes arrive whole",
      "one large write reaches a slow reader whole",
      "much goes both ways at once",
      "bytes that were pulled stay as they are",
      "bytes that are put back come first, before what follows them",
      "a writer that waits goes on when the peer reads",
      "writers that wait are let in by the order of their calls",
      "after a flush nothing is buffered, and the writer may use its buffer again",
      "closeWrite sends what was accepted, and refuses the write that waits",
      "an interrupted writeAll takes back what was not accepted",
      "an interrupted flush changes nothing"
    ]
  },
  "forgets what is put back": {
    makePair: both(() => ({ unread: () => Effect.void })),
    breaks: [
      "bytes that are put back after the end come before it"
    ]
  },
  "gives forEach nothing": {
    makePair: both(() => ({ forEach: () => never })),
    breaks: [
      "forEach gives everything in its order, and is over at the end",
      "forEach gives first what was put back"
    ]
  },
  "loses bytes in forEach": {
    makePair: both((transport) => ({
      forEach: (f) => transport.forEach((chunk) => f(chunk.length > 2 ? chunk.subarray(1) : chunk))
    })),
    breaks: [
      "forEach gives everything in its order, and is over at the end",
      "an echo by forEach reads no further than its peer reads what comes back"
    ]
  },
  "runs what forEach is given beside it": {
    makePair: both((transport) => ({
      forEach: (f) => transport.forEach((chunk) => Effect.forkDaemon(f(chunk)))
    })),
    breaks: [
      "forEach waits with a chunk until the Effect for the last one is over",
      "a failure within forEach ends it, a throw is a defect, and the rest is there for the next reader",
      "an interrupted forEach interrupts the Effect that runs, and leaves the rest"
    ]
  },
  "lets many forEach at once": {
    makePair: both((transport) => ({
      forEach: (f) => Effect.suspend(() => transport.stats().pulling ? never : transport.forEach(f))
    })),
    breaks: [
      "beside a forEach that waits another reader dies, and the first goes on"
    ]
  },
  "never ends a forEach": {
    makePair: both((transport) => ({ forEach: (f) => Effect.exit(transport.forEach(f)).pipe(Effect.zipRight(never)) })),
    breaks: [
      "forEach gives everything in its order, and is over at the end",
      "a failure within forEach ends it, a throw is a defect, and the rest is there for the next reader",
      "a forEach that waits fails when this side closes, and when it aborts"
    ]
  },
  "accepts without a bound in forEach": {
    makePair: both((transport) => ({
      forEach: (f) => {
        const chunks: Array<Uint8Array> = []
        const collect = transport.forEach((chunk) => Effect.sync(() => chunks.push(chunk)))
        return Effect.zipRight(collect, Effect.forEach(chunks, f, { discard: true }))
      }
    })),
    breaks: [
      "an echo by forEach reads no further than its peer reads what comes back"
    ]
  },
  "loses what an interrupted forEach has taken": {
    makePair: both(({ pull }) => ({ forEach: Transport.forEachFromPull(detached(pull)) })),
    breaks: [
      "an interrupted forEach that waits takes nothing",
      "a forEach that is interrupted again and again loses no byte"
    ]
  },
  "goes on with an interrupted forEach": {
    makePair: both((transport) => ({
      forEach: <E, R>(f: (chunk: Uint8Array) => Effect.Effect<unknown, E, R>) =>
        Effect.flatMap(Effect.forkDaemon(transport.forEach(f)), Fiber.join)
    })),
    breaks: [
      "an interrupted forEach that waits takes nothing",
      "an interrupted forEach interrupts the Effect that runs, and leaves the rest"
    ]
  },
  "never ends": {
    makePair: both(({ pull }) => ({
      pull: Effect.flatMap(pull, (chunk) => chunk === null ? never : Effect.succeed(chunk))
    })),
    breaks: [
      "chunks of any size arrive whole and in their order",
      "ten thousand tiny writes arrive whole"
    ]
  },
  "ends once": {
    makePair: both((transport) => {
      let ended = false
      return {
        pull: Effect.suspend(() =>
          ended ? never : Effect.map(transport.pull, (chunk) => {
            ended = chunk === null
            return chunk
          })
        )
      }
    }),
    breaks: [
      "the end comes after the data, and again at each later pull",
      "bytes that are put back after the end come before it"
    ]
  },
  "takes a loss for an end": {
    makePair: both(({ pull }) => ({ pull: Effect.orElseSucceed(pull, () => null) })),
    breaks: [
      "a pull that waits fails when this side closes, and so does a later one",
      "input that was not pulled is given up by close",
      "a pull that waits fails when this side aborts, and so does a later one",
      "a reset is not taken for an end",
      "a pull that waits fails when the peer resets",
      "data and then a reset is no clean end",
      "a reset after this side has ended is no clean end"
    ]
  },
  "gives data after a loss": {
    makePair: both(({ pull }) => ({ pull: Effect.orElseSucceed(pull, () => bytes(1)) })),
    breaks: [
      "a pull that waits fails when this side closes, and so does a later one",
      "input that was not pulled is given up by close",
      "a pull that waits fails when this side aborts, and so does a later one",
      "what comes after the peer's abort is a loss or the end: no data, no waiting",
      "a reset is not taken for an end",
      "a pull that waits fails when the peer resets"
    ]
  },
  "waits for ever after a loss": {
    makePair: both((transport) => ({
      pull: Effect.catchAll(transport.pull, () => never),
      write: (chunk) => Effect.catchAll(transport.write(chunk), () => never),
      flush: Effect.catchAll(transport.flush, () => never),
      closeWrite: Effect.catchAll(transport.closeWrite, () => never)
    })),
    breaks: [
      "a write after closeWrite fails with WriteAfterEnd and sends nothing",
      "closeWrite sends what was accepted, and refuses the write that waits"
    ]
  },
  "writes successfully after a loss": {
    makePair: both((transport) => ({
      write: (chunk) => Effect.ignore(transport.write(chunk)),
      writeAll: (chunks) => Effect.ignore(transport.writeAll(chunks)),
      flush: Effect.ignore(transport.flush),
      closeWrite: Effect.ignore(transport.closeWrite)
    })),
    breaks: [
      "a write after closeWrite fails with WriteAfterEnd and sends nothing",
      "closeWrite sends what was accepted, and refuses the write that waits",
      "a write that waits fails when this side closes, and so does a later one",
      "an interrupted closeWrite still ends the writing",
      "whoever waits to write, to flush or to end fails when this side aborts, and so do later calls",
      "a closeWrite that waits fails when this side aborts",
      "a write that waits fails when the peer is gone"
    ]
  },
  "does not end its writing": {
    makePair: both(() => ({ closeWrite: Effect.void })),
    breaks: [
      "the end of a peer that sent nothing comes to a pull that waits"
    ]
  },
  "closes in place of half-closing": {
    makePair: both(({ close }) => ({ closeWrite: close })),
    breaks: [
      "much goes both ways at once",
      "a stream into a sink is an echo that ends with the peer",
      "after closeWrite reading goes on",
      "after the peer's end writing goes on",
      "the peer's end does not disturb a write that waits",
      "both directions ended is closed, with no further call",
      "a reset after this side has ended is no clean end",
      "a closeWrite that waits fails when this side aborts"
    ]
  },
  "closes in answer to the peer's end": {
    makePair: both((transport) => ({
      pull: Effect.tap(transport.pull, (chunk) => chunk === null ? Effect.forkDaemon(transport.abort) : Effect.void)
    })),
    breaks: [
      "after closeWrite reading goes on",
      "after the peer's end writing goes on",
      "closeWrite is idempotent",
      "the peer's end does not disturb a write that waits",
      "both directions ended is closed, with no further call",
      "with no linger time, close does not wait for the peer's end"
    ]
  },
  "ends its writing once": {
    makePair: both((transport) => {
      let ended = false
      return {
        closeWrite: Effect.suspend(() => {
          if (ended) return Effect.die("ended already")
          ended = true
          return transport.closeWrite
        })
      }
    }),
    breaks: [
      "closeWrite is idempotent"
    ]
  },
  "waits before it ends": {
    makePair: both((transport) => ({
      closeWrite: Effect.zipRight(transport.flush, transport.closeWrite),
      close: Effect.zipRight(Effect.ignore(transport.flush), transport.close)
    })),
    breaks: [
      "closeWrite sends what was accepted, and refuses the write that waits",
      "a write that waits fails when this side closes, and so does a later one"
    ]
  },
  "aborts in place of closing": {
    makePair: both(({ abort }) => ({ close: abort })),
    breaks: [
      "close with unread input loses nothing of what was sent",
      "a write that waits fails when this side closes, and so does a later one",
      "close is idempotent, one after the other and at the same time",
      "close after the peer's end needs no waiting",
      "close after closeWrite sends what was accepted",
      "with no linger time, close does not wait for the peer's end",
      "an interrupted close goes on by itself",
      "after an interrupted write and an interrupted pull both sides close cleanly",
      "both sides may close at the same time",
      "abort after a close that is done changes nothing"
    ]
  },
  "closes in place of aborting": {
    makePair: both(({ close }) => ({ abort: close })),
    breaks: [
      "data and then a reset is no clean end",
      "abort is idempotent, and a close after it changes nothing"
    ]
  },
  "neither closes nor aborts": {
    makePair: both(() => ({ close: Effect.void, abort: Effect.void })),
    breaks: [
      "input that was not pulled is given up by close",
      "close sends everything that was accepted, and then the end"
    ]
  },
  "never says that it is closed": {
    makePair: both(() => ({ closed: never })),
    breaks: [
      "both directions ended is closed, with no further call",
      "close sends everything that was accepted, and then the end"
    ]
  },
  "closes once": {
    makePair: both((transport) => {
      let closed = false
      const once = (effect: Effect.Effect<void>) =>
        Effect.suspend(() => {
          if (closed) return Effect.die("closed already")
          closed = true
          return effect
        })
      return { close: once(transport.close), abort: once(transport.abort) }
    }),
    breaks: [
      "close sends everything that was accepted, and then the end",
      "close is idempotent, one after the other and at the same time",
      "a close that takes longer than closeTimeout aborts, and tells what is unsent",
      "abort leaves nothing, and closed says so",
      "abort cuts a close short",
      "abort after a close that is done changes nothing",
      "abort is idempotent, and a close after it changes nothing",
      "abort in the moment of a close is an abort"
    ]
  },
  "says each time anew how it was closed": {
    makePair: both(({ closed }) => ({ closed: Effect.map(closed, (reason) => ({ ...reason })) })),
    breaks: [
      "closed is one value for everybody, now and later"
    ]
  },
  "says that every close is clean": {
    makePair: both((transport) => ({
      closed: Effect.map(transport.closed, () => ({
        _tag: "Clean",
        firstEnded: "peer",
        peerEnded: true,
        bytesRead: 0,
        bytesWritten: 0
      }))
    })),
    breaks: [
      "writing to a peer that is gone fails in the end, and from then on"
    ]
  },
  "is closed from the beginning": {
    makePair: both(() => ({
      closed: Effect.succeed({ _tag: "Clean", firstEnded: "local", peerEnded: true, bytesRead: 0, bytesWritten: 0 })
    })),
    breaks: [
      "a loss tells what was read, written and left unsent",
      "abort cuts a close short",
      "writing to a peer that is gone fails in the end, and from then on",
      "closed is one value for everybody, now and later"
    ]
  },
  "says that every close is a loss": {
    makePair: both((transport) => ({
      closed: Effect.map(
        transport.closed,
        (reason) => ({ _tag: "Lost", error: { ...reason, _tag: "ConnectionFailed" } as never })
      )
    })),
    breaks: [
      "close with unread input loses nothing of what was sent",
      "close after the peer's end needs no waiting",
      "close after closeWrite sends what was accepted",
      "after an interrupted write and an interrupted pull both sides close cleanly",
      "both sides may close at the same time"
    ]
  },
  "waits for a peer that does not end": {
    makePair: (limits) => good({ ...limits, lingerTimeout: "1 minutes", closeTimeout: "1 minutes" }),
    breaks: [
      "with no linger time, close does not wait for the peer's end",
      "a close that takes longer than closeTimeout aborts, and tells what is unsent"
    ]
  },
  "leaves its counters where they are": {
    makePair: both((transport) => {
      const before = transport.stats()
      return { stats: () => before }
    }),
    breaks: [
      "the counters of both ends agree"
    ]
  },
  "keeps what it has read": {
    makePair: both((transport) => ({ stats: () => ({ ...transport.stats(), unread: 1 }) })),
    breaks: [
      "with no read buffer, input is taken only for a pull",
      "close sends everything that was accepted, and then the end",
      "a close that takes longer than closeTimeout aborts, and tells what is unsent",
      "a write that waits fails when the peer is gone",
      "abort leaves nothing, and closed says so",
      "abort in the moment of a close is an abort",
      "a Scope that ends with success closes",
      "a Scope that ends with a failure aborts",
      "a Scope that ends with an interruption aborts"
    ]
  },
  "loses what an interrupted pull has taken": {
    makePair: both(({ pull }) => ({ pull: detached(pull) })),
    breaks: [
      "pulls that are interrupted again and again lose no byte"
    ]
  },
  "sends what an interrupted write has not": {
    makePair: both((transport) => ({
      write: (chunk) => detached(transport.write(chunk)),
      writeAll: (chunks) => detached(transport.writeAll(chunks))
    })),
    breaks: [
      "an interrupted write that waited takes back its own chunk, and only that",
      "an interrupted writeAll takes back what was not accepted"
    ]
  },
  "aborts when it is interrupted": {
    makePair: both((transport) => ({
      flush: Effect.onInterrupt(transport.flush, () => transport.abort),
      closeWrite: Effect.onInterrupt(transport.closeWrite, () => transport.abort),
      close: Effect.onInterrupt(transport.close, () => transport.abort),
      closed: Effect.onInterrupt(transport.closed, () => transport.abort)
    })),
    breaks: [
      "an interrupted flush changes nothing",
      "an interrupted closeWrite still ends the writing",
      "an interrupted close goes on by itself",
      "an interrupted wait for closed changes nothing"
    ]
  },
  "outlives its Scope": {
    makePair: notOwned,
    breaks: [
      "a Scope that ends with success closes",
      "a Scope that ends with a failure aborts"
    ]
  },
  "is aborted by its Scope": {
    makePair: (limits) =>
      Effect.tap(
        notOwned(limits),
        ([left, right]) => Effect.addFinalizer(() => Effect.zipRight(left.abort, right.abort))
      ),
    breaks: [
      "a Scope that ends with success closes"
    ]
  },
  "is closed by its Scope": {
    makePair: (limits) =>
      Effect.tap(
        notOwned(limits),
        ([left, right]) =>
          Effect.addFinalizer(() => Effect.all([left.close, right.close], { concurrency: "unbounded" }))
      ),
    breaks: [
      "a Scope that ends with a failure aborts",
      "a Scope that ends with an interruption aborts"
    ]
  },
  "has an address for each look": {
    makePair: both(() => {
      let port = 1
      return {
        get localAddress() {
          return Address.tcp("127.0.0.1", port++)
        }
      }
    }),
    breaks: [
      "a loss tells what was read, written and left unsent",
      "each side's local address is the other side's remote address",
      "addresses stay after the end"
    ]
  },
  "has an option that does nothing": {
    makePair: both(() => ({
      options: { noDelay: { get: () => true, set: () => Effect.void }, keepAlive: undefined }
    })),
    breaks: [
      "an option that can be set has the value last set, the others are undefined"
    ]
  }
}

const run = (name: string, makePair: Conformance.MakePair, timeout: number) => {
  const check = Conformance.checks.find((check) => check.name === name)
  return check === undefined ? Effect.die(`no check is named "${name}"`) : check.run({ makePair, bulk }, { timeout })
}

describe("a check fails on a transport", () => {
  for (const [name, { breaks, makePair }] of Object.entries(faults)) {
    it.live(`that ${name}`, () =>
      Effect.forEach(breaks, (check) =>
        Effect.map(Effect.exit(run(check, makePair, 300)), (exit) => {
          assert.isTrue(Exit.isFailure(exit), `"${check}" holds`)
          if (Exit.isFailure(exit)) assert.isTrue(Cause.isFailType(exit.cause), Cause.pretty(exit.cause))
        }), { concurrency: "unbounded" }))
  }
})

describe("checks", () => {
  it("have names of their own", () => {
    assert.strictEqual(new Set(Conformance.checks.map(({ name }) => name)).size, Conformance.checks.length)
  })

  it("each fail with one of the faults", () => {
    const broken = new Set(Object.values(faults).flatMap(({ breaks }) => breaks))
    assert.deepStrictEqual(Conformance.checks.map(({ name }) => name).filter((name) => !broken.has(name)), [])
  })

  it("that need what a subject lacks do not apply to it", () => {
    const lacking = Conformance.checksFor({ makePair: good, halfClose: false, reset: false, mirroredAddresses: false })
    assert.isAbove(lacking.length, 0)
    assert.isTrue(lacking.every(({ needs }) => needs.length === 0))
    assert.strictEqual(Conformance.checksFor({ makePair: good }).length, Conformance.checks.length)
  })

  it.live("a failure names the check, what was expected and what was seen", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run("one byte goes through", pulled(() => bytes(9)), 1000))
      assert.strictEqual(
        error.message,
        `"one byte goes through" does not hold. Expected: what the peer pulls: byte 0 is 42. Seen: byte 0 is 9.`
      )
    }))

  it.live("waiting for ever is a failure", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run("one byte goes through", both(() => ({ pull: never })), 20))
      assert.strictEqual(error.seen, "nothing for 20ms")
    }))

  it.live("a pair that cannot be made is a failure", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run("one byte goes through", () => Effect.fail("no pair"), 1000))
      assert.match(error.seen, /no pair/)
    }))

  it.live("flip checks the other end", () =>
    Effect.gen(function*() {
      const subject: Conformance.Subject = { makePair: good }
      const [left] = yield* Effect.scoped(subject.makePair({}))
      const [flipped] = yield* Effect.scoped(Conformance.flip(subject).makePair({}))
      assert.strictEqual(Address.format(left.localAddress), Address.format(flipped.remoteAddress))
    }))
})
