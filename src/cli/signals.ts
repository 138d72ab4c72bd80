/**
 * SIGINT, SIGTERM and SIGHUP: the first asks to stop, the second does not ask.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as os from "node:os"

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** From now on a signal asks: gives what completes at the first one. After that one, a signal ends the process at once. */
export const asking: Effect.Effect<Effect.Effect<void>> = Effect.sync(() => {
  const asked = Deferred.unsafeMake<void>(FiberId.none)
  const onSignal = () => {
    for (const signal of signals) {
      process.removeListener(signal, onSignal)
      // What a shell reports for a process that the signal has ended.
      process.on(signal, () => process.exit(128 + os.constants.signals[signal]))
    }
    Deferred.unsafeDone(asked, Exit.void)
  }
  for (const signal of signals) process.on(signal, onSignal)
  return Deferred.await(asked)
})
