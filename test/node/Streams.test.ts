import * as NodeSink from "@effect/platform-node/NodeSink"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Duplex, PassThrough, Readable, Writable } from "node:stream"
import * as Streams from "../../src/node/Streams.ts"
import { pausedAt } from "../support/paused.ts"
import * as Peer from "../support/peer.ts"

class Failed {
  readonly cause: unknown
  constructor(cause: unknown) {
    this.cause = cause
  }
}

const onError = (cause: unknown) => new Failed(cause)

const codeOf = (failed: Failed) => (failed.cause as { readonly code?: unknown }).code

/** Takes a byte, and no more. */
const stuck = () => {
  const written: Array<Uint8Array> = []
  const writable = new Writable({ highWaterMark: 1, write: (chunk: Uint8Array) => void written.push(chunk) })
  return { writable, written }
}

const singles = Stream.rechunk(Stream.map(Stream.range(1, 1000), (n) => new Uint8Array([n])), 1)

const isWaiting = (fiber: Fiber.RuntimeFiber<unknown, unknown>) =>
  Effect.zipRight(Peer.turns(20), Effect.map(Fiber.poll(fiber), Option.isNone))

describe("a Stream of a Readable", () => {
  it.live("has all that it reads, in order, and ends with it", () =>
    Effect.gen(function*() {
      const readable = Readable.from([Buffer.from("one "), Buffer.from("two "), Buffer.from("three")])
      const chunks = yield* Stream.runCollect(Streams.fromReadable(() => readable, onError))
      assert.strictEqual(Buffer.concat(Chunk.toReadonlyArray(chunks)).toString(), "one two three")
      assert.isTrue(readable.destroyed)
      assert.strictEqual(readable.listenerCount("readable"), 0)
    }))

  it.live("takes objects as well, and so many bytes at a time as it is told", () =>
    Effect.gen(function*() {
      const objects = Streams.fromReadable<never, number>(() => Readable.from([1, 2, 3]), (cause) => {
        throw cause
      })
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(objects)), [1, 2, 3])
      const source = new PassThrough()
      source.end(Buffer.alloc(10))
      const pieces = yield* Stream.runCollect(Streams.fromReadable(() => source, onError, { chunkSize: 4 }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(Chunk.map(pieces, ({ length }) => length)), [4, 4, 2])
    }))

  it("refuses to read no bytes at a time, which would never end", () => {
    for (const chunkSize of [0, -1, 1.5, NaN]) {
      assert.throws(
        () => Streams.fromReadable(() => new PassThrough(), onError, { chunkSize }),
        RangeError,
        "chunkSize"
      )
    }
  })

  it.live("reads no further than it is asked", () =>
    Effect.gen(function*() {
      let read = 0
      const readable = new Readable({
        highWaterMark: 1,
        read() {
          read++
          this.push("x")
        }
      })
      yield* Stream.runDrain(Stream.take(Streams.fromReadable(() => readable, onError), 3))
      yield* Peer.turns(5)
      assert.isAtMost(read, 5)
      assert.isTrue(readable.destroyed)
    }))

  it.live("leaves the Readable open if it is told to", () =>
    Effect.gen(function*() {
      const readable = new PassThrough()
      readable.write("one")
      const stream = Streams.fromReadable(() => readable, onError, { closeOnDone: false })
      yield* Stream.runDrain(Stream.take(stream, 1))
      readable.end("two")
      const rest = yield* Stream.runCollect(stream)
      assert.strictEqual(String(Chunk.unsafeHead(rest)), "two")
    }))

  it.live("fails when the Readable is destroyed, where NodeStream hangs", () =>
    Effect.gen(function*() {
      for (const [fromReadable, hangs] of [[Streams.fromReadable, false], [NodeStream.fromReadable, true]] as const) {
        const readable = new PassThrough()
        const reading = yield* Effect.fork(Effect.flip(Stream.runDrain(fromReadable(() => readable, onError))))
        yield* Peer.turns(2)
        readable.destroy()
        assert.strictEqual(yield* isWaiting(reading), hangs)
        if (!hangs) assert.strictEqual(codeOf(yield* Fiber.join(reading)), "ERR_STREAM_PREMATURE_CLOSE")
        yield* Fiber.interrupt(reading)
      }
    }))

  it.live("fails if the Readable was destroyed before, where NodeStream ends", () =>
    Effect.gen(function*() {
      const readable = new PassThrough()
      const error = new Error("lost")
      readable.on("error", () => {}).destroy(error)
      yield* Peer.turns(2)
      const failed = yield* Effect.flip(Stream.runDrain(Streams.fromReadable(() => readable, onError)))
      assert.strictEqual(failed.cause, error)
      yield* Stream.runDrain(NodeStream.fromReadable(() => readable, onError))
    }))
})

