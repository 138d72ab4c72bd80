/**
 * Checks the command line before it is read. (The parser of `@effect/cli` takes an option that it does not know, or that
 * lacks its value, for an argument, and complains about that.)
 *
 * @internal
 */
import * as Options from "@effect/cli/Options"
import * as LogLevel from "effect/LogLevel"
import { configs } from "./commands.ts"

/** What the parser brings along, and does instead of a command. */
const builtIn = ["--help", "-h", "--version", "--completions", "--wizard"]

/** It brings along this one, too, which may stand before the command. */
const logLevel = "--log-level"

const logLevels = LogLevel.allLevels.map(({ _tag }) => _tag.toLowerCase())

interface Rules {
  readonly [option: string]: "flag" | "value"
}

const kebab = (key: string): string => `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

const rulesOf = (config: Readonly<Record<string, unknown>>): Rules =>
  Object.fromEntries(
    Object.entries(config)
      .filter(([, value]) => Options.isOptions(value))
      .map(([key, value]) => [kebab(key), Options.isBool(value as Options.Options<unknown>) ? "flag" : "value"])
  )

const oneOf = (names: ReadonlyArray<string>): string => names.length === 0 ? "no option" : names.join(", ")

/** What is wrong with the arguments, as far as the parser would not say it; `undefined` if nothing is. */
export const complaint = (args: ReadonlyArray<string>): string | undefined => {
  const place = args.findIndex((arg) => arg === logLevel || arg.startsWith(`${logLevel}=`))
  if (place === -1) return wrongCommand(args)
  const [, inOne] = args[place]!.split("=", 2)
  const level = inOne ?? args[place + 1]
  if (level === undefined) return `Missing value of ${logLevel}.`
  return logLevels.includes(level)
    ? complaint(args.toSpliced(place, inOne === undefined ? 2 : 1))
    : `${logLevel}: found ${JSON.stringify(level)}, expected ${oneOf(logLevels)}.`
}

const wrongCommand = ([command, ...rest]: ReadonlyArray<string>): string | undefined => {
  const commands = Object.keys(configs)
  if (command === undefined) return `Missing command: expected ${oneOf(commands)}.`
  const isKnown = Object.hasOwn(configs, command)
  if (!isKnown && builtIn.includes(command.split("=")[0]!)) return undefined
  if (!isKnown) return `Unknown command ${JSON.stringify(command)}: expected ${oneOf(commands)}.`
  return wrongOption(command, rulesOf(configs[command as keyof typeof configs]), rest)
}

const wrongOption = (command: string, rules: Rules, args: ReadonlyArray<string>): string | undefined => {
  const seen = new Set<string>()
  for (let index = 0; index < args.length; index++) {
    const arg = args[index]!
    if (arg === "--") return undefined
    if (!arg.startsWith("-") || arg === "-") continue
    const [option = arg, value] = arg.split("=", 2)
    if (builtIn.includes(option)) return undefined
    const rule = rules[option]
    if (rule === undefined) return `Unknown option ${option} of ${command}: expected ${oneOf(Object.keys(rules))}.`
    if (seen.has(option)) return `The option ${option} stands twice: expected once.`
    seen.add(option)
    if (rule === "flag" && value !== undefined) {
      return `The option ${option} takes no value: found ${JSON.stringify(value)}.`
    }
    if (value === "") return `Missing value of ${option}.`
    if (rule === "flag" || value !== undefined) continue
    if (args[++index] === undefined || args[index]!.startsWith("--")) return `Missing value of ${option}.`
  }
  return undefined
}
