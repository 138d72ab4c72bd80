/**
 * Two transports joined in memory: the driver against which the core and everything above it are tested first. It is
 * a real carrier, with a capacity, an end for each direction, a reset and backpressure; only the wire is missing.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Address from "../Address.ts"
import type { SystemFailure } from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import type * as Transport from "../Transport.ts"

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
}

const reset: SystemFailure = { code: "ECONNRESET", syscall: "read", cause: undefined }
const brokenPipe: SystemFailure = { code: "EPIPE", syscall: "write", cause: undefined }

/** One end: the driver of one transport, and where the other end delivers to. */
class End implements Driver.Driver {
  peer!: End
  private readonly events: Driver.Events<SystemFailure>
  private readonly capacity: number
  private readonly maxChunkSize: number
  /** What is on its way to this end: within the capacity, it is the wire's; beyond it, still the peer's. */
  private readonly incoming: Array<Uint8Array> = []
  private incomingBytes = 0
  private reading = false
  private delivering = false
  private endIncoming = false
  private endDelivered = false
  private gone = false

  constructor(events: Driver.Events<SystemFailure>, capacity: number, maxChunkSize: number) {
    this.events = events
    this.capacity = capacity
    this.maxChunkSize = maxChunkSize
  }

  readonly startReading = () => {
    this.reading = true
    this.deliver()
  }

  readonly stopReading = () => {
    this.reading = false
  }

  readonly write = (chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean => {
    const { peer } = this
    if (peer.gone) {
      this.events.failed(brokenPipe)
      return false
    }
    // A copy, as a kernel makes one: the writer may use its buffer again, and the reader keeps these bytes. Not `slice`,
    // which for a Buffer makes none.
    for (const chunk of chunks) peer.incoming.push(new Uint8Array(chunk))
    peer.incomingBytes += bytes
    peer.deliver(true)
    const left = peer.heldBack
    if (left > 0 && left < bytes) this.events.written(bytes - left)
    return left === 0
  }

  readonly end = () => {
    this.peer.endIncoming = true
    this.events.finished()
    this.peer.deliver()
  }

  readonly release = () => this.leave(brokenPipe)

  readonly reset = () => this.leave(reset)

  /** Bytes beyond the capacity: the writer still has to account for them. */
  private get heldBack(): number {
    return Math.max(0, this.incomingBytes - this.capacity)
  }

  /** Gives this end what it asks for. Unless the writer itself is counting, it is told what left its hands. */
  private deliver(writerCounts = false): void {
    if (this.delivering || this.gone) return
    this.delivering = true
    while (this.reading && this.incoming.length > 0) {
      const held = this.heldBack
      const chunk = this.nextChunk()
      this.events.received(chunk)
      const taken = held - this.heldBack
      if (taken > 0 && !writerCounts) this.peer.events.written(taken)
    }
    this.delivering = false
    if (this.reading && this.endIncoming && this.incoming.length === 0 && !this.endDelivered) {
      this.endDelivered = true
      this.events.ended()
    }
  }

  private nextChunk(): Uint8Array {
    const first = this.incoming[0]!
    const chunk = first.length > this.maxChunkSize ? first.subarray(0, this.maxChunkSize) : first
    if (chunk === first) this.incoming.shift()
    else this.incoming[0] = first.subarray(chunk.length)
    this.incomingBytes -= chunk.length
    return chunk
  }

  /** Both ends go when one goes with something still to be said; a peer that had said all is left to finish reading. */
  private leave(news: SystemFailure): void {
    if (this.gone) return
    this.gone = true
    const cut = news === reset || this.incoming.length > 0
    this.incoming.length = 0
    this.incomingBytes = 0
    this.events.released()
    const { peer } = this
    if (peer.gone || !cut) return
    if (news === reset) {
      peer.incoming.length = 0
      peer.incomingBytes = 0
    }
    peer.events.failed(news)
  }
}

/**
 * A connected pair of transports, the first one's local address being the second one's remote address. Both are tied to
 * the Scope. An end that is aborted resets the other; a write to an end that is gone fails with `BrokenPipe`.
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
    const limits = Driver.resolveLimits(options)
    const capacity = options.capacity ?? 65536
    const maxChunkSize = options.maxChunkSize ?? 65536
    if (!(capacity >= 0)) throw new RangeError(`capacity is 0 or more bytes, not ${capacity}`)
    if (!(maxChunkSize >= 1)) throw new RangeError(`maxChunkSize is at least 1 byte, not ${maxChunkSize}`)
    const ends: Array<End> = []
    const open = (clock: Clock.Clock, local: string, remote: string) =>
      Driver.unsafeOpen({
        driver: (events) => {
          const end = new End(events, capacity, maxChunkSize)
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
