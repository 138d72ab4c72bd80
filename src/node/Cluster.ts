/**
 * A program in several processes that accept on the same addresses, through `node:cluster`: workers that die are started
 * anew, and all of them are replaced, one after the other, without a refused connection.
 *
 * The program is written as for one process: in a worker, listening (`NodeNetwork`, `Tcp.listen`) shares the socket of the
 * primary. Not so UNIX sockets with a path: each listener makes and removes its own.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Queue from "effect/Queue"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Worker as Child } from "node:cluster"
import cluster from "node:cluster"
import * as os from "node:os"
import { firstOf } from "../internal/firstOf.ts"
import type { Scheduling } from "../internal/timers.ts"
import { timersOf } from "../internal/timers.ts"
import * as Activation from "./internal/activation.ts"
import { backOff } from "./internal/backOff.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many processes run the program, at least 1: as many as can run in parallel. */
  readonly workers?: number | undefined
  /** The signal at which the primary replaces all workers: SIGHUP. */
  readonly restartSignal?: NodeJS.Signals | undefined
  /**
   * When a worker that has failed is started anew, and how often: for ever, after 100 ms at first, then each time after
   * twice as long, 10 seconds at most; after a minute without a failure it begins anew.
   */
  readonly retry?: Schedule.Schedule<unknown, WorkerFailed> | undefined
  /** How long a worker has to listen as the one before did, when it is to be replaced: 10 seconds. */
  readonly startTimeout?: Duration.DurationInput | undefined
  /**
   * How long a worker that was asked to end has for it, before it is killed: 30 seconds. Its servers drain meanwhile. So long
   * also has one that a signal has ended or whose program has failed, for what it has left open.
   */
  readonly stopTimeout?: Duration.DurationInput | undefined
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * A worker has ended by itself, and not with success, or could not be started.
 *
 * @since 0.1.0
 * @category errors
 */
export class WorkerFailed extends Data.TaggedError("WorkerFailed")<{
  readonly pid: number | undefined
  /** The exit status; `null` if it was a signal. */
  readonly code: number | null
  readonly signal: string | null
  /** Why it could not be started, if it was not: there is no `pid` then. */
  readonly cause?: unknown
}> {
  override get message() {
    if (this.pid === undefined) return `A worker could not be started: ${this.cause}`
    return `Worker ${this.pid} ended ${this.signal === null ? `with status ${this.code}` : `by ${this.signal}`}`
  }
}

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/**
 * Runs the program in worker processes. Every process executes the same file and comes here: the first one, the primary,
 * starts the others and supervises them; in these, the program runs.
 *
 * - SIGTERM or SIGINT to the primary, or its interruption, ends all: each worker's program is interrupted, so that its
 *   servers drain, and what has not ended after `stopTimeout` is killed. Sent to a worker, they end just this one, with
 *   success. A second one is not caught.
 * - `restartSignal` to the primary replaces the workers one by one, by the file as it is by then: a new one is started, and
 *   when it has come here and listens on as many addresses as the old one did, the old one is asked to end. No connection is
 *   refused, and those that are open go on until their server has drained. A new worker that does not get so far is killed, and
 *   the restart given up.
 * - A worker that fails is started anew, see `retry`; but not when it was the last one that listened on a socket of a
 *   service manager (`SocketActivation`), which is closed with it: then the manager has to start this process anew.
 *
 * A worker that once has no descriptor for a connection (`ulimit -n`) lives on, but Node hands it no other one: its primary
 * waits for an answer to the one that was lost. For the same reason a connection that was on its way to a worker that hung, and
 * was killed, stays open without an answer. With `NODE_CLUSTER_SCHED_POLICY=none` workers accept by themselves, and go on.
 *
 * In the primary: suspends until all workers have ended, by the signals or with success. Fails with `WorkerFailed` when `retry`
 * gives up, or those sockets are lost. In a worker: gives what the program gives, and fails as it does, with the exit status
 * 1; nothing if it was asked to end. When the primary is gone, Node ends its workers at once.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as Network from "effect-transport/Network"
 * import * as Cluster from "effect-transport/node/Cluster"
 * import * as NodeNetwork from "effect-transport/node/NodeNetwork"
 * import * as Server from "effect-transport/server/Server"
 *
 * const echo = Effect.scoped(Effect.flatMap(
 *   Network.listen(Address.tcp("0.0.0.0", 4000)),
 *   (listener) => Server.serve(listener, ({ forEach, write }) => forEach(write))
 * ))
 *
 * // Effect.runFork(program) in the main file is all there is to it.
 * export const program = Cluster.run(Effect.provide(echo, NodeNetwork.layer), { workers: 4 })
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const run = <A, E, R>(
  program: Effect.Effect<A, E, R>,
  options: Options = {}
): Effect.Effect<A | void, E | WorkerFailed, R> =>
  Effect.suspend((): Effect.Effect<A | void, E | WorkerFailed, R> =>
    cluster.isPrimary ? primary(options) : worker(program, options)
  )

/** Listens for as long as the Scope is open. */
const on = (event: string, listener: (message: unknown) => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void process.on(event, listener)),
    () => Effect.sync(() => process.removeListener(event, listener))
  )

