/**
 * A simulated host: its addresses, ports, descriptors, listeners and connections.
 *
 * @internal
 */
import * as Address from "../../../Address.ts"
import type { SystemFailure } from "../../../ConnectionError.ts"
import type { Agenda } from "../../../internal/agenda.ts"
import type { Segment } from "./segment.ts"
import { resetFor, tuple } from "./segment.ts"
import type { Kernel } from "./tcp.ts"
import { failure, TcpConnection } from "./tcp.ts"

export interface Settings {
  readonly name: string
  readonly addresses: ReadonlyArray<string>
  readonly mss: number
  /** From the host to itself. */
  readonly loopbackMss: number
  readonly sendBuffer: number
  readonly receiveBuffer: number
  readonly ephemeralPorts: readonly [first: number, last: number]
  readonly maxDescriptors: number
}

export interface Bound {
  readonly address: Address.TcpAddress
  readonly backlog: number
  readonly ipv6Only: boolean
  /** Handshakes that are not done. */
  readonly embryos: Set<TcpConnection>
  readonly accept: (connection: TcpConnection) => void
}

export const isLoopback = (host: string): boolean => host === "::1" || host.startsWith("127.")

export class Host implements Kernel {
  readonly settings: Settings
  readonly name: string
  readonly agenda: Agenda
  readonly transmit: (segment: Segment) => void
  readonly initialSequence: () => number
  up = true
  /** More than the least of these it does not have, by rules. */
  readonly descriptorLimits = new Map<unknown, number>()
  private readonly listeners = new Map<string, Bound>()
  private readonly connections = new Map<string, TcpConnection>()
  /** Connections whose port the kernel chose: without SO_REUSEADDR, nobody else binds it. */
  private readonly unbound = new WeakSet<TcpConnection>()
  private descriptors = 0
  private nextPort: number

  constructor(
    settings: Settings,
    agenda: Agenda,
    wire: { readonly transmit: (host: Host, segment: Segment) => void; readonly initialSequence: () => number }
  ) {
    this.settings = settings
    this.name = settings.name
    this.agenda = agenda
    this.nextPort = settings.ephemeralPorts[0]
    this.transmit = (segment) => wire.transmit(this, segment)
    this.initialSequence = wire.initialSequence
  }

  mssTo({ host }: Address.TcpAddress): number {
    return this.owns(host) ? this.settings.loopbackMss : this.settings.mss
  }

  get sendBuffer() {
    return this.settings.sendBuffer
  }

  get receiveBuffer() {
    return this.settings.receiveBuffer
  }

  owns(host: string): boolean {
    return isLoopback(host) || this.settings.addresses.includes(host)
  }

  // --- descriptors -----------------------------------------------------------------

  takeDescriptor(): boolean {
    if (this.descriptors >= Math.min(this.settings.maxDescriptors, ...this.descriptorLimits.values())) return false
    this.descriptors++
    return true
  }

  readonly freeDescriptor = (): void => {
    this.descriptors--
  }

  // --- listening -------------------------------------------------------------------

  listen(
    asked: Address.TcpAddress,
    options: Pick<Bound, "backlog" | "ipv6Only" | "accept">
  ): Bound | SystemFailure {
    if (!this.up) return failure("ENETDOWN", "listen")
    if (!Address.isUnspecified(asked) && !this.owns(asked.host)) return failure("EADDRNOTAVAIL", "listen")
    const isFree = (port: number) => !this.isBound(asked.host, port, options.ipv6Only)
    const port = asked.port === 0 ? this.freePort(isFree) : asked.port
    if (port === undefined || !isFree(port)) return failure("EADDRINUSE", "listen")
    if (!this.takeDescriptor()) return failure("EMFILE", "listen")
    const bound: Bound = { ...options, address: Address.tcp(asked.host, port), embryos: new Set() }
    this.listeners.set(`${asked.host}|${port}`, bound)
    return bound
  }

  unlisten(bound: Bound): void {
    const key = `${bound.address.host}|${bound.address.port}`
    if (this.listeners.get(key) !== bound) return
    this.listeners.delete(key)
    this.freeDescriptor()
    // As Linux does with what was never accepted.
    for (const embryo of bound.embryos) embryo.reset()
  }

  /** bind(2) with SO_REUSEADDR, which libuv sets: listeners are in the way, and ports that the kernel has given out. */
  private isBound(host: string, port: number, ipv6Only: boolean): boolean {
    const overlaps = (other: string, otherOnly: boolean) =>
      other === host || covers(host, ipv6Only, other) || covers(other, otherOnly, host)
    for (const { address, ipv6Only } of this.listeners.values()) {
      if (address.port === port && overlaps(address.host, ipv6Only)) return true
    }
    for (const connection of this.connections.values()) {
      const { local } = connection
      if (local.port === port && this.unbound.has(connection) && overlaps(local.host, true)) return true
    }
    return false
  }

  private listenerFor(destination: Address.TcpAddress): Bound | undefined {
    const { family, host, port } = destination
    const dual = this.listeners.get(`::|${port}`)
    return this.listeners.get(`${host}|${port}`) ??
      (family === "IPv4" ? this.listeners.get(`0.0.0.0|${port}`) : undefined) ??
      (dual === undefined || family === "IPv4" && dual.ipv6Only ? undefined : dual)
  }

  // --- connecting ------------------------------------------------------------------

