/**
 * Every failure that opening, listening and holding a connection can have, on one page, and the one table that
 * turns what the operating system reports (code and system call) into one of them.
 *
 * A class per different *reaction* of the caller; whatever only describes (addresses, counters, the errno) is a field.
 * A clean close is not here: it is a value, `Transport.CloseReason`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Address from "./Address.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * Who ended it: this program (`local`), the program at the other end (`peer`), or what lies between (`network`).
 *
 * @since 0.1.0
 * @category models
 */
export type Side = "local" | "peer" | "network"

/**
 * What every lost connection says about itself.
 *
 * - `phase`: `connecting` until it was established, `open` while it was in use, `closing` once this side had asked for a
 *   close.
 * - `code`, `syscall`: as Node reports them (`ECONNRESET`, `read`), `undefined` when the library itself ended it.
 * - `bytesRead`, `bytesWritten`: taken from and handed to the carrier (the kernel, for a socket). Handed over is not
 *   delivered: only an answer of the peer's program proves delivery.
 * - `bytesUnsent`: accepted by `write`, and never handed over.
 *
 * @since 0.1.0
 * @category models
 */
export interface LossDetail {
  readonly side: Side
  readonly phase: "connecting" | "open" | "closing"
  readonly localAddress: Address.Address
  readonly remoteAddress: Address.Address
  readonly code: string | undefined
  readonly syscall: string | undefined
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly bytesUnsent: number
  readonly cause: unknown
}

/**
 * One try of several to reach a name: where, when (milliseconds since the first try began) and why it failed.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectAttempt {
  readonly address: Address.Address
  readonly startedAfter: number
  readonly error: ConnectError
}

/**
 * What every failed connect says about itself. `attempts` lists all tries when a name had several addresses; it is empty
 * for a single one.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectDetail {
  readonly address: Address.Address
  readonly localAddress: Address.Address | undefined
  readonly code: string | undefined
  readonly syscall: string | undefined
  readonly cause: unknown
  readonly attempts: ReadonlyArray<ConnectAttempt>
}

/**
 * What a failed name look-up says about itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResolveDetail {
  readonly host: string
  /** Addresses of this family alone were asked for, as one to bind to asks for its own. */
  readonly family?: Address.Family | undefined
  readonly code: string | undefined
  readonly cause: unknown
}

/**
 * What every failed listen says about itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListenDetail {
  readonly address: Address.Address
  readonly code: string | undefined
  readonly syscall: string | undefined
  readonly cause: unknown
}

const because = (detail: { readonly code: string | undefined; readonly syscall?: string | undefined }): string =>
  detail.code === undefined ? "" : ` (${detail.syscall === undefined ? "" : `${detail.syscall} `}${detail.code})`

const lost = (error: LossDetail, what: string): string =>
  `The connection from ${Address.format(error.localAddress)} to ${Address.format(error.remoteAddress)} ${what}` +
  ` after ${error.bytesRead} bytes read and ${error.bytesWritten} written` +
  (error.bytesUnsent === 0 ? "" : `, with ${error.bytesUnsent} accepted bytes unsent`) +
  `${because(error)}.`

// -----------------------------------------------------------------------------
// connection lost
// -----------------------------------------------------------------------------

/**
 * The peer, or a middlebox in its name, reset the connection (RST, RFC 9293 §3.5.2). Bytes that arrived before are
 * still read; what was written may or may not have been seen. Nothing more can be sent or received. A connect fails with
 * it when the peer accepts and resets before the connection can be used.
 *
 * @since 0.1.0
 * @category connection lost
 */
export class ConnectionReset extends Data.TaggedError("ConnectionReset")<LossDetail> {
  override get message() {
    return lost(this, "was reset by the peer")
  }
}

/**
 * A write found the peer's reading side gone (`EPIPE`): it had closed before. Input that arrived before is still read.
 *
 * @since 0.1.0
 * @category connection lost
 */
export class BrokenPipe extends Data.TaggedError("BrokenPipe")<LossDetail> {
  override get message() {
    return lost(this, "was closed by the peer while bytes were still being sent")
  }
}

/**
 * This side called `abort`, or the Scope that held the transport ended with a failure or an interruption. Buffers
 * are dropped in both directions.
 *
 * @since 0.1.0
 * @category connection lost
 */
