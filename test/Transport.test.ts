import { assert, describe, it, vi } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Queue from "effect/Queue"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as MemoryTransport from "../src/memory/MemoryTransport.ts"
import * as Transport from "../src/Transport.ts"
import { ascii, bytes, counting, cut, cuts, joined, text } from "./support/bytes.ts"
import { forked, settle } from "./support/fibers.ts"

/** From the tightest, where a byte moves only when it is asked for, to the usual. */
const carriers: ReadonlyArray<MemoryTransport.PairOptions> = [
  { capacity: 0, readBufferSize: 0, highWaterMark: 1, maxChunkSize: 1 },
  { capacity: 0 },
  { capacity: 1, highWaterMark: 3 },
  { capacity: 7, readBufferSize: 5 },
  { maxChunkSize: 1 },
  {}
]

/** A carrier that holds nothing: what is written stays in the write buffer until it is pulled. */
const full = MemoryTransport.pair({ capacity: 0, readBufferSize: 0, highWaterMark: 10, lowWaterMark: 4 })

/** All that is ready has run. */
const send = <E>(transport: Transport.Transport<E>, chunks: Iterable<Uint8Array>) =>
  Effect.zipRight(Effect.forEach(chunks, transport.write, { discard: true }), transport.closeWrite)

const drain = <E>(transport: Transport.Transport<E>) => Effect.map(Stream.runCollect(transport.stream), joined)

const eachCarrier = (
  name: string,
  test: (options: MemoryTransport.PairOptions) => ReturnType<Parameters<typeof it.scoped>[1]>
) => {
  for (const options of carriers) it.scoped(`${name}, over ${JSON.stringify(options)}`, () => test(options))
}

const tagOf = <E extends { readonly _tag: string }>(effect: Effect.Effect<unknown, E>) =>
  Effect.map(Effect.flip(effect), ({ _tag }) => _tag)

describe("pull", () => {
  eachCarrier("gives what was written, then null, and null again", (options) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(options)
      yield* Effect.fork(send(left, [ascii("one "), ascii("two")]))
      assert.strictEqual(text(yield* drain(right)), "one two")
      assert.isNull(yield* right.pull)
      assert.isNull(yield* right.pull)
    }))

  it.scoped("a second pull dies, and the first one goes on", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const first = yield* forked(right.pull)
      const exit = yield* Effect.exit(right.pull)
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", "one pull at a time")
      yield* left.write(ascii("x"))
      assert.deepStrictEqual(yield* Fiber.join(first), ascii("x"))
    }))

  it.scoped("an interrupted pull loses nothing", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      for (const interruptFirst of [true, false]) {
        const pulling = yield* forked(right.pull)
        if (interruptFirst) yield* Fiber.interrupt(pulling)
        // In the same tick: the bytes arrive, and the interruption.
        yield* left.write(ascii("x"))
        yield* left.flush
        yield* Fiber.interrupt(pulling)
        assert.deepStrictEqual(yield* right.pull, ascii("x"))
      }
    }))

  it.scoped("after close it fails with ConnectionClosed, after abort with ConnectionAborted", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const pulling = yield* forked(Effect.flip(left.pull))
      yield* Effect.fork(left.close)
      assert.strictEqual((yield* Fiber.join(pulling))._tag, "ConnectionClosed")
      assert.strictEqual(yield* tagOf(left.pull), "ConnectionClosed")
      yield* right.abort
      assert.strictEqual(yield* tagOf(right.pull), "ConnectionAborted")
    }))
})

