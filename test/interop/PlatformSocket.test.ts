import * as Socket from "@effect/platform/Socket"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import * as Connector from "../../src/Connector.ts"
import * as Driver from "../../src/Driver.ts"
import * as PlatformSocket from "../../src/interop/PlatformSocket.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Network from "../../src/Network.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import type { Transport } from "../../src/Transport.ts"
import { ascii, text } from "../support/bytes.ts"
import { rootFibers, settle } from "../support/fibers.ts"
import * as Peer from "../support/peer.ts"

interface Dialling {
  readonly socket: Socket.Socket
  /** The other end of the next connection that was opened. */
  readonly peer: Effect.Effect<Transport>
}

const dialling = (
  options: PlatformSocket.Options & MemoryTransport.PairOptions = {}
): Effect.Effect<Dialling, never, Scope.Scope> =>
  Effect.gen(function*() {
    const peers = yield* Queue.unbounded<Transport>()
    const outer = yield* Effect.scope
    const open = Effect.gen(function*() {
      const [ours, theirs] = yield* Scope.extend(MemoryTransport.pair(options), outer)
      yield* Queue.offer(peers, theirs)
      return yield* Driver.closeWithScope(ours)
    })
    return { socket: yield* PlatformSocket.make(open, options), peer: Queue.take(peers) }
  })

const accepted = (options: PlatformSocket.Options & MemoryTransport.PairOptions = {}) =>
  Effect.map(MemoryTransport.pair(options), ([ours, peer]) => ({
    socket: PlatformSocket.fromTransport(ours, options),
    transport: ours,
    peer
  }))

/** Each of these bytes comes in a chunk of its own. */
const byteByByte = { maxChunkSize: 1 }

const readError = (effect: Effect.Effect<unknown, Socket.SocketError>) =>
  Effect.map(Effect.flip(effect), (error) => [error.reason, "cause" in error ? error.cause as { _tag: string } : error])

