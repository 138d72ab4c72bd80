/**
 * Options of a carrier that does not tell how they are set.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { TransportOption } from "../Transport.ts"

/** Remembers the value last set. */
export const settable = <A>(initial: A, set: (value: A) => void): TransportOption<A> => {
  let last = initial
  return {
    get: () => last,
    set: (value) =>
      Effect.sync(() => {
        last = value
        set(value)
      })
  }
}