describe.each(
  [
    ["forEach", (transport) => transport.forEach],
    ["forEachFromPull", (transport) => Transport.forEachFromPull(transport.pull)]
  ] as ReadonlyArray<readonly [name: string, form: (transport: Transport.Transport) => Transport.Transport["forEach"]]>
)("%s", (_, form) => {
  /** Notes each chunk, and goes on at once, or when others have run. */
  const noting = (noted: Array<Uint8Array>) => ({
    atOnce: (chunk: Uint8Array) => {
      noted.push(chunk)
      return Exit.void
    },
    later: (chunk: Uint8Array) => {
      noted.push(chunk)
      return Effect.zipRight(Effect.yieldNow(), Effect.yieldNow())
    }
  })

  for (const pace of ["atOnce", "later"] as const) {
    eachCarrier(
      `gives its function all that comes, in order, and ends with it (${pace})`,
      (options) =>
        Effect.gen(function*() {
          const [left, right] = yield* MemoryTransport.pair(options)
          yield* Effect.fork(send(left, cut(counting(100), [7, 1, 20])))
          const noted: Array<Uint8Array> = []
          assert.isUndefined(yield* form(right)(noting(noted)[pace]))
          assert.deepStrictEqual(joined(noted), counting(100))
          assert.isTrue(noted.every((chunk) => chunk.length > 0))
          // The end stays where it is.
          assert.isUndefined(yield* form(right)(() => Effect.die("there is nothing more")))
          assert.isNull(yield* right.pull)
        })
    )
  }

  it.scoped("waits with the next chunk until the Effect for the last one has succeeded", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      const noted: Array<string> = []
      const handling = yield* forked(
        form(right)((chunk) => {
          noted.push(`${text(chunk)} begins`)
          return Effect.zipRight(Effect.sleep("1 second"), Effect.sync(() => noted.push(`${text(chunk)} ends`)))
        })
      )
      yield* left.write(ascii("ab"))
      yield* settle
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(noted, ["a begins"])
      yield* TestClock.adjust("1 millis")
      yield* settle
      assert.deepStrictEqual(noted, ["a begins", "a ends", "b begins"])
      yield* left.closeWrite
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(handling)
      assert.strictEqual(noted.at(-1), "b ends")
    }))

  const stops: ReadonlyArray<
    readonly [name: string, stop: () => Effect.Effect<void, string>, exit: Exit.Exit<void, string>]
  > = [
    ["a failure", () => Effect.fail("enough"), Exit.fail("enough")],
    ["a failure at once", () => Exit.fail("enough"), Exit.fail("enough")],
    ["a late failure", () => Effect.zipRight(Effect.yieldNow(), Effect.fail("enough")), Exit.fail("enough")],
    ["a defect", () => Effect.die("broken"), Exit.die("broken")],
    ["what it throws", () => {
      throw "broken"
    }, Exit.die("broken")]
  ]
  for (const [name, stop, exit] of stops) {
    it.scoped(`${name} of its function ends it, and leaves the next chunk for the next reader`, () =>
      Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
        yield* left.write(ascii("ab"))
        const noted: Array<Uint8Array> = []
        for (const waits of [false, true]) {
          const handling = yield* forked(Effect.exit(
            form(right)((chunk) => {
              noted.push(chunk)
              return stop()
            })
          ))
          if (waits) yield* left.write(ascii("de"))
          assert.deepStrictEqual(yield* Fiber.join(handling), exit)
          assert.isFalse(right.stats().pulling)
          const next = yield* right.pull
          noted.push(ascii("|"), next!)
        }
        assert.strictEqual(text(noted), "a|bd|e")
      }))
  }

  it.scoped("runs the Effects in its own fiber: with its services, its FiberRefs, and what they set", () =>
    Effect.gen(function*() {
      const Name = Context.GenericTag<"Name", string>("Name")
      const count = yield* FiberRef.make(0)
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      yield* Effect.fork(send(left, [ascii("abc")]))
      const seen: Array<string> = []
      const handling: Effect.Effect<void, unknown, "Name"> = form(right)((chunk) =>
        Effect.gen(function*() {
          yield* FiberRef.update(count, (value) => value + 1)
          seen.push(`${yield* Name} ${text(chunk)}${yield* FiberRef.get(count)}`)
        })
      )
      yield* Effect.locally(Effect.provideService(handling, Name, "Ada"), count, 10)
      assert.deepStrictEqual(seen, ["Ada a11", "Ada b12", "Ada c13"])
    }))

  it.scoped("gives all that came before a loss, and then fails with it", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      const noted: Array<Uint8Array> = []
      const handling = yield* forked(tagOf(form(right)(noting(noted).atOnce)))
      yield* left.write(ascii("abc"))
      yield* settle
      yield* left.abort
      assert.strictEqual(yield* Fiber.join(handling), "ConnectionReset")
      assert.strictEqual(text(noted), "abc")
    }))

  it.scoped("hears of a loss while an Effect runs when that is over, and after the bytes that came", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      yield* left.write(ascii("ab"))
      const noted: Array<Uint8Array> = []
      const handling = yield* forked(tagOf(
        form(right)((chunk) => {
          noted.push(chunk)
          return Effect.sleep("1 second")
        })
      ))
      yield* left.abort
      yield* settle
      assert.isNull(handling.unsafePoll())
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(text(noted), "ab")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(handling), "ConnectionReset")
    }))

  it.scoped("fails when this side closes or aborts, while it waits and while an Effect runs", () =>
    Effect.gen(function*() {
      for (const [act, tag] of [["close", "ConnectionClosed"], ["abort", "ConnectionAborted"]] as const) {
        const [, waiting] = yield* MemoryTransport.pair()
        const first = yield* forked(tagOf(form(waiting)(() => Effect.void)))
        yield* Effect.fork(waiting[act])
        assert.strictEqual(yield* Fiber.join(first), tag)

        const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
        yield* left.write(ascii("ab"))
        let calls = 0
        const second = yield* forked(tagOf(
          form(right)(() => {
            calls++
            return Effect.sleep("1 second")
          })
        ))
        yield* Effect.fork(right[act])
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(second), tag)
        assert.strictEqual(calls, 1)
      }
    }))

  it.scoped("interrupted while it waits, takes nothing", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const handling = yield* forked(form(right)(() => Effect.die("nothing came")))
      assert.isTrue(right.stats().pulling)
      yield* Fiber.interrupt(handling)
      assert.isFalse(right.stats().pulling)
      yield* left.write(ascii("x"))
      assert.deepStrictEqual(yield* right.pull, ascii("x"))
    }))

  it.scoped("interrupted while an Effect runs, interrupts it, and leaves the rest", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      yield* left.write(ascii("abc"))
      const noted: Array<string> = []
      const handling = yield* forked(
        form(right)((chunk) =>
          text(chunk) === "a" ?
            Effect.void :
            Effect.onInterrupt(
              Effect.never,
              () => Effect.zipRight(Effect.yieldNow(), Effect.sync(() => noted.push(`${text(chunk)} is interrupted`)))
            )
        )
      )
      const exit = yield* Fiber.interrupt(handling)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.deepStrictEqual(noted, ["b is interrupted"])
      assert.deepStrictEqual(yield* right.pull, ascii("c"))
    }))

  it.scoped("interrupted between two chunks, leaves the rest", () =>
    Effect.gen(function*() {
      for (let yields = 0; yields < 30; yields++) {
        const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
        yield* left.write(counting(10))
        const noted: Array<Uint8Array> = []
        const handling = yield* Effect.fork(form(right)(noting(noted).later))
        yield* Effect.repeatN(Effect.yieldNow(), yields)
        yield* Fiber.interrupt(handling)
        yield* left.closeWrite
        assert.deepStrictEqual(joined([...noted, yield* drain(right)]), counting(10))
      }
    }))

  it.scoped("is one reader among others: a pull dies while it waits, and it dies while a pull waits", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const isDead = (exit: Exit.Exit<unknown, unknown>) =>
        Exit.isFailure(exit) && Cause.isDie(exit.cause) && Cause.pretty(exit.cause).includes("one pull at a time")
      const noted: Array<Uint8Array> = []
      const handling = yield* forked(form(right)(noting(noted).atOnce))
      assert.isTrue(isDead(yield* Effect.exit(right.pull)))
      assert.isTrue(isDead(yield* Effect.exit(form(right)(() => Effect.void))))
      yield* left.write(ascii("a"))
      yield* settle
      assert.strictEqual(text(noted), "a")
      yield* Fiber.interrupt(handling)
      const pulling = yield* forked(right.pull)
      assert.isTrue(isDead(yield* Effect.exit(form(right)(() => Effect.void))))
      yield* left.write(ascii("b"))
      assert.deepStrictEqual(yield* Fiber.join(pulling), ascii("b"))
    }))

  it.scoped("gives what was put back first, also when that comes while it waits", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      yield* left.write(ascii("world"))
      yield* right.unread(ascii("hello "))
      const noted: Array<Uint8Array> = []
      const handling = yield* forked(form(right)(noting(noted).atOnce))
      assert.strictEqual(text(noted), "hello world")
      yield* right.unread(ascii(", again"))
      yield* settle
      assert.strictEqual(text(noted), "hello world, again")
      yield* left.closeWrite
      yield* Fiber.join(handling)
    }))

  it.scoped("gives first what its own Effect puts back", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      yield* send(left, [ascii("head:body")])
      const noted: Array<string> = []
      yield* form(right)((chunk) => {
        noted.push(text(chunk))
        const head = chunk.indexOf(58)
        return head < 0 ? Effect.void : right.unread(chunk.subarray(head + 1))
      })
      assert.deepStrictEqual(noted, ["head:body", "body"])
    }))

  it.scoped("that writes to a peer that does not read, stops reading, and goes on when it does", () =>
    Effect.gen(function*() {
      const limits = { capacity: 16, readBufferSize: 16, highWaterMark: 16, maxChunkSize: 4 }
      const [left, right] = yield* MemoryTransport.pair(limits)
      yield* Effect.fork(Effect.zipRight(form(right)((chunk) => right.write(chunk)), right.closeWrite))
      const whole = counting(1000)
      const sending = yield* forked(send(left, cut(whole, [10])))
      yield* settle
      assert.isNull(sending.unsafePoll())
      const { buffered, bytesRead, unread, writersWaiting } = right.stats()
      assert.strictEqual(writersWaiting, 1)
      assert.isAtMost(buffered, 16 + 4)
      assert.isAtMost(unread, 16 + 4)
      // What it holds, what the carrier does, and the chunk in the hands of the function.
      assert.isAtMost(bytesRead, 16 + 20 + 20 + 4)
      yield* settle
      assert.strictEqual(right.stats().bytesRead, bytesRead)
      assert.deepStrictEqual(yield* drain(left), whole)
      yield* Fiber.join(sending)
    }))

  for (const pace of ["atOnce", "later"] as const) {
    it.scopedLive(`gives ten thousand chunks that are there already, on no growing stack (${pace})`, () =>
      Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
        yield* Effect.fork(send(left, [counting(10_000)]))
        const noted: Array<Uint8Array> = []
        const { later } = noting(noted)
        yield* form(right)(pace === "later" ? later : (chunk) => Effect.sync(() => noted.push(chunk)))
        assert.deepStrictEqual(joined(noted), counting(10_000))
      }))
  }
})

