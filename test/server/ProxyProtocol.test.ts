import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import { ConnectionReset } from "../../src/ConnectionError.ts"
import { InvalidFrame } from "../../src/FrameError.ts"
import * as ProxyHeader from "../../src/framing/ProxyHeader.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as ProxyProtocol from "../../src/server/ProxyProtocol.ts"
import * as Unix from "../../src/node/Unix.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import type { Transport } from "../../src/Transport.ts"
import { ascii, bytes, cut, cuts, joined, text } from "../support/bytes.ts"
import { encoded } from "../support/decoding.ts"
import { rootFibers, settle } from "../support/fibers.ts"
import * as Peer from "../support/peer.ts"

const client = Address.tcp("203.0.113.7", 40000)
const front = Address.tcp("198.51.100.1", 443)
const line = "PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n"

const wireOf = (header: ProxyHeader.Header) => encoded(ProxyHeader.codec(), header)

const binary = wireOf(
  ProxyHeader.make({ version: 2, source: client, destination: front, extensions: [{ _tag: "Checksum" }] })
)

const anyone: ProxyProtocol.ReadOptions = { trusted: () => true }

/** The two ends of a connection, the first one behind a layer that has read nothing yet. */
const behind = (options: Partial<ProxyProtocol.ReadOptions> = {}, pair: MemoryTransport.PairOptions = {}) =>
  Effect.map(MemoryTransport.pair(pair), ([carrier, proxy]) => ({
    carrier,
    proxy,
    read: ProxyProtocol.read({ ...anyone, ...options })(carrier)
  }))

/** What the layer makes of this input, which ends. */
const given = (input: Uint8Array, options: Partial<ProxyProtocol.ReadOptions> = {}) =>
  Effect.flatMap(
    behind(options),
    ({ proxy, read }) => Effect.zipRight(Effect.zip(proxy.write(input), proxy.closeWrite), read)
  )

const readAll = <E>(transport: Transport<E>) => Effect.map(Peer.readAll(transport), (bytes) => text(bytes))

it("is a network layer, whose failures are those of its making", () => {
  ProxyProtocol.read(anyone) satisfies NetworkLayer.NetworkLayer<"e", "e", "e" | ProxyProtocol.ProxyProtocolError>
  ProxyProtocol.write({ version: 1 }) satisfies NetworkLayer.NetworkLayer<"e", "e", unknown>
  // @ts-expect-error what can be wrong with a header is not left out
  ProxyProtocol.read(anyone) satisfies NetworkLayer.NetworkLayer<"e", "e", "e">
})

