/**
 * The accept loop: a handler, a Scope and a fiber for each connection, limits at the door that can be changed while it
 * runs, and an end that lets what is under way finish.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Inspectable from "effect/Inspectable"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Subscribable from "effect/Subscribable"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Address from "../Address.ts"
import { async } from "../internal/async.ts"
import type { Timers } from "../internal/connection.ts"
import { timersOf } from "../internal/timers.ts"
import * as Turn from "../internal/turn.ts"
import type { Listener } from "../Listener.ts"
import type { Transport } from "../Transport.ts"
import type { Consumer } from "./internal/budget.ts"
import { Budget, interval } from "./internal/budget.ts"
import { Connections } from "./internal/connections.ts"
import type { Handler } from "./internal/life.ts"
import { Life } from "./internal/life.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What a server lets in, and for how much. All of it can be changed while it runs: see `Server.adjust`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /**
   * Connections that are served at a time: any number by default, at least 1. One counts until nothing of it is left, its
   * graceful close included. Refused ones do not count.
   */
  readonly maxConnections?: number | undefined
  /**
   * What becomes of one more: `"hold"` (the default) leaves it unread in the listener, which holds `maxPending` of them
   * and refuses the rest, and takes it in its turn; `"refuse"` closes it at once: its peer sees an end and no reset.
   */
  readonly whenFull?: "refuse" | "hold" | undefined
  /**
   * Of these, connections of one peer: an IPv4 address, or a /64 of IPv6, see `ConnectionLimit.peerOf`. Any number by
   * default, at least 1. One more is refused, since to hold it would hold up all others. It counts whom the socket is
   * connected with: behind a proxy, use `ConnectionLimit` above `ProxyProtocol`.
   */
  readonly maxPerPeer?: number | undefined
  /**
   * Whether to serve a peer at all, before any byte of it is read. One that is not is closed at once, as a refused one.
   * What it throws is logged, and refuses.
   */
  readonly admit?: ((remoteAddress: Address.Address) => boolean) | undefined
  /**
   * Bytes that all connections together may have buffered for writing: any number by default, at least 1. When they are over
   * it for longer than a tenth of a second, which a burst is not, the slowest are aborted with `SlowConsumer` until the
   * others have room: those that have the longest to go at the speed at which they took bytes meanwhile, and of those that
   * took none, first for whom most waits. In between it is exceeded by what is written meanwhile: each connection's
   * `highWaterMark` still bounds what it adds. It counts what the transports of the listeners hold, not what network layers
   * above them do.
   */
  readonly maxBuffered?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ServeOptions extends Limits {
  /** How long connections may go on once accepting has stopped, before they are aborted: 5 seconds. 0 aborts at once. */
  readonly drainTimeout?: Duration.DurationInput | undefined
  /**
   * Whether a connection can be ended without loss, asked while the server drains. By default: its handler waits for input,
   * nothing is left to send, and bytes have passed or it has been open for 250 ms: who has just connected is about to send.
   * That looks at the transport that the listener gave: who reads it through a network layer that reads ahead, or keeps
   * reading while an answer is being worked on, knows better. A handler that waits for the rest of a message looks idle as
   * well: where a message that has begun is to be read to its end, it does that uninterruptibly. `looksIdle` is what the
   * default says, for who only has something to add.
   */
  readonly isIdle?: ((transport: Transport, looksIdle: boolean) => boolean) | undefined
  /** Called for each connection, when nothing is left of it: for access logs and the like. What it throws is logged. */
  readonly onEnd?: ((end: ConnectionEnd) => void) | undefined
}

/**
 * What became of the connections. `accepted` is the sum of the others, once all are over.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerReport {
  /** Taken from the listeners. What waited there when they were closed, they refused themselves: see `Listener.stats`. */
  readonly accepted: number
  /** Not served: the server was full, the peer had as many as it may, or `admit` said no. */
  readonly refused: number
  /** The handler succeeded. */
  readonly completed: number
  /** The handler failed, died or interrupted itself, or one of its finalizers died. */
  readonly failed: number
  /** Was idle while the server drained, and was closed gracefully. */
  readonly drained: number
  /** Was served and not over when the deadline of the drain was, or was a `SlowConsumer`. */
  readonly aborted: number
}