describe("unread", () => {
  it.scoped("the next pull gives it first, and a pull that waits gets it", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      yield* left.write(ascii("world"))
      yield* right.unread(ascii("hello "))
      assert.strictEqual(text((yield* right.pull)!), "hello ")
      assert.strictEqual(text((yield* right.pull)!), "world")
      const pulling = yield* forked(right.pull)
      yield* right.unread(ascii("again"))
      assert.strictEqual(text((yield* Fiber.join(pulling))!), "again")
    }))
})

describe("write", () => {
  it.scoped("suspends at the high-water mark and goes on from the low-water mark", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* left.write(bytes(10))
      const writing = yield* forked(left.write(bytes(2, 1)))
      assert.isNull(writing.unsafePoll())
      assert.strictEqual(left.stats().writersWaiting, 1)
      yield* Transport.readExactly(right, 10)
      yield* Fiber.join(writing)
      assert.strictEqual(left.stats().buffered, 2)
    }))

  it.scoped("nothing needs no room", () =>
    Effect.gen(function*() {
      const [left] = yield* full
      yield* left.write(bytes(10))
      yield* left.write(bytes(0))
      assert.isTrue(yield* left.outgoing.offer(bytes(0)))
    }))

  for (const wrong of [undefined, null, "text", 7, [1, 2], new ArrayBuffer(2), new Uint16Array(1)]) {
    it.scoped(`${Object.prototype.toString.call(wrong)} dies with a TypeError and queues nothing`, () =>
      Effect.gen(function*() {
        const [left] = yield* MemoryTransport.pair()
        const value = wrong as unknown as Uint8Array
        const acts = [
          left.write(value),
          left.writeAll([bytes(1), value]),
          left.outgoing.offer(value),
          left.outgoing.offerAll([bytes(1), value]),
          Stream.run(Stream.make(bytes(0), value), left.sink)
        ]
        for (const act of acts) {
          const exit = yield* Effect.exit(act)
          const defect = Exit.isFailure(exit) ? Chunk.toArray(Cause.defects(exit.cause))[0] : undefined
          assert.instanceOf(defect, TypeError)
        }
        assert.throws(() => left.outgoing.unsafeOffer(value), TypeError)
        assert.strictEqual(left.stats().buffered + left.stats().bytesWritten, 0)
      }))
  }

  it.scoped("takes Uint8Array's kin: a Buffer, a view", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      yield* left.write(Buffer.from("buffer"))
      yield* left.write(ascii("xviewx").subarray(1, 5))
      yield* left.closeWrite
      assert.strictEqual(text(yield* drain(right)), "bufferview")
    }))

  it.scoped("interrupted while it waits it is withdrawn; what was accepted is sent", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* left.write(bytes(10, 1))
      const one = yield* forked(left.write(bytes(2, 2)))
      const two = yield* forked(left.write(bytes(2, 3)))
      yield* Fiber.interrupt(one)
      assert.strictEqual(left.stats().writersWaiting, 1)
      yield* Effect.fork(Effect.zipRight(Fiber.join(two), left.closeWrite))
      assert.deepStrictEqual([...yield* drain(right)], [...bytes(10, 1), ...bytes(2, 3)])
    }))

  it.scoped("writes that wait fail with the loss", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* left.write(bytes(10))
      const writing = yield* forked(Effect.flip(left.write(bytes(1))))
      yield* right.abort
      assert.strictEqual((yield* Fiber.join(writing))._tag, "ConnectionReset")
      assert.strictEqual(yield* tagOf(left.write(bytes(1))), "ConnectionReset")
      assert.strictEqual(yield* tagOf(left.write(bytes(0))), "ConnectionReset")
      assert.strictEqual(yield* tagOf(left.writeAll([])), "ConnectionReset")
    }))

  for (const end of ["closeWrite", "close"] as const) {
    it.scoped(`writes that wait, and those that come, fail with WriteAfterEnd after ${end}`, () =>
      Effect.gen(function*() {
        const [left, right] = yield* full
        yield* left.write(bytes(10))
        const writing = yield* forked(Effect.flip(left.write(bytes(1))))
        yield* Effect.fork(left[end])
        assert.strictEqual((yield* Fiber.join(writing))._tag, "WriteAfterEnd")
        for (const act of [left.write(bytes(1)), left.write(bytes(0)), left.writeAll([bytes(1)]), left.writeAll([])]) {
          assert.strictEqual(yield* tagOf(act), "WriteAfterEnd")
        }
        assert.strictEqual((yield* drain(right)).length, 10)
      }))
  }
})

