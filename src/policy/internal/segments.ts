/**
 * Bytes that have passed, as the TCP segments that could have carried them.
 *
 * @internal
 */
import type { TcpAddress } from "../../Address.ts"
import { nothing } from "../../internal/bytes.ts"
import { handshakeOptions, maxPayload, tcpPacket } from "../../internal/tcpPacket.ts"
import type { Passed } from "../Wiretap.ts"

type Direction = Passed["direction"]

interface Flags {
  readonly syn: boolean
  readonly ack: boolean
  readonly fin: boolean
  readonly rst: boolean
}

const plain: Flags = { syn: false, ack: false, fin: false, rst: false }
const syn: Flags = { ...plain, syn: true }
const synAck: Flags = { ...plain, syn: true, ack: true }
const ack: Flags = { ...plain, ack: true }
const finAck: Flags = { ...plain, fin: true, ack: true }
const rstAck: Flags = { ...plain, rst: true, ack: true }

const opposite = { in: "out", out: "in" } as const

/** Each segment is acknowledged at once, so that none exceeds the window of the other side. */
export const segments = (
  local: TcpAddress,
  remote: TcpAddress,
  side: "client" | "server",
  initialSequence: number,
  openedAt: number,
  send: (at: number, direction: Direction, bytes: Uint8Array) => void
): (passed: Passed) => void => {
  const next = { in: initialSequence, out: initialSequence }
  let identification = 0
  const segment = (at: number, direction: Direction, { ack, fin, rst, syn }: Flags, payload = nothing) => {
    identification = identification + 1 & 0xffff
    // Key by key: a spread takes V8's slow path, which costs more than all else of a packet.
    const packet = tcpPacket({
      syn,
      ack,
      fin,
      rst,
      source: direction === "out" ? local : remote,
      destination: direction === "out" ? remote : local,
      sequence: next[direction],
      acknowledgement: next[opposite[direction]],
      options: syn ? handshakeOptions(maxPayload, 0) : undefined,
      payload,
      identification,
      window: 65535
    })
    next[direction] = next[direction] + payload.length + (syn || fin ? 1 : 0) >>> 0
    send(at, direction, packet)
  }
  const answered = (at: number, direction: Direction, flags: Flags, payload?: Uint8Array) => {
    segment(at, direction, flags, payload)
    segment(at, opposite[direction], ack)
  }
  const first = side === "client" ? "out" : "in"
  segment(openedAt, first, syn)
  segment(openedAt, opposite[first], synAck)
  segment(openedAt, first, ack)
  return ({ at, bytes, direction, kind }) => {
    if (kind === "reset") return segment(at, direction, rstAck)
    if (kind === "end") return answered(at, direction, finAck)
    for (let from = 0; from < bytes.length; from += maxPayload) {
      answered(at, direction, ack, bytes.subarray(from, from + maxPayload))
    }
  }
}
