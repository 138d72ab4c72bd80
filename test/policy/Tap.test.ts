import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { Immediate, isDone } from "../../src/internal/immediate.ts"
import { Unattended } from "../../src/internal/unattended.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Tap from "../../src/policy/Tap.ts"
import type { Limits } from "../../src/Transport.ts"
import * as Peer from "../support/peer.ts"

/** A tapped transport, its peer, and all that was told. */
const tapped = (limits: MemoryTransport.PairOptions & Limits = {}) =>
  Effect.gen(function*() {
    const [left, peer] = yield* MemoryTransport.pair(limits)
    const told: Array<readonly [string, unknown]> = []
    const transport = yield* Tap.make(() => ({
      read: (bytes) => told.push(["read", bytes]),
      written: (bytes) => told.push(["written", bytes]),
      pressed: (duration) => told.push(["pressed", duration]),
      closed: (reason) => told.push(["closed", reason._tag])
    }))(left)
    return { transport, peer, told }
  })

describe("a tap", () => {
  it.scoped("is told what passes, and at last that it is over", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped()
      yield* transport.write(new Uint8Array(3))
      yield* transport.writeAll([new Uint8Array(4), new Uint8Array(5)])
      yield* peer.write(new Uint8Array(6))
      yield* transport.pull
      yield* transport.unread(new Uint8Array(2))
      yield* transport.pull
      yield* peer.closeWrite
      assert.isNull(yield* transport.pull)
      yield* transport.closeWrite
      yield* Peer.readAll(peer)
      yield* transport.closed
      yield* Peer.turns(1)
      assert.deepStrictEqual(told, [["written", 3], ["written", 9], ["read", 4], ["read", 2], ["closed", "Clean"]])
    }))

  it.scoped("is told what is offered without waiting, which goes as without it", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped({ capacity: 0, highWaterMark: 2 })
      assert.isTrue(transport.outgoing.unsafeOffer(new Uint8Array(3)))
      assert.isFalse(transport.outgoing.unsafeOffer(new Uint8Array(4)))
      assert.deepStrictEqual(told, [["written", 3]])
      assert.lengthOf((yield* peer.pull)!, 3)
    }))

  it.scoped("is told at the end what was pulled last, also if it does not ask for the end", () =>
    Effect.gen(function*() {
      const [left, peer] = yield* MemoryTransport.pair()
      let read = 0
      const transport = yield* Tap.make(() => ({ read: (bytes) => void (read += bytes) }))(left)
      yield* peer.write(new Uint8Array(3))
      yield* transport.pull
      yield* transport.abort
      yield* Peer.turns(1)
      assert.strictEqual(read, 3)
    }))

  it.scoped("is told how long a write had to wait, also if it is given up or fails", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped({ capacity: 1, highWaterMark: 1, readBufferSize: 0 })
      yield* transport.write(new Uint8Array(2))
      const pressed = () => told.flatMap(([what, duration]) => what === "pressed" ? [duration] : [])
      const waiting = yield* Effect.fork(transport.write(new Uint8Array(2)))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(pressed(), [])
      const reading = yield* Effect.fork(Peer.readAll(peer))
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(pressed(), [3000])
      yield* Fiber.interrupt(reading)
      // What the reader had asked for, and one more.
      yield* transport.write(new Uint8Array(1000))
      yield* transport.flush
      yield* transport.write(new Uint8Array(1000))
      const given = yield* Effect.fork(transport.writeAll([new Uint8Array(2)]))
      yield* TestClock.adjust("1 seconds")
      yield* Fiber.interrupt(given)
      const failing = yield* Effect.fork(Effect.exit(transport.write(new Uint8Array(2))))
      yield* TestClock.adjust("2 seconds")
      yield* peer.abort
      yield* Fiber.join(failing)
      assert.deepStrictEqual(pressed(), [3000, 1000, 2000])
      yield* transport.closed
      yield* Peer.turns(1)
      assert.deepStrictEqual(told.at(-1), ["closed", "Lost"])
    }))

  it.scoped("costs no fiber: the handler form and a write with room stay as they are", () =>
    Effect.gen(function*() {
      const { transport } = yield* tapped()
      assert.isTrue(transport.forEach(() => Effect.void) instanceof Unattended)
      const write = transport.write(new Uint8Array(1))
      assert.isTrue(write instanceof Immediate && isDone(write.commit()))
    }))

  const sizes = FastCheck.array(FastCheck.integer({ min: 1, max: 300 }), { maxLength: 20 })

  it.effect.prop(
    "counts each byte once, however it is read",
    [sizes, FastCheck.boolean()],
    ([sizes, byPull]) =>
      Effect.gen(function*() {
        const { peer, told, transport } = yield* tapped({ capacity: 100, highWaterMark: 100 })
        const total = sizes.reduce((sum, size) => sum + size, 0)
        const echoing = yield* Effect.fork(peer.forEach(peer.write))
        const reading = yield* Effect.fork(
          byPull ? Peer.readAll(transport) : transport.forEach(() => Effect.void)
        )
        for (const size of sizes) yield* transport.write(new Uint8Array(size))
        yield* transport.closeWrite
        yield* Fiber.join(echoing)
        yield* peer.closeWrite
        yield* Fiber.join(reading)
        yield* transport.closed
        yield* Peer.turns(1)
        const sum = (name: string) => told.reduce((sum, [what, bytes]) => what === name ? sum + Number(bytes) : sum, 0)
        assert.deepStrictEqual([sum("read"), sum("written")], [total, total])
      }).pipe(Effect.scoped)
  )
})
