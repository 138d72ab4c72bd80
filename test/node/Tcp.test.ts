import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as Address from "../../src/Address.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import { ascii } from "../support/bytes.ts"
import * as Peer from "../support/peer.ts"
import { asNobody } from "../support/resources.ts"

/** An address of the loopback at which nobody listens any more. */
const vacant = Effect.map(
  Effect.scoped(Tcp.listen(Address.tcp("127.0.0.1", 0))),
  ({ address }) => address
)

/** A server that has stopped before it accepted anybody: beyond its backlog, a connect gets no answer. */
const stopped: Effect.Effect<Address.TcpAddress, never, Scope.Scope> = Effect.gen(function*() {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      childProcess.spawn(process.execPath, [
        "-e",
        `const server = require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () =>
           process.stdout.write(server.address().port + "\\n", () => process.kill(process.pid, "SIGSTOP")))`
      ], { stdio: ["ignore", "pipe", "inherit"] })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const port = yield* Effect.async<number>((resume) =>
    void child.stdout.once("data", (text: Buffer) => resume(Effect.succeed(Number(text))))
  )
  // Process state T, proc(5).
  yield* Peer.eventually(() => /^State:\s+T/m.test(fs.readFileSync(`/proc/${child.pid}/status`, "utf8")))
  const address = Address.tcp("127.0.0.1", port)
  // The backlog holds one more than it says.
  yield* Peer.connect(address)
  yield* Peer.connect(address)
  return address
})

/** Connects to this port that have sent their SYN and got no answer: proc_net_tcp, state 02. */
const unanswered = (port: number): number =>
  fs.readFileSync("/proc/net/tcp", "utf8").split("\n").filter((line) => {
    const [, , remote, state] = line.trim().split(/\s+/)
    return state === "02" && Number.parseInt(remote!.split(":")[1]!, 16) === port
  }).length

const firstUnprivilegedPort = Number(fs.readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"))

describe("a TCP connect", () => {
  const failure = (address: Address.TcpAddress, localAddress?: Address.TcpAddress) =>
    Effect.flip(Effect.scoped(Tcp.connect(address, { localAddress })))

  it.live("that is refused says so, with address, code and system call", () =>
    Effect.gen(function*() {
      const address = yield* vacant
      const error = yield* failure(address)
      assert.deepInclude(error, { _tag: "ConnectionRefused", code: "ECONNREFUSED", syscall: "connect", attempts: [] })
      assert.strictEqual((error as { readonly address: unknown }).address, address)
      assert.include(error.message, Address.format(address))
    }))

  it.scopedLive("A2 from an address in use is BindFailed: nothing is wrong with the other side", () =>
    Effect.gen(function*() {
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      const other = yield* Tcp.listen(Address.tcp("127.0.0.2", 0))
      const error = yield* failure(listener.address, other.address)
      assert.deepInclude(error, { _tag: "BindFailed", code: "EADDRINUSE" })
      assert.strictEqual((error as { readonly localAddress: unknown }).localAddress, other.address)
      assert.include(error.message, Address.format(other.address))
      assert.strictEqual(listener.stats().connected, 0)
    }))

  it.scopedLive("A2 from an address that is not this machine's is BindFailed", () =>
    Effect.gen(function*() {
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      // Only bound, never dialled: a documentation address (RFC 5737).
      for (const port of [0, 40_000]) {
        const error = yield* failure(listener.address, Address.tcp("198.51.100.1", port))
        assert.deepInclude(error, { _tag: "BindFailed", code: "EADDRNOTAVAIL" })
      }
      assert.strictEqual(listener.stats().connected, 0)
    }))

  it.scopedLive("A2 from an address of the other family is BindFailed", () =>
    Effect.gen(function*() {
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      const error = yield* failure(listener.address, Address.tcp("::1", 0))
      assert.strictEqual(error._tag, "BindFailed")
    }))

  it.scopedLive("that gets no answer is given up when it is interrupted, and leaves no socket", () =>
    Effect.gen(function*() {
      const address = yield* stopped
      const before = yield* Peer.sockets
      const connecting = yield* Effect.fork(Effect.scoped(Tcp.connect(address)))
      yield* Peer.eventually(() => unanswered(address.port) === 1)
      assert.strictEqual(Peer.openSockets(), before + 1)
      yield* Fiber.interrupt(connecting)
      yield* Peer.eventually(() => Peer.openSockets() <= before)
      assert.strictEqual(unanswered(address.port), 0)
    }))

  it.scopedLive("interrupted at any moment leaves no socket on either side", () =>
    Effect.gen(function*() {
      const { address, server } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      server.on("connection", (socket) => socket.destroy())
      const before = yield* Peer.sockets
      for (let index = 0; index < 100; index++) {
        const connecting = yield* Effect.fork(
          Effect.scoped(Effect.zipRight(Tcp.connect(Peer.asTcp(address)), Effect.never))
        )
        if (index % 10 < 5) { for (let yields = 0; yields < index % 5; yields++) yield* Effect.yieldNow() }
        else yield* Peer.turns(index % 5)
        yield* Fiber.interrupt(connecting)
      }
      // It comes after all of them.
      const last = yield* Peer.connect(address)
      yield* last.readAll()
      last.destroy()
      yield* Peer.eventually(() => Peer.openSockets() <= before)
    }))

  it.scopedLive("a thousand that fail leave no descriptor", () =>
    Effect.gen(function*() {
      const address = yield* vacant
      const other = yield* Tcp.listen(Address.tcp("127.0.0.2", 0))
      const before = yield* Peer.sockets
      for (let index = 0; index < 1000; index++) {
        const error = yield* failure(address, index % 2 === 0 ? undefined : other.address)
        assert.strictEqual(error._tag, index % 2 === 0 ? "ConnectionRefused" : "BindFailed")
      }
      yield* Peer.eventually(() => Peer.openSockets() <= before)
    }))

  it.scopedLive("to a peer that resets at once is an open connection that is lost, or a ConnectReset", () =>
    Effect.gen(function*() {
      const server = net.createServer((socket) => socket.resetAndDestroy())
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => server.close())
      )
      const address = Address.tcp("127.0.0.1", (server.address() as net.AddressInfo).port)
      for (let index = 0; index < 100; index++) {
        const error = yield* Effect.flip(
          Effect.scoped(Effect.flatMap(Tcp.connect(address), (transport) => Effect.forever(transport.pull)))
        )
        assert.include(["ConnectionReset", "ConnectReset"], error._tag)
      }
    }))

  it.scopedLive("has its addresses also when the peer has reset before anybody looked", () =>
    Effect.gen(function*() {
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      const peer = yield* Peer.connect(listener.address)
      const port = peer.socket.localPort!
      peer.reset()
      const transport = yield* listener.accept
      assert.strictEqual(Address.format(transport.remoteAddress), `127.0.0.1:${port}`)
      assert.strictEqual((yield* Effect.flip(transport.pull))._tag, "ConnectionReset")
    }))
})

