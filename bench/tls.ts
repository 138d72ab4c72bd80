/** TLS of this library beside raw node:tls: straight on the socket, and over its own transport, which detects truncation. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as compile from "./compile.ts"
import { sideBySide } from "./compare.ts"
import * as measure from "./measure.ts"
import * as options from "./options.ts"
import type { Candidate, Server } from "./servers.ts"
import * as servers from "./servers.ts"
import * as workloads from "./workloads.ts"

/** Made for this run: `undefined` without openssl(1). */
const issueKey = (): ReadonlyArray<string> | undefined => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "bench-tls-"))
  process.once("exit", () => fs.rmSync(directory, { recursive: true, force: true }))
  const [certificate, key] = ["certificate.pem", "key.pem"].map((name) => path.join(directory, name)) as [
    string,
    string
  ]
  const made = [
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-subj",
    "/CN=localhost"
  ]
  const { status } = spawnSync("openssl", ["req", ...made, "-keyout", key, "-out", certificate])
  return status === 0 ? [certificate, key] : undefined
}

const needed = (): string | undefined =>
  measure.hasTls ? undefined : "the load needs a C compiler and OpenSSL's headers, apt-get install gcc libssl-dev"

export const candidates = (): ReadonlyArray<Candidate> => {
  const key = issueKey()
  const install = key === undefined ? "the servers need a key, apt-get install openssl" : needed()
  compile.typescript(new URL("./servers/identity.ts", import.meta.url))
  const candidate = (key: string, name: string, program: string, ...kind: ReadonlyArray<string>): Candidate => ({
    key,
    name,
    services: ["echo"],
    prepare: () => {
      if (install !== undefined) return { install }
      const command = servers.program(program)
      return { command: (flags, service) => command(flags, service, ...files, ...kind) }
    }
  })
  const files = key ?? []
  return [
    candidate("node", "node:tls", "tls-node"),
    candidate("socket", "effect-transport, truncation \"end\"", "tls", "end"),
    candidate("detecting", "effect-transport, detecting", "tls", "fail"),
    candidate("duplex", "node:tls over a Duplex of its own", "tls-node", "duplex")
  ]
}

/** The first server is what the others are compared with. */
export const compare = async (all: ReadonlyArray<Server>, missing: ReadonlyArray<string>): Promise<void> => {
  if (all.length === 0) {
    console.error(
      [...new Set(missing.map((line) => line.replace(/^.*: /, "TLS cannot be measured here: ")))].join("\n")
    )
    process.exit(1)
  }
  const notes = [
    "TLS 1.3, TLS_AES_256_GCM_SHA384 at both ends; noDelay at all servers",
    "\"over a Duplex of its own\": node:tls on a Duplex that hands everything to its net.Socket and back, so what Node itself costs where TLS lies on a stream"
  ]
  await sideBySide({ title: "TLS", notes, prefix: "tls-" }, options.only(workloads.tls), all)
}