describe("run", () => {
  it.scoped("opens a connection each time, and ends when its peer does", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling()
      const received: Array<string> = []
      for (const sent of ["one", "two"]) {
        const running = yield* Effect.fork(socket.run((bytes) => void received.push(text(bytes))))
        const other = yield* peer
        yield* other.write(ascii(sent))
        yield* other.closeWrite
        yield* Fiber.join(running)
        assert.isNull(yield* other.pull)
        assert.strictEqual((yield* other.closed)._tag, "Clean")
      }
      assert.deepStrictEqual(received, ["one", "two"])
    }))

  it.scoped("tells that it is open before anything is handled", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling()
      const seen: Array<string> = []
      const onOpen = Effect.sync(() => void seen.push("open"))
      const running = yield* Effect.fork(socket.run((bytes) => void seen.push(text(bytes)), { onOpen }))
      const other = yield* peer
      yield* other.write(ascii("x"))
      yield* other.closeWrite
      yield* Fiber.join(running)
      assert.deepStrictEqual(seen, ["open", "x"])
    }))

  it.scoped("begins handlers in order, and ends when the last one is over", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling(byteByByte)
      const begun: Array<string> = []
      const over: Array<string> = []
      const running = yield* Effect.fork(socket.run((bytes) => {
        const name = text(bytes)
        begun.push(name)
        return Effect.delay(Effect.sync(() => void over.push(name)), 1000 - name.charCodeAt(0))
      }))
      const other = yield* peer
      yield* other.write(ascii("abcdef"))
      yield* other.closeWrite
      yield* settle
      assert.strictEqual(begun.join(""), "abcdef")
      assert.deepStrictEqual(over, [])
      assert.isNull(running.unsafePoll())
      yield* TestClock.adjust(1000)
      yield* Fiber.join(running)
      assert.strictEqual(over.join(""), "fedcba")
    }))

  for (const [concurrency, expected] of [[undefined, 16], [3, 3], [1, 1]] as const) {
    it.scoped(`leaves ${expected} handlers unfinished, concurrency ${concurrency}, and holds the peer back`, () =>
      Effect.gen(function*() {
        const { peer, socket } = yield* dialling({ ...byteByByte, concurrency, readBufferSize: 4, capacity: 4 })
        const gate = yield* Effect.makeLatch()
        let begun = 0
        const running = yield* Effect.fork(socket.run(() => {
          begun++
          return gate.await
        }))
        const other = yield* peer
        yield* other.write(new Uint8Array(100))
        yield* settle
        assert.strictEqual(begun, expected)
        assert.isAtLeast(other.stats().buffered, 100 - expected - 4 - 4 - 1)
        yield* gate.open
        yield* other.closeWrite
        yield* Fiber.join(running)
        assert.strictEqual(begun, 100)
      }))
  }

  it.scoped("makes no fiber for a handler that gives none, or a write", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* accepted(byteByByte)
      const write = yield* socket.writer
      const roots: Array<number> = []
      const before = yield* rootFibers
      const running = yield* Effect.fork(socket.run((bytes) => {
        roots.push(Effect.runSync(rootFibers) - before)
        return text(bytes) === "w" ? write(bytes) : undefined
      }))
      yield* peer.write(ascii("vwvw"))
      yield* peer.closeWrite
      yield* Fiber.join(running)
      // The one that asks.
      assert.isAtMost(Math.max(...roots), 1)
      assert.strictEqual(text((yield* peer.pull)!), "w")
    }))

  it.scoped("fails as a handler fails, and interrupts the others", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling(byteByByte)
      const interrupted = yield* Deferred.make<void>()
      const running = yield* Effect.fork(socket.run((bytes): Effect.Effect<void, "boom"> =>
        text(bytes) === "a"
          ? Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
          : Effect.delay(Effect.fail("boom"), 10)
      ))
      const other = yield* peer
      yield* other.write(ascii("ab"))
      yield* other.closeWrite
      yield* settle
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Effect.flip(Fiber.join(running)), "boom")
      yield* Deferred.await(interrupted)
    }))

  it.scoped("fails as a handler fails at once, or one after the other", () =>
    Effect.gen(function*() {
      for (const concurrency of [1, 2]) {
        const { peer, socket } = yield* accepted({ concurrency })
        yield* peer.write(ascii("x"))
        assert.strictEqual(yield* Effect.flip(socket.run(() => Effect.fail("boom"))), "boom")
      }
    }))

  it.scopedLive("fails as a handler fails that a loss has cut off, also where input is waited for beside it", () =>
    Effect.gen(function*() {
      const { peer, transport } = yield* Peer.accepted("tcp", { highWaterMark: 1000 })
      const socket = PlatformSocket.fromTransport(transport)
      const write = yield* socket.writer
      const bulk = Peer.pattern(8 * 1024 * 1024)
      const running = yield* Effect.fork(readError(socket.run(() => Effect.zipRight(write(bulk), write(bulk)))))
      yield* peer.write("x")
      yield* Peer.eventually(() => transport.stats().writersWaiting === 1 && transport.stats().pulling)
      peer.reset()
      const [reason, cause] = yield* Fiber.join(running)
      assert.deepStrictEqual([reason, (cause as { _tag: string })._tag], ["Write", "ConnectionReset"])
    }))

  it.scoped("dies of what a handler throws", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* accepted()
      yield* peer.write(ascii("x"))
      const exit = yield* Effect.exit(socket.run(() => {
        throw new Error("thrown")
      }))
      assert.isTrue(
        Exit.isFailure(exit) && Cause.isDieType(exit.cause) && String(exit.cause.defect) === "Error: thrown"
      )
    }))

  it.scoped("is interruptible, also in an uninterruptible region, and closes gracefully", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling()
      const write = yield* socket.writer
      const running = yield* Effect.fork(Effect.uninterruptible(socket.run(() => Effect.never)))
      const other = yield* peer
      yield* other.write(ascii("x"))
      yield* write("sent before")
      yield* Effect.fork(
        other.forEach((bytes) => {
          assert.strictEqual(text(bytes), "sent before")
          return Effect.void
        }).pipe(Effect.zipRight(other.closeWrite))
      )
      yield* Fiber.interrupt(running)
      assert.strictEqual((yield* other.closed)._tag, "Clean")
    }))

  it.live("interrupted at every step, leaves no connection behind, also to its writer", () =>
    Effect.gen(function*() {
      const { points } = yield* sweep({
        setup: Effect.gen(function*() {
          const { peer, socket } = yield* dialling({ lingerTimeout: 0 })
          yield* Effect.forkScoped(Effect.flatMap(peer, ({ closeWrite }) => Effect.ignore(closeWrite)))
          return { socket }
        }),
        scenario: ({ socket }) => socket.run(() => {}),
        check: ({ socket }) => Effect.sync(() => assert.isUndefined(PlatformSocket.transport(socket)))
      })
      assert.isAbove(points, 0)
    }))

  it.scoped("handles what came before a loss, and fails with Read by its cause", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling()
      const received: Array<string> = []
      const running = yield* Effect.fork(readError(socket.run((bytes) => void received.push(text(bytes)))))
      const other = yield* peer
      yield* other.write(ascii("x"))
      yield* settle
      yield* other.abort
      const [reason, cause] = yield* Fiber.join(running)
      assert.deepStrictEqual([reason, (cause as { _tag: string })._tag], ["Read", "ConnectionReset"])
      assert.deepStrictEqual(received, ["x"])
    }))

  it.effect("dies of a concurrency below 1", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(PlatformSocket.make(Effect.never, { concurrency: 0 }))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDieType(exit.cause) && exit.cause.defect instanceof RangeError)
    }))
})