describe("a TCP listen", () => {
  it.scopedLive.skipIf(firstUnprivilegedPort < 2)(
    "on a privileged port is PermissionDenied",
    () =>
      Effect.gen(function*() {
        yield* asNobody
        const error = yield* Effect.flip(Effect.scoped(Tcp.listen(Address.tcp("127.0.0.1", 1))))
        assert.deepInclude(error, { _tag: "PermissionDenied", code: "EACCES" })
      })
  )

  it.scopedLive("fails, and leaves nothing, where the system does not tell what was bound", () =>
    Effect.gen(function*() {
      const before = yield* Peer.sockets
      const told: unknown = Reflect.get(net.Server.prototype, "address")
      const untold = () => {
        throw Object.assign(new Error("address ENOBUFS"), { code: "ENOBUFS", syscall: "address" })
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(net.Server.prototype, { address: untold })),
        () => Effect.sync(() => Object.assign(net.Server.prototype, { address: told }))
      )
      const error = yield* Effect.flip(Effect.scoped(Tcp.listen(Address.tcp("127.0.0.1", 0))))
      assert.deepInclude(error, { _tag: "ListenFailed", code: "ENOBUFS" })
      yield* Peer.eventually(() => Peer.openSockets() <= before)
    }))

  it.live("with a wrong limit dies by a RangeError, and so does a connect", () =>
    Effect.gen(function*() {
      const wrong = [{ highWaterMark: 0 }, { readBufferSize: -1 }, { highWaterMark: 10, lowWaterMark: 10 }]
      for (const limits of wrong) {
        for (
          const attempt of [
            Peer.opening(Tcp.listen(Address.tcp("127.0.0.1", 0), limits)),
            Peer.opening(Tcp.adopt(1_000_000, limits)),
            Peer.opening(Tcp.connect(Address.tcp("127.0.0.1", 1), limits))
          ]
        ) {
          const exit = yield* Effect.exit<void, unknown, never>(attempt)
          assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof RangeError)
        }
      }
    }))

  it.scopedLive("gives its limits to the connections that it accepts", () =>
    Effect.gen(function*() {
      const { transport } = yield* Peer.accepted("tcp", { highWaterMark: 10 })
      yield* transport.write(Peer.pattern(32 * 1024 * 1024))
      assert.isFalse(
        yield* Effect.isSuccess(Effect.timeoutFail(transport.write(ascii("x")), {
          duration: 0,
          onTimeout: () => "suspended"
        }))
      )
      yield* transport.abort
    }))
})

describe("TCP connections", () => {
  it.scopedLive("answer all of a burst at once, and none of them waits for the burst of another", () =>
    Effect.gen(function*() {
      const echo = Effect.gen(function*() {
        const { transport } = yield* Peer.accepted("tcp")
        yield* Effect.fork(transport.forEach(transport.write))
        return transport.unsafeHandle as net.Socket
      })
      const sockets = [yield* echo, yield* echo] as const
      const [one, other] = sockets
      yield* Peer.turns(2)
      // As Node hands over what it has read; libuv reads at most so much at once.
      const fill = (socket: net.Socket) => socket.push(new Uint8Array(65536))
      const answered = () => sockets.map(({ bytesWritten }) => bytesWritten)
      fill(one)
      fill(one)
      assert.deepStrictEqual(answered(), [0, 0])
      fill(other)
      assert.deepStrictEqual(answered(), [131_072, 0])
      other.push(new Uint8Array(1))
      assert.deepStrictEqual(answered(), [131_072, 65_537])
    }))
})