describe("writeAll", () => {
  it.scoped("consumes a generator once, and none of it before it runs", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      let made = 0
      const generator = (function*() {
        for (; made < 5; made++) yield bytes(4, made)
      })()
      const writing = left.writeAll(generator)
      assert.strictEqual(made, 0)
      const fiber = yield* forked(writing)
      assert.strictEqual(made, 5)
      yield* Effect.fork(Effect.zipRight(Fiber.join(fiber), left.closeWrite))
      assert.deepStrictEqual([...yield* drain(right)], [0, 1, 2, 3, 4].flatMap((value) => [...bytes(4, value)]))
    }))

  eachCarrier("two fibers' chunks never interleave", (options) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(options)
      const many = (value: number) =>
        Effect.repeatN(left.writeAll([bytes(2, value), bytes(0), bytes(3, value), bytes(1, value)]), 4)
      const writing = yield* Effect.fork(Effect.all([many(1), many(2), many(3)], { concurrency: "unbounded" }))
      yield* Effect.fork(Effect.zipRight(Fiber.join(writing), left.closeWrite))
      const all = [...yield* drain(right)]
      assert.strictEqual(all.length, 90)
      for (let at = 0; at < 90; at += 6) assert.strictEqual(new Set(all.slice(at, at + 6)).size, 1)
    }))

  it.scoped("interrupted, it takes back what was not yet accepted", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      const writing = yield* forked(left.writeAll([bytes(6, 1), bytes(6, 2), bytes(6, 3)]))
      yield* Fiber.interrupt(writing)
      yield* Effect.fork(send(left, [bytes(1, 4)]))
      assert.deepStrictEqual([...yield* drain(right)], [...bytes(6, 1), ...bytes(6, 2), 4])
    }))
})

