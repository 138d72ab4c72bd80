/** What the figures were measured on. */
import * as fs from "node:fs"
import * as os from "node:os"
import { canPin } from "./child.ts"
import * as measure from "./measure.ts"
import * as options from "./options.ts"

const version = (name: string): string => {
  const manifest = new URL(`../node_modules/${name}/package.json`, import.meta.url)
  return `${name} ${(JSON.parse(fs.readFileSync(manifest, "utf8")) as { version: string }).version}`
}

const isServed = options.mode !== "codecs"

const onCpu = isServed
  ? `The server on CPU ${measure.serverCpu}, the load on CPU ${measure.loadCpu}`
  : `On CPU ${measure.serverCpu}`

export const describe = (): ReadonlyArray<string> => {
  const cpus = os.cpus()
  return [
    `${cpus.length} × ${cpus[0]?.model.trim()}, ${os.type()} ${os.release()}`,
    `Node ${process.version}, ${version("effect")}`,
    canPin ? onCpu : "Nothing pinned to a CPU: no taskset, or one CPU",
    isServed
      ? "What is measured keeps what malloc has freed, and Node sweeps its heap at once (see `steady` in bench/measure.ts), " +
        "but for the idle connections"
      : "What is measured keeps what malloc has freed (see `keepsFreed` in bench/measure.ts)",
    ...measure.hasCompiler || !isServed
      ? []
      : ["No C compiler (cc): the load runs on node:net, and holds the servers back"],
    `${options.rounds} rounds of ${options.seconds} s each`,
    ...options.quick ? ["Quick: this shows that it runs, and its figures mean nothing"] : []
  ]
}
