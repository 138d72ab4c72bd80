/**
 * What lies between simulated hosts: time, the wire, rules, names, power, and the record of what happened.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import type { Packet, Rule } from "../../Rule.ts"
import type { Fate } from "../../Trace.ts"
import type { Entry } from "../../../internal/agenda.ts"
import { Agenda } from "../../../internal/agenda.ts"
import { nothing } from "../../../internal/bytes.ts"
import { Chance } from "./chance.ts"
import { History } from "./history.ts"
import type { Settings } from "./host.ts"
import { Host } from "./host.ts"
import type { Flow, Path } from "./paths.ts"
import { advance, flowOf, passedOf, Paths } from "./paths.ts"
import type { Answer, Ending, Passage } from "./rulebook.ts"
import { millis, Rulebook } from "./rulebook.ts"
import type { Segment } from "./segment.ts"
import { kindOf, lengthOf, resetFor, tuple } from "./segment.ts"

/** In milliseconds. Not 0: between two programs that answer each other for ever, time would stand still. */
const loopbackLatency = 0.02

export class Simulation {
  readonly agenda: Agenda
  readonly hosts = new Map<string, Host>()
  readonly names = new Map<string, ReadonlyArray<string>>()
  readonly history: History
  private readonly byAddress = new Map<string, Host>()
  private readonly paths = new Paths()
  private readonly chance: Chance
  private readonly rulebook: Rulebook
  private readonly latency: readonly [least: number, most: number]
  /** Why hosts are without power. */
  private readonly crashes = new Map<string, Set<unknown>>()
  private readonly powerListeners = new Set<(host: Host) => void>()

  constructor(
    clock: Clock.Clock,
    options: {
      readonly seed: number
      readonly latency: readonly [least: number, most: number]
      readonly traceLimit: number
    }
  ) {
    this.agenda = new Agenda(clock)
    this.chance = new Chance(options.seed)
    this.rulebook = new Rulebook(() => this.now, this.chance, (...end) => this.endLater(...end))
    this.latency = options.latency
    this.history = new History(options.traceLimit)
  }

  addHost(settings: Settings): void {
    const host = new Host(settings, this.agenda, {
      transmit: (host, segment) => this.transmit(host, segment),
      initialSequence: () => this.chance.below(0x7fffffff)
    })
    this.hosts.set(settings.name, host)
    for (const address of settings.addresses) this.byAddress.set(address, host)
  }

  get now(): number {
    return this.agenda.now
  }

  end(): void {
    this.agenda.end()
  }

  // --- rules -------------------------------------------------------------------------

  /** Gives what takes it back. */
  apply(rule: Rule): () => void {
    if (rule._tag === "Crash") return this.scheduleCrash(rule)
    if (rule._tag === "Descriptors") return this.scheduleDescriptors(rule)
    return this.rulebook.apply(rule)
  }

  private scheduleCrash({ at, for: duration, host: name }: Extract<Rule, { readonly _tag: "Crash" }>): () => void {
    const after = millis(at, 0)
    const reason = {}
    const restore = () => {
      const reasons = this.crashes.get(name)
      if (reasons?.delete(reason) && reasons.size === 0) this.powerOn(name)
    }
    const off = this.inTime(after, () => this.powerOff(name, reason))
    const on = this.agenda.schedule(after + millis(duration, Infinity), restore)
    return () => {
      off.run = on.run = undefined
      restore()
    }
  }

  /** At once means now, and not when everything that is due has been done. */
  private inTime(after: number, run: () => void): Entry {
    if (after > 0) return this.agenda.schedule(after, run)
    run()
    return { run: undefined, background: false }
  }

  private scheduleDescriptors(rule: Extract<Rule, { readonly _tag: "Descriptors" }>): () => void {
    const after = millis(rule.at, 0)
    const { descriptorLimits } = this.hosts.get(rule.host)!
    const key = {}
    const restore = () => void descriptorLimits.delete(key)
    const begin = this.inTime(after, () => void descriptorLimits.set(key, rule.limit))
    const end = this.agenda.schedule(after + millis(rule.for, Infinity), restore)
    return () => {
      begin.run = end.run = undefined
      restore()
    }
  }

  // --- power ---------------------------------------------------------------------------

