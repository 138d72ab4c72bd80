/**
 * Time that jumps: when everything that could run has run, it is at once as late as the next timer. An hour of timeouts,
 * back-off and slow links passes as fast as the program computes, and the same every time.
 *
 * It is an ordinary `Clock` of Effect: whatever sleeps, times out, repeats on a schedule, and every deadline of a
 * transport goes by it. `TestClock` is the other way to test with time: there the test moves it, here nobody has to.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type { Address } from "../Address.ts"
import { async } from "../internal/async.ts"
import { Heap } from "../internal/heap.ts"
import type { Scheduling } from "../internal/timers.ts"
import * as Turn from "../internal/turn.ts"
import type { TransportStats } from "../Transport.ts"
import { OpenTransports, told } from "./internal/openTransports.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The time at which it starts, as milliseconds since 1970: 0. It dies with a `RangeError` of one that is not finite. */
  readonly start?: number | undefined
  /**
   * What happens when everything waits and no timer is left: the program fails with `Deadlock`, the default; or it is
   * waited for what comes from outside (files, real sockets, other processes), in real time, while the clock stands still.
   */
  readonly whenStuck?: "fail" | "wait" | undefined
  /**
   * How much time may pass: any. A program that is not over by then, such as one that tries again for ever, is interrupted and
   * fails with `TimeLimitExceeded`. Its finalizers have as much time again.
   */
  readonly limit?: Duration.DurationInput | undefined
}

/**
 * A transport that was open when a program was stopped: who waits for what.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenTransport extends TransportStats {
  readonly localAddress: Address
  readonly remoteAddress: Address
}

/**
 * Every fiber waits, and no timer is left that could wake one: the program would wait for ever. It was interrupted, and its
 * finalizers have run. (What a simulated kernel does in the background, such as to probe a peer, can go on for ever: a day of
 * that alone is one too.)
 *
 * @since 0.1.0
 * @category errors
 */
export class Deadlock extends Data.TaggedError("Deadlock")<{
  /** When, by the virtual clock: milliseconds since its start. */
  readonly after: number
  /** The transports that were open, in the order in which they were opened. */
  readonly transports: ReadonlyArray<OpenTransport>
}> {
  override get message() {
    return `Deadlock after ${time(this.after)} of virtual time: ` +
      `everything waits, and no timer is left. ` +
      `(A program that waits for something real, a file or a socket, needs whenStuck: "wait".)${told(this.transports)}`
  }
}

/**
 * The program was not over when its time was: it may go on for ever. It was interrupted, and its finalizers have run.
 *
 * @since 0.1.0
 * @category errors
 */
export class TimeLimitExceeded extends Data.TaggedError("TimeLimitExceeded")<{
  /** When, by the virtual clock: milliseconds since its start. */
  readonly after: number
  /** The transports that were open, in the order in which they were opened. */
  readonly transports: ReadonlyArray<OpenTransport>
}> {
  override get message() {
    return `The program was not over after ${time(this.after)} of virtual time, its limit.` +
      told(this.transports)
  }
}

/** In words, whole milliseconds. */
const time = (millis: number): string => Duration.format(Duration.millis(Math.floor(millis)))

/** So many timers come in one turn of the event loop, at most. */
const turnLimit = 1000

/** In milliseconds: so long it goes on with nothing left but timers in the background, which could go on for ever. */
const patience = 86_400_000

/** Timers that are cancelled are let go of when they are most of all, and more than so many. */
const fewTimers = 64

interface Timer {
  run: (() => void) | undefined
  readonly background: boolean
}

class Jumping implements Clock.Clock, Scheduling {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  readonly transports = new OpenTransports()
  private readonly timers = new Heap<Timer>()
  private readonly start: number
  private now: number
  private running = false
  /** Programs in it that run in a time of their own. */
  private nested = 0
  /** Timers that are set, not in the background. */
  private awaited = 0
  /** Timers that are cancelled, and not yet let go of. */
  private cancelled = 0
  /** When the last one came that is not in the background. */
  private last: number
  /** It does not go beyond it. */
  private until: number
  private readonly limit: number
  private readonly onStuck: (isOver: boolean) => void

