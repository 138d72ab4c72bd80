import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Supervisor from "effect/Supervisor"
import * as Codec from "../../src/Codec.ts"
import * as Framed from "../../src/framing/Framed.ts"
import * as Netstring from "../../src/framing/Netstring.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import type * as Transport from "../../src/Transport.ts"
import { ascii, cut, cuts, joined, text } from "../support/bytes.ts"
import { encoded } from "../support/decoding.ts"
import { failed, settle } from "../support/fibers.ts"
import { tcpPair } from "../support/pairs.ts"
import { readAll } from "../support/peer.ts"

/** Netstrings of text, of at most 100 bytes. */
const codec = Codec.transform(Netstring.make({ maxLength: 100 }), {
  decode: (bytes) => Either.right(text(bytes)),
  encode: (frame: string) => Either.right(ascii(frame))
})

const wire = (...frames: ReadonlyArray<string>) => encoded(codec, ...frames)

const tooLong = "x".repeat(101)

type Pair = Effect.Effect<readonly [Transport.Transport, Transport.Transport], unknown, Scope.Scope>

/** A peer and a transport, which go at once when the test is over. */
const opened = (pair: Pair = MemoryTransport.pair()) =>
  Effect.gen(function*() {
    const [peer, transport] = yield* pair
    yield* Effect.addFinalizer(() => Effect.all([peer.abort, transport.abort], { concurrency: "unbounded" }))
    return { peer, transport }
  })

/** A transport with these chunks as its input, and then the end. */
const given = (...chunks: ReadonlyArray<Uint8Array>) =>
  Effect.gen(function*() {
    const { peer, transport } = yield* opened()
    yield* peer.writeAll(chunks)
    yield* peer.closeWrite
    return transport
  })

/** Notes each write, as text. */
const noting = (transport: Transport.Transport, noted: Array<string>) =>
  NetworkLayer.derive(transport, {
    write: (bytes) =>
      Effect.suspend(() => {
        noted.push(text(bytes))
        return transport.write(bytes)
      })
  })

const tag = <A, E extends { readonly _tag: string }>(exit: Exit.Exit<A, E>): string => failed(exit)._tag

const defect = <A, E>(exit: Exit.Exit<A, E>): string => {
  if (Exit.isFailure(exit) && exit.cause._tag === "Die") return (exit.cause.defect as Error).message
  throw new Error(`a defect was expected: ${exit}`)
}

const isPending = (fiber: Fiber.RuntimeFiber<unknown, unknown>) =>
  Effect.map(Fiber.poll(fiber), (exit) => exit._tag === "None")

/** Notes in the step that gives the value. */
const note = <A, E>(effect: Effect.Effect<A, E>, noted: Array<A>): Effect.Effect<void, E> =>
  Effect.flatMap(effect, (value) => {
    noted.push(value)
    return Effect.void
  })

/** All messages up to the end. */
const receiveAll = <Out, E>(framed: Framed.Framed<never, Out, E, unknown>, received: Array<Out> = []) => {
  const loop: Effect.Effect<Array<Out>, E> = Effect.flatMap(framed.receive, (message) => {
    if (message === null) return Effect.succeed(received)
    received.push(message)
    return loop
  })
  return loop
}

const words = FastCheck.array(FastCheck.stringMatching(/^[a-z]{0,6}$/), { maxLength: 12 })

const holdsBack = (waits: (transport: Transport.Transport) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const { peer, transport } = yield* opened(
      MemoryTransport.pair({ capacity: 64, readBufferSize: 64, highWaterMark: 64 })
    )
    const writer = yield* Effect.fork(Effect.forever(peer.write(wire("12345678"))))
    const loop = yield* Effect.fork(waits(transport))
    yield* settle
    const { bytesWritten } = peer.stats()
    yield* settle
    assert.isAtMost(bytesWritten, 64 * 3 + 2 * 11)
    assert.strictEqual(peer.stats().bytesWritten, bytesWritten)
    yield* Fiber.interruptAll([writer, loop])
  })

