import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { assert, describe, it } from "@effect/vitest"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as Address from "../src/Address.ts"
import * as Connector from "../src/Connector.ts"
import * as MemoryTransport from "../src/memory/MemoryTransport.ts"
import * as Network from "../src/Network.ts"
import * as NodeNetwork from "../src/node/NodeNetwork.ts"
import * as Observability from "../src/Observability.ts"
import * as Server from "../src/server/Server.ts"
import type { Transport } from "../src/Transport.ts"
import { ascii } from "./support/bytes.ts"
import * as Peer from "./support/peer.ts"

const echo = (transport: Transport) => transport.forEach(transport.write)

/** With an exporter that keeps the spans, which it gives when all are exported. */
const traced = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const exporter = new InMemorySpanExporter()
    const sdk = NodeSdk.layer(() => ({
      resource: { serviceName: "test" },
      spanProcessor: new SimpleSpanProcessor(exporter)
    }))
    // Before the exporter is shut down, which forgets them.
    return program.pipe(
      Effect.zipRight(Effect.map(Peer.turns(3), () => exporter.getFinishedSpans())),
      Effect.provide(sdk)
    )
  })

const named = (spans: ReadonlyArray<ReadableSpan>, name: string) => spans.filter((span) => span.name === name)

/** What a metric says: the sum of all that have its name and these labels. */
const valueOf = (name: string, labels: Readonly<Record<string, string>> = {}) =>
  Metric.unsafeSnapshot().reduce((sum, { metricKey, metricState }) => {
    const matches = metricKey.name === name &&
      Object.entries(labels).every(([key, value]) =>
        metricKey.tags.some((tag) => tag.key === key && tag.value === value)
      )
    if (!matches) return sum
    if (MetricState.isHistogramState(metricState)) return sum + metricState.count
    if (MetricState.isCounterState(metricState)) return sum + Number(metricState.count)
    return MetricState.isGaugeState(metricState) ? sum + Number(metricState.value) : sum
  }, 0)

/** How much a metric has risen meanwhile. */
const rise = (name: string, labels?: Readonly<Record<string, string>>) => {
  const before = valueOf(name, labels)
  return () => valueOf(name, labels) - before
}

/** A request and its answer, over a server and a connector that are observed. */
const exchange = Effect.gen(function*() {
  const listener = yield* Effect.flatMap(Network.listen(Address.tcp("127.0.0.1", 0)), Observability.listener)
  const handler = yield* Observability.handler((transport) =>
    Effect.zipRight(Effect.withSpan(Effect.void, "work"), echo(transport))
  )
  const server = yield* Effect.fork(Server.serve(listener, handler))
  const { port } = listener.address
  const connector = Observability.connector(Connector.make({ host: "127.0.0.1", port }))
  yield* Effect.scoped(Effect.gen(function*() {
    const transport = yield* connector.connect
    yield* transport.write(ascii("hello"))
    yield* transport.closeWrite
    assert.strictEqual((yield* Peer.readAll(transport)).toString(), "hello")
  }))
  yield* Peer.turns(5)
  yield* listener.close
  yield* Fiber.join(server)
  yield* Peer.turns(5)
  return port
}).pipe(Effect.scoped, Effect.provide(NodeNetwork.layer))

