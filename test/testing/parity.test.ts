/**
 * The simulated network and the operating system's, one test for both: what a program can see is the same. Where the two
 * differ, the simulator is wrong.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as os from "node:os"
import * as Address from "../../src/Address.ts"
import type { ConnectError, ConnectionLost, ListenError } from "../../src/ConnectionError.ts"
import type { Listener } from "../../src/Listener.ts"
import * as Network from "../../src/Network.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import type { CloseReason, Transport } from "../../src/Transport.ts"
import { ascii, text } from "../support/bytes.ts"
import { asTcp, pattern, readAll } from "../support/peer.ts"

const KiB = 1024
const MiB = 1024 * KiB

const hasIpv6 = Object.values(os.networkInterfaces()).some((infos) => infos?.some(({ address }) => address === "::1"))

type Body = Effect.Effect<void, unknown, Network.Network | Scope.Scope>

const networks: ReadonlyArray<readonly [name: string, run: (body: Body) => Effect.Effect<void, unknown>]> = [
  ["simulated", (body) => SimNetwork.run(Effect.scoped(body))],
  ["real", (body) => Effect.provide(Effect.scoped(body), NodeNetwork.layer)]
]

/** One test, run on both networks. */
const behaviour = (name: string, body: () => Body, needs = true) => {
  for (const [network, run] of networks) {
    it.live.skipIf(!needs)(`${name} (${network})`, () => run(body()), 60_000)
  }
}

const ipv6 = hasIpv6

// -----------------------------------------------------------------------------
// what the tests are made of
// -----------------------------------------------------------------------------

/** Time for the kernel: what it does while nobody reads and writes shows nowhere. */
const kernel = Effect.sleep("10 millis")

/** Looks again and again, for what no event tells. */
const eventually = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.zipRight(Effect.sleep("1 millis"), eventually(holds)))

/** Whatever the other end does: the tests that are about the end of connections say how it comes. */
const aborted = (transports: ReadonlyArray<Transport>) =>
  Effect.addFinalizer(() => Effect.forEach(transports, ({ abort }) => abort, { discard: true }))

interface Joined {
  readonly listener: Listener
  readonly client: Transport
  readonly server: Transport
}

const listen = (options?: Network.ListenOptions) => Network.listen(Address.tcp("127.0.0.1", 0), options)

const connectTo = (listener: Listener, options?: Network.ConnectOptions) =>
  Effect.gen(function*() {
    const client = yield* Network.connect(listener.address, options)
    const server = yield* listener.accept
    yield* aborted([client, server])
    return { listener, client, server } satisfies Joined
  })

const joined = (options?: Network.ListenOptions) =>
  Effect.flatMap(listen(options), (listener) => connectTo(listener, options))

const same = (actual: Address.Address, expected: Address.Address) =>
  assert.isTrue(Equal.equals(actual, expected), `${Address.format(actual)} is not ${Address.format(expected)}`)

/** A port that was free a moment ago. */
const freePort = Effect.map(Effect.scoped(listen()), ({ address }) => address.port)

const refusal = (
  attempt: Effect.Effect<unknown, ConnectError | ListenError, Scope.Scope | Network.Network>
): Effect.Effect<ConnectError | ListenError, unknown, Network.Network> => Effect.flip(Effect.scoped(attempt))

const failureOf = (error: ConnectError | ListenError) => ({
  tag: error._tag as string,
  code: "code" in error ? error.code : undefined,
  syscall: "syscall" in error ? error.syscall : undefined
})

const lossOf = (reason: CloseReason<ConnectionLost>): ConnectionLost =>
  reason._tag === "Lost" ? reason.error : assert.fail("it ended cleanly")

const isOver = ({ closed }: Transport) =>
  Effect.flatMap(Effect.fork(closed), (fiber) => Effect.zipRight(kernel, Effect.map(Fiber.poll(fiber), Option.isSome)))

const write = (transport: Transport, what: string) => Effect.zipRight(transport.write(ascii(what)), transport.flush)

/** All that comes until the connection is lost, and how. */
const readToLoss = (transport: Transport) =>
  Effect.gen(function*() {
    let input = ""
    for (;;) {
      const result = yield* Effect.either(transport.pull)
      if (Either.isLeft(result)) return { input, loss: result.left }
      if (result.right === null) return assert.fail(`an end after ${input.length} bytes`)
      input += text(result.right)
    }
  })

const bothClose = ({ client, server }: Joined) =>
  Effect.all([client.close, server.close], { concurrency: "unbounded", discard: true })

// -----------------------------------------------------------------------------
// opening
// -----------------------------------------------------------------------------

