import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import * as RecordingTransport from "../../src/testing/RecordingTransport.ts"
import type * as Transport from "../../src/Transport.ts"
import { ascii, bytes, counting, text } from "../support/bytes.ts"
import { forked, rootFibers, settle } from "../support/fibers.ts"

const written = ({ writes }: RecordingTransport.RecordingTransport) => writes().map((chunks) => chunks.map(text))

const kinds = ({ transcript }: RecordingTransport.RecordingTransport) =>
  transcript().events.map(({ _tag, from }) => `${from} ${_tag}`)

const lossOf = <E>(reason: Transport.CloseReason<E>): E | undefined => reason._tag === "Lost" ? reason.error : undefined

describe("what was written", () => {
  it.scoped("is recorded write by write, with the chunks of each", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make()
      yield* peer.transport.write(ascii("a"))
      yield* peer.transport.writeAll([ascii("b"), ascii("c")])
      yield* peer.transport.outgoing.offer(ascii("d"))
      assert.deepStrictEqual(written(peer), [["a"], ["b", "c"], ["d"]])
      assert.strictEqual(text(peer.written()), "abcd")
    }))

  it.scoped("is nothing at first", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make()
      assert.deepStrictEqual(peer.writes(), [])
      assert.deepStrictEqual(peer.written(), new Uint8Array(0))
      assert.strictEqual(peer.untaken(), 0)
    }))

  it.scoped("after the end of this side it is not recorded, but fails", () =>
    Effect.gen(function*() {
      for (const ending of ["closeWrite", "close"] as const) {
        const peer = yield* RecordingTransport.make()
        yield* peer.transport.write(ascii("before"))
        yield* peer.transport[ending]
        assert.strictEqual((yield* Effect.flip(peer.transport.write(ascii("after"))))._tag, "WriteAfterEnd")
        assert.strictEqual(text(peer.written()), "before")
      }
    }))

  it.scoped("what is not bytes is a defect, and not recorded", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make()
      const exit = yield* Effect.exit(peer.transport.writeAll([ascii("a"), "b" as never]))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      assert.deepStrictEqual(peer.writes(), [])
    }))

  it.scoped("half-close, close and abort are recorded, in their order and with their times", () =>
    Effect.gen(function*() {
      const halved = yield* RecordingTransport.make()
      yield* halved.transport.write(ascii("a"))
      yield* TestClock.adjust(10)
      yield* halved.transport.closeWrite
      yield* halved.receive(ascii("b"))
      yield* TestClock.adjust(10)
      yield* halved.transport.pull
      yield* TestClock.adjust(10)
      yield* halved.transport.close
      assert.deepStrictEqual(
        halved.transcript().events.map(({ _tag, at, from }) => `${at} ${from} ${_tag}`),
        ["0 local Data", "10 local End", "20 peer Data", "30 local Close"]
      )
      const aborted = yield* RecordingTransport.make()
      yield* aborted.transport.write(ascii("a"))
      yield* aborted.transport.abort
      assert.deepStrictEqual(kinds(aborted), ["local Data", "local Loss"])
      assert.deepInclude(aborted.transcript().events[1], { error: "ConnectionAborted" })
    }))
})

