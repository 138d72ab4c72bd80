/**
 * The connection core: one for all drivers, without I/O and without Effect. It owns the state (the table of
 * `connectionState.ts`), the read buffer, the write buffer and the end that comes exactly once. Whoever waits is told
 * that something has changed and looks again: a wake-up never carries bytes, so an interruption cannot lose them.
 *
 * @internal
 */
import { ChunkQueue } from "./chunkQueue.ts"
import type * as ConnectionState from "./connectionState.ts"
import { transitions } from "./connectionState.ts"
import type { Waiter } from "./writeBuffer.ts"
import { WriteBuffer } from "./writeBuffer.ts"

/** The core's side towards an operating system or a host API; see `Driver.ts`, which documents it for authors. */
export interface Driver {
  startReading(): void
  stopReading(): void
  write(batch: ReadonlyArray<Uint8Array>, bytes: number): boolean
  end(): void
  release(): void
  reset(): void
}

/** Something that is put off until the fibers that are due have run. */
export interface Deferred {
  readonly run: () => void
}

/** Time, timers and turns are given from outside, so that virtual time governs every deadline. */
export interface Timers {
  readonly now: () => number
  readonly schedule: (delay: number, run: () => void, background?: boolean) => () => void
  readonly macrotask: (run: () => void) => void
  /** At the end of the event that is under way, or in a microtask. */
  readonly defer: (work: Deferred) => void
}

export interface Limits {
  readonly readBufferSize: number
  readonly highWaterMark: number
  readonly lowWaterMark: number
  /** Milliseconds. */
  readonly lingerTimeout: number
  /** Milliseconds. */
  readonly closeTimeout: number
}

/** Why a connection was lost: by this side, by the deadline of its close, or as the driver says. */
export type Loss<F> =
  | { readonly kind: "aborted" }
  | { readonly kind: "closeTimeout" }
  | { readonly kind: "failed"; readonly failure: F }

/** What the counters said when it was lost. */
export interface LossReport<F> {
  readonly loss: Loss<F>
  readonly phase: "open" | "closing"
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly bytesUnsent: number
}

/** What a reader finds: a chunk or the end (`take` gives it), nothing yet, or why there is no more. */
export type Readiness = "ready" | "pending" | "discarded" | "lost"

/**
 * At most so many bytes go to the driver at once. Larger batches would hide progress: a driver reports a batch when
 * all of it is taken, and a slow big write must not look idle.
 */
const batchLimit = 256 * 1024

/**
 * After so many reads and writes without a turn of the event loop, a breath is due: Effect's scheduler goes by
 * microtasks and would let two ends that are always ready starve everybody else.
 */
const turnBudget = 64

/**
 * No more chunks than these are read ahead, however small: a peer that sends byte by byte would otherwise make each of
 * them cost what an array costs, a few hundred times its size.
 */
const chunkLimit = 128

/** What a reader dies of that finds another one. */
export const concurrentPull = "This transport is being read already: one pull at a time"

/** Who waits for input. */
export interface Reader {
  /** False once it has left without a word, as an interrupted fiber does. */
  readonly waits: () => boolean
  /** There is something new to say; called once. */
  readonly notify: () => void
}

/** Somebody who waits until something holds of the connection. */
export interface Condition {
  readonly holds: () => boolean
  readonly notify: () => void
}

export class Connection<F> {
  state: ConnectionState.State = "open"
  bytesRead = 0
  bytesWritten = 0
  /** When bytes last moved, by the injected clock. */
  lastRead: number
  lastWrite: number
  /** Set once, when the connection is lost. */
  report: LossReport<F> | undefined = undefined
  /** Who ended a direction first. */
  firstEnded: "local" | "peer" | undefined = undefined
  peerEnded = false
  readonly writes: WriteBuffer
  /** Whose counters are told: another core's, if its driver has taken the carrier over. */
  counted: Connection<unknown> = this

  private readonly limits: Limits
  private readonly timers: Timers
  private readonly driver: Driver
  private readonly input = new ChunkQueue()
  private inputBytes = 0
  /** The input has ended, and nothing that came before it was dropped. */
  private inputEnded = false
  private inputDiscarded = false
  private promised = false
  private reading = false
  private demanded = false
  private reader: Reader | undefined = undefined
  /** Waits until the event loop has turned, before it looks for input. */
  private breathing: Reader | undefined = undefined
  private ending = false
  private endSent = false
  private endFinished = false
  private closeAsked = false
  private sending = false
  /** Work is put off to the end of the turn. */
  private scheduled = false
  private aheadDue = false
  private budget = turnBudget
  private cancelTimer: (() => void) | undefined = undefined
  private closeDeadline = 0
  private conditions: Array<Condition> = []

