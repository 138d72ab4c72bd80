/** Where the CPU time of the servers goes: the kernel, Node, Effect, this library. */
import type { Profiler } from "node:inspector"
import * as measure from "./measure.ts"
import * as options from "./options.ts"
import * as plot from "./plot.ts"
import * as proc from "./proc.ts"
import * as progress from "./progress.ts"
import * as report from "./report.ts"
import type { Server } from "./servers.ts"
import * as table from "./table.ts"
import type { Workload } from "./workloads.ts"
import * as workloads from "./workloads.ts"

const parts = [
  "system calls",
  "Node, C++",
  "Node, JavaScript",
  "Effect",
  "effect-transport",
  "the server",
  "garbage collection",
  "V8's other threads"
] as const

type Part = (typeof parts)[number]

interface Profile {
  /** Of all CPU time of the process, in percent. */
  readonly shares: ReadonlyMap<Part, number>
  readonly hottest: ReadonlyArray<{ readonly name: string; readonly part: Part; readonly share: number }>
}

// -----------------------------------------------------------------------------
// samples
// -----------------------------------------------------------------------------

type Frame = Profiler.ProfileNode["callFrame"]

/** Whose code a frame is; `undefined` for what V8 has built in, which belongs to its caller. */
const partOf = ({ functionName, url }: Frame): Part | undefined => {
  if (url.startsWith("node:")) return "Node, JavaScript"
  if (url.includes("/node_modules/")) return "Effect"
  if (url.includes("/dist/")) return "effect-transport"
  if (url !== "") return "the server"
  if (functionName === "(garbage collector)") return "garbage collection"
  return functionName.startsWith("(") ? "Node, C++" : undefined
}

const describe = ({ functionName, lineNumber, url }: Frame): string => {
  const place = url === ""
    ? ""
    : ` ${url.replace(/^.*?\/(node_modules\/|(?=dist\/)|\.compiled-[^/]*\/)/, "")}:${lineNumber + 1}`
  return `${functionName || "(anonymous)"}${place}`
}

/** The time that each function itself ran, but for waiting. */
const selfTimes = ({ nodes, samples, timeDeltas }: Profiler.Profile) => {
  const callers = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)))
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const times = new Map<string, { readonly part: Part; time: number }>()
  samples!.forEach((id, index) => {
    const { callFrame } = byId.get(id)!
    if (callFrame.functionName === "(idle)") return
    const caller = callers.get(id)?.callFrame
    // What Node's JavaScript calls without a URL is Node's C++.
    const called = caller === undefined ? undefined : partOf(caller)
    const part = partOf(callFrame) ?? (called === "Node, JavaScript" || called === undefined ? "Node, C++" : called)
    const name = describe(callFrame)
    const entry = times.get(name) ?? { part, time: 0 }
    times.set(name, entry)
    entry.time += timeDeltas![index]!
  })
  return times
}

/**
 * The samples divide the time of the main thread. They see a system call as the C++ function that makes it, and the kernel
 * counts its own time: what it has is not Node's. Where it has more (it works for the garbage collector too), the others
 * share what is left.
 */
const divide = (samples: Profiler.Profile, before: ReturnType<typeof proc.ticks>, after: typeof before): Profile => {
  const all = after.all - before.all
  const system = 100 * (after.system - before.system) / all
  const main = system + 100 * (after.user - before.user) / all
  const times = selfTimes(samples)
  const sampled = [...times.values()].reduce((sum, { time }) => sum + time, 0)
  const share = (time: number) => main * time / sampled
  const shares = new Map<Part, number>(parts.map((part) => [part, 0]))
  for (const { part, time } of times.values()) shares.set(part, shares.get(part)! + share(time))
  shares.set("Node, C++", Math.max(0, shares.get("Node, C++")! - system))
  const user = [...shares.values()].reduce((sum, part) => sum + part, 0)
  for (const part of parts) shares.set(part, shares.get(part)! * (main - system) / user)
  shares.set("system calls", system)
  shares.set("V8's other threads", 100 - main)
  const hottest = [...times].map(([name, { part, time }]) => ({ name, part, share: share(time) }))
  return { shares, hottest: hottest.toSorted((a, b) => b.share - a.share).slice(0, 10) }
}

const take = async (workload: Workload, server: Server): Promise<Profile> => {
  const running = await measure.startServer(server, workload.service, measure.steady)
  const { child } = running
  progress.run(`${workload.key}: ${server.name}`)
  await measure.warmUp(running, workload.load)
  const load = await measure.startLoad(running.port, workload.load)
  await measure.beginRun(load, options.rounds * options.seconds)
  await child.ask("startProfile")
  const before = proc.ticks(child.pid)
  await load.line()
  const after = proc.ticks(child.pid)
  const samples = JSON.parse(await child.ask("stopProfile")) as Profiler.Profile
  await Promise.all([load.stop(), running.stop()])
  return divide(samples, before, after)
}

// -----------------------------------------------------------------------------
// in words
// -----------------------------------------------------------------------------

const percent = (share: number): string => `${share.toFixed(1)} %`

const tell = (workload: Workload, profiles: ReadonlyMap<string, Profile>): void => {
  report.say(`## ${workload.title}: ${workload.detail}`)
  const rows = [...profiles].map(([name, { shares }]) => [name, ...parts.map((part) => percent(shares.get(part)!))])
  report.say(table.table(["", ...parts], rows))
  for (const [name, { hottest }] of profiles) {
    report.say(`<details><summary>The ten hottest functions of ${name}</summary>`)
    report.say(table.table(
      ["function", "part", "share"],
      hottest.map(({ name, part, share }) => [`\`${name}\``, part, percent(share)])
    ))
    report.say("</details>")
  }
}

export const profile = async (servers: ReadonlyArray<Server>): Promise<void> => {
  const chosen = options.only(workloads.all(options.connections)).filter(({ unit }) => unit !== "KiB each")
  report.begin("Where the CPU time goes", [
    "Shares of the server's CPU time: what the kernel counts as its own, the rest as V8's sampling profiler divides it",
    "The hottest functions by the time of each itself; in native ones, and (program), the system calls that they make are in it"
  ])
  const serving = ({ service }: Workload) => servers.filter(({ services }) => services.includes(service))
  progress.plan(chosen.reduce((sum, workload) => sum + serving(workload).length, 0))
  const groups: Array<Parameters<typeof plot.shares>[1][number]> = []
  for (const workload of chosen) {
    const profiles = new Map<string, Profile>()
    for (const server of serving(workload)) profiles.set(server.name, await take(workload, server))
    tell(workload, profiles)
    const values = [...profiles].flatMap(([series, { shares }]) =>
      [...shares].map(([part, share]) => ({ series, part, share }))
    )
    groups.push({ name: workload.title, values })
  }
  const title = "Where the CPU time goes"
  report.plot("profile", title, await plot.shares(title, groups))
}
