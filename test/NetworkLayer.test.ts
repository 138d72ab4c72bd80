import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { pipe } from "effect/Function"
import type * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type * as Address from "../src/Address.ts"
import type { ConnectError, ConnectionLost } from "../src/ConnectionError.ts"
import { ConnectionClosed, ConnectionReset, WriteAfterEnd } from "../src/ConnectionError.ts"
import * as MemoryTransport from "../src/memory/MemoryTransport.ts"
import * as Network from "../src/Network.ts"
import * as NetworkLayer from "../src/NetworkLayer.ts"
import * as IdleTimeout from "../src/policy/IdleTimeout.ts"
import * as Throttle from "../src/policy/Throttle.ts"
import { sweep } from "../src/testing/InterruptSweep.ts"
import * as Transport from "../src/Transport.ts"
import { ascii, bytes, counting, cut, cuts, joined, text } from "./support/bytes.ts"
import { rootFibers, settle } from "./support/fibers.ts"

class Named extends Data.TaggedError("Named")<{ readonly reason: unknown }> {}

const readAll = <E>(transport: Transport.Transport<E>) => Effect.map(Stream.runCollect(transport.stream), joined)

/** A layer that puts a mark in front of each chunk that is written. */
const marked = (mark: string) => <E>(transport: Transport.Transport<E>) =>
  Effect.succeed(NetworkLayer.derive(transport, {
    writeAll: (chunks) => transport.writeAll([...chunks].map((chunk) => joined([ascii(mark), chunk])))
  }))

describe("types", () => {
  it("failures add up in a pipe", () => {
    const stack = (address: Address.Address) =>
      Network.connect(address).pipe(
        Effect.flatMap(IdleTimeout.make({ duration: "30 seconds" })),
        Effect.flatMap(Throttle.make({ read: 1000 }))
      )
    stack satisfies (address: Address.Address) => Effect.Effect<
      Transport.Transport<ConnectionLost | IdleTimeout.IdleTimeout>,
      ConnectError,
      Network.Network | Scope.Scope
    >
    // @ts-expect-error a stack with an idle limit can fail with more than a bare transport
    stack satisfies (address: Address.Address) => Effect.Effect<Transport.Transport, unknown, unknown>
  })

  it("a generic layer fits for any failures", () => {
    IdleTimeout.make({ duration: 1 }) satisfies NetworkLayer.NetworkLayer<Named, Named | IdleTimeout.IdleTimeout>
    Throttle.make({}) satisfies NetworkLayer.NetworkLayer<Named, Named | ConnectionLost>
    NetworkLayer.identity satisfies NetworkLayer.NetworkLayer<Named, Named>
    // @ts-expect-error its own failure is not left out
    IdleTimeout.make({ duration: 1 }) satisfies NetworkLayer.NetworkLayer<Named, Named>
  })

  it("a composition of generic layers is generic", () => {
    const both = NetworkLayer.compose(IdleTimeout.make({ duration: 1 }), Throttle.make({}))
    both satisfies NetworkLayer.NetworkLayer<Named, Named | IdleTimeout.IdleTimeout | ConnectionLost>
    both satisfies NetworkLayer.NetworkLayer<ConnectionLost, IdleTimeout.IdleTimeout | ConnectionLost>
  })
})

describe("compose", () => {
  const sent = (layer: (transport: Transport.Transport) => Effect.Effect<Transport.Transport>) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const transport = yield* layer(left)
      yield* transport.write(ascii("x"))
      return text((yield* right.pull)!)
    })

  it.scoped("puts the first next to the carrier", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* sent(NetworkLayer.compose(marked("1"), marked("2"))), "12x")
    }))

  it.scoped("is associative, with identity on either side", () =>
    Effect.gen(function*() {
      const { compose, identity } = NetworkLayer
      const [a, b, c] = [marked("a"), marked("b"), marked("c")] as const
      assert.strictEqual(yield* sent(compose(compose(a, b), c)), yield* sent(compose(a, compose(b, c))))
      assert.strictEqual(yield* sent(compose(identity, a)), yield* sent(a))
      assert.strictEqual(yield* sent(compose(a, identity)), yield* sent(a))
    }))
})

