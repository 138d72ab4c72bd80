/** One server under one load. */
import { setTimeout } from "node:timers/promises"
import { type Child, type Command, start } from "./child.ts"
import * as compile from "./compile.ts"
import * as options from "./options.ts"
import * as proc from "./proc.ts"
import type { Server } from "./servers.ts"
import type { Service, Workload } from "./workloads.ts"

export const serverCpu = 0
export const loadCpu = 1

/** One server's figures under one load in one round; what does not apply is left out. */
export interface Sample {
  /** Operations per second; for idle connections KiB each. */
  readonly figure: number
  /** In microseconds. */
  readonly p50?: number
  readonly p99?: number
  /** CPU time of the server for each operation, in microseconds. */
  readonly cpu?: number
}

/** The arguments of `load`; the port stands between mode and numbers. */
export type Load = readonly [mode: string, ...numbers: ReadonlyArray<number>]

const compiledLoad = compile.c(new URL("./load.c", import.meta.url))

export const hasCompiler = compiledLoad !== undefined

const clear: Command = compiledLoad === undefined
  ? [process.execPath, compile.typescript(new URL("./load.ts", import.meta.url))]
  : [compiledLoad]

/** Only where it is needed: on Node it would cost more than the servers. */
const compiledTlsLoad = options.mode === "tls" ? compile.cWithTls(new URL("./load.c", import.meta.url)) : undefined

export const hasTls = compiledTlsLoad !== undefined

export interface Running {
  readonly child: Child
  readonly port: string
  readonly stop: () => Promise<void>
}

/**
 * Node reads into buffers of 64 KiB from malloc. By default glibc gives them back to the system when they are freed and asks
 * for them again, or keeps them, as the first big buffer of a process happened to set its thresholds (mallopt(3)): the
 * same server then does 14,000 or 33,000 messages of 64 KiB in a second for its whole life. So all keep them.
 */
export const keepsFreed: Command = ["env", `MALLOC_TRIM_THRESHOLD_=${256 * 1024 * 1024}`]

/**
 * V8 sweeps the heap beside the program, on a thread that has no CPU here but the program's. Until it is through, the buffers
 * of bulk data that are garbage are not freed, and count: one full collection follows the other for as long as a process lives,
 * in some runs and not in others (64 KiB echoed by node:net: 20,000 or 33,000 messages in a second). So all sweep at once.
 */
const sweepsAtOnce: ReadonlyArray<string> = ["--no-concurrent-sweeping"]

/** What a server under load is started with. */
export const steady = { environment: keepsFreed, flags: sweepsAtOnce }

export const startServer = async (
  server: Server,
  service: Service,
  { environment = [], flags = [] }: {
    readonly environment?: ReadonlyArray<string>
    readonly flags?: ReadonlyArray<string>
  }
): Promise<Running> => {
  const upstream = service === "relay" ? start(loadCpu, ...clear, "serve") : undefined
  const upstreamPort = upstream === undefined ? [] : [await upstream.line()]
  const [file, ...parameters] = [...environment, ...server.command(flags, service, ...upstreamPort)]
  const child = start(serverCpu, file!, ...parameters)
  const stop = async () => {
    await child.stop()
    await upstream?.stop()
  }
  const [port] = /\d+$/.exec(await child.line()) ?? [""]
  return { child, port, stop }
}

export const startLoad = async (port: string, [mode, ...numbers]: Load): Promise<Child> => {
  const program = mode === "tls" && compiledTlsLoad !== undefined ? [compiledTlsLoad] as const : clear
  const load = start(loadCpu, ...program, mode, port, ...numbers.map(String))
  // All connections are open, and nothing is under way.
  await load.line()
  return load
}

/** Completes when the ramp is over; the next line of the load has the figures. */
export const beginRun = async (load: Child, seconds: number): Promise<void> => {
  await load.ask(String(seconds))
}

/** Nothing is left to do of what was under way: the next server has the CPU for itself. */
const settled = async (pid: number): Promise<void> => {
  for (let before = Number.NEGATIVE_INFINITY, now = proc.cpu(pid); now !== undefined; now = proc.cpu(pid)) {
    if (now - before < 1000) return
    before = now
    await setTimeout(20)
  }
}

/** The server's code is compiled, by connections that are over then. */
export const warmUp = async ({ child, port }: Running, load: Load): Promise<void> => {
  const running = await startLoad(port, load)
  await beginRun(running, options.warmUpSeconds)
  await running.line()
  await running.stop()
  await settled(child.pid)
}

/** A server with its load, at rest between two runs. */
export interface Loaded {
  /** What all runs so far say together. */
  readonly run: (seconds: number) => Promise<Sample>
  readonly stop: () => Promise<void>
}

/** In a fresh process: how V8 happened to size its heap at the start stays with a process for its life. */
export const startLoaded = async (server: Server, { load, service }: Workload): Promise<Loaded> => {
  const running = await startServer(server, service, steady)
  await warmUp(running, load)
  const loading = await startLoad(running.port, load)
  const { pid } = running.child
  let used = 0
  return {
    run: async (seconds) => {
      await beginRun(loading, seconds)
      const before = proc.cpu(pid)
      const { count, p50, p99, rate } = JSON.parse(await loading.line()) as Record<string, number>
      used += (proc.cpu(pid) ?? Number.NaN) - (before ?? Number.NaN)
      await settled(pid)
      return { figure: rate!, p50: p50!, p99: p99!, ...Number.isNaN(used) ? {} : { cpu: used / count! } }
    },
    stop: async () => {
      await loading.stop()
      await running.stop()
    }
  }
}

/**
 * For idle connections, so that resident memory tells them apart from V8's young generation, which grows once by as much
 * as a thousand of them.
 */
const collectable = ["--expose-gc", "--max-semi-space-size=1"]

/** What so many connections more cost a fresh process, in KiB each: the first hundred have loaded what it needs for them. */
export const idle = async (server: Server, connections: number): Promise<Sample> => {
  const running = await startServer(server, "echo", { flags: collectable })
  const memory = async () => {
    await running.child.ask("collect")
    return proc.memory(running.child.pid) ?? Number.NaN
  }
  const first = await startLoad(running.port, ["idle", 100])
  const before = await memory()
  const others = await startLoad(running.port, ["idle", connections])
  const after = await memory()
  await Promise.all([first, others, running].map((one) => one.stop()))
  return { figure: (after - before) / connections }
}
