import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Supervisor from "effect/Supervisor"
import * as TestClock from "effect/TestClock"
import { createHash } from "node:crypto"
import * as Address from "../src/Address.ts"
import * as MemoryTransport from "../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../src/NetworkLayer.ts"
import * as Tcp from "../src/node/Tcp.ts"
import * as Relay from "../src/Relay.ts"
import { sweep } from "../src/testing/InterruptSweep.ts"
import * as RecordingTransport from "../src/testing/RecordingTransport.ts"
import type { Transport } from "../src/Transport.ts"
import * as bytes from "./support/bytes.ts"
import { failed, rootFibers, settle } from "./support/fibers.ts"
import * as Peer from "./support/peer.ts"

/** client ⇄ left [relay] right ⇄ server, and the relay's fiber. */
const joined = (options: Relay.RelayOptions & MemoryTransport.PairOptions = {}) =>
  Effect.gen(function*() {
    const [client, left] = yield* MemoryTransport.pair(options)
    const [right, server] = yield* MemoryTransport.pair(options)
    const relay = yield* Effect.fork(Effect.exit(Relay.run(left, right, options)))
    return { client, left, right, server, relay }
  })

const succeeded = <A, E>(exit: Exit.Exit<A, E>): A => {
  if (Exit.isFailure(exit)) throw new Error(Cause.pretty(exit.cause))
  return exit.value
}

const lost = <A, E>(exit: Exit.Exit<A, E>): Extract<E, { readonly _tag: "RelayLost" }> => {
  const error = failed(exit) as { readonly _tag: string }
  assert.strictEqual(error._tag, "RelayLost")
  return error as Extract<E, { readonly _tag: "RelayLost" }>
}

const readText = <E>(transport: Transport<E>) => Effect.map(Peer.readAll(transport), String)

