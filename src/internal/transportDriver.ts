/**
 * A driver whose carrier is a transport. Three fibers do what a driver's callbacks cannot, which is to wait: one pulls,
 * one writes, one watches for the end. They are made when they are needed first, and are gone when it is released.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { WriteAfterEnd } from "../ConnectionError.ts"
import type { Driver, Events } from "../Driver.ts"
import type { Pace } from "../NetworkLayer.ts"
import type { CloseReason, Transport } from "../Transport.ts"
import { async } from "./async.ts"
import { WriteBuffer } from "./writeBuffer.ts"

export interface Options<E> {
  readonly read: Pace | undefined
  readonly write: Pace | undefined
  /** Makes a fiber that starts a little later: no event may reach the core from within a call of the core. */
  readonly run: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
  /** The failure when somebody has ended the inner transport's writing behind this driver's back. */
  readonly endedBeneath: () => E
}

/** Where a fiber waits to be called. A call carries nothing, and none is missed: the fiber looks again what there is to do. */
class Bell {
  private rung = false
  private waiting: (() => void) | undefined = undefined

  readonly await: Effect.Effect<void> = async<void>((resume) => {
    this.waiting = () => resume(Effect.void)
    if (this.rung) this.ring()
    return () => {
      this.waiting = undefined
    }
  })

  ring(): void {
    const { waiting } = this
    this.waiting = undefined
    this.rung = waiting === undefined
    waiting?.()
  }
}

const atOnce: Pace = { ready: Effect.succeed, spend: () => {} }

export class TransportDriver<E> implements Driver {
  private readonly inner: Transport<E>
  private readonly events: Events<E>
  private readonly options: Options<E>
  private readonly readPace: Pace
  private readonly writePace: Pace

  private reading = false
  private readonly readBell = new Bell()
  /** Pulled, and not yet reported: the one chunk that is taken ahead of the consumer. */
  private held: Uint8Array | undefined = undefined
  private endReported = false

  private readonly output = new WriteBuffer(1, 0)
  private readonly writeBell = new Bell()

  private reader: Fiber.RuntimeFiber<void> | undefined = undefined
  private writer: Fiber.RuntimeFiber<void> | undefined = undefined
  private watcher: Fiber.RuntimeFiber<void> | undefined = undefined

  constructor(inner: Transport<E>, events: Events<E>, options: Options<E>) {
    this.inner = inner
    this.events = events
    this.options = options
    this.readPace = options.read ?? atOnce
    this.writePace = options.write ?? atOnce
  }

  // --- the loss of the inner transport -----------------------------------------

  /** To be called once the core is there to hear of it. */
  readonly watch = (): void => {
    this.watcher = this.options.run(Effect.flatMap(this.inner.closed, this.innerClosed))
  }

  /** A clean end is the reader's to report: there may be input left. A loss concerns writers, and idle ones as well. */
  private readonly innerClosed = (reason: CloseReason<E>): Effect.Effect<void> =>
    reason._tag === "Clean" ? Effect.void : Effect.zipRight(
      this.reader === undefined ? Effect.void : Fiber.interrupt(this.reader),
      Effect.map(this.drain, () => this.events.failed(reason.error))
    )

  /** What came before the loss, all at once: there is no traffic any more that could be paced. */
  private readonly drain: Effect.Effect<void> = Effect.suspend(() => {
    if (this.held !== undefined) this.events.received(this.held)
    this.held = undefined
    return Effect.matchEffect(this.inner.pull, {
      onFailure: () => Effect.void,
      onSuccess: (chunk) => this.pulled(chunk) ? this.drain : Effect.void
    })
  })

  // --- reading -----------------------------------------------------------------

  readonly startReading = (): void => {
    this.reading = true
    if (this.reader === undefined) this.reader = this.options.run(Effect.catchAll(this.readLoop, this.readFailed))
    else this.readBell.ring()
  }

  readonly stopReading = (): void => {
    this.reading = false
  }

  private readonly readLoop: Effect.Effect<void, E> = Effect.suspend(() => {
    if (!this.reading) return Effect.zipRight(this.readBell.await, this.readLoop)
    return this.held === undefined
      // The pull's last step gives the chunk to `pulled` at once: an interruption cannot come between and lose it.
      ? Effect.flatMap(this.inner.pull, (chunk) => this.pulled(chunk) ? this.readLoop : Effect.void)
      : Effect.flatMap(this.readPace.ready(this.held.length), this.passInput)
  })

  /** False at the end of input. */
  private pulled(chunk: Uint8Array | null): boolean {
    if (chunk !== null) this.held = chunk
    else if (!this.endReported) {
      this.endReported = true
      this.events.ended()
    }
    return chunk !== null
  }

  private readonly passInput = (bytes: number): Effect.Effect<void, E> => {
    const { held } = this
    if (held !== undefined && this.reading) {
      this.held = bytes < held.length ? held.subarray(bytes) : undefined
      this.readPace.spend(Math.min(bytes, held.length))
      this.events.received(held.subarray(0, bytes))
    }
    return this.readLoop
  }

  /** In its place behind the bytes that came before it. A loss is reported by the watcher too: the first one counts. */
  private readonly readFailed = (error: E): Effect.Effect<void> => Effect.sync(() => this.events.failed(error))

  // --- writing -----------------------------------------------------------------

  readonly write = (chunks: ReadonlyArray<Uint8Array>): boolean => {
    for (const chunk of chunks) this.output.push(chunk)
    if (this.writer === undefined) this.writer = this.options.run(Effect.catchAll(this.writeLoop, this.writeFailed))
    else this.writeBell.ring()
    return false
  }

  private readonly writeLoop: Effect.Effect<void, E | WriteAfterEnd> = Effect.suspend(() =>
    this.output.buffered === 0
      ? Effect.zipRight(this.writeBell.await, this.writeLoop)
      : Effect.flatMap(this.writePace.ready(this.output.buffered), this.passOutput)
  )

  private readonly passOutput = (limit: number): Effect.Effect<void, E | WriteAfterEnd> => {
    const batch = this.output.take(limit)
    const bytes = this.output.inFlight
    return Effect.flatMap(this.inner.writeAll(batch), () => {
      // Spent when they are accepted, not before: what a slow carrier holds up must not come on top of what is saved.
      this.writePace.spend(bytes)
      this.output.written(bytes)
      this.events.written(bytes)
      return this.writeLoop
    })
  }

  /** A loss is the watcher's to report, after the input that came before it. */
  private readonly writeFailed = (error: E | WriteAfterEnd): Effect.Effect<void> =>
    Effect.sync(() => {
      if (isWriteAfterEnd(error)) this.events.failed(this.options.endedBeneath())
    })

  readonly end = (): void => {
    this.options.run(
      Effect.match(this.inner.closeWrite, { onFailure: () => {}, onSuccess: () => this.events.finished() })
    )
  }

  // --- ending ------------------------------------------------------------------

  readonly release = (): void => this.leave(this.inner.close)

  readonly reset = (): void => this.leave(this.inner.abort)

  private leave(end: Effect.Effect<void>): void {
    const fibers = [this.reader, this.writer, this.watcher].filter((fiber) => fiber !== undefined)
    this.options.run(Effect.zipRight(
      Fiber.interruptAll(fibers),
      Effect.suspend(() => {
        this.held = undefined
        this.output.drop()
        return Effect.map(end, () => this.events.released())
      })
    ))
  }
}

const isWriteAfterEnd = (error: unknown): error is WriteAfterEnd =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "WriteAfterEnd"
