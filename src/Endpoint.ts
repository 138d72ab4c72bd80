/**
 * Endpoints as strings, for configuration files and command lines: `tcp:8080:interface=0.0.0.0`, `unix:/run/app.sock`.
 * The form is that of Twisted's `serverFromString` and `clientFromString`.
 *
 * ```
 * description = scheme *(":" field)            ; tcp or unix, in lower case
 * field       = [key "="] value                ; only the first unescaped "=" separates
 * escaped     = "\" any character              ; that character itself, in scheme, key or value
 *
 * server        tcp:PORT[:interface=ADDRESS][:backlog=COUNT]
 *               unix:PATH[:mode=OCTAL][:backlog=COUNT]
 * client        tcp:HOST:PORT[:timeout=SECONDS][:bindAddress=ADDRESS]
 *               unix:PATH[:timeout=SECONDS]
 * ```
 *
 * What has no key here may have one as well (`tcp:host=example.com:port=443`). A colon inside a value is escaped:
 * `interface=\:\:1`.
 *
 * Other than in Twisted, a server without `interface` listens on 127.0.0.1 only, and every fault is a typed error that
 * says where it stands.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import type * as Types from "effect/Types"
import * as Address from "./Address.ts"

/**
 * Listen on a TCP port (Twisted's `TCP4ServerEndpoint` and `TCP6ServerEndpoint`).
 *
 * Throws a `RangeError` for a backlog that a description could not hold.
 *
 * @example
 * ```ts
 * import * as Address from "effect-transport/Address"
 * import * as Endpoint from "effect-transport/Endpoint"
 *
 * const endpoint = new Endpoint.TcpServer({ address: Address.tcp("::1", 8080), backlog: 128 })
 * console.log(Endpoint.format(endpoint)) // tcp:8080:interface=\:\:1:backlog=128
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export class TcpServer extends Data.TaggedClass("TcpServer")<{
  /** The interface's address, and the port; port 0 lets the system choose one. */
  readonly address: Address.TcpAddress
  /** How many connections may wait to be accepted, listen(2): 1 to 2147483647; undefined leaves it to the driver. */
  readonly backlog: number | undefined
}> {
  constructor(options: { readonly address: Address.TcpAddress; readonly backlog?: number | undefined }) {
    super({ address: options.address, backlog: valid("backlog", backlog, options.backlog) })
  }
}

/**
 * Listen on a UNIX-domain socket (Twisted's `UNIXServerEndpoint`).
 *
 * Throws a `RangeError` for a path, mode or backlog that a description could not hold: an unnamed or over-long address,
 * an abstract one with a mode.
 *
 * @since 0.1.0
 * @category models
 */
export class UnixServer extends Data.TaggedClass("UnixServer")<{
  /** Where to listen: a path or an abstract name of at most 107 bytes. */
  readonly address: Address.UnixAddress
  /** The permission bits of the socket's file, chmod(2): 0 to 0o777; undefined leaves them to the umask. */
  readonly mode: number | undefined
  /** How many connections may wait to be accepted, listen(2): 1 to 2147483647; undefined leaves it to the driver. */
  readonly backlog: number | undefined
}> {
  constructor(options: {
    readonly address: Address.UnixAddress
    readonly mode?: number | undefined
    readonly backlog?: number | undefined
  }) {
    if (options.address.isAbstract && options.mode !== undefined) {
      throw new RangeError(`The mode must be left out, as ${options.address} is abstract and has no file`)
    }
    super({
      address: valid("address", unixAddress, options.address),
      mode: valid("mode", mode, options.mode),
      backlog: valid("backlog", backlog, options.backlog)
    })
  }
}

