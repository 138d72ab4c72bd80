/**
 * Two transports joined in memory: the driver against which the core and everything above it are tested first. It is
 * a real carrier, with a capacity, an end for each direction, a reset and backpressure; the wire has a length (`latency`)
 * and cuts where it likes (`chunks`) if that is asked for.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { PCGRandom } from "effect/Utils"
import * as Address from "../Address.ts"
import type { SystemFailure } from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import { Agenda } from "../internal/agenda.ts"
import { concat } from "../internal/bytes.ts"
import type * as Transport from "../Transport.ts"

/**
 * Where the bytes of each direction are cut, whatever the writes were: small ones come together, large ones in pieces.
 *
 * - A list of lengths, each at least 1, which are used over and over: `[1]` is byte by byte.
 * - By a seed: lengths at random from 1 to `max` (65536), as many small ones as large ones (their logarithms are
 *   distributed evenly). The same seed cuts at the same places.
 *
 * A chunk is shorter than that when no more has come yet: nobody waits for bytes that may never come. What is missing of it
 * comes by itself then, so that the places of the cuts do not depend on when the bytes were written.
 *
 * @since 0.1.0
 * @category models
 */
export type Chunks = ReadonlyArray<number> | { readonly seed: number; readonly max?: number | undefined }

/**
 * @since 0.1.0
 * @category models
 */
export interface PairOptions extends Transport.Limits {
  /**
   * How many bytes each direction holds between the two ends, as the kernel's buffers would: 65536. With 0, and a
   * `readBufferSize` of 0, the two ends move in lockstep: a byte leaves the write buffer when a pull asks for it.
   */
  readonly capacity?: number | undefined
  /** The longest chunk that is delivered, in bytes: 65536. With 1 every byte comes by itself. */
  readonly maxChunkSize?: number | undefined
  /** Where the bytes are cut: where they were written, and at `maxChunkSize`. */
  readonly chunks?: Chunks | undefined
  /**
   * How long everything takes from one end to the other, bytes, ends and resets, by the Clock: 0. Their order is kept. Bytes
   * that are on their way count against the capacity, so it bounds the bandwidth: at most `capacity` in each `latency`.
   */
  readonly latency?: Duration.DurationInput | undefined
}

const reset: SystemFailure = { code: "ECONNRESET", syscall: "read", cause: undefined }
const brokenPipe: SystemFailure = { code: "EPIPE", syscall: "write", cause: undefined }

/** The lengths of the pieces into which one direction is cut, one after the other. */
type Lengths = () => number

const lengthsOf = (chunks: Chunks, direction: number): Lengths => {
  if (isLengths(chunks)) {
    let next = 0
    return () => chunks[next++ % chunks.length]!
  }
  const { max = 65536, seed } = chunks
  const random = new PCGRandom(seed, direction)
  return () => Math.floor(Math.exp(random.number() * Math.log(max + 1)))
}

const isLengths = (chunks: Chunks): chunks is ReadonlyArray<number> => Array.isArray(chunks)

interface Wire {
  readonly capacity: number
  readonly maxChunkSize: number
  readonly lengths: Lengths | undefined
  /** In milliseconds, for each way. */
  readonly latency: number
  /** What is on its way; `undefined`: there is no way to go. */
  readonly flight: Agenda | undefined
}

/** One end: the driver of one transport, and where the other end delivers to. */
class End implements Driver.Driver {
  peer!: End
  private readonly events: Driver.Events<SystemFailure>
  /** What leads to this end. */
  private readonly wire: Wire
  /** What is on its way to this end: within the capacity, it is the wire's; beyond it, still the peer's. */
  private readonly incoming: Array<Uint8Array> = []
  private incomingBytes = 0
  /** How much of it has set out, and how much of that has arrived, where there is a way to go. */
  private departed = 0
  private arrived = 0
  /** What the next cut leaves to this chunk. */
  private untilCut = 0
  private reading = false
  private delivering = false
  private endIncoming = false
  private endDelivered = false
  private gone = false

  constructor(events: Driver.Events<SystemFailure>, wire: Wire) {
    this.events = events
    this.wire = wire
  }

