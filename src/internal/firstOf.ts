/**
 * A race that an interruption ends, whenever it comes.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/**
 * As whichever ends first. The other one is interrupted, and so are both if this is; nothing follows before they are over.
 * Not `Effect.raceFirst`: interrupted after it has made its fibers and before it has started them, it waits for them for
 * ever.
 */
export const firstOf = <A, E, R, A2, E2, R2>(
  one: Effect.Effect<A, E, R>,
  other: Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E | E2, R | R2> =>
  Effect.uninterruptibleMask((restore) => {
    // As an Exit: a fiber that fails is logged.
    const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.fork(Effect.exit(restore(effect)))
    return Effect.flatMap(Effect.zip(fork(one), fork(other)), (fibers) => {
      const ended = Effect.async<Exit.Exit<A | A2, E | E2>>((resume) => {
        for (const fiber of fibers) fiber.addObserver(() => resume(Fiber.join<Exit.Exit<A | A2, E | E2>, never>(fiber)))
      })
      return Effect.flatten(Effect.ensuring(restore(ended), Fiber.interruptAll(fibers)))
    })
  })
