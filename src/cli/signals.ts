/**
 * SIGINT, SIGTERM and SIGHUP: the first asks to stop, the second does not ask.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as os from "node:os"

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** Completes at the first signal. From then on, until it is interrupted, and after it, a signal ends the process at once. */
export const first: Effect.Effect<void> = Effect.async<void>((resume) => {
  const onSignal = () => {
    for (const signal of signals) {
      process.removeListener(signal, onSignal)
      // What a shell reports for a process that the signal has ended.
      process.on(signal, () => process.exit(128 + os.constants.signals[signal]))
    }
    resume(Effect.void)
  }
  for (const signal of signals) process.on(signal, onSignal)
})
