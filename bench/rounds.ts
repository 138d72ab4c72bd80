/** Servers side by side under one workload: in turn, round by round. */
import type { Loaded, Sample } from "./measure.ts"
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

const sliceSeconds = 0.1

/**
 * All of them at once, which take turns in short slices: what disturbs a shared machine changes within a second, and so is
 * in all their figures alike. On a busy one, a second of each in one piece and in ten, in turn: bulk data came out at 0.13 to
 * 0.77 of node:net and at 0.18 to 0.65, then 0.21 to 0.93 and 0.39 to 0.80; small messages at 0.69 to 0.93 and at 0.93 to
 * 1.10, then 0.73 to 1.09 and 0.94 to 1.20.
 */
const inSlices = async (workload: Workload, servers: ReadonlyArray<Server>): Promise<ReadonlyArray<Array<Sample>>> => {
  const slices = Math.ceil(options.seconds / sliceSeconds)
  const samples = servers.map((): Array<Sample> => [])
  for (let round = 0; round < options.rounds; round++) {
    const all: Array<Loaded> = []
    for (const server of servers) {
      progress.run(`${workload.key}: round ${round + 1}/${options.rounds}`)
      all.push(await measure.startLoaded(server, workload))
    }
    for (let slice = 0; slice < slices; slice++) {
      for (let turn = 0; turn < all.length; turn++) {
        const index = (round + slice + turn) % all.length
        samples[index]![round] = await all[index]!.run(options.seconds / slices)
      }
    }
    for (const loaded of all) await loaded.stop()
  }
  return samples
}

/** How often `run` measures. */
export const count = (servers: ReadonlyArray<Server>): number => servers.length * options.rounds

/** Those that have the service. */
export const run = async (workload: Workload, all: ReadonlyArray<Server>): Promise<Samples> => {
  const servers = all.filter(({ services }) => services.includes(workload.service))
  const [mode, connections] = workload.load
  const samples = mode === "idle"
    ? await inTurn(workload.key, servers.length, (index) => measure.idle(servers[index]!, connections))
    : await inSlices(workload, servers)
  return new Map(servers.map(({ name }, index) => [name, samples[index]!]))
}
