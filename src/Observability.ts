/**
 * Spans, metrics and log annotations for listeners, dials and connections, under the names of OpenTelemetry's semantic
 * conventions. Nothing is done for a chunk: a connection has a span, and is looked at from time to time.
 *
 * Nothing is observed unless it is asked for: `handler`, `connector`, `listener` and `connection` each make of a thing the
 * same thing, observed; `Settings` turns each kind of observation off. `Server` counts its connections by itself.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"
import type { Address } from "./Address.ts"
import type { ConnectionLost } from "./ConnectionError.ts"
import type { Connector } from "./Connector.ts"
import * as Endpoint from "./Endpoint.ts"
import * as Metering from "./internal/metering.ts"
import { timersOf } from "./internal/timers.ts"
import type { Listener } from "./Listener.ts"
import type { CloseReason, Transport } from "./Transport.ts"

// -----------------------------------------------------------------------------
// settings
// -----------------------------------------------------------------------------

/**
 * What is observed, for whatever is made observed where they hold.
 *
 * @since 0.1.0
 * @category models
 */
export interface Observed {
  /** Spans: `true`. They are made only where somebody traces: with another tracer than Effect's own, which keeps nothing. */
  readonly spans?: boolean | undefined
  /** Metrics: `true`. */
  readonly metrics?: boolean | undefined
  /** The addresses of the connection as annotations of what handlers log: `true`. */
  readonly logs?: boolean | undefined
  /** Attributes of every span. */
  readonly attributes?: Readonly<Record<string, unknown>> | undefined
  /** How often open connections are looked at for their metrics, by the Clock: 1 second. */
  readonly interval?: Duration.DurationInput | undefined
}

/**
 * The settings, a service with a default: everything is on.
 *
 * @example
 * ```ts
 * import * as Layer from "effect/Layer"
 * import * as Observability from "effect-transport/Observability"
 *
 * export const metricsOnly = Layer.succeed(Observability.Settings, { spans: false, logs: false })
 * ```
 *
 * @since 0.1.0
 * @category settings
 */
export class Settings extends Context.Reference<Settings>()("effect-transport/Observability/Settings", {
  defaultValue: (): Observed => ({})
}) {}

// -----------------------------------------------------------------------------
// metrics
// -----------------------------------------------------------------------------

/**
 * Gauge `effect_transport_observed_connections`, in connections, by `kind`: `client` or `server`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const openConnections = Metering.open

/**
 * Counter `effect_transport_observed_connections_total`, in connections that are over, by `kind` and `outcome`: `clean`, or
 * the tag of the loss.
 *
 * @since 0.1.0
 * @category metrics
 */
export const closedConnections = Metering.closed

/**
 * Histogram `effect_transport_connection_duration_seconds`, by `kind`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const connectionDuration = Metering.duration

/**
 * Counter `effect_transport_bytes_read_total`, in bytes, by `kind`. As of the last look; of what is over, all.
 *
 * @since 0.1.0
 * @category metrics
 */
export const bytesRead = Metering.bytesRead

/**
 * Counter `effect_transport_bytes_written_total`, in bytes, by `kind`. As of the last look; of what is over, all.
 *
 * @since 0.1.0
 * @category metrics
 */
export const bytesWritten = Metering.bytesWritten

/**
 * Gauge `effect_transport_buffered_bytes`, in bytes that are accepted and not handed over, by `kind`. As of the last look.
 *
 * @since 0.1.0
 * @category metrics
 */
export const bufferedBytes = Metering.buffered

/**
 * Counter `effect_transport_pressure_seconds_total`, by `kind`: the time between two looks at a connection, the first of them
 * when it is made observed, if it had writers waiting at the second one. (`policy/Tap` measures each wait.)
 *
 * @since 0.1.0
 * @category metrics
 */
export const pressureTime = Metering.pressure

/**
 * Counter `effect_transport_connects_total`, in dials that are over, by `outcome`: `connected`, `interrupted`, or the tag of
 * the failure.
 *
 * @since 0.1.0
 * @category metrics
 */
export const connects = Metering.connects

/**
 * Histogram `effect_transport_connect_duration_seconds`: from the look-up of the name to the end of the last handshake.
 *
 * @since 0.1.0
 * @category metrics
 */
export const connectDuration = Metering.connectDuration

// -----------------------------------------------------------------------------
// what is observed
// -----------------------------------------------------------------------------

/** What holds where something is made observed, or is dialled. */
interface Observer {
  readonly clock: Clock.Clock
  readonly meter: Metering.Meter | undefined
  readonly spans: boolean
  readonly logs: boolean
  readonly attributes: Readonly<Record<string, unknown>>
}

