import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as childProcess from "node:child_process"
import * as dgram from "node:dgram"
import * as fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as net from "node:net"
import * as path from "node:path"
import * as Address from "../../../src/Address.ts"
import type { Listener } from "../../../src/Listener.ts"
import * as Tcp from "../../../src/node/Tcp.ts"
import * as Unix from "../../../src/node/Unix.ts"
import * as Server from "../../../src/server/Server.ts"
import type { Transport } from "../../../src/Transport.ts"
import { ascii } from "../../support/bytes.ts"
import * as Peer from "../../support/peer.ts"
import { has } from "../../support/tool.ts"

/** Documentation addresses (RFC 5737): no machine has one. They are only bound here, never dialled. */
const foreign = Address.tcp("198.51.100.1", 0)

const serve = <E>(listener: Listener, handler: (transport: Transport) => Effect.Effect<unknown, E>) =>
  Effect.forkScoped(Server.serve(listener, handler))

const echo = (transport: Transport) => Stream.run(transport.stream, transport.sink)

/** Sends a line, ends, and reads what comes back to the end. */
const ask = (peer: Peer.Peer, line: string) =>
  Effect.suspend(() => {
    peer.socket.end(line)
    return Effect.map(peer.readAll(), (answer) => answer.toString())
  })

/** The `net.Server` behind an accepted transport. */
const serverOf = (transport: Transport): net.Server =>
  (transport.unsafeHandle as net.Socket & { readonly server: net.Server }).server

interface Logged {
  readonly level: string
  readonly text: string
  readonly listener: unknown
}

const collectLogs = (logged: Array<Logged>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ annotations, logLevel, message }) => {
      const annotation = [...annotations].find(([key]) => key === "listener")
      logged.push({ level: logLevel.label, text: String(message), listener: annotation?.[1] })
    })
  )

const acceptErrors = (code: string) =>
  Effect.map(
    Metric.snapshot,
    (pairs) =>
      pairs.filter(({ metricKey }) =>
        metricKey.name === "effect_transport_accept_errors" &&
        metricKey.tags.some(({ key, value }) => key === "code" && value === code)
      ).reduce((sum, { metricState }) => sum + (metricState as unknown as { readonly count: number }).count, 0)
  )

