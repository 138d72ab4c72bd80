import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import * as Lines from "../../src/framing/Lines.ts"
import * as Framed from "../../src/framing/Framed.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import * as Script from "../../src/testing/ScriptedTransport.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import * as Transport from "../../src/Transport.ts"
import { ascii, bytes, counting, cut, cuts, text } from "../support/bytes.ts"
import { countedTimers } from "../support/countedTimers.ts"
import { rootFibers, settle } from "../support/fibers.ts"

const readAll = (transport: Transport.Transport) => {
  const chunks: Array<string> = []
  return Effect.as(transport.forEach((chunk) => Effect.sync(() => chunks.push(text(chunk)))), chunks)
}

const line = (transport: Transport.Transport) => Effect.map(Transport.readUntil(transport, ascii("\r\n")), text)

/** A client that says hello when it has been greeted, and asks. */
const client = (transport: Transport.Transport) =>
  Effect.gen(function*() {
    const greeting = yield* line(transport)
    yield* transport.write(ascii("HELO client\r\n"))
    const answer = yield* line(transport)
    yield* transport.write(ascii("QUIT\r\n"))
    return [greeting, answer]
  })

const conversation = [
  Script.send("220 ready\r\n"),
  Script.expect("HELO client\r\n"),
  Script.send("250 hello\r\n"),
  Script.expect("QUIT\r\n")
]

describe("run", () => {
  it.effect("gives what the client makes of a conversation that goes as it is written", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Script.run(conversation, client), ["220 ready", "250 hello"])
    }))

  it.effect.prop("what is expected does not depend on the pieces in which it is written, or in which it is expected", {
    whole: FastCheck.uint8Array({ maxLength: 40 }),
    written: cuts,
    expected: cuts
  }, ({ expected, whole, written }) =>
    Script.run(
      [...cut(whole, expected).map((chunk) => Script.expect(chunk)), Script.send("done")],
      (transport) =>
        Effect.gen(function*() {
          for (const chunk of cut(whole, written)) yield* transport.write(chunk)
          assert.strictEqual(text((yield* transport.pull)!), "done")
        })
    ))

  it.effect("each send is a chunk", () =>
    Effect.gen(function*() {
      const script = [Script.send("a"), Script.send("bc"), Script.send(""), Script.send(bytes(1, 0x64)), Script.end]
      assert.deepStrictEqual(yield* Script.run(script, readAll), ["a", "bc", "d"])
    }))

  it.effect("what is written before the script comes to it is as good", () =>
    Script.run(
      [Script.send("a"), Script.expect("x"), Script.send("b"), Script.expect("y")],
      (transport) =>
        Effect.gen(function*() {
          yield* transport.write(ascii("xy"))
          assert.strictEqual(text((yield* transport.pull)!), "a")
          assert.strictEqual(text((yield* transport.pull)!), "b")
        })
    ))

  it.effect("an answer does not come before what it answers", () =>
    Script.run([Script.expect("question"), Script.send("answer")], (transport) =>
      Effect.gen(function*() {
        const pulling = yield* Effect.fork(transport.pull)
        yield* transport.write(ascii("questio"))
        yield* settle
        assert.isNull(pulling.unsafePoll())
        yield* transport.write(ascii("n"))
        assert.strictEqual(text((yield* Fiber.join(pulling))!), "answer")
      })))

  it.effect("expectAny takes what differs each time", () =>
    Script.run(
      [Script.expect("id "), Script.expectAny(4), Script.expect("\n"), Script.send("ok")],
      (transport) =>
        Effect.gen(function*() {
          yield* transport.writeAll([ascii("id 12"), ascii("34\n")])
          assert.strictEqual(text((yield* transport.pull)!), "ok")
        })
    ))

  it.effect("a server's handler, with the end of each side in its place", () =>
    Script.run([
      Script.send("one\r\ntw"),
      Script.expect("eno\r\n"),
      Script.send("o\r\n"),
      Script.end,
      Script.expect("owt\r\n"),
      Script.expectEnd
    ], (transport) =>
      Effect.gen(function*() {
        const codec = Lines.text({ delimiter: "\r\n" })
        const server = yield* Framed.duplex(transport, codec)
        yield* Stream.runForEach(server.messages, (line) => server.send([...line].toReversed().join("")))
        yield* transport.close
        assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "peer", peerEnded: true })
      })))

  it.effect("the peer ends when the script has, and this side too: a close waits for nobody", () =>
    Script.run([Script.expect("a")], (transport) =>
      Effect.gen(function*() {
        yield* transport.write(ascii("a"))
        yield* transport.close
        assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
      })))

  it.effect("the failure of what is tested is its own, when it did what was expected", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.flip(Script.run([Script.send("a")], () => Effect.fail("no"))), "no")
    }))

  it.effect("has the addresses and limits that it is given", () =>
    Script.run([], (transport) =>
      Effect.sync(() => {
        assert.deepStrictEqual(transport.localAddress, Address.tcp("10.0.0.1", 12345))
        assert.deepStrictEqual(transport.remoteAddress, Address.tcp("192.168.1.1", 54321))
        assert.strictEqual(transport.outgoing.capacity(), 7)
      }), {
      localAddress: Address.tcp("10.0.0.1", 12345),
      remoteAddress: Address.tcp("192.168.1.1", 54321),
      highWaterMark: 7
    }))
})

