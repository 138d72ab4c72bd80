import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type * as net from "node:net"
import * as Address from "../src/Address.ts"
import type { ConnectionLost } from "../src/ConnectionError.ts"
import * as MemoryTransport from "../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../src/NetworkLayer.ts"
import * as Tcp from "../src/node/Tcp.ts"
import * as IdleTimeout from "../src/policy/IdleTimeout.ts"
import * as Producer from "../src/Producer.ts"
import * as Protocol from "../src/Protocol.ts"
import * as Server from "../src/server/Server.ts"
import { sweep } from "../src/testing/InterruptSweep.ts"
import * as Transport from "../src/Transport.ts"
import { ascii, bytes, text } from "./support/bytes.ts"
import { failed, rootFibers, settle } from "./support/fibers.ts"
import { tcpPair } from "./support/pairs.ts"
import * as Peer from "./support/peer.ts"

const pairs = [
  { name: "memory", open: MemoryTransport.pair },
  { name: "tcp", open: (limits: Transport.Limits = {}) => Effect.orDie(tcpPair(limits)) }
]

const limits = { lingerTimeout: 50 }

/** A client, and the protocol that runs at the other end in a Scope of its own. */
const talking = <A, E>(
  protocol: Protocol.Protocol<A, E>,
  open: Effect.Effect<readonly [Transport.Transport, Transport.Transport], never, Scope.Scope> = MemoryTransport.pair(
    limits
  )
) =>
  Effect.gen(function*() {
    const [client, server] = yield* open
    const handled = Effect.exit(Effect.scoped(Protocol.handler(protocol)(server)))
    return { client, server, fiber: yield* Effect.fork(handled) }
  })

const echo = Effect.flatMap(Transport.Transport, (transport) => transport.forEach(transport.write))

const tag = (reason: Protocol.EndReason) => reason._tag === "Lost" ? reason.error._tag : reason._tag

/** Notes what happens, and answers nothing. */
const noting = (log: Array<string>) => (): Protocol.Callbacks<ConnectionLost, never, never> => ({
  connectionMade: Effect.sync(() => log.push("made")),
  dataReceived: (data) => Effect.sync(() => log.push(`data ${text(data)}`)),
  connectionLost: (reason) => Effect.sync(() => log.push(`lost ${tag(reason)}`))
})

const until = (holds: () => boolean) => Effect.timeout(Peer.eventually(holds), "10 seconds")

/** How the input of a client ended; ends its side too. */
const ending = (client: Transport.Transport) =>
  Effect.match(Peer.readAll(client), { onFailure: (error) => error._tag, onSuccess: () => "end" }).pipe(
    Effect.zipLeft(Effect.ignore(client.closeWrite))
  )

describe("Protocol.handler", () => {
  it.scopedLive("is what a server takes", () =>
    Effect.gen(function*() {
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      yield* Effect.fork(Server.serve(listener, Protocol.handler(echo)))
      const client = yield* Tcp.connect(listener.address)
      yield* client.write(ascii("hello"))
      assert.strictEqual(text(yield* Transport.readExactly(client, 5)), "hello")
    }))

  it.scoped("leaves what else the protocol needs to who runs it, and its failure to who handles it", () =>
    Effect.gen(function*() {
      class Greeting extends Context.Tag("Greeting")<Greeting, string>() {}
      const protocol = Effect.gen(function*() {
        const transport = yield* Transport.Transport
        yield* transport.write(ascii(yield* Greeting))
        return yield* Effect.fail("enough" as const)
      })
      const [client, server] = yield* MemoryTransport.pair()
      const handled: Effect.Effect<never, "enough" | Effect.Effect.Error<ReturnType<typeof server.write>>, Greeting> =
        Protocol.handler(protocol)(server)
      assert.strictEqual(yield* Effect.flip(Effect.provideService(handled, Greeting, "hi")), "enough")
      assert.strictEqual(text((yield* client.pull)!), "hi")
    }))
})

describe("Protocol.factory", () => {
  it.scoped("A14: chooses by the peer's address, before a byte is read", () =>
    Effect.gen(function*() {
      const seen: Array<Address.Address> = []
      let read: number | undefined
      const protocol = Protocol.factory((address) => {
        seen.push(address)
        return Effect.flatMap(Transport.Transport, (transport) => {
          read = transport.stats().bytesRead
          return transport.forEach(transport.write)
        })
      })
      const [client, server] = yield* MemoryTransport.pair()
      yield* client.write(ascii("early"))
      yield* settle
      yield* Effect.fork(Protocol.handler(protocol)(server))
      assert.strictEqual(text(yield* Transport.readExactly(client, 5)), "early")
      assert.deepStrictEqual(seen, [server.remoteAddress])
      assert.strictEqual(read, 0)
    }))

  it.scoped("what it refuses is closed without a byte being given to anybody, and it tells whom", () =>
    Effect.gen(function*() {
      const [client, server] = yield* MemoryTransport.pair()
      yield* client.write(ascii("let me in"))
      const refusing = yield* Effect.fork(Protocol.handler(Protocol.factory(() => Protocol.refuse))(server))
      assert.strictEqual(yield* ending(client), "end")
      const refused: Protocol.Refused = yield* Fiber.join(refusing)
      assert.deepStrictEqual(refused, { _tag: "Refused", remoteAddress: server.remoteAddress })
      assert.strictEqual((yield* server.closed)._tag, "Clean")
    }))

  it.scopedLive("over TCP a refused peer sees an end and no reset, and the next one is served", () =>
    Effect.gen(function*() {
      let number = 0
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0), limits)
      yield* Effect.fork(
        Server.serve(listener, Protocol.handler(Protocol.factory(() => ++number % 2 === 1 ? Protocol.refuse : echo)))
      )
      for (const served of [false, true, false, true]) {
        const peer = yield* Peer.connect(listener.address)
        yield* peer.write("hello")
        if (served) peer.end()
        assert.strictEqual(String(yield* peer.readAll()), served ? "hello" : "")
        assert.isTrue(peer.ended)
        assert.isUndefined(peer.code)
        peer.end()
      }
    }))

  it.scoped("may take its time to choose, fail and need something", () =>
    Effect.gen(function*() {
      const allowed = new Set(["memory:left"])
      const protocol = Protocol.factory((address) =>
        Effect.gen(function*() {
          yield* Effect.yieldNow()
          if (!allowed.has(Address.format(address))) return yield* Effect.fail("unknown" as const)
          return yield* echo
        })
      )
      const [client, server] = yield* MemoryTransport.pair()
      const exit: Exit.Exit<void, ConnectionLost | Effect.Effect.Error<ReturnType<typeof server.write>> | "unknown"> =
        yield* Effect.exit(Protocol.handler(protocol)(client))
      assert.strictEqual(failed(exit), "unknown")
    }))
})