export class ConnectionAborted extends Data.TaggedError("ConnectionAborted")<LossDetail> {
  override get message() {
    return lost(this, "was aborted by this side")
  }
}

/**
 * A read after this side called `close`, or while it did: the input was given up before it had ended. Bytes that were
 * accepted for writing are still being sent.
 *
 * @since 0.1.0
 * @category connection lost
 */
export class ConnectionClosed extends Data.TaggedError("ConnectionClosed")<LossDetail> {
  override get message() {
    return lost(this, "was closed by this side, which reads no further")
  }
}

/**
 * The kernel gave up: the peer acknowledged nothing for too long, or keep-alive probes stayed unanswered (`ETIMEDOUT`).
 *
 * @since 0.1.0
 * @category connection lost
 */
export class ConnectionTimedOut extends Data.TaggedError("ConnectionTimedOut")<LossDetail> {
  override get message() {
    return lost(this, "timed out: the peer stopped acknowledging")
  }
}

/**
 * A graceful close did not finish within `closeTimeout`; the connection was aborted and `bytesUnsent` are lost.
 *
 * @since 0.1.0
 * @category connection lost
 */
export class CloseTimeout extends Data.TaggedError("CloseTimeout")<LossDetail> {
  override get message() {
    return lost(this, "could not be closed in time and was aborted: the peer does not read")
  }
}

/**
 * The route to the peer went away while connected (`EHOSTUNREACH`, `ENETUNREACH`, `ENETDOWN`).
 *
 * @since 0.1.0
 * @category connection lost
 */
export class PeerUnreachable extends Data.TaggedError("PeerUnreachable")<LossDetail> {
  override get message() {
    return lost(this, "was lost: the peer can no longer be reached")
  }
}

/**
 * Any other failure of the carrier; `code` and `cause` tell.
 *
 * @since 0.1.0
 * @category connection lost
 */
export class ConnectionFailed extends Data.TaggedError("ConnectionFailed")<LossDetail> {
  override get message() {
    return lost(this, "failed")
  }
}

/**
 * Everything that a read or a write on an open connection can fail with by itself. Network layers add their own.
 *
 * @since 0.1.0
 * @category connection lost
 */
export type ConnectionLost =
  | ConnectionReset
  | BrokenPipe
  | ConnectionAborted
  | ConnectionClosed
  | ConnectionTimedOut
  | CloseTimeout
  | PeerUnreachable
  | ConnectionFailed

/** Those that a system's error can be. */
const lossClasses = {
  ConnectionReset,
  BrokenPipe,
  ConnectionTimedOut,
  PeerUnreachable,
  ConnectionFailed
} as const

const losses: { readonly [Loss in ConnectionLost as Loss["_tag"]]: new(detail: LossDetail) => Loss } = {
  ...lossClasses,
  ConnectionAborted,
  ConnectionClosed,
  CloseTimeout
}

/**
 * Whether it is a loss, of whatever kind: for who reacts to all of them in the same way, with `Effect.catchIf` or as the
 * `while` of a retry. A connect that fails with `ConnectionReset` has lost its connection, too: its `phase` is `connecting`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as ConnectionError from "effect-transport/ConnectionError"
 * import type { Transport } from "effect-transport/Transport"
 *
 * // An echo to which it makes no difference how its peer leaves.
 * export const echo = (transport: Transport) =>
 *   Effect.catchIf(transport.forEach(transport.write), ConnectionError.isConnectionLost, () => Effect.void)
 * ```
 *
 * @since 0.1.0
 * @category connection lost
 */
export const isConnectionLost = (u: unknown): u is ConnectionLost =>
  Object.values(losses).some((Loss) => u instanceof Loss)

/**
 * A write after this side ended its writing, by `closeWrite`, `close` or the Scope. Nothing of it was accepted; reading
 * is not affected.
 *
 * @since 0.1.0
 * @category connection lost
 */
export class WriteAfterEnd extends Data.TaggedError("WriteAfterEnd")<{
  readonly localAddress: Address.Address
  readonly remoteAddress: Address.Address
}> {
  override get message() {
    return `Cannot write to ${Address.format(this.remoteAddress)}: this side has already ended its writing. ` +
      `Write before closeWrite or close.`
  }
}

// -----------------------------------------------------------------------------
// connect
// -----------------------------------------------------------------------------

