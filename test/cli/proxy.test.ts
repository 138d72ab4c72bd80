import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync, writeFileSync } from "node:fs"
import * as Address from "../../src/Address.ts"
import * as Endpoint from "../../src/Endpoint.ts"
import * as ProxyHeader from "../../src/framing/ProxyHeader.ts"
import { encoded } from "../support/decoding.ts"
import { Authority } from "../support/certificates.ts"
import * as Haproxy from "../support/haproxy.ts"
import { tellsOfMuteWithVerbose } from "../support/mute.ts"
import * as Peer from "../support/peer.ts"
import { has, tool } from "../support/tool.ts"

const source = Address.tcp("203.0.113.7", 40000)
const destination = Address.tcp("198.51.100.1", 443)

const header = (version: 1 | 2, from = source) =>
  encoded(ProxyHeader.codec(), ProxyHeader.make({ version, source: from, destination }))

describe("haproxy:", () => {
  for (const version of [1, 2] as const) {
    it.scopedLive(`--verbose shows the client's own address, by a header of version ${version}`, () =>
      Effect.gen(function*() {
        const server = yield* tool("echo", "haproxy:tcp\\:0", "--verbose")
        const peer = yield* Peer.connect(yield* server.address)
        yield* peer.write(header(version))
        yield* peer.exchange("hello")
        assert.strictEqual(peer.text, "hello")
        peer.end()
        yield* server.until(() => server.complaints.length === 2)
        const label = `${source} -> ${destination}`
        assert.include(server.stderr, `open ${label}\nclose ${label}: 5 bytes in, 5 bytes out, `)
      }))
  }

  it.scopedLive("control characters in a header are shown, and not sent to the terminal", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "haproxy:tcp\\:0", "--verbose", "--watch")
      const peer = yield* Peer.connect(yield* server.address)
      const path = Address.unix("/run/\x1b[2J\x07\x9bm")
      yield* peer.write(
        encoded(ProxyHeader.codec(), ProxyHeader.make({ version: 2, source: path, destination: path }))
      )
      yield* peer.exchange("hello")
      const shown = "/run/\\x1b[2J\\x07\\x9bm"
      yield* server.says(`open ${shown} -> ${shown}\n`)
      yield* server.says(`${shown} -> ${shown}: `)
      assert.notInclude(server.stderr, "\x1b")
    }))

  it.scopedLive("refuses a peer without a header, and one that is no proxy", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "haproxy:tcp\\:0")
      const peer = yield* Peer.connect(yield* server.address)
      yield* peer.write("GET / HTTP/1.1\r\n\r\n")
      yield* peer.readAll()
      yield* server.says(/^failed 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+: ProxyHeaderInvalid: .*\n$/)

      const strict = yield* tool("echo", "haproxy:tcp\\:0:trusted=10.0.0.0/8")
      const other = yield* Peer.connect(yield* strict.address)
      yield* other.write(header(2))
      yield* other.readAll()
      yield* strict.says(/^failed .*: ProxyNotTrusted: .*\n$/)
    }))

  it.scopedLive("who resets before anything has passed, as checks do, is told with --verbose only", () =>
    Effect.gen(function*() {
      for (const [told, ...options] of [[1], [3, "--verbose"]] as const) {
        const server = yield* tool("echo", "haproxy:tcp\\:0", ...options)
        const resets = () => server.complaints.filter((line) => line.includes(" ConnectionReset: ")).length
        const address = yield* server.address
        for (const bytes of [Buffer.alloc(0), header(2)]) {
          const check = yield* Peer.connect(address)
          check.socket.write(bytes, () => check.reset())
        }
        // After it has got something, that is told in any case.
        const client = yield* Peer.connect(address)
        yield* client.write(header(2))
        yield* client.exchange("hello")
        client.reset()
        yield* server.until(() => resets() === told)
        server.kill("SIGTERM")
        yield* server.ended
        assert.strictEqual(resets(), told, server.stderr)
      }
    }))

  it.scopedLive("who ends before it has sent anything is told with --verbose only", () =>
    tellsOfMuteWithVerbose("haproxy:tcp\\:0", header(2).subarray(0, 5)))

  it.scopedLive("--max-per-peer counts the clients, not their proxy", () =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "haproxy:tcp\\:0", "--max-per-peer", "1", "--verbose")
      const address = yield* server.address
      const from = (host: string) =>
        Effect.tap(Peer.connect(address), (peer) => peer.write(header(2, Address.tcp(host, 1024))))
      yield* (yield* from("203.0.113.1")).exchange("one")
      yield* (yield* from("203.0.113.2")).exchange("two")
      const refused = yield* from("203.0.113.1")
      yield* refused.readAll()
      assert.isTrue(refused.ended)
      yield* server.says(/failed 203\.0\.113\.1:1024 -> .*: TooManyConnections: .*\n/)
    }))
})

