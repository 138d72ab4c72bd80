/**
 * The accept loop: a handler, a Scope and a fiber for each connection, limits at the door, and an end that lets what is
 * under way finish.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import type * as MetricLabel from "effect/MetricLabel"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Address from "../Address.ts"
import type { ConnectionLost } from "../ConnectionError.ts"
import { async } from "../internal/async.ts"
import { isDone } from "../internal/immediate.ts"
import * as Turn from "../internal/turn.ts"
import { Unattended } from "../internal/unattended.ts"
import type { Listener } from "../Listener.ts"
import type { Transport } from "../Transport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface ServeOptions {
  /**
   * Connections that are served at a time: any number by default. One counts until nothing of it is left, its graceful
   * close included. Refused ones do not count.
   */
  readonly maxConnections?: number | undefined
  /**
   * What becomes of one more: `"hold"` (the default) leaves it unread in the listener, which holds `maxPending` of them
   * and refuses the rest, and takes it in its turn; `"refuse"` closes it at once: its peer sees an end and no reset.
   */
  readonly whenFull?: "refuse" | "hold" | undefined
  /**
   * Whether to serve a peer at all, before any byte of it is read. One that is not is closed at once, as a refused one.
   * What it throws is logged, and refuses.
   */
  readonly admit?: ((remoteAddress: Address.Address) => boolean) | undefined
  /** How long connections may go on once accepting has stopped, before they are aborted: 5 seconds. 0 aborts at once. */
  readonly drainTimeout?: Duration.DurationInput | undefined
  /**
   * Whether a connection can be ended without loss, asked while the server drains. By default: its handler waits for input
   * and nothing is left to send. That looks at the transport that the listener gave: who reads it through a network layer
   * that reads ahead, or keeps reading while an answer is being worked on, knows better. A handler that waits for the rest of
   * a message looks idle as well: where a message that has begun is to be read to its end, it does that uninterruptibly.
   */
  readonly isIdle?: ((transport: Transport) => boolean) | undefined
}

/**
 * What became of the connections. `accepted` is the sum of the others.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerReport {
  /** Taken from the listener. What waited there when it was closed, it closed itself: see `Listener.stats`. */
  readonly accepted: number
  /** Not served: the server was full, or `admit` said no. */
  readonly refused: number
  /** The handler succeeded. */
  readonly completed: number
  /** The handler failed, died or interrupted itself, or one of its finalizers died. */
  readonly failed: number
  /** Was idle while the server drained, and was closed gracefully. */
  readonly drained: number
  /** Was served and not over when `drainTimeout` was. */
  readonly aborted: number
}

type Outcome = Exclude<keyof ServerReport, "accepted">

// -----------------------------------------------------------------------------
// metrics
// -----------------------------------------------------------------------------

const openConnections = Metric.gauge("effect_transport_connections", {
  description: "Connections of servers that are open now"
})

const allConnections = Metric.counter("effect_transport_connections_total", {
  description: "Connections of servers that are over, by outcome",
  incremental: true
})

const outcomes = {
  refused: Metric.tagged(allConnections, "outcome", "refused"),
  completed: Metric.tagged(allConnections, "outcome", "completed"),
  failed: Metric.tagged(allConnections, "outcome", "failed"),
  drained: Metric.tagged(allConnections, "outcome", "drained"),
  aborted: Metric.tagged(allConnections, "outcome", "aborted")
}

// -----------------------------------------------------------------------------
// serving
// -----------------------------------------------------------------------------

