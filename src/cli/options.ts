/**
 * The options and arguments of the commands, and what is said about a wrong one.
 *
 * @internal
 */
import * as Args from "@effect/cli/Args"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Endpoint from "../Endpoint.ts"

const invalid = (message: string): ValidationError.ValidationError => ValidationError.invalidValue(HelpDoc.p(message))

const endpoint = <A>(name: string, forms: string, parse: (text: string) => Either.Either<A, Endpoint.EndpointError>) =>
  Args.text({ name }).pipe(
    Args.withDescription(forms),
    Args.mapEffect((text) => Either.mapLeft(parse(text), (error) => HelpDoc.p(error.message)))
  )

export const server = endpoint(
  "server",
  "Where to listen: tcp:PORT[:interface=ADDRESS][:backlog=COUNT] or unix:PATH[:mode=OCTAL]",
  Endpoint.parseServer
)

export const client = endpoint(
  "client",
  "Where to connect to: tcp:HOST:PORT[:timeout=SECONDS][:bindAddress=ADDRESS] or unix:PATH",
  Endpoint.parseClient
)

/** An option that may be left out; `undefined` then. */
const optional = <A>(
  name: string,
  placeholder: string,
  description: string,
  parse: (text: string) => A | undefined,
  expected: string
): Options.Options<A | undefined> =>
  Options.text(name).pipe(
    Options.withPseudoName(placeholder),
    Options.withDescription(description),
    Options.mapEffect((text) => {
      const value = parse(text)
      return value === undefined
        ? Effect.fail(invalid(`--${name}: found ${JSON.stringify(text)}, expected ${expected}.`))
        : Effect.succeed(value)
    }),
    Options.optional,
    Options.map(Option.getOrUndefined)
  )

const idleTimeout = optional(
  "idle-timeout",
  "duration",
  "Close a connection when nothing has moved on it for so long, such as \"30 seconds\"",
  (text) => {
    const duration = Option.getOrElse(Duration.decodeUnknown(text), () => Duration.zero)
    return Duration.isFinite(duration) && Duration.toMillis(duration) > 0 ? duration : undefined
  },
  "a duration, such as \"500 millis\", \"30 seconds\" or \"5 minutes\""
)

const maxConnections = optional(
  "max-connections",
  "count",
  "Refuse connections above so many",
  (text) => /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined,
  "a whole number, at least 1"
)

const rate = optional(
  "rate",
  "bytes",
  "Limit each connection, in each direction, to so many bytes a second, such as 64KiB",
  (text) => parseSize(text),
  "bytes per second, such as 1000, 64KiB, 1MiB, 1MB or 1GiB"
)

const verbose = Options.boolean("verbose").pipe(
  Options.withDescription("Say on stderr when a connection opens and closes")
)

const watch = Options.boolean("watch").pipe(
  Options.withDescription("Show the open connections on stderr, with throughput and buffered bytes")
)

export const lines = Options.boolean("lines").pipe(
  Options.withDescription("Answer line by line instead of byte by byte; a line has at most 64 KiB")
)

/** What the serving commands have in common. */
export const serving = { idleTimeout, maxConnections, rate, verbose, watch }

/** Bytes: SI and binary units, as in `dd`; `undefined` for what is no size, or none of a byte at least. */
export const parseSize = (text: string): number | undefined => {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?) ?([kMG]?i?B)?$/i.exec(text) ?? []
  const [, power = "", binary] = /^([kmg]?)(i?)/.exec(unit.toLowerCase()) ?? []
  if (digits === undefined || (binary !== "" && power === "")) return undefined
  const bytes = Math.round(Number(digits) * (binary ? 1024 : 1000) ** ["", "k", "m", "g"].indexOf(power))
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined
}
