import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import * as Transport from "../../src/Transport.ts"
import { dial, eventually, listener, readAll } from "../support/peer.ts"
import { tcpPair, unixPair } from "../support/pairs.ts"
import { nothingLeft } from "../support/resources.ts"

type MakePair = (
  limits: Transport.Limits
) => Effect.Effect<readonly [Transport.Transport, Transport.Transport], unknown, Scope.Scope>

const carriers: ReadonlyArray<readonly [name: string, pair: MakePair]> = [
  ["memory", (limits) => MemoryTransport.pair({ ...limits, capacity: 4, maxChunkSize: 3 })],
  ["lockstep memory", (limits) => MemoryTransport.pair({ ...limits, capacity: 0, readBufferSize: 0 })],
  ["TCP", tcpPair],
  ["UNIX", unixPair]
]

const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)

/** Nine chunks, each of which is known by its bytes. */
const chunks = Array.from({ length: 9 }, (_, index) => bytes(index, index, index, index, index))

const opened = (makePair: MakePair, limits: Transport.Limits = {}) =>
  Effect.gen(function*() {
    yield* nothingLeft
    const [left, right] = yield* makePair({ lingerTimeout: 0, ...limits })
    yield* Effect.addFinalizer(() => Effect.all([left.abort, right.abort], { concurrency: "unbounded" }))
    return { left, right, noted: [] as Array<number> }
  })

const points = (name: string, { points }: { readonly points: number }) => {
  console.log(`${name}: ${points} points`)
  assert.isAbove(points, 0)
}

/** Whole chunks, from the first on, of which the writer knows all but the last perhaps. */
const assertPrefix = (received: Uint8Array, known: number) => {
  const count = received.length / 5
  assert.deepStrictEqual([...received], chunks.slice(0, Math.ceil(count)).flatMap((chunk) => [...chunk]))
  assert.isTrue(count === known || count === known + 1, `${known} were accepted, ${count} have arrived`)
}

/** Notes in the step that gives the value: `Effect.map` would do it in the next one, before which it can be interrupted. */
const note = <A, E, R>(effect: Effect.Effect<A, E, R>, write: (value: A) => void): Effect.Effect<void, E, R> =>
  Effect.flatMap(effect, (value) => {
    write(value)
    return Effect.void
  })

const all = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]))

/** One chunk is let in at a time. */
const tight = { highWaterMark: 1, readBufferSize: 4 }

