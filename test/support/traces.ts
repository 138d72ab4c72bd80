/** Events of simulated networks, made up. */
import * as Address from "../../src/Address.ts"
import type { SegmentEvent } from "../../src/testing/Trace.ts"

const addresses: Record<string, string> = { client: "10.0.0.2", server: "10.0.0.1" }

const end = (host: string, port: number) => Address.tcp(addresses[host] ?? "10.0.0.9", port)

/** One segment from the client's port 1024 to the server's port 80 that takes 1 ms, or of any other kind. */
export const segment = (fields: Partial<SegmentEvent> = {}): SegmentEvent => {
  const { at = 0, from = "client", to = "server" } = fields
  return {
    _tag: "Segment",
    at,
    arrives: at + 1,
    fate: "delivered",
    from,
    to,
    source: end(from, from === "server" ? 80 : 1024),
    destination: end(to, to === "server" ? 80 : 1024),
    sequence: 0,
    acknowledgement: 0,
    window: 65535,
    payload: new Uint8Array(0),
    ...fields
  }
}

/** And the answer to it: from the server to the client. */
export const answer = (fields: Partial<SegmentEvent> = {}): SegmentEvent =>
  segment({ from: "server", to: "client", ack: true, ...fields })
