/**
 * What the tool prints: results on stdout, everything else on stderr, and below that, on a terminal, a table that is
 * redrawn in place. A reader that goes away (`| head -1`) is not an error.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { systemFailure } from "../ConnectionError.ts"
import { OutputFailed } from "./stdio.ts"

/** The first; that a reader has gone is none. */
let failure: OutputFailed | undefined

// Without a listener, EPIPE would end the process with a stack trace.
for (const [name, stream] of [["output", process.stdout], ["error", process.stderr]] as const) {
  stream.on("error", (cause) => {
    const { code } = systemFailure(cause)
    if (code !== "EPIPE") failure ??= new OutputFailed({ stream: name, code })
  })
}

/** Lines of the table that stand on the terminal, below everything else. */
let drawn = 0

const eraseTable = (): string => drawn === 0 ? "" : `\x1b[${drawn}A\x1b[J`

let table: ReadonlyArray<string> = []

/** What a peer has chosen, such as a path in a PROXY header, shows its control characters, and is no command to the terminal. */
export const visible = (text: string): string =>
  text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`)

const oneLine = (text: string): string => text.replaceAll(/\s*\n\s*/g, " ").trim()

const put = (line: string): void => {
  process.stderr.write(`${eraseTable()}${line}\n${table.map((row) => `${row}\n`).join("")}`)
  drawn = table.length
}

/** One line on stderr, whatever the text is made of. */
export const unsafeReport = (text: string): void => put(visible(oneLine(text)))

export const report = (text: string): Effect.Effect<void> => Effect.sync(() => unsafeReport(text))

/** A line with escape sequences of its own. */
export const reportStyled = (text: string): Effect.Effect<void> => Effect.sync(() => put(oneLine(text)))

/** One line on stdout. */
export const print = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stdout.write(`${text}\n`))

/** Whether a table can be redrawn in place. */
export const isInteractive = (): boolean => process.stderr.isTTY

/** Puts the table in the place of the one before, cut to the terminal's size. */
export const unsafeDraw = (rows: ReadonlyArray<string>): void => {
  // A terminal that does not know its size says 0.
  const width = process.stderr.columns || 80
  const height = process.stderr.rows || 24
  const visible = rows.slice(0, Math.max(1, height - 1)).map((row) => row.slice(0, width - 1))
  process.stderr.write(`${eraseTable()}${visible.map((row) => `${row}\n`).join("")}`)
  drawn = visible.length
  table = visible
}

/** Escape sequences are for terminals whose user did not switch them off (no-color.org). */
export const plain = (text: string, stream: NodeJS.WriteStream): string =>
  stream.isTTY && !process.env["NO_COLOR"] ? text : text.replaceAll(/\x1b\[[\d;]*m/g, "")

/** Completes when both streams have taken what was printed, or fails with why one of them has not. */
export const flushed: Effect.Effect<void, OutputFailed> = Effect.zipRight(
  Effect.forEach(
    [process.stdout, process.stderr],
    (stream) => Effect.async<void>((resume) => void stream.write("", () => resume(Effect.void))),
    { discard: true }
  ),
  Effect.suspend(() => failure === undefined ? Effect.void : Effect.fail(failure))
)

const units = ["KiB", "MiB", "GiB", "TiB"]

/** `512 B`, `1.5 KiB`, `12.0 MiB`. */
export const formatBytes = (bytes: number): string => {
  if (bytes < 1024) return `${Math.round(bytes)} B`
  const power = Math.min(units.length, Math.floor(Math.log2(bytes) / 10))
  return `${(bytes / 1024 ** power).toFixed(1)} ${units[power - 1]}`
}