describe("layer", () => {
  it.effect("takes one tag's transport and provides the other's, as long as the Layer lasts", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      const Guarded = Transport.Tag<ConnectionLost | IdleTimeout.IdleTimeout>()("test/Guarded")
      const [left, right] = yield* MemoryTransport.pair()
      const guarded = NetworkLayer.layer(
        Transport.Transport,
        Guarded,
        IdleTimeout.make({ duration: "1 minute" })
      ) satisfies Layer.Layer<"test/Guarded", never, Transport.Transport>
      yield* Effect.flatMap(Guarded, (transport) => transport.write(ascii("hello"))).pipe(
        Effect.provide(guarded),
        Effect.provideService(Transport.Transport, left)
      )
      assert.strictEqual(text((yield* right.pull)!), "hello")
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
    }).pipe(Effect.scoped))

  it.effect("fails as the layer fails", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      const Out = Context.GenericTag<Transport.Transport>("test/Out")
      const layer = NetworkLayer.layer(Transport.Transport, Out, () => new Named({ reason: "no handshake" }))
      const error = yield* Effect.flip(Effect.provide(Out, layer)).pipe(
        Effect.provideService(Transport.Transport, left)
      )
      assert.instanceOf(error, Named)
    }).pipe(Effect.scoped))
})

describe("derive", () => {
  it.scoped("with nothing replaced is the transport", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      const same = NetworkLayer.derive(left, {})
      assert.isTrue(Transport.isTransport(same))
      const keys = [
        "localAddress",
        "remoteAddress",
        "pull",
        "forEach",
        "write",
        "writeAll",
        "outgoing",
        "stats"
      ] as const
      for (const key of keys) {
        assert.strictEqual(same[key], left[key])
      }
    }))

  it.scoped("a replaced pull is the stream's too", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      let pulls = 0
      const derived = NetworkLayer.derive(left, { pull: Effect.zipRight(Effect.sync(() => pulls++), left.pull) })
      yield* right.write(ascii("abc"))
      yield* right.closeWrite
      assert.strictEqual(text(yield* readAll(derived)), "abc")
      assert.strictEqual(pulls, 4)
    }))

  it.scoped("a replaced pull is forEach's too", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      const shout = (chunk: Uint8Array | null) => chunk === null ? null : ascii(text(chunk).toUpperCase())
      const derived = NetworkLayer.derive(left, { pull: Effect.map(left.pull, shout) })
      yield* right.write(ascii("abc"))
      yield* right.closeWrite
      const seen: Array<Uint8Array> = []
      yield* derived.forEach((chunk) => {
        seen.push(chunk)
        return Effect.void
      })
      assert.strictEqual(text(seen), "ABC")
    }))

  it.scoped("the failure of a replaced pull is forEach's too", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      let pulls = 0
      const derived = NetworkLayer.derive<ConnectionLost, ConnectionLost | Named>(left, {
        pull: Effect.suspend(
          (): Effect.Effect<Uint8Array | null, ConnectionLost | Named> =>
            ++pulls < 3 ? left.pull : Effect.fail(new Named({ reason: "third" }))
        )
      })
      yield* right.write(ascii("abc"))
      const seen: Array<Uint8Array> = []
      const handling: Effect.Effect<void, Named | ConnectionLost> = derived.forEach((chunk) =>
        Effect.sync(() => seen.push(chunk))
      )
      assert.deepStrictEqual(yield* Effect.flip(handling), new Named({ reason: "third" }))
      assert.strictEqual(text(seen), "ab")
      assert.strictEqual(text((yield* left.pull)!), "c")
    }))

  it.scoped("a forEach that is given stands beside a replaced pull, and an unsafeOffer beside replaced writes", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const { forEach, outgoing } = NetworkLayer.derive(left, {
        pull: Effect.dieMessage("not asked for"),
        forEach: left.forEach,
        write: () => Effect.dieMessage("not asked for"),
        unsafeOffer: (bytes) => left.outgoing.unsafeOffer(bytes)
      })
      assert.isTrue(outgoing.unsafeOffer(ascii("abc")))
      yield* right.write((yield* right.pull)!)
      yield* right.closeWrite
      const seen: Array<string> = []
      yield* forEach((chunk) => Effect.sync(() => seen.push(text(chunk))))
      assert.deepStrictEqual(seen, ["abc"])
    }))

  it.scoped("with writes replaced alone, forEach is the transport's", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const derived = yield* marked("-")(left)
      assert.strictEqual(derived.forEach, left.forEach)
      yield* right.write(ascii("a"))
      yield* right.closeWrite
      yield* derived.forEach((chunk) => derived.write(chunk))
      yield* derived.closeWrite
      assert.strictEqual(text(yield* readAll(right)), "-a")
    }))

  it.scoped("a replaced writeAll is that of write, sink and outgoing too", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair()
      const derived = yield* marked("-")(left)
      yield* derived.write(ascii("a"))
      yield* derived.writeAll([ascii("b"), ascii("c")])
      yield* Stream.run(Stream.make(ascii("d")), derived.sink)
      assert.isTrue(yield* Queue.offer(derived.outgoing, ascii("e")))
      assert.isTrue(yield* derived.outgoing.offerAll([ascii("f"), ascii("g")]))
      // It could not go through the replaced one, and does not go round it.
      assert.isFalse(derived.outgoing.unsafeOffer(ascii("h")))
      yield* Queue.shutdown(derived.outgoing)
      yield* derived.outgoing.awaitShutdown
      assert.isFalse(yield* derived.outgoing.offer(ascii("i")))
      assert.isFalse(yield* derived.outgoing.offerAll([ascii("i")]))
      assert.strictEqual(text(yield* readAll(right)), "-a-b-c-d-e-f-g")
    }))

  it.scoped("a replaced closeWrite is that of outgoing too", () =>
    Effect.gen(function*() {
      for (const replaced of ["closeWrite alone", "closeWrite and writeAll"]) {
        const [left, right] = yield* MemoryTransport.pair()
        let called = 0
        const closeWrite = Effect.suspend(() => {
          called++
          return left.closeWrite
        })
        const derived = NetworkLayer.derive(left, {
          closeWrite,
          ...replaced === "closeWrite alone" ? {} : { writeAll: left.writeAll }
        })
        assert.isTrue(yield* Queue.offer(derived.outgoing, ascii("a")), replaced)
        assert.strictEqual(derived.outgoing.unsafeOffer(ascii("b")), replaced === "closeWrite alone")
        yield* Queue.shutdown(derived.outgoing)
        assert.strictEqual(called, 1, replaced)
        assert.strictEqual(text(yield* readAll(right)), replaced === "closeWrite alone" ? "ab" : "a")
      }
    }))

  it.scoped("an outgoing with replaced writes tells of the carrier's buffer", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair({ capacity: 0, highWaterMark: 4, readBufferSize: 0 })
      const { outgoing, write } = yield* marked("-")(left)
      assert.strictEqual(outgoing.capacity(), 4)
      assert.isTrue(yield* Queue.isEmpty(outgoing))
      yield* write(ascii("abc"))
      assert.isTrue(yield* Queue.isFull(outgoing))
      assert.strictEqual(yield* outgoing.pipe(Queue.size), 4)
      assert.deepStrictEqual(outgoing.unsafeSize(), left.outgoing.unsafeSize())
      assert.isTrue(outgoing.isActive())
      assert.isFalse(yield* Queue.isShutdown(outgoing))
      yield* left.abort
      assert.isTrue(yield* Queue.isShutdown(outgoing))
    }))
})

