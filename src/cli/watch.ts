/**
 * The table of the open connections: redrawn in place on a terminal, plain lines otherwise.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Connection, Connections } from "./connections.ts"
import * as Terminal from "./terminal.ts"

interface Sample {
  readonly at: number
  readonly bytesIn: number
  readonly bytesOut: number
}

interface Row {
  readonly label: string
  readonly perSecondIn: number
  readonly perSecondOut: number
  readonly buffered: number
}

/** Throughput is what has moved since the last look; the first look goes by the time since the connection opened. */
const makeRows = (connections: Connections): () => ReadonlyArray<Row> => {
  const samples = new WeakMap<Connection, Sample>()
  return () =>
    Array.from(connections.open, (connection) => {
      const before = samples.get(connection) ?? { at: connection.since, bytesIn: 0, bytesOut: 0 }
      const { buffered, bytesIn, bytesOut, label } = connection
      const now = { at: performance.now(), bytesIn, bytesOut }
      samples.set(connection, now)
      const seconds = Math.max(0.001, (now.at - before.at) / 1000)
      return {
        label,
        perSecondIn: (bytesIn - before.bytesIn) / seconds,
        perSecondOut: (bytesOut - before.bytesOut) / seconds,
        buffered
      }
    })
}

const total = (rows: ReadonlyArray<Row>): Row => {
  const sum = (value: (row: Row) => number) => rows.reduce((all, row) => all + value(row), 0)
  return {
    label: rows.length === 1 ? "1 connection" : `${rows.length} connections`,
    perSecondIn: sum((row) => row.perSecondIn),
    perSecondOut: sum((row) => row.perSecondOut),
    buffered: sum((row) => row.buffered)
  }
}

const line = ({ buffered, label, perSecondIn, perSecondOut }: Row): string =>
  `${label}: ${Terminal.formatBytes(perSecondIn)}/s in, ${Terminal.formatBytes(perSecondOut)}/s out, ` +
  `${Terminal.formatBytes(buffered)} buffered`

const columns = (label: string, cells: ReadonlyArray<string>, width: number): string =>
  label.padEnd(width) + cells.map((cell) => cell.padStart(14)).join("")

const tableOf = (rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  // The busiest first: the table is cut where the terminal ends.
  const busiest = rows.toSorted((a, b) => b.perSecondIn + b.perSecondOut - a.perSecondIn - a.perSecondOut)
  const all = [total(rows), ...busiest]
  const width = Math.max(20, ...all.map(({ label }) => label.length))
  return [
    columns("CONNECTION", ["IN", "OUT", "BUFFERED"], width),
    ...all.map(({ buffered, label, perSecondIn, perSecondOut }) =>
      columns(label, [
        `${Terminal.formatBytes(perSecondIn)}/s`,
        `${Terminal.formatBytes(perSecondOut)}/s`,
        Terminal.formatBytes(buffered)
      ], width)
    )
  ]
}

/** Looks every second, for ever. Where it cannot redraw, it says nothing while there is nothing to say. */
export const watch = (connections: Connections): Effect.Effect<void> =>
  Effect.suspend(() => {
    const rows = makeRows(connections)
    let last = ""
    const look = Effect.sync(() => {
      const current = rows()
      if (Terminal.isInteractive()) return Terminal.unsafeDraw(tableOf(current))
      const summary = line(total(current))
      if (summary === last) return
      for (const row of current) Terminal.unsafeReport(line(row))
      Terminal.unsafeReport(summary)
      last = summary
    })
    return Effect.asVoid(Effect.repeat(look, Schedule.fixed("1 second")))
  })
