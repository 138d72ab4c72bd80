/** What each network layer of the library costs a message: beside the same handler without it. */
import { sideBySide } from "./compare.ts"
import * as options from "./options.ts"
import type { Candidate, Server } from "./servers.ts"
import * as servers from "./servers.ts"
import * as workloads from "./workloads.ts"

const command = servers.program("policies")

const stack = (key: string, name: string, layers: string): Candidate => ({
  key,
  name,
  services: ["echo"],
  prepare: () => ({ command: (flags, service) => command(flags, service, layers) })
})

const alone = ["ConnectionLimit", "ProxyProtocol", "Deadline", "IdleTimeout", "WriteStalled", "Tap", "Throttle"]

export const candidates = (): ReadonlyArray<Candidate> => [
  { ...servers.ours.find(({ key }) => key === "handler")!, name: "no layer" },
  ...alone.map((name) => stack(name.toLowerCase(), name, name)),
  stack("shared", "Throttle with a rate that is shared", "Throttle.share"),
  stack("wiretap", "Wiretap, pcapng", "Wiretap"),
  stack(
    "all",
    "ConnectionLimit, WriteStalled, Deadline and IdleTimeout",
    "ConnectionLimit,WriteStalled,Deadline,IdleTimeout"
  )
]

/** The first server is what the others are compared with. */
export const compare = (all: ReadonlyArray<Server>): Promise<void> => {
  const notes = [
    "One layer on each connection, with limits that are never reached; a connection makes its layer once",
    "ProxyProtocol: of a peer that is not trusted, and passed. After the header it costs the same"
  ]
  const echo = workloads.all(options.connections).filter(({ key }) => key === "echo")
  return sideBySide({ title: "What a network layer costs", notes, prefix: "policies-" }, options.only(echo), all)
}
