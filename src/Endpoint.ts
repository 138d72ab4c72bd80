/**
 * Endpoints as strings, for configuration files and command lines: `tcp:8080:interface=0.0.0.0`, `unix:/run/app.sock`.
 * The form is that of Twisted's `serverFromString` and `clientFromString`.
 *
 * ```
 * description = scheme *(":" field)            ; tcp, tls, unix or haproxy, in lower case
 * field       = [key "="] value                ; the first unescaped "=" separates, unless a colon stands before it
 * escaped     = "\" any character              ; that character itself, in scheme, key or value
 *
 * server        tcp:PORT[:interface=ADDRESS][:backlog=COUNT]
 *               tls:PORT:privateKey=FILE[:certKey=FILE][:trustRoots=FILE][:interface=ADDRESS][:backlog=COUNT]
 *               unix:PATH[:mode=OCTAL][:backlog=COUNT]
 *               haproxy:SERVER[:trusted=BLOCK,…]      ; any of the others, quoted: haproxy:tcp\:8080
 * client        tcp:HOST:PORT[:timeout=SECONDS][:bindAddress=ADDRESS]
 *               tls:HOST:PORT[:trustRoots=FILE][:certificate=FILE][:privateKey=FILE][:serverName=NAME]
 *                   [:timeout=SECONDS][:bindAddress=ADDRESS]
 *               unix:PATH[:timeout=SECONDS]
 * ```
 *
 * What has no key here may have one as well (`tcp:host=example.com:port=443`). A colon inside a value is escaped:
 * `interface=\:\:1`. Nothing is opened or read here: a file is a path. `node/NodeEndpoint` opens what is described.
 *
 * Other than in Twisted, a server without `interface` listens on 127.0.0.1 only, and every fault is a typed error that
 * says where it stands.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
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
 * Listen on a TCP port, and speak TLS there (Twisted's `SSL4ServerEndpoint`).
 *
 * Throws a `RangeError` for an empty path, and for a backlog that a description could not hold.
 *
 * @since 0.1.0
 * @category models
 */
