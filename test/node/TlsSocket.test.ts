import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import * as Address from "../../src/Address.ts"
import type { ConnectionLost } from "../../src/ConnectionError.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as Tls from "../../src/node/Tls.ts"
import * as Throttle from "../../src/policy/Throttle.ts"
import * as Server from "../../src/server/Server.ts"
import * as Transport from "../../src/Transport.ts"
import { Authority } from "../support/certificates.ts"
import { tcpPair, unixPair } from "../support/pairs.ts"
import * as Peer from "../support/peer.ts"
import { leavingNothing } from "../support/resources.ts"
import { has } from "../support/tool.ts"

const utf8 = (text: string) => new TextEncoder().encode(text)
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

const both = <A, E, R, A2, E2, R2>(left: Effect.Effect<A, E, R>, right: Effect.Effect<A2, E2, R2>) =>
  Effect.all([left, right], { concurrency: "unbounded" })

type Secured = Transport.Transport<ConnectionLost | Tls.TlsLost> & { readonly tls: Tls.Info }

type Layer = (
  transport: Transport.Transport
) => Effect.Effect<Secured, Tls.TlsError | ConnectionLost, Scope.Scope>

describe.skipIf(!has("openssl"))("TLS on sockets (skipped: openssl is not installed)", () => {
  const authority = new Authority("authority")
  const localhost = authority.issue("localhost", ["DNS:localhost"])
  const context = Effect.runSync(Tls.context({ identity: localhost, trustRoots: authority.root.certificate }))
  const options = { serverName: "localhost", context, lingerTimeout: 50 } as const

  const client = Tls.client({ ...options, truncation: "end" })
  const server = Tls.server({ context, lingerTimeout: 50, truncation: "end" })
  const secured = <E>(pair: readonly [Transport.Transport<E>, Transport.Transport<E>]) =>
    both(client(pair[0]), server(pair[1]))
  const overTcp = Effect.flatMap(tcpPair({ lingerTimeout: 0 }), secured)

  describe("takes any end for the peer's own", () => {
    const pairs = [["TCP", tcpPair], ["UNIX sockets", unixPair], ["memory", MemoryTransport.pair]] as const
    for (const [name, makePair] of pairs) {
      it.scopedLive(`over ${name}`, () =>
        Effect.gen(function*() {
          const [left, right] = yield* makePair({ lingerTimeout: 0 })
          const [one, other] = yield* secured([left, right])
          // Without TlsTruncated.
          const typed: Transport.Transport<ConnectionLost | Tls.TlsFailed> = one
          yield* other.write(utf8("all of it"))
          yield* other.flush
          yield* right.closeWrite
          assert.strictEqual(text(yield* Peer.readAll(typed)), "all of it")
          yield* one.close
          assert.deepInclude(yield* one.closed, { _tag: "Clean", firstEnded: "peer", bytesRead: 9 })
        }))
    }
  })

  it.scopedLive("lies straight on the socket, if no layer is in between", () =>
    Effect.gen(function*() {
      const [straight] = yield* overTcp
      assert.isFalse("unwrap" in straight)
      const [left, right] = yield* tcpPair({ lingerTimeout: 0 })
      const [layered] = yield* both(
        Effect.flatMap(Throttle.make({ read: 1e9 })(left), client),
        server(right)
      )
      assert.isTrue("unwrap" in layered)
      assert.strictEqual(Tls.info(straight)?.protocol, "TLSv1.3")
    }))

  it.scopedLive("leaves the carrier to whoever looks at it, sets it and awaits its end", () =>
    Effect.gen(function*() {
      const [left, right] = yield* tcpPair({ lingerTimeout: 0 })
      const [one, other] = yield* secured([left, right])
      yield* one.options.noDelay!.set(false)
      assert.isFalse(left.options.noDelay!.get())
      yield* one.write(utf8("12345"))
      yield* Transport.readExactly(other, 5)
      const pulling = yield* Effect.fork(one.pull)
      yield* Peer.eventually(() => left.stats().pulling)
      assert.deepInclude(left.stats(), { buffered: 0, bytesWritten: 5 })
      yield* other.close
      assert.isNull(yield* Fiber.join(pulling))
      yield* one.close
      assert.strictEqual((yield* left.closed)._tag, "Clean")
      assert.strictEqual((yield* right.closed)._tag, "Clean")
    }))

  const endings = [
    ["reset", { _tag: "ConnectionReset", side: "peer" }, (_: Secured, peer: Transport.Transport) => peer.abort],
    ["abort", { _tag: "ConnectionAborted", side: "local" }, (own: Secured) => own.abort]
  ] as const
  for (const [name, expected, end] of endings) {
    it.scopedLive(`counts in its loss by ${name}, and in the carrier's, what was read, written and not sent`, () =>
      Effect.gen(function*() {
        const [left, right] = yield* tcpPair({ lingerTimeout: 0 })
        const [one, other] = yield* secured([left, right])
        yield* other.write(utf8("123456789"))
        yield* one.pull
        yield* one.write(utf8("12345"))
        yield* other.pull
        const accepted = 16 * 1024 * 1024
        yield* one.write(new Uint8Array(accepted))
        yield* end(one, right)
        const counted = { ...expected, bytesRead: 9, bytesWritten: 5, bytesUnsent: accepted }
        for (const transport of [one, left]) {
          const reason = yield* transport.closed
          assert(reason._tag === "Lost")
          assert.deepInclude(reason.error, counted)
        }
      }))
  }

  it.scopedLive("upgrades in the middle, with bytes of TLS already read, and others not yet sent", () =>
    Effect.gen(function*() {
      const [left, right] = yield* tcpPair({ lingerTimeout: 0 })
      yield* left.write(utf8("STARTTLS\r\n"))
      const upgraded = yield* Effect.fork(client(left))
      yield* Peer.eventually(() => (left.unsafeHandle as { readonly bytesWritten: number }).bytesWritten > 10)
      const first = yield* Transport.readExactly(right, 20)
      assert.strictEqual(text(first.subarray(0, 10)), "STARTTLS\r\n")
      yield* right.unread(first.subarray(10))
      const other = yield* server(right)
      yield* Peer.echoes(yield* Fiber.join(upgraded), other)
    }))

  it.scopedLive("hears of an end that came right behind the handshake", () =>
    Effect.gen(function*() {
      const [left, right] = yield* tcpPair({ lingerTimeout: 0 })
      const [one] = yield* both(client(left), Effect.flatMap(server(right), (other) => other.close))
      yield* Peer.turns(5)
      assert.isNull(yield* one.pull)
    }))

  // Whether the server's tickets are out by then, and who hears first of the reset, differs from run to run.
  const often = <E>(effect: Effect.Effect<void, E, Scope.Scope>) => Effect.replicateEffect(Effect.scoped(effect), 20)

  for (
    const [name, act] of Object.entries<(left: Secured) => Effect.Effect<void, unknown>>({
      "ends": ({ closeWrite }) => closeWrite,
      "writes": ({ write }) => write(utf8("answer")),
      "writes, and ends": ({ closeWrite, write }) => Effect.zipRight(write(utf8("answer")), closeWrite)
    })
  ) {
    for (const [role, gone, left] of [["client", 0, 1], ["server", 1, 0]] as const) {
      it.live(`loses a ${role} that resets right behind the handshake, when the other side ${name}`, () =>
        often(Effect.gen(function*() {
          const pair = yield* tcpPair({ lingerTimeout: 0 })
          const transports = yield* secured(pair)
          yield* pair[gone].abort
          yield* Effect.ignore(act(transports[left]))
          assert.strictEqual((yield* Effect.flip(transports[left].pull))._tag, "ConnectionReset")
        })))
    }
  }

  it.live("does not wait with a write for a client that has left right behind the handshake", () =>
    often(Effect.gen(function*() {
      const pair = yield* unixPair({ lingerTimeout: 0 })
      const [, other] = yield* secured(pair)
      yield* pair[0].abort
      yield* Effect.ignore(other.pull)
      yield* Effect.flip(Effect.zipRight(other.write(utf8("answer")), other.flush))
    })))

  // The peer's end and the room for the last bytes come in one turn of the event loop for some of them.
  it.live("ends cleanly at whichever chunk the peer ends that it reads", () =>
    Effect.forEach(Array.from({ length: 24 }, (_, chunk) => chunk), (chunk) =>
      Effect.scoped(Effect.gen(function*() {
        const pair = yield* unixPair({ lingerTimeout: 0 })
        const [one, other] = yield* secured(pair)
        // The kernel's buffer first, then what waits for room there.
        yield* other.write(new Uint8Array(150_000))
        yield* other.flush
        const ending = yield* Effect.fork(Effect.zipRight(other.write(new Uint8Array(250_000)), other.closeWrite))
        const input = yield* Effect.fork(Peer.readAll(other))
        yield* Peer.turns(5)
        let chunks = 0
        yield* one.forEach(() => chunks++ === chunk ? one.closeWrite : Effect.void)
        yield* Fiber.join(ending)
        assert.strictEqual((yield* Fiber.join(input)).length, 0)
        assert.strictEqual(one.stats().bytesRead, 400_000)
        for (const transport of [one, other, ...pair]) {
          yield* transport.close
          assert.strictEqual((yield* transport.closed)._tag, "Clean")
        }
      }))))

  it.scopedLive("keeps its handshakes while keys are replaced 100 times under load", () =>
    Effect.gen(function*() {
      const identities = [localhost, authority.issue("replaced", ["DNS:localhost"])]
      const contexts = yield* Effect.forEach(identities, (identity) => Tls.context({ identity }))
      const current = yield* Ref.make(contexts[0]!)
      const layer = Tls.server({ context: current, truncation: "end" })
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      yield* Effect.fork(
        Server.serve(listener, (transport) => Effect.flatMap(layer(transport), ({ forEach, write }) => forEach(write)))
      )
      const subjects = new Set<string>()
      let handshakes = 0
      const once = Effect.scoped(Effect.gen(function*() {
        const transport = yield* Effect.flatMap(Tcp.connect(listener.address), client)
        subjects.add(transport.tls.peerCertificates[0]!.subject)
        yield* transport.write(utf8("x"))
        assert.strictEqual((yield* transport.pull)!.length, 1)
        handshakes++
      }))
      const load = yield* Effect.fork(Effect.all([1, 2, 3].map(() => Effect.forever(once)), { concurrency: 3 }))
      for (let index = 1; index <= 100; index++) {
        const before = handshakes
        yield* Ref.set(current, contexts[index % 2]!)
        yield* Peer.eventually(() => handshakes > before || load.unsafePoll() !== null)
      }
      assert.isNull(load.unsafePoll())
      yield* Fiber.interrupt(load)
      assert.strictEqual(subjects.size, 2)
    }), 20_000)

  it.scopedLive("is drained by its server while it waits for input", () =>
    Effect.gen(function*() {
      const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
      const serving = yield* Effect.fork(
        Effect.scoped(Server.serve(listener, (transport) =>
          Effect.flatMap(server(transport), ({ forEach, write }) =>
            forEach(write)), { drainTimeout: "1 minute" }))
      )
      const transport = yield* Effect.flatMap(Tcp.connect(listener.address), client)
      yield* transport.write(utf8("x"))
      yield* transport.pull
      const stopped = yield* Effect.fork(Effect.zipRight(listener.close, Fiber.join(serving)))
      assert.isNull(yield* transport.pull)
      yield* transport.close
      yield* Fiber.join(stopped)
    }))

  const ways: ReadonlyArray<readonly [name: string, layers: Record<"client" | "server", Layer>]> = [
    ["over a transport", {
      client: Tls.client({ ...options, timeout: "500 millis" }),
      server: Tls.server({ context, lingerTimeout: 50, timeout: "500 millis" })
    }],
    ["straight on a socket", {
      client: Tls.client({ ...options, timeout: "500 millis", truncation: "end" }),
      server: Tls.server({ context, lingerTimeout: 50, timeout: "500 millis", truncation: "end" })
    }]
  ]

  for (const [way, layers] of ways) {
    for (const side of ["client", "server"] as const) {
      describe(`in the handshake of a ${side} ${way}, a peer`, () => {
        const misbehaving = (peers: (peer: Peer.Peer) => Effect.Effect<void>) =>
          Effect.gen(function*() {
            const { peer, transport } = yield* Peer.accepted("tcp", { lingerTimeout: 0 })
            peer.read()
            const begun = yield* Effect.fork(Effect.flip(Effect.scoped(Effect.asVoid(layers[side](transport)))))
            if (side === "client") yield* peer.until(() => peer.received > 0)
            yield* peers(peer)
            const error = yield* Fiber.join(begun)
            yield* transport.closed
            return error
          }).pipe(Effect.scoped, leavingNothing)

        it.live("resets", () =>
          Effect.gen(function*() {
            const error = yield* misbehaving((peer) => Effect.sync(() => peer.reset()))
            assert.include(["ConnectionReset", "HandshakeFailed"], error._tag)
          }))

        it.live("ends", () =>
          Effect.gen(function*() {
            const error = yield* misbehaving((peer) => Effect.sync(() => peer.end()))
            assert.deepInclude(error, { _tag: "HandshakeFailed", code: "ECONNRESET" })
          }))

        it.live("ends in the middle of a record", () =>
          Effect.gen(function*() {
            const error = yield* misbehaving((peer) =>
              Effect.map(peer.write(Uint8Array.of(22, 3, 1, 2, 0, 1, 0)), () => peer.end())
            )
            assert.strictEqual(error._tag, "HandshakeFailed")
          }))

        it.live("speaks something else", () =>
          Effect.gen(function*() {
            const error = yield* misbehaving((peer) => peer.write("220 mail.example.org ESMTP\r\n"))
            assert.deepInclude(error, { _tag: "HandshakeFailed", code: "ERR_SSL_WRONG_VERSION_NUMBER" })
          }))

        it.live("says nothing", () =>
          Effect.gen(function*() {
            const error = yield* misbehaving(() => Effect.void)
            assert.deepInclude(error, { _tag: "ConnectTimeout", phase: "handshake" })
          }))

        it.live("stalls", () =>
          Effect.gen(function*() {
            const error = yield* misbehaving((peer) => peer.write(Uint8Array.of(22, 3, 1, 2, 0, 1, 0)))
            assert.strictEqual(error._tag, "ConnectTimeout")
          }))
      })
    }

    describe(`after the handshake ${way}, a peer`, () => {
      /** The carrier of the other end stands for whoever is in between. */
      const opened = Effect.gen(function*() {
        const [left, right] = yield* tcpPair({ lingerTimeout: 0 })
        const [one, other] = yield* both(layers.client(left), layers.server(right))
        return { left, one, other, raw: right.unsafeHandle as Peer.Peer["socket"] }
      })

      it.live("resets", () =>
        Effect.gen(function*() {
          const { left, one, raw } = yield* opened
          const pulling = yield* Effect.fork(Effect.flip(one.pull))
          yield* Peer.turns(5)
          raw.resetAndDestroy()
          assert.strictEqual((yield* Fiber.join(pulling))._tag, "ConnectionReset")
          assert.strictEqual((yield* one.closed)._tag, "Lost")
          assert.strictEqual((yield* left.closed)._tag, "Lost")
        }).pipe(Effect.scoped, leavingNothing))

      it.live("resets while this side waits for it to read", () =>
        Effect.gen(function*() {
          const { one, raw } = yield* opened
          const writing = yield* Effect.fork(Effect.flip(Effect.forever(one.write(new Uint8Array(65536)))))
          yield* Peer.eventually(() => one.stats().writersWaiting === 1)
          raw.resetAndDestroy()
          assert.include(["ConnectionReset", "BrokenPipe"], (yield* Fiber.join(writing))._tag)
        }).pipe(Effect.scoped, leavingNothing))

      it.live("sends garbage", () =>
        Effect.gen(function*() {
          const { left, one, raw } = yield* opened
          raw.write("HTTP/1.1 400 Bad Request\r\n\r\n")
          assert.deepInclude(yield* Effect.flip(one.pull), { _tag: "TlsFailed", alert: undefined })
          assert.strictEqual((yield* left.closed)._tag, "Lost")
        }).pipe(Effect.scoped, leavingNothing))

      it.live("is closed beneath TLS by this side", () =>
        Effect.gen(function*() {
          const { left, one } = yield* opened
          const pulling = yield* Effect.fork(Effect.flip(one.pull))
          yield* Peer.turns(5)
          yield* left.close
          assert.strictEqual((yield* Fiber.join(pulling))._tag, "ConnectionClosed")
        }).pipe(Effect.scoped, leavingNothing))
    })
  }
})
