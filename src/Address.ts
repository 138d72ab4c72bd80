/**
 * Where the two ends of a connection are: numeric, canonical, equal by value.
 *
 * An address is what a socket reports and what can be bound or dialled without asking anyone. A name that has to be
 * resolved is not an address; see `Endpoint` for descriptions that may hold one.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import ipaddr from "ipaddr.js"

/**
 * An IP address and a TCP port (Twisted's `IPv4Address` and `IPv6Address`).
 *
 * The host is brought to its one canonical spelling, so that equal addresses are equal values: IPv6 as in RFC 5952
 * section 4, a zone (RFC 4007) kept as it stands, and an IPv4-mapped IPv6 address (`::ffff:192.0.2.1`, RFC 4291 section
 * 2.5.5.2) as the IPv4 address, which is what the other end of a dual-stack connection calls itself.
 *
 * Throws a `RangeError` if the host is no IP address or the port is not an integer from 0 to 65535: that is a bug in
 * the caller. For text from elsewhere there is `parse`, which returns its error.
 *
 * @example
 * ```ts
 * import * as Address from "effect-transport/Address"
 * import * as Equal from "effect/Equal"
 *
 * const address = new Address.TcpAddress({ host: "2001:DB8:0:0::1", port: 443 })
 * console.log(address.host, address.family) // 2001:db8::1 IPv6
 * console.log(`${address}`) // [2001:db8::1]:443
 * console.log(Equal.equals(address, Address.tcp("2001:db8::1", 443))) // true
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export class TcpAddress extends Data.TaggedClass("TcpAddress")<{
  /** IPv4 in four decimal parts, or IPv6 as in RFC 5952 with an optional `%zone`; never a name, never in brackets. */
  readonly host: string
  /** From 0 to 65535. 0 is "any free port" when binding, and "not known" in what a socket reports. */
  readonly port: number
}> {
  constructor(options: { readonly host: string; readonly port: number }) {
    const host = canonicalHost(options.host)
    if (host === undefined) {
      throw new RangeError(
        `The host of a TcpAddress must be an IPv4 or IPv6 address, but is ${JSON.stringify(options.host)}; ` +
          "a name has to be resolved first, as Connector does"
      )
    }
    if (!Number.isInteger(options.port) || options.port < 0 || options.port > 65535) {
      throw new RangeError(`The port of a TcpAddress must be an integer from 0 to 65535, but is ${options.port}`)
    }
    super({ host, port: options.port })
  }

  /** Which protocol the host belongs to. */
  get family(): Family {
    return this.host.includes(":") ? "IPv6" : "IPv4"
  }

  /** The zone of a scoped IPv6 address, such as `eth0` in `fe80::1%eth0` (RFC 4007 section 11). */
  get zone(): string | undefined {
    const percent = this.host.indexOf("%")
    return percent === -1 ? undefined : this.host.slice(percent + 1)
  }

  /** The host without its zone, for what knows none: packets, PROXY headers, blocks of addresses. */
  get hostWithoutZone(): string {
    const percent = this.host.indexOf("%")
    return percent === -1 ? this.host : this.host.slice(0, percent)
  }

  /**
   * As `format` gives it.
   *
   * @since 0.1.0
   */
  override toString(): string {
    return format(this)
  }
}

/**
 * The two IP families, spelt as Node and `getaddrinfo` wrappers spell them.
 *
 * @since 0.1.0
 * @category models
 */
export type Family = "IPv4" | "IPv6"

/**
 * The address of a UNIX-domain socket, unix(7) (Twisted's `UNIXAddress`).
 *
 * Three shapes: a path in the file system; a name in Linux's abstract namespace, with a leading NUL character; and the
 * empty path of a socket that was never bound, which is what a server sees of an ordinary client. A relative path is
 * kept with a leading `./`, so that `x.sock` and `./x.sock` are equal and none looks like anything but a path. How long
 * a path may be depends on the system, and is checked where one is bound, dialled or described.
 *
 * @example
 * ```ts
 * import * as Address from "effect-transport/Address"
 *
 * console.log(`${Address.unix("/run/app.sock")}`) // /run/app.sock
 * console.log(`${Address.unix("app.sock")}`) // ./app.sock
 * console.log(`${Address.unix("\0app")}`) // @app
 * console.log(`${Address.unix("")}`) // (unnamed)
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export class UnixAddress extends Data.TaggedClass("UnixAddress")<{
  /** The path; a leading NUL marks an abstract name, and the empty path is an unnamed socket. */
  readonly path: string
}> {
  constructor(options: { readonly path: string }) {
    super({ path: explicitPath.test(options.path) ? options.path : `./${options.path}` })
  }

  /** Whether this is a name in the abstract namespace: no file, gone with its last socket, Linux only. */
  get isAbstract(): boolean {
    return this.path.startsWith("\0")
  }

  /** Whether this socket was never bound, so that nobody can dial it. */
  get isUnnamed(): boolean {
    return this.path === ""
  }

  /**
   * As `format` gives it.
   *
   * @since 0.1.0
   */
  override toString(): string {
    return format(this)
  }
}