/**
 * What became of one connection, see `ServerReport`.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = Exclude<keyof ServerReport, "accepted">

/**
 * One connection that is over.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionEnd {
  readonly localAddress: Address.Address
  readonly remoteAddress: Address.Address
  readonly outcome: Outcome
  /** The handler's and its finalizers', without its value; a success for what was refused or drained. */
  readonly exit: Exit.Exit<void, unknown>
  /** From its acceptance until nothing was left of it. */
  readonly duration: Duration.Duration
  readonly bytesRead: number
  readonly bytesWritten: number
}

/**
 * Where a server is in its life. It goes through these in their order; `Closing` is left out when nothing is left by then.
 *
 * - `Accepting`: from the start.
 * - `Draining`: accepts no more, ends what is idle, and lets the rest go on until the deadline, in milliseconds of the Clock.
 * - `Closing`: the deadline is over; what is left is being aborted.
 * - `Closed`: nothing is left.
 *
 * @since 0.1.0
 * @category models
 */
export type Phase =
  | { readonly _tag: "Accepting" }
  | { readonly _tag: "Draining"; readonly deadline: number }
  | { readonly _tag: "Closing" }
  | { readonly _tag: "Closed"; readonly report: ServerReport }

/**
 * A server that runs: to watch it, to change its limits, to end it. `L` is the kind of its listeners.
 *
 * @since 0.1.0
 * @category models
 */
export interface Server<out L extends Listener = Listener> {
  readonly listeners: ReadonlyArray<L>

  /** Where it is in its life: now, and each change from now on. The stream ends with `Closed`. */
  readonly phase: Subscribable.Subscribable<Phase>

  /**
   * Completes when the server begins to drain, with the deadline in milliseconds of the Clock: for handlers that say
   * goodbye. They have one turn of the event loop to begin with it, before idle connections are ended.
   */
  readonly draining: Effect.Effect<number>

  /**
   * Stops accepting, lets connections go on for so long (`drainTimeout` by default), and gives the report. See `serve`.
   *
   * A server that drains already gets another deadline, sooner or later than the one it had; without a timeout it keeps it.
   * Suspends until it is `Closed`. An interruption changes nothing: the drain goes on. Idempotent; never fails.
   */
  readonly drain: (timeout?: Duration.DurationInput) => Effect.Effect<ServerReport>

  /** Completes when nothing is left, with the report. */
  readonly closed: Effect.Effect<ServerReport>

  /**
   * Other limits from now on; those that are not given stay, `undefined` is the default. Connections that are open stay:
   * lowered, a limit is reached when enough of them have ended; raised, who was held is taken at once. A wrong limit dies with
   * a `RangeError` and changes nothing.
   */
  readonly adjust: (limits: Limits) => Effect.Effect<void>