describe("a mismatch", () => {
  const mismatch = <E>(
    script: ReadonlyArray<Script.Step>,
    use: (transport: Transport.Transport) => Effect.Effect<unknown, E, never>
  ) =>
    Effect.map(Effect.flip(Script.run(script, use)), (error) => {
      assert.instanceOf(error, Script.ScriptMismatch)
      return error
    })

  it.effect("fails with what was expected and what was seen, where it is", () =>
    Effect.gen(function*() {
      const error = yield* mismatch(
        [Script.expect("GET /index.html HTTP/1.1\r\n"), Script.send("200")],
        (transport) => Effect.zipRight(transport.write(ascii("GET /index.htm HTTP/1.1\r\n")), transport.pull)
      )
      assert.deepInclude(error, { step: 1, position: 14 })
      assert.strictEqual(
        error.message,
        [
          "Something else was written than step 1 of the script expects, from byte 14 on.",
          "expected  00000000  47 45 54 20 2f 69 6e 64  65 78 2e 68 74 6d 6c 20  |GET /index.html |",
          "seen      00000000  47 45 54 20 2f 69 6e 64  65 78 2e 68 74 6d 20 48  |GET /index.htm H|",
          "                                                               ^^"
        ].join("\n")
      )
    }))

  it.effect.prop("is found at the first byte that differs, whatever the pieces", {
    whole: FastCheck.uint8Array({ minLength: 1, maxLength: 80 }),
    written: cuts,
    expected: cuts,
    at: FastCheck.nat()
  }, ({ at, expected, whole, written }) =>
    Effect.gen(function*() {
      const position = at % whole.length
      const other = whole.with(position, whole[position]! ^ 1)
      const script = cut(whole, expected).map((chunk) => Script.expect(chunk))
      const error = yield* mismatch(script, (transport) =>
        Effect.zipRight(
          Effect.forEach(cut(other, written), (chunk) => transport.write(chunk)),
          transport.flush
        ))
      assert.strictEqual(error.position, position)
      const line = position - position % 16
      assert.strictEqual(error.seen![position - line], other[position])
      assert.strictEqual(error.expected![position - line], whole[position])
      assert.deepStrictEqual(error.seen!.slice(0, position - line), whole.slice(line, position))
    }))

  it.effect("is a reset to what is tested, and its cause", () =>
    Effect.gen(function*() {
      const error = yield* mismatch([Script.expect("a")], (transport) =>
        Effect.gen(function*() {
          yield* transport.write(ascii("b"))
          const loss = yield* Effect.flip(transport.pull)
          assert.deepInclude(loss, { _tag: "ConnectionReset", side: "peer" })
          assert.instanceOf(loss.cause, Script.ScriptMismatch)
          assert.strictEqual((yield* Effect.flip(transport.write(ascii("c"))))._tag, "ConnectionReset")
        }))
      assert.strictEqual(error.position, 0)
    }))

  it.effect("more than the script expects", () =>
    Effect.gen(function*() {
      const error = yield* mismatch([Script.expect("a")], (transport) => transport.write(ascii("ab")))
      assert.deepInclude(error, { step: 2, position: 1, expected: undefined })
      assert.include(error.message, "expected  nothing more\nseen      00000000  61 62 ")
    }))

  it.effect("an end where bytes are expected, and bytes where an end is", () =>
    Effect.gen(function*() {
      const early = yield* mismatch([Script.expect("ab")], (transport) => transport.write(ascii("a")))
      assert.deepInclude(early, { step: 1, position: 1, seen: undefined })
      assert.include(early.message, "seen      the end")
      const any = yield* mismatch([Script.expectAny(2)], () => Effect.void)
      assert.include(any.message, "expected  more bytes\nseen      the end")
      const late = yield* mismatch([Script.expectEnd, Script.send("a")], (transport) => transport.write(ascii("a")))
      assert.deepInclude(late, { step: 1, position: 0, expected: undefined })
      // A reset that comes after the end is no reason to leave unread what comes in place of it.
      for (const last of [Script.reset, Script.expectAbort]) {
        const script = [Script.expect("a"), Script.expectEnd, last]
        const stuck = yield* mismatch(script, (transport) =>
          Effect.zipRight(transport.write(ascii("ab")), transport.closeWrite))
        assert.deepInclude(stuck, { step: 2, position: 1, expected: undefined })
      }
    }))

  it.effect("is a reset also after the end of the peer", () =>
    Effect.gen(function*() {
      const script = [Script.send("request"), Script.end, Script.expect("answer")]
      const error = yield* mismatch(script, (transport) =>
        Effect.gen(function*() {
          yield* readAll(transport)
          yield* transport.write(ascii("another"))
          const loss = yield* Effect.flip(transport.flush)
          assert.deepInclude(loss, { _tag: "ConnectionReset", side: "peer" })
          assert.instanceOf(loss.cause, Script.ScriptMismatch)
        }))
      assert.deepInclude(error, { step: 3, position: 2 })
      const short = yield* mismatch(script, (transport) =>
        Effect.gen(function*() {
          yield* readAll(transport)
          yield* transport.write(ascii("ans"))
          assert.strictEqual((yield* Effect.flip(transport.closeWrite))._tag, "ConnectionReset")
        }))
      assert.deepInclude(short, { step: 3, position: 3, seen: undefined })
    }))

  it.effect("ends what is tested, whatever it waits for", () =>
    Effect.gen(function*() {
      let released = false
      const error = yield* mismatch([Script.expect("a")], (transport) =>
        Effect.zipRight(transport.write(ascii("b")), Effect.never).pipe(
          Effect.ensuring(Effect.sync(() => {
            released = true
          }))
        ))
      assert.strictEqual(error.position, 0)
      assert.isTrue(released)
    }))

  it.effect("is the failure also where what is tested makes something else of it", () =>
    Effect.gen(function*() {
      const error = yield* mismatch([Script.expect("a")], (transport) =>
        Effect.zipRight(transport.write(ascii("b")), transport.flush).pipe(
          Effect.catchAll(() =>
            Effect.fail("could not talk to the server")
          )
        ))
      assert.strictEqual(error.position, 0)
    }))
})

