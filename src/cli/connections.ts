/**
 * The connections that a serving command has open, and what is said of each on stderr.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Address from "../Address.ts"
import { taken } from "../internal/passed.ts"
import type { CloseReason, Transport, TransportStats } from "../Transport.ts"
import { advice } from "./advice.ts"
import * as Terminal from "./terminal.ts"

/** What a connection can end with: every typed error of the library has a tag and a message. */
export interface Failure {
  readonly _tag: string
  readonly message: string
}

/** As every failure is told: the tag to act upon, the sentence to understand, and perhaps what to try. */
export const describe = (failure: Failure): string =>
  [`${failure._tag}: ${failure.message}`, advice(failure) ?? []].flat().join(" ")

/** An accepted transport, and for a relay the one that it is joined to. */
export class Connection {
  readonly since = performance.now()
  failure: Failure | undefined = undefined
  /** Bytes could flow. */
  isOpen = false
  private from: Address.Address
  private to: Address.Address
  private count: () => TransportStats
  private readonly accepted: Transport<Failure>
  /** Read before the first byte of the peer's own: a PROXY header. */
  private before = 0
  /** Suspends until it is over. */
  private over: Effect.Effect<CloseReason<Failure>>
  /** Of all that have buffers of their own. */
  private readonly stats = new Set<() => TransportStats>()

  constructor(accepted: Transport<Failure>) {
    this.accepted = accepted
    this.from = accepted.remoteAddress
    this.to = accepted.localAddress
    this.count = accepted.stats
    this.over = accepted.closed
    this.stats.add(accepted.stats)
  }

  /** Whose it is, as a proxy has told, and what it sends when TLS is taken off. */
  known(transport: Transport<Failure>): void {
    this.from = transport.remoteAddress
    this.to = transport.localAddress
    this.before = taken(transport.stats())
    this.count = transport.stats
    this.over = Effect.zipRight(this.over, transport.closed)
    this.buffers(transport)
  }

  /** One that is on the way of the bytes; without buffers of its own it has the counters of its carrier. */
  buffers(transport: Transport<unknown>): void {
    this.stats.add(transport.stats)
  }

  /** The other end of a relay. */
  joined(outgoing: Transport<unknown>): void {
    this.to = outgoing.remoteAddress
    this.buffers(outgoing)
  }

  /** Suspends until nothing is left of it. */
  get closed(): Effect.Effect<CloseReason<Failure>> {
    return this.over
  }

  get label(): string {
    return Terminal.visible(`${Address.format(this.from)} -> ${Address.format(this.to)}`)
  }

  get bytesIn(): number {
    return this.count().bytesRead - this.before
  }

  get bytesOut(): number {
    return this.count().bytesWritten
  }

  /** Whether anything has passed. */
  get isUsed(): boolean {
    return this.isOpen && this.bytesIn + this.bytesOut > 0
  }

  /** Its peer has ended without a byte, not even one of a handshake or of a header. */
  get isMute(): boolean {
    const { bytesRead, peerEnded } = this.accepted.stats()
    return !this.isOpen && peerEnded && bytesRead === 0
  }

  get buffered(): number {
    return this.now.reduce((bytes, { buffered, unread }) => bytes + buffered + unread, 0)
  }

  /** Nobody is in the middle of anything. A transfer rests between two packets as well, so it takes a while to tell. */
  get isIdle(): boolean {
    const restingSince = Date.now() - 100
    return this.now.every(({ buffered, lastRead, lastWrite, pulling, unread }) =>
      pulling && buffered === 0 && unread === 0 && Math.max(lastRead, lastWrite) <= restingSince
    )
  }

  private get now(): ReadonlyArray<TransportStats> {
    return Array.from(this.stats, (stats) => stats())
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

  accepted(accepted: Transport<Failure>): Connection {
    const connection = new Connection(accepted)
    this.connections.set(accepted, connection)
    return connection
  }

  /** Bytes can flow now. */
  opened(connection: Connection): void {
    connection.isOpen = true
    if (this.isVerbose) Terminal.unsafeReport(`open ${connection.label}`)
  }

  /** Nothing is left of it. A failure is told in any case, but for those of every day. */
  closed(accepted: Transport<unknown>, reason: CloseReason<Failure>): void {
    const connection = this.connections.get(accepted)!
    this.connections.delete(accepted)
    const { bytesIn, bytesOut, isOpen, label } = connection
    const failure = connection.failure ?? (reason._tag === "Lost" ? reason.error : undefined)
    const why = failure === undefined ? whoEnded(reason) : describe(failure)
    const seconds = ((performance.now() - connection.since) / 1000).toFixed(1)
    if (this.isVerbose && isOpen) {
      Terminal.unsafeReport(`close ${label}: ${bytesIn} bytes in, ${bytesOut} bytes out, ${seconds} s: ${why}`)
    } else if (failure !== undefined && (this.isVerbose || !isEveryday(failure, reason, connection))) {
      Terminal.unsafeReport(`failed ${label}: ${why}`)
    }
  }
}

/** One too many; and who has gone before anything passed, by a reset or an end, as the checks of a load balancer do. */
const isEveryday = ({ _tag }: Failure, reason: CloseReason<Failure>, { isMute, isUsed }: Connection): boolean =>
  _tag === "TooManyConnections" || isMute ||
  (_tag === "ConnectionReset" && reason._tag === "Lost" && reason.error._tag === _tag && !isUsed)

const whoEnded = (reason: CloseReason<unknown>): string =>
  reason._tag === "Clean" && reason.firstEnded === "local" ? "this side ended first" : "the peer ended first"
