/**
 * Input to a platform Socket's handler, whose Effects need not be over when the next chunk comes.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import { async } from "../../internal/async.ts"
import { firstOf } from "../../internal/firstOf.ts"
import { advance, isDone } from "../../internal/immediate.ts"
import type { Transport } from "../../Transport.ts"

type Handler<E, R> = (chunk: Uint8Array) => Effect.Effect<unknown, E, R> | void

/** Effects that have been started, in order, and are not over. */
export class Unfinished<E, R> {
  private readonly runtime: Runtime.Runtime<R>
  private readonly max: number
  private readonly fibers = new Set<Fiber.RuntimeFiber<unknown, E>>()
  /** Of the first one that has failed. */
  failure: Exit.Exit<void, E> | undefined = undefined
  /** One is being waited for, which has no fiber of its own. */
  private awaited = 0
  private changed: (() => void) | undefined = undefined
  private fail: ((exit: Exit.Exit<void, E>) => void) | undefined = undefined

  constructor(runtime: Runtime.Runtime<R>, max: number) {
    this.runtime = runtime
    this.max = max
  }

  get size(): number {
    return this.fibers.size + this.awaited
  }

  /** Starts one; what is to be waited for before the next. */
  readonly start = (effect: Effect.Effect<unknown, E, R>): Effect.Effect<void, E> => {
    const fiber = Runtime.runFork(this.runtime, effect)
    const exit = fiber.unsafePoll()
    if (exit !== null) return this.settle(exit)
    this.fibers.add(fiber)
    fiber.addObserver((exit) => {
      this.fibers.delete(fiber)
      this.settle(exit)
      this.changed?.()
    })
    return this.fibers.size < this.max ? Exit.void : this.until(() => this.fibers.size < this.max)
  }

  /** One that is over before the next. */
  readonly perform = (effect: Effect.Effect<unknown, E, R>): Effect.Effect<void, E, R> =>
    Effect.flatMap(
      Effect.exit(Effect.acquireUseRelease(
        Effect.sync(() => this.awaited++),
        () => effect,
        () => Effect.sync(() => this.awaited--)
      )),
      this.settle
    )

  /** Who interrupts one means that one. */
  readonly settle = (exit: Exit.Exit<unknown, E>): Exit.Exit<void, E> => {
    if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return Exit.void
    const failure = this.failure ??= Exit.asVoid(exit)
    this.fail?.(failure)
    return failure
  }

  /** Suspends until one fails. */
  readonly failed: Effect.Effect<void, E> = async<void, E>((resume) => {
    this.fail = resume
    if (this.failure !== undefined) resume(this.failure)
    return () => {
      this.fail = undefined
    }
  })

  /** Suspends until all are over. */
  readonly over: Effect.Effect<void> = Effect.suspend(() => this.until(() => this.fibers.size === 0))

  readonly interruptAll: Effect.Effect<void> = Effect.suspend(() => Fiber.interruptAll(this.fibers))

  private until(holds: () => boolean): Effect.Effect<void> {
    if (holds()) return Exit.void
    return async<void>((resume) => {
      this.changed = () => {
        if (holds()) resume(Exit.void)
      }
      this.changed()
      return () => {
        this.changed = undefined
      }
    })
  }
}

/**
 * Reads to the end, and waits for what the handler has begun. Handlers begin in order; while `max` are unfinished nothing is
 * read. A chunk whose handler is over at once costs no fiber.
 */
export const handling = <E, E2, E3, R>(
  transport: Transport<E>,
  handler: Handler<E2, R>,
  max: number,
  lost: (error: E) => E3,
  begun: (unfinished: Unfinished<E2, R>) => void
): Effect.Effect<void, E2 | E3, R> =>
  Effect.flatMap(Effect.runtime<R>(), (runtime) => {
    const unfinished = new Unfinished<E2, R>(runtime, max)
    begun(unfinished)
    const start = max > 1 ? unfinished.start : unfinished.perform
    const read = transport.forEach((chunk) => {
      const effect = handler(chunk)
      if (effect === undefined) return Exit.void
      const rest = advance(effect)
      return isDone(rest) ? Exit.void : start(rest)
    })
    const reading = Effect.zipRight(
      // A handler's comes before the loss: most often it is one that could not write any more.
      Effect.catchAll(read, (error): Exit.Exit<void, E2 | E3> => unfinished.failure ?? Exit.fail(lost(error as E))),
      unfinished.over
    )
    return max > 1
      ? Effect.ensuring(firstOf(reading, unfinished.failed), unfinished.interruptAll)
      : reading
  })
