import * as Clock from "effect/Clock"
import type { Scheduling } from "../../src/internal/timers.ts"

/** The host's clock, which knows how many timers are set. */
export const countedTimers = (): { readonly clock: Scheduling; readonly armed: () => number } => {
  let armed = 0
  const schedule: Scheduling["unsafeSchedule"] = (delay, run) => {
    armed++
    let isArmed = true
    const disarm = () => {
      if (isArmed) armed--
      isArmed = false
    }
    const timer = setTimeout(() => {
      disarm()
      run()
    }, delay)
    return () => {
      clearTimeout(timer)
      disarm()
    }
  }
  return { clock: Object.assign(Clock.make(), { unsafeSchedule: schedule }), armed: () => armed }
}