describe("listening", () => {
  it.scopedLive("E1 takes connections on its own interface only", () =>
    Effect.gen(function*() {
      const { address } = yield* Tcp.listen(Address.tcp("127.0.0.2", 0))
      const { port } = address
      const peer = yield* Peer.connect(Address.tcp("127.0.0.2", port))
      assert.isUndefined(peer.code)
      peer.destroy()
      for (const host of ["127.0.0.1", "127.0.0.3"]) {
        const refused = yield* Peer.connect(Address.tcp(host, port))
        assert.strictEqual(refused.code, "ECONNREFUSED")
      }
    }))

  for (const carrier of Peer.carriers) {
    it.scopedLive(`E3 can be stopped and started again on the same address (${carrier})`, () =>
      Effect.gen(function*() {
        let address: Address.Address = yield* Peer.free(carrier)
        for (let round = 0; round < 3; round++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const listener = yield* Peer.listenOn(address)
            address = listener.address
            yield* serve(listener, echo)
            assert.strictEqual(yield* ask(yield* Peer.connect(address), "hello"), "hello")
            yield* listener.close
            yield* listener.close
            yield* listener.closed
            assert.strictEqual((yield* Effect.flip(listener.accept))._tag, "ListenerClosed")
          }))
        }
      }))

    it.scopedLive(`the address is free as soon as close completes, and accepted connections go on (${carrier})`, () =>
      Effect.gen(function*() {
        const first = yield* Peer.listener(carrier)
        const peer = yield* Peer.connect(first.address)
        const transport = yield* first.accept
        yield* first.close
        const second = yield* Peer.listenOn(first.address)
        assert.isTrue(Equal.equals(second.address, first.address))
        yield* transport.write(ascii("still here"))
        assert.strictEqual((yield* peer.readBytes(10)).toString(), "still here")
        peer.destroy()
      }))

    it.scopedLive(`E7 an address in use fails with it and the code (${carrier})`, () =>
      Effect.gen(function*() {
        const { address } = yield* Peer.listener(carrier)
        const error = yield* Effect.flip(Effect.scoped(Peer.listenOn(address)))
        assert.strictEqual(error._tag, "AddressInUse")
        if (error._tag !== "AddressInUse") return
        assert.isTrue(Equal.equals(error.address, address))
        assert.strictEqual(error.code, "EADDRINUSE")
        assert.include(error.message, Address.format(address))
      }))

    it.scopedLive(`a connection beyond maxPending is ended without a reset, and counted (${carrier})`, () =>
      Effect.gen(function*() {
        const listener = yield* Effect.flatMap(
          Peer.free(carrier),
          (address) => Peer.listenOn(address, { maxPending: 2 })
        )
        const peers = yield* Effect.forEach([0, 1, 2], () => Peer.connect(listener.address))
        const refused = peers[2]!
        refused.socket.write("request")
        yield* refused.readAll()
        assert.isTrue(refused.ended)
        assert.isUndefined(refused.code)
        assert.deepStrictEqual(listener.stats(), { connected: 3, refused: 1, pending: 2 })
        for (const peer of peers) peer.destroy()
      }))

    it.scopedLive(`connections that wait are ended when the listener is closed (${carrier})`, () =>
      Effect.gen(function*() {
        const listener = yield* Peer.listener(carrier)
        const peer = yield* Peer.connect(listener.address)
        yield* listener.ready
        const closing = yield* Effect.fork(listener.close)
        yield* peer.readAll()
        peer.end()
        yield* Fiber.join(closing)
        assert.isUndefined(peer.code)
        assert.strictEqual(listener.stats().pending, 0)
      }))

    it.scopedLive(`an accept that is interrupted takes no connection (${carrier})`, () =>
      Effect.gen(function*() {
        const listener = yield* Peer.listener(carrier)
        for (let gap = 0; gap < 4; gap++) {
          const accepting = yield* Effect.fork(
            Effect.exit(Effect.scoped(Effect.zipRight(listener.accept, Effect.never)))
          )
          yield* Peer.turns(1)
          const peer = yield* Effect.fork(Peer.connect(listener.address))
          yield* Peer.turns(gap)
          const before = listener.stats()
          yield* Fiber.interrupt(accepting)
          const { socket } = yield* Fiber.join(peer)
          yield* Peer.eventually(() => listener.stats().connected === gap + 1)
          // Taken before the interruption, or still there for the next one.
          if (before.connected === gap) assert.strictEqual(listener.stats().pending, 1)
          listener.unsafePoll()?.abort.pipe(Effect.runFork)
          socket.destroy()
        }
      }))

    it.scopedLive(`interrupted while it binds, it leaves nothing (${carrier})`, () =>
      Effect.gen(function*() {
        const before = yield* Peer.sockets
        for (let index = 0; index < 50; index++) {
          const address = yield* Peer.free(carrier)
          const fiber = Effect.runFork(Effect.scoped(Effect.zipRight(Peer.listenOn(address), Effect.never)))
          for (let yields = 0; yields < index % 5; yields++) yield* Effect.yieldNow()
          fiber.unsafeInterruptAsFork(FiberId.none)
          yield* Fiber.await(fiber)
          if (address._tag === "UnixAddress") assert.isFalse(fs.existsSync(address.path))
        }
        yield* Peer.turns(5)
        assert.strictEqual(Peer.openSockets(), before)
      }))

    it.scopedLive(`1,000 connections at once are all accepted and served (${carrier})`, () =>
      Effect.gen(function*() {
        // A UNIX connect that finds the backlog full does not wait (unix(7)).
        const listener = yield* Peer.listener(carrier, { backlog: 1000 })
        yield* serve(listener, echo)
        const answers = yield* Effect.forEach(
          Array.from({ length: 1000 }, (_, index) => `client ${index}`),
          (line) =>
            Effect.map(Effect.flatMap(Peer.connect(listener.address), (peer) => ask(peer, line)), (answer) =>
              answer === line),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(listener.stats(), { connected: 1000, refused: 0, pending: 0 })
        assert.isTrue(answers.every(Boolean))
      }), 120_000)

    it.scopedLive(
      `E13 500 connections wait while nobody accepts, and are then all served (${carrier})`,
      () =>
        Effect.gen(function*() {
          const listener = yield* Effect.flatMap(
            Peer.free(carrier),
            (address) => Peer.listenOn(address, { maxPending: 500 })
          )
          const asking = yield* Effect.fork(Effect.forEach(
            Array.from({ length: 500 }, (_, index) => `client ${index}`),
            (line) =>
              Effect.map(
                Effect.flatMap(Peer.connect(listener.address), (peer) => ask(peer, line)),
                (answer) => answer === line
              ),
            { concurrency: "unbounded" }
          ))
          yield* Peer.eventually(() => listener.stats().pending === 500)
          yield* serve(listener, echo)
          assert.isTrue((yield* Fiber.join(asking)).every(Boolean))
          assert.strictEqual(listener.stats().refused, 0)
        }),
      120_000
    )

    it.scopedLive(`C13 E19 handlers that fail, at once or later, close their own connections and nothing else (${carrier})`, () =>
      Effect.gen(function*() {
        const listener = yield* Peer.listener(carrier)
        let count = 0
        const server = yield* serve<unknown>(listener, (transport): Effect.Effect<unknown, unknown> => {
          switch (count++ % 4) {
            case 2:
              return Effect.fail("at once")
            case 3:
              return Effect.flatMap(transport.pull, () => Effect.die("later"))
            default:
              return echo(transport)
          }
        })
        const alive = yield* Peer.connect(listener.address)
        yield* Peer.eventually(() => count === 1)
        for (let index = 1; index < 20; index++) {
          const peer = yield* Peer.connect(listener.address)
          assert.strictEqual(yield* ask(peer, "hello"), index % 4 < 2 ? "hello" : "")
          peer.destroy()
        }
        assert.strictEqual(yield* ask(alive, "still here"), "still here")
        yield* listener.close
        assert.deepInclude(yield* Fiber.join(server), { accepted: 20, failed: 10, completed: 10 })
      }).pipe(Effect.provide(collectLogs([]))))

    it.scopedLive(`A15 peers that are not admitted see an end and no reset, the others are served (${carrier})`, () =>
      Effect.gen(function*() {
        const listener = yield* Peer.listener(carrier)
        let count = 0
        yield* Effect.forkScoped(Server.serve(listener, echo, { admit: () => count++ % 2 === 1 }))
        for (const answer of ["", "hello", "", "hello"]) {
          const peer = yield* Peer.connect(listener.address)
          assert.strictEqual(yield* ask(peer, "hello"), answer)
          assert.isTrue(peer.ended)
          assert.isUndefined(peer.code)
        }
      }))

    it.scopedLive(`A9 what a handler logs tells whose connection it is (${carrier})`, () =>
      Effect.gen(function*() {
        const logged: Array<Logged> = []
        const listener = yield* Peer.listener(carrier)
        yield* Effect.provide(
          serve(listener, (transport) => Effect.zipRight(Effect.logInfo("at work"), echo(transport))),
          collectLogs(logged)
        )
        yield* ask(yield* Peer.connect(listener.address), "hello")
        assert.deepStrictEqual(logged, [{ level: "INFO", text: "at work", listener: Address.format(listener.address) }])
      }))

    it.scopedLive(`E20 a server that ends stops accepting, lets the idle and the busy end, and aborts the rest (${carrier})`, () =>
      Effect.gen(function*() {
        const before = yield* Peer.sockets
        const listener = yield* Peer.listener(carrier)
        const work = yield* Deferred.make<void>()
        const busy = yield* Deferred.make<void>()
        const server = yield* Effect.fork(
          Server.serve(listener, (transport) =>
            Effect.flatMap(transport.pull, (bytes) =>
              bytes?.[0] === 66
                // The busy one.
                ? Effect.zipRight(
                  Deferred.succeed(busy, undefined),
                  Effect.zipRight(Deferred.await(work), transport.write(bytes))
                )
                : bytes?.[0] === 83
                // The stuck one.
                ? transport.write(Peer.pattern(32 * 1024 * 1024)).pipe(Effect.zipRight(Effect.never))
                : Effect.zipRight(transport.write(bytes!), echo(transport))), { drainTimeout: "500 millis" })
        )
        const [idle, working, stuck] = yield* Effect.all([
          Peer.connect(listener.address),
          Peer.connect(listener.address),
          Peer.connect(listener.address)
        ])
        yield* idle.write("I")
        yield* idle.readBytes(1)
        yield* working.write("B")
        yield* Deferred.await(busy)
        yield* stuck.write("S")
        yield* stuck.readBytes(1)
        stuck.socket.pause()
        yield* listener.close
        const refused = yield* Peer.connect(listener.address)
        assert.include(["ECONNREFUSED", "ENOENT"], refused.code)
        yield* idle.readAll()
        assert.isTrue(idle.ended)
        assert.isUndefined(idle.code)
        idle.end()
        yield* Deferred.succeed(work, undefined)
        assert.strictEqual((yield* working.readAll()).toString(), "B")
        working.end()
        const report = yield* Fiber.join(server)
        assert.deepStrictEqual(report, { accepted: 3, refused: 0, completed: 1, failed: 0, drained: 1, aborted: 1 })
        yield* stuck.readAll()
        for (const peer of [idle, working, stuck]) peer.destroy()
        yield* Peer.eventually(() => Peer.openSockets() <= before)
      }))
  }

  it.scoped("its close does not wait for anything that sleeps", () =>
    Effect.gen(function*() {
      // The clock stands still: a fiber that sleeps on would hold the Scope for ever.
      yield* Effect.scoped(Effect.gen(function*() {
        const listener = yield* Peer.listener("tcp")
        const peer = yield* Peer.connect(listener.address)
        yield* listener.ready
        peer.destroy()
      }))
    }))

  it.scopedLive("a peer that connects before the fiber that listens goes on is not lost", () =>
    Effect.gen(function*() {
      // Node accepts at the next turn of the event loop; here the fiber takes several turns to go on.
      const { createServer } = net
      const early: Array<net.Socket> = []
      const patched = (net as { default?: typeof net }).default!
      patched.createServer = ((options: net.ServerOpts) => {
        const server = createServer(options)
        server.once("listening", () => early.push(net.connect((server.address() as net.AddressInfo).port, "127.0.0.1")))
        return server
      }) as typeof createServer
      syncBuiltinESMExports()
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0)).pipe(
        Effect.withScheduler(Scheduler.timer(5)),
        Effect.ensuring(Effect.sync(() => {
          patched.createServer = createServer
          syncBuiltinESMExports()
        }))
      )
      const transport = yield* listener.accept
      assert.strictEqual((transport.remoteAddress as Address.TcpAddress).port, early[0]!.localPort)
      early[0]!.destroy()
    }))
})

