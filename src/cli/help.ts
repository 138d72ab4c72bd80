/**
 * The help that `@effect/cli` writes, as it can be typed and read in a terminal. (It leaves the tool's name out of the usage
 * of a command, puts all options of all commands into one list, and says of each what sort of value a parser makes of it.)
 *
 * @internal
 */
import { configs, name } from "./commands.ts"

const command = Object.keys(configs).join("|")

const rewrites: ReadonlyArray<readonly [RegExp, string | ((...found: ReadonlyArray<string>) => string)]> = [
  [new RegExp(`^\\$ ${name}$`, "m"), `$ ${name} <command> [options] …\n\n$ ${name} <command> --help`],
  [new RegExp(`^\\$ (?=(?:${command}) )`, "m"), `$ ${name} `],
  [
    new RegExp(`^  - (${command})(?: \\[.*?\\])*((?: <\\w+>)+) +`, "gm"),
    (_, command, args) => `  - ${`${command}${args}`.padEnd("relay <server> <client>".length)}  `
  ],
  [/^  A (?:user-defined piece of text|true or false value)\.\n\n/gm, ""],
  [/\n\n  This setting is optional\.$/gm, ""]
]

export const readable = (help: string): string =>
  rewrites.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement as string), help)
