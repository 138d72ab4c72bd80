/**
 * Checks of bytes on their way.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { concat } from "../../internal/bytes.ts"
import { isTransport } from "../../Transport.ts"
import type { Entry } from "./check.ts"
import * as C from "./check.ts"

const { bytes, entry, expect, expectAllAndEnd, expectBytes, expectEqual, send } = C

class Subclass extends Uint8Array {}

export const transfer: ReadonlyArray<Entry> = [
  entry("one byte goes through", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes(42))
      yield* expectBytes((yield* right.pull) ?? bytes(), bytes(42), "what the peer pulls")
    })),

  entry("an empty write has no meaning", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.write(bytes())
      yield* left.writeAll([])
      yield* left.writeAll([bytes(), bytes(7), bytes()])
      yield* expectBytes((yield* right.pull) ?? bytes(), bytes(7), "the first chunk that the peer pulls")
    })),

  entry("chunks of any size arrive whole and in their order", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(100_000)
      yield* Effect.fork(send(left, C.pieces(whole, 3000)))
      yield* expectAllAndEnd(right, whole, "what arrives")
    })),

  entry("ten thousand tiny writes arrive whole", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(10_000)
      yield* Effect.fork(send(left, Array.from(whole, (byte) => bytes(byte))))
      yield* expectAllAndEnd(right, whole, "what arrives")
    })),

  entry(
    "one large write reaches a slow reader whole, who holds no more than its bound",
    ({ bulk, open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open()
        const whole = C.pattern(bulk)
        yield* Effect.fork(send(left, [whole]))
        const chunks: Array<Uint8Array> = []
        let length = 0
        let rested = 0
        let held = 0
        let longest = 65536
        let chunk: Uint8Array | null
        while ((chunk = yield* right.pull) !== null) {
          chunks.push(chunk)
          length += chunk.length
          held = Math.max(held, right.stats().unread)
          longest = Math.max(longest, chunk.length)
          if (length - rested >= bulk / 32) {
            rested = length
            yield* C.turn
          }
        }
        yield* expectBytes(concat(chunks), whole, "what arrives")
        // What is read ahead by default, and one chunk.
        yield* expect(held <= 65536 + longest, `at most ${65536 + longest} bytes read ahead`, held)
      })
  ),

  entry("much goes both ways at once", ({ bulk, open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const [out, back] = [C.pattern(bulk / 4, 2), C.pattern(bulk / 4, 3)]
      const [there, here] = yield* Effect.all([
        C.readAll(right),
        C.readAll(left),
        send(left, C.pieces(out, 16384, 4)),
        send(right, C.pieces(back, 16384, 5))
      ], { concurrency: "unbounded" })
      yield* expectBytes(there, out, "what arrives at the peer")
      yield* expectBytes(here, back, "what arrives here")
    }), "halfClose"),

  entry("the counters of both ends agree", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.writeAll([C.pattern(3000), bytes(), C.pattern(500)])
      yield* C.read(right, 3500)
      yield* left.flush
      yield* expectEqual(left.stats().bytesWritten, 3500, "bytesWritten")
      yield* expectEqual(right.stats().bytesRead, 3500, "bytesRead of the peer")
      yield* expectEqual(left.stats().bytesRead, 0, "bytesRead")
    })),

  entry("a stream into a sink is an echo that ends with the peer", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const whole = C.pattern(50_000)
      yield* Effect.fork(Effect.zipRight(Stream.run(right.stream, right.sink), right.closeWrite))
      yield* Effect.fork(send(left, C.pieces(whole, 5000)))
      yield* expectAllAndEnd(left, whole, "what comes back")
    }), "halfClose"),

  entry("a sink leaves the write side open", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* Stream.run(Stream.make(bytes(1), bytes(2)), left.sink)
      yield* left.write(bytes(3))
      yield* expectBytes(yield* C.read(right, 3), bytes(1, 2, 3), "what arrives")
    })),

  entry("writeAll iterates once", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      yield* left.writeAll([bytes(1), bytes(2)].values())
      yield* expectBytes(yield* C.read(right, 2), bytes(1, 2), "what arrives of an iterator")
    })),

  entry(
    "both ends say that they are transports",
    ({ open }) => Effect.flatMap(open(), (pair) => expect(pair.every(isTransport), "two transports", "something else"))
  ),

  entry(
    "views of larger buffers, and subclasses of Uint8Array, are bytes as well",
    ({ open }) =>
      Effect.gen(function*() {
        const [left, right] = yield* open()
        yield* left.write(bytes(9, 1, 2, 9).subarray(1, 3))
        yield* left.writeAll([Subclass.from([9, 3, 9]).subarray(1, 2), Subclass.from([4])])
        yield* expectBytes(yield* C.read(right, 4), bytes(1, 2, 3, 4), "what arrives")
      })
  ),

  entry("ping and pong go back and forth", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const pong = Effect.flatMap(C.read(right, 1), ([ball = 0]) => right.write(bytes(ball + 1)))
      yield* Effect.fork(Effect.repeatN(pong, 99))
      for (let ball = 0; ball < 200; ball += 2) {
        yield* left.write(bytes(ball))
        yield* expectBytes(yield* C.read(left, 1), bytes(ball + 1), `what comes back for ${ball}`)
      }
    })),

  entry("an operation does nothing until it is run, and runs anew each time", ({ open }) =>
    Effect.gen(function*() {
      const [left, right] = yield* open()
      const write = left.write(bytes(1))
      const others = [left.writeAll([bytes(2)]), left.pull, left.flush, left.closeWrite, left.close, left.abort]
      yield* C.turns
      const { buffered, bytesWritten, pulling } = left.stats()
      yield* expectEqual(buffered + bytesWritten, 0, `bytes accepted with ${others.length + 1} operations made`)
      yield* expectEqual(pulling, false, "pulling with none of them run")
      yield* Effect.zipRight(write, write)
      yield* expectBytes(yield* C.read(right, 2), bytes(1, 1), "what arrives of a write that is run twice")
    }))
]
