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
  "Where to listen: tcp:PORT[:interface=ADDRESS][:backlog=COUNT], " +
    "tls:PORT:privateKey=FILE:certKey=FILE[:trustRoots=FILE][:interface=ADDRESS], unix:PATH[:mode=OCTAL], " +
    "or haproxy: before one of them, each of its colons as \\:, for a proxy that sends PROXY headers",
  Endpoint.parseServer
)

export const client = endpoint(
  "client",
  "Where to connect to: tcp:HOST:PORT[:timeout=SECONDS][:bindAddress=ADDRESS], " +
    "tls:HOST:PORT[:trustRoots=FILE][:certificate=FILE][:privateKey=FILE][:serverName=NAME], or unix:PATH",
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

/** Bytes: SI and binary units, as in `dd`; `undefined` for what is no size, or none of a byte at least. */
export const parseSize = (text: string): number | undefined => {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?) ?([kMG]?i?B)?$/i.exec(text) ?? []
  const [, power = "", binary] = /^([kmg]?)(i?)/.exec(unit.toLowerCase()) ?? []
  if (digits === undefined || (binary !== "" && power === "")) return undefined
  const bytes = Math.round(Number(digits) * (binary ? 1024 : 1000) ** ["", "k", "m", "g"].indexOf(power))
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined
}

const duration = (name: string, description: string) =>
  optional(
    name,
    "duration",
    description,
    (text) => {
      const duration = Option.getOrElse(Duration.decodeUnknown(text), () => Duration.zero)
      return Duration.isFinite(duration) && Duration.toMillis(duration) > 0 ? duration : undefined
    },
    "a duration, such as \"500 millis\", \"30 seconds\" or \"5 minutes\""
  )

const count = (name: string, description: string) =>
  optional(
    name,
    "count",
    description,
    (text) => /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined,
    "a whole number, at least 1"
  )

const bytesPerSecond = (name: string, description: string) =>
  optional(name, "bytes", description, parseSize, "bytes per second, such as 1000, 64KiB, 1MiB, 1MB or 1GiB")

const idleTimeout = duration(
  "idle-timeout",
  "End a connection when nothing has moved on it for so long, such as \"30 seconds\""
)

const writeTimeout = duration(
  "write-timeout",
  "End a connection whose peer takes nothing of what waits for it for so long"
)

const maxDuration = duration("max-duration", "End a connection after so long, whatever happens on it")

const rate = bytesPerSecond(
  "rate",
  "Limit each connection, in each direction, to so many bytes a second, such as 64KiB"
)

const totalRate = bytesPerSecond("total-rate", "Limit all connections together, in each direction")

const maxConnections = count("max-connections", "Refuse connections above so many")

const maxPerPeer = count("max-per-peer", "Refuse connections of one address, or one IPv6 /64, above so many")

const wiretap = optional(
  "wiretap",
  "file",
  "Write what passes, without TLS, to a capture for Wireshark, such as traffic.pcapng",
  (text) => text === "" ? undefined : text,
  "the path of a file, such as traffic.pcapng"
)

export const sendProxy = optional(
  "send-proxy",
  "version",
  "Begin each new connection with a header of the PROXY protocol, v1 or v2, which tells the client's address",
  (text) => text === "v1" ? 1 : text === "v2" ? 2 : undefined,
  "v1 or v2"
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

/** What there is for each connection. */
export const connection = { idleTimeout, maxDuration, rate, wiretap, writeTimeout }

/** What the serving commands have in common. */
export const serving = { ...connection, maxConnections, maxPerPeer, totalRate, verbose, watch }