describe("Framed.forEach", () => {
  it.scoped("gives all frames that a chunk has completed at once, and those of the end", () =>
    Effect.gen(function*() {
      const bytes = wire("one", "two", "three")
      const transport = yield* given(bytes.subarray(0, 14), bytes.subarray(14, 15), bytes.subarray(15))
      const batches: Array<ReadonlyArray<string>> = []
      yield* Framed.forEach(transport, codec, (frames) => Effect.sync(() => batches.push(frames)))
      assert.deepStrictEqual(batches, [["one", "two"], ["three"]])
    }))

  it.scoped("an Effect that is done at once costs no wake-up: `f` is called outside of the fiber", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const fibers: Array<unknown> = []
      const loop = yield* Effect.fork(Framed.forEach(transport, codec, (frames) => {
        fibers.push(Fiber.getCurrentFiber()._tag)
        return transport.write(wire(...frames))
      }))
      yield* settle
      yield* peer.write(wire("a", "b"))
      assert.strictEqual(text((yield* peer.pull)!), "1:a,1:b,")
      assert.deepStrictEqual(fibers, ["None"])
      yield* Fiber.interrupt(loop)
    }))

  it.scoped("gives the frames before a failure, and leaves the bytes from the bad frame on to the next reader", () =>
    Effect.gen(function*() {
      const transport = yield* given(wire("one"), joined([wire("two"), ascii("3:bad;1:x,")]), ascii("rest"))
      const noted: Array<string> = []
      const exit = yield* Effect.exit(
        Framed.forEach(transport, codec, (frames) => Effect.sync(() => noted.push(...frames)))
      )
      assert.strictEqual(tag(exit), "InvalidFrame")
      assert.deepStrictEqual(noted, ["one", "two"])
      assert.strictEqual(text(yield* readAll(transport)), "3:bad;1:x,rest")
    }))

  it.scoped("fails when the input ends within a frame, of which the bytes are still there", () =>
    Effect.gen(function*() {
      const transport = yield* given(joined([wire("one"), ascii("3:t")]))
      const noted: Array<string> = []
      const exit = yield* Effect.exit(
        Framed.forEach(transport, codec, (frames) => Effect.sync(() => noted.push(...frames)))
      )
      assert.strictEqual(tag(exit), "FrameTruncated")
      assert.deepStrictEqual(noted, ["one"])
      assert.strictEqual(text(yield* readAll(transport)), "3:t")
    }))

  it.scoped("fails as `f` does, and leaves what `f` was not given", () =>
    Effect.gen(function*() {
      const transport = yield* given(joined([wire("one", "two"), ascii("3:th")]), ascii("ree,"))
      const exit = yield* Effect.exit(Framed.forEach(transport, codec, () => Effect.fail("no" as const)))
      assert.deepStrictEqual(exit, Exit.fail("no"))
      assert.strictEqual(text(yield* readAll(transport)), "3:three,")
    }))

  it.scoped("dies of what `f` throws", () =>
    Effect.gen(function*() {
      const transport = yield* given(wire("one"))
      const exit = yield* Effect.exit(Framed.forEach(transport, codec, (): Effect.Effect<void> => {
        throw new Error("thrown on purpose")
      }))
      assert.strictEqual(defect(exit), "thrown on purpose")
    }))

  it.scoped("fails with the loss, after the frames before it", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const noted: Array<string> = []
      const loop = yield* Effect.fork(
        Effect.exit(Framed.forEach(transport, codec, (frames) => Effect.sync(() => noted.push(...frames))))
      )
      yield* settle
      yield* peer.write(joined([wire("one"), ascii("3:t")]))
      yield* settle
      yield* peer.abort
      assert.strictEqual(tag(yield* loop), "ConnectionReset")
      assert.deepStrictEqual(noted, ["one"])
    }))

  it.scoped("a handler that waits holds the peer back", () =>
    holdsBack((transport) => Framed.forEach(transport, codec, () => Effect.never)))

  for (const [name, pair] of Object.entries({ memory: memoryPair, TCP: tcpPair })) {
    it.live(`interrupted at every step over ${name}, it loses no frame`, () =>
      Effect.gen(function*() {
        const all = ["a", "bc", "", "def", "ghij"]
        const { points } = yield* sweep({
          setup: Effect.gen(function*() {
            const { peer, transport } = yield* opened(pair({ lingerTimeout: 0, readBufferSize: 4, highWaterMark: 4 }))
            yield* Effect.fork(Effect.zipRight(Effect.forEach(cut(wire(...all), [4]), peer.write), peer.closeWrite))
            return { transport, noted: [] as Array<string> }
          }),
          scenario: ({ noted, transport }) =>
            Framed.forEach(transport, codec, (frames) => {
              noted.push(...frames)
              return noted.length % 2 === 0 ? Effect.void : Effect.yieldNow()
            }),
          check: ({ noted, transport }) =>
            Effect.gen(function*() {
              const rest = yield* readAll(transport)
              assert.deepStrictEqual([...noted, ...Codec.decode(codec, rest).frames], all)
            })
        })
        assert.isAbove(points, 0)
      }), 60_000)
  }
})

function memoryPair(limits: Transport.Limits): Pair {
  return MemoryTransport.pair({ ...limits, capacity: 4, maxChunkSize: 3 })
}

describe("Framed.stream", () => {
  it.scoped("has all frames of a chunk as one Chunk", () =>
    Effect.gen(function*() {
      const bytes = wire("one", "two", "three")
      const transport = yield* given(bytes.subarray(0, 14), bytes.subarray(14, 15), bytes.subarray(15))
      const chunks = yield* Stream.runCollect(Stream.chunks(Framed.stream(transport, codec)))
      assert.deepStrictEqual(Array.from(chunks, Chunk.toReadonlyArray), [["one", "two"], ["three"]])
    }))

  it.scoped("fails after the frames before the failure", () =>
    Effect.gen(function*() {
      const transport = yield* given(joined([wire("one", "two"), ascii("x")]))
      const noted: Array<string> = []
      const exit = yield* Effect.exit(
        Stream.runForEach(Framed.stream(codec)(transport), (frame) => Effect.sync(() => noted.push(frame)))
      )
      assert.strictEqual(tag(exit), "InvalidFrame")
      assert.deepStrictEqual(noted, ["one", "two"])
      assert.isTrue(transport.outgoing.isActive())
    }))

  it.scoped("fails when the input ends within a frame", () =>
    Effect.gen(function*() {
      const transport = yield* given(joined([wire("one"), ascii("3:t")]))
      assert.strictEqual(tag(yield* Effect.exit(Stream.runDrain(Framed.stream(transport, codec)))), "FrameTruncated")
    }))

  it.scoped("decodes anew each time it is run", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const first = Stream.take(Framed.stream(transport, codec), 1)
      yield* peer.writeAll([wire("one"), wire("two")])
      assert.deepStrictEqual([...yield* Stream.runCollect(first)], ["one"])
      assert.deepStrictEqual([...yield* Stream.runCollect(first)], ["two"])
    }))

  it.scoped("a consumer that waits holds the peer back", () =>
    holdsBack((transport) => Stream.runForEach(Framed.stream(transport, codec), () => Effect.never)))
})

