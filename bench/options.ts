/** What stands on the command line. */
import * as fs from "node:fs"
import { parseArgs } from "node:util"

export const refuse = (message: string): never => {
  console.error(message)
  process.exit(2)
}

const parse = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: "string" },
        seconds: { type: "string" },
        connections: { type: "string" },
        only: { type: "string" },
        servers: { type: "string" },
        quick: { type: "boolean", default: false },
        out: { type: "string" },
        help: { type: "boolean", default: false }
      }
    })
  } catch (error) {
    return refuse((error as Error).message)
  }
}

const { positionals, values } = parse()

if (values.help) {
  const [, usage] = /^\/\*\*\n([^]*?) \*\//.exec(fs.readFileSync(new URL("main.ts", import.meta.url), "utf8"))!
  console.log(usage!.replaceAll(/^ \* ?/gm, ""))
  process.exit(0)
}

const positive = (name: "rounds" | "seconds" | "connections", otherwise: number): number => {
  const value = Number(values[name] ?? otherwise)
  if (!(value > 0 && value < Infinity)) return refuse(`--${name} is more than 0, not ${values[name]}`)
  return name === "seconds" || Number.isInteger(value) ? value : refuse(`--${name} is a whole number, not ${value}`)
}

const modes = ["compare", "growth", "profile", "codecs", "tls", "policies"] as const

if (positionals.length > 1) refuse(`One word at a time, not ${positionals.join(" ")}`)

export const mode = modes.find((mode) => mode === (positionals[0] ?? "compare")) ??
  refuse(`The first word is one of ${modes.join(", ")}, not ${positionals[0]}`)
export const quick = values.quick
export const rounds = positive("rounds", quick ? 1 : 5)
/** Of each run, after the ramp. A codec has nothing to wait for, and there are many. */
export const seconds = positive("seconds", mode === "codecs" ? quick ? 0.02 : 0.25 : quick ? 0.3 : 1)
export const warmUpSeconds = quick ? 0.2 : 1
/** That are idle. */
export const connections = positive("connections", quick ? 200 : 2000)

/** All, or those whose keys were given, in that order. */
const chosen = (name: "only" | "servers") => <A extends { readonly key: string }>(all: ReadonlyArray<A>): Array<A> =>
  values[name]?.split(",").map((key) =>
    all.find((one) => one.key === key) ??
      refuse(`--${name} takes some of ${all.map((one) => one.key).join(",")}, not ${key}`)
  ) ?? [...all]

/** Workloads, what grows, or formats. */
export const only = chosen("only")
export const servers = chosen("servers")

const whole = !quick && values.only === undefined && values.servers === undefined

/** Where the files go: a run of a part, or one whose figures mean nothing, writes none unless it is told where. */
export const out = values.out ?? (whole ? "docs" : undefined)

export const commandLine = ["npm run bench", ...process.argv.length > 2 ? ["--"] : [], ...process.argv.slice(2)].join(
  " "
)
