/**
 * Shows what passes: as lines for a log, as a capture for Wireshark, or however one likes. For finding faults: each chunk is
 * looked at, and copied into what shows it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import * as Address from "../Address.ts"
import * as Pcapng from "../internal/pcapng.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import type { Transport } from "../Transport.ts"
import { segments } from "./internal/segments.ts"
import { Wire } from "./internal/wire.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What has passed: bytes that were pulled (`in`) or accepted for writing (`out`), the end of a direction, or the loss of the
 * connection, `in` if it came from without.
 *
 * @since 0.1.0
 * @category models
 */
export interface Passed {
  readonly kind: "data" | "end" | "reset"
  readonly direction: "in" | "out"
  /** Milliseconds since 1970, by the Clock. */
  readonly at: number
  /** Of `data`: not to be changed, nor to be kept without a copy. */
  readonly bytes: Uint8Array
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Connection {
  readonly localAddress: Address.Address
  readonly remoteAddress: Address.Address
  /** When the layer was made, in milliseconds since 1970. */
  readonly at: number
}

/**
 * Listens to one connection after the other. Neither function may throw.
 *
 * @since 0.1.0
 * @category models
 */
export type Tap = (connection: Connection) => (passed: Passed) => void

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * A network layer that tells a tap what passes. Bytes that were read are told once, also if they are put back, when a pull
 * gets hold of them; bytes that are written when the carrier has accepted them, in that order: one write at a time is with
 * the carrier, the others wait before it. The ends of both directions, and a loss, are told at the latest when the connection
 * is over and its input is read, by a fiber that waits for it. A chunk that `forEach` gives, and a write that finds room,
 * cost no fiber a wake-up.
 *
 * @since 0.1.0
 * @category layers
 */
export const make = (tap: Tap) => <E>(transport: Transport<E>): Effect.Effect<Transport<E>> =>
  Effect.gen(function*() {
    const wire = new Wire(transport, tap, yield* Effect.clock)
    yield* Effect.forkDaemon(Effect.interruptible(Effect.map(transport.closed, wire.closed)))
    // The carrier's own, and not one of pulls: it needs no fiber for a chunk.
    const forEach: Transport<E>["forEach"] = (f) =>
      Effect.zipLeft(
        transport.forEach((chunk) => {
          wire.read(chunk)
          return f(chunk)
        }),
        Effect.sync(() => wire.ended("in"))
      )
    return NetworkLayer.derive(transport, {
      pull: Effect.zipRight(wire.peek, transport.pull),
      forEach,
      writeAll: (chunks) => wire.write(chunks),
      unsafeOffer: (bytes) => wire.offer(bytes),
      stats: () => {
        const stats = transport.stats()
        return { ...stats, writersWaiting: stats.writersWaiting + wire.writersWaiting }
      },
      closeWrite: Effect.uninterruptibleMask((restore) =>
        Effect.zipLeft(restore(transport.closeWrite), Effect.sync(() => wire.ended("out")))
      )
    })
  })

/**
 * A network layer that logs what passes at the level Debug: as `hexdump` gives it.
 *
 * @since 0.1.0
 * @category layers
 */
export const log = <E>(transport: Transport<E>): Effect.Effect<Transport<E>> =>
  Effect.flatMap(
    Effect.runtime(),
    (runtime) => make(hexdump((line) => Runtime.runSync(runtime, Effect.logDebug(line))))(transport)
  )

// -----------------------------------------------------------------------------
// taps
// -----------------------------------------------------------------------------

/**
 * Lines for people: for each chunk one with the addresses, `->` or `<-` between them, and the number of bytes; and then 16
 * bytes a line, with their offset in that direction, in hexadecimal and as text.
 *
 * @since 0.1.0
 * @category taps
 */
export const hexdump = (print: (line: string) => void): Tap => ({ localAddress, remoteAddress }) => {
  const offsets = { in: 0, out: 0 }
  return ({ bytes, direction, kind }) => {
    const arrow = direction === "out" ? "->" : "<-"
    const what = kind === "data" ? `${bytes.length} ${bytes.length === 1 ? "byte" : "bytes"}` : kind
    print(`${Address.format(localAddress)} ${arrow} ${Address.format(remoteAddress)} ${what}`)
    for (let at = 0; at < bytes.length; at += 16) {
      const row = Array.from(bytes.subarray(at, at + 16))
      const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")
      const text = row.map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".").join("")
      print(`${(offsets[direction] + at).toString(16).padStart(8, "0")}  ${hex.padEnd(47)}  ${text}`)
    }
    offsets[direction] += bytes.length
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PcapngOptions {
  /** Whether this side has dialled (`client`, the default) or accepted (`server`): whose SYN comes first. */
  readonly side?: "client" | "server" | undefined
}

/**
 * A capture that Wireshark and tshark read, pcapng (draft-ietf-opsawg-pcapng), in blocks that are whole in themselves: the
 * header at once, and then whatever passes, of all connections that the tap listens to.
 *
 * What passes are bytes, not packets: these are made up, with right checksums, handshakes, sequence numbers and
 * acknowledgements, each chunk in as few as can be. An address that is not of TCP is shown as 127.0.0.1, with ports of its
 * own.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Wiretap from "effect-transport/policy/Wiretap"
 *
 * const blocks: Array<Uint8Array> = [] // or: (block) => file.write(block)
 * const tapped = Wiretap.make(Wiretap.pcapng((block) => blocks.push(block)))
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const [left] = yield* MemoryTransport.pair()
 *   const transport = yield* tapped(left)
 *   yield* transport.write(new TextEncoder().encode("hello"))
 * }))
 * ```
 *
 * @since 0.1.0
 * @category taps
 */
export const pcapng = (write: (block: Uint8Array) => void, options: PcapngOptions = {}): Tap => {
  write(Pcapng.sectionHeader("effect-transport"))
  write(Pcapng.interfaceDescription("wiretap"))
  let connections = 0
  return (connection) => {
    const { local, remote } = shownAs(connection, ++connections)
    // A Clock may know parts of a millisecond. As nanoseconds, a time is beyond what a number holds exactly.
    const nanosOf = (at: number) => BigInt(Math.round(at * 1000)) * 1000n
    const send = (at: number, direction: "in" | "out", bytes: Uint8Array) =>
      write(Pcapng.enhancedPacket({ interface: 0, direction, at: nanosOf(at), bytes }))
    return segments(local, remote, options.side ?? "client", initialSequence(connections), connection.at, send)
  }
}

/**
 * A tap that shows what passes to a Sink: a file, a socket, a queue. It takes one that writes (`pcapng`, `hexdump`, or what
 * you have), and runs the Sink in a fiber, until the Scope ends and all that was shown by then is taken.
 *
 * It never holds a connection back: what comes while 1024 blocks or lines wait for the Sink is left out, as `tcpdump` does, and
 * that is logged as a warning, once. So is the failure of the Sink; when it is over, nothing is shown any more.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as FileSystem from "@effect/platform/FileSystem"
 * import type { Transport } from "effect-transport/Transport"
 * import * as Wiretap from "effect-transport/policy/Wiretap"
 *
 * export const captured = (transport: Transport) =>
 *   Effect.gen(function*() {
 *     const { sink } = yield* FileSystem.FileSystem
 *     const tap = yield* Wiretap.toSink(Wiretap.pcapng, sink("traffic.pcapng"))
 *     return yield* Wiretap.make(tap)(transport)
 *   })
 * ```
 *
 * @since 0.1.0
 * @category taps
 */
export const toSink = <A, E, R>(
  tap: (write: (shown: A) => void) => Tap,
  sink: Sink.Sink<unknown, A, unknown, E, R>
): Effect.Effect<Tap, never, R | Scope.Scope> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const runtime = yield* Effect.runtime()
    const waiting = yield* Mailbox.make<A>({ capacity: 1024, strategy: "dropping" })
    let complains = true
    const quiet = Effect.sync(() => {
      complains = false
    })
    const taking = Stream.run(Mailbox.toStream(waiting), sink).pipe(
      Effect.catchAllCause((cause) => Effect.logWarning("Nothing takes what a wiretap shows any more", cause)),
      Effect.ensuring(Effect.zipRight(quiet, waiting.shutdown))
    )
    const fiber = yield* Effect.forkDaemon(Effect.interruptible(taking))
    yield* Effect.addFinalizer(() => Effect.zipRight(quiet, Effect.zipRight(waiting.end, Fiber.await(fiber))))
    return tap((shown) => {
      if (waiting.unsafeOffer(shown) || !complains) return
      complains = false
      Runtime.runFork(runtime, Effect.logWarning("A wiretap shows more than is taken; some of it is left out"))
    })
  }))

/** Another one for each: a SYN with the number of an earlier one of the same ports would be taken for it, sent again. */
const initialSequence = (number: number): number => Math.imul(number, 0x9e3779b1) >>> 0

/**
 * Two dynamic ports (RFC 6335 §6) for each, never the same ones turned round: by a port that is assigned, Wireshark would take
 * the bytes for that protocol's, and call them malformed.
 */
const shownAs = ({ localAddress, remoteAddress }: Connection, number: number) =>
  localAddress._tag === "TcpAddress" && remoteAddress._tag === "TcpAddress" &&
    localAddress.family === remoteAddress.family
    ? { local: localAddress, remote: remoteAddress }
    : {
      local: Address.tcp("127.0.0.1", 57344 + number % 4096),
      remote: Address.tcp("127.0.0.1", 61440 + Math.floor(number / 4096) % 4096)
    }
