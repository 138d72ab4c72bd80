/**
 * Bytes on their way, in the order in which they came.
 *
 * @internal
 */
import { concat } from "../../../internal/bytes.ts"

export class ByteQueue {
  length = 0
  private chunks: Array<Uint8Array> = []

  push(chunk: Uint8Array): void {
    this.chunks.push(chunk)
    this.length += chunk.length
  }

  /** The first so many, which must be there: not copied if they came as one. */
  take(size: number): Uint8Array {
    const taken: Array<Uint8Array> = []
    for (let left = size; left > 0;) {
      const first = this.chunks[0]!
      const chunk = first.subarray(0, left)
      if (chunk.length === first.length) this.chunks.shift()
      else this.chunks[0] = first.subarray(chunk.length)
      taken.push(chunk)
      left -= chunk.length
    }
    this.length -= size
    return concat(taken)
  }

  clear(): void {
    this.chunks = []
    this.length = 0
  }
}