/**
 * Connect to a TCP port of a host, which may be a name (Twisted's `HostnameEndpoint` and `TCP4ClientEndpoint`).
 *
 * Throws a `RangeError` for a host, port, timeout or bind address that a description could not hold.
 *
 * @example
 * ```ts
 * import * as Endpoint from "effect-transport/Endpoint"
 * import * as Duration from "effect/Duration"
 *
 * const endpoint = new Endpoint.TcpClient({ host: "example.com", port: 443, timeout: Duration.millis(2500) })
 * console.log(Endpoint.format(endpoint)) // tcp:example.com:443:timeout=2.5
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export class TcpClient extends Data.TaggedClass("TcpClient")<{
  /** A name to resolve, as it was written, or an IP literal, in its canonical spelling. */
  readonly host: string
  /** From 1 to 65535. */
  readonly port: number
  /** How long connecting may take, in whole milliseconds, up to a timer's 2147483647; undefined leaves it to others. */
  readonly timeout: Duration.Duration | undefined
  /** The IP literal of the local interface to connect from; undefined lets the system choose. */
  readonly bindAddress: string | undefined
}> {
  constructor(options: {
    readonly host: string
    readonly port: number
    readonly timeout?: Duration.Duration | undefined
    readonly bindAddress?: string | undefined
  }) {
    super({
      host: valid("host", host, options.host),
      port: valid("port", remotePort, options.port),
      timeout: valid("timeout", timeout, options.timeout),
      bindAddress: valid("bindAddress", literal, options.bindAddress)
    })
  }
}

/**
 * Connect to a UNIX-domain socket (Twisted's `UNIXClientEndpoint`).
 *
 * Throws a `RangeError` for a path or timeout that a description could not hold.
 *
 * @since 0.1.0
 * @category models
 */
export class UnixClient extends Data.TaggedClass("UnixClient")<{
  /** Where the server listens: a path or an abstract name of at most 107 bytes. */
  readonly address: Address.UnixAddress
  /** How long connecting may take, in whole milliseconds, up to a timer's 2147483647; undefined leaves it to others. */
  readonly timeout: Duration.Duration | undefined
}> {
  constructor(options: { readonly address: Address.UnixAddress; readonly timeout?: Duration.Duration | undefined }) {
    super({
      address: valid("address", unixAddress, options.address),
      timeout: valid("timeout", timeout, options.timeout)
    })
  }
}

/**
 * Where to listen.
 *
 * @since 0.1.0
 * @category models
 */
export type ServerEndpoint = TcpServer | UnixServer

/**
 * Where to connect to.
 *
 * @since 0.1.0
 * @category models
 */
export type ClientEndpoint = TcpClient | UnixClient

/**
 * The description of an endpoint cannot be read. Nothing was opened or looked up.
 *
 * @since 0.1.0
 * @category errors
 */
export class EndpointError extends Data.TaggedError("EndpointError")<{
  /** The whole description that was given. */
  readonly description: string
  /** Where the offending field or character starts: an index into `description`; its length if something is missing. */
  readonly position: number
  /** What stands there, such as `the port "http"`. */
  readonly found: string
  /** What should stand there, with an example. */
  readonly expected: string
}> {
  override get message(): string {
    return `Cannot read the endpoint ${quoted(this.description)}: found ${this.found} at ${this.position}, ` +
      `expected ${this.expected}.`
  }
}

/**
 * Reads the description of a server.
 *
 * @example
 * ```ts
 * import * as Endpoint from "effect-transport/Endpoint"
 * import * as Either from "effect/Either"
 *
 * const endpoint = Either.getOrThrow(Endpoint.parseServer("tcp:8080:interface=\\:\\:1"))
 * console.log(`${endpoint.address}`) // [::1]:8080
 *
 * const error = Either.getOrThrow(Either.flip(Endpoint.parseServer("tcp:http")))
 * console.log(error.message)
 * // Cannot read the endpoint "tcp:http": found the port "http" at 4, expected a whole number from 0 to 65535, …
 * ```
 *
 * @since 0.1.0
 * @category parsing
 */
