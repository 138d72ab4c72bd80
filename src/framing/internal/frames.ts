/**
 * What was decoded of an input: the frames that are still to be taken, and the bytes behind those that were.
 *
 * @internal
 */
import type { Decoder } from "../../Codec.ts"
import { append, nothing } from "../../internal/bytes.ts"

const none: ReadonlyArray<never> = []

export class Frames<Frame, E> {
  /** Why there will be no further frame. Those before it are still to be taken. */
  failure: E | undefined = undefined
  ended = false
  /** Frames were taken that only the end has completed: which bytes were theirs cannot be told. */
  private spent = false
  /** Stands before the frames, and before `bytes`, of which they were made. */
  private decoder: Decoder<Frame, E>
  private bytes: Uint8Array = nothing
  private frames: ReadonlyArray<Frame> = none
  private taken = 0
  /** Stands behind the frames, and before `unread`. */
  private next: Decoder<Frame, E>
  private unread: Uint8Array = nothing

  constructor(decoder: Decoder<Frame, E>) {
    this.decoder = this.next = decoder
  }

  /** The next chunk, `null` for the end. Only when all frames are taken, and before a failure or the end. */
  feed(chunk: Uint8Array | null): void {
    if (chunk === null) return this.end()
    // Before the step: were it to throw, the chunk is there all the same.
    this.bytes = chunk
    const { failure, frames, next, unread } = this.decoder.step(chunk)
    this.frames = frames
    this.next = next
    this.unread = unread
    this.failure = failure
    if (frames.length === 0) this.passed()
  }

  private end(): void {
    const { failure, frames } = this.decoder.end()
    this.frames = frames
    this.failure = failure
    this.ended = true
  }

  get available(): boolean {
    return this.taken < this.frames.length
  }

  /** No further frame will be decoded. */
  get over(): boolean {
    return this.ended || this.failure !== undefined
  }

  /** The next frame, if one is available. */
  take(): Frame {
    const frame = this.frames[this.taken++]!
    this.spent = this.ended
    if (this.taken === this.frames.length) this.passed()
    return frame
  }

  takeAll(): ReadonlyArray<Frame> {
    const { frames } = this
    if (frames.length === 0) return frames
    this.spent = this.ended
    this.passed()
    return frames
  }

  /** Nothing of the chunk is kept: it may be big, and the next one far away. */
  private passed(): void {
    this.decoder = this.next
    this.bytes = this.unread
    this.frames = none
    this.taken = 0
  }

  /** The bytes behind the last frame that was taken: decoding once more up to there tells where they begin. */
  get left(): Uint8Array {
    if (this.spent) return nothing
    if (this.taken === 0) return append(this.decoder.rest(), this.bytes)
    const { next, unread } = this.decoder.step(this.bytes, this.taken)
    return append(next.rest(), unread)
  }
}
