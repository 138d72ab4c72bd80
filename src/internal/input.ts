/**
 * Where fibers wait for input: the reading half of a transport's shell.
 *
 * A wake-up carries no bytes: the reader looks again, and what it takes goes to its continuation in the same step. An
 * interruption cannot come in between.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Connection, Reader } from "./connection.ts"
import { concurrentPull } from "./connection.ts"
import { advance, Immediate, isDone } from "./immediate.ts"
import * as Turn from "./turn.ts"
import type { Started } from "./unattended.ts"
import { Unattended } from "./unattended.ts"

type Resume<A, E, R> = (effect: Effect.Effect<A, E, R>) => void

/** Within `Effect.async` there is one. */
const currentFiber = () => Option.getOrUndefined(Fiber.getCurrentFiber())

const isInterrupted = (fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined): boolean =>
  fiber !== undefined && !Cause.isEmpty(fiber.getFiberRef(FiberRef.interruptedCause))

/**
 * A fiber that waits. Interrupted, it leaves without a word: its interruption tells, to whoever asks. The canceler that
 * `Effect.async` can have is made anew for each wait, and costs more than all else of a message (2.2 µs and 3.7 KB).
 */
abstract class WaitingFiber<A, E, R> implements Reader {
  private fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  private interruptedBefore = false
  private resume: Resume<A, E, R> | undefined = undefined

  protected enter(resume: Resume<A, E, R>, fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined): void {
    this.resume = resume
    this.fiber = fiber
    this.interruptedBefore = isInterrupted(fiber)
  }

  protected leave(effect: Effect.Effect<A, E, R>): void {
    const { resume } = this
    this.stop()
    resume?.(effect)
  }

  /** Leaves without a word. */
  stop(): void {
    this.resume = undefined
    this.fiber = undefined
  }

  /** A fiber that was interrupted before it came is in a region where that does not count. */
  waits(): boolean {
    return this.resume !== undefined && (this.interruptedBefore || !isInterrupted(this.fiber))
  }

  abstract notify(): void
}

/** What is read: the core, and the transport that has the words for why there is no more input. */
export interface Source<E> {
  readonly connection: Connection<any>
  readonly noInput: (readiness: "lost" | "discarded") => E
}

/** The failure that there is no more input, whose error is made for those who look at it: it costs 4 µs. */
export class NoInput<E> extends Immediate<never, E> {
  private readonly source: Source<E>
  private readonly readiness: "lost" | "discarded"

  constructor(source: Source<E>, readiness: "lost" | "discarded") {
    super()
    this.source = source
    this.readiness = readiness
  }

  isOf(transport: unknown): boolean {
    return this.source === transport
  }

  commit(): Effect.Effect<never, E> {
    return Exit.fail(this.source.noInput(this.readiness))
  }
}

/** Until there is something new to say of the input: one object for all the waits of who reads it. */
class Waiting<A, E, R = never> extends WaitingFiber<A, E, R> {
  readonly effect: Effect.Effect<A, E, R>
  private readonly look: Effect.Effect<A, E, R>

  /** `look` is run in the fiber's own step: what was found before it would be kept for a reader that never comes. */
  constructor(connection: Connection<any>, look: Effect.Effect<A, E, R>) {
    super()
    this.look = look
    // Hot path: no generator, no fiber, and no step before this one, since most readers find nothing yet.
    this.effect = Effect.async((resume) => {
      if (connection.pulling) return resume(Effect.die(new Error(concurrentPull)))
      const outOfBreath = connection.outOfBreath()
      if (!outOfBreath && connection.readiness() !== "pending") return resume(look)
      // Should somebody still be there who was taken for gone, since it was interrupted, it finds out that it is not alone.
      this.leave(this.effect)
      this.enter(resume, currentFiber())
      if (outOfBreath) connection.breatheReading(this, () => this.notify())
      else connection.awaitInput(this)
    })
  }

  notify(): void {
    this.leave(this.look)
  }
}

/** See `Transport.pull`. */
export const pull = <E>(source: Source<E>): Effect.Effect<Uint8Array | null, E> => {
  const { connection } = source
  // The last step, see `Connection.readiness`.
  const take = Effect.sync(() => connection.take())
  const look: Effect.Effect<Uint8Array | null, E> = Effect.suspend(() => {
    const readiness = connection.readiness()
    if (readiness === "ready") return take
    return readiness === "pending" ? waiting.effect : new NoInput(source, readiness)
  })
  const waiting = new Waiting(connection, look)
  return waiting.effect
}