/**
 * What the system calls EINVAL: an IPv6 address that only one link knows, without the interface to that link, or with one
 * that is not there (RFC 4007 section 6).
 */
const ofNoLink = ({ address, code }: ConnectDetail | ListenDetail): string | undefined =>
  code === "EINVAL" && address._tag === "TcpAddress" && address.family === "IPv6"
    ? "an address of one link needs an interface that this machine has, as in fe80::1%eth0"
    : undefined

const cannotConnect = (error: ConnectDetail, why: string): string =>
  `Cannot connect to ${Address.format(error.address)}: ${why}${because(error)}.`

/**
 * The host answered that nobody listens there. Retrying helps once the server is up.
 *
 * @since 0.1.0
 * @category connect errors
 */
export class ConnectionRefused extends Data.TaggedError("ConnectionRefused")<ConnectDetail> {
  override get message() {
    return cannotConnect(this, "nothing listens there; check the address and that the server is running")
  }
}

/**
 * No connection in time. `phase` says what took too long; `duration` is the deadline, in a list of `attempts` how long the
 * unfinished one had, and `undefined` when the kernel itself gave up (`ETIMEDOUT`).
 *
 * @since 0.1.0
 * @category connect errors
 */
export class ConnectTimeout extends Data.TaggedError("ConnectTimeout")<{
  readonly phase: "resolve" | "connect" | "handshake"
  readonly target: string
  readonly duration: Duration.Duration | undefined
  readonly code: string | undefined
  readonly cause: unknown
  readonly attempts: ReadonlyArray<ConnectAttempt>
}> {
  override get message() {
    const what = { resolve: "resolving the name", connect: "connecting", handshake: "the handshake" }[this.phase]
    return `Cannot connect to ${this.target}: ${what} took too long${because(this)}.`
  }
}

/**
 * The name does not exist, or has no address of a family that was asked for.
 *
 * @since 0.1.0
 * @category connect errors
 */
export class HostNotFound extends Data.TaggedError("HostNotFound")<ResolveDetail> {
  override get message() {
    const address = this.family === undefined ? "address" : `${this.family} address`
    return `Cannot find the host "${this.host}": no ${address} is known for this name${because(this)}.`
  }
}

/**
 * The name service did not answer (`EAI_AGAIN`, `ETIMEOUT`), or could not be asked (`ENOMEM`). The name may well exist: retry
 * later.
 *
 * @since 0.1.0
 * @category connect errors
 */
export class ResolverUnavailable extends Data.TaggedError("ResolverUnavailable")<ResolveDetail> {
  override get message() {
    return `Cannot look up the host "${this.host}": the name service gives no answer, try again later${because(this)}.`
  }
}

/**
 * A router reports that the host cannot be reached, or the local network got no answer for it.
 *
 * @since 0.1.0
 * @category connect errors
 */
export class HostUnreachable extends Data.TaggedError("HostUnreachable")<ConnectDetail> {
  override get message() {
    return cannotConnect(this, "the host cannot be reached")
  }
}

/**
 * This machine has no route to that network, often because it has no address of that family.
 *
 * @since 0.1.0
 * @category connect errors
 */
export class NetworkUnreachable extends Data.TaggedError("NetworkUnreachable")<ConnectDetail> {
  override get message() {
    return cannotConnect(this, "this machine has no route to that network")
  }
}

/**
 * The local address to connect from cannot be bound: in use, or not this machine's. The remote side is not at fault.
 *
 * @since 0.1.0
 * @category connect errors
 */
export class BindFailed extends Data.TaggedError("BindFailed")<ConnectDetail> {
  override get message() {
    const from = this.localAddress === undefined ? "the local address" : Address.format(this.localAddress)
    return cannotConnect(this, `${from} cannot be bound; it is in use or does not belong to this machine`)
  }
}

/**
 * A connect that failed in a way that no other class names; `code` and `cause` tell.
 *
 * @since 0.1.0
 * @category connect errors
 */
export class ConnectFailed extends Data.TaggedError("ConnectFailed")<ConnectDetail> {
  override get message() {
    return cannotConnect(this, ofNoLink(this) ?? "the attempt failed")
  }
}

// -----------------------------------------------------------------------------
// connect and listen
// -----------------------------------------------------------------------------

