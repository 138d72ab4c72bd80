/**
 * Effects whose first step needs no fiber: whoever would run one next may take the step in its place. A write into a
 * buffer with room is over with it; so a handler that answers at once costs no fiber a wake-up, which is most of what
 * Effect costs for each message (1.6 µs out of about 10).
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"

export abstract class Immediate<A, E, R = never> extends Effectable.Class<A, E, R> {
  /** The first step, and what there is to do after it. Called once for each run. */
  abstract override commit(): Effect.Effect<A, E, R>
}

class Suspended<A, E, R> extends Immediate<A, E, R> {
  override readonly commit: () => Effect.Effect<A, E, R>

  constructor(commit: () => Effect.Effect<A, E, R>) {
    super()
    this.commit = commit
  }
}

/** `Effect.suspend` whose step needs no fiber. */
export const suspend = <A, E, R = never>(step: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  new Suspended(step)

/** Takes the first step of an effect that is to be run now, in this place: what is left of it, `Exit.void` for nothing. */
export const advance = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  effect instanceof Immediate ? effect.commit() : effect

/** Nothing is left of it: it has succeeded, and nobody has to run it. */
export const isDone = <A, E, R>(effect: Effect.Effect<A, E, R>): effect is Exit.Success<A, E> =>
  (effect as unknown) === Exit.void || Exit.isExit(effect) && Exit.isSuccess(effect)

/** `Effect.flatMap` of an effect that is to be run now, in this place: what is left of the two. */
export const next = <A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  f: (value: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> => {
  const rest = advance(effect)
  return isDone(rest) ? f(rest.value) : Effect.flatMap(rest, f)
}

interface Handlers<E, E2, R> {
  readonly onFailure: (error: E) => Effect.Effect<void, E2, R>
  readonly onSuccess: () => Effect.Effect<void, E2, R>
}

/** `Effect.matchEffect` that leaves an immediate effect immediate. */
export const matchEffect = <E, E2, R = never>(
  effect: Effect.Effect<void, E, R>,
  handlers: Handlers<E, E2, R>
): Effect.Effect<void, E2, R> =>
  suspend(() => {
    const rest = advance(effect)
    return isDone(rest) ? handlers.onSuccess() : Effect.matchEffect(rest, handlers)
  })

/** `Effect.catchAll` that leaves an immediate effect immediate. */
export const catchAll = <E, E2, R = never>(
  effect: Effect.Effect<void, E, R>,
  handle: (error: E) => Effect.Effect<void, E2, R>
): Effect.Effect<void, E2, R> => matchEffect(effect, { onFailure: handle, onSuccess: () => Exit.void })
