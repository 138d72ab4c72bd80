import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as Address from "../../src/Address.ts"
import type { ConnectionLost } from "../../src/ConnectionError.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as Tls from "../../src/node/Tls.ts"
import * as Transport from "../../src/Transport.ts"
import type { Issued } from "../support/certificates.ts"
import { Authority } from "../support/certificates.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

const utf8 = (text: string) => new TextEncoder().encode(text)

const versions = [["TLSv1.2", "-tls1_2"], ["TLSv1.3", "-tls1_3"]] as const

type Handshake<R> = (transport: Transport.Transport) => Effect.Effect<
  Transport.Transport<ConnectionLost | Tls.TlsLost> & { readonly tls: Tls.Info },
  Tls.TlsError | ConnectionLost,
  R
>

/** Both ways that TLS can lie on a socket, and what the end of one is that TLS has not announced. */
const ways: ReadonlyArray<{
  readonly name: string
  readonly client: (options: Tls.ClientOptions) => Handshake<Scope.Scope>
  readonly server: (options: Tls.ServerOptions) => Handshake<Scope.Scope>
  readonly cut: "TlsTruncated" | "end"
}> = [
  { name: "over a transport", client: Tls.client, server: Tls.server, cut: "TlsTruncated" },
  {
    name: "straight on a socket",
    client: (options) => Tls.client({ ...options, truncation: "end" }),
    server: (options) => Tls.server({ ...options, truncation: "end" }),
    cut: "end"
  }
]

/** What the next pull finds, where there is no more. */
const ending = (transport: Transport.Transport<ConnectionLost | Tls.TlsLost>) =>
  Effect.match(transport.pull, { onFailure: ({ _tag }) => _tag, onSuccess: (chunk) => chunk === null ? "end" : "more" })

