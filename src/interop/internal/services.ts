/**
 * The services of whoever makes something, for what runs later and in a Scope of its own.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"

/** All but the Scope, which may be there whatever the type says, and would win over that of who runs it. */
export const services = <R>(): Effect.Effect<
  Context.Context<Exclude<R, Scope.Scope>>,
  never,
  Exclude<R, Scope.Scope>
> =>
  Effect.map(
    Effect.context<Exclude<R, Scope.Scope>>(),
    (context) => Context.omit(Scope.Scope)(context as Context.Context<R | Scope.Scope>)
  )
