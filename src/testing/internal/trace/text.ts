/**
 * A sequence diagram of letters.
 *
 * @internal
 */
import type { FormatOptions, TraceEvent } from "../../Trace.ts"
import { isMade } from "./connections.ts"
import type { Diagram, Row } from "./rows.ts"
import { beginning, diagram, nameOf, preview, printable, titles, widthOf } from "./rows.ts"

const least = { gap: 4, label: 24 }

export const format = (trace: ReadonlyArray<TraceEvent>, options: FormatOptions): string => {
  const { connections, hosts, rows } = diagram(trace, options)
  const width = options.width ?? 120
  const sent = column(titles.sent, rows, (row) => row.sent)
  const outcome = column(titles.outcome, rows, (row) => row.outcome)
  const grid = new Grid(hosts, rows, width)
  const margin = " ".repeat(sent.width + outcome.width + 5)
  const left = margin.length + grid.width + 2
  const lines = [
    ...connections.map(nameOf),
    ...connections.length > 0 ? [""] : [],
    ...grid.header.map((line, index, all) =>
      index === all.length - 1 ? `${sent.title}  ${outcome.title}   ${line}` : margin + line
    ),
    ...rows.map((row) =>
      `${sent.of(row)}  ${outcome.of(row)}   ${grid.draw(row)}  ${says(row, Math.max(least.label, width - left))}`
    )
  ]
  return lines.map((line) => line.trimEnd()).join("\n")
}

const column = (title: string, rows: ReadonlyArray<Row>, of: (row: Row) => string) => {
  const width = rows.reduce((most, row) => Math.max(most, of(row).length), title.length)
  return { width, title: title.padStart(width), of: (row: Row) => of(row).padStart(width) }
}

const says = ({ label, payload }: Row, room: number): string => {
  const width = widthOf(label)
  if (width > room) return `${beginning([...label], room - 1)}…`
  return `${label} ${preview(payload, room - width - 1)}`
}

const up = "│"
const down = "┊"

/** The lines of all hosts, of which each row takes up some. */
class Grid {
  readonly width: number
  private readonly hosts: ReadonlyArray<string>
  private readonly gap: number
  private readonly off = new Set<string>()

  constructor(hosts: Diagram["hosts"], rows: Diagram["rows"], width: number) {
    const longest = Math.max(10, ...hosts.slice(0, -1).map((host) => widthOf(printable(host))))
    const share = Math.floor(width * 0.4 / Math.max(1, hosts.length - 1))
    this.hosts = hosts
    this.gap = Math.max(least.gap, Math.min(longest + 2, share))
    // Beside the last line there is place for what a host sends to itself.
    this.width = Math.max(0, hosts.length - 1) * this.gap + 2
    // Backwards, to what it was at first.
    for (const { event } of rows.toReversed()) this.note(event, "Restart", "Crash")
  }

  private note(event: TraceEvent, goes: TraceEvent["_tag"], comes: TraceEvent["_tag"]): void {
    if (event._tag === "Segment") return
    if (event._tag === goes) this.off.add(event.host)
    if (event._tag === comes) this.off.delete(event.host)
  }

  /** Each name stands where its line begins, on a line below if it would touch the name before. */
  get header(): ReadonlyArray<string> {
    const lines: Array<string> = [""]
    this.hosts.forEach((host, index) => {
      const at = index * this.gap
      const line = lines.at(-1)!
      if (line.length > 0 && widthOf(line) > at - 2) {
        lines.push(this.lines(index).join("").padEnd(at) + printable(host))
      } else lines[lines.length - 1] = line + " ".repeat(at - widthOf(line)) + printable(host)
    })
    return lines
  }

  /** Of so many hosts, from the left. */
  private lines(count: number): Array<string> {
    const characters: Array<string> = new Array(Math.max(0, count - 1) * this.gap + 1).fill(" ")
    this.hosts.slice(0, count).forEach((host, index) => {
      characters[index * this.gap] = this.off.has(host) ? down : up
    })
    return count === 0 ? [] : characters
  }

  draw(row: Row): string {
    const { event } = row
    this.note(event, "Crash", "Restart")
    const characters = this.lines(this.hosts.length)
    if (event._tag === "Segment") this.arrow(characters, this.at(event.from), this.at(event.to), row)
    else characters[this.at(event.host)] = marks[event._tag]
    return characters.join("").padEnd(this.width)
  }

  private at(host: string): number {
    return this.hosts.indexOf(host) * this.gap
  }

  private arrow(characters: Array<string>, from: number, to: number, { event, reach }: Row): void {
    const step = to < from ? -1 : 1
    // In sight of where it was to arrive.
    const brokenOff = to - step * Math.floor(this.gap / 2)
    const end = from === to ? from + 1 : reach === "lost" ? brokenOff : to - step
    const made = event._tag === "Segment" && isMade(event)
    for (let at = from + step; at !== end; at += step) {
      characters[at] = characters[at] === " " ? made ? "╌" : "─" : "┼"
    }
    characters[from] = step === 1 ? "├" : "┤"
    characters[end] = reach !== "received" ? "✗" : step === 1 && from !== to ? "▶" : "◀"
  }
}

const marks = { Crash: "✗", Restart: "●", LookUp: "?" }
