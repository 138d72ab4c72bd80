import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as net from "node:net"
import * as Address from "../../src/Address.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import * as Transcript from "../../src/testing/Transcript.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import * as Transport from "../../src/Transport.ts"
import { ascii, bytes, counting, cuts, text } from "../support/bytes.ts"
import { forked, rootFibers, settle } from "../support/fibers.ts"
import { has, run } from "../support/tool.ts"

/** What happened, short. */
const told = ({ events }: Transcript.Transcript) =>
  events.map((event) => {
    const what = event._tag === "Data"
      ? event.chunks.map(text).join("|")
      : event._tag === "Loss"
      ? event.error
      : event._tag.toLowerCase()
    return `${event.at} ${event.from}: ${what}`
  })

const recorded = (options: MemoryTransport.PairOptions = {}) =>
  Effect.gen(function*() {
    const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 0, ...options })
    const { transcript, transport } = yield* Transcript.record(left)
    return { transport, peer: right, transcript, carrier: left }
  })

describe("record", () => {
  it.scoped("notes writes as they are accepted and input as it is pulled, with their times and ends", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000_000)
      const { peer, transcript, transport } = yield* recorded()
      yield* transport.write(ascii("question"))
      yield* transport.writeAll([ascii("head"), ascii(""), ascii("body")])
      yield* TestClock.adjust(5)
      yield* peer.write(ascii("answer"))
      yield* settle
      yield* TestClock.adjust(5)
      yield* transport.pull
      yield* transport.closeWrite
      yield* peer.closeWrite
      yield* TestClock.adjust(5)
      assert.isNull(yield* transport.pull)
      assert.isNull(yield* transport.pull)
      const { events: _, ...head } = transcript()
      assert.deepStrictEqual(head, {
        localAddress: Address.memory("left"),
        remoteAddress: Address.memory("right"),
        startedAt: 1_000_000
      })
      assert.deepStrictEqual(told(transcript()), [
        "0 local: question",
        "0 local: head|body",
        "10 peer: answer",
        "10 local: end",
        "15 peer: end"
      ])
    }))

  it.scoped("every way of reading and writing is noted", () =>
    Effect.gen(function*() {
      const { peer, transcript, transport } = yield* recorded()
      yield* transport.outgoing.offer(ascii("offered"))
      yield* transport.outgoing.offerAll([ascii("all"), ascii("offered")])
      yield* peer.write(ascii("line\r\nrest"))
      assert.strictEqual(text(yield* Transport.readUntil(transport, ascii("\r\n"))), "line")
      yield* peer.write(ascii(" and more"))
      yield* Queue.shutdown(transport.outgoing)
      yield* peer.closeWrite
      yield* transport.forEach(() => Effect.void)
      assert.deepStrictEqual(told(transcript()), [
        "0 local: offered",
        "0 local: all|offered",
        "0 peer: line\r\nrest",
        "0 local: end",
        "0 peer:  and more",
        "0 peer: end"
      ])
    }))

  it.scoped("what is put back is noted once, what was never read is not", () =>
    Effect.gen(function*() {
      const { peer, transcript, transport } = yield* recorded()
      yield* peer.write(ascii("abcdef"))
      const chunk = (yield* transport.pull)!
      yield* transport.unread(chunk.subarray(2))
      yield* transport.unread(ascii("AB"))
      assert.strictEqual(text((yield* transport.pull)!), "AB")
      assert.strictEqual(text((yield* transport.pull)!), "cdef")
      yield* peer.write(ascii("gh"))
      yield* transport.pull
      yield* peer.write(ascii("unread"))
      yield* settle
      assert.deepStrictEqual(told(transcript()), ["0 peer: abcdef", "0 peer: gh"])
    }))

  it.scoped("begins with what was not read before", () =>
    Effect.gen(function*() {
      const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
      yield* right.write(ascii("before, after"))
      yield* left.write(ascii("before"))
      yield* Transport.readExactly(left, 8)
      const { transcript, transport } = yield* Transcript.record(left)
      yield* transport.pull
      yield* transport.write(ascii("after"))
      assert.deepStrictEqual(told(transcript()), ["0 peer: after", "0 local: after"])
    }))

  it.scoped("is a copy: who reads and who writes may use their buffers again", () =>
    Effect.gen(function*() {
      const { peer, transcript, transport } = yield* recorded()
      const written = ascii("out")
      yield* transport.write(written)
      yield* transport.flush
      written.fill(0)
      yield* peer.write(ascii("in"))
      const read = yield* transport.pull
      read!.fill(0)
      assert.deepStrictEqual(told(transcript()), ["0 local: out", "0 peer: in"])
    }))

  it.scoped("of a write that is interrupted, what was accepted", () =>
    Effect.gen(function*() {
      const { peer, transcript, transport } = yield* recorded({ capacity: 0, readBufferSize: 0, highWaterMark: 4 })
      const first = yield* forked(transport.writeAll([ascii("aaa"), ascii("bbb"), ascii("ccc"), ascii("ddd")]))
      const second = yield* forked(transport.write(ascii("never")))
      const third = yield* forked(transport.write(ascii("third")))
      assert.strictEqual(transport.stats().writersWaiting, 3)
      yield* Fiber.interrupt(second)
      yield* Fiber.interrupt(first)
      assert.deepStrictEqual(told(transcript()), ["0 local: aaa|bbb"])
      yield* peer.pull
      yield* peer.pull
      yield* Fiber.join(third)
      assert.strictEqual(transport.stats().writersWaiting, 0)
      assert.deepStrictEqual(told(transcript()), ["0 local: aaa|bbb", "0 local: third"])
      yield* forked(peer.pull)
    }))

  it.scoped("of a write that waits, what was accepted stands before what answers it", () =>
    Effect.gen(function*() {
      const { peer, transcript, transport } = yield* recorded({ capacity: 0, highWaterMark: 1, readBufferSize: 0 })
      const writing = yield* forked(transport.writeAll(["a", "b", "c", "d"].map(ascii)))
      assert.strictEqual(text((yield* peer.pull)!), "a")
      yield* peer.write(ascii("x"))
      yield* transport.pull
      assert.isNull(writing.unsafePoll())
      yield* Fiber.interrupt(writing)
      assert.deepStrictEqual(told(transcript()), ["0 local: a|b", "0 peer: x"])
      yield* transport.abort
    }))

  it.scoped("a write that an end cuts short stands before the end", () =>
    Effect.gen(function*() {
      const { peer, transcript, transport } = yield* recorded({ capacity: 0, readBufferSize: 0, highWaterMark: 4 })
      const writing = yield* forked(Effect.flip(transport.writeAll([bytes(4, 97), bytes(4, 98)])))
      const ending = yield* forked(transport.closeWrite)
      assert.strictEqual((yield* Fiber.join(writing))._tag, "WriteAfterEnd")
      assert.deepStrictEqual(told(transcript()), ["0 local: aaaa", "0 local: end"])
      yield* forked(peer.forEach(() => Effect.void))
      yield* Fiber.join(ending)
    }))

  it.scoped("a write that is not accepted is not noted", () =>
    Effect.gen(function*() {
      const { transcript, transport } = yield* recorded()
      yield* transport.closeWrite
      yield* Effect.flip(transport.write(ascii("late")))
      yield* Effect.exit(transport.write("no bytes" as never))
      assert.deepStrictEqual(told(transcript()), ["0 local: end"])
    }))

  it.scoped("a loss is noted as it is, also if nobody asks for it, and input that is read later before it", () =>
    Effect.gen(function*() {
      const { peer, transcript, transport } = yield* recorded()
      yield* peer.write(ascii("ab"))
      yield* transport.pull
      yield* peer.write(ascii("cd"))
      yield* settle
      yield* TestClock.adjust(7)
      yield* peer.abort
      yield* settle
      assert.deepStrictEqual(transcript().events.at(-1), {
        _tag: "Loss",
        at: 7,
        from: "peer",
        error: "ConnectionReset",
        code: "ECONNRESET",
        syscall: "read"
      })
      assert.strictEqual(text((yield* transport.pull)!), "cd")
      yield* Effect.flip(transport.pull)
      assert.deepStrictEqual(told(transcript()), ["0 peer: ab", "7 peer: cd", "7 peer: ConnectionReset"])
    }))

  it.scoped("an abort and a close are this side's", () =>
    Effect.gen(function*() {
      const first = yield* recorded()
      yield* first.transport.abort
      yield* first.transport.close
      assert.deepStrictEqual(told(first.transcript()), ["0 local: ConnectionAborted"])
      const second = yield* recorded()
      yield* second.peer.closeWrite
      yield* second.transport.close
      yield* second.transport.close
      yield* second.transport.abort
      assert.deepStrictEqual(told(second.transcript()), ["0 local: end", "0 local: close"])
    }))

  it.scoped("the failure of a layer beneath has its own name", () =>
    Effect.gen(function*() {
      class Named extends Data.TaggedError("Named") {}
      const [left, right] = yield* MemoryTransport.pair()
      const { transcript, transport } = yield* Transcript.record(NetworkLayer.mapError(left, () => new Named()))
      yield* right.abort
      assert.instanceOf(yield* Effect.flip(transport.pull), Named)
      yield* transport.closed
      assert.deepInclude(transcript().events[0], { _tag: "Loss", from: "network", error: "Named", code: undefined })
    }))

  it.scoped("a failure whose fields say something else than a loss does is text that can be read", () =>
    Effect.gen(function*() {
      class Other extends Data.TaggedError("Other")<{ readonly code: number; readonly side: "left" }> {}
      const [left, right] = yield* MemoryTransport.pair()
      const other = new Other({ code: 4001, side: "left" })
      const { transcript, transport } = yield* Transcript.record(NetworkLayer.mapError(left, () => other))
      yield* right.abort
      yield* transport.closed
      assert.deepInclude(transcript().events[0], { _tag: "Loss", from: "network", error: "Other", code: "4001" })
      assert.deepStrictEqual(yield* Transcript.parse(Transcript.format(transcript())), transcript())
    }))

  it.scoped("a long conversation costs as its length: the square of it would take longer than the runner waits", () =>
    Effect.gen(function*() {
      const length = 300_000
      const { peer, transcript, transport } = yield* recorded()
      yield* Effect.fork(peer.forEach(() => Effect.void))
      const byte = ascii("a")
      yield* Effect.repeatN(transport.write(byte), length - 1)
      assert.strictEqual(transcript().events.length, length)
    }))

  it.scoped("times do not go back when the Clock does", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1000)
      const { transcript, transport } = yield* recorded()
      for (const [time, chunk] of [[1500, "a"], [1100, "b"], [1600, "c"]] as const) {
        yield* TestClock.setTime(time)
        yield* transport.write(ascii(chunk))
      }
      assert.deepStrictEqual(told(transcript()), ["500 local: a", "500 local: b", "600 local: c"])
    }))

  it.effect("its Scope closes the carrier, and layer then saves the transcript", () =>
    Effect.gen(function*() {
      const fibers = yield* rootFibers
      for (
        const [exit, ends] of [
          [Exit.void, ["0 local: hello", "0 local: end", "0 local: close"]],
          [Exit.fail("no"), ["0 local: hello", "0 local: ConnectionAborted"]]
        ] as const
      ) {
        const saved = yield* Deferred.make<Transcript.Transcript>()
        const scope = yield* Scope.make()
        const [left, right] = yield* Scope.extend(MemoryTransport.pair(), yield* Scope.make())
        yield* Effect.forkDaemon(Effect.ignore(right.forEach(() => Effect.void)).pipe(Effect.zipRight(right.close)))
        const layer = Transcript.layer((transcript) => Effect.asVoid(Deferred.succeed(saved, transcript)))
        const transport = yield* Scope.extend(layer(left), scope)
        yield* transport.write(ascii("hello"))
        assert.isFalse(yield* Deferred.isDone(saved))
        yield* Scope.close(scope, exit)
        assert.isTrue(yield* Deferred.isDone(saved))
        assert.deepStrictEqual(told(yield* Deferred.await(saved)), [...ends])
        assert.strictEqual((yield* left.closed)._tag, Exit.isSuccess(exit) ? "Clean" : "Lost")
        yield* right.abort
        yield* settle
      }
      assert.strictEqual(yield* rootFibers, fibers)
    }))

  it.live("an interruption at any step of a pull loses nothing, and notes all that was read, once", () =>
    Effect.gen(function*() {
      const sent = counting(12)
      const { points } = yield* sweep({
        setup: Effect.gen(function*() {
          const all = yield* recorded({ maxChunkSize: 5, readBufferSize: 4 })
          yield* all.peer.write(sent)
          yield* all.peer.closeWrite
          return { ...all, got: [] as Array<number> }
        }),
        scenario: ({ got, transport }) => {
          const loop: Effect.Effect<void, unknown> = Effect.flatMap(transport.pull, (chunk) => {
            if (chunk === null) return Effect.void
            got.push(...chunk)
            return loop
          })
          return loop
        },
        check: ({ got, transcript, transport }) =>
          Effect.gen(function*() {
            yield* transport.forEach((chunk) => Effect.sync(() => got.push(...chunk)))
            assert.deepStrictEqual(got, [...sent])
            const noted = transcript().events.flatMap((event) => event._tag === "Data" ? event.chunks : [])
            assert.deepStrictEqual(noted.flatMap((chunk) => [...chunk]), [...sent])
            assert.deepStrictEqual(transcript().events.filter(({ _tag }) => _tag === "End").length, 1)
          })
      })
      assert.isAbove(points, 20)
    }))

  it.live(
    "an interruption at any step of a write notes what the peer gets, and holds no other writer up",
    () =>
      Effect.gen(function*() {
        const { points } = yield* sweep({
          setup: Effect.gen(function*() {
            const all = yield* recorded({ capacity: 0, highWaterMark: 4, readBufferSize: 0 })
            const got: Array<number> = []
            const reading = all.peer.forEach((chunk) => Effect.sync(() => got.push(...chunk)))
            yield* Effect.fork(Effect.delay(reading, 0))
            // Two more who write: one before it, and one after it.
            yield* Effect.fork(all.transport.writeAll([bytes(3, 100), bytes(3, 101), bytes(3, 102)]))
            const last = yield* Effect.fork(Effect.delay(all.transport.writeAll([bytes(3, 200), bytes(3, 201)]), 0))
            return { ...all, got, last }
          }),
          scenario: ({ transport }) =>
            Effect.forEach([1, 2], (value) => transport.writeAll([bytes(3, value), bytes(3, value + 10)])),
          check: ({ got, last, peer, transcript, transport }) =>
            Effect.gen(function*() {
              yield* Fiber.join(last)
              yield* transport.closeWrite
              yield* peer.closeWrite
              yield* peer.closed
              const noted = transcript().events.flatMap((event) =>
                event._tag === "Data" && event.from === "local" ? event.chunks : []
              )
              assert.deepStrictEqual(noted.flatMap((chunk) => [...chunk]), got)
              assert.includeMembers(got, [102, 201])
            })
        })
        assert.isAbove(points, 20)
      }),
    60_000
  )
})

