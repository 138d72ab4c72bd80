/**
 * A driver whose carrier is a transport. What has to wait for nothing is done without a fiber: input is handed on where it
 * comes in, output is accepted where it is written. So a layer with buffers costs a message 3 µs, and not 9, of which two
 * wake-ups were most. What waits, for a pace, for room, for the consumer, does so in fibers, gone when it is released.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { isTagged } from "effect/Predicate"
import type { WriteAfterEnd } from "../ConnectionError.ts"
import type { Driver, Events } from "../Driver.ts"
import type { Pace } from "../NetworkLayer.ts"
import type { CloseReason, Transport } from "../Transport.ts"
import { Bell } from "./bell.ts"
import { advance, isDone, next } from "./immediate.ts"
import * as Turn from "./turn.ts"
import { Unattended } from "./unattended.ts"
import { WriteBuffer } from "./writeBuffer.ts"

/** Makes a fiber that starts a little later: no event may reach the core from within a call of the core. */
type Run = (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>

export interface Options<E> {
  readonly read: Pace | undefined
  readonly write: Pace | undefined
  readonly run: Run
  /** The failure when somebody has ended the inner transport's writing behind this driver's back. */
  readonly endedBeneath: () => E
}

/** An empty buffer takes a chunk of any size: with a small mark it need not come in pieces. */
const leastBatch = 16384

/** Runs an effect beside, from the end of this event on: without a fiber for as long as it needs none. What interrupts it. */
const beside = <E>(
  effect: Effect.Effect<void, E>,
  run: (effect: Effect.Effect<void, E>) => Fiber.RuntimeFiber<void>
): Effect.Effect<void> => {
  let interrupt: Effect.Effect<void> | undefined
  const attend = (rest: Effect.Effect<void, E>): void => {
    interrupt = Effect.asVoid(Fiber.interrupt(run(rest)))
  }
  const begin = (effect: Unattended<void, E, never>): void => {
    if (interrupt !== undefined) return
    const started = effect.start(attend)
    interrupt ??= Effect.sync(() => started.stop())
  }
  if (isUnattended(effect)) Turn.task(() => begin(effect))
  else attend(effect)
  return Effect.suspend(() => interrupt ??= Effect.void)
}

const isUnattended = <E>(effect: Effect.Effect<void, E>): effect is Unattended<void, E, never> =>
  effect instanceof Unattended

export class TransportDriver<E> implements Driver {
  private readonly inner: Transport<E>
  private readonly events: Events<E>
  private readonly options: Options<E>

  private reading = false
  private readonly readBell = new Bell()
  /** Taken, and not yet reported: the one chunk that is taken ahead of the consumer. */
  private held: Uint8Array | undefined = undefined

  /** What waits for its pace. */
  private readonly output = new WriteBuffer(1, 0)
  /** It is being passed: what comes meanwhile is passed behind it. */
  private passing = false

  /** What interrupts it. */
  private reader: Effect.Effect<void> | undefined = undefined
  private writer: Fiber.RuntimeFiber<void> | undefined = undefined
  private watcher: Fiber.RuntimeFiber<void> | undefined = undefined

  constructor(inner: Transport<E>, events: Events<E>, options: Options<E>) {
    this.inner = inner
    this.events = events
    this.options = options
  }

  // --- the loss of the inner transport -----------------------------------------

  /** To be called once the core is there to hear of it. */
  readonly watch = (): void => {
    this.watcher = this.options.run(Effect.flatMap(this.inner.closed, this.innerClosed))
  }

  /** A clean end is the reader's to report: there may be input left. A loss concerns writers, and idle ones as well. */
  private readonly innerClosed = (reason: CloseReason<E>): Effect.Effect<void> =>
    reason._tag === "Clean" ? Effect.void : Effect.zipRight(
      this.reader ?? Effect.void,
      Effect.map(this.drain, () => this.events.failed(reason.error))
    )

  /** What came before the loss, all at once: there is no traffic any more that could be paced. */
  private readonly drain: Effect.Effect<void> = Effect.suspend(() => {
    if (this.held !== undefined) this.events.received(this.held)
    this.held = undefined
    return Effect.matchEffect(this.inner.pull, {
      onFailure: () => Effect.void,
      onSuccess: (chunk) => {
        if (chunk === null) return Effect.sync(() => this.events.ended())
        this.held = chunk
        return this.drain
      }
    })
  })

  // --- reading -----------------------------------------------------------------

  readonly startReading = (): void => {
    this.reading = true
    if (this.reader === undefined) {
      this.reader = beside(this.inner.forEach(this.take), this.read)
    } else this.readBell.ring()
  }

  readonly stopReading = (): void => {
    this.reading = false
  }

  private readonly take = (chunk: Uint8Array): Effect.Effect<void> => {
    this.held = chunk
    // The inner transport takes a breath when one is due: this one need not take its own as well.
    this.events.turned()
    return this.pass()
  }

  /** Reports what is held, as soon as it is wanted and its pace allows. */
  private readonly pass = (): Effect.Effect<void> => {
    const { read } = this.options
    while (this.held !== undefined) {
      if (!this.reading) return Effect.zipRight(this.readBell.await, this.passOn)
      if (read === undefined) this.passInput(this.held.length)
      else {
        const ready = read.ready(this.held.length)
        if (!isDone(ready)) {
          return Effect.zipRight(Effect.map(ready, (bytes) => this.passPaced(bytes, read)), this.passOn)
        }
        this.passPaced(ready.value, read)
      }
    }
    return Exit.void
  }

  private readonly passOn = Effect.suspend(this.pass)

  /** Unless it is no longer wanted, since it waited for its pace. */
  private passPaced(bytes: number, pace: Pace): void {
    if (!this.reading) return pace.spend(0)
    pace.spend(bytes)
    this.passInput(bytes)
  }

  private passInput(bytes: number): void {
    const held = this.held!
    this.held = bytes < held.length ? held.subarray(bytes) : undefined
    this.events.received(this.held === undefined ? held : held.subarray(0, bytes))
  }

  /** A failure is reported in its place behind the bytes that came before it. By the watcher too: the first one counts. */
  private readonly read = (reading: Effect.Effect<void, E>): Fiber.RuntimeFiber<void> =>
    this.options.run(Effect.match(reading, {
      onFailure: (error) => this.events.failed(error),
      onSuccess: () => this.events.ended()
    }))

  // --- writing -----------------------------------------------------------------

  readonly write = (chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean => {
    const { run, write } = this.options
    if (write === undefined) {
      const rest = advance(this.inner.writeAll(chunks))
      if (isDone(rest)) return true
      this.writer = run(
        Effect.match(rest, { onFailure: this.writeFailed, onSuccess: () => this.events.written(bytes) })
      )
    } else {
      for (const chunk of chunks) this.output.push(chunk)
      if (this.passing) return false
      this.passing = true
      const rest = this.passOutput(write)
      if (isDone(rest)) return false
      this.writer = run(Effect.catchAll(rest, (error) => Effect.sync(() => this.writeFailed(error))))
    }
    return false
  }

  /** Until all is out. What is reported as written may bring the next batch, which is passed as well. */
  private passOutput(pace: Pace): Effect.Effect<void, E | WriteAfterEnd> {
    const rest = () => this.passOutput(pace)
    while (this.output.buffered > 0) {
      const room = this.room()
      if (room === 0) return Effect.flatMap(this.inner.flush, rest)
      const ready = pace.ready(Math.min(this.output.buffered, room))
      if (!isDone(ready)) return Effect.flatMap(ready, (limit) => Effect.flatMap(this.passBatch(limit, pace), rest))
      const passed = this.passBatch(ready.value, pace)
      if (!isDone(passed)) return Effect.flatMap(passed, rest)
    }
    this.passing = false
    return Exit.void
  }

  /** For so much the pace is asked: what a slow carrier held up would come on top of what others may pass meanwhile. */
  private room(): number {
    const { outgoing } = this.inner
    const size = Option.getOrElse(outgoing.unsafeSize(), () => 0)
    return size === 0 ? Math.max(outgoing.capacity(), leastBatch) : Math.max(0, outgoing.capacity() - size)
  }

  private passBatch(limit: number, pace: Pace): Effect.Effect<void, E | WriteAfterEnd> {
    const batch = this.output.take(limit)
    const bytes = this.output.inFlight
    return next(this.inner.writeAll(batch), () => {
      pace.spend(bytes)
      this.output.written(bytes)
      this.events.written(bytes)
      return Exit.void
    })
  }

  /** A loss is the watcher's to report, after the input that came before it. */
  private readonly writeFailed = (error: E | WriteAfterEnd): void => {
    if (isTagged(error, "WriteAfterEnd")) this.events.failed(this.options.endedBeneath())
  }

  readonly end = (): void => {
    this.options.run(
      Effect.match(this.inner.closeWrite, { onFailure: () => {}, onSuccess: () => this.events.finished() })
    )
  }

  // --- ending ------------------------------------------------------------------

  readonly release = (): void => this.leave(this.inner.close)

  readonly reset = (): void => this.leave(this.inner.abort)

  private leave(end: Effect.Effect<void>): void {
    const fibers = [this.writer, this.watcher].filter((fiber) => fiber !== undefined)
    this.options.run(Effect.zipRight(
      Effect.zipRight(this.reader ?? Effect.void, Fiber.interruptAll(fibers)),
      Effect.suspend(() => {
        this.held = undefined
        this.output.drop()
        return Effect.map(end, () => this.events.released())
      })
    ))
  }
}
