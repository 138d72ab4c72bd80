/**
 * Network layers: what stands between a transport and its user, and is a transport again (Transport → Transport).
 * Limits, shaping, taps, TLS and proxy headers are network layers; they compose like functions, their failures add up.
 *
 * Using them needs nothing from here: `Effect.flatMap(Network.connect(address), IdleTimeout.make(…))`. This module is for
 * stacks as values, for stacks as Effect Layers, and for authors: `derive` and `mapError` make light layers, which keep
 * the carrier's buffers; `buffered` makes those that need buffers of their own.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import * as Queue from "effect/Queue"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { ConnectionLost } from "./ConnectionError.ts"
import { ConnectionClosed, WriteAfterEnd } from "./ConnectionError.ts"
import * as Driver from "./Driver.ts"
import * as Immediate from "./internal/immediate.ts"
import type { Printed } from "./internal/inspecting.ts"
import { inspected, printedAs } from "./internal/inspecting.ts"
import { TransportDriver } from "./internal/transportDriver.ts"
import * as Transport from "./Transport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * A transport of another one. `E1` are the failures that the carrier may have, `E2` those of the result, `Err` those of
 * making it (a handshake's), `R` what it needs.
 *
 * The result is tied to the Scope. Making it takes nothing from the carrier, unless the layer says so. From then on the
 * carrier is the layer's: reading, writing or closing it beneath the layer is a bug in the caller.
 *
 * A layer that does not care what its carrier fails with is generic, `<E>(transport: Transport<E>) => …`, and fits
 * `NetworkLayer<E, E | Own>` for every `E`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import type { ConnectionLost } from "effect-transport/ConnectionError"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as NetworkLayer from "effect-transport/NetworkLayer"
 * import * as IdleTimeout from "effect-transport/policy/IdleTimeout"
 * import * as Throttle from "effect-transport/policy/Throttle"
 *
 * const polite = NetworkLayer.compose(Throttle.make({ read: 100_000 }), IdleTimeout.make({ duration: "30 seconds" }))
 *
 * const stack: NetworkLayer.NetworkLayer<ConnectionLost, ConnectionLost | IdleTimeout.IdleTimeout> = polite
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const [left, right] = yield* MemoryTransport.pair()
 *   const transport = yield* stack(left)
 *   yield* right.write(new Uint8Array(3))
 *   return yield* transport.pull
 * }))
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface NetworkLayer<in E1, out E2, out Err = never, out R = never> {
  (transport: Transport.Transport<E1>): Effect.Effect<Transport.Transport<E2>, Err, R | Scope.Scope>
}

/**
 * The members that a light layer can replace; it leaves out what follows from them. Each must keep what the contract
 * (`Transport`) says of it. `unsafeOffer` is that of `outgoing`.
 *
 * A replaced `pull` may do what it likes before the carrier's, and handle its failures with `Effect.catchAllCause`; but the
 * carrier's is its last step. `Effect.map`, `tap`, `mapError` and their like take one more step after it, and an
 * interruption before that step loses the bytes.
 *
 * @since 0.1.0
 * @category models
 */
export type Members<E> = Partial<
  & Omit<Transport.Transport<E>, Transport.TypeId | "stream" | "sink">
  & Pick<Queue.Enqueue<Uint8Array>, "unsafeOffer">
>

/**
 * The speed of one direction, for `buffered`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pace {
  /**
   * Suspends until some of so many bytes may pass, and tells how many: at least 1, at most all. It takes nothing: it may be
   * asked again, or interrupted, before anything has passed. It is run as soon as it is made; an answer that is there
   * already (`Effect.succeed`) costs no fiber.
   */
  readonly ready: (bytes: number) => Effect.Effect<number>
  /**
   * So many bytes of those that `ready` has told have passed, and the others have to ask again. None, if nobody wants them
   * any more.
   */
  readonly spend: (bytes: number) => void
}

/**
 * @since 0.1.0
 * @category models
 */
