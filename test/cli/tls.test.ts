import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import * as http from "node:http"
import * as Endpoint from "../../src/Endpoint.ts"
import type { Issued } from "../support/certificates.ts"
import { Authority } from "../support/certificates.ts"
import { tellsOfMuteWithVerbose } from "../support/mute.ts"
import * as Peer from "../support/peer.ts"
import { has, run, shell, tool } from "../support/tool.ts"

const quoted = (text: string) => text.replaceAll(/[\\:]/g, "\\$&")

describe.skipIf(!has("openssl"))("tls: (skipped: openssl is not installed)", () => {
  const authority = new Authority("authority")
  const roots = authority.root.files.certificate
  const localhost = authority.issue("localhost", ["DNS:localhost", "IP:127.0.0.1"])
  const somebody = authority.issue("somebody")

  const listening = ({ files }: Issued, more = "") =>
    `tls:0:privateKey=${quoted(files.privateKey)}:certKey=${quoted(files.certificate)}${more}`

  /** A description of the server that says it is listening, by its name, with what a client has to trust. */
  const dialling = (description: string, more = "") =>
    `${description.replace("127.0.0.1", "localhost")}:trustRoots=${quoted(roots)}${more}`

  const sClient = (port: number, ...args: ReadonlyArray<string>) =>
    run("openssl", [
      ...["s_client", "-quiet", "-connect", `127.0.0.1:${port}`, "-CAfile", roots, "-verify_return_error"],
      ...["-servername", "localhost", ...args]
    ])

  /** A server of openssl, and how to dial it. */
  const sServer = (identity: Issued, ...args: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const { certificate, privateKey } = identity.files
      const own = ["-accept", "127.0.0.1:0", "-cert", certificate, "-key", privateKey]
      const program = yield* run("openssl", ["s_server", ...own, ...args])
      const bound = () => /^ACCEPT .*:(\d+)$/m.exec(program.output)?.[1]
      yield* program.until(() => bound() !== undefined)
      return `tls:127.0.0.1:${bound()}`
    })

  describe("echo", () => {
    it.scopedLive("answers openssl, and counts what was said, not what was sent", () =>
      Effect.gen(function*() {
        const server = yield* tool("echo", listening(localhost), "--verbose")
        assert.match(yield* server.listening, /^tls:127\.0\.0\.1:\d+$/)
        const client = yield* sClient((yield* server.address).port)
        client.child.stdin!.write("hello")
        yield* client.until(() => client.output === "hello")
        server.kill("SIGTERM")
        // It has had the close_notify: a bare end would be another code.
        assert.strictEqual((yield* client.ended).code, 0)
        assert.strictEqual((yield* server.ended).code, 0)
        assert.match(server.stderr, /^open .*\nclose .*: 5 bytes in, 5 bytes out, .* s: this side ended first\n$/)
      }))

    it.scopedLive.skipIf(!has("socat"))(
      "answers socat, line by line (skipped: socat is not installed)",
      () =>
        Effect.gen(function*() {
          const server = yield* tool("echo", listening(localhost), "--lines")
          const { port } = yield* server.address
          const client = yield* run("socat", ["-", `OPENSSL:localhost:${port},cafile=${roots},pf=ip4`])
          client.child.stdin!.end("one\ntwo\n")
          assert.strictEqual((yield* client.ended).code, 0, client.stderr)
          assert.strictEqual(client.output, "one\ntwo\n")
        })
    )

    it.scopedLive("asks each client for a certificate if it has trustRoots", () =>
      Effect.gen(function*() {
        const server = yield* tool("echo", listening(localhost, `:trustRoots=${quoted(roots)}`))
        const { port } = yield* server.address
        const stranger = yield* sClient(port)
        assert.notStrictEqual((yield* stranger.ended).code, 0)
        yield* server.says(/^failed .*: CertificateRejected: .*The trustRoots of this server ask .*\n$/)
        const { certificate, privateKey } = somebody.files
        const known = yield* sClient(port, "-cert", certificate, "-key", privateKey)
        known.child.stdin!.write("hello")
        yield* known.until(() => known.output === "hello")
        const own = `:certificate=${quoted(certificate)}:privateKey=${quoted(privateKey)}`
        const cat = yield* tool("cat", dialling(yield* server.listening, own))
        cat.child.stdin!.end("it is me")
        assert.strictEqual((yield* cat.ended).code, 0)
        assert.strictEqual(cat.output, "it is me")
      }))

    it.scopedLive("tells of a peer that ends before it has sent anything, as checks do, with --verbose only", () =>
      tellsOfMuteWithVerbose(listening(localhost), Uint8Array.of(0x16, 3, 1)))

    it.scopedLive("tells a peer that does not speak TLS", () =>
      Effect.gen(function*() {
        const server = yield* tool("echo", listening(localhost))
        const peer = yield* Peer.connect(yield* server.address)
        yield* peer.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield* peer.readAll()
        yield* server.says(/^failed .*: HandshakeFailed: .*Does the other side know that this port speaks TLS\?\n$/)
      }))
  })

  describe("cat", () => {
    it.scopedLive("20 MiB come back whole from the tool's own echo", () =>
      Effect.gen(function*() {
        const echo = yield* tool("echo", listening(localhost))
        const cat = yield* tool("cat", dialling(yield* echo.listening))
        const bytes = randomBytes(20 << 20)
        cat.child.stdin!.end(bytes)
        assert.strictEqual((yield* cat.ended).code, 0)
        assert.isTrue(cat.stdout.equals(bytes))
        assert.strictEqual(cat.stderr + echo.stderr, "")
      }))

    const refusals: ReadonlyArray<readonly [what: string, server: () => Issued, more: string, said: RegExp]> = [
      [
        "a certificate of nobody who is trusted",
        () => localhost,
        ":serverName=localhost",
        /^CertificateRejected: .*CN=localhost.*trustRoots=FILE\.\n$/
      ],
      [
        "a certificate for another name",
        () => authority.issue("elsewhere", ["DNS:example.org"]),
        `:trustRoots=${quoted(roots)}`,
        /^HostnameMismatch: .* not for 127\.0\.0\.1, but for DNS:example\.org\. .*serverName=NAME\.\n$/
      ],
      [
        "a certificate that has its name in the CN only",
        () => authority.issue("localhost"),
        `:trustRoots=${quoted(roots)}:serverName=localhost`,
        /^HostnameMismatch: .* not for localhost, but for no name\. .*subjectAltName.*\n$/
      ],
      [
        "a certificate that has expired",
        () => authority.issue("localhost", ["DNS:localhost"], -1),
        `:trustRoots=${quoted(roots)}:serverName=localhost`,
        /^CertificateRejected: .*CERT_HAS_EXPIRED.*clock right\?.*\n$/
      ]
    ]
    for (const [what, server, more, said] of refusals) {
      it.scopedLive(`refuses ${what}`, () =>
        Effect.gen(function*() {
          const cat = yield* tool("cat", `${yield* sServer(server())}${more}`)
          assert.strictEqual((yield* cat.ended).code, 1)
          assert.match(cat.stderr, said)
          assert.strictEqual(cat.output, "")
        }))
    }

    it.scopedLive("tells a server that asks for a certificate, and one that does not trust it, in version 1.3", () =>
      Effect.gen(function*() {
        const server = yield* sServer(localhost, "-tls1_3", "-Verify", "1", "-verify_return_error", "-CAfile", roots)
        const here = `${server.replace("127.0.0.1", "localhost")}:trustRoots=${quoted(roots)}`
        const nobody = yield* tool("cat", here)
        assert.strictEqual((yield* nobody.ended).code, 1)
        assert.match(nobody.stderr, /^TlsFailed: .*\(certificate_required\)\. .*certificate=FILE:privateKey=FILE\.\n$/)
        const { certificate, privateKey } = new Authority("others").issue("stranger").files
        const own = `:certificate=${quoted(certificate)}:privateKey=${quoted(privateKey)}`
        const stranger = yield* tool("cat", `${here}${own}`)
        assert.strictEqual((yield* stranger.ended).code, 1)
        assert.match(stranger.stderr, /^TlsFailed: .*\(unknown_ca\)\. It does not trust the certificate .*\n$/)
      }))

    it.scopedLive("takes an address for a name that is said", () =>
      Effect.gen(function*() {
        const named = authority.issue("elsewhere", ["DNS:example.org"])
        const address = yield* sServer(named, "-rev")
        const cat = yield* tool("cat", `${address}:trustRoots=${quoted(roots)}:serverName=example.org`)
        cat.child.stdin!.end("abc\n")
        assert.strictEqual((yield* cat.ended).code, 0)
        assert.strictEqual(cat.output, "cba\n")
      }))

    it.scopedLive("tells a server that does not speak TLS", () =>
      Effect.gen(function*() {
        const echo = yield* tool("echo", "tcp:0")
        const cat = yield* tool("cat", (yield* echo.listening).replace("tcp", "tls"))
        assert.strictEqual((yield* cat.ended).code, 1)
        assert.match(cat.stderr, /^HandshakeFailed: .*\n$/)
      }))

    it.scopedLive("waits for a handshake no longer than it was told", () =>
      Effect.gen(function*() {
        const silent = yield* Effect.flatMap(Peer.free("tcp"), (address) => Peer.listen(address))
        const cat = yield* tool("cat", `${Endpoint.describeClient(silent.address, "tls")}:timeout=0.3`)
        assert.strictEqual((yield* cat.ended).code, 1)
        assert.match(cat.stderr, /^ConnectTimeout: .*the handshake took too long.*\n$/)
      }))
  })

  describe("its own files", () => {
    it.scopedLive("that cannot be used exit 1, with one line, before anything is opened", () =>
      Effect.gen(function*() {
        const key = quoted(localhost.files.privateKey)
        for (const args of [["echo", `tls:0:privateKey=${key}`], ["relay", "tcp:0", `tls:h:1:trustRoots=${key}`]]) {
          const program = yield* tool(...args)
          assert.strictEqual((yield* program.ended).code, 1)
          assert.match(program.stderr, /^InvalidCredentialFile: The \w+ \/.* is no certificate in PEM.*\n$/)
          assert.strictEqual(program.output, "")
        }
      }))

    it.scopedLive("a key and its certificate come from one pipe", () =>
      Effect.gen(function*() {
        const { certificate, privateKey } = localhost.files
        const server = yield* shell(`cat "${privateKey}" "${certificate}" | $tool echo tls:0:privateKey=/dev/stdin`)
        yield* server.until(() => server.output.includes("\n") || server.stderr !== "")
        assert.match(server.output, /^listening tls:/, server.stderr)
      }))

    it.scopedLive("a certificate that has expired is a warning", () =>
      Effect.gen(function*() {
        const server = yield* tool("echo", listening(authority.issue("localhost", [], -1)))
        yield* server.listening
        assert.match(server.stderr, /^warn: The certificate .* has expired, on .*\n$/)
      }))
  })

  describe("relay", () => {
    const httpServer = Effect.acquireRelease(
      Effect.async<number>((resume) => {
        const server = http.createServer((request, response) => response.end(`you asked for ${request.url}\n`))
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as { port: number }).port)))
      }),
      () => Effect.void
    )

    it.scopedLive.skipIf(!has("curl"))(
      "ends TLS: curl speaks HTTPS to it (skipped: curl is not installed)",
      () =>
        Effect.gen(function*() {
          const relay = yield* tool("relay", listening(localhost), `tcp:127.0.0.1:${yield* httpServer}`)
          const { port } = yield* relay.address
          const url = `https://localhost:${port}/the/path`
          const curl = yield* run("curl", ["-sS", "--http1.1", "--cacert", roots, "-4", url, url])
          assert.strictEqual((yield* curl.ended).code, 0, curl.stderr)
          assert.strictEqual(curl.output, "you asked for /the/path\n".repeat(2))
          const stranger = yield* run("curl", ["-sS", "-4", url])
          // The peer's certificate cannot be authenticated, curl(1).
          assert.strictEqual((yield* stranger.ended).code, 60)
          yield* relay.says(/HandshakeFailed: .*\(unknown_ca\).*It does not trust the certificate of this side/)
        })
    )

    it.scopedLive.skipIf(!has("curl"))(
      "begins TLS: curl speaks HTTP to it (skipped: curl is not installed)",
      () =>
        Effect.gen(function*() {
          const server = yield* sServer(localhost, "-www")
          const relay = yield* tool("relay", "tcp:0", `${server}:trustRoots=${quoted(roots)}`)
          const { port } = yield* relay.address
          const curl = yield* run("curl", ["-sS", `http://127.0.0.1:${port}/`])
          assert.strictEqual((yield* curl.ended).code, 0, curl.stderr)
          assert.match(curl.output, /s_server -accept/)
          assert.strictEqual(relay.stderr, "")
        })
    )

    it.scopedLive("passes a half-close on, and 5 MiB the other way after it, from relay to relay", () =>
      Effect.gen(function*() {
        const target = yield* Effect.flatMap(Peer.free("tcp"), (address) => Peer.listen(address))
        const far = yield* tool("relay", listening(localhost), Endpoint.describeClient(target.address))
        const near = yield* tool("relay", "tcp:0", dialling(yield* far.listening))
        const client = yield* Peer.connect(yield* near.address)
        client.socket.end("done")
        const peer = yield* target.accept
        yield* peer.readAll()
        assert.strictEqual(peer.text, "done")
        assert.isTrue(peer.ended)
        const bytes = randomBytes(5 << 20)
        peer.socket.end(bytes)
        assert.isTrue(bytes.equals(yield* client.readAll()))
        assert.isTrue(client.ended)
        assert.strictEqual(near.stderr + far.stderr, "")
      }))

    it.scopedLive("a peer that was cut off is not taken for one that has ended", () =>
      Effect.gen(function*() {
        const target = yield* Effect.flatMap(Peer.free("tcp"), (address) => Peer.listen(address))
        const relay = yield* tool("relay", listening(localhost), Endpoint.describeClient(target.address))
        const client = yield* sClient((yield* relay.address).port)
        const peer = yield* target.accept
        client.child.stdin!.write("half of it")
        yield* peer.readBytes(10)
        client.kill("SIGKILL")
        yield* peer.awaitClosed
        assert.strictEqual(peer.code, "ECONNRESET")
        yield* relay.says(/^failed .*: (TlsTruncated|ConnectionReset): .*\n$/)
      }))
  })
})
