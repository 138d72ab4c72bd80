/**
 * Programs as a test sees them: what they print, how they end. The tool is the built one. Every program is killed with
 * the Scope.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Address from "../../src/Address.ts"

export const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class Program {
  readonly child: childProcess.ChildProcess
  /** How much was printed so far, in bytes. */
  printed = 0
  stderr = ""
  exit: Ended | undefined = undefined
  private readonly chunks: Array<Buffer> = []
  private readonly watchers = new Set<() => void>()

  constructor(child: childProcess.ChildProcess) {
    this.child = child
    child.stdout?.on("data", (chunk: Buffer) => {
      this.chunks.push(chunk)
      this.printed += chunk.length
      this.happened()
    })
    child.stderr?.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString()
      this.happened()
    })
    // What is written to a program that has ended is lost: the test looks at its exit.
    child.stdin?.on("error", () => {})
    child.on("error", (error) => (this.stderr += error.message))
    child.on("close", (code, signal) => {
      this.exit = { code, signal }
      this.happened()
    })
  }

  private happened(): void {
    for (const look of this.watchers) look()
  }

  get pid(): number {
    return this.child.pid!
  }

  get stdout(): Buffer {
    return Buffer.concat(this.chunks)
  }

  get output(): string {
    return this.stdout.toString()
  }

  get complaints(): ReadonlyArray<string> {
    return this.stderr.split("\n").slice(0, -1)
  }

  /** What became of it, and the last of what it printed. */
  get account(): string {
    const { exit, output, stderr } = this
    const command = this.child.spawnargs.join(" ")
    return [command, exit ? JSON.stringify(exit) : "runs", output.slice(-4096), stderr.slice(-4096)].join("\n")
  }

  /** Until it holds of what was printed; dies when the program has ended before. */
  until(holds: () => boolean): Effect.Effect<void> {
    return Effect.async((resume) => {
      const look = () => {
        if (!holds() && this.exit === undefined) return
        this.watchers.delete(look)
        resume(
          holds()
            ? Effect.void
            : Effect.dieMessage(this.account)
        )
      }
      this.watchers.add(look)
      look()
      return Effect.sync(() => this.watchers.delete(look))
    })
  }

  get ended(): Effect.Effect<Ended> {
    return Effect.map(this.until(() => this.exit !== undefined), () => this.exit!)
  }

  says(text: string | RegExp): Effect.Effect<void> {
    return this.until(() => typeof text === "string" ? this.stderr.includes(text) : text.test(this.stderr))
  }

  /** The endpoint that the tool says it is bound to, as a client description. */
  get listening(): Effect.Effect<string> {
    const bound = () => /^listening (.+)\n/m.exec(this.output)?.[1]
    return Effect.map(this.until(() => bound() !== undefined), () => bound()!)
  }

  /** Its TCP port. */
  get address(): Effect.Effect<Address.TcpAddress> {
    return Effect.map(this.listening, (description) => Address.tcp("127.0.0.1", Number(description.split(":").at(-1))))
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Resident memory in MiB, proc(5). */
  get residentMiB(): number {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, "utf8")
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024
  }

  /** Processor time in seconds, user and system, proc(5): fields 14 and 15 of `stat`, in ticks of a 100th. */
  get processorSeconds(): number {
    const fields = fs.readFileSync(`/proc/${this.pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ")
    return (Number(fields[11]) + Number(fields[12])) / 100
  }
}

export const run = (
  command: string,
  args: ReadonlyArray<string>,
  options: childProcess.SpawnOptions = {}
): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Program(childProcess.spawn(command, args, { stdio: "pipe", ...options }))),
    (program, exit) =>
      Effect.suspend(() => {
        // Of a test that fails, or waits until its time is over, nothing else would say what the program had to say.
        if (Exit.isFailure(exit)) console.error(program.account)
        if (program.exit !== undefined) return Effect.void
        // A shell with what it has started: they are a process group of their own.
        if (options.detached) process.kill(-program.pid, "SIGKILL")
        else program.kill("SIGKILL")
        // Whoever inherited its output may hold it open.
        program.child.stdout?.destroy()
        program.child.stderr?.destroy()
        return program.ended
      })
  )

/** The tool with its arguments. */
export const tool = (...args: ReadonlyArray<string>): Effect.Effect<Program, never, Scope.Scope> =>
  run(process.execPath, [main, ...args])

/** A shell that runs the script, in which `$tool` is the tool. */
export const shell = (
  script: string,
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<Program, never, Scope.Scope> =>
  run("bash", ["-c", script], { detached: true, env: { ...process.env, ...env, tool: `${process.execPath} ${main}` } })

/** Whether a program is installed. */
export const has = (command: string): boolean =>
  (process.env["PATH"] ?? "").split(path.delimiter).some((directory) => fs.existsSync(path.join(directory, command)))

/** A TCP port of the loopback that answers no handshake: a listener that never accepts, its backlog full. */
export const blackHole: Effect.Effect<number, never, Scope.Scope> = Effect.gen(function*() {
  const program = yield* run("python3", [
    "-c",
    `
import select, socket, time
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(0)
peers = []
while True:
    peer = socket.socket()
    peer.setblocking(False)
    peer.connect_ex(listener.getsockname())
    peers.append(peer)
    if not select.select([], [peer], [], 0.2)[1]: break
print(listener.getsockname()[1], flush=True)
time.sleep(60)
`
  ])
  yield* program.until(() => program.output.includes("\n"))
  return Number(program.output)
})