describe("--send-proxy", () => {
  for (const version of [1, 2] as const) {
    it.scopedLive(`v${version} tells the target whose connection it is`, () =>
      Effect.gen(function*() {
        const target = yield* Effect.flatMap(Peer.free("tcp"), (address) => Peer.listen(address))
        const relay = yield* tool(
          ...["relay", "tcp:0", Endpoint.describeClient(target.address), "--send-proxy", `v${version}`]
        )
        const address = yield* relay.address
        const client = yield* Peer.connect(address)
        yield* client.write("hello")
        const peer = yield* target.accept
        const from = Address.tcp("127.0.0.1", client.socket.localPort!)
        const expected = Buffer.concat([
          encoded(ProxyHeader.codec(), ProxyHeader.make({ version, source: from, destination: address })),
          Buffer.from("hello")
        ])
        assert.isTrue((yield* peer.readBytes(expected.length)).equals(expected))
      }))
  }

  it.scopedLive("is v1 or v2", () =>
    Effect.gen(function*() {
      const relay = yield* tool("relay", "tcp:0", "tcp:localhost:1", "--send-proxy", "v3")
      assert.strictEqual((yield* relay.ended).code, 2)
      assert.match(relay.stderr, /--send-proxy: found "v3", expected v1 or v2/)
    }))
})

/** haproxy between a port that it does not tell and a server of ours. */
const haproxy = (server: string, bind: string, send: string) =>
  Effect.gen(function*() {
    const directory = yield* Peer.directory
    yield* Haproxy.start(directory, {
      bind: `unix@${directory}/front accept-proxy ${bind}`,
      server: `${server} ${send}`
    })
    return `unix:${directory}/front`
  })

describe.skipIf(!has("haproxy"))("through haproxy (skipped: haproxy is not installed)", () => {
  /** A client, a relay, haproxy, and an echo that knows the client. */
  const chain = (version: 1 | 2) =>
    Effect.gen(function*() {
      const server = yield* tool("echo", "haproxy:tcp\\:0", "--verbose")
      const { port } = yield* server.address
      const send = version === 1 ? "send-proxy" : "send-proxy-v2"
      const front = yield* haproxy(`127.0.0.1:${port}`, "", send)
      const relay = yield* tool("relay", "tcp:0", front, "--send-proxy", `v${version}`)
      const address = yield* relay.address
      const client = yield* Peer.connect(address)
      yield* client.exchange("hello")
      assert.strictEqual(client.text, "hello")
      assert.include(server.stderr, `open 127.0.0.1:${client.socket.localPort} -> ${address}\n`)
      client.end()
      yield* client.readAll()
      assert.isTrue(client.ended)
    })

  for (const version of [1, 2] as const) {
    it.scopedLive(`the client's address goes and comes as version ${version}`, () => chain(version))
  }

  it.scopedLive.skipIf(!has("openssl"))(
    "the header comes before TLS (skipped: openssl is not installed)",
    () =>
      Effect.gen(function*() {
        const authority = new Authority("authority")
        const { certificate, privateKey } = authority.issue("localhost", ["DNS:localhost"]).files
        const directory = yield* Peer.directory
        writeFileSync(`${directory}/both.pem`, readFileSync(certificate, "utf8") + readFileSync(privateKey, "utf8"))
        const server = yield* tool("echo", "haproxy:tcp\\:0", "--verbose")
        const { port } = yield* server.address
        const front = yield* haproxy(`127.0.0.1:${port}`, `ssl crt ${directory}/both.pem`, "send-proxy-v2")
        // haproxy is on a path: a relay that passes bytes on has a port for TLS.
        const passing = yield* tool("relay", "tcp:0", front)
        const roots = authority.root.files.certificate
        const target = `tls:localhost:${(yield* passing.address).port}:trustRoots=${roots}`
        const relay = yield* tool("relay", "tcp:0", target, "--send-proxy", "v2")
        const address = yield* relay.address
        const client = yield* Peer.connect(address)
        yield* client.exchange("hello")
        assert.strictEqual(client.text, "hello")
        assert.include(server.stderr, `open 127.0.0.1:${client.socket.localPort} -> ${address}\n`)
      })
  )
})