/**
 * Serves the connections of a listener until it is closed, and then until the last connection is over.
 *
 * Each connection has a fiber, which inherits this one's context, and a Scope, which the handler may use. A handler that gives
 * `transport.forEach(…)` does without both while the Effects of its chunks are over at once, which makes it the cheapest form
 * for connections that come, go and idle; `handler` itself is called where the connection is accepted. When the handler ends, its finalizers run and then the transport is closed gracefully after success, aborted otherwise. A failure or a
 * defect ends only its own connection: it is logged (a defect as error, a failure as warning, the loss of just this
 * connection as debug), annotated like all of the handler's logs with `localAddress`, `remoteAddress`, `listener`.
 *
 * When the listener is closed, the server drains: idle connections (see `isIdle`) are ended at once, the others when they
 * get idle or when their handlers end, and what is left after `drainTimeout` is aborted. To end an idle connection, its
 * handler is interrupted and its Scope is closed as after success: transports and network layers that were opened in it
 * send what they have and end in order, and the peer sees an end, no reset. Work that must not be cut is done in an
 * uninterruptible region: the end waits for it.
 *
 * - Suspends until all that is done, and tells what became of the connections. The address can be bound again as soon as
 *   accepting has stopped, while old connections still drain.
 * - Never fails. An interruption closes the listener and drains in the same way before it takes effect, within
 *   `drainTimeout`: the end of a Scope, or Ctrl-C, is graceful. A handler that refuses to end, because it or a finalizer
 *   of its does not return, is waited for: no fiber is left behind.
 * - A `maxConnections` below 1 is a bug in the caller and dies with a `RangeError`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 * import * as Address from "effect-transport/Address"
 * import * as Network from "effect-transport/Network"
 * import * as Server from "effect-transport/server/Server"
 *
 * // An echo server of at most a thousand connections.
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const listener = yield* Network.listen(Address.tcp("127.0.0.1", 0))
 *   return yield* Server.serve(listener, (transport) => Stream.run(transport.stream, transport.sink), {
 *     maxConnections: 1000
 *   })
 * }))
 * ```
 *
 * @since 0.1.0
 * @category serving
 */
export const serve = <E, R>(
  listener: Listener,
  handler: (transport: Transport) => Effect.Effect<unknown, E, R>,
  options: ServeOptions = {}
): Effect.Effect<ServerReport, never, Exclude<R, Scope.Scope>> => inTurn(accept(listener, handler, options))

/** Under Effect's own scheduler connections run on the turn's; who has another one wants it. */
const inTurn = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) =>
    fiber.getFiberRef(FiberRef.currentScheduler) === Scheduler.defaultScheduler
      ? Effect.withScheduler(effect, Turn.scheduler)
      : effect
  )

const accept = <E, R>(
  listener: Listener,
  handler: (transport: Transport) => Effect.Effect<unknown, E, R>,
  options: ServeOptions
): Effect.Effect<ServerReport, never, Exclude<R, Scope.Scope>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const max = options.maxConnections ?? Infinity
      if (!(max >= 1)) return yield* Effect.die(new RangeError(`maxConnections is at least 1, not ${max}`))
      const connections = new Connections(yield* FiberRef.get(FiberRef.currentMetricLabels))
      // Taken in an uninterruptible region, in which the connections' fibers begin: whatever happens, each is ended.
      const runtime = yield* Effect.runtime<Exclude<R, Scope.Scope>>()
      const life = new Life(handler, connections, runtime, listener.address)
      // Not a race: interrupted after it has made its fibers and before it has started them, Effect's waits for them for ever.
      if (max < Infinity) yield* Effect.forkDaemon(Effect.zipRight(listener.closed, connections.close))
      const stopped = yield* Effect.exit(restore(acceptAll(listener, connections, life, options)))
      // Beside the drain: it frees the address at once, and then waits for those that it turns away.
      const closing = yield* Effect.forkDaemon(listener.close)
      yield* drain(connections, options)
      yield* Fiber.join(closing)
      return yield* Exit.as(stopped, connections.report())
    })
  )

