/**
 * The rules that hold, and what becomes of a packet by them.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type { Packet, Rule, Side } from "../../Rule.ts"
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

/** What becomes of one packet. */
export interface Passage {
  delay: number
  fate: Fate
  /** It comes once more, so long after. */
  copyAfter: number | undefined
  /** The sizes of the pieces that its payload comes in, and the time from one to the next. */
  pieces: ReadonlyArray<number> | undefined
  gap: number
  /** Payload up to here passes, and then both ends are told. */
  cut: { readonly at: number; readonly how: "reset" | "closed" } | undefined
}

/** What a name server says. */
export type Answer = ReadonlyArray<string> | "NXDOMAIN" | "SERVFAIL"

export const millis = (duration: Duration.DurationInput | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : Duration.toMillis(duration)

export class Rulebook {
  private readonly now: () => number
  private readonly chance: Chance
  /** The connection is to be ended so long from now. */
  private readonly closeLater: (path: Path, after: number) => void
  private rules: ReadonlyArray<Active> = []

  constructor(now: () => number, chance: Chance, closeLater: (path: Path, after: number) => void) {
    this.now = now
    this.chance = chance
    this.closeLater = closeLater
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

  private *applying(): Iterable<Active> {
    const now = this.now()
    for (const active of this.rules) if (active.from <= now && now < active.until) yield active
  }

  /** What is said of a name, and after how long, if without rules it were this. */
  answer(name: string, answer: Answer): { readonly after: number; readonly answer: Answer } {
    let said = { after: 0, answer }
    for (const { rule } of this.applying()) {
      if (rule._tag !== "Names" || rule.name !== undefined && rule.name !== name) continue
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
          this.judgeReset(rule, active, packet, flow, passage)
          break
        case "Limit":
          if (packet.offset + packet.payload.length >= rule.bytes && packet.payload.length > 0) {
            passage.cut = { at: Math.max(0, rule.bytes - packet.offset), how: "closed" }
          }
          break
        case "Stall":
          if (packet.payload.length === 0 && packet.kind !== "FIN") break
          this.judgeStall(millis(rule.closeAfter, Infinity), active, path, flow)
          return void (passage.fate = "lost")
      }
    }
  }

  private judgeReset(
    rule: Extract<Rule, { readonly _tag: "Reset" }>,
    active: Active,
    packet: Packet,
    flow: Flow | undefined,
    passage: Passage
  ): void {
    if (flow === undefined || packet.kind === "RST") return
    if (rule.afterBytes !== undefined) {
      if (packet.payload.length > 0 && packet.offset + packet.payload.length >= rule.afterBytes) {
        passage.cut = { at: Math.max(0, rule.afterBytes - packet.offset), how: "reset" }
      }
      return
    }
    const since = flow.seen.get(active) ?? this.now()
    flow.seen.set(active, since)
    if (this.now() >= since + millis(rule.after, 0)) passage.cut = { at: 0, how: "reset" }
  }

  private judgeStall(closeAfter: number, active: Active, path: Path | undefined, flow: Flow | undefined): void {
    if (flow === undefined || path === undefined || flow.seen.has(active)) return
    flow.seen.set(active, this.now())
    this.closeLater(path, closeAfter)
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

const isOf = (side: Side, host: string): boolean => typeof side === "string" ? side === host : side.includes(host)

const divides = (
  [left, right]: Extract<Rule, { readonly _tag: "Partition" }>["between"],
  { from, to }: Packet
): boolean => isOf(left, from) && isOf(right, to) || isOf(right, from) && isOf(left, to)

const concerns = (
  where: Extract<Rule, { readonly _tag: "Pass" }> | Rule & { readonly from?: string | undefined },
  packet: Packet,
  path: Path | undefined
): boolean => {
  const { between, connection, from, matching, port, to } = where as Extract<Rule, { readonly _tag: "Pass" }>
  return (from === undefined || from === packet.from) &&
    (to === undefined || to === packet.to) &&
    (between === undefined || divides(between, packet)) &&
    (port === undefined || port === path?.server.address.port) &&
    (connection === undefined || connection === packet.connection) &&
    (matching === undefined || matching(packet))
}