describe("Framed.sink", () => {
  it.scoped("writes the frames of a Chunk as one", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const writes: Array<string> = []
      const chunks = Stream.fromChunks(Chunk.make("a", "b"), Chunk.empty<string>(), Chunk.make("c"))
      yield* Stream.run(chunks, Framed.sink(noting(transport, writes), codec))
      assert.deepStrictEqual(writes, ["1:a,1:b,", "1:c,"])
      assert.strictEqual(text((yield* peer.pull)!), "1:a,1:b,")
      assert.isTrue(transport.outgoing.isActive())
    }))

  it.scoped("a frame that cannot be encoded fails it, with no byte of its Chunk written", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const frames = Stream.fromChunks(Chunk.make("a"), Chunk.make("b", tooLong))
      const exit = yield* Effect.exit(Stream.run(frames, Framed.sink(codec)(transport)))
      assert.strictEqual(tag(exit), "FrameTooLong")
      yield* transport.closeWrite
      assert.strictEqual(text(yield* readAll(peer)), "1:a,")
    }))

  it.scoped("suspends while the peer does not read, and goes on when it does", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened(
        MemoryTransport.pair({ capacity: 64, readBufferSize: 64, highWaterMark: 64 })
      )
      const frames = Stream.fromIterable(Array.from({ length: 100 }, (_, index) => `${index}`))
      const writing = yield* Effect.fork(
        Effect.zipRight(Stream.run(Stream.rechunk(frames, 1), Framed.sink(transport, codec)), transport.closeWrite)
      )
      yield* settle
      assert.strictEqual(transport.stats().writersWaiting, 1)
      assert.strictEqual(Codec.decode(codec, yield* readAll(peer)).frames.length, 100)
      yield* writing
    }))

  it.scoped("fails with WriteAfterEnd when this side has ended", () =>
    Effect.gen(function*() {
      const { transport } = yield* opened()
      yield* transport.closeWrite
      assert.strictEqual(
        tag(yield* Effect.exit(Stream.run(Stream.make("a"), Framed.sink(transport, codec)))),
        "WriteAfterEnd"
      )
    }))
})

describe("Framed.write", () => {
  it.scoped("writes its frames as one", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const noted: Array<string> = []
      yield* Framed.write(noting(transport, noted), codec, ["one", "two"])
      yield* transport.closeWrite
      assert.deepStrictEqual(noted, [text(wire("one", "two"))])
      assert.strictEqual(text(yield* readAll(peer)), noted.join(""))
    }))

  it.scoped("encodes when it is run, each time", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const frames: Array<string> = []
      const writing = Framed.write(transport, codec, frames)
      yield* writing
      frames.push("one")
      yield* writing
      yield* writing
      yield* transport.closeWrite
      assert.strictEqual(text(yield* readAll(peer)), text(wire("one", "one")))
    }))

  it.scoped("a frame that cannot be encoded fails it, with no byte written", () =>
    Effect.gen(function*() {
      const { transport } = yield* opened()
      const error = yield* Effect.flip(Framed.write(transport, codec, ["one", tooLong]))
      assert.strictEqual(error._tag, "FrameTooLong")
      assert.strictEqual(transport.stats().bytesWritten + transport.stats().buffered, 0)
    }))

  it.scoped("within forEach costs no wake-up: the next frames are handled outside of the fiber", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const fibers: Array<string> = []
      const loop = yield* Effect.fork(Framed.forEach(transport, codec, (frames) => {
        fibers.push(Fiber.getCurrentFiber()._tag)
        return Framed.write(transport, codec, frames)
      }))
      for (const frame of ["a", "b", "c"]) {
        yield* settle
        yield* peer.write(wire(frame))
        assert.strictEqual(text((yield* peer.pull)!), text(wire(frame)))
      }
      assert.deepStrictEqual(fibers, ["None", "None", "None"])
      yield* Fiber.interrupt(loop)
    }))
})