describe("Protocol.fromCallbacks", () => {
  for (const { name, open } of pairs) {
    describe(`over ${name}`, () => {
      it.scopedLive("P1 the order: built, made, data, read lost, lost", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => {
            log.push(`built for ${transport.remoteAddress._tag}`)
            return {
              ...noting(log)(),
              readConnectionLost: Effect.suspend(() => {
                log.push("read lost")
                return transport.closeWrite
              })
            }
          })
          const { client, fiber, server } = yield* talking(protocol, open(limits))
          yield* client.write(ascii("a"))
          yield* until(() => log.length === 3)
          yield* client.write(ascii("b"))
          yield* client.closeWrite
          assert.strictEqual(yield* ending(client), "end")
          assert.isTrue(Exit.isSuccess(yield* fiber))
          const built = `built for ${server.remoteAddress._tag}`
          assert.deepStrictEqual(log, [built, "made", "data a", "data b", "read lost", "lost Clean"])
        }))

      it.scopedLive("P2 connectionMade comes once and before any data, however early that is there", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const [client, server] = yield* open(limits)
          yield* client.write(ascii("early"))
          yield* client.flush
          yield* settle
          const fiber = yield* Effect.fork(
            Effect.scoped(Protocol.handler(Protocol.fromCallbacks(noting(log)))(server))
          )
          yield* until(() => log.length === 2)
          assert.deepStrictEqual(log, ["made", "data early"])
          yield* Effect.zipRight(ending(client).pipe(Effect.fork), client.closeWrite)
          yield* Fiber.join(fiber)
        }))

      it.scopedLive("P4 data comes in order, complete, in chunks that are not empty and at most 64 KiB", () =>
        Effect.gen(function*() {
          const chunks: Array<Uint8Array> = []
          const protocol = Protocol.fromCallbacks(() => ({
            dataReceived: (data) => Effect.sync(() => chunks.push(data))
          }))
          const { client, fiber } = yield* talking(protocol, open(limits))
          const data = Peer.pattern(1024 * 1024)
          for (let at = 0, size = 1; at < data.length; at += size, size = size * 3 % 65521 + 1) {
            yield* client.write(data.subarray(at, at + size))
          }
          yield* client.closeWrite
          yield* fiber
          assert.isTrue(Buffer.concat(chunks).equals(data))
          assert.isTrue(chunks.every(({ length }) => length > 0 && length <= 65536))
        }))

      for (const halfCloseAware of [false, true]) {
        const which = halfCloseAware ? "readConnectionLost" : "connectionLost"
        it.scopedLive(`P5 all that was sent before the end comes before ${which}, slowly handled as it may be`, () =>
          Effect.gen(function*() {
            const sizes: Array<number> = []
            let atEnd = 0
            const received = Effect.sync(() => atEnd = sizes.reduce((sum, size) => sum + size, 0))
            const protocol = Protocol.fromCallbacks((transport) => ({
              dataReceived: ({ length }) => Effect.zipRight(Peer.turns(2), Effect.sync(() => sizes.push(length))),
              readConnectionLost: halfCloseAware ? Effect.zipRight(received, transport.close) : undefined,
              connectionLost: () => halfCloseAware ? Effect.void : received
            }))
            const { client, fiber } = yield* talking(protocol, open(limits))
            yield* client.write(bytes(300_000))
            yield* client.closeWrite
            assert.isTrue(Exit.isSuccess(yield* fiber))
            assert.strictEqual(atEnd, 300_000)
          }))
      }

      it.scopedLive("P6 connectionLost comes once and last, whatever ends the connection at the same time", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => ({
            ...noting(log)(),
            dataReceived: () =>
              Effect.all([transport.close, transport.abort, Effect.ignore(transport.closeWrite)], {
                concurrency: "unbounded",
                discard: true
              })
          }))
          const { client, fiber } = yield* talking(protocol, open(limits))
          yield* client.write(ascii("x"))
          yield* Effect.fork(Effect.ignore(Effect.forever(client.write(ascii("y")))))
          assert.strictEqual(failed(yield* fiber)._tag, "ConnectionAborted")
          yield* client.abort
          yield* settle
          assert.deepStrictEqual(log, ["made", "lost ConnectionAborted"])
        }))

      it.scopedLive("P7 at a loss: the producer is stopped, the connection released, then comes connectionLost, then its runner", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => ({
            connectionMade: Effect.gen(function*() {
              yield* Effect.addFinalizer(() => Effect.sync(() => log.push("released")))
              yield* Producer.consumer(transport).register(Producer.push({
                pause: Effect.void,
                resume: Effect.void,
                stop: Effect.zipRight(Peer.turns(3), Effect.sync(() => log.push("stopped")))
              }))
            }),
            dataReceived: () => Effect.void,
            connectionLost: (reason) =>
              Effect.sync(() => {
                const socket = transport.unsafeHandle as net.Socket | undefined
                log.push(`lost ${tag(reason)}${socket?.destroyed === false ? ", socket open" : ""}`)
              })
          }))
          const [client, server] = yield* open(limits)
          const running = Effect.ensuring(
            Effect.scoped(Protocol.handler(protocol)(server)),
            Effect.sync(() => log.push("runner"))
          )
          const fiber = yield* Effect.fork(Effect.exit(running))
          yield* until(() => server.stats().pulling)
          yield* client.abort
          assert.strictEqual(failed(yield* fiber)._tag, "ConnectionReset")
          assert.deepStrictEqual(log, ["stopped", "released", "lost ConnectionReset", "runner"])
        }))

      for (const end of ["write", "close", "abort"] as const) {
        it.scopedLive(`P8 connectionLost never comes within ${end}`, () =>
          Effect.gen(function*() {
            const log: Array<string> = []
            const protocol = Protocol.fromCallbacks((transport) => ({
              ...noting(log)(),
              dataReceived: () =>
                Effect.gen(function*() {
                  log.push("in")
                  yield* end === "write"
                    ? Effect.ignore(Effect.forever(transport.write(bytes(4096))))
                    : transport[end]
                  yield* Peer.turns(5)
                  log.push("out")
                })
            }))
            const { client, fiber, server } = yield* talking(protocol, open(limits))
            yield* client.write(ascii("x"))
            if (end === "write") {
              yield* until(() => server.stats().writersWaiting === 1)
              yield* client.abort
            } else yield* Effect.fork(ending(client))
            yield* fiber
            const lost = { write: "ConnectionReset", close: "Clean", abort: "ConnectionAborted" }[end]
            assert.deepStrictEqual(log, ["made", "in", "out", `lost ${lost}`])
          }))
      }

      it.scopedLive("P9 dataReceived is not entered again by what it writes, nor by what comes in meanwhile", () =>
        Effect.gen(function*() {
          let depth = 0
          let deepest = 0
          let rounds = 0
          const player = () =>
            Protocol.fromCallbacks((transport) => ({
              dataReceived: (data) =>
                Effect.gen(function*() {
                  deepest = Math.max(deepest, ++depth)
                  yield* Effect.uninterruptible(transport.write(data))
                  yield* transport.flush
                  depth--
                  if (++rounds > 100) yield* transport.close
                })
            }))
          const [left, right] = yield* open(limits)
          const run = (transport: Transport.Transport) =>
            Effect.fork(Effect.exit(Effect.scoped(Protocol.handler(player())(transport))))
          const [first, second] = yield* Effect.all([run(left), run(right)])
          yield* left.write(ascii("ball"))
          yield* Fiber.join(first)
          yield* Fiber.join(second)
          // Two players, and each of them is in one rally at most.
          assert.isAtMost(deepest, 2)
          assert.isAbove(rounds, 100)
        }))

      it.scopedLive("P10 what callbacks write goes out in the order of their calls", () =>
        Effect.gen(function*() {
          const protocol = Protocol.fromCallbacks((transport) => ({
            connectionMade: Effect.zipRight(transport.write(ascii("1")), transport.writeAll([ascii("2"), ascii("3")])),
            dataReceived: () =>
              Effect.gen(function*() {
                const bad = [ascii("lost"), "no bytes" as unknown as Uint8Array]
                assert.isTrue(Exit.isFailure(yield* Effect.exit(transport.writeAll(bad))))
                yield* transport.writeAll([ascii("4"), ascii("5")])
                yield* transport.write(ascii("6"))
                yield* transport.close
              })
          }))
          const { client, fiber } = yield* talking(protocol, open(limits))
          yield* client.write(ascii("x"))
          assert.strictEqual(String(yield* Peer.readAll(client)), "123456")
          yield* client.closeWrite
          yield* fiber
        }))

      it.scopedLive("P11 close sends all that was written before it, and is one close however often it comes", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const data = Peer.pattern(1024 * 1024)
          const protocol = Protocol.fromCallbacks((transport) => ({
            ...noting(log)(),
            connectionMade: Effect.gen(function*() {
              yield* transport.write(data)
              yield* Effect.fork(transport.close)
              yield* transport.close
            })
          }))
          const { client, fiber } = yield* talking(protocol, open(limits))
          assert.isTrue((yield* Peer.readAll(client)).equals(data))
          yield* client.closeWrite
          assert.isTrue(Exit.isSuccess(yield* fiber))
          assert.deepStrictEqual(log, ["lost Clean"])
        }))

      it.scopedLive("P12 after a close there is no more dataReceived", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => ({
            ...noting(log)(),
            // Not waited for: the callback is over, and the connection is not.
            dataReceived: (data) => {
              log.push(`data ${text(data)}`)
              return Effect.fork(transport.close)
            }
          }))
          const { client, fiber, server } = yield* talking(protocol, open(limits))
          yield* client.write(ascii("one"))
          yield* until(() => !server.outgoing.isActive())
          yield* client.write(ascii("two"))
          yield* client.closeWrite
          yield* ending(client)
          assert.isTrue(Exit.isSuccess(yield* fiber))
          assert.deepStrictEqual(log, ["made", "data one", "lost Clean"])
        }))

      it.scopedLive("P13 a peer that vanishes while bytes are unsent is a loss and no clean close", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => ({
            ...noting(log)(),
            dataReceived: () => Effect.zipRight(transport.write(bytes(20 * 1024 * 1024)), transport.close)
          }))
          const { client, fiber, server } = yield* talking(protocol, open(limits))
          yield* client.write(ascii("x"))
          yield* until(() => !server.outgoing.isActive())
          yield* client.abort
          const loss = failed(yield* fiber) as ConnectionLost
          assert.strictEqual(loss._tag, "ConnectionReset")
          assert.isAbove(loss.bytesUnsent, 0)
          assert.strictEqual(loss.phase, "closing")
          assert.deepStrictEqual(log, ["made", "lost ConnectionReset"])
        }))

      it.scopedLive("P13 also when the peer had ended before, and all that is left is to send", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => ({
            ...noting(log)(),
            dataReceived: () => transport.write(bytes(20 * 1024 * 1024))
          }))
          const { client, fiber, server } = yield* talking(protocol, open(limits))
          yield* client.write(ascii("x"))
          yield* client.closeWrite
          yield* until(() => !server.outgoing.isActive())
          yield* client.abort
          const loss = failed(yield* fiber) as ConnectionLost
          // After the peer's FIN the kernel says EPIPE of a reset (Linux, tcp_reset).
          assert.include(["ConnectionReset", "BrokenPipe"], loss._tag)
          assert.isAbove(loss.bytesUnsent, 0)
          assert.deepStrictEqual(log, ["made", `lost ${loss._tag}`])
        }))

      it.scopedLive("P14 nothing is read while connectionMade waits, and a slow dataReceived holds the peer back", () =>
        Effect.gen(function*() {
          const [made, handled] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          let chunks = 0
          const protocol = Protocol.fromCallbacks(() => ({
            connectionMade: Deferred.await(made),
            dataReceived: () => {
              chunks++
              return Deferred.await(handled)
            }
          }))
          const { client, fiber, server } = yield* talking(protocol, open(limits))
          const writer = yield* Effect.fork(
            Effect.zipRight(
              Effect.forEach(Array.from({ length: 1024 }), () => client.write(bytes(16384)), { discard: true }),
              client.closeWrite
            )
          )
          yield* until(() => client.stats().writersWaiting === 1)
          assert.strictEqual(server.stats().bytesRead, 0)
          yield* Deferred.succeed(made, undefined)
          yield* until(() => chunks === 1)
          yield* Peer.turns(20)
          assert.strictEqual(chunks, 1)
          assert.strictEqual(client.stats().writersWaiting, 1)
          assert.isAtMost(server.stats().unread, 2 * 65536)
          yield* Deferred.succeed(handled, undefined)
          yield* Fiber.join(writer)
          yield* fiber
          assert.strictEqual(server.stats().bytesRead, 1024 * 16384)
        }))

      it.scopedLive("P15 an end that comes while a callback waits is told when it is done", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const resumed = yield* Deferred.make<void>()
          const protocol = Protocol.fromCallbacks(() => ({
            ...noting(log)(),
            dataReceived: () =>
              Effect.gen(function*() {
                log.push("paused")
                yield* Deferred.await(resumed)
                log.push("resumed")
              })
          }))
          const { client, fiber } = yield* talking(protocol, open(limits))
          yield* client.write(ascii("x"))
          yield* until(() => log.length === 2)
          yield* client.closeWrite
          yield* Effect.fork(ending(client))
          yield* Peer.turns(10)
          assert.deepStrictEqual(log, ["made", "paused"])
          yield* Deferred.succeed(resumed, undefined)
          yield* fiber
          assert.deepStrictEqual(log, ["made", "paused", "resumed", "lost Clean"])
        }))

      it.scopedLive("P16 within connectionLost everything is answered, and a producer is stopped once", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => ({
            dataReceived: () => Effect.void,
            connectionLost: () =>
              Effect.gen(function*() {
                log.push((yield* Effect.flip(transport.write(ascii("x"))))._tag)
                log.push((yield* Effect.flip(transport.writeAll([ascii("x")])))._tag)
                log.push((yield* Effect.flip(transport.closeWrite))._tag)
                log.push((yield* Effect.flip(transport.pull))._tag)
                yield* transport.close
                yield* transport.abort
                const stop = Effect.sync(() => log.push("stopped"))
                const producer = Producer.push({ pause: Effect.void, resume: Effect.void, stop })
                const refused = yield* Effect.flip(Effect.scoped(Producer.consumer(transport).register(producer)))
                log.push(refused._tag)
              }).pipe(Effect.orDie)
          }))
          const { client, fiber, server } = yield* talking(protocol, open(limits))
          yield* until(() => server.stats().pulling)
          yield* client.abort
          assert.strictEqual(failed(yield* fiber)._tag, "ConnectionReset")
          const reset = "ConnectionReset"
          assert.deepStrictEqual(log, [reset, reset, reset, reset, "stopped", reset])
        }))

      for (const where of ["connectionMade", "dataReceived"] as const) {
        for (const order of ["abort, abort", "abort, close", "close, abort"] as const) {
          it.scopedLive(`P17 ${order} in ${where} is one abort`, () =>
            Effect.gen(function*() {
              const log: Array<string> = []
              const protocol = Protocol.fromCallbacks((transport) => {
                const end = order === "close, abort"
                  ? Effect.zipRight(Effect.fork(transport.close), Effect.zipRight(Effect.yieldNow(), transport.abort))
                  : Effect.zipRight(transport.abort, order === "abort, close" ? transport.close : transport.abort)
                // Unsent bytes, so that the close takes its time.
                const ended = Effect.zipRight(transport.write(bytes(20 * 1024 * 1024)), end)
                return {
                  connectionMade: where === "connectionMade" ? ended : Effect.void,
                  dataReceived: () => where === "dataReceived" ? ended : Effect.sync(() => log.push("data")),
                  connectionLost: (reason) => Effect.sync(() => log.push(tag(reason)))
                }
              })
              const { client, fiber } = yield* talking(protocol, open(limits))
              yield* Effect.ignore(client.write(ascii("x")))
              assert.strictEqual(failed(yield* fiber)._tag, "ConnectionAborted")
              assert.deepStrictEqual(log, ["ConnectionAborted"])
              assert.strictEqual(yield* ending(client), "ConnectionReset")
            }))
        }
      }

      it.scopedLive("P17 a callback that aborts and fails: its failure is the reason", () =>
        Effect.gen(function*() {
          let reason: Protocol.EndReason | undefined
          const protocol = Protocol.fromCallbacks((transport) => ({
            dataReceived: () => Effect.zipRight(transport.abort, Effect.fail("mine" as const)),
            connectionLost: (why) => Effect.sync(() => reason = why)
          }))
          const { client, fiber } = yield* talking(protocol, open(limits))
          yield* client.write(ascii("x"))
          assert.strictEqual(failed(yield* fiber), "mine")
          assert.deepStrictEqual(reason, { _tag: "Failed", cause: Cause.fail("mine") })
        }))

      it.scopedLive("P18 half-close: what was written, the end, its notice; reading goes on, and writing does not", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => ({
            ...noting(log)(),
            connectionMade: Effect.gen(function*() {
              yield* transport.write(ascii("1"))
              yield* transport.closeWrite
              log.push((yield* Effect.flip(transport.write(ascii("2"))))._tag)
            }),
            writeConnectionLost: Effect.sync(() => log.push("write lost"))
          }))
          const { client, fiber } = yield* talking(protocol, open(limits))
          assert.strictEqual(String(yield* Peer.readAll(client)), "1")
          yield* until(() => log.length === 2)
          yield* client.write(ascii("answer"))
          yield* client.closeWrite
          assert.isTrue(Exit.isSuccess(yield* fiber))
          assert.deepStrictEqual(log, ["WriteAfterEnd", "write lost", "data answer", "lost Clean"])
        }))

      it.scopedLive("P18 both halves closed is closed, and each was told", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => ({
            ...noting(log)(),
            readConnectionLost: Effect.zipRight(Effect.sync(() => log.push("read lost")), transport.closeWrite),
            writeConnectionLost: Effect.zipRight(Effect.sync(() => log.push("write lost")), transport.close)
          }))
          const { client, fiber } = yield* talking(protocol, open(limits))
          yield* client.closeWrite
          assert.strictEqual(yield* ending(client), "end")
          assert.isTrue(Exit.isSuccess(yield* fiber))
          assert.deepStrictEqual(log, ["made", "read lost", "write lost", "lost Clean"])
        }))

      it.scopedLive("a peer that half-closes gets the whole answer, with and without readConnectionLost", () =>
        Effect.gen(function*() {
          const answer = Peer.pattern(4 * 1024 * 1024)
          for (const aware of [true, false]) {
            const protocol = Protocol.fromCallbacks((transport) => ({
              dataReceived: () => aware ? Effect.void : transport.write(answer),
              readConnectionLost: aware ? Effect.zipRight(transport.write(answer), transport.close) : undefined
            }))
            const { client, fiber } = yield* talking(protocol, open(limits))
            yield* client.write(ascii("question"))
            yield* client.closeWrite
            assert.isTrue((yield* Peer.readAll(client)).equals(answer))
            assert.isTrue(Exit.isSuccess(yield* fiber))
          }
        }))

      const broken = Effect.fail("broken" as const)
      for (const callback of ["connectionMade", "dataReceived", "readConnectionLost", "writeConnectionLost"] as const) {
        for (const [how, failure] of [["fails", broken], ["dies", Effect.die("broken")]] as const) {
          it.scopedLive(`${callback} that ${how} ends the connection by that cause, and connectionLost is last`, () =>
            Effect.gen(function*() {
              const log: Array<string> = []
              let reason: Protocol.EndReason | undefined
              const protocol = Protocol.fromCallbacks((transport) => {
                const at = (here: typeof callback, otherwise: Effect.Effect<unknown> = Effect.void) =>
                  Effect.suspend((): Effect.Effect<unknown, "broken"> => {
                    log.push(here)
                    return here === callback ? failure : otherwise
                  })
                return {
                  connectionMade: at("connectionMade"),
                  dataReceived: () => at("dataReceived"),
                  readConnectionLost: at("readConnectionLost", Effect.ignore(transport.closeWrite)),
                  writeConnectionLost: at("writeConnectionLost"),
                  connectionLost: (why) =>
                    Effect.sync(() => {
                      log.push("connectionLost")
                      reason = why
                    })
                }
              })
              const { client, fiber } = yield* talking(protocol, open(limits))
              yield* Effect.ignore(client.write(ascii("x")))
              yield* Effect.ignore(client.closeWrite)
              const exit: Exit.Exit<void, "broken" | ConnectionLost> = yield* fiber
              const cause = Exit.isFailure(exit) ? exit.cause : Cause.empty
              assert.deepStrictEqual(
                [Array.from(Cause.failures(cause)), Array.from(Cause.defects(cause))],
                how === "fails" ? [["broken"], []] : [[], ["broken"]]
              )
              assert.isTrue(reason?._tag === "Failed" && (how === "dies" || Cause.contains(reason.cause, cause)))
              assert.strictEqual(log.at(-1), "connectionLost")
              assert.strictEqual(log.at(-2), callback)
              assert.strictEqual(new Set(log).size, log.length)
            }))
        }
      }
    })
  }

  it.scoped("P11 a close to a peer that does not read is bounded, and the reason says so", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const protocol = Protocol.fromCallbacks((transport) => ({
        ...noting(log)(),
        connectionMade: Effect.zipRight(transport.write(bytes(1024 * 1024)), transport.close)
      }))
      const { fiber } = yield* talking(protocol, MemoryTransport.pair({ closeTimeout: "5 seconds" }))
      yield* settle
      yield* TestClock.adjust("5 seconds")
      const loss = failed(yield* fiber)
      assert.isTrue(loss._tag === "CloseTimeout" && loss.bytesUnsent === 1024 * 1024 - 65536)
      assert.deepStrictEqual(log, ["lost CloseTimeout"])
    }))

  it.scoped("a close is not told as the end of writing, nor is an abort", () =>
    Effect.gen(function*() {
      for (const end of ["close", "abort"] as const) {
        for (const waited of [true, false]) {
          const log: Array<string> = []
          const protocol = Protocol.fromCallbacks((transport) => ({
            ...noting(log)(),
            dataReceived: () => waited ? transport[end] : Effect.forkDaemon(transport[end]),
            writeConnectionLost: Effect.sync(() => log.push("write lost"))
          }))
          const { client, fiber } = yield* talking(protocol)
          yield* client.write(ascii("x"))
          yield* ending(client)
          yield* fiber
          assert.deepStrictEqual(log, ["made", end === "close" ? "lost Clean" : "lost ConnectionAborted"])
        }
      }
    }))

  it.scoped("the end of writing is told between two others, never within one", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const handled = yield* Deferred.make<void>()
      const protocol = Protocol.fromCallbacks((transport) => ({
        dataReceived: (data) =>
          Effect.gen(function*() {
            log.push(text(data))
            if (text(data) === "a") yield* transport.closeWrite
            yield* Deferred.await(handled)
            log.push("done")
          }),
        writeConnectionLost: Effect.zipRight(Effect.sync(() => log.push("write lost")), Effect.yieldNow())
      }))
      const { client, fiber } = yield* talking(protocol)
      yield* client.write(ascii("a"))
      assert.isNull(yield* client.pull)
      yield* client.write(ascii("b"))
      yield* settle
      assert.deepStrictEqual(log, ["a"])
      yield* Deferred.succeed(handled, undefined)
      yield* client.closeWrite
      yield* fiber
      assert.deepStrictEqual(log, ["a", "done", "write lost", "b", "done"])
    }))

  it.scoped("writeConnectionLost waits for a connectionMade that has ended the writing", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const { client, fiber } = yield* talking(Protocol.fromCallbacks(({ closeWrite }) => ({
        ...noting(log)(),
        connectionMade: Effect.zipRight(Effect.zipRight(closeWrite, settle), Effect.sync(() => log.push("made"))),
        writeConnectionLost: Effect.sync(() => log.push("write lost"))
      })))
      assert.strictEqual(yield* ending(client), "end")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(log, ["made", "write lost", "lost Clean"])
    }))

  it.scoped("a writeConnectionLost that fails ends a connection on which nothing else happens", () =>
    Effect.gen(function*() {
      const { client, fiber } = yield* talking(Protocol.fromCallbacks((transport) => ({
        connectionMade: transport.closeWrite,
        dataReceived: () => Effect.void,
        writeConnectionLost: Effect.fail("broken" as const)
      })))
      assert.strictEqual(failed(yield* fiber), "broken")
      assert.strictEqual((yield* Effect.flip(client.write(ascii("x"))))._tag, "ConnectionReset")
    }))

  it.scoped("a writeConnectionLost that closes is not cut short by that", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const protocol = Protocol.fromCallbacks((transport) => ({
        ...noting(log)(),
        dataReceived: () => transport.closeWrite,
        writeConnectionLost: Effect.zipRight(transport.close, Effect.sync(() => log.push("closed")))
      }))
      const { client, fiber } = yield* talking(protocol)
      yield* client.write(ascii("x"))
      assert.isNull(yield* client.pull)
      yield* settle
      yield* client.closeWrite
      assert.isTrue(Exit.isSuccess(yield* fiber))
      assert.deepStrictEqual(log, ["made", "closed", "lost Clean"])
    }))

  for (const reading of ["lost", "not told"] as const) {
    it.scoped(`the end of writing that comes after the peer's is told before connectionLost (${reading})`, () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const protocol = Protocol.fromCallbacks((transport) => ({
          ...noting(log)(),
          connectionMade: Effect.zipRight(transport.write(bytes(10)), Effect.fork(transport.closeWrite)),
          readConnectionLost: reading === "lost" ? Effect.sync(() => log.push("read lost")) : undefined,
          writeConnectionLost: Effect.sync(() => log.push("write lost"))
        }))
        const { client, fiber, server } = yield* talking(
          protocol,
          MemoryTransport.pair({ capacity: 0, readBufferSize: 0, ...limits })
        )
        yield* client.closeWrite
        yield* until(() => server.stats().peerEnded)
        yield* settle
        assert.deepStrictEqual(log, reading === "lost" ? ["read lost"] : [])
        assert.strictEqual((yield* Peer.readAll(client)).length, 10)
        assert.isTrue(Exit.isSuccess(yield* fiber))
        assert.deepStrictEqual(log, [...(reading === "lost" ? ["read lost"] : []), "write lost", "lost Clean"])
      }))
  }

  it.scoped("a failure of the reading alone ends the connection in order, and is that of the protocol", () =>
    Effect.gen(function*() {
      const [client, server] = yield* MemoryTransport.pair(limits)
      const odd = NetworkLayer.derive(server, { pull: Effect.fail("odd" as const) })
      const told: Array<string> = []
      const protocol = Protocol.runCallbacks(odd, () => ({
        dataReceived: () => Effect.void,
        writeConnectionLost: Effect.sync(() => told.push("write lost")),
        connectionLost: () => Effect.sync(() => told.push("lost"))
      }))
      const fiber = yield* Effect.fork(Effect.exit(Effect.scoped(protocol)))
      assert.strictEqual(yield* ending(client), "end")
      assert.strictEqual(failed(yield* Fiber.join(fiber)), "odd")
      assert.deepStrictEqual(told, ["lost"])
    }))

  it.scoped("writeConnectionLost waits for a readConnectionLost that takes its time", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const note = (what: string) => Effect.sync(() => log.push(what))
      const protocol = Protocol.fromCallbacks((transport) => ({
        ...noting(log)(),
        readConnectionLost: Effect.all([transport.closeWrite, settle, note("read lost")]),
        writeConnectionLost: note("write lost")
      }))
      const { client, fiber } = yield* talking(protocol)
      yield* client.closeWrite
      assert.strictEqual(yield* ending(client), "end")
      assert.deepStrictEqual(yield* fiber, Exit.void)
      assert.deepStrictEqual(log, ["made", "read lost", "write lost", "lost Clean"])
    }))

  it.scoped("writeConnectionLost does not come after an abort, also where the end was out before", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const protocol = Protocol.fromCallbacks((transport) => ({
        ...noting(log)(),
        dataReceived: () => Effect.all([transport.closeWrite, settle, transport.abort]),
        writeConnectionLost: Effect.sync(() => log.push("write lost"))
      }))
      const { client, fiber } = yield* talking(protocol)
      yield* client.write(ascii("x"))
      assert.strictEqual(failed(yield* fiber)._tag, "ConnectionAborted")
      assert.deepStrictEqual(log, ["made", "lost ConnectionAborted"])
    }))

  it.scoped("one that is to be told of the end of its writing, and fails before, ends also where nothing interrupts", () =>
    Effect.gen(function*() {
      const [client, server] = yield* MemoryTransport.pair(limits)
      const protocol = Protocol.fromCallbacks(() => ({
        dataReceived: () => Effect.fail("broken"),
        writeConnectionLost: Effect.void
      }))
      const handled = Effect.exit(Effect.scoped(Protocol.handler(protocol)(server)))
      const fiber = yield* Effect.fork(Effect.uninterruptible(handled))
      yield* client.write(ascii("x"))
      assert.strictEqual(failed(yield* fiber), "broken")
    }))

  it.scoped("what dies when it is released is no clean end, and connectionLost comes all the same", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const protocol = Protocol.fromCallbacks(() => ({
        ...noting(log)(),
        connectionMade: Effect.addFinalizer(() => Effect.die("broken"))
      }))
      const { client, fiber } = yield* talking(protocol)
      yield* client.closeWrite
      assert.deepStrictEqual(yield* fiber, Exit.die("broken"))
      assert.deepStrictEqual(log, ["lost Clean"])
    }))

  it.scoped("a write that meets the loss has not failed: the reason is the loss", () =>
    Effect.gen(function*() {
      let reason: Protocol.EndReason | undefined
      const protocol = Protocol.fromCallbacks((transport) => ({
        connectionMade: Effect.forever(transport.write(bytes(4096))),
        dataReceived: () => Effect.void,
        connectionLost: (why) => Effect.sync(() => reason = why)
      }))
      const { client, fiber, server } = yield* talking(protocol)
      yield* until(() => server.stats().writersWaiting === 1)
      yield* client.abort
      const loss = failed(yield* fiber)
      assert.isTrue(reason?._tag === "Lost" && reason.error === loss)
    }))

  it.scopedLive("a dataReceived that writes wakes no fiber", () =>
    Effect.gen(function*() {
      let tasks = 0
      const counting = Scheduler.make((task, priority) => {
        tasks++
        Scheduler.defaultScheduler.scheduleTask(task, priority)
      })
      const [client, server] = yield* MemoryTransport.pair(limits)
      const protocol = Protocol.fromCallbacks((transport) => ({ dataReceived: (data) => transport.write(data) }))
      const handled = Effect.withScheduler(Effect.scoped(Protocol.handler(protocol)(server)), counting)
      const fiber = yield* Effect.fork(handled)
      yield* until(() => server.stats().pulling)
      const before = tasks
      for (let round = 0; round < 50; round++) {
        yield* client.write(ascii("ball"))
        assert.strictEqual(text(yield* Transport.readExactly(client, 4)), "ball")
        yield* Peer.turns(1)
      }
      // But for the breath that is due after 64 reads and writes.
      assert.isAtMost(tasks - before, 5)
      yield* Effect.fork(ending(client))
      yield* client.closeWrite
      yield* Fiber.join(fiber)
    }))

  it.scopedLive("leaves no fiber, not the one that waits for the end of writing either", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      for (const end of ["peer", "close", "abort"] as const) {
        const protocol = Protocol.fromCallbacks((transport) => ({
          dataReceived: () => end === "abort" ? transport.abort : transport.close,
          writeConnectionLost: Effect.void
        }))
        const { client, fiber } = yield* talking(protocol)
        yield* end === "peer" ? client.closeWrite : client.write(ascii("x"))
        yield* ending(client)
        yield* fiber
      }
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.scoped("what build throws ends the connection, as a callback that dies", () =>
    Effect.gen(function*() {
      const { client, fiber } = yield* talking(Protocol.fromCallbacks((): Protocol.Callbacks<unknown, never, never> => {
        throw new Error("no callbacks")
      }))
      assert.isTrue(Exit.isFailure(yield* fiber))
      assert.strictEqual(yield* ending(client), "ConnectionReset")
    }))

  it.scoped("the failures and needs of all callbacks are in its type", () =>
    Effect.gen(function*() {
      class Greeting extends Context.Tag("Greeting")<Greeting, string>() {}
      const protocol = Protocol.fromCallbacks((transport) => ({
        connectionMade: Effect.flatMap(Greeting, (greeting) => transport.write(ascii(greeting))),
        dataReceived: (data) => data.length > 3 ? Effect.fail("long" as const) : Effect.void,
        readConnectionLost: Effect.fail("ended" as const),
        connectionLost: () => Effect.asVoid(Greeting)
      }))
      type E = Effect.Effect.Error<ReturnType<Transport.Transport["write"]>> | "long" | "ended"
      const typed: Protocol.Protocol<void, E, Greeting> = protocol
      const exact: Effect.Effect<void, E, Transport.Transport | Scope.Scope | Greeting> extends typeof typed ? true
        : false = true
      assert.isTrue(exact)
      const { client, fiber } = yield* talking(Effect.provideService(typed, Greeting, "hi"))
      yield* client.write(ascii("too long"))
      assert.strictEqual(failed(yield* fiber), "long")
    }))

  it.scoped("an object of a class will do", () =>
    Effect.gen(function*() {
      class Counter implements Protocol.Callbacks {
        private count = 0
        readonly transport: Transport.Transport

        constructor(transport: Transport.Transport) {
          this.transport = transport
        }

        dataReceived(data: Uint8Array) {
          this.count += data.length
          return this.transport.write(ascii(`${this.count};`))
        }

        connectionLost() {
          return Effect.sync(() => this.count = -1)
        }
      }
      const { client, fiber } = yield* talking(Protocol.fromCallbacks((transport) => new Counter(transport)))
      yield* client.write(ascii("abc"))
      assert.strictEqual(text(yield* Transport.readExactly(client, 2)), "3;")
      yield* client.closeWrite
      assert.isTrue(Exit.isSuccess(yield* fiber))
    }))

  describe("and its Scope", () => {
    it.scoped("what callbacks acquire is released before the connection ends, and it may still say good-bye", () =>
      Effect.gen(function*() {
        const protocol = Protocol.fromCallbacks((transport) => ({
          connectionMade: Effect.addFinalizer(() => Effect.ignore(transport.write(ascii("bye")))),
          dataReceived: () => Effect.void
        }))
        const { client, fiber } = yield* talking(protocol)
        yield* client.closeWrite
        assert.strictEqual(String(yield* Peer.readAll(client)), "bye")
        assert.isTrue(Exit.isSuccess(yield* fiber))
      }))

    for (const success of [true, false]) {
      it.scoped(`interrupted, it leaves the end to the Scope, which ended with ${success ? "success" : "a failure"}`, () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const [client, server] = yield* MemoryTransport.pair(limits)
          const scope = yield* Scope.make()
          const fiber = yield* Effect.fork(
            Scope.extend(Protocol.handler(Protocol.fromCallbacks(noting(log)))(server), scope)
          )
          yield* until(() => server.stats().pulling)
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(log, ["made"])
          assert.isTrue(server.outgoing.isActive())
          const closing = yield* Effect.fork(Scope.close(scope, success ? Exit.void : Exit.fail("no")))
          assert.strictEqual(yield* ending(client), success ? "end" : "ConnectionReset")
          yield* Fiber.join(closing)
          assert.deepStrictEqual(log, ["made", success ? "lost Clean" : "lost ConnectionAborted"])
        }))
    }

    it.scoped("closed while a callback runs, it interrupts that first: connectionLost is last", () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const protocol = Protocol.fromCallbacks(() => ({
          ...noting(log)(),
          dataReceived: () =>
            Effect.onInterrupt(Effect.never, () => Effect.zipRight(settle, Effect.sync(() => log.push("interrupted"))))
        }))
        const [client, server] = yield* MemoryTransport.pair(limits)
        const scope = yield* Scope.make()
        yield* Scope.extend(Effect.forkScoped(Protocol.handler(protocol)(server)), scope)
        yield* client.write(ascii("x"))
        yield* until(() => server.stats().bytesRead === 1 && !server.stats().pulling)
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* ending(client)
        yield* Fiber.join(closing)
        assert.deepStrictEqual(log, ["made", "interrupted", "lost Clean"])
      }))

    it.scopedLive("a server that drains ends an idle one in order", () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0), limits)
        const server = yield* Effect.fork(
          Server.serve(listener, Protocol.handler(Protocol.fromCallbacks(noting(log))))
        )
        const peer = yield* Peer.connect(listener.address)
        yield* until(() => log.length === 1)
        yield* Effect.fork(listener.close)
        yield* peer.readAll()
        assert.isTrue(peer.ended)
        assert.isUndefined(peer.code)
        peer.end()
        assert.deepInclude(yield* Fiber.join(server), { accepted: 1, drained: 1 })
        assert.deepStrictEqual(log, ["made", "lost Clean"])
      }))

    it.scopedLive(
      "interrupted at any moment, connectionLost comes once, if it was built",
      () =>
        Effect.gen(function*() {
          const { points } = yield* sweep({
            setup: Effect.gen(function*() {
              const [client, server] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
              yield* client.write(ascii("x"))
              yield* client.closeWrite
              return { server, log: [] as Array<string> }
            }),
            scenario: ({ log, server }) =>
              Effect.scoped(Protocol.runCallbacks(server, (transport) => {
                log.push("built")
                return {
                  connectionMade: transport.write(ascii("hello")),
                  dataReceived: (data) => transport.write(data),
                  readConnectionLost: transport.closeWrite,
                  writeConnectionLost: Effect.void,
                  connectionLost: () => Effect.sync(() => log.push("lost"))
                }
              })),
            check: ({ log, server }) =>
              Effect.gen(function*() {
                assert.deepStrictEqual(log, log.length === 0 ? [] : ["built", "lost"])
                yield* server.abort
              })
          })
          assert.isAbove(points, 10)
        }),
      60_000
    )
  })
})

