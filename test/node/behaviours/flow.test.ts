import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type * as net from "node:net"
import * as stream from "node:stream"
import * as Duplex from "../../../src/node/Duplex.ts"
import type { Transport } from "../../../src/Transport.ts"
import * as Peer from "../../support/peer.ts"

const KiB = 1024
const MiB = 1024 * KiB

/** The largest chunk that Node reads from a socket. */
const largestRead = 64 * KiB
/** The most that goes to the driver at once. */
const largestBatch = 256 * KiB

/** Notes the maximum of a number at each turn of the event loop. */
const watchMaximum = (current: () => number): { readonly maximum: () => number; readonly stop: () => void } => {
  let maximum = 0
  let running = true
  const look = () => {
    maximum = Math.max(maximum, current())
    if (running) setImmediate(look)
  }
  look()
  return { maximum: () => maximum, stop: () => void (running = false) }
}

for (const { name, open } of Peer.openings) {
  describe(`over ${name}`, () => {
    it.scopedLive("D1 a source stops while the peer does not read, goes on when it does, and never more than the mark is buffered", () =>
      Effect.gen(function*() {
        const highWaterMark = 128 * KiB
        const chunk = Peer.pattern(48 * KiB)
        const count = 1000
        const { peer, transport } = yield* open({ highWaterMark })
        const socket = transport.unsafeHandle as net.Socket
        let produced = 0
        const source = Stream.repeatEffect(Effect.sync(() => {
          produced++
          return chunk
        })).pipe(Stream.take(count), Stream.rechunk(1))
        const buffered = watchMaximum(() => transport.stats().buffered)
        const held = watchMaximum(() => socket.writableLength)
        const running = yield* Effect.fork(Effect.zipRight(Stream.run(source, transport.sink), transport.closeWrite))

        yield* Peer.eventually(() => transport.stats().writersWaiting === 1)
        yield* Peer.turns(100)
        const stalledAt = produced
        assert.isBelow(stalledAt, count)
        yield* Peer.turns(100)
        assert.strictEqual(produced, stalledAt)
        const { bytesWritten } = transport.stats()
        assert.isAtMost(produced * chunk.length, bytesWritten + highWaterMark + 3 * chunk.length)

        const received = yield* peer.readAll()
        yield* Fiber.join(running)
        buffered.stop()
        held.stop()
        assert.strictEqual(produced, count)
        assert.strictEqual(received.length, count * chunk.length)
        assert.isTrue(received.subarray(-chunk.length).equals(chunk))
        assert.isAtLeast(buffered.maximum(), highWaterMark)
        assert.isAtMost(buffered.maximum(), highWaterMark + chunk.length)
        assert.isAtMost(held.maximum(), largestBatch)
      }))

    it.scopedLive("a write too small for Node to tell of its drain is through when the peer has read, and the next ones follow it", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        const socket = transport.unsafeHandle as net.Socket
        const chunk = Peer.pattern(8 * KiB)
        let count = 0
        const write = Effect.zipRight(transport.write(chunk), Effect.sync(() => count++))
        // Each one leaves by itself, until the kernel has no room for one.
        while (transport.stats().buffered === 0) yield* Effect.zipRight(write, Peer.turns(1))
        assert.isFalse(socket.writableNeedDrain)
        assert.isAbove(socket.writableLength, 0)
        const running = yield* Effect.fork(
          Effect.all([write, transport.flush, write, transport.closeWrite], { discard: true })
        )
        const received = yield* peer.readAll()
        yield* Fiber.join(running)
        assert.strictEqual(received.length, count * chunk.length)
        assert.isTrue(received.subarray(-chunk.length).equals(chunk))
        assert.strictEqual(transport.stats().bytesWritten, received.length)
      }))

    it.scopedLive("D17 a peer that writes for ever stalls while nobody pulls, and at most the read buffer and a chunk are held", () =>
      Effect.gen(function*() {
        const readBufferSize = 100 * KiB
        const { peer, transport } = yield* open({ readBufferSize })
        const unread = watchMaximum(() => transport.stats().unread)
        let sent = 0
        const sending = yield* Effect.fork(
          Effect.forever(Effect.zipRight(peer.write(new Uint8Array(64 * KiB)), Effect.sync(() => (sent += 64 * KiB))))
        )
        // The first pull opens the tap.
        let taken = (yield* transport.pull)!.length
        const stalled = Effect.gen(function*() {
          let before: number
          do {
            before = sent
            yield* Peer.turns(200)
          } while (sent !== before)
        })
        yield* Peer.eventually(() => transport.stats().unread >= readBufferSize)
        yield* stalled
        const stalledAt = sent
        assert.isAbove(peer.socket.writableLength, 0)
        assert.isAtMost(transport.stats().unread, readBufferSize + largestRead)
        // A slow consumer: the peer goes on as it consumes, and no faster.
        for (let index = 0; index < 200; index++) {
          taken += (yield* transport.pull)!.length
          yield* Peer.turns(1)
        }
        yield* stalled
        assert.isAbove(sent, stalledAt)
        unread.stop()
        assert.isAtMost(unread.maximum(), readBufferSize + largestRead)
        assert.isAtMost(transport.stats().bytesRead, taken + readBufferSize + largestRead)
        yield* Fiber.interrupt(sending)
        yield* transport.abort
      }))

    it.scopedLive("D17 with a read buffer of 0, input is taken only while somebody pulls", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open({ readBufferSize: 0 })
        peer.socket.write(Peer.pattern(4 * MiB))
        for (let index = 0; index < 10; index++) {
          yield* transport.pull
          yield* Peer.turns(20)
          assert.isAtMost(transport.stats().unread, largestRead)
        }
        yield* transport.abort
      }))
  })
}