describe("an unfinished script", () => {
  const unfinished = (
    script: ReadonlyArray<Script.Step>,
    use: (transport: Transport.Transport) => Effect.Effect<unknown, unknown, never> = () => Effect.void
  ) =>
    Effect.map(Effect.flip(Script.run(script, use)), (error) => {
      assert.instanceOf(error, Script.ScriptUnfinished)
      return error
    })

  it.effect("is an error when what is tested has come to its end", () =>
    Effect.gen(function*() {
      const error = yield* unfinished([Script.send("a"), Script.wait("1 minute"), Script.send("b")])
      assert.deepInclude(error, { step: 2, steps: 3, position: 0 })
      assert.strictEqual(
        error.message,
        "The script came to step 2 of 3, after 0 bytes were written, and no further: it was to wait 1m."
      )
    }))

  it.effect("what is expected and did not come", () =>
    Effect.gen(function*() {
      const aborting = (transport: Transport.Transport) =>
        Effect.zipRight(Effect.zipRight(transport.write(ascii("he")), transport.flush), transport.abort)
      const error = yield* unfinished([Script.expect("hello\r\n")], aborting)
      assert.deepInclude(error, { step: 1, steps: 1, position: 2 })
      assert.include(error.message, String.raw`it expects "hello\r\n".`)
      assert.include((yield* unfinished([Script.expectAny(3)], aborting)).message, "it expects 3 bytes.")
      assert.include((yield* unfinished([Script.expectAbort])).message, "it expects an abort.")
    }))

  it.effect("is one where what was written beyond it holds the end back", () =>
    Effect.gen(function*() {
      for (const last of [Script.expectAbort, Script.wait("1 hour")]) {
        const error = yield* unfinished(
          [Script.expect("a"), last, ...last._tag === "Wait" ? [Script.reset] : []],
          (transport) => transport.write(ascii("and more"))
        )
        assert.deepInclude(error, { step: 2, position: 1, waitedFor: last })
      }
    }))

  it.effect("what was sent and not read is no matter", () => Script.run([Script.send("unread")], () => Effect.void))

  it.effect("what is written before a reset may go unread", () =>
    Script.run([Script.expect("a"), Script.reset], (transport) =>
      Effect.gen(function*() {
        yield* transport.write(ascii("abc"))
        assert.strictEqual((yield* Effect.flip(transport.flush))._tag, "ConnectionReset")
      })))
})

