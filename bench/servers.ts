/** The programs that are compared. */
import type { Command } from "./child.ts"
import * as compile from "./compile.ts"
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

const program = (name: string) => node(compile.typescript(new URL(`./servers/${name}.ts`, import.meta.url)))

const own = (key: string, name: string, services: ReadonlyArray<Service>): Candidate => ({
  key,
  name,
  services,
  prepare: () => ({ command: program(key) })
})

/** node:net is what all others are compared with. */
export const ours: ReadonlyArray<Candidate> = [
  own("node", "node:net", ["echo", "pieces", "relay"]),
  own("handler", "effect-transport, handler", ["echo", "pieces", "relay"]),
  own("pull", "effect-transport, pull loop", ["echo", "pieces"]),
  own("stream", "effect-transport, Stream", ["echo", "pieces"])
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
