/**
 * The tool: from the command line to the exit status.
 *
 * @internal
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { readFileSync } from "node:fs"
import * as NodeNetwork from "../node/NodeNetwork.ts"
import * as Commands from "./commands.ts"
import { describe } from "./connections.ts"
import * as Help from "./help.ts"
import * as Terminal from "./terminal.ts"
import * as Usage from "./usage.ts"

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

/** Warnings only, if the user does not ask for more (`--log-level`), and each on a line. */
const logger = Layer.merge(
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ cause, logLevel, message }) => {
      const reason = Cause.isEmpty(cause) ? "" : ` (${Cause.squash(cause)})`
      Terminal.unsafeReport(`${logLevel.label.toLowerCase()}: ${[message].flat().join(" ")}${reason}`)
    })
  ),
  Logger.minimumLogLevel(LogLevel.Warning)
)

/** Help and complaints of the parser, with colours only where somebody sees them. */
const withPlainConsole = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.console, (console) =>
    Effect.withConsole(self, {
      ...console,
      log: (...texts) => Terminal.print(Help.readable(Terminal.plain(texts.join(" "), process.stdout)).trimEnd()),
      error: (...texts) => Terminal.reportStyled(Terminal.plain(texts.join(" "), process.stderr))
    }))

const wrongUse = (complaint: string): Effect.Effect<number> =>
  Effect.as(Terminal.report(`${complaint} See ${Commands.name} --help`), 2)

const exitCode: Effect.Effect<number> = Effect.suspend(() => {
  const complaint = Usage.complaint(process.argv.slice(2))
  if (complaint !== undefined) return wrongUse(complaint)
  return Effect.as(Commands.run(version)(process.argv), 0).pipe(
    withPlainConsole,
    Effect.catchAll((error) =>
      // The parser has said already what is wrong.
      ValidationError.isValidationError(error) ? Effect.succeed(2) : Effect.as(Terminal.report(describe(error)), 1)
    ),
    Effect.catchAllCause((cause) => Effect.as(Terminal.report(`Defect: ${Cause.squash(cause)}`), 1)),
    Effect.provide([NodeNetwork.layer, NodeContext.layer, CliConfig.layer({ showBuiltIns: false }), logger])
  )
})

/** What could not be printed is a failure, as of every tool of the system; after another one it is not told. */
const printed = (code: number): Effect.Effect<number> =>
  Effect.catchAll(
    Effect.as(Terminal.flushed, code),
    (failure) => code === 0 ? Effect.as(Terminal.report(describe(failure)), 1) : Effect.succeed(code)
  )

export const run = (): void => {
  void Effect.runPromise(Effect.flatMap(exitCode, printed)).then((code) => process.exit(code))
}