const transcriptOf = (...events: ReadonlyArray<Transcript.Event>): Transcript.Transcript => ({
  localAddress: Address.tcp("10.0.0.1", 50_000),
  remoteAddress: Address.tcp("10.0.0.2", 6379),
  startedAt: 1_760_000_000_000,
  events
})

const data = (at: number, from: "local" | "peer", ...chunks: ReadonlyArray<string>): Transcript.Event => ({
  _tag: "Data",
  at,
  from,
  chunks: chunks.map(ascii)
})

const ended = (at: number, from: "local" | "peer"): Transcript.Event => ({ _tag: "End", at, from })

const chunksWithTimes = (transport: Transport.Transport) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const start = yield* Clock.currentTimeMillis
    const note = (what: string) =>
      Effect.map(Clock.currentTimeMillis, (now) => void seen.push(`${now - start} ${what}`))
    yield* Effect.catchAll(transport.forEach((chunk) => note(text(chunk))), ({ _tag }) => note(_tag))
    yield* note("end")
    return seen
  })

describe("replay", () => {
  const session = transcriptOf(
    data(0, "peer", "ready\n"),
    data(5, "local", "set a 1\n"),
    data(25, "peer", "o"),
    data(3_600_025, "peer", "k\n"),
    ended(3_600_030, "peer"),
    ended(3_600_030, "local")
  )

  const asking = (transport: Transport.Transport, words: string) =>
    Effect.gen(function*() {
      const reading = yield* Effect.fork(chunksWithTimes(transport))
      yield* Effect.sleep(100)
      for (const letter of words) yield* transport.write(ascii(letter))
      return yield* Fiber.join(reading)
    })

  it.live("plays the peer's chunks, as long after what came before them as they came then", () =>
    VirtualClock.run(Effect.gen(function*() {
      const seen = yield* Transcript.run(session, (transport) => asking(transport, "set a 1\n"))
      assert.deepStrictEqual(seen, ["0 ready\n", "120 o", "3600120 k\n", "3600125 end"])
    })))

  it.effect("under TestClock as well", () =>
    Effect.gen(function*() {
      const running = yield* forked(Transcript.run(session, (transport) => asking(transport, "set a 1\n")))
      yield* TestClock.adjust(100)
      yield* settle
      yield* TestClock.adjust(3_600_024)
      yield* settle
      assert.isNull(running.unsafePoll())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Fiber.join(running)).at(-1), "3600125 end")
    }))

  it.live("without timing, as soon as what came before has happened", () =>
    VirtualClock.run(Effect.gen(function*() {
      const seen = yield* Transcript.run(session, (transport) => asking(transport, "set a 1\n"), { timing: "none" })
      assert.deepStrictEqual(seen, ["0 ready\n", "100 o", "100 k\n", "100 end"])
    })))

  it.live("fails when something else is written; not strictly, so many bytes will do", () =>
    VirtualClock.run(Effect.gen(function*() {
      const error = yield* Effect.flip(Transcript.run(session, (transport) => asking(transport, "set b 1\n")))
      assert.deepInclude(error, { _tag: "ScriptMismatch", position: 4 })
      const seen = yield* Transcript.run(session, (transport) => asking(transport, "set b 1\n"), { strict: false })
      assert.strictEqual(seen.length, 4)
      const short = Transcript.run(session, (transport) => asking(transport, "set"), { strict: false })
      assert.strictEqual(
        (yield* Effect.flip(Effect.timeoutFail(short, {
          duration: "2 hours",
          onTimeout: () => ({ _tag: "waits" }) as const
        })))._tag,
        "waits"
      )
    })))

  it.effect("fails when less is written", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Transcript.run(session, () => Effect.void))
      assert.deepInclude(error, { _tag: "ScriptMismatch", step: 2, seen: undefined })
    }))

  it.effect("has the addresses that were recorded", () =>
    Effect.gen(function*() {
      const { transport } = yield* Transcript.replay(session)
      assert.deepStrictEqual(transport.localAddress, session.localAddress)
      assert.deepStrictEqual(transport.remoteAddress, session.remoteAddress)
    }).pipe(Effect.scoped))

  it.live("the same loss, after what came before it", () =>
    VirtualClock.run(Effect.gen(function*() {
      const lost = transcriptOf(data(1, "local", "a"), data(2, "peer", "b"), {
        _tag: "Loss",
        at: 10,
        from: "network",
        error: "ConnectionTimedOut",
        code: "ETIMEDOUT",
        syscall: "read"
      })
      const seen = yield* Transcript.run(lost, (transport) =>
        Effect.zipRight(transport.write(ascii("a and what did not get through")), chunksWithTimes(transport)))
      assert.deepStrictEqual(seen, ["1 b", "9 ConnectionTimedOut", "9 end"])
    })))

  it.live("a loss after the peer's end, as of who writes to a peer that has left", () =>
    VirtualClock.run(Effect.gen(function*() {
      const lost = transcriptOf(
        data(0, "local", "quit"),
        data(1, "peer", "ok"),
        ended(2, "peer"),
        data(5, "local", "a"),
        {
          _tag: "Loss",
          at: 7,
          from: "peer",
          error: "BrokenPipe",
          code: "EPIPE",
          syscall: "write"
        }
      )
      const program = (transport: Transport.Transport) =>
        Effect.gen(function*() {
          const start = yield* Clock.currentTimeMillis
          yield* transport.write(ascii("quit"))
          const seen = yield* chunksWithTimes(transport)
          yield* Effect.sleep(3)
          yield* transport.write(ascii("a"))
          const reason = yield* transport.closed
          return [...seen, `${(yield* Clock.currentTimeMillis) - start} ${reason._tag === "Lost" && reason.error._tag}`]
        })
      for (const timing of ["recorded", "none"] as const) {
        const [after, loss] = timing === "none" ? [0, 3] : [1, 7]
        const seen = yield* Transcript.run(lost, program, { timing })
        assert.deepStrictEqual(seen, [`${after} ok`, `${after * 2} end`, `${loss} BrokenPipe`])
      }
    })))

  it.live("a loss after a close as long after the end as it came then, since the peer sees no close", () =>
    VirtualClock.run(Effect.gen(function*() {
      const lost = transcriptOf(
        { _tag: "End", at: 0, from: "local" },
        { _tag: "Close", at: 100, from: "local" },
        { _tag: "Loss", at: 150, from: "peer", error: "ConnectionReset", code: "ECONNRESET", syscall: "read" }
      )
      const reason = yield* Transcript.run(lost, (transport) =>
        transport.closeWrite.pipe(
          Effect.zipRight(Effect.fork(Effect.exit(transport.pull))),
          Effect.zipRight(transport.closed),
          Effect.zip(Clock.currentTimeMillis)
        ))
      assert.deepStrictEqual([reason[0]._tag, reason[1]], ["Lost", 150])
    })))

  it.effect("an abort of this side has to come again", () =>
    Effect.gen(function*() {
      const loss = { _tag: "Loss", at: 9, from: "local", code: undefined, syscall: undefined } as const
      const aborted = transcriptOf(data(1, "local", "a"), { ...loss, error: "ConnectionAborted" })
      const writing = (transport: Transport.Transport) => Effect.zipRight(transport.write(ascii("a")), transport.flush)
      yield* Transcript.run(aborted, (transport) => Effect.zipRight(writing(transport), transport.abort))
      assert.strictEqual((yield* Effect.flip(Transcript.run(aborted, writing)))._tag, "ScriptUnfinished")
      // What the peer's slowness brought about does not have to.
      yield* Transcript.run(transcriptOf(data(1, "local", "a"), { ...loss, error: "CloseTimeout" }), writing)
    }))

  it.live("what an abort of this side drops, or its end behind that, is not waited for", () =>
    Effect.gen(function*() {
      const program = (transport: Transport.Transport) =>
        Effect.gen(function*() {
          yield* transport.write(ascii("sent"))
          yield* transport.flush
          yield* transport.write(ascii("kept back"))
          yield* Effect.fork(Effect.ignore(transport.closeWrite))
          yield* Effect.yieldNow()
          yield* transport.abort
        })
      // No more leaves than the first 6 bytes: the peer reads nothing.
      const { transcript, transport } = yield* recorded({ capacity: 6 })
      yield* program(transport)
      const parsed = yield* Transcript.parse(Transcript.format(transcript()))
      assert.deepStrictEqual(told(parsed), [
        "0 local: sent",
        "0 local: kept back",
        "0 local: end",
        "0 local: ConnectionAborted"
      ])
      assert.deepInclude(parsed.events.at(-1), { bytesUnsent: 7 })
      assert.deepStrictEqual(told(Transcript.flip(parsed)), ["0 peer: sent", "0 peer: ke", "0 peer: ConnectionReset"])
      yield* Transcript.run(parsed, program)
    }).pipe(Effect.scoped, VirtualClock.run))

  it.live("flipped, a reset behind the server's end is no abort: it has closed", () =>
    VirtualClock.run(Effect.gen(function*() {
      const client = transcriptOf(
        data(0, "local", "quit"),
        data(1, "peer", "bye"),
        ended(2, "peer"),
        data(5, "local", "a"),
        {
          _tag: "Loss",
          at: 7,
          from: "peer",
          error: "ConnectionReset",
          code: "ECONNRESET",
          syscall: "read",
          bytesUnsent: 0
        }
      )
      const server = (transport: Transport.Transport) =>
        Effect.gen(function*() {
          assert.strictEqual(text((yield* transport.pull)!), "quit")
          yield* transport.write(ascii("bye"))
          yield* transport.close
        })
      yield* Transcript.run(Transcript.flip(client), server)
    })))

  it.effect("flipped, a client's transcript tests the server", () =>
    Effect.gen(function*() {
      const flipped = Transcript.flip(session)
      assert.deepStrictEqual(flipped.localAddress, session.remoteAddress)
      const server = (transport: Transport.Transport) =>
        Effect.gen(function*() {
          yield* transport.write(ascii("ready\n"))
          assert.strictEqual(text(yield* Transport.readUntil(transport, ascii("\n"))), "set a 1")
          yield* transport.write(ascii("ok\n"))
          yield* transport.closeWrite
          assert.isNull(yield* transport.pull)
        })
      yield* Transcript.run(flipped, server, { timing: "none" })
      const loss = { _tag: "Loss", at: 1 } as const
      const reset = { ...loss, from: "peer", error: "ConnectionReset", code: "ECONNRESET", syscall: "read" } as const
      const abort = { ...loss, from: "local", error: "ConnectionAborted", code: undefined, syscall: undefined } as const
      assert.deepStrictEqual(Transcript.flip(transcriptOf(reset)).events, [abort])
      assert.deepStrictEqual(Transcript.flip(transcriptOf(abort)).events, [reset])
      const network = { ...reset, from: "network" } as const
      assert.deepStrictEqual(Transcript.flip(transcriptOf(network)).events, [network])
      assert.deepStrictEqual(Transcript.flip(transcriptOf({ _tag: "Close", at: 0, from: "local" })).events, [])
    }))
})

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

