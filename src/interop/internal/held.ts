/**
 * Input that is held, in pieces: a peer that sends byte by byte would otherwise make each byte cost what an array does, a few
 * hundred times its size.
 *
 * @internal
 */
import { nothing } from "../../internal/bytes.ts"

/** What is smaller is copied to the rest. */
const pieceSize = 4096

export class Held {
  private pieces: Array<Uint8Array> = []
  private piece = nothing
  /** Bytes of it that are in use. */
  private used = 0

  push(bytes: Uint8Array): void {
    if (bytes.length > this.piece.length - this.used) {
      this.cut()
      if (bytes.length >= pieceSize) return void this.pieces.push(bytes)
      this.piece = new Uint8Array(pieceSize)
    }
    this.piece.set(bytes, this.used)
    this.used += bytes.length
  }

  /** All of it, in order; nothing is held then. */
  take(): ReadonlyArray<Uint8Array> {
    this.cut()
    const { pieces } = this
    this.pieces = []
    return pieces
  }

  private cut(): void {
    if (this.used > 0) this.pieces.push(this.piece.subarray(0, this.used))
    this.piece = nothing
    this.used = 0
  }
}