it.live("nothing is missed that comes between two steps of a Stream or a Sink", () =>
  Effect.gen(function*() {
    /** Until it has come to its end, or waits, before it has had so many steps. */
    const missesNothing = <A, E>(make: () => { readonly effect: Effect.Effect<A, E>; readonly come: () => void }) =>
      Effect.gen(function*() {
        for (let step = 0, paused = true; paused; step++) {
          const { come, effect } = make()
          const running = pausedAt(Effect.exit(effect), step)
          yield* Peer.turns(3)
          paused = running.paused()
          come()
          for (let turn = 0; turn < 3; turn++) {
            yield* Peer.turns(3)
            running.goOn()
          }
          yield* Peer.turns(3)
          assert.isNotNull(running.fiber.unsafePoll(), `waits for ever when it yields before step ${step}`)
        }
      })
    yield* missesNothing(() => {
      const readable = new Readable({ read: () => {} })
      const effect = Stream.runHead(Streams.fromReadable(() => readable, onError))
      return { effect, come: () => readable.push("x") }
    })
    yield* missesNothing(() => {
      let waiting: (() => void) | undefined
      let goesOn = false
      const writable = new Writable({
        highWaterMark: 1,
        write: (_chunk, _encoding, done) => goesOn ? done() : void (waiting = done)
      })
      const effect = Stream.run(Stream.take(singles, 2), Streams.fromWritable(() => writable, onError))
      const come = () => {
        goesOn = true
        waiting?.()
      }
      return { effect, come }
    })
  }))