const anyData = FastCheck.record({
  _tag: FastCheck.constant("Data" as const),
  from: FastCheck.constantFrom("local" as const, "peer" as const),
  chunks: FastCheck.array(
    FastCheck.oneof(
      FastCheck.uint8Array({ minLength: 1, maxLength: 20 }),
      FastCheck.string({ minLength: 1 }).map(ascii)
    ),
    { minLength: 1, maxLength: 4 }
  )
})

const anyEvent = FastCheck.oneof(
  anyData,
  FastCheck.record({
    _tag: FastCheck.constant("End" as const),
    from: FastCheck.constantFrom("local" as const, "peer" as const)
  }),
  FastCheck.constant({ _tag: "Close" as const, from: "local" as const }),
  FastCheck.record({
    _tag: FastCheck.constant("Loss" as const),
    from: FastCheck.constantFrom("local" as const, "peer" as const, "network" as const),
    error: FastCheck.string(),
    code: FastCheck.option(FastCheck.string(), { nil: undefined }),
    syscall: FastCheck.option(FastCheck.string(), { nil: undefined }),
    bytesUnsent: FastCheck.nat()
  }, { requiredKeys: ["_tag", "from", "error", "code", "syscall"] })
)

const anyAddress: FastCheck.Arbitrary<Address.Address> = FastCheck.oneof(
  FastCheck.tuple(FastCheck.oneof(FastCheck.ipV4(), FastCheck.ipV6()), FastCheck.integer({ min: 0, max: 65535 }))
    .map(([host, port]) => Address.tcp(host, port)),
  FastCheck.constantFrom(Address.unix("/run/x.sock"), Address.unix("\0x"), Address.unix(""), Address.unix("./a b")),
  FastCheck.string().map(Address.pipe),
  FastCheck.string().map(Address.memory)
)