describe("read", () => {
  for (const [version, header] of [[1, ascii(line)], [2, binary]] as const) {
    it.scoped(`gives the client's addresses, and what comes after the header: version ${version}`, () =>
      Effect.gen(function*() {
        const transport = yield* given(joined([header, ascii("GET /")]))
        assert.deepStrictEqual(transport.remoteAddress, client)
        assert.deepStrictEqual(transport.localAddress, front)
        assert.strictEqual(transport.proxyHeader?.version, version)
        assert.strictEqual(yield* readAll(transport), "GET /")
      }))

    it.scoped(`reads it byte by byte: version ${version}`, () =>
      Effect.gen(function*() {
        const { proxy, read } = yield* behind({}, { maxChunkSize: 1 })
        yield* proxy.write(joined([header, ascii("GET /")]))
        yield* proxy.closeWrite
        const transport = yield* read
        assert.deepStrictEqual(transport.remoteAddress, client)
        assert.strictEqual(yield* readAll(transport), "GET /")
      }))

    it.effect.prop(
      `gives every byte after it once, wherever the input is cut: version ${version}`,
      [cuts, FastCheck.uint8Array({ maxLength: 40 })],
      ([chunks, after]) =>
        Effect.gen(function*() {
          const { proxy, read } = yield* behind()
          for (const chunk of cut(joined([header, after]), chunks)) yield* proxy.write(chunk)
          yield* proxy.closeWrite
          const transport = yield* read
          assert.deepStrictEqual(transport.remoteAddress, client)
          assert.deepStrictEqual([...(yield* Peer.readAll(transport))], [...after])
        }).pipe(Effect.scoped),
      { fastCheck: { numRuns: 50 } }
    )

    it.scoped(`an input that ends within it is truncated, at every byte: version ${version}`, () =>
      Effect.gen(function*() {
        for (let held = 0; held < header.length; held++) {
          const error = yield* Effect.flip(given(header.slice(0, held)))
          assert.strictEqual(error._tag, "ProxyHeaderTruncated")
          assert.deepStrictEqual((error as ProxyProtocol.ProxyHeaderTruncated).bytes, header.slice(0, held))
        }
      }))
  }

  it.scoped("leaves the rest to the carrier: writes, ends, and a second header that is none", () =>
    Effect.gen(function*() {
      const { proxy, read } = yield* behind()
      yield* proxy.write(ascii(line + line))
      const transport = yield* read
      assert.strictEqual(text((yield* transport.pull)!), line)
      yield* transport.write(ascii("hello"))
      assert.strictEqual(text((yield* proxy.pull)!), "hello")
      yield* Effect.all([transport.close, proxy.close], { concurrency: "unbounded" })
      assert.strictEqual((yield* transport.closed)._tag, "Clean")
    }))

  for (
    const [what, header] of [
      ["LOCAL", { _tag: "Local", version: 2, extensions: [] }],
      ["UNSPEC", { _tag: "Unknown", version: 2, extensions: [] }],
      ["UNKNOWN", { _tag: "Unknown", version: 1, extensions: [] }]
    ] as const
  ) {
    it.scoped(`keeps the addresses of the connection: ${what}`, () =>
      Effect.gen(function*() {
        const { carrier, proxy, read } = yield* behind()
        yield* proxy.write(wireOf(header))
        const transport = yield* read
        assert.deepStrictEqual(transport.remoteAddress, carrier.remoteAddress)
        assert.deepStrictEqual(transport.localAddress, carrier.localAddress)
        assert.deepStrictEqual(transport.proxyHeader, header)
      }))
  }

  it.scoped("reads one after the other of a chain of proxies", () =>
    Effect.gen(function*() {
      const { carrier, proxy } = yield* behind()
      yield* proxy.write(joined([ascii("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"), binary, ascii("x")]))
      const twice = NetworkLayer.compose(ProxyProtocol.read(anyone), ProxyProtocol.read({ trusted: ["10.0.0.1"] }))
      const transport = yield* twice(carrier)
      assert.deepStrictEqual(transport.remoteAddress, client)
      assert.strictEqual(text((yield* transport.pull)!), "x")
    }))

  it.scoped("an invalid header aborts, and tells what came", () =>
    Effect.gen(function*() {
      const { carrier, proxy, read } = yield* behind()
      yield* proxy.write(ascii(`GET / HTTP/1.1\r\n${"x".repeat(500)}`))
      const error = yield* Effect.flip(read)
      assert.instanceOf(error, ProxyProtocol.ProxyHeaderInvalid)
      assert.deepStrictEqual(
        { ...error.failure },
        { _tag: "InvalidFrame", reason: "it does not begin as one of version 1 or 2 does" } as never
      )
      assert.strictEqual(text(error.bytes).slice(0, 16), "GET / HTTP/1.1\r\n")
      assert.strictEqual(error.bytes.length, 256)
      assert.strictEqual(
        error.message,
        `There is no valid PROXY header at the beginning of the connection from ${carrier.remoteAddress}. ` +
          "A frame is not valid: it does not begin as one of version 1 or 2 does. Is the proxy configured to send one?"
      )
      assert.instanceOf(yield* Effect.flip(proxy.pull), ConnectionReset)
    }))

  it.effect.prop(
    "never takes random bytes for a header",
    [FastCheck.uint8Array({ minLength: 1, maxLength: 300 })],
    ([garbage]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(given(garbage))
        assert.include(["ProxyHeaderInvalid", "ProxyHeaderTruncated"], error._tag)
      }).pipe(Effect.scoped),
    { fastCheck: { numRuns: 100 } }
  )

  it.scoped("can ask for a version and a checksum", () =>
    Effect.gen(function*() {
      const options = { versions: [2], checksum: "required" } as const
      assert.strictEqual((yield* given(binary, options)).proxyHeader?._tag, "Proxied")
      for (const input of [ascii(line), wireOf(ProxyHeader.make({ version: 2, source: client, destination: front }))]) {
        assert.strictEqual((yield* Effect.flip(given(input, options)))._tag, "ProxyHeaderInvalid")
      }
    }))

  it.scoped("the loss of the carrier is its failure", () =>
    Effect.gen(function*() {
      const { proxy, read } = yield* behind()
      yield* proxy.write(ascii("PROXY"))
      const reading = yield* Effect.fork(Effect.flip(read))
      yield* settle
      yield* proxy.abort
      assert.strictEqual((yield* Fiber.join(reading))._tag, "ConnectionReset")
    }))
})

