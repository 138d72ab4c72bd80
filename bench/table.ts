/** Figures in words, as Markdown. */
import type { Sample } from "./measure.ts"
import { spread } from "./stats.ts"

export const number = (value: number): string =>
  value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 })

/** The first column is text, the others are numbers. */
export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  return [line(head), line(head.map((_, index) => index === 0 ? "---" : "--:")), ...rows.map(line)].join("\n")
}

type Field = keyof Sample

const values = (samples: ReadonlyArray<Sample>, field: Field): ReadonlyArray<number> =>
  samples.flatMap((sample) => sample[field] ?? [])

/** The ratio of each round, not of the medians: what disturbed a round disturbed both. */
export const ratios = (
  samples: ReadonlyArray<Sample>,
  reference: ReadonlyArray<Sample>,
  field: Field
): ReadonlyArray<number> =>
  samples.flatMap((sample, round) => {
    const value = sample[field]
    const to = reference[round]?.[field]
    return value === undefined || to === undefined ? [] : value / to
  })

export const median = (all: ReadonlyArray<number>): string => {
  const found = spread(all)
  return found === undefined ? "" : number(found.median)
}

export const medianAndSpread = (all: ReadonlyArray<number>): string => {
  const found = spread(all)
  if (found === undefined) return ""
  const [middle, min, max] = [found.median, found.min, found.max].map((value) => value.toFixed(2))
  return min === "1.00" && max === "1.00" ? "1" : `${middle} (${min}–${max})`
}

/** One row for each server; the first one is the reference of the ratios. */
export const comparison = (unit: string, samples: ReadonlyMap<string, ReadonlyArray<Sample>>): string => {
  const [[referenceName, reference]] = [...samples] as [[string, ReadonlyArray<Sample>]]
  const to = `× ${referenceName} (min–max)`
  const fields: ReadonlyArray<readonly [title: string, field: Field]> = [
    [unit, "figure"],
    ["p50 µs", "p50"],
    ["p99 µs", "p99"],
    ["server CPU µs each", "cpu"]
  ]
  const measured = fields.filter(([, field]) => values(reference, field).length > 0)
  return table(
    ["", ...measured.flatMap(([title]) => [title, to])],
    [...samples].map(([name, rounds]) => [
      name,
      ...measured.flatMap(([, field]) => [
        median(values(rounds, field)),
        medianAndSpread(ratios(rounds, reference, field))
      ])
    ])
  )
}