describe("a connection of messages", () => {
  it.effect.prop(
    "receives what was sent, however it is cut",
    [words, cuts],
    ([frames, lengths]) =>
      Effect.scoped(Effect.gen(function*() {
        const transport = yield* given(...cut(wire(...frames), lengths))
        const framed = yield* Framed.duplex(transport, codec)
        assert.deepStrictEqual(yield* receiveAll(framed), frames)
        assert.isNull(yield* framed.receive)
      }))
  )

  it.effect.prop(
    "streams what was sent, however it is cut",
    [words, cuts],
    ([frames, lengths]) =>
      Effect.scoped(Effect.gen(function*() {
        const [one, many] = [
          yield* given(...cut(wire(...frames), lengths)),
          yield* given(...cut(wire(...frames), lengths))
        ]
        const framed = yield* Framed.duplex(one, codec)
        assert.deepStrictEqual([...yield* Stream.runCollect(framed.messages)], frames)
        assert.deepStrictEqual([...yield* Stream.runCollect(Framed.stream(many, codec))], frames)
      }))
  )

  it.scoped("sends each message as one write, and many as one", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const writes: Array<string> = []
      const framed = yield* Framed.duplex(noting(transport, writes), codec)
      yield* framed.send("a")
      yield* framed.sendAll(new Set(["b", "c"]))
      yield* framed.sendAll([])
      yield* framed.transport.closeWrite
      assert.deepStrictEqual(writes, ["1:a,", "1:b,1:c,", ""])
      assert.strictEqual(text(yield* readAll(peer)), "1:a,1:b,1:c,")
    }))

  it.scoped("writes no byte when a message cannot be encoded, and goes on", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      assert.strictEqual(tag(yield* Effect.exit(framed.send(tooLong))), "FrameTooLong")
      assert.strictEqual(tag(yield* Effect.exit(framed.sendAll(["a", tooLong]))), "FrameTooLong")
      assert.strictEqual(tag(yield* Effect.exit(framed.request(tooLong))), "FrameTooLong")
      yield* framed.send("b")
      yield* transport.closeWrite
      assert.strictEqual(text(yield* readAll(peer)), "1:b,")
    }))

  it.scoped("a send suspends while the write buffer is full; those that wait are sent in their order", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened(
        MemoryTransport.pair({ capacity: 0, readBufferSize: 0, highWaterMark: 4, lowWaterMark: 0 })
      )
      const framed = yield* Framed.duplex(transport, codec)
      yield* framed.send("a")
      const sends: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
      for (const message of ["b", "c", "d"]) {
        sends.push(yield* Effect.fork(framed.send(message)))
        yield* settle
      }
      assert.deepStrictEqual(yield* Effect.forEach(sends, isPending), [true, true, true])
      // Withdrawn.
      yield* Fiber.interrupt(sends[1]!)
      const reading = yield* Effect.fork(readAll(peer))
      yield* Fiber.join(sends[2]!)
      yield* transport.closeWrite
      assert.strictEqual(text(yield* reading), "1:a,1:b,1:d,")
    }))

  it.scoped("gives the messages before a failure, then the failure, each time", () =>
    Effect.gen(function*() {
      const framed = yield* Framed.duplex(yield* given(joined([wire("one", "two"), ascii("x")])), codec)
      assert.strictEqual(yield* framed.receive, "one")
      assert.strictEqual(yield* framed.receive, "two")
      assert.strictEqual(tag(yield* Effect.exit(framed.receive)), "InvalidFrame")
      assert.strictEqual(tag(yield* Effect.exit(framed.receive)), "InvalidFrame")
      assert.strictEqual(tag(yield* Effect.exit(Stream.runDrain(framed.messages))), "InvalidFrame")
      assert.isTrue(framed.transport.outgoing.isActive())
    }))

  it.scoped("gives the messages before a loss, then the loss", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      const received: Array<string> = []
      const receiving = yield* Effect.fork(Effect.exit(receiveAll(framed, received)))
      yield* peer.write(wire("one"))
      yield* settle
      yield* peer.abort
      assert.strictEqual(tag(yield* receiving), "ConnectionReset")
      assert.deepStrictEqual(received, ["one"])
      assert.strictEqual(tag(yield* Effect.exit(framed.send("two"))), "ConnectionReset")
      assert.strictEqual(tag(yield* Effect.exit(framed.request("two"))), "ConnectionReset")
    }))

  it.scoped("reads nothing while nobody receives", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      yield* peer.writeAll([wire("one", "two"), wire("three")])
      yield* settle
      assert.strictEqual(transport.stats().bytesRead, 0)
      assert.strictEqual(yield* framed.receive, "one")
      assert.strictEqual(yield* framed.receive, "two")
      yield* settle
      assert.strictEqual(transport.stats().unread, wire("three").length)
    }))

  it.scoped("a second receive while one waits dies, and the first goes on", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      const first = yield* Effect.fork(framed.receive)
      yield* settle
      assert.include(defect(yield* Effect.exit(framed.receive)), "one pull at a time")
      yield* peer.write(wire("one"))
      assert.strictEqual(yield* first, "one")
    }))

  it.scoped("`messages` has a message that is null, and ends where the input does", () =>
    Effect.gen(function*() {
      const nullable = Codec.transform(codec, {
        decode: (frame) => Either.right(frame === "null" ? null : frame),
        encode: (frame: string) => Either.right(frame)
      })
      const framed = yield* Framed.duplex(yield* given(wire("a", "null", "b")), nullable)
      assert.deepStrictEqual([...yield* Stream.runCollect(framed.messages)], ["a", null, "b"])
    }))

  it.live("lets the event loop turn while there are messages", () =>
    Effect.scoped(Effect.gen(function*() {
      const empty = wire(...new Array<string>(20_000).fill(""))
      const framed = yield* Framed.duplex(yield* given(empty), codec)
      let turns = 0
      const turning = setInterval(() => turns++, 0)
      yield* receiveAll(framed)
      clearInterval(turning)
      assert.isAbove(turns, 2)
    })))

  for (const [name, pair] of Object.entries({ memory: memoryPair, TCP: tcpPair })) {
    it.live(
      `passes 100,000 messages over ${name}, in order and within bounds`,
      () =>
        Effect.scoped(Effect.gen(function*() {
          const limits = name === "TCP" ? {} : { highWaterMark: 4096, readBufferSize: 4096 }
          const { peer, transport } = yield* opened(
            name === "TCP" ? pair(limits) : MemoryTransport.pair({ ...limits, capacity: 4096 })
          )
          const [left, right] = [yield* Framed.duplex(peer, codec), yield* Framed.duplex(transport, codec)]
          const count = 100_000
          let next = 0
          const sending = Effect.iterate(0, {
            while: (at) => at < count,
            body: (at) => Effect.as(left.sendAll(Array.from({ length: 10 }, (_, index) => `${at + index}`)), at + 10)
          })
          yield* Effect.fork(Effect.zipRight(sending, peer.closeWrite))
          let highest = 0
          const loop: Effect.Effect<void, unknown> = Effect.flatMap(right.receive, (message) => {
            if (message === null) return Effect.void
            if (message !== `${next}`) return Effect.fail(`${message} in the place of ${next}`)
            next++
            highest = Math.max(highest, peer.stats().buffered + transport.stats().unread)
            return loop
          })
          yield* loop
          assert.strictEqual(next, count)
          assert.isAtMost(highest, 4 * 65536)
        })),
      60_000
    )

    it.live(`receive, interrupted at every step over ${name}, loses no message`, () =>
      Effect.gen(function*() {
        const all = ["a", "bc", "", "def", "ghij"]
        const { points } = yield* sweep({
          setup: Effect.gen(function*() {
            const { peer, transport } = yield* opened(pair({ lingerTimeout: 0, readBufferSize: 4, highWaterMark: 4 }))
            yield* Effect.fork(Effect.zipRight(Effect.forEach(cut(wire(...all), [9]), peer.write), peer.closeWrite))
            return { framed: yield* Framed.duplex(transport, codec), noted: [] as Array<string> }
          }),
          scenario: ({ framed, noted }) => receiveAll(framed, noted),
          check: ({ framed, noted }) =>
            Effect.map(receiveAll(framed), (rest) => assert.deepStrictEqual([...noted, ...rest], all))
        })
        assert.isAbove(points, 0)
      }), 60_000)
  }
})