describe("a failure to connect", () => {
  behaviour("a port on which nobody listens refuses, and the error says which", () =>
    Effect.gen(function*() {
      const address = Address.tcp("127.0.0.1", yield* freePort)
      const error = yield* refusal(Network.connect(address))
      assert.deepStrictEqual(failureOf(error), { tag: "ConnectionRefused", code: "ECONNREFUSED", syscall: "connect" })
      if (error._tag !== "ConnectionRefused") return
      assert.strictEqual(error.address, address)
      assert.isUndefined(error.localAddress)
      assert.deepStrictEqual(error.attempts, [])
    }))

  behaviour("a refusal names the local address that was asked for", () =>
    Effect.gen(function*() {
      const localAddress = Address.tcp("127.0.0.1", 0)
      const error = yield* refusal(Network.connect(Address.tcp("127.0.0.1", yield* freePort), { localAddress }))
      assert.deepInclude(error, { _tag: "ConnectionRefused", localAddress })
    }))

  behaviour(
    "a refused attempt leaves nothing, and the next one succeeds once somebody listens",
    () =>
      Effect.gen(function*() {
        const address = Address.tcp("127.0.0.1", yield* freePort)
        yield* refusal(Network.connect(address))
        const listener = yield* Network.listen(address)
        yield* connectTo(listener)
      })
  )

  behaviour("port 0 is nobody's", () =>
    Effect.gen(function*() {
      const error = yield* refusal(Network.connect(Address.tcp("127.0.0.1", 0)))
      assert.strictEqual(error._tag, "ConnectionRefused")
    }))

  behaviour("a local address of another machine cannot be bound", () =>
    Effect.gen(function*() {
      const { address } = yield* listen()
      const error = yield* refusal(Network.connect(address, { localAddress: Address.tcp("198.51.100.1", 0) }))
      assert.deepStrictEqual(failureOf(error), { tag: "BindFailed", code: "EADDRNOTAVAIL", syscall: "bind" })
    }))

  behaviour("a local address of the other family cannot be bound", () =>
    Effect.gen(function*() {
      const { address } = yield* listen()
      const error = yield* refusal(Network.connect(address, { localAddress: Address.tcp("::1", 0) }))
      assert.deepStrictEqual(failureOf(error), { tag: "BindFailed", code: "EINVAL", syscall: "bind" })
    }), ipv6)

  behaviour(
    "a local port on which somebody listens cannot be bound, and another attempt succeeds",
    () =>
      Effect.gen(function*() {
        const listener = yield* listen()
        const other = yield* listen()
        const error = yield* refusal(Network.connect(listener.address, { localAddress: other.address }))
        assert.deepInclude(failureOf(error), { tag: "BindFailed", code: "EADDRINUSE" })
        yield* connectTo(listener)
      })
  )

  behaviour("no two connections have the same four numbers", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const localAddress = Address.tcp("127.0.0.1", yield* freePort)
      const { client } = yield* connectTo(listener, { localAddress })
      same(client.localAddress, localAddress)
      const error = yield* refusal(Network.connect(listener.address, { localAddress }))
      assert.deepInclude(failureOf(error), { tag: "BindFailed", code: "EADDRNOTAVAIL" })
    }))

  behaviour(
    "two connections to different servers may have the same local port, if both ask for it",
    () =>
      Effect.gen(function*() {
        const localAddress = Address.tcp("127.0.0.1", yield* freePort)
        const first = yield* connectTo(yield* listen(), { localAddress })
        const second = yield* connectTo(yield* listen(), { localAddress })
        same(first.client.localAddress, second.client.localAddress)
      })
  )

  behaviour("a local port that the kernel gave to another connection cannot be bound", () =>
    Effect.gen(function*() {
      const { client } = yield* joined()
      const { address } = yield* listen()
      const error = yield* refusal(Network.connect(address, { localAddress: asTcp(client.localAddress) }))
      assert.deepInclude(failureOf(error), { tag: "BindFailed", code: "EADDRINUSE" })
    }))

  behaviour("a local port that lingers is used again, for the same server too", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const localAddress = Address.tcp("127.0.0.1", yield* freePort)
      const { client, server } = yield* connectTo(listener, { localAddress })
      yield* client.closeWrite
      assert.isNull(yield* server.pull)
      yield* server.closeWrite
      assert.isNull(yield* client.pull)
      yield* client.closed
      yield* connectTo(listener, { localAddress })
      yield* connectTo(yield* listen(), { localAddress })
    }))

  behaviour("an address of another kind is not supported", () =>
    Effect.gen(function*() {
      const address = Address.pipe("stdio")
      for (const error of [yield* refusal(Network.connect(address)), yield* refusal(Network.listen(address))]) {
        assert.deepInclude(error, { _tag: "AddressUnsupported", address })
      }
    }))

  behaviour("an attempt that is interrupted leaves nothing that lives on", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const attempt = yield* Effect.fork(
        Effect.scoped(Effect.zipRight(Network.connect(listener.address), Effect.never))
      )
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(attempt)
      yield* kernel
      const left = listener.unsafePoll()
      if (left !== undefined) {
        yield* Effect.ignore(left.pull)
        yield* left.abort
      }
      yield* connectTo(listener)
    }))
})

describe("a failure to listen", () => {
  const inUse = { tag: "AddressInUse", code: "EADDRINUSE", syscall: "listen" }

  const refused = (host: string, port: number, options?: Network.ListenOptions) =>
    Effect.map(refusal(Network.listen(Address.tcp(host, port), options)), failureOf)

  behaviour("an address is listened on once", () =>
    Effect.gen(function*() {
      const { address } = yield* listen()
      const error = yield* refusal(Network.listen(address))
      assert.deepStrictEqual(failureOf(error), inUse)
      assert.deepInclude(error, { address })
    }))

  behaviour("all addresses overlap with one of them, whichever comes first", () =>
    Effect.gen(function*() {
      const specific = yield* listen()
      assert.deepStrictEqual(yield* refused("0.0.0.0", specific.address.port), inUse)
      const all = yield* Network.listen(Address.tcp("0.0.0.0", 0))
      assert.deepStrictEqual(yield* refused("127.0.0.1", all.address.port), inUse)
    }))

  behaviour("all addresses of both families overlap with those of one", () =>
    Effect.gen(function*() {
      const { address } = yield* Network.listen(Address.tcp("::", 0))
      for (const host of ["0.0.0.0", "127.0.0.1", "::1", "::"]) {
        assert.deepStrictEqual(yield* refused(host, address.port), inUse, host)
      }
      const four = yield* Network.listen(Address.tcp("0.0.0.0", 0))
      assert.deepStrictEqual(yield* refused("::", four.address.port), inUse)
    }), ipv6)

  behaviour("with ipv6Only the families do not overlap", () =>
    Effect.gen(function*() {
      const six = yield* Network.listen(Address.tcp("::", 0), { ipv6Only: true })
      const port = six.address.port
      yield* Network.listen(Address.tcp("0.0.0.0", port))
      assert.deepStrictEqual(yield* refused("::1", port, { ipv6Only: true }), inUse)
    }), ipv6)

  behaviour(
    "different addresses have ports of their own, and connections go to the right one",
    () =>
      Effect.gen(function*() {
        const one = yield* listen()
        const port = one.address.port
        const two = yield* Network.listen(Address.tcp("127.0.0.2", port))
        yield* connectTo(two)
        yield* connectTo(one)
        assert.deepInclude(one.stats(), { connected: 1 })
        assert.deepInclude(two.stats(), { connected: 1 })
      })
  )

  behaviour("the loopbacks of both families have ports of their own", () =>
    Effect.gen(function*() {
      const four = yield* listen()
      const six = yield* Network.listen(Address.tcp("::1", four.address.port))
      yield* connectTo(six)
      yield* connectTo(four)
    }), ipv6)

  behaviour("an address of another machine is not available", () =>
    Effect.gen(function*() {
      for (const host of ["198.51.100.1", "2001:db8::1"]) {
        assert.deepStrictEqual(yield* refused(host, 0), {
          tag: "AddressNotAvailable",
          code: "EADDRNOTAVAIL",
          syscall: "listen"
        })
      }
    }), ipv6)

  behaviour("a port that the kernel gave to a connection is not listened on", () =>
    Effect.gen(function*() {
      const { client } = yield* joined()
      assert.deepStrictEqual(yield* refused("127.0.0.1", asTcp(client.localAddress).port), inUse)
    }))
})

