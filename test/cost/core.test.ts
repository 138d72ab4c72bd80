import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { SystemFailure } from "../../src/ConnectionError.ts"
import * as Driver from "../../src/Driver.ts"
import * as Listener from "../../src/Listener.ts"
import * as Server from "../../src/server/Server.ts"
import type { Transport } from "../../src/Transport.ts"
import type { Options } from "./carrier.ts"
import { counting } from "./carrier.ts"

type Handler = (transport: Transport) => Effect.Effect<void, unknown>

/** Answers each chunk in a loop. */
const loopOf =
  (answer: (transport: Transport, chunk: Uint8Array) => Effect.Effect<unknown, unknown>): Handler => (transport) => {
    const loop: Effect.Effect<void, unknown> = Effect.flatMap(
      transport.pull,
      (chunk) => chunk === null ? Effect.void : Effect.flatMap(answer(transport, chunk), () => loop)
    )
    return loop
  }

const pieces = (chunk: Uint8Array): Array<Uint8Array> =>
  Array.from({ length: 16 }, (_, index) => chunk.subarray(chunk.length * index / 16, chunk.length * (index + 1) / 16))

const single: Readonly<Record<string, Handler>> = {
  "a handler": ({ forEach, write }) => forEach(write),
  "a loop of pulls": loopOf(({ write }, chunk) => write(chunk)),
  "a loop that offers": loopOf(({ outgoing }, chunk) => outgoing.offer(chunk)),
  "a Stream into the Sink": ({ sink, stream }) => Stream.run(stream, sink)
}

const small: Readonly<Record<string, Handler>> = {
  "a handler with 16 writes": ({ forEach, write }) =>
    forEach((chunk) => Effect.forEach(pieces(chunk), write, { discard: true })),
  "a loop with 16 writes": loopOf(({ write }, chunk) => Effect.forEach(pieces(chunk), write, { discard: true })),
  "a loop with 16 offers": loopOf(({ outgoing }, chunk) =>
    Effect.forEach(pieces(chunk), (piece) => outgoing.offer(piece), { discard: true })
  ),
  "a loop with a writeAll of 16": loopOf(({ writeAll }, chunk) => writeAll(pieces(chunk))),
  "a Stream of 16 chunks": ({ sink, stream }) => Stream.run(Stream.mapConcat(stream, pieces), sink),
  "a Stream of 16 chunks, one by one": ({ sink, stream }) =>
    Stream.run(Stream.rechunk(Stream.mapConcat(stream, pieces), 1), sink)
}

/** A fiber of one's own, or one of the server's, which has its own way to run them. */
const runs = {
  "in a fiber of its own": (carrier: Driver.Carrier<SystemFailure>, handler: Handler) =>
    Effect.scoped(Effect.flatMap(Driver.open(carrier), handler)),
  "in a server": (carrier: Driver.Carrier<SystemFailure>, handler: Handler) =>
    Effect.gen(function*() {
      const { listener, offer } = Listener.make({ address: carrier.localAddress, maxPending: 1, stop: Effect.void })
      offer(Driver.unsafeOpen(carrier, yield* Effect.clock))
      return yield* Server.serve(listener, (transport) => Effect.ensuring(handler(transport), listener.close))
    })
}

type Run = (typeof runs)[keyof typeof runs]

/** What the carrier has counted when the handler is through with all its messages. */
const counted = (handler: Handler, options: Options, run: Run = runs["in a fiber of its own"]) =>
  Effect.gen(function*() {
    const { carrier, counts } = counting(options)
    yield* run(carrier, handler)
    return counts()
  })

const messages = 1000

const takings = ["at once", "a turn later"] as const
const cases = Object.entries(runs).flatMap(([place, run]) => takings.map((taking) => ({ place, run, taking })))

for (const { place, run, taking } of cases) {
  describe(`the path of the bytes, ${place}, over a carrier that takes them ${taking}`, () => {
    for (const [name, handler] of Object.entries(single)) {
      it.live(`${name}: no fiber, no copy, and one write for each message`, () =>
        Effect.gen(function*() {
          const { carried, copied, fibers, writes } = yield* counted(handler, { messages, size: 64, taking }, run)
          const expected = { carried: messages * 64, copied: 0, fibers: 0, writes: messages }
          assert.deepStrictEqual({ carried, copied, fibers, writes }, expected)
        }))

      it.live(`${name}: no copy of what is larger than the write buffer`, () =>
        Effect.gen(function*() {
          const size = 1024 * 1024
          const { carried, copied, fibers } = yield* counted(handler, { messages: 10, size, taking }, run)
          assert.deepStrictEqual({ carried, copied, fibers }, { carried: 10 * size, copied: 0, fibers: 0 })
        }))
    }

    for (const [name, handler] of Object.entries(small)) {
      it.live(`${name}: no fiber, at most one copy of each byte, and one write for each message`, () =>
        Effect.gen(function*() {
          const { carried, copied, fibers, writes } = yield* counted(handler, { messages, size: 64, taking }, run)
          assert.deepStrictEqual({ carried, fibers, writes }, { carried: messages * 64, fibers: 0, writes: messages })
          assert.isAtMost(copied, carried)
        }))
    }
  })
}

describe("the counts", () => {
  const options = { messages, size: 64, taking: "at once" } as const

  it.live("see each fiber", () =>
    Effect.gen(function*() {
      const forking = loopOf(({ write }, chunk) => Effect.flatMap(Effect.fork(write(chunk)), Fiber.join))
      assert.strictEqual((yield* counted(forking, options)).fibers, messages)
    }))

  it.live("see each write", () =>
    Effect.gen(function*() {
      const flushing = loopOf(({ flush, write }, chunk) =>
        Effect.forEach(pieces(chunk), (piece) => Effect.zipRight(write(piece), flush), { discard: true })
      )
      assert.strictEqual((yield* counted(flushing, options)).writes, 16 * messages)
    }))

  it.live("see each copy", () =>
    Effect.gen(function*() {
      const copying = loopOf(({ write }, chunk) => write(chunk.slice()))
      assert.strictEqual((yield* counted(copying, options)).copied, 64 * messages)
    }))
})
