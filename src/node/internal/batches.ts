/**
 * Writes to a Node stream, a batch at a time, and tells when the stream has passed a batch on that it did not take at once.
 * A batch is through when its last chunk is: `'drain'` would come only above the stream's own high-water mark.
 *
 * @internal
 */
import type { Writable } from "node:stream"

export class Batches {
  private readonly stream: Writable
  private readonly written: (bytes: number) => void
  private inFlight = 0
  private submitted = 0
  private completed = 0

  constructor(stream: Writable, written: (bytes: number) => void) {
    this.stream = stream
    this.written = written
  }

  /** As `Driver.write`. */
  write(chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean {
    const { stream } = this
    const last = chunks.length - 1
    this.submitted++
    stream.cork()
    for (let index = 0; index < last; index++) stream.write(chunks[index]!)
    stream.write(chunks[last]!, this.onWritten)
    stream.uncork()
    // One that was destroyed takes nothing, and says so later.
    if (stream.writableLength === 0 && stream.errored === null && !stream.destroyed) return true
    this.inFlight = bytes
    return false
  }

  private readonly onWritten = (error: Error | null | undefined) => {
    this.completed++
    // Callbacks of batches that were taken at once come late, and for nothing.
    if (error || this.completed < this.submitted || this.inFlight === 0) return
    const bytes = this.inFlight
    this.inFlight = 0
    this.written(bytes)
  }
}
