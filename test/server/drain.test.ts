import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import * as Listener from "../../src/Listener.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as Server from "../../src/server/Server.ts"
import * as VirtualClock from "../../src/testing/VirtualClock.ts"
import type { Transport } from "../../src/Transport.ts"
import { ascii, bytes, joined } from "../support/bytes.ts"
import { settle } from "../support/fibers.ts"
import * as Peer from "../support/peer.ts"
import { network, none, obedient } from "../support/serving.ts"

type Handler = (transport: Transport) => Effect.Effect<unknown, unknown, Scope.Scope>

interface Kind {
  /** What its connections do when the drain begins, 500 ms after they came. */
  readonly doing: string
  readonly handler: Handler
  /** Of the client, before it reads. */
  readonly sends?: string
  /** When the client begins to read, and ends when it has read all: at once, by default. */
  readonly readsAt?: number
  readonly outcome: Server.Outcome | "turned away"
  /** What the client gets: so many bytes, and how they end. */
  readonly gets: readonly [bytes: number, ending: string]
  /** When nothing is left of it. */
  readonly over: number
}

const echo: Handler = (transport) => transport.forEach(transport.write)

/** The drain begins at 500 ms, and its deadline is at 3500 ms. The server looks for idle ones each 20 ms. */
const kinds: ReadonlyArray<Kind> = [
  {
    doing: "wait for input, without a fiber",
    handler: echo,
    sends: "hi",
    outcome: "drained",
    gets: [2, "end"],
    over: 500
  },
  {
    doing: "wait for input, in a fiber",
    handler: obedient,
    sends: "hi",
    outcome: "drained",
    gets: [2, "end"],
    over: 500
  },
  {
    doing: "work on the last answer",
    handler: obedient,
    sends: "w.",
    outcome: "completed",
    gets: [2, "end"],
    over: 1000
  },
  { doing: "work on an answer", handler: obedient, sends: "w", outcome: "drained", gets: [1, "end"], over: 1000 },
  {
    doing: "work where nothing interrupts",
    handler: (transport) =>
      Effect.zip(
        Effect.uninterruptible(Effect.zipRight(Effect.sleep("1 second"), transport.write(ascii("done")))),
        transport.pull,
        {
          concurrent: true
        }
      ),
    outcome: "drained",
    gets: [4, "end"],
    over: 1000
  },
  {
    doing: "wait in the middle of a write for a client that reads later",
    handler: (transport) => transport.writeAll([bytes(600), bytes(600), bytes(600)]),
    readsAt: 2000,
    outcome: "completed",
    gets: [1800, "end"],
    over: 2000
  },
  {
    doing: "have something left to send, and wait for input",
    handler: (transport) => Effect.zipRight(transport.write(bytes(600)), transport.pull),
    readsAt: 2000,
    outcome: "drained",
    gets: [600, "end"],
    over: 2000
  },
  {
    doing: "wait in the middle of a write for a client that never reads",
    handler: (transport) => transport.writeAll([bytes(600), bytes(600)]),
    readsAt: Infinity,
    outcome: "aborted",
    gets: [0, "ConnectionReset"],
    over: 3500
  },
  {
    doing: "run a finalizer",
    handler: (transport) =>
      Effect.addFinalizer(() =>
        Effect.zipRight(Effect.sleep("1 second"), Effect.ignore(transport.write(ascii("bye"))))
      ),
    outcome: "completed",
    gets: [3, "end"],
    over: 1000
  },
  {
    doing: "close, and wait for the client's end",
    handler: (transport) => transport.write(ascii("bye")),
    readsAt: 1000,
    outcome: "completed",
    gets: [3, "end"],
    over: 1000
  },
  {
    doing: "close a client that was refused",
    handler: echo,
    readsAt: 1000,
    outcome: "refused",
    gets: [0, "end"],
    over: 1000
  },
  {
    doing: "do what takes for ever",
    handler: () => Effect.never,
    outcome: "aborted",
    gets: [0, "ConnectionReset"],
    over: 3500
  },
  { doing: "wait in the listener", handler: echo, sends: "hi", outcome: "turned away", gets: [0, "end"], over: 500 }
]

const kindOf = ({ remoteAddress }: Pick<Transport, "remoteAddress">): Kind =>
  kinds[(remoteAddress as Address.TcpAddress).port]!

/** What a client got when it has read all, and how that ended. */
const reading = (client: Transport) => {
  const chunks: Array<Uint8Array> = []
  const loop: Effect.Effect<string> = Effect.matchEffect(client.pull, {
    onFailure: ({ _tag }) => Effect.succeed(_tag),
    onSuccess: (chunk) => {
      if (chunk === null) return Effect.as(Effect.ignore(client.closeWrite), "end")
      chunks.push(chunk)
      return loop
    }
  })
  return Effect.map(loop, (ending) => [joined(chunks).length, ending] as const)
}

