/** Whether more is asked for than every run of the tests takes the time for: `EFFECT_TRANSPORT_RUNS` is set. */
export const thorough = Number(process.env["EFFECT_TRANSPORT_RUNS"] ?? 0) > 0