const anyTranscript: FastCheck.Arbitrary<Transcript.Transcript> = FastCheck.record({
  localAddress: anyAddress,
  remoteAddress: anyAddress,
  startedAt: FastCheck.nat(),
  events: FastCheck.array(FastCheck.tuple(FastCheck.nat(1000), anyEvent), { maxLength: 10 }).map((events) => {
    let at = 0
    return events.map(([later, event]) => ({ ...event, at: at += later }))
  })
})

describe("text", () => {
  it.prop("what is formatted is parsed as it was", { transcript: anyTranscript }, ({ transcript }) => {
    assert.deepStrictEqual(Either.getOrThrow(Transcript.parse(Transcript.format(transcript))), transcript)
  })

  it("has a line for the connection and one for each event", () => {
    const transcript = transcriptOf(
      data(0, "local", "PING\r\n", "ECHO\r\n"),
      { _tag: "Data", at: 1, from: "peer", chunks: [Uint8Array.of(0, 255, 128)] },
      ended(2, "peer"),
      { _tag: "Close", at: 3, from: "local" },
      {
        _tag: "Loss",
        at: 4,
        from: "peer",
        error: "ConnectionReset",
        code: "ECONNRESET",
        syscall: undefined,
        bytesUnsent: 5
      }
    )
    assert.strictEqual(
      Transcript.format(transcript),
      `{"transcript":1,"local":"tcp:10.0.0.1:50000","remote":"tcp:10.0.0.2:6379","start":1760000000000}
{"at":0,"from":"local","text":["PING\\r\\n","ECHO\\r\\n"]}
{"at":1,"from":"peer","base64":["AP+A"]}
{"at":2,"from":"peer","end":true}
{"at":3,"from":"local","close":true}
{"at":4,"from":"peer","loss":"ConnectionReset","code":"ECONNRESET","unsent":5}
`
    )
  })

  const head = `{"transcript":1,"local":"memory:a","remote":"pipe:b","start":0}`

  it("blank lines, CR LF, spaces and the characters of Latin-1 are read", () => {
    const parsed = Either.getOrThrow(
      Transcript.parse(`\r\n ${head}\r\n\r\n{ "at": 0, "from": "peer", "text": ["\u00e9"] }`)
    )
    assert.deepStrictEqual(parsed.events, [{ _tag: "Data", at: 0, from: "peer", chunks: [Uint8Array.of(0xe9)] }])
  })

  const wrong: ReadonlyArray<[text: string, line: number, expected: string]> = [
    ["", 1, "a JSON object"],
    ["PING", 1, "a JSON object"],
    ["[]", 1, "a JSON object"],
    [`{"transcript":2}`, 1, `a head with "transcript":1, which is the version`],
    [head.replace("memory:a", "left"), 1, `"local" to be an address, as in "tcp:127.0.0.1:80" or "memory:left"`],
    [head.replace("pipe:b", "tcp:/run/x"), 1, `"remote" to be an address, as in "tcp:127.0.0.1:80" or "memory:left"`],
    [head.replace("0}", "-1}"), 1, `"start" to be a number, 0 or more`],
    [`${head}\n\n{"at":0}`, 3, `"from" to be "local" or "peer"`],
    [`${head}\n{"from":"peer","end":true}`, 2, `"at" to be a number, 0 or more`],
    [`${head}\n{"at":1e999,"from":"peer","end":true}`, 2, `"at" to be a number, 0 or more`],
    [`${head}\n{"at":0,"from":"network","end":true}`, 2, `"from" to be "local" or "peer"`],
    [`${head}\n{"at":0,"from":"me","loss":"x"}`, 2, `"from" to be "local", "peer" or "network"`],
    [`${head}\n{"at":0,"from":"peer","loss":"x","code":5}`, 2, `"code" to be a text, or missing`],
    [`${head}\n{"at":0,"from":"peer","loss":"x","unsent":-1}`, 2, `"unsent" to be a number, 0 or more`],
    [`${head}\n{"at":0,"from":"peer","text":"a"}`, 2, `"text" to be a list of texts with characters up to U+00FF`],
    [
      `${head}\n{"at":0,"from":"peer","text":["\u20ac"]}`,
      2,
      `"text" to be a list of texts with characters up to U+00FF`
    ],
    [
      `${head}\n{"at":0,"from":"peer","base64":["?"]}`,
      2,
      `"text", "base64", "end", "close" or "loss", and "base64" to be a list of texts in base64`
    ],
    [`${head}\n{"at":5,"from":"peer","end":true}\n{"at":4,"from":"local","end":true}`, 3, `"at" of 5 or more`]
  ]
  for (const [source, line, expected] of wrong) {
    it(`refuses ${JSON.stringify(source.split("\n").at(-1))}: expected ${expected}`, () => {
      const error = Either.getOrThrow(Either.flip(Transcript.parse(source)))
      assert.instanceOf(error, Transcript.TranscriptInvalid)
      assert.deepInclude(error, { line, expected })
      assert.include(error.message, `Line ${line} is no line of a transcript: expected ${expected}, and got `)
    })
  }
})

