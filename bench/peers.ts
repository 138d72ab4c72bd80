/** What others have, for a machine that has it. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import * as compile from "./compile.ts"
import type { Candidate } from "./servers.ts"
import { node } from "./servers.ts"

const services = ["echo", "pieces"] as const

const file = (path: string) => fileURLToPath(new URL(`./peers/${path}`, import.meta.url))

/** What a program prints, or `undefined` if it fails or is not there. */
const output = (program: string, ...parameters: ReadonlyArray<string>): string | undefined => {
  const { status, stdout } = spawnSync(program, parameters, { encoding: "utf8" })
  return status === 0 ? stdout.trim() : undefined
}

/** A form of Effect's own socket server. */
const effect = (key: string, major: 3 | 4, form: "handler" | "stream"): Candidate => ({
  key,
  name: `platform-node (Effect ${major}), ${form === "handler" ? "handler" : "Stream"}`,
  services: form === "stream" ? [...services, "lines"] : services,
  prepare: () => {
    const manifest = file(`effect${major}/node_modules/@effect/platform-node/package.json`)
    if (!fs.existsSync(manifest)) return { install: `npm ci --prefix bench/peers/effect${major}` }
    const { version } = JSON.parse(fs.readFileSync(manifest, "utf8")) as { version: string }
    return { version, command: node(file(`effect${major}/${form}.mjs`)) }
  }
})

/** Debian's packages belong to its own interpreter, which need not be the first one. */
const python = (key: "twisted" | "trio", name: string): Candidate => ({
  key,
  name,
  services: key === "twisted" ? [...services, "lines"] : services,
  prepare: () => {
    for (const interpreter of ["python3", "/usr/bin/python3"]) {
      const version = output(interpreter, "-c", `import ${key}; print(${key}.__version__)`)
      if (version === undefined) continue
      return { version, command: (_, ...parameters) => [interpreter, file(`${key}_server.py`), ...parameters] }
    }
    return { install: `apt-get install python3-${key}` }
  }
})

const go: Candidate = {
  key: "go",
  name: "Go",
  services,
  prepare: () => {
    const program = compile.go(new URL("./peers/server.go", import.meta.url))
    if (program === undefined) return { install: "apt-get install golang-go" }
    const version = output("go", "env", "GOVERSION")?.replace("go", "")
    return { version, command: (_, ...parameters) => [program, ...parameters] }
  }
}

export const all: ReadonlyArray<Candidate> = [
  effect("effect3", 3, "handler"),
  effect("effect3-stream", 3, "stream"),
  effect("effect4", 4, "handler"),
  effect("effect4-stream", 4, "stream"),
  python("twisted", "Twisted"),
  python("trio", "Trio"),
  go
]