/**
 * No socket file at this path (connect), or no such directory (listen).
 *
 * @since 0.1.0
 * @category connect and listen errors
 */
export class PathNotFound extends Data.TaggedError("PathNotFound")<ListenDetail> {
  override get message() {
    return `There is no ${Address.format(this.address)}, or its directory does not exist${because(this)}.`
  }
}

/**
 * The system does not permit it: a privileged port, a socket file without write permission, a firewall rule.
 *
 * @since 0.1.0
 * @category connect and listen errors
 */
export class PermissionDenied extends Data.TaggedError("PermissionDenied")<ListenDetail> {
  override get message() {
    return `Permission denied for ${Address.format(this.address)}${because(this)}.`
  }
}

/**
 * The path does not fit into `sockaddr_un` (unix(7): 108 bytes with the terminating NUL). Node would truncate it silently.
 *
 * @since 0.1.0
 * @category connect and listen errors
 */
export class PathTooLong extends Data.TaggedError("PathTooLong")<{
  readonly address: Address.Address
  /** In bytes of UTF-8. */
  readonly length: number
  /** In bytes of UTF-8. */
  readonly maxLength: number
}> {
  override get message() {
    return `The socket path ${Address.format(this.address)} has ${this.length} bytes, and at most ${this.maxLength} ` +
      `fit into a socket address. Use a shorter path.`
  }
}

/**
 * The process or the system is out of descriptors (`EMFILE`, `ENFILE`). Raise the limit or close connections.
 *
 * @since 0.1.0
 * @category connect and listen errors
 */
export class TooManyOpenFiles extends Data.TaggedError("TooManyOpenFiles")<
  Omit<ListenDetail, "address"> & {
    /** `undefined` when it was a look-up of `host` that needed one. */
    readonly address: Address.Address | undefined
    readonly host?: string | undefined
  }
> {
  override get message() {
    const what = this.address === undefined ? `a look-up of the host "${this.host}"` : Address.format(this.address)
    return `No descriptor is left for ${what}; raise the limit (ulimit -n) or close connections${because(this)}.`
  }
}

/**
 * The carrier cannot do this kind of address: a TCP network asked for an in-memory address, and the like.
 *
 * @since 0.1.0
 * @category connect and listen errors
 */
export class AddressUnsupported extends Data.TaggedError("AddressUnsupported")<ListenDetail> {
  override get message() {
    return `This network cannot use the address ${Address.format(this.address)}${because(this)}.`
  }
}

/**
 * Everything that looking up a name can fail with.
 *
 * @since 0.1.0
 * @category connect errors
 */
export type ResolveError = HostNotFound | ResolverUnavailable | TooManyOpenFiles

/**
 * Everything that opening a connection can fail with.
 *
 * @since 0.1.0
 * @category connect errors
 */
export type ConnectError =
  | ResolveError
  | ConnectionRefused
  | ConnectTimeout
  | HostUnreachable
  | NetworkUnreachable
  | ConnectionReset
  | BindFailed
  | ConnectFailed
  | PathNotFound
  | PathTooLong
  | PermissionDenied
  | AddressUnsupported

// -----------------------------------------------------------------------------
// listen
// -----------------------------------------------------------------------------

/**
 * Somebody listens there already. For a UNIX path: a live server answered, or the path is not a socket.
 *
 * @since 0.1.0
 * @category listen errors
 */
export class AddressInUse extends Data.TaggedError("AddressInUse")<ListenDetail> {
  override get message() {
    return `Cannot listen on ${Address.format(this.address)}: it is in use; choose another or stop what uses it` +
      `${because(this)}.`
  }
}

/**
 * The address does not belong to this machine.
 *
 * @since 0.1.0
 * @category listen errors
 */
export class AddressNotAvailable extends Data.TaggedError("AddressNotAvailable")<ListenDetail> {
  override get message() {
    return `Cannot listen on ${Address.format(this.address)}: this machine has no such address${because(this)}.`
  }
}

/**
 * The descriptor to adopt is not open, or not a socket that listens.
 *
 * @since 0.1.0
 * @category listen errors
 */
export class InvalidDescriptor extends Data.TaggedError("InvalidDescriptor")<{
  readonly fd: number
  readonly code: string | undefined
  readonly cause: unknown
}> {
  override get message() {
    return `Cannot listen on descriptor ${this.fd}: it is not an open, listening socket${because(this)}.`
  }
}