describe("flush, closeWrite", () => {
  it.scoped("flush suspends until what was accepted before it is handed over, and no longer", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* left.flush
      yield* left.write(bytes(5))
      const flushing = yield* forked(left.flush)
      yield* left.write(bytes(4))
      assert.isNull(flushing.unsafePoll())
      yield* Transport.readExactly(right, 5)
      yield* Fiber.join(flushing)
      assert.isAbove(left.stats().buffered, 0)
    }))

  it.scoped("flush and closeWrite fail with the loss", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* left.write(bytes(5))
      const waiting = yield* forked(Effect.all([Effect.flip(left.flush), Effect.flip(left.closeWrite)], {
        concurrency: "unbounded"
      }))
      yield* right.abort
      assert.deepStrictEqual((yield* Fiber.join(waiting)).map(({ _tag }) => _tag), [
        "ConnectionReset",
        "ConnectionReset"
      ])
      assert.strictEqual(yield* tagOf(left.flush), "ConnectionReset")
      assert.strictEqual(yield* tagOf(left.closeWrite), "ConnectionReset")
    }))

  it.scoped("closeWrite suspends until the end is handed over, is idempotent, and leaves the other direction", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* left.write(bytes(5))
      const ending = yield* forked(left.closeWrite)
      assert.isNull(ending.unsafePoll())
      assert.strictEqual((yield* drain(right)).length, 5)
      yield* Fiber.join(ending)
      yield* left.closeWrite
      yield* Effect.fork(right.write(ascii("still here")))
      assert.strictEqual(text(yield* Transport.readExactly(left, 10)), "still here")
      yield* right.closeWrite
      assert.isNull(yield* left.pull)
      assert.deepInclude(yield* left.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
      assert.deepInclude(yield* right.closed, { _tag: "Clean", firstEnded: "peer", peerEnded: true })
    }))

  it.scoped("an interruption does not take the end back", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* left.write(bytes(5))
      const ending = yield* forked(left.closeWrite)
      yield* Fiber.interrupt(ending)
      assert.strictEqual((yield* drain(right)).length, 5)
    }))
})

describe("outgoing", () => {
  it.scoped("is a Queue whose capacity is in bytes", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      const { outgoing } = left
      assert.strictEqual(outgoing.capacity(), 10)
      assert.strictEqual(Queue.capacity(outgoing), 10)
      assert.isTrue(yield* Queue.isEmpty(outgoing))
      assert.isTrue(yield* Queue.offer(outgoing, bytes(9)))
      assert.strictEqual(yield* Queue.size(outgoing), 9)
      assert.isFalse(yield* Queue.isFull(outgoing))
      assert.isTrue(yield* Queue.offer(outgoing, bytes(1)))
      assert.isTrue(yield* Queue.isFull(outgoing))
      assert.isFalse(yield* Queue.isEmpty(outgoing))
      assert.isFalse(Queue.unsafeOffer(outgoing, bytes(1)))
      const offering = yield* forked(Queue.offerAll(outgoing, [bytes(1), bytes(1)]))
      assert.isNull(offering.unsafePoll())
      yield* Transport.readExactly(right, 10)
      assert.isTrue(yield* Fiber.join(offering))
      assert.isTrue(outgoing.isActive())
      assert.strictEqual(outgoing, left.outgoing)
    }))

  it.scoped("shutdown is closeWrite: what was accepted is sent, offers give false, awaitShutdown completes", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      const { outgoing } = left
      const ended = yield* forked(Queue.awaitShutdown(outgoing))
      yield* Queue.offer(outgoing, bytes(10))
      const waiting = yield* forked(Queue.offer(outgoing, bytes(1)))
      assert.isNull(ended.unsafePoll())
      assert.isFalse(yield* Queue.isShutdown(outgoing))
      const shutdown = yield* forked(Queue.shutdown(outgoing))
      assert.isFalse(yield* Fiber.join(waiting))
      yield* Fiber.join(ended)
      assert.isTrue(yield* Queue.isShutdown(outgoing))
      assert.isFalse(outgoing.isActive())
      assert.isFalse(yield* Queue.offer(outgoing, bytes(1)))
      assert.isFalse(yield* Queue.offerAll(outgoing, [bytes(1)]))
      assert.isFalse(outgoing.unsafeOffer(bytes(1)))
      assert.isTrue(outgoing.unsafeSize()._tag === "None")
      assert.strictEqual((yield* drain(right)).length, 10)
      yield* Fiber.join(shutdown)
    }))

  it.scoped("after a loss offers give false, those that wait too, and awaitShutdown completes", () =>
    Effect.gen(function*() {
      const [left, right] = yield* full
      yield* Queue.offer(left.outgoing, bytes(10))
      const waiting = yield* forked(
        Effect.all([Queue.offer(left.outgoing, bytes(1)), Queue.awaitShutdown(left.outgoing)], { concurrency: 2 })
      )
      yield* right.abort
      assert.isFalse((yield* Fiber.join(waiting))[0])
      assert.isFalse(yield* Queue.offer(left.outgoing, bytes(1)))
      assert.isTrue(yield* Queue.isShutdown(left.outgoing))
      yield* Queue.shutdown(left.outgoing)
    }))

  it.scoped("an interrupted offer is withdrawn", () =>
    Effect.gen(function*() {
      const [left] = yield* full
      yield* Queue.offer(left.outgoing, bytes(10))
      yield* Fiber.interrupt(yield* forked(Queue.offer(left.outgoing, bytes(1))))
      assert.strictEqual(left.stats().writersWaiting, 0)
    }))

  eachCarrier("a Stream runs into it, and is held back by it", (options) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(options)
      const source = Stream.fromIterable(cut(counting(100), [3, 9]))
      const writing = yield* Effect.fork(Stream.run(source, Sink.fromQueue(left.outgoing, { shutdown: true })))
      assert.deepStrictEqual(yield* drain(right), counting(100))
      yield* Fiber.join(writing)
    }))

  it.scoped("Sink.fromQueue takes a false for a success and drops the bytes; sink fails", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      yield* left.closeWrite
      const source = Stream.make(ascii("lost"))
      // Nobody hears that this was never sent: a reason to use `sink`.
      yield* Stream.run(source, Sink.fromQueue(left.outgoing))
      assert.strictEqual((yield* drain(right)).length, 0)
      assert.strictEqual(yield* tagOf(Stream.run(source, left.sink)), "WriteAfterEnd")
    }))
})