/** See `Transport.stream`. It waits by an Effect and takes by itself, which is less than a pull for each chunk. */
export const stream = <E>(source: Source<E>): Stream.Stream<Uint8Array, E> => {
  type Input = Channel.Channel<Chunk.Chunk<Uint8Array>, unknown, E, unknown, void, unknown>
  const { connection } = source
  const next = (): Input => {
    const readiness = connection.readiness()
    if (readiness === "pending") return waiting
    if (readiness !== "ready") return Channel.fromEffect(new NoInput(source, readiness))
    const chunk = connection.take()
    return chunk === null ? Channel.void : Channel.flatMap(Channel.write(Chunk.of(chunk)), goOn)
  }
  const goOn = (): Input => connection.outOfBreath() ? waiting : next()
  const waiting: Input = Channel.flatMap(Channel.fromEffect(new Waiting(connection, Exit.void).effect), next)
  return Stream.fromChannel(waiting)
}

/**
 * All chunks, one after the other, to `f`. While its effects are over with their first step no fiber is woken: the chunks
 * are handled where fibers would run. An effect that needs a fiber has it wait for the next chunk itself, which most likely
 * needs it too, until one does not.
 */
class ForEach<E, E2, R> extends Unattended<void, E | E2, R> {
  readonly source: Source<E>
  private readonly f: (chunk: Uint8Array) => Effect.Effect<unknown, E2, R>
  private waiting: Waiting<void, E | E2, R> | undefined = undefined

  constructor(source: Source<E>, f: (chunk: Uint8Array) => Effect.Effect<unknown, E2, R>) {
    super()
    this.source = source
    this.f = f
  }

  commit(): Effect.Effect<void, E | E2, R> {
    return Effect.async((resume) => new Handling(this).begin(resume, currentFiber()))
  }

  start(done: Resume<void, E | E2, R>): Started {
    const handling = new Handling(this)
    handling.begin(done, undefined)
    return handling
  }

  /** Handles a chunk. What is left to a fiber, and then to this effect; `undefined` if nothing is. */
  handle(readiness: "ready" | "lost" | "discarded"): Effect.Effect<void, E | E2, R> | undefined {
    const { source } = this
    if (readiness !== "ready") return new NoInput(source, readiness)
    const chunk = source.connection.take()
    if (chunk === null) return Exit.void
    const rest = this.attempt(chunk)
    return isDone(rest) ? undefined : Effect.zipRight(rest, this.attended())
  }

  private attempt(chunk: Uint8Array): Effect.Effect<unknown, E2, R> {
    try {
      return advance(this.f(chunk))
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  private attended(): Effect.Effect<void, E | E2, R> {
    this.waiting ??= new Waiting(
      this.source.connection,
      Effect.suspend(() => {
        const readiness = this.source.connection.readiness()
        return readiness === "pending" ? this.attended() : this.handle(readiness) ?? this
      })
    )
    return this.waiting.effect
  }
}

/** One run of it while no fiber is needed. */
class Handling<E, E2, R> extends WaitingFiber<void, E | E2, R> {
  private readonly effect: ForEach<E, E2, R>

  constructor(effect: ForEach<E, E2, R>) {
    super()
    this.effect = effect
  }

  begin(resume: Resume<void, E | E2, R>, fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined): void {
    this.enter(resume, fiber)
    this.run()
  }

  notify(): void {
    Turn.task(this.run)
  }

  private readonly run = (): void => {
    // Interrupted: it has left, or is where that does not count and comes again.
    if (!this.waits()) return this.leave(this.effect)
    const next = this.handle()
    if (next !== undefined) this.leave(next)
  }

  /** Handles what is there. What is left to the fiber; `undefined`: there is nothing yet. */
  private handle(): Effect.Effect<void, E | E2, R> | undefined {
    const { connection } = this.effect.source
    while (true) {
      if (connection.pulling) return Effect.die(new Error(concurrentPull))
      if (connection.outOfBreath()) {
        connection.breatheReading(this, this.run)
        return undefined
      }
      const readiness = connection.readiness()
      if (readiness === "pending") {
        connection.awaitInput(this)
        return undefined
      }
      const rest = this.effect.handle(readiness)
      if (rest !== undefined) return rest
    }
  }
}

/** See `Transport.forEach`. */
export const forEach = <E, E2, R>(
  source: Source<E>,
  f: (chunk: Uint8Array) => Effect.Effect<unknown, E2, R>
): Effect.Effect<void, E | E2, R> => new ForEach(source, f)