/**
 * A listen that failed in a way that no other class names; `code` and `cause` tell.
 *
 * @since 0.1.0
 * @category listen errors
 */
export class ListenFailed extends Data.TaggedError("ListenFailed")<ListenDetail> {
  override get message() {
    const why = ofNoLink(this)
    return `Cannot listen on ${Address.format(this.address)}${why === undefined ? "" : `: ${why}`}${because(this)}.`
  }
}

/**
 * Everything that opening a listener can fail with.
 *
 * @since 0.1.0
 * @category listen errors
 */
export type ListenError =
  | AddressInUse
  | AddressNotAvailable
  | PathNotFound
  | PathTooLong
  | PermissionDenied
  | TooManyOpenFiles
  | AddressUnsupported
  | InvalidDescriptor
  | ListenFailed

/**
 * The listener accepts no more: it was closed. Connections that it accepted before are not affected.
 *
 * @since 0.1.0
 * @category listen errors
 */
export class ListenerClosed extends Data.TaggedError("ListenerClosed")<{ readonly address: Address.Address }> {
  override get message() {
    return `The listener on ${Address.format(this.address)} is closed.`
  }
}

// -----------------------------------------------------------------------------
// the table
// -----------------------------------------------------------------------------

/**
 * What a driver knows of a failure of the operating system or of Node.
 *
 * @since 0.1.0
 * @category errno table
 */
export interface SystemFailure {
  readonly code: string | undefined
  readonly syscall: string | undefined
  readonly cause: unknown
}

/**
 * The facts of any thrown value, as far as it has them: Node's errors carry `code` and `syscall`.
 *
 * @since 0.1.0
 * @category errno table
 */
export const systemFailure = (cause: unknown): SystemFailure => {
  const { code, syscall } = (typeof cause === "object" && cause !== null ? cause : {}) as Record<string, unknown>
  return {
    code: typeof code === "string" ? code : undefined,
    syscall: typeof syscall === "string" ? syscall : undefined,
    cause
  }
}

const connectClasses = {
  ConnectionRefused,
  HostUnreachable,
  NetworkUnreachable,
  BindFailed,
  ConnectFailed,
  PathNotFound,
  PermissionDenied,
  TooManyOpenFiles,
  AddressUnsupported
} as const

const resolveClasses = { HostNotFound, ResolverUnavailable } as const

const listenClasses = {
  AddressInUse,
  AddressNotAvailable,
  PathNotFound,
  PermissionDenied,
  TooManyOpenFiles,
  AddressUnsupported,
  ListenFailed
} as const

/**
 * One row: while doing `operation`, this `code` of this `syscall` (`"*"`: of any other) is that error.
 *
 * @since 0.1.0
 * @category errno table
 */
export type ErrnoRow =
  & { readonly code: string; readonly syscall: string }
  & (
    | { readonly operation: "lost"; readonly tag: keyof typeof lossClasses; readonly side: Side }
    | {
      readonly operation: "connect"
      readonly tag: keyof typeof connectClasses | "ConnectTimeout" | "ConnectionReset"
    }
    | { readonly operation: "resolve"; readonly tag: ResolveError["_tag"] }
    | { readonly operation: "listen"; readonly tag: keyof typeof listenClasses }
  )

const row = (
  operation: Exclude<ErrnoRow["operation"], "lost">,
  code: string,
  syscall: string,
  tag: Exclude<ErrnoRow, { operation: "lost" }>["tag"]
): ErrnoRow => ({ operation, code, syscall, tag }) as ErrnoRow

const lossRow = (code: string, tag: keyof typeof lossClasses, side: Side): ErrnoRow => ({
  operation: "lost",
  code,
  syscall: "*",
  tag,
  side
})

/**
 * The table (operation, code, system call) → error: connect(2), listen(2), bind(2), tcp(7), getaddrinfo(3), and
 * Node's own codes for streams. What is not listed becomes `ConnectionFailed`, `ConnectFailed`, `ListenFailed` and
 * keeps its code.
 *
 * @since 0.1.0
 * @category errno table
 */