describe("spans, exported by OpenTelemetry", () => {
  it.live("are there for the listener, the dial and both ends of a connection", () =>
    Effect.gen(function*() {
      let port = 0
      const program = Effect.withSpan(Effect.map(exchange, (bound) => port = bound), "caller")
      const spans = yield* traced(program)
      const [caller, work] = [named(spans, "caller")[0]!, named(spans, "work")[0]!]

      const dial = named(spans, "transport.connect")
      assert.strictEqual(dial.length, 1)
      assert.strictEqual(dial[0]!.kind, 2)
      assert.strictEqual(dial[0]!.parentSpanContext?.spanId, caller.spanContext().spanId)
      assert.deepInclude(dial[0]!.attributes, {
        "network.transport": "tcp",
        "network.type": "ipv4",
        "server.address": "127.0.0.1",
        "server.port": port,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": port
      })

      const [client, server] = named(spans, "transport.connection").toSorted((a, b) => b.kind - a.kind)
      assert.strictEqual(client!.parentSpanContext?.spanId, caller.spanContext().spanId)
      assert.deepInclude(client!.attributes, {
        "server.port": port,
        "effect_transport.bytes_read": 5,
        "effect_transport.bytes_written": 5,
        "effect_transport.first_ended": "local"
      })
      assert.isUndefined(server!.parentSpanContext)
      assert.strictEqual(work.parentSpanContext?.spanId, server!.spanContext().spanId)
      assert.deepInclude(server!.attributes, {
        "network.transport": "tcp",
        "server.address": "127.0.0.1",
        "server.port": port,
        "client.address": "127.0.0.1",
        "client.port": client!.attributes["network.local.port"],
        "effect_transport.first_ended": "peer"
      })
      assert.deepStrictEqual([client!.status.code, server!.status.code], [1, 1])

      const [listening] = named(spans, "transport.listen")
      assert.strictEqual(server!.links[0]?.context.spanId, listening!.spanContext().spanId)
      assert.deepInclude(listening!.attributes, {
        "server.port": port,
        "effect_transport.connections": 1,
        "effect_transport.refused": 0
      })
      assert.strictEqual(spans.length, 6)
    }))

  it.live("tell of a refused dial, and of a loss, by the tag of the error", () =>
    Effect.gen(function*() {
      const spans = yield* traced(Effect.scoped(Effect.gen(function*() {
        const connector = Observability.connector(Connector.make({ host: "127.0.0.1", port: 1 }))
        yield* Effect.flip(Effect.provide(connector.connect, NodeNetwork.layer))
        const [left, right] = yield* MemoryTransport.pair()
        const handler = yield* Observability.handler(echo)
        const handling = yield* Effect.fork(Effect.exit(handler(left)))
        yield* Peer.turns(1)
        yield* right.abort
        yield* Fiber.join(handling)
        yield* left.closed
        yield* Peer.turns(1)
      })))
      const [dial] = named(spans, "transport.connect")
      assert.strictEqual(dial!.attributes["error.type"], "ConnectionRefused")
      assert.strictEqual(dial!.status.code, 2)
      const [connection] = named(spans, "transport.connection")
      assert.deepInclude(connection!.attributes, {
        "network.transport": "pipe",
        "error.type": "ConnectionReset",
        "effect_transport.lost_by": "peer",
        "effect_transport.bytes_unsent": 0
      })
      assert.strictEqual(connection!.status.code, 2)
    }))

  it.live("are there for a transport from elsewhere, which stays as it is", () =>
    Effect.gen(function*() {
      const spans = yield* traced(Effect.scoped(Effect.gen(function*() {
        const [left] = yield* MemoryTransport.pair()
        assert.strictEqual(
          yield* Observability.connection(left, { kind: "server", attributes: { "app.tenant": 7 } }),
          left
        )
        yield* left.abort
        yield* Peer.turns(1)
      })))
      const [connection] = named(spans, "transport.connection")
      assert.strictEqual(connection!.kind, 1)
      assert.deepInclude(connection!.attributes, {
        "app.tenant": 7,
        "client.address": "right",
        "error.type": "ConnectionAborted"
      })
    }))

  it.scopedLive("end also if the making of an observed listener is interrupted", () =>
    Effect.gen(function*() {
      const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
      const native = yield* Effect.tracer
      const ended = yield* Deferred.make<void>()
      let making: Fiber.RuntimeFiber<unknown, unknown> | undefined
      const tracer = Tracer.make({
        ...native,
        span: (...of) => {
          making!.unsafeInterruptAsFork(FiberId.none)
          return Object.assign(native.span(...of), { end: () => Deferred.unsafeDone(ended, Exit.void) })
        }
      })
      making = yield* Effect.fork(Effect.withTracer(Observability.listener(listener), tracer))
      yield* Fiber.await(making)
      yield* listener.close
      yield* Deferred.await(ended)
    }).pipe(Effect.provide(NodeNetwork.layer)))

  it.live("are not made where they are turned off, and have the attributes that are given", () =>
    Effect.gen(function*() {
      const off = yield* traced(Effect.provideService(exchange, Observability.Settings, { spans: false }))
      assert.deepStrictEqual(off.map(({ name }) => name), ["work"])
      const given = { attributes: { "deployment.environment.name": "test" } }
      const on = yield* traced(Effect.provideService(exchange, Observability.Settings, given))
      const ours = on.filter(({ name }) => name.startsWith("transport."))
      assert.strictEqual(ours.length, 4)
      for (const { attributes } of ours) assert.deepInclude(attributes, given.attributes)
    }))

  it.effect("cost nothing where there is nothing to observe: the handler is the same", () =>
    Effect.gen(function*() {
      const settings = { metrics: false, logs: false }
      const handler = yield* Effect.provideService(Observability.handler(echo), Observability.Settings, settings)
      // Nobody traces here.
      assert.strictEqual<unknown>(handler, echo)
      const [left] = yield* MemoryTransport.pair()
      const observed = Effect.provideService(Observability.connection(left), Observability.Settings, settings)
      assert.strictEqual(yield* observed, left)
      yield* left.abort
    }).pipe(Effect.scoped))
})

