/**
 * Producers and consumers, Twisted's words for a source that is told when to go on. Whoever has an Effect, or a Stream,
 * needs none of it: a `write` that suspends is all the flow control there is. This is for sources that push, such as event
 * emitters, for those that want to be asked, and for what passes between the two worlds.
 *
 * There is no buffer here but the transport's own.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Address from "./Address.ts"
import type { WriteAfterEnd } from "./ConnectionError.ts"
import * as Driver from "./Driver.ts"
import { Handover } from "./internal/handover.ts"
import { awaitWriters, drain, refusal, Registered } from "./internal/registered.ts"
import * as NetworkLayer from "./NetworkLayer.ts"
import * as Transport from "./Transport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * A source that writes by itself, until it is paused (Twisted's `IPushProducer`). It is not paused when it is registered.
 *
 * `pause` and `resume` come in turns. `stop` comes once, and nothing after it, if the consumer is gone before the source
 * has ended; a source that has ended, and has unregistered, is not stopped.
 *
 * @since 0.1.0
 * @category models
 */
export interface PushProducer<out R = never> {
  readonly _tag: "Push"
  readonly pause: Effect.Effect<unknown, never, R>
  readonly resume: Effect.Effect<unknown, never, R>
  readonly stop: Effect.Effect<unknown, never, R>
}

/**
 * A source that is asked (Twisted's `IPullProducer`): `pull` gives the next bytes, `null` at the end. It is asked once when
 * it is registered, and then once each time that all was taken which it gave.
 *
 * `stop` comes once if the consumer is gone before the source has ended or failed, and interrupts a `pull`.
 *
 * @since 0.1.0
 * @category models
 */
export interface PullProducer<out E = never, out R = never> {
  readonly _tag: "Pull"
  readonly pull: Effect.Effect<Uint8Array | null, E, R>
  readonly stop: Effect.Effect<unknown, never, R>
}

/**
 * @since 0.1.0
 * @category models
 */
export type Producer<E = never, R = never> = PushProducer<R> | PullProducer<E, R>

/**
 * What producers write to (Twisted's `IConsumer`). `E` is what a write fails with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Consumer<out E> {
  /**
   * Writes, and pauses a push producer that is registered when this takes the buffer over its high-water mark; exactly the
   * mark does not. It is resumed when the buffer has drained to its low-water mark. All else is as `Transport.write` says: a
   * producer that does not care for its pause is suspended, and no memory is at stake.
   */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, E>

  /**
   * Registers a producer, one at a time: fails with `ProducerRegistered` while there is another one, which is not affected.
   * On a connection that is lost, or whose writing has ended, it stops the producer at once, and fails by that cause.
   *
   * The end of the Scope is the end of the source. After success it is that of its own accord: a source that goes on is
   * drained, within `drainTimeout`, after which the connection is aborted, so that the peer does not take a part for the
   * whole. After a failure or an interruption the producer is stopped.
   */
  readonly register: <E2 = never, R = never>(
    producer: Producer<E2, R>
  ) => Effect.Effect<Registration<E | E2>, E | ProducerRegistered, R | Scope.Scope>

  /**
   * Closes gracefully, by one rule for every kind of producer: drains the source that is registered, lets the writes that
   * wait for room go first, then closes the transport. A source that has not ended within `drainTimeout` is stopped, and the
   * connection is aborted, as it is if writes still wait then. Suspends until all that is done; never fails. Interrupted
   * before the transport is closed, it changes nothing.
   */
  readonly close: Effect.Effect<void>
}

/**
 * A producer that is registered.
 *
 * @since 0.1.0
 * @category models
 */
export interface Registration<out E> {
  /**
   * The source has come to its end, and is told nothing more. What it wrote is still being sent, also what waits for room;
   * another producer may be registered. Never suspends; idempotent.
   */
  readonly unregister: Effect.Effect<void>