describe("the deadline", () => {
  const struck = (options: Partial<ProxyProtocol.ReadOptions>, limit: number, region = <A>(a: A) => a) =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      const { proxy, read } = yield* behind(options)
      const reading = yield* Effect.fork(Effect.flip(region(read)))
      yield* proxy.write(ascii("PROXY TCP4"))
      yield* settle
      yield* TestClock.adjust(limit - 1)
      yield* settle
      assert.strictEqual((yield* Fiber.poll(reading))._tag, "None")
      yield* TestClock.adjust(1)
      const error = yield* Fiber.join(reading)
      assert.instanceOf(error, ProxyProtocol.ProxyHeaderTimeout)
      assert.deepStrictEqual([Duration.toMillis(error.duration), error.held], [limit, 10])
      assert.instanceOf(yield* Effect.flip(proxy.pull), ConnectionReset)
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
    })

  it.scoped("is 5 seconds, after which the connection is aborted", () => struck({}, 5000))

  it.scoped("can be another one", () => struck({ timeout: "300 millis" }, 300))

  it.scoped("strikes in an uninterruptible region as well", () =>
    struck({ timeout: 10 }, 10, Effect.uninterruptible as <A>(a: A) => A))

  it.scoped("is over with the header", () =>
    Effect.gen(function*() {
      const { proxy, read } = yield* behind()
      yield* proxy.write(binary)
      const transport = yield* read
      yield* TestClock.adjust("1 hour")
      yield* proxy.write(ascii("x"))
      assert.strictEqual(text((yield* transport.pull)!), "x")
    }))

  it.scoped("can be none", () =>
    Effect.gen(function*() {
      const { proxy, read } = yield* behind({ timeout: Duration.infinity })
      const reading = yield* Effect.fork(read)
      yield* TestClock.adjust("1 hour")
      yield* proxy.write(binary)
      assert.deepStrictEqual((yield* Fiber.join(reading)).remoteAddress, client)
    }))

  it("of 0 is a bug of the caller", () => {
    assert.throws(() => ProxyProtocol.read({ ...anyone, timeout: 0 }), RangeError)
  })
})

describe("an interruption", () => {
  const afterHeader = Effect.tap(
    behind({}, { chunks: [7], lingerTimeout: 0 }),
    ({ proxy }) => Effect.zip(proxy.write(ascii(`${line}after`)), proxy.closeWrite)
  )

  it.scoped("gives back what had come", () =>
    Effect.gen(function*() {
      const { carrier, proxy, read } = yield* behind()
      for (const chunk of [ascii("PROXY TC"), ascii("P4 203.0")]) {
        yield* proxy.write(chunk)
        const reading = yield* Effect.fork(read)
        yield* settle
        yield* Fiber.interrupt(reading)
      }
      assert.strictEqual(text((yield* carrier.pull)!), "PROXY TCP4 203.0")
    }))

  it.live("at any step loses nothing but the header", () =>
    sweep({
      setup: afterHeader,
      scenario: ({ read }) => read,
      check: ({ carrier }, exit) =>
        Effect.map(readAll(carrier), (rest) =>
          Exit.isSuccess(exit) ? assert.strictEqual(rest, "after") : assert.include([`${line}after`, "after"], rest))
    }))

  it.effect("leaves the end to the Scope", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { proxy, read } = yield* Scope.extend(behind(), scope)
      const reading = yield* Effect.fork(read)
      yield* settle
      yield* Scope.close(scope, yield* Fiber.interrupt(reading))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(proxy.pull)))
    }))
})