describe("mapError", () => {
  const named = (pair: MemoryTransport.PairOptions = {}) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair(pair)
      return { left, right, transport: NetworkLayer.mapError(left, (reason) => new Named({ reason })) }
    })

  it.scoped("reaches what waits, what comes later, and the reason of the close", () =>
    Effect.gen(function*() {
      const { right, transport } = yield* named({ capacity: 0, highWaterMark: 1, readBufferSize: 0 })
      yield* transport.write(ascii("full"))
      const acts: ReadonlyArray<Effect.Effect<unknown, Named | WriteAfterEnd>> = [
        transport.pull,
        Stream.runDrain(transport.stream),
        transport.write(ascii("x")),
        transport.writeAll([ascii("x"), ascii("y")]),
        transport.flush,
        transport.closeWrite
      ]
      const fibers = yield* Effect.forEach(acts.slice(2, 5), (act) => Effect.fork(act))
      yield* settle
      yield* right.abort
      for (const fiber of fibers) assert.instanceOf(yield* Effect.flip(Fiber.join(fiber)), Named)
      for (const act of acts) {
        const error = yield* Effect.flip(act)
        assert(error instanceof Named && error.reason instanceof ConnectionReset)
      }
      const reason = yield* transport.closed
      assert(reason._tag === "Lost" && reason.error instanceof Named)
      assert.strictEqual(yield* transport.closed, reason)
    }))

  it.scoped("is of a forEach's input, and not of its function", () =>
    Effect.gen(function*() {
      const fail = { reason: "the function's own" }
      const { right, transport } = yield* named({ maxChunkSize: 1 })
      yield* right.write(ascii("abcd"))
      const handling: Effect.Effect<void, Named | typeof fail> = transport.forEach((chunk) =>
        text(chunk) === "a" ? Effect.void : Effect.fail(fail)
      )
      assert.strictEqual(yield* Effect.flip(handling), fail)
      const dying = yield* Effect.exit(transport.forEach(() => Effect.die(fail)))
      assert.deepStrictEqual(dying, Exit.die(fail))
      const throwing = yield* Effect.exit(transport.forEach((): Effect.Effect<void> => {
        throw fail
      }))
      assert.deepStrictEqual(throwing, Exit.die(fail))

      const waiting = yield* Effect.fork(Effect.flip(transport.forEach(() => Effect.void)))
      yield* settle
      yield* right.abort
      const error = yield* Fiber.join(waiting)
      assert(error instanceof Named && error.reason instanceof ConnectionReset)
    }))

  it.scoped("of a write that a forEach makes is made once", () =>
    Effect.gen(function*() {
      const { left, right, transport } = yield* named()
      yield* right.write(ascii("a"))
      yield* left.closeWrite
      const refused = yield* Effect.flip(transport.forEach((chunk) => transport.write(chunk)))
      assert.instanceOf(refused, WriteAfterEnd)

      const lost = yield* named({ capacity: 0, highWaterMark: 1, readBufferSize: 0 })
      yield* lost.transport.write(ascii("full"))
      yield* lost.transport.unread(ascii("a"))
      const waiting = yield* Effect.fork(Effect.flip(lost.transport.forEach((chunk) => lost.transport.write(chunk))))
      yield* settle
      assert.strictEqual(lost.transport.stats().writersWaiting, 1)
      yield* lost.right.abort
      const error = yield* Fiber.join(waiting)
      assert(error instanceof Named && error.reason instanceof ConnectionReset)
    }))

  it.scoped("leaves writes lazy: made once, one is written each time it is run", () =>
    Effect.gen(function*() {
      const { left, right, transport } = yield* named()
      const writes = [transport.write(ascii("a")), transport.writeAll([ascii("b"), ascii("c")])]
      yield* settle
      assert.strictEqual(left.stats().bytesWritten, 0)
      for (const write of [...writes, ...writes]) yield* write
      yield* transport.closeWrite
      assert.strictEqual(text(yield* readAll(right)), "abcabc")
    }))

  it.scoped("leaves the defects of a write alone", () =>
    Effect.gen(function*() {
      const { transport } = yield* named()
      const exit = yield* Effect.exit(transport.write("no bytes" as never))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
    }))

  it.scoped("leaves WriteAfterEnd and a clean close alone", () =>
    Effect.gen(function*() {
      const { right, transport } = yield* named()
      yield* transport.closeWrite
      assert.instanceOf(yield* Effect.flip(transport.write(ascii("x"))), WriteAfterEnd)
      yield* right.closeWrite
      assert.isNull(yield* transport.pull)
      assert.strictEqual((yield* transport.closed)._tag, "Clean")
    }))

  it.scoped("pipes", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      const transport = pipe(left, NetworkLayer.mapError((error: ConnectionLost) => error._tag))
      transport satisfies Transport.Transport<ConnectionLost["_tag"]>
      yield* transport.abort
      assert.strictEqual(yield* Effect.flip(transport.pull), "ConnectionAborted")
    }))
})