describe("a failure to listen", () => {
  it.live("E7 names an address that is not this machine's", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Tcp.listen(foreign)))
      assert.strictEqual(error._tag, "AddressNotAvailable")
      assert.strictEqual((error as { readonly address: unknown }).address, foreign)
    }))

  it.scopedLive("E7 names a directory that does not exist", () =>
    Effect.gen(function*() {
      const address = Address.unix(path.join(yield* Peer.directory, "missing", "s"))
      for (const options of [{}, { mode: 0o600 }]) {
        const error = yield* Effect.flip(Effect.scoped(Unix.listen(address, options)))
        assert.strictEqual(error._tag, "PathNotFound")
        assert.strictEqual((error as { readonly address: unknown }).address, address)
      }
    }))

  it.scopedLive("E7 a thousand times leaves no descriptor and no file", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      const regular = path.join(directory, "regular")
      fs.writeFileSync(regular, "")
      const live = yield* Unix.listen(Address.unix(path.join(directory, "live")))
      const tcp = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      const ways: Array<readonly [string, Effect.Effect<Listener, { readonly _tag: string }, Scope.Scope>]> = [
        ["AddressInUse", Tcp.listen(tcp.address)],
        ["AddressNotAvailable", Tcp.listen(foreign)],
        ["AddressInUse", Unix.listen(live.address)],
        ["AddressInUse", Unix.listen(live.address, { mode: 0o600 })],
        ["AddressInUse", Unix.listen(Address.unix(regular))],
        ["AddressInUse", Unix.listen(Address.unix(regular), { mode: 0o600 })],
        ["PathNotFound", Unix.listen(Address.unix(path.join(directory, "missing", "s")))],
        ["PathNotFound", Unix.listen(Address.unix(path.join(directory, "missing", "s")), { mode: 0o600 })],
        ["PathTooLong", Unix.listen(Address.unix(path.join(directory, "x".repeat(108))))],
        ["InvalidDescriptor", Tcp.adopt(1_000_000)]
      ]
      const descriptors = () => fs.readdirSync("/proc/self/fd").length
      // The live server answers the probes.
      yield* serve(live, () => Effect.void)
      const attempt = Effect.forEach(ways, ([tag, listen]) =>
        Effect.map(Effect.flip(Effect.scoped(listen)), (error) => assert.strictEqual(error._tag, tag)), {
        discard: true
      })
      yield* attempt
      yield* Peer.eventually(() =>
        live.stats().pending === 0
      )
      yield* Peer.turns(20)
      const before = descriptors()
      for (let round = 0; round < 100; round++) yield* attempt
      yield* Peer.eventually(() => descriptors() <= before)
      assert.deepStrictEqual(fs.readdirSync(directory).toSorted(), ["live", "regular"])
      assert.strictEqual(fs.readFileSync(regular, "utf8"), "")
    }), 60_000)
})

