import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { ConnectionLost, WriteAfterEnd } from "../../../src/ConnectionError.ts"
import { ascii, sha256 } from "../../support/bytes.ts"
import * as Peer from "../../support/peer.ts"

const lossTags = new Set(["ConnectionReset", "BrokenPipe"])

for (const { name, open } of Peer.openings) {
  describe(`over ${name}`, () => {
    it.scopedLive("B1 60 MiB in one write, one more byte while it is being sent, then a close: all of it arrives", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        const large = Peer.pattern(60 * 1024 * 1024)
        yield* transport.write(large)
        const last = yield* Effect.fork(transport.write(ascii("!")))
        yield* Peer.turns(2)
        const { buffered, writersWaiting } = transport.stats()
        assert.isAbove(buffered, 0)
        assert.strictEqual(writersWaiting, 1)
        const reading = yield* Effect.fork(peer.readAll())
        yield* Fiber.join(last)
        const closing = yield* Effect.fork(transport.close)
        const received = yield* Fiber.join(reading)
        peer.end()
        yield* Fiber.join(closing)
        assert.isTrue(peer.ended)
        assert.strictEqual(received.length, large.length + 1)
        assert.strictEqual(sha256(received), sha256(large, ascii("!")))
        assert.deepInclude(yield* transport.closed, { _tag: "Clean", bytesWritten: large.length + 1 })
      }))

    it.scopedLive("B2 write, writeAll and close arrive as one string of bytes, in order", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        yield* transport.write(ascii("one "))
        yield* transport.writeAll([ascii("two "), ascii("three ")])
        yield* transport.write(ascii("four"))
        const closing = yield* Effect.fork(transport.close)
        assert.strictEqual((yield* peer.readAll()).toString(), "one two three four")
        peer.end()
        yield* Fiber.join(closing)
      }))

    it.scopedLive("B3 writeAll alone sends", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        yield* transport.writeAll([ascii("a"), ascii("b")])
        assert.strictEqual((yield* peer.readBytes(2)).toString(), "ab")
      }))

    it.scopedLive("B4 what is not bytes is refused before any of it is queued", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        const wrong = ["text", 1, null, undefined, [1], new Uint16Array(1), new ArrayBuffer(1)] as ReadonlyArray<
          unknown
        >
        for (const value of wrong) {
          for (
            const attempt of [
              transport.write(value as Uint8Array),
              transport.writeAll([ascii("never"), value as Uint8Array])
            ]
          ) {
            const exit = yield* Effect.exit(attempt)
            assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof TypeError)
          }
        }
        yield* transport.write(ascii("only"))
        yield* transport.closeWrite
        assert.strictEqual((yield* peer.readAll()).toString(), "only")
      }))

    it.scopedLive("B5 a generator is consumed once, and all of it is sent", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        let made = 0
        const chunks = (function*() {
          for (; made < 1000; made++) yield ascii(`${made},`)
        })()
        yield* transport.writeAll(chunks)
        yield* transport.closeWrite
        const expected = Array.from({ length: 1000 }, (_, index) => `${index},`).join("")
        assert.strictEqual((yield* peer.readAll()).toString(), expected)
        assert.strictEqual(made, 1000)
      }))

    it.scopedLive("B6 a thousand writes after the peer has gone: each is accepted or fails by its loss, none dies or hangs", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        peer.destroy()
        yield* peer.awaitClosed
        const results: Array<Either.Either<void, ConnectionLost | WriteAfterEnd>> = []
        for (let index = 0; index < 1000; index++) results.push(yield* Effect.either(transport.write(ascii("x"))))
        const reason = yield* transport.closed
        results.push(yield* Effect.either(transport.write(ascii("x"))))
        results.push(yield* Effect.either(transport.writeAll([ascii("x")])))
        const failures = results.filter(Either.isLeft)
        assert.isAtLeast(failures.length, 2)
        assert.isTrue(failures.every(({ left }) => lossTags.has(left._tag)))
        // From the first failure on, all fail.
        assert.isTrue(results.slice(results.findIndex(Either.isLeft)).every(Either.isLeft))
        assert.isTrue(reason._tag === "Lost" && lossTags.has(reason.error._tag))
      }))

    it.scopedLive("B7 without a single read, writes tell that the peer has gone", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        peer.destroy()
        yield* peer.awaitClosed
        const loss = yield* Effect.flip(Effect.forever(Effect.zipRight(transport.write(ascii("x")), Peer.turns(1))))
        assert.isTrue(lossTags.has(loss._tag), loss._tag)
        assert.include(["EPIPE", "ECONNRESET"], (loss as ConnectionLost).code)
        assert.strictEqual(transport.stats().bytesRead, 0)
      }))

    it.scopedLive("B8 an empty write and an empty writeAll send nothing", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        yield* transport.write(new Uint8Array(0))
        yield* transport.writeAll([])
        yield* transport.writeAll([new Uint8Array(0), new Uint8Array(0)])
        yield* transport.flush
        assert.deepInclude(transport.stats(), { bytesWritten: 0, buffered: 0 })
        yield* transport.write(ascii("later"))
        assert.strictEqual((yield* peer.readBytes(5)).toString(), "later")
      }))

    it.scopedLive("B9 a kernel that takes nothing is no error: the writes wait, and go on when the peer reads", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        const chunk = Peer.pattern(64 * 1024)
        const count = 256
        const writing = yield* Effect.fork(
          Effect.zipRight(
            Effect.forEach(Array.from({ length: count }), () => transport.write(chunk), { discard: true }),
            transport.flush
          )
        )
        yield* Peer.eventually(() => transport.stats().writersWaiting === 1)
        yield* Peer.turns(50)
        assert.strictEqual(transport.stats().writersWaiting, 1)
        const received = yield* peer.readBytes(count * chunk.length)
        yield* Fiber.join(writing)
        assert.isTrue(received.equals(Buffer.concat(Array.from({ length: count }, () => chunk))))
      }))

    it.scopedLive("B10 pulls that come and go and are interrupted lose, double and move nothing", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open({ readBufferSize: 512 })
        const sent = Peer.pattern(16 * 1024)
        const sending = yield* Effect.fork(
          Effect.forEach(
            Array.from({ length: 64 }, (_, index) => index),
            (index) =>
              Effect.zipRight(peer.write(sent.subarray(index * 256, index * 256 + 256)), Peer.turns(index % 3)),
            {
              discard: true
            }
          )
        )
        const received: Array<Uint8Array> = []
        let length = 0
        for (let round = 0; length < sent.length; round++) {
          const pulling = yield* Effect.fork(transport.pull)
          yield* Peer.turns(round % 4)
          const exit = yield* round % 2 === 0 ? Fiber.interrupt(pulling) : Fiber.await(pulling)
          if (Exit.isSuccess(exit) && exit.value !== null) {
            received.push(exit.value)
            length += exit.value.length
          }
        }
        yield* Fiber.join(sending)
        assert.isTrue(Buffer.concat(received).equals(sent))
      }))

    it.scopedLive("many fibers that write: every chunk arrives whole", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open({ highWaterMark: 1000 })
        const lines = Array.from({ length: 500 }, (_, index) => `${index}:`.padEnd(97, String(index % 10)) + "\n")
        yield* Effect.fork(
          Effect.zipRight(
            Effect.forEach(lines, (line) => transport.write(ascii(line)), { concurrency: "unbounded" }),
            transport.closeWrite
          )
        )
        const received = (yield* peer.readAll({ slow: true })).toString().split(/(?<=\n)/)
        assert.deepStrictEqual(received.toSorted(), lines.toSorted())
      }))

    it.scopedLive("echoes while it is written to: neither direction waits for the other", () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        const sent = Peer.pattern(8 * 1024 * 1024)
        const echo = yield* Effect.fork(Effect.zipRight(
          Effect.iterate(true, {
            while: (more) => more,
            body: () =>
              Effect.flatMap(
                transport.pull,
                (chunk) => chunk === null ? Effect.succeed(false) : Effect.as(transport.write(chunk), true)
              )
          }),
          transport.closeWrite
        ))
        peer.socket.end(sent)
        assert.isTrue((yield* peer.readAll()).equals(sent))
        yield* Fiber.join(echo)
        assert.deepInclude(yield* transport.closed, {
          _tag: "Clean",
          firstEnded: "peer",
          bytesRead: sent.length,
          bytesWritten: sent.length
        })
      }))
  })
}

describe("between two transports", () => {
  for (const carrier of Peer.carriers) {
    it.scopedLive(`B11 a reader is never entered from within a write (${carrier})`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* Peer.joined(carrier)
        const log: Array<string> = []
        const reading = yield* Effect.fork(Effect.tap(server.pull, () => Effect.sync(() => log.push("read"))))
        yield* Peer.turns(1)
        log.push("write")
        yield* client.write(ascii("x"))
        log.push("written")
        yield* Fiber.join(reading)
        assert.deepStrictEqual(log, ["write", "written", "read"])
      }))
  }
})
