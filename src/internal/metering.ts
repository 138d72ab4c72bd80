/**
 * The metrics of observed connections, and the look that is taken at them from time to time: nothing is done for a chunk.
 *
 * @internal
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricLabel from "effect/MetricLabel"
import type { CloseReason, Transport } from "../Transport.ts"
import type { Timers } from "./connection.ts"
import type { Member } from "./members.ts"
import { Members } from "./members.ts"
import type { Scheduling } from "./timers.ts"

export type Kind = "client" | "server"

/** The exporter of @effect/opentelemetry takes a metric's unit from a label of this name. */
const unit = "unit"

const counter = (name: string, of: string, description: string) =>
  Metric.tagged(Metric.counter(name, { description, incremental: true }), unit, of)

const gauge = (name: string, of: string, description: string) =>
  Metric.tagged(Metric.gauge(name, { description }), unit, of)

/** 1 ms to 16 minutes, by four. */
const durations = MetricBoundaries.exponential({ start: 0.001, factor: 4, count: 11 })

const histogram = (name: string, description: string) =>
  Metric.tagged(Metric.histogram(name, durations, description), unit, "s")

export const open = gauge(
  "effect_transport_observed_connections",
  "{connection}",
  "Observed connections that are open now"
)

export const closed = counter(
  "effect_transport_observed_connections_total",
  "{connection}",
  "Observed connections that are over, by outcome"
)

export const duration = histogram("effect_transport_connection_duration_seconds", "How long connections were open")

export const bytesRead = counter(
  "effect_transport_bytes_read_total",
  "By",
  "Bytes taken from the carriers of observed connections"
)

export const bytesWritten = counter(
  "effect_transport_bytes_written_total",
  "By",
  "Bytes handed to the carriers of observed connections"
)

export const buffered = gauge(
  "effect_transport_buffered_bytes",
  "By",
  "Bytes accepted for writing, and not handed over"
)

export const pressure = counter(
  "effect_transport_pressure_seconds_total",
  "s",
  "Time in which a connection had writers that waited for room"
)

export const connects = counter(
  "effect_transport_connects_total",
  "{connection}",
  "Connections that were dialled, by outcome"
)

export const connectDuration = histogram("effect_transport_connect_duration_seconds", "How long dialling took")

/** By the kind: a metric that is tagged anew costs more than its update. */
const byKind = <M>(tag: (kind: Kind) => M): Readonly<Record<Kind, M>> => ({
  client: tag("client"),
  server: tag("server")
})

const of = byKind((kind) => ({
  open: Metric.tagged(open, "kind", kind),
  closed: Metric.tagged(closed, "kind", kind),
  duration: Metric.tagged(duration, "kind", kind),
  bytesRead: Metric.tagged(bytesRead, "kind", kind),
  bytesWritten: Metric.tagged(bytesWritten, "kind", kind),
  buffered: Metric.tagged(buffered, "kind", kind),
  pressure: Metric.tagged(pressure, "kind", kind)
}))

/** What is said of a failure: its tag. What has none, programs have not foreseen. */
export const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string"
    ? error._tag
    : "unknown"

const outcomeOf = (reason: CloseReason<unknown>): string => reason._tag === "Clean" ? "clean" : tagOf(reason.error)

/** One more of this outcome. There are as many metrics of it as there are tags. */
export const count = (metric: Metric.Metric.Counter<number>, outcome: string): void =>
  metric.unsafeUpdate(1, [MetricLabel.make("outcome", outcome)])

/** One open connection, as it was at the last look. */
class Metered implements Member {
  place = 0
  readonly transport: Transport<unknown>
  readonly kind: Kind
  readonly since: number
  private lookedAt: number
  private bytesRead = 0
  private bytesWritten = 0
  private buffered = 0

  constructor(transport: Transport<unknown>, kind: Kind, since: number) {
    this.transport = transport
    this.kind = kind
    this.since = this.lookedAt = since
  }

  look(now: number): void {
    const metrics = of[this.kind]
    const { buffered, bytesRead, bytesWritten, writersWaiting } = this.transport.stats()
    if (bytesRead > this.bytesRead) metrics.bytesRead.unsafeUpdate(bytesRead - this.bytesRead, [])
    if (bytesWritten > this.bytesWritten) metrics.bytesWritten.unsafeUpdate(bytesWritten - this.bytesWritten, [])
    if (buffered !== this.buffered) metrics.buffered.unsafeModify(buffered - this.buffered, [])
    if (writersWaiting > 0) metrics.pressure.unsafeUpdate((now - this.lookedAt) / 1000, [])
    this.lookedAt = now
    this.bytesRead = bytesRead
    this.bytesWritten = bytesWritten
    this.buffered = buffered
  }
}

/** The open connections of one Clock that are looked at together, as often as somebody who observes them wants it. */
export class Meter {
  private readonly timers: Timers
  /** Milliseconds. */
  private readonly interval: number
  private readonly connections = new Members<Metered>()
  private cancel: (() => void) | undefined = undefined

  constructor(timers: Timers, interval: number) {
    this.timers = timers
    this.interval = interval
  }

  /** Gives what is to be called at its end. */
  add(transport: Transport<unknown>, kind: Kind): (reason: CloseReason<unknown>) => void {
    const metered = new Metered(transport, kind, this.timers.now())
    this.connections.add(metered)
    of[kind].open.unsafeModify(1, [])
    this.schedule()
    return (reason) => {
      const now = this.timers.now()
      metered.look(now)
      this.connections.remove(metered)
      if (this.connections.size === 0) this.rest()
      of[kind].open.unsafeModify(-1, [])
      of[kind].duration.unsafeUpdate((now - metered.since) / 1000, [])
      count(of[kind].closed, outcomeOf(reason))
    }
  }

  private rest(): void {
    this.cancel?.()
    this.cancel = undefined
  }

  /** While there is anything to look at. It is nothing that anybody waits for: time does not go on for it. */
  private schedule(): void {
    if (this.cancel !== undefined) return
    const later: Scheduling["unsafeSchedule"] = this.timers.schedule
    this.cancel = later(this.interval, () => {
      this.cancel = undefined
      const now = this.timers.now()
      for (const connection of this.connections.all()) connection.look(now)
      this.schedule()
    }, true)
  }
}
