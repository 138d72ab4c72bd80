import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Address from "../../src/Address.ts"
import { ConnectionReset } from "../../src/ConnectionError.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Streams from "../../src/web/Streams.ts"
import { ascii } from "../support/bytes.ts"
import { settle } from "../support/fibers.ts"
import * as Peer from "../support/peer.ts"

const pair = (options: MemoryTransport.PairOptions = {}) =>
  Effect.flatMap(
    MemoryTransport.pair(options),
    ([left, peer]) => Effect.map(Streams.to(left), (streams) => ({ ...streams, transport: left, peer }))
  )

const rejection = (promise: Promise<unknown>) =>
  Effect.flip(Effect.tryPromise({ try: () => promise, catch: (error) => error }))

describe("streams of a transport", () => {
  it.scopedLive("carry bytes both ways, and half-close", () =>
    Effect.gen(function*() {
      const { peer, readable, transport, writable } = yield* pair()
      const writer = writable.getWriter()
      void writer.write(ascii("one "))
      void writer.write(ascii("two"))
      void writer.close()
      assert.strictEqual((yield* Peer.readAll(peer)).toString(), "one two")
      yield* peer.write(ascii("answer"))
      yield* peer.closeWrite
      const answer = yield* Effect.promise(() => new Response(readable).text())
      assert.strictEqual(answer, "answer")
      assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
    }))

  it.scopedLive("take nothing before somebody reads, and then a chunk for each read", () =>
    Effect.gen(function*() {
      const { peer, readable, transport } = yield* pair({ readBufferSize: 0, maxChunkSize: 10 })
      yield* peer.write(new Uint8Array(100))
      yield* Peer.turns(5)
      assert.strictEqual(transport.stats().bytesRead, 0)
      const reader = readable.getReader()
      for (const read of [10, 20]) {
        yield* Effect.promise(() => reader.read())
        yield* Peer.turns(5)
        assert.strictEqual(transport.stats().bytesRead, read)
      }
      yield* Effect.promise(() => reader.cancel())
      yield* transport.abort
    }))

  it.scopedLive("let a writer wait until the carrier has what was written", () =>
    Effect.gen(function*() {
      const { peer, transport, writable } = yield* pair({ capacity: 10 })
      const writer = writable.getWriter()
      let written = 0
      void writer.write(new Uint8Array(10)).then(() => written++)
      void writer.write(new Uint8Array(10)).then(() => written++)
      yield* Peer.turns(5)
      assert.strictEqual(written, 1)
      assert.isAtMost(writer.desiredSize!, 0)
      yield* peer.pull
      yield* Effect.promise(() => writer.ready)
      assert.strictEqual(written, 2)
      yield* transport.abort
    }))

  it.scopedLive("fail with the transport's own error, after the bytes that came before", () =>
    Effect.gen(function*() {
      const { peer, readable, writable } = yield* pair()
      const [reader, writer] = [readable.getReader(), writable.getWriter()]
      const first = reader.read()
      yield* peer.write(ascii("one"))
      assert.strictEqual(new TextDecoder().decode((yield* Effect.promise(() => first)).value), "one")
      yield* peer.write(ascii("two"))
      yield* Peer.turns(2)
      yield* peer.abort
      const lost = yield* rejection(writer.closed)
      assert.instanceOf(lost, ConnectionReset)
      assert.strictEqual(new TextDecoder().decode((yield* Effect.promise(() => reader.read())).value), "two")
      assert.strictEqual(yield* rejection(reader.read()), lost)
      assert.strictEqual(yield* rejection(writer.write(ascii("x"))), lost)
    }))

  it.scopedLive("fail the writable one when the transport is closed after the peer's end", () =>
    Effect.gen(function*() {
      const { peer, readable, transport, writable } = yield* pair({ lingerTimeout: 0 })
      yield* peer.closeWrite
      assert.isTrue((yield* Effect.promise(() => readable.getReader().read())).done)
      const writer = writable.getWriter()
      const failure = yield* Effect.fork(rejection(writer.closed))
      yield* transport.close
      assert.propertyVal(yield* Fiber.join(failure), "_tag", "WriteAfterEnd")
    }))

  it.scopedLive("abort the transport when the writable one is aborted, or is given what is no bytes", () =>
    Effect.gen(function*() {
      const [aborted, wrong] = [yield* pair(), yield* pair()]
      yield* Effect.promise(() => aborted.writable.abort("enough"))
      const writing = wrong.writable.getWriter().write("text" as unknown as Uint8Array)
      assert.instanceOf(yield* rejection(writing), TypeError)
      for (const { peer, transport } of [aborted, wrong]) {
        assert.instanceOf(yield* Effect.flip(peer.pull), ConnectionReset)
        const reason = yield* transport.closed
        assert.isTrue(reason._tag === "Lost" && reason.error._tag === "ConnectionAborted")
      }
    }))

  it.scopedLive("abort the transport while a write waits for the peer", () =>
    Effect.gen(function*() {
      const { peer, transport, writable } = yield* pair({ capacity: 10 })
      const writer = writable.getWriter()
      const writing = yield* Effect.fork(rejection(writer.write(new Uint8Array(20))))
      yield* Peer.turns(5)
      yield* Effect.promise(() => writer.abort("enough"))
      yield* Fiber.join(writing)
      assert.instanceOf(yield* Effect.flip(Peer.readAll(peer)), ConnectionReset)
      const reason = yield* transport.closed
      assert.isTrue(reason._tag === "Lost" && reason.error._tag === "ConnectionAborted")
    }))

  it.scopedLive("drop what comes after the readable one is cancelled, and close when the other one has closed", () =>
    Effect.gen(function*() {
      const { peer, readable, transport, writable } = yield* pair({ capacity: 1, highWaterMark: 1 })
      yield* Effect.promise(() => readable.cancel())
      yield* peer.write(new Uint8Array(1000))
      yield* peer.flush
      const closing = yield* Effect.fork(Effect.promise(() => writable.close()))
      assert.isNull(yield* peer.pull)
      yield* peer.closeWrite
      yield* Fiber.join(closing)
      assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local" })
    }))

  it.scopedLive("close the transport, and do not wait for the peer, when the readable one is cancelled after the close", () =>
    Effect.gen(function*() {
      const { peer, readable, transport, writable } = yield* pair({ lingerTimeout: 0 })
      yield* Effect.promise(() => writable.close())
      yield* Effect.promise(() => readable.cancel())
      assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local" })
      assert.isNull(yield* peer.pull)
    }))
})

