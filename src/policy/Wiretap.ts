/**
 * Shows what passes: as lines for a log, as a capture for Wireshark, or however one likes. For finding faults: each chunk is
 * looked at, and copied into what shows it.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import * as Address from "../Address.ts"
import { advance, Immediate, isDone } from "../internal/immediate.ts"
import * as Pcapng from "../internal/pcapng.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import type { CloseReason, Transport } from "../Transport.ts"
import { segments } from "./internal/segments.ts"

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
    const queue = new Queue(yield* Effect.makeSemaphore(1))
    yield* Effect.forkDaemon(Effect.interruptible(Effect.map(transport.closed, wire.closed)))
    const derived = NetworkLayer.derive(transport, {
      pull: Effect.zipRight(peeked(transport, wire), transport.pull),
      writeAll: (chunks) => new Write(transport, wire, queue, chunks),
      stats: () => {
        const stats = transport.stats()
        return { ...stats, writersWaiting: stats.writersWaiting + queue.waiting }
      },
      closeWrite: Effect.uninterruptibleMask((restore) =>
        Effect.zipLeft(restore(transport.closeWrite), Effect.sync(() => wire.ended("out")))
      )
    })
    // The carrier's own, and not one of pulls: it needs no fiber for a chunk.
    const forEach: Transport<E>["forEach"] = (f) =>
      Effect.zipLeft(
        transport.forEach((chunk) => {
          wire.read(chunk)
          return f(chunk)
        }),
        Effect.sync(() => wire.ended("in"))
      )
    return Object.assign(derived, { forEach })
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

/** Looks at the next bytes, and puts them back: the pull that gives them to the consumer has no step after it. */
const peeked = <E>(transport: Transport<E>, wire: Wire): Effect.Effect<void, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(transport.pull), (chunk) => {
      if (chunk === null) return Effect.sync(() => wire.ended("in"))
      wire.read(chunk)
      return transport.unread(chunk)
    })
  )

interface Writing<E> {
  readonly stats: Transport["stats"]
  readonly writeAll: (chunks: ReadonlyArray<Uint8Array>) => Effect.Effect<void, E>
}

/** One chunk that finds room, and nobody before it, costs no fiber a wake-up. */
class Write<E> extends Immediate<void, E> {
  private readonly transport: Writing<E>
  private readonly wire: Wire
  private readonly queue: Queue
  private readonly chunks: Iterable<Uint8Array>

  constructor(transport: Writing<E>, wire: Wire, queue: Queue, chunks: Iterable<Uint8Array>) {
    super()
    this.transport = transport
    this.wire = wire
    this.queue = queue
    this.chunks = chunks
  }

  commit(): Effect.Effect<void, E> {
    const { queue, transport, wire } = this
    const all = Array.from(this.chunks)
    const writing = transport.writeAll(all)
    if (all.length !== 1 || !queue.isEmpty) return queue.pass(writtenThrough(transport, wire, all, writing))
    const before = accepted(transport)
    const rest = advance(writing)
    // Accepted, it may still take a breath.
    if (isDone(rest) || accepted(transport) > before) {
      wire.passed("data", "out", all[0])
      return rest
    }
    return queue.pass(writtenThrough(transport, wire, all, rest))
  }
}

/** Of a write that did not succeed, as much is told as was accepted: no other one is with the carrier meanwhile. */
const writtenThrough = <E>(
  transport: Pick<Transport<unknown>, "stats">,
  wire: Wire,
  all: ReadonlyArray<Uint8Array>,
  writing: Effect.Effect<void, E>
): Effect.Effect<void, E> =>
  Effect.uninterruptibleMask((restore) => {
    const before = accepted(transport)
    return Effect.matchCauseEffect(restore(writing), {
      onSuccess: () => Effect.sync(() => all.forEach((chunk) => wire.passed("data", "out", chunk))),
      onFailure: (cause) => {
        let left = accepted(transport) - before
        for (const chunk of all) {
          left -= chunk.length
          if (left < 0) break
          wire.passed("data", "out", chunk)
        }
        return Effect.failCause(cause)
      }
    })
  })

