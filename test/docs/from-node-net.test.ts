import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as net from "node:net"
import * as tls from "node:tls"
import type { Issued } from "../support/certificates.ts"
import { Authority } from "../support/certificates.ts"
import * as Page from "../support/page.ts"
import { has } from "../support/tool.ts"

const guide = "docs/from-node-net.md"

describe("the page for who comes from node:net", () => {
  it.scopedLive("compiles, and prints what it says", () =>
    Effect.gen(function*() {
      const page = yield* Page.open(guide)
      yield* Page.compiles(page)
      yield* Page.prints(page)
    }), 120_000)

  it.scopedLive("has the same server in node:net", () =>
    Effect.gen(function*() {
      const [server] = yield* Page.blocks(guide, "js")
      const page = yield* Page.open(guide)
      yield* Page.write(
        page,
        "server.js",
        `
import * as net from "node:net"

${server}
server.on("listening", () => {
  const client = net.connect(server.address().port, "127.0.0.1", () => client.end("hello"))
  client.on("data", (bytes) => console.log(String(bytes)))
  client.on("end", () => server.close())
})
`
      )
      // What its counterpart prints first.
      assert.strictEqual(yield* Page.output(page, "server.js"), "hello\n")
    }), 60_000)

  it.scopedLive.skipIf(!has("openssl"))("tells a good certificate from bad ones", () =>
    Effect.gen(function*() {
      const authority = new Authority("authority")
      const page = yield* Page.open(guide)
      const ports = yield* Effect.forEach([
        authority.issue("localhost", ["DNS:localhost"]),
        authority.issue("localhost", ["DNS:localhost"], -1),
        authority.issue("example.com", ["DNS:example.com"]),
        new Authority("stranger").issue("localhost", ["DNS:localhost"])
      ], serving)
      // Node reads the roots from a file when it starts.
      yield* trusting(authority.root.files.certificate)
      yield* Page.write(
        page,
        "certificates.ts",
        `
import * as Effect from "effect/Effect"
import { certificate } from "./certificate.ts"

for (const port of ${JSON.stringify(ports)}) console.log(await Effect.runPromise(certificate("localhost", port)))
`
      )
      const [good, ...bad] = (yield* Page.output(page, "certificates.ts")).trim().split("\n")
      assert.match(good!, /^good until \d{4}-/)
      assert.deepStrictEqual(bad, [
        "expired",
        "good for DNS:example.com only",
        "not trusted: UNABLE_TO_VERIFY_LEAF_SIGNATURE"
      ])
    }), 60_000)
})

/** A server of `node:tls` that shows this certificate: its port. */
const serving = ({ certificate, privateKey }: Issued) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<tls.Server>((resume) => {
        const server = tls.createServer({ cert: certificate, key: privateKey }, (socket) => {
          socket.on("error", () => {}).end()
        })
        server.listen(0, "localhost", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
    ),
    (server) => (server.address() as net.AddressInfo).port
  )

const trusting = (file: string) =>
  Effect.acquireRelease(
    Effect.sync(() => process.env["NODE_EXTRA_CA_CERTS"] = file),
    () => Effect.sync(() => delete process.env["NODE_EXTRA_CA_CERTS"])
  )
