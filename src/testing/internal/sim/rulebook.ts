/**
 * The rules that hold, and what becomes of a packet by them.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type { Packet, Rule, Side, Where } from "../../Rule.ts"
import type { Fate } from "../../Trace.ts"
import type { Chance } from "./chance.ts"
import type { Flow, Path } from "./paths.ts"

/** A rule in its time. */
interface Active {
  readonly rule: Rule
  readonly from: number
  readonly until: number
  /** When the line is free again, for each pair of hosts: of a bandwidth. */
  readonly busyUntil: Map<string, number>
}

/** How both ends of a connection see it end. */
export type Ending = "reset" | "closed"

/** What becomes of one packet. */
export interface Passage {
  delay: number
  fate: Fate
  /** It comes once more, so long after. */
  copyAfter: number | undefined
  /** The sizes of the pieces that its payload comes in, and the time from one to the next. */
  pieces: ReadonlyArray<number> | undefined
  gap: number
  /** Of its flow no more than so many bytes pass; once they have, both ends are told. */
  cut: { readonly at: number; readonly how: Ending } | undefined
}

/** What a name server says. */
export type Answer = ReadonlyArray<string> | "NXDOMAIN" | "SERVFAIL"

export const millis = (duration: Duration.DurationInput | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : Duration.toMillis(duration)

type EndLater = (path: Path, after: number, how: Ending, holds: () => boolean) => void

export class Rulebook {
  private readonly now: () => number
  private readonly chance: Chance
  /** The connection is to be ended so long from now, if that still holds then. */
  private readonly endLater: EndLater
  private rules: ReadonlyArray<Active> = []

  constructor(now: () => number, chance: Chance, endLater: EndLater) {
    this.now = now
    this.chance = chance
    this.endLater = endLater
  }

  /** Gives what takes it back. */
  apply(rule: Rule): () => void {
    const from = this.now() + millis(rule.at, 0)
    const active: Active = { rule, from, until: from + millis(rule.for, Infinity), busyUntil: new Map() }
    this.rules = [...this.rules, active]
    return () => {
      this.rules = this.rules.filter((other) => other !== active)
    }
  }

  private applying(): ReadonlyArray<Active> {
    const now = this.now()
    return this.rules.filter((active) => active.from <= now && now < active.until)
  }

  /** What is said of a name, and after how long, if without rules it were this. */
  answer(name: string, answer: Answer): { readonly after: number; readonly answer: Answer } {
    let said = { after: 0, answer }
    for (const { rule } of this.applying()) {
      if (rule._tag !== "Names" || rule.name !== undefined && rule.name.toLowerCase() !== name.toLowerCase()) continue
      said = { after: said.after + millis(rule.by, 0), answer: rule.fails ?? rule.answers ?? said.answer }
    }
    return said
  }

  judge(packet: Packet, path: Path | undefined, flow: Flow | undefined, passage: Passage): void {
    for (const active of this.applying()) {
      const { rule } = active
      if (rule._tag === "Partition") {
        if (divides(rule.between, packet)) return void (passage.fate = "lost")
        continue
      }
      if (rule._tag === "Names" || rule._tag === "Crash" || rule._tag === "Descriptors") continue
      if (!concerns(rule, packet, path)) continue
      switch (rule._tag) {
        case "Pass":
          return
        case "Delay":
          passage.delay += Math.max(0, millis(rule.by, 0) + this.chance.between(-1, 1) * millis(rule.jitter, 0))
          break
        case "Drop":
          if (this.chance.happens(rule.rate)) return void (passage.fate = "lost")
          break
        case "Bandwidth": {
          const line = `${packet.from}|${packet.to}`
          const free = Math.max(this.now() + passage.delay, active.busyUntil.get(line) ?? 0) +
            packet.payload.length / rule.bytesPerSecond * 1000
          active.busyUntil.set(line, free)
          passage.delay = free - this.now()
          break
        }
        case "Slice":
          passage.pieces = this.sliced(packet.payload.length, rule.size, rule.variation ?? 0)
          passage.gap = millis(rule.gap, 0)
          break
        case "Duplicate":
          if (this.chance.happens(rule.rate)) passage.copyAfter = millis(rule.after, 1)
          break
        case "SlowClose":
          if (packet.kind === "FIN") passage.delay += millis(rule.by, 0)
          break
        case "Down":
          if (packet.kind === "SYN") return void (passage.fate = "refused")
          passage.cut = { at: 0, how: "reset" }
          return
        case "Unreachable":
          return void (passage.fate = "unreachable")
        case "Reset":
          this.judgeReset(rule, active, packet, path, flow, passage)
          break
        case "Limit":
          cutAt(rule.bytes, "closed", packet, passage)
          break
        case "Stall":
          if (packet.payload.length === 0 && packet.kind !== "FIN") break
          this.endAfter(millis(rule.closeAfter, Infinity), "closed", active, path, flow)
          return void (passage.fate = "lost")
      }
    }
  }

  private judgeReset(
    rule: Extract<Rule, { readonly _tag: "Reset" }>,
    active: Active,
    packet: Packet,
    path: Path | undefined,
    flow: Flow | undefined,
    passage: Passage
  ): void {
    if (packet.kind === "RST") return
    if (rule.afterBytes !== undefined) return cutAt(rule.afterBytes, "reset", packet, passage)
    const { after } = rule
    if (after === undefined || this.now() >= this.endAfter(Duration.toMillis(after), "reset", active, path, flow)) {
      passage.cut = { at: 0, how: "reset" }
    }
  }

  /** So long after the rule has seen the first packet of a flow, the connection ends; gives when. */
  private endAfter(
    after: number,
    how: Ending,
    active: Active,
    path: Path | undefined,
    flow: Flow | undefined
  ): number {
    if (flow === undefined || path === undefined) return Infinity
    const since = flow.seen.get(active)
    if (since !== undefined) return since + after
    flow.seen.set(active, this.now())
    this.endLater(path, after, how, () => this.applying().includes(active))
    return this.now() + after
  }

  private sliced(length: number, size: number, variation: number): ReadonlyArray<number> {
    const pieces: Array<number> = []
    let left = length
    do {
      const piece = Math.min(left, Math.max(1, Math.round(size + this.chance.between(-1, 1) * variation)))
      pieces.push(piece)
      left -= piece
    } while (left > 0)
    return pieces
  }
}

/** The end of a direction is cut like data: it must not pass where data before it does not. */
const cutAt = (at: number, how: Ending, packet: Packet, passage: Passage): void => {
  if (packet.kind !== "DATA" && packet.kind !== "FIN") return
  if (passage.cut === undefined || at <= passage.cut.at) passage.cut = { at, how }
}

const isOf = (side: Side, host: string): boolean => typeof side === "string" ? side === host : side.includes(host)

const divides = (
  [left, right]: Extract<Rule, { readonly _tag: "Partition" }>["between"],
  { from, to }: Packet
): boolean => isOf(left, from) && isOf(right, to) || isOf(right, from) && isOf(left, to)

const concerns = (
  { between, connection, from, matching, port, to }: Where,
  packet: Packet,
  path: Path | undefined
): boolean =>
  (from === undefined || from === packet.from) &&
  (to === undefined || to === packet.to) &&
  (between === undefined || divides(between, packet)) &&
  (port === undefined || port === path?.server.address.port) &&
  (connection === undefined || connection === packet.connection) &&
  (matching === undefined || matching(packet))