export interface BufferedOptions {
  /** The layer's own buffers and deadlines; the carrier keeps its own. */
  readonly limits?: Transport.Limits | undefined
  /** How fast input passes: as fast as it comes. */
  readonly read?: Pace | undefined
  /** How fast output passes: as fast as the carrier accepts it. */
  readonly write?: Pace | undefined
}

// -----------------------------------------------------------------------------
// composition
// -----------------------------------------------------------------------------

/**
 * The layer that changes nothing.
 *
 * @since 0.1.0
 * @category composition
 */
export const identity: <E>(transport: Transport.Transport<E>) => Effect.Effect<Transport.Transport<E>> = Effect.succeed

/**
 * Two layers as one: `first` next to the carrier, `second` next to the user. Associative, with `identity` on either side.
 *
 * @since 0.1.0
 * @category composition
 */
export const compose = <E1, E2, Err1, R1, E3, Err2, R2>(
  first: (transport: Transport.Transport<E1>) => Effect.Effect<Transport.Transport<E2>, Err1, R1>,
  second: (transport: Transport.Transport<E2>) => Effect.Effect<Transport.Transport<E3>, Err2, R2>
): (transport: Transport.Transport<E1>) => Effect.Effect<Transport.Transport<E3>, Err1 | Err2, R1 | R2> =>
(transport) => Effect.flatMap(first(transport), second)

/**
 * A network layer as an Effect Layer: takes the transport of one tag, provides that of the other, for as long as the
 * Layer's Scope lasts.
 *
 * @since 0.1.0
 * @category composition
 */
export const layer = <IdIn, E1, IdOut, E2, Err, R>(
  tagIn: Context.Tag<IdIn, Transport.Transport<E1>>,
  tagOut: Context.Tag<IdOut, Transport.Transport<E2>>,
  networkLayer: (transport: Transport.Transport<E1>) => Effect.Effect<Transport.Transport<E2>, Err, R>
): Layer.Layer<IdOut, Err, IdIn | Exclude<R, Scope.Scope>> => Layer.scoped(tagOut, Effect.flatMap(tagIn, networkLayer))

// -----------------------------------------------------------------------------
// light layers: the carrier's buffers
// -----------------------------------------------------------------------------