  /**
   * Completes when the source has ended, and all that it wrote before is accepted. Fails with what a pull producer failed
   * with, by which the connection is aborted, and with the loss that came before the end. It is interrupted by a Scope that
   * ended with a failure before.
   */
  readonly ended: Effect.Effect<void, E>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ConsumerOptions {
  /** How long a close may wait for the source to end: 5 seconds. */
  readonly drainTimeout?: Duration.DurationInput | undefined
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * Another producer is registered. It goes on, and the one that was refused was neither started nor stopped: it may be
 * registered when the other's registration has `ended`.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProducerRegistered extends Data.TaggedError("ProducerRegistered")<{
  readonly registered: Producer<unknown, unknown>
  readonly refused: Producer<unknown, unknown>
}> {
  override get message() {
    return `Cannot register the ${this.refused._tag.toLowerCase()} producer: a ${this.registered._tag.toLowerCase()} ` +
      `producer is registered, and only one may be at a time. Wait until it has ended.`
  }
}

/**
 * A `send` came to a stop before the end of its source. `error` is the cause: the source's own, or the transport's.
 *
 * `bytesSent` were handed to the carrier (the kernel, for a socket), which is not delivery. `bytesUnsent` were accepted, and
 * not handed over: lost with the connection if that is lost, otherwise still on their way. The counts are exact as long as
 * nobody else has written since; both together are what was accepted of the source.
 *
 * @since 0.1.0
 * @category errors
 */
export class SendStopped<E> extends Data.TaggedError("SendStopped")<{
  readonly by: "source" | "transport"
  readonly error: E
  readonly bytesSent: number
  readonly bytesUnsent: number
}> {
  override get message() {
    const { error } = this
    return `Sending stopped after ${this.bytesSent} bytes, with ${this.bytesUnsent} accepted bytes unsent, because of ` +
      `the ${this.by}: ${error instanceof Error ? error.message : String(error)}`
  }
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category constructors
 */
export const push = <R = never>(controls: Omit<PushProducer<R>, "_tag">): PushProducer<R> => ({
  _tag: "Push",
  ...controls
})

/**
 * @since 0.1.0
 * @category constructors
 */
export const pull = <E = never, R = never>(controls: Omit<PullProducer<E, R>, "_tag">): PullProducer<E, R> => ({
  _tag: "Pull",
  ...controls
})

/**
 * A transport as a consumer. The rule of one producer at a time is the consumer's: make one for a transport.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Producer from "effect-transport/Producer"
 *
 * // Three chunks, each asked for when the last one is in the carrier's hands.
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const [left, right] = yield* MemoryTransport.pair()
 *   const consumer = Producer.consumer(left)
 *   let next = 0
 *   yield* consumer.register(Producer.pull({
 *     pull: Effect.sync(() => next < 3 ? Uint8Array.of(next++) : null),
 *     stop: Effect.void
 *   }))
 *   yield* Effect.fork(consumer.close)
 *   const received: Array<number> = []
 *   yield* right.forEach((chunk) => Effect.sync(() => received.push(...chunk)))
 *   yield* right.close
 *   return received // [0, 1, 2]
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const consumer = <E>(
  transport: Transport.Transport<E>,
  options: ConsumerOptions = {}
): Consumer<E | WriteAfterEnd> => {
  const drainTimeout = Duration.decode(options.drainTimeout ?? Duration.seconds(5))
  let current: Registered<E, any, any> | undefined
  const detach = () => {
    current = undefined
  }
  return {
    write: (bytes) =>
      Effect.suspend(() => current?.pausesAt(bytes) === true ? current.pausing(bytes) : transport.write(bytes)),
    register: <E2, R>(producer: Producer<E2, R>) => {
      type Answer = Registration<E | E2 | WriteAfterEnd>
      type Failure = E | WriteAfterEnd | ProducerRegistered
      const registering = (context: Context.Context<R>): Effect.Effect<Answer, Failure, R | Scope.Scope> => {
        if (current !== undefined) {
          return Effect.fail(new ProducerRegistered({ registered: current.producer, refused: producer }))
        }
        if (!transport.outgoing.isActive()) {
          return Effect.zipRight(producer.stop, Effect.zipRight(refusal(transport), Effect.interrupt))
        }
        const registered = new Registered<E, E2, R>(transport, producer, context, drainTimeout, detach)
        current = registered
        return registered.start
      }
      return Effect.uninterruptible(Effect.flatMap(Effect.context<R>(), registering))
    },
    close: Effect.suspend(() => {
      const ended = current === undefined ? Effect.void : Effect.exit(current.ended)
      return Effect.zipRight(
        drain(transport, drainTimeout, Effect.zipRight(ended, awaitWriters(transport))),
        transport.close
      )
    })
  }
}

/**
 * A Stream as a pull producer: a chunk is taken from it each time that one is asked for. It is opened with the first one;
 * its finalizers run when it ends, when the producer is stopped, and with the Scope.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromStream = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<PullProducer<E>, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    const context = yield* Effect.context<R>()
    const next = yield* Scope.extend(Stream.toPull(stream), scope)
    let rest = Chunk.empty<Uint8Array>()[Symbol.iterator]()
    const end = (exit: Exit.Exit<unknown, unknown>) => Scope.close(scope, exit)
    const take: Effect.Effect<Uint8Array | null, E, R> = Effect.suspend(() => {
      const bytes = rest.next()
      if (bytes.done !== true) return Effect.succeed(bytes.value)
      return Effect.matchCauseEffect(next, {
        onFailure: (cause) =>
          Option.match(Cause.flipCauseOption(cause), {
            onNone: () => Effect.as(end(Exit.void), null),
            onSome: (cause) => Effect.zipRight(end(Exit.failCause(cause)), Effect.failCause(cause))
          }),
        onSuccess: (chunk) => {
          rest = chunk[Symbol.iterator]()
          return take
        }
      })
    })
    return pull({ pull: Effect.provide(take, context), stop: end(Exit.void) })
  })

/**
 * What a program writes to a consumer, as a Stream: `produce` is given the consumer, and the Stream lasts as long as it and
 * its Scope do. It ends with it, fails with it after what was written before, and interrupts it when it is itself cut short,
 * which stops the producer that is registered, once.
 *
 * The buffer between them is bounded like a transport's, and pauses a push producer in the same way; a pull producer is
 * asked when the Stream has taken all that it gave. What is written, or registered, after the end is interrupted.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Producer from "effect-transport/Producer"
 * import type { Readable } from "node:stream"
 *
 * // An emitter of events, held back at 256 KiB.
 * export const fromReadable = (readable: Readable) =>
 *   Producer.toStream((consumer) =>
 *     Effect.gen(function*() {
 *       const registration = yield* consumer.register(Producer.push({
 *         pause: Effect.sync(() => readable.pause()),
 *         resume: Effect.sync(() => readable.resume()),
 *         stop: Effect.sync(() => readable.destroy())
 *       }))
 *       const failure = Effect.async<never, Error>((resume) => {
 *         readable.on("data", (bytes: Uint8Array) => Effect.runFork(consumer.write(bytes)))
 *         readable.on("end", () => Effect.runFork(registration.unregister))
 *         readable.on("error", (error) => resume(Effect.fail(error)))
 *       })
 *       yield* Effect.raceFirst(registration.ended, failure)
 *     })
 *   )
 * ```
 *
 * @since 0.1.0
 * @category conversions
 */
export const toStream = <E, R>(
  produce: (consumer: Consumer<never>) => Effect.Effect<unknown, E, R>,
  limits: Pick<Transport.Limits, "highWaterMark" | "lowWaterMark"> = {}
): Stream.Stream<Uint8Array, E, Exclude<R, Scope.Scope>> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    let handover!: Handover
    const transport = Driver.unsafeOpen({
      driver: (events) => handover = new Handover(events),
      localAddress: Address.memory("producer"),
      remoteAddress: Address.memory("stream"),
      options: undefined,
      handle: undefined,
      // Whoever takes the Stream may take its time, and has no end of its own to wait for.
      limits: Driver.resolveLimits({ ...limits, closeTimeout: Duration.infinity, lingerTimeout: 0 })
    }, yield* Effect.clock)
    // With the Stream all ends; while it lasts, the end of the source is not cut short.
    const consumed = consumer(interrupting(transport), { drainTimeout: Duration.infinity }) as Consumer<never>
    const producing = Effect.matchCauseEffect(Effect.scoped(produce(consumed)), {
      onFailure: (cause) => Effect.zipRight(Effect.ignore(transport.closeWrite), Effect.failCause(cause)),
      onSuccess: () => Effect.asVoid(Effect.exit(transport.closeWrite))
    })
    const fiber = yield* Effect.forkScoped(Effect.interruptible(producing))
    yield* Effect.addFinalizer(() => transport.abort)
    const end = Effect.flatMap(Fiber.join(fiber), () => handover.ended ? Effect.void : Effect.interrupt)
    return Stream.concat(Transport.streamFromPull(handover.pull), Stream.execute(end))
  }))