describe.skipIf(!has("openssl"))("openssl (skipped: openssl is not installed)", () => {
  const authority = new Authority("authority")
  const localhost = authority.issue("localhost", ["DNS:localhost"])
  const somebody = authority.issue("somebody")
  const trustRoots = authority.root.certificate
  const own = ({ files }: Issued) => ["-cert", files.certificate, "-key", files.privateKey]
  const trusting = ["-CAfile", authority.root.files.certificate]

  describe.each(ways)("s_client, $name", ({ cut, server }) => {
    const context = Effect.runSync(Tls.context({ identity: localhost, trustRoots }))

    /** It dials; what comes of the handshake at this side. */
    const served = (args: ReadonlyArray<string>, options: Partial<Tls.ServerOptions> = {}) =>
      Effect.gen(function*() {
        const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
        const { port } = listener.address
        const verifying = ["-verify_return_error", "-verify_hostname", "localhost", "-servername", "localhost"]
        const program = yield* run("openssl", [
          "s_client",
          ...["-connect", `127.0.0.1:${port}`, ...trusting, ...verifying, ...args]
        ])
        const accepted = yield* listener.accept
        return { program, accepted, handshake: server({ context, ...options })(accepted) }
      })

    for (const [protocol, flag] of versions) {
      it.scopedLive(`is echoed a mebibyte in ${protocol}, and the end`, () =>
        Effect.gen(function*() {
          const { handshake, program } = yield* served(["-quiet", flag])
          const sent = randomBytes(1 << 20)
          program.child.stdin!.write(sent)
          const transport = yield* handshake
          assert.deepInclude(transport.tls, { protocol, serverName: "localhost" })
          let echoed = 0
          while (echoed < sent.length) {
            const chunk = yield* transport.pull
            if (chunk === null) break
            echoed += chunk.length
            yield* transport.write(chunk)
          }
          yield* transport.close
          // It has had the close_notify: a bare end would be "unexpected eof" and another code.
          assert.strictEqual((yield* program.ended).code, 0)
          assert.isTrue(program.stdout.equals(sent))
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local" })
        }))

      it.scopedLive(`that is killed in ${protocol}`, () =>
        Effect.gen(function*() {
          const { handshake, program } = yield* served(["-quiet", flag])
          program.child.stdin!.write("half")
          const transport = yield* handshake
          assert.strictEqual(Buffer.from(yield* Transport.readExactly(transport, 4)).toString(), "half")
          program.kill("SIGKILL")
          // Unread tickets make the kernel reset instead.
          assert.include([cut, "ConnectionReset"], yield* ending(transport))
        }))
    }

    it.scopedLive("shows its certificate, and chooses a protocol", () =>
      Effect.gen(function*() {
        const { handshake } = yield* served(["-quiet", "-alpn", "imap,h2", ...own(somebody)], {
          clientCertificate: "required",
          alpn: ["h2"]
        })
        const { tls } = yield* handshake
        assert.deepInclude(tls, { alpn: "h2", authorized: true })
        assert.strictEqual(tls.peerCertificates[0]?.subject, "CN=somebody")
      }))

    it.scopedLive("hears that its certificate is required", () =>
      Effect.gen(function*() {
        const { handshake, program } = yield* served(["-quiet"], { clientCertificate: "required" })
        assert.deepInclude(yield* Effect.flip(handshake), { _tag: "CertificateRejected" })
        assert.notStrictEqual((yield* program.ended).code, 0)
        assert.match(program.stderr, /alert certificate required/)
      }))

    it.scopedLive("does not trust, and says so", () =>
      Effect.gen(function*() {
        const strange = yield* Tls.context({ identity: new Authority("another").issue("localhost") })
        const { handshake } = yield* served(["-quiet", "-tls1_2"], { context: strange })
        assert.deepInclude(yield* Effect.flip(handshake), { _tag: "HandshakeFailed", alert: "unknown_ca" })
      }))

    it.scopedLive("speaks an old version only, and hears it", () =>
      Effect.gen(function*() {
        const { handshake, program } = yield* served(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
        assert.strictEqual((yield* Effect.flip(handshake))._tag, "ProtocolVersion")
        yield* program.ended
        assert.match(program.stderr, /alert protocol version/)
      }))
  })

  describe.each(ways)("s_server, $name", ({ client, cut }) => {
    const context = Effect.runSync(Tls.context({ trustRoots }))

    const dialled = (args: ReadonlyArray<string>, options: Partial<Tls.ClientOptions> = {}, identity = localhost) =>
      Effect.gen(function*() {
        const program = yield* run("openssl", [
          "s_server",
          ...["-accept", "127.0.0.1:0", "-naccept", "1", ...own(identity), ...args]
        ])
        const bound = () => /^ACCEPT .*:(\d+)$/m.exec(program.output)?.[1]
        yield* program.until(() => bound() !== undefined)
        const dialled = yield* Tcp.connect(Address.tcp("127.0.0.1", Number(bound())))
        return { program, dialled, handshake: client({ serverName: "localhost", context, ...options })(dialled) }
      })

    for (const [protocol, flag] of versions) {
      it.scopedLive(`is talked to in ${protocol}, and quits without a word of it`, () =>
        Effect.gen(function*() {
          const { handshake, program } = yield* dialled([flag])
          const transport = yield* handshake
          assert.deepInclude(transport.tls, { protocol, authorized: true, alpn: undefined })
          yield* transport.write(utf8("from here\n"))
          yield* program.until(() => program.output.includes("from here\n"))
          program.child.stdin!.write("from there\n")
          assert.strictEqual(Buffer.from(yield* Transport.readExactly(transport, 11)).toString(), "from there\n")
          // Its command to quit sends no close_notify: s_client says "unexpected eof while reading" of it.
          program.child.stdin!.write("Q\n")
          assert.strictEqual(yield* ending(transport), cut)
        }))

      it.scopedLive(`answers a half-close in ${protocol}`, () =>
        Effect.gen(function*() {
          const { handshake } = yield* dialled(["-rev", flag])
          const transport = yield* handshake
          yield* transport.write(utf8("abc\n"))
          assert.strictEqual(Buffer.from(yield* Transport.readExactly(transport, 4)).toString(), "cba\n")
          yield* transport.closeWrite
          assert.strictEqual((yield* Peer.readAll(transport)).length, 0)
          assert.deepInclude(yield* transport.closed, { _tag: "Clean", firstEnded: "local" })
        }))

      it.scopedLive(`that is killed in ${protocol}`, () =>
        Effect.gen(function*() {
          const { handshake, program } = yield* dialled([flag])
          const transport = yield* handshake
          program.child.stdin!.write("half\n")
          assert.strictEqual(Buffer.from(yield* Transport.readExactly(transport, 5)).toString(), "half\n")
          program.kill("SIGKILL")
          assert.strictEqual(yield* ending(transport), cut)
        }))
    }

    it.scopedLive("asks for a certificate, and chooses a protocol", () =>
      Effect.gen(function*() {
        const mutual = yield* Tls.context({ trustRoots, identity: somebody })
        const asking = ["-Verify", "1", "-verify_return_error", ...trusting, "-alpn", "h2"]
        const { handshake, program } = yield* dialled(asking, { context: mutual, alpn: ["imap", "h2"] })
        const transport = yield* handshake
        assert.strictEqual(transport.tls.alpn, "h2")
        yield* transport.write(utf8("verified\n"))
        yield* program.until(() => program.output.includes("verified\n"))
        assert.match(program.output, /subject=CN = somebody/)
      }))

    it.scopedLive("refuses a client without a certificate", () =>
      Effect.gen(function*() {
        const asking = ["-Verify", "1", "-verify_return_error", ...trusting]
        const old = yield* dialled([...asking, "-tls1_2"])
        assert.deepInclude(yield* Effect.flip(old.handshake), { _tag: "HandshakeFailed", alert: "handshake_failure" })
        const { handshake } = yield* dialled([...asking, "-tls1_3"])
        const error = yield* Effect.flip(Effect.flatMap(handshake, (transport) => transport.pull))
        assert.deepInclude(error, { _tag: "TlsFailed", alert: "certificate_required" })
      }))

    it.scopedLive("has a certificate that is expired, for another name, or of nobody that is trusted", () =>
      Effect.gen(function*() {
        const expired = yield* dialled([], {}, authority.issue("localhost", ["DNS:localhost"], -1))
        assert.deepInclude(yield* Effect.flip(expired.handshake), {
          _tag: "CertificateRejected",
          code: "CERT_HAS_EXPIRED"
        })
        assert.strictEqual((yield* expired.dialled.closed)._tag, "Clean")
        const other = yield* dialled([], { serverName: "example.org" })
        assert.deepInclude(yield* Effect.flip(other.handshake), { _tag: "HostnameMismatch" })
        const strange = yield* dialled([], {}, new Authority("another").issue("localhost", ["DNS:localhost"]))
        assert.deepInclude(yield* Effect.flip(strange.handshake), { _tag: "CertificateRejected" })
      }))

    it.scopedLive("speaks an old version only", () =>
      Effect.gen(function*() {
        const { handshake } = yield* dialled(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
        assert.strictEqual((yield* Effect.flip(handshake))._tag, "ProtocolVersion")
      }))

    it.scopedLive("resumes a session", () =>
      Effect.gen(function*() {
        const { dialled: first, handshake, program } = yield* dialled(["-naccept", "2"])
        const transport = yield* handshake
        program.child.stdin!.write("x\n")
        yield* transport.pull
        const session = transport.tls.session()!
        yield* transport.abort
        const again = yield* Tcp.connect(first.remoteAddress as Address.TcpAddress)
        const resumed = yield* client({ serverName: "localhost", context, session })(again)
        assert.deepInclude(resumed.tls, { resumed: true, authorized: true })
        assert.strictEqual(resumed.tls.peerCertificates[0]?.subject, "CN=localhost")
        yield* resumed.abort
      }))
  })
})