describe("the writer", () => {
  it.scoped("is there before a connection, and waits for one", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling()
      const write = yield* socket.writer
      const written = yield* Effect.fork(write("early"))
      yield* settle
      assert.isNull(written.unsafePoll())
      yield* Effect.fork(socket.run(() => {}))
      assert.strictEqual(text((yield* (yield* peer).pull)!), "early")
      yield* Fiber.join(written)
    }))

  it.scoped("withdraws what is interrupted while it waits", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling()
      const write = yield* socket.writer
      yield* Fiber.interrupt(yield* Effect.fork(write("withdrawn")))
      yield* Effect.fork(socket.run(() => {}))
      const other = yield* peer
      yield* write("sent")
      assert.strictEqual(text((yield* other.pull)!), "sent")
    }))

  it.scoped("sends what the lost connection had not accepted on the next one", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling({ highWaterMark: 10, capacity: 0 })
      const write = yield* socket.writer
      const running = yield* Effect.fork(Effect.exit(socket.run(() => {})))
      const first = yield* peer
      yield* write(new Uint8Array(10))
      const waiting = yield* Effect.fork(write("for the next"))
      yield* settle
      yield* first.abort
      assert.isTrue(Exit.isFailure(yield* Fiber.join(running)))
      assert.isNull(waiting.unsafePoll())
      yield* Effect.fork(socket.run(() => {}))
      assert.strictEqual(text((yield* (yield* peer).pull)!), "for the next")
      yield* Fiber.join(waiting)
    }))

  it.scoped("half-closes when its Scope ends; reading goes on", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling()
      const received: Array<string> = []
      const running = yield* Effect.fork(socket.run((bytes) => void received.push(text(bytes))))
      const other = yield* peer
      yield* Effect.scoped(Effect.flatMap(socket.writer, (write) => write("question")))
      assert.strictEqual(text((yield* other.pull)!), "question")
      assert.isNull(yield* other.pull)
      yield* other.write(ascii("answer"))
      yield* other.closeWrite
      yield* Fiber.join(running)
      assert.deepStrictEqual(received, ["answer"])
    }))

  it.scoped("does not wait, at the end of its Scope, for a peer that does not read", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling({ highWaterMark: 10, capacity: 0 })
      yield* Effect.fork(socket.run(() => {}))
      yield* peer
      yield* Effect.scoped(Effect.flatMap(socket.writer, (write) => write(new Uint8Array(10))))
    }))

  it.scoped("fails with Write after this side's end", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling()
      const write = yield* socket.writer
      yield* Effect.fork(socket.run(() => {}))
      yield* peer
      yield* Effect.scoped(socket.writer)
      yield* settle
      const [reason, cause] = yield* readError(write("late"))
      assert.deepStrictEqual([reason, (cause as { _tag: string })._tag], ["Write", "WriteAfterEnd"])
    }))

  it.scoped("ends in order with the code 1000, and by a reset with others; run fails with Close and the code", () =>
    Effect.gen(function*() {
      for (const [code, ended] of [[1000, "Clean"], [1009, "Lost"]] as const) {
        const { peer, socket } = yield* dialling()
        const write = yield* socket.writer
        const running = yield* Effect.fork(Effect.flip(socket.run(() => {})))
        const other = yield* peer
        const closing = yield* Effect.fork(write(new Socket.CloseEvent(code, "because")))
        yield* Effect.exit(other.forEach(() => Effect.void))
        yield* other.closeWrite.pipe(Effect.ignore)
        const error = yield* Fiber.join(running)
        assert.deepInclude(error, { reason: "Close", code, closeReason: "because" })
        assert.strictEqual((yield* other.closed)._tag, ended)
        yield* Fiber.join(closing)
      }
    }))
})