  readonly startReading = () => {
    this.reading = true
    if (this.wire.flight !== undefined) this.setOut(this.wire.flight)
    this.deliver()
  }

  readonly stopReading = () => {
    this.reading = false
  }

  readonly write = (chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean => {
    const { peer } = this
    if (peer.gone) {
      // There is nobody: the news comes back from there.
      this.whenArrived(() => this.events.failed(brokenPipe), 2)
      return false
    }
    // A copy, as a kernel makes one: the writer may use its buffer again, and the reader keeps these bytes. Not `slice`,
    // which for a Buffer makes none.
    for (const chunk of chunks) peer.incoming.push(new Uint8Array(chunk))
    peer.incomingBytes += bytes
    if (peer.wire.flight !== undefined) peer.setOut(peer.wire.flight, true)
    peer.deliver(true)
    const left = peer.heldBack
    if (left > 0 && left < bytes) this.events.written(bytes - left)
    return left === 0
  }

  readonly end = () => {
    const { peer } = this
    this.events.finished()
    peer.whenArrived(() => {
      peer.endIncoming = true
      peer.deliver()
    })
  }

  readonly release = () => this.leave(brokenPipe)

  readonly reset = () => this.leave(reset)

  /** Bytes beyond the capacity: the writer still has to account for them. */
  private get heldBack(): number {
    const { capacity, flight } = this.wire
    return Math.max(0, this.incomingBytes - (flight === undefined ? capacity : this.departed))
  }

  private whenArrived(arrive: () => void, ways = 1): void {
    const { flight, latency } = this.wire
    if (flight === undefined) arrive()
    else flight.schedule(ways * latency, arrive)
  }

  /** What finds room on the wire goes its way to this end. Unless the writer itself is counting, it is told. */
  private setOut(flight: Agenda, writerCounts = false): void {
    const { capacity, latency, maxChunkSize } = this.wire
    if (this.gone) return
    // Without a capacity, a piece at a time while there is somebody who asks for it.
    const room = capacity === 0 && this.reading && this.departed === 0 ? maxChunkSize : capacity - this.departed
    const bytes = Math.min(room, this.incomingBytes - this.departed)
    if (bytes <= 0) return
    this.departed += bytes
    flight.schedule(latency, () => {
      this.arrived += bytes
      this.deliver()
    })
    if (!writerCounts) this.peer.events.written(bytes)
  }

  /** Gives this end what it asks for. Unless the writer itself is counting, it is told what left its hands. */
  private deliver(writerCounts = false): void {
    if (this.delivering || this.gone) return
    this.delivering = true
    const { flight } = this.wire
    while (this.reading && this.isHere) {
      const held = this.heldBack
      const chunk = this.nextChunk()
      this.events.received(chunk)
      if (flight === undefined) {
        const taken = held - this.heldBack
        if (taken > 0 && !writerCounts) this.peer.events.written(taken)
      } else this.setOut(flight, writerCounts)
    }
    this.delivering = false
    if (this.reading && this.endIncoming && this.incoming.length === 0 && !this.endDelivered) {
      this.endDelivered = true
      this.events.ended()
    }
  }

  /** There are bytes, and they have arrived. */
  private get isHere(): boolean {
    return this.incoming.length > 0 && (this.wire.flight === undefined || this.arrived > 0)
  }

  private nextChunk(): Uint8Array {
    const { flight, lengths, maxChunkSize } = this.wire
    const limit = flight === undefined ? maxChunkSize : Math.min(maxChunkSize, this.arrived)
    const chunk = lengths === undefined ? this.take(limit) : this.gather(lengths, limit)
    this.incomingBytes -= chunk.length
    if (flight !== undefined) {
      this.arrived -= chunk.length
      this.departed -= chunk.length
    }
    return chunk
  }

  /** What comes next of one write. */
  private take(limit: number): Uint8Array {
    const first = this.incoming[0]!
    if (first.length <= limit) return this.incoming.shift()!
    this.incoming[0] = first.subarray(limit)
    return first.subarray(0, limit)
  }

  /** What comes next up to the next cut, of as many writes as it is. */
  private gather(lengths: Lengths, limit: number): Uint8Array {
    if (this.untilCut === 0) this.untilCut = lengths()
    const parts: Array<Uint8Array> = []
    for (let room = Math.min(this.untilCut, limit); room > 0 && this.incoming.length > 0;) {
      const part = this.take(room)
      parts.push(part)
      room -= part.length
      this.untilCut -= part.length
    }
    return concat(parts)
  }

  /** Both ends go when one goes with something still to be said; a peer that had said all is left to finish reading. */
  private leave(news: SystemFailure): void {
    if (this.gone) return
    this.gone = true
    const cut = news === reset || this.incoming.length > 0
    this.forget()
    this.wire.flight?.end()
    this.events.released()
    const { peer } = this
    if (peer.gone || !cut) return
    peer.whenArrived(() => {
      if (news === reset) peer.forget()
      peer.events.failed(news)
    })
  }

  private forget(): void {
    this.incoming.length = 0
    this.incomingBytes = 0
  }
}

/**
 * A connected pair of transports, the first one's local address being the second one's remote address. Both are tied to
 * the Scope. An end that is aborted resets the other, and what that had not taken yet is dropped, which a kernel would still
 * give; a write to an end that is gone fails with `BrokenPipe`.
 *
 * With a `latency` an end hears of the other one's doings so much later, and of what became of a write to an end that is
 * gone after the way there and back. Closing the Scope takes the time in which both ends arrive then.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const [left, right] = yield* MemoryTransport.pair({ capacity: 1024 })
 *   yield* left.write(new TextEncoder().encode("hello"))
 *   return yield* right.pull
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const pair = (
  options: PairOptions = {}
): Effect.Effect<readonly [Transport.Transport, Transport.Transport], never, Scope.Scope> =>
  Effect.suspend(() => {
    const { limits, wire } = resolve(options)
    const ends: Array<End> = []
    const open = (clock: Clock.Clock, local: string, remote: string) =>
      Driver.unsafeOpen({
        driver: (events) => {
          const end = new End(events, wire(clock, ends.length))
          ends.push(end)
          return end
        },
        localAddress: Address.memory(local),
        remoteAddress: Address.memory(remote),
        options: undefined,
        handle: undefined,
        limits
      }, clock)
    return Effect.acquireRelease(
      Effect.map(Effect.clock, (clock) => {
        const left = open(clock, "left", "right")
        const right = open(clock, "right", "left")
        ends[0]!.peer = ends[1]!
        ends[1]!.peer = ends[0]!
        return [left, right] as const
      }),
      // Together: one after the other, the first would wait its linger time for the end of the second.
      (both, exit) =>
        Effect.forEach(both, (transport) => Exit.isSuccess(exit) ? transport.close : transport.abort, {
          concurrency: "unbounded",
          discard: true
        })
    )
  })

const resolve = (options: PairOptions) => {
  const { capacity = 65536, chunks, maxChunkSize = 65536 } = options
  const latency = Duration.toMillis(options.latency ?? 0)
  if (!(capacity >= 0)) throw new RangeError(`capacity is 0 or more bytes, not ${capacity}`)
  if (!(maxChunkSize >= 1)) throw new RangeError(`maxChunkSize is at least 1 byte, not ${maxChunkSize}`)
  if (latency === Infinity) throw new RangeError("latency is finite: what never arrives is no connection")
  for (const length of chunks === undefined ? [] : isLengths(chunks) ? chunks : [chunks.max ?? 1]) {
    if (!(Number.isInteger(length) && length >= 1)) throw new RangeError(`A chunk is of 1 or more bytes, not ${length}`)
  }
  if (chunks !== undefined && isLengths(chunks) && chunks.length === 0) {
    throw new RangeError("chunks needs at least one length")
  }
  return {
    limits: Driver.resolveLimits(options),
    wire: (clock: Clock.Clock, direction: number): Wire => ({
      capacity,
      maxChunkSize,
      lengths: chunks === undefined ? undefined : lengthsOf(chunks, direction),
      latency,
      flight: latency === 0 ? undefined : new Agenda(clock)
    })
  }
}
