import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync, writeFileSync } from "node:fs"
import * as Address from "../../src/Address.ts"
import * as ProxyHeader from "../../src/framing/ProxyHeader.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as Unix from "../../src/node/Unix.ts"
import * as ProxyProtocol from "../../src/server/ProxyProtocol.ts"
import type { Transport } from "../../src/Transport.ts"
import { ascii, text } from "../support/bytes.ts"
import { encoded } from "../support/decoding.ts"
import * as Haproxy from "../support/haproxy.ts"
import { freePort } from "../support/page.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

/** haproxy between two UNIX-domain sockets, or those that `bind` says: its end of the client, and a listener as its server. */
const haproxy = (options: {
  readonly bind?: (directory: string) => string
  readonly accept?: string
  readonly send?: string
  readonly more?: string
}) =>
  Effect.gen(function*() {
    const directory = yield* Peer.directory
    const listener = yield* Unix.listen(Address.unix(`${directory}/server`))
    const bind = options.bind?.(directory) ?? `unix@${directory}/front`
    yield* Haproxy.start(directory, {
      bind: `${bind} ${options.accept ?? ""}`,
      server: `unix@${directory}/server ${options.send ?? ""}`,
      more: options.more
    })
    return { front: Address.unix(`${directory}/front`), listener, directory }
  })

const trusting = ProxyProtocol.read({ trusted: ["unix"] })

/** The server's end of a connection through haproxy, with bytes that follow the header, in both directions. */
const talk = (client: Transport, server: ProxyProtocol.ProxiedTransport<unknown>) =>
  Effect.gen(function*() {
    yield* client.write(ascii("question"))
    assert.strictEqual(text((yield* server.pull)!), "question")
    yield* server.write(ascii("answer"))
    assert.strictEqual(text((yield* client.pull)!), "answer")
    yield* client.closeWrite
    assert.isNull(yield* server.pull)
    yield* server.close
    yield* client.close
  })

const pairs = [
  ["IPv4", Address.tcp("203.0.113.7", 40000), Address.tcp("198.51.100.1", 443)],
  ["IPv6", Address.tcp("2001:db8::7", 40000), Address.tcp("2001:db8:ffff::1", 65535)]
] as const

