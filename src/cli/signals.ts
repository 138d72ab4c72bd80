/**
 * SIGINT and SIGTERM: the first asks to stop, the second does not ask.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as os from "node:os"

/** Completes at the first signal. From then on, until it is interrupted, and after it, a signal ends the process at once. */
export const first: Effect.Effect<void> = Effect.async<void>((resume) => {
  const onSignal = () => {
    process.removeListener("SIGINT", onSignal)
    process.removeListener("SIGTERM", onSignal)
    // What a shell reports for a process that the signal has ended.
    const end = (signal: "SIGINT" | "SIGTERM") => process.exit(128 + os.constants.signals[signal])
    process.on("SIGINT", end)
    process.on("SIGTERM", end)
    resume(Effect.void)
  }
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
})