const nobody = Context.get(DefaultServices.liveServices, Tracer.Tracer)

const meters = new WeakMap<Clock.Clock, Map<number, Metering.Meter>>()

/** One for each interval: parts of a program may want different ones. */
const meterOf = (clock: Clock.Clock, interval: number): Metering.Meter => {
  const byInterval = meters.get(clock) ?? new Map<number, Metering.Meter>()
  meters.set(clock, byInterval)
  const meter = byInterval.get(interval) ?? new Metering.Meter(timersOf(clock), interval)
  byInterval.set(interval, meter)
  return meter
}

/** `undefined`: there is nothing to observe. */
const observer: Effect.Effect<Observer | undefined> = Effect.gen(function*() {
  const { attributes = {}, interval = "1 second", logs = true, metrics = true, spans = true } = yield* Settings
  const clock = yield* Effect.clock
  const traced = spans && (yield* Effect.tracer) !== nobody && (yield* FiberRef.get(FiberRef.currentTracerEnabled))
  const meter = metrics ? meterOf(clock, Duration.toMillis(interval)) : undefined
  if (!traced && !logs && meter === undefined) return undefined
  return { clock, meter, spans: traced, logs, attributes }
})

// -----------------------------------------------------------------------------
// attributes
// -----------------------------------------------------------------------------

type Attributes = Readonly<Record<string, unknown>>

const transportOf = (address: Address): Attributes => {
  switch (address._tag) {
    case "TcpAddress":
      return { "network.transport": "tcp", "network.type": address.family.toLowerCase() }
    case "UnixAddress":
      return { "network.transport": "unix" }
    case "PipeAddress":
    case "MemoryAddress":
      return { "network.transport": "pipe" }
  }
}

/** `prefix.address` and `prefix.port`; nothing of a UNIX socket that has no path. */
const addressOf = (prefix: string, address: Address): Attributes => {
  switch (address._tag) {
    case "TcpAddress":
      return { [`${prefix}.address`]: address.host, [`${prefix}.port`]: address.port }
    case "UnixAddress":
      return address.isUnnamed ? {} : { [`${prefix}.address`]: address.path }
    case "PipeAddress":
    case "MemoryAddress":
      return { [`${prefix}.address`]: address.name }
  }
}

const networkOf = ({ localAddress, remoteAddress }: Transport<unknown>): Attributes => ({
  ...transportOf(remoteAddress),
  ...addressOf("network.peer", remoteAddress),
  ...addressOf("network.local", localAddress)
})

const acceptedOf = (transport: Transport<unknown>): Attributes => ({
  ...networkOf(transport),
  ...addressOf("server", transport.localAddress),
  ...addressOf("client", transport.remoteAddress)
})

/** What was dialled: a name, where the description has one. */
const targetOf = (target: string): Attributes => {
  const endpoint = Either.getOrUndefined(Endpoint.parseClient(target))
  if (endpoint === undefined) return { "server.address": target }
  return "host" in endpoint
    ? { "network.transport": "tcp", "server.address": endpoint.host, "server.port": endpoint.port }
    : { ...transportOf(endpoint.address), ...addressOf("server", endpoint.address) }
}

const endOf = (transport: Transport<unknown>, reason: CloseReason<unknown>): Attributes => {
  const { bytesRead, bytesWritten } = transport.stats()
  return {
    "effect_transport.bytes_read": bytesRead,
    "effect_transport.bytes_written": bytesWritten,
    ...(reason._tag === "Clean"
      ? { "effect_transport.first_ended": reason.firstEnded }
      : { "error.type": Metering.tagOf(reason.error), ...detailOf(reason.error) })
  }
}

const detailOf = (error: unknown): Attributes => {
  const { bytesUnsent, side } = error as { readonly bytesUnsent?: unknown; readonly side?: unknown }
  return {
    ...(typeof side === "string" ? { "effect_transport.lost_by": side } : {}),
    ...(typeof bytesUnsent === "number" ? { "effect_transport.bytes_unsent": bytesUnsent } : {})
  }
}

const setAll = (span: Tracer.Span, attributes: Attributes): void => {
  for (const [name, value] of Object.entries(attributes)) span.attribute(name, value)
}

// -----------------------------------------------------------------------------
// spans
// -----------------------------------------------------------------------------

/** A span that somebody has to end; `undefined` where nobody traces. */
const begin = (
  { attributes, spans }: Observer,
  name: string,
  own: Attributes,
  options: Tracer.SpanOptions
): Effect.Effect<Tracer.Span | undefined> =>
  spans
    ? Effect.makeSpan(name, { captureStackTrace: false, ...options, attributes: { ...attributes, ...own } })
    : Effect.succeed(undefined)

