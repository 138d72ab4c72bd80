import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto"
import type { Socket } from "node:net"
import type { ConnectionLost } from "../../src/ConnectionError.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import { driverOf } from "../../src/node/internal/streamDriver.ts"
import * as Tls from "../../src/node/Tls.ts"
import * as Throttle from "../../src/policy/Throttle.ts"
import * as Transport from "../../src/Transport.ts"
import { Authority } from "../support/certificates.ts"
import { settle } from "../support/fibers.ts"
import { simPair, simulated, socketPair, tcpPair } from "../support/pairs.ts"
import * as Peer from "../support/peer.ts"
import { leavingNothing } from "../support/resources.ts"
import { has } from "../support/tool.ts"

const utf8 = (text: string) => new TextEncoder().encode(text)

const all = <A, E, R, A2, E2, R2>(left: Effect.Effect<A, E, R>, right: Effect.Effect<A2, E2, R2>) =>
  Effect.all([left, right], { concurrency: "unbounded" })

const isPastCore = ({ unsafeHandle }: Transport.Transport) => driverOf(unsafeHandle as Socket)!.receiver !== undefined

describe.skipIf(!has("openssl"))("TLS (skipped: openssl is not installed)", () => {
  const authority = new Authority("authority")
  const localhost = authority.issue("localhost", ["DNS:localhost", "IP:127.0.0.1"])
  const serverContext = Effect.runSync(Tls.context({ identity: localhost }))
  const clientContext = Effect.runSync(Tls.context({ trustRoots: authority.root.certificate }))

  type ClientOptions = Partial<Tls.ClientOptions>
  type ServerOptions = Partial<Tls.ServerOptions>
  const client = (options: ClientOptions = {}) =>
    Tls.client({ serverName: "localhost", context: clientContext, lingerTimeout: 50, ...options })
  const server = (options: ServerOptions = {}) => Tls.server({ context: serverContext, lingerTimeout: 50, ...options })
  const memory = MemoryTransport.pair({ lingerTimeout: 0 })

  const joined = (clientOptions?: ClientOptions, serverOptions?: ServerOptions) =>
    Effect.flatMap(memory, ([left, right]) => all(client(clientOptions)(left), server(serverOptions)(right)))

  /** How the handshake ended at both sides, one of which fails. */
  const refused = (clientOptions?: ClientOptions, serverOptions?: ServerOptions) =>
    Effect.flatMap(memory, ([left, right]) =>
      all(
        Effect.either(Effect.asVoid(client(clientOptions)(left))),
        Effect.either(Effect.asVoid(server(serverOptions)(right)))
      )).pipe(
        Effect.map(([left, right]) => [left, right].map((either) => either._tag === "Left" ? either.left : undefined))
      )

  describe("carries", () => {
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      it.scopedLive(`bytes both ways, and half-closes, in ${version}`, () =>
        Effect.gen(function*() {
          const context = yield* Tls.context({ identity: localhost, maxVersion: version })
          const [client, server] = yield* joined({}, { context })
          assert.strictEqual(client.tls.protocol, version)
          yield* client.write(utf8("one "))
          yield* client.writeAll([utf8("two "), utf8("three")])
          yield* client.closeWrite
          assert.strictEqual((yield* Peer.readAll(server)).toString(), "one two three")
          yield* server.write(utf8("answer"))
          yield* server.closeWrite
          assert.strictEqual((yield* Peer.readAll(client)).toString(), "answer")
          const clean = { _tag: "Clean", firstEnded: "local", peerEnded: true, bytesRead: 6, bytesWritten: 13 } as const
          assert.deepStrictEqual(yield* client.closed, clean)
          assert.deepInclude(yield* server.closed, { _tag: "Clean", firstEnded: "peer", bytesWritten: 6 })
        }))
    }

    it.scopedLive("what was agreed on", () =>
      Effect.gen(function*() {
        const [client, server] = yield* joined({ alpn: ["h2", "imap"] }, { alpn: ["imap", "h2"] })
        const { peerCertificates: [own, ...issuers], ...agreed } = client.tls
        assert.deepInclude(agreed, {
          protocol: "TLSv1.3",
          cipher: "TLS_AES_256_GCM_SHA384",
          alpn: "imap",
          serverName: "localhost",
          authorized: true,
          authorizationError: undefined,
          resumed: false
        })
        assert.deepInclude(own, { subject: "CN=localhost", issuer: "CN=authority" })
        assert.deepStrictEqual(own!.names, ["DNS:localhost", "IP Address:127.0.0.1"])
        assert.isTrue(own!.validFrom < new Date() && new Date() < own!.validTo)
        assert.match(own!.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/)
        assert.deepStrictEqual(issuers, [])
        assert.deepInclude(server.tls, { alpn: "imap", serverName: "localhost", authorized: false })
        assert.deepStrictEqual(server.tls.peerCertificates, [])
        // Also beneath another layer.
        assert.strictEqual(Tls.info(yield* Throttle.make({ read: 1e9 })(client)), client.tls)
        assert.isUndefined(Tls.info((yield* memory)[0]))
      }))

    it.scopedLive("over TCP, and over the simulator", () =>
      Effect.gen(function*() {
        const transfer = (pair: readonly [Transport.Transport, Transport.Transport]) =>
          Effect.flatMap(all(client()(pair[0]), server()(pair[1])), ([left, right]) => Peer.echoes(left, right))
        yield* Effect.flatMap(tcpPair({}), transfer)
        yield* simulated(Effect.scoped(Effect.flatMap(simPair({}), transfer)))
      }))

    it.scopedLive("past the core of a socket, also what comes right behind the handshake", () =>
      Effect.gen(function*() {
        const [left, right] = yield* tcpPair({})
        // More than Node's TLS takes before anybody reads.
        const bytes = Peer.pattern(300_000)
        const [one, other] = yield* all(
          Effect.tap(client()(left), (one) => Effect.fork(one.write(bytes))),
          server()(right)
        )
        assert.isTrue(Buffer.from(yield* Transport.readExactly(other, bytes.length)).equals(bytes))
        assert.isTrue(isPastCore(right))
        yield* Peer.echoes(one, other)
      }))

    it.scopedLive("TLS over TLS", () =>
      Effect.gen(function*() {
        const [outer, inner] = yield* joined()
        const [left, right] = yield* all(client()(outer), server()(inner))
        yield* Peer.echoes(left, right)
        yield* all(left.close, right.close)
        assert.strictEqual((yield* right.closed)._tag, "Clean")
      }))

    it.scopedLive("whatever the carrier cuts it into", () =>
      Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair({ capacity: 7, maxChunkSize: 3, highWaterMark: 1 })
        const [one, other] = yield* all(client()(left), server()(right))
        yield* Effect.fork(other.forEach((chunk) => other.write(chunk)))
        yield* one.write(Peer.pattern(3000))
        assert.isTrue(Buffer.from(yield* Transport.readExactly(one, 3000)).equals(Peer.pattern(3000)))
      }))

    it.scopedLive("no more than the limits, when the peer does not read", () =>
      Effect.gen(function*() {
        const [one, other] = yield* joined()
        const writing = yield* Effect.fork(
          Effect.forever(Effect.tap(one.write(new Uint8Array(65536)), () => Effect.yieldNow()))
        )
        yield* Effect.repeat(Peer.turns(10), Schedule.recurs(20))
        assert.isTrue(one.stats().writersWaiting === 1)
        const { bytesWritten } = one.stats()
        yield* Effect.repeat(Peer.turns(10), Schedule.recurs(20))
        assert.strictEqual(one.stats().bytesWritten, bytesWritten)
        assert.isBelow(bytesWritten, 1024 * 1024)
        assert.strictEqual(other.stats().bytesRead, 0)
        yield* Fiber.interrupt(writing)
      }))
  })

  describe("refuses", () => {
    it.scopedLive("a certificate of nobody it trusts", () =>
      Effect.gen(function*() {
        const context = yield* Tls.context({ trustRoots: new Authority("another").root.certificate })
        const [rejected, reset] = yield* refused({ context })
        assert.deepInclude(rejected, { _tag: "CertificateRejected", code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" })
        assert.strictEqual(rejected?._tag === "CertificateRejected" && rejected.chain[0]?.subject, "CN=localhost")
        assert.match(rejected!.message, /certificate of CN=localhost is rejected \(UNABLE_TO_VERIFY/)
        // TLS 1.3: the server's handshake was over, or the connection ended in it.
        if (reset !== undefined) assert.strictEqual(reset._tag, "HandshakeFailed")
      }))

    it.scopedLive("by default what the roots of Node do not vouch for", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        const [rejected] = yield* all(
          Effect.flip(Tls.client({ serverName: "localhost" })(left)),
          Effect.exit(server()(right))
        )
        assert.deepInclude(rejected, { _tag: "CertificateRejected" })
      }))

    it.scopedLive("an expired certificate", () =>
      Effect.gen(function*() {
        const expired = authority.issue("localhost", ["DNS:localhost"], -1)
        const [rejected] = yield* refused({}, { context: yield* Tls.context({ identity: expired }) })
        assert.deepInclude(rejected, { _tag: "CertificateRejected", code: "CERT_HAS_EXPIRED" })
      }))

    it.scopedLive("a certificate for other names", () =>
      Effect.gen(function*() {
        const [wrong] = yield* refused({ serverName: "example.org" })
        assert.deepInclude(wrong, { _tag: "HostnameMismatch", serverName: "example.org" })
        assert.match(wrong!.message, /not for example.org, but for DNS:localhost, IP Address:127.0.0.1\.$/)
        assert.strictEqual((yield* refused({ serverName: "127.0.0.2" }))[0]?._tag, "HostnameMismatch")
        assert.deepStrictEqual(yield* refused({ serverName: "127.0.0.1" }), [undefined, undefined])
        assert.deepStrictEqual(yield* refused({ sendServerName: false }), [undefined, undefined])
        assert.isUndefined((yield* joined({ sendServerName: false }))[1].tls.serverName)
      }))

    it.scopedLive("a certificate that has its name in the CN only", () =>
      Effect.gen(function*() {
        for (const names of [[], ["IP:127.0.0.1"]]) {
          const context = yield* Tls.context({ identity: authority.issue("localhost", names) })
          const [error] = yield* refused({}, { context })
          const shown = names.map((name) => name.replace("IP", "IP Address"))
          assert.deepInclude(error, { _tag: "HostnameMismatch", serverName: "localhost", names: shown })
        }
      }))

    it.scopedLive("a certificate that has a part of a label as a wildcard", () =>
      Effect.gen(function*() {
        const names = ["f*.example.org", "*oo.example.org", "f*o.example.org", "*.example.net"]
        const identity = authority.issue("wildcards", names.map((name) => `DNS:${name}`))
        const context = yield* Tls.context({ identity })
        for (const serverName of ["foo.example.org", "f*.example.org", "foo.bar.example.net"]) {
          const [error] = yield* refused({ serverName }, { context })
          assert.deepInclude(error, { _tag: "HostnameMismatch", serverName })
        }
        assert.deepStrictEqual(yield* refused({ serverName: "foo.example.net" }, { context }), [undefined, undefined])
      }))

    it("application protocols that cannot be said", () => {
      // Node ends the process of a client that is given an empty one.
      for (const alpn of [[""], ["h2", ""], ["x".repeat(256)]]) {
        assert.throws(() => client({ alpn }), TypeError, /alpn/)
        assert.throws(() => server({ alpn }), TypeError, /alpn/)
      }
    })

    it.scopedLive("a session of another server, or of one that was not verified", () =>
      Effect.gen(function*() {
        const right = server()
        const met = (options: ClientOptions) =>
          Effect.gen(function*() {
            const pair = yield* memory
            // Without a name in the handshake, the server would resume any.
            const ours = client({ sendServerName: false, ...options })(pair[0])
            const [one, other] = yield* all(ours, Effect.either(right(pair[1])))
            // Its ticket has come with it.
            if (other._tag === "Right") yield* other.right.write(utf8("x"))
            yield* one.pull
            return one.tls
          })
        const session = (yield* met({})).session()!
        assert.isTrue((yield* met({ session })).resumed)
        assert.strictEqual((yield* Effect.flip(met({ session, serverName: "example.org" })))._tag, "HostnameMismatch")
        assert.isFalse((yield* met({ session: { ...session, authorized: false } })).resumed)
      }))

    it.scopedLive("versions that it does not speak", () =>
      Effect.gen(function*() {
        const old = yield* Tls.context({ trustRoots: authority.root.certificate, maxVersion: "TLSv1.2" })
        const context = yield* Tls.context({ identity: localhost, minVersion: "TLSv1.3" })
        const tags = (yield* refused({ context: old }, { context })).map((error) => error?._tag)
        assert.deepStrictEqual(tags, ["ProtocolVersion", "ProtocolVersion"])
      }))

    it.scopedLive("a peer without a protocol or a cipher in common, and the peer hears which alert", () =>
      Effect.gen(function*() {
        const [unprotocoled, server] = yield* refused({ alpn: ["a"] }, { alpn: ["b"] })
        assert.deepInclude(unprotocoled, { _tag: "HandshakeFailed", alert: "no_application_protocol" })
        assert.deepInclude(server, { _tag: "HandshakeFailed", alert: undefined })
        const ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"
        const few = yield* Tls.context({
          trustRoots: authority.root.certificate,
          maxVersion: "TLSv1.2",
          ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384"
        })
        const context = yield* Tls.context({ identity: localhost, ciphers })
        const [undeciphered] = yield* refused({ context: few }, { context })
        assert.deepInclude(undeciphered, { _tag: "HandshakeFailed", alert: "handshake_failure" })
        assert.match(
          undeciphered!.message,
          /^No TLS connection with .*broke the handshake off \(handshake_failure\)\.$/
        )
      }))

    it.scopedLive("clients without a certificate, or with a wrong one, where one is required", () =>
      Effect.gen(function*() {
        const context = yield* Tls.context({ identity: localhost, trustRoots: authority.root.certificate })
        const options: ServerOptions = { context, clientCertificate: "required" }
        const [, without] = yield* refused({}, options)
        assert.deepInclude(without, {
          _tag: "CertificateRejected",
          code: "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"
        })
        const stranger = yield* Tls.context({
          identity: new Authority("another").issue("stranger"),
          trustRoots: authority.root.certificate
        })
        const [, wrong] = yield* refused({ context: stranger }, options)
        assert.deepInclude(wrong, { _tag: "CertificateRejected", code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" })
        // Asked for only, it is seen not to be authorised.
        const [one, asked] = yield* joined({ context: stranger }, { context, clientCertificate: "requested" })
        assert.deepInclude(asked.tls, {
          authorized: false,
          authorizationError: "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
        })
        assert.strictEqual(asked.tls.peerCertificates[0]?.subject, "CN=stranger")
        yield* Peer.echoes(one, asked)
      }))

    it.scopedLive("tells a client of version 1.3 that its certificate is required", () =>
      Effect.gen(function*() {
        const context = yield* Tls.context({ identity: localhost, trustRoots: authority.root.certificate })
        // Over TCP: Node sends the alert only if the carrier has taken what came before.
        const [left, right] = yield* tcpPair({})
        const [one] = yield* all(
          client()(left),
          Effect.exit(server({ context, clientCertificate: "required" })(right))
        )
        // Its own handshake was over before.
        assert.deepInclude(yield* Effect.flip(one.pull), { _tag: "TlsFailed", alert: "certificate_required" })
        assert.strictEqual((yield* one.closed)._tag, "Lost")
      }))
  })

  describe("takes", () => {
    it.scopedLive("a client's certificate", () =>
      Effect.gen(function*() {
        const trustRoots = authority.root.certificate
        const [one, other] = yield* joined(
          { context: yield* Tls.context({ identity: authority.issue("somebody"), trustRoots }) },
          { context: yield* Tls.context({ identity: localhost, trustRoots }), clientCertificate: "required" }
        )
        assert.deepInclude(other.tls, { authorized: true, authorizationError: undefined })
        assert.strictEqual(other.tls.peerCertificates[0]?.subject, "CN=somebody")
        yield* Peer.echoes(one, other)
      }))

    it.scopedLive("anybody, if that is said", () =>
      Effect.gen(function*() {
        const context = yield* Tls.context({})
        const [one] = yield* joined({ context, serverName: false, unsafeNoVerification: true })
        assert.deepInclude(one.tls, { authorized: false, authorizationError: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" })
        assert.throws(() => Tls.client({ serverName: false }), TypeError)
      }))

    it.scopedLive("the certificate of the name that the client asks for", () =>
      Effect.gen(function*() {
        const names = ["a.example", "b.example"]
        const contexts = new Map(
          yield* Effect.forEach(names, (name) =>
            Effect.map(Tls.context({ identity: authority.issue(name, [`DNS:${name}`]) }), (made) =>
              [name, made] as const))
        )
        const serverNames = (name: string) =>
          Effect.delay(
            Effect.sync(() =>
              contexts.get(name)
            ),
            1
          )
        for (const serverName of [...names, "localhost"]) {
          const [one, other] = yield* joined({ serverName }, { serverNames })
          assert.strictEqual(one.tls.peerCertificates[0]?.subject, `CN=${serverName}`)
          assert.strictEqual(other.tls.serverName, serverName)
        }
        // A failure of the choice is one of the handshake.
        const why = new Error("no")
        const [, failed] = yield* refused({}, { serverNames: () => Effect.die(why) })
        assert.strictEqual(failed?._tag, "HandshakeFailed")
        assert.match(failed!.message, /: the handshake failed: serverNames did not answer\.$/)
        assert.strictEqual(((failed as Tls.HandshakeFailed).cause as Error).cause, why)
        let interrupted = 0
        const never = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
        const [, late] = yield* refused({}, { serverNames: () => never, timeout: 50 })
        assert.include(["ConnectTimeout", "HandshakeFailed"], late?._tag)
        yield* Peer.eventually(() => interrupted === 1)
      }))

    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      it.scopedLive(`a session up again, in ${maxVersion}`, () =>
        Effect.gen(function*() {
          const context = yield* Tls.context({ identity: localhost, maxVersion })
          const [left, right] = [client(), server({ context })]
          const pair = yield* memory
          const [one, other] = yield* all(left(pair[0]), right(pair[1]))
          yield* other.write(utf8("x"))
          yield* one.pull
          assert.isFalse(one.tls.resumed)
          const session = one.tls.session()!
          yield* all(one.close, other.close)
          const again = yield* memory
          const [resumed, there] = yield* all(client({ session })(again[0]), right(again[1]))
          assert.deepInclude(resumed.tls, { resumed: true, authorized: true })
          assert.isTrue(there.tls.resumed)
          yield* Peer.echoes(resumed, there)
        }))
    }

    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const trustRoots = authority.root.certificate

      /** Two connections with the same server; the second one offers the session of the first. */
      const twice = (options: ServerOptions, first: string, second: string) =>
        Effect.gen(function*() {
          const context = yield* Tls.context({ identity: authority.issue("somebody"), trustRoots })
          const right = server({
            context: yield* Tls.context({ identity: localhost, trustRoots, maxVersion }),
            clientCertificate: "required",
            ...options
          })
          const pair = yield* memory
          const [one, other] = yield* all(client({ context, serverName: first })(pair[0]), right(pair[1]))
          yield* other.write(utf8("x"))
          yield* one.pull
          const session = { ...one.tls.session()!, serverName: second }
          yield* all(one.close, other.close)
          const again = yield* memory
          return yield* all(
            Effect.either(
              client({ context, serverName: second, session, unsafeNoVerification: first !== second })(again[0])
            ),
            Effect.either(right(again[1]))
          )
        })

      it.scopedLive(`a client's session up again, and knows whose it is, in ${maxVersion}`, () =>
        Effect.gen(function*() {
          const [, other] = yield* twice({}, "localhost", "localhost")
          assert.isTrue(Either.isRight(other))
          const { tls } = Either.getOrThrow(other)
          assert.deepInclude(tls, { resumed: true, authorized: true })
          assert.strictEqual(tls.peerCertificates[0]?.subject, "CN=somebody")
        }))

      it.scopedLive(`no session of one name for another one, which trusts others, in ${maxVersion}`, () =>
        Effect.gen(function*() {
          const others = new Authority("others")
          const identity = authority.issue("inner", ["DNS:inner.example"])
          const inner = yield* Tls.context({ identity, trustRoots: others.root.certificate, maxVersion })
          const serverNames = (name: string) => Effect.succeed(name === "inner.example" ? inner : undefined)
          const [, refusal] = yield* twice({ serverNames }, "localhost", "inner.example")
          assert.strictEqual(Either.isLeft(refusal) && refusal.left._tag, "CertificateRejected")
          const [, other] = yield* twice({ serverNames }, "localhost", "localhost")
          assert.deepInclude(Either.getOrThrow(other).tls, { resumed: false, serverName: "localhost" })
        }))
    }

    it.scopedLive("a name with a final dot, and one that is not ASCII", () =>
      Effect.gen(function*() {
        const [one, other] = yield* joined({ serverName: "localhost." })
        assert.deepInclude(one.tls, { authorized: true, serverName: "localhost" })
        assert.strictEqual(other.tls.serverName, "localhost")
        const context = yield* Tls.context({ identity: authority.issue("books", ["DNS:xn--bcher-kva.example"]) })
        const [, there] = yield* joined({ serverName: "bücher.example" }, { context })
        assert.strictEqual(there.tls.serverName, "xn--bcher-kva.example")
        const [error] = yield* refused({ serverName: "bûcher.example" }, { context })
        assert.deepInclude(error, { _tag: "HostnameMismatch", serverName: "bûcher.example" })
      }))

    it.scopedLive(
      "keys that are replaced 100 times under load, with no failed handshake",
      () =>
        Effect.gen(function*() {
          const contexts = yield* Effect.forEach(
            [localhost, authority.issue("replaced", ["DNS:localhost"])],
            (identity) => Tls.context({ identity })
          )
          const current = yield* Ref.make(contexts[0]!)
          const tls = server({ context: current })
          const subjects = new Set<string>()
          let handshakes = 0
          const once = Effect.scoped(Effect.gen(function*() {
            const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
            const [one, other] = yield* all(client()(left), tls(right))
            handshakes++
            subjects.add(one.tls.peerCertificates[0]!.subject)
            yield* other.write(utf8("x"))
            assert.strictEqual((yield* one.pull)!.length, 1)
            yield* all(one.close, other.close)
          }))
          const [kept, there] = yield* Effect.flatMap(memory, ([left, right]) => all(client()(left), tls(right)))
          const load = yield* Effect.fork(Effect.all([1, 2, 3].map(() => Effect.forever(once)), { concurrency: 3 }))
          for (let index = 1; index <= 100; index++) {
            const before = handshakes
            yield* Ref.set(current, contexts[index % 2]!)
            yield* Peer.eventually(() => handshakes > before || load.unsafePoll() !== null)
          }
          assert.isNull(load.unsafePoll())
          yield* Fiber.interrupt(load)
          assert.strictEqual(subjects.size, 2)
          yield* Peer.echoes(kept, there)
        }),
      20_000
    )
  })

  describe("upgrades in the middle of a connection", () => {
    it.scopedLive("with bytes of TLS already read", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        yield* left.write(utf8("STARTTLS\r\n"))
        const secured = yield* Effect.fork(client()(left))
        // The command and the first bytes of the handshake, together.
        yield* Peer.eventually(() => left.stats().bytesWritten > 10)
        const first = yield* Transport.readExactly(right, 20)
        assert.strictEqual(Buffer.from(first.subarray(0, 10)).toString(), "STARTTLS\r\n")
        yield* right.unread(first.subarray(10))
        const other = yield* server()(right)
        yield* Peer.echoes(yield* Fiber.join(secured), other)
      }))
  })

  describe("goes back to clear text", () => {
    /** Once it is gated, what comes in is given as one chunk when the gate is opened. */
    const gated = (transport: Transport.Transport) => {
      const gate = Effect.unsafeMakeLatch(true)
      const rest: Effect.Effect<Uint8Array | null, ConnectionLost> = Effect.flatMap(
        transport.pull,
        (chunk) =>
          chunk === null || transport.stats().unread === 0
            ? Effect.succeed(chunk)
            : Effect.map(rest, (more) => Buffer.concat([chunk, more ?? new Uint8Array(0)]))
      )
      return { gate, transport: NetworkLayer.derive(transport, { pull: Effect.zipRight(gate.await, rest) }) }
    }

    it.scopedLive("not, when that is interrupted: a close ends what it lies on as well", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        const [one] = yield* all(client()(left), server()(right))
        // The peer does not answer.
        const unwrapping = yield* Effect.fork(one.unwrap)
        yield* settle
        yield* Fiber.interrupt(unwrapping)
        yield* one.close
        assert.strictEqual((yield* left.closed)._tag, "Clean")
      }))

    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      it.scopedLive(`with what the peer has sent behind its close_notify, in ${maxVersion}`, () =>
        Effect.gen(function*() {
          const [left, right] = yield* memory
          const context = yield* Tls.context({ identity: localhost, maxVersion })
          const { gate, transport } = gated(left)
          const [one, other] = yield* all(client()(transport), server({ context })(right))
          yield* gate.close
          // One pull had begun.
          yield* other.write(utf8("-"))
          assert.strictEqual((yield* one.pull)!.length, 1)
          yield* other.writeAll([utf8("the last "), utf8("of it")])
          const back = yield* Effect.fork(other.unwrap)
          const notified = right.stats().bytesWritten
          yield* Peer.eventually(() => right.stats().bytesWritten > notified)
          yield* Peer.turns(5)
          yield* right.write(utf8("in clear"))
          yield* right.flush
          yield* Peer.turns(5)
          yield* gate.open
          assert.strictEqual((yield* Peer.readAll(one)).toString(), "the last of it")
          const [ours, theirs] = yield* all(one.unwrap, Fiber.join(back))
          assert.strictEqual(Buffer.from(yield* Transport.readExactly(ours, 8)).toString(), "in clear")
          yield* ours.write(utf8("answer"))
          assert.strictEqual(Buffer.from(yield* Transport.readExactly(theirs, 6)).toString(), "answer")
          assert.strictEqual((yield* one.closed)._tag, "Clean")
          // And up again.
          const [again, there] = yield* all(client()(ours), server()(theirs))
          yield* Peer.echoes(again, there)
        }))
    }

    it.scopedLive("over sockets, past their core, whose counters count all of TLS, as often as is wanted", () =>
      Effect.gen(function*() {
        const [left, right] = yield* tcpPair({})
        for (const size of [1, 300_000]) {
          const [one, other] = yield* all(client()(left), server()(right))
          const before = right.stats().bytesRead
          yield* one.write(new Uint8Array(size))
          assert.strictEqual((yield* Transport.readExactly(other, size)).length, size)
          assert.isAtLeast(right.stats().bytesRead - before, size + 17)
          assert.isTrue(isPastCore(right))
          const back = yield* Effect.fork(one.unwrap)
          const theirs = yield* other.unwrap
          assert.isFalse(isPastCore(right))
          yield* theirs.write(utf8("in clear"))
          assert.strictEqual(
            Buffer.from(yield* Transport.readExactly(yield* Fiber.join(back), 8)).toString(),
            "in clear"
          )
        }
        assert.strictEqual(left.stats().bytesWritten, right.stats().bytesRead)
        assert.strictEqual(right.stats().bytesWritten, left.stats().bytesRead)
      }))

    it.scopedLive("fails when the peer only drops the connection", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        const [one] = yield* all(client()(left), server()(right))
        yield* right.closeWrite
        assert.strictEqual((yield* Effect.flip(one.unwrap))._tag, "TlsTruncated")
      }))
  })

  describe("tells", () => {
    it.scopedLive("a truncation from an end, after what came before it", () =>
      Effect.gen(function*() {
        for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
          const [left, right] = yield* memory
          const context = yield* Tls.context({ identity: localhost, maxVersion: version })
          const [one, other] = yield* all(client()(left), server({ context })(right))
          yield* other.write(utf8("half of it"))
          yield* other.flush
          // Beneath TLS, as somebody in between would.
          yield* right.closeWrite
          assert.strictEqual(Buffer.from((yield* one.pull)!).toString(), "half of it")
          const truncated = yield* Effect.flip(one.pull)
          assert.deepInclude(truncated, { _tag: "TlsTruncated", bytesRead: 10 })
          assert.match(truncated.message, /cut off after 10 bytes read/)
          assert.strictEqual(yield* Effect.flip(one.write(utf8("x"))), truncated)
          assert.deepStrictEqual(yield* one.closed, { _tag: "Lost", error: truncated })
          yield* other.abort
        }
      }))

    it.scopedLive("no truncation once this side closes: then a peer may just leave", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        let cut = false
        // The close_notify of this one gets lost, the end of the carrier does not.
        const lossy = NetworkLayer.derive(right, {
          writeAll: (chunks) => Effect.suspend(() => cut ? Effect.void : right.writeAll(chunks))
        })
        const ends = () => Effect.tap(all(client()(left), server()(lossy)), () => Effect.sync(() => (cut = true)))
        const [one, other] = yield* ends()
        yield* all(one.close, other.close)
        assert.deepInclude(yield* one.closed, { _tag: "Clean", firstEnded: "local", peerEnded: true })
      }))

    for (
      const { at, data, version, victim } of [
        { victim: "server", version: "TLSv1.3", at: 2, data: false },
        { victim: "server", version: "TLSv1.3", at: 2, data: true },
        { victim: "server", version: "TLSv1.2", at: 2, data: false },
        { victim: "client", version: "TLSv1.3", at: 1, data: false },
        { victim: "client", version: "TLSv1.2", at: 2, data: false },
        { victim: "client", version: "TLSv1.2", at: 2, data: true }
      ] as const
    ) {
      const what = data ? "and what came before it" : "and nothing before it"
      it.scopedLive(`garbage that comes to the ${victim} with the end of the handshake, ${what} (${version})`, () =>
        Effect.gen(function*() {
          const [left, towardsClient] = yield* memory
          const [towardsServer, right] = yield* memory
          const [intact, spoiled] = victim === "server"
            ? [[towardsServer, towardsClient], [towardsClient, towardsServer]] as const
            : [[towardsClient, towardsServer], [towardsServer, towardsClient]] as const
          let chunks = 0
          const held: Array<Uint8Array> = []
          const spoil = Effect.suspend(() =>
            spoiled[1].write(Buffer.concat([...held, Buffer.from([23, 3, 3, 0, 30]), Buffer.alloc(30)]))
          )
          yield* Effect.fork(intact[0].forEach(intact[1].write))
          yield* Effect.fork(spoiled[0].forEach((chunk) => {
            if (++chunks < at) return spoiled[1].write(chunk)
            held.push(chunk)
            return data ? Effect.void : spoil
          }))
          const context = yield* Tls.context({ identity: localhost, maxVersion: version })
          const from = victim === "server" ? client()(left) : server({ context })(right)
          const writing = Effect.flatMap(from, ({ flush, write }) => Effect.zipRight(write(utf8("before it")), flush))
          yield* Effect.forkScoped(
            Effect.ignore(data ? Effect.zipRight(writing, Effect.zipRight(settle, spoil)) : Effect.asVoid(from))
          )
          const secured = yield* victim === "server" ? server({ context })(right) : client()(left)
          if (data) assert.strictEqual(Buffer.from((yield* secured.pull)!).toString(), "before it")
          assert.deepInclude(yield* Effect.flip(secured.pull), { _tag: "TlsFailed" })
        }))
    }

    it.scopedLive("garbage after the handshake", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        const [one] = yield* all(client()(left), server()(right))
        yield* right.write(utf8("HTTP/1.1 400 Bad Request\r\n\r\n"))
        const failed = yield* Effect.flip(one.pull)
        assert.deepInclude(failed, { _tag: "TlsFailed", alert: undefined })
        assert.strictEqual((yield* left.closed)._tag, "Lost")
      }))

    it.scopedLive("garbage after its own end", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        const [one] = yield* all(client()(left), server()(right))
        yield* one.closeWrite
        yield* right.write(utf8("HTTP/1.1 400 Bad Request\r\n\r\n"))
        assert.strictEqual((yield* Effect.flip(one.pull))._tag, "TlsFailed")
      }))

    it.scopedLive("a reset of the carrier", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        const [one, other] = yield* all(client()(left), server()(right))
        yield* other.write(utf8("before"))
        yield* other.flush
        yield* Peer.turns(5)
        const writing = yield* Effect.fork(Effect.flip(Effect.forever(one.write(new Uint8Array(65536)))))
        yield* Peer.eventually(() => one.stats().writersWaiting === 1)
        yield* right.abort
        assert.strictEqual((yield* Fiber.join(writing))._tag, "ConnectionReset")
        assert.strictEqual((yield* one.closed)._tag, "Lost")
      }))

    // Node reads on for a socket that is not of this library, until its buffer is full.
    it.scopedLive("the end of a peer that is gone before this side reads, after all that it has said", () =>
      Effect.gen(function*() {
        const [left, right] = yield* socketPair({ lingerTimeout: 0 })
        const [one, other] = yield* all(client()(left), server()(right))
        const bytes = Peer.pattern(50_000)
        yield* one.write(bytes)
        yield* one.closeWrite
        yield* Peer.eventually(() => right.stats().peerEnded)
        assert.isTrue(bytes.equals(yield* Peer.readAll(other)))
      }))

    it.scopedLive("a reset of a socket, after every record that had come before it", () =>
      Effect.gen(function*() {
        const [left, right] = yield* tcpPair({ lingerTimeout: 0 })
        const [one, other] = yield* all(client()(left), server()(right))
        const before = right.stats().bytesRead
        const writing = yield* Effect.fork(Effect.flip(Effect.forever(one.write(new Uint8Array(65536)))))
        yield* Peer.eventually(() => one.stats().writersWaiting === 1)
        // It reads no more.
        yield* Peer.turns(20)
        yield* left.abort
        yield* Fiber.join(writing)
        // A socket that does not read hears of the reset when it writes.
        yield* Effect.flip(Effect.forever(Effect.zipRight(other.write(new Uint8Array(1)), Peer.turns(1))))
        let bytesRead = 0
        const pulled = Effect.map(other.pull, (chunk) => (bytesRead += chunk!.length))
        assert.strictEqual((yield* Effect.flip(Effect.forever(pulled)))._tag, "ConnectionReset")
        // The last one was not there as a whole.
        assert.isAbove(bytesRead, (right.stats().bytesRead - before) * 0.99 - 16384)
      }))

    it.scopedLive("that somebody closed the carrier beneath it", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        const [one] = yield* all(client()(left), server()(right))
        const pulling = yield* Effect.fork(Effect.flip(one.pull))
        yield* Peer.turns(2)
        yield* left.close
        assert.strictEqual((yield* Fiber.join(pulling))._tag, "ConnectionClosed")
      }))
  })

  describe("gives up a handshake, and leaves nothing,", () => {
    const abandoned = <E>(
      end: (left: Transport.Transport, right: Transport.Transport) => Effect.Effect<E, unknown, Scope.Scope>,
      side: "client" | "server" = "client"
    ) =>
      Effect.gen(function*() {
        const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
        const begun = side === "client"
          ? client({ timeout: "1 seconds" })(left)
          : server({ timeout: "1 seconds" })(left)
        const [exit] = yield* all(Effect.flip(Effect.scoped(Effect.asVoid(begun))), Effect.exit(end(left, right)))
        assert.isTrue((yield* Effect.timeoutOption(left.closed, "5 seconds"))._tag === "Some")
        return exit
      }).pipe(Effect.scoped, leavingNothing)

    for (const side of ["client", "server"] as const) {
      it.live(`when the peer of a ${side} says nothing`, () =>
        Effect.gen(function*() {
          const error = yield* abandoned((_, right) => right.pull, side)
          assert.deepInclude(error, { _tag: "ConnectTimeout", phase: "handshake" })
          assert.match(error.message, /the handshake took too long/)
        }))

      it.live(`when the peer of a ${side} ends`, () =>
        Effect.gen(function*() {
          const error = yield* abandoned((_, right) => right.closeWrite, side)
          assert.deepInclude(error, { _tag: "HandshakeFailed", alert: undefined, code: "ECONNRESET" })
        }))

      it.live(`when the peer of a ${side} resets`, () =>
        Effect.gen(function*() {
          assert.strictEqual((yield* abandoned((_, right) => right.abort, side))._tag, "ConnectionReset")
        }))

      it.live(`when the peer of a ${side} speaks something else`, () =>
        Effect.gen(function*() {
          const error = yield* abandoned(
            (_, right) => Effect.zipRight(right.write(utf8("220 mail.example.org ESMTP\r\n")), right.closeWrite),
            side
          )
          assert.deepInclude(error, { _tag: "HandshakeFailed", code: "ERR_SSL_WRONG_VERSION_NUMBER" })
          assert.match(
            error.message,
            /: the handshake failed \(ERR_SSL_WRONG_VERSION_NUMBER\): wrong version number\.$/
          )
        }))

      it.live(`when the peer of a ${side} stops in the middle of a record`, () =>
        Effect.gen(function*() {
          const error = yield* abandoned((_, right) => right.write(new Uint8Array([22, 3, 1, 2, 0, 1, 0])), side)
          assert.strictEqual(error._tag, "ConnectTimeout")
        }))
    }

    it.live("when this side's writing had ended before", () =>
      Effect.gen(function*() {
        const [left] = yield* memory
        yield* left.closeWrite
        assert.deepInclude(yield* Effect.flip(client()(left)), { _tag: "HandshakeFailed", code: "EPIPE" })
      }).pipe(Effect.scoped, leavingNothing))

    it.live("when it is interrupted", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        const begun = yield* Effect.fork(Effect.scoped(client()(left)))
        yield* right.pull
        yield* Fiber.interrupt(begun)
        const reason = yield* left.closed
        assert.isTrue(reason._tag === "Lost" && reason.error._tag === "ConnectionAborted")
      }).pipe(Effect.scoped, leavingNothing))

    it.scoped("at its deadline by the Clock, also where nothing can be interrupted", () =>
      Effect.gen(function*() {
        const [left] = yield* memory
        const begun = yield* Effect.fork(Effect.flip(Effect.uninterruptible(client()(left))))
        yield* TestClock.adjust("9999 millis")
        assert.isNull(begun.unsafePoll())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* Fiber.join(begun))._tag, "ConnectTimeout")
      }))
  })

  describe("reads keys", () => {
    it.effect("from files and from the settings, and says what is wrong with them", () =>
      Effect.gen(function*() {
        const fromFiles = yield* Tls.identityFromFiles(localhost.files)
        yield* Tls.context({ identity: fromFiles })
        const settings = new Map([["TLS.CERTIFICATE", localhost.certificate], [
          "TLS.PRIVATE_KEY",
          localhost.privateKey
        ]])
        const identity = yield* Tls.identityFromConfig.pipe(
          Effect.withConfigProvider(ConfigProvider.nested(ConfigProvider.fromMap(settings), "TLS"))
        )
        assert.isTrue(Redacted.isRedacted(identity.privateKey))
        yield* Tls.context({ identity })
        const missing = yield* Effect.flip(Tls.identityFromFiles({ certificate: "/none", privateKey: "/none" }))
        assert.deepInclude(missing, { _tag: "InvalidCredentials", part: "certificate", code: "ENOENT" })
        assert.strictEqual(missing.message, "The certificate for TLS does not exist.")
        const encrypted = createPrivateKey(localhost.privateKey).export({
          type: "pkcs8",
          format: "pem",
          cipher: "aes-256-cbc",
          passphrase: "secret"
        })
        const locked = { certificate: localhost.certificate, privateKey: Buffer.from(encrypted) }
        yield* Tls.context({ identity: { ...locked, passphrase: Redacted.make("secret") } })
        const { certificate, privateKey } = localhost
        const ofAnotherKind = generateKeyPairSync("ed25519").privateKey.export({
          type: "pkcs8",
          format: "pem"
        }) as string
        const notPem = "in PEM, which begins with -----BEGIN"
        const wrong: ReadonlyArray<readonly [Tls.ContextOptions, message: string]> = [
          [
            { identity: { certificate: privateKey, privateKey } },
            `The certificate for TLS is no certificate ${notPem} CERTIFICATE-----.`
          ],
          [
            { identity: { certificate, privateKey: certificate } },
            `The private key for TLS is no private key ${notPem} PRIVATE KEY-----.`
          ],
          [
            { identity: { certificate, privateKey: authority.root.privateKey } },
            "The private key for TLS does not belong to the certificate."
          ],
          [
            { identity: { certificate, privateKey: ofAnotherKind } },
            "The private key for TLS does not belong to the certificate."
          ],
          [{ identity: locked }, "The private key for TLS is encrypted, and needs its passphrase."],
          [
            { identity: { ...locked, passphrase: "another" } },
            "The private key for TLS is encrypted, and needs its passphrase."
          ],
          [{ trustRoots: "nonsense" }, `A trust root for TLS is no certificate ${notPem} CERTIFICATE-----.`],
          [
            { trustRoots: [certificate, privateKey] },
            `A trust root for TLS is no certificate ${notPem} CERTIFICATE-----.`
          ],
          // Of which OpenSSL would make no trust at all.
          [
            { trustRoots: new X509Certificate(certificate).raw },
            `A trust root for TLS is no certificate ${notPem} CERTIFICATE-----.`
          ],
          [
            { ciphers: "ROT13" },
            "The list of ciphers for TLS has no cipher that OpenSSL knows, see openssl-ciphers(1)."
          ]
        ]
        for (const [options, message] of wrong) {
          const error = yield* Effect.flip(Tls.context(options))
          assert.deepInclude(error, { _tag: "InvalidCredentials", message })
          assert.isDefined(error.code)
        }
        const broken = certificate.replace(/[^]{64}(?=\n-----END)/, "")
        const unread = yield* Effect.flip(Tls.context({ identity: { certificate: broken, privateKey } }))
        assert.match(unread.message, /^The certificate for TLS cannot be used: error:.+/)
        const second = yield* Effect.flip(Tls.context({ trustRoots: `${certificate}${broken}${certificate}` }))
        assert.match(second.message, /^A trust root for TLS cannot be used: error:.+/)
        const cut = `${certificate}${certificate.slice(0, 200)}`
        assert.deepInclude(yield* Effect.flip(Tls.context({ trustRoots: cut })), { part: "trustRoots" })
        assert.deepInclude(yield* Effect.flip(Tls.trustRootsFromFile("/")), { part: "trustRoots", code: "EISDIR" })
        const roots = yield* Tls.trustRootsFromFile(localhost.files.certificate)
        assert.strictEqual(Buffer.from(roots).toString(), localhost.certificate)
      }))

    it.live("fails the handshake with what its context failed with, and dies of a server without an identity", () =>
      Effect.gen(function*() {
        const [left, right] = yield* memory
        const context = Tls.context({ trustRoots: "nonsense" })
        const error = yield* Effect.flip(Tls.client({ serverName: "localhost", context })(left))
        assert.strictEqual(error._tag, "InvalidCredentials")
        const exit = yield* Effect.exit(server({ context: clientContext })(right))
        assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof TypeError)
      }).pipe(Effect.scoped, leavingNothing))
  })
})