/** One after the other, in the order in which they came. */
class Queue {
  waiting = 0
  private passing = 0
  private readonly semaphore: Effect.Semaphore

  constructor(semaphore: Effect.Semaphore) {
    this.semaphore = semaphore
  }

  get isEmpty(): boolean {
    return this.waiting + this.passing === 0
  }

  pass<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      let begun = false
      this.waiting++
      const passing = Effect.suspend(() => {
        begun = true
        this.waiting--
        this.passing++
        return effect
      })
      // Interrupted while it waits, it never begins.
      const left = Effect.sync(() => {
        if (begun) this.passing--
        else this.waiting--
      })
      return Effect.ensuring(this.semaphore.withPermits(1)(passing), left)
    })
  }
}

const accepted = ({ stats }: Pick<Transport<unknown>, "stats">): number => {
  const { buffered, bytesWritten } = stats()
  return bytesWritten + buffered
}

/** One connection, as it is told to the tap. */
class Wire {
  private readonly stats: Transport["stats"]
  private readonly clock: Clock.Clock
  private readonly tell: (passed: Passed) => void
  /** Up to which byte the input was told. */
  private toldTo: number
  private readonly ends = { in: false, out: false }

  constructor({ localAddress, remoteAddress, stats }: Transport<unknown>, tap: Tap, clock: Clock.Clock) {
    this.stats = stats
    this.clock = clock
    this.tell = tap({ localAddress, remoteAddress, at: clock.unsafeCurrentTimeMillis() })
    this.toldTo = this.position()
  }

  /** How many bytes of the input are taken. */
  private position(): number {
    const { bytesRead, unread } = this.stats()
    return bytesRead - unread
  }

  read(chunk: Uint8Array): void {
    const position = this.position()
    const fresh = Math.min(chunk.length, position - this.toldTo)
    if (fresh <= 0) return
    this.toldTo = position
    this.passed("data", "in", chunk.subarray(chunk.length - fresh))
  }

  passed(kind: Passed["kind"], direction: Passed["direction"], bytes: Uint8Array = nothing): void {
    if (kind === "data" && bytes.length === 0) return
    this.tell({ kind, direction, at: this.clock.unsafeCurrentTimeMillis(), bytes })
  }

  ended(direction: Passed["direction"]): void {
    if (this.ends[direction]) return
    this.ends[direction] = true
    this.passed("end", direction)
  }

  readonly closed = (reason: CloseReason<unknown>): void => {
    if (reason._tag === "Lost") {
      const { side } = reason.error as { readonly side?: unknown }
      return this.passed("reset", side === "local" || side === undefined ? "out" : "in")
    }
    const order = reason.firstEnded === "local" ? ["out", "in"] as const : ["in", "out"] as const
    // What is unread comes before the end, which is told when it is read.
    const inputEnded = reason.peerEnded && this.stats().unread === 0
    for (const direction of order) {
      if (direction === "out" || inputEnded) this.ended(direction)
    }
  }
}

const nothing: Uint8Array = new Uint8Array(0)

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
    const send = (at: number, direction: "in" | "out", bytes: Uint8Array) =>
      write(Pcapng.enhancedPacket({ interface: 0, direction, at: BigInt(at) * 1_000_000n, bytes }))
    return segments(local, remote, options.side ?? "client", connection.at, send)
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
  Effect.gen(function*() {
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
  })

const shownAs = ({ localAddress, remoteAddress }: Connection, number: number) =>
  localAddress._tag === "TcpAddress" && remoteAddress._tag === "TcpAddress" &&
    localAddress.family === remoteAddress.family
    ? { local: localAddress, remote: remoteAddress }
    : { local: Address.tcp("127.0.0.1", number % 65536), remote: Address.tcp("127.0.0.1", 65535 - number % 65536) }