describe("addresses", () => {
  behaviour(
    "port 0 becomes a real one, a different one each time, which is known after the close too",
    () =>
      Effect.gen(function*() {
        const listeners = yield* Effect.all(Array.from({ length: 20 }, () => listen()))
        const ports = new Set(listeners.map(({ address }) => address.port))
        assert.strictEqual(ports.size, 20)
        assert.isFalse(ports.has(0))
        const { address, close } = listeners[0]!
        yield* close
        assert.strictEqual(listeners[0]!.address, address)
      })
  )

  behaviour("both ends agree on both addresses, also after the end", () =>
    Effect.gen(function*() {
      const ends = yield* joined()
      const agree = () => {
        same(ends.client.remoteAddress, ends.listener.address)
        same(ends.server.localAddress, ends.listener.address)
        same(ends.client.localAddress, ends.server.remoteAddress)
        assert.strictEqual(asTcp(ends.client.localAddress).host, "127.0.0.1")
      }
      agree()
      yield* bothClose(ends)
      agree()
    }))

  behaviour("whoever dials 127.0.0.2 comes from 127.0.0.1", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connectTo(yield* Network.listen(Address.tcp("127.0.0.2", 0)))
      assert.strictEqual(asTcp(server.remoteAddress).host, "127.0.0.1")
      assert.strictEqual(asTcp(server.localAddress).host, "127.0.0.2")
      same(client.localAddress, server.remoteAddress)
    }))

  behaviour("a listener of one address is not there on another", () =>
    Effect.gen(function*() {
      const { address } = yield* Network.listen(Address.tcp("127.0.0.2", 0))
      for (const host of ["127.0.0.1", "127.0.0.3"]) {
        const error = yield* refusal(Network.connect(Address.tcp(host, address.port)))
        assert.strictEqual(error._tag, "ConnectionRefused")
      }
    }))

  behaviour(
    "a listener of all addresses is there on each, and its connections know which",
    () =>
      Effect.gen(function*() {
        const listener = yield* Network.listen(Address.tcp("0.0.0.0", 0))
        for (const host of ["127.0.0.1", "127.0.0.9"]) {
          const client = yield* Network.connect(Address.tcp(host, listener.address.port))
          const server = yield* listener.accept
          yield* aborted([client, server])
          same(server.localAddress, Address.tcp(host, listener.address.port))
          same(server.localAddress, client.remoteAddress)
        }
      })
  )

  behaviour("whoever dials no address gets the loopback", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const port = listener.address.port
      const client = yield* Network.connect(Address.tcp("0.0.0.0", port))
      const server = yield* listener.accept
      yield* aborted([client, server])
      same(server.localAddress, Address.tcp("127.0.0.1", port))
      same(server.remoteAddress, client.localAddress)
      same(client.remoteAddress, Address.tcp("0.0.0.0", port))
    }))

  behaviour("whoever dials no address of IPv6 gets its loopback", () =>
    Effect.gen(function*() {
      const listener = yield* Network.listen(Address.tcp("::1", 0))
      const port = listener.address.port
      const client = yield* Network.connect(Address.tcp("::", port))
      const server = yield* listener.accept
      yield* aborted([client, server])
      same(client.remoteAddress, Address.tcp("::", port))
      same(server.remoteAddress, client.localAddress)
      assert.strictEqual(asTcp(client.localAddress).host, "::1")
    }), ipv6)

  behaviour(
    "a listener of both families has peers of both, each with addresses of its own family",
    () =>
      Effect.gen(function*() {
        const listener = yield* Network.listen(Address.tcp("::", 0))
        const port = listener.address.port
        for (const host of ["127.0.0.1", "::1"]) {
          const client = yield* Network.connect(Address.tcp(host, port))
          const server = yield* listener.accept
          yield* aborted([client, server])
          same(server.localAddress, Address.tcp(host, port))
          same(server.remoteAddress, client.localAddress)
          assert.strictEqual(asTcp(server.remoteAddress).host, host)
        }
      }),
    ipv6
  )

  behaviour("a listener of IPv6 only is not there for IPv4, nor the other way round", () =>
    Effect.gen(function*() {
      const six = yield* Network.listen(Address.tcp("::", 0), { ipv6Only: true })
      const four = yield* Network.listen(Address.tcp("0.0.0.0", 0))
      for (const address of [Address.tcp("127.0.0.1", six.address.port), Address.tcp("::1", four.address.port)]) {
        assert.strictEqual((yield* refusal(Network.connect(address)))._tag, "ConnectionRefused")
      }
      yield* aborted([yield* Network.connect(Address.tcp("::1", six.address.port))])
    }), ipv6)

  behaviour("a client comes from the address and port that it asks for", () =>
    Effect.gen(function*() {
      const localAddress = Address.tcp("127.0.0.5", yield* freePort)
      const { client, server } = yield* connectTo(yield* listen(), { localAddress })
      same(client.localAddress, localAddress)
      same(server.remoteAddress, localAddress)
    }))

  behaviour("a client that asks for port 0 comes from some port of that address", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connectTo(yield* listen(), { localAddress: Address.tcp("127.0.0.5", 0) })
      assert.strictEqual(asTcp(client.localAddress).host, "127.0.0.5")
      assert.isAbove(asTcp(client.localAddress).port, 0)
      same(server.remoteAddress, client.localAddress)
    }))

  behaviour("a connection to itself is one, and hears what it says", () =>
    Effect.gen(function*() {
      const localAddress = Address.tcp("127.0.0.1", yield* freePort)
      const alone = yield* Network.connect(localAddress, { localAddress })
      yield* aborted([alone])
      same(alone.localAddress, alone.remoteAddress)
      yield* write(alone, "echo")
      assert.strictEqual(text((yield* alone.pull)!), "echo")
      yield* alone.closeWrite
      assert.isNull(yield* alone.pull)
      assert.strictEqual((yield* alone.closed)._tag, "Clean")
    }))
})

