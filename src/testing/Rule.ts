/**
 * What may befall packets and hosts of a simulated network, as data: a list of rules is a fault script, which can be
 * generated, shrunk, printed and run again. All toxics of Toxiproxy are among them.
 *
 * Rules are asked in their order for each packet. Delays add up; the first rule that drops a packet, or lets it `pass`,
 * has the last word. TCP above them behaves as ever: a lost segment is sent again later, so to a program loss is delay,
 * until the kernel gives up.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type { Address } from "../Address.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * From when, and for how long, a rule holds: from the moment in which it is given, for ever.
 *
 * @since 0.1.0
 * @category models
 */
export interface When {
  /** After the rule was given: at once. For a rule that the simulation is made with, after its start. */
  readonly at?: Duration.DurationInput | undefined
  readonly for?: Duration.DurationInput | undefined
}

/**
 * Which packets a rule is about: those for which all holds that is given, and all packets if nothing is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Where extends When {
  /** The host that sends. */
  readonly from?: string | undefined
  /** The host that receives. */
  readonly to?: string | undefined
  /** Of one of these two to the other, both ways. */
  readonly between?: readonly [string, string] | undefined
  /** The port that is listened on, for packets of both directions. */
  readonly port?: number | undefined
  /** Only packets of the n-th connection that was attempted: 1 is the first. */
  readonly connection?: number | undefined
  /** Any other condition. */
  readonly matching?: ((packet: Packet) => boolean) | undefined
}

/**
 * What rules see of a segment.
 *
 * @since 0.1.0
 * @category models
 */
export interface Packet {
  /** Names of hosts. */
  readonly from: string
  readonly to: string
  readonly source: Address
  readonly destination: Address
  readonly kind: "SYN" | "DATA" | "ACK" | "FIN" | "RST"
  readonly payload: Uint8Array
  /** The place of the payload's first byte in all that its sender writes on this connection. */
  readonly offset: number
  /** Which connection it belongs to, counted from 1; 0 for a packet of none. */
  readonly connection: number
}

type Tagged<Tag extends string, Fields> = { readonly _tag: Tag } & Readonly<Fields>

/**
 * One rule.
 *
 * @since 0.1.0
 * @category models
 */
export type Rule =
  | Tagged<"Pass", Where>
  | Tagged<"Delay", Where & { by: Duration.DurationInput; jitter?: Duration.DurationInput | undefined }>
  | Tagged<"Drop", Where & { rate?: number | undefined }>
  | Tagged<"Partition", When & { between: readonly [Side, Side] }>
  | Tagged<"Bandwidth", Where & { bytesPerSecond: number }>
  | Tagged<"Slice", Where & { size: number; variation?: number | undefined; gap?: Duration.DurationInput | undefined }>
  | Tagged<"Duplicate", Where & { rate?: number | undefined; after?: Duration.DurationInput | undefined }>
  | Tagged<
    "Reset",
    Where & { afterBytes?: number | undefined; after?: Duration.DurationInput | undefined }
  >
  | Tagged<"Limit", Where & { bytes: number }>
  | Tagged<"Stall", Where & { closeAfter?: Duration.DurationInput | undefined }>
  | Tagged<"SlowClose", Where & { by: Duration.DurationInput }>
  | Tagged<"Down", Where>
  | Tagged<"Unreachable", Where>
  | Tagged<"Crash", When & { host: string }>
  | Tagged<"Names", When & { name?: string | undefined } & NameFault>
  | Tagged<"Descriptors", When & { host: string; limit: number }>

/**
 * A host, or several.
 *
 * @since 0.1.0
 * @category models
 */
export type Side = string | ReadonlyArray<string>

/**
 * What befalls a look-up: it takes longer, it fails (`NXDOMAIN`: no such name; `SERVFAIL`: no answer, try again), or it
 * gives other addresses.
 *
 * @since 0.1.0
 * @category models
 */
export interface NameFault {
  readonly by?: Duration.DurationInput | undefined
  readonly fails?: "NXDOMAIN" | "SERVFAIL" | undefined
  readonly answers?: ReadonlyArray<string> | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

type Of<Tag extends Rule["_tag"]> = Omit<Extract<Rule, { readonly _tag: Tag }>, "_tag">

const rule = <Tag extends Rule["_tag"]>(_tag: Tag) => (options: Of<Tag>): Rule =>
  ({ _tag, ...options }) as unknown as Rule

/**
 * Exempts packets from all rules after this one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pass = rule("Pass")

/**
 * Packets take longer: `by`, and at random up to `jitter` more or less. Those of one direction of a connection never
 * overtake each other. (Toxiproxy: latency.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const delay = rule("Delay")

/**
 * Packets are lost: each with the probability `rate`, from 0 to 1, by default all of them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const drop = rule("Drop")

/**
 * Nothing passes between the two sides, in neither direction; within each side everything does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const partition = rule("Partition")

/**
 * At most so many bytes of payload in a second pass from one host to another; what is more waits in line. (Toxiproxy:
 * bandwidth.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const bandwidth = rule("Bandwidth")

/**
 * Data comes in pieces of `size` bytes, at random up to `variation` more or less, each `gap` after the one before: 0.
 * (Toxiproxy: slicer.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const slice = rule("Slice")

/**
 * Packets come twice, the second time `after` so long: 1 ms; each with the probability `rate`, by default all of them. A
 * connection attempt is a packet as well.
 *
 * @since 0.1.0
 * @category constructors
 */
export const duplicate = rule("Duplicate")

/**
 * Both ends of a connection get a reset: when so many bytes have passed in the direction that the rule is about
 * (`afterBytes: k`: exactly k bytes are delivered, also where some of them are lost first and sent again), or `after` so long
 * from the first of its packets that the rule is about, those of the handshake among them, if the rule still holds then. With neither, at its next packet. (Toxiproxy: reset_peer.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const reset = rule("Reset")

/**
 * Both ends see an orderly end once so many bytes have passed in the direction that the rule is about: exactly so many, as
 * with `reset`. (Toxiproxy: limit_data.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const limit = rule("Limit")

/**
 * Data does not get through: it waits until the rule ends; or both ends see an orderly end, `closeAfter` so long from the first
 * of it, if the rule still holds then. (Toxiproxy: timeout.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const stall = rule("Stall")

/**
 * The end of a direction comes later. (Toxiproxy: slow_close.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const slowClose = rule("SlowClose")

/**
 * Connection attempts are refused, and connections that are open are reset at their next packet. (Toxiproxy: down.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const down = rule("Down")

/**
 * A router answers that the host cannot be reached: connection attempts fail at once, everything else is lost.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unreachable = rule("Unreachable")

/**
 * The host loses its power: its connections and listeners are gone and nobody is told, programs that were booted on it
 * are interrupted. After `for` it starts again, and the programs anew; without it, never. Under several rules it starts when
 * the last of them has ended, or by `SimNetwork.restart`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const crash = rule("Crash")

/**
 * Look-ups of the name, in any case, or of all names, go wrong.
 *
 * @since 0.1.0
 * @category constructors
 */
export const names = rule("Names")

/**
 * The host has no more than so many descriptors: connecting fails with `TooManyOpenFiles`, and what is accepted is closed
 * at once, as libuv does. Of several limits the least holds.
 *
 * @since 0.1.0
 * @category constructors
 */
export const descriptors = rule("Descriptors")