describe("trust", () => {
  /** Whether a peer at this address is believed. */
  const believed = (trusted: ProxyProtocol.Trusted, peer: Address.Address) =>
    Effect.gen(function*() {
      const [carrier, proxy] = yield* MemoryTransport.pair()
      yield* proxy.write(binary)
      const from = NetworkLayer.derive(carrier, { remoteAddress: peer })
      const exit = yield* Effect.either(ProxyProtocol.read({ trusted })(from))
      if (exit._tag === "Left") assert.strictEqual(exit.left._tag, "ProxyNotTrusted")
      return exit._tag === "Right"
    }).pipe(Effect.scoped)

  const tcp = (host: string) => Address.tcp(host, 1)

  for (
    const [trusted, yes, no] of [
      [["192.0.2.1"], ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.2.2", "::1"]],
      [["10.0.0.0/8"], ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]],
      [["10.1.2.3/8"], ["10.9.9.9"], ["11.1.2.3"]],
      [["192.0.2.128/25"], ["192.0.2.128", "192.0.2.255"], ["192.0.2.127"]],
      [["0.0.0.0/0"], ["203.0.113.1"], ["2001:db8::1"]],
      [["::/0"], ["2001:db8::1"], ["203.0.113.1"]],
      [["2001:db8::/32"], ["2001:db8:ffff::1"], ["2001:db9::"]],
      [["2001:db8::1"], ["2001:db8::1"], ["2001:db8::2"]],
      [["fe80::/10"], ["fe80::1%eth0"], ["fec0::1%eth0"]],
      [["::ffff:192.0.2.0/120"], ["192.0.2.9"], ["192.0.3.9"]],
      [["10.0.0.0/8", "::1"], ["10.0.0.1", "::1"], ["127.0.0.1"]],
      [[], [], ["127.0.0.1", "::1"]]
    ] as ReadonlyArray<readonly [ReadonlyArray<string>, ReadonlyArray<string>, ReadonlyArray<string>]>
  ) {
    it.effect(`in ${trusted.join(" and ") || "nobody"}`, () =>
      Effect.gen(function*() {
        for (const host of yes) assert.isTrue(yield* believed(trusted, tcp(host)), host)
        for (const host of no) assert.isFalse(yield* believed(trusted, tcp(host)), host)
        assert.isFalse(yield* believed(trusted, Address.unix("/run/x")))
        assert.isFalse(yield* believed(trusted, Address.memory("x")))
      }))
  }

  it.effect("in UNIX-domain sockets", () =>
    Effect.gen(function*() {
      for (const path of ["", "/run/x", "\0x"]) assert.isTrue(yield* believed(["unix"], Address.unix(path)))
      assert.isFalse(yield* believed(["unix"], tcp("127.0.0.1")))
    }))

  it.effect("by a function", () =>
    Effect.gen(function*() {
      const byName = (peer: Address.Address) => peer._tag === "MemoryAddress" && peer.name === "x"
      assert.isTrue(yield* believed(byName, Address.memory("x")))
      assert.isFalse(yield* believed(byName, Address.memory("y")))
    }))

  for (
    const entry of [
      "",
      "localhost",
      "10.0.0.0/33",
      "::/129",
      "10.0.0.0/",
      "10.0.0.0/-1",
      "10.0.0.0/8/8",
      "10.0.0.0/255.0.0.0",
      "10/8",
      "010.0.0.0/8",
      "fe80::%eth0/10",
      "::ffff:10.0.0.0/8",
      "*"
    ]
  ) {
    it(`in ${JSON.stringify(entry)} is a bug of the caller`, () => {
      assert.throws(() => ProxyProtocol.read({ trusted: [entry] }), RangeError, JSON.stringify(entry))
    })
  }

  it.scoped("is refused before anything is read, and the connection is aborted", () =>
    Effect.gen(function*() {
      const { carrier, proxy, read } = yield* behind({ trusted: ["10.0.0.0/8"] })
      yield* proxy.write(binary)
      const error = yield* Effect.flip(read)
      assert.instanceOf(error, ProxyProtocol.ProxyNotTrusted)
      assert.deepStrictEqual(error.remoteAddress, carrier.remoteAddress)
      assert.strictEqual(carrier.stats().bytesRead, 0)
      assert.instanceOf(yield* Effect.flip(proxy.pull), ConnectionReset)
    }))

  const unknown = Effect.gen(function*() {
    const [accepted, proxy] = yield* MemoryTransport.pair()
    yield* proxy.write(binary)
    const nobody = NetworkLayer.derive(accepted, { remoteAddress: Address.unspecified("IPv4") })
    const read = yield* Effect.fork(Effect.flip(ProxyProtocol.read({ trusted: ["10.0.0.0/8"] })(nobody)))
    yield* settle
    return { proxy, read }
  })

  it.scoped("is no matter of a peer that is gone, and that nobody knows any more: its reset is the failure", () =>
    Effect.gen(function*() {
      const { proxy, read } = yield* unknown
      yield* proxy.abort
      assert.instanceOf(yield* Fiber.join(read), ConnectionReset)
    }))

  it.scoped("in a peer without an address is not to be had, whatever it sends", () =>
    Effect.gen(function*() {
      const { read } = yield* unknown
      yield* TestClock.adjust("5 seconds")
      assert.instanceOf(yield* Fiber.join(read), ProxyProtocol.ProxyNotTrusted)
    }))

  it.scoped("without it a connection can be passed as it is, its header and all", () =>
    Effect.gen(function*() {
      const { carrier, proxy, read } = yield* behind({ trusted: [], untrusted: "pass" })
      yield* proxy.write(ascii(line))
      const transport = yield* read
      assert.strictEqual(carrier.stats().bytesRead, 0)
      assert.isUndefined(transport.proxyHeader)
      assert.deepStrictEqual(transport.remoteAddress, carrier.remoteAddress)
      assert.strictEqual(text((yield* transport.pull)!), line)
    }))
})

