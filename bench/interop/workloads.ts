/** What is done over both kinds of Sockets, word for word the same, and what came of it. */
import * as Socket from "@effect/platform/Socket"
import { SocketServer } from "@effect/platform/SocketServer"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as childProcess from "node:child_process"
import * as net from "node:net"
import { portOf, type Sockets } from "./sockets.ts"

const mebibyte = 1024 * 1024

// --- a fast sender against a slow consumer ---------------------------------------

/** Sends as fast as the socket takes it, and heeds its backpressure. */
const sender = `
const chunk = Buffer.alloc(65536)
const socket = require("node:net").connect(Number(process.argv[1]), "127.0.0.1")
const send = () => { while (socket.write(chunk)); }
socket.on("connect", send).on("drain", send).on("error", () => {})`

const flooded = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => childProcess.spawn(process.execPath, ["-e", sender, `${port}`])),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const resident = () => Math.round(process.memoryUsage.rss() / mebibyte)

/** MiB that are resident after so many seconds of it. */
const slowConsumer =
  (consume: (sockets: Sockets, socket: Socket.Socket) => Effect.Effect<unknown, unknown>) => (sockets: Sockets) =>
    Effect.gen(function*() {
      const server = yield* sockets.server
      yield* Effect.forkDaemon(server.run((socket) => consume(sockets, socket)))
      yield* flooded(portOf(server))
      yield* Effect.sleep(5000)
      return resident()
    })

export const slowStream = slowConsumer((sockets, socket) =>
  Stream.never.pipe(
    Stream.pipeThroughChannel(sockets.toChannel(socket)),
    Stream.runForEach(() => Effect.sleep(10))
  )
)

export const slowHandler = slowConsumer((_, socket) =>
  Effect.flatMap(Effect.makeSemaphore(1), (one) => socket.run(() => one.withPermits(1)(Effect.sleep(10))))
)

// --- life and death of a connection ----------------------------------------------

const connected = (port: number) =>
  Effect.acquireRelease(
    Effect.async<net.Socket>((resume) => {
      const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => resume(Effect.succeed(socket)))
      socket.on("error", () => {})
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Bytes of an answer of 1 MiB that a client gets which has ended its own side, within a second. */
export const answerAfterEnd = (sockets: Sockets) =>
  Effect.gen(function*() {
    const server = yield* sockets.server
    yield* Effect.forkDaemon(server.run((socket) =>
      Effect.scoped(Effect.gen(function*() {
        yield* socket.run(() => {})
        const write = yield* socket.writer
        yield* write(new Uint8Array(mebibyte))
      }))
    ))
    const client = yield* connected(portOf(server))
    let received = 0
    const over = Effect.async<void>((resume) => {
      client.on("data", ({ length }) => (received += length)).on("end", () => resume(Effect.void))
        .on("close", () => resume(Effect.void))
    })
    client.end("question")
    yield* Effect.timeoutOption(over, 1000)
    return received
  })

const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** One after the other: the next when the last one has come. */
const inChunks = (client: net.Socket, count: number, come: () => number) =>
  Effect.gen(function*() {
    for (let chunk = 0; chunk < count; chunk++) {
      client.write("x")
      while (come() <= chunk) yield* turn
    }
  })

/** Handlers, of 10 chunks, that are over when run has ended with success; each takes longer than the connection lasts. */
export const handledAtEnd = (sockets: Sockets) =>
  Effect.gen(function*() {
    const server = yield* sockets.server
    const ended = yield* Deferred.make<string>()
    let chunks = 0
    const handled: Array<number> = []
    yield* Effect.forkDaemon(server.run((socket) =>
      Effect.gen(function*() {
        yield* socket.run(() => {
          const chunk = chunks++
          return Effect.delay(Effect.sync(() => void handled.push(chunk)), 500)
        })
        yield* Deferred.succeed(ended, `${handled.length} of ${chunks}`)
      })
    ))
    const client = yield* connected(portOf(server))
    yield* inChunks(client, 10, () => chunks)
    client.end()
    return yield* Deferred.await(ended)
  })

/** The order in which handlers are over, of which the first takes the longest. */
export const order = (sockets: Sockets) =>
  Effect.gen(function*() {
    const server = yield* sockets.server
    const over = yield* Deferred.make<string>()
    let chunks = 0
    let handled = ""
    yield* Effect.forkDaemon(server.run((socket) =>
      socket.run(() => {
        const chunk = chunks++
        const done = Effect.suspend(() =>
          (handled += chunk).length === 10 ? Deferred.succeed(over, handled) : Effect.void
        )
        return Effect.delay(done, 100 - 10 * chunk)
      })
    ))
    const client = yield* connected(portOf(server))
    yield* inChunks(client, 10, () => chunks)
    return yield* Deferred.await(over)
  })

const within = <A, E>(effect: Effect.Effect<A, E>, millis: number) =>
  Effect.flatMap(Effect.fork(Effect.disconnect(effect)), (fiber) =>
    Effect.raceFirst(
      Effect.map(Fiber.await(fiber), Option.some),
      Effect.as(Effect.sleep(millis), Option.none<Exit.Exit<A, E>>())
    ))

const outcomeOf = (exit: Option.Option<Exit.Exit<unknown, unknown>>): string => {
  if (Option.isNone(exit)) return "hangs"
  if (Exit.isSuccess(exit.value)) return "succeeds"
  const error = Cause.squash(exit.value.cause)
  const name = Socket.isSocketError(error)
    ? `SocketError ${error.reason}, by ${
      "cause" in error ? (error.cause as { _tag?: string })._tag ?? error.cause : error
    }`
    : (error as { _tag?: string })._tag ?? String(error)
  return `${Cause.isDie(exit.value.cause) ? "dies" : "fails"} (${name})`
}

/** What becomes of a write, in a second, when the peer has reset the connection. */
export const writeAfterLoss = (sockets: Sockets) =>
  Effect.gen(function*() {
    const server = yield* sockets.server
    const outcome = yield* Deferred.make<string>()
    yield* Effect.forkDaemon(server.run((socket) =>
      Effect.scoped(Effect.gen(function*() {
        const write = yield* socket.writer
        yield* Effect.exit(socket.run(() => {}))
        const exit = yield* within(write("late"), 1000)
        yield* Deferred.succeed(outcome, outcomeOf(exit))
      }))
    ))
    const client = yield* connected(portOf(server))
    client.write("x", () => client.resetAndDestroy())
    return yield* Deferred.await(outcome)
  })

/** Whether the server's Scope ends, in a second, while a connection is served. */
export const scopeClose = (sockets: Sockets) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const server = yield* Scope.extend(sockets.server, scope)
    const accepted = yield* Deferred.make<void>()
    yield* Effect.forkDaemon(
      server.run((socket) => Effect.zipRight(Deferred.succeed(accepted, undefined), socket.run(() => {})))
    )
    yield* connected(portOf(server))
    yield* Deferred.await(accepted)
    const exit = yield* within(Scope.close(scope, Exit.void), 1000)
    return Option.isSome(exit) ? "ends" : "hangs"
  })