describe.each(carriers)("interrupted at every step over %s", (carrier, makePair) => {
  const filled = Effect.gen(function*() {
    const pair = yield* opened(makePair, { highWaterMark: 4 })
    yield* Effect.fork(Effect.zipRight(Effect.forEach(chunks, pair.left.write), pair.left.closeWrite))
    return pair
  })

  const written = Effect.gen(function*() {
    const pair = yield* opened(makePair)
    yield* pair.left.writeAll(chunks)
    return { ...pair, reading: yield* Effect.fork(readAll(pair.right)) }
  })

  it.live("a pull loses nothing", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: filled,
        scenario: ({ noted, right }) => {
          const loop: Effect.Effect<void, unknown> = Effect.flatMap(right.pull, (chunk) => {
            if (chunk === null) return Effect.void
            noted.push(...chunk)
            return loop
          })
          return loop
        },
        check: ({ noted, right }) =>
          Effect.map(readAll(right), (rest) => assert.deepStrictEqual([...noted, ...rest], [...all]))
      })
      points(`${carrier} pull`, swept)
    }), 60_000)

  it.live("forEach loses nothing", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: filled,
        scenario: ({ noted, right }) =>
          right.forEach((chunk) => {
            noted.push(...chunk)
            // Both ways: done at once, and left to the fiber.
            return noted.length % 2 === 0 ? Effect.void : Effect.asVoid(Effect.yieldNow())
          }),
        check: ({ noted, right }) =>
          Effect.map(readAll(right), (rest) => assert.deepStrictEqual([...noted, ...rest], [...all]))
      })
      points(`${carrier} forEach`, swept)
    }), 60_000)

  it.live(
    "an echo by forEach answers a beginning of what it was given, and leaves the rest",
    () =>
      Effect.gen(function*() {
        const swept = yield* sweep({
          setup: Effect.gen(function*() {
            const pair = yield* opened(makePair, tight)
            yield* Effect.fork(Effect.zipRight(Effect.forEach(chunks, pair.left.write), pair.left.closeWrite))
            return { ...pair, reading: yield* Effect.fork(readAll(pair.left)) }
          }),
          scenario: ({ noted, right }) =>
            right.forEach((chunk) => {
              noted.push(...chunk)
              return right.write(chunk)
            }),
          check: ({ noted, reading, right }) =>
            Effect.gen(function*() {
              const rest = yield* readAll(right)
              assert.deepStrictEqual([...noted, ...rest], [...all])
              yield* right.closeWrite
              const echo = [...yield* Fiber.join(reading)]
              assert.deepStrictEqual(echo, noted.slice(0, echo.length))
            })
        })
        points(`${carrier} echo by forEach`, swept)
      }),
    60_000
  )

  it.live("readExactly loses nothing", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: filled,
        scenario: ({ noted, right }) => {
          const read = (size: number) => note(Transport.readExactly(right, size), (bytes) => noted.push(...bytes))
          return Effect.forEach([7, 1, 11], read)
        },
        check: ({ noted, right }) =>
          Effect.map(readAll(right), (rest) => assert.deepStrictEqual([...noted, ...rest], [...all]))
      })
      points(`${carrier} readExactly`, swept)
    }), 60_000)

  it.live("a write is wholly there or not at all", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: Effect.gen(function*() {
          const pair = yield* opened(makePair, tight)
          return { ...pair, reading: yield* Effect.fork(readAll(pair.right)) }
        }),
        scenario: ({ left, noted }) =>
          Effect.forEach(chunks, (chunk, index) => note(left.write(chunk), () => noted.push(index))),
        check: ({ left, noted, reading }) =>
          Effect.zipRight(
            left.closeWrite,
            Effect.map(Fiber.join(reading), (received) => assertPrefix(received, noted.length))
          )
      })
      points(`${carrier} write`, swept)
    }), 60_000)

  it.live("of writeAll, the first chunks are wholly there and the others not at all", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: Effect.gen(function*() {
          const pair = yield* opened(makePair, tight)
          return { ...pair, reading: yield* Effect.fork(readAll(pair.right)) }
        }),
        scenario: ({ left, noted }) => note(left.writeAll(chunks), () => noted.push(9)),
        check: ({ left, noted, reading }) =>
          Effect.gen(function*() {
            yield* left.closeWrite
            const received = yield* Fiber.join(reading)
            assert.strictEqual(received.length % 5, 0)
            assert.deepStrictEqual([...received], [...all.subarray(0, received.length)])
            if (noted.length > 0) assert.strictEqual(received.length, all.length)
          })
      })
      points(`${carrier} writeAll`, swept)
    }), 60_000)

  it.live("a flush takes nothing back", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: written,
        scenario: ({ left }) => left.flush,
        check: ({ left, reading }) =>
          Effect.gen(function*() {
            yield* left.flush
            assert.strictEqual(left.stats().buffered, 0)
            yield* left.closeWrite
            assert.deepStrictEqual([...yield* Fiber.join(reading)], [...all])
          })
      })
      points(`${carrier} flush`, swept)
    }), 60_000)

  it.live("closeWrite sends what was accepted and then the end", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: written,
        scenario: ({ left }) => left.closeWrite,
        check: ({ left, reading, right }) =>
          Effect.gen(function*() {
            yield* left.closeWrite
            assert.deepStrictEqual([...yield* Fiber.join(reading)], [...all])
            yield* right.write(bytes(1))
            const answer = yield* Effect.zipLeft(readAll(left), right.closeWrite, { concurrent: true })
            assert.deepStrictEqual([...answer], [1])
            assert.strictEqual((yield* left.closed)._tag, "Clean")
          })
      })
      points(`${carrier} closeWrite`, swept)
    }), 60_000)

  it.live("close sends what was accepted, and goes on by itself", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: Effect.gen(function*() {
          const pair = yield* opened(makePair, { lingerTimeout: "1 seconds" })
          yield* pair.left.writeAll(chunks)
          return { ...pair, reading: yield* Effect.fork(Effect.zipLeft(readAll(pair.right), pair.right.close)) }
        }),
        scenario: ({ left }) => left.close,
        check: ({ left, reading }) =>
          Effect.gen(function*() {
            yield* left.close
            assert.deepStrictEqual([...yield* Fiber.join(reading)], [...all])
            assert.deepStrictEqual(yield* left.closed, {
              _tag: "Clean",
              firstEnded: "local",
              peerEnded: true,
              bytesRead: 0,
              bytesWritten: all.length
            })
          })
      })
      points(`${carrier} close`, swept)
    }), 60_000)

  it.live("abort leaves nothing", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: written,
        scenario: ({ left }) => left.abort,
        check: ({ left }) =>
          Effect.gen(function*() {
            yield* left.abort
            const reason = yield* left.closed
            assert.strictEqual(reason._tag === "Lost" && reason.error._tag, "ConnectionAborted")
          })
      })
      points(`${carrier} abort`, swept)
    }), 60_000)

  it.live("the Scope of a pair ends it", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: Effect.gen(function*() {
          yield* nothingLeft
          return [] as Array<Transport.Transport>
        }),
        scenario: (made) =>
          Effect.scoped(Effect.flatMap(makePair({ lingerTimeout: 0 }), (pair) => {
            made.push(...pair)
            return Effect.zipRight(pair[0].write(bytes(1)), pair[1].pull)
          })),
        check: (made) => Effect.forEach(made, (transport) => transport.closed)
      })
      points(`${carrier} open`, swept)
    }), 60_000)
})