describe("stream and sink", () => {
  for (const options of carriers) {
    it.effect.prop(
      `what goes in comes out, over ${JSON.stringify(options)}`,
      [FastCheck.uint8Array({ maxLength: 60 }), cuts, cuts],
      ([whole, lengths, sizes]) =>
        Effect.scoped(Effect.gen(function*() {
          const [left, right] = yield* MemoryTransport.pair(options)
          // With several of them in one Chunk of the Stream, and by the one.
          const source = Stream.rechunk(Stream.fromIterable(cut(whole, lengths)), sizes[0]!)
          yield* Effect.fork(Effect.zipRight(Stream.run(source, left.sink), left.closeWrite))
          assert.deepStrictEqual(yield* drain(right), whole)
        })),
      { fastCheck: { numRuns: 30 } }
    )
  }

  eachCarrier("an echo", (options) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(options)
      const echo = yield* Effect.fork(Effect.zipRight(Stream.run(right.stream, right.sink), right.closeWrite))
      yield* Effect.fork(send(left, cut(counting(300), [7, 50])))
      assert.deepStrictEqual(yield* drain(left), counting(300))
      yield* Fiber.join(echo)
      assert.strictEqual((yield* left.closed)._tag, "Clean")
    }))

  it.scoped("the stream fails with the loss after the data, and the sink with the loss", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const got: Array<Uint8Array> = []
      const reading = yield* forked(
        Effect.flip(Stream.runForEach(right.stream, (chunk) => Effect.sync(() => got.push(chunk))))
      )
      yield* left.write(ascii("data"))
      yield* settle
      yield* left.abort
      assert.strictEqual((yield* Fiber.join(reading))._tag, "ConnectionReset")
      assert.strictEqual(text(got), "data")
      assert.strictEqual(yield* tagOf(Stream.run(Stream.make(bytes(1)), left.sink)), "ConnectionAborted")
    }))

  it.scoped("a stream that is given up leaves the rest for the next one", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      yield* send(left, [ascii("abc")])
      assert.strictEqual(text(yield* Stream.runCollect(Stream.take(right.stream, 1))), "a")
      assert.strictEqual(text(yield* drain(right)), "bc")
    }))
})

describe("toChannel", () => {
  const through = <E>(upstream: Stream.Stream<Uint8Array, E>, transport: Transport.Transport) =>
    Stream.fromChannel(
      Channel.pipeTo(
        Stream.toChannel(upstream),
        Transport.toChannel<Transport.Transport extends Transport.Transport<infer F> ? F : never, E>(transport)
      )
    )

  eachCarrier("writes the upstream and its end, and gives what the peer sends", (options) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(options)
      const echo = yield* Effect.fork(Effect.zipRight(Stream.run(right.stream, right.sink), right.closeWrite))
      const answer = yield* Stream.runCollect(through(Stream.fromIterable(cut(counting(100), [9])), left))
      assert.deepStrictEqual(joined(answer), counting(100))
      yield* Fiber.join(echo)
      assert.deepInclude(yield* left.closed, { _tag: "Clean", firstEnded: "local" })
    }))

  it.scoped("a failure of the upstream aborts and is its failure", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const error = yield* Effect.flip(Stream.runDrain(through(Stream.fail("no more"), left)))
      assert.strictEqual(error, "no more")
      const reason = yield* left.closed
      assert.strictEqual(reason._tag === "Lost" && reason.error._tag, "ConnectionAborted")
      assert.strictEqual((yield* right.closed)._tag, "Lost")
    }))

  it.scoped("a write that fails is its failure", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      yield* left.closeWrite
      assert.strictEqual(yield* tagOf(Stream.runDrain(through(Stream.make(bytes(1)), left))), "WriteAfterEnd")
    }))

  it.scoped("a loss is its failure", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const running = yield* forked(tagOf(Stream.runDrain(through(Stream.never, left))))
      yield* right.abort
      assert.strictEqual(yield* Fiber.join(running), "ConnectionReset")
    }))
})

