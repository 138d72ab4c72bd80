/**
 * Effects that can wait without a fiber. A fiber runs them as any other; who has none, because it serves connections by the
 * thousand, starts them and is called back. A fiber costs a connection 10 µs and 3 KB, which is more than all else of it.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"

/** What was started: an object, since a closure for it would cost each connection 100 bytes. */
export interface Started {
  /** It leaves as if it were interrupted, and nobody is called back. */
  readonly stop: () => void
}

export abstract class Unattended<A, E, R> extends Effectable.Class<A, E, R> {
  /** Begins, and calls `done` once, perhaps at once, with what is left: an `Exit`, or what needs a fiber. */
  abstract start(done: (rest: Effect.Effect<A, E, R>) => void): Started
}