/** Suspends until the listener is closed. Connections are taken where fibers run, and wake none. */
const acceptAll = (
  listener: Listener,
  connections: Connections,
  life: Life,
  { admit, maxConnections = Infinity, whenFull }: ServeOptions
): Effect.Effect<void> =>
  Effect.flatMap(FiberRef.get(FiberRef.currentScheduler), (scheduler) =>
    async<void>((resume) => {
      let stopped = false
      let withdraw: (() => void) | undefined
      const isFull = () => connections.serving >= maxConnections
      const holds = () => whenFull !== "refuse" && isFull() && !connections.closed
      const poll = () => stopped || holds() ? undefined : listener.unsafePoll()
      const take = () => {
        for (let transport = poll(); transport !== undefined; transport = poll()) {
          life.begin(transport, life.admits(admit, transport) && !isFull())
        }
        if (stopped) return
        if (holds()) return connections.whenChanged(next)
        withdraw = listener.unsafeAwait(next)
        if (withdraw === undefined) resume(Effect.void)
      }
      const next = () => scheduler.scheduleTask(take, 0)
      next()
      return () => {
        stopped = true
        withdraw?.()
      }
    }))

/** What all connections of a server have in common: how they begin, and how they end. */
class Life {
  private readonly handler: (transport: Transport) => Effect.Effect<unknown, unknown, any>
  private readonly connections: Connections
  private readonly runtime: Runtime.Runtime<any>
  private readonly annotations: HashMap.HashMap<string, unknown>
  private readonly isDebugged: boolean

  constructor(
    handler: (transport: Transport) => Effect.Effect<unknown, unknown, any>,
    connections: Connections,
    runtime: Runtime.Runtime<any>,
    listening: Address.Address
  ) {
    this.handler = handler
    this.connections = connections
    this.runtime = runtime
    const inherited = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentLogAnnotations)
    this.annotations = HashMap.set(inherited, "listener", Address.format(listening))
    const level = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentMinimumLogLevel)
    this.isDebugged = LogLevel.lessThanEqual(level, LogLevel.Debug)
  }

  admits(admit: ServeOptions["admit"], transport: Transport): boolean {
    if (admit === undefined) return true
    try {
      return admit(transport.remoteAddress)
    } catch (defect) {
      this.fork(transport, Effect.logError("Asking whether to admit a peer died; it is refused", Cause.die(defect)))
      return false
    }
  }

  begin(transport: Transport, served: boolean): void {
    const connection = this.connections.add(transport, served)
    if (served) this.serve(connection)
    else this.whenDone(transport, transport.close, () => this.connections.settle(connection, "refused"))
  }

  /** Without a fiber for as long as it needs none. */
  private serve(connection: Connection): void {
    const handled = this.handle(connection.transport)
    if (!(handled instanceof Unattended)) return this.attend(connection, handled)
    let over = false
    const stop = handled.start((rest: Effect.Effect<unknown, unknown, any>) => {
      over = true
      connection.interrupt = undefined
      if (isDone(rest)) this.end(connection, Exit.void)
      else if (Exit.isExit(rest)) this.end(connection, Exit.asVoid(rest))
      else this.attend(connection, rest)
    })
    if (over) return
    connection.interrupt = () => {
      connection.interrupt = undefined
      stop()
      this.end(connection, Exit.interrupt(FiberId.none))
    }
  }

  private handle(transport: Transport): Effect.Effect<unknown, unknown, any> {
    try {
      return this.handler(transport)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  /** By a fiber, with a Scope. */
  private attend(connection: Connection, handled: Effect.Effect<unknown, unknown, any>): void {
    const { transport } = connection
    const life = Effect.flatMap(Scope.make(), (scope) => {
      const end = (exit: Exit.Exit<void, unknown>) => {
        const graceful = isGraceful(connection, exit)
        return Effect.flatMap(
          Effect.exit(Scope.close(scope, graceful ? Exit.void : exit)),
          (closed) =>
            Effect.flatMap(graceful ? transport.close : transport.abort, () => this.over(connection, exit, closed))
        )
      }
      return Effect.zipRight(
        // Set for good, since the fiber is the connection's own: what provides services takes them back at the end, and
        // costs 10 µs and 2 KB for that.
        FiberRef.set(FiberRef.currentContext, Context.add(this.runtime.context, Scope.Scope, scope)),
        Effect.matchCauseEffect(Effect.interruptible(handled), {
          onFailure: (cause) => end(Exit.failCause(cause)),
          onSuccess: () => end(Exit.void)
        })
      )
    })
    const fiber = this.fork(transport, life)
    connection.interrupt = () => fiber.unsafeInterruptAsFork(FiberId.none)
  }

  /** The handler is over, and had no Scope. */
  private end(connection: Connection, handled: Exit.Exit<void, unknown>): void {
    const { transport } = connection
    this.whenDone(transport, isGraceful(connection, handled) ? transport.close : transport.abort, () => {
      const report = this.over(connection, handled, Exit.void)
      if (report !== Exit.void) this.fork(transport, report)
    })
  }

  /** Nothing of it is left; what there is to log. */
  private over(
    connection: Connection,
    handled: Exit.Exit<void, unknown>,
    closed: Exit.Exit<void, never>
  ): Effect.Effect<void> {
    const idle = isIdleEnd(connection, handled)
    const exit = idle ? closed : Exit.zipRight(handled, closed)
    const outcome = Exit.isFailure(exit) ? "failed" : idle ? "drained" : "completed"
    this.connections.settle(connection, connection.ending === "aborted" ? "aborted" : outcome)
    return Exit.isFailure(exit) ? this.logged(connection.transport, exit.cause) : Exit.void
  }

  private logged(transport: Transport, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    if (Cause.isInterruptedOnly(cause)) return Exit.void
    if (Cause.isDie(cause)) return Effect.logError("The handler of a connection died", cause)
    if (!isLoss(transport, cause)) return Effect.logWarning("The handler of a connection failed", cause)
    return this.isDebugged ? Effect.logDebug("A connection was lost", cause) : Exit.void
  }

  private whenDone(transport: Transport, effect: Effect.Effect<void>, then: () => void): void {
    if (effect instanceof Unattended) effect.start(then)
    else this.fork(transport, Effect.map(effect, then))
  }

  /** Annotated for good, as its context is. */
  private fork(transport: Transport, effect: Effect.Effect<void, never, any>): Fiber.RuntimeFiber<void> {
    const annotations = HashMap.set(
      HashMap.set(this.annotations, "localAddress", Address.format(transport.localAddress)),
      "remoteAddress",
      Address.format(transport.remoteAddress)
    )
    return Runtime.runFork(
      this.runtime,
      Effect.zipRight(FiberRef.set(FiberRef.currentLogAnnotations, annotations), effect)
    )
  }
}

const isGraceful = (connection: Connection, handled: Exit.Exit<void, unknown>): boolean =>
  Exit.isSuccess(handled) || isIdleEnd(connection, handled)

/** It was interrupted because it was idle. */
const isIdleEnd = (connection: Connection, handled: Exit.Exit<void, unknown>): boolean =>
  connection.ending === "drained" && isInterruptedOnly(handled)

const isInterruptedOnly = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)