  /** Counters as they are now: synchronous and cheap. */
  readonly stats: () => ServerStats
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ServerStats extends ServerReport {
  /** Accepted and not over yet. */
  readonly open: number
}

/**
 * The server that a connection belongs to, as a service of its handler.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Server from "effect-transport/server/Server"
 * import type { Transport } from "effect-transport/Transport"
 *
 * // Serves until the server drains, and says goodbye then.
 * export const polite = (transport: Transport) =>
 *   Effect.raceFirst(
 *     transport.forEach(transport.write),
 *     Effect.flatMap(Server.Server, (server) => server.draining)
 *   ).pipe(Effect.zipRight(transport.write(new TextEncoder().encode("goodbye\n"))))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export const Server: Context.Tag<Server, Server> = Context.GenericTag<Server>("effect-transport/server/Server")

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * The connection that was the slowest when all connections together had more bytes buffered than `maxBuffered`. It was
 * aborted: its handler sees `ConnectionAborted`, the log and `onEnd` this.
 *
 * @since 0.1.0
 * @category errors
 */
export class SlowConsumer extends Data.TaggedError("SlowConsumer")<{
  readonly localAddress: Address.Address
  readonly remoteAddress: Address.Address
  /** Bytes that waited for it. */
  readonly buffered: number
  /** Bytes that it took in the last tenth of a second. */
  readonly taken: number
  /** Bytes that waited for all connections. */
  readonly total: number
  readonly limit: number
}> {
  override get message() {
    return `${Address.format(this.remoteAddress)} takes too little: ${this.buffered} bytes wait for it, and it took ` +
      `${this.taken} in the last ${interval} ms. For all connections together ${this.total} bytes waited, where ` +
      `${this.limit} may (maxBuffered).`
  }
}

// -----------------------------------------------------------------------------
// serving
// -----------------------------------------------------------------------------

/**
 * Serves the connections of a listener, or of several under one limit, until they are closed, and then until the last
 * connection is over.
 *
 * Each connection has a fiber, which inherits this one's context, and a Scope, which the handler may use, as well as the
 * `Server`. A handler that gives `transport.forEach(…)` does without both while the Effects of its chunks are over at once,
 * which makes it the cheapest form for connections that come, go and idle; `handler` itself is called where the connection
 * is accepted, with the listener that it came from. When the handler ends, its finalizers run and then the transport is
 * closed gracefully after success, aborted otherwise. A failure or a defect ends only its own connection: it is logged,
 * annotated like all of the handler's logs with `localAddress`, `remoteAddress`, `listener`. A defect is an error, a failure a
 * warning, but as debug what a public server meets all day: the loss of just this connection, `IdleTimeout`, `WriteStalled`
 * and `DeadlineExceeded`, and a failure of TLS without an alert, alone or in a `RelayLost`.
 *
 * When all listeners are closed, or `Server.drain` is called, the server drains: idle connections (see `isIdle`) are ended
 * at once, the others when they get idle or when their handlers end, and what is left after `drainTimeout` is aborted. To
 * end an idle connection, its handler is interrupted and its Scope is closed as after success: transports and network
 * layers that were opened in it send what they have and end in order, and the peer sees an end, no reset. Work that must
 * not be cut is done in an uninterruptible region: the end waits for it.
 *
 * - Suspends until all that is done, and tells what became of the connections. The addresses can be bound again as soon as
 *   accepting has stopped, while old connections still drain.
 * - Never fails. An interruption closes the listeners and drains in the same way before it takes effect, within
 *   `drainTimeout`: the end of a Scope, or Ctrl-C, is graceful. A handler that refuses to end, because it or a finalizer
 *   of its does not return, is waited for: no fiber is left behind.
 * - A wrong limit is a bug in the caller and dies with a `RangeError`.
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
export const serve = <E, R, L extends Listener>(
  listeners: L | ReadonlyArray<L>,
  handler: (transport: Transport, listener: L) => Effect.Effect<unknown, E, R>,
  options: ServeOptions = {}
): Effect.Effect<ServerReport, never, Exclude<R, Scope.Scope | Server>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(begin(listeners, handler, options), (server) =>
      Effect.flatMap(
        Effect.exit(restore(server.closed)),
        (exit) => Exit.isSuccess(exit) ? exit : Effect.zipRight(server.drain(), exit)
      ))
  )

/**
 * `serve` in the background, with the running server to hold on to. The end of the Scope drains it, and waits for that.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import type { Listener } from "effect-transport/Listener"
 * import * as Server from "effect-transport/server/Server"
 *
 * // Beside the service, for a load balancer: whether it takes new connections.
 * export const program = (service: Listener, health: Listener) =>
 *   Effect.gen(function*() {
 *     const server = yield* Server.make(service, ({ forEach, write }) => forEach(write), { drainTimeout: "30 seconds" })
 *     yield* Server.make(health, ({ write }) =>
 *       Effect.flatMap(server.phase.get, ({ _tag }) =>
 *         write(new TextEncoder().encode(_tag === "Accepting" ? "up\n" : "down\n"))))
 *     return yield* server.closed
 *   })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E, R, L extends Listener>(
  listeners: L | ReadonlyArray<L>,
  handler: (transport: Transport, listener: L) => Effect.Effect<unknown, E, R>,
  options: ServeOptions = {}
): Effect.Effect<Server<L>, never, Exclude<R, Scope.Scope | Server> | Scope.Scope> =>
  Effect.acquireRelease(begin(listeners, handler, options), (server) => server.drain())

/** It ends by `drain`, or with its listeners. To be run in an uninterruptible region. */
const begin = <E, R, L extends Listener>(
  listeners: L | ReadonlyArray<L>,
  handler: (transport: Transport, listener: L) => Effect.Effect<unknown, E, R>,
  options: ServeOptions
): Effect.Effect<Server<L>, never, Exclude<R, Scope.Scope | Server>> =>
  inTurn(Effect.gen(function*() {
    const limits = checked(options)
    const server = new Serving({
      listeners: Arr.ensure(listeners),
      handler,
      options,
      limits,
      clock: yield* Effect.clock,
      // Taken in an uninterruptible region, in which the connections' fibers begin: whatever happens, each is ended.
      runtime: yield* Effect.runtime<Exclude<R, Scope.Scope | Server>>(),
      phase: yield* SubscriptionRef.make<Phase>({ _tag: "Accepting" })
    })
    yield* Effect.forkDaemon(server.run)
    return server
  }))

/** Under Effect's own scheduler connections run on the turn's; who has another one wants it. */
const inTurn = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) =>
    fiber.getFiberRef(FiberRef.currentScheduler) === Scheduler.defaultScheduler
      ? Effect.withScheduler(effect, Turn.scheduler)
      : effect
  )

