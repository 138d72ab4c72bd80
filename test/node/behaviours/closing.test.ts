import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as v8 from "node:v8"
import * as vm from "node:vm"
import type { ConnectionLost } from "../../../src/ConnectionError.ts"
import type { CloseReason, Transport } from "../../../src/Transport.ts"
import { ascii } from "../../support/bytes.ts"
import * as Peer from "../../support/peer.ts"

const MiB = 1024 * 1024
const lossOf = (reason: CloseReason<ConnectionLost>): ConnectionLost => {
  assert.strictEqual(reason._tag, "Lost")
  return (reason as Extract<typeof reason, { readonly _tag: "Lost" }>).error
}

/** As long as a machine under load may need; what is awaited is an event. */
const patient = { closeTimeout: "60 seconds", lingerTimeout: "60 seconds" } as const

for (const { carrier, name, open } of Peer.openings) {
  describe(`over ${name}`, () => {
    describe("close", () => {
      it.scopedLive("C1 sends all that was written before, then the end, however slowly the peer reads", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open(patient)
          const sent = Peer.pattern(8 * MiB)
          yield* transport.write(sent)
          const closing = yield* Effect.fork(transport.close)
          assert.isTrue((yield* peer.readAll({ slow: true })).equals(sent))
          assert.isTrue(peer.ended)
          peer.end()
          yield* Fiber.join(closing)
          assert.isUndefined(peer.code)
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
        }))

      it.scopedLive("C1 with 100 KiB unread on this side and a peer that reads slowly, 1 MiB arrives whole", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open({ closeTimeout: "60 seconds" })
          yield* peer.write(Peer.pattern(100 * 1024))
          const sent = Peer.pattern(MiB)
          yield* transport.write(sent)
          const closing = yield* Effect.fork(transport.close)
          const received = yield* peer.readAll({ slow: true })
          assert.isTrue(peer.ended)
          assert.isUndefined(peer.code)
          assert.isTrue(received.equals(sent))
          peer.end()
          yield* Fiber.join(closing)
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", bytesWritten: MiB })
        }))

      it.scopedLive("C2 as often as it is asked for, it is one close with one reason", () =>
        Effect.gen(function*() {
          const { closeScope, peer, transport } = yield* open()
          let ends = 0
          let closes = 0
          peer.socket.on("end", () => ends++).on("close", () => closes++)
          const reading = yield* Effect.fork(peer.readAll())
          const closing = yield* Effect.fork(
            Effect.all([transport.close, transport.close, closeScope(Exit.void), transport.closed], {
              concurrency: "unbounded"
            })
          )
          yield* Fiber.join(reading)
          peer.end()
          const [, , , reason] = yield* Fiber.join(closing)
          yield* transport.close
          yield* peer.awaitClosed
          assert.strictEqual(yield* transport.closed, reason)
          assert.deepStrictEqual([ends, closes], [1, 1])
        }))

      it.scopedLive("C3 after it, no input is delivered, and no pull begins to read again", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open(patient)
          yield* peer.write("before")
          assert.strictEqual(Buffer.from((yield* transport.pull)!).toString(), "before")
          yield* peer.write("unread")
          const waiting = yield* Effect.fork(transport.pull)
          yield* Fiber.join(waiting)
          const parked = yield* Effect.fork(Effect.flip(transport.pull))
          yield* Peer.turns(2)
          const closing = yield* Effect.fork(transport.close)
          assert.strictEqual((yield* Fiber.join(parked))._tag, "ConnectionClosed")
          yield* peer.write("after")
          for (let index = 0; index < 3; index++) {
            assert.strictEqual((yield* Effect.flip(transport.pull))._tag, "ConnectionClosed")
            yield* Peer.turns(5)
          }
          yield* peer.readAll()
          peer.end()
          yield* Fiber.join(closing)
          assert.strictEqual((yield* Effect.flip(transport.pull))._tag, "ConnectionClosed")
        }))

      it.scopedLive("C4 after a loss, every pull gives the same failure", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open()
          yield* peer.write("x")
          yield* transport.abort
          const first = yield* Effect.flip(transport.pull)
          assert.strictEqual(first._tag, "ConnectionAborted")
          assert.strictEqual(yield* Effect.flip(transport.pull), first)
          assert.strictEqual(yield* Effect.flip(transport.flush), first)
          assert.strictEqual(lossOf(yield* transport.closed), first)
        }))

      it.scoped("C27 towards a peer that never reads ends at its deadline, and tells what was not sent", () =>
        Effect.gen(function*() {
          const { transport } = yield* open({ closeTimeout: "200 millis" })
          yield* transport.write(Peer.pattern(32 * MiB))
          const closing = yield* Effect.fork(transport.close)
          yield* Peer.turns(20)
          yield* TestClock.adjust("199 millis")
          yield* Peer.turns(20)
          assert.isNull(yield* Fiber.poll(closing).pipe(Effect.map((exit) => exit._tag === "Some" ? exit : null)))
          yield* TestClock.adjust("1 millis")
          yield* Fiber.join(closing)
          const loss = lossOf(yield* transport.closed)
          assert.strictEqual(loss._tag, "CloseTimeout")
          assert.isAbove(loss.bytesUnsent, 0)
          assert.strictEqual(loss.bytesUnsent + loss.bytesWritten, 32 * MiB)
          assert.strictEqual(loss.phase, "closing")
        }))

      it.scopedLive("C27 towards a peer that never reads ends in real time as well", () =>
        Effect.gen(function*() {
          const { transport } = yield* open({ closeTimeout: "50 millis" })
          yield* transport.write(Peer.pattern(32 * MiB))
          yield* transport.close
          assert.strictEqual(lossOf(yield* transport.closed)._tag, "CloseTimeout")
        }))

      it.scoped("waits for the peer's end as long as lingerTimeout, and no longer", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open({ lingerTimeout: "300 millis" })
          yield* transport.write(ascii("bye"))
          const closing = yield* Effect.fork(transport.close)
          assert.strictEqual((yield* peer.readAll()).toString(), "bye")
          yield* Peer.turns(20)
          yield* TestClock.adjust("299 millis")
          yield* Peer.turns(20)
          assert.strictEqual((yield* Fiber.poll(closing))._tag, "None")
          yield* TestClock.adjust("1 millis")
          yield* Fiber.join(closing)
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local", peerEnded: false })
        }))

      it.scopedLive("interrupted, it goes on by itself", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open(patient)
          const sent = Peer.pattern(8 * MiB)
          yield* transport.write(sent)
          const closing = yield* Effect.fork(transport.close)
          yield* Peer.turns(2)
          yield* Fiber.interrupt(closing)
          assert.isTrue((yield* peer.readAll()).equals(sent))
          peer.end()
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", bytesWritten: sent.length })
        }))
    })

    describe("abort", () => {
      it.scopedLive("C8 by the reader of the input: what is written afterwards never arrives, and the reason says who did it", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open()
          yield* peer.write("go")
          yield* transport.pull
          yield* transport.write(ascii("X"))
          yield* peer.readBytes(1)
          const aborting = yield* Effect.fork(transport.abort)
          yield* Effect.yieldNow()
          const refused = yield* Effect.flip(transport.write(ascii("Y")))
          assert.strictEqual(refused._tag, "ConnectionAborted")
          yield* Fiber.join(aborting)
          assert.strictEqual((yield* peer.readAll()).toString(), "X")
          if (carrier === "tcp") assert.strictEqual(peer.code, "ECONNRESET")
          const loss = lossOf(yield* transport.closed)
          assert.deepInclude(loss, { _tag: "ConnectionAborted", side: "local", phase: "open" })
        }))

      it.scopedLive("C9 C10 twice, or with a close before or after, is one end", () =>
        Effect.gen(function*() {
          for (
            const acts of [["abort", "abort"], ["abort", "close"], ["close", "abort"], ["abort", "closeWrite"]] as const
          ) {
            yield* Effect.scoped(Effect.gen(function*() {
              const { peer, transport } = yield* open()
              yield* transport.write(Peer.pattern(32 * MiB))
              yield* Effect.all(acts.map((act) => Effect.exit(transport[act])), { concurrency: "unbounded" })
              assert.strictEqual(lossOf(yield* transport.closed)._tag, "ConnectionAborted")
              yield* transport.abort
              yield* transport.close
              yield* peer.readAll()
            }))
          }
        }))

      it.scopedLive("C13 a handler that fails ends its own connection with its own error, and no other", () =>
        Effect.gen(function*() {
          const { closeScope, peer, transport } = yield* open()
          const other = yield* open()
          yield* peer.write("x")
          const handler = Effect.flatMap(transport.pull, () => Effect.fail("broken"))
          const exit = yield* Effect.exit(handler)
          yield* closeScope(exit)
          assert.deepStrictEqual(exit, Exit.fail("broken"))
          assert.strictEqual(lossOf(yield* transport.closed)._tag, "ConnectionAborted")
          yield* peer.readAll()
          if (carrier === "tcp") assert.strictEqual(peer.code, "ECONNRESET")
          yield* other.peer.write("still here")
          assert.strictEqual(Buffer.from((yield* other.transport.pull)!).toString(), "still here")
        }))

      it.scopedLive("wakes readers and writers that wait, and drops what is buffered", () =>
        Effect.gen(function*() {
          const { transport } = yield* open()
          yield* transport.write(Peer.pattern(32 * MiB))
          const waiting = yield* Effect.forEach(
            [transport.pull, transport.write(ascii("x")), transport.flush, transport.closeWrite],
            (effect) => Effect.fork(Effect.flip(effect))
          )
          yield* Peer.turns(2)
          yield* transport.abort
          const [pulled, written, flushed, ended] = yield* Fiber.join(Fiber.all(waiting))
          assert.strictEqual(pulled!._tag, "ConnectionAborted")
          // The half-close before the abort refused the write that waited.
          assert.strictEqual(written!._tag, "WriteAfterEnd")
          assert.strictEqual(flushed!._tag, "ConnectionAborted")
          assert.strictEqual(ended!._tag, "ConnectionAborted")
          assert.deepInclude(transport.stats(), { buffered: 0, writersWaiting: 0, pulling: false })
        }))
    })

    describe("half-close", () => {
      it.scopedLive("C15 sends what came before and the end; reading goes on, writing does not", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open()
          yield* transport.write(ascii("hello"))
          yield* transport.closeWrite
          assert.strictEqual((yield* peer.readAll()).toString(), "hello")
          assert.isTrue(peer.ended)
          assert.strictEqual((yield* Effect.flip(transport.write(ascii("x"))))._tag, "WriteAfterEnd")
          assert.strictEqual((yield* Effect.flip(transport.writeAll([ascii("x")])))._tag, "WriteAfterEnd")
          yield* peer.write("reply")
          assert.strictEqual(Buffer.from((yield* transport.pull)!).toString(), "reply")
          peer.end()
          assert.isNull(yield* transport.pull)
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
        }))

      it.scopedLive("C16 completes when the end is out, the peer sees it, and neither side is closed", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open()
          yield* transport.closeWrite
          yield* transport.closeWrite
          yield* peer.readAll()
          assert.isTrue(peer.ended)
          assert.isFalse(peer.closed)
          assert.strictEqual((yield* Effect.timeoutOption(transport.closed, 0))._tag, "None")
        }))

      it.scopedLive("C17 after the peer's, 20 MiB are echoed complete", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open()
          const sent = Peer.pattern(20 * MiB)
          const echo = yield* Effect.fork(Effect.gen(function*() {
            const input = yield* Peer.readAll(transport)
            // Only now, after the peer's end.
            yield* transport.write(input)
            yield* transport.closeWrite
          }))
          peer.socket.end(sent)
          const received = yield* peer.readAll()
          yield* Fiber.join(echo)
          assert.isTrue(received.equals(sent))
          assert.isUndefined(peer.code)
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "peer", bytesWritten: sent.length })
        }))

      it.scopedLive("C18 a handler that returns at the end of input loses nothing of what it wrote", () =>
        Effect.gen(function*() {
          const { closeScope, peer, transport } = yield* open(patient)
          const sent = Peer.pattern(MiB)
          peer.end()
          assert.isNull(yield* transport.pull)
          yield* transport.write(sent)
          const closing = yield* Effect.fork(closeScope(Exit.void))
          assert.isTrue((yield* peer.readAll({ slow: true })).equals(sent))
          yield* Fiber.join(closing)
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", bytesWritten: MiB })
        }))

      it.scopedLive("C19 of both sides means closed: nothing is left, and a close afterwards is nothing", () =>
        Effect.gen(function*() {
          const before = yield* Peer.sockets
          const { peer, transport } = yield* open()
          peer.end()
          assert.isNull(yield* transport.pull)
          yield* transport.closeWrite
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "peer", peerEnded: true })
          yield* transport.close
          yield* peer.readAll()
          yield* peer.awaitClosed
          // The one socket more is the listener's.
          assert.strictEqual(Peer.openSockets(), before + 1)
        }))

      it.scopedLive("C21 after the peer has closed is silent", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open()
          peer.destroy()
          yield* peer.awaitClosed
          assert.isNull(yield* transport.pull)
          yield* transport.closeWrite
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "peer" })
        }))

      it.scopedLive("C21 after the peer has closed is silent, also when nobody reads", () =>
        Effect.gen(function*() {
          const { peer, transport } = yield* open()
          peer.destroy()
          yield* peer.awaitClosed
          yield* transport.closeWrite
          assert.isNull(yield* transport.pull)
          assert.deepInclude(yield* transport.closed, { _tag: "Clean" })
        }))
    })

    it.scopedLive("C24 the end of the connection is known before its Scope is closed", () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const note = (entry: string) => Effect.sync(() => log.push(entry))
        const { closeScope, peer, transport } = yield* open()
        const observer = yield* Effect.fork(Effect.zipRight(transport.closed, note("connection")))
        yield* Peer.turns(1)
        peer.end()
        yield* Effect.zipRight(closeScope(Exit.void), note("Scope"))
        yield* Fiber.join(observer)
        assert.deepStrictEqual(log, ["connection", "Scope"])
      }))

    it.scopedLive("C30 two hundred connections that come and go leave no descriptor", () =>
      Effect.gen(function*() {
        const before = yield* Peer.sockets
        for (let index = 0; index < 200; index++) {
          yield* Effect.scoped(Effect.flatMap(open(), ({ transport }) => transport.write(ascii("x"))))
        }
        yield* Peer.eventually(() => Peer.openSockets() <= before)
      }))

    it.scopedLive("C31 nothing is retained: no timer, no handle, and the transport is garbage", () =>
      Effect.gen(function*() {
        v8.setFlagsFromString("--expose-gc")
        const collectGarbage = vm.runInNewContext("gc") as () => void
        const resources = () =>
          process.getActiveResourcesInfo().filter((name) => /^(TCP|Pipe)(Socket|Server|Connect)Wrap$/.test(name)).length
        const before = resources()
        const use = Effect.scoped(Effect.gen(function*() {
          const { peer, transport } = yield* open()
          yield* peer.write("x")
          yield* transport.pull
          yield* transport.write(ascii("y"))
          peer.end()
          yield* transport.close
          return new WeakRef<Transport>(transport)
        }))
        const reference = yield* use
        yield* Peer.eventually(() => resources() <= before)
        yield* Peer.eventually(() => {
          collectGarbage()
          return reference.deref() === undefined
        })
      }))
  })
}