describe("readExactly", () => {
  eachCarrier("gives so many bytes, and leaves the rest", (options) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(options)
      yield* Effect.fork(send(left, [counting(20), counting(30, 20)]))
      assert.deepStrictEqual(yield* Transport.readExactly(right, 0), bytes(0))
      assert.deepStrictEqual(yield* Transport.readExactly(right, 7), counting(7))
      assert.deepStrictEqual(yield* Transport.readExactly(33)(right), counting(33, 7))
      assert.deepStrictEqual(yield* drain(right), counting(10, 40))
    }))

  it.scoped("IncompleteRead tells what had come and what was asked for, and nothing is left", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 2 })
      yield* send(left, [ascii("abc")])
      const error = yield* Effect.flip(Transport.readExactly(right, 4))
      assert.strictEqual(error._tag, "IncompleteRead")
      if (error._tag !== "IncompleteRead") return
      assert.strictEqual(text(error.bytes), "abc")
      assert.strictEqual(error.expected, 4)
      assert.strictEqual(error.message, "The input ended after 3 bytes, before the 4 that were asked for.")
      assert.isNull(yield* right.pull)
      const nothing = yield* Effect.flip(Transport.readExactly(right, 1))
      assert.strictEqual(nothing._tag === "IncompleteRead" && nothing.bytes.length, 0)
    }))

  it.scoped("interrupted, it puts back what had come", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      yield* left.write(ascii("abc"))
      const reading = yield* forked(Transport.readExactly(right, 9))
      assert.strictEqual(right.stats().unread, 0)
      yield* Fiber.interrupt(reading)
      yield* left.write(ascii("def"))
      assert.strictEqual(text(yield* Transport.readExactly(right, 6)), "abcdef")
    }))

  it.scoped("on a loss, it puts back what had come", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      yield* left.write(ascii("abc"))
      const reading = yield* forked(tagOf(Transport.readExactly(right, 9)))
      yield* left.abort
      assert.strictEqual(yield* Fiber.join(reading), "ConnectionReset")
      assert.strictEqual(text((yield* right.pull)!), "abc")
      assert.strictEqual(yield* tagOf(right.pull), "ConnectionReset")
    }))

  for (const size of [-1, 1.5, NaN, Infinity]) {
    it.scoped(`dies with a RangeError for ${size}`, () =>
      Effect.gen(function*() {
        const [, right] = yield* MemoryTransport.pair()
        const exit = yield* Effect.exit(Transport.readExactly(right, size))
        assert.instanceOf(Exit.isFailure(exit) ? Chunk.toArray(Cause.defects(exit.cause))[0] : undefined, RangeError)
      }))
  }
})

describe("readUntil", () => {
  eachCarrier(
    "gives what stands before the delimiter, and leaves what comes after it",
    (options) =>
      Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair(options)
        yield* Effect.fork(send(left, [ascii("one\r"), ascii("\n\r\ntwo\rthree\r\nrest")]))
        const line = Transport.readUntil(right, ascii("\r\n"))
        assert.deepStrictEqual([text(yield* line), text(yield* line), text(yield* line)], ["one", "", "two\rthree"])
        assert.strictEqual(text(yield* drain(right)), "rest")
      })
  )

  const limits: ReadonlyArray<[input: string, limit: number, found: boolean]> = [
    ["abc\r\n", 3, true],
    ["abcd\r\n", 3, false],
    ["\r\n", 0, true],
    ["a\r\n", 0, false],
    ["abc\r", 3, true],
    ["abcd\r", 3, false]
  ]
  for (const [input, limit, found] of limits) {
    it.scoped(`${JSON.stringify(input)} with a limit of ${limit}: ${found ? "found" : "not found"}`, () =>
      Effect.gen(function*() {
        const delimiter = ascii(input.endsWith("\n") ? "\r\n" : "\r")
        for (const maxChunkSize of [1, 2, 65536]) {
          const [left, right] = yield* MemoryTransport.pair({ maxChunkSize })
          yield* send(left, [ascii(input)])
          const result = yield* Effect.either(Transport.readUntil(right, delimiter, { limit }))
          if (found) assert.strictEqual(result._tag === "Right" && text(result.right), input.trimEnd())
          else {
            assert.deepStrictEqual(
              result._tag === "Left" && [result.left._tag, result.left.message],
              ["DelimiterNotFound", `There is no delimiter within the limit of ${limit} bytes.`]
            )
            assert.strictEqual(text(yield* drain(right)), input)
          }
        }
      }))
  }

  it.scoped("IncompleteRead tells what had come", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      yield* send(left, [ascii("abc\r")])
      const error = yield* Effect.flip(Transport.readUntil(right, ascii("\r\n")))
      assert.deepStrictEqual(
        error._tag === "IncompleteRead" && [text(error.bytes), error.expected, error.message],
        ["abc\r", undefined, "The input ended after 4 bytes, before the delimiter."]
      )
    }))

  it.scoped("interrupted, and on a loss, it puts back what had come", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      yield* left.write(ascii("abc"))
      const reading = yield* forked(Transport.readUntil(right, ascii("\r\n")))
      yield* Fiber.interrupt(reading)
      const again = yield* forked(tagOf(Transport.readUntil(ascii("\r\n"))(right)))
      yield* left.abort
      assert.strictEqual(yield* Fiber.join(again), "ConnectionReset")
      assert.strictEqual(text((yield* right.pull)!), "abc")
    }))

  it.scoped("an empty delimiter dies with a RangeError", () =>
    Effect.gen(function*() {
      const [, right] = yield* MemoryTransport.pair()
      const exit = yield* Effect.exit(Transport.readUntil(right, bytes(0)))
      assert.instanceOf(Exit.isFailure(exit) ? Chunk.toArray(Cause.defects(exit.cause))[0] : undefined, RangeError)
    }))

  /** Everything that reading to the delimiter, again and again, gives. */
  const readAll = (chunks: Iterable<Uint8Array>, delimiter: Uint8Array, limit: number, maxChunkSize: number) =>
    Effect.scoped(Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize })
      yield* Effect.fork(send(left, chunks))
      const results: Array<string> = []
      for (;;) {
        const result = yield* Effect.either(Transport.readUntil(right, delimiter, { limit }))
        if (result._tag === "Right") results.push(`line ${[...result.right].join()}`)
        else {
          const { left: error } = result
          results.push(error._tag === "IncompleteRead" ? `${error._tag} ${[...error.bytes].join()}` : error._tag)
          results.push(`rest ${[...yield* drain(right)].join()}`)
          return results
        }
      }
    }))

  it.effect.prop(
    "gives the same under every chunking",
    [
      FastCheck.uint8Array({ max: 2, maxLength: 30 }),
      FastCheck.uint8Array({ max: 2, minLength: 1, maxLength: 3 }),
      FastCheck.nat({ max: 8 }),
      cuts
    ],
    ([whole, delimiter, limit, lengths]) =>
      Effect.gen(function*() {
        const expected = yield* readAll([whole], delimiter, limit, 65536)
        assert.deepStrictEqual(yield* readAll(cut(whole, lengths), delimiter, limit, 65536), expected)
        assert.deepStrictEqual(yield* readAll([whole], delimiter, limit, 1), expected)
      }),
    { fastCheck: { numRuns: 50 } }
  )

  it.live("looks at each byte once, however they come", () =>
    Effect.gen(function*() {
      // Counts the bytes that are searched: with a window that grew with the input it would be eight million.
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      const search = vi.spyOn(Uint8Array.prototype, "indexOf")
      yield* Effect.addFinalizer(() => Effect.sync(() => search.mockRestore()))
      yield* Effect.fork(send(left, [bytes(4000, 1), ascii("\r\n")]))
      assert.strictEqual((yield* Transport.readUntil(right, ascii("\r\n"))).length, 4000)
      let searched = 0
      for (const window of search.mock.contexts as ReadonlyArray<Uint8Array>) searched += window.length
      assert.isBelow(searched, 20_000)
    }).pipe(Effect.scoped))
})

