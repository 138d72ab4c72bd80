/** The codecs beside what npm has for their formats: the same bytes, in turn, without sockets. */
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { start } from "./child.ts"
import type { Format } from "./codecs/formats.ts"
import * as formats from "./codecs/formats.ts"
import type { Direction } from "./codecs/side.ts"
import * as compile from "./compile.ts"
import type { Sample } from "./measure.ts"
import * as measure from "./measure.ts"
import * as options from "./options.ts"
import * as plot from "./plot.ts"
import * as progress from "./progress.ts"
import * as report from "./report.ts"
import * as rounds from "./rounds.ts"
import { spread } from "./stats.ts"
import * as table from "./table.ts"

const program = compile.typescript(new URL("./codecs/program.ts", import.meta.url))
for (const part of ["formats", "side"]) compile.typescript(new URL(`./codecs/${part}.ts`, import.meta.url))

const folder = fileURLToPath(new URL("./peers/codecs/", import.meta.url))

const versionOf = ({ peer }: Format): string | undefined => {
  const manifest = `${folder}node_modules/${peer}/package.json`
  if (!fs.existsSync(manifest)) return undefined
  return (JSON.parse(fs.readFileSync(manifest, "utf8")) as { version: string }).version
}

/** What is measured: a format, messages of a size, a direction. */
interface Case {
  readonly format: Format
  readonly size: number
  readonly direction: Direction
}

interface Result extends Case {
  /** On the wire, of a message. */
  readonly bytes: number
  /** Messages per second, of each round. */
  readonly own: ReadonlyArray<Sample>
  readonly peer: ReadonlyArray<Sample>
}

const name = ({ direction, size }: Case): string => `${direction} ${size < 1024 ? `${size} B` : `${size / 1024} KiB`}`

/** In a fresh process, like a server. */
const run = async ({ direction, format, size }: Case, side: "own" | "peer", task: string) => {
  const module = side === "own" ? "" : `${folder}${format.key}.mjs`
  const command = [process.execPath, program, format.key, String(size), direction, module, task] as const
  const child = start(measure.serverCpu, ...measure.keepsFreed, ...command)
  const sample = JSON.parse(await child.line()) as Sample & { readonly bytes: number }
  await child.stop()
  return sample
}

const sidesOf = ({ direction, format }: Case): ReadonlyArray<"own" | "peer"> =>
  versionOf(format) !== undefined && (direction === "decode" || format.peerEncodes) ? ["own", "peer"] : ["own"]

const compare = async (one: Case): Promise<Result> => {
  const sides = sidesOf(one)
  let bytes = 0
  for (const side of sides) bytes = (await run(one, side, "check")).bytes
  const [own = [], peer = []] = await rounds.inTurn(
    `${one.format.key}, ${name(one)}`,
    sides.length,
    (index) => run(one, sides[index]!, String(options.seconds))
  )
  return { ...one, bytes, own, peer }
}

const tell = (format: Format, results: ReadonlyArray<Result>): void => {
  const figures = (samples: ReadonlyArray<Sample>, bytes: number) => [
    table.median(samples.map(({ figure }) => figure)),
    table.median(samples.map(({ figure }) => figure * bytes / 1e6))
  ]
  report.say(table.table(
    ["", "frames/s", "MB/s", `${format.peer}: frames/s`, "MB/s", `× ${format.peer} (min–max)`],
    results.map((result) => [
      name(result),
      ...figures(result.own, result.bytes),
      ...figures(result.peer, result.bytes),
      table.medianAndSpread(table.ratios(result.own, result.peer, "figure"))
    ])
  ))
}

export const codecs = async (): Promise<void> => {
  const chosen = options.only(formats.all)
  const cases = chosen.map((format): ReadonlyArray<Case> =>
    (["decode", "encode"] as const).flatMap((direction) => formats.sizes.map((size) => ({ format, size, direction })))
  )
  const isMissing = chosen.some((format) => versionOf(format) === undefined)
  report.begin("Codecs", [
    "In process, each measurement in a fresh one; 4 MiB of messages again and again, in chunks of 63 KiB, encoded in batches of 64 KiB",
    "The packages run as streams that are written to without waiting, or as generators over all chunks",
    "The sizes are those of the content, and about those of the JSON; MB/s count the bytes on the wire",
    "Medians; ratios within a round, with the least and the most of all rounds. More is better",
    ...isMissing ? ["Not all packages are installed: npm ci --prefix bench/peers/codecs"] : []
  ])
  progress.plan(cases.flat().reduce((sum, one) => sum + sidesOf(one).length * options.rounds, 0))
  const groups: Array<Parameters<typeof plot.bars>[2][number]> = []
  for (const [index, format] of chosen.entries()) {
    const results: Array<Result> = []
    for (const one of cases[index]!) results.push(await compare(one))
    const title = `${format.name} beside ${format.peer}`
    report.say(`## ${title} ${versionOf(format) ?? ""}`.trimEnd())
    if (format.note !== undefined) report.say(format.note)
    tell(format, results)
    const values = results.flatMap((result) => {
      const found = spread(table.ratios(result.own, result.peer, "figure"))
      return found === undefined ? [] : [{ series: name(result), ...found }]
    })
    if (values.length > 0) groups.push({ name: title, values })
  }
  const title = "Messages per second of a codec (more is better)"
  if (groups.length > 0) report.plot("codecs", title, await plot.bars(title, "× the package", groups, 1))
}