  constructor(start: number, limit: number, onStuck: (isOver: boolean) => void) {
    this.start = this.now = this.last = start
    this.limit = limit
    this.until = start + limit
    this.onStuck = onStuck
  }

  get elapsed(): number {
    return this.last - this.start
  }

  // Whole milliseconds, as everybody expects of this one.
  readonly unsafeCurrentTimeMillis = () => Math.floor(this.now)
  readonly unsafeCurrentTimeNanos = () => BigInt(Math.round(this.now * 1e6))
  readonly currentTimeMillis = Effect.sync(this.unsafeCurrentTimeMillis)
  readonly currentTimeNanos = Effect.sync(this.unsafeCurrentTimeNanos)

  readonly sleep = (duration: Duration.Duration): Effect.Effect<void> =>
    async<void>((resume) => this.unsafeSchedule(Duration.toMillis(duration), () => resume(Effect.void)))

  readonly unsafeSchedule: Scheduling["unsafeSchedule"] = (delay, run, background = false) => {
    if (delay === Infinity) return () => {}
    const timer: Timer = { run, background }
    this.timers.push(this.now + Math.max(0, delay), timer)
    if (!background) this.awaited++
    return () => {
      if (this.take(timer) !== undefined) this.cancelled++
      if (this.cancelled > fewTimers && this.cancelled > this.timers.size / 2) {
        this.timers.retain(({ run }) => run !== undefined)
        this.cancelled = 0
      }
    }
  }

  readonly opened: NonNullable<Scheduling["opened"]> = (transport, isClosed) => this.transports.add(transport, isClosed)

  private take(timer: Timer): Timer["run"] {
    const { run } = timer
    if (run !== undefined && !timer.background) this.awaited--
    timer.run = undefined
    return run
  }

  begin(): void {
    this.running = true
    Turn.whenTurned(this.look)
  }

  end(): void {
    this.running = false
  }