/** Calls back at the first of the signals that end a process; the second one does end it. */
const onEnd = (asked: () => void): Effect.Effect<void, never, Scope.Scope> => {
  const listener = () => {
    process.removeListener("SIGTERM", listener)
    process.removeListener("SIGINT", listener)
    asked()
  }
  return Effect.zipRight(on("SIGTERM", listener), on("SIGINT", listener))
}

const defaultStopTimeout: Duration.DurationInput = "30 seconds"

/** From the primary to a worker. */
const stopMessage = "effect-transport/Cluster/stop"

/** From a worker, which hears the other one from then on: what is sent to it before is lost. */
const readyMessage = "effect-transport/Cluster/ready"

// -----------------------------------------------------------------------------
// a worker
// -----------------------------------------------------------------------------

const worker = <A, E, R>(
  program: Effect.Effect<A, E, R>,
  { stopTimeout = defaultStopTimeout }: Options
): Effect.Effect<A | void, E, R> =>
  Effect.scoped(Effect.gen(function*() {
    const later: Scheduling["unsafeSchedule"] = timersOf(yield* Effect.clock).schedule
    // A timer or a socket that it has left would keep the process alive, and nobody would know that it has ended.
    const exitLater = () => later(Duration.toMillis(stopTimeout), () => process.exit(), true)
    const stopping = yield* Deferred.make<void>()
    const stop = () => Deferred.unsafeDone(stopping, Exit.void)
    // Otherwise the channel to the primary keeps the process alive.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => cluster.worker!.isConnected() ? cluster.worker!.disconnect() : undefined)
    )
    yield* on("message", (message) => message === stopMessage ? stop() : undefined)
    // A terminal that goes sends it to all processes; a restart is the primary's affair.
    yield* on("SIGHUP", () => {})
    yield* onEnd(() => {
      exitLater()
      stop()
    })
    process.send!(readyMessage, () => {})
    const failing = Effect.onError(program, (cause) =>
      Effect.sync(() => {
        if (Cause.isInterruptedOnly(cause)) return
        process.exitCode = 1
        exitLater()
      }))
    return yield* firstOf(failing, Deferred.await(stopping))
  }))

// -----------------------------------------------------------------------------
// the primary
// -----------------------------------------------------------------------------

/** One process, until it has ended. */
class Worker {
  readonly ended = Deferred.unsafeMake<void, WorkerFailed>(FiberId.none)
  /** Until it has a successor, or has ended without one. */
  readonly incumbency = Deferred.unsafeMake<Worker | undefined, WorkerFailed>(FiberId.none)
  private exit: Exit.Exit<void, WorkerFailed> | undefined = undefined
  private readonly addresses = new Set<string>()
  private isReady = false
  private isAsked = false
  private readonly child: Child
  private readonly alive: Set<Worker>
  private readonly watchers = new Set<() => void>()

  constructor(alive: Set<Worker>) {
    this.child = cluster.fork()
    this.alive = alive.add(this)
    this.child.on("listening", (address) => {
      // As a whole: a descriptor is part of it, too.
      this.addresses.add(JSON.stringify(address))
      this.happened()
    })
    this.child.on("message", (message) => {
      if (message !== readyMessage) return
      this.isReady = true
      if (this.isAsked) this.ask()
      this.happened()
    })
    this.child.once("exit", (code, signal) => {
      const end = () => this.end(code, signal)
      // Its last messages may still be on their way, and Node lets go of its sockets when there are no more.
      if (this.child.isConnected()) this.child.once("disconnect", end)
      else end()
    })
    // Of a process that could not be started, nothing else is heard.
    this.child.on("error", (cause) => this.child.process.pid === undefined ? this.end(null, null, cause) : undefined)
  }

  get isOver(): boolean {
    return this.exit !== undefined
  }

  get hasSucceeded(): boolean {
    return this.exit !== undefined && Exit.isSuccess(this.exit)
  }

  /** On so many addresses: one that is listened on again counts once. */
  get listening(): number {
    return this.addresses.size
  }

  /** It has come to its program, and listens on so many addresses. */
  has(listening: number): boolean {
    return !this.isOver && this.isReady && this.listening >= listening
  }

  private end(code: number | null, signal: string | null, cause?: unknown): void {
    const { pid } = this.child.process
    const exit = code === 0 ? Exit.void : Exit.fail(new WorkerFailed({ pid, code, signal, cause }))
    this.exit = exit
    this.alive.delete(this)
    Deferred.unsafeDone(this.ended, exit)
    Deferred.unsafeDone(this.incumbency, Exit.as(exit, undefined))
    this.happened()
  }

  /** From now on, its own end is nobody's concern. */
  succeededBy(successor: Worker): void {
    Deferred.unsafeDone(this.incumbency, Exit.succeed(successor))
  }

  /** To end. What cannot be sent is no matter: it ends already. */
  private ask(): void {
    this.isAsked = true
    if (this.isReady && this.child.isConnected()) this.child.send(stopMessage, () => {})
  }

  private happened(): void {
    for (const look of this.watchers) look()
  }

