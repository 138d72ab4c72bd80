import * as Socket from "@effect/platform/Socket"
import * as SocketServer from "@effect/platform/SocketServer"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Address from "../../src/Address.ts"
import * as PlatformSocket from "../../src/interop/PlatformSocket.ts"
import * as PlatformSocketServer from "../../src/interop/PlatformSocketServer.ts"
import * as Network from "../../src/Network.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"
import * as Tls from "../../src/node/Tls.ts"
import type { Transport } from "../../src/Transport.ts"
import { Authority } from "../support/certificates.ts"
import * as Peer from "../support/peer.ts"
import { has } from "../support/tool.ts"

const Calls = RpcGroup.make(
  Rpc.make("Double", { payload: { value: Schema.Number }, success: Schema.Number }),
  Rpc.make("Divide", { payload: { by: Schema.Number }, success: Schema.Number, error: Schema.Literal("by zero") }),
  Rpc.make("Count", { payload: { to: Schema.Number }, success: Schema.Number, stream: true }),
  Rpc.make("Forever")
)

/** Begun and interrupted calls of `Forever`. */
type Events = Queue.Queue<"begun" | "interrupted">

const handlers = (events: Events) =>
  Calls.toLayer({
    Double: ({ value }) => Effect.succeed(2 * value),
    Divide: ({ by }) => by === 0 ? Effect.fail("by zero" as const) : Effect.succeed(1 / by),
    Count: ({ to }) => Stream.range(1, to),
    Forever: () =>
      Effect.onInterrupt(
        Effect.zipRight(Queue.offer(events, "begun"), Effect.never),
        () => Queue.offer(events, "interrupted")
      )
  })

interface Service {
  readonly client: RpcClient.FromGroup<typeof Calls, RpcClientError>
  readonly events: Events
  /** The server's ends of the connections, as they came. */
  readonly accepted: Queue.Dequeue<Transport>
}

interface Carrier {
  readonly address: Effect.Effect<Address.TcpAddress | Address.UnixAddress, never, Scope.Scope>
  readonly client?: (transport: Transport) => Effect.Effect<Transport<any>, any, Scope.Scope>
  readonly server?: (transport: Transport) => Effect.Effect<Transport<any>, any, Scope.Scope>
}

const service = (carrier: Carrier, serialization: Layer.Layer<RpcSerialization.RpcSerialization>) =>
  Effect.gen(function*() {
    const accepted = yield* Queue.unbounded<Transport>()
    const events: Events = yield* Queue.unbounded<"begun" | "interrupted">()
    const listener = yield* Network.listen(yield* carrier.address)
    const server = yield* PlatformSocketServer.make(listener, {
      drainTimeout: 0,
      through: (transport) =>
        Effect.zipRight(Queue.offer(accepted, transport), carrier.server?.(transport) ?? Effect.succeed(transport))
    })
    yield* RpcServer.layer(Calls).pipe(
      Layer.provide(handlers(events)),
      Layer.provide(RpcServer.layerProtocolSocketServer),
      Layer.provide(Layer.succeed(SocketServer.SocketServer, server)),
      Layer.provide(serialization),
      Layer.build
    )
    const connect = Network.connect(listener.address)
    const socket = yield* PlatformSocket.make(
      Effect.flatMap(connect, (transport) => carrier.client?.(transport) ?? Effect.succeed(transport))
    )
    const protocol = RpcClient.layerProtocolSocket({ retrySchedule: Schedule.spaced("10 millis") }).pipe(
      Layer.provide([Layer.succeed(Socket.Socket, socket), serialization])
    )
    const client = yield* Effect.provide(RpcClient.make(Calls), yield* Layer.build(protocol))
    return { client, events, accepted } satisfies Service
  })

const tcp: Carrier = { address: Effect.succeed(Address.tcp("127.0.0.1", 0)) }

const tls = (): Carrier => {
  const authority = new Authority("interop")
  const identity = authority.issue("localhost", ["DNS:localhost"])
  const context = Effect.orDie(Effect.cached(Tls.context({ identity })).pipe(Effect.flatten))
  return {
    ...tcp,
    server: Tls.server({ context }),
    client: Tls.client({
      context: Effect.orDie(Tls.context({ trustRoots: authority.root.certificate })),
      serverName: "localhost"
    })
  }
}

const carriers: ReadonlyArray<readonly [string, () => Carrier, Layer.Layer<RpcSerialization.RpcSerialization>]> = [
  ["TCP, ndjson", () => tcp, RpcSerialization.layerNdjson],
  ["TCP, MessagePack", () => tcp, RpcSerialization.layerMsgPack],
  ["a UNIX socket, MessagePack", () => ({ address: Peer.free("unix") }), RpcSerialization.layerMsgPack],
  ...has("openssl") ? [["TLS, MessagePack", tls, RpcSerialization.layerMsgPack] as const] : []
]

describe.each(carriers)("@effect/rpc over %s", (_, carrier, serialization) => {
  const run = <A, E>(body: (service: Service) => Effect.Effect<A, E, Scope.Scope>) =>
    Effect.flatMap(service(carrier(), serialization), body).pipe(Effect.provide(NodeNetwork.layer))

  it.scopedLive("calls and failures", () =>
    run(({ client }) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* client.Double({ value: 21 }), 42)
        assert.strictEqual(yield* Effect.flip(client.Divide({ by: 0 })), "by zero")
      })
    ))

  it.scopedLive("a stream, and 64 calls at once", () =>
    run(({ client }) =>
      Effect.gen(function*() {
        const counted = yield* Stream.runCollect(client.Count({ to: 1000 }))
        assert.deepStrictEqual(Chunk.toReadonlyArray(counted), Array.from({ length: 1000 }, (_, index) => index + 1))
        const values = Array.from({ length: 64 }, (_, index) => index)
        const doubled = yield* Effect.forEach(values, (value) => client.Double({ value }), { concurrency: "unbounded" })
        assert.deepStrictEqual(doubled, values.map((value) => 2 * value))
      })
    ))

  it.scopedLive("an interruption", () =>
    run(({ client, events }) =>
      Effect.gen(function*() {
        const call = yield* Effect.fork(client.Forever())
        assert.strictEqual(yield* Queue.take(events), "begun")
        yield* Fiber.interrupt(call)
        assert.strictEqual(yield* Queue.take(events), "interrupted")
      })
    ))

  it.scopedLive("a reset: the calls that wait fail, and the next ones go over a new connection", () =>
    run(({ accepted, client, events }) =>
      Effect.gen(function*() {
        const call = yield* Effect.fork(Effect.flip(client.Forever()))
        assert.strictEqual(yield* Queue.take(events), "begun")
        yield* (yield* Queue.take(accepted)).abort
        assert.instanceOf(yield* Fiber.join(call), RpcClientError)
        // What is begun before the new connection is there fails, and does not die.
        const after = yield* client.Double({ value: 1 }).pipe(
          Effect.retry({ while: (error) => error instanceof RpcClientError, schedule: Schedule.spaced("5 millis") })
        )
        assert.strictEqual(after, 2)
        yield* Queue.take(accepted)
      })
    ))

  it.scopedLive("an unread stream does not hold up other calls", () =>
    run(({ client }) =>
      Effect.gen(function*() {
        const mailbox = yield* client.Count({ to: 100_000 }, { asMailbox: true, streamBufferSize: 1 })
        yield* mailbox.take
        for (let value = 0; value < 100; value++) assert.strictEqual(yield* client.Double({ value }), 2 * value)
      })
    ))
})
