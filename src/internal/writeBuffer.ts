/**
 * The bytes that were accepted and are not yet in the carrier's hands, and the writers that wait for room.
 *
 * Operations: `push` (accept), `take` (hand a batch to the carrier), `written` (the carrier has so much of it),
 * `wait`/`withdraw` (a writer that finds no room).
 * Rules: a chunk is admitted when nobody waits and less than `high` is buffered, so the buffer overshoots by one chunk
 * at most, and the writer that reaches the mark exactly goes on. Once over, waiters are admitted in their order when
 * `low` or less is buffered, until the mark is reached again. A chunk is never torn by acceptance: it is in or out.
 *
 * @internal
 */
import { ChunkQueue } from "./chunkQueue.ts"

/** What became of a waiting writer. */
export type Outcome = "waiting" | "accepted" | "refused"

/** A writer that waits: its chunks are admitted one by one, in order, from `next` on. */
export interface Waiter {
  readonly chunks: ReadonlyArray<Uint8Array>
  next: number
  outcome: Outcome
  readonly notify: () => void
}

/** Those of all buffers for which nobody has ever waited. */
const nobody = new Set<Waiter>()

export class WriteBuffer {
  /** Accepted and not yet written, in bytes: what waits here and what the carrier holds. */
  buffered = 0
  /** Of these, what the carrier holds. */
  inFlight = 0
  /** All that was ever accepted, in bytes. */
  accepted = 0
  private readonly chunks = new ChunkQueue()
  private waiters = nobody
  readonly high: number
  readonly low: number

  constructor(high: number, low: number) {
    this.high = high
    this.low = low
  }

  /** May a chunk of somebody who comes now be pushed? */
  get admits(): boolean {
    return this.buffered < this.high && this.waiters.size === 0
  }

  /** May all of these be pushed, one after the other? */
  admitsAll(chunks: ReadonlyArray<Uint8Array>): boolean {
    let { buffered } = this
    for (let index = 0; index < chunks.length; index++) {
      if (buffered >= this.high || this.waiters.size > 0) return false
      buffered += chunks[index]!.length
    }
    return true
  }

  get waiting(): number {
    return this.waiters.size
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.chunks.push(chunk)
    this.buffered += chunk.length
    this.accepted += chunk.length
  }

  /** The next batch for the carrier: at most `limit` bytes, of which a larger chunk gives a part. */
  take(limit: number): ReadonlyArray<Uint8Array> {
    const chunks = this.chunks
    if (this.buffered - this.inFlight <= limit) {
      this.inFlight = this.buffered
      return chunks.takeAll()
    }
    const batch: Array<Uint8Array> = []
    let room = limit
    while (room > 0) {
      const chunk = chunks.shift()!
      batch.push(chunk.length > room ? chunk.subarray(0, room) : chunk)
      if (chunk.length > room) chunks.unshift(chunk.subarray(room))
      room -= Math.min(room, chunk.length)
    }
    this.inFlight += limit
    return batch
  }

  /** The carrier has taken so many bytes more. */
  written(bytes: number): void {
    this.inFlight -= bytes
    this.buffered -= bytes
  }

  wait(chunks: ReadonlyArray<Uint8Array>, next: number, notify: () => void): Waiter {
    const waiter: Waiter = { chunks, next, outcome: "waiting", notify }
    if (this.waiters === nobody) this.waiters = new Set()
    this.waiters.add(waiter)
    if (next === chunks.length) this.settle(waiter, "accepted")
    return waiter
  }

  /** Takes back what of it was not yet accepted. */
  withdraw(waiter: Waiter): void {
    this.waiters.delete(waiter)
  }

  /** Admits waiters in their order, as far as the marks allow. */
  admit(): void {
    if (this.buffered > this.low) return
    for (const waiter of this.waiters) {
      while (waiter.next < waiter.chunks.length) {
        if (this.buffered >= this.high) return
        this.push(waiter.chunks[waiter.next++]!)
      }
      this.settle(waiter, "accepted")
    }
  }

  /** No room for anybody any more: who waits is told so; what was accepted stays. */
  refuse(): void {
    for (const waiter of this.waiters) this.settle(waiter, "refused")
  }

  /** Drops what was accepted and not yet written. */
  drop(): void {
    this.chunks.clear()
    this.buffered = 0
    this.inFlight = 0
  }

  private settle(waiter: Waiter, outcome: Outcome): void {
    this.waiters.delete(waiter)
    waiter.outcome = outcome
    waiter.notify()
  }
}
