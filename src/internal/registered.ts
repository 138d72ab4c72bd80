/**
 * A producer that is registered with a consumer: two fibers that pause, resume, ask and stop it by the transport's write
 * buffer. There is no buffer here.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { WriteAfterEnd } from "../ConnectionError.ts"
import type { Producer, PullProducer, PushProducer, Registration } from "../Producer.ts"
import type { Transport } from "../Transport.ts"
import { nothing } from "./bytes.ts"
import { advance, isDone } from "./immediate.ts"

/** Fails with why nothing can be written any more. */
export const refusal = <E>(transport: Transport<E>): Effect.Effect<void, E | WriteAfterEnd> => transport.write(nothing)

/** In the order of the writes: `writeAll` waits for room even if it has no bytes. */
const awaitTurn = <E>(transport: Transport<E>): Effect.Effect<void, E | WriteAfterEnd> => transport.writeAll([nothing])

/** Suspends until the writes that wait now are accepted; a buffer that is over its mark alone is no reason to. */
export const awaitWriters = <E>(transport: Transport<E>): Effect.Effect<void, E | WriteAfterEnd> =>
  Effect.suspend(() => writersWait(transport) ? awaitTurn(transport) : Effect.void)

const writersWait = (transport: Transport<unknown>): boolean => transport.stats().writersWaiting > 0

/** Suspends until the source has ended, or the connection: at the deadline it is this that ends it. */
export const drain = (
  transport: Transport<unknown>,
  drainTimeout: Duration.Duration,
  ended: Effect.Effect<void, unknown>
): Effect.Effect<void> => {
  const abort = Effect.zipRight(Effect.sleep(drainTimeout), transport.abort)
  const drained = Effect.asVoid(Effect.exit(ended))
  return Effect.acquireUseRelease(Effect.forkDaemon(Effect.interruptible(abort)), () => drained, Fiber.interrupt)
}

export class Registered<E, E2, R> implements Registration<E | E2 | WriteAfterEnd> {
  readonly producer: Producer<E2, R>
  private readonly transport: Transport<E>
  private readonly context: Context.Context<R>
  private readonly drainTimeout: Duration.Duration
  private readonly detach: () => void
  private readonly done = Deferred.unsafeMake<void, E | E2 | WriteAfterEnd>(FiberId.none)
  private readonly fibers: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
  private readonly resumeDue = Effect.unsafeMakeLatch()
  private paused = false
  private over = false

  constructor(
    transport: Transport<E>,
    producer: Producer<E2, R>,
    context: Context.Context<R>,
    drainTimeout: Duration.Duration,
    detach: () => void
  ) {
    this.transport = transport
    this.producer = producer
    this.context = context
    this.drainTimeout = drainTimeout
    this.detach = detach
  }

  // --- its beginning and end -----------------------------------------------------

  get start(): Effect.Effect<Registration<E | E2 | WriteAfterEnd>, never, Scope.Scope> {
    const { producer, transport } = this
    const work = producer._tag === "Push" ? this.resuming(producer) : this.asking(producer)
    const watch = Effect.zipRight(transport.outgoing.awaitShutdown, this.lost)
    const provided = Effect.provide(work, this.context)
    const forked = Effect.zipRight(this.fork(Effect.interruptible(provided)), this.fork(Effect.interruptible(watch)))
    return Effect.as(Effect.zipRight(Effect.addFinalizer((exit) => this.leave(exit)), forked), this)
  }

  private fork(effect: Effect.Effect<unknown, unknown>): Effect.Effect<void> {
    return Effect.map(Effect.forkDaemon(effect), (fiber) => void this.fibers.push(fiber))
  }

  /** Its end waits for what the source has written, as long as its Scope lasts; this does not. */
  get unregister(): Effect.Effect<void> {
    const { done, transport } = this
    const written = Effect.intoDeferred(Effect.interruptible(awaitTurn(transport)), done)
    const end = Effect.suspend(() => writersWait(transport) ? this.fork(written) : Deferred.done(done, Exit.void))
    return this.settle(Effect.void, end)
  }

  get ended() {
    return Deferred.await(this.done)
  }