describe("names", () => {
  behaviour("localhost is the loopback", () =>
    Effect.gen(function*() {
      const all = yield* Network.resolve("localhost", { port: 80 })
      assert.isTrue(all.every(({ host, port }) => port === 80 && (host === "127.0.0.1" || host === "::1")))
      const [four] = yield* Network.resolve("localhost", { family: "IPv4" })
      same(four!, Address.tcp("127.0.0.1", 0))
    }))

  behaviour("a literal is its own address, of its own family only", () =>
    Effect.gen(function*() {
      const [four] = yield* Network.resolve("192.0.2.1", { port: 7 })
      same(four!, Address.tcp("192.0.2.1", 7))
      const [six] = yield* Network.resolve("2001:DB8::0:1")
      same(six!, Address.tcp("2001:db8::1", 0))
      const error = yield* Effect.flip(Network.resolve("192.0.2.1", { family: "IPv6" }))
      assert.deepInclude(error, { _tag: "HostNotFound", host: "192.0.2.1" })
    }))

  behaviour("what cannot be a name is not found", () =>
    Effect.gen(function*() {
      for (const host of ["", "a..b", "x".repeat(300)]) {
        assert.deepInclude(yield* Effect.flip(Network.resolve(host)), { _tag: "HostNotFound", host })
      }
    }))
})

// -----------------------------------------------------------------------------
// data
// -----------------------------------------------------------------------------

describe("data", () => {
  behaviour("goes both ways, and is counted at both ends", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* write(client, "question")
      assert.strictEqual(text((yield* server.pull)!), "question")
      yield* write(server, "answer")
      assert.strictEqual(text((yield* client.pull)!), "answer")
      assert.deepInclude(client.stats(), { bytesRead: 6, bytesWritten: 8, buffered: 0, unread: 0, peerEnded: false })
      assert.deepInclude(server.stats(), { bytesRead: 8, bytesWritten: 6, buffered: 0, unread: 0, peerEnded: false })
    }))

  behaviour("of a thousand small writes comes whole and in order", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const lines = Array.from({ length: 1000 }, (_, index) => `${index}\n`)
      yield* Effect.fork(
        Effect.zipRight(
          Effect.forEach(lines, (line) => client.write(ascii(line)), { discard: true }),
          client.closeWrite
        )
      )
      assert.strictEqual((yield* readAll(server)).toString(), lines.join(""))
    }))

  behaviour("of 8 MiB comes whole, both ways at once", () =>
    Effect.gen(function*() {
      const ends = yield* joined()
      const sent = pattern(8 * MiB)
      const send = (transport: Transport) => Effect.zipRight(transport.write(sent), transport.closeWrite)
      const [, , there, here] = yield* Effect.all(
        [send(ends.client), send(ends.server), readAll(ends.server), readAll(ends.client)],
        { concurrency: "unbounded" }
      )
      assert.isTrue(there.equals(sent))
      assert.isTrue(here.equals(sent))
      for (const transport of [ends.client, ends.server]) {
        assert.deepInclude(yield* transport.closed, {
          _tag: "Clean",
          peerEnded: true,
          bytesRead: sent.length,
          bytesWritten: sent.length
        })
      }
    }))

  behaviour("is not sent by an empty write", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.write(new Uint8Array(0))
      yield* client.writeAll([])
      yield* client.flush
      assert.deepInclude(client.stats(), { bytesWritten: 0, buffered: 0 })
      yield* write(client, "x")
      assert.strictEqual(text((yield* server.pull)!), "x")
    }))

  behaviour("comes without its sender's array, and is the reader's own", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const sent = ascii("unchanged")
      yield* client.write(sent)
      yield* client.flush
      sent.fill(0)
      const received = (yield* server.pull)!
      assert.strictEqual(text(received), "unchanged")
      received.fill(1)
      assert.isTrue(sent.every((byte) => byte === 0))
    }))

  behaviour("is not taken from the carrier before the first pull", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.write(pattern(100 * KiB))
      yield* kernel
      assert.deepInclude(server.stats(), { bytesRead: 0, unread: 0 })
      const first = (yield* server.pull)!
      assert.isAtLeast(first.length, 1)
      assert.isAtMost(first.length, 64 * KiB)
    }))

  behaviour("that nobody reads stops the writer, who goes on when somebody does", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const total = 32 * MiB
      const chunk = pattern(64 * KiB)
      const writing = yield* Effect.fork(
        Effect.zipRight(
          Effect.forEach(Array.from({ length: total / chunk.length }), () => client.write(chunk), { discard: true }),
          client.closeWrite
        )
      )
      yield* eventually(() => client.stats().writersWaiting === 1)
      yield* kernel
      const { buffered, bytesWritten, writersWaiting } = client.stats()
      assert.strictEqual(writersWaiting, 1)
      assert.isAbove(bytesWritten, 0)
      assert.isBelow(bytesWritten, total / 2)
      assert.isAtLeast(buffered, 64 * KiB)
      assert.isAtMost(buffered, (256 + 64) * KiB)
      assert.deepInclude(server.stats(), { bytesRead: 0 })
      let received = 0
      yield* server.forEach((bytes) => Effect.sync(() => (received += bytes.length)))
      yield* Fiber.join(writing)
      assert.strictEqual(received, total)
    }))

  behaviour("is read ahead by the read buffer and one chunk, and no further", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined({ readBufferSize: 100 * KiB })
      yield* Effect.fork(client.write(pattern(4 * MiB)))
      yield* server.pull
      yield* eventually(() => server.stats().unread > 0)
      yield* kernel
      const { bytesRead, unread } = server.stats()
      assert.isAtMost(unread, 164 * KiB)
      yield* kernel
      assert.deepInclude(server.stats(), { bytesRead, unread })
    }))

  behaviour("is not lost by a pull that is interrupted", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const pulling = yield* Effect.fork(server.pull)
      yield* kernel
      yield* Fiber.interrupt(pulling)
      yield* write(client, "x")
      yield* kernel
      assert.strictEqual(text((yield* server.pull)!), "x")
    }))
})