// -----------------------------------------------------------------------------
// round trips
// -----------------------------------------------------------------------------

/** What a side does, one after the other: it sleeps, writes, or reads a chunk. */
type Act = number | Uint8Array | "read"

const anyActs: FastCheck.Arbitrary<ReadonlyArray<Act>> = FastCheck.array(
  FastCheck.oneof(
    FastCheck.nat(20),
    FastCheck.uint8Array({ minLength: 1, maxLength: 8 }),
    FastCheck.constant("read" as const)
  ),
  { maxLength: 10 }
)

/** What it has read, with the times, up to the end or the loss, or to its abort. */
const acting = (acts: ReadonlyArray<Act>, aborts = false) => (transport: Transport.Transport) =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    const seen: Array<unknown> = []
    const read = Effect.gen(function*() {
      const chunk = yield* Effect.catchAll(transport.pull, ({ _tag }) => Effect.succeed(_tag))
      seen.push([(yield* Clock.currentTimeMillis) - start, chunk])
      return chunk !== null && typeof chunk !== "string"
    })
    for (const act of acts) {
      if (act === "read") yield* read
      else if (typeof act === "number") yield* Effect.sleep(act)
      else yield* Effect.ignore(transport.write(act))
    }
    if (aborts) {
      yield* transport.abort
      return seen
    }
    yield* Effect.ignore(transport.closeWrite)
    while (yield* read);
    return seen
  })