/**
 * The transport with some members replaced, and with whatever follows from them made anew: `stream` of `pull`, and `forEach`
 * if only that is given, at the cost of a wake-up for each chunk; `sink` of `writeAll`, and `write` if only that is given;
 * `outgoing` of both and of `closeWrite`.
 *
 * Where writes are replaced, `unsafeOffer` of that `outgoing` accepts nothing and gives `false`, since a replaced write may
 * have to wait; give one if you can do better.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as NetworkLayer from "effect-transport/NetworkLayer"
 * import type { Transport } from "effect-transport/Transport"
 *
 * // Counts what is accepted for writing.
 * export const counted = <E>(transport: Transport<E>, count: (bytes: number) => void) =>
 *   NetworkLayer.derive(transport, {
 *     writeAll: (chunks) =>
 *       Effect.suspend(() => {
 *         const all = Array.from(chunks)
 *         return Effect.map(transport.writeAll(all), () => all.forEach(({ length }) => count(length)))
 *       })
 *   })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const derive = <E, E2 = never>(
  transport: Transport.Transport<E>,
  members: Members<E2>
): Transport.Transport<E | E2> => {
  const replaced: Members<E | E2> = members
  const pull = replaced.pull ?? transport.pull
  const writeAll = replaced.writeAll ?? transport.writeAll
  const write = replaced.write ?? (replaced.writeAll === undefined ? transport.write : (bytes) => writeAll([bytes]))
  const closeWrite = replaced.closeWrite ?? transport.closeWrite
  const rewritten = replaced.write !== undefined || replaced.writeAll !== undefined
  const unsafeOffer = replaced.unsafeOffer ??
    (rewritten ? () => false : (bytes: Uint8Array) => transport.outgoing.unsafeOffer(bytes))
  const isOffered = rewritten || replaced.closeWrite !== undefined || replaced.unsafeOffer !== undefined
  let outgoing = replaced.outgoing
  const derived: Transport.Transport<E | E2> & Printed = {
    __proto__: printed,
    [Transport.TypeId]: Transport.TypeId,
    localAddress: replaced.localAddress ?? transport.localAddress,
    remoteAddress: replaced.remoteAddress ?? transport.remoteAddress,
    pull,
    forEach: replaced.forEach ?? (replaced.pull === undefined ? transport.forEach : Transport.forEachFromPull(pull)),
    get stream() {
      return Transport.streamFromPull(pull)
    },
    unread: replaced.unread ?? transport.unread,
    write,
    writeAll,
    get sink() {
      return Transport.sinkFromWriteAll(writeAll)
    },
    get outgoing() {
      return outgoing ??= isOffered
        ? new DerivedOutgoing(transport.outgoing, derived, unsafeOffer)
        : transport.outgoing
    },
    flush: replaced.flush ?? transport.flush,
    closeWrite,
    close: replaced.close ?? transport.close,
    abort: replaced.abort ?? transport.abort,
    closed: replaced.closed ?? transport.closed,
    options: replaced.options ?? transport.options,
    stats: replaced.stats ?? transport.stats,
    unsafeHandle: replaced.unsafeHandle ?? transport.unsafeHandle
  }
  return derived
}

const printed = printedAs(inspected)

/**
 * The transport with its failures replaced, wherever they come out: of reads, writes, `flush`, `closeWrite` and as the
 * reason in `closed`. `WriteAfterEnd` is the contract's own and stays.
 *
 * `f` is asked for each failed operation: the same failure should give the same answer.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mapError: {
  <E, E2>(f: (error: E) => E2): (transport: Transport.Transport<E>) => Transport.Transport<E2>
  <E, E2>(transport: Transport.Transport<E>, f: (error: E) => E2): Transport.Transport<E2>
} = dual(2, <E, E2>(transport: Transport.Transport<E>, f: (error: E) => E2): Transport.Transport<E2> => {
  // Not `Effect.mapError`, which takes a step after a success as well: an interruption before it would lose pulled bytes.
  const mapping = <A>(effect: Effect.Effect<A, E>): Effect.Effect<A, E2> =>
    Effect.catchAllCause(effect, (cause) => Effect.failCause(Cause.map(cause, f)))
  const mappingWrite = (effect: Effect.Effect<void, E | WriteAfterEnd>): Effect.Effect<void, E2 | WriteAfterEnd> =>
    Immediate.catchAll(effect, (error) => Effect.fail(error instanceof WriteAfterEnd ? error : f(error)))
  let lost: Transport.CloseReason<E2> | undefined
  const derived: Transport.Transport<E | E2> = derive<E, E2>(transport, {
    pull: mapping(transport.pull),
    write: (bytes) => mappingWrite(transport.write(bytes)),
    writeAll: (chunks) => mappingWrite(transport.writeAll(chunks)),
    // Its failures are `false`: the carrier's own will do.
    outgoing: transport.outgoing,
    flush: mapping(transport.flush),
    closeWrite: mapping(transport.closeWrite),
    closed: Effect.map(
      transport.closed,
      (reason) => reason._tag === "Clean" ? reason : lost ??= { _tag: "Lost", error: f(reason.error) }
    )
  })
  // Every member that can fail with E is replaced.
  return derived as Transport.Transport<E2>
})

/** An `outgoing` that writes by the members of a derived transport, and is the carrier's in everything else. */
class DerivedOutgoing implements Queue.Enqueue<Uint8Array> {
  readonly [Queue.EnqueueTypeId] = { _In: (_: unknown) => _ }
  readonly unsafeOffer: (bytes: Uint8Array) => boolean
  private readonly inner: Queue.Enqueue<Uint8Array>
  private readonly derived: Transport.Transport<unknown>

  constructor(
    inner: Queue.Enqueue<Uint8Array>,
    derived: Transport.Transport<unknown>,
    unsafeOffer: (bytes: Uint8Array) => boolean
  ) {
    this.inner = inner
    this.derived = derived
    this.unsafeOffer = unsafeOffer
  }

