/**
 * A sequence diagram of lines: time goes down, and every arrow from when it was sent to when it arrived.
 *
 * @internal
 */
import type { DiagramOptions, TraceEvent } from "../../Trace.ts"
import { isMade } from "./connections.ts"
import type { Row } from "./rows.ts"
import { diagram, nameOf, preview, printable, titles, widthOf } from "./rows.ts"

/** They stand out from both papers. */
const palette = ["#2f81f7", "#c9761b", "#a371f7", "#2da44e", "#1b9aaa", "#a0703c", "#d4559b", "#848d97"]

const style = [
  "text{font:12px ui-monospace,monospace;fill:#1f2328;white-space:pre}",
  ".paper{fill:#fff}",
  ".host{font-weight:bold}",
  ".faint{fill:#59636e}",
  ".line{stroke:#848d97}",
  ".off{stroke:#848d97;stroke-dasharray:1 4}",
  ".cross{stroke:#e5534b;stroke-width:2;fill:none}",
  ".made{stroke-dasharray:5 3}",
  "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.faint{fill:#9198a1}.paper{fill:#0d1117}}"
].join("")

/** Pixels. */
const letter = 7.25
const rowHeight = 18
const margin = 16
const previewWidth = 40

export const toSvg = (trace: ReadonlyArray<TraceEvent>, options: DiagramOptions): string => {
  const { connections, hosts, rows } = diagram(trace, options)
  const labels = rows.map(({ label, payload }) => `${label} ${preview(payload, previewWidth)}`.trimEnd())
  const names = connections.map(nameOf)
  const columns = columnsOf(hosts, rows)
  const top = margin + names.length * rowHeight + 24
  const { bottom, places } = placesOf(rows, top + 8)
  const width = px(Math.max(columns.label + widest(labels), margin + widest(names)) + margin)
  const height = px(bottom + margin)
  const end = `text-anchor="end"`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<style>${style}</style>`,
    `<rect class="paper" width="100%" height="100%"/>`,
    ...names.map((name, index) =>
      write(margin, margin + 12 + index * rowHeight, name, `style="fill:${colorOf(connections[index]!.number)}"`)
    ),
    write(columns.sent, top, titles.sent, `class="faint" ${end}`),
    write(columns.outcome, top, titles.outcome, `class="faint" ${end}`),
    ...hosts.map((host) => write(columns.of(host), top, printable(host), `class="host" text-anchor="middle"`)),
    ...hosts.flatMap((host) => lifeline(columns.of(host), top + 6, bottom, changesOf(host, rows, places))),
    ...rows.flatMap((row, index) => {
      const place = places[index]!
      const baseline = place.sent + 4
      return [
        `<g><title>${escaped(labels[index]!)}</title>`,
        write(columns.sent, baseline, row.sent, end),
        write(columns.outcome, baseline, row.outcome, `class="faint" ${end}`),
        write(columns.label, baseline, labels[index]!),
        ...row.connection === 0 ? [] : [dot(columns.label - 8, place.sent, 3, colorOf(row.connection))],
        ...draw(row, place, columns),
        `</g>`
      ]
    }),
    "</svg>",
    ""
  ].join("\n")
}

interface Columns {
  /** Where the times end. */
  readonly sent: number
  readonly outcome: number
  /** The line of a host, and how far it is from the next one. */
  readonly of: (host: string) => number
  readonly gap: number
  /** Where the labels begin. */
  readonly label: number
}

const columnsOf = (hosts: ReadonlyArray<string>, rows: ReadonlyArray<Row>): Columns => {
  const names = hosts.map(printable)
  const sent = margin + widest([titles.sent, ...rows.map((row) => row.sent)])
  const outcome = sent + margin + widest([titles.outcome, ...rows.map((row) => row.outcome)])
  const gap = Math.max(hosts.length > 3 ? 96 : 200, widest(names) + margin)
  // Names stand in the middle above their lines.
  const first = outcome + 24 + widest(names.slice(0, 1)) / 2
  const last = first + Math.max(0, hosts.length - 1) * gap
  return {
    sent,
    outcome,
    of: (host) => first + hosts.indexOf(host) * gap,
    gap,
    label: last + 24 + widest(names.slice(-1)) / 2
  }
}

const px = (value: number): number => Math.round(value * 10) / 10

const widest = (texts: ReadonlyArray<string>): number =>
  letter * texts.reduce((most, text) => Math.max(most, widthOf(text)), 0)

const colorOf = (connection: number): string => palette[(connection - 1) % palette.length]!

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`).replace(/[\ufffe\uffff]|\p{Cs}/gu, "\ufffd")

const write = (x: number, y: number, text: string, attributes = ""): string =>
  text === "" ? "" : `<text x="${px(x)}" y="${px(y)}" ${attributes}>${escaped(text)}</text>`