  /** A host may be down for several reasons; it comes up when none is left, or when it is told to. */
  powerOff(name: string, reason: unknown): void {
    const host = this.hosts.get(name)!
    const reasons = this.crashes.get(name) ?? new Set()
    this.crashes.set(name, reasons.add(reason))
    if (!host.up) return
    this.history.note({ _tag: "Crash", at: this.now, host: name })
    host.up = false
    // First, so that a program is interrupted by the crash, and does not fail by what the crash does to its connections.
    for (const notify of this.powerListeners) notify(host)
    host.powerOff()
  }

  powerOn(name: string): void {
    const host = this.hosts.get(name)!
    this.crashes.delete(name)
    if (host.up) return
    host.up = true
    this.history.note({ _tag: "Restart", at: this.now, host: name })
    for (const notify of this.powerListeners) notify(host)
  }

  /** Calls back whenever a host loses or gets power. */
  onPower(notify: (host: Host) => void): () => void {
    this.powerListeners.add(notify)
    return () => void this.powerListeners.delete(notify)
  }

  // --- names ---------------------------------------------------------------------------

  /** What a look-up gives, and after how long. */
  lookUp(host: string, name: string): { readonly after: number; readonly answer: Answer } {
    const said = this.rulebook.answer(name, this.names.get(name.toLowerCase()) ?? "NXDOMAIN")
    const { now } = this
    const answer = typeof said.answer === "string" ? said.answer : said.answer.join(" ")
    this.history.note({ _tag: "LookUp", at: now, arrives: now + said.after, host, name, answer })
    return said
  }

  // --- the wire ------------------------------------------------------------------------

  transmit(from: Host, segment: Segment): void {
    const { destination } = segment
    const to = from.owns(destination.host) ? from : this.byAddress.get(destination.host)
    const path = to === undefined ? undefined : this.paths.of(from, to, segment)
    const flow = path === undefined ? undefined : flowOf(path, segment)
    if (path?.severed !== undefined && to !== undefined) return this.answerFor(path, path.severed, from, to, segment)
    const packet: Packet = {
      from: from.name,
      to: to?.name ?? destination.host,
      source: segment.source,
      destination,
      kind: kindOf(segment),
      payload: segment.payload,
      offset: flow === undefined ? 0 : Math.max(0, segment.sequence - flow.first),
      connection: path?.index ?? 0
    }
    const passage: Passage = {
      delay: to === undefined ? 0 : this.journey(from, to),
      fate: to === undefined ? "no such host" : to.up ? "delivered" : "lost",
      copyAfter: undefined,
      pieces: undefined,
      gap: 0,
      cut: undefined
    }
    this.rulebook.judge(packet, path, flow, passage)
    if (passage.fate !== "delivered" || to === undefined) {
      this.record(segment, packet, passage.fate, undefined)
      if (passage.fate === "refused") this.refuse(from, to ?? from, segment, passage.delay)
      if (passage.fate === "unreachable" && segment.syn) {
        this.agenda.schedule(passage.delay, () => from.unreachable(segment))
      }
      return
    }
    const { cut } = passage
    if (cut === undefined || path === undefined || flow === undefined) {
      return this.pass(from, to, segment, flow, passage)
    }
    // Without any, nothing of the packet passes, not even what it acknowledges.
    const room = Math.max(0, cut.at - packet.offset)
    const fits = lengthOf(segment) <= room
    if (room > 0) this.pass(from, to, pieceOf(segment, 0, room, fits), flow, passage)
    if (room === 0 || !fits) this.record(pieceOf(segment, room, Infinity, true), packet, "lost", undefined)
    if (passedOf(flow) >= cut.at) this.sever(path, from, to, segment, cut.how)
  }

  private pass(
    from: Host,
    to: Host,
    segment: Segment,
    flow: Flow | undefined,
    { copyAfter, delay, gap, pieces }: Passage
  ): void {
    let at = 0
    let extra = delay
    for (const size of pieces ?? [segment.payload.length]) {
      const last = at + size >= segment.payload.length
      this.deliver(from, to, pieceOf(segment, at, size, last), flow, extra)
      // What is cut has fewer of them.
      if (last) break
      at += size
      extra += gap
    }
    if (copyAfter !== undefined) this.deliver(from, to, segment, undefined, delay + copyAfter, "copied")
  }