describe("a transport of streams", () => {
  it.scopedLive("goes through what the host has: gzip and back", () =>
    Effect.gen(function*() {
      const zip = new CompressionStream("gzip")
      const readable = zip.readable.pipeThrough(new DecompressionStream("gzip"))
      const transport = yield* Streams.from({ readable, writable: zip.writable })
      const body = Peer.pattern(300_000)
      const writing = yield* Effect.fork(Effect.zipRight(transport.write(body), transport.closeWrite))
      assert.isTrue((yield* Peer.readAll(transport)).equals(body))
      yield* Fiber.join(writing)
      assert.strictEqual((yield* transport.closed)._tag, "Clean")
      assert.strictEqual(Address.format(transport.remoteAddress), Address.format(Address.pipe("streams")))
    }))

  it.scopedLive("is lost by the streams' errors, and by what is no bytes", () =>
    Effect.gen(function*() {
      const odd = Object.assign(new Error("odd"), { code: "ETIMEDOUT" })
      const failing = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(odd) })
      const text = new ReadableStream({ pull: (controller) => controller.enqueue("text") })
      const silent = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error() })
      for (
        const [readable, tag] of [
          [failing, "ConnectionTimedOut"],
          [silent, "ConnectionFailed"],
          [text, "ConnectionFailed"]
        ] as const
      ) {
        const transport = yield* Streams.from({ readable, writable: new WritableStream() })
        assert.strictEqual((yield* Effect.flip(transport.pull))._tag, tag)
        assert.strictEqual((yield* transport.closed)._tag, "Lost")
      }
      const broken = new WritableStream({ write: () => Promise.reject(odd) })
      const transport = yield* Streams.from({ readable: new ReadableStream(), writable: broken })
      yield* transport.write(ascii("x"))
      const reason = yield* transport.closed
      assert.isTrue(reason._tag === "Lost" && reason.error.cause === odd)
    }))

  it.scopedLive("is lost by an error of the writable one, though nothing is written", () =>
    Effect.gen(function*() {
      const odd = Object.assign(new Error("odd"), { code: "ETIMEDOUT" })
      let controller!: WritableStreamDefaultController
      const writable = new WritableStream({ start: (own) => void (controller = own) })
      const transport = yield* Streams.from({ readable: new ReadableStream(), writable })
      controller.error(odd)
      const reason = yield* transport.closed
      assert.isTrue(reason._tag === "Lost" && reason.error._tag === "ConnectionTimedOut" && reason.error.cause === odd)
    }))

  it.scopedLive("learns that nobody reads when it writes", () =>
    Effect.gen(function*() {
      const { readable, writable } = new TransformStream<Uint8Array>()
      const transport = yield* Streams.from({ readable: new ReadableStream(), writable })
      yield* Effect.promise(() => readable.cancel())
      yield* settle
      assert.isTrue(transport.outgoing.isActive())
      yield* transport.write(ascii("x"))
      const reason = yield* transport.closed
      assert.isTrue(reason._tag === "Lost" && reason.error._tag === "BrokenPipe")
    }))

  it.scopedLive("reads no further than its buffer while nobody pulls", () =>
    Effect.gen(function*() {
      let given = 0
      const readable = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          // It ends somewhere, also for who is not held back.
          if (given++ < 100) controller.enqueue(new Uint8Array(1000))
          else controller.close()
        }
      }, { highWaterMark: 0 })
      const transport = yield* Streams.from({ readable, writable: new WritableStream() }, { readBufferSize: 3000 })
      yield* settle
      assert.strictEqual(given, 0)
      yield* transport.pull
      yield* settle
      assert.isAtMost(given, 5)
    }))

  it.scopedLive("closes though the readable one always has more", () =>
    Effect.gen(function*() {
      const readable = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(10)) })
      const transport = yield* Streams.from({ readable, writable: new WritableStream() }, { lingerTimeout: 0 })
      yield* transport.pull
      yield* transport.close
      assert.deepInclude(yield* transport.closed, { _tag: "Clean", peerEnded: false })
    }))

  it.scopedLive("ends in order if the writable one was closed before, and finds nobody who reads", () =>
    Effect.gen(function*() {
      const closed = () => {
        const writable = new WritableStream()
        void writable.close()
        return { writable, readable: new ReadableStream({ start: (controller) => controller.close() }) }
      }
      const silent = yield* Streams.from(closed())
      assert.isNull(yield* silent.pull)
      yield* settle
      yield* silent.close
      assert.deepInclude(yield* silent.closed, { _tag: "Clean", bytesWritten: 0 })
      const writing = yield* Streams.from(closed())
      yield* settle
      yield* writing.write(ascii("x"))
      assert.strictEqual((yield* Effect.flip(writing.flush))._tag, "BrokenPipe")
    }))

  it.live("cannot be made of a stream that somebody else has", () =>
    Effect.forEach(["readable", "writable"] as const, (which) =>
      Effect.gen(function*() {
        const { readable, writable } = new TransformStream<Uint8Array>()
        if (which === "readable") readable.getReader()
        else writable.getWriter()
        const exit = yield* Effect.exit(Effect.scoped(Streams.from({ readable, writable })))
        const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.isTrue(defect instanceof TypeError && defect.message.includes("Somebody else"))
        // The other one is as it was.
        assert.isFalse(which === "readable" ? writable.locked : readable.locked)
      })))
})