/** The other side reads all the time, and ends, or resets, when it has done what it does. */
const serving = (acts: ReadonlyArray<Act>, resets: boolean) => (transport: Transport.Transport) =>
  Effect.gen(function*() {
    yield* Effect.fork(Effect.ignore(transport.forEach(() => Effect.void)))
    for (const act of acts) {
      if (typeof act === "number") yield* Effect.sleep(act)
      else if (act !== "read") yield* Effect.ignore(transport.write(act))
    }
    yield* resets ? transport.abort : Effect.ignore(transport.closeWrite)
  })

describe("a conversation that is recorded and replayed", () => {
  it.live("is the same again, to the byte and to the millisecond", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          anyActs,
          anyActs,
          FastCheck.record({ latency: FastCheck.nat(5), chunks: cuts }),
          FastCheck.boolean(),
          (acts, answers, options, resets) =>
            Effect.runPromise(VirtualClock.run(Effect.gen(function*() {
              const { seen, transcript } = yield* Effect.scoped(Effect.gen(function*() {
                const { peer, transcript, transport } = yield* recorded(options)
                yield* Effect.fork(serving(answers, resets)(peer))
                const seen = yield* acting(acts)(transport)
                yield* transport.closed
                return { seen, transcript: transcript() }
              }))
              const parsed = yield* Transcript.parse(Transcript.format(transcript))
              assert.deepStrictEqual(yield* Transcript.run(parsed, acting(acts)), seen)
              // A transcript of the replay is the same one again.
              const again = yield* Effect.scoped(Effect.gen(function*() {
                const { finished, transport } = yield* Transcript.replay(parsed)
                const { transcript, transport: recorded } = yield* Transcript.record(transport)
                yield* acting(acts)(recorded)
                yield* recorded.closed
                yield* finished
                return transcript()
              }))
              // A reset may come in the same instant as what this side does, and then before or after it.
              if (!resets) assert.deepStrictEqual(again.events, transcript.events)
            })))
        ),
        { numRuns: 150 }
      )
    ))

  it.live("passes again where an abort has dropped what was written last", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          anyActs,
          anyActs,
          FastCheck.record({ latency: FastCheck.nat(5), capacity: FastCheck.nat(20) }),
          (acts, answers, options) =>
            Effect.runPromise(VirtualClock.run(Effect.gen(function*() {
              const { seen, transcript } = yield* Effect.scoped(Effect.gen(function*() {
                const { peer, transcript, transport } = yield* recorded(options)
                yield* Effect.fork(serving(answers, false)(peer))
                const seen = yield* acting(acts, true)(transport)
                yield* transport.closed
                return { seen, transcript: transcript() }
              }))
              assert.deepStrictEqual(yield* Transcript.run(transcript, acting(acts, true)), seen)
            })))
        ),
        { numRuns: 150 }
      )
    ))
})

