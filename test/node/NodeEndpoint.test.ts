import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Address from "../../src/Address.ts"
import * as Endpoint from "../../src/Endpoint.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as Network from "../../src/Network.ts"
import * as NodeEndpoint from "../../src/node/NodeEndpoint.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import * as Tls from "../../src/node/Tls.ts"
import * as Transport from "../../src/Transport.ts"
import { ascii, text } from "../support/bytes.ts"
import { Authority } from "../support/certificates.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

const server = (description: string) =>
  NodeEndpoint.server(
    Either.getOrThrow(Endpoint.parseServer(description)) as Exclude<Endpoint.ServerEndpoint, Endpoint.HaproxyServer>
  )

const client = (description: string) => NodeEndpoint.client(Either.getOrThrow(Endpoint.parseClient(description)))

/** Both ends, each behind what was described, of a connection. */
const connected = (description: string, dial: (address: Address.Address) => string) =>
  Effect.gen(function*() {
    const { listen, secure } = yield* server(description)
    const listener = yield* listen
    const { connector } = yield* client(dial(listener.address))
    return yield* Effect.all([connector.connect, Effect.flatMap(listener.accept, secure)], {
      concurrency: "unbounded"
    })
  })

const exchange = (here: Transport.Transport<unknown>, there: Transport.Transport<unknown>) =>
  Effect.gen(function*() {
    yield* here.write(ascii("question"))
    assert.strictEqual(text(yield* Transport.readExactly(there, 8)), "question")
    yield* there.write(ascii("answer"))
    assert.strictEqual(text(yield* Transport.readExactly(here, 6)), "answer")
    yield* Effect.all([here.close, there.close], { concurrency: "unbounded" })
  })

const provided = Effect.provide(NodeNetwork.layer)

describe("what is described", () => {
  it.scopedLive("without TLS is what it is", () =>
    Effect.gen(function*() {
      const directory = yield* Peer.directory
      for (const description of ["tcp:0", `unix:${directory}/s:mode=600`]) {
        const [here, there] = yield* connected(description, Endpoint.describeClient)
        yield* exchange(here, there)
      }
    }).pipe(provided))

  it.scopedLive.skipIf(!has("openssl"))(
    "tls: is TLS, with who has to show what (skipped: openssl is not installed)",
    () =>
      Effect.gen(function*() {
        const authority = new Authority("authority")
        const roots = authority.root.files.certificate
        const { certificate, privateKey } = authority.issue("localhost", ["DNS:localhost"]).files
        const own = authority.issue("somebody").files
        const [here, there] = yield* connected(
          `tls:0:privateKey=${privateKey}:certKey=${certificate}:trustRoots=${roots}`,
          (address) =>
            `${Endpoint.describeClient(address, "tls")}:trustRoots=${roots}:serverName=localhost:` +
            `certificate=${own.certificate}:privateKey=${own.privateKey}`
        )
        assert.deepInclude(Tls.info(there), { authorized: true, serverName: "localhost" })
        yield* exchange(here, there)
      }).pipe(provided)
  )

  it.scoped("has the deadline of the options for its handshake, if it says none itself", () =>
    Effect.gen(function*() {
      const silent = Layer.succeed(Network.Network, {
        listen: () => Effect.dieMessage("nobody listens here"),
        connect: () => Effect.map(MemoryTransport.pair(), ([left]) => left),
        resolve: () => Effect.succeed([Address.tcp("192.0.2.1", 443)])
      })
      const endpoint = Either.getOrThrow(Endpoint.parseClient("tls:host:443"))
      const { connector } = yield* NodeEndpoint.client(endpoint, { timeout: "60 seconds" })
      const dialling = yield* Effect.fork(Effect.flip(Effect.provide(connector.connect, silent)))
      yield* TestClock.adjust("59 seconds")
      assert.isNull(dialling.unsafePoll())
      yield* TestClock.adjust("1 seconds")
      assert.deepInclude(yield* Fiber.join(dialling), { _tag: "ConnectTimeout", phase: "handshake" })
    }))

  it.scopedLive.skipIf(!has("openssl"))(
    "with a file that cannot be used is neither a server nor a client (skipped: openssl is not installed)",
    () =>
      Effect.gen(function*() {
        const authority = new Authority("authority")
        const { certificate, privateKey } = authority.root.files
        const other = authority.issue("somebody").files
        const directory = yield* Peer.directory
        const encrypted = ["pkey", "-in", privateKey, "-aes256", "-passout", "pass:x", "-out", `${directory}/key`]
        yield* Effect.flatMap(run("openssl", encrypted), ({ ended }) => ended)
        const wrong: ReadonlyArray<readonly [ReturnType<typeof server> | ReturnType<typeof client>, string]> = [
          [server(`tls:0:${directory}/none`), `The privateKey ${directory}/none does not exist.`],
          [
            server(`tls:0:${privateKey}:certKey=${directory}/none`),
            `The certKey ${directory}/none does not exist.`
          ],
          [server(`tls:0:/:certKey=${certificate}`), "The privateKey / is a directory."],
          [
            server(`tls:0:${privateKey}`),
            `The privateKey ${privateKey} is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----; ` +
            "name the file of one with certKey=FILE."
          ],
          [
            server(`tls:0:${privateKey}:certKey=${other.privateKey}`),
            `The certKey ${other.privateKey} is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----.`
          ],
          [
            server(`tls:0:${certificate}`),
            `The privateKey ${certificate} is no private key in PEM, which begins with -----BEGIN PRIVATE KEY-----.`
          ],
          [
            server(`tls:0:${other.privateKey}:certKey=${certificate}`),
            `The privateKey ${other.privateKey} does not belong to the first certificate of ${certificate}.`
          ],
          [
            server(`tls:0:${directory}/key:certKey=${certificate}`),
            `The privateKey ${directory}/key is encrypted; write a copy that is not, with openssl pkey -in FILE -out FILE.`
          ],
          [
            server(`tls:0:${privateKey}:certKey=${certificate}:trustRoots=${directory}/none`),
            `The trustRoots ${directory}/none does not exist.`
          ],
          [client(`tls:h:1:trustRoots=${directory}/none`), `The trustRoots ${directory}/none does not exist.`],
          [client(`tls:h:1:certificate=${directory}/none`), `The certificate ${directory}/none does not exist.`]
        ]
        for (const [made, message] of wrong) {
          const error = yield* Effect.flip<unknown, NodeEndpoint.CredentialError, never>(made)
          assert.deepInclude(error, { _tag: "InvalidCredentialFile", message })
        }
      })
  )
})