/** What is written once the other end is gone is nobody's: whoever writes it is interrupted. */
const interrupting = (transport: Transport.Transport): Transport.Transport<never> => {
  const own = <A>(effect: Effect.Effect<A, unknown>) => Effect.catchAll(effect, () => Effect.interrupt)
  return NetworkLayer.derive(transport, {
    write: (bytes) => own(transport.write(bytes)),
    writeAll: (chunks) => own(transport.writeAll(chunks)),
    outgoing: transport.outgoing,
    flush: own(transport.flush)
  }) as Transport.Transport<never>
}

// -----------------------------------------------------------------------------
// sending
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface SendOptions {
  /** Told after each chunk how many bytes of the source are accepted; the next chunk waits for it. */
  readonly progress?: ((bytesAccepted: number) => Effect.Effect<unknown>) | undefined
}

/**
 * Sends a Stream, a file's for instance, and tells how many bytes it had, when all of them are in the carrier's hands
 * (Twisted's `FileSender`; its `transform` is `Stream.map`).
 *
 * Suspends while the peer does not read. Fails with `SendStopped`, which has the cause and the counts, when the source fails
 * or the transport does. Neither ends the transport: it may go on with what comes next. After an interruption, what was
 * accepted is still being sent; `progress` has told how much that was.
 *
 * @example
 * ```ts
 * import * as FileSystem from "@effect/platform/FileSystem"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 * import * as Producer from "effect-transport/Producer"
 * import type { Transport } from "effect-transport/Transport"
 *
 * export const sendFile = (path: string, transport: Transport) =>
 *   FileSystem.FileSystem.pipe(
 *     Effect.map((fileSystem) => fileSystem.stream(path)),
 *     Stream.unwrap,
 *     (file) => Producer.send(file, transport, { progress: (bytes) => Console.log(`${bytes} bytes`) }),
 *     Effect.catchTag("SendStopped", (stopped) => Console.error(stopped.message))
 *   )
 * ```
 *
 * @since 0.1.0
 * @category sending
 */