export const errnoTable: ReadonlyArray<ErrnoRow> = [
  lossRow("ECONNRESET", "ConnectionReset", "peer"),
  lossRow("ECONNABORTED", "ConnectionReset", "network"),
  lossRow("EPIPE", "BrokenPipe", "peer"),
  lossRow("ENOTCONN", "BrokenPipe", "peer"),
  // A Duplex that closed without ending first.
  lossRow("ERR_STREAM_PREMATURE_CLOSE", "ConnectionReset", "peer"),
  lossRow("ETIMEDOUT", "ConnectionTimedOut", "network"),
  lossRow("EHOSTUNREACH", "PeerUnreachable", "network"),
  lossRow("EHOSTDOWN", "PeerUnreachable", "network"),
  lossRow("ENETUNREACH", "PeerUnreachable", "network"),
  lossRow("ENETDOWN", "PeerUnreachable", "network"),
  lossRow("ENETRESET", "PeerUnreachable", "network"),

  row("connect", "EADDRINUSE", "bind", "BindFailed"),
  row("connect", "EADDRNOTAVAIL", "bind", "BindFailed"),
  row("connect", "EINVAL", "bind", "BindFailed"),
  row("connect", "EACCES", "bind", "BindFailed"),
  // connect(2): with a local port given, the four-tuple exists already (EADDRINUSE); no ephemeral port is left
  // (EADDRNOTAVAIL). Node names the system call `connect` for both, also when the address to bind is not ours.
  row("connect", "EADDRINUSE", "*", "BindFailed"),
  row("connect", "EADDRNOTAVAIL", "*", "BindFailed"),
  row("connect", "ECONNREFUSED", "*", "ConnectionRefused"),
  row("connect", "ETIMEDOUT", "*", "ConnectTimeout"),
  row("connect", "EHOSTUNREACH", "*", "HostUnreachable"),
  row("connect", "EHOSTDOWN", "*", "HostUnreachable"),
  row("connect", "ENETUNREACH", "*", "NetworkUnreachable"),
  row("connect", "ENETDOWN", "*", "NetworkUnreachable"),
  row("connect", "ECONNRESET", "*", "ConnectionReset"),
  row("connect", "ECONNABORTED", "*", "ConnectionReset"),
  row("connect", "EPIPE", "*", "ConnectionReset"),
  row("connect", "ENOENT", "*", "PathNotFound"),
  row("connect", "ENOTDIR", "*", "PathNotFound"),
  row("connect", "EACCES", "*", "PermissionDenied"),
  row("connect", "EPERM", "*", "PermissionDenied"),
  row("connect", "EMFILE", "*", "TooManyOpenFiles"),
  row("connect", "ENFILE", "*", "TooManyOpenFiles"),
  row("connect", "EAFNOSUPPORT", "*", "AddressUnsupported"),
  // A full backlog of a UNIX listener (unix(7)): nothing waits, the connect is turned away.
  row("connect", "EAGAIN", "*", "ConnectionRefused"),

  row("resolve", "ENOTFOUND", "*", "HostNotFound"),
  row("resolve", "ENODATA", "*", "HostNotFound"),
  row("resolve", "EAI_NONAME", "*", "HostNotFound"),
  row("resolve", "EAI_NODATA", "*", "HostNotFound"),
  // The name has addresses, of the other family.
  row("resolve", "EAI_ADDRFAMILY", "*", "HostNotFound"),
  row("resolve", "ERR_INVALID_ARG_VALUE", "*", "HostNotFound"),
  // libuv's word for what cannot be a name: too long, or with a NUL in it.
  row("resolve", "EINVAL", "*", "HostNotFound"),
  row("resolve", "EAI_AGAIN", "*", "ResolverUnavailable"),
  row("resolve", "EAI_FAIL", "*", "ResolverUnavailable"),
  row("resolve", "ETIMEOUT", "*", "ResolverUnavailable"),
  row("resolve", "ESERVFAIL", "*", "ResolverUnavailable"),
  row("resolve", "EREFUSED", "*", "ResolverUnavailable"),
  row("resolve", "EMFILE", "*", "TooManyOpenFiles"),
  row("resolve", "ENFILE", "*", "TooManyOpenFiles"),

  row("listen", "EADDRINUSE", "*", "AddressInUse"),
  row("listen", "EADDRNOTAVAIL", "*", "AddressNotAvailable"),
  row("listen", "EACCES", "*", "PermissionDenied"),
  row("listen", "EPERM", "*", "PermissionDenied"),
  row("listen", "EROFS", "*", "PermissionDenied"),
  row("listen", "ENOENT", "*", "PathNotFound"),
  row("listen", "ENOTDIR", "*", "PathNotFound"),
  row("listen", "EMFILE", "*", "TooManyOpenFiles"),
  row("listen", "ENFILE", "*", "TooManyOpenFiles"),
  row("listen", "EAFNOSUPPORT", "*", "AddressUnsupported")
]

