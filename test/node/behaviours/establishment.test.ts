import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import { execFileSync } from "node:child_process"
import type * as net from "node:net"
import * as os from "node:os"
import * as Address from "../../../src/Address.ts"
import * as Network from "../../../src/Network.ts"
import * as NodeNetwork from "../../../src/node/NodeNetwork.ts"
import * as Tcp from "../../../src/node/Tcp.ts"
import type { Transport } from "../../../src/Transport.ts"
import * as Peer from "../../support/peer.ts"

/** Only the loopback may be dialled; a machine may have no link-local address there. */
const linkLocal = (internal: boolean): string | undefined => {
  for (const [name, addresses] of Object.entries(os.networkInterfaces())) {
    const found = addresses?.find((info) => info.address.startsWith("fe80:") && (info.internal || !internal))
    if (found !== undefined) return `${found.address}%${name}`
  }
  return undefined
}

const hasIpv6 = Object.values(os.networkInterfaces()).some((infos) => infos?.some(({ address }) => address === "::1"))

const hasSs = (() => {
  try {
    execFileSync("ss", ["-V"])
    return true
  } catch {
    return false
  }
})()

const same = (actual: Address.Address, expected: Address.Address) =>
  assert.isTrue(Equal.equals(actual, expected), `${Address.format(actual)} is not ${Address.format(expected)}`)