/**
 * An end that has no network address: standard input and output, a child process, an adopted `Duplex` (Twisted's
 * `PipeAddress`). The name is for people, and for telling two ends apart.
 *
 * @since 0.1.0
 * @category models
 */
export class PipeAddress extends Data.TaggedClass("PipeAddress")<{
  /** Any text, such as `stdio` or `process 4711`. */
  readonly name: string
}> {
  /**
   * As `format` gives it.
   *
   * @since 0.1.0
   */
  override toString(): string {
    return format(this)
  }
}

/**
 * One end of a pair of transports in memory.
 *
 * @since 0.1.0
 * @category models
 */
export class MemoryAddress extends Data.TaggedClass("MemoryAddress")<{
  /** Any text, such as `client`. */
  readonly name: string
}> {
  /**
   * As `format` gives it.
   *
   * @since 0.1.0
   */
  override toString(): string {
    return format(this)
  }
}

/**
 * Every address that an end of a transport can have; tell them apart by `_tag`.
 *
 * @since 0.1.0
 * @category models
 */
export type Address = TcpAddress | UnixAddress | PipeAddress | MemoryAddress

/**
 * The text is not an address in the form that `format` gives. Nothing was opened or looked up.
 *
 * @since 0.1.0
 * @category errors
 */
export class AddressInvalid extends Data.TaggedError("AddressInvalid")<{
  /** The whole text that was given. */
  readonly text: string
  /** What should have stood there, with an example. */
  readonly expected: string
}> {
  override get message(): string {
    return `Cannot read ${JSON.stringify(this.text)} as an address: expected ${this.expected}.`
  }
}

/**
 * A TCP address; short for the constructor of `TcpAddress`, and throws what that throws.
 *
 * @example
 * ```ts
 * import * as Address from "effect-transport/Address"
 *
 * console.log(Address.tcp("::ffff:192.0.2.1", 80).host) // 192.0.2.1
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const tcp = (host: string, port: number): TcpAddress => new TcpAddress({ host, port })

/**
 * A UNIX-domain address; a leading NUL makes it abstract, the empty path unnamed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unix = (path: string): UnixAddress => new UnixAddress({ path })

/**
 * The address of an end that is a pipe, a process or an adopted stream.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pipe = (name: string): PipeAddress => new PipeAddress({ name })

/**
 * The address of an end of an in-memory pair.
 *
 * @since 0.1.0
 * @category constructors
 */
export const memory = (name: string): MemoryAddress => new MemoryAddress({ name })

/**
 * The unspecified address of a family with port 0 (RFC 4291 section 2.5.2, RFC 1122 section 3.2.1.3): what stands for a
 * socket that can no longer say its address, because its peer was gone before anyone asked.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unspecified = (family: Family): TcpAddress => tcp(family === "IPv4" ? "0.0.0.0" : "::", 0)

/**
 * Whether it stands for every address of its family, as a listener's may: `0.0.0.0` or `::`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isUnspecified = (address: Address): boolean =>
  address._tag === "TcpAddress" && (address.host === "0.0.0.0" || address.host === "::")

/**
 * Whether a value is an `Address`.
 *
 * @since 0.1.0
 * @category guards
 */
export const isAddress = (value: unknown): value is Address =>
  value instanceof TcpAddress || value instanceof UnixAddress || value instanceof PipeAddress ||
  value instanceof MemoryAddress

/**
 * Whether a host is an IP address literal, so that nothing has to be resolved: four decimal parts without leading zeros
 * for IPv4 (none of inet_aton(3)'s octal, hexadecimal or short forms, which systems read differently), RFC 4291 section
 * 2.2 with an optional `%zone` for IPv6. Brackets belong to `host:port`, not to the host.
 *
 * @example
 * ```ts
 * import * as Address from "effect-transport/Address"
 *
 * console.log(Address.isLiteral("fe80::1%eth0")) // true
 * console.log(Address.isLiteral("127.1")) // false
 * console.log(Address.isLiteral("localhost")) // false
 * ```
 *
 * @since 0.1.0
 * @category guards
 */
export const isLiteral = (host: string): boolean => canonicalHost(host) !== undefined

/**
 * The address as people write it: `127.0.0.1:5000`, `[::1]:5000` (RFC 5952 section 6), `[fe80::1%eth0]:5000`,
 * `/run/x.sock`, `@name` for an abstract name (as ss(8) shows it), `(unnamed)`, and the name alone of a pipe or an end
 * in memory. The same as `toString()`.
 *
 * @since 0.1.0
 * @category formatting
 */
export const format = (address: Address): string => {
  switch (address._tag) {
    case "TcpAddress":
      return address.family === "IPv4" ? `${address.host}:${address.port}` : `[${address.host}]:${address.port}`
    case "UnixAddress":
      return address.isUnnamed ? unnamed : address.isAbstract ? `@${address.path.slice(1)}` : address.path
    case "PipeAddress":
    case "MemoryAddress":
      return address.name
  }
}