describe("opening", () => {
  it.scopedLive("fails with Open, and the cause is the library's failure", () =>
    Effect.gen(function*() {
      const { address } = yield* Effect.scoped(Peer.listen(Address.tcp("127.0.0.1", 0)))
      const { port } = address
      const socket = yield* PlatformSocket.make(Connector.make({ host: "127.0.0.1", port }).connect)
      const [reason, cause] = yield* readError(socket.run(() => {}))
      assert.deepStrictEqual([reason, (cause as { _tag: string })._tag], ["Open", "ConnectionRefused"])
    }).pipe(Effect.provide(NodeNetwork.layer)))

  it.scoped("fails with OpenTimeout at the deadline", () =>
    Effect.gen(function*() {
      const never = Layer.mock(Network.Network, { connect: () => Effect.never })
      const socket = yield* PlatformSocket.make(
        Connector.unix("/nowhere", { timeout: "1 second" }).connect
      ).pipe(Effect.provide(never))
      const running = yield* Effect.fork(readError(socket.run(() => {})))
      yield* TestClock.adjust("1 second")
      const [reason, cause] = yield* Fiber.join(running)
      assert.deepStrictEqual([reason, (cause as { _tag: string })._tag], ["OpenTimeout", "ConnectTimeout"])
    }))

  it.scopedLive("of a layer: by host and port, or by path, from options or a Config", () =>
    Effect.gen(function*() {
      const { address, accept } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      const { port } = address
      const unix = yield* Peer.free("unix")
      const other = yield* Peer.listen(unix)
      const config = ConfigProvider.fromMap(
        new Map([["HOST", "127.0.0.1"], ["PORT", `${port}`], ["PATH", (unix as Address.UnixAddress).path]])
      )
      for (
        const [layer, accepting] of [
          [PlatformSocket.layer({ host: "127.0.0.1", port }), accept],
          [PlatformSocket.layer({ path: (unix as Address.UnixAddress).path }), other.accept],
          [PlatformSocket.layerConfig({ host: Config.string("HOST"), port: Config.integer("PORT") }), accept],
          [PlatformSocket.layerConfig({ path: Config.string("PATH") }), other.accept]
        ] as const
      ) {
        yield* Effect.gen(function*() {
          const socket = yield* Socket.Socket
          const write = yield* socket.writer
          yield* Effect.fork(write("hello"))
          const running = yield* Effect.fork(socket.run(() => {}))
          const peer = yield* accepting
          assert.strictEqual((yield* peer.readBytes(5)).toString(), "hello")
          peer.end()
          yield* Fiber.join(running)
        }).pipe(Effect.provide(layer), Effect.withConfigProvider(config), Effect.scoped)
      }
    }).pipe(Effect.provide(NodeNetwork.layer)))
})

describe("an open connection as a Socket", () => {
  it.scoped("answers after the peer's end", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* accepted()
      yield* peer.write(ascii("question"))
      yield* peer.closeWrite
      yield* Effect.scoped(Effect.gen(function*() {
        yield* socket.run(() => {})
        const write = yield* socket.writer
        yield* write("answer")
      }))
      assert.strictEqual(text((yield* peer.pull)!), "answer")
      assert.isNull(yield* peer.pull)
    }))

  it.scoped("goes on where it was interrupted, and fails with Close after the end", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* accepted()
      const received: Array<string> = []
      const handler = (bytes: Uint8Array) => void received.push(text(bytes))
      const first = yield* Effect.fork(socket.run(handler))
      yield* peer.write(ascii("one"))
      yield* settle
      yield* Fiber.interrupt(first)
      yield* peer.write(ascii("two"))
      yield* peer.closeWrite
      yield* socket.run(handler)
      assert.deepStrictEqual(received, ["one", "two"])
      assert.deepInclude(yield* Effect.flip(socket.run(handler)), { reason: "Close", code: 1000 })
    }))

  for (const concurrency of [1, 3]) {
    it.live(`interrupted at every step, loses nothing, concurrency ${concurrency}`, () =>
      Effect.gen(function*() {
        const { points } = yield* sweep({
          setup: Effect.gen(function*() {
            const opened = yield* accepted({ ...byteByByte, concurrency, lingerTimeout: 0 })
            yield* Effect.fork(Effect.zipRight(opened.peer.write(ascii("abcdef")), opened.peer.closeWrite))
            return { ...opened, begun: [] as Array<string>, unfinished: 0, pulling: false }
          }),
          scenario: (run) =>
            Effect.ensuring(
              run.socket.run((bytes) => {
                run.begun.push(text(bytes))
                return Effect.acquireUseRelease(
                  Effect.sync(() => run.unfinished++),
                  () => Effect.yieldNow(),
                  () => Effect.sync(() => run.unfinished--)
                )
              }),
              Effect.sync(() => {
                run.pulling = run.transport.stats().pulling
              })
            ),
          check: ({ begun, pulling, socket, unfinished }) =>
            Effect.gen(function*() {
              assert.deepStrictEqual({ pulling, unfinished }, { pulling: false, unfinished: 0 })
              yield* Effect.exit(socket.run((bytes) => void begun.push(text(bytes))))
              assert.strictEqual(begun.join(""), "abcdef")
            }),
          timeout: "1 second"
        })
        assert.isAbove(points, 0)
      }), 60_000)
  }

  it.scoped("fails writes after the loss", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* accepted()
      const write = yield* socket.writer
      yield* Effect.fork(Effect.exit(socket.run(() => {})))
      yield* peer.abort
      yield* settle
      const [reason, cause] = yield* readError(write("x"))
      assert.deepStrictEqual([reason, (cause as { _tag: string })._tag], ["Write", "ConnectionReset"])
    }))

  it.scoped("shows the connection", () =>
    Effect.gen(function*() {
      const { socket, transport } = yield* accepted()
      assert.strictEqual(PlatformSocket.transport(socket), transport)
      assert.isUndefined(PlatformSocket.transport((yield* dialling()).socket))
    }))
})