describe("losses", () => {
  it.effect("come after what was sent before", () =>
    Script.run([Script.send("a"), Script.reset], (transport) =>
      Effect.gen(function*() {
        assert.strictEqual(text((yield* transport.pull)!), "a")
        assert.deepInclude(yield* Effect.flip(transport.pull), { _tag: "ConnectionReset", bytesRead: 1 })
      })))

  for (const [code, tag] of [["ETIMEDOUT", "ConnectionTimedOut"], ["EHOSTUNREACH", "PeerUnreachable"]] as const) {
    it.effect(`${code} is ${tag}`, () =>
      Script.run([Script.lose(code)], (transport) =>
        Effect.gen(function*() {
          const reason = yield* transport.closed
          assert.isTrue(reason._tag === "Lost")
          assert.deepInclude(reason._tag === "Lost" && reason.error, { _tag: tag, code })
        })))
  }

  it.effect("come after the end of the peer, which is read as one", () =>
    Effect.gen(function*() {
      const answering = (transport: Transport.Transport) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* readAll(transport), ["a"])
          yield* transport.write(ascii("b"))
          const reason = yield* transport.closed
          assert.isTrue(reason._tag === "Lost")
          assert.deepInclude(reason._tag === "Lost" && reason.error, { _tag: "BrokenPipe", syscall: "write" })
          assert.isNull(yield* transport.pull)
        })
      yield* Script.run([Script.send("a"), Script.end, Script.expect("b"), Script.lose("EPIPE", "write")], answering)
      // Who writes learns of it before the end is read.
      yield* Script.run([Script.send("a"), Script.end, Script.reset], (transport) =>
        Effect.gen(function*() {
          yield* transport.write(ascii("?"))
          assert.strictEqual((yield* Effect.flip(transport.flush))._tag, "ConnectionReset")
        }))
    }))

  it.effect("what was written before is counted as written", () =>
    Script.run([Script.expect("abc"), Script.reset], (transport) =>
      Effect.gen(function*() {
        yield* transport.write(ascii("abc"))
        assert.deepInclude(yield* Effect.flip(transport.pull), {
          _tag: "ConnectionReset",
          bytesWritten: 3,
          bytesUnsent: 0
        })
      })))

  it.effect("a mismatch is one at once, whatever is still to be read", () =>
    Effect.gen(function*() {
      const running = Script.run([Script.send("unread"), Script.expect("a")], (transport) =>
        Effect.zipRight(transport.write(ascii("b")), transport.flush))
      assert.strictEqual((yield* Effect.flip(running))._tag, "ScriptMismatch")
    }))

  it.effect("a writer learns of one that stands behind unread input", () =>
    Script.run([Script.send("unread"), Script.reset], (transport) =>
      Effect.gen(function*() {
        yield* transport.write(ascii("?"))
        assert.strictEqual((yield* Effect.flip(transport.flush))._tag, "ConnectionReset")
      })))

  it.effect("expectAbort waits for an abort", () =>
    Effect.gen(function*() {
      const script = Script.make([Script.expect("a"), Script.expectAbort])
      const { finished, transport } = yield* script
      const finishing = yield* Effect.fork(finished)
      yield* transport.write(ascii("a, and what nobody reads"))
      yield* settle
      assert.isNull(finishing.unsafePoll())
      yield* transport.abort
      yield* Fiber.join(finishing)
    }).pipe(Effect.scoped))
})

