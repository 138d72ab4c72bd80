import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Address from "../../src/Address.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as Tls from "../../src/node/Tls.ts"
import * as Relay from "../../src/Relay.ts"
import * as Server from "../../src/server/Server.ts"
import { Authority } from "../support/certificates.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

const missing = ["curl", "openssl", "python3"].filter((program) => !has(program))

describe.skipIf(missing.length > 0)("curl (skipped: curl, openssl or python3 is not installed)", () => {
  const authority = new Authority("authority")
  const identity = authority.issue("localhost", ["DNS:localhost"])

  /** A web server that speaks HTTP in clear, and serves a file. */
  const web = (content: Uint8Array) =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      fs.writeFileSync(path.join(directory, "file"), content)
      const serving = ["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", directory, "0"]
      const program = yield* run("python3", serving)
      const bound = () => /port (\d+)/.exec(program.output)?.[1]
      yield* program.until(() => bound() !== undefined)
      return Address.tcp("127.0.0.1", Number(bound()))
    })

  const ways = [
    ["over a transport", (context: Tls.Context) => Tls.server({ context, alpn: ["http/1.1"] })],
    ["straight on a socket", (context: Tls.Context) => Tls.server({ context, alpn: ["http/1.1"], truncation: "end" })]
  ] as const

  for (const [way, layer] of ways) {
    it.scopedLive(`gets a file through a relay with TLS ${way}`, () =>
      Effect.gen(function*() {
        const content = Peer.pattern(3_000_000)
        const upstream = yield* web(content)
        const secured = layer(yield* Tls.context({ identity }))
        const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
        yield* Effect.fork(Server.serve(listener, (accepted) =>
          Effect.gen(function*() {
            const [client, server] = yield* Effect.all([secured(accepted), Tcp.connect(upstream)])
            yield* Relay.run(client, server)
          }).pipe(Effect.catchTag("HandshakeFailed", () => Effect.void))))
        const { port } = listener.address
        const url = `https://localhost:${port}/file`
        const options = ["--silent", "--show-error", "--fail", "--cacert", authority.root.files.certificate]
        const curl = yield* run("curl", [...options, "--write-out", "%{stderr}%{http_code} %{ssl_verify_result}", url])
        assert.strictEqual((yield* curl.ended).code, 0, curl.stderr)
        assert.strictEqual(curl.stderr, "200 0")
        assert.isTrue(curl.stdout.equals(content))
        const stranger = yield* run("curl", ["--silent", url])
        // Its code for a certificate that it does not trust.
        assert.strictEqual((yield* stranger.ended).code, 60)
      }))
  }
})