describe("buffered", () => {
  const buffered = (pair: MemoryTransport.PairOptions = {}, options?: NetworkLayer.BufferedOptions) =>
    Effect.gen(function*() {
      const [carrier, peer] = yield* MemoryTransport.pair(pair)
      const transport = yield* NetworkLayer.buffered(carrier, options)
      yield* Effect.addFinalizer(() => peer.abort)
      return { carrier, peer, transport }
    })

  // With few steps between two yields, whatever can come between two steps does. (With less than 10, Effect stands still.)
  const steps = FastCheck.oneof(FastCheck.integer({ min: 10, max: 20 }), FastCheck.constant(2048))

  it.scoped.prop(
    "carries any bytes in both directions, whatever the chunks",
    [cuts, cuts, steps],
    ([ours, theirs, ops]) =>
      Effect.gen(function*() {
        const { peer, transport } = yield* buffered({ capacity: 3, maxChunkSize: 4, highWaterMark: 8 })
        const send = <E>(to: Transport.Transport<E>, whole: Uint8Array, lengths: ReadonlyArray<number>) =>
          Effect.zipRight(Effect.forEach(cut(whole, lengths), to.write, { discard: true }), to.closeWrite)
        const [, , here, there] = yield* Effect.all([
          send(transport, counting(100), ours),
          send(peer, counting(100, 50), theirs),
          readAll(transport),
          readAll(peer)
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(there, counting(100))
        assert.deepStrictEqual(here, counting(100, 50))
      }).pipe(Effect.withMaxOpsBeforeYield(ops)),
    { fastCheck: { numRuns: 50 } }
  )

  it.scoped("an idle user hears of the loss of the carrier", () =>
    Effect.gen(function*() {
      const { carrier, transport } = yield* buffered()
      yield* carrier.abort
      const reason = yield* transport.closed
      assert(reason._tag === "Lost" && reason.error._tag === "ConnectionAborted")
      assert.instanceOf(yield* Effect.flip(transport.write(ascii("x"))), reason.error.constructor as never)
    }))

  it.scoped("a loss comes after the bytes that came before it, also when a writer notices it first", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* buffered({ maxChunkSize: 2 }, { limits: { readBufferSize: 0 } })
      yield* peer.write(ascii("abcdef"))
      assert.strictEqual(text((yield* transport.pull)!), "ab")
      yield* peer.abort
      while (Exit.isSuccess(yield* Effect.exit(transport.write(ascii("x"))))) yield* settle
      yield* transport.closed
      const rest: Array<Uint8Array> = []
      const error = yield* Effect.flip(
        Stream.runForEach(transport.stream, (chunk) => Effect.sync(() => rest.push(chunk)))
      )
      assert.strictEqual(text(rest), "cdef")
      assert.instanceOf(error, ConnectionReset)
    }))

  it.scoped("an end that came before the loss is one, also when it waits behind other bytes", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* buffered({ maxChunkSize: 2 }, { limits: { readBufferSize: 0 } })
      yield* peer.write(ascii("abcd"))
      yield* peer.closeWrite
      assert.strictEqual(text((yield* transport.pull)!), "ab")
      yield* settle
      yield* peer.abort
      yield* transport.closed
      assert.strictEqual(text((yield* transport.pull)!), "cd")
      assert.isNull(yield* transport.pull)
    }))

  it.scoped("a carrier that is closed beneath it is a loss and does not hang", () =>
    Effect.gen(function*() {
      const reader = yield* buffered()
      const pull = yield* Effect.fork(reader.transport.pull)
      yield* settle
      yield* Effect.fork(reader.carrier.close)
      assert.instanceOf(yield* Effect.flip(Fiber.join(pull)), ConnectionClosed)

      const writer = yield* buffered()
      yield* writer.carrier.closeWrite
      yield* writer.transport.write(ascii("x"))
      assert.instanceOf(yield* Effect.flip(writer.transport.flush), ConnectionClosed)
    }))

  it.scoped("a carrier whose writing ends beneath it while a write waits for its pace is a loss and does not hang", () =>
    Effect.gen(function*() {
      const granted = yield* Effect.makeLatch()
      const pace: NetworkLayer.Pace = { ready: (bytes) => Effect.as(granted.await, bytes), spend: () => {} }
      const { carrier, transport } = yield* buffered({}, { write: pace })
      yield* transport.write(ascii("x"))
      yield* carrier.closeWrite
      yield* granted.open
      assert.instanceOf(yield* Effect.flip(transport.flush), ConnectionClosed)
    }))

  it.scoped("an end that the carrier cannot send fails by the loss, also if that is told later", () =>
    Effect.gen(function*() {
      const [carrier, peer] = yield* MemoryTransport.pair({ capacity: 0, readBufferSize: 0 })
      const transport = yield* NetworkLayer.buffered(
        NetworkLayer.derive(carrier, { closed: Effect.zipLeft(carrier.closed, settle) })
      )
      yield* transport.write(ascii("x"))
      const ending = yield* Effect.fork(transport.closeWrite)
      yield* settle
      yield* peer.abort
      assert.instanceOf(yield* Effect.flip(Fiber.join(ending)), ConnectionReset)
    }))

  it.scoped("a carrier that has ended in order beneath it is no loss", () =>
    Effect.gen(function*() {
      const { carrier, peer, transport } = yield* buffered({ maxChunkSize: 2 }, { limits: { readBufferSize: 0 } })
      yield* peer.write(ascii("abcd"))
      yield* peer.closeWrite
      assert.strictEqual(text((yield* transport.pull)!), "ab")
      yield* carrier.closeWrite
      assert.strictEqual((yield* carrier.closed)._tag, "Clean")
      yield* settle
      assert.strictEqual(text((yield* transport.pull)!), "cd")
      assert.isNull(yield* transport.pull)
      yield* transport.close
      assert.strictEqual((yield* transport.closed)._tag, "Clean")
    }))

  it.scoped("a pace asks before anything passes, and counts what has", () =>
    Effect.gen(function*() {
      let spent = 0
      const pace: NetworkLayer.Pace = {
        ready: () => Effect.as(Effect.sleep(10), 1),
        spend: (bytes) => {
          spent += bytes
        }
      }
      const { peer, transport } = yield* buffered({}, { limits: { readBufferSize: 0 }, read: pace })
      yield* peer.write(ascii("abc"))
      const pull = yield* Effect.fork(transport.pull)
      yield* TestClock.adjust(9)
      assert.strictEqual(spent, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(text((yield* Fiber.join(pull))!), "a")
      assert.strictEqual(spent, 1)
    }))

  it.scoped("a pace that lets byte after byte pass at once passes any number of them", () =>
    Effect.gen(function*() {
      const pace: NetworkLayer.Pace = { ready: () => Effect.succeed(1), spend: () => {} }
      const { peer, transport } = yield* buffered({}, { read: pace, write: pace })
      yield* Effect.fork(Effect.zipRight(peer.forEach(peer.write), peer.closeWrite))
      const reading = yield* Effect.fork(readAll(transport))
      yield* transport.write(counting(20_000))
      yield* transport.closeWrite
      assert.deepStrictEqual(yield* Fiber.join(reading), counting(20_000))
    }))

  it.scoped("a pace is asked about one piece after the other, however much is written at once", () =>
    Effect.gen(function*() {
      let asked = 0
      const most = { asked: 0, spent: 0 }
      const pace: NetworkLayer.Pace = {
        ready: (bytes) =>
          Effect.suspend(() => {
            most.asked = Math.max(most.asked, ++asked)
            return Effect.as(Effect.yieldNow(), Math.min(bytes, 100_000))
          }),
        spend: (bytes) => {
          asked--
          most.spent = Math.max(most.spent, bytes)
        }
      }
      const { peer, transport } = yield* buffered({}, { write: pace })
      const reading = yield* Effect.fork(readAll(peer))
      yield* transport.write(counting(1_000_000))
      yield* transport.closeWrite
      assert.deepStrictEqual(yield* Fiber.join(reading), counting(1_000_000))
      assert.deepStrictEqual(most, { asked: 1, spent: 100_000 })
    }))

  it.scoped("a pace is asked for nothing while the carrier has no room, and for all at once when it is empty", () =>
    Effect.gen(function*() {
      const asked: Array<number> = []
      const pace: NetworkLayer.Pace = {
        ready: (bytes) =>
          Effect.sync(() => {
            asked.push(bytes)
            return bytes
          }),
        spend: () => {}
      }
      const { peer, transport } = yield* buffered({ capacity: 0, highWaterMark: 4 }, { write: pace })
      yield* transport.write(bytes(20))
      yield* settle
      yield* transport.write(bytes(5))
      yield* settle
      assert.deepStrictEqual(asked, [20])
      yield* Effect.fork(Effect.zipRight(transport.flush, transport.closeWrite))
      assert.lengthOf(yield* readAll(peer), 25)
      assert.deepStrictEqual(asked, [20, 5])
    }))

  it.scoped("a pace whose bytes nobody wants any more is told so, and asked again when somebody does", () =>
    Effect.gen(function*() {
      const spent: Array<number> = []
      const granted = yield* Effect.makeLatch()
      const pace: NetworkLayer.Pace = {
        ready: () => {
          if (spent.length !== 1) return Effect.succeed(1)
          // What it waits for has come: it leaves without it.
          reading.unsafeInterruptAsFork(FiberId.none)
          return Effect.as(granted.await, 1)
        },
        spend: (bytes) => spent.push(bytes)
      }
      const { peer, transport } = yield* buffered({}, { limits: { readBufferSize: 1 }, read: pace })
      const reading = yield* Effect.fork(transport.pull)
      yield* settle
      yield* peer.write(ascii("ab"))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(reading)))
      yield* settle
      yield* granted.open
      yield* settle
      assert.deepStrictEqual(spent, [1, 0])
      assert.strictEqual(transport.stats().unread, 1)
      assert.strictEqual(text((yield* transport.pull)!), "a")
      assert.strictEqual(text((yield* transport.pull)!), "b")
      assert.deepStrictEqual(spent, [1, 0, 1])
    }))

  it.scoped("it can be made where nothing can be interrupted", () =>
    Effect.gen(function*() {
      const [carrier] = yield* MemoryTransport.pair()
      const transport = yield* Effect.uninterruptible(NetworkLayer.buffered(carrier))
      const pull = yield* Effect.fork(transport.pull)
      yield* settle
      yield* transport.abort
      assert.strictEqual((yield* Effect.flip(Fiber.join(pull)))._tag, "ConnectionAborted")
    }))

  it.effect("nothing is left after the close of one that has input which nobody wants", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      const scope = yield* Scope.make()
      const { peer, transport } = yield* Scope.extend(
        buffered({ maxChunkSize: 1 }, { limits: { readBufferSize: 0 } }),
        scope
      )
      yield* peer.write(ascii("abc"))
      assert.strictEqual(text((yield* transport.pull)!), "a")
      yield* settle
      yield* Effect.all([transport.abort, peer.abort])
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
      yield* Scope.close(scope, Exit.void)
    }))

  it.scoped("an abort does not wait for the carrier that is being closed", () =>
    Effect.gen(function*() {
      const { carrier, transport } = yield* buffered({ lingerTimeout: "1 hour" }, { limits: { lingerTimeout: 0 } })
      yield* Effect.fork(transport.close)
      yield* TestClock.adjust(0)
      yield* settle
      yield* transport.abort
      const reason = yield* carrier.closed
      assert(reason._tag === "Lost" && reason.error._tag === "ConnectionAborted")
      assert.strictEqual((yield* transport.closed)._tag, "Clean")
    }))

  it.effect("nothing is left after the close, though its Scope is open", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      const scope = yield* Scope.make()
      const { peer, transport } = yield* Scope.extend(buffered(), scope)
      yield* transport.write(bytes(10))
      yield* Effect.fork(Effect.ignore(transport.pull))
      assert.strictEqual((yield* peer.pull)!.length, 10)
      yield* Effect.zip(transport.close, peer.close, { concurrent: true })
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
      yield* Scope.close(scope, Exit.void)
    }))
})