  /** Stands still while the program runs, whose timers are none of its own. */
  readonly around = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => this.nested++),
      () => program,
      () => Effect.sync(() => this.nested--)
    )

  private readonly look = (idle: boolean): void => {
    if (!this.running) return
    if (!idle || this.nested === 0 && this.jump()) return Turn.whenTurned(this.look)
    if (this.nested === 0) this.stuck()
    // Whatever comes now comes from outside: it is not waited for with all of the CPU.
    setTimeout(() => Turn.whenTurned(this.look), 1)
  }

  private stuck(): void {
    const isOver = this.next > this.until && this.next < Infinity && !this.isAlone
    if (isOver) this.until = this.next + this.limit
    this.onStuck(isOver)
  }

  /** When the next timer comes; `Infinity`: never. */
  private get next(): number {
    const { timers } = this
    for (let first = timers.first; first !== undefined && first.run === undefined; first = timers.first) {
      timers.pop()
      this.cancelled--
    }
    return timers.least
  }

  /** Nothing is left but timers in the background, which could go on for ever. */
  private get isAlone(): boolean {
    return this.awaited === 0 && this.next > this.last + patience
  }

  /** To the next timer, and all of its instant: each an event of its own. */
  private jump(): boolean {
    if (this.isAlone || this.next > this.until) return false
    let fired = 0
    // A timer of 0 that is set again and again must not hold the event loop, or nobody could interrupt it.
    for (
      let at = this.next;
      at < Infinity && fired < turnLimit && (fired === 0 || at <= this.now);
      at = this.next
    ) {
      const timer = this.timers.pop()!
      const run = this.take(timer)!
      fired++
      this.now = at
      if (!timer.background) this.last = at
      Turn.event(run)(undefined)
    }
    return fired > 0
  }
}

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/**
 * Runs a program in a time of its own, which starts at 0 and jumps to the next timer whenever everything waits.
 *
 * Fails as the program does, with `Deadlock` when nothing is left that could wake it, and with `TimeLimitExceeded` when a
 * `limit` is over. Its fibers run in a fixed order: a program that takes nothing from outside does the same each time.
 * Interrupted, it interrupts the program, whose finalizers still have their time.
 *
 * Work that is really outside is not seen: while a file is read or a module imported, or while a timer of the host runs
 * (`setTimeout`, `setImmediate`), the clock would jump, or report a deadlock. Promises that wait for nothing outside are no
 * such work. While a program runs in it that has a time of its own, it stands still. It ends with the program: a daemon
 * that sleeps then never wakes.
 *
 * @example
 * ```ts
 * import * as Clock from "effect/Clock"
 * import * as Effect from "effect/Effect"
 * import * as VirtualClock from "effect-transport/testing/VirtualClock"
 *
 * const program = Effect.zipRight(Effect.sleep("1 hour"), Clock.currentTimeMillis)
 *
 * console.log(await Effect.runPromise(VirtualClock.run(program))) // 3600000, at once
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const run = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: Options = {}
): Effect.Effect<A, E | Deadlock | TimeLimitExceeded, R> =>
  Effect.clockWith((outer) => outer instanceof Jumping ? outer.around(runIn(effect, options)) : runIn(effect, options))

type Stopped = Deadlock | TimeLimitExceeded

const runIn = <A, E, R>(effect: Effect.Effect<A, E, R>, options: Options): Effect.Effect<A, E | Stopped, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      let stopped: Stopped | undefined
      let giveUp: () => void = () => {}
      const limit = Duration.toMillis(options.limit ?? Infinity)
      const { start = 0 } = options
      if (!Number.isFinite(start)) throw new RangeError(`start is a time in milliseconds, not ${start}`)
      const clock = new Jumping(start, limit, (isOver) => {
        if (!isOver && options.whenStuck === "wait") return
        // A second time: the finalizers wait for ever as well, and there is nothing more that could be done.
        if (stopped !== undefined) return giveUp()
        const transports = clock.transports.list
        stopped = isOver
          ? new TimeLimitExceeded({ after: limit, transports })
          : new Deadlock({ after: clock.elapsed, transports })
        fiber?.unsafeInterruptAsFork(FiberId.none)
      })
      let fiber: Fiber.RuntimeFiber<A, E> | undefined
      const program = restore(effect).pipe(Effect.withClock(clock), Effect.withScheduler(Turn.scheduler))
      const outcome = (exit: Exit.Exit<A, E>): Effect.Effect<A, E | Stopped> =>
        stopped !== undefined && Exit.isFailure(exit) && Cause.isInterrupted(exit.cause)
          ? Effect.failCause(instead(stopped, exit.cause))
          : exit
      const wait = Effect.async<A, E | Stopped>((resume) => {
        giveUp = () => resume(Effect.fail(stopped!))
        fiber?.addObserver((exit) => resume(outcome(exit)))
      })
      return Effect.flatMap(Effect.forkDaemon(program), (forked) => {
        fiber = forked
        clock.begin()
        return Effect.ensuring(
          Effect.onInterrupt(restore(wait), () => Effect.zipRight(Fiber.interruptFork(forked), Effect.exit(wait))),
          Effect.sync(() => clock.end())
        )
      })
    })
  )

/** In place of the interruption, and before all that finalizers have died of. */
const instead = <E>(stopped: Stopped, cause: Cause.Cause<E>): Cause.Cause<E | Stopped> =>
  Cause.isInterruptedOnly(cause)
    ? Cause.fail(stopped)
    : Cause.sequential(Cause.fail(stopped), Cause.filter(cause, (part) => !Cause.isInterruptType(part)))
