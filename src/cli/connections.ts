/**
 * The connections that a serving command has open, and what is said of each on stderr.
 *
 * @internal
 */
import * as Address from "../Address.ts"
import type { CloseReason, Transport, TransportStats } from "../Transport.ts"
import * as Terminal from "./terminal.ts"

/** What a connection can end with: every typed error of the library has a tag and a message. */
export interface Failure {
  readonly _tag: string
  readonly message: string
}

/** As every failure is told: the tag to act upon, the sentence to understand. */
export const describe = ({ _tag, message }: Failure): string => `${_tag}: ${message}`

/** An accepted transport, and for a relay the one that it is joined to. */
export class Connection {
  readonly since = performance.now()
  failure: Failure | undefined = undefined
  /** It was told that this one is open. */
  isAnnounced = false
  private readonly from: Address.Address
  private to: Address.Address
  /** All that have counters and buffers of their own; the accepted one first. */
  private readonly transports: Array<Transport<unknown>>

  constructor(accepted: Transport<unknown>) {
    this.from = accepted.remoteAddress
    this.to = accepted.localAddress
    this.transports = [accepted]
  }

  /** A network layer over the accepted one, with buffers of its own. */
  layered(transport: Transport<unknown>): void {
    this.transports.push(transport)
  }

  /** The other end of a relay. */
  joined(outgoing: Transport<unknown>): void {
    this.to = outgoing.remoteAddress
    this.transports.push(outgoing)
  }

  get label(): string {
    return `${Address.format(this.from)} -> ${Address.format(this.to)}`
  }

  get bytesIn(): number {
    return this.transports[0]!.stats().bytesRead
  }

  get bytesOut(): number {
    return this.transports[0]!.stats().bytesWritten
  }

  get buffered(): number {
    return this.stats.reduce((bytes, { buffered, unread }) => bytes + buffered + unread, 0)
  }

  /** Nobody is in the middle of anything. A transfer rests between two packets as well, so it takes a while to tell. */
  get isIdle(): boolean {
    const restingSince = Date.now() - 100
    return this.stats.every(({ buffered, lastRead, lastWrite, pulling, unread }) =>
      pulling && buffered === 0 && unread === 0 && Math.max(lastRead, lastWrite) <= restingSince
    )
  }

  private get stats(): ReadonlyArray<TransportStats> {
    return this.transports.map((transport) => transport.stats())
  }
}

export class Connections {
  private readonly connections = new Map<Transport<unknown>, Connection>()
  private readonly isVerbose: boolean

  constructor(isVerbose: boolean) {
    this.isVerbose = isVerbose
  }

  get open(): ReadonlyArray<Connection> {
    return Array.from(this.connections.values())
  }

  isIdle(accepted: Transport<unknown>): boolean {
    return this.connections.get(accepted)?.isIdle ?? false
  }

  accepted(accepted: Transport<unknown>): Connection {
    const connection = new Connection(accepted)
    this.connections.set(accepted, connection)
    return connection
  }

  /** Bytes can flow now. */
  opened(connection: Connection): void {
    if (!this.isVerbose) return
    connection.isAnnounced = true
    Terminal.unsafeReport(`open ${connection.label}`)
  }

  /** Nothing is left of it. A failure is told in any case. */
  closed(accepted: Transport<unknown>, reason: CloseReason<Failure>): void {
    const connection = this.connections.get(accepted)!
    this.connections.delete(accepted)
    const { bytesIn, bytesOut, isAnnounced, label } = connection
    const failure = connection.failure ?? (reason._tag === "Lost" ? reason.error : undefined)
    const why = failure === undefined ? whoEnded(reason) : describe(failure)
    const seconds = ((performance.now() - connection.since) / 1000).toFixed(1)
    if (isAnnounced) {
      Terminal.unsafeReport(`close ${label}: ${bytesIn} bytes in, ${bytesOut} bytes out, ${seconds} s: ${why}`)
    } else if (failure !== undefined) {
      Terminal.unsafeReport(`failed ${label}: ${why}`)
    }
  }
}

const whoEnded = (reason: CloseReason<unknown>): string =>
  reason._tag === "Clean" && reason.firstEnded === "local" ? "this side ended first" : "the peer ended first"