/**
 * Reads what `format` writes, for TCP and UNIX-domain addresses. Nothing is resolved: a name is an error here. A path
 * starts with `/`, `./` or `../`, so that a mistyped IP address is not taken for one.
 *
 * @example
 * ```ts
 * import * as Address from "effect-transport/Address"
 * import * as Either from "effect/Either"
 *
 * console.log(Either.map(Address.parse("[::1]:5000"), (address) => address._tag)) // right: TcpAddress
 * console.log(Either.flip(Address.parse("localhost:80")).pipe(Either.map((error) => error.message)))
 * // right: Cannot read "localhost:80" as an address: expected a numeric IP address before the port, …
 * ```
 *
 * @since 0.1.0
 * @category parsing
 */
export const parse = (text: string): Either.Either<Address, AddressInvalid> => {
  const invalid = (expected: string) => Either.left(new AddressInvalid({ text, expected }))
  if (text === unnamed) return Either.right(unix(""))
  if (text.startsWith("@")) return Either.right(unix(`\0${text.slice(1)}`))
  // The empty text and a raw NUL are paths that `format` never writes as they are.
  if (/^[^\0]/.test(text) && explicitPath.test(text)) return Either.right(unix(text))

  const colon = text.lastIndexOf(":")
  if (colon === -1 || text.endsWith("]") || isLiteral(text)) {
    return invalid(
      isLiteral(text.replace(/^\[(.*)\]$/, "$1"))
        ? "a port after the address, as in 127.0.0.1:5000 or [::1]:5000"
        : "an IP address with a port, a path or an abstract name, as in 127.0.0.1:5000, [::1]:5000, /run/x.sock or @x"
    )
  }
  const bracketed = text.startsWith("[") && text[colon - 1] === "]"
  const host = bracketed ? text.slice(1, colon - 1) : text.slice(0, colon)
  const port = text.slice(colon + 1)
  if (!isLiteral(host)) return invalid("a numeric IP address before the port, as in 127.0.0.1:5000 or [::1]:5000")
  if (bracketed !== host.includes(":")) {
    return invalid("brackets around an IPv6 address and around nothing else, as in [::1]:5000 or 127.0.0.1:5000")
  }
  if (!/^(?:0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65535) {
    return invalid("a port from 0 to 65535 after the last colon, as in 127.0.0.1:5000")
  }
  return Either.right(tcp(host, Number(port)))
}

// -----------------------------------------------------------------------------
// private
// -----------------------------------------------------------------------------

const unnamed = "(unnamed)"

// What `UnixAddress` keeps as it stands: unnamed, abstract, absolute, relative with a leading dot, and the pipes that
// stand for UNIX-domain sockets on Windows (`\\.\pipe\x`), which `./` would break.
const explicitPath = /^(?:$|\0|\.{0,2}\/|\\\\)/

const dottedQuad = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/

// Wide, as an interface may have nearly any name; but what would break `[host%zone]:port` or a C string stays out.
const zoneSuffix = /^%[^\s\p{Cc}%/[\]]+$/u

/** The one spelling of an IP literal, or undefined. A server does this per connection, so the common forms go first. */
const canonicalHost = (host: string): string | undefined => {
  if (dottedQuad.test(host)) return host
  // What a dual-stack socket reports of every IPv4 peer.
  if (host.startsWith("::ffff:") && dottedQuad.test(host.slice(7))) return host.slice(7)
  return host.includes(":") ? canonicalIPv6(host) : undefined
}

/**
 * ipaddr.js sees neither zones nor dotted tails here: it knows only alphanumeric zones (`br-lan`, `eth0.100` fail),
 * takes octal and hexadecimal parts in a tail, and reads `::1.2.3.4` as `::ffff:1.2.3.4`, which is another address.
 */
const canonicalIPv6 = (host: string): string | undefined => {
  const percent = host.indexOf("%")
  const zone = percent === -1 ? "" : host.slice(percent)
  const address = percent === -1 ? host : host.slice(0, percent)
  if (zone !== "" && !zoneSuffix.test(zone)) return undefined

  try {
    // Not `isValid` first, which parses as well.
    const parsed = ipaddr.IPv6.parse(withoutDottedTail(address))
    // IPv4 has no zones: one on a mapped address never meant anything.
    return parsed.isIPv4MappedAddress() ? parsed.toIPv4Address().toString() : parsed.toRFC5952String() + zone
  } catch {
    return undefined
  }
}

/** `64:ff9b::192.0.2.1` as `64:ff9b::c000:201` (RFC 4291 section 2.2, form 3); empty, so invalid, if the tail is. */
const withoutDottedTail = (address: string): string => {
  const start = address.lastIndexOf(":") + 1
  const tail = address.slice(start)
  if (!dottedQuad.test(tail)) return tail.includes(".") ? "" : address
  const [a, b, c, d] = tail.split(".").map(Number) as [number, number, number, number]
  return `${address.slice(0, start)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}