describe("addresses", () => {
  it.scopedLive("A1 both ends agree on both addresses, also after the close, and a name that was dialled becomes a number", () =>
    Effect.gen(function*() {
      const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
      const [resolved] = yield* Network.resolve("localhost", { family: "IPv4", port: listener.address.port })
      const client = yield* Network.connect(resolved!)
      const server = yield* listener.accept
      const agree = () => {
        same(client.remoteAddress, listener.address)
        same(server.localAddress, listener.address)
        same(client.localAddress, server.remoteAddress)
      }
      agree()
      assert.strictEqual(Address.format(client.remoteAddress), `127.0.0.1:${listener.address.port}`)
      yield* Effect.all([client.close, server.close, listener.close], { concurrency: "unbounded" })
      agree()
    }).pipe(Effect.provide(NodeNetwork.layer)))

  for (const host of ["127.0.0.1", "0.0.0.0"]) {
    it.scopedLive(`A1 who looks only after the close finds both addresses, of a listener on ${host} as well`, () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(Address.tcp(host, 0))
        const address = Address.tcp("127.0.0.1", listener.address.port)
        const client = yield* Tcp.connect(address)
        const server = yield* listener.accept
        yield* Effect.all([client.abort, server.abort], { discard: true })
        same(client.remoteAddress, address)
        same(server.localAddress, address)
        assert.isAbove(Peer.asTcp(client.localAddress).port, 0)
        same(client.localAddress, server.remoteAddress)
      }))
  }

  it.scopedLive("A1 both ends of a UNIX connection know the path, and that the client has none", () =>
    Effect.gen(function*() {
      const { client, listener, server } = yield* Peer.joined("unix")
      const agree = () => {
        same(client.remoteAddress, listener.address)
        same(server.localAddress, listener.address)
        same(client.localAddress, Address.unix(""))
        same(server.remoteAddress, Address.unix(""))
      }
      agree()
      yield* Effect.all([client.close, server.close], { concurrency: "unbounded" })
      agree()
    }))

  it.scopedLive("A2 a client that binds connects from that address and port", () =>
    Effect.gen(function*() {
      const server = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      // A port that was free a moment ago.
      const port = yield* Effect.map(
        Effect.scoped(Tcp.listen(Address.tcp("127.0.0.2", 0))),
        ({ address }) => address.port
      )
      const from = Address.tcp("127.0.0.2", port)
      const client = yield* Tcp.connect(server.address, { localAddress: from })
      const peer = yield* server.accept
      same(client.localAddress, from)
      same(Address.tcp(peer.socket.remoteAddress!, peer.socket.remotePort!), from)
      peer.destroy()
    }))

  it.scopedLive("A2 a client that binds to port 0 connects from that host and some port", () =>
    Effect.gen(function*() {
      const server = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
      const client = yield* Tcp.connect(server.address, {
        localAddress: Address.tcp("127.0.0.3", 0)
      })
      const peer = yield* server.accept
      assert.strictEqual(peer.socket.remoteAddress, "127.0.0.3")
      assert.strictEqual(Peer.asTcp(client.localAddress).port, peer.socket.remotePort)
      peer.destroy()
    }))

  for (const host of ["127.0.0.1", ...(hasIpv6 ? ["::1"] : [])]) {
    it.scopedLive(`A3 A4 on ${host} port 0 becomes a real one, and an accepted connection has the peer's own addresses`, () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(Address.tcp(host, 0))
        assert.isAbove(listener.address.port, 0)
        const peer = yield* Peer.connect(listener.address)
        const transport = yield* listener.accept
        same(transport.localAddress, Address.tcp(peer.socket.remoteAddress!, peer.socket.remotePort!))
        same(transport.remoteAddress, Address.tcp(peer.socket.localAddress!, peer.socket.localPort!))
        same(transport.localAddress, listener.address)
        assert.strictEqual((transport.remoteAddress as Address.TcpAddress).host, host)
        peer.destroy()
      }))

    it.scopedLive(`on ${host} a connection that is reset before it is accepted has an unspecified peer of that family`, () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(Address.tcp(host, 0))
        // This process accepts nobody meanwhile.
        execFileSync(process.execPath, [
          "-e",
          `require("node:net").connect(${listener.address.port}, "${host}", function() { this.resetAndDestroy() })`
        ])
        const transport = yield* listener.accept
        same(transport.remoteAddress, Address.unspecified(listener.address.family))
        assert.strictEqual((yield* Effect.flip(transport.pull))._tag, "ConnectionReset")
      }))
  }

  it.scopedLive.skipIf(linkLocal(false) === undefined)(
    "A3 a link-local listener keeps its zone (skipped without a link-local address)",
    () =>
      Effect.gen(function*() {
        const host = linkLocal(false)!
        const listener = yield* Tcp.listen(Address.tcp(host, 0))
        assert.strictEqual(listener.address.host, Address.tcp(host, 0).host)
        assert.isDefined(listener.address.zone)
      })
  )

  it.scopedLive.skipIf(linkLocal(true) === undefined)(
    "A5 a link-local connection keeps its zone at both ends (skipped without a link-local address of the loopback)",
    () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(Address.tcp(linkLocal(true)!, 0))
        const client = yield* Tcp.connect(listener.address)
        const server = yield* listener.accept
        same(client.remoteAddress, listener.address)
        same(server.localAddress, listener.address)
        same(client.localAddress, server.remoteAddress)
      })
  )

  it.scopedLive.skipIf(!hasIpv6)(
    "a listener on :: takes both families, and its IPv4 peers have IPv4 addresses",
    () =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(Address.tcp("::", 0))
        const port = listener.address.port
        const four = yield* Peer.connect(Address.tcp("127.0.0.1", port))
        const first = yield* listener.accept
        const six = yield* Peer.connect(Address.tcp("::1", port))
        const second = yield* listener.accept
        same(first.remoteAddress, Address.tcp("127.0.0.1", four.socket.localPort!))
        same(first.localAddress, Address.tcp("127.0.0.1", port))
        same(second.remoteAddress, Address.tcp("::1", six.socket.localPort!))
        same(second.localAddress, Address.tcp("::1", port))
        four.destroy()
        six.destroy()
      })
  )

  it.scopedLive.skipIf(!hasIpv6)("a listener on :: with ipv6Only refuses IPv4", () =>
    Effect.gen(function*() {
      const listener = yield* Tcp.listen(Address.tcp("::", 0), { ipv6Only: true })
      const port = listener.address.port
      const refused = yield* Peer.connect(Address.tcp("127.0.0.1", port))
      assert.strictEqual(refused.code, "ECONNREFUSED")
      const six = yield* Peer.connect(Address.tcp("::1", port))
      assert.isUndefined(six.code)
      six.destroy()
    }))
})

