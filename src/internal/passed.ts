/**
 * How far the bytes of a transport have come, by its counters: for those who tell what passes through it.
 *
 * @internal
 */
import type { TransportStats } from "../Transport.ts"

/** How many bytes of the input were pulled, and not put back. */
export const taken = ({ bytesRead, unread }: TransportStats): number => bytesRead - unread

/** How many bytes were ever accepted. */
export const accepted = ({ buffered, bytesWritten }: TransportStats): number => bytesWritten + buffered

/** The chunks of a write that is with the carrier, and no other one meanwhile: each is given once, when it was accepted whole. */
export class Accepting {
  private readonly stats: () => TransportStats
  private readonly chunks: ReadonlyArray<Uint8Array>
  private readonly before: number
  private given = 0
  private givenBytes = 0

  constructor(stats: () => TransportStats, chunks: ReadonlyArray<Uint8Array>) {
    this.stats = stats
    this.chunks = chunks
    this.before = accepted(stats())
  }

  /** Those that were accepted since the last time. */
  next(): ReadonlyArray<Uint8Array> {
    const { chunks, given: from } = this
    const bytes = accepted(this.stats()) - this.before
    while (this.given < chunks.length && this.givenBytes + chunks[this.given]!.length <= bytes) {
      this.givenBytes += chunks[this.given++]!.length
    }
    return chunks.slice(from, this.given)
  }

  /** All that are left: the write has succeeded. */
  rest(): ReadonlyArray<Uint8Array> {
    return this.chunks.slice(this.given)
  }
}
