/**
 * Bytes that have passed, as the TCP segments that could have carried them.
 *
 * @internal
 */
import type { TcpAddress } from "../../Address.ts"
import { handshakeOptions, maxPayload, tcpPacket } from "../../internal/tcpPacket.ts"
import type { Passed } from "../Wiretap.ts"

const nothing: Uint8Array = new Uint8Array(0)

interface Flags {
  readonly syn?: boolean
  readonly ack?: boolean
  readonly fin?: boolean
  readonly rst?: boolean
}

/** Each segment is acknowledged at once, so that none exceeds the window of the other side. */
export const segments = (
  local: TcpAddress,
  remote: TcpAddress,
  side: "client" | "server",
  openedAt: number,
  send: (at: number, direction: "in" | "out", bytes: Uint8Array) => void
): (passed: Passed) => void => {
  const next = { in: 0, out: 0 }
  let identification = 0
  const segment = (at: number, direction: "in" | "out", flags: Flags, payload = nothing) => {
    const [source, destination] = direction === "out" ? [local, remote] : [remote, local]
    const sequence = next[direction] >>> 0
    const acknowledgement = next[direction === "out" ? "in" : "out"] >>> 0
    const options = flags.syn ? handshakeOptions(maxPayload, 0) : undefined
    identification = identification + 1 & 0xffff
    send(
      at,
      direction,
      tcpPacket({
        ...flags,
        source,
        destination,
        sequence,
        acknowledgement,
        options,
        payload,
        identification,
        window: 65535
      })
    )
    next[direction] += payload.length + (flags.syn || flags.fin ? 1 : 0)
  }
  const answered = (at: number, direction: "in" | "out", flags: Flags, payload?: Uint8Array) => {
    segment(at, direction, { ...flags, ack: true }, payload)
    segment(at, direction === "out" ? "in" : "out", { ack: true })
  }
  const [first, second] = side === "client" ? ["out", "in"] as const : ["in", "out"] as const
  segment(openedAt, first, { syn: true })
  segment(openedAt, second, { syn: true, ack: true })
  segment(openedAt, first, { ack: true })
  return ({ at, bytes, direction, kind }) => {
    if (kind === "reset") return segment(at, direction, { rst: true, ack: true })
    if (kind === "end") return answered(at, direction, { fin: true })
    for (let from = 0; from < bytes.length; from += maxPayload) {
      answered(at, direction, {}, bytes.subarray(from, from + maxPayload))
    }
  }
}