  constructor(
    carrier: { readonly driver: (connection: Connection<F>) => Driver },
    limits: Limits,
    timers: Timers
  ) {
    this.limits = limits
    this.timers = timers
    this.writes = new WriteBuffer(limits.highWaterMark, limits.lowWaterMark)
    this.lastRead = this.lastWrite = timers.now()
    this.driver = carrier.driver(this)
  }

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  /** Input in hand, in bytes: read and not yet taken. */
  get unreadBytes(): number {
    return this.inputBytes
  }

  /** A reader waits, for input or until the event loop has turned. */
  get pulling(): boolean {
    return this.reader !== undefined && this.reader.waits() || this.breathing !== undefined && this.breathing.waits()
  }

  /**
   * What `take` would find. What was found, a chunk or the end, is promised: it stays until it is taken, whatever happens between.
   * (Effect's scheduler can let a fiber yield, and be interrupted, between any two steps. So a reader looks in one step,
   * and takes in a later one that hands the bytes to its continuation at once: no step holds bytes that could be lost.)
   */
  readiness(): Readiness {
    if (this.inputDiscarded || this.report?.loss.kind === "aborted") this.dropInput()
    if (this.inputBytes > 0 || this.inputEnded) {
      this.promised = true
      return "ready"
    }
    if (this.report !== undefined) return "lost"
    return this.inputDiscarded ? "discarded" : "pending"
  }

  /** The chunk that is ready; `null` for the end of input. */
  take(): Uint8Array | null {
    this.promised = false
    const chunk = this.input.shift()
    if (chunk === undefined) {
      // Another reader, who should not be, took it since this one looked. Rather no answer than an end that is none.
      if (!this.inputEnded) throw new Error(concurrentPull)
      return null
    }
    this.inputBytes -= chunk.length
    if (!this.reading && !this.isAhead(this.inputBytes, this.input.length) && this.isLow) this.startReading()
    return chunk
  }

  /**
   * Tells the reader, once, that `readiness` has something new to say: at once if that came between its look and now. Only
   * one reader waits at a time; one that has left gives way to the next.
   */
  awaitInput(reader: Reader): void {
    if (this.readiness() !== "pending") return reader.notify()
    const gone = this.reader
    this.reader = reader
    // Had it not left after all, it would wait for ever.
    if (gone !== undefined && gone !== reader) gone.notify()
    this.demanded = true
    this.startReading()
  }