// -----------------------------------------------------------------------------
// ends
// -----------------------------------------------------------------------------

describe("an end", () => {
  for (const first of ["client", "server"] as const) {
    const second = first === "client" ? "server" : "client"

    behaviour(
      `half-closed by the ${first}, the other direction goes on, and then both are over`,
      () =>
        Effect.gen(function*() {
          const ends = yield* joined()
          const [here, there] = [ends[first], ends[second]]
          yield* here.write(ascii("question"))
          yield* here.closeWrite
          assert.strictEqual((yield* readAll(there)).toString(), "question")
          assert.isTrue(there.stats().peerEnded)
          yield* there.write(ascii("answer"))
          yield* there.closeWrite
          assert.strictEqual((yield* readAll(here)).toString(), "answer")
          assert.deepInclude(yield* here.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
          assert.deepInclude(yield* there.closed, { _tag: "Clean", firstEnded: "peer", peerEnded: true })
        })
    )
  }

  behaviour("comes after all data, again and again", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const closing = yield* Effect.fork(Effect.zipRight(client.write(pattern(MiB)), client.close))
      assert.strictEqual((yield* readAll(server)).length, MiB)
      for (let again = 0; again < 3; again++) assert.isNull(yield* server.pull)
      yield* server.closeWrite
      yield* Fiber.join(closing)
      assert.deepInclude(yield* client.closed, {
        _tag: "Clean",
        firstEnded: "local",
        peerEnded: true,
        bytesWritten: MiB
      })
    }))

  behaviour("is not noticed by whoever does not read", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.closeWrite
      yield* kernel
      assert.isFalse(server.stats().peerEnded)
      assert.isFalse(yield* isOver(server))
      assert.isNull(yield* server.pull)
      assert.isTrue(server.stats().peerEnded)
    }))

  behaviour("is noticed by whoever has ended, also unread, unless data is before it", () =>
    Effect.gen(function*() {
      const silent = yield* joined()
      yield* silent.server.closeWrite
      yield* silent.client.closeWrite
      assert.deepInclude(yield* silent.server.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
      const talking = yield* joined()
      yield* talking.server.closeWrite
      yield* talking.client.write(ascii("x"))
      yield* talking.client.closeWrite
      assert.isFalse(yield* isOver(talking.server))
      assert.strictEqual((yield* readAll(talking.server)).toString(), "x")
    }))

  behaviour(
    "that nobody read is noticed by this side's half-close, unless data is before it",
    () =>
      Effect.gen(function*() {
        const silent = yield* joined()
        yield* silent.client.closeWrite
        yield* kernel
        yield* silent.server.closeWrite
        assert.deepInclude(yield* silent.server.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
        const talking = yield* joined()
        yield* talking.client.write(ascii("x"))
        yield* talking.client.closeWrite
        yield* kernel
        yield* talking.server.closeWrite
        yield* kernel
        assert.isFalse(yield* isOver(talking.server))
        assert.strictEqual((yield* readAll(talking.server)).toString(), "x")
        assert.deepInclude(yield* talking.server.closed, { _tag: "Clean" })
      })
  )

  behaviour("of both directions at once is clean at both ends", () =>
    Effect.gen(function*() {
      const ends = yield* joined()
      yield* Effect.all([ends.client.closeWrite, ends.server.closeWrite], { concurrency: "unbounded" })
      for (const transport of [ends.client, ends.server]) {
        assert.isNull(yield* transport.pull)
        assert.deepInclude(yield* transport.closed, { _tag: "Clean", peerEnded: true })
      }
    }))

  behaviour("by a close of both sides at once is clean at both ends", () =>
    Effect.gen(function*() {
      const ends = yield* joined()
      yield* ends.client.write(ascii("x"))
      yield* ends.server.write(ascii("y"))
      yield* bothClose(ends)
      for (const transport of [ends.client, ends.server]) {
        assert.deepInclude(yield* transport.closed, { _tag: "Clean", peerEnded: true, bytesWritten: 1 })
      }
    }))

  behaviour("refuses later writes at this side, and takes none back", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.write(ascii("before"))
      yield* client.closeWrite
      assert.strictEqual((yield* Effect.flip(client.write(ascii("after"))))._tag, "WriteAfterEnd")
      assert.strictEqual((yield* readAll(server)).toString(), "before")
    }))

  behaviour("with unread input at this side is an end for the peer, and no reset", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.write(pattern(100 * KiB))
      yield* client.flush
      yield* server.write(pattern(100 * KiB))
      const closing = yield* Effect.fork(server.close)
      assert.strictEqual((yield* readAll(client)).length, 100 * KiB)
      yield* client.close
      yield* Fiber.join(closing)
      assert.deepInclude(yield* server.closed, { _tag: "Clean", peerEnded: true, bytesRead: 100 * KiB })
    }))

  behaviour("waits for the peer's as long as the linger time, and no longer", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined({ lingerTimeout: "50 millis" })
      yield* client.write(ascii("bye"))
      yield* client.close
      assert.deepInclude(yield* client.closed, {
        _tag: "Clean",
        firstEnded: "local",
        peerEnded: false,
        bytesWritten: 3
      })
      assert.strictEqual((yield* readAll(server)).toString(), "bye")
    }))

  behaviour(
    "towards a peer that never reads comes at the deadline, and tells what was not sent",
    () =>
      Effect.gen(function*() {
        const { client } = yield* joined({ closeTimeout: "100 millis" })
        const total = 32 * MiB
        yield* client.write(pattern(total))
        yield* client.close
        const loss = lossOf(yield* client.closed)
        assert.deepInclude(loss, { _tag: "CloseTimeout", side: "local", phase: "closing" })
        assert.isAbove(loss.bytesUnsent, 0)
        assert.isAbove(loss.bytesWritten, 0)
        assert.strictEqual(loss.bytesUnsent + loss.bytesWritten, total)
      })
  )

  behaviour("at the deadline of a close is a reset for the peer", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined({ closeTimeout: "100 millis" })
      yield* client.write(pattern(32 * MiB))
      yield* client.close
      const { loss } = yield* readToLoss(server)
      assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET" })
    }))
})