const checked = (limits: Limits) => {
  const { maxBuffered = Infinity, maxConnections = Infinity, maxPerPeer = Infinity } = limits
  for (const [name, limit] of Object.entries({ maxConnections, maxPerPeer, maxBuffered })) {
    if (!(limit >= 1)) throw new RangeError(`${name} is at least 1, not ${limit}`)
  }
  return { maxConnections, maxPerPeer, maxBuffered, whenFull: limits.whenFull ?? "hold", admit: limits.admit }
}

/** Where connections of one listener come in. */
class Door {
  readonly listener: Listener
  readonly life: Life
  private readonly ready: () => void
  private waits = false

  constructor(listener: Listener, life: Life, ready: () => void) {
    this.listener = listener
    this.life = life
    this.ready = ready
  }

  /** Calls `ready`, once, when there is something to take; never, if it is closed. */
  await(): void {
    if (this.waits) return
    this.waits = true
    this.listener.unsafeAwait(this.notify)
  }

  private readonly notify = (): void => {
    this.waits = false
    this.ready()
  }
}

/** In milliseconds. A transport tells nobody that it got idle, so the server looks, and only while it drains. */
const drainInterval = 20

/** In milliseconds. Who has connected is about to send: to end that connection would lose what is on its way. */
const arrivalTime = 250

/** Its handler waits for input, nothing is left to send, and it has been used, or has had the time for that. */
const looksIdle = (transport: Transport, now: number): boolean => {
  const { buffered, bytesRead, bytesWritten, lastRead, pulling, unread } = transport.stats()
  return pulling && unread === 0 && buffered === 0 && (bytesRead + bytesWritten > 0 || now - lastRead >= arrivalTime)
}

class Serving<L extends Listener> extends Inspectable.Class implements Server<L> {
  readonly listeners: ReadonlyArray<L>
  readonly phase: Subscribable.Subscribable<Phase>
  private readonly current: SubscriptionRef.SubscriptionRef<Phase>
  private readonly stopping = Deferred.unsafeMake<void>(FiberId.none)
  private readonly announced = Deferred.unsafeMake<number>(FiberId.none)
  private readonly over = Deferred.unsafeMake<ServerReport>(FiberId.none)
  private readonly options: ServeOptions
  private readonly timers: Timers
  private readonly scheduler: Scheduler.Scheduler
  private readonly connections: Connections
  private readonly budget: Budget
  private readonly doors: ReadonlyArray<Door>
  private limits: ReturnType<typeof checked>
  private isIdle: NonNullable<ServeOptions["isIdle"]>
  private stopped = false
  private scheduled = false
  /** The door from which the next one is taken. */
  private next = 0
  /** Nobody is taken until there is room. */
  private held = false
  private deadline: number | undefined = undefined
  /** Each closes a listener, and whom that turns away. */
  private readonly freeing = new Set<Fiber.RuntimeFiber<void>>()
  private wake: (() => void) | undefined = undefined

