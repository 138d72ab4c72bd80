/**
 * The carrier of a transport whose peer is a test: a wire without a length, on which the test says what comes in, and looks
 * at what goes out.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "../../Address.ts"
import type { SystemFailure } from "../../ConnectionError.ts"
import * as Driver from "../../Driver.ts"
import type * as Transport from "../../Transport.ts"
import type { Options } from "../ScriptedTransport.ts"

/** What the transport does, as its peer sees it. */
export interface Seen {
  /** Gives how many of the bytes it takes; `drain` takes the others. */
  readonly output: (chunks: ReadonlyArray<Uint8Array>, bytes: number) => number
  /** These are taken. */
  readonly outputTaken: () => void
  readonly ended: () => void
  /** Nothing is left of the transport: it was let go in order, or reset. */
  readonly gone: (how: "released" | "reset") => void
}

export class Peer implements Driver.Driver {
  private readonly events: Driver.Events<SystemFailure>
  private readonly seen: Seen
  private readonly input: Array<Uint8Array> = []
  /** What follows the input: the end, the failure, or the one and then the other. */
  private ending = false
  private endReported = false
  private failure: SystemFailure | undefined = undefined
  private failureReported = false
  /** Output that is not taken yet. */
  private inFlight = 0
  private endSeen = false
  private answersEnd = false
  private takesAll = false
  private reading = false
  private delivering = false
  private gone = false

  constructor(events: Driver.Events<SystemFailure>, seen: Seen) {
    this.events = events
    this.seen = seen
  }

  // --- what the test does --------------------------------------------------------

  /** The peer has ended or reset. */
  get finished(): boolean {
    return this.ending || this.isLost
  }

  /** Bytes that the transport has not taken yet. */
  get unread(): number {
    return this.input.reduce((sum, { length }) => sum + length, 0)
  }

  send(bytes: Uint8Array): void {
    if (this.finished || this.gone || bytes.length === 0) return
    // A copy: the test may use its buffer again, and the reader keeps these bytes.
    this.input.push(new Uint8Array(bytes))
    this.deliver()
  }

  sendEnd(): void {
    if (this.finished || this.gone) return
    this.ending = true
    this.deliver()
  }

  /** The peer ends when it has seen this side's end. */
  answerEnd(): void {
    this.answersEnd = true
    if (this.endSeen) this.sendEnd()
  }

  /** Whatever the test wanted to see, a close has nobody to wait for. */
  yield(): void {
    this.takesAll = true
    this.drain()
    this.answerEnd()
  }

  /** After the input, and its end. Who writes, or waits to, learns of it at once. */
  lose(failure: SystemFailure): void {
    if (this.isLost || this.gone) return
    this.failure = failure
    this.deliver()
  }

  /** Takes the output that it has not taken yet. */
  drain(): void {
    this.take(this.inFlight)
  }

  // --- what the core asks for ----------------------------------------------------

  readonly startReading = (): void => {
    this.reading = true
    this.deliver()
  }

  readonly stopReading = (): void => {
    this.reading = false
  }

  readonly write = (chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean => {
    if (this.isLost) {
      this.fail()
      return false
    }
    this.inFlight = bytes
    this.take(this.takesAll ? bytes : this.seen.output(chunks, bytes))
    this.seen.outputTaken()
    return false
  }

  readonly end = (): void => {
    if (this.isLost) return this.fail()
    this.endSeen = true
    if (!this.takesAll) this.seen.ended()
    if (this.answersEnd) this.sendEnd()
    if (!this.gone) this.events.finished()
  }

  readonly release = (): void => this.leave("released")

  readonly reset = (): void => this.leave("reset")

  private get isLost(): boolean {
    return this.failure !== undefined
  }

  private take(bytes: number): void {
    if (this.gone || bytes === 0) return
    this.inFlight -= bytes
    this.events.written(bytes)
  }

  private deliver(): void {
    if (this.delivering || this.gone) return
    this.delivering = true
    while (this.reading && this.input.length > 0) this.events.received(this.input.shift()!)
    this.delivering = false
    if (this.ending && !this.endReported && this.reading && this.input.length === 0) {
      this.endReported = true
      this.events.ended()
    }
    const readToItsEnd = this.input.length === 0 && this.endReported === this.ending
    if (readToItsEnd || this.inFlight > 0) this.fail()
  }

  private fail(): void {
    if (this.failure === undefined || this.failureReported || this.gone) return
    this.failureReported = true
    this.events.failed(this.failure)
  }

  private leave(how: "released" | "reset"): void {
    if (this.gone) return
    this.gone = true
    this.input.length = 0
    this.events.released()
    this.seen.gone(how)
  }
}

/** A transport and its peer, which yields when the Scope ends. */
export const open = (
  options: Options,
  seen: Seen
): Effect.Effect<{ readonly transport: Transport.Transport; readonly peer: Peer }, never, Scope.Scope> =>
  Effect.suspend(() => {
    let peer!: Peer
    const opened = Driver.open({
      driver: (events) => peer = new Peer(events, seen),
      localAddress: options.localAddress ?? Address.memory("local"),
      remoteAddress: options.remoteAddress ?? Address.memory("peer"),
      options: undefined,
      handle: undefined,
      limits: Driver.resolveLimits(options)
    })
    return Effect.uninterruptible(
      Effect.flatMap(opened, (transport) => Effect.as(yieldWithScope(peer), { transport, peer }))
    )
  })

/** For whoever closes the transport by a finalizer of its own: this has to come before it. */
export const yieldWithScope = (peer: Peer): Effect.Effect<void, never, Scope.Scope> =>
  Effect.addFinalizer(() => Effect.sync(() => peer.yield()))