// -----------------------------------------------------------------------------
// losses
// -----------------------------------------------------------------------------

describe("a reset", () => {
  behaviour("fails a reader that waits, and says who, when and how", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const reading = yield* Effect.fork(Effect.flip(server.pull))
      yield* kernel
      yield* client.abort
      const loss = yield* Fiber.join(reading)
      assert.deepInclude(loss, {
        _tag: "ConnectionReset",
        code: "ECONNRESET",
        syscall: "read",
        side: "peer",
        phase: "open",
        bytesRead: 0,
        bytesWritten: 0,
        bytesUnsent: 0
      })
      same(loss.localAddress, server.localAddress)
      same(loss.remoteAddress, server.remoteAddress)
      assert.strictEqual(lossOf(yield* server.closed), loss)
      assert.strictEqual(yield* Effect.flip(server.pull), loss)
      assert.strictEqual(yield* Effect.flip(server.write(ascii("x"))), loss)
      assert.deepInclude(lossOf(yield* client.closed), { _tag: "ConnectionAborted", side: "local", phase: "open" })
    }))

  behaviour("after data comes after the data, with a reader that waits", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const reading = yield* Effect.fork(readToLoss(server))
      yield* kernel
      yield* write(client, "hello")
      yield* client.abort
      const { input, loss } = yield* Fiber.join(reading)
      assert.strictEqual(input, "hello")
      assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET", bytesRead: 5 })
    }))

  behaviour("after data comes after the data, with a reader that begins late", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* write(client, "hello")
      yield* client.abort
      yield* kernel
      const { input, loss } = yield* readToLoss(server)
      assert.strictEqual(input, "hello")
      assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET", syscall: "write", bytesRead: 5 })
    }))

  behaviour("after as much data as one read takes is found by reading", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* write(client, "x".repeat(64 * KiB))
      yield* kernel
      yield* client.abort
      yield* kernel
      const { input, loss } = yield* readToLoss(server)
      assert.strictEqual(input.length, 64 * KiB)
      assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET", syscall: "read" })
    }))

  behaviour("is not noticed by whoever does not read", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.abort
      assert.isFalse(yield* isOver(server))
      assert.deepInclude(yield* Effect.flip(server.pull), { _tag: "ConnectionReset", syscall: "read" })
    }))

  behaviour("fails the first write of whoever does not read", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.abort
      yield* kernel
      const loss = yield* Effect.flip(write(server, "x"))
      assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET", syscall: "write", side: "peer" })
      assert.strictEqual(yield* Effect.flip(server.write(ascii("y"))), loss)
      assert.strictEqual(lossOf(yield* server.closed), loss)
    }))

  behaviour("after this side's half-close is told from an end", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* server.closeWrite
      assert.isNull(yield* client.pull)
      yield* write(client, "hello")
      yield* client.abort
      yield* kernel
      const { input, loss } = yield* readToLoss(server)
      assert.strictEqual(input, "hello")
      assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET", syscall: "read" })
    }))

  behaviour(
    "after this side's half-close is noticed by whoever does not read, unless data is before it",
    () =>
      Effect.gen(function*() {
        const silent = yield* joined()
        yield* silent.server.closeWrite
        yield* silent.client.abort
        assert.deepInclude(lossOf(yield* silent.server.closed), { _tag: "ConnectionReset", code: "ECONNRESET" })
        const talking = yield* joined()
        yield* talking.server.closeWrite
        yield* write(talking.client, "x")
        yield* talking.client.abort
        assert.isFalse(yield* isOver(talking.server))
        assert.strictEqual((yield* readToLoss(talking.server)).input, "x")
      })
  )

  behaviour("before this side's half-close shows when it reads", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.abort
      yield* kernel
      yield* server.closeWrite
      assert.deepInclude(yield* Effect.flip(server.pull), { _tag: "ConnectionReset", code: "ECONNRESET" })
    }))

  behaviour("before this side's half-close is noticed by it, also if nobody reads", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.abort
      yield* kernel
      yield* server.closeWrite
      const loss = lossOf(yield* server.closed)
      assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET", syscall: "read" })
      assert.strictEqual(yield* Effect.flip(write(server, "x")), loss)
    }))

  behaviour("before this side's close is a loss", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.abort
      yield* kernel
      yield* server.close
      assert.deepInclude(lossOf(yield* server.closed), { _tag: "ConnectionReset", phase: "closing" })
    }))

  behaviour("while this side closes is a loss", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined({ lingerTimeout: "20 seconds", closeTimeout: "20 seconds" })
      const closing = yield* Effect.fork(server.close)
      assert.isNull(yield* client.pull)
      yield* client.abort
      yield* Fiber.join(closing)
      assert.deepInclude(lossOf(yield* server.closed), {
        _tag: "ConnectionReset",
        code: "ECONNRESET",
        phase: "closing"
      })
    }))

  behaviour(
    "of whoever has unread input is none for a peer that closed, and one for a peer that did not",
    () =>
      Effect.gen(function*() {
        const { client, server } = yield* joined()
        yield* write(client, "never read")
        yield* server.abort
        yield* kernel
        assert.deepInclude(yield* Effect.flip(client.pull), { _tag: "ConnectionReset", code: "ECONNRESET" })
      })
  )

  for (const reads of [true, false]) {
    behaviour(
      `with writes pending tells what was not sent, ${reads ? "while it is read" : "while nobody reads"}`,
      () =>
        Effect.gen(function*() {
          const { client, server } = yield* joined()
          const total = 32 * MiB
          yield* server.write(pattern(total))
          const reading = reads ? yield* Effect.fork(Effect.flip(server.pull)) : undefined
          yield* kernel
          yield* client.abort
          const loss = lossOf(yield* server.closed)
          assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET", phase: "open" })
          assert.isAbove(loss.bytesUnsent, 0)
          assert.strictEqual(loss.bytesUnsent + loss.bytesWritten, total)
          if (reading !== undefined) assert.strictEqual(yield* Fiber.join(reading), loss)
          assert.strictEqual(server.stats().buffered, 0)
        })
    )
  }

  behaviour("by both ends at once is each end's own", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.write(pattern(MiB))
      yield* Effect.all([client.abort, server.abort], { concurrency: "unbounded" })
      for (const transport of [client, server]) {
        assert.deepInclude(lossOf(yield* transport.closed), { _tag: "ConnectionAborted", side: "local" })
        assert.deepInclude(transport.stats(), { buffered: 0, unread: 0 })
      }
    }))

  behaviour("twice, or with a close before or after, is one end", () =>
    Effect.gen(function*() {
      for (const acts of [["abort", "abort"], ["abort", "close"], ["close", "abort"]] as const) {
        const { client, server } = yield* joined()
        yield* client.write(pattern(32 * MiB))
        yield* Effect.all(acts.map((act) => client[act]), { concurrency: "unbounded" })
        assert.strictEqual(lossOf(yield* client.closed)._tag, "ConnectionAborted")
        assert.strictEqual((yield* readToLoss(server)).loss._tag, "ConnectionReset")
      }
    }))
})