const lossTags: Record<ConnectionLost["_tag"], true> = {
  ConnectionReset: true,
  BrokenPipe: true,
  ConnectionAborted: true,
  ConnectionClosed: true,
  ConnectionTimedOut: true,
  CloseTimeout: true,
  PeerUnreachable: true,
  ConnectionFailed: true
}

/** Most often it is the one failure, and a `Chunk` of it would cost 2 µs. */
const isLoss = (transport: Transport, cause: Cause.Cause<unknown>): boolean =>
  Cause.isFailType(cause)
    ? isLossOf(transport, cause.error)
    : Chunk.every(Cause.failures(cause), (error) => isLossOf(transport, error))

/** The loss of this connection, which a server meets every day; not that of another one which the handler uses. */
const isLossOf = (transport: Transport, error: unknown): boolean => {
  if (typeof error !== "object" || error === null) return false
  const { _tag, localAddress, remoteAddress } = error as Partial<ConnectionLost>
  return _tag !== undefined && Object.hasOwn(lossTags, _tag) &&
    Equal.equals(localAddress, transport.localAddress) && Equal.equals(remoteAddress, transport.remoteAddress)
}

// -----------------------------------------------------------------------------
// draining
// -----------------------------------------------------------------------------

/** In milliseconds. A transport tells nobody that it got idle, so the server looks, and only while it drains. */
const drainInterval = 20

