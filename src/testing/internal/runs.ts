/**
 * How often something random is tried, and with which choices.
 *
 * @internal
 */
import type * as FastCheck from "effect/FastCheck"

/** `EFFECT_TRANSPORT_RUNS`. Where there is no such thing as an environment, there are no such variables. */
const runsOfEnvironment = (): number | undefined => {
  const { process } = globalThis as { readonly process?: { readonly env?: Record<string, string | undefined> } }
  const runs = Number(process?.env?.["EFFECT_TRANSPORT_RUNS"] ?? "")
  return Number.isSafeInteger(runs) && runs > 0 ? runs : undefined
}

/** The environment has the first word, and `runs` is what is asked for in the code. */
export const parametersOf = (
  runs: number,
  seed: number | undefined,
  path?: string
): Pick<FastCheck.Parameters, "numRuns" | "path" | "seed"> => ({
  numRuns: runsOfEnvironment() ?? runs,
  ...(seed === undefined ? {} : { seed }),
  ...(path === undefined ? {} : { path })
})