describe("a Sink of a Writable", () => {
  it.live("writes all, ends the Writable, and is done when that has finished", () =>
    Effect.gen(function*() {
      const through = new PassThrough({ highWaterMark: 3 })
      const read = yield* Effect.fork(Stream.runCollect(Streams.fromReadable(() => through, onError)))
      const chunks = Stream.make("one ", "two ", "three")
      yield* Stream.run(chunks, Streams.fromWritable(() => through, onError))
      assert.isTrue(through.writableFinished)
      assert.strictEqual(Buffer.concat(Chunk.toReadonlyArray(yield* Fiber.join(read))).toString(), "one two three")
      assert.strictEqual(through.listenerCount("drain"), 0)
    }))

  it.live("waits when the Writable wants no more, where NodeSink does not", () =>
    Effect.gen(function*() {
      for (const [fromWritable, waits] of [[Streams.fromWritable, true], [NodeSink.fromWritable, false]] as const) {
        const { writable } = stuck()
        const writing = yield* Effect.fork(Stream.run(singles, fromWritable(() => writable, onError)))
        yield* Peer.turns(100)
        assert.strictEqual(writable.writableLength < 10, waits)
        yield* Effect.forkDaemon(Fiber.interrupt(writing))
      }
    }))

  it.live("fails when the Writable is destroyed while it waits, where NodeSink hangs", () =>
    Effect.gen(function*() {
      const chunk = Stream.fromChunk(Chunk.make(new Uint8Array(1), new Uint8Array(1), new Uint8Array(1)))
      for (const [fromWritable, hangs] of [[Streams.fromWritable, false], [NodeSink.fromWritable, true]] as const) {
        const { writable } = stuck()
        const writing = yield* Effect.fork(Effect.flip(Stream.run(chunk, fromWritable(() => writable, onError))))
        yield* Peer.turns(2)
        writable.destroy()
        assert.strictEqual(yield* isWaiting(writing), hangs)
        if (!hangs) assert.strictEqual(codeOf(yield* Fiber.join(writing)), "ERR_STREAM_PREMATURE_CLOSE")
        yield* Effect.forkDaemon(Fiber.interrupt(writing))
      }
    }))

  it.live("fails when the Writable is destroyed within a write, within its end, or before", () =>
    Effect.gen(function*() {
      const destroyed = new Writable()
      destroyed.destroy()
      const writables = [
        new Writable({
          highWaterMark: 1,
          write(_chunk, _encoding, done) {
            this.destroy()
            done()
          }
        }),
        new Writable({
          write: (_chunk, _encoding, done) => done(),
          final() {
            this.destroy()
          }
        }),
        destroyed
      ]
      for (const writable of writables) {
        const sink = Streams.fromWritable(() => writable, onError)
        const chunks = writable === destroyed ? Stream.empty : Stream.make(Buffer.from("one"), Buffer.from("two"))
        assert.strictEqual(codeOf(yield* Effect.flip(Stream.run(chunks, sink))), "ERR_STREAM_PREMATURE_CLOSE")
      }
    }))

  it.live("fails with the Writable's error, of a write and of the end", () =>
    Effect.gen(function*() {
      const error = new Error("no space")
      const writing = new Writable({ write: (_chunk, _encoding, done) => done(error) })
      const ending = new Writable({ write: (_chunk, _encoding, done) => done(), final: (done) => done(error) })
      for (const writable of [writing, ending]) {
        const failed = yield* Effect.flip(Stream.run(singles, Streams.fromWritable(() => writable, onError)))
        assert.strictEqual(failed.cause, error)
      }
    }))

  it.live("fails when somebody else has ended the Writable", () =>
    Effect.gen(function*() {
      const written = new PassThrough()
      const sink = Streams.fromWritable(() => written.end("theirs"), onError)
      assert.instanceOf(yield* Effect.flip(Stream.run(Stream.make(Buffer.from("ours")), sink)), Failed)
    }))

  it.live("destroys the Writable when the Stream fails or is interrupted, and does not end it", () =>
    Effect.gen(function*() {
      const failing = new PassThrough()
      const sink = Streams.fromWritable(() => failing, onError)
      yield* Effect.flip(Stream.run(Stream.concat(Stream.make("x"), Stream.fail("no more")), sink))
      assert.isFalse(failing.writableEnded)
      assert.propertyVal(failing.errored, "code", "ECONNABORTED")
      const interrupted = new PassThrough()
      const forEver = Stream.concat(Stream.make("x"), Stream.never)
      const writing = yield* Effect.fork(Stream.run(forEver, Streams.fromWritable(() => interrupted, onError)))
      yield* Peer.turns(2)
      yield* Fiber.interrupt(writing)
      assert.isTrue(interrupted.destroyed && !interrupted.writableEnded)
    }))

  it.live("leaves the Writable open if it is told to, also half of a Duplex", () =>
    Effect.gen(function*() {
      const written: Array<string> = []
      const duplex = new Duplex({
        read() {},
        write: (chunk, _encoding, done) => {
          written.push(String(chunk))
          done()
        }
      })
      const sink = Streams.fromWritable(() => duplex, onError, { endOnDone: false, encoding: "latin1" })
      yield* Stream.run(Stream.make("\u00e9"), sink)
      yield* Effect.flip(Stream.run(Stream.fail("no"), sink))
      assert.isFalse(duplex.destroyed || duplex.writableEnded)
      assert.deepStrictEqual(written, [Buffer.from("\u00e9", "latin1").toString()])
      yield* Stream.run(Stream.make("last"), Streams.fromWritable(() => duplex, onError))
      assert.isTrue(duplex.writableFinished)
      duplex.destroy()
    }))
})