describe("timeouts", () => {
  const guarded = (log: Array<string>) => (transport: Transport.Transport) =>
    Effect.flatMap(
      IdleTimeout.make({ duration: "10 seconds" })(transport),
      (guarded) =>
        Protocol.runCallbacks(guarded, (guarded) => ({
          dataReceived: (data) => guarded.write(data),
          connectionLost: (reason) =>
            Effect.sync(() => log.push(reason._tag === "Lost" ? reason.error._tag : reason._tag))
        }))
    )

  it.scoped("that traffic resets: a layer beneath the callbacks, which tells them by its own tag", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [client, server] = yield* MemoryTransport.pair()
      const fiber = yield* Effect.fork(Effect.exit(Effect.scoped(guarded(log)(server))))
      for (let round = 0; round < 5; round++) {
        yield* TestClock.adjust("9 seconds")
        yield* client.write(ascii("x"))
        assert.strictEqual(text((yield* client.pull)!), "x")
      }
      yield* TestClock.adjust("9999 millis")
      yield* settle
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(failed(yield* fiber)._tag, "IdleTimeout")
      assert.deepStrictEqual(log, ["IdleTimeout"])
    }))

  it.scoped("of a message, which a peer that drips bytes does not put off; what has come of it is not lost", () =>
    Effect.gen(function*() {
      const { client, fiber } = yield* talking(
        Effect.gen(function*() {
          const transport = yield* Transport.Transport
          const message = Transport.readExactly(transport, 4).pipe(
            Effect.timeoutFail({ duration: "5 seconds", onTimeout: () => "too slow" as const })
          )
          yield* transport.write(yield* message)
          const late = yield* Effect.flip(message)
          yield* transport.write(yield* Transport.readExactly(transport, 3))
          return late
        })
      )
      yield* client.write(ascii("good"))
      assert.strictEqual(text(yield* Transport.readExactly(client, 4)), "good")
      for (const byte of ["b", "a", "d"]) {
        yield* client.write(ascii(byte))
        yield* settle
        yield* TestClock.adjust("2 seconds")
      }
      assert.strictEqual(text(yield* Transport.readExactly(client, 3)), "bad")
      assert.deepStrictEqual(yield* fiber, Exit.succeed("too slow" as const))
    }))
})