export const parseServer = (description: string): Either.Either<ServerEndpoint, EndpointError> =>
  parseWith(description, serverSchemes)

/**
 * Reads the description of a client.
 *
 * @example
 * ```ts
 * import * as Endpoint from "effect-transport/Endpoint"
 * import * as Either from "effect/Either"
 *
 * const endpoint = Either.getOrThrow(Endpoint.parseClient("tcp:example.com:443:timeout=2.5"))
 * console.log(endpoint._tag, `${endpoint.timeout}`) // TcpClient Duration(2s 500ms)
 * ```
 *
 * @since 0.1.0
 * @category parsing
 */
export const parseClient = (description: string): Either.Either<ClientEndpoint, EndpointError> =>
  parseWith(description, clientSchemes)

/**
 * The shortest description of an endpoint, without what is the default anyway: `parseServer` or `parseClient` reads an
 * equal value back from it.
 *
 * @example
 * ```ts
 * import * as Address from "effect-transport/Address"
 * import * as Endpoint from "effect-transport/Endpoint"
 *
 * console.log(Endpoint.format(new Endpoint.TcpServer({ address: Address.tcp("127.0.0.1", 8080) }))) // tcp:8080
 * console.log(Endpoint.format(new Endpoint.UnixClient({ address: Address.unix("/tmp/a:b") }))) // unix:/tmp/a\:b
 * ```
 *
 * @since 0.1.0
 * @category formatting
 */
export const format = (endpoint: ServerEndpoint | ClientEndpoint): string => {
  switch (endpoint._tag) {
    case "TcpServer": {
      const { host, port } = endpoint.address
      return describe("tcp", [listenPort.write(port)], {
        interface: host === defaultInterface ? undefined : host,
        backlog: written(backlog, endpoint.backlog)
      })
    }
    case "UnixServer":
      return describe("unix", [unixAddress.write(endpoint.address)], {
        mode: written(mode, endpoint.mode),
        backlog: written(backlog, endpoint.backlog)
      })
    case "TcpClient":
      return describe("tcp", [endpoint.host, remotePort.write(endpoint.port)], {
        timeout: written(timeout, endpoint.timeout),
        bindAddress: endpoint.bindAddress
      })
    case "UnixClient":
      return describe("unix", [unixAddress.write(endpoint.address)], {
        timeout: written(timeout, endpoint.timeout)
      })
  }
}

/**
 * The client description with which one reaches a listener that is bound to the address, ready to be pasted:
 * `tcp:127.0.0.1:43117`, `tcp:\:\:1:43117`, `unix:/tmp/x.sock`. As nobody dials the wildcard, `0.0.0.0` and `::` become
 * the loopback of their family. An address that cannot be dialled at all (a pipe, an end in memory, an unnamed socket,
 * port 0) has no description, and is given as `Address.format` gives it.
 *
 * @example
 * ```ts
 * import * as Address from "effect-transport/Address"
 * import * as Endpoint from "effect-transport/Endpoint"
 *
 * console.log(Endpoint.describeClient(Address.tcp("0.0.0.0", 43117))) // tcp:127.0.0.1:43117
 * ```
 *
 * @since 0.1.0
 * @category formatting
 */
export const describeClient = (address: Address.Address): string => {
  if (address._tag === "TcpAddress" && address.port !== 0) {
    return format(new TcpClient({ host: loopbackOf[address.host] ?? address.host, port: address.port }))
  }
  // Not through `UnixClient`, which refuses what is too long for this system's sun_path: describing must not throw.
  if (address._tag === "UnixAddress" && !address.isUnnamed) return describe("unix", [unixAddress.write(address)], {})
  return Address.format(address)
}

const defaultInterface = "127.0.0.1"

const loopbackOf: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" }

// -----------------------------------------------------------------------------
// what a field may hold: the rule for its text, and through its text for its value
// -----------------------------------------------------------------------------