export const send = <E, R, TE>(
  source: Stream.Stream<Uint8Array, E, R>,
  transport: Transport.Transport<TE>,
  options: SendOptions = {}
): Effect.Effect<number, SendStopped<E | TE | WriteAfterEnd>, R> =>
  Effect.suspend(() => {
    const progress = options.progress ?? (() => Effect.void)
    let accepted = 0
    let by: SendStopped<unknown>["by"] = "source"
    const sent = <A>(effect: Effect.Effect<A, TE | WriteAfterEnd>) =>
      Effect.catchAll(effect, (error) => {
        by = "transport"
        return Effect.fail(error)
      })
    const sending = Stream.runForEach(source, (bytes) =>
      Effect.flatMap(sent(transport.write(bytes)), () => progress(accepted += bytes.length)))
    return Effect.matchEffect(Effect.zipRight(sending, sent(transport.flush)), {
      onFailure: (error) =>
        Effect.flatMap(unsent(transport), (unsent) => {
          // What is unsent is the end of all that was accepted: as much of it as was sent here is ours.
          const bytesUnsent = Math.min(accepted, unsent)
          return Effect.fail(new SendStopped({ by, error, bytesSent: accepted - bytesUnsent, bytesUnsent }))
        }),
      onSuccess: () =>
        Effect.succeed(accepted)
    })
  })

/** Accepted by the transport and not handed over. A loss was told the count before the buffers were dropped. */
const unsent = <E>(transport: Transport.Transport<E>): Effect.Effect<number> =>
  Effect.match(refusal(transport), {
    onFailure: (error) => hasProperty(error, "bytesUnsent") ? Number(error.bytesUnsent) : transport.stats().buffered,
    onSuccess: () => transport.stats().buffered
  })
