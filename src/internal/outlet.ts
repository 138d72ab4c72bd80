/**
 * A transport for a stream that is no Effect: Node's, or the web's. Input goes to a receiver that says itself when it
 * wants more; output calls back when the carrier has it. One fiber reads for the transport's whole life, from when input
 * is wanted first; a write has one only while it waits.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import type { CloseReason, Transport } from "../Transport.ts"
import { nothing } from "./bytes.ts"
import { advance, isDone } from "./immediate.ts"

export interface Receiver {
  /** The next bytes. True: it wants more. */
  readonly take: (chunk: Uint8Array) => boolean
  readonly ended: () => void
  /** The input is cut off; all that came before is taken. */
  readonly failed: (error: Error) => void
  /** The transport is lost; there may be input that came before. */
  readonly lost?: (error: Error) => void
  /** The input has ended, and the transport is over: this is what a write would fail with. */
  readonly refused: (error: Error) => void
}

/** When it is over: with what it failed. */
type Done = (error?: Error) => void

export class Outlet<E> {
  private readonly transport: Transport<E>
  private readonly runtime: Runtime.Runtime<never>
  private readonly receiver: Receiver
  private started = false
  private wanted = false
  private drained = false
  private inputEnded = false
  private isOver = false
  private wake: (() => void) | undefined = undefined

  constructor(transport: Transport<E>, runtime: Runtime.Runtime<never>, receiver: Receiver) {
    this.transport = transport
    this.runtime = runtime
    this.receiver = receiver
    this.run(Effect.map(transport.closed, this.over), () => {})
  }

  // --- reading -----------------------------------------------------------------

  /** The receiver wants more. */
  want(): void {
    this.wanted = true
    this.goOn()
    if (this.started) return
    this.started = true
    this.run(this.transport.forEach(this.pass), (error) => {
      if (error !== undefined) return this.receiver.failed(error)
      this.receiver.ended()
      this.inputEnded = true
      this.refuse()
    })
  }

  /** The receiver takes all that there is, without saying so. */
  drain(): void {
    this.drained = true
    this.goOn()
  }

  private goOn(): void {
    const { wake } = this
    this.wake = undefined
    wake?.()
  }

  private readonly pass = (chunk: Uint8Array): Effect.Effect<void> => {
    this.wanted = false
    return this.receiver.take(chunk) || this.isWanted ? Exit.void : this.demand
  }

  private get isWanted(): boolean {
    return this.wanted || this.drained
  }

  private readonly demand: Effect.Effect<void> = Effect.async<void>((resume) => {
    const wake = () => resume(Exit.void)
    if (this.isWanted) wake()
    else this.wake = wake
  })

  /**
   * What this side has ended, a receiver learns that does not ask: there is nothing to come that it could miss. What came
   * before a loss from without it is given when it asks, and then the loss.
   */
  private readonly over = (reason: CloseReason<E>): void => {
    this.isOver = true
    this.refuse()
    if (reason._tag === "Lost") {
      this.receiver.lost?.(asError(reason.error))
      if (isFromWithout(reason.error)) return
    }
    this.drain()
    this.want()
  }

  /** Who has read the end hears no more by reading, and may have nothing to write. */
  private refuse(): void {
    if (!this.isOver || !this.inputEnded) return
    this.run(this.transport.write(nothing), (error) => {
      if (error !== undefined) this.receiver.refused(error)
    })
  }

  // --- writing and ending ------------------------------------------------------

  /** Calls back, perhaps at once, when the bytes are in the carrier's hands, and may be changed. */
  write(chunks: ReadonlyArray<Uint8Array>, done: Done): void {
    const accepted = advance(this.transport.writeAll(chunks))
    const { flush } = this.transport
    const rest = isDone(accepted) ? advance(flush) : Effect.zipRight(accepted, flush)
    if (isDone(rest)) done()
    else this.run(rest, done)
  }

  end(done: Done): void {
    this.run(this.transport.closeWrite, done)
  }

  leave(how: "close" | "abort", done: () => void): void {
    this.drain()
    this.run(this.transport[how], done)
  }

  private run(effect: Effect.Effect<unknown, unknown>, done: Done): void {
    Runtime.runFork(this.runtime, effect).addObserver((exit) => {
      if (Exit.isSuccess(exit)) done()
      else done(asError(Cause.squash(exit.cause)))
    })
  }
}

const isFromWithout = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "side" in error && (error.side === "peer" || error.side === "network")

const asError = (failure: unknown): Error =>
  failure instanceof Error ? failure : new Error("The transport was lost", { cause: failure })
