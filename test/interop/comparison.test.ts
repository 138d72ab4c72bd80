/**
 * What docs/from-effect-socket.md says of the stock Sockets and of these: each row by what comes of the same program, or by
 * an event that takes place or cannot. Resident memory and rates are left to bench/interop.
 */
import type * as Socket from "@effect/platform/Socket"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Kind, portOf, type Sockets, sockets } from "../../bench/interop/sockets.ts"
import * as workloads from "../../bench/interop/workloads.ts"
import * as Address from "../../src/Address.ts"
import * as Peer from "../support/peer.ts"

const MiB = 1024 * 1024

/** A server with this handler, and a peer that is connected to it. */
const connected = <E>({ server }: Sockets, handler: (socket: Socket.Socket) => Effect.Effect<unknown, E>) =>
  Effect.gen(function*() {
    const listening = yield* server
    yield* Effect.forkDaemon(listening.run(handler))
    return yield* Peer.connect(Address.tcp("127.0.0.1", portOf(listening)))
  })

/** Turns of the event loop after which something that only waits for its turn would have happened. */
const manyTurns = Peer.turns(200)

describe("the same program over both kinds of Sockets", () => {
  const expected: ReadonlyArray<readonly [Exclude<keyof typeof workloads, "rates">, Kind, unknown]> = [
    ["answerAfterEnd", "stock", 0],
    ["answerAfterEnd", "ours", MiB],
    ["handledAtEnd", "stock", "0 of 10"],
    ["handledAtEnd", "ours", "10 of 10"],
    ["order", "strict", "0123456789"],
    ["writeAfterLoss", "ours", "fails (SocketError Write, by ConnectionReset)"],
    ["scopeClose", "ours", "ends"],
    ["callAtReset", "ours", "fails (RpcClientError)"]
  ]
  for (const [workload, kind, outcome] of expected) {
    it.scopedLive(`${workload}, ${kind}: ${outcome}`, () =>
      Effect.map(
        workloads[workload](sockets[kind]) as Effect.Effect<unknown, unknown, Scope.Scope>,
        (result) => assert.strictEqual(result, outcome)
      ))
  }

  it.scopedLive("callAtReset, stock: some die", () =>
    Effect.map(workloads.callAtReset(sockets.stock), (outcomes) => assert.include(outcomes, "dies (SocketError")))
})

describe("a fast sender, and nobody who is done with a chunk", () => {
  const chunk = new Uint8Array(64 * 1024)
  const total = 32 * MiB

  /** What takes the chunks, and is done with none before the gate opens. */
  const consumers = {
    "a Stream": ({ toChannel }: Sockets, socket: Socket.Socket, take: (bytes: Uint8Array) => Effect.Effect<void>) =>
      Stream.never.pipe(Stream.pipeThroughChannel(toChannel(socket)), Stream.runForEach(take)),
    "run, and a semaphore": (_: Sockets, socket: Socket.Socket, take: (bytes: Uint8Array) => Effect.Effect<void>) =>
      Effect.flatMap(Effect.makeSemaphore(1), (one) => socket.run((bytes) => one.withPermits(1)(take(bytes))))
  }

  const flood = (kind: Kind, consume: typeof consumers[keyof typeof consumers]) =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch()
      let handled = 0
      const take = (bytes: Uint8Array) => Effect.zipRight(gate.await, Effect.sync(() => void (handled += bytes.length)))
      const sender = yield* connected(sockets[kind], (socket) => consume(sockets[kind], socket, take))
      let sent = 0
      const send = Effect.map(sender.write(chunk), () => void (sent += chunk.length))
      const sending = yield* Effect.fork(Effect.repeatN(send, total / chunk.length - 1))
      return { gate, handled: () => handled, sent: () => sent, sending }
    })

  /** Until it has not changed for many turns. */
  const settled = (count: () => number) => {
    let [last, turns] = [-1, 0]
    return Peer.eventually(() => {
      turns = count() === last ? turns + 1 : 0
      last = count()
      return turns === 500
    })
  }

  describe.each(Object.entries(consumers))("%s", (_, consume) => {
    it.scopedLive("stock: all of it is taken, and held", () =>
      Effect.gen(function*() {
        const { gate, handled, sending } = yield* flood("stock", consume)
        yield* Fiber.join(sending)
        assert.strictEqual(handled(), 0)
        yield* gate.open
      }))

    it.scopedLive("ours: the sender is held back, until somebody is", () =>
      Effect.gen(function*() {
        const { gate, handled, sending, sent } = yield* flood("ours", consume)
        yield* settled(sent)
        // Most of this is in the kernel, on both sides.
        assert.isBelow(sent(), total / 2)
        assert.strictEqual(handled(), 0)
        yield* gate.open
        yield* Fiber.join(sending)
        yield* Peer.eventually(() => handled() === total)
      }))
  })
})

describe("handlers of which each waits for the one after it", () => {
  for (const kind of ["stock", "ours"] as const) {
    it.scopedLive(`${kind}: run all at once, and are over in the order 9876543210`, () =>
      Effect.gen(function*() {
        const latches = Array.from({ length: 11 }, () => Effect.unsafeMakeLatch())
        const all = yield* Deferred.make<string>()
        latches[10]!.unsafeOpen()
        let begun = 0
        let over = ""
        const client = yield* connected(sockets[kind], (socket) =>
          socket.run(() => {
            const chunk = begun++
            return latches[chunk + 1]!.whenOpen(Effect.suspend(() => {
              over += chunk
              latches[chunk]!.unsafeOpen()
              return chunk === 0 ? Deferred.succeed(all, over) : Effect.void
            }))
          }))
        for (let chunk = 0; chunk < 10; chunk++) {
          yield* client.write("x")
          yield* Peer.eventually(() => begun > chunk)
        }
        assert.strictEqual(yield* Deferred.await(all), "9876543210")
      }))
  }
})

describe("the stock Sockets, where these end", () => {
  it.scopedLive("a write to a peer that has reset the connection waits for ever", () =>
    Effect.gen(function*() {
      const late = yield* Deferred.make<Fiber.RuntimeFiber<void, Socket.SocketError>>()
      const client = yield* connected(sockets.stock, (socket) =>
        Effect.scoped(Effect.gen(function*() {
          const write = yield* socket.writer
          yield* Effect.exit(socket.run(() => {}))
          yield* Deferred.succeed(late, yield* Effect.forkDaemon(write("late")))
        })))
      yield* client.write("x")
      client.reset()
      const writing = yield* Deferred.await(late)
      yield* manyTurns
      assert.isNull(writing.unsafePoll())
    }))

  it.scopedLive("the end of the server's Scope waits for a connection that is open", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const accepted = yield* Deferred.make<void>()
      const server = { ...sockets.stock, server: Scope.extend(sockets.stock.server, scope) }
      const client = yield* connected(server, (socket) =>
        socket.run(() => {}, { onOpen: Effect.asVoid(Deferred.succeed(accepted, undefined)) }))
      yield* Deferred.await(accepted)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* manyTurns
      assert.isNull(closing.unsafePoll())
      // It is the connection, and nothing else, that it waits for.
      client.destroy()
      yield* Fiber.join(closing)
    }))
})