describe("a drain", () => {
  const each = 1000

  it.live(
    "of a thousand connections in every phase of their lives loses nothing, and is over in time",
    () =>
      VirtualClock.run(
        Effect.scoped(Effect.gen(function*() {
          const net = network({
            capacity: 512,
            highWaterMark: 512,
            maxPending: each,
            lingerTimeout: "10 seconds",
            closeTimeout: "10 seconds"
          })
          const ends = new Map<Kind, Array<readonly [outcome: string, at: number]>>()
          const server = yield* Server.make(net.listener, (transport) => kindOf(transport).handler(transport), {
            maxConnections: each * (kinds.length - 2),
            admit: (remoteAddress) => kindOf({ remoteAddress }).outcome !== "refused",
            onEnd: ({ duration, outcome, remoteAddress }) => {
              const kind = kindOf({ remoteAddress })
              const all = ends.get(kind) ?? []
              ends.set(kind, all)
              all.push([outcome, Duration.toMillis(duration)])
            }
          })
          const clients = yield* Effect.forEach(kinds, (kind, index) =>
            Effect.forEach(Array.from({ length: each }), () =>
              Effect.gen(function*() {
                const client = yield* net.connectFrom(Address.tcp("192.0.2.1", index))
                if (kind.sends !== undefined) {
                  yield* client.write(ascii(kind.sends))
                }
                const read = kind.readsAt === Infinity
                  ? Effect.zipRight(server.closed, reading(client))
                  : Effect.zipRight(Effect.sleep(kind.readsAt ?? 0), reading(client))
                return yield* Effect.fork(read)
              })))
          yield* Effect.sleep("500 millis")
          assert.deepStrictEqual(
            [server.stats().open, net.listener.stats().pending],
            [each * (kinds.length - 1), each]
          )
          const report = yield* server.drain("3 seconds")
          assert.strictEqual(yield* Clock.currentTimeMillis, 3500)
          for (const [index, kind] of kinds.entries()) {
            const got = yield* Fiber.join(Fiber.all(clients[index]!))
            for (const one of got) {
              assert.deepStrictEqual(one, kind.gets, kind.doing)
            }
            const expected = kind.outcome === "turned away" ? [] : got.map(() =>
              [kind.outcome, kind.over] as const
            )
            assert.deepStrictEqual(ends.get(kind) ?? [], expected, kind.doing)
          }
          const count = (outcome: Server.Outcome) => each * kinds.filter((kind) => kind.outcome === outcome).length
          assert.deepStrictEqual(report, {
            accepted: each * (kinds.length - 1),
            refused: count("refused"),
            completed: count("completed"),
            failed: 0,
            drained: count("drained"),
            aborted: count("aborted")
          })
        })).pipe(Logger.withMinimumLogLevel(LogLevel.None))
      ),
    60_000
  )
})

describe("a drain over TCP", () => {
  it.scopedLive("ends a thousand peers in order, idle or busy, and none is reset", () =>
    Effect.gen(function*() {
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      let busy = 0
      const answerLate = (transport: Transport, chunk: Uint8Array) =>
        Effect.suspend(() => {
          busy++
          return Effect.flatMap(Server.Server, ({ draining }) => Effect.zipRight(draining, transport.write(chunk)))
        })
      const server = yield* Server.make(
        listener,
        (transport) =>
          transport.forEach((chunk) => chunk[0] === 0 ? transport.write(chunk) : answerLate(transport, chunk))
      )
      const peers = yield* Effect.forEach(
        Array.from({ length: 1000 }, (_, index) => index % 2),
        (late) =>
          Effect.gen(function*() {
            const peer = yield* Peer.connect(listener.address)
            yield* peer.write(bytes(1))
            yield* peer.readBytes(1)
            if (late === 1) yield* peer.write(bytes(1, 1))
            return peer
          }),
        { concurrency: 100 }
      )
      yield* Peer.eventually(() => busy === 500)
      const report = yield* Effect.fork(server.drain())
      for (const [index, peer] of peers.entries()) {
        assert.deepStrictEqual([...yield* peer.readAll()], index % 2 === 1 ? [0, 1] : [0])
        assert.isTrue(peer.ended)
        peer.end()
      }
      assert.deepStrictEqual(yield* Fiber.join(report), { ...none, accepted: 1000, drained: 1000 })
      for (const peer of peers) assert.isUndefined(peer.code)
    }), 30_000)
})

it.scoped("a reader that lets the event loop turn, with input at hand, is not idle", () =>
  Effect.gen(function*() {
    const { listener, offer } = Listener.make({ address: Address.memory("server"), maxPending: 1, stop: Effect.void })
    const [carrier] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
    offer(NetworkLayer.derive(carrier, { stats: () => ({ ...carrier.stats(), pulling: true, unread: 1 }) }))
    const handler: Handler = (transport) => Effect.zipRight(transport.write(bytes(1)), Effect.never)
    const report = yield* Effect.fork(Server.serve(listener, handler, { drainTimeout: "1 second" }))
    yield* settle
    yield* listener.close
    yield* settle
    yield* TestClock.adjust("2 seconds")
    assert.deepInclude(yield* Fiber.join(report), { drained: 0, aborted: 1 })
  }))
