/**
 * The reference model of a connection: what two ends may and must do, whatever carries them. It knows no carrier, of
 * buffers only that there is room in an empty one, and of time only that a close is overdue.
 *
 * @internal
 */
import { concat } from "../../internal/bytes.ts"
import { shown } from "./check.ts"

/** How an operation ended: with all of its bytes, with fewer at the end of input, or with the tag of a failure. */
export type Outcome = { readonly bytes: Uint8Array; readonly end: boolean } | string

export class End {
  accepted: Uint8Array = new Uint8Array(0)
  /** A write that may have been accepted; `late` if it began after the end, `lost` if a loss has cut it off. */
  writing: { readonly chunk: Uint8Array; readonly late: boolean; readonly lost: boolean } | undefined = undefined
  /** So many bytes of the peer's were read; a read waits for so many more. */
  read = 0
  reading: number | undefined = undefined
  endSeen = false
  ended = false
  closed = false
  aborted = false
  overdue = false
  /** An abort of the peer is told from an end. */
  reset = true
  peer: End = this

  private get sent(): Uint8Array {
    return this.writing === undefined ? this.accepted : concat([this.accepted, this.writing.chunk])
  }

  /** How the connection may be lost, as this end sees it. */
  get losses(): ReadonlyArray<string> {
    const byPeer = this.peer.aborted || this.peer.overdue ? ["ConnectionReset", "BrokenPipe"] : []
    return [...byPeer, ...this.aborted ? ["ConnectionAborted"] : [], ...this.overdue ? ["CloseTimeout"] : []]
  }

  /** The read that waits has nothing more to wait for. */
  get mustRead(): boolean {
    const over = this.closed || this.aborted || this.peer.ended || this.peer.aborted
    return this.reading !== undefined && (over || this.peer.sent.length - this.read >= this.reading)
  }

  /** The write that waits has. */
  get mustWrite(): boolean {
    const over = this.ended || this.aborted || this.peer.closed || this.peer.aborted
    const taken = this.peer.reading !== undefined || this.accepted.length === this.peer.read
    return this.writing?.lost === false && (over || taken)
  }

  /** What should have come in place of this; `undefined` if it is as it should be. */
  hasRead(outcome: Outcome): string | undefined {
    const { losses, peer } = this
    if (typeof outcome === "string") return within(outcome, this.closed ? [...losses, "ConnectionClosed"] : losses)
    const next = peer.sent.subarray(this.read, this.read + outcome.bytes.length)
    if (!outcome.bytes.every((byte, at) => byte === next[at])) return shown(next)
    this.read += next.length
    if ((this.closed || this.aborted) && !peer.ended && !losses.includes("ConnectionReset")) return "a failure"
    if (!outcome.end || this.endSeen) return undefined
    this.endSeen = true
    const missing = peer.accepted.length - this.read
    if (losses.includes("ConnectionReset") && !this.reset) return undefined
    return !peer.ended ? "no end" : missing > 0 ? `${missing} bytes before the end` : undefined
  }

  hasWritten(failure: string | undefined): string | undefined {
    const { chunk, late } = this.writing!
    if (failure === undefined) this.accepted = this.sent
    const lost = failure !== undefined && failure !== "WriteAfterEnd" && !late
    this.writing = lost ? { chunk, late, lost } : undefined
    if (failure === undefined) return late ? "a failure" : undefined
    return within(failure, this.ended ? [...this.losses, "WriteAfterEnd"] : this.losses)
  }
}

const within = (tag: string, tags: ReadonlyArray<string>): string | undefined =>
  tags.includes(tag) ? undefined : tags.length === 0 ? "no failure" : tags.join(" or ")