describe("write", () => {
  const written = (
    options: Parameters<typeof ProxyProtocol.write>[0],
    dialled = { localAddress: client, remoteAddress: front } as Pick<Transport, "localAddress" | "remoteAddress">
  ) =>
    Effect.gen(function*() {
      const [carrier, server] = yield* MemoryTransport.pair()
      const transport = yield* ProxyProtocol.write(options)(NetworkLayer.derive(carrier, dialled))
      yield* transport.write(ascii("after"))
      yield* transport.closeWrite
      return new Uint8Array(yield* Peer.readAll(server))
    }).pipe(Effect.scoped)

  it.effect("sends the connection's own addresses first, in version 2", () =>
    Effect.gen(function*() {
      const own = wireOf(ProxyHeader.make({ version: 2, source: client, destination: front }))
      assert.deepStrictEqual(yield* written({}), joined([own, ascii("after")]))
      assert.deepStrictEqual(yield* written(undefined), joined([own, ascii("after")]))
      assert.strictEqual(text(yield* written({ version: 1 })), `${line}after`)
    }))

  it.effect("sends those of the client on whose behalf it was dialled", () =>
    Effect.gen(function*() {
      const accepted = { localAddress: front, remoteAddress: client }
      const dialled = { localAddress: Address.tcp("10.0.0.1", 1), remoteAddress: Address.tcp("10.0.0.2", 2) }
      assert.strictEqual(text(yield* written({ version: 1, client: accepted }, dialled)), `${line}after`)
      const extensions = [{ _tag: "Checksum" }] as const
      assert.deepStrictEqual(
        yield* written({ client: accepted, extensions }, dialled),
        joined([binary, ascii("after")])
      )
    }))

  it.effect("says that it does not know what the version cannot say", () =>
    Effect.gen(function*() {
      const unix = { localAddress: Address.unix(""), remoteAddress: Address.unix("/run/x") }
      const memory = { localAddress: Address.memory("a"), remoteAddress: Address.memory("b") }
      assert.strictEqual(text(yield* written({ version: 1 }, unix)), "PROXY UNKNOWN\r\nafter")
      assert.strictEqual(text(yield* written({ version: 1 }, memory)), "PROXY UNKNOWN\r\nafter")
      const unknown = wireOf({ _tag: "Unknown", version: 2, extensions: [] })
      assert.deepStrictEqual(yield* written({}, memory), joined([unknown, ascii("after")]))
    }))

  it.effect("sends a given header", () =>
    Effect.gen(function*() {
      const local = { _tag: "Local", version: 2, extensions: [] } as const
      assert.deepStrictEqual(yield* written(local), joined([wireOf(local), ascii("after")]))
    }))

  it.scoped("writes nothing of what cannot be said", () =>
    Effect.gen(function*() {
      const [carrier, server] = yield* MemoryTransport.pair()
      const extensions = [{ _tag: "UniqueId", id: bytes(129) }] as const
      assert.instanceOf(yield* Effect.flip(ProxyProtocol.write({ extensions })(carrier)), InvalidFrame)
      yield* carrier.closeWrite
      assert.isNull(yield* server.pull)
    }))

  it.scopedLive("is read again by the other side, over a UNIX-domain socket", () =>
    Effect.gen(function*() {
      const address = Address.unix(`${yield* Peer.directory}/s`)
      const listener = yield* Unix.listen(address)
      const dialled = yield* Effect.flatMap(Unix.connect(address), ProxyProtocol.write())
      const accepted = yield* Effect.flatMap(listener.accept, ProxyProtocol.read({ trusted: ["unix"] }))
      assert.deepStrictEqual(accepted.remoteAddress, Address.unix(""))
      assert.deepStrictEqual(accepted.localAddress, address)
      yield* dialled.write(ascii("x"))
      assert.strictEqual(text((yield* accepted.pull)!), "x")
      yield* Effect.all([dialled.close, accepted.close], { concurrency: "unbounded" })
    }))
})

it.scopedLive("a header that comes byte by byte over TCP is read", () =>
  Effect.gen(function*() {
    const { peer, transport: carrier } = yield* Peer.accepted("tcp")
    const reading = yield* Effect.fork(ProxyProtocol.read({ trusted: ["127.0.0.0/8"] })(carrier))
    for (const byte of joined([binary, ascii("x")])) {
      peer.socket.write(Uint8Array.of(byte))
      yield* Peer.turns(2)
    }
    const transport = yield* Fiber.join(reading)
    assert.deepStrictEqual(transport.remoteAddress, client)
    assert.strictEqual(text((yield* transport.pull)!), "x")
  }))