describe("a peer that has closed", () => {
  /** The peer has let go of the connection, which this end has not noticed. */
  const deserted = (options?: Network.ListenOptions) =>
    Effect.tap(joined({ ...options, lingerTimeout: 0 }), ({ client }) => Effect.zipRight(client.close, kernel))

  behaviour("takes the first write, and the second one fails, of whoever does not read", () =>
    Effect.gen(function*() {
      const { server } = yield* deserted()
      yield* write(server, "x")
      yield* kernel
      const loss = yield* Effect.flip(write(server, "y"))
      assert.deepInclude(loss, { _tag: "BrokenPipe", code: "EPIPE", syscall: "write", side: "peer", bytesWritten: 1 })
      assert.strictEqual(lossOf(yield* server.closed), loss)
    }))

  behaviour(
    "takes the first write, and the second one fails, of whoever has seen its end",
    () =>
      Effect.gen(function*() {
        const { server } = yield* deserted()
        assert.isNull(yield* server.pull)
        yield* write(server, "x")
        yield* kernel
        assert.isFalse(yield* isOver(server))
        const loss = yield* Effect.flip(write(server, "y"))
        assert.deepInclude(loss, { _tag: "BrokenPipe", code: "EPIPE", syscall: "write", bytesWritten: 1 })
        assert.isNull(yield* server.pull)
      })
  )

  behaviour("and was written to shows as a reset to whoever reads then", () =>
    Effect.gen(function*() {
      const { server } = yield* deserted()
      yield* write(server, "x")
      yield* kernel
      assert.deepInclude(yield* Effect.flip(server.pull), { _tag: "ConnectionReset", code: "ECONNRESET" })
    }))

  behaviour("is left in silence by a half-close", () =>
    Effect.gen(function*() {
      const { server } = yield* deserted()
      yield* server.closeWrite
      assert.isNull(yield* server.pull)
      assert.deepInclude(yield* server.closed, { _tag: "Clean", peerEnded: true })
    }))

  behaviour("and was written to, and half-closed, is a clean end", () =>
    Effect.gen(function*() {
      const { server } = yield* deserted()
      yield* write(server, "x")
      yield* kernel
      yield* server.closeWrite
      assert.isNull(yield* server.pull)
      assert.deepInclude(yield* server.closed, { _tag: "Clean", peerEnded: true, bytesWritten: 1 })
    }))

  behaviour("resets a writer whose bytes it will never read", () =>
    Effect.gen(function*() {
      const { server } = yield* deserted()
      const loss = yield* Effect.flip(Effect.forever(Effect.zipRight(write(server, "x"), kernel)))
      assert.strictEqual(loss._tag, "BrokenPipe")
      assert.strictEqual(server.stats().bytesRead, 0)
    }))

  behaviour("half-closed and then aborted is a reset for whoever reads late", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.write(ascii("hello"))
      yield* client.closeWrite
      yield* kernel
      yield* client.abort
      yield* kernel
      const { input, loss } = yield* readToLoss(server)
      assert.strictEqual(input, "hello")
      assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET" })
    }))

  behaviour(
    "half-closed and then aborted shows at the next write of whoever has seen the end",
    () =>
      Effect.gen(function*() {
        const { client, server } = yield* joined()
        yield* client.closeWrite
        assert.isNull(yield* server.pull)
        yield* client.abort
        yield* kernel
        assert.isFalse(yield* isOver(server))
        const loss = yield* Effect.flip(write(server, "x"))
        assert.deepInclude(loss, { _tag: "BrokenPipe", code: "EPIPE", syscall: "write" })
      })
  )
})