describe("answered", () => {
  const last = Buffer.from("last")

  for (const { name, open } of Peer.openings) {
    it.scopedLive(`reads that fill their buffer leave together, when the last of them is there (${name})`, () =>
      Effect.gen(function*() {
        const { transport } = yield* open()
        const socket = transport.unsafeHandle as net.Socket
        const writes: Array<ReadonlyArray<number>> = []
        socket._writev = (chunks, done) => {
          writes.push(chunks.map(({ chunk }) => (chunk as Uint8Array).length))
          done()
        }
        socket._write = (chunk: Uint8Array, _, done) => {
          writes.push([chunk.length])
          done()
        }
        yield* Effect.fork(transport.forEach(transport.write))
        yield* Peer.eventually(() => transport.stats().pulling)
        const full = () => socket.push(Buffer.alloc(largestRead))
        full()
        full()
        assert.deepStrictEqual(writes, [])
        socket.push(last)
        assert.deepStrictEqual(writes.splice(0), [[largestRead, largestRead, last.length]])
        // Nothing came after all.
        full()
        yield* Peer.eventually(() => writes.length > 0)
        assert.deepStrictEqual(writes.splice(0), [[largestRead]])
        // Not beyond the mark, 256 KiB.
        for (let count = 0; count < 5; count++) full()
        assert.deepStrictEqual(writes, [[largestRead, largestRead, largestRead, largestRead]])
        yield* transport.abort
      }))
  }
})

describe("relayed", () => {
  for (const carrier of Peer.carriers) {
    it.scopedLive(`D12 a fast source and a slow sink keep memory bounded, in both directions (${carrier})`, () =>
      Effect.gen(function*() {
        const highWaterMark = 64 * KiB
        const left = yield* Peer.accepted(carrier, { highWaterMark })
        const right = yield* Peer.accepted(carrier, { highWaterMark })
        const pump = (from: Transport, to: Transport) =>
          Effect.zipRight(Stream.run(from.stream, to.sink), to.closeWrite)
        const pumps = yield* Effect.fork(Effect.all([
          pump(left.transport, right.transport),
          pump(right.transport, left.transport)
        ], { concurrency: "unbounded" }))
        const held = watchMaximum(() =>
          [left, right].reduce((sum, { transport }) => sum + transport.stats().unread + transport.stats().buffered, 0)
        )
        const sent = Peer.pattern(32 * MiB)
        left.peer.socket.end(sent)
        right.peer.socket.end(sent)
        // Nobody reads at first: all stalls.
        yield* Peer.eventually(() =>
          left.transport.stats().writersWaiting === 1 && right.transport.stats().writersWaiting === 1
        )
        yield* Peer.turns(100)
        const received = yield* Effect.all([left.peer.readAll({ slow: true }), right.peer.readAll({ slow: true })], {
          concurrency: "unbounded"
        })
        yield* Fiber.join(pumps)
        held.stop()
        for (const bytes of received) assert.isTrue(bytes.equals(sent))
        assert.isAtMost(held.maximum(), 2 * (highWaterMark + largestRead + 64 * KiB + largestRead))
      }))
  }
})

describe("the high-water mark", () => {
  /** A stream whose sink takes a chunk when it is told to. */
  const manual = () => {
    const waiting: Array<() => void> = []
    const duplex = new stream.Duplex({
      read() {},
      write: (_chunk, _encoding, done) => void waiting.push(done)
    })
    return { duplex, takeOne: () => waiting.shift()?.() }
  }

  it.scopedLive("D2 does not suspend the writer that reaches it exactly, and does the next", () =>
    Effect.gen(function*() {
      const { duplex, takeOne } = manual()
      const transport = yield* Duplex.from(duplex, { highWaterMark: 4, lowWaterMark: 1 })
      const suspends = (count: number) =>
        Effect.map(
          Effect.tap(Effect.fork(transport.write(new Uint8Array(count))), () => Peer.turns(2)),
          (fiber) => ({ fiber, suspended: transport.stats().writersWaiting > 0 })
        )
      assert.isFalse((yield* suspends(4)).suspended)
      const second = yield* suspends(1)
      assert.isTrue(second.suspended)
      takeOne()
      yield* Fiber.join(second.fiber)
      // One is buffered: three more reach the mark exactly.
      assert.isFalse((yield* suspends(3)).suspended)
      const fourth = yield* suspends(1)
      assert.isTrue(fourth.suspended)
      takeOne()
      takeOne()
      yield* Fiber.join(fourth.fiber)
      takeOne()
      yield* transport.flush
      yield* transport.abort
    }))
})