describe("time", () => {
  it.effect("a wait is by the Clock, from when the script comes to it", () =>
    Effect.gen(function*() {
      const { finished, transport } = yield* Script.make([Script.expect("a"), Script.wait(500), Script.send("b")])
      const pulling = yield* Effect.fork(transport.pull)
      yield* TestClock.adjust(10_000)
      yield* transport.write(ascii("a"))
      yield* settle
      yield* TestClock.adjust(499)
      yield* settle
      assert.isNull(pulling.unsafePoll())
      yield* TestClock.adjust(1)
      assert.strictEqual(text((yield* Fiber.join(pulling))!), "b")
      yield* finished
    }).pipe(Effect.scoped))

  it.effect("passes in no time under a clock that jumps", () =>
    VirtualClock.run(Effect.gen(function*() {
      const script = [Script.wait("1 days"), Script.send("good morning"), Script.wait("1 days"), Script.end]
      assert.deepStrictEqual(yield* Script.run(script, readAll), ["good morning"])
      assert.strictEqual(yield* Clock.currentTimeMillis, 2 * 86_400_000)
    })))

  it.live("under the host's clock it takes its time, and leaves no timer", () =>
    Effect.gen(function*() {
      const { armed, clock } = countedTimers()
      const fibers = yield* rootFibers
      yield* Effect.gen(function*() {
        yield* Script.run([Script.wait(20), Script.send("a")], (transport) => transport.pull)
        assert.strictEqual(armed(), 0)
        yield* Effect.flip(Script.run([Script.wait("1 hour")], () => Effect.sync(() => assert.strictEqual(armed(), 1))))
        assert.strictEqual(armed(), 0)
      }).pipe(Effect.withClock(clock))
      assert.strictEqual(yield* rootFibers, fibers)
    }))
})

describe("make", () => {
  it.effect("finished fails for what is written after the end of the script, too", () =>
    Effect.gen(function*() {
      const { finished, transport } = yield* Script.make([Script.expect("a")])
      yield* transport.write(ascii("a"))
      yield* finished
      yield* transport.write(ascii("b"))
      yield* Effect.flip(transport.flush)
      assert.strictEqual((yield* Effect.flip(finished))._tag, "ScriptMismatch")
    }).pipe(Effect.scoped))

  it.effect("finished fails when the connection is over before the script", () =>
    Effect.gen(function*() {
      const { finished, transport } = yield* Script.make([Script.expect("a")])
      const finishing = yield* Effect.fork(Effect.flip(finished))
      yield* settle
      assert.isNull(finishing.unsafePoll())
      yield* transport.abort
      assert.strictEqual((yield* Fiber.join(finishing))._tag, "ScriptUnfinished")
    }).pipe(Effect.scoped))

  it.effect("its Scope waits for nobody, whatever the script waits for", () =>
    Effect.gen(function*() {
      for (const step of [Script.expect("a"), Script.wait("1 hour"), Script.expectEnd]) {
        const script = step._tag === "ExpectEnd" ? [Script.expect("a"), step] : [step]
        const { finished, transport } = yield* Effect.scoped(Script.make([...script, Script.send("b")]))
        assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
        assert.strictEqual((yield* Effect.flip(finished))._tag, "ScriptUnfinished")
      }
    }))

  const wrong: ReadonlyArray<[script: ReadonlyArray<Script.Step>, message: string]> = [
    [[Script.end, Script.send("a")], "Step 2 of the script: the peer sends after its end"],
    [[Script.end, Script.end], "Step 2 of the script: the peer ends again"],
    [[Script.reset, Script.wait(1)], "Step 2 of the script: the connection is over"],
    [[Script.expectAbort, Script.end], "Step 2 of the script: the connection is over"],
    [[Script.expectEnd, Script.expect("a")], "Step 2 of the script: nothing comes after the end"],
    [[Script.expectAny(-1)], "Step 1 of the script: a number of bytes is 0 or more, not -1"]
  ]
  for (const [script, message] of wrong) {
    it.effect(`dies with a RangeError: ${message}`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Effect.scoped(Script.make(script)))
        const defect = Exit.isFailure(exit) ? Chunk.toArray(Cause.defects(exit.cause))[0] : undefined
        assert.instanceOf(defect, RangeError)
        assert.strictEqual(defect.message, message)
      }))
  }

  it.live("a pull that is interrupted at any step loses nothing of what was sent", () =>
    Effect.gen(function*() {
      const sent = counting(20)
      const { points } = yield* sweep({
        setup: Effect.gen(function*() {
          const script = [...cut(sent, [3, 1, 5]).map((chunk) => Script.send(chunk)), Script.end]
          const { transport } = yield* Script.make(script, { readBufferSize: 4 })
          return { transport, got: [] as Array<number> }
        }),
        scenario: ({ got, transport }) =>
          transport.forEach((chunk) => {
            got.push(...chunk)
            return got.length % 2 === 0 ? Effect.void : Effect.asVoid(Effect.yieldNow())
          }),
        check: ({ got, transport }) =>
          Effect.gen(function*() {
            yield* transport.forEach((chunk) => Effect.sync(() => got.push(...chunk)))
            assert.deepStrictEqual(got, [...sent])
          })
      })
      assert.isAbove(points, 10)
    }))
})
