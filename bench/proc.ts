/** What a process has used, as Linux tells it (proc_pid_stat(5)); elsewhere nothing is known. */
import * as fs from "node:fs"

const read = (pid: number, file: string): string | undefined => {
  try {
    return fs.readFileSync(`/proc/${pid}/${file}`, "utf8")
  } catch {
    return undefined
  }
}

/** CPU time in microseconds: of each thread in nanoseconds, as the scheduler counts it. */
export const cpu = (pid: number): number | undefined => {
  try {
    const threads = fs.readdirSync(`/proc/${pid}/task`).map((thread) => read(pid, `task/${thread}/schedstat`)!)
    const used = threads.reduce((sum, thread) => sum + Number.parseInt(thread) / 1000, 0)
    // Not every kernel counts it.
    return Number.isNaN(used) ? undefined : used
  } catch {
    return undefined
  }
}

/** Resident memory in KiB. */
export const memory = (pid: number): number | undefined => {
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(read(pid, "status") ?? "")
  return resident === null ? undefined : Number(resident[1])
}

/** CPU time of the main thread and of all threads, in ticks of the clock. */
export const ticks = (pid: number): { readonly user: number; readonly system: number; readonly all: number } => {
  const fields = (file: string) => {
    const [user, system] = (read(pid, file) ?? "").replace(/^.*\) /, "").split(" ").slice(11, 13).map(Number)
    return { user: user ?? Number.NaN, system: system ?? Number.NaN }
  }
  const all = fields("stat")
  return { ...fields(`task/${pid}/stat`), all: all.user + all.system }
}