describe("an accept that fails", () => {
  const injected = [
    ["E10", "ENOBUFS"],
    ["E10", "ECONNABORTED"],
    ["E10", "EMFILE"],
    ["E10", "ENOMEM"],
    ["E11", "EPERM"],
    ["E12", "ESOMETHING"]
  ] as const

  for (const [row, code] of injected) {
    it.scopedLive(`${row} with ${code} is logged once and counted, and the listener goes on`, () =>
      Effect.gen(function*() {
        const logged: Array<Logged> = []
        const listener = yield* Effect.provide(Tcp.listen(Address.tcp("127.0.0.1", 0)), collectLogs(logged))
        const first = yield* Peer.connect(listener.address)
        const transport = yield* listener.accept
        const before = yield* acceptErrors(code)
        serverOf(transport).emit("error", Object.assign(new Error(`accept ${code}`), { code, syscall: "accept" }))
        yield* Peer.turns(5)
        assert.strictEqual((yield* acceptErrors(code)) - before, 1)
        assert.strictEqual(logged.length, 1)
        assert.deepInclude(logged[0]!, { level: "WARN", listener: Address.format(listener.address) })
        first.destroy()
        yield* serve(listener, echo)
        assert.strictEqual(yield* ask(yield* Peer.connect(listener.address), "hello"), "hello")
      }))
  }
})

