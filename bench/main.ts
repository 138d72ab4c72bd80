/**
 * This library beside raw node:net and others.
 *
 *   npm run bench                  the table of all workloads and all servers that the machine has
 *   npm run bench -- growth        what a message costs with more connections, more bytes, more network layers
 *   npm run bench -- profile       where the CPU time goes
 *   npm run bench -- codecs        the codecs beside what npm has for their formats
 *   npm run bench -- tls           TLS beside raw node:tls
 *   npm run bench -- policies      what each network layer costs a message
 *
 *   --only echo,relay              some workloads, some things that grow, or some formats
 *   --servers node,handler         some servers; the first one is the reference
 *   --rounds 5 --seconds 1         of each measurement; --seconds 0.25 of the codecs
 *   --connections 2000             that are idle
 *   --quick                        shows that it runs
 *   --out docs                     where the Markdown and the plots go; by default only a whole run writes them
 *
 * In each round all servers of a workload are started anew, and measured in turn in slices of 0.1 s, so that what disturbs
 * the machine disturbs all of them; the ratios are within a round. Server and load have a CPU of their own each where
 * taskset(1) is there. The server's CPU time for each operation stands beside the rate: it says the same on a machine that
 * has other work too.
 */
import { codecs } from "./codecs.ts"
import { compare } from "./compare.ts"
import { growth } from "./growth.ts"
import * as options from "./options.ts"
import * as peers from "./peers.ts"
import * as policies from "./policies.ts"
import { profile } from "./profile.ts"
import * as report from "./report.ts"
import * as servers from "./servers.ts"
import * as tls from "./tls.ts"

const candidates = {
  compare: () => [...servers.ours, ...peers.all],
  growth: () => servers.ours,
  profile: () => servers.ours,
  codecs: () => servers.ours,
  tls: tls.candidates,
  policies: policies.candidates
}[options.mode]()
const { missing, servers: chosen } = servers.prepare(options.servers(candidates))

await { compare, growth, profile, codecs, tls: tls.compare, policies: policies.compare }[options.mode](chosen, missing)
report.end()