interface Field<A> {
  /** Completes "expected …" and "must be …". */
  readonly expected: string
  /** A value as it stands in a description, or undefined if none is right. */
  readonly example: string | undefined
  readonly read: (text: string) => A | undefined
  readonly write: (value: A) => string
}

/** What a constructor keeps: the value in its canonical form. What cannot be written and read back is refused. */
function valid<A>(name: string, field: Field<A>, value: A): A
function valid<A>(name: string, field: Field<A>, value: A | undefined): A | undefined
function valid<A>(name: string, field: Field<A>, value: A | undefined): A | undefined {
  if (value === undefined) return undefined
  const text = field.write(value)
  const canonical = field.read(text)
  if (canonical === undefined) {
    throw new RangeError(`The ${name} must be ${field.expected}, but is ${quoted(text)}`)
  }
  return canonical
}

const written = <A>(field: Field<A>, value: A | undefined): string | undefined =>
  value === undefined ? undefined : field.write(value)

// What listen(2) and setTimeout take at most: a signed 32-bit integer.
const int32Max = 2_147_483_647

const wholeNumber = (min: number, max: number, example: string): Field<number> => ({
  expected: `a whole number from ${min} to ${max}`,
  example,
  read: (text) => /^\d{1,10}$/.test(text) && Number(text) >= min && Number(text) <= max ? Number(text) : undefined,
  write: String
})

const listenPort = wholeNumber(0, 65535, "8080")

const remotePort = wholeNumber(1, 65535, "443")

const backlog = wholeNumber(1, int32Max, "128")

const literal: Field<string> = {
  expected: "an IP address",
  example: "\\:\\:1",
  read: (text) => Address.isLiteral(text) ? Address.tcp(text, 0).host : undefined,
  write: (host) => host
}

const host: Field<string> = {
  expected: "a host name or an IP address",
  example: "example.com",
  read: (text) => literal.read(text) ?? (hostName.test(text) ? text : undefined),
  write: (host) => host
}

// Whether a name exists is for the resolver to say. But what ends in a number is a mistyped IPv4 address (as the WHATWG
// URL standard has it), which getaddrinfo(3) would read in its own way: 127.1, 010.0.0.1.
const hostName = /^(?!(?:.*\.)?\d+\.?$)[^\s\p{Cc}:/@%[\]\\]+$/u

const timeout: Field<Duration.Duration> = {
  expected: "a number of seconds above 0 and up to 2147483.647",
  example: "2.5",
  read: (text) => {
    const millis = /^\d+(?:\.\d+)?$/.test(text) ? Math.round(Number(text) * 1000) : 0
    return millis > 0 && millis <= int32Max ? Duration.millis(millis) : undefined
  },
  write: (duration) => String(Duration.toSeconds(duration))
}

const mode: Field<number> = {
  expected: "three or four octal digits up to 0777",
  example: "660",
  read: (text) => /^0?[0-7]{3}$/.test(text) ? parseInt(text, 8) : undefined,
  write: (bits) => bits.toString(8).padStart(3, "0")
}

const noMode: Field<number> = {
  ...mode,
  expected: "no mode, as an abstract address has no file",
  example: undefined,
  read: () => undefined
}

// sun_path has 108 bytes with the closing NUL on Linux, unix(7).
const longestPath = 107

const unixAddress: Field<Address.UnixAddress> = {
  expected: `a path of 1 to ${longestPath} bytes, or @ and an abstract name`,
  example: "/run/app.sock",
  read: (text) => {
    if (text === "" || text === "@" || text.includes("\0")) return undefined
    const address = Address.unix(text.startsWith("@") ? `\0${text.slice(1)}` : text)
    return new TextEncoder().encode(address.path).length <= longestPath ? address : undefined
  },
  write: (address) => address.isUnnamed ? "" : Address.format(address)
}

// -----------------------------------------------------------------------------
// the schemes
// -----------------------------------------------------------------------------