// -----------------------------------------------------------------------------
// time
// -----------------------------------------------------------------------------

interface Place {
  sent: number
  arrives: number
}

/**
 * Where on the way down everything is. Time is not to scale, or else an hour would leave nothing of a millisecond; but what
 * is later is lower, and each row has its own height. What happens at one instant is in the order of the trace.
 */
const placesOf = (rows: ReadonlyArray<Row>, top: number) => {
  const places = rows.map((): Place => ({ sent: top, arrives: top }))
  const moments = rows.flatMap(({ arrives, at }, row) => [
    { at, row, end: "sent" as const },
    ...arrives === undefined ? [] : [{ at: arrives, row, end: "arrives" as const }]
  ]).toSorted((left, right) => left.at - right.at || left.row - right.row)
  let y = top
  let now = moments[0]?.at ?? 0
  let lastRow = top
  for (const { at, end, row } of moments) {
    if (at > now) y += 4 + Math.min(20, 4 * Math.sqrt((at - now) / 1e6))
    now = at
    if (end === "sent") y = lastRow = Math.max(y, lastRow + rowHeight)
    places[row]![end] = y
  }
  return { places, bottom: y + rowHeight }
}

// -----------------------------------------------------------------------------
// lines
// -----------------------------------------------------------------------------

const changesOf = (host: string, rows: ReadonlyArray<Row>, places: ReadonlyArray<Place>) =>
  rows.flatMap(({ event }, index) =>
    (event._tag === "Crash" || event._tag === "Restart") && event.host === host
      ? [{ up: event._tag === "Restart", y: places[index]!.sent }]
      : []
  )

const lifeline = (
  x: number,
  top: number,
  bottom: number,
  changes: ReadonlyArray<{ readonly up: boolean; readonly y: number }>
): ReadonlyArray<string> => {
  const starts = [{ up: changes[0]?.up !== true, y: top }, ...changes]
  return starts.map(({ up, y }, index) =>
    line(x, y, x, starts[index + 1]?.y ?? bottom, `class="${up ? "line" : "off"}"`)
  )
}

const line = (x1: number, y1: number, x2: number, y2: number, attributes: string): string =>
  `<line x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" ${attributes}/>`

const cross = (x: number, y: number): string => `<path class="cross" d="M${px(x - 4)} ${px(y - 4)}l8 8m0 -8l-8 8"/>`

const dot = (x: number, y: number, radius: number, color: string): string =>
  `<circle cx="${px(x)}" cy="${px(y)}" r="${radius}" fill="${color}"/>`

const draw = (row: Row, { arrives, sent }: Place, columns: Columns): ReadonlyArray<string> => {
  const { event } = row
  switch (event._tag) {
    case "Crash":
      return [cross(columns.of(event.host), sent)]
    case "Restart":
      return [dot(columns.of(event.host), sent, 4, palette[3]!)]
    case "LookUp":
      return [write(columns.of(event.host) - 3, sent + 4, "?", `class="host"`)]
    case "Segment":
      return arrow(row, columns.gap, [columns.of(event.from), sent], [columns.of(event.to), arrives])
  }
}

type Point = readonly [x: number, y: number]

const arrow = (row: Row, gap: number, [x1, y1]: Point, [x2, y2]: Point): ReadonlyArray<string> => {
  const { event, reach } = row
  const color = colorOf(row.connection)
  const made = event._tag === "Segment" && isMade(event)
  const attributes = `${made ? `class="made" ` : ""}stroke="${color}"`
  const start = dot(x1, y1, 2, color)
  if (x1 === x2) return [start, ...loop(x1, y1, Math.max(y2, y1 + 10), reach, color, attributes)]
  if (reach === "lost") {
    // In sight of where it was to arrive.
    const [x, y] = [x2 + Math.sign(x1 - x2) * gap / 2, y1 + 6]
    return [start, line(x1, y1, x, y, attributes), cross(x, y)]
  }
  return [
    start,
    line(x1, y1, x2, y2, attributes),
    reach === "missed" ? cross(x2, y2) : head(x2, y2, Math.atan2(y2 - y1, x2 - x1), color)
  ]
}

/** What a host sends to itself. */
const loop = (x: number, y1: number, y2: number, reach: Row["reach"], color: string, attributes: string) => [
  `<path d="M${px(x)} ${px(y1)}h14V${px(y2)}${reach === "received" ? "h-14" : ""}" fill="none" ${attributes}/>`,
  reach === "received" ? head(x, y2, Math.PI, color) : cross(x + 14, y2)
]

const head = (x: number, y: number, angle: number, color: string): string =>
  `<path d="M0 0l-9 -4v8z" fill="${color}" transform="translate(${px(x)} ${px(y)}) rotate(${
    px(angle * 180 / Math.PI)
  })"/>`
