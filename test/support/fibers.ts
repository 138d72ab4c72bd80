import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"

/** How many fibers live that nobody is the parent of: those of transports are. */
export const rootFibers: Effect.Effect<number> = Effect.map(Fiber.roots, (roots) => roots.length)

/** Lets everything run that can run without time passing. */
export const settle: Effect.Effect<void> = Effect.promise(async () => {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
})

/** Forks it, and lets it come as far as it can. */
export const forked = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.zipLeft(Effect.fork(effect), settle)

/** What it failed with: anything but a failure is an error of the test. */
export const failed = <A, E>(exit: Exit.Exit<A, E>): E => {
  if (Exit.isFailure(exit) && exit.cause._tag === "Fail") return exit.cause.error
  throw new Error(`a plain failure was expected: ${exit}`)
}

/** The default one, which counts how often a fiber is to be run. */
export const schedulerThatCounts = () => {
  let wakeUps = 0
  const scheduler = Scheduler.make((run, priority) => {
    wakeUps++
    Scheduler.defaultScheduler.scheduleTask(run, priority)
  })
  return { scheduler, wakeUps: () => wakeUps }
}
