/**
 * TCP segments (RFC 9293 §3.1), with sequence numbers that never wrap.
 *
 * @internal
 */
import type * as Address from "../../../Address.ts"
import { nothing } from "../../../internal/bytes.ts"
import type { Packet } from "../../Rule.ts"
import type { SegmentEvent } from "../../Trace.ts"

/** What is traced of it, without what became of it. */
export type Segment = Omit<SegmentEvent, "_tag" | "at" | "arrives" | "fate" | "from" | "to">

/** How many sequence numbers it takes. */
export const lengthOf = (segment: Segment): number =>
  segment.payload.length + (segment.syn ? 1 : 0) + (segment.fin ? 1 : 0)

export const kindOf = (segment: Segment): Packet["kind"] =>
  segment.rst
    ? "RST"
    : segment.syn
    ? "SYN"
    : segment.payload.length > 0
    ? "DATA"
    : segment.fin
    ? "FIN"
    : "ACK"

/** Both ends of a connection, as the sender of a segment would call it. */
export const tuple = (here: Address.TcpAddress, there: Address.TcpAddress): string =>
  `${here.host}|${here.port}|${there.host}|${there.port}`

/** The answer to a segment that no connection is there for (RFC 9293 §3.10.7.1). */
export const resetFor = (segment: Segment): Segment => ({
  source: segment.destination,
  destination: segment.source,
  rst: true,
  ack: true,
  sequence: segment.ack ? segment.acknowledgement : 0,
  acknowledgement: segment.sequence + lengthOf(segment),
  window: 0,
  payload: nothing
})