describe("what comes in", () => {
  it.scoped("is pulled chunk by chunk, and then the end", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make()
      yield* peer.receive(ascii("a"))
      yield* peer.receive(ascii(""))
      yield* peer.receive(ascii("bc"))
      yield* peer.end
      yield* peer.end
      assert.strictEqual(text((yield* peer.transport.pull)!), "a")
      assert.strictEqual(text((yield* peer.transport.pull)!), "bc")
      assert.isNull(yield* peer.transport.pull)
      // The other direction goes on.
      yield* peer.transport.write(ascii("d"))
      yield* peer.transport.closeWrite
      assert.deepInclude(yield* peer.transport.closed, {
        _tag: "Clean",
        firstEnded: "peer",
        bytesRead: 3,
        bytesWritten: 1
      })
    }))

  it.scoped("is a copy of the test's bytes", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make()
      const sent = ascii("a")
      yield* peer.receive(sent)
      sent.fill(0)
      assert.strictEqual(text((yield* peer.transport.pull)!), "a")
    }))

  it.scoped("is not taken before anybody reads, and then no further ahead than the limits allow", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make({ readBufferSize: 10 })
      for (let count = 0; count < 10; count++) yield* peer.receive(bytes(5))
      assert.strictEqual(peer.untaken(), 50)
      assert.strictEqual(peer.transport.stats().bytesRead, 0)
      yield* peer.transport.pull
      yield* settle
      assert.isAtMost(peer.transport.stats().unread, 15)
      assert.strictEqual(peer.untaken() + peer.transport.stats().bytesRead, 50)
      yield* peer.end
      yield* peer.transport.forEach(() => Effect.void)
      assert.strictEqual(peer.untaken(), 0)
    }))

  it.scoped("is given to a fiber that waits, but not from within what brings it", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make()
      const order: Array<string> = []
      yield* forked(peer.transport.forEach((chunk) => {
        order.push(`handling ${text(chunk)}`)
        return peer.transport.write(chunk)
      }))
      yield* Effect.zipRight(peer.receive(ascii("a")), Effect.sync(() => order.push("received")))
      yield* settle
      assert.deepStrictEqual(order, ["received", "handling a"])
      assert.strictEqual(text(peer.written()), "a")
    }))

  it.scoped("after the end or a reset is a mistake of the test", () =>
    Effect.gen(function*() {
      for (const ending of ["end", "reset"] as const) {
        const peer = yield* RecordingTransport.make()
        yield* peer[ending]
        const exit = yield* Effect.exit(peer.receive(ascii("late")))
        const [defect] = Exit.isFailure(exit) ? Chunk.toArray(Cause.defects(exit.cause)) : []
        assert.match(String(defect), /The peer has ended or reset already/)
      }
    }))

  it.scoped("a reset is ConnectionReset to readers and writers, after what came before it", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make()
      yield* peer.receive(ascii("a"))
      yield* peer.reset
      assert.strictEqual(text((yield* peer.transport.pull)!), "a")
      assert.strictEqual((yield* Effect.flip(peer.transport.pull))._tag, "ConnectionReset")
      assert.strictEqual((yield* Effect.flip(peer.transport.write(ascii("b"))))._tag, "ConnectionReset")
      assert.deepInclude(lossOf(yield* peer.transport.closed), { _tag: "ConnectionReset", side: "peer", bytesRead: 1 })
    }))

  it.scoped("a reset after the end is one to writers", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make()
      yield* peer.end
      assert.isNull(yield* peer.transport.pull)
      yield* peer.transport.write(ascii("a"))
      yield* peer.transport.flush
      yield* peer.reset
      assert.strictEqual((yield* Effect.flip(peer.transport.write(ascii("b"))))._tag, "ConnectionReset")
      assert.isNull(yield* peer.transport.pull)
      assert.strictEqual(lossOf(yield* peer.transport.closed)?._tag, "ConnectionReset")
      assert.deepStrictEqual(kinds(peer), ["peer End", "local Data", "peer Loss"])
    }))
})

describe("backpressure", () => {
  it.scoped("a peer that holds takes nothing: writers wait, and go on when it drains", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make({ highWaterMark: 10, lowWaterMark: 2 })
      yield* peer.hold
      yield* peer.transport.write(bytes(6, 97))
      yield* peer.transport.write(bytes(6, 98))
      const waiting = yield* forked(peer.transport.write(bytes(6, 99)))
      assert.isNull(waiting.unsafePoll())
      assert.deepInclude(peer.transport.stats(), { bytesWritten: 0, buffered: 12, writersWaiting: 1 })
      assert.deepStrictEqual(written(peer), [["aaaaaa"], ["bbbbbb"]])
      yield* peer.drain
      yield* Fiber.join(waiting)
      yield* peer.transport.flush
      assert.deepInclude(peer.transport.stats(), { bytesWritten: 18, buffered: 0, writersWaiting: 0 })
      yield* peer.hold
      yield* peer.drain
      yield* peer.transport.write(ascii("d"))
      yield* peer.transport.flush
    }))

  it.scoped("a write that waits is withdrawn by an interruption, and not recorded", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make({ highWaterMark: 1 })
      yield* peer.hold
      yield* peer.transport.write(ascii("a"))
      yield* Fiber.interrupt(yield* forked(peer.transport.write(ascii("b"))))
      yield* peer.drain
      yield* peer.transport.write(ascii("c"))
      assert.deepStrictEqual(written(peer), [["a"], ["c"]])
    }))

  it.scoped("a reset ends it: who waits fails, and what is unsent is told", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make({ highWaterMark: 1 })
      yield* peer.receive(ascii("unread"))
      yield* peer.hold
      yield* peer.transport.write(ascii("abc"))
      const waiting = yield* forked(Effect.flip(peer.transport.write(ascii("d"))))
      yield* peer.reset
      assert.deepInclude(yield* Fiber.join(waiting), { _tag: "ConnectionReset", bytesUnsent: 3 })
      yield* peer.drain
    }))

  it.scoped("an end waits for what was written before it", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make()
      yield* peer.hold
      yield* peer.transport.write(ascii("a"))
      const ending = yield* forked(peer.transport.closeWrite)
      assert.isNull(ending.unsafePoll())
      yield* peer.drain
      yield* Fiber.join(ending)
    }))

  it.scoped("a close gives up a peer that holds at closeTimeout", () =>
    Effect.gen(function*() {
      const peer = yield* RecordingTransport.make({ closeTimeout: "3 seconds" })
      yield* peer.hold
      yield* peer.transport.write(ascii("abc"))
      const closing = yield* forked(peer.transport.close)
      yield* TestClock.adjust(2999)
      yield* settle
      assert.isNull(closing.unsafePoll())
      yield* TestClock.adjust(1)
      yield* Fiber.join(closing)
      assert.deepInclude(lossOf(yield* peer.transport.closed), { _tag: "CloseTimeout", bytesUnsent: 3 })
      assert.deepStrictEqual(kinds(peer), ["local Data", "local End", "local Close", "local Loss"])
    }))
})