describe("Relay.run", () => {
  it.scoped("passes bytes both ways, and tells how many", () =>
    Effect.gen(function*() {
      const { client, relay, server } = yield* joined()
      yield* client.write(bytes.ascii("question"))
      assert.strictEqual(bytes.text((yield* server.pull)!), "question")
      yield* server.write(bytes.ascii("answer"))
      assert.strictEqual(bytes.text((yield* client.pull)!), "answer")
      yield* client.closeWrite
      yield* server.closeWrite
      assert.isNull(yield* server.pull)
      assert.isNull(yield* client.pull)
      assert.deepStrictEqual(succeeded(yield* relay), { leftToRight: 8, rightToLeft: 6 })
    }))

  it.scoped("passes the client's end on after its bytes, while the server goes on", () =>
    Effect.gen(function*() {
      const { client, relay, server } = yield* joined()
      yield* client.write(bytes.ascii("all of it"))
      yield* client.closeWrite
      assert.strictEqual(yield* readText(server), "all of it")
      yield* server.write(bytes.ascii("late"))
      yield* server.closeWrite
      assert.strictEqual(yield* readText(client), "late")
      assert.deepStrictEqual(succeeded(yield* relay), { leftToRight: 9, rightToLeft: 4 })
    }))

  it.scoped("passes the server's end on after its bytes, while the client goes on", () =>
    Effect.gen(function*() {
      const { client, relay, server } = yield* joined()
      yield* server.write(bytes.ascii("welcome"))
      yield* server.closeWrite
      assert.strictEqual(yield* readText(client), "welcome")
      yield* client.write(bytes.ascii("late"))
      yield* client.closeWrite
      assert.strictEqual(yield* readText(server), "late")
      assert.deepStrictEqual(succeeded(yield* relay), { leftToRight: 4, rightToLeft: 7 })
    }))

  it.scoped("leaves nothing of either transport when it has succeeded", () =>
    Effect.gen(function*() {
      const { client, left, relay, right, server } = yield* joined()
      yield* client.closeWrite
      yield* server.closeWrite
      yield* Peer.readAll(client)
      yield* Peer.readAll(server)
      succeeded(yield* relay)
      const reasons = [yield* Effect.fork(left.closed), yield* Effect.fork(right.closed)]
      yield* Effect.yieldNow()
      for (const reason of reasons) {
        const done = yield* Fiber.poll(reason)
        assert.strictEqual(done._tag === "Some" && succeeded(done.value)._tag, "Clean")
      }
    }))

  it.scoped("moves 20 MiB unchanged within the bounds of its transports", () =>
    Effect.gen(function*() {
      const limits = { capacity: 4096, readBufferSize: 8192, highWaterMark: 8192, maxChunkSize: 4096 }
      const { client, left, relay, right, server } = yield* joined(limits)
      const size = 20 * 1024 * 1024
      const data = Peer.pattern(size)
      yield* Effect.fork(
        Effect.zipRight(
          Effect.forEach(
            Array.from({ length: size / 16384 }, (_, index) => data.subarray(index * 16384, (index + 1) * 16384)),
            client.write,
            { discard: true }
          ),
          client.closeWrite
        )
      )
      yield* server.closeWrite
      const hash = createHash("sha256")
      let highest = 0
      for (let chunk = yield* server.pull; chunk !== null; chunk = yield* server.pull) {
        hash.update(chunk)
        highest = Math.max(highest, left.stats().unread + right.stats().buffered)
      }
      assert.strictEqual(hash.digest("hex"), createHash("sha256").update(data).digest("hex"))
      assert.isAtMost(highest, 8192 + 4096 + 8192 + 4096)
      assert.deepStrictEqual(succeeded(yield* relay), { leftToRight: size, rightToLeft: 0 })
    }))

  it.scoped("a server that does not read holds the client back", () =>
    Effect.gen(function*() {
      const limits = { capacity: 1024, readBufferSize: 1024, highWaterMark: 1024 }
      const { client, left, right, server } = yield* joined(limits)
      const writer = yield* Effect.fork(Effect.forever(client.write(bytes.bytes(256))))
      yield* settle
      assert.strictEqual(client.stats().writersWaiting, 1)
      assert.isNull((yield* Fiber.poll(writer)).pipe((polled) => polled._tag === "None" ? null : polled.value))
      // Three buffers of a kibibyte (written, read ahead, written), twice the wire, and the chunk in the relay's hands.
      const inFlight = client.stats().bytesWritten
      assert.isAtMost(inFlight, 1024 + 1024 + 1024 + 1024 + 256 * 4)
      assert.strictEqual(right.stats().writersWaiting, 1)
      assert.isAtMost(left.stats().unread, 1024)
      yield* settle
      assert.strictEqual(client.stats().bytesWritten, inFlight)
      for (let read = 0; read < 64 * 1024;) read += (yield* server.pull)!.length
      assert.isAbove(client.stats().bytesWritten, inFlight)
      yield* Fiber.interrupt(writer)
    }))

  it.scoped("passes a reset on as a reset, and says which side was lost, why, and what had been moved", () =>
    Effect.gen(function*() {
      const { client, left, relay, server } = yield* joined()
      yield* client.write(bytes.ascii("12345"))
      yield* server.write(bytes.ascii("123"))
      yield* server.pull
      yield* client.pull
      yield* client.abort
      const error = lost(yield* relay)
      assert.strictEqual(error.side, "left")
      assert.strictEqual(error.error._tag, "ConnectionReset")
      assert.deepStrictEqual([error.leftToRight, error.rightToLeft], [5, 3])
      assert.strictEqual((yield* Effect.flip(server.pull))._tag, "ConnectionReset")
      const reason = yield* left.closed
      assert.isTrue(reason._tag === "Lost" && reason.error === error.error)
      assert.match(
        error.message,
        /lost its left side after 5 bytes from left to right and 3 from right to left: The conn/
      )
    }))

  it.scoped("passes what came before a loss on, also where both come at once", () =>
    Effect.gen(function*() {
      for (const side of ["left", "right"] as const) {
        const [lossy, other] = [yield* RecordingTransport.make(), yield* RecordingTransport.make()]
        yield* lossy.receive(bytes.ascii("last words"))
        yield* lossy.reset
        const ends = side === "left" ? [lossy, other] as const : [other, lossy] as const
        const failure = lost(yield* Effect.exit(Relay.run(ends[0].transport, ends[1].transport)))
        assert.strictEqual(failure.side, side)
        const reason = yield* other.transport.closed
        assert.deepInclude(reason._tag === "Lost" && reason.error, { bytesWritten: 10, bytesUnsent: 0 })
      }
      // Without room for it, the loss does not wait.
      const [lossy, other] = [yield* RecordingTransport.make(), yield* RecordingTransport.make()]
      yield* other.hold
      yield* lossy.receive(bytes.ascii("last words"))
      yield* lossy.reset
      lost(yield* Effect.exit(Relay.run(lossy.transport, other.transport)))
    }))

  it.scoped("passes the server's reset on as well", () =>
    Effect.gen(function*() {
      const { client, relay, right, server } = yield* joined()
      yield* server.abort
      const error = lost(yield* relay)
      assert.strictEqual(error.side, "right")
      assert.strictEqual((yield* Effect.flip(client.pull))._tag, "ConnectionReset")
      assert.strictEqual((yield* right.closed)._tag, "Lost")
    }))

  it.scoped("aborts the left when a write finds the right gone", () =>
    Effect.gen(function*() {
      const { client, relay, right, server } = yield* joined({ lingerTimeout: 0 })
      // The server has said all it had to say, closes, and does not wait to hear more: nothing but a write tells.
      yield* server.closeWrite
      assert.isNull(yield* client.pull)
      yield* server.close
      yield* client.write(bytes.ascii("anybody there?"))
      const error = lost(yield* relay)
      assert.strictEqual(error.side, "right")
      assert.strictEqual(error.error._tag, "BrokenPipe")
      assert.strictEqual((yield* Effect.flip(client.write(bytes.ascii("x"))))._tag, "ConnectionReset")
      assert.strictEqual((yield* right.closed)._tag, "Lost")
    }))

  /** The client has sent what the relay cannot pass on, since the server does not read: it does not read from the left. */
  const stuck = Effect.gen(function*() {
    const parts = yield* joined({ highWaterMark: 1000, capacity: 1000 })
    yield* Effect.forkScoped(Effect.ignore(Effect.forever(parts.client.write(new Uint8Array(1000)))))
    while (parts.left.stats().unread === 0) yield* Effect.yieldNow()
    yield* settle
    return parts
  })

  it.scoped("notices the loss of a side that it does not read, since the other one does not", () =>
    Effect.gen(function*() {
      const { left, relay, server } = yield* stuck
      yield* left.abort
      const error = lost(yield* relay)
      assert.strictEqual(error.side, "left")
      assert.propertyVal(error.error, "_tag", "ConnectionAborted")
      assert.strictEqual((yield* server.closed)._tag, "Lost")
    }))

  it.scoped("notices it too while it waits for the other side to take its end", () =>
    Effect.gen(function*() {
      const { client, left, relay, server } = yield* joined({ highWaterMark: 1000, capacity: 1000 })
      yield* client.writeAll([new Uint8Array(1000), new Uint8Array(1000), new Uint8Array(1)])
      yield* client.closeWrite
      while (left.stats().bytesRead < 2001) yield* Effect.yieldNow()
      yield* settle
      assert.isNull(relay.unsafePoll())
      yield* left.abort
      assert.strictEqual(lost(yield* relay).side, "left")
      assert.strictEqual((yield* server.closed)._tag, "Lost")
    }))

  for (
    const [what, pull] of [["a defect", Effect.die("a bug in a layer")], ["an interruption", Effect.interrupt]] as const
  ) {
    it.scoped(`${what} beneath either side is its own, and aborts both`, () =>
      Effect.forEach(["left", "right"] as const, (side) =>
        Effect.gen(function*() {
          const [client, left] = yield* MemoryTransport.pair()
          const [right, server] = yield* MemoryTransport.pair()
          const broken = NetworkLayer.derive(side === "left" ? left : right, { pull })
          const relay = Relay.run(side === "left" ? broken : left, side === "left" ? right : broken)
          const exit = yield* Effect.exit(relay)
          assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === (what === "a defect" ? "Die" : "Interrupt"))
          assert.strictEqual((yield* client.closed)._tag, "Lost")
          assert.strictEqual((yield* server.closed)._tag, "Lost")
        })))
  }

  it.scoped("counts what was accepted, and not the chunk that still waits for room", () =>
    Effect.gen(function*() {
      const limits = { capacity: 64, readBufferSize: 64, highWaterMark: 64, maxChunkSize: 32 }
      const { client, relay, right, server } = yield* joined(limits)
      yield* Effect.fork(client.write(new Uint8Array(4096)))
      while (right.stats().writersWaiting === 0) yield* settle
      const { buffered, bytesWritten } = right.stats()
      yield* client.abort
      yield* server.write(bytes.ascii("x"))
      const error = lost(yield* relay)
      assert.strictEqual(error.side, "left")
      assert.strictEqual(error.leftToRight, bytesWritten + buffered)
    }))

  it.scoped("notices a reset that comes after the end", () =>
    Effect.gen(function*() {
      const { client, relay, server } = yield* joined()
      yield* server.closeWrite
      assert.isNull(yield* client.pull)
      yield* server.abort
      const error = lost(yield* relay)
      assert.strictEqual(error.side, "right")
      assert.strictEqual(error.error._tag, "ConnectionReset")
      assert.strictEqual((yield* Effect.flip(client.write(bytes.ascii("x"))))._tag, "ConnectionReset")
    }))

  it.scoped("notices it also where the other side's end is out at once", () =>
    Effect.gen(function*() {
      const [client, left] = yield* MemoryTransport.pair()
      const [right, server] = yield* MemoryTransport.pair()
      const relay = yield* Effect.fork(
        Effect.exit(Relay.run(left, NetworkLayer.derive(right, { closeWrite: Effect.void })))
      )
      yield* client.closeWrite
      yield* settle
      yield* left.abort
      assert.strictEqual(lost(yield* relay).side, "left")
      assert.strictEqual((yield* server.closed)._tag, "Lost")
    }))

  it.scoped("fails when somebody else has ended the writing of a side", () =>
    Effect.gen(function*() {
      const { client, relay, right } = yield* joined()
      yield* right.closeWrite
      yield* client.write(bytes.ascii("x"))
      const error = lost(yield* relay)
      assert.strictEqual(error.side, "right")
      assert.strictEqual(error.error._tag, "WriteAfterEnd")
      assert.strictEqual((yield* Effect.flip(client.pull))._tag, "ConnectionReset")
    }))

  it.scoped("fails when a side is closed under its hands", () =>
    Effect.gen(function*() {
      const { left, relay, server } = yield* joined()
      yield* Effect.fork(left.close)
      assert.strictEqual(lost(yield* relay).error._tag, "ConnectionClosed")
      assert.strictEqual((yield* Effect.flip(server.pull))._tag, "ConnectionReset")
    }))

  it.scoped("interrupted, leaves no fiber behind and ends neither side", () =>
    Effect.gen(function*() {
      const [client, left] = yield* MemoryTransport.pair()
      const [right, server] = yield* MemoryTransport.pair()
      const before = yield* rootFibers
      const relay = yield* Effect.forkDaemon(Relay.run(left, right, { halfOpenTimeout: "1 minute" }))
      yield* client.write(bytes.ascii("first"))
      yield* client.closeWrite
      assert.strictEqual(bytes.text(yield* Peer.readAll(server)), "first")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(relay)))
      assert.strictEqual(yield* rootFibers, before)
      yield* server.write(bytes.ascii("second"))
      assert.strictEqual(bytes.text((yield* right.pull)!), "second")
      yield* left.write(bytes.ascii("third"))
      assert.strictEqual(bytes.text((yield* client.pull)!), "third")
    }))

  it.scoped("stays half-open for as long as it takes, by default", () =>
    Effect.gen(function*() {
      const { client, relay, server } = yield* joined()
      yield* client.closeWrite
      assert.isNull(yield* server.pull)
      yield* TestClock.adjust("30 days")
      yield* server.write(bytes.ascii("at last"))
      yield* server.closeWrite
      assert.strictEqual(yield* readText(client), "at last")
      succeeded(yield* relay)
    }))

  it.scoped("gives up a half-open relay in which nothing moves for halfOpenTimeout", () =>
    Effect.gen(function*() {
      const { client, relay, server } = yield* joined({ halfOpenTimeout: "10 seconds" })
      yield* TestClock.adjust("1 hour") // Open in both directions it may rest.
      yield* client.write(bytes.ascii("question"))
      yield* client.closeWrite
      assert.strictEqual(yield* readText(server), "question")
      for (let answers = 0; answers < 5; answers++) {
        yield* TestClock.adjust("9 seconds")
        yield* server.write(bytes.ascii("."))
        assert.strictEqual(bytes.text((yield* client.pull)!), ".")
      }
      yield* TestClock.adjust("9999 millis")
      yield* settle
      assert.strictEqual((yield* Fiber.poll(relay))._tag, "None")
      yield* TestClock.adjust("1 millis")
      const error = failed(yield* relay)
      assert.strictEqual(error._tag, "HalfOpenTimeout")
      assert.deepInclude(error, { open: "rightToLeft", leftToRight: 8, rightToLeft: 5 })
      assert.match(error.message, /nothing moved from right to left for 10s/)
      assert.strictEqual((yield* Effect.flip(client.pull))._tag, "ConnectionReset")
      assert.strictEqual((yield* Effect.flip(server.write(bytes.ascii("x"))))._tag, "ConnectionReset")
    }))

  it.scoped("a half-open relay whose open direction is stuck in a full buffer is given up as well", () =>
    Effect.gen(function*() {
      const limits = { capacity: 64, readBufferSize: 64, highWaterMark: 64 }
      const { client, relay, server } = yield* joined({ halfOpenTimeout: "10 seconds", ...limits })
      yield* server.closeWrite
      assert.isNull(yield* client.pull)
      const writer = yield* Effect.fork(Effect.flip(Effect.forever(client.write(bytes.bytes(64)))))
      yield* settle
      yield* TestClock.adjust("10 seconds")
      const error = failed(yield* relay)
      assert.deepInclude(error, { _tag: "HalfOpenTimeout", open: "leftToRight" })
      assert.strictEqual((yield* writer)._tag, "ConnectionReset")
    }))

  it.scoped("a loss that takes longer than halfOpenTimeout to end both sides is still that loss", () =>
    Effect.gen(function*() {
      const [client, carrier] = yield* MemoryTransport.pair()
      const [right, server] = yield* MemoryTransport.pair()
      const slowly = yield* Effect.makeLatch()
      const left = NetworkLayer.derive(carrier, { abort: Effect.zipRight(slowly.await, carrier.abort) })
      const relay = yield* Effect.fork(Effect.exit(Relay.run(left, right, { halfOpenTimeout: "10 seconds" })))
      yield* client.closeWrite
      yield* settle
      yield* server.abort
      yield* settle
      yield* TestClock.adjust("11 seconds")
      yield* settle
      yield* slowly.open
      assert.strictEqual(lost(yield* Fiber.join(relay)).side, "right")
    }))

  it.scoped("a half-open relay whose target takes slowly what was read long ago goes on", () =>
    Effect.gen(function*() {
      const [client, left] = yield* MemoryTransport.pair()
      const [right, server] = yield* MemoryTransport.pair({ capacity: 10, readBufferSize: 0, maxChunkSize: 10 })
      const relay = yield* Effect.fork(Effect.exit(Relay.run(left, right, { halfOpenTimeout: "10 seconds" })))
      yield* server.closeWrite
      assert.isNull(yield* client.pull)
      yield* client.write(bytes.bytes(50))
      yield* settle
      for (let taken = 0; taken < 50;) {
        yield* TestClock.adjust("9 seconds")
        yield* settle
        taken += (yield* server.pull)!.length
        yield* settle
      }
      yield* client.closeWrite
      assert.isNull(yield* server.pull)
      assert.deepStrictEqual(succeeded(yield* Fiber.join(relay)), { leftToRight: 50, rightToLeft: 0 })
    }))

  it.scoped("is over at once when the open direction ends within halfOpenTimeout, and leaves no fiber", () =>
    Effect.gen(function*() {
      const [client, left] = yield* MemoryTransport.pair()
      const [right, server] = yield* MemoryTransport.pair()
      yield* client.closeWrite
      yield* Effect.fork(Effect.gen(function*() {
        yield* Peer.readAll(server)
        yield* TestClock.adjust("9 seconds")
        yield* server.closeWrite
        yield* Peer.readAll(client)
      }))
      const supervisor = yield* Supervisor.track
      const relay = Effect.supervised(Relay.run(left, right, { halfOpenTimeout: "10 seconds" }), supervisor)
      assert.deepStrictEqual(yield* relay, { leftToRight: 0, rightToLeft: 0 })
      assert.lengthOf(yield* supervisor.value, 0)
    }))

  it.effect.prop(
    "delivers every byte in order, whatever the chunks, both ways at once",
    [bytes.chunks, bytes.chunks, FastCheck.integer({ min: 1, max: 5 }), FastCheck.integer({ min: 0, max: 5 })],
    ([up, down, maxChunkSize, capacity]) =>
      Effect.scoped(Effect.gen(function*() {
        const { client, relay, server } = yield* joined({ maxChunkSize, capacity, highWaterMark: 4, readBufferSize: 4 })
        const talk = (transport: Transport, chunks: ReadonlyArray<Uint8Array>) =>
          Effect.all([
            Effect.zipRight(Effect.forEach(chunks, transport.write, { discard: true }), transport.closeWrite),
            Peer.readAll(transport)
          ], { concurrency: 2 })
        const [[, atClient], [, atServer]] = yield* Effect.all([talk(client, up), talk(server, down)], {
          concurrency: 2
        })
        assert.deepStrictEqual([...atServer], [...bytes.joined(up)])
        assert.deepStrictEqual([...atClient], [...bytes.joined(down)])
        assert.deepStrictEqual(succeeded(yield* relay), { leftToRight: atServer.length, rightToLeft: atClient.length })
      }))
  )

  it.scopedLive("interrupted at any moment, it ends, and ends neither side", () =>
    Effect.gen(function*() {
      const { points } = yield* sweep({
        setup: Effect.gen(function*() {
          const [client, left] = yield* MemoryTransport.pair()
          const [right, server] = yield* MemoryTransport.pair()
          yield* client.write(bytes.ascii("question"))
          yield* server.write(bytes.ascii("answer"))
          yield* client.closeWrite
          return { client, left, right, server }
        }),
        scenario: ({ left, right }) =>
          Effect.zipRight(Effect.fork(Relay.run(left, right, { halfOpenTimeout: "1 minute" })), settle),
        check: (transports) =>
          Effect.forEach(Object.values(transports), ({ close, closed }) =>
            Effect.map(Effect.zipRight(close, closed), (reason) =>
              assert.strictEqual(reason._tag, "Clean")), {
            concurrency: "unbounded"
          })
      })
      assert.isAbove(points, 0)
    }), 60_000)

  it.scopedLive("over TCP a reset comes out as a reset, and a half-close as a half-close", () =>
    Effect.gen(function*() {
      const front = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      const back = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      const relays = Effect.scoped(Effect.gen(function*() {
        const left = yield* front.accept
        const right = yield* Tcp.connect(back.address)
        return yield* Effect.exit(Relay.run(left, right))
      }))

      const first = yield* Effect.fork(relays)
      const client = yield* Peer.connect(front.address)
      const server = yield* back.accept
      yield* client.write("question")
      client.end()
      assert.strictEqual(String(yield* server.readAll()), "question")
      assert.isTrue(server.ended)
      yield* server.write("answer")
      server.end()
      assert.strictEqual(String(yield* client.readAll()), "answer")
      assert.deepStrictEqual(succeeded(yield* first), { leftToRight: 8, rightToLeft: 6 })

      const second = yield* Effect.fork(relays)
      const rude = yield* Peer.connect(front.address)
      const victim = yield* back.accept
      yield* rude.write("half a quest")
      yield* victim.readBytes(12)
      rude.reset()
      yield* victim.awaitClosed
      assert.strictEqual(victim.code, "ECONNRESET")
      assert.deepInclude(lost(yield* second), { side: "left", leftToRight: 12 })
    }))
})