const rows = new Map(errnoTable.map((entry) => [`${entry.operation} ${entry.code} ${entry.syscall}`, entry]))

const find = <Operation extends ErrnoRow["operation"]>(
  operation: Operation,
  { code, syscall }: SystemFailure
): Extract<ErrnoRow, { operation: Operation }> | undefined =>
  (rows.get(`${operation} ${code} ${syscall}`) ?? rows.get(`${operation} ${code} *`)) as
    | Extract<ErrnoRow, { operation: Operation }>
    | undefined

/**
 * The error for a connection that the system ended. Whatever the table does not name is `ConnectionFailed`.
 *
 * @since 0.1.0
 * @category errno table
 */
export const fromLoss = (
  failure: SystemFailure,
  detail: Omit<LossDetail, "side" | keyof SystemFailure>
): ConnectionLost => {
  const entry = find("lost", failure)
  return withoutStack(() =>
    new lossClasses[entry?.tag ?? "ConnectionFailed"]({
      side: entry?.side ?? "network",
      phase: detail.phase,
      localAddress: detail.localAddress,
      remoteAddress: detail.remoteAddress,
      code: failure.code,
      syscall: failure.syscall,
      bytesRead: detail.bytesRead,
      bytesWritten: detail.bytesWritten,
      bytesUnsent: detail.bytesUnsent,
      cause: failure.cause
    })
  )
}

/**
 * An error that the event loop brings has no stack worth its price: it would show this library, not who uses it, and cost
 * 7 µs for every connection that a peer resets.
 */
const withoutStack = <A extends Error>(make: () => A): A => {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const error = make()
  Error.stackTraceLimit = stackTraceLimit
  return error
}

/** The local address that goes with a remote one, before anybody could say it. */
const unknownLocal = (remote: Address.Address): Address.Address =>
  remote._tag === "TcpAddress" ? Address.unspecified(remote.family) : Address.unix("")

/**
 * The error for a connect that the system refused. Whatever the table does not name is `ConnectFailed`.
 *
 * @since 0.1.0
 * @category errno table
 */
export const fromConnectFailure = (
  failure: SystemFailure,
  detail: { readonly address: Address.Address; readonly localAddress: Address.Address | undefined }
): ConnectError => {
  const tag = find("connect", failure)?.tag ?? "ConnectFailed"
  switch (tag) {
    case "ConnectTimeout":
      return new ConnectTimeout({
        phase: "connect",
        target: Address.format(detail.address),
        duration: undefined,
        code: failure.code,
        cause: failure.cause,
        attempts: []
      })
    case "ConnectionReset":
      return new ConnectionReset({
        ...failure,
        side: "peer",
        phase: "connecting",
        localAddress: detail.localAddress ?? unknownLocal(detail.address),
        remoteAddress: detail.address,
        bytesRead: 0,
        bytesWritten: 0,
        bytesUnsent: 0
      })
    default:
      return new connectClasses[tag]({ ...detail, ...failure, attempts: [] })
  }
}

/**
 * The error for a name that was not resolved. Whatever the table does not name is `ResolverUnavailable`.
 *
 * @since 0.1.0
 * @category errno table
 */
export const fromResolveFailure = (
  failure: SystemFailure,
  host: string,
  family?: Address.Family
): ResolveError => {
  const tag = find("resolve", failure)?.tag ?? "ResolverUnavailable"
  return tag === "TooManyOpenFiles"
    ? new TooManyOpenFiles({ ...failure, address: undefined, host })
    : new resolveClasses[tag]({ host, family, code: failure.code, cause: failure.cause })
}

/**
 * The error for a listen that the system refused. Whatever the table does not name is `ListenFailed`.
 *
 * @since 0.1.0
 * @category errno table
 */
export const fromListenFailure = (failure: SystemFailure, address: Address.Address): ListenError =>
  new listenClasses[find("listen", failure)?.tag ?? "ListenFailed"]({ ...failure, address })