describe("ending", () => {
  it.scoped("a close waits for nobody; for a peer that does not answer it, as long as with any other", () =>
    Effect.gen(function*() {
      const answering = yield* RecordingTransport.make()
      yield* answering.transport.close
      assert.deepInclude(yield* answering.transport.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
      const silent = yield* RecordingTransport.make({ answersClose: false, lingerTimeout: 500 })
      const closing = yield* forked(silent.transport.close)
      yield* TestClock.adjust(499)
      yield* settle
      assert.isNull(closing.unsafePoll())
      yield* TestClock.adjust(1)
      yield* Fiber.join(closing)
      assert.deepInclude(yield* silent.transport.closed, { _tag: "Clean", firstEnded: "local", peerEnded: false })
    }))

  it.effect("its Scope waits for nobody, and leaves nothing", () =>
    Effect.gen(function*() {
      const fibers = yield* rootFibers
      for (const answersClose of [true, false]) {
        const { transport } = yield* Effect.scoped(Effect.gen(function*() {
          const peer = yield* RecordingTransport.make({ answersClose, highWaterMark: 1 })
          yield* peer.hold
          yield* peer.transport.write(ascii("held"))
          yield* peer.receive(ascii("unread"))
          return peer
        }))
        assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local" })
      }
      const peer = yield* Effect.scoped(Effect.flatMap(RecordingTransport.make(), Effect.succeed))
      yield* Effect.all([peer.end, peer.reset, peer.hold, peer.drain])
      yield* settle
      assert.strictEqual(yield* rootFibers, fibers)
    }))

  it.effect("a Scope that fails aborts", () =>
    Effect.gen(function*() {
      let peer: RecordingTransport.RecordingTransport | undefined
      yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
        peer = yield* RecordingTransport.make()
        yield* Effect.fail("no")
      })))
      assert.strictEqual(lossOf(yield* peer!.transport.closed)?._tag, "ConnectionAborted")
      assert.deepStrictEqual(kinds(peer!), ["local Loss"])
    }))

  it.scoped("addresses are values, and stay", () =>
    Effect.gen(function*() {
      const [localAddress, remoteAddress] = [Address.tcp("10.0.0.1", 12345), Address.tcp("192.168.1.1", 54321)]
      const named = yield* RecordingTransport.make({ localAddress, remoteAddress })
      yield* named.transport.close
      assert.deepStrictEqual([named.transport.localAddress, named.transport.remoteAddress], [
        localAddress,
        remoteAddress
      ])
      const other = yield* RecordingTransport.make()
      assert.deepStrictEqual(other.transport.localAddress, Address.memory("local"))
      assert.deepStrictEqual(other.transport.remoteAddress, Address.memory("peer"))
      assert.deepStrictEqual(other.transport.options, { noDelay: undefined, keepAlive: undefined })
    }))

  it.live("an echo that is interrupted at any step has answered a beginning of what it was given", () =>
    Effect.gen(function*() {
      const sent = counting(5)
      const { points } = yield* sweep({
        setup: Effect.gen(function*() {
          const peer = yield* RecordingTransport.make({ readBufferSize: 3, highWaterMark: 2 })
          for (const byte of sent) yield* peer.receive(Uint8Array.of(byte))
          yield* peer.end
          return peer
        }),
        scenario: ({ transport }) => transport.forEach((chunk) => transport.write(chunk)),
        check: ({ transport, ...peer }) =>
          Effect.gen(function*() {
            const echo = peer.written()
            assert.deepStrictEqual(echo, sent.slice(0, echo.length))
            yield* transport.forEach(() => Effect.void)
            const taken = peer.transcript().events.flatMap((event) =>
              event._tag === "Data" && event.from === "peer" ? [...event.chunks[0]!] : []
            )
            assert.deepStrictEqual(taken, [...sent])
          })
      })
      assert.isAbove(points, 20)
    }))
})
