/**
 * A transport as the Duplex that carries a TLS socket of Node.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Duplex } from "node:stream"
import { async } from "../../internal/async.ts"
import type { Transport } from "../../Transport.ts"
import { TlsRecords } from "./tlsRecords.ts"

/** The reader takes no more. */
const held: Effect.Effect<void> = async(() => () => {})

type Done = (error?: Error | null) => void

export class TlsCarrier<E> extends Duplex {
  readonly transport: Transport<E>
  /** TLS was told that the carrier's input is over: what it says of an end from now on is the carrier's. */
  inputOver = false
  /** The peer has ended TLS itself, while the carrier was still there. */
  closeNotified = false
  /** The transport is given back after the end of TLS, and not ended with it. */
  kept = false
  /** What the carrier was lost of. */
  loss: { readonly error: E } | undefined = undefined
  /** A write found that somebody has ended the carrier's writing beneath TLS. */
  onEndedBeneath: () => void = () => {}
  readonly run: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
  private readonly fibers = new Set<Fiber.RuntimeFiber<void>>()
  private readonly records = new TlsRecords()
  /** Taken from the transport, and not given to TLS. */
  private rest: Uint8Array = new Uint8Array(0)
  private reading = false
  private wanted = false
  private wake: (() => void) | undefined = undefined

  constructor(transport: Transport<E>, run: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>) {
    // What TLS does not take at once stays in the transport. Who made it also ends it.
    super({ allowHalfOpen: true, readableHighWaterMark: 1, autoDestroy: false })
    this.transport = transport
    this.run = run
    // The first of the listeners: TLS looks at the end after it.
    this.on("end", () => (this.inputOver = true)).on("error", () => {})
  }

  /** Runs it until it has ended, or this is left. */
  fork(effect: Effect.Effect<void>): void {
    const fiber = this.run(effect)
    this.fibers.add(fiber)
    fiber.addObserver(() => this.fibers.delete(fiber))
  }

  /** Ends the fibers, and then the transport in this way. */
  leave(how: "close" | "abort"): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.destroy()
      const end = Effect.suspend(() =>
        how === "close" && this.kept ? this.transport.unread(this.rest) : this.transport[how]
      )
      return Effect.zipRight(Fiber.interruptAll(this.fibers), end)
    })
  }

  // --- reading -----------------------------------------------------------------

  override _read(): void {
    const { wake } = this
    this.wake = undefined
    this.wanted = true
    wake?.()
    if (this.reading) return
    this.reading = true
    this.fork(Effect.matchEffect(this.transport.forEach(this.give), {
      onFailure: (error) => this.over(() => (this.loss ??= { error })),
      onSuccess: () => this.over(() => {})
    }))
  }

  /** Record by record: what follows a close_notify is no longer TLS's. */
  private readonly give = (chunk: Uint8Array): Effect.Effect<void> => {
    this.rest = chunk
    while (this.rest.length > 0) {
      if (this.closeNotified) return held
      const taken = this.records.take(this.rest)
      const record = this.rest.subarray(0, taken)
      this.rest = this.rest.subarray(taken)
      this.wanted = false
      if (!this.push(record)) return Effect.flatMap(this.demand, () => this.give(this.rest))
    }
    return Effect.void
  }

  private readonly demand: Effect.Effect<void> = async<void>((resume) => {
    const wake = () => resume(Effect.void)
    if (this.wanted) wake()
    else this.wake = wake
    return () => {
      this.wake = undefined
    }
  })

  private over(note: () => void): Effect.Effect<void> {
    return Effect.sync(() => {
      note()
      if (!this.destroyed) this.push(null)
    })
  }

  // --- writing -----------------------------------------------------------------

  override _write(chunk: Uint8Array, _: BufferEncoding, done: Done): void {
    this.send([chunk], done)
  }

  override _writev(chunks: ReadonlyArray<{ readonly chunk: Uint8Array }>, done: Done): void {
    this.send(chunks.map(({ chunk }) => chunk), done)
  }

  /** TLS goes on when the transport has accepted it. Of a loss TLS hears as the end of its input, in its place. */
  private send(chunks: ReadonlyArray<Uint8Array>, done: Done): void {
    const { outgoing } = this.transport
    const rest = chunks.findIndex((chunk) => !outgoing.unsafeOffer(chunk))
    if (rest < 0) return done()
    this.fork(Effect.match(this.transport.writeAll(chunks.slice(rest)), {
      onFailure: (error) => {
        if (isWriteAfterEnd(error)) this.onEndedBeneath()
      },
      onSuccess: () => done()
    }))
  }

  override _final(done: Done): void {
    if (this.kept) return done()
    this.fork(Effect.match(this.transport.closeWrite, { onFailure: () => {}, onSuccess: () => done() }))
  }
}

const isWriteAfterEnd = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "WriteAfterEnd"