  private leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const drained = drain(this.transport, this.drainTimeout, this.ended)
    const end = Exit.isSuccess(exit) ? drained : this.stop(Exit.interrupt(FiberId.none))
    return Effect.zipRight(end, Fiber.interruptAll(this.fibers))
  }

  private get lost(): Effect.Effect<void> {
    return Effect.flatMap(Effect.exit(refusal(this.transport)), (exit) => this.stop(exit))
  }

  /** A pull or a resume that is under way ends first: nothing comes after the stop. */
  private stop(exit: Exit.Exit<void, E | E2 | WriteAfterEnd>): Effect.Effect<void> {
    const last = Effect.suspend(() => Effect.zipRight(Fiber.interrupt(this.fibers[0]!), this.stopProducer))
    return this.settle(last, Deferred.done(this.done, exit))
  }

  private get stopProducer(): Effect.Effect<unknown> {
    return Effect.provide(this.producer.stop, this.context)
  }

  /** Once: does what is last, and lets the next producer in. */
  private settle(last: Effect.Effect<unknown>, end: Effect.Effect<unknown>): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.suspend(() => {
      if (this.over) return Effect.void
      this.over = true
      const settled = Effect.suspend(() => {
        this.detach()
        for (const fiber of this.fibers) fiber.unsafeInterruptAsFork(FiberId.none)
        return end
      })
      return Effect.asVoid(Effect.ensuring(last, settled))
    }))
  }

  // --- pushing -------------------------------------------------------------------

  /** Would so many bytes more take the buffer over its mark, and is it to be told? */
  pausesAt({ length }: Uint8Array): boolean {
    const { outgoing, stats } = this.transport
    return this.producer._tag === "Push" && !this.paused && !this.over &&
      stats().buffered + length > outgoing.capacity()
  }

  /** Pauses the producer, writes, and has it resumed when the buffer has drained. */
  pausing(bytes: Uint8Array): Effect.Effect<void, E | WriteAfterEnd> {
    return Effect.uninterruptibleMask((restore) => {
      const writing = this.transport.write(bytes)
      if (this.producer._tag === "Pull" || !this.pausesAt(bytes)) return restore(writing)
      this.paused = true
      const pause = Effect.provide(this.producer.pause, this.context)
      return Effect.flatMap(Effect.runtime<never>(), (runtime) => {
        // Begun before, since a pause may take its time: nobody's write overtakes it, and an end waits for it.
        const rest = advance(writing)
        if (isDone(rest)) return Effect.ensuring(pause, this.resumeDue.open)
        const fiber = Runtime.runFork(runtime, Effect.interruptible(rest))
        const written = Effect.onInterrupt(restore(Fiber.join(fiber)), () => Fiber.interrupt(fiber))
        return Effect.zipRight(pause, Effect.ensuring(written, this.resumeDue.open))
      })
    })
  }

  /** Each time that it was paused. */
  private resuming(producer: PushProducer<R>): Effect.Effect<void, E2, R> {
    const resume = Effect.catchAllCause(producer.resume, (cause) => this.failed(cause))
    const room = Effect.zipRight(
      this.resumeDue.await,
      Effect.zipRight(this.resumeDue.close, awaitTurn(this.transport))
    )
    const loop: Effect.Effect<void, E2, R> = Effect.matchEffect(room, {
      onFailure: () => Effect.void,
      onSuccess: () => {
        // Before it is resumed: it may write at once, and have to be paused again.
        this.paused = false
        return Effect.zipRight(resume, loop)
      }
    })
    return loop
  }

  // --- asking --------------------------------------------------------------------

  private asking(producer: PullProducer<E2, R>): Effect.Effect<void, E2, R> {
    const { transport } = this
    const pull = Effect.catchAllCause(producer.pull, (cause) => this.failed(cause))
    const loop: Effect.Effect<void, E2, R> = Effect.flatMap(
      pull,
      (bytes) =>
        bytes === null ? this.unregister : Effect.matchEffect(
          Effect.zipRight(transport.write(bytes), transport.flush),
          {
            // As a rule the connection is lost, which is seen to elsewhere too.
            onFailure: (error) => this.settle(this.stopProducer, Deferred.fail(this.done, error)),
            onSuccess: () => loop
          }
        )
    )
    return loop
  }

  /** Of what the source failed, the connection is lost: its peer must not take a part for the whole. */
  private failed(cause: Cause.Cause<E2>): Effect.Effect<never, E2> {
    return Effect.uninterruptible(
      Effect.zipRight(
        this.settle(Effect.void, Deferred.failCause(this.done, cause)),
        Effect.zipRight(this.transport.abort, Effect.failCause(cause))
      )
    )
  }
}