  constructor({ clock, handler, limits, listeners, options, phase, runtime }: {
    readonly listeners: ReadonlyArray<L>
    readonly handler: (transport: Transport, listener: L) => ReturnType<Handler>
    readonly options: ServeOptions
    readonly limits: ReturnType<typeof checked>
    readonly clock: Clock.Clock
    readonly runtime: Runtime.Runtime<any>
    readonly phase: SubscriptionRef.SubscriptionRef<Phase>
  }) {
    super()
    this.listeners = listeners
    this.options = options
    this.limits = limits
    this.isIdle = options.isIdle ?? ((_, looksIdle) => looksIdle)
    this.current = phase
    this.phase = Subscribable.make({
      get: phase.get,
      changes: Stream.takeUntil(Stream.changes(phase.changes), ({ _tag }) => _tag === "Closed")
    })
    this.timers = timersOf(clock)
    const { context, fiberRefs, runtimeFlags } = runtime
    this.scheduler = FiberRefs.getOrDefault(fiberRefs, FiberRef.currentScheduler)
    this.connections = new Connections(FiberRefs.getOrDefault(fiberRefs, FiberRef.currentMetricLabels), this.changed)
    this.budget = new Budget(this.connections, this.timers, this.evict)
    this.budget.set(limits.maxBuffered)
    const shared = {
      connections: this.connections,
      runtime: Runtime.make({ context: Context.add(context, Server, this), fiberRefs, runtimeFlags }),
      onEnd: options.onEnd,
      now: this.timers.now
    }
    this.doors = listeners.map((listener) => {
      const life = new Life({ ...shared, listener, handler: (transport) => handler(transport, listener) })
      return new Door(listener, life, this.ready)
    })
  }

  // --- accepting ---------------------------------------------------------------

  /** Connections are taken where fibers run, and wake none. */
  private readonly ready = (): void => {
    if (this.scheduled) return
    this.scheduled = true
    this.scheduler.scheduleTask(this.take, 0)
  }

  /** One of each listener, in turn. */
  private readonly take = (): void => {
    const { doors } = this
    this.scheduled = false
    for (let empty = 0; empty < doors.length;) {
      this.held = this.isFull && this.limits.whenFull === "hold"
      if (this.stopped) return
      if (this.held) return this.budget.watch()
      const door = doors[this.next]!
      this.next = (this.next + 1) % doors.length
      const transport = door.listener.unsafePoll()
      if (transport === undefined) {
        empty++
      } else {
        empty = 0
        door.life.begin(transport, this.admits(door, transport))
      }
    }
    this.budget.watch()
    for (const door of doors) door.await()
  }

  private get isFull(): boolean {
    return this.connections.serving >= this.limits.maxConnections
  }

  private admits({ life }: Door, transport: Transport): boolean {
    const { admit, maxPerPeer } = this.limits
    try {
      if (admit !== undefined && !admit(transport.remoteAddress)) return false
    } catch (defect) {
      life.fork(transport, Effect.logError("Asking whether to admit a peer died; it is refused", Cause.die(defect)))
      return false
    }
    return !this.isFull && (maxPerPeer === Infinity || this.connections.ofPeer(transport) < maxPerPeer)
  }

  /** One connection is over. */
  private readonly changed = (): void => {
    if (this.held) this.ready()
    if (this.isOver) this.wake?.()
  }

  private readonly evict = ({ buffered, connection, taken }: Consumer, total: number, limit: number): void => {
    const { localAddress, remoteAddress } = connection.transport
    connection.life.abort(
      connection,
      new SlowConsumer({ localAddress, remoteAddress, buffered, taken, total, limit })
    )
  }

  readonly adjust = (limits: Limits): Effect.Effect<void> =>
    Effect.sync(() => {
      this.limits = checked({ ...this.limits, ...limits })
      this.budget.set(this.limits.maxBuffered)
      if (this.held) this.ready()
    })

  readonly stats = (): ServerStats => ({ ...this.connections.report(), open: this.connections.size })

  toJSON() {
    const phase = Effect.runSync(this.phase.get)._tag
    return { _id: "Server", listeners: this.listeners.map(({ address }) => `${address}`), phase, ...this.stats() }
  }

  // --- ending ------------------------------------------------------------------