describe.each(
  [
    ["TCP", "tcp"],
    ["UNIX", "unix"]
  ] as const
)("interrupted at every step over %s", (name, carrier) => {
  const listening = Effect.zipRight(nothingLeft, listener(carrier, { lingerTimeout: 0 }))

  it.live("connect leaves a connection or nothing", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: Effect.gen(function*() {
          return { listener: yield* listening, noted: [] as Array<Transport.Transport> }
        }),
        scenario: ({ listener, noted }) =>
          Effect.scoped(Effect.flatMap(dial(listener.address, { lingerTimeout: 0 }), (transport) => {
            noted.push(transport)
            return transport.write(bytes(1, 2, 3))
          })),
        check: ({ noted }, exit) =>
          Effect.gen(function*() {
            for (const transport of noted) {
              const reason = yield* transport.closed
              if (Exit.isSuccess(exit)) assert.strictEqual(reason._tag, "Clean")
            }
          })
      })
      points(`${name} connect`, swept)
    }), 60_000)

  it.live("accept takes a connection, or leaves it to the next", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: Effect.gen(function*() {
          const listener = yield* listening
          const client = yield* dial(listener.address, { lingerTimeout: 0 })
          return { listener, client, noted: [] as Array<Transport.Transport> }
        }),
        scenario: ({ listener, noted }) => Effect.scoped(note(listener.accept, (transport) => noted.push(transport))),
        check: ({ client, listener, noted }) =>
          Effect.gen(function*() {
            yield* eventually(() => listener.stats().connected === 1)
            // Whoever has taken it has closed it with its Scope.
            if (noted.length === 0 && listener.stats().pending === 1) {
              const transport = yield* listener.accept
              yield* transport.write(bytes(1))
              yield* transport.closeWrite
              assert.deepStrictEqual([...yield* readAll(client)], [1])
            } else {
              yield* Effect.exit(readAll(client))
            }
          })
      })
      points(`${name} accept`, swept)
    }), 60_000)

  it.live("listen leaves a listener or nothing", () =>
    Effect.gen(function*() {
      const swept = yield* sweep({
        setup: nothingLeft,
        scenario: () => Effect.scoped(listener(carrier)),
        check: () => Effect.void
      })
      points(`${name} listen`, swept)
    }), 60_000)
})