  /** Suspends until it has come to its program and listens on so many addresses, or has ended. */
  until(listening: number): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const look = () => {
        if (!this.isOver && !this.has(listening)) return
        this.watchers.delete(look)
        resume(Effect.void)
      }
      this.watchers.add(look)
      look()
      return Effect.sync(() => this.watchers.delete(look))
    })
  }

  /** Asks it to end, and kills it after so long; suspends until it has ended. */
  stop(timeout: Duration.DurationInput): Effect.Effect<void> {
    const ended = Effect.ignore(Deferred.await(this.ended))
    return Effect.suspend(() => {
      this.ask()
      return Effect.timeoutTo(Effect.interruptible(ended), {
        duration: timeout,
        onSuccess: () => false,
        onTimeout: () => true
      })
    }).pipe(Effect.flatMap((late) => late ? this.kill : Effect.void))
  }

  get kill(): Effect.Effect<void> {
    return Effect.zipRight(
      Effect.sync(() => this.child.process.kill("SIGKILL")),
      Effect.ignore(Deferred.await(this.ended))
    )
  }
}

const primary = (options: Options): Effect.Effect<void, WorkerFailed> =>
  Effect.scoped(Effect.gen(function*() {
    const count = options.workers ?? os.availableParallelism()
    if (!(Number.isInteger(count) && count >= 1)) {
      return yield* Effect.die(new RangeError(`workers is a whole number, at least 1, not ${count}`))
    }
    const { restartSignal = "SIGHUP", startTimeout = "10 seconds", stopTimeout = defaultStopTimeout } = options
    const alive = new Set<Worker>()
    /** Each place has one worker, or waits for its time to have one. */
    const places: Array<Worker | undefined> = Array.from({ length: count }, () => undefined)

    /** node:cluster closes a socket with the last worker that listens on it, and nobody opens a service manager's again. */
    const passed = Activation.passed()
    const hasLostSockets = () => Activation.isLost(passed)

    // What the system lacks for a process is told by an event (EMFILE) or thrown (ENOMEM).
    const start = Effect.try({
      try: () => new Worker(alive),
      catch: (cause) => new WorkerFailed({ pid: undefined, code: null, signal: null, cause })
    })

    /** The worker of a place, and those that come in its stead, until one has ended by itself. */
    const attend = (worker: Worker): Effect.Effect<void, WorkerFailed> =>
      Effect.flatMap(
        Deferred.await(worker.incumbency),
        (successor) => successor === undefined ? Effect.void : attend(successor)
      )

    const occupy = (place: number) =>
      Effect.suspend(() => {
        const present = places[place]
        if (present !== undefined && !present.isOver) return attend(present)
        return Effect.flatMap(start, (worker) => {
          places[place] = worker
          return attend(worker)
        })
      }).pipe(
        Effect.tapError((failure) => Effect.logWarning(failure.message)),
        Effect.retry({ schedule: options.retry ?? backOff, while: () => !hasLostSockets() }),
        Effect.tapError(() =>
          hasLostSockets() ? Effect.logError("The sockets of the service manager are lost") : Effect.void
        )
      )

    /** False: the new one did not get so far. */
    const replace = (place: number) =>
      Effect.gen(function*() {
        const old = places[place]
        // It has ended with success, or is started anew anyway.
        if (old === undefined || old.isOver) return true
        const started = yield* Effect.either(start)
        if (started._tag === "Left") {
          yield* Effect.logWarning(started.left.message)
          return false
        }
        const worker = started.right
        const { listening } = old
        yield* Effect.timeoutOption(worker.until(listening), startTimeout)
        if (!worker.has(listening)) {
          yield* worker.kill
          return false
        }
        const replaced = places[place]!
        // Nobody is to follow who has ended with success meanwhile.
        if (replaced.hasSucceeded) {
          yield* Effect.forkDaemon(worker.stop(stopTimeout))
          return true
        }
        places[place] = worker
        replaced.succeededBy(worker)
        yield* Effect.forkDaemon(replaced.stop(stopTimeout))
        return true
      })

    const restart = Effect.gen(function*() {
      yield* Effect.logInfo("The workers are being replaced")
      for (const place of places.keys()) {
        if (!(yield* replace(place))) {
          return yield* Effect.logError("A new worker did not listen: the restart is given up")
        }
      }
      yield* Effect.logInfo("The workers have been replaced")
    })

    const over = yield* Deferred.make<void, WorkerFailed>()
    const restarts = yield* Queue.sliding<void>(1)
    yield* on(restartSignal, () => void Queue.unsafeOffer(restarts, undefined))
    // For as long as workers end, too: a signal that comes in the midst of it, for another reason, would cut them off.
    yield* onEnd(() => Deferred.unsafeDone(over, Exit.void))
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() =>
        Effect.forEach(Array.from(alive), (worker) => worker.stop(stopTimeout), {
          concurrency: "unbounded",
          discard: true
        })
      )
    )
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Queue.take(restarts), restart)))
    const all = Effect.forEach(places.keys(), occupy, { concurrency: "unbounded", discard: true })
    yield* Effect.forkScoped(Effect.intoDeferred(all, over))
    yield* Deferred.await(over)
  }))