  pipe() {
    return pipeArguments(this, arguments)
  }

  offer(bytes: Uint8Array): Effect.Effect<boolean> {
    return Effect.match(this.derived.write(bytes), { onFailure: () => false, onSuccess: () => true })
  }

  offerAll(chunks: Iterable<Uint8Array>): Effect.Effect<boolean> {
    return Effect.match(this.derived.writeAll(chunks), { onFailure: () => false, onSuccess: () => true })
  }

  capacity(): number {
    return this.inner.capacity()
  }

  get size(): Effect.Effect<number> {
    return this.inner.size
  }

  unsafeSize(): Option.Option<number> {
    return this.inner.unsafeSize()
  }

  get isFull(): Effect.Effect<boolean> {
    return this.inner.isFull
  }

  get isEmpty(): Effect.Effect<boolean> {
    return this.inner.isEmpty
  }

  isActive(): boolean {
    return this.inner.isActive()
  }

  get isShutdown(): Effect.Effect<boolean> {
    return this.inner.isShutdown
  }

  get shutdown(): Effect.Effect<void> {
    return Effect.ignore(this.derived.closeWrite)
  }

  get awaitShutdown(): Effect.Effect<void> {
    return this.inner.awaitShutdown
  }
}

// -----------------------------------------------------------------------------
// layers with buffers of their own
// -----------------------------------------------------------------------------

/**
 * A transport with buffers and deadlines of its own over another one, tied to the Scope.
 *
 * The whole contract holds anew on top of the carrier: half-close, graceful close, abort and reset pass through in both
 * directions. `flush` waits for the layer's buffer and then for the carrier's. When the carrier is lost, what had come in
 * before is given to the reader at once, without its pace, and then the carrier's failure.
 *
 * At most one chunk is pulled from the carrier ahead of `limits.readBufferSize`. A close takes the layer's `closeTimeout`
 * at most, and then what the carrier still needs for its own. Up to three fibers serve it while it is open, and none
 * after.
 *
 * @since 0.1.0
 * @category constructors
 */
export const buffered = <E>(
  transport: Transport.Transport<E>,
  options: BufferedOptions = {}
): Effect.Effect<Transport.Transport<E | ConnectionLost>, never, Scope.Scope> =>
  Effect.flatMap(Effect.runtime(), (runtime) => {
    let driver: TransportDriver<E | ConnectionLost>
    const opened = Driver.openLayered<E | ConnectionLost>({
      driver: (events) =>
        driver = new TransportDriver<E | ConnectionLost>(transport, events, {
          read: options.read,
          write: options.write,
          // The region in which the layer is made may be uninterruptible; its fibers must not be.
          run: (effect) => Runtime.runFork(runtime, Effect.interruptible(effect), { immediate: false }),
          endedBeneath: () => endedBeneath(transport)
        }),
      localAddress: transport.localAddress,
      remoteAddress: transport.remoteAddress,
      options: transport.options,
      handle: transport.unsafeHandle,
      limits: Driver.resolveLimits(options.limits)
    })
    return Effect.map(opened, (outer) => {
      driver.watch()
      return derive(outer, { flush: Effect.zipRight(outer.flush, transport.flush) })
    })
  })

/**
 * What a layer fails with when somebody has closed the carrier beneath it, which is a bug in whoever did. For authors of
 * layers with a driver of their own; those of `buffered` fail with it by themselves.
 *
 * @since 0.1.0
 * @category constructors
 */
export const endedBeneath = <E>({ localAddress, remoteAddress, stats }: Transport.Transport<E>): ConnectionClosed => {
  const { buffered, bytesRead, bytesWritten } = stats()
  return new ConnectionClosed({
    side: "local",
    phase: "closing",
    localAddress,
    remoteAddress,
    code: undefined,
    syscall: undefined,
    bytesRead,
    bytesWritten,
    bytesUnsent: buffered,
    cause: undefined
  })
}
