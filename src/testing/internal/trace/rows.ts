/**
 * What a sequence diagram shows, row by row, whether it is drawn with letters or with lines.
 *
 * @internal
 */
import { nothing } from "../../../internal/bytes.ts"
import type { DiagramOptions, SegmentEvent, TraceEvent } from "../../Trace.ts"
import type { Connection, Numbered } from "./connections.ts"
import { isMade, nanosOf, numbered } from "./connections.ts"

export interface Row {
  /** What the row is about is drawn beside its text. */
  readonly event: TraceEvent
  /** Nanoseconds. */
  readonly at: number
  readonly arrives: number | undefined
  readonly sent: string
  readonly outcome: string
  readonly label: string
  readonly payload: Uint8Array
  readonly connection: number
  /** How far an arrow gets: to the host, to a host that has no power, or only half the way. */
  readonly reach: "received" | "missed" | "lost"
}

export interface Diagram {
  readonly hosts: ReadonlyArray<string>
  readonly connections: ReadonlyArray<Connection>
  readonly rows: ReadonlyArray<Row>
}

/** What stands above the times. */
export const titles = { sent: "sent (ms)", outcome: "arrives" }

export const diagram = (trace: ReadonlyArray<TraceEvent>, options: DiagramOptions): Diagram => {
  const segments = numbered(trace)
  const chosen = options.connections === undefined ? undefined : new Set(options.connections)
  const isShown = (event: TraceEvent): boolean => {
    const segment = segments.get(event)
    if (segment === undefined) return chosen === undefined
    return chosen?.has(segment.connection.number) !== false &&
      (options.acknowledgements !== false || !isAcknowledgement(segment.event))
  }
  const appearing = new Set(trace.filter(isShown).flatMap(hostsOf))
  const hosts = [...new Set([...(options.hosts ?? []).filter((host) => appearing.has(host)), ...appearing])]
  const origin = options.relative === true ? trace[0]?.at ?? 0 : 0
  // Of the hosts of a chosen connection, power counts.
  const shown = trace.filter((event) => isShown(event) || isPower(event) && appearing.has(event.host))
  return {
    hosts,
    connections: [...new Set(shown.flatMap((event) => segments.get(event)?.connection ?? []))],
    rows: shown.map((event) => rowOf(event, segments.get(event), origin))
  }
}

const isPower = (event: TraceEvent): event is Extract<TraceEvent, { readonly _tag: "Crash" | "Restart" }> =>
  event._tag === "Crash" || event._tag === "Restart"

const isAcknowledgement = ({ fin, payload, rst, syn }: SegmentEvent): boolean =>
  payload.length === 0 && !syn && !fin && !rst

const hostsOf = (event: TraceEvent): ReadonlyArray<string> =>
  event._tag === "Segment" ? [event.from, event.to] : [event.host]

const rowOf = (event: TraceEvent, segment: Numbered | undefined, origin: number): Row => {
  const end = "arrives" in event ? event.arrives : event.at
  const at = nanosOf(event.at)
  const arrives = end === undefined ? undefined : nanosOf(end)
  return {
    event,
    at,
    arrives,
    sent: timeOf(event.at - origin),
    outcome: end === undefined ? segment!.event.fate : arrives === at ? "" : timeOf(end - origin),
    label: segment === undefined ? happening(event) : labelOf(segment),
    payload: segment?.event.payload ?? nothing,
    connection: segment?.connection.number ?? 0,
    reach: end === undefined ? "lost" : segment?.missed === true ? "missed" : "received"
  }
}

const timeOf = (millis: number): string => millis.toFixed(3)

const happening = (event: TraceEvent): string =>
  event._tag === "Crash"
    ? `${printable(event.host)} crashes`
    : event._tag === "Restart"
    ? `${printable(event.host)} restarts`
    : event._tag === "LookUp"
    ? printable(`look-up of ${event.name}: ${event.answer}`)
    : ""