  private refuse(from: Host, to: Host, segment: Segment, delay: number): void {
    this.deliver(to, from, resetFor(segment), undefined, delay, "forged")
  }

  // --- a connection that is cut ----------------------------------------------------------

  private sever(path: Path, from: Host, to: Host, segment: Segment, how: Ending): void {
    const isAttempt = segment.syn === true && segment.ack === undefined
    // There is nothing yet that could be cut.
    if (isAttempt) return this.refuse(from, to, segment, this.journey(from, to))
    path.severed = how
    this.tellBoth(path, how)
  }

  /** Both ends learn of it as if the other one had done it. */
  private tellBoth(path: Path, how: Ending): void {
    const { client, server } = path
    // As it is before: neither end has sent what the other one is told, and must not find it acknowledged.
    const sent = new Map(Array.from(path.flows, ([key, { next }]) => [key, next]))
    for (const [here, there] of [[client, server], [server, client]] as const) {
      const flow = path.flows.get(tuple(there.address, here.address))
      if (flow === undefined) continue
      const segment: Segment = {
        source: there.address,
        destination: here.address,
        ...(how === "reset" ? { rst: true } : { fin: true }),
        ack: true,
        sequence: flow.next,
        acknowledgement: sent.get(tuple(here.address, there.address)) ?? 0,
        window: 65535,
        payload: nothing
      }
      this.deliver(there.host, here.host, segment, flow, this.journey(there.host, here.host), "forged")
    }
  }

  /** What a proxy would say that has closed both of its connections. */
  private answerFor(path: Path, how: Ending, from: Host, to: Host, segment: Segment): void {
    this.record(segment, { from: from.name, to: to.name }, "lost", undefined)
    const flow = path.flows.get(tuple(segment.destination, segment.source))
    // Until it has heard of the end, what it sends meets nobody; it comes again.
    if (segment.rst || flow === undefined || lengthOf(segment) === 0 || this.now <= flow.lastArrival) return
    const answer = how === "reset" || segment.payload.length > 0 ? resetFor(segment) : acknowledgementOf(segment)
    this.deliver(to, from, { ...answer, sequence: flow.next }, flow, this.journey(to, from), "forged")
  }

  private endLater(path: Path, after: number, how: Ending, holds: () => boolean): void {
    this.agenda.schedule(after, () => {
      if (path.severed !== undefined || !this.paths.isCurrent(path) || !holds()) return
      // An attempt that nobody has answered: when it comes again, it is refused.
      if (path.flows.size < 2) return
      path.severed = how
      this.tellBoth(path, how)
    })
  }

  // --- delivery --------------------------------------------------------------------------

  private deliver(
    from: Host,
    to: Host,
    segment: Segment,
    flow: Flow | undefined,
    delay: number,
    fate: Fate = "delivered"
  ): void {
    const { now } = this
    let arrives = now + delay
    if (flow !== undefined) {
      arrives = flow.lastArrival = Math.max(arrives, flow.lastArrival)
      advance(flow, segment)
    }
    this.record(segment, { from: from.name, to: to.name }, fate, arrives)
    this.agenda.schedule(arrives - now, () => to.receive(segment), lengthOf(segment) === 0 && segment.rst === undefined)
  }

  private record(
    segment: Segment,
    ends: { readonly from: string; readonly to: string },
    fate: Fate,
    arrives: number | undefined
  ): void {
    this.history.note({
      _tag: "Segment",
      at: this.now,
      arrives,
      fate,
      from: ends.from,
      to: ends.to,
      ...segment
    })
  }

  /** How long from one host to the other, if nothing befalls it. */
  private journey(from: Host, to: Host): number {
    return from === to ? loopbackLatency : this.chance.between(...this.latency)
  }
}

const pieceOf = (segment: Segment, at: number, size: number, last: boolean): Segment => {
  if (at === 0 && last) return segment
  const { fin, ...rest } = segment
  return {
    ...rest,
    ...(fin && last ? { fin } : {}),
    sequence: segment.sequence + at,
    payload: segment.payload.subarray(at, at + size)
  }
}

const acknowledgementOf = (segment: Segment): Segment => {
  const { rst: _, ...acknowledgement } = resetFor(segment)
  return { ...acknowledgement, window: 65535 }
}