interface Scheme<A> {
  /** A whole description, for error messages. */
  readonly example: string
  /** The keys that must be given, in the order in which their values may stand without a key. */
  readonly positional: ReadonlyArray<string>
  /** The keys that may be given. */
  readonly keyword: ReadonlyArray<string>
  readonly read: (fields: Fields) => Either.Either<A, EndpointError>
}

type Schemes<A> = Readonly<Record<string, Scheme<A>>>

interface Fields {
  readonly required: <A>(key: string, field: Field<A>) => Either.Either<A, EndpointError>
  readonly optional: <A>(key: string, field: Field<A>) => Either.Either<A | undefined, EndpointError>
}

const serverSchemes: Schemes<ServerEndpoint> = {
  tcp: {
    example: "tcp:8080:interface=127.0.0.1",
    positional: ["port"],
    keyword: ["interface", "backlog"],
    read: (fields) =>
      Either.gen(function*() {
        const port = yield* fields.required("port", listenPort)
        const host = yield* fields.optional("interface", literal)
        return new TcpServer({
          address: Address.tcp(host ?? defaultInterface, port),
          backlog: yield* fields.optional("backlog", backlog)
        })
      })
  },
  unix: {
    example: "unix:/run/app.sock:mode=660",
    positional: ["path"],
    keyword: ["mode", "backlog"],
    read: (fields) =>
      Either.gen(function*() {
        const address = yield* fields.required("path", unixAddress)
        return new UnixServer({
          address,
          mode: yield* fields.optional("mode", address.isAbstract ? noMode : mode),
          backlog: yield* fields.optional("backlog", backlog)
        })
      })
  }
}

const clientSchemes: Schemes<ClientEndpoint> = {
  tcp: {
    example: "tcp:example.com:443:timeout=5",
    positional: ["host", "port"],
    keyword: ["timeout", "bindAddress"],
    read: (fields) =>
      Either.gen(function*() {
        return new TcpClient({
          host: yield* fields.required("host", host),
          port: yield* fields.required("port", remotePort),
          timeout: yield* fields.optional("timeout", timeout),
          bindAddress: yield* fields.optional("bindAddress", literal)
        })
      })
  },
  unix: {
    example: "unix:/run/app.sock:timeout=5",
    positional: ["path"],
    keyword: ["timeout"],
    read: (fields) =>
      Either.gen(function*() {
        return new UnixClient({
          address: yield* fields.required("path", unixAddress),
          timeout: yield* fields.optional("timeout", timeout)
        })
      })
  }
}

// -----------------------------------------------------------------------------
// from text to fields
// -----------------------------------------------------------------------------

/** One field of a description, unescaped; positions are indices into the description. */
interface Part {
  readonly key: string | undefined
  readonly value: string
  readonly position: number
  readonly valuePosition: number
}

const parseWith = <A>(description: string, schemes: Schemes<A>): Either.Either<A, EndpointError> =>
  Either.gen(function*() {
    const [first, ...rest] = yield* split(description)
    const scheme = yield* schemeOf(description, first, schemes)
    return yield* scheme.read(yield* assign(description, scheme, rest))
  })

/** Splits at unescaped colons, each field at its first unescaped equals sign. */
const split = (description: string): Either.Either<[Part, ...Array<Part>], EndpointError> => {
  const partAt = (index: number): Types.Mutable<Part> => ({
    key: undefined,
    value: "",
    position: index,
    valuePosition: index
  })
  let last = partAt(0)
  const parts: [Part, ...Array<Part>] = [last]
  for (let index = 0; index < description.length; index++) {
    const character = description[index]
    if (character === ":") {
      last = partAt(index + 1)
      parts.push(last)
    } else if (character === "=" && last.key === undefined) {
      last.key = last.value
      last.value = ""
      last.valuePosition = index + 1
    } else if (character !== "\\") {
      last.value += character
    } else if (++index < description.length) {
      last.value += description[index]
    } else {
      return fail(description, index - 1, "a lone backslash", "a character after it (a backslash is written \\\\)")
    }
  }
  return Either.right(parts)
}

