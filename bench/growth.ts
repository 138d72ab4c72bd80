/** What an operation costs as the work grows. */
import * as fs from "node:fs"
import type { Sample } from "./measure.ts"
import * as options from "./options.ts"
import * as plot from "./plot.ts"
import * as progress from "./progress.ts"
import * as report from "./report.ts"
import type { Samples } from "./rounds.ts"
import * as rounds from "./rounds.ts"
import * as servers from "./servers.ts"
import type { Server } from "./servers.ts"
import { spread } from "./stats.ts"
import * as table from "./table.ts"
import type { Workload } from "./workloads.ts"

interface Growth {
  readonly key: string
  readonly title: string
  readonly detail: string
  readonly unit: Workload["unit"]
  /** What grows. */
  readonly x: string
  readonly xs: ReadonlyArray<number>
  readonly load: (x: number) => Workload["load"]
  readonly servers: (x: number) => ReadonlyArray<Server>
  readonly figures: ReadonlyArray<Figure>
}

/** What is told of it, in a table and a plot. */
interface Figure {
  readonly name: string
  readonly title: string
  readonly y: string
  readonly value: (sample: Sample, x: number) => number | undefined
  /** What is proportional to `x` when the cost is linear; NaN if that is lost in the spread. */
  readonly work?: (point: Point, first: Point) => number
}

interface Point {
  readonly series: string
  readonly x: number
  readonly median: number
  readonly min: number
  readonly max: number
}

// -----------------------------------------------------------------------------
// what grows
// -----------------------------------------------------------------------------

const counts = [1, 10, 100, 1000, 10_000]

/** How many the machine lets one process have, beside its other descriptors. */
const mostConnections = (): number => {
  if (options.quick) return 1000
  try {
    const [, hard] = /^Max open files\s+\d+\s+(\d+)/m.exec(fs.readFileSync("/proc/self/limits", "utf8"))!
    return Number(hard) - 100
  } catch {
    return 1000
  }
}

const most = mostConnections()
const possible = counts.filter((count) => count <= most)
const impossible = counts.filter((count) => count > most)

const cpu: Pick<Figure, "y" | "value"> = { y: "server CPU, µs per message", value: (sample) => sample.cpu }

const connections = (ours: ReadonlyArray<Server>): Growth => ({
  key: "connections",
  title: "Connections",
  detail: "64 B, 1 in flight each",
  unit: "msg/s",
  x: "connections",
  xs: possible,
  load: (x) => ["echo", x, 64, 1],
  servers: () => ours,
  figures: [
    { name: "connections-cpu", title: "CPU of a message by connections", ...cpu, work: ({ median, x }) => median * x },
    { name: "connections-rate", title: "Rate by connections", y: "messages per second", value: ({ figure }) => figure }
  ]
})

const memory = (ours: ReadonlyArray<Server>): Growth => ({
  key: "memory",
  title: "Memory",
  detail: "idle connections",
  unit: "KiB each",
  x: "connections",
  // Fewer are lost in what the process has anyway.
  xs: possible.filter((count) => count >= 100),
  load: (x) => ["idle", x],
  servers: () => ours,
  figures: [
    {
      name: "connections-memory",
      title: "Memory of an idle connection by connections",
      y: "KiB per connection",
      value: ({ figure }) => figure,
      work: ({ median, x }) => median * x
    }
  ]
})

const sizes = (ours: ReadonlyArray<Server>): Growth => ({
  key: "sizes",
  title: "Message size",
  detail: "4 connections, 1 in flight each",
  unit: "msg/s",
  x: "bytes per message",
  xs: Array.from({ length: 11 }, (_, power) => 4 ** power),
  load: (x) => ["echo", 4, x, 1],
  servers: () => ours,
  figures: [
    { name: "sizes-cpu", title: "CPU of a message by its size", ...cpu, work: ({ median }) => median },
    {
      name: "sizes-byte",
      title: "CPU of a byte by the size of the message",
      y: "server CPU, ns per byte",
      value: (sample, x) => sample.cpu === undefined ? undefined : sample.cpu * 1000 / x
    },
    {
      name: "sizes-rate",
      title: "Throughput by message size",
      y: "MB per second",
      value: ({ figure }, x) => figure * x / 1e6
    }
  ]
})

