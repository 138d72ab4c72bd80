import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as http from "node:http"
import * as https from "node:https"
import type { Duplex as NodeDuplex } from "node:stream"
import type { Connector } from "../../src/Connector.ts"
import * as Connectors from "../../src/Connector.ts"
import type { Listener } from "../../src/Listener.ts"
import * as Network from "../../src/Network.ts"
import * as Duplex from "../../src/node/Duplex.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import * as Server from "../../src/server/Server.ts"
import * as Peer from "../support/peer.ts"

const content = Peer.pattern(3_000_000)
const pieces = Stream.make(content.subarray(0, 1_000_000), content.subarray(1_000_000))

const app = HttpRouter.empty.pipe(
  HttpRouter.get("/hello", Effect.succeed(HttpServerResponse.text("hello"))),
  HttpRouter.get(
    "/peer",
    Effect.map(
      HttpServerRequest.HttpServerRequest,
      ({ remoteAddress }) => HttpServerResponse.text(Option.getOrElse(remoteAddress, () => "unknown"))
    )
  ),
  HttpRouter.post(
    "/same",
    Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      return HttpServerResponse.text(`${content.equals(Buffer.from(yield* request.arrayBuffer))}`)
    })
  ),
  HttpRouter.get("/content", Effect.succeed(HttpServerResponse.stream(pieces)))
)

/** An HttpApp on the connections of a listener: node:http owns none of it. */
const serve = (listener: Listener) =>
  Effect.gen(function*() {
    const server = http.createServer(yield* NodeHttpServer.makeHandler(app))
    return yield* Server.serve(listener, (transport) =>
      Effect.flatMap(Duplex.to(transport), (duplex) => {
        server.emit("connection", duplex)
        return transport.closed
      }), { drainTimeout: 0 })
  })

type Connected = (error: Error | null, stream: NodeDuplex) => void

/** Node's Agent keeps connections and waits for free ones; where they come from is ours to say. */
class ConnectorAgent extends http.Agent {
  private readonly connect: (connected: Connected) => void

  constructor(connect: (connected: Connected) => void) {
    super({ keepAlive: true })
    this.connect = connect
  }

  override createConnection(_: unknown, connected?: Connected) {
    this.connect(connected!)
    return undefined
  }
}

/** The HttpClient of the platform over a connector. */
const client = (connector: Connector): Layer.Layer<HttpClient.HttpClient, never, Network.Network | Scope.Scope> =>
  Layer.unwrapEffect(Effect.map(Effect.runtime<Network.Network | Scope.Scope>(), (runtime) => {
    const connect = Effect.flatMap(connector.connect, (transport) => Duplex.to(transport))
    const run = Runtime.runCallback(runtime)
    const agent = new ConnectorAgent((connected) =>
      void run(connect, {
        onExit: (exit) =>
          exit._tag === "Success" ? connected(null, exit.value) : connected(new Error(`${exit.cause}`), undefined!)
      })
    )
    return Layer.provide(
      NodeHttpClient.layerWithoutAgent,
      Layer.succeed(NodeHttpClient.HttpAgent, {
        [NodeHttpClient.HttpAgentTypeId]: NodeHttpClient.HttpAgentTypeId,
        http: agent,
        https: new https.Agent()
      })
    )
  }))

const carriers = { TCP: Peer.free("tcp"), "a UNIX socket": Peer.free("unix") }

describe.each(Object.entries(carriers))("HttpServer and HttpClient over %s", (_, address) => {
  const run = <A, E>(body: (listener: Listener) => Effect.Effect<A, E, HttpClient.HttpClient | Scope.Scope>) =>
    Effect.gen(function*() {
      const listener = yield* Network.listen(yield* address)
      yield* Effect.forkScoped(serve(listener))
      const connector = listener.address._tag === "TcpAddress"
        ? Connectors.make({ host: listener.address.host, port: listener.address.port })
        : Connectors.unix(listener.address.path)
      return yield* Effect.provide(body(listener), client(connector))
    }).pipe(Effect.provide(NodeNetwork.layer))

  it.scopedLive("answers, over one connection that is kept", () =>
    run((listener) =>
      Effect.gen(function*() {
        for (let request = 0; request < 3; request++) {
          const response = yield* HttpClient.get("http://service/hello")
          assert.strictEqual(yield* response.text, "hello")
        }
        assert.strictEqual(listener.stats().connected, 1)
      })
    ))

  it.scopedLive("streams bodies", () =>
    run(() =>
      Effect.gen(function*() {
        const request = HttpClientRequest.bodyStream(HttpClientRequest.post("http://service/same"), pieces)
        assert.strictEqual(yield* Effect.flatMap(HttpClient.execute(request), ({ text }) => text), "true")
        const response = yield* HttpClient.get("http://service/content")
        assert.isTrue(content.equals(Buffer.from(yield* response.arrayBuffer)))
      })
    ))

  it.scopedLive("serves many at once", () =>
    run(() =>
      Effect.gen(function*() {
        const get = Effect.flatMap(HttpClient.get("http://service/hello"), ({ text }) => text)
        const texts = yield* Effect.all(Effect.replicate(get, 50), { concurrency: "unbounded" })
        assert.deepStrictEqual([...new Set(texts)], ["hello"])
      })
    ))

  it.scopedLive("knows the peer", () =>
    run((listener) =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get("http://service/peer")
        assert.strictEqual(yield* response.text, listener.address._tag === "TcpAddress" ? "127.0.0.1" : "unknown")
      })
    ))
})