const end = ({ clock }: Observer, span: Tracer.Span | undefined, exit: Exit.Exit<unknown, unknown>): void =>
  span?.end(clock.unsafeCurrentTimeNanos(), exit)

const within = <A, E, R>(effect: Effect.Effect<A, E, R>, span: Tracer.Span | undefined): Effect.Effect<A, E, R> =>
  span === undefined ? effect : Effect.withParentSpan(effect, span) as Effect.Effect<A, E, R>

/** Beside whoever uses it: a fiber that waits for the end, and is gone with it. */
const whenClosed = <E>(transport: Transport<E>, tell: (reason: CloseReason<E>) => void): Effect.Effect<void> =>
  Effect.asVoid(Effect.forkDaemon(Effect.interruptible(Effect.map(transport.closed, tell))))

/** A listener's span, to which its connections' are linked. */
const listening = new WeakMap<Listener, Tracer.Span>()

/**
 * A span `transport.listen` for a listener, from now until it is closed. The spans of connections that an observed handler
 * gets from it are linked to it.
 *
 * Attributes: `network.transport`, `network.type`, `server.address`, `server.port`; at the end
 * `effect_transport.connections` and `effect_transport.refused`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const listener = <A extends Address>(listener: Listener<A>): Effect.Effect<Listener<A>> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const { address } = listener
    const seen = yield* observer
    if (seen?.spans !== true) return listener
    const span = yield* begin(
      seen,
      "transport.listen",
      { ...transportOf(address), ...addressOf("server", address) },
      {}
    )
    if (span === undefined) return listener
    listening.set(listener, span)
    const over = () => {
      const { connected, refused } = listener.stats()
      setAll(span, { "effect_transport.connections": connected, "effect_transport.refused": refused })
      end(seen, span, Exit.void)
    }
    yield* Effect.forkDaemon(Effect.interruptible(Effect.map(listener.closed, over)))
    return listener
  }))

/**
 * The handler of a server, observed: with a span for each connection (`transport.connection`, kind server, without a parent),
 * which is the parent of what the handler does, its metrics, and its addresses as annotations of the handler's logs. For
 * `Server.serve`, and for any other accept loop.
 *
 * What is observed is decided here, once: where there is nothing to observe it is the same handler. The span ends when the
 * handler has ended and nothing is left of the connection. It failed if the handler did, or else if the connection was lost.
 *
 * Attributes: `network.transport`, `network.type`, `network.peer.address`, `network.peer.port`, `network.local.address`,
 * `network.local.port`, `server.address`, `server.port`, `client.address`, `client.port`; at the end
 * `effect_transport.bytes_read`, `effect_transport.bytes_written`, and `effect_transport.first_ended`, or of a loss
 * `error.type` (its tag), `effect_transport.lost_by`, `effect_transport.bytes_unsent`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import type { Listener } from "effect-transport/Listener"
 * import * as Observability from "effect-transport/Observability"
 * import * as Server from "effect-transport/server/Server"
 * import type { Transport } from "effect-transport/Transport"
 *
 * const echo = (transport: Transport) => transport.forEach(transport.write)
 *
 * export const program = (listener: Listener) =>
 *   Effect.flatMap(Observability.handler(echo), (observed) => Server.serve(listener, observed))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const handler = <A, E, R, E1 = ConnectionLost, L extends Listener = Listener>(
  handler: (transport: Transport<E1>, listener: L) => Effect.Effect<A, E, R>
): Effect.Effect<(transport: Transport<E1>, listener?: L) => Effect.Effect<A, E, R>> =>
  Effect.map(observer, (seen) => {
    const given = handler as (transport: Transport<E1>, listener?: L) => Effect.Effect<A, E, R>
    if (seen === undefined) return given
    return (transport, listener) => handled(seen, transport, listener, Effect.suspend(() => given(transport, listener)))
  })

const handled = <A, E, R>(
  seen: Observer,
  transport: Transport<unknown>,
  listener: Listener | undefined,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const listenerSpan = listener && listening.get(listener)
      const links = listenerSpan === undefined
        ? []
        : [{ _tag: "SpanLink", span: listenerSpan, attributes: {} } as const]
      const span = yield* begin(seen, "transport.connection", acceptedOf(transport), {
        kind: "server",
        root: true,
        links
      })
      const over = yield* followed(seen, transport, "server", span)
      const annotated = seen.logs ? Effect.annotateLogs(effect, networkOf(transport)) : effect
      return yield* Effect.onExit(restore(within(annotated, span)), (exit) => Effect.sync(() => over(exit)))
    })
  )

/** Follows a connection to its end. Gives what is to be called when its user has ended. */
const followed = (
  seen: Observer,
  transport: Transport<unknown>,
  kind: Metering.Kind,
  span: Tracer.Span | undefined
): Effect.Effect<(exit: Exit.Exit<unknown, unknown>) => void> => {
  const settle = seen.meter?.add(transport, kind)
  let used: Exit.Exit<unknown, unknown> | undefined
  let reason: CloseReason<unknown> | undefined
  const over = () => {
    if (used === undefined || reason === undefined || span === undefined) return
    setAll(span, endOf(transport, reason))
    end(seen, span, outcome(used, reason))
  }
  const watching = whenClosed(transport, (closed) => {
    settle?.(closed)
    reason = closed
    over()
  })
  return Effect.as(watching, (exit) => {
    used = exit
    over()
  })
}