describe("handOver", () => {
  it.effect.prop(
    "gives back what comes behind the last message that was delivered, to the byte, wherever that is and however it was cut",
    [words, cuts, FastCheck.nat(12), FastCheck.uint8Array({ maxLength: 9 })],
    ([frames, lengths, delivered, rest]) =>
      Effect.scoped(Effect.gen(function*() {
        const count = Math.min(delivered, frames.length)
        const transport = yield* given(...cut(joined([wire(...frames), ascii("/"), rest]), lengths))
        const framed = yield* Framed.duplex(transport, codec)
        const received: Array<unknown> = []
        for (let index = 0; index < count; index++) received.push(yield* framed.receive)
        assert.deepStrictEqual(received, frames.slice(0, count))
        const raw = yield* framed.handOver
        const expected = joined([wire(...frames.slice(count)), ascii("/"), rest])
        assert.deepStrictEqual([...yield* readAll(raw)], [...expected])
      }))
  )

  it.scoped("after Stream.takeUntil, what follows is in the transport", () =>
    Effect.gen(function*() {
      const transport = yield* given(joined([wire("EHLO", "STARTTLS", "not"), ascii("raw")]))
      const framed = yield* Framed.duplex(transport, codec)
      const commands = yield* Stream.runCollect(Stream.takeUntil(framed.messages, (command) => command === "STARTTLS"))
      assert.deepStrictEqual([...commands], ["EHLO", "STARTTLS"])
      assert.strictEqual(text(yield* readAll(yield* framed.handOver)), "3:not,raw")
    }))

  it.scoped("after a failure, gives the bytes from the bad frame on", () =>
    Effect.gen(function*() {
      const transport = yield* given(joined([wire("one"), ascii("3:b")]), ascii("ad;rest"), ascii(" of it"))
      const framed = yield* Framed.duplex(transport, codec)
      yield* framed.receive
      assert.strictEqual(tag(yield* Effect.exit(framed.receive)), "InvalidFrame")
      assert.strictEqual(text(yield* readAll(yield* framed.handOver)), "3:bad;rest of it")
    }))

  it.scoped("after the end within a frame, gives its bytes", () =>
    Effect.gen(function*() {
      const framed = yield* Framed.duplex(yield* given(joined([wire("one"), ascii("3:b")])), codec)
      yield* framed.receive
      assert.strictEqual(tag(yield* Effect.exit(framed.receive)), "FrameTruncated")
      assert.strictEqual(text(yield* readAll(yield* framed.handOver)), "3:b")
    }))

  it.scoped("gives what only the end has completed as long as nothing of it was delivered", () =>
    Effect.gen(function*() {
      const open = Codec.make(endless, { encode: () => Either.right(new Uint8Array(0)) })
      const before = yield* Framed.duplex(yield* given(ascii("ab")), open)
      assert.strictEqual(text(yield* readAll(yield* before.handOver)), "abab")
      const after = yield* Framed.duplex(yield* given(ascii("ab")), open)
      assert.strictEqual(yield* after.receive, "a")
      assert.strictEqual(text(yield* readAll(yield* after.handOver)), "")
    }))

  it.scoped("can be asked for again; everything else dies from then on, saying why", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      yield* peer.write(wire("one"))
      assert.strictEqual(yield* framed.handOver, transport)
      assert.strictEqual(yield* framed.handOver, transport)
      for (const use of [framed.receive, framed.send("a"), framed.sendAll(["a"]), framed.request("a")]) {
        assert.include(defect(yield* Effect.exit<string | null | void, unknown, never>(use)), "handed over")
      }
      assert.include(defect(yield* Effect.exit(Stream.runDrain(framed.messages))), "handed over")
      assert.strictEqual(text((yield* transport.pull)!), "3:one,")
    }))

  it.scoped("dies while somebody waits, and changes nothing", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      const receiving = yield* Effect.fork(framed.receive)
      yield* settle
      assert.include(defect(yield* Effect.exit(framed.handOver)), "when nobody does")
      yield* peer.write(wire("one"))
      assert.strictEqual(yield* receiving, "one")
      const asking = yield* Effect.fork(framed.request("two"))
      yield* settle
      assert.include(defect(yield* Effect.exit(framed.handOver)), "when nobody does")
      yield* peer.write(wire("answer"))
      assert.strictEqual(yield* asking, "answer")
      assert.strictEqual(yield* framed.handOver, transport)
    }))

  it.scoped("dies while somebody waits to send, and changes nothing", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened(
        MemoryTransport.pair({ capacity: 0, readBufferSize: 0, highWaterMark: 4, lowWaterMark: 0 })
      )
      const framed = yield* Framed.duplex(transport, codec)
      yield* framed.send("one")
      const sending = yield* Effect.fork(framed.send("two"))
      yield* settle
      assert.include(defect(yield* Effect.exit(framed.handOver)), "when nobody does")
      const reading = yield* Effect.fork(readAll(peer))
      yield* Fiber.join(sending)
      yield* (yield* framed.handOver).closeWrite
      assert.strictEqual(text(yield* reading), "3:one,3:two,")
    }))

  it.scoped("dies when the turn of who waits behind a question has just come, and changes nothing", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened(
        MemoryTransport.pair({ capacity: 0, readBufferSize: 0, highWaterMark: 4, lowWaterMark: 0 })
      )
      const framed = yield* Framed.duplex(transport, codec)
      yield* framed.send("one")
      const asking = yield* Effect.fork(framed.request("question"))
      const sending = yield* Effect.fork(framed.send("two"))
      yield* settle
      const handingOver = yield* Effect.async<Exit.Exit<unknown>>((resume) => {
        asking.addObserver(() => resume(Effect.succeed(Effect.runSyncExit(framed.handOver))))
        asking.unsafeInterruptAsFork(FiberId.none)
      })
      assert.include(defect(handingOver), "when nobody does")
      const reading = yield* Effect.fork(readAll(peer))
      yield* Fiber.join(sending)
      yield* (yield* framed.handOver).closeWrite
      assert.strictEqual(text(yield* reading), "3:one,3:two,")
    }))

  it.scoped("dies while a receive takes its breath, and changes nothing", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      for (let count = 0; count < 64; count++) {
        yield* peer.write(wire("one"))
        yield* framed.receive
      }
      const receiving = yield* Effect.fork(framed.receive)
      yield* Effect.yieldNow()
      assert.include(defect(yield* Effect.exit(framed.handOver)), "when nobody does")
      yield* peer.write(wire("two"))
      assert.strictEqual(yield* receiving, "two")
    }))

  it.scoped("gives the answers that nobody waits for as bytes", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      const asking = yield* Effect.fork(framed.request("a"))
      yield* settle
      yield* Fiber.interrupt(asking)
      yield* framed.handOver
      yield* peer.write(wire("late"))
      assert.strictEqual(text((yield* transport.pull)!), "4:late,")
    }))

  it.live("interrupted at every step, it has happened wholly or not at all", () =>
    Effect.gen(function*() {
      const { points } = yield* sweep({
        setup: Effect.gen(function*() {
          const framed = yield* Framed.duplex(yield* given(wire("one", "two"), wire("three")), codec)
          yield* framed.receive
          return framed
        }),
        scenario: (framed) => framed.handOver,
        check: (framed) =>
          Effect.gen(function*() {
            assert.strictEqual(text(yield* readAll(yield* framed.handOver)), text(wire("two", "three")))
          })
      })
      assert.isAbove(points, 0)
    }), 60_000)
})

