/**
 * How often something random is tried, by the environment: `EFFECT_TRANSPORT_RUNS`.
 *
 * @internal
 */

/** Where there is no such thing as an environment, there are no such variables. */
export const runsOfEnvironment = (): number | undefined => {
  const { process } = globalThis as { readonly process?: { readonly env?: Record<string, string | undefined> } }
  const runs = Number(process?.env?.["EFFECT_TRANSPORT_RUNS"] ?? "")
  return Number.isSafeInteger(runs) && runs > 0 ? runs : undefined
}