describe("adopting a descriptor", () => {
  const child = (
    what: "listener" | "connection",
    fds: ReadonlyArray<number>,
    options: ReadonlyArray<string> = []
  ) =>
    Effect.acquireRelease(
      Effect.sync(() =>
        childProcess.spawn(
          process.execPath,
          ["--import", "tsx", path.join(import.meta.dirname, "../../support/adopting.ts"), what, ...options],
          { stdio: ["ignore", "pipe", "inherit", ...fds], env: { ...process.env, npm_config_loglevel: "silent" } }
        )
      ),
      (child) => Effect.sync(() => child.kill())
    )

  const exitCode = (child: childProcess.ChildProcess) =>
    Effect.async<number | null>((resume) => {
      if (child.exitCode !== null) resume(Effect.succeed(child.exitCode))
      else child.once("exit", (code) => resume(Effect.succeed(code)))
    })

  const fdOf = (handle: unknown): number => (handle as { readonly _handle: { readonly fd: number } })._handle.fd

  for (const carrier of Peer.carriers) {
    it.scopedLive(
      `E16 a listener that is stopped leaves the socket to its other holders (${carrier})`,
      () =>
        Effect.gen(function*() {
          const where = yield* Peer.free(carrier)
          const { address, server } = yield* Peer.listen(where)
          const fd = fdOf(server)
          const adopting = yield* child("listener", [fd, fd])
          const printed: Array<string> = []
          adopting.stdout!.on("data", (text: Buffer) => printed.push(text.toString()))
          // Only the child is left to accept. (Node removes the file of a UNIX socket that it closes: linked twice, one is left.)
          const dialled = address._tag === "UnixAddress" ? Address.unix(`${address.path}2`) : address
          if (address._tag === "UnixAddress") fs.linkSync(address.path, `${address.path}2`)
          server.close()
          const first = yield* Peer.connect(dialled)
          assert.strictEqual((yield* first.readAll()).toString(), "served by 3")
          first.destroy()
          const second = yield* Peer.connect(dialled)
          assert.strictEqual((yield* second.readAll()).toString(), "served by 4")
          second.destroy()
          assert.strictEqual(yield* exitCode(adopting), 0)
          const shown = address._tag === "TcpAddress" ? Address.format(address) : "(unnamed)"
          assert.strictEqual(printed.join(""), `3 ${shown}\n4 ${shown}\n`)
        }),
      120_000
    )

    it.scopedLive(`E17 a connected socket behaves like an accepted one (${carrier})`, () =>
      Effect.gen(function*() {
        const { accept, address } = yield* Effect.flatMap(Peer.free(carrier), (address) => Peer.listen(address))
        const peer = yield* Peer.connect(address)
        const accepted = yield* accept
        const adopting = yield* child("connection", [fdOf(accepted.socket)])
        accepted.destroy()
        const sent = Peer.pattern(4 * 1024 * 1024)
        peer.socket.end(sent)
        assert.isTrue((yield* peer.readAll()).equals(sent))
        assert.isUndefined(peer.code)
        assert.strictEqual(yield* exitCode(adopting), 0)
      }), 120_000)
  }

  it.scopedLive.skipIf(!has("ss"))(
    "sets the backlog of its socket (skipped: ss is not installed)",
    () =>
      Effect.gen(function*() {
        const { address, server } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
        const fd = fdOf(server)
        const sendQueue = () =>
          childProcess.execFileSync("ss", ["-ltnH", `sport = :${Peer.asTcp(address).port}`], { encoding: "utf8" })
            .trim().split(/\s+/)[2]
        assert.strictEqual(sendQueue(), "511")
        const adopting = yield* child("listener", [fd, fd], ["7"])
        // It says so when it listens.
        yield* Effect.async<void>((resume) => void adopting.stdout!.once("data", () => resume(Effect.void)))
        assert.strictEqual(sendQueue(), "7")
      }),
    120_000
  )

  it.scopedLive("E15 what is not open, or no socket that listens, is an InvalidDescriptor", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      const file = path.join(directory, "file")
      fs.writeFileSync(file, "content")
      const descriptor = fs.openSync(file, "r")
      const udp = dgram.createSocket("udp4")
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.closeSync(descriptor)))
      yield* Effect.async<void>((resume) => void udp.bind(0, "127.0.0.1", () => resume(Effect.void)))
      yield* Effect.addFinalizer(() => Effect.sync(() => udp.close()))
      for (const fd of [1_000_000, descriptor, -1, 1.5]) {
        const result = yield* Effect.either(Effect.scoped(Tcp.adopt(fd)))
        if (Either.isRight(result) || result.left._tag !== "InvalidDescriptor") return assert.fail(`${fd} was adopted`)
        assert.strictEqual(result.left.fd, fd)
        assert.include(result.left.message, String(fd))
      }
      assert.strictEqual(fs.readFileSync(descriptor, "utf8"), "content")
    }))
})

describe("closing the Scope of a listener", () => {
  it.scopedLive("stops it, and touches no connection that it accepted in another one", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const listener = yield* Scope.extend(Peer.listener("tcp"), scope)
      const peer = yield* Peer.connect(listener.address)
      const transport = yield* listener.accept
      yield* Scope.close(scope, Exit.fail("whatever"))
      yield* listener.closed
      const refused = yield* Peer.connect(listener.address)
      assert.strictEqual(refused.code, "ECONNREFUSED")
      yield* peer.write("x")
      assert.strictEqual((yield* transport.pull)!.length, 1)
      peer.destroy()
    }))
})