describe("guards and tags", () => {
  it.scoped("isTransport", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      assert.isTrue(Transport.isTransport(left))
      for (const other of [undefined, null, {}, left.pull, left.stream]) assert.isFalse(Transport.isTransport(other))
    }))

  it.scoped("a transport is a service", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const Mine = Transport.Tag<never>()("test/Mine")
      assert.strictEqual(yield* Effect.provideService(Transport.Transport, Transport.Transport, left), left)
      assert.strictEqual(
        yield* Effect.provideService(Mine, Mine, right as unknown as Transport.Transport<never>),
        right
      )
    }))
})

describe("fairness", () => {
  it.live("eight loops that are always ready do not starve the event loop", () =>
    Effect.gen(function*() {
      let turns = 0
      let stopped = false
      const turn = () => {
        turns++
        if (!stopped) setImmediate(turn)
      }
      setImmediate(turn)
      let rounds = 0
      const loop = Effect.scoped(Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair()
        yield* Effect.fork(Stream.run(right.stream, right.sink))
        yield* left.write(bytes(1))
        yield* Effect.repeatN(
          Effect.zipRight(
            Effect.flatMap(left.pull, (chunk) => left.write(chunk!)),
            Effect.sync(() => void rounds++)
          ),
          999
        )
      }))
      yield* Effect.all(Array.from({ length: 8 }, () => loop), { concurrency: "unbounded", discard: true })
      stopped = true
      assert.strictEqual(rounds, 8000)
      // 64 reads and writes to a turn: each round is two of the left side's, so that at least 30 turns came by.
      assert.isAtLeast(turns, 30)
    }))

  const counted = Effect.acquireRelease(
    Effect.sync(() => {
      const counter = { turns: 0, stopped: false }
      const turn = () => {
        counter.turns++
        if (!counter.stopped) setImmediate(turn)
      }
      setImmediate(turn)
      return counter
    }),
    (counter) =>
      Effect.sync(() => {
        counter.stopped = true
      })
  )

  it.scopedLive("a forEach that always has input does not starve the event loop", () =>
    Effect.gen(function*() {
      const counter = yield* counted
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      yield* Effect.fork(send(left, [counting(8000)]))
      let handled = 0
      yield* right.forEach(() => {
        handled++
        return Exit.void
      })
      assert.strictEqual(handled, 8000)
      // 64 reads to a turn.
      assert.isAtLeast(counter.turns, 60)
    }))

  it.scopedLive("two forEach that answer one another do not starve the event loop", () =>
    Effect.gen(function*() {
      const counter = yield* counted
      const [left, right] = yield* MemoryTransport.pair()
      let rounds = 0
      const timers: Array<number> = []
      const timer = setInterval(() => timers.push(rounds), 1)
      yield* Effect.fork(right.forEach((chunk) => right.write(chunk)))
      yield* left.write(bytes(1))
      const playing = left.forEach((chunk) =>
        ++rounds < 4000 ? Effect.mapError(left.write(chunk), () => "lost") : Effect.fail("over")
      )
      assert.strictEqual(yield* Effect.flip(playing), "over")
      clearInterval(timer)
      assert.strictEqual(rounds, 4000)
      assert.isAtLeast(counter.turns, 30)
      assert.isAbove(timers.length, 0)
    }))
})