const labelOf = ({ acknowledgement, again, connection, event, missed, sequence, windowChanged }: Numbered): string =>
  [
    `#${connection.number}`,
    ...event.from === event.to ? [`:${event.source.port}→:${event.destination.port}`] : [],
    kindsOf(event),
    `seq ${sequence}`,
    ...event.payload.length > 0 ? [`len ${event.payload.length}`] : [],
    ...event.ack ? [`ack ${acknowledgement}`] : [],
    ...windowChanged ? [`win ${event.window}`] : [],
    ...again ? ["again"] : [],
    ...isMade(event) ? [event.fate] : [],
    ...missed ? [`(${printable(event.to)} is down)`] : []
  ].join(" ")

/** All but the first segment acknowledge: it goes without saying, where there is more to say. */
const kindsOf = (event: SegmentEvent): string => {
  const kinds = [
    ...event.syn ? ["SYN"] : [],
    ...event.syn && event.ack ? ["ACK"] : [],
    ...event.payload.length > 0 ? ["DATA"] : [],
    ...event.fin ? ["FIN"] : [],
    ...event.rst ? ["RST"] : []
  ]
  return kinds.length > 0 ? kinds.join("+") : "ACK"
}

export const nameOf = ({ client, number, server }: Connection): string =>
  `#${number} ${printable(client.host)} ${client.address} → ${printable(server.host)} ${server.address}`

// -----------------------------------------------------------------------------
// what bytes say
// -----------------------------------------------------------------------------

const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\"": "\\\"", "\\": "\\\\" }

/** What a terminal or a document does not show as it is. */
const invisible = /[\p{C}\p{Zl}\p{Zp}]/gu

const hex = (code: number): string => code.toString(16).padStart(2, "0")

const coded = (char: string): string => {
  const code = char.codePointAt(0)!
  return escapes[char] ?? (code <= 0xff ? `\\x${hex(code)}` : `\\u{${hex(code)}}`)
}

export const printable = (text: string): string => text.replace(invisible, coded)

const quoted = (bytes: Uint8Array): ReadonlyArray<string> => {
  try {
    // What the end cuts in two is left out; what the beginning has cut is no UTF-8.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: true })
    return Array.from(text, (char) => escapes[char] ?? printable(char))
  } catch {
    return Array.from(bytes, (byte) => {
      const char = String.fromCharCode(byte)
      return isAscii(byte) ? escapes[char] ?? char : coded(char)
    })
  }
}

const isAscii = (byte: number): boolean => byte >= 0x20 && byte < 0x7f

const isText = (byte: number): boolean => byte >= 0x20 && byte !== 0x7f || byte >= 0x09 && byte <= 0x0d

/** As text in quotes if most of it is, or else in hexadecimal; cut to so many columns. */
export const preview = (payload: Uint8Array, width: number): string => {
  if (payload.length === 0 || width < 3) return ""
  // More than has place: a character of UTF-8 has up to 4 bytes.
  const start = payload.subarray(0, 4 * width)
  const text = start.filter(isText).length * 2 > start.length
  const pieces = text ? quoted(start) : Array.from(start, (byte, index) => `${index === 0 ? "" : " "}${hex(byte)}`)
  const [open, close] = text ? ["\"", "\""] : ["<", ">"]
  const whole = `${open}${pieces.join("")}${close}`
  if (start.length === payload.length && widthOf(whole) <= width) return whole
  return `${open}${beginning(pieces, width - 2)}…`
}

/** As many of the pieces as so many columns hold. */
export const beginning = (pieces: ReadonlyArray<string>, room: number): string => {
  let left = room
  const kept = pieces.findIndex((piece) => (left -= widthOf(piece)) < 0)
  return pieces.slice(0, kept === -1 ? pieces.length : kept).join("")
}

/** In columns of a terminal, as wcwidth(3) counts them. */
export const widthOf = (text: string): number =>
  Array.from(text).reduce((sum, char) => sum + (combining.test(char) ? 0 : wide.test(char) ? 2 : 1), 0)

const combining = /[\p{Mn}\p{Me}]/u

/** East Asian scripts and their forms (UAX #11), and what is shown as a picture. */
const wide =
  /[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u
