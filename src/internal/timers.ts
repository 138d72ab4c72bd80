/**
 * The timers of the connection core, bound to a Clock of Effect: virtual time governs every deadline.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type { Transport } from "../Transport.ts"
import type { Timers } from "./connection.ts"
import * as Turn from "./turn.ts"

/** A Clock that sets timers by itself, without a fiber that sleeps. */
export interface Scheduling extends Clock.Clock {
  /**
   * Runs it after so many milliseconds; gives what prevents that. In the background, it is nothing that anybody waits for,
   * and keeps nobody waiting.
   */
  readonly unsafeSchedule: (delay: number, run: () => void, background?: boolean) => () => void
  /** Is told of every transport that goes by it. */
  readonly opened?: (transport: Transport<unknown>, isClosed: () => boolean) => void
}

/** What transports have from their Clock. */
export interface ClockTimers extends Timers {
  readonly opened: Scheduling["opened"]
}

const liveClock = Context.get(DefaultServices.liveServices, Clock.Clock)

/** The host's longest: what is later than that does not come (24.8 days). */
const maxDelay = 2 ** 31 - 1

/** A timer of the host, where it is the Clock: a fiber that sleeps costs 16 KB of garbage for every connection that closes. */
const scheduleLive: Scheduling["unsafeSchedule"] = (delay, run, background = false) => {
  if (delay > maxDelay) return () => {}
  const timer = setTimeout(run, delay)
  // Where a process ends once nothing is left to wait for, this is nothing to wait for.
  if (background) (timer as { readonly unref?: () => void }).unref?.()
  return () => clearTimeout(timer)
}

const scheduleBy = (clock: Clock.Clock): Timers["schedule"] => (delay, run) => {
  // A sleep of 0 would be over before this returns.
  const wait = delay > 0 ? clock.sleep(Duration.millis(delay)) : Effect.yieldNow()
  const fiber = Effect.runFork(Effect.andThen(wait, Effect.sync(run)))
  return () => fiber.unsafeInterruptAsFork(FiberId.none)
}

const isScheduling = (clock: Clock.Clock): clock is Scheduling => "unsafeSchedule" in clock

const make = (clock: Clock.Clock): ClockTimers => ({
  now: clock === liveClock ? Turn.now : () => clock.unsafeCurrentTimeMillis(),
  schedule: isScheduling(clock) ? clock.unsafeSchedule : clock === liveClock ? scheduleLive : scheduleBy(clock),
  macrotask: Turn.macrotask,
  defer: Turn.defer,
  opened: isScheduling(clock) ? clock.opened : undefined
})

const byClock = new WeakMap<Clock.Clock, ClockTimers>()

/** One set of timers for each Clock, not for each connection. */
export const timersOf = (clock: Clock.Clock): ClockTimers => {
  let timers = byClock.get(clock)
  if (timers === undefined) {
    timers = make(clock)
    byClock.set(clock, timers)
  }
  return timers
}