export class TlsServer extends Data.TaggedClass("TlsServer")<{
  /** The interface's address, and the port; port 0 lets the system choose one. */
  readonly address: Address.TcpAddress
  /** The path of the private key, in PEM. */
  readonly privateKey: string
  /** The path of the certificate and of those up to its root, in PEM, the own one first: `certKey` in a description. */
  readonly certificate: string
  /** The path of the certificates, in PEM, that have to vouch for each client; undefined asks clients for none. */
  readonly trustRoots: string | undefined
  /** How many connections may wait to be accepted, listen(2): 1 to 2147483647; undefined leaves it to the driver. */
  readonly backlog: number | undefined
}> {
  constructor(options: {
    readonly address: Address.TcpAddress
    readonly privateKey: string
    /** Left out, one file holds both. */
    readonly certificate?: string | undefined
    readonly trustRoots?: string | undefined
    readonly backlog?: number | undefined
  }) {
    super({
      address: options.address,
      privateKey: valid("privateKey", file, options.privateKey),
      certificate: valid("certificate", file, options.certificate ?? options.privateKey),
      trustRoots: valid("trustRoots", file, options.trustRoots),
      backlog: valid("backlog", backlog, options.backlog)
    })
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
 * Listen behind a proxy that begins each connection with a header of the PROXY protocol (Twisted's `haproxy:`), which tells
 * whose it is. TLS comes after the header.
 *
 * Throws a `RangeError` for what `trusted` could not hold in a description.
 *
 * @example
 * ```ts
 * import * as Address from "effect-transport/Address"
 * import * as Endpoint from "effect-transport/Endpoint"
 *
 * const server = new Endpoint.TcpServer({ address: Address.tcp("127.0.0.1", 8080) })
 * console.log(Endpoint.format(new Endpoint.HaproxyServer({ server, trusted: ["10.0.0.0/8"] })))
 * // haproxy:tcp\:8080:trusted=10.0.0.0/8
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export class HaproxyServer extends Data.TaggedClass("HaproxyServer")<{
  /** Where to listen. */
  readonly server: TcpServer | TlsServer | UnixServer
  /** The proxies: IP addresses, blocks of them (`10.0.0.0/8`), and `unix` for all that come by a UNIX-domain socket. */
  readonly trusted: ReadonlyArray<string>
}> {
  constructor(options: {
    readonly server: TcpServer | TlsServer | UnixServer
    /** Whoever is on this machine: `127.0.0.0/8`, `::1` and `unix`. */
    readonly trusted?: ReadonlyArray<string> | undefined
  }) {
    super({ server: options.server, trusted: valid("trusted", trusted, options.trusted ?? thisMachine) })
  }

  /** That of the server. */
  get address(): Address.TcpAddress | Address.UnixAddress {
    return this.server.address
  }

  /** That of the server. */
  get backlog(): number | undefined {
    return this.server.backlog
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
 * Connect to a TCP port of a host, and speak TLS with it (Twisted's `tls:`, `wrapClientTLS`).
 *
 * Throws a `RangeError` for an empty path or name, and for what a `TcpClient` throws.
 *
 * @since 0.1.0
 * @category models
 */
export class TlsClient extends Data.TaggedClass("TlsClient")<{
  /** A name to resolve, as it was written, or an IP literal, in its canonical spelling. */
  readonly host: string
  /** From 1 to 65535. */
  readonly port: number
  /** The path of the certificates to trust, in PEM; undefined trusts the roots that the system or the runtime has. */
  readonly trustRoots: string | undefined
  /** The path of this side's certificate, in PEM; undefined shows none, and goes with an undefined key. */
  readonly certificate: string | undefined
  /** The path of its private key, in PEM. */
  readonly privateKey: string | undefined
  /** Whom the certificate has to be for, if that is not the host; undefined is the host. */
  readonly serverName: string | undefined
  /** How long connecting may take, handshake and all, in whole milliseconds; undefined leaves it to others. */
  readonly timeout: Duration.Duration | undefined
  /** The IP literal of the local interface to connect from; undefined lets the system choose. */
  readonly bindAddress: string | undefined
}> {
  constructor(options: {
    readonly host: string
    readonly port: number
    readonly trustRoots?: string | undefined
    /** With a certificate or a key alone, one file holds both. */
    readonly certificate?: string | undefined
    readonly privateKey?: string | undefined
    readonly serverName?: string | undefined
    readonly timeout?: Duration.Duration | undefined
    readonly bindAddress?: string | undefined
  }) {
    const serverName = valid("serverName", host, options.serverName)
    const carrier = new TcpClient(options)
    super({
      host: carrier.host,
      port: carrier.port,
      trustRoots: valid("trustRoots", file, options.trustRoots),
      certificate: valid("certificate", file, options.certificate ?? options.privateKey),
      privateKey: valid("privateKey", file, options.privateKey ?? options.certificate),
      serverName: serverName === carrier.host ? undefined : serverName,
      timeout: carrier.timeout,
      bindAddress: carrier.bindAddress
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
export type ServerEndpoint = TcpServer | TlsServer | UnixServer | HaproxyServer

/**
 * Where to connect to.
 *
 * @since 0.1.0
 * @category models
 */
export type ClientEndpoint = TcpClient | TlsClient | UnixClient

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
    case "TlsServer": {
      const { address, certificate, privateKey, trustRoots } = endpoint
      return describe("tls", [listenPort.write(address.port)], {
        privateKey,
        certKey: certificate === privateKey ? undefined : certificate,
        trustRoots,
        interface: address.host === defaultInterface ? undefined : address.host,
        backlog: written(backlog, endpoint.backlog)
      })
    }
    case "UnixServer":
      return describe("unix", [unixAddress.write(endpoint.address)], {
        mode: written(mode, endpoint.mode),
        backlog: written(backlog, endpoint.backlog)
      })
    case "HaproxyServer":
      return describe("haproxy", [format(endpoint.server)], {
        trusted: Equal.equals(endpoint.trusted, thisMachine) ? undefined : trusted.write(endpoint.trusted)
      })
    case "TcpClient":
      return describe("tcp", [endpoint.host, remotePort.write(endpoint.port)], {
        timeout: written(timeout, endpoint.timeout),
        bindAddress: endpoint.bindAddress
      })
    case "TlsClient":
      return describe("tls", [endpoint.host, remotePort.write(endpoint.port)], {
        trustRoots: endpoint.trustRoots,
        certificate: endpoint.certificate,
        privateKey: endpoint.privateKey === endpoint.certificate ? undefined : endpoint.privateKey,
        serverName: endpoint.serverName,
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
 * `tcp:127.0.0.1:43117`, `tcp:\:\:1:43117`, `unix:/tmp/x.sock`; `tls:127.0.0.1:43117` if the scheme is said to be `tls`. As
 * nobody dials the wildcard, `0.0.0.0` and `::` become the loopback of their family. An address that cannot be dialled at all (a pipe, an end in memory, an unnamed socket,
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
export const describeClient = (address: Address.Address, scheme: "tcp" | "tls" = "tcp"): string => {
  if (address._tag === "TcpAddress" && address.port !== 0) {
    const dialled = { host: loopbackOf[address.host] ?? address.host, port: address.port }
    return format(scheme === "tls" ? new TlsClient(dialled) : new TcpClient(dialled))
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

const file: Field<string> = {
  expected: "the path of a file in PEM",
  example: "/etc/tls/example.pem",
  read: (text) => text === "" || text.includes("\0") ? undefined : text,
  write: (path) => path
}

const trusted: Field<ReadonlyArray<string>> = {
  expected: "IP addresses, blocks of them, and unix, with commas between",
  example: "10.0.0.0/8,unix",
  read: (text) => {
    const all = text.split(",")
    return all.every((entry) => entry === "unix" || isBlock(entry)) ? Data.array(all) : undefined
  },
  write: (all) => all.join()
}

/** An address, or its first so many bits: of one that is mapped, the first 96 say only that it is. */
const isBlock = (text: string): boolean => {
  const [, host = "", bits] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  if (!Address.isLiteral(host)) return false
  const least = host.includes(":") && Address.tcp(host, 0).family === "IPv4" ? 96 : 0
  return bits === undefined || Number(bits) >= least && Number(bits) <= (host.includes(":") ? 128 : 32)
}

const thisMachine = Data.array(["127.0.0.0/8", "::1", "unix"])

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
  /** A whole description as a value. */
  readonly description: <A>(key: string, schemes: Schemes<A>) => Either.Either<A, EndpointError>
}

const plainServerSchemes: Schemes<TcpServer | TlsServer | UnixServer> = {
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
  tls: {
    example: "tls:443:privateKey=key.pem:certKey=cert.pem",
    positional: ["port", "privateKey"],
    keyword: ["certKey", "trustRoots", "interface", "backlog"],
    read: (fields) =>
      Either.gen(function*() {
        const port = yield* fields.required("port", listenPort)
        const privateKey = yield* fields.required("privateKey", file)
        const certificate = yield* fields.optional("certKey", file)
        const trustRoots = yield* fields.optional("trustRoots", file)
        const host = yield* fields.optional("interface", literal)
        return new TlsServer({
          address: Address.tcp(host ?? defaultInterface, port),
          privateKey,
          certificate,
          trustRoots,
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

const serverSchemes: Schemes<ServerEndpoint> = {
  ...plainServerSchemes,
  haproxy: {
    example: "haproxy:tcp\\:8080:trusted=10.0.0.0/8",
    positional: ["server"],
    keyword: ["trusted"],
    read: (fields) =>
      Either.gen(function*() {
        return new HaproxyServer({
          server: yield* fields.description("server", plainServerSchemes),
          trusted: yield* fields.optional("trusted", trusted)
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
  tls: {
    example: "tls:example.com:443:timeout=5",
    positional: ["host", "port"],
    keyword: ["trustRoots", "certificate", "privateKey", "serverName", "timeout", "bindAddress"],
    read: (fields) =>
      Either.gen(function*() {
        return new TlsClient({
          host: yield* fields.required("host", host),
          port: yield* fields.required("port", remotePort),
          trustRoots: yield* fields.optional("trustRoots", file),
          certificate: yield* fields.optional("certificate", file),
          privateKey: yield* fields.optional("privateKey", file),
          serverName: yield* fields.optional("serverName", host),
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

/** What is read: the whole description, or one that is a value in it, unescaped. */
interface Source {
  /** The whole. */
  readonly description: string
  readonly text: string
  /** Where a character of the text, or its end, stands in the whole. */
  readonly positionAt: (index: number) => number
}

/** One field of a description, unescaped; positions are indices into the whole description. */
interface Part {
  readonly key: string | undefined
  readonly value: string
  readonly position: number
  /** Of each character of the value, and of its end. */
  readonly valuePositions: ReadonlyArray<number>
}

const parseWith = <A>(description: string, schemes: Schemes<A>): Either.Either<A, EndpointError> =>
  parse({ description, text: description, positionAt: (index) => index }, schemes)

const parse = <A>(source: Source, schemes: Schemes<A>): Either.Either<A, EndpointError> =>
  Either.gen(function*() {
    const [first, ...rest] = yield* split(source)
    const scheme = yield* schemeOf(source, first, schemes)
    return yield* scheme.read(yield* assign(source, scheme, rest))
  })

/** Splits at unescaped colons, each field at its first unescaped equals sign. */
const split = ({ description, positionAt, text }: Source): Either.Either<[Part, ...Array<Part>], EndpointError> => {
  const partAt = (index: number) => ({
    key: undefined as string | undefined,
    value: "",
    position: positionAt(index),
    valuePositions: [] as Array<number>
  })
  let last = partAt(0)
  const parts: [Part, ...Array<Part>] = [last]
  for (let index = 0; index < text.length; index++) {
    const character = text[index]!
    if (character === ":") {
      last.valuePositions.push(positionAt(index))
      last = partAt(index + 1)
      parts.push(last)
      // What has a colon is no key, but a description or a path.
    } else if (character === "=" && last.key === undefined && !last.value.includes(":")) {
      last.key = last.value
      last.value = ""
      last.valuePositions = []
    } else {
      last.valuePositions.push(positionAt(index))
      if (character === "\\" && ++index === text.length) {
        const expected = "a character after it (a backslash is written \\\\)"
        return fail(description, positionAt(index - 1), "a lone backslash", expected)
      }
      last.value += text[index]!
    }
  }
  last.valuePositions.push(positionAt(text.length))
  return Either.right(parts)
}

const schemeOf = <A>(
  { description, positionAt }: Source,
  { key, value }: Part,
  schemes: Schemes<A>
): Either.Either<Scheme<A>, EndpointError> => {
  const found = key === undefined ? value : `${key}=${value}`
  if (Object.hasOwn(schemes, found)) return Either.right(schemes[found]!)
  const lowerCase = found.toLowerCase()
  const examples = Object.values(schemes).map(({ example }) => example)
  return fail(
    description,
    positionAt(0),
    found === "" ? "no scheme" : `the unknown scheme ${quoted(found)}`,
    Object.hasOwn(schemes, lowerCase)
      ? `${lowerCase} in lower case, as in ${schemes[lowerCase]!.example}`
      : `${oneOf(Object.keys(schemes))}, as in ${oneOf(examples)}`
  )
}

/** Gives each part its key: named ones first, so that a value without a key fills the next place that is still free. */
const assign = (
  { description, positionAt, text }: Source,
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
      const expected = `key=value with ${oneOf(keyword)}, as in ${example} (a colon in a value is written \\:)`
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
    return fail(description, part.valuePositions[0]!, `the ${key} ${quoted(part.value)}`, expected)
  }
  const missing = (key: string, expected: string) =>
    fail(description, positionAt(text.length), `no ${key}`, `${expected}, as in ${example}`)
  const required: Fields["required"] = (key, field) =>
    Either.flatMap(
      optional(key, field),
      (value) => value === undefined ? missing(key, field.expected) : Either.right(value)
    )
  const nested: Fields["description"] = (key, schemes) => {
    const part = given.get(key)
    if (part === undefined) return missing(key, "a description, quoted")
    return parse({ description, text: part.value, positionAt: (index) => part.valuePositions[index]! }, schemes)
  }
  return Either.right({ required, optional, description: nested })
}

const fail = (
  description: string,
  position: number,
  found: string,
  expected: string
): Either.Either<never, EndpointError> => Either.left(new EndpointError({ description, position, found, expected }))

const oneOf = (all: ReadonlyArray<string>): string =>
  all.length < 2 ? all.join() : `${all.slice(0, -1).join(", ")} or ${all.at(-1)}`

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
