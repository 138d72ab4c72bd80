import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"

/** A fiber that yielded before one of its steps, and goes on when it is told. */
export interface Paused<A, E> {
  readonly fiber: Fiber.RuntimeFiber<A, E>
  /** False if it came to its end, or waits, without having had so many steps. */
  readonly paused: () => boolean
  readonly goOn: () => void
}

/**
 * Runs the effect and lets it yield before its n-th step (0 is the first), as Effect's scheduler does after every 2048th.
 * Whatever happens then, happens between two steps.
 */
export const pausedAt = <A, E>(effect: Effect.Effect<A, E>, step: number): Paused<A, E> => {
  let steps = 0
  let yielding = false
  let held: (() => void) | undefined
  const scheduler: Scheduler.Scheduler = {
    shouldYield: () => {
      if (steps++ !== step) return false
      yielding = true
      return 0
    },
    scheduleTask: (task, priority) => {
      if (!yielding) return Scheduler.defaultScheduler.scheduleTask(task, priority)
      yielding = false
      held = task
    }
  }
  const fiber = Effect.runFork(effect, { scheduler })
  return {
    fiber,
    paused: () => held !== undefined,
    goOn: () => {
      const task = held
      held = undefined
      task?.()
    }
  }
}