describe("a new connection", () => {
  for (const { name, open } of Peer.openings) {
    it.scopedLive(`A6 is there before any byte was sent (${name})`, () =>
      Effect.gen(function*() {
        const { transport } = yield* open()
        assert.deepInclude(transport.stats(), { bytesRead: 0, bytesWritten: 0, buffered: 0, unread: 0 })
      }))

    it.scopedLive(`A7 what failed names the address that was dialled, and what was lost the one it had (${name})`, () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        const { localAddress, remoteAddress } = transport
        peer.destroy()
        yield* transport.abort
        const reason = yield* transport.closed
        if (reason._tag !== "Lost") return assert.fail("an abort is a loss")
        assert.strictEqual(reason.error.remoteAddress, remoteAddress)
        assert.strictEqual(reason.error.localAddress, localAddress)
      }))

    it.scopedLive(`A8 nothing of it is read before the first pull, and all of it afterwards (${name})`, () =>
      Effect.gen(function*() {
        const { peer, transport } = yield* open()
        const sent = Peer.pattern(16 * 1024 * 1024)
        // More than the kernel holds for both ends: the peer stalls.
        peer.socket.end(sent)
        const other = yield* Peer.accepted("tcp")
        yield* other.transport.write(new Uint8Array(1))
        yield* other.peer.readBytes(1)
        yield* Peer.turns(50)
        assert.strictEqual((transport.unsafeHandle as net.Socket).bytesRead, 0)
        assert.deepInclude(transport.stats(), { bytesRead: 0, unread: 0 })
        assert.isAbove(peer.socket.writableLength, 0)
        assert.isTrue((yield* Peer.readAll(transport)).equals(sent))
      }))
  }

  it.live("A7 a refused connect reports the very address that was passed", () =>
    Effect.gen(function*() {
      const { address } = yield* Effect.scoped(Tcp.listen(Address.tcp("127.0.0.1", 0)))
      const result = yield* Effect.either(Effect.scoped(Tcp.connect(address)))
      if (Either.isRight(result) || result.left._tag !== "ConnectionRefused") return assert.fail("not refused")
      assert.strictEqual(result.left.address, address)
    }))

  it.scopedLive("A15 a listener that lets go of some peers ends them without a reset, and serves the others", () =>
    Effect.gen(function*() {
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      for (const served of [false, true, false, true]) {
        const peer = yield* Peer.connect(listener.address)
        // The peer does not wait: unread input must not turn the refusal into a reset.
        peer.socket.write("request")
        yield* Effect.fork(Effect.scoped(Effect.flatMap(
          listener.accept,
          (transport) => served ? Effect.flatMap(transport.pull, (bytes) => transport.write(bytes!)) : Effect.void
        )))
        const answer = yield* peer.readAll()
        assert.isTrue(peer.ended)
        assert.isUndefined(peer.code)
        assert.strictEqual(answer.toString(), served ? "request" : "")
        peer.destroy()
      }
    }))
})

