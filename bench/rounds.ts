/** Servers side by side under one workload: in turn, round by round. */
import type { Sample } from "./measure.ts"
import * as measure from "./measure.ts"
import * as options from "./options.ts"
import * as progress from "./progress.ts"
import type { Server } from "./servers.ts"
import type { Workload } from "./workloads.ts"

/** By the names of the servers, a sample for each round; the first server is the reference. */
export type Samples = ReadonlyMap<string, ReadonlyArray<Sample>>

/** Each in turn, in an order that moves on with the round: what disturbs one disturbs its neighbours. */
export const inTurn = async (key: string, count: number, run: (index: number) => Promise<Sample>) => {
  const samples = Array.from({ length: count }, (): Array<Sample> => [])
  for (let round = 0; round < options.rounds; round++) {
    for (let turn = 0; turn < count; turn++) {
      const index = (round + turn) % count
      progress.run(`${key}: round ${round + 1}/${options.rounds}`)
      samples[index]!.push(await run(index))
    }
  }
  return samples
}

/** In a fresh process: how V8 happened to size its heap at the start stays with a process for its life. */
const loaded = async ({ load, service }: Workload, server: Server): Promise<Sample> => {
  const running = await measure.startServer(server, service, measure.steady)
  await measure.once(running, load, options.warmUpSeconds)
  const sample = await measure.once(running, load, options.seconds)
  await running.stop()
  return sample
}

/** How often `run` measures. */
export const count = (servers: ReadonlyArray<Server>): number => servers.length * options.rounds

/** Those that have the service. */
export const run = async (workload: Workload, all: ReadonlyArray<Server>): Promise<Samples> => {
  const servers = all.filter(({ services }) => services.includes(workload.service))
  const [mode, connections] = workload.load
  const samples = await inTurn(
    workload.key,
    servers.length,
    (index) => mode === "idle" ? measure.idle(servers[index]!, connections) : loaded(workload, servers[index]!)
  )
  return new Map(servers.map(({ name }, index) => [name, samples[index]!]))
}