/** Nothing is a frame before the end, which completes two. */
const endless: Codec.Decoder<string> = {
  step: () => ({ frames: [], next: endless, unread: new Uint8Array(0), failure: undefined }),
  end: () => ({ frames: ["a", "b"], failure: undefined }),
  rest: () => ascii("ab")
}

describe("request", () => {
  /** Answers each question by itself in brackets, `by` of them at a time, and nothing to news. */
  const answering = (transport: Transport.Transport, by = 1) =>
    Effect.gen(function*() {
      const framed = yield* Framed.duplex(transport, codec)
      const questions: Array<string> = []
      const loop: Effect.Effect<void, unknown> = Effect.flatMap(framed.receive, (question) => {
        if (question === null) return transport.closeWrite
        if (question === "news") return loop
        questions.push(question)
        if (questions.length % by !== 0) return loop
        return Effect.zipRight(framed.sendAll(questions.slice(-by).map((question) => `(${question})`)), loop)
      })
      yield* Effect.forkScoped(Effect.ignore(loop))
      return questions
    })

  it.scoped("gives each question its answer, one after the other", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      yield* answering(peer)
      const framed = yield* Framed.duplex(transport, codec)
      assert.strictEqual(yield* framed.request("a"), "(a)")
      assert.strictEqual(yield* framed.request("b"), "(b)")
    }))

  it.scoped("many ask at once, without waiting for each other: none is answered before all have asked", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const questions = yield* answering(peer, 100)
      const framed = yield* Framed.duplex(transport, codec)
      const all = Array.from({ length: 100 }, (_, index) => `${index}`)
      const answers = yield* Effect.forEach(all, framed.request, { concurrency: "unbounded" })
      assert.deepStrictEqual(questions, all)
      assert.deepStrictEqual(answers, all.map((question) => `(${question})`))
    }))

  it.scoped("who asks behind others who have yet to write needs no further fiber", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened(MemoryTransport.pair({ capacity: 0, highWaterMark: 1 }))
      const framed = yield* Framed.duplex(transport, codec)
      const counted = yield* Supervisor.track
      const all = Array.from({ length: 100 }, (_, index) => `${index}`)
      const asking = yield* Effect.fork(
        Effect.supervised(Effect.forEach(all, framed.request, { concurrency: "unbounded" }), counted)
      )
      yield* settle
      // Those who ask, and the two races of the one whose turn it is.
      assert.isAtMost((yield* counted.value).length, all.length + 5)
      yield* answering(peer)
      assert.deepStrictEqual(yield* asking, all.map((question) => `(${question})`))
    }))

  it.scoped("an answer that comes in many pieces is one", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened(
        MemoryTransport.pair({ capacity: 1, readBufferSize: 1, highWaterMark: 1, maxChunkSize: 1 })
      )
      yield* answering(peer)
      const framed = yield* Framed.duplex(transport, codec)
      const answers = yield* Effect.forEach(["a", "b", "c"], framed.request, { concurrency: "unbounded" })
      assert.deepStrictEqual(answers, ["(a)", "(b)", "(c)"])
    }))

  it.scoped("drops the answers of those who were interrupted, wherever they stood", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      const asking = yield* Effect.forEach(
        ["a", "b", "c", "d", "e"],
        (question) => Effect.fork(framed.request(question))
      )
      yield* settle
      // The first one reads: the next one has to take that over.
      for (const index of [1, 0, 3]) yield* Fiber.interrupt(asking[index]!)
      yield* peer.write(wire("(a)", "(b)", "(c)", "(d)"))
      assert.strictEqual(yield* asking[2]!, "(c)")
      assert.isTrue(yield* isPending(asking[4]!))
      yield* peer.write(wire("(e)"))
      assert.strictEqual(yield* asking[4]!, "(e)")
    }))

  it.scoped("a receive after interrupted questions gives what comes behind their answers", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      const asking = yield* Effect.forEach(["a", "b"], (question) => Effect.fork(framed.request(question)))
      yield* settle
      yield* Fiber.interruptAll(asking)
      yield* peer.writeAll([wire("(a)"), wire("(b)", "news")])
      assert.strictEqual(yield* framed.receive, "news")
    }))

  it.scoped("a receive while somebody asks dies", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      const asking = yield* Effect.fork(framed.request("a"))
      yield* settle
      assert.include(defect(yield* Effect.exit(framed.receive)), "answers to questions that wait")
      yield* peer.write(wire("(a)"))
      assert.strictEqual(yield* asking, "(a)")
    }))

  for (
    const [name, end, expected] of [
      ["the connection is lost", (peer: Transport.Transport) => peer.abort, "ConnectionReset"],
      ["a frame is bad", (peer: Transport.Transport) => peer.write(ascii("x")), "InvalidFrame"],
      ["the input ends", (peer: Transport.Transport) => peer.closeWrite, "Unanswered"],
      [
        "the input ends within an answer",
        (peer: Transport.Transport) => Effect.zipRight(peer.write(ascii("9:")), peer.closeWrite),
        "FrameTruncated"
      ]
    ] as const
  ) {
    it.scoped(`all who wait fail when ${name}, but for those whose answer came before`, () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* opened()
        const framed = yield* Framed.duplex(transport, codec)
        const asking = yield* Effect.forEach(["a", "b", "c"], (question) =>
          Effect.fork(Effect.exit(framed.request(question))))
        yield* settle
        yield* peer.write(wire("(a)"))
        yield* settle
        yield* end(peer)
        const exits = yield* Effect.forEach(asking, Fiber.join)
        assert.deepStrictEqual(exits[0], Exit.succeed("(a)"))
        assert.deepStrictEqual(exits.slice(1).map(tag), [expected, expected])
      }))
  }

  it.scoped("Unanswered tells whose input has ended; what comes later fails the same way, and can still be sent", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      yield* peer.closeWrite
      const framed = yield* Framed.duplex(transport, codec)
      const error = yield* Effect.flip(framed.request("a"))
      assert.strictEqual(
        error.message,
        "The peer at left ended its side of the connection from right before it had answered."
      )
      yield* framed.send("b")
      yield* transport.closeWrite
      assert.strictEqual(text(yield* readAll(peer)), "1:a,1:b,")
    }))

  it.scoped("fails with WriteAfterEnd when this side has ended", () =>
    Effect.gen(function*() {
      const { transport } = yield* opened()
      const framed = yield* Framed.duplex(transport, codec)
      yield* transport.closeWrite
      assert.strictEqual(tag(yield* Effect.exit(framed.request("a"))), "WriteAfterEnd")
    }))

  it.scoped("waits while the write buffer is full, in its order with what is sent; interrupted then, nothing is sent", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened(
        MemoryTransport.pair({ capacity: 0, readBufferSize: 0, highWaterMark: 4, lowWaterMark: 0 })
      )
      const framed = yield* Framed.duplex(transport, codec)
      const acts: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
      for (
        const act of [
          framed.send("1"),
          framed.send("2"),
          framed.request("3"),
          framed.send("4"),
          framed.request("5"),
          framed.request("6"),
          framed.send("7")
        ]
      ) {
        acts.push(yield* Effect.fork<unknown, unknown, never>(act))
        yield* settle
      }
      assert.deepStrictEqual(yield* Effect.forEach(acts, isPending), [false, true, true, true, true, true, true])
      yield* Fiber.interrupt(acts[4]!)
      yield* Fiber.interrupt(acts[3]!)
      const reading = yield* Framed.duplex(peer, codec)
      const messages: Array<string | null> = []
      for (let count = 0; count < 5; count++) messages.push(yield* reading.receive)
      assert.deepStrictEqual(messages, ["1", "2", "3", "6", "7"])
      yield* reading.sendAll(["(3)", "(6)"])
      assert.deepStrictEqual(yield* Effect.forEach([2, 5], (index) => acts[index]!), ["(3)", "(6)"])
    }))

  it.scoped("a sender that is never done does not keep a question from being asked", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened(
        MemoryTransport.pair({ capacity: 16, readBufferSize: 16, highWaterMark: 16 })
      )
      const framed = yield* Framed.duplex(transport, codec)
      const sending = yield* Effect.fork(Effect.forever(framed.send("news")))
      yield* settle
      const asking = yield* Effect.fork(framed.request("question"))
      const reading = yield* Framed.duplex(peer, codec)
      for (let read = 0; read < 100; read++) {
        if ((yield* reading.receive) === "question") break
        assert.isBelow(read, 99)
      }
      yield* Effect.fork(Effect.forever(reading.receive))
      yield* reading.send("answer")
      assert.strictEqual(yield* asking, "answer")
      yield* Fiber.interrupt(sending)
    }))

  /** A byte at a time, and hardly one in the buffers: whoever is not read from writes nothing. */
  const tight = () =>
    opened(MemoryTransport.pair({ capacity: 1, readBufferSize: 1, highWaterMark: 1, maxChunkSize: 1 }))

  it.scoped("while it waits for room, also behind a send, it drops the answers that nobody waits for", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* tight()
      const framed = yield* Framed.duplex(transport, codec)
      const server = yield* Framed.duplex(peer, codec)
      const interrupted = yield* Effect.forEach(["a", "b"], (question) => Effect.fork(framed.request(question)))
      assert.deepStrictEqual([yield* server.receive, yield* server.receive], ["a", "b"])
      yield* Fiber.interruptAll(interrupted)
      // The peer cannot get rid of its answers, and reads no further before.
      const answers = Effect.zipRight(server.send("(a)"), server.send("(b)"))
      yield* Effect.forkScoped(Effect.zipRight(answers, Effect.flatMap(server.handOver, (peer) => answering(peer))))
      const sending = yield* Effect.fork(Effect.all(Array.from({ length: 9 }, () => framed.send("news"))))
      yield* settle
      assert.isTrue(yield* isPending(sending))
      const asking = yield* Effect.forEach(["c", "d"], (question) => Effect.fork(framed.request(question)))
      assert.deepStrictEqual(yield* Effect.forEach(asking, Fiber.join), ["(c)", "(d)"])
    }))

  it.scoped("while it waits for room, it does not wait for the answers that nobody waits for", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* tight()
      const framed = yield* Framed.duplex(transport, codec)
      const interrupted = yield* Effect.fork(framed.request("a"))
      yield* settle
      yield* Fiber.interrupt(interrupted)
      const asking = yield* Effect.fork(framed.request("b"))
      yield* settle
      // It answers "a" when it has "b".
      yield* answering(peer, 2)
      assert.strictEqual(yield* asking, "(b)")
    }))

  it.scoped("while a write waits for room it can be interrupted, also when the buffer is no longer full", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened(
        MemoryTransport.pair({ capacity: 0, readBufferSize: 0, highWaterMark: 8, lowWaterMark: 0, maxChunkSize: 4 })
      )
      const framed = yield* Framed.duplex(transport, codec)
      yield* framed.send("sent")
      yield* framed.send("sent")
      const sending = yield* Effect.fork(framed.send("waits"))
      yield* settle
      for (let pulls = 0; pulls < 2; pulls++) yield* peer.pull
      const asking = yield* Effect.fork(framed.request("question"))
      yield* settle
      assert.deepInclude(transport.stats(), { buffered: 7, writersWaiting: 1 })
      yield* Fiber.interrupt(asking)
      const rest = yield* Effect.fork(readAll(peer))
      yield* Fiber.join(sending)
      yield* transport.closeWrite
      assert.strictEqual(text(yield* rest), "4:sent,5:waits,")
    }))

  it.scoped("one that waits for room fails when the answers do", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* tight()
      const framed = yield* Framed.duplex(transport, codec)
      const asking = yield* Effect.forEach(["a", "b"], (question) => Effect.fork(Effect.exit(framed.request(question))))
      yield* settle
      yield* Effect.fork(peer.write(ascii("x")))
      assert.deepStrictEqual((yield* Effect.forEach(asking, Fiber.join)).map(tag), ["InvalidFrame", "InvalidFrame"])
      const late = yield* Effect.exit(framed.request("c"))
      assert.strictEqual(tag(late), "InvalidFrame")
    }))

  it.scoped("where the input has ended, it fails at once, and does not wait for room", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* tight()
      const framed = yield* Framed.duplex(transport, codec)
      yield* peer.closeWrite
      assert.isNull(yield* framed.receive)
      yield* framed.send("news")
      assert.strictEqual(tag(yield* Effect.exit(framed.request("a"))), "Unanswered")
    }))

  it.scoped("one that waits for room fails when this side ends", () =>
    Effect.gen(function*() {
      const { transport } = yield* tight()
      const framed = yield* Framed.duplex(transport, codec)
      yield* framed.send("news")
      const asking = yield* Effect.fork(Effect.exit(framed.request("a")))
      yield* settle
      yield* Effect.fork(transport.closeWrite)
      assert.strictEqual(tag(yield* asking), "WriteAfterEnd")
    }))

  it.scoped("works over a transport whose writes are replaced", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* opened()
      yield* answering(peer)
      const slow = NetworkLayer.derive(transport, {
        writeAll: (chunks) => Effect.zipRight(Effect.yieldNow(), transport.writeAll(chunks))
      })
      const framed = yield* Framed.duplex(slow, codec)
      const answers = yield* Effect.forEach(["a", "b", "c"], framed.request, { concurrency: "unbounded" })
      assert.deepStrictEqual(answers, ["(a)", "(b)", "(c)"])
    }))

  it.effect.prop(
    "whoever is interrupted whenever, everybody else has the answer to the own question",
    [
      FastCheck.array(
        FastCheck.record({ interruptAfter: FastCheck.option(FastCheck.nat(6)), wait: FastCheck.nat(2) }),
        {
          minLength: 1,
          maxLength: 12
        }
      ),
      FastCheck.integer({ min: 1, max: 4 })
    ],
    ([askers, size]) =>
      Effect.scoped(Effect.gen(function*() {
        const { peer, transport } = yield* opened(
          MemoryTransport.pair({ capacity: size, readBufferSize: size, highWaterMark: size, maxChunkSize: size })
        )
        const questions = yield* answering(peer)
        const framed = yield* Framed.duplex(transport, codec)
        const answers = yield* Effect.forEach(askers, ({ interruptAfter, wait }, index) =>
          Effect.gen(function*() {
            yield* Effect.repeatN(Effect.yieldNow(), wait)
            const fiber = yield* Effect.fork(framed.request(`${index}`))
            if (interruptAfter === null) return yield* Fiber.await(fiber)
            yield* Effect.repeatN(Effect.yieldNow(), interruptAfter)
            return yield* Fiber.interrupt(fiber)
          }), { concurrency: "unbounded" })
        for (const [index, { interruptAfter }] of askers.entries()) {
          const exit = answers[index]!
          if (interruptAfter === null || Exit.isSuccess(exit)) assert.deepStrictEqual(exit, Exit.succeed(`(${index})`))
        }
        assert.strictEqual(yield* framed.request("last"), "(last)")
        assert.strictEqual(new Set(questions).size, questions.length)
      })),
    { fastCheck: { numRuns: 300 } }
  )

  for (const [name, pair] of Object.entries({ memory: memoryPair, TCP: tcpPair })) {
    const limits = { lingerTimeout: 0, readBufferSize: 4, highWaterMark: 4 }
    const setup = Effect.gen(function*() {
      const { peer, transport } = yield* opened(pair(limits))
      const questions = yield* answering(peer)
      const framed = yield* Framed.duplex(transport, codec)
      // One who asked before, and one who asks meanwhile.
      const other = yield* Effect.forkScoped(framed.request("other"))
      return { framed, questions, other, noted: [] as Array<string> }
    })
    const check = ({ framed, noted, other, questions }: Effect.Effect.Success<typeof setup>) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* other, "(other)")
        assert.strictEqual(yield* framed.request("after"), "(after)")
        assert.deepStrictEqual(noted, noted.map((_, index) => `(${index})`))
        // Asked once or not at all, and never torn.
        assert.deepStrictEqual(
          questions.filter((question) => /\d/.test(question)).toSorted(),
          [
            ...new Set(questions.filter((question) => /\d/.test(question)))
          ].toSorted()
        )
        assert.isAtLeast(questions.length, noted.length + 2)
      })

    it.live(`interrupted at every step over ${name}, it takes nobody else's answer`, () =>
      Effect.gen(function*() {
        const { points } = yield* sweep({
          setup,
          scenario: ({ framed, noted }) =>
            Effect.forEach(["0", "1", "2"], (index) => note(framed.request(index), noted)),
          check
        })
        assert.isAbove(points, 0)
      }), 60_000)

    it.live(
      `interrupted at every step over ${name}, those who ask together take nobody else's answer`,
      () =>
        Effect.gen(function*() {
          const { points } = yield* sweep({
            setup,
            // Not `concurrency`: interrupted before its fibers have started, it waits for them for ever.
            scenario: ({ framed, noted }) =>
              Effect.flatMap(
                Effect.forEach(["0", "1", "2"], (question) => Effect.fork(framed.request(question))),
                (asking) => Effect.forEach(asking, (fiber) => note(Fiber.join(fiber), noted))
              ),
            check
          })
          assert.isAbove(points, 0)
        }),
      60_000
    )
  }
})