describe("a channel", () => {
  const many = 1000

  it.scoped("holds so many chunks, and then the peer back", () =>
    Effect.gen(function*() {
      const { peer, socket, transport } = yield* accepted({ ...byteByByte, concurrency: 2, readBufferSize: 1 })
      const gate = yield* Effect.makeLatch()
      const consuming = yield* Effect.fork(Stream.runForEach(
        PlatformSocket.toStream(socket, { bufferSize: 3 }),
        () => gate.await
      ))
      yield* peer.write(new Uint8Array(many))
      yield* peer.closeWrite.pipe(Effect.fork)
      yield* settle
      yield* settle
      // One with the consumer, which takes all that is there at once; then 3, 2 that wait, and what is read ahead.
      assert.isAtMost(transport.stats().bytesRead, 12)
      yield* gate.open
      yield* Fiber.join(consuming)
      assert.strictEqual(transport.stats().bytesRead, many)
    }))

  it.scoped("keeps order", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* accepted(byteByByte)
      const sent = Array.from({ length: 200 }, (_, index) => index)
      yield* Effect.fork(Effect.zipRight(peer.write(Uint8Array.from(sent)), peer.closeWrite))
      const received = yield* Stream.runCollect(PlatformSocket.toStream(socket, { bufferSize: 1 }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(received).flatMap((bytes) => [...bytes]), sent)
    }))

  it.scoped("writes what comes upstream, and its end is a half-close", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* dialling()
      const running = yield* Stream.make("one", ascii(" two")).pipe(
        Stream.pipeThroughChannel(PlatformSocket.toChannelString(socket)),
        Stream.runCollect,
        Effect.fork
      )
      const other = yield* peer
      assert.strictEqual((yield* Peer.readAll(other)).toString(), "one two")
      // A character in two chunks.
      yield* other.write(Uint8Array.of(0xc3))
      yield* settle
      yield* other.write(Uint8Array.of(0xa9))
      yield* other.closeWrite
      assert.strictEqual([...yield* Fiber.join(running)].join(""), "é")
    }))

  it.scoped("have a replacement character of one that the end cuts off", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* accepted()
      const text = Stream.pipeThroughChannel(Stream.never, PlatformSocket.toChannelString(socket))
      const running = yield* Effect.fork(Stream.runCollect(text))
      yield* peer.write(Uint8Array.of(0x61, 0xe2, 0x82))
      yield* peer.closeWrite
      assert.deepStrictEqual([...yield* Fiber.join(running)], ["a", "\ufffd"])
    }))

  it.scoped("fails as run does", () =>
    Effect.gen(function*() {
      const { peer, socket } = yield* accepted()
      const running = yield* Effect.fork(Effect.flip(Stream.runDrain(PlatformSocket.toStream(socket))))
      yield* settle
      yield* peer.abort
      assert.strictEqual((yield* Fiber.join(running)).reason, "Read")
    }))
})
