/**
 * What happened on a simulated network: every segment with its fate, look-ups, crashes and restarts. A trace can be read as a
 * sequence diagram, in text and as SVG, and opened in Wireshark.
 *
 * @since 0.1.0
 */
import type { TcpAddress } from "../Address.ts"
import { capture } from "./internal/trace/capture.ts"
import * as Svg from "./internal/trace/svg.ts"
import * as Text from "./internal/trace/text.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What became of a segment: it was delivered; it was lost; a rule refused it, or made it, or made a copy of it; a router said
 * that the host cannot be reached; or there is no host with this address.
 *
 * @since 0.1.0
 * @category models
 */
export type Fate = "delivered" | "lost" | "refused" | "forged" | "copied" | "unreachable" | "no such host"

/**
 * One segment that was sent. Times are milliseconds, by the Clock of the simulation.
 *
 * @since 0.1.0
 * @category models
 */
export interface SegmentEvent {
  readonly _tag: "Segment"
  readonly at: number
  /** When it reaches the other host; `undefined` if it does not. */
  readonly arrives: number | undefined
  readonly fate: Fate
  /** Names of hosts. */
  readonly from: string
  readonly to: string
  readonly source: TcpAddress
  readonly destination: TcpAddress
  readonly syn?: true
  readonly ack?: true
  readonly fin?: true
  readonly rst?: true
  /** Of the first byte of the payload; SYN and FIN take a number each. They do not wrap at 2³². */
  readonly sequence: number
  readonly acknowledgement: number
  readonly window: number
  readonly payload: Uint8Array
}

/**
 * @since 0.1.0
 * @category models
 */
export type TraceEvent =
  | SegmentEvent
  | { readonly _tag: "Crash" | "Restart"; readonly at: number; readonly host: string }
  | {
    readonly _tag: "LookUp"
    readonly at: number
    readonly arrives: number
    /** Who asks. */
    readonly host: string
    readonly name: string
    readonly answer: string
  }

/**
 * @since 0.1.0
 * @category models
 */