// -----------------------------------------------------------------------------
// real connections
// -----------------------------------------------------------------------------

/** Records a conversation over TCP, and holds it anew in virtual time, out of the text of the transcript. */
const recordedAndReplayed = <A>(
  address: Address.TcpAddress,
  use: (transport: Transport.Transport) => Effect.Effect<A, unknown>
) =>
  Effect.gen(function*() {
    const { answer, transcript } = yield* Effect.scoped(Effect.gen(function*() {
      const carrier = yield* Tcp.connect(address)
      const recorded = yield* Transcript.record(carrier)
      const answer = yield* use(recorded.transport)
      yield* recorded.transport.close
      return { answer, transcript: recorded.transcript() }
    }))
    const parsed = yield* Transcript.parse(Transcript.format(transcript))
    assert.deepStrictEqual(parsed, transcript)
    const again = Effect.flatMap(Transcript.run(parsed, use), (answer) =>
      Effect.map(Clock.currentTimeMillis, (duration) => ({ answer, duration })))
    const replayed = yield* VirtualClock.run(again)
    assert.deepStrictEqual(replayed.answer, answer)
    return { answer, transcript, duration: replayed.duration }
  })

const redisClient = (transport: Transport.Transport) =>
  Effect.gen(function*() {
    const line = Effect.map(Transport.readUntil(transport, ascii("\r\n")), text)
    const ask = (command: string) => Effect.zipRight(transport.write(ascii(`${command}\r\n`)), line)
    const large = "x".repeat(200_000)
    const head = "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$200000\r\n"
    return {
      pong: yield* ask("PING"),
      set: yield* Effect.zipRight(transport.writeAll([ascii(head), ascii(large), ascii("\r\n")]), line),
      length: yield* ask("GET large"),
      value: text(yield* Transport.readExactly(transport, 200_002)) === `${large}\r\n`,
      popped: yield* ask("BLPOP nothing 0.2"),
      wrong: yield* ask("NONSENSE"),
      quit: yield* ask("QUIT"),
      end: yield* transport.pull
    }
  })