describe("programs", () => {
  /** Tag, length, value: a parser by exact sizes is a loop that reads them. */
  const records = (transport: Transport.Transport) =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      while (true) {
        const [kind, length] = yield* Transport.readExactly(transport, 2)
        if (kind === 0) return seen
        seen.push(`${kind}:${text(yield* Transport.readExactly(transport, length!))}`)
      }
    })

  for (const { name, open } of pairs) {
    it.scopedLive(`exact sizes over ${name}: the same whatever the chunks, and what follows is the next reader's`, () =>
      Effect.gen(function*() {
        const [client, server] = yield* open({ ...limits, maxChunkSize: 3 })
        const wire = Buffer.concat([Buffer.from([1, 3]), ascii("abc"), Buffer.from([2, 0, 7, 1]), ascii("zrest")])
        wire.set([0, 9], wire.length - 4)
        yield* client.write(wire)
        assert.deepStrictEqual(yield* records(server), ["1:abc", "2:", "7:z"])
        assert.strictEqual(text(yield* Transport.readExactly(server, 2)), "st")
      }))
  }

  it.scoped("exact sizes: a large input of many small records costs no more than it is long", () =>
    Effect.gen(function*() {
      const [client, server] = yield* MemoryTransport.pair()
      const count = 20_000
      const wire = Buffer.concat([
        ...Array.from({ length: count }, () => Buffer.from([1, 2, 65, 66])),
        Buffer.from([0, 0])
      ])
      yield* Effect.fork(client.write(wire))
      assert.strictEqual((yield* records(server)).length, count)
    }))

  it.scoped("a state machine: each state is a function that ends in the next one", () =>
    Effect.gen(function*() {
      const crlf = ascii("\r\n")
      type Session = Effect.Effect<string, ConnectionLost | Transport.IncompleteRead | Transport.DelimiterNotFound>
      const greeting = (transport: Transport.Transport): Session =>
        Effect.flatMap(Transport.readUntil(transport, crlf), (line) =>
          text(line).startsWith("HELO ") ? command(transport, text(line).slice(5)) : greeting(transport))
      const command = (transport: Transport.Transport, name: string): Session =>
        Effect.flatMap(Transport.readUntil(transport, crlf), (line) =>
          text(line) === "QUIT"
            ? Effect.succeed(name)
            : body(transport, `${name} ${text(line)}`))
      const body = (transport: Transport.Transport, name: string): Session =>
        Effect.flatMap(Transport.readUntil(transport, ascii("\r\n.\r\n")), (mail) =>
          command(transport, `${name} (${mail.length})`))

      const [client, server] = yield* MemoryTransport.pair({ maxChunkSize: 1 })
      yield* client.write(ascii("what?\r\nHELO me\r\nDATA\r\none\r\ntwo\r\n.\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"))
      assert.strictEqual(yield* greeting(server), "me DATA (8) DATA (1)")
    }))

  const line = (transport: Transport.Transport) => Effect.map(Transport.readUntil(transport, ascii("\n")), text)

  it.scoped("request and response: one at a time, and the next is not read before the last is answered", () =>
    Effect.gen(function*() {
      const answered = yield* Deferred.make<void>()
      const { client, server } = yield* talking(
        Effect.flatMap(Transport.Transport, (transport) =>
          Effect.forever(Effect.gen(function*() {
            const question = yield* line(transport)
            if (question === "hard") yield* Deferred.await(answered)
            yield* transport.write(ascii(`${question}!\n`))
          })))
      )
      yield* client.write(ascii("easy\nhard\neasy\n"))
      assert.strictEqual(yield* line(client), "easy!")
      yield* settle
      assert.isFalse(server.stats().pulling)
      yield* Deferred.succeed(answered, undefined)
      assert.strictEqual(yield* line(client), "hard!")
      assert.strictEqual(yield* line(client), "easy!")
    }))

  it.scoped("server push: a fiber of the connection's Scope writes, and ends with it", () =>
    Effect.gen(function*() {
      let ticks = 0
      const { client, fiber } = yield* talking(
        Effect.gen(function*() {
          const transport = yield* Transport.Transport
          const tick = Effect.suspend(() => transport.write(ascii(`tick ${++ticks}\n`)))
          yield* Effect.forkScoped(Effect.forever(Effect.delay(tick, "1 second")))
          yield* transport.forEach((data) => transport.write(data))
        })
      )
      yield* settle
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* line(client), "tick 1")
      assert.strictEqual(yield* line(client), "tick 2")
      yield* client.write(ascii("between\n"))
      assert.strictEqual(yield* line(client), "between")
      yield* client.closeWrite
      yield* fiber
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(ticks, 2)
    }))

  it.scoped("pipelining: requests are worked on at the same time, and answered in their order", () =>
    Effect.gen(function*() {
      const [working, atOnce] = [new Set<string>(), 3]
      let most = 0
      const work = (question: string) =>
        Effect.gen(function*() {
          most = Math.max(most, working.add(question).size)
          yield* Effect.sleep(Duration.seconds(Number(question)))
          working.delete(question)
          return `${question} done\n`
        })
      const { client, fiber } = yield* talking(
        Effect.gen(function*() {
          const transport = yield* Transport.Transport
          const requests = Stream.catchTag(Stream.repeatEffect(line(transport)), "IncompleteRead", () => Stream.empty)
          yield* Stream.mapEffect(requests, work, { concurrency: atOnce }).pipe(
            Stream.map(ascii),
            Stream.run(transport.sink)
          )
        })
      )
      yield* client.write(ascii("5\n1\n3\n2\n4\n"))
      yield* client.closeWrite
      yield* settle
      for (let second = 0; second < 12; second++) yield* Effect.zipRight(TestClock.adjust("1 second"), settle)
      assert.isTrue(Exit.isSuccess(yield* fiber))
      for (const question of ["5", "1", "3", "2", "4"]) assert.strictEqual(yield* line(client), `${question} done`)
      assert.strictEqual(most, atOnce)
    }))
})