describe("an interruption at any step", () => {
  const layers: ReadonlyArray<
    readonly [
      string,
      (transport: Transport.Transport) => Effect.Effect<Transport.Transport<unknown>, never, Scope.Scope>
    ]
  > = [
    ["mapError", (transport) => Effect.succeed(NetworkLayer.mapError(transport, (error) => error))],
    ["an idle limit", IdleTimeout.make({ duration: "1 minute", direction: "read" })],
    ["buffered", (transport) => NetworkLayer.buffered(transport, { limits: { readBufferSize: 4 } })],
    ["a throttle", Throttle.make({ read: { bytesPerSecond: 1e6, burst: 1e6 } })]
  ]

  const filled = (layer: (typeof layers)[number][1]) =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ capacity: 4, maxChunkSize: 3, lingerTimeout: 0 })
      const transport = yield* layer(left)
      yield* Effect.addFinalizer(() => right.abort)
      yield* Effect.fork(Effect.zipRight(right.write(counting(20)), right.closeWrite))
      return { transport, seen: [] as Array<Uint8Array> }
    })

  it.live.each(layers)("forEach loses nothing through %s", ([, layer]) =>
    sweep({
      setup: filled(layer),
      scenario: ({ seen, transport }) =>
        transport.forEach((chunk) => {
          seen.push(chunk)
          return seen.length % 2 === 0 ? Effect.void : Effect.yieldNow()
        }),
      check: ({ seen, transport }) =>
        Effect.map(readAll(transport), (rest) => assert.deepStrictEqual(joined([...seen, rest]), counting(20)))
    }), 60_000)

  it.live.each(layers)("loses nothing that is pulled through %s", ([, layer]) =>
    sweep({
      setup: filled(layer),
      scenario: ({ seen, transport }) => {
        const loop: Effect.Effect<void, unknown> = Effect.flatMap(transport.pull, (chunk) => {
          if (chunk === null) return Effect.void
          seen.push(chunk)
          return loop
        })
        return loop
      },
      check: ({ seen, transport }) =>
        Effect.map(readAll(transport), (rest) => assert.deepStrictEqual(joined([...seen, rest]), counting(20)))
    }), 60_000)
})