// -----------------------------------------------------------------------------
// listening
// -----------------------------------------------------------------------------

describe("a listener", () => {
  behaviour("hands out connections in the order in which they came", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const clients: Array<Transport> = []
      for (let index = 0; index < 5; index++) {
        clients.push(yield* Network.connect(listener.address))
        yield* eventually(() => listener.stats().connected === index + 1)
      }
      for (const client of clients) {
        const server = yield* listener.accept
        yield* aborted([client, server])
        same(server.remoteAddress, client.localAddress)
      }
      assert.deepStrictEqual(listener.stats(), { connected: 5, refused: 0, pending: 0 })
    }))

  behaviour("keeps what is sent before its connection is accepted, and the end of it", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const client = yield* Network.connect(listener.address)
      yield* client.write(ascii("early"))
      yield* client.closeWrite
      yield* kernel
      const server = yield* listener.accept
      yield* aborted([client, server])
      assert.strictEqual((yield* readAll(server)).toString(), "early")
    }))

  behaviour("hands out a connection that was reset before it was accepted", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const client = yield* Network.connect(listener.address)
      yield* write(client, "early")
      yield* eventually(() => listener.stats().pending === 1)
      yield* client.abort
      yield* kernel
      const { input, loss } = yield* readToLoss(yield* listener.accept)
      assert.strictEqual(input, "early")
      assert.deepInclude(loss, { _tag: "ConnectionReset", code: "ECONNRESET" })
    }))

  behaviour("ends without a reset what comes when maxPending wait", () =>
    Effect.gen(function*() {
      const listener = yield* listen({ maxPending: 2 })
      const clients = yield* Effect.all(Array.from({ length: 3 }, () => Network.connect(listener.address)))
      yield* aborted(clients)
      yield* eventually(() => listener.stats().connected === 3)
      yield* Effect.ignore(write(clients[2]!, "request"))
      assert.isNull(yield* clients[2]!.pull)
      yield* clients[2]!.close
      assert.deepStrictEqual(listener.stats(), { connected: 3, refused: 1, pending: 2 })
    }))

  behaviour(
    "that is closed refuses new connections, and lets go of none that it had accepted",
    () =>
      Effect.gen(function*() {
        const { client, listener, server } = yield* joined()
        yield* listener.close
        yield* listener.close
        assert.strictEqual((yield* refusal(Network.connect(listener.address)))._tag, "ConnectionRefused")
        yield* write(client, "still here")
        assert.strictEqual(text((yield* server.pull)!), "still here")
        assert.strictEqual((yield* Effect.flip(Effect.scoped(listener.accept)))._tag, "ListenerClosed")
      })
  )

  behaviour("that is closed ends what nobody had accepted", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const client = yield* Network.connect(listener.address)
      yield* listener.ready
      const closing = yield* Effect.fork(listener.close)
      assert.isNull(yield* client.pull)
      yield* client.close
      yield* Fiber.join(closing)
      assert.deepInclude(yield* client.closed, { _tag: "Clean", firstEnded: "peer" })
      assert.deepStrictEqual(listener.stats(), { connected: 1, refused: 1, pending: 0 })
    }))

  behaviour(
    "that is closed frees its address at once, for all that its connections linger",
    () =>
      Effect.gen(function*() {
        const first = yield* listen()
        const over = yield* connectTo(first)
        // The server ends first: it is its port that TIME_WAIT holds.
        yield* over.server.closeWrite
        assert.isNull(yield* over.client.pull)
        yield* over.client.closeWrite
        yield* over.server.closed
        const living = yield* connectTo(first)
        yield* first.close
        const second = yield* Network.listen(first.address)
        same(second.address, first.address)
        yield* connectTo(second)
        yield* write(living.client, "still here")
        assert.strictEqual(text((yield* living.server.pull)!), "still here")
      })
  )

  behaviour("loses no connection by an accept that is interrupted", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const accepting = yield* Effect.fork(Effect.scoped(listener.accept))
      yield* kernel
      yield* Fiber.interrupt(accepting)
      yield* connectTo(listener)
      assert.deepStrictEqual(listener.stats(), { connected: 1, refused: 0, pending: 0 })
    }))

  behaviour("serves a hundred connections that come at once", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      yield* Effect.forkScoped(Effect.forever(Effect.flatMap(
        listener.accept,
        (server) => Effect.forkScoped(Effect.zipRight(server.forEach(server.write), server.closeWrite))
      )))
      const answers = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, index) => `client ${index}`),
        (line) =>
          Effect.scoped(Effect.flatMap(
            Network.connect(listener.address),
            (client) => Effect.zipRight(Effect.zipRight(write(client, line), client.closeWrite), readAll(client))
          )),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(answers.map(String), Array.from({ length: 100 }, (_, index) => `client ${index}`))
    }))
})

describe("options", () => {
  behaviour("are those that were given, and can be set at both ends", () =>
    Effect.gen(function*() {
      const usual = yield* joined()
      const other = yield* joined({ noDelay: false, keepAlive: "1 minute" })
      for (const end of ["client", "server"] as const) {
        const { keepAlive, noDelay } = usual[end].options
        assert.deepStrictEqual([noDelay!.get(), keepAlive!.get()], [true, false])
        yield* noDelay!.set(false)
        yield* keepAlive!.set("5 seconds")
        assert.deepStrictEqual([noDelay!.get(), keepAlive!.get()], [false, "5 seconds"])
        assert.deepStrictEqual(
          [other[end].options.noDelay!.get(), other[end].options.keepAlive!.get()],
          [false, "1 minute"]
        )
      }
      yield* write(usual.client, "x")
      assert.strictEqual(text((yield* usual.server.pull)!), "x")
    }))
})