const isIdleNow = (transport: Transport): boolean => {
  const { buffered, pulling } = transport.stats()
  return pulling && buffered === 0
}

/** Suspends until no connection is left; after the deadline there is none but for handlers that do not return. */
const drain = (connections: Connections, options: ServeOptions): Effect.Effect<void> =>
  Effect.gen(function*() {
    const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(options.drainTimeout ?? Duration.seconds(5))
    const look = (isIdle: (transport: Transport) => boolean): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (now >= deadline) return connections.abortAll
        connections.end(isIdle)
        return Effect.zipRight(Effect.sleep(Math.min(drainInterval, deadline - now)), look(isIdle))
      })
    const looking = Effect.catchAllDefect(look(options.isIdle ?? isIdleNow), (defect) =>
      Effect.zipRight(
        Effect.logError("Asking whether a connection is idle died", Cause.die(defect)),
        look(() => false)
      ))
    // No child: an interruption of the server, also a second one, is passed on to its children at once.
    const watcher = yield* Effect.forkDaemon(Effect.interruptible(looking))
    yield* connections.until(() => connections.size === 0)
    yield* Fiber.interrupt(watcher)
  })

/** One connection, from its acceptance until nothing of it is left. */
interface Connection {
  readonly transport: Transport
  /** Ends its handler, while that is under way. */
  interrupt: (() => void) | undefined
  /** Why the drain has interrupted it. */
  ending: "drained" | "aborted" | undefined
}

/** The connections that are open, and the counts of those that were. */
class Connections {
  serving = 0
  closed = false
  private readonly labels: ReadonlyArray<MetricLabel.MetricLabel>
  private readonly open = new Set<Connection>()
  private readonly counts = { accepted: 0, refused: 0, completed: 0, failed: 0, drained: 0, aborted: 0 }
  private changed: (() => void) | undefined = undefined

  constructor(labels: ReadonlyArray<MetricLabel.MetricLabel>) {
    this.labels = labels
  }

  get size(): number {
    return this.open.size
  }

  report(): ServerReport {
    return { ...this.counts }
  }

  add(transport: Transport, served: boolean): Connection {
    const connection: Connection = { transport, interrupt: undefined, ending: undefined }
    this.open.add(connection)
    this.counts.accepted++
    if (served) this.serving++
    openConnections.unsafeModify(1, this.labels)
    return connection
  }

  /** Nothing of it is left. */
  settle(connection: Connection, outcome: Outcome): void {
    this.open.delete(connection)
    this.counts[outcome]++
    if (outcome !== "refused") this.serving--
    outcomes[outcome].unsafeUpdate(1, this.labels)
    openConnections.unsafeModify(-1, this.labels)
    this.changed?.()
  }

  /** Nothing is accepted any more: whoever waits for room looks again. */
  get close(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.closed = true
      this.changed?.()
    })
  }

  /** Calls back, once, at the next change; only the server itself waits, for one thing at a time. */
  whenChanged(notify: () => void): void {
    this.changed = () => {
      this.changed = undefined
      notify()
    }
  }

  /** Suspends until it holds. */
  until(holds: () => boolean): Effect.Effect<void> {
    return async<void>((resume) => {
      this.changed = () => {
        if (holds()) resume(Effect.void)
      }
      this.changed()
      return () => {
        this.changed = undefined
      }
    })
  }

  /** Ends those of which it is true, gracefully. */
  end(isIdle: (transport: Transport) => boolean): void {
    for (const connection of this.open) {
      const { ending, interrupt, transport } = connection
      if (interrupt === undefined || ending !== undefined || !isIdle(transport)) continue
      connection.ending = "drained"
      interrupt()
    }
  }

  /** First the transports: a handler that ends what it uses when it is interrupted then does not wait for the peer. */
  get abortAll(): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.suspend(() =>
      Effect.forEach(Array.from(this.open), (connection) => {
        connection.ending = "aborted"
        const interrupt = Effect.sync(() => connection.interrupt?.())
        return Effect.zipRight(connection.transport.abort, interrupt)
      }, { concurrency: "unbounded", discard: true })
    ))
  }
}
