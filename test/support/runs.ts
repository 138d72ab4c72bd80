const asked = Number(process.env["EFFECT_TRANSPORT_RUNS"] ?? 0)

/** Whether more is asked for than every run of the tests takes the time for: `EFFECT_TRANSPORT_RUNS` is set. */
export const thorough = asked > 0

/** What a test may take, in milliseconds, that takes `minutes` at most with so many runs. */
export const timeFor = (runs: number, minutes = 1): number => minutes * 60_000 * Math.max(1, asked / runs)
