/**
 * How long to wait before what has failed is started anew.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Decision from "effect/ScheduleDecision"
import * as Interval from "effect/ScheduleInterval"

/** All in milliseconds. */
const first = 100
const longest = 10_000
const forgotten = 60_000

interface State {
  readonly failures: number
  /** When the last one was. */
  readonly at: number
}

/**
 * For ever: each time twice as long, up to a limit, and from the beginning after a while without a failure. Not by
 * `Schedule.resetAfter`, which counts from the first failure, and so forgets those that never cease.
 */
export const backOff: Schedule.Schedule<number> = Schedule.makeWithState<State, unknown, number>(
  { failures: 0, at: -Infinity },
  (now, _, last) => {
    const failures = now - last.at < forgotten ? last.failures + 1 : 1
    const delay = Math.min(longest, first * 2 ** (failures - 1))
    return Effect.succeed([{ failures, at: now }, delay, Decision.continueWith(Interval.after(now + delay))])
  }
)