  readonly closed: Effect.Effect<ServerReport> = Deferred.await(this.over)

  readonly draining: Effect.Effect<number> = Deferred.await(this.announced)

  readonly drain = (timeout?: Duration.DurationInput): Effect.Effect<ServerReport> =>
    Effect.suspend(() => {
      if (timeout !== undefined) this.deadline = this.timers.now() + Duration.toMillis(timeout)
      Deferred.unsafeDone(this.stopping, Exit.void)
      this.wake?.()
      return Effect.zipRight(
        SubscriptionRef.update(
          this.current,
          (phase) => phase._tag === "Draining" && phase.deadline !== this.deadline ? this.drains() : phase
        ),
        this.closed
      )
    })

  private drains(): Phase & { readonly _tag: "Draining" } {
    this.deadline ??= this.timers.now() + Duration.toMillis(this.options.drainTimeout ?? Duration.seconds(5))
    return { _tag: "Draining", deadline: this.deadline }
  }

  /** Its whole life. */
  get run(): Effect.Effect<void> {
    const { connections, current, listeners, stopping } = this
    return Effect.gen(this, function*() {
      this.ready()
      const closed = Effect.forEach(listeners, (listener) => listener.closed, { discard: true })
      yield* Effect.forkDaemon(Effect.zipRight(closed, Deferred.succeed(stopping, undefined)))
      yield* Deferred.await(stopping)
      this.stopped = true
      // Beside the drain: it frees the addresses at once, and then waits for those that it turns away.
      for (const listener of listeners) {
        const fiber = yield* Effect.forkDaemon(Effect.interruptible(listener.close))
        this.freeing.add(fiber)
        fiber.addObserver(() => {
          this.freeing.delete(fiber)
          this.changed()
        })
      }
      const draining = this.drains()
      yield* SubscriptionRef.set(current, draining)
      yield* Deferred.succeed(this.announced, draining.deadline)
      yield* Turn.breath
      yield* this.finish()
      this.budget.stop()
      const report = connections.report()
      yield* SubscriptionRef.set(current, { _tag: "Closed", report })
      yield* Deferred.succeed(this.over, report)
    })
  }

  /** No connection is left, and none that is turned away. */
  private get isOver(): boolean {
    return this.connections.size === 0 && this.freeing.size === 0
  }

  /** Suspends until it is over; after the deadline nothing is left but handlers that do not return. */
  private finish(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.isOver) return Effect.void
      const left = this.deadline! - this.timers.now()
      const next = left > 0
        ? Effect.zipRight(this.endIdle, this.pause(Math.min(drainInterval, left)))
        : Effect.zipRight(this.abort, this.pause(Infinity))
      return Effect.zipRight(next, this.finish())
    })
  }

  private get endIdle(): Effect.Effect<void> {
    return Effect.catchAllDefect(
      Effect.sync(() => {
        const now = this.timers.now()
        for (const connection of this.connections.all()) {
          const { ending, interrupt, transport } = connection
          if (interrupt === undefined || ending !== undefined) continue
          if (!this.isIdle(transport, looksIdle(transport, now))) continue
          connection.ending = "drained"
          interrupt()
        }
      }),
      (defect) => {
        this.isIdle = () => false
        return Effect.logError("Asking whether a connection is idle died", Cause.die(defect))
      }
    )
  }

  private get abort(): Effect.Effect<void> {
    const all = Effect.sync(() => {
      for (const fiber of this.freeing) fiber.unsafeInterruptAsFork(FiberId.none)
      for (const connection of this.connections.all()) connection.life.abort(connection, "aborted")
    })
    return Effect.zipRight(SubscriptionRef.set<Phase>(this.current, { _tag: "Closing" }), all)
  }

  /** For so long, or until it is over, or there is another deadline. */
  private pause(millis: number): Effect.Effect<void> {
    return async<void>((resume) => {
      const wake = () => {
        cancel?.()
        this.wake = undefined
        resume(Effect.void)
      }
      if (this.isOver) {
        resume(Effect.void)
        return () => {}
      }
      const cancel = millis === Infinity ? undefined : this.timers.schedule(millis, wake)
      this.wake = wake
      return wake
    })
  }
}
