/**
 * A trace as the capture of its packets.
 *
 * @internal
 */
import type { TcpAddress } from "../../../Address.ts"
import { concat } from "../../../internal/bytes.ts"
import * as Pcapng from "../../../internal/pcapng.ts"
import { addressBytes, handshakeOptions, maxPayload, tcpPacket } from "../../../internal/tcpPacket.ts"
import type { PcapngOptions, SegmentEvent, TraceEvent } from "../../Trace.ts"
import { isLoopback } from "../sim/host.ts"
import type { Numbered } from "./connections.ts"
import { isMade, nanosOf, numbered } from "./connections.ts"

/** A segment as it is seen at a host. */
interface Sighting {
  readonly segment: Numbered
  readonly host: string
  readonly direction: "in" | "out"
  /** Nanoseconds. */
  readonly at: number
  /** In the trace. */
  readonly index: number
}

export const capture = (trace: ReadonlyArray<TraceEvent>, options: PcapngOptions): Uint8Array => {
  const chosen = options.connections === undefined ? undefined : new Set(options.connections)
  const segments = [...numbered(trace).values()].filter(({ connection }) => chosen?.has(connection.number) !== false)
  const sightings = segments
    .flatMap((segment, index) => sightingsOf(segment, index, options.at ?? "sender"))
    .toSorted((left, right) => left.at - right.at || left.index - right.index)
  const interfaces = [...new Set(sightings.map(({ host }) => host))]
  const headers = headersOf(segments)
  return concat([
    Pcapng.sectionHeader("effect-transport"),
    ...interfaces.map(Pcapng.interfaceDescription),
    Pcapng.nameResolution(namesOf(segments)),
    ...sightings.flatMap(({ at, direction, host, index, segment }) =>
      packetsOf(segment.event, index, headers(segment.event)).map((bytes) =>
        Pcapng.enhancedPacket({
          interface: interfaces.indexOf(host),
          direction,
          at: BigInt(at),
          bytes,
          comment: commentOn(segment)
        })
      )
    )
  ])
}

/** What the network has made never left its sender; what a host sends to itself passes its interface once. */
const sightingsOf = (
  segment: Numbered,
  index: number,
  where: NonNullable<PcapngOptions["at"]>
): ReadonlyArray<Sighting> => {
  const { arrives, at, from, to } = segment.event
  const sent: Sighting = { segment, host: from, direction: "out", at: nanosOf(at), index }
  const received = arrives === undefined || segment.missed
    ? []
    : [{ segment, host: to, direction: "in", at: nanosOf(arrives), index } as const]
  const atBoth = isMade(segment.event) ? received : from === to ? [sent] : [sent, ...received]
  if (where === "sender") return atBoth.slice(0, 1)
  return where === "both" ? atBoth : atBoth.filter(({ host }) => host === where.host)
}

const commentOn = ({ event, missed }: Numbered): string | undefined =>
  missed
    ? `lost: ${event.to} is down`
    : event.fate === "delivered"
    ? undefined
    : isMade(event)
    ? `${event.fate} by the network`
    : event.fate

const namesOf = (segments: ReadonlyArray<Numbered>): ReadonlyArray<readonly [Uint8Array, string]> => {
  const names = new Map<string, readonly [TcpAddress, string]>()
  for (const { event } of segments) {
    for (const [address, name] of [[event.source, event.from], [event.destination, event.to]] as const) {
      // A loopback address is every host's, and so no one's name.
      if (!isLoopback(address.host) && name !== address.host) names.set(address.host, [address, name])
    }
  }
  return [...names.values()].map(([address, name]) => [addressBytes(address), name])
}

// -----------------------------------------------------------------------------
// packets
// -----------------------------------------------------------------------------

interface Header {
  readonly window: number
  readonly options: Uint8Array | undefined
}

/** Windows that are greater than the field are shifted, as both ends agree in the handshake (RFC 7323 §2). */
const headersOf = (segments: ReadonlyArray<Numbered>): (event: SegmentEvent) => Header => {
  let mss = 1460
  const widest = new Map<string, number>()
  const senders = new Map<SegmentEvent, string>()
  for (const { connection, event } of segments) {
    const sender = `${connection.number} ${event.from} ${event.source}`
    senders.set(event, sender)
    widest.set(sender, Math.max(event.window, widest.get(sender) ?? 0))
    mss = Math.max(mss, Math.min(event.payload.length, maxPayload))
  }
  return (event) => {
    const shift = Math.max(0, Math.ceil(Math.log2((widest.get(senders.get(event)!) ?? 0) / 65535)))
    return event.syn
      // Never shifted itself.
      ? { window: Math.min(65535, event.window), options: handshakeOptions(mss, shift) }
      // Only a window of 0 is one of 0.
      : { window: Math.ceil(event.window / 2 ** shift), options: undefined }
  }
}

/** More than one if the payload is too big for one. */
const packetsOf = (event: SegmentEvent, index: number, header: Header): ReadonlyArray<Uint8Array> => {
  const { fin, payload, sequence, ...rest } = event
  const packets: Array<Uint8Array> = []
  let at = 0
  do {
    const piece = payload.subarray(at, at + maxPayload)
    const last = at + piece.length === payload.length
    packets.push(
      tcpPacket({
        ...rest,
        ...header,
        fin: last && fin,
        sequence: sequence + at,
        payload: piece,
        identification: index
      })
    )
    at += piece.length
  } while (at < payload.length)
  return packets
}
