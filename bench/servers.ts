/** The programs that are compared. */
import { fileURLToPath } from "node:url"
import type { Command } from "./child.ts"
import * as compile from "./compile.ts"
import { options } from "./servers/listening.ts"
import type { Service } from "./workloads.ts"

export interface Server {
  readonly key: string
  readonly name: string
  readonly services: ReadonlyArray<Service>
  readonly version?: string | undefined
  /** The flags are for Node. */
  readonly command: (flags: ReadonlyArray<string>, ...parameters: ReadonlyArray<string>) => Command
}

/** One that the machine may lack: then it tells how to get it. */
export interface Candidate extends Pick<Server, "key" | "name" | "services"> {
  readonly prepare: () => Pick<Server, "version" | "command"> | { readonly install: string }
}

/** Those that are there, and a line for each that is not. */
export const prepare = (candidates: ReadonlyArray<Candidate>) => {
  const servers: Array<Server> = []
  const missing: Array<string> = []
  for (const { prepare, ...server } of candidates) {
    const prepared = prepare()
    if ("install" in prepared) missing.push(`${server.name} is not installed: ${prepared.install}`)
    else servers.push({ ...server, ...prepared })
  }
  return { servers, missing }
}

const control = compile.typescript(new URL("./control.ts", import.meta.url))

export const node = (file: string): Server["command"] => (flags, ...parameters) => [
  process.execPath,
  ...flags,
  "--import",
  control,
  file,
  ...parameters
]

for (const shared of ["listening", "serving"]) {
  compile.typescript(new URL(`./servers/${shared}.ts`, import.meta.url))
}

export const program = (name: string) => node(compile.typescript(new URL(`./servers/${name}.ts`, import.meta.url)))

const own = (key: string, name: string, services: ReadonlyArray<Service>): Candidate => ({
  key,
  name,
  services,
  prepare: () => ({ command: program(key) })
})

/** What is installed as `effect-transport`: it tells the port behind other words. */
const tool: Candidate = {
  key: "tool",
  name: "effect-transport, echo --lines",
  services: ["lines"],
  prepare: () => {
    const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url))
    const { backlog, host, port } = options
    const endpoint = `tcp:${port}:interface=${host}:backlog=${backlog}`
    // It tells of each connection that is reset, which is how the load ends all of them.
    const quietly = ["sh", "-c", "exec \"$@\" 2> /dev/null", "sh"] as const
    return { command: (flags) => [...quietly, ...node(main)(flags, "echo", "--lines", endpoint)] }
  }
}

/** node:net is what all others are compared with. */
export const ours: ReadonlyArray<Candidate> = [
  own("node", "node:net", ["echo", "pieces", "lines", "relay"]),
  own("handler", "effect-transport, handler", ["echo", "pieces", "lines", "relay"]),
  own("pull", "effect-transport, pull loop", ["echo", "pieces"]),
  own("stream", "effect-transport, Stream", ["echo", "pieces", "lines"]),
  tool,
  own("lines", "node:net, lines by hand", ["lines"])
]

/** The handler on a stack of so many network layers, of those that keep the carrier's buffers or have their own. */
export const layered = (kind: "derived" | "buffered", count: number): Server => {
  const command = program("layers")
  return {
    key: kind,
    name: { derived: "light layers", buffered: "layers with buffers" }[kind],
    services: ["echo"],
    command: (flags, service) => command(flags, service, kind, String(count))
  }
}
