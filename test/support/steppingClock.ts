import type * as Clock from "effect/Clock"
import { ClockTypeId } from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { settle } from "./fibers.ts"

/** Time that jumps to the next sleeper whenever nothing else can run: for schedules of many steps. */
export class SteppingClock implements Clock.Clock {
  readonly [ClockTypeId]: Clock.ClockTypeId = ClockTypeId
  private now = 0
  private sleepers: Array<{ readonly at: number; readonly wake: () => void }> = []

  unsafeCurrentTimeMillis = () => this.now
  unsafeCurrentTimeNanos = () => BigInt(this.now) * 1_000_000n
  currentTimeMillis = Effect.sync(() => this.now)
  currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep = (duration: Duration.Duration) =>
    Effect.async<void>((resume) => {
      const sleeper = { at: this.now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
      this.sleepers.push(sleeper)
      return Effect.sync(() => {
        this.sleepers = this.sleepers.filter((other) => other !== sleeper)
      })
    })

  /** Runs until nobody sleeps any more. */
  readonly run: Effect.Effect<void> = Effect.suspend(() => {
    const next = Math.min(...this.sleepers.map(({ at }) => at))
    if (next === Infinity) return Effect.void
    this.now = next
    const due = this.sleepers.filter(({ at }) => at === next)
    this.sleepers = this.sleepers.filter(({ at }) => at !== next)
    for (const { wake } of due) wake()
    return Effect.zipRight(settle, this.run)
  })
}

/** Runs a program, and closes its Scope, in a time of its own: as fast as it can. */
export const inSteppingTime = <A, E, R>(program: (clock: SteppingClock) => Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const clock = new SteppingClock()
    const time = Effect.forever(Effect.zipRight(settle, clock.run))
    return Effect.withClock(Effect.raceFirst(Effect.scoped(program(clock)), time), clock)
  })