  /** The caller has taken a descriptor for it, and frees it if there is no connection. */
  connect(
    remote: Address.TcpAddress,
    asked: Address.TcpAddress | undefined,
    settle: (failure: SystemFailure | undefined) => void
  ): TcpConnection | SystemFailure {
    if (!this.up) return failure("ENETDOWN", "connect")
    if (asked !== undefined && asked.family !== remote.family) return failure("EINVAL", "bind")
    if (asked !== undefined && !Address.isUnspecified(asked) && !this.owns(asked.host)) {
      return failure("EADDRNOTAVAIL", "bind")
    }
    const host = asked === undefined || Address.isUnspecified(asked) ? this.sourceFor(remote) : asked.host
    // ip(7): no address of that family, no route.
    if (host === undefined) return failure("ENETUNREACH", "connect")
    const target = Address.isUnspecified(remote) ? Address.tcp(host, remote.port) : remote
    // What comes from the loopback does not leave the machine.
    if (isLoopback(host) && !this.owns(target.host)) return failure("EINVAL", "connect")
    const port = asked === undefined || asked.port === 0
      ? this.freePort((port) => !(port === target.port && host === target.host) && this.isFree(host, port, target))
      : asked.port
    if (port === undefined) return failure("EADDRNOTAVAIL", "connect")
    if (asked?.port === port && this.isBound(host, port, true)) return failure("EADDRINUSE", "connect")
    if (!this.isFree(host, port, target)) return failure("EADDRNOTAVAIL", "connect")
    const connection = new TcpConnection(this, Address.tcp(host, port), target, "SYN_SENT", settle)
    if (asked === undefined) this.unbound.add(connection)
    this.connections.get(connection.key)?.vanish()
    this.connections.set(connection.key, connection)
    connection.open()
    return connection
  }

  private sourceFor({ family, host }: Address.TcpAddress): string | undefined {
    if (isLoopback(host) || Address.isUnspecified(Address.tcp(host, 0))) return family === "IPv4" ? "127.0.0.1" : "::1"
    if (this.settings.addresses.includes(host)) return host
    return this.settings.addresses.find((address) => Address.tcp(address, 0).family === family)
  }

  /** Linux lets a connection on loopback that only lingers be replaced by a new one (tcp_tw_reuse). */
  private isFree(host: string, port: number, remote: Address.TcpAddress): boolean {
    const local = Address.tcp(host, port)
    if (this.listenerFor(local) !== undefined) return false
    const existing = this.connections.get(tuple(local, remote))
    return existing === undefined || existing.state === "TIME_WAIT" && isLoopback(host)
  }

  private freePort(isFree: (port: number) => boolean): number | undefined {
    const [first, last] = this.settings.ephemeralPorts
    for (let tries = last - first; tries >= 0; tries--) {
      const port = this.nextPort
      this.nextPort = port === last ? first : port + 1
      if (isFree(port)) return port
    }
    return undefined
  }

  /** A router says so of what was sent. */
  unreachable(segment: Segment): void {
    const connection = this.connections.get(tuple(segment.source, segment.destination))
    if (connection?.state === "SYN_SENT") connection.refused("EHOSTUNREACH")
  }

  readonly forget = (connection: TcpConnection): void => {
    if (this.connections.get(connection.key) === connection) this.connections.delete(connection.key)
    for (const { embryos } of this.listeners.values()) embryos.delete(connection)
  }

  // --- receiving -------------------------------------------------------------------

  receive(segment: Segment): void {
    if (!this.up) return
    const key = tuple(segment.destination, segment.source)
    const connection = this.connections.get(key)
    const isAttempt = segment.syn === true && segment.ack === undefined
    if (connection !== undefined && !(isAttempt && connection.state === "TIME_WAIT")) return connection.receive(segment)
    if (isAttempt) {
      connection?.vanish()
      const bound = this.listenerFor(segment.destination)
      if (bound !== undefined) return this.welcome(bound, segment)
    }
    if (!segment.rst) this.transmit(resetFor(segment))
  }

  private welcome(bound: Bound, syn: Segment): void {
    // listen(2): whoever comes when the backlog is full is not answered, and tries again.
    if (bound.embryos.size >= bound.backlog) return
    const connection: TcpConnection = new TcpConnection(
      this,
      syn.destination,
      syn.source,
      "SYN_RECEIVED",
      (failure) => {
        bound.embryos.delete(connection)
        if (failure === undefined) this.accepted(bound, connection)
      }
    )
    bound.embryos.add(connection)
    this.connections.set(connection.key, connection)
    connection.answer(syn)
  }

  private accepted(bound: Bound, connection: TcpConnection): void {
    if (this.takeDescriptor()) return bound.accept(connection)
    // uv__emfile_trick: libuv keeps a descriptor in reserve, to accept with it and close at once.
    connection.release()
  }

  // --- power -----------------------------------------------------------------------

  powerOff(): void {
    const listeners = [...this.listeners.values()]
    this.listeners.clear()
    for (const _ of listeners) this.freeDescriptor()
    for (const connection of this.connections.values()) connection.powerOff()
    this.connections.clear()
  }

  // --- looking ---------------------------------------------------------------------

  get sockets() {
    return [
      ...[...this.listeners.values()].map(({ address, embryos }) => ({
        host: this.name,
        state: "LISTEN",
        local: address,
        remote: undefined,
        sendQueue: 0,
        receiveQueue: embryos.size
      })),
      ...[...this.connections.values()].map((connection) => ({
        host: this.name,
        local: connection.local,
        remote: connection.remote,
        ...connection.describe
      }))
    ]
  }
}

/** An unspecified address takes every one of its family; that of IPv6 both families, unless it is told not to. */
const covers = (wide: string, ipv6Only: boolean, host: string): boolean =>
  wide === "0.0.0.0" ? !host.includes(":") : wide === "::" && (host.includes(":") || !ipv6Only)