// --- @effect/rpc -----------------------------------------------------------------

const Calls = RpcGroup.make(
  Rpc.make("Double", { payload: { value: Schema.Number }, success: Schema.Number }),
  Rpc.make("Forever")
)

const handlers = Calls.toLayer({ Double: ({ value }) => Effect.succeed(2 * value), Forever: () => Effect.never })

const rpcServer = (server: SocketServer["Type"]) =>
  RpcServer.layer(Calls).pipe(
    Layer.provide([handlers, RpcServer.layerProtocolSocketServer]),
    Layer.provide([Layer.succeed(SocketServer, server), RpcSerialization.layerMsgPack])
  )

const rpcClient = (sockets: Sockets, port: number) =>
  Effect.gen(function*() {
    const socket = yield* sockets.client(port)
    const protocol = RpcClient.layerProtocolSocket().pipe(
      Layer.provide([Layer.succeed(Socket.Socket, socket), RpcSerialization.layerMsgPack])
    )
    return yield* Effect.provide(RpcClient.make(Calls), yield* Layer.build(protocol))
  })

/** What becomes of a call that is made in the moment when the connection is reset. */
export const callAtReset = (sockets: Sockets) =>
  Effect.gen(function*() {
    const peers: Array<net.Socket> = []
    const server = yield* Effect.acquireRelease(
      Effect.async<net.Server>((resume) => {
        const server = net.createServer((socket) => peers.push(socket.on("error", () => {})))
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close())
    )
    const client = yield* rpcClient(sockets, (server.address() as net.AddressInfo).port)
    const waiting = yield* Effect.fork(client.Forever())
    while (peers.length === 0) yield* Effect.sleep(1)
    yield* Effect.sleep(20)
    // Calls all the time, from before the reset to after it is known.
    const calls: Array<Fiber.Fiber<unknown, unknown>> = []
    peers[0]!.resetAndDestroy()
    for (let value = 0; value < 50; value++) {
      calls.push(yield* Effect.fork(client.Double({ value })))
      yield* turn
    }
    const exits = yield* Effect.forEach([waiting, ...calls], (call) => within(Fiber.join(call), 1000), {
      concurrency: "unbounded"
    })
    return [...new Set(exits.map(outcomeOf))].toSorted().join(", ")
  })

/** Calls a second, one after the other and so many at once. */
export const rates = (sockets: Sockets, seconds = 1) =>
  Effect.gen(function*() {
    const server = yield* sockets.server
    yield* Layer.build(rpcServer(server))
    const client = yield* rpcClient(sockets, portOf(server))
    const rate = (concurrency: number, seconds: number) =>
      Effect.gen(function*() {
        const begun = performance.now()
        let calls = 0
        const caller = Effect.whileLoop({
          while: () => performance.now() - begun < seconds * 1000,
          body: () => client.Double({ value: calls }),
          step: () => calls++
        })
        yield* Effect.all(Effect.replicate(caller, concurrency), { concurrency: "unbounded", discard: true })
        return Math.round(calls / (performance.now() - begun) * 1000)
      })
    yield* rate(1, seconds)
    yield* rate(64, seconds)
    return { sequential: yield* rate(1, seconds), concurrent: yield* rate(64, seconds) }
  })