describe("a conversation over TCP", () => {
  it.scopedLive("with a server that is slow, and resets", () =>
    Effect.gen(function*() {
      const server = yield* Effect.acquireRelease(
        Effect.async<net.Server>((resume) => {
          const server = net.createServer((socket) => {
            socket.on("data", (bytes) => {
              socket.write(`you said ${bytes.toString()}`)
              setTimeout(() => socket.write("goodbye"), 50)
              setTimeout(() => socket.resetAndDestroy(), 100)
            })
          }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const address = Address.tcp("127.0.0.1", (server.address() as net.AddressInfo).port)
      const { answer, duration, transcript } = yield* recordedAndReplayed(address, (transport) =>
        Effect.zipRight(
          transport.write(ascii("hello")),
          Effect.map(chunksWithTimes(transport), (seen) => seen.map((line) => line.replace(/^\d+ /, "")))
        ))
      assert.deepStrictEqual(answer, ["you said hello", "goodbye", "ConnectionReset", "end"])
      assert.deepStrictEqual(told(transcript).map((line) => line.replace(/^\d+ /, "")), [
        "local: hello",
        "peer: you said hello",
        "peer: goodbye",
        "peer: ConnectionReset"
      ])
      assert.strictEqual(duration, transcript.events.at(-1)!.at - transcript.events[0]!.at)
    }))

  describe.skipIf(!has("redis-server"))("with redis (skipped: redis-server is not installed)", () => {
    it.scopedLive("is replayed without it, in virtual time", () =>
      Effect.gen(function*() {
        const port = yield* Effect.async<number>((resume) => {
          const probe = net.createServer().listen(0, "127.0.0.1", () => {
            const { port } = probe.address() as net.AddressInfo
            probe.close(() => resume(Effect.succeed(port)))
          })
        })
        const redis = yield* run("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", ""])
        yield* redis.until(() => redis.output.includes("Ready to accept connections"))
        const { answer, transcript } = yield* recordedAndReplayed(Address.tcp("127.0.0.1", port), redisClient)
        assert.deepStrictEqual(answer, {
          pong: "+PONG",
          set: "+OK",
          length: "$200000",
          value: true,
          popped: "*-1",
          wrong: "-ERR unknown command 'NONSENSE', with args beginning with: ",
          quit: "+OK",
          end: null
        })
        assert.isAtLeast(transcript.events.at(-1)!.at, 200)
      }))
  })
})
