/** The table: this library beside raw node:net and others. */
import type { Sample } from "./measure.ts"
import * as options from "./options.ts"
import * as plot from "./plot.ts"
import * as progress from "./progress.ts"
import * as report from "./report.ts"
import type { Samples } from "./rounds.ts"
import * as rounds from "./rounds.ts"
import type { Server } from "./servers.ts"
import { spread } from "./stats.ts"
import * as table from "./table.ts"
import type { Workload } from "./workloads.ts"
import * as workloads from "./workloads.ts"

interface Result {
  readonly workload: Workload
  readonly samples: Samples
}

const drawn: ReadonlyArray<{ readonly name: string; readonly title: string; readonly field: keyof Sample }> = [
  { name: "rate", title: "Rate (more is better)", field: "figure" },
  { name: "cpu", title: "Server CPU of an operation (less is better)", field: "cpu" },
  { name: "p99", title: "99th percentile of the latency (less is better)", field: "p99" }
]

/** The ratios of the rounds, as bars; what has no CPU figure, or is not a rate, is left out. */
const draw = async (results: ReadonlyArray<Result>, reference: string, prefix: string): Promise<void> => {
  for (const { field, name, title } of drawn) {
    const groups = results.filter(({ workload }) => workload.unit !== "KiB each").map(({ samples, workload }) => ({
      name: workload.title,
      values: [...samples].flatMap(([series, all]) => {
        const found = spread(table.ratios(all, samples.get(reference)!, field))
        return found === undefined ? [] : [{ series, ...found }]
      })
    }))
    const shown = groups.filter(({ values }) => values.length > 0)
    if (shown.length > 0) report.plot(`${prefix}${name}`, title, await plot.bars(title, `× ${reference}`, shown))
  }
  const memory = results.filter(({ workload }) => workload.unit === "KiB each").map(({ samples, workload }) => ({
    name: workload.title,
    values: [...samples].map(([series, all]) => ({ series, ...spread(all.map(({ figure }) => figure))! }))
  }))
  const title = "Memory of an idle connection (less is better)"
  if (memory.length > 0) report.plot("memory", title, await plot.bars(title, "KiB", memory))
}

/** The first server is what the others are compared with: what it does not do is left out. */
export const sideBySide = async (
  page: { readonly title: string; readonly notes: ReadonlyArray<string>; readonly prefix: string },
  chosen: ReadonlyArray<Workload>,
  servers: ReadonlyArray<Server>
): Promise<void> => {
  const reference = servers[0]!
  const shared = chosen.filter(({ service }) => reference.services.includes(service))
  const others = chosen.filter((workload) => !shared.includes(workload)).map(({ key }) => key)
  if (shared.length === 0) options.refuse(`${reference.name} is the reference, and does not do: ${others.join(", ")}`)
  report.begin(page.title, [
    ...page.notes,
    "Medians; ratios within a round, with the least and the most of all rounds",
    ...others.length > 0 ? [`Left out, since ${reference.name} does not do it: ${others.join(", ")}`] : []
  ])
  progress.plan(shared.length * rounds.count(servers))
  const results: Array<Result> = []
  for (const workload of shared) {
    const samples = await rounds.run(workload, servers)
    report.say(`## ${workload.title}: ${workload.detail}`)
    report.say(table.comparison(workload.unit, samples))
    results.push({ workload, samples })
  }
  await draw(results, reference.name, page.prefix)
}

export const compare = (servers: ReadonlyArray<Server>, missing: ReadonlyArray<string>): Promise<void> => {
  if (servers.length === 0) options.refuse(missing.join("\n"))
  const versions = servers.flatMap(({ name, version }) =>
    version === undefined ? [] : [`${name.replace(/,.*/, "")} ${version}`]
  )
  const beside = versions.length > 0 ? [`Beside it: ${[...new Set(versions)].join(", ")}`] : []
  const page = { title: "Benchmarks", notes: [...beside, ...missing], prefix: "" }
  return sideBySide(page, options.only(workloads.all(options.connections)), servers)
}
