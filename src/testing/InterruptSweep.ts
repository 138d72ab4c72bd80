/**
 * Interruption at every step: a scenario is run again and again, interrupted at another moment each time, and what must
 * hold whatever happens is checked after each run. It finds what no test with one chosen interruption does: the one
 * moment between two steps at which bytes are in nobody's hands.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import * as Turn from "../internal/turn.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * A moment at which Effect's runtime lets an interruption in.
 *
 * - `operation`: before an operation of a fiber, which yields there; any operation can be such a one.
 * - `suspension`: a fiber waits, for input or for room.
 * - `resumption`: what it waited for has come, in the same tick as the interruption, and the fiber has not run since.
 *
 * @since 0.1.0
 * @category models
 */
export type Moment = "operation" | "suspension" | "resumption"

/**
 * Where one run was interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Point {
  /** Which moment of the run it was: 1 is the first. 0 is the run that is not interrupted. */
  readonly index: number
  /** What kind of moment it was; `undefined` if the run was over before. */
  readonly moment: Moment | undefined
  /**
   * The fiber ran on, to be interrupted, only in a later turn of the event loop. So whatever it waited for, or had just
   * seen, could change between the interruption and the finalizers.
   */
  readonly late: boolean
}

/**
 * What was promised did not hold for the run that was interrupted at `point`; `cause` says what failed: the set-up, the
 * check, the closing of the run's Scope, or (a `TimeoutException`) the scenario, which did not end after its interruption.
 *
 * @since 0.1.0
 * @category errors
 */
export class SweepViolation<E = unknown> extends Data.TaggedError("SweepViolation")<{
  readonly point: Point
  readonly cause: Cause.Cause<E>
}> {
  override get message() {
    const { index, late, moment } = this.point
    const where = index === 0
      ? "The run without an interruption"
      : `The run that was interrupted at point ${index} (${moment ?? "after its end"}${late ? ", run on late" : ""})`
    return `${where} breaks what was promised: ${Cause.pretty(this.cause)}`
  }
}

/**
 * What a sweep does in each of its runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sweep<S, A, E, R, E1, R1, E2, R2> {
  /** Makes what one run needs, never interrupted. Its Scope is closed after the run's check. */
  readonly setup: Effect.Effect<S, E1, R1>
  /**
   * What is interrupted. It is to note what it has got in the very step that gives it, in the function of an
   * `Effect.flatMap`: the value of a fiber that is interrupted after its last step is nobody's, and the function of an
   * `Effect.map` is a step of its own.
   */
  readonly scenario: (setup: S) => Effect.Effect<A, E, R>
  /** The invariant: fails, or dies, if what must hold does not, however the scenario ended. */
  readonly check: (setup: S, exit: Exit.Exit<A, E>, point: Point) => Effect.Effect<unknown, E2, R2>
  /** How long a scenario may take to end, by the Clock: 10 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
}

// -----------------------------------------------------------------------------
// the sweep
// -----------------------------------------------------------------------------

/**
 * Runs the scenario once without an interruption, and then once for every moment at which it can be interrupted, until it
 * ends before the moment comes; each moment is tried twice, the second time `late` (see `Point`). Completes with the number
 * of interrupted runs; fails with the first violation.
 *
 * The moments are those of the scenario's fiber and of all fibers that it forks; it is always the scenario's fiber that is
 * interrupted, and its children are by it. What runs outside (drivers, other fibers of the set-up) goes on as always, so
 * real sockets are swept as well as those in memory: then the number of points may differ from run to run.
 *
 * Effect's own `race`, and `zip` and `all` with concurrency, wait for ever if they are interrupted while they start their
 * fibers. It takes the wrong moment out of thousands, and a sweep finds it: a `TimeoutException`. `Effect.fork` and
 * `Fiber.join` do not.
 *
 * @example
 * ```ts
 * import { deepStrictEqual, ok } from "node:assert"
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as InterruptSweep from "effect-transport/testing/InterruptSweep"
 *
 * // A pull that is interrupted loses nothing: the next one gets it.
 * export const program = InterruptSweep.sweep({
 *   setup: Effect.gen(function*() {
 *     const [left, right] = yield* MemoryTransport.pair({ lingerTimeout: 0 })
 *     yield* left.write(Uint8Array.of(1, 2, 3))
 *     yield* left.closeWrite
 *     return { right, got: [] as Array<number> }
 *   }),
 *   scenario: ({ got, right }) =>
 *     Effect.flatMap(right.pull, (bytes) => {
 *       got.push(...bytes ?? [])
 *       return Effect.void
 *     }),
 *   check: ({ got, right }) =>
 *     Effect.map(right.pull, (bytes) => deepStrictEqual([...got, ...bytes ?? []], [1, 2, 3]))
 * })
 *
 * ok((await Effect.runPromise(program)).points > 0)
 * ```
 *
 * @since 0.1.0
 * @category sweeping
 */