  /** Puts bytes in front of the input, as if they had not been taken. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.inputDiscarded || this.report?.loss.kind === "aborted") return
    this.input.unshift(bytes)
    this.inputBytes += bytes.length
    this.wakeReader()
  }

  /** The driver has input. */
  received(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.state === "closed") return
    this.countRead(chunk.length)
    if (this.inputDiscarded) return this.discarded()
    if (this.report !== undefined) return
    this.input.push(chunk)
    this.inputBytes += chunk.length
    const { reader } = this
    if (!this.isAhead(this.inputBytes, this.input.length)) return this.wakeReader()
    // What a waiting reader is about to take does not count as read ahead.
    const taken = reader !== undefined && reader.waits() &&
      !this.isAhead(this.inputBytes - chunk.length, this.input.length)
    this.wakeReader()
    if (!taken) return this.stopReading()
    this.aheadDue = true
    this.schedule()
  }

  /** So many bytes have come: to `received`, or to whoever takes the driver's input in its place. */
  countRead(bytes: number): void {
    this.bytesRead += bytes
    this.lastRead = this.timers.now()
  }

  /**
   * A reader that runs within the event has taken it by now. Another one takes it in the microtask that was queued by
   * waking it, before this one: or it leaves meanwhile, and does not.
   */
  private lookAhead(): void {
    this.aheadDue = false
    if (this.isAhead(this.inputBytes, this.input.length)) void Promise.resolve().then(() => this.stopIfAhead())
  }

  private stopIfAhead(): void {
    if (this.isAhead(this.inputBytes, this.input.length)) this.stopReading()
  }

  private isAhead(bytes: number, chunks: number): boolean {
    return bytes >= this.limits.readBufferSize || chunks >= chunkLimit
  }

  /** Half of it is taken: reading goes on then, and not for each chunk. */
  private get isLow(): boolean {
    return this.inputBytes * 2 <= this.limits.readBufferSize && this.input.length * 2 <= chunkLimit
  }

  /** The driver has seen the peer's end: after all its bytes, and never instead of a reset. */
  ended(): void {
    if (this.peerEnded || this.report !== undefined || this.state === "closed") return
    this.peerEnded = true
    this.reading = false
    this.firstEnded ??= "peer"
    if (!this.inputDiscarded) this.inputEnded = true
    this.dispatch("peerEnded")
    this.wakeReader()
  }

  private startReading(): void {
    if (this.reading || !this.demanded || this.peerEnded || this.report !== undefined) return
    this.reading = true
    this.driver.startReading()
  }

  private stopReading(): void {
    if (!this.reading || this.inputDiscarded) return
    this.reading = false
    this.driver.stopReading()
  }

  private wakeReader(): void {
    const reader = this.reader
    if (reader === undefined) return
    this.reader = undefined
    reader.notify()
  }

  private discardInput(): void {
    // Only an input that was taken to its end keeps its end: what is dropped, now or later, came before it.
    if (this.inputBytes > 0) this.inputEnded = false
    this.inputDiscarded = !this.inputEnded
    if (!this.promised) this.dropInput()
    this.wakeReader()
    // Unread input would turn the close into a reset, which destroys what was sent (RFC 2525 §2.17): read it to its end.
    this.demanded = true
    this.startReading()
  }

  /** Nobody holds it back: a carrier that always has more would let no timer come, not even the one that ends this. */
  private discarded(): void {
    if (!this.reading || !this.outOfBreath()) return
    this.reading = false
    this.driver.stopReading()
    this.breathe(() => {
      // A close under way has its deadline; without one, the carrier was let go of meanwhile.
      if (this.cancelTimer !== undefined) this.startReading()
    })
  }

  private dropInput(): void {
    if (this.inputBytes > 0) this.inputEnded = false
    this.input.clear()
    this.inputBytes = 0
  }

  // ---------------------------------------------------------------------------
  // writing
  // ---------------------------------------------------------------------------

  /** No write is accepted any more, because this side has ended. A loss says so by `report`. */
  get writeEnded(): boolean {
    return this.ending
  }

  /** This side's end is out. */
  get writeFinished(): boolean {
    return this.endFinished
  }

  /** All that was ever accepted, less what is still buffered: in the carrier's hands. */
  get handedOver(): number {
    return this.writes.accepted - this.writes.buffered
  }

  /** Is there room for a chunk of somebody who comes now? Hands over what is buffered before it says no. */
  admits(): boolean {
    if (this.writes.buffered >= this.writes.high && this.writes.inFlight === 0) this.send()
    return this.writes.admits
  }

  /** Is there room for all of these, one after the other? Hands over what is buffered before it says no. */
  admitsAll(chunks: ReadonlyArray<Uint8Array>): boolean {
    if (this.writes.admitsAll(chunks)) return true
    if (this.writes.inFlight === 0) this.send()
    return this.writes.admitsAll(chunks)
  }

  /** Accepts a chunk. Only after `admits` and while neither ended nor lost. */
  push(chunk: Uint8Array): void {
    this.writes.push(chunk)
    if (this.writes.inFlight === 0 && !this.sending) this.schedule()
  }

  /**
   * A writer that found no room for all its chunks: they are admitted in their turn, then `notify` is called: at once if
   * there is room by now, or never will be. Those for which there is room are accepted here, and not when it was looked
   * for: its fiber may yield in between, and another one's would come between them.
   */
  awaitRoom(chunks: ReadonlyArray<Uint8Array>, notify: () => void): Waiter {
    let next = 0
    while (next < chunks.length && !this.ending && this.admits() && this.report === undefined) {
      this.push(chunks[next++]!)
    }
    const waiter = this.writes.wait(chunks, next, notify)
    if (this.ending || this.report !== undefined) this.writes.refuse()
    else if (this.writes.inFlight === 0) this.send()
    return waiter
  }

  /** The driver has taken so many bytes more of what it was given. */
  written(bytes: number): void {
    if (this.report !== undefined) return
    this.bytesWritten += bytes
    this.lastWrite = this.timers.now()
    this.writes.written(bytes)
    if (!this.sending) this.send()
  }

  /** The driver has sent this side's end. */
  finished(): void {
    this.endFinished = true
    this.dispatch("writeFinished")
    this.wakeConditions()
  }

  /** What was read in this turn has been taken, and what was written leaves. */
  run(): void {
    this.scheduled = false
    if (this.aheadDue) this.lookAhead()
    this.send()
  }

  /** Hands over what is buffered, as far as the driver takes it, then the end if it is due, then admits who waits. */
  send(): void {
    if (this.sending || this.report !== undefined || this.state === "closed") return
    this.sending = true
    const writes = this.writes
    do {
      while (writes.inFlight === 0 && writes.buffered > 0) {
        const batch = writes.take(batchLimit)
        const bytes = writes.inFlight
        if (this.driver.write(batch, bytes) && this.report === undefined) this.written(bytes)
      }
      writes.admit()
    } while (writes.inFlight === 0 && writes.buffered > 0)
    this.sending = false
    this.wakeConditions()
    if (this.ending && !this.endSent && writes.buffered === 0 && this.report === undefined) {
      this.endSent = true
      this.driver.end()
    }
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    this.timers.defer(this)
  }

  private endWrite(): void {
    this.ending = true
    this.firstEnded ??= "local"
    this.writes.refuse()
    this.send()
    this.wakeConditions()
  }

  // ---------------------------------------------------------------------------
  // ending
  // ---------------------------------------------------------------------------

  closeWrite(): void {
    this.dispatch("closeWrite")
  }

  close(): void {
    if (this.closeAsked) return
    this.closeAsked = true
    this.closeDeadline = this.timers.now() + this.limits.closeTimeout
    this.dispatch("close")
  }

  abort(): void {
    if (this.state === "releasing") this.dispatch("abort")
    else this.lose({ kind: "aborted" }, "abort")
  }

  /** The driver reports that the carrier failed. */
  failed(failure: F): void {
    this.lose({ kind: "failed", failure }, "failed")
  }

  /** The driver reports that nothing of the carrier is left. */
  released(): void {
    this.dispatch("released")
  }

  /** Tells it once it holds; it is asked now, when bytes have moved, and when a direction or the connection has ended. */
  await(condition: Condition): void {
    if (condition.holds()) condition.notify()
    else if (this.conditions.length > 0) this.conditions.push(condition)
    // Not pushed: that makes room for 17, and most often it is the only one.
    else this.conditions = [condition]
  }

  /** It does not wait any more. */
  forget(condition: Condition): void {
    this.conditions = this.conditions.filter((other) => other !== condition)
  }

  /** Calls `notify` once `holds`, see `await`; gives what ends the wait. */
  awaitCondition(holds: () => boolean, notify: () => void): () => void {
    const condition = { holds, notify }
    this.await(condition)
    return () => this.forget(condition)
  }

  private wakeConditions(): void {
    if (this.conditions.length === 0) return
    // Not in place: who is told may come back at once.
    const all = this.conditions
    this.conditions = []
    const left = all.filter((condition) => {
      const holds = condition.holds()
      if (holds) condition.notify()
      return !holds
    })
    if (left.length > 0) this.conditions = [...left, ...this.conditions]
  }

  private lose(loss: Loss<F>, event: "abort" | "failed" | "closeExpired"): void {
    if (this.report !== undefined || transitions[this.state][event] === undefined) return
    const { bytesRead, bytesWritten, report, writes } = this.counted
    this.report = {
      loss,
      phase: this.closeAsked ? "closing" : "open",
      bytesRead,
      bytesWritten,
      bytesUnsent: report?.bytesUnsent ?? writes.buffered
    }
    this.dispatch(event)
  }

  private reset(): void {
    this.disarm()
    if (this.report?.loss.kind === "aborted" && !this.promised) this.dropInput()
    this.reading = false
    this.writes.drop()
    this.writes.refuse()
    this.wakeConditions()
    this.wakeReader()
    this.driver.reset()
  }

  private dispatch(event: ConnectionState.Event): void {
    const step = transitions[this.state][event]
    if (step === undefined) return
    this.state = step[0]
    // An array pattern would make an iterator and an array of each.
    for (let index = 1; index < step.length; index++) this.perform(step[index] as ConnectionState.Action)
  }

  private perform(action: ConnectionState.Action): void {
    switch (action) {
      case "endWrite":
        return this.endWrite()
      case "discardInput":
        return this.discardInput()
      case "armClose":
        return this.arm(this.limits.closeTimeout, () => this.lose({ kind: "closeTimeout" }, "closeExpired"))
      case "armLinger":
        return this.arm(
          Math.min(this.limits.lingerTimeout, Math.max(0, this.closeDeadline - this.timers.now())),
          () => this.dispatch("lingerExpired")
        )
      case "release":
        this.disarm()
        return this.driver.release()
      case "reset":
        return this.reset()
      case "settle":
        return this.wakeConditions()
    }
  }

  private arm(delay: number, expired: () => void): void {
    this.disarm()
    this.cancelTimer = this.timers.schedule(delay, () => {
      this.cancelTimer = undefined
      expired()
    })
  }

  private disarm(): void {
    this.cancelTimer?.()
    this.cancelTimer = undefined
  }

  // ---------------------------------------------------------------------------
  // fairness
  // ---------------------------------------------------------------------------

  /** Counts one read or write; true when a turn of the event loop is due before it. */
  outOfBreath(): boolean {
    return --this.budget < 0
  }

  /** Calls `notify` in a macrotask of its own. */
  breathe(notify: () => void): void {
    this.timers.macrotask(() => {
      this.turned()
      notify()
    })
  }

  /** The same for a reader, which is one meanwhile. */
  breatheReading(reader: Reader, notify: () => void): void {
    this.breathing = reader
    this.breathe(() => {
      if (this.breathing === reader) this.breathing = undefined
      notify()
    })
  }

  /** The event loop has turned: a driver whose events are macrotasks says so. */
  turned(): void {
    this.budget = turnBudget
  }
}