describe.skipIf(!has("haproxy"))("through haproxy (skipped: haproxy is not installed)", () => {
  for (const [name, source, destination] of pairs) {
    for (const written of [1, 2] as const) {
      for (const sent of [1, 2] as const) {
        it.scopedLive(`${name} addresses go as version ${written} and come as version ${sent}`, () =>
          Effect.gen(function*() {
            const send = sent === 1 ? "send-proxy" : "send-proxy-v2"
            const { front, listener } = yield* haproxy({ accept: "accept-proxy", send })
            const accepted = { remoteAddress: source, localAddress: destination }
            const write = ProxyProtocol.write({ version: written, client: accepted })
            const client = yield* Effect.flatMap(Unix.connect(front), write)
            const server = yield* Effect.flatMap(listener.accept, trusting)
            assert.deepStrictEqual(server.remoteAddress, source)
            assert.deepStrictEqual(server.localAddress, destination)
            assert.deepStrictEqual(server.proxyHeader, {
              _tag: "Proxied",
              version: sent,
              socket: "stream",
              source,
              destination,
              extensions: []
            })
            yield* talk(client, server)
          }))
      }
    }
  }

  it.scopedLive("the extensions that it has are read, its checksum is right, and ours is", () =>
    Effect.gen(function*() {
      const { front, listener } = yield* haproxy({
        accept: "accept-proxy",
        more: "unique-id-format %{+X}o\\ %ci:%cp",
        send: "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"
      })
      const extensions: ReadonlyArray<ProxyHeader.Extension> = [
        { _tag: "Padding", length: 5 },
        { _tag: "Authority", name: "example.org" },
        { _tag: "Other", type: 0xea, value: ascii("vpce-1") },
        { _tag: "Checksum" }
      ]
      const [, source, destination] = pairs[0]
      const write = ProxyProtocol.write({ client: { remoteAddress: source, localAddress: destination }, extensions })
      const client = yield* Effect.flatMap(Unix.connect(front), write)
      const read = ProxyProtocol.read({ trusted: ["unix"], versions: [2], checksum: "required" })
      const server = yield* Effect.flatMap(listener.accept, read)
      const by = <Tag extends ProxyHeader.Extension["_tag"]>(tag: Tag) =>
        server.proxyHeader!.extensions.find((extension) => extension._tag === tag) as
          | Extract<ProxyHeader.Extension, { readonly _tag: Tag }>
          | undefined
      assert.strictEqual(by("Authority")?.name, "example.org")
      assert.isDefined(by("Checksum"))
      assert.strictEqual(text(by("UniqueId")!.id), "CB007107:9C40")
      yield* talk(client, server)
    }))

  it.scopedLive("it refuses a header with a wrong checksum", () =>
    Effect.gen(function*() {
      const { front } = yield* haproxy({ accept: "accept-proxy" })
      const peer = yield* Peer.connect(front)
      const [, source, destination] = pairs[0]
      const header = ProxyHeader.make({ version: 2, source, destination, extensions: [{ _tag: "Checksum" }] })
      const wire = encoded(ProxyHeader.codec(), header)
      wire[wire.length - 1]! ^= 1
      yield* peer.write(wire)
      yield* peer.readAll()
      assert.isTrue(peer.ended || peer.code === "ECONNRESET")
    }))

  it.scopedLive("it refuses a client without one, and so do we behind it", () =>
    Effect.gen(function*() {
      const accepting = yield* haproxy({ accept: "accept-proxy" })
      const peer = yield* Peer.connect(accepting.front)
      yield* peer.write("GET / HTTP/1.1\r\n\r\n")
      yield* peer.readAll()
      assert.isTrue(peer.ended || peer.code === "ECONNRESET")

      const silent = yield* haproxy({})
      const other = yield* Peer.connect(silent.front)
      yield* other.write("GET / HTTP/1.1\r\n\r\n")
      const error = yield* Effect.flip(Effect.flatMap(silent.listener.accept, trusting))
      assert.strictEqual(error._tag, "ProxyHeaderInvalid")
    }))

  it.scopedLive("a client on a UNIX-domain socket", () =>
    Effect.gen(function*() {
      for (const [send, version] of [["send-proxy", 1], ["send-proxy-v2", 2]] as const) {
        const { front, listener } = yield* haproxy({ send })
        const client = yield* Unix.connect(front)
        const server = yield* Effect.flatMap(listener.accept, trusting)
        const header = server.proxyHeader!
        assert.strictEqual(header.version, version)
        if (header._tag === "Proxied") assert.strictEqual(header.source._tag, "UnixAddress")
        yield* talk(client, server)
      }
    }))

  it.scopedLive("a client over TCP", () =>
    Effect.gen(function*() {
      const port = yield* freePort // haproxy does not tell which one it has bound
      const { listener } = yield* haproxy({ bind: () => `127.0.0.1:${port}`, send: "send-proxy-v2" })
      const client = yield* Tcp.connect(Address.tcp("127.0.0.1", port))
      const server = yield* Effect.flatMap(listener.accept, trusting)
      assert.deepStrictEqual(server.remoteAddress, client.localAddress)
      assert.deepStrictEqual(server.localAddress, client.remoteAddress)
      yield* talk(client, server)
    }))

  it.scopedLive("its health check is LOCAL, or its own addresses", () =>
    Effect.gen(function*() {
      const { listener } = yield* haproxy({ send: "send-proxy-v2 check inter 100ms" })
      const server = yield* Effect.flatMap(listener.accept, trusting)
      assert.notStrictEqual(server.proxyHeader!._tag, "Unknown")
      assert.strictEqual(server.remoteAddress._tag, "UnixAddress")
    }))

  it.skipIf(!has("openssl"))(
    "TLS that ends at it is told (skipped: openssl is not installed)",
    () =>
      Effect.gen(function*() {
        const certificates = yield* Peer.directory
        const pem = `${certificates}/both.pem`
        const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=client.example"]
        const made = yield* run("openssl", [
          ...request,
          "-keyout",
          `${certificates}/key`,
          "-out",
          `${certificates}/crt`
        ])
        assert.strictEqual((yield* made.ended).code, 0, made.stderr)
        writeFileSync(pem, readFileSync(`${certificates}/crt`, "utf8") + readFileSync(`${certificates}/key`, "utf8"))
        const { directory, listener } = yield* haproxy({
          bind: (directory) =>
            `unix@${directory}/front ssl crt ${pem} alpn h2 verify optional ca-file ${certificates}/crt`,
          send: "send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c"
        })
        const client = yield* run("openssl", [
          ...["s_client", "-quiet", "-unix", `${directory}/front`, "-servername", "www.example.org", "-alpn", "h2"],
          ...["-tls1_3", "-cert", `${certificates}/crt`, "-key", `${certificates}/key`]
        ])
        const server = yield* Effect.flatMap(listener.accept, trusting)
        const extensions = server.proxyHeader!.extensions
        const tls = extensions.find(({ _tag }) => _tag === "Tls")
        assert.deepInclude(tls, {
          _tag: "Tls",
          connected: true,
          certificate: true,
          sessionCertificate: true,
          verify: 0,
          version: "TLSv1.3",
          commonName: "client.example",
          cipher: "TLS_AES_256_GCM_SHA384",
          signatureAlgorithm: "RSA-SHA256",
          keyAlgorithm: "RSA2048",
          others: []
        })
        const found = extensions.flatMap((extension) =>
          extension._tag === "Alpn"
            ? [text(extension.protocol)]
            : extension._tag === "Authority"
            ? [extension.name]
            : []
        )
        assert.deepStrictEqual(found.toSorted(), ["h2", "www.example.org"])
        client.child.stdin!.write("over TLS")
        assert.strictEqual(text((yield* server.pull)!), "over TLS")
      }).pipe(Effect.scoped, Effect.runPromise)
  )
})