/** How the pieces of a test of resets lie in time: nothing between, one turn of the event loop, two. */
describe("abort (TCP)", () => {
  it.scopedLive("completes where the system refuses to send a reset", () =>
    Effect.gen(function*() {
      const { transport } = yield* Peer.accepted("tcp")
      const { _handle: handle } = transport.unsafeHandle as {
        readonly _handle: Record<"reset" | "close", () => number>
      }
      handle.reset = () => -1
      // Node has let go of it.
      yield* Effect.addFinalizer(() => Effect.sync(() => handle.close()))
      yield* transport.abort
      assert.strictEqual(lossOf(yield* transport.closed)._tag, "ConnectionAborted")
    }))
})

const gaps = [0, 1, 2] as const

const repetitions = 50

describe("data and a reset (TCP)", () => {
  /** Never an end: the bytes that came, then the loss. */
  const expectReset = (transport: Transport) =>
    Effect.gen(function*() {
      const loss = yield* Effect.flip(Effect.flatMap(
        Peer.readAll(transport),
        (input) => Effect.die(new Error(`a clean end after ${input.length} bytes`))
      ))
      assert.strictEqual(loss._tag, "ConnectionReset")
      assert.strictEqual(loss.code, "ECONNRESET")
      assert.strictEqual(lossOf(yield* transport.closed), loss)
    })

  /** The peer sends these while it is being read, and resets, which may come some turns later. */
  const whileRead = ({ peer, transport }: Peer.Opened, gap: number, bytes: Uint8Array | string, turns: number) =>
    Effect.gen(function*() {
      const reading = yield* Effect.fork(expectReset(transport))
      yield* Peer.turns(gap)
      peer.socket.write(bytes)
      if (gap > 0) yield* Peer.turns(turns)
      peer.reset()
      yield* Fiber.join(reading)
    })

  const whileNobodyReads = ({ peer, transport }: Pick<Peer.Opened, "peer" | "transport">, gap: number) =>
    Effect.gen(function*() {
      peer.socket.write("hello")
      peer.reset()
      yield* Peer.turns(gap)
      yield* expectReset(transport)
    })

  const variants: Record<
    string,
    (opened: Peer.Opened, gap: number) => Effect.Effect<void, unknown, Scope.Scope>
  > = {
    "while it is being read": (opened, gap) => whileRead(opened, gap, "hello", gap - 1),
    "while nobody reads": whileNobodyReads,
    "while reading is paused": ({ peer, transport }, gap) =>
      Effect.gen(function*() {
        yield* peer.write("1")
        yield* transport.pull
        const parked = yield* Effect.fork(transport.pull)
        yield* Peer.turns(gap)
        yield* Fiber.interrupt(parked)
        yield* whileNobodyReads({ peer, transport }, gap)
      }),
    "1 MiB, while it is being read": (opened, gap) => whileRead(opened, gap, Peer.pattern(MiB), gap),
    "1 MiB, while nobody reads": ({ peer, transport }, gap) =>
      Effect.gen(function*() {
        peer.socket.write(Peer.pattern(MiB))
        yield* Peer.turns(gap)
        peer.reset()
        yield* Peer.turns(gap)
        yield* expectReset(transport)
      }),
    "after this side's half-close": (opened, gap) =>
      Effect.zipRight(opened.transport.closeWrite, whileRead(opened, gap, "hello", gap - 1)),
    "after this side's half-close, while nobody reads": (opened, gap) =>
      Effect.zipRight(opened.transport.closeWrite, whileNobodyReads(opened, gap)),
    "1 MiB after this side's half-close": (opened, gap) =>
      Effect.zipRight(opened.transport.closeWrite, whileRead(opened, gap, Peer.pattern(MiB), gap)),
    "just as this side half-closes": ({ peer, transport }, gap) =>
      Effect.gen(function*() {
        const reading = yield* Effect.fork(expectReset(transport))
        yield* Peer.turns(gap)
        peer.socket.write("hello")
        peer.reset()
        yield* Effect.fork(Effect.ignore(transport.closeWrite))
        yield* Fiber.join(reading)
      }),
    "with this side's writes pending": (opened, gap) =>
      Effect.zipRight(opened.transport.write(Peer.pattern(32 * MiB)), whileRead(opened, gap, "hello", gap - 1)),
    "with this side's writes pending, while nobody reads": ({ peer, transport }, gap) =>
      Effect.gen(function*() {
        yield* transport.write(Peer.pattern(32 * MiB))
        yield* Peer.turns(gap)
        peer.socket.write("hello")
        peer.reset()
        const loss = lossOf(yield* transport.closed)
        assert.include(["ECONNRESET", "EPIPE"], loss.code)
        assert.isAbove(loss.bytesUnsent, 0)
        // The kernel has told already: what it still had of the input is gone with the socket.
        assert.strictEqual(yield* Effect.flip(Peer.readAll(transport)), loss)
      })
  }

  for (const [when, variant] of Object.entries(variants)) {
    for (const { name, open } of Peer.openings.filter(({ carrier }) => carrier === "tcp")) {
      it.scopedLive(`C6 ${when} are a loss, never a clean end (${name})`, () =>
        Effect.gen(function*() {
          for (let index = 0; index < repetitions; index++) {
            yield* Effect.scoped(Effect.flatMap(open(), (opened) => variant(opened, gaps[index % gaps.length]!)))
          }
        }), 60_000)
    }
  }

  for (const gap of gaps) {
    it.scopedLive(`C6 during this side's close are a loss (gap ${gap})`, () =>
      Effect.gen(function*() {
        for (let index = 0; index < repetitions; index++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { peer, transport } = yield* Peer.accepted("tcp", patient)
            const closing = yield* Effect.fork(transport.close)
            // The FIN is here: the close waits for the peer's.
            yield* peer.readAll()
            yield* Peer.turns(gap)
            peer.socket.write("hello")
            if (gap > 0) yield* Peer.turns(gap - 1)
            peer.reset()
            yield* Fiber.join(closing)
            assert.deepInclude(lossOf(yield* transport.closed), {
              _tag: "ConnectionReset",
              code: "ECONNRESET",
              phase: "closing"
            })
          }))
        }
      }))
  }

  it.scopedLive(
    "C6 during this side's close, with writes pending, are a loss that tells what was not sent",
    () =>
      Effect.gen(function*() {
        for (let index = 0; index < repetitions; index++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { peer, transport } = yield* Peer.accepted("tcp", patient)
            yield* transport.write(Peer.pattern(32 * MiB))
            const closing = yield* Effect.fork(transport.close)
            yield* Peer.turns(gaps[index % gaps.length]!)
            peer.socket.write("hello")
            peer.reset()
            yield* Fiber.join(closing)
            const loss = lossOf(yield* transport.closed)
            assert.include(["ConnectionReset", "BrokenPipe"], loss._tag)
            assert.isAbove(loss.bytesUnsent, 0)
          }))
        }
      }),
    60_000
  )

  it.scopedLive("C7 a reset while reading is ConnectionReset with its code, a FIN is an end", () =>
    Effect.gen(function*() {
      const reset = yield* Peer.accepted("tcp")
      const loss = yield* Effect.fork(Effect.flip(reset.transport.pull))
      yield* Peer.turns(2)
      reset.peer.reset()
      assert.deepInclude(yield* Fiber.join(loss), { _tag: "ConnectionReset", code: "ECONNRESET", side: "peer" })

      const ended = yield* Peer.accepted("tcp")
      const end = yield* Effect.fork(ended.transport.pull)
      yield* Peer.turns(2)
      ended.peer.end()
      assert.isNull(yield* Fiber.join(end))
      assert.isNull(yield* ended.transport.pull)
    }))

  it.scopedLive(
    "C7 the end of a peer that has ended is told from a reset, also with writes pending",
    () =>
      Effect.gen(function*() {
        for (let index = 0; index < repetitions; index++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { peer, transport } = yield* Peer.accepted("tcp")
            yield* transport.write(Peer.pattern(8 * MiB))
            peer.socket.end("bye")
            assert.strictEqual((yield* Peer.readAll(transport)).toString(), "bye")
            const ending = yield* Effect.fork(transport.closeWrite)
            assert.strictEqual((yield* peer.readAll()).length, 8 * MiB)
            yield* Fiber.join(ending)
            assert.strictEqual((yield* transport.closed)._tag, "Clean")
          }))
        }
      }),
    60_000
  )

  it.scopedLive(
    "300 resets: the process lives, no error goes unhandled, no descriptor is left",
    () =>
      Effect.gen(function*() {
        const unhandled: Array<unknown> = []
        const note = (error: unknown) => void unhandled.push(error)
        process.on("uncaughtExceptionMonitor", note).on("unhandledRejection", note)
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => process.off("uncaughtExceptionMonitor", note).off("unhandledRejection", note))
        )
        const before = yield* Peer.sockets
        for (let index = 0; index < 300; index++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { peer, transport } = yield* Peer.openings[index % 2]!.open()
            const reading = yield* Effect.fork(Effect.exit(Peer.readAll(transport)))
            if (index % 3 === 0) yield* transport.write(Peer.pattern(100_000))
            if (index % 5 === 0) peer.socket.write("x")
            if (index % 7 === 0) yield* Effect.fork(transport.close)
            peer.reset()
            yield* Fiber.join(reading)
            assert.strictEqual((yield* transport.closed)._tag, "Lost")
          }))
        }
        yield* Peer.eventually(() => Peer.openSockets() <= before)
        assert.deepStrictEqual(unhandled, [])
      }),
    60_000
  )
})

describe("the Scope of a connection", () => {
  for (const carrier of Peer.carriers) {
    it.scopedLive(`interrupted, aborts it (${carrier})`, () =>
      Effect.gen(function*() {
        const listener = yield* Peer.listener(carrier)
        const peer = yield* Peer.connect(listener.address)
        const accepted = yield* Deferred.make<Transport>()
        const handler = yield* Effect.fork(Effect.scoped(Effect.zipRight(
          Effect.flatMap(listener.accept, (transport) => Deferred.succeed(accepted, transport)),
          Effect.never
        )))
        const transport = yield* Deferred.await(accepted)
        yield* Fiber.interrupt(handler)
        assert.strictEqual(lossOf(yield* transport.closed)._tag, "ConnectionAborted")
        yield* peer.readAll()
        if (carrier === "tcp") assert.strictEqual(peer.code, "ECONNRESET")
      }))
  }
})
