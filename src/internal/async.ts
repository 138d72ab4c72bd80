import * as Effect from "effect/Effect"

/**
 * `Effect.async` whose canceler always runs when it is interrupted. Effect's own installs what `register` returns only in
 * its next step: a fiber that yields in between, and is interrupted there, stays registered.
 *
 * @internal
 */
export const async = <A, E = never>(
  register: (resume: (effect: Effect.Effect<A, E>) => void) => () => void
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    let cancel: (() => void) | undefined
    return Effect.onInterrupt(
      Effect.async<A, E>((resume) => {
        cancel = register(resume)
      }),
      () => Effect.sync(() => cancel?.())
    )
  })