const outcome = (used: Exit.Exit<unknown, unknown>, reason: CloseReason<unknown>): Exit.Exit<unknown, unknown> => {
  if (Exit.isFailure(used) && !Cause.isInterruptedOnly(used.cause)) return used
  return reason._tag === "Lost" ? Exit.fail(reason.error) : Exit.void
}

/**
 * An open transport, observed from now until it is over, as `connector` does it with those that it dials: a span
 * `transport.connection` below the current one, and metrics. It is the same transport. As a network layer it fits wherever
 * one is taken, such as `interop/PlatformSocketServer`'s `through`. It is of the kind `client` if nothing else is said; the
 * `attributes` are the span's, beside its own.
 *
 * @since 0.1.0
 * @category combinators
 */
export const connection = <E>(
  transport: Transport<E>,
  options: { readonly kind?: "client" | "server" | undefined; readonly attributes?: Attributes | undefined } = {}
): Effect.Effect<Transport<E>> =>
  Effect.flatMap(
    observer,
    (seen) => seen === undefined ? Effect.succeed(transport) : observed(seen, transport, options)
  )

const observed = <E>(
  seen: Observer,
  transport: Transport<E>,
  { attributes, kind = "client" }: {
    readonly kind?: Metering.Kind | undefined
    readonly attributes?: Attributes | undefined
  }
): Effect.Effect<Transport<E>> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const own = { ...(kind === "server" ? acceptedOf(transport) : networkOf(transport)), ...attributes }
    const span = yield* begin(seen, "transport.connection", own, { kind })
    const over = yield* followed(seen, transport, kind, span)
    over(Exit.void)
    return transport
  }))

/**
 * A connector, observed: with a span `transport.connect` (kind client) for each dial, below the current one, the metrics of
 * dialling, and what `connection` has for what comes of it.
 *
 * Attributes of the dial: `server.address` and `server.port` as they were asked for, `network.transport`; once connected
 * `network.type`, `network.peer.address`, `network.peer.port`, `network.local.address`, `network.local.port`; or
 * `error.type`, the tag of the failure.
 *
 * @example
 * ```ts
 * import * as Connector from "effect-transport/Connector"
 * import * as Observability from "effect-transport/Observability"
 *
 * export const connector = Observability.connector(Connector.make({ host: "localhost", port: 8080 }))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const connector = <E, Err>(connector: Connector<E, Err>): Connector<E, Err> => ({
  ...connector,
  connect: Effect.flatMap(observer, (seen) => seen === undefined ? connector.connect : dialled(seen, connector))
})

const dialled = <E, Err>(seen: Observer, { connect, target }: Connector<E, Err>): Connector<E, Err>["connect"] =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const attributes = targetOf(target)
      const span = yield* begin(seen, "transport.connect", attributes, { kind: "client" })
      const since = seen.clock.unsafeCurrentTimeMillis()
      const exit = yield* Effect.exit(restore(within(connect, span)))
      if (seen.meter !== undefined) countDial(exit, (seen.clock.unsafeCurrentTimeMillis() - since) / 1000)
      if (span !== undefined) {
        setAll(span, Exit.isSuccess(exit) ? networkOf(exit.value) : { "error.type": dialOutcome(exit) })
        end(seen, span, exit)
      }
      return yield* Exit.isSuccess(exit) ? observed(seen, exit.value, { attributes }) : exit
    })
  )

const dialOutcome = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "connected"
  return Cause.isInterruptedOnly(exit.cause) ? "interrupted" : Metering.tagOf(Cause.squash(exit.cause))
}

const countDial = (exit: Exit.Exit<unknown, unknown>, seconds: number): void => {
  Metering.count(Metering.connects, dialOutcome(exit))
  Metering.connectDuration.unsafeUpdate(seconds, [])
}