const schemeOf = <A>(
  description: string,
  { key, value }: Part,
  schemes: Schemes<A>
): Either.Either<Scheme<A>, EndpointError> => {
  const found = key === undefined ? value : `${key}=${value}`
  if (Object.hasOwn(schemes, found)) return Either.right(schemes[found]!)
  const lowerCase = found.toLowerCase()
  const examples = Object.values(schemes).map(({ example }) => example).join(" or ")
  return fail(
    description,
    0,
    found === "" ? "no scheme" : `the unknown scheme ${quoted(found)}`,
    Object.hasOwn(schemes, lowerCase)
      ? `${lowerCase} in lower case, as in ${schemes[lowerCase]!.example}`
      : `${Object.keys(schemes).join(" or ")}, as in ${examples}`
  )
}

/** Gives each part its key: named ones first, so that a value without a key fills the next place that is still free. */
const assign = (
  description: string,
  { example, keyword, positional }: Scheme<unknown>,
  parts: ReadonlyArray<Part>
): Either.Either<Fields, EndpointError> => {
  const keys = [...positional, ...keyword]
  const given = new Map<string, Part>()
  for (const part of parts) {
    if (part.key === undefined) continue
    if (!keys.includes(part.key)) {
      const found = `the unknown key ${quoted(part.key)}`
      const expected = `one of ${keys.join(", ")}, as in ${example} (an equals sign in a value is written \\=)`
      return fail(description, part.position, found, expected)
    }
    if (given.has(part.key)) {
      return fail(description, part.position, `the key ${part.key} again`, `each key once, as in ${example}`)
    }
    given.set(part.key, part)
  }
  const free = positional.filter((key) => !given.has(key))
  for (const part of parts) {
    if (part.key !== undefined) continue
    const key = free.shift()
    if (key === undefined) {
      const found = `the surplus value ${quoted(part.value)}`
      const expected = `key=value with ${keyword.join(" or ")}, as in ${example} (a colon in a value is written \\:)`
      return fail(description, part.position, found, expected)
    }
    given.set(key, part)
  }

  const optional: Fields["optional"] = (key, field) => {
    const part = given.get(key)
    if (part === undefined) return Either.right(undefined)
    const value = field.read(part.value)
    if (value !== undefined) return Either.right(value)
    const expected = field.example === undefined ? field.expected : `${field.expected}, as in ${key}=${field.example}`
    return fail(description, part.valuePosition, `the ${key} ${quoted(part.value)}`, expected)
  }
  const required: Fields["required"] = (key, field) =>
    Either.flatMap(optional(key, field), (value) =>
      value === undefined
        ? fail(description, description.length, `no ${key}`, `${field.expected}, as in ${example}`)
        : Either.right(value))
  return Either.right({ required, optional })
}

const fail = (
  description: string,
  position: number,
  found: string,
  expected: string
): Either.Either<never, EndpointError> => Either.left(new EndpointError({ description, position, found, expected }))

/** In quotes, without control characters, but each backslash as it was typed. */
const quoted = (text: string): string => JSON.stringify(text).replaceAll("\\\\", "\\")

// -----------------------------------------------------------------------------
// from fields to text
// -----------------------------------------------------------------------------

const describe = (
  scheme: string,
  positional: ReadonlyArray<string>,
  keyword: Readonly<Record<string, string | undefined>>
): string => {
  const fields = positional.map((value) => value.replace(/[\\:=]/g, "\\$&"))
  for (const [key, value] of Object.entries(keyword)) {
    // After its key an equals sign is a character like any other.
    if (value !== undefined) fields.push(`${key}=${value.replace(/[\\:]/g, "\\$&")}`)
  }
  return [scheme, ...fields].join(":")
}
