/**
 * Segments as parts of their connections, with numbers that count from the start of each.
 *
 * @internal
 */
import type { TcpAddress } from "../../../Address.ts"
import type { SegmentEvent, TraceEvent } from "../../Trace.ts"
import { lengthOf } from "../sim/segment.ts"

/**
 * A time as the Clock counts it. What arrives was computed with fractions of a nanosecond: without this, the answer would come
 * before it.
 */
export const nanosOf = (millis: number): number => Math.round(millis * 1e6)

export interface End {
  readonly host: string
  readonly address: TcpAddress
}

export interface Connection {
  /** In the order in which they were attempted, from 1. */
  readonly number: number
  readonly client: End
  readonly server: End
}

export interface Numbered {
  readonly event: SegmentEvent
  readonly connection: Connection
  /** Both relative to the SYN of that direction. */
  readonly sequence: number
  readonly acknowledgement: number
  /** Some of it was sent before. */
  readonly again: boolean
  /** The sender had another window before. */
  readonly windowChanged: boolean
  /** The host has no power when it arrives. */
  readonly missed: boolean
}

interface Direction {
  /** The sequence number of the SYN. */
  first: number | undefined
  /** Beyond the last that was sent. */
  next: number
  window: number | undefined
}

interface Known {
  readonly connection: Connection
  readonly directions: Map<string, Direction>
}

export const numbered = (trace: ReadonlyArray<TraceEvent>): ReadonlyMap<TraceEvent, Numbered> => {
  const connections = new Connections()
  const isDown = outages(trace)
  const segments = trace.filter((event) => event._tag === "Segment")
  return new Map(segments.map((event) => {
    const missed = event.arrives !== undefined && isDown(event.to, nanosOf(event.arrives))
    return [event, { ...connections.number(event), missed }]
  }))
}

/** By the network, and not by who seems to have sent it. */
export const isMade = ({ fate }: SegmentEvent): boolean => fate === "forged" || fate === "copied"

/** By host as well: loopback addresses are every host's. */
const here = ({ from, source }: SegmentEvent): string => `${from} ${source}`
const there = ({ destination, to }: SegmentEvent): string => `${to} ${destination}`

class Connections {
  private readonly known = new Map<string, Known>()
  private count = 0

  number(event: SegmentEvent): Omit<Numbered, "missed"> {
    const { connection, directions } = this.of(event)
    const forth = directionOf(directions, here(event))
    const back = directionOf(directions, there(event))
    const length = lengthOf(event)
    // Of a connection whose beginning is not in the trace, the first number that is counts as the one after the SYN.
    if (event.syn) forth.first = event.sequence
    forth.first ??= event.sequence - 1
    if (event.ack) back.first ??= event.acknowledgement - 1
    // What the network has made says nothing of its alleged sender.
    const genuine = !isMade(event)
    const again = genuine && length > 0 && event.sequence < forth.next
    const windowChanged = genuine && !event.rst && event.window !== forth.window
    if (genuine) forth.next = Math.max(forth.next, event.sequence + length)
    if (windowChanged) forth.window = event.window
    return {
      event,
      connection,
      sequence: event.sequence - forth.first,
      acknowledgement: event.acknowledgement - (back.first ?? 0),
      again,
      windowChanged
    }
  }

  private of(event: SegmentEvent): Known {
    const [from, to] = [here(event), there(event)]
    const isAttempt = event.syn === true && event.ack === undefined
    const known = this.known.get(`${from} ${to}`)
    if (known !== undefined && !(isAttempt && directionOf(known.directions, from).first !== event.sequence)) {
      return known
    }
    const sender: End = { host: event.from, address: event.source }
    const receiver: End = { host: event.to, address: event.destination }
    const [client, server] = event.syn && event.ack ? [receiver, sender] : [sender, receiver]
    const added: Known = { connection: { number: ++this.count, client, server }, directions: new Map() }
    this.known.set(`${from} ${to}`, added)
    this.known.set(`${to} ${from}`, added)
    return added
  }
}

const directionOf = (directions: Map<string, Direction>, end: string): Direction => {
  let direction = directions.get(end)
  if (direction === undefined) {
    direction = { first: undefined, next: 0, window: undefined }
    directions.set(end, direction)
  }
  return direction
}

/** Whether a host has no power, at a time in nanoseconds. */
const outages = (trace: ReadonlyArray<TraceEvent>): (host: string, at: number) => boolean => {
  const all = new Map<string, Array<{ from: number; until: number }>>()
  for (const event of trace) {
    if (event._tag !== "Crash" && event._tag !== "Restart") continue
    const known = all.get(event.host) ?? []
    all.set(event.host, known)
    const last = known.at(-1)
    const at = nanosOf(event.at)
    if (event._tag === "Crash") known.push({ from: at, until: Infinity })
    // Its crash is no more in the trace.
    else if (last === undefined) known.push({ from: -Infinity, until: at })
    else last.until = at
  }
  return (host, at) => all.get(host)?.some(({ from, until }) => from <= at && at < until) ?? false
}