export const sweep = <S, A, E, R, E1, R1, E2, R2>(
  options: Sweep<S, A, E, R, E1, R1, E2, R2>
): Effect.Effect<
  { readonly points: number },
  SweepViolation<E1 | E2 | Cause.TimeoutException>,
  Exclude<R | R1 | R2, Scope.Scope>
> =>
  Effect.gen(function*() {
    const { moments } = yield* runOnce(options, { index: 0, late: false })
    let points = 0
    for (const late of [false, true]) {
      // With real input and output a run can be a little longer or shorter than the first: the end is where it ended.
      for (let index = 1;; index++) {
        const { hit } = yield* runOnce(options, { index, late })
        if (hit) points++
        else if (index > moments) break
      }
    }
    return { points }
  })

const runOnce = <S, A, E, R, E1, R1, E2, R2>(
  options: Sweep<S, A, E, R, E1, R1, E2, R2>,
  { index, late }: { readonly index: number; readonly late: boolean }
) => {
  const interruption = new Interruption(index, late)
  const point = (): Point => ({ index, late, moment: interruption.moment })
  const run = Effect.gen(function*() {
    const setup = yield* options.setup
    const exit = yield* exitOf(interruption.inject(options.scenario(setup)), options.timeout ?? Duration.seconds(10))
    yield* options.check(setup, exit, point())
  })
  return Effect.scoped(run).pipe(
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.interrupt
        : Effect.fail(new SweepViolation({ point: point(), cause }))
    ),
    Effect.map(() => ({ hit: interruption.moment !== undefined, moments: interruption.moments }))
  )
}

const exitOf = <A, E, R>(effect: Effect.Effect<A, E, R>, timeout: Duration.DurationInput) =>
  Effect.flatMap(Effect.forkDaemon(effect), (fiber) =>
    Effect.onError(
      Effect.timeout(Fiber.await(fiber), timeout),
      () => Effect.sync(() => fiber.unsafeInterruptAsFork(FiberId.none))
    ))

type RuntimeFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * One interruption, at the moment `target` of the fibers that are given to it. It looks on as their Supervisor, which
 * sees them suspend, and as their Scheduler, which is asked before each operation and is given each resumption.
 */
class Interruption extends Supervisor.AbstractSupervisor<void> implements Scheduler.Scheduler {
  readonly value = Effect.void
  /** How many moments there were, up to the interruption. */
  moments = 0
  moment: Moment | undefined = undefined
  private readonly target: number
  private readonly late: boolean
  private victim: RuntimeFiber | undefined = undefined
  private held: RuntimeFiber | undefined = undefined
  /** The fibers' own, by which they run. */
  private scheduler: Scheduler.Scheduler = Scheduler.defaultScheduler

  constructor(target: number, late: boolean) {
    super()
    this.target = target
    this.late = late
  }

  /** Set and never set back: when the effect has come to its end there is no moment left in which to lose its result. */
  inject<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.withFiberRuntime((fiber) => {
      this.victim = fiber
      this.scheduler = fiber.currentScheduler
      return FiberRef.update(FiberRef.currentSupervisor, (current) => current.zip(this)).pipe(
        Effect.zipRight(FiberRef.set(FiberRef.currentScheduler, this)),
        Effect.zipRight(effect)
      )
    })
  }

  shouldYield(fiber: RuntimeFiber): number | false {
    if (!this.isTarget(fiber, "operation")) return this.scheduler.shouldYield(fiber)
    queueMicrotask(this.interrupt)
    return 0
  }

  override onSuspend<A, E>(fiber: Fiber.RuntimeFiber<A, E>): void {
    if (this.isTarget(fiber, "suspension")) queueMicrotask(this.interrupt)
  }

  scheduleTask(task: Scheduler.Task, priority: number, fiber?: RuntimeFiber): void {
    // The fiber has a message by now; the interruption is the next one, and both are read in the same tick.
    if (fiber !== undefined && this.isTarget(fiber, "resumption")) this.interrupt()
    if (fiber === undefined || fiber !== this.held) {
      return this.scheduler.scheduleTask(task, priority, fiber)
    }
    this.held = undefined
    // A task of the event loop that a `VirtualClock` sees, and stands still for.
    Turn.macrotask(() => this.scheduler.scheduleTask(task, priority, fiber), (run) => void setTimeout(run, 0))
  }

  private isTarget(fiber: RuntimeFiber, moment: Moment): boolean {
    if (this.moment !== undefined || fiber.unsafePoll() !== null || ++this.moments !== this.target) return false
    this.moment = moment
    if (this.late) this.held = fiber
    return true
  }

  private readonly interrupt = () => this.victim?.unsafeInterruptAsFork(FiberId.none)
}
