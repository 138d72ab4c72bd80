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
import type * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Address from "./Address.ts"
import { backlog, file, listenPort, mode, noMode, remotePort, timeout } from "./internal/endpointFields.ts"
import type { Field, Fields, Schemes } from "./internal/endpointText.ts"
import { describe, parse, quoted, written } from "./internal/endpointText.ts"

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

interface Dialling {
  /** A name to resolve, as it was written, or an IP literal, in its canonical spelling. */
  readonly host: string
  /** From 1 to 65535. */
  readonly port: number
  /**
   * How long connecting may take, handshake and all, in whole milliseconds, up to a timer's 2147483647; undefined leaves it
   * to others.
   */
  readonly timeout: Duration.Duration | undefined
  /** The IP literal of the local interface to connect from; undefined lets the system choose. */
  readonly bindAddress: string | undefined
}

interface DiallingOptions extends Pick<Dialling, "host" | "port">, Partial<Pick<Dialling, "timeout" | "bindAddress">> {}

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
export class TcpClient extends Data.TaggedClass("TcpClient")<Dialling> {
  constructor(options: DiallingOptions) {
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
export class TlsClient extends Data.TaggedClass("TlsClient")<
  Dialling & {
    /** The path of the certificates to trust, in PEM; undefined trusts the roots that the system or the runtime has. */
    readonly trustRoots: string | undefined
    /** The path of this side's certificate, in PEM; undefined shows none, and goes with an undefined key. */
    readonly certificate: string | undefined
    /** The path of its private key, in PEM. */
    readonly privateKey: string | undefined
    /** Whom the certificate has to be for, if that is not the host; undefined is the host. */
    readonly serverName: string | undefined
  }
> {
  constructor(
    options: DiallingOptions & {
      readonly trustRoots?: string | undefined
      /** With a certificate or a key alone, one file holds both. */
      readonly certificate?: string | undefined
      readonly privateKey?: string | undefined
      readonly serverName?: string | undefined
    }
  ) {
    const { bindAddress, host: dialled, port, timeout } = new TcpClient(options)
    const serverName = valid("serverName", host, options.serverName)
    super({
      host: dialled,
      port,
      timeout,
      bindAddress,
      trustRoots: valid("trustRoots", file, options.trustRoots),
      certificate: valid("certificate", file, options.certificate ?? options.privateKey),
      privateKey: valid("privateKey", file, options.privateKey ?? options.certificate),
      serverName: serverName === dialled ? undefined : serverName
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
  Either.mapLeft(parse(description, serverSchemes), (fault) => new EndpointError({ description, ...fault }))

/**
 * Reads the description of a client.
 *
 * @example
 * ```ts
 * import * as Config from "effect/Config"
 * import * as ConfigError from "effect/ConfigError"
 * import * as Endpoint from "effect-transport/Endpoint"
 * import * as Either from "effect/Either"
 *
 * const endpoint = Either.getOrThrow(Endpoint.parseClient("tcp:example.com:443:timeout=2.5"))
 * console.log(endpoint._tag, `${endpoint.timeout}`) // TcpClient Duration(2s 500ms)
 *
 * // From the configuration of a program, for `NodeEndpoint.client`.
 * export const upstream = Config.mapOrFail(Config.string("UPSTREAM"), (description) =>
 *   Either.mapLeft(Endpoint.parseClient(description), ({ message }) => ConfigError.InvalidData([], message)))
 * ```
 *
 * @since 0.1.0
 * @category parsing
 */
export const parseClient = (description: string): Either.Either<ClientEndpoint, EndpointError> =>
  Either.mapLeft(parse(description, clientSchemes), (fault) => new EndpointError({ description, ...fault }))

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
    case "TcpServer":
      return describe("tcp", [listenPort.write(endpoint.address.port)], listeningKeys(endpoint))
    case "TlsServer": {
      const { address, certificate, privateKey, trustRoots } = endpoint
      const certKey = certificate === privateKey ? undefined : certificate
      const keys = { privateKey, certKey, trustRoots, ...listeningKeys(endpoint) }
      return describe("tls", [listenPort.write(address.port)], keys)
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
      return describe("tcp", [endpoint.host, remotePort.write(endpoint.port)], diallingKeys(endpoint))
    case "TlsClient": {
      const { certificate, host, port, serverName, trustRoots } = endpoint
      const privateKey = endpoint.privateKey === certificate ? undefined : endpoint.privateKey
      const keys = { trustRoots, certificate, privateKey, serverName, ...diallingKeys(endpoint) }
      return describe("tls", [host, remotePort.write(port)], keys)
    }
    case "UnixClient":
      return describe("unix", [unixAddress.write(endpoint.address)], {
        timeout: written(timeout, endpoint.timeout)
      })
  }
}

const listeningKeys = ({ address, backlog: count }: TcpServer | TlsServer) => ({
  interface: address.host === defaultInterface ? undefined : address.host,
  backlog: written(backlog, count)
})

const diallingKeys = ({ bindAddress, timeout: duration }: TcpClient | TlsClient) => ({
  timeout: written(timeout, duration),
  bindAddress
})

/**
 * The client description with which one reaches a listener that is bound to the address, ready to be pasted:
 * `tcp:127.0.0.1:43117`, `tcp:\:\:1:43117`, `unix:/tmp/x.sock`; `tls:127.0.0.1:43117` if the scheme is said to be `tls`. As
 * nobody dials the wildcard, `0.0.0.0` and `::` become the loopback of their family. An address that cannot be dialled at
 * all (a pipe, an end in memory, an unnamed socket, port 0) has no description, and is given as `Address.format` gives it.
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
// fields that hold addresses
// -----------------------------------------------------------------------------

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

/** Of whatever listens on a TCP port. */
const listening = (fields: Fields) =>
  Either.map(
    Either.all({
      port: fields.required("port", listenPort),
      host: fields.optional("interface", literal),
      backlog: fields.optional("backlog", backlog)
    }),
    ({ backlog, host, port }) => ({ address: Address.tcp(host ?? defaultInterface, port), backlog })
  )

const plainServerSchemes: Schemes<TcpServer | TlsServer | UnixServer> = {
  tcp: {
    example: "tcp:8080:interface=127.0.0.1",
    positional: ["port"],
    keyword: ["interface", "backlog"],
    read: (fields) => Either.map(listening(fields), (options) => new TcpServer(options))
  },
  tls: {
    example: "tls:443:privateKey=key.pem:certKey=cert.pem",
    positional: ["port", "privateKey"],
    keyword: ["certKey", "trustRoots", "interface", "backlog"],
    read: (fields) => {
      const own = Either.all({
        privateKey: fields.required("privateKey", file),
        certificate: fields.optional("certKey", file),
        trustRoots: fields.optional("trustRoots", file)
      })
      return Either.zipWith(listening(fields), own, (options, own) => new TlsServer({ ...options, ...own }))
    }
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
    read: (fields) => {
      const options = Either.all({
        server: fields.description("server", plainServerSchemes),
        trusted: fields.optional("trusted", trusted)
      })
      return Either.map(options, (options) => new HaproxyServer(options))
    }
  }
}

/** Of whatever connects to a TCP port. */
const dialling = (fields: Fields) =>
  Either.all({
    host: fields.required("host", host),
    port: fields.required("port", remotePort),
    timeout: fields.optional("timeout", timeout),
    bindAddress: fields.optional("bindAddress", literal)
  })

const clientSchemes: Schemes<ClientEndpoint> = {
  tcp: {
    example: "tcp:example.com:443:timeout=5",
    positional: ["host", "port"],
    keyword: ["timeout", "bindAddress"],
    read: (fields) => Either.map(dialling(fields), (options) => new TcpClient(options))
  },
  tls: {
    example: "tls:example.com:443:timeout=5",
    positional: ["host", "port"],
    keyword: ["trustRoots", "certificate", "privateKey", "serverName", "timeout", "bindAddress"],
    read: (fields) => {
      const own = Either.all({
        trustRoots: fields.optional("trustRoots", file),
        certificate: fields.optional("certificate", file),
        privateKey: fields.optional("privateKey", file),
        serverName: fields.optional("serverName", host)
      })
      return Either.zipWith(dialling(fields), own, (options, own) => new TlsClient({ ...options, ...own }))
    }
  },
  unix: {
    example: "unix:/run/app.sock:timeout=5",
    positional: ["path"],
    keyword: ["timeout"],
    read: (fields) => {
      const options = Either.all({
        address: fields.required("path", unixAddress),
        timeout: fields.optional("timeout", timeout)
      })
      return Either.map(options, (options) => new UnixClient(options))
    }
  }
}
