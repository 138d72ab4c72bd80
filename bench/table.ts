/** Figures in words: medians, ratios within each round, and a Markdown table of them. */

/** One server's figures under one load in one round; what does not apply is left out. */
export interface Sample {
  /** Operations per second; for idle connections KiB each. */
  readonly figure: number
  readonly p50?: number
  readonly p99?: number
  /** CPU time of the server for each operation, in microseconds. */
  readonly cpu?: number
}

const sorted = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)

const median = (values: ReadonlyArray<number>): number => {
  const all = sorted(values)
  return (all[Math.floor((all.length - 1) / 2)]! + all[Math.ceil((all.length - 1) / 2)]!) / 2
}

const number = (value: number) => value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 })

/** The ratio of each round, not of the medians: what disturbed a round disturbed both. */
const ratio = (values: ReadonlyArray<number>, reference: ReadonlyArray<number>): string => {
  if (values === reference) return "1"
  const all = sorted(values.map((value, round) => value / reference[round]!))
  return `${median(all).toFixed(2)} (${all[0]!.toFixed(2)}–${all.at(-1)!.toFixed(2)})`
}

export const head = (reference: string): ReadonlyArray<string> => [
  `| load | server | figure | to ${reference} (min–max) | p50 µs | p99 µs | server CPU µs each | to ${reference} (min–max) |`,
  "|---|---|--:|--:|--:|--:|--:|--:|"
]

/** One row for each server; the first one is the reference of the ratios. */
export const rows = (
  load: string,
  unit: string,
  samples: ReadonlyMap<string, ReadonlyArray<Sample>>
): ReadonlyArray<string> => {
  const columns = (["figure", "p50", "p99", "cpu"] as const).map((field) => {
    const all = [...samples].map(([, rounds]) => rounds.flatMap((sample) => sample[field] ?? []))
    return { all, reference: all[0]! }
  })
  return [...samples.keys()].map((server, index) => {
    const [figure, p50, p99, cpu] = columns.map(({ all }) => all[index]!) as [Array<number>, ...Array<Array<number>>]
    const cell = (values: ReadonlyArray<number> | undefined) => values?.length ? number(median(values)) : ""
    return `| ${
      [
        index === 0 ? load : "",
        server,
        `${number(median(figure))} ${unit}`,
        ratio(figure, columns[0]!.reference),
        cell(p50),
        cell(p99),
        cell(cpu),
        cpu?.length ? ratio(cpu, columns[3]!.reference) : ""
      ].join(" | ")
    } |`
  })
}