describe("metrics of observed connections", () => {
  it.scoped("count what passes, from look to look, and the rest at the end", () =>
    Effect.gen(function*() {
      const [left, peer] = yield* MemoryTransport.pair({ capacity: 10, highWaterMark: 10 })
      const kind = { kind: "client" }
      const open = rise("effect_transport_observed_connections", kind)
      const buffered = rise("effect_transport_buffered_bytes", kind)
      const read = rise("effect_transport_bytes_read_total", kind)
      const written = rise("effect_transport_bytes_written_total", kind)
      const pressure = rise("effect_transport_pressure_seconds_total", kind)
      const durations = rise("effect_transport_connection_duration_seconds", kind)
      const clean = rise("effect_transport_observed_connections_total", { ...kind, outcome: "clean" })
      yield* Observability.connection(left)
      assert.strictEqual(open(), 1)
      yield* left.write(new Uint8Array(25))
      const waiting = yield* Effect.fork(left.write(new Uint8Array(5)))
      yield* Effect.yieldNow()
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual([read(), written(), buffered(), pressure()], [0, 10, 15, 3])
      const rest = yield* Effect.fork(Peer.readAll(peer))
      yield* Fiber.join(waiting)
      yield* left.flush
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual([written(), buffered(), pressure(), durations()], [30, 0, 3, 0])
      yield* peer.write(ascii("last"))
      yield* peer.closeWrite
      yield* Peer.readAll(left)
      yield* left.closeWrite
      yield* Fiber.join(rest)
      yield* left.closed
      yield* Peer.turns(1)
      assert.deepStrictEqual([open(), read(), written(), clean(), durations()], [0, 4, 30, 1, 1])
    }))

  it.scoped("are as of each one's own interval", () =>
    Effect.gen(function*() {
      const written = rise("effect_transport_bytes_written_total", { kind: "server" })
      const observed = (kind: "client" | "server", interval: Duration.DurationInput) =>
        Effect.gen(function*() {
          const [left] = yield* MemoryTransport.pair()
          const settings = { interval }
          return yield* Effect.provideService(
            Observability.connection(left, { kind }),
            Observability.Settings,
            settings
          )
        })
      yield* observed("client", "1 hour")
      const often = yield* observed("server", "1 second")
      yield* often.write(new Uint8Array(7))
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(written(), 7)
    }))

  it.scoped("know no pressure from before a connection was there", () =>
    Effect.gen(function*() {
      const pressure = rise("effect_transport_pressure_seconds_total", { kind: "client" })
      const [first] = yield* MemoryTransport.pair()
      yield* Observability.connection(first)
      yield* TestClock.adjust("750 millis")
      const [late] = yield* MemoryTransport.pair({ capacity: 1, highWaterMark: 1 })
      yield* Observability.connection(late)
      yield* late.write(new Uint8Array(2))
      yield* Effect.fork(late.write(new Uint8Array(1)))
      yield* TestClock.adjust("250 millis")
      assert.strictEqual(pressure(), 0.25)
    }))

  it.live("count dials and losses by the tag of the error", () =>
    Effect.gen(function*() {
      const refused = rise("effect_transport_connects_total", { outcome: "ConnectionRefused" })
      const connected = rise("effect_transport_connects_total", { outcome: "connected" })
      const times = rise("effect_transport_connect_duration_seconds")
      const reset = rise("effect_transport_observed_connections_total", { kind: "server", outcome: "ConnectionReset" })
      yield* exchange
      const connector = Observability.connector(Connector.make({ host: "127.0.0.1", port: 1 }))
      yield* Effect.flip(Effect.provide(connector.connect, NodeNetwork.layer))
      const [left, right] = yield* MemoryTransport.pair()
      const handling = yield* Effect.fork(Effect.exit((yield* Observability.handler(echo))(left)))
      yield* Peer.turns(1)
      yield* right.abort
      yield* Fiber.join(handling)
      yield* Peer.turns(1)
      assert.deepStrictEqual([refused(), connected(), times(), reset()], [1, 1, 2, 1])
    }).pipe(Effect.scoped))

  it.live("are exported with their units, and not touched where they are turned off", () =>
    Effect.gen(function*() {
      const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
      const metricReader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
      const sdk = NodeSdk.layer(() => ({ resource: { serviceName: "test" }, metricReader }))
      yield* Effect.provide(exchange, sdk)
      const metrics = exporter.getMetrics().flatMap(({ scopeMetrics }) =>
        scopeMetrics.flatMap(({ metrics }) => metrics)
      )
      const units = Object.fromEntries(metrics.map(({ descriptor }) => [descriptor.name, descriptor.unit]))
      assert.deepInclude(units, {
        effect_transport_observed_connections: "{connection}",
        effect_transport_observed_connections_total: "{connection}",
        effect_transport_connection_duration_seconds: "s",
        effect_transport_bytes_read_total: "By",
        effect_transport_bytes_written_total: "By",
        effect_transport_connects_total: "{connection}",
        effect_transport_connect_duration_seconds: "s"
      })
      const total = rise("effect_transport_observed_connections_total")
      yield* Effect.provideService(exchange, Observability.Settings, { metrics: false })
      assert.strictEqual(total(), 0)
    }))
})

describe("logs of an observed handler", () => {
  const logging = Effect.gen(function*() {
    const seen: Array<Readonly<Record<string, unknown>>> = []
    const logger = Logger.make(({ annotations }) => void seen.push(Object.fromEntries(annotations)))
    const [left] = yield* MemoryTransport.pair()
    yield* Effect.gen(function*() {
      const handler = yield* Observability.handler(() => Effect.log("served"))
      yield* handler(left)
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    yield* left.abort
    return seen
  })

  it.scoped("have the addresses of the connection, unless that is turned off", () =>
    Effect.gen(function*() {
      const [annotations] = yield* logging
      assert.deepInclude(annotations, { "network.transport": "pipe", "network.peer.address": "right" })
      const off = Layer.succeed(Observability.Settings, { logs: false })
      assert.deepStrictEqual(yield* Effect.provide(logging, off), [{}])
    }))
})