export interface DiagramOptions {
  /**
   * Only these connections, and the crashes and restarts of their hosts; look-ups are of no connection. They are numbered as
   * they were attempted, from 1, which is the number that a `Rule` has for them as long as the trace is whole.
   */
  readonly connections?: ReadonlyArray<number> | undefined
  /** Whether segments are shown that do nothing but acknowledge, or announce a window: true. */
  readonly acknowledgements?: boolean | undefined
  /** Whether times count from the first event, and not by the Clock: false. */
  readonly relative?: boolean | undefined
  /** The hosts that stand first, from the left; others follow as they appear. Whoever has no part is not shown. */
  readonly hosts?: ReadonlyArray<string> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface FormatOptions extends DiagramOptions {
  /** The columns of a line: 120. Payload is cut to fit, and with many hosts what else is said of a segment. */
  readonly width?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PcapngOptions {
  /** Only these connections; see `DiagramOptions`. */
  readonly connections?: ReadonlyArray<number> | undefined
  /**
   * Where packets are captured.
   *
   * - `sender`, the default: each packet once, as it leaves its sender, whether it arrives or not. What the network itself
   *   has made (forged resets, copies) is captured as it arrives.
   * - `{ host }`: what tcpdump would see on that host, which is what it sends, and what reaches it.
   * - `both`: as it leaves, and again as it arrives, each at the interface of its host. Wireshark takes the second for a
   *   retransmission.
   */
  readonly at?: "sender" | "both" | { readonly host: string } | undefined
}

// -----------------------------------------------------------------------------
// formatting
// -----------------------------------------------------------------------------

/**
 * The trace as a sequence diagram in plain text: a line of its own for each host, a row for each event. The same trace gives
 * the same text.
 *
 * On the left stands when a segment was sent, and when it arrives or what became of it; then the arrow; then the number of
 * its connection, what it is, its numbers relative to the SYN's, the window if it has changed, and the payload. A segment
 * that does not arrive breaks off with ✗; what the network has made is dashed; what a host sends to itself comes straight
 * back. A host that has crashed is dotted until it restarts.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Network from "effect-transport/Network"
 * import * as SimNetwork from "effect-transport/testing/SimNetwork"
 * import * as Trace from "effect-transport/testing/Trace"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const sim = yield* SimNetwork.SimNetwork
 *   const attempt = Network.connect(sim.addressOf("server", 80))
 *   yield* Effect.flip(SimNetwork.on(attempt, "client"))
 *   return Trace.format(sim.trace())
 * }))
 *
 * const options = { hosts: ["server", "client"], latency: "1 millis" } as const
 * console.log(await Effect.runPromise(SimNetwork.run(program, options)))
 * // #1 client 10.0.0.2:32768 → server 10.0.0.1:80
 * //
 * // sent (ms)  arrives   client      server
 * //     0.000    1.000   ├──────────▶│   #1 SYN seq 0 win 65536
 * //     1.000    2.000   │◀──────────┤   #1 RST seq 1 ack 1
 * ```
 *
 * @since 0.1.0
 * @category formatting
 */
export const format = (trace: ReadonlyArray<TraceEvent>, options: FormatOptions = {}): string =>
  Text.format(trace, options)

/**
 * The trace as a sequence diagram in SVG: as `format` shows it, with arrows that lead from when a segment was sent down to
 * when it arrives, and a colour for each connection. Readable on light and on dark ground, with nothing to be loaded.
 *
 * Time is not to scale: what is later is lower.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Network from "effect-transport/Network"
 * import * as SimNetwork from "effect-transport/testing/SimNetwork"
 * import * as Trace from "effect-transport/testing/Trace"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const sim = yield* SimNetwork.SimNetwork
 *   const attempt = Network.connect(sim.addressOf("server", 80))
 *   yield* Effect.flip(SimNetwork.on(attempt, "client"))
 *   return Trace.toSvg(sim.trace())
 * }))
 *
 * const svg = await Effect.runPromise(SimNetwork.run(program, { hosts: ["server", "client"] }))
 * console.log(svg.slice(0, 4)) // <svg
 * ```
 *
 * @since 0.1.0
 * @category formatting
 */
export const toSvg = (trace: ReadonlyArray<TraceEvent>, options: DiagramOptions = {}): string =>
  Svg.toSvg(trace, options)

/**
 * The segments of the trace as a capture file, pcapng (draft-ietf-opsawg-pcapng), for Wireshark and its kind: an interface for
 * each host, names for its addresses, times in nanoseconds, and a comment on each packet that was not simply delivered. The
 * filter `frame.comment` shows those.
 *
 * The packets are IPv4 or IPv6, with right checksums. What is not in a trace stands there as TCP needs it: SYNs have an MSS
 * and, for windows that are greater than 65535, a window scale. Look-ups, crashes and restarts have no packets.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Network from "effect-transport/Network"
 * import * as SimNetwork from "effect-transport/testing/SimNetwork"
 * import * as Trace from "effect-transport/testing/Trace"
 * import * as fs from "node:fs"
 * import * as os from "node:os"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const sim = yield* SimNetwork.SimNetwork
 *   const attempt = Network.connect(sim.addressOf("server", 80))
 *   yield* Effect.flip(SimNetwork.on(attempt, "client"))
 *   return Trace.toPcapng(sim.trace())
 * }))
 *
 * const capture = await Effect.runPromise(SimNetwork.run(program, { hosts: ["server", "client"] }))
 * const directory = fs.mkdtempSync(`${os.tmpdir()}/trace-`)
 * fs.writeFileSync(`${directory}/trace.pcapng`, capture) // wireshark trace.pcapng
 * fs.rmSync(directory, { recursive: true })
 * ```
 *
 * @since 0.1.0
 * @category formatting
 */
export const toPcapng = (trace: ReadonlyArray<TraceEvent>, options: PcapngOptions = {}): Uint8Array =>
  capture(trace, options)