describe("socket options", () => {
  it.scopedLive("A11 noDelay is on by default, and can be set both ways on both ends", () =>
    Effect.gen(function*() {
      const { client, server } = yield* Peer.joined("tcp")
      for (const { options, unsafeHandle } of [client, server]) {
        const set: Array<boolean | undefined> = []
        const socket = unsafeHandle as net.Socket
        const setNoDelay = socket.setNoDelay.bind(socket)
        socket.setNoDelay = (value) => {
          set.push(value)
          return setNoDelay(value)
        }
        assert.isTrue(options.noDelay!.get())
        for (const value of [false, true, false]) {
          yield* options.noDelay!.set(value)
          assert.strictEqual(options.noDelay!.get(), value)
        }
        assert.deepStrictEqual(set, [false, true, false])
      }
      const { client: slow, server: slowToo } = yield* Peer.joined("tcp", { noDelay: false })
      assert.isFalse(slow.options.noDelay!.get())
      assert.isFalse(slowToo.options.noDelay!.get())
    }))

  /** The keep-alive timers that the kernel runs on this port: those of the accepted and of the dialled end. */
  const keepAliveTimers = (port: number): number =>
    execFileSync("ss", ["-tnoH", `sport = :${port} or dport = :${port}`], { encoding: "utf8" })
      .split("\n").filter((line) => line.startsWith("ESTAB") && line.includes("timer:(keepalive")).length

  it.scopedLive.skipIf(!hasSs)(
    "A12 keepAlive is off by default, and can be set both ways on both ends (needs ss)",
    () =>
      Effect.gen(function*() {
        const { client, listener, server } = yield* Peer.joined("tcp")
        const port = Peer.asTcp(listener.address).port
        assert.isFalse(client.options.keepAlive!.get())
        assert.isFalse(server.options.keepAlive!.get())
        assert.strictEqual(keepAliveTimers(port), 0)
        yield* client.options.keepAlive!.set("1 minute")
        assert.strictEqual(client.options.keepAlive!.get(), "1 minute")
        assert.strictEqual(keepAliveTimers(port), 1)
        yield* server.options.keepAlive!.set("90 seconds")
        assert.strictEqual(keepAliveTimers(port), 2)
        yield* client.options.keepAlive!.set(false)
        yield* server.options.keepAlive!.set(false)
        assert.isFalse(server.options.keepAlive!.get())
        assert.strictEqual(keepAliveTimers(port), 0)
      })
  )

  it.scopedLive.skipIf(!hasSs)(
    "A12 keepAlive given when it is opened holds at both ends (needs ss)",
    () =>
      Effect.gen(function*() {
        const { client, listener, server } = yield* Peer.joined("tcp", { keepAlive: "100 seconds" })
        assert.strictEqual(client.options.keepAlive!.get(), "100 seconds")
        assert.strictEqual(server.options.keepAlive!.get(), "100 seconds")
        const timers = execFileSync("ss", ["-tnoH", `sport = :${Peer.asTcp(listener.address).port}`], {
          encoding: "utf8"
        })
        assert.match(timers, /timer:\(keepalive,1min(3\d|40)/)
        assert.strictEqual(keepAliveTimers(Peer.asTcp(listener.address).port), 2)
      })
  )

  it.scopedLive.skipIf(!hasSs)(
    "A12 keepAlive is rounded up to a second, and down to 9 hours (needs ss)",
    () =>
      Effect.gen(function*() {
        const timer = ({ localAddress }: Transport) =>
          /timer:\(keepalive,([^,]*)/.exec(
            execFileSync("ss", ["-tnoH", `sport = :${Peer.asTcp(localAddress).port}`], {
              encoding: "utf8"
            })
          )?.[1]
        for (const [keepAlive, expected] of [["300 millis", /ms$|^1sec$/], ["20 hours", /^5(46|45)min$/]] as const) {
          const { client } = yield* Peer.joined("tcp", { keepAlive })
          assert.match(timer(client)!, expected)
          yield* client.options.keepAlive!.set("1 minute")
          yield* client.options.keepAlive!.set(keepAlive)
          assert.match(timer(client)!, expected)
        }
      })
  )

  it.scopedLive("a UNIX socket has neither noDelay nor keepAlive", () =>
    Effect.gen(function*() {
      const { client, server } = yield* Peer.joined("unix")
      for (const { options } of [client, server]) {
        assert.isUndefined(options.noDelay)
        assert.isUndefined(options.keepAlive)
      }
    }))

  it.scopedLive.skipIf(!hasSs)("the backlog reaches listen(2) (needs ss)", () =>
    Effect.gen(function*() {
      const sendQueue = (port: number) =>
        execFileSync("ss", ["-ltnH", `sport = :${port}`], { encoding: "utf8" }).trim().split(/\s+/)[2]
      const small = yield* Tcp.listen(Address.tcp("127.0.0.1", 0), { backlog: 7 })
      assert.strictEqual(sendQueue(small.address.port), "7")
      const usual = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      assert.strictEqual(sendQueue(usual.address.port), "511")
    }))
})
