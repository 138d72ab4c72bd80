/**
 * Echo servers side by side: raw node:net, Effect's socket server, and this library by hand and as a Stream.
 *
 *   npm run bench -- [--rounds 5] [--seconds 1] [--connections 2000] [--quick]
 *
 * Each load runs against the servers in turn, in another order in each round; the ratios are within a round. Server and
 * load have a CPU of their own each where taskset(1) is there. The server's CPU time for each operation stands beside the
 * rate: it says the same on a machine that has other work too.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import { parseArgs } from "node:util"
import { canPin, type Child, type Command, killAll, start } from "./child.ts"
import * as compile from "./compile.ts"
import * as table from "./table.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string" },
    seconds: { type: "string" },
    connections: { type: "string" },
    quick: { type: "boolean", default: false }
  }
})
const rounds = Number(options.rounds ?? (options.quick ? 1 : 5))
const seconds = Number(options.seconds ?? (options.quick ? 0.4 : 1))
const connections = Number(options.connections ?? (options.quick ? 200 : 2000))
const warmUpSeconds = options.quick ? 0.4 : 1
if (!(rounds >= 1 && seconds > 0 && connections >= 1)) throw new RangeError("Rounds, seconds, connections are positive")

const serverCpu = 0
const loadCpu = 1

/** The first one is what the others are compared with. */
const servers: ReadonlyArray<readonly [name: string, source: URL]> = [
  ["node:net", new URL("./servers/node.ts", import.meta.url)],
  ["@effect/platform-node", new URL("./servers/platform.ts", import.meta.url)],
  ["this library, handler", new URL("./servers/handler.ts", import.meta.url)],
  ["this library, Stream", new URL("./servers/stream.ts", import.meta.url)]
]
/** What the servers import of each other. */
const shared = [new URL("./servers/control.ts", import.meta.url), new URL("./servers/serving.ts", import.meta.url)]

const loads: ReadonlyArray<readonly [name: string, unit: string, mode: string, ...parameters: ReadonlyArray<number>]> =
  [
    ["echo, 1 × 64 B, 1 in flight", "msg/s", "echo", 1, 64, 1],
    ["echo, 64 × 64 B, 1 in flight each", "msg/s", "echo", 64, 64, 1],
    ["echo, 4 × 64 KiB, 4 in flight each", "msg/s", "echo", 4, 65536, 4],
    ["connect, 1 byte and back, reset; 64 at a time", "conn/s", "churn", 64]
  ]

// -----------------------------------------------------------------------------
// how
// -----------------------------------------------------------------------------

interface Server {
  readonly child: Child
  readonly port: string
}

/**
 * For idle connections, so that resident memory tells them apart from V8's young generation, which grows once by as much
 * as a thousand of them.
 */
const smallYoungGeneration = "--max-semi-space-size=1"

const build = (): { readonly servers: ReadonlyArray<string>; readonly load: Command } => {
  for (const url of shared) compile.typescript(url)
  const load = compile.c(new URL("./load.c", import.meta.url))
  if (load === undefined) {
    console.log("Without a C compiler (cc) the load runs on node:net, and holds the servers back.\n")
  }
  return {
    servers: servers.map(([, url]) => compile.typescript(url)),
    load: load === undefined ? [process.execPath, compile.typescript(new URL("./load.ts", import.meta.url))] : [load]
  }
}

// However it ends, nothing of it is left.
process.once("exit", () => {
  killAll()
  compile.remove()
})
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1))

const programs = build()

const startServer = async (index: number, ...flags: ReadonlyArray<string>): Promise<Server> => {
  const server = start(serverCpu, process.execPath, ...flags, programs.servers[index]!)
  return { child: server, port: await server.line() }
}

const startLoad = async (mode: string, port: string, ...parameters: ReadonlyArray<number>) => {
  const load = start(loadCpu, ...programs.load, mode, port, ...parameters.map(String))
  return { child: load, answer: JSON.parse(await load.line()) as Record<string, number> }
}

const once = async (server: Server, mode: string, ...parameters: ReadonlyArray<number>): Promise<table.Sample> => {
  const before = await server.child.ask<NodeJS.CpuUsage>("cpu")
  const load = await startLoad(mode, server.port, ...parameters)
  const after = await server.child.ask<NodeJS.CpuUsage>("cpu")
  await load.child.stop()
  const { p50, p99, rate, total } = load.answer
  return {
    figure: rate!,
    p50: p50!,
    p99: p99!,
    cpu: (after.user - before.user + after.system - before.system) / total!
  }
}

/** What so many connections more cost a fresh process, in KiB each: the first hundred have loaded what it needs for them. */
const idle = async (index: number): Promise<table.Sample> => {
  const server = await startServer(index, "--expose-gc", smallYoungGeneration)
  const first = await startLoad("idle", server.port, 100)
  const before = await server.child.ask<NodeJS.MemoryUsage>("memory")
  const others = await startLoad("idle", server.port, connections)
  const after = await server.child.ask<NodeJS.MemoryUsage>("memory")
  await Promise.all([first, others, server].map(({ child }) => child.stop()))
  return { figure: (after.rss - before.rss) / 1024 / connections }
}

/** Each server in turn, in an order that moves on with the round. */
const inTurn = async (run: (index: number) => Promise<table.Sample>) => {
  const samples = servers.map((): Array<table.Sample> => [])
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < servers.length; turn++) {
      const index = (round + turn) % servers.length
      samples[index]!.push(await run(index))
    }
  }
  return new Map(servers.map(([name], index) => [name, samples[index]!]))
}

const measure = async (): Promise<void> => {
  for (const line of table.head(servers[0]![0])) console.log(line)
  for (const [name, unit, mode, ...parameters] of loads) {
    const running = await Promise.all(servers.map((_, index) => startServer(index)))
    for (const server of running) await once(server, mode, ...parameters, warmUpSeconds)
    const samples = await inTurn((index) => once(running[index]!, mode, ...parameters, seconds))
    await Promise.all(running.map(({ child }) => child.stop()))
    for (const row of table.rows(name, unit, samples)) console.log(row)
  }
  for (const row of table.rows(`${connections} idle connections`, "KiB each", await inTurn(idle))) console.log(row)
}

const describe = (): void => {
  const cpus = os.cpus()
  const version = (name: string) => {
    const manifest = new URL(`../node_modules/${name}/package.json`, import.meta.url)
    return `${name} ${(JSON.parse(fs.readFileSync(manifest, "utf8")) as { version: string }).version}`
  }
  console.log(
    `${cpus.length} × ${cpus[0]?.model.trim()}, ${os.type()} ${os.release()}, load ${os.loadavg()[0]!.toFixed(2)}`
  )
  console.log(`Node ${process.version}, ${["effect", "@effect/platform-node"].map(version).join(", ")}`)
  console.log(
    canPin ? `Server on CPU ${serverCpu}, load on CPU ${loadCpu}` : "Not pinned: no taskset, or one CPU"
  )
  console.log(`${rounds} rounds of ${seconds} s each; medians, ratios within a round\n`)
  if (options.quick) console.log("Quick: this shows that it runs, and its figures mean nothing.\n")
}

describe()
await measure()
