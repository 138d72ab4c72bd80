/** The processes that the benchmark starts: pinned to a CPU where that can be done, ended by their id. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { createInterface } from "node:readline"

const children = new Set<ChildProcess>()

// However the benchmark ends, none of them is left.
process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL")
})
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1))

/** A program, and its parameters. */
export type Command = readonly [string, ...ReadonlyArray<string>]

/** taskset replaces itself with the command: the id is the command's own. */
const pinned = (cpu: number, command: Command): Command => ["taskset", "-c", String(cpu), ...command]

/** taskset(1) is there, and this process may use the first two CPUs. */
export const canPin = [0, 1].every((cpu) => {
  const [file, ...parameters] = pinned(cpu, ["true"])
  return spawnSync(file, parameters).status === 0
})

export interface Child {
  readonly pid: number
  /** The next line that it prints. */
  readonly line: () => Promise<string>
  /** Writes a line, and gives the next one that it prints. */
  readonly ask: (question: string) => Promise<string>
  readonly stop: () => Promise<void>
}

export const start = (cpu: number, ...command: Command): Child => {
  const [file, ...parameters] = canPin ? pinned(cpu, command) : command
  const child = spawn(file, parameters, { stdio: ["pipe", "pipe", "inherit"] })
  children.add(child)
  const ended = new Promise<void>((resolve, reject) => child.once("close", () => resolve()).once("error", reject))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async () => {
    const { done, value } = await lines.next()
    if (!done) return value
    await ended
    throw new Error(`${command.join(" ")} ended: ${child.signalCode ?? child.exitCode}`)
  }
  return {
    // Without one it has not started: `line` tells.
    pid: child.pid ?? 0,
    line,
    ask: (question) => {
      child.stdin.write(`${question}\n`)
      return line()
    },
    stop: async () => {
      child.kill("SIGKILL")
      await ended
      children.delete(child)
    }
  }
}