const layers = (): Growth => ({
  key: "layers",
  title: "Network layers",
  detail: "64 connections, 64 B, 1 in flight each",
  unit: "msg/s",
  x: "network layers in the stack",
  xs: [0, 1, 2, 4, 8],
  load: () => ["echo", 64, 64, 1],
  servers: (x) => [servers.layered("derived", x), servers.layered("buffered", x)],
  figures: [
    {
      name: "layers-cpu",
      title: "CPU of a message by network layers",
      ...cpu,
      work: ({ median, min }, first) => min > first.max ? median - first.median : Number.NaN
    }
  ]
})

// -----------------------------------------------------------------------------
// how
// -----------------------------------------------------------------------------

/** Of the work between one point and the next: more than 1 is more than linear. */
const exponents = (points: ReadonlyArray<Point>, work: NonNullable<Figure["work"]>): ReadonlyArray<string> =>
  points.map((point, index) => {
    const before = points[index - 1]
    if (before === undefined || before.x === 0) return ""
    const factor = work(point, points[0]!) / work(before, points[0]!)
    const exponent = Math.log(factor) / Math.log(point.x / before.x)
    // Memory may come out as none, or less.
    return Number.isFinite(exponent) ? exponent.toFixed(2) : ""
  })

const tell = async (growth: Growth, figure: Figure, points: ReadonlyArray<Point>): Promise<void> => {
  if (points.length === 0) return
  const names = [...new Set(points.map(({ series }) => series))]
  const series = names.map((name) => points.filter((point) => point.series === name))
  const columns = series.flatMap((all) => [
    all.map(({ max, median, min }) => `${table.number(median)} (${table.number(min)}–${table.number(max)})`),
    ...figure.work === undefined ? [] : [exponents(all, figure.work)]
  ])
  const head = names.flatMap((name) => [name, ...figure.work === undefined ? [] : ["exponent"]])
  report.say(`${figure.title}, ${figure.y}:`)
  report.say(
    table.table(
      [growth.x, ...head],
      growth.xs.map((x, row) => [table.number(x), ...columns.map((column) => column[row]!)])
    )
  )
  report.plot(figure.name, figure.title, await plot.curves(figure.title, growth.x, figure.y, points))
}

const run = async (growth: Growth): Promise<void> => {
  const results: Array<{ readonly x: number; readonly samples: Samples }> = []
  for (const x of growth.xs) {
    const { detail, key, title, unit } = growth
    const workload: Workload = { key: `${key} ${x}`, title, detail, unit, service: "echo", load: growth.load(x) }
    results.push({ x, samples: await rounds.run(workload, growth.servers(x)) })
  }
  report.say(`## ${growth.title}: ${growth.detail}`)
  for (const figure of growth.figures) {
    const points = results.flatMap(({ samples, x }) =>
      [...samples].flatMap(([series, all]): ReadonlyArray<Point> => {
        const found = spread(all.flatMap((sample) => figure.value(sample, x) ?? []))
        return found === undefined ? [] : [{ series, x, ...found }]
      })
    )
    await tell(growth, figure, points)
  }
}

export const growth = async (ours: ReadonlyArray<Server>): Promise<void> => {
  const all = options.only([connections(ours), memory(ours), sizes(ours), layers()])
  report.begin("What a message costs as the work grows", [
    "Medians, with the least and the most of all rounds",
    "Exponent: of the work of all connections, of all bytes, or of all layers, between the point before and this one; 1 is linear",
    ...impossible.map((count) => `Left out: ${count} connections (${options.quick ? "quick" : "ulimit -n"})`)
  ])
  for (const { servers, xs } of all) progress.plan(xs.reduce((sum, x) => sum + rounds.count(servers(x)), 0))
  for (const one of all) await run(one)
}
