import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"

/** How many fibers live that nobody is the parent of: those of transports are. */
export const rootFibers: Effect.Effect<number> = Effect.map(Fiber.roots, (roots) => roots.length)

/** Lets everything run that can run without time passing. */
export const settle: Effect.Effect<void> = Effect.promise(async () => {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
})

/** The default one, which counts how often a fiber is to be run. */
export const schedulerThatCounts = () => {
  let wakeUps = 0
  const scheduler = Scheduler.make((run, priority) => {
    wakeUps++
    Scheduler.defaultScheduler.scheduleTask(run, priority)
  })
  return { scheduler, wakeUps: () => wakeUps }
}
