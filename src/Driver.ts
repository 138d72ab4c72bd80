/**
 * What an operating system or a host API has to offer so that it becomes a `Transport`: a few calls and a few events.
 * All else (states, buffers, deadlines, the end that comes exactly once) is the connection core's, the same for all.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { Address } from "./Address.ts"
import * as ConnectionError from "./ConnectionError.ts"
import { async } from "./internal/async.ts"
import type { Condition } from "./internal/connection.ts"
import { Connection } from "./internal/connection.ts"
import { Immediate } from "./internal/immediate.ts"
import * as Input from "./internal/input.ts"
import { inspected } from "./internal/inspecting.ts"
import type { ClockTimers } from "./internal/timers.ts"
import { timersOf } from "./internal/timers.ts"
import type { Started } from "./internal/unattended.ts"
import { Unattended } from "./internal/unattended.ts"
import type { Waiter } from "./internal/writeBuffer.ts"
import * as Transport from "./Transport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The calls. The core makes them; none may throw, and each may report events before it returns.
 *
 * @since 0.1.0
 * @category models
 */
export interface Driver {
  /** Take input and report it, until told to stop. Nothing is taken before the first call. */
  readonly startReading: () => void
  /** Stop taking input. A chunk that is under way may still be reported. */
  readonly stopReading: () => void
  /**
   * Hand the chunks over, in order, as one gathered write of `bytes` bytes in all. `true`: all were taken at once; `false`:
   * `written` reports how many, as they are taken. Not called again before all are.
   */
  readonly write: (chunks: ReadonlyArray<Uint8Array>, bytes: number) => boolean
  /** Send this side's end after what was written, and report `finished`. */
  readonly end: () => void
  /** Let go of the carrier in order: both directions have ended, or the peer took too long. Report `released`. */
  readonly release: () => void
  /**
   * Drop everything, with a reset if the carrier has one. Report `released`. Also called after `failed`, and after a `release`
   * that takes its time, which it cuts short.
   */
  readonly reset: () => void
}

/**
 * The events. The driver reports them to the core; none throws.
 *
 * @since 0.1.0
 * @category models
 */
export interface Events<F> {
  /** Input has come. The bytes are given away: never use their buffer again. */
  readonly received: (chunk: Uint8Array) => void
  /** The peer has ended its writing, and all its bytes were reported. Never in place of a reset. */
  readonly ended: () => void
  /** So many bytes more of the last `write` were taken. Only if it returned `false`. */
  readonly written: (bytes: number) => void
  /** This side's end is sent. */
  readonly finished: () => void
  /** The carrier failed. `reset` is called in answer, unless the carrier is being let go already. */
  readonly failed: (failure: F) => void
  /** Nothing is left of the carrier. The last event, once, after `release` or `reset`. */
  readonly released: () => void
  /** A macrotask has begun (an event of the event loop, not of a promise): the core counts work between them. */
  readonly turned: () => void
}

/**
 * What makes a transport of a driver.
 *
 * @since 0.1.0
 * @category models
 */
export interface Carrier<F> {
  readonly driver: (events: Events<F>) => Driver
  readonly localAddress: Address
  readonly remoteAddress: Address
  /** `undefined`: the carrier has nothing that could be set. */
  readonly options: Transport.TransportOptions | undefined
  readonly handle: unknown
  readonly limits: ResolvedLimits
}

/**
 * Limits with every default filled in; durations in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResolvedLimits {
  readonly readBufferSize: number
  readonly highWaterMark: number
  readonly lowWaterMark: number
  readonly lingerTimeout: number
  readonly closeTimeout: number
}

/**
 * Fills in the defaults and checks the rest: a wrong limit is a bug in the caller, a `RangeError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resolveLimits = (limits: Transport.Limits = {}): ResolvedLimits => {
  const highWaterMark = limits.highWaterMark ?? 262_144
  const resolved = {
    readBufferSize: limits.readBufferSize ?? 65536,
    highWaterMark,
    lowWaterMark: limits.lowWaterMark ?? Math.floor(highWaterMark / 4),
    lingerTimeout: Duration.toMillis(limits.lingerTimeout ?? Duration.seconds(1)),
    closeTimeout: Duration.toMillis(limits.closeTimeout ?? Duration.seconds(5))
  }
  const { lowWaterMark, readBufferSize } = resolved
  if (!(readBufferSize >= 0)) throw new RangeError(`readBufferSize is 0 or more bytes, not ${readBufferSize}`)
  if (!(highWaterMark >= 1)) throw new RangeError(`highWaterMark is at least 1 byte, not ${highWaterMark}`)
  if (!(lowWaterMark >= 0 && lowWaterMark < highWaterMark)) {
    throw new RangeError(`lowWaterMark is at least 0 and below the highWaterMark ${highWaterMark}, not ${lowWaterMark}`)
  }
  return resolved
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Opens a transport over a driver that fails with what the operating system says, and ties it to the Scope: it is closed
 * gracefully when the Scope ends with success, aborted when it ends with a failure or an interruption.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = (
  carrier: Carrier<ConnectionError.SystemFailure>
): Effect.Effect<Transport.Transport, never, Scope.Scope> => scoped(carrier, ConnectionError.fromLoss)

/**
 * Opens a transport over another one, or over anything that fails with typed errors already: those are the new
 * transport's own. Tied to the Scope as with `open`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const openLayered = <F>(
  carrier: Carrier<F>
): Effect.Effect<Transport.Transport<F | ConnectionError.ConnectionLost>, never, Scope.Scope> =>
  scoped(carrier, (failure) => failure)

/**
 * Like `open`, for accept loops, which own the end of what they accept: tied to no Scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unsafeOpen = (
  carrier: Carrier<ConnectionError.SystemFailure>,
  clock: Clock.Clock
): Transport.Transport => new DrivenTransport(carrier, timersOf(clock), ConnectionError.fromLoss)

/**
 * Ties a transport to the Scope: closed gracefully after success, aborted after a failure or an interruption.
 *
 * @since 0.1.0
 * @category constructors
 */
export const closeWithScope = <E>(
  transport: Transport.Transport<E>
): Effect.Effect<Transport.Transport<E>, never, Scope.Scope> =>
  Effect.as(
    Effect.addFinalizer((exit) => Exit.isSuccess(exit) ? transport.close : transport.abort),
    transport
  )

const scoped = <F, E>(
  carrier: Carrier<F>,
  describe: Describe<F, E>
): Effect.Effect<Transport.Transport<E | ConnectionError.ConnectionLost>, never, Scope.Scope> =>
  Effect.uninterruptible(
    Effect.flatMap(
      Effect.clock,
      (clock) => closeWithScope(new DrivenTransport<F, E>(carrier, timersOf(clock), describe))
    )
  )

// -----------------------------------------------------------------------------
// the shell: where fibers suspend
// -----------------------------------------------------------------------------

type Describe<F, E> = (
  failure: F,
  detail: Omit<ConnectionError.LossDetail, "side" | keyof ConnectionError.SystemFailure>
) => E

type Lost<E> = E | ConnectionError.ConnectionLost

class DrivenTransport<F, E> extends Inspectable.Class implements Transport.Transport<Lost<E>> {
  readonly [Transport.TypeId]: Transport.TypeId = Transport.TypeId
  readonly connection: Connection<F>
  private readonly carrier: Carrier<F>
  private readonly describe: Describe<F, E>
  private error: Lost<E> | undefined = undefined
  private reason: Transport.CloseReason<Lost<E>> | undefined = undefined
  // Made when they are asked for first: a connection that idles does without.
  private puller: Transport.Transport<Lost<E>>["pull"] | undefined = undefined
  private handler: Transport.Transport<Lost<E>>["forEach"] | undefined = undefined
  private unreader: Transport.Transport<Lost<E>>["unread"] | undefined = undefined
  private writer: Transport.Transport<Lost<E>>["write"] | undefined = undefined
  private allWriter: Transport.Transport<Lost<E>>["writeAll"] | undefined = undefined
  private counters: Transport.Transport<Lost<E>>["stats"] | undefined = undefined
  private outgoingQueue: Queue.Enqueue<Uint8Array> | undefined = undefined

  constructor(carrier: Carrier<F>, timers: ClockTimers, describe: Describe<F, E>) {
    super()
    this.carrier = carrier
    this.describe = describe
    this.connection = new Connection<F>(carrier, carrier.limits, timers)
    timers.opened?.(this, () => this.connection.state === "closed")
  }

  get localAddress() {
    return this.carrier.localAddress
  }

  get remoteAddress() {
    return this.carrier.remoteAddress
  }

  get options() {
    return this.carrier.options ?? noOptions
  }

  get unsafeHandle() {
    return this.carrier.handle
  }

  // --- reading -----------------------------------------------------------------

  get pull() {
    return this.puller ??= Input.pull(this)
  }

  get forEach(): Transport.Transport<Lost<E>>["forEach"] {
    return this.handler ??= handlerOf(this)
  }

  get stream() {
    return Input.stream(this)
  }

  get unread() {
    return this.unreader ??= unreaderOf(this)
  }

  // --- writing -----------------------------------------------------------------

  get write() {
    return this.writer ??= writerOf(this)
  }

  get writeAll() {
    return this.allWriter ??= allWriterOf(this)
  }

  /** Accepts a chunk, or waits for room. */
  accept(bytes: Uint8Array): Effect.Effect<void, Lost<E> | ConnectionError.WriteAfterEnd> {
    if (!(bytes instanceof Uint8Array)) return Effect.die(notBytes(bytes))
    const { connection } = this
    const room = connection.admits()
    if (connection.report !== undefined || connection.writeEnded) return Exit.fail(this.refusal())
    if (bytes.length === 0) return Exit.void
    if (!room) return this.awaitRoom([bytes])
    connection.push(bytes)
    return this.breath()
  }

  /** Accepts chunk after chunk, or waits for room. */
  acceptAll(chunks: Iterable<Uint8Array>): Effect.Effect<void, Lost<E> | ConnectionError.WriteAfterEnd> {
    const all: ReadonlyArray<Uint8Array> = Array.isArray(chunks) ? chunks : Array.from(chunks)
    for (let index = 0; index < all.length; index++) {
      if (!(all[index] instanceof Uint8Array)) return Effect.die(notBytes(all[index]))
    }
    const { connection } = this
    const room = connection.admitsAll(all)
    if (connection.report !== undefined || connection.writeEnded) return Exit.fail(this.refusal())
    // The array is the caller's, who may go on with it.
    if (!room) return this.awaitRoom(all.slice())
    for (let index = 0; index < all.length; index++) connection.push(all[index]!)
    return this.breath()
  }

  /** Due after the acceptance: before it, a turn of the event loop would let later writes overtake this one. */
  private breath(): Effect.Effect<void> {
    return this.connection.outOfBreath()
      ? Effect.async<void>((resume) => this.connection.breathe(() => resume(Exit.void)))
      : Exit.void
  }

  private awaitRoom(
    chunks: ReadonlyArray<Uint8Array>
  ): Effect.Effect<void, Lost<E> | ConnectionError.WriteAfterEnd> {
    return async((resume) => {
      const waiter: Waiter = this.connection.awaitRoom(
        chunks,
        () => resume(Effect.suspend(() => waiter.outcome === "accepted" ? this.breath() : Exit.fail(this.refusal())))
      )
      return () => this.connection.writes.withdraw(waiter)
    })
  }

  get sink() {
    return Transport.sinkFromWriteAll(this.writeAll)
  }

  get outgoing() {
    return this.outgoingQueue ??= new Outgoing(this, this.connection)
  }

  get flush(): Effect.Effect<void, Lost<E>> {
    return Effect.suspend(() => {
      const { connection } = this
      connection.send()
      const target = connection.writes.accepted
      return this.until(() => connection.report !== undefined || connection.handedOver >= target)
    })
  }

  get closeWrite(): Effect.Effect<void, Lost<E>> {
    return Effect.suspend(() => {
      const { connection } = this
      connection.closeWrite()
      return this.until(() => connection.report !== undefined || connection.writeFinished)
    })
  }

  /** Suspends until it holds; then fails if the connection was lost. */
  private until(holds: () => boolean): Effect.Effect<void, Lost<E>> {
    const outcome = Effect.suspend(() => this.connection.report === undefined ? Exit.void : Exit.fail(this.lossError()))
    return Effect.zipRight(this.awaitCondition(holds), outcome)
  }

  // --- ending ------------------------------------------------------------------

  get close(): Effect.Effect<void> {
    return new Ending(this, "close")
  }

  get abort(): Effect.Effect<void> {
    return new Ending(this, "abort")
  }

  get closed(): Effect.Effect<Transport.CloseReason<Lost<E>>> {
    return Effect.suspend(() => Effect.map(this.untilOver, () => this.closeReason()))
  }

  get untilOver(): Effect.Effect<void> {
    return this.awaitCondition(() => this.connection.state === "closed")
  }

  awaitCondition(holds: () => boolean): Effect.Effect<void> {
    if (holds()) return Exit.void
    return async<void>((resume) => this.connection.awaitCondition(holds, () => resume(Exit.void)))
  }

  private closeReason(): Transport.CloseReason<Lost<E>> {
    const { counted, firstEnded, peerEnded, report } = this.connection
    const { bytesRead, bytesWritten } = counted
    return this.reason ??= report !== undefined
      ? { _tag: "Lost", error: this.lossError() }
      : { _tag: "Clean", firstEnded: firstEnded ?? "local", peerEnded, bytesRead, bytesWritten }
  }

  get stats() {
    return this.counters ??= statsOf(this.connection)
  }

  // --- printing ----------------------------------------------------------------

  toJSON() {
    return inspected(this)
  }

  // --- errors: made when somebody looks, once ------------------------------------

  private refusal(): Lost<E> | ConnectionError.WriteAfterEnd {
    return this.connection.report !== undefined
      ? this.lossError()
      : new ConnectionError.WriteAfterEnd({ localAddress: this.localAddress, remoteAddress: this.remoteAddress })
  }

  private lossError(): Lost<E> {
    if (this.error !== undefined) return this.error
    // Key by key: spreads of objects like these take V8's slow path, 5 µs for every connection that a peer resets.
    const { bytesRead, bytesUnsent, bytesWritten, loss, phase } = this.connection.report!
    const { localAddress, remoteAddress } = this.carrier
    const detail = { phase, localAddress, remoteAddress, bytesRead, bytesWritten, bytesUnsent }
    return this.error = loss.kind === "failed"
      ? this.describe(loss.failure, detail)
      : new ConnectionError[loss.kind === "aborted" ? "ConnectionAborted" : "CloseTimeout"]({ ...detail, ...byUs })
  }

  noInput(readiness: "lost" | "discarded"): Lost<E> {
    return readiness === "lost" ? this.lossError() : this.closedError()
  }

  private closedError(): ConnectionError.ConnectionClosed {
    const { bytesRead, bytesWritten, writes } = this.connection.counted
    return new ConnectionError.ConnectionClosed({
      ...byUs,
      phase: "closing",
      localAddress: this.localAddress,
      remoteAddress: this.remoteAddress,
      bytesRead,
      bytesWritten,
      bytesUnsent: writes.buffered
    })
  }
}

// The functions of a transport are made by functions. V8 allocates one that is written where it is assigned to a property in
// the old generation, and whatever it refers to, all of a connection, outlives the collections of the young one with it:
// 3.6 KB of each connection that comes and goes, and 1.5 KB like this, which are Node's own.

const handlerOf = <F, E>(transport: DrivenTransport<F, E>): Transport.Transport<Lost<E>>["forEach"] => (f) =>
  Input.forEach(transport, f)

const unreaderOf = <F, E>({ connection }: DrivenTransport<F, E>): Transport.Transport<Lost<E>>["unread"] => (bytes) =>
  Effect.sync(() => connection.unread(bytes))

const writerOf = <F, E>(transport: DrivenTransport<F, E>): Transport.Transport<Lost<E>>["write"] => (bytes) =>
  new Write(transport, bytes)

const allWriterOf = <F, E>(transport: DrivenTransport<F, E>): Transport.Transport<Lost<E>>["writeAll"] => (chunks) =>
  new WriteAll(transport, chunks)

const statsOf = <F>(connection: Connection<F>) => (): Transport.TransportStats => {
  const { bytesRead, bytesWritten, lastRead, lastWrite, peerEnded, pulling, unreadBytes, writes } = connection.counted
  return {
    bytesRead,
    bytesWritten,
    buffered: writes.buffered,
    unread: unreadBytes,
    writersWaiting: writes.waiting,
    pulling,
    peerEnded,
    lastRead,
    lastWrite
  }
}

class Write<F, E> extends Immediate<void, Lost<E> | ConnectionError.WriteAfterEnd> {
  private readonly transport: DrivenTransport<F, E>
  private readonly bytes: Uint8Array

  constructor(transport: DrivenTransport<F, E>, bytes: Uint8Array) {
    super()
    this.transport = transport
    this.bytes = bytes
  }

  commit() {
    return this.transport.accept(this.bytes)
  }
}

class Ending<F, E> extends Unattended<void, never, never> {
  private readonly transport: DrivenTransport<F, E>
  private readonly how: "close" | "abort"

  constructor(transport: DrivenTransport<F, E>, how: "close" | "abort") {
    super()
    this.transport = transport
    this.how = how
  }

  commit() {
    this.transport.connection[this.how]()
    return this.transport.untilOver
  }

  start(done: (rest: Effect.Effect<void>) => void): Started {
    const { connection } = this.transport
    connection[this.how]()
    const closed = new Closed(connection, done)
    connection.await(closed)
    return closed
  }
}

/** Waits until nothing is left of a connection. */
class Closed<F> implements Condition, Started {
  private readonly connection: Connection<F>
  private readonly done: (rest: Effect.Effect<void>) => void

  constructor(connection: Connection<F>, done: (rest: Effect.Effect<void>) => void) {
    this.connection = connection
    this.done = done
  }

  holds(): boolean {
    return this.connection.state === "closed"
  }

  notify(): void {
    this.done(Exit.void)
  }

  stop(): void {
    this.connection.forget(this)
  }
}

class WriteAll<F, E> extends Immediate<void, Lost<E> | ConnectionError.WriteAfterEnd> {
  private readonly transport: DrivenTransport<F, E>
  private readonly chunks: Iterable<Uint8Array>

  constructor(transport: DrivenTransport<F, E>, chunks: Iterable<Uint8Array>) {
    super()
    this.transport = transport
    this.chunks = chunks
  }

  commit() {
    return this.transport.acceptAll(this.chunks)
  }
}

const noOptions: Transport.TransportOptions = { noDelay: undefined, keepAlive: undefined }

const byUs = { side: "local", code: undefined, syscall: undefined, cause: undefined } as const

const notBytes = (value: unknown): TypeError =>
  new TypeError(`A transport writes Uint8Array, and got ${value === null ? "null" : typeof value}`)

/** The write buffer as a Queue: an interface of Effect's that is implemented, not a queue beside the buffer. */
class Outgoing<F, E> implements Queue.Enqueue<Uint8Array> {
  readonly [Queue.EnqueueTypeId] = { _In: (_: unknown) => _ }
  private readonly transport: DrivenTransport<F, E>
  private readonly connection: Connection<F>

  constructor(transport: DrivenTransport<F, E>, connection: Connection<F>) {
    this.transport = transport
    this.connection = connection
  }

  pipe() {
    return pipeArguments(this, arguments)
  }

  private get over(): boolean {
    return this.connection.writeEnded || this.connection.report !== undefined
  }

  offer(bytes: Uint8Array): Effect.Effect<boolean> {
    return Effect.match(this.transport.write(bytes), { onFailure: () => false, onSuccess: () => true })
  }

  offerAll(chunks: Iterable<Uint8Array>): Effect.Effect<boolean> {
    return Effect.match(this.transport.writeAll(chunks), { onFailure: () => false, onSuccess: () => true })
  }

  unsafeOffer(bytes: Uint8Array): boolean {
    if (!(bytes instanceof Uint8Array)) throw notBytes(bytes)
    if (!this.connection.admits() || this.over) return false
    this.connection.push(bytes)
    return true
  }

  capacity(): number {
    return this.connection.writes.high
  }

  get size(): Effect.Effect<number> {
    return Effect.sync(() => this.connection.writes.buffered)
  }

  unsafeSize(): Option.Option<number> {
    return this.over ? Option.none() : Option.some(this.connection.writes.buffered)
  }

  get isFull(): Effect.Effect<boolean> {
    return Effect.sync(() => this.connection.writes.buffered >= this.connection.writes.high)
  }

  get isEmpty(): Effect.Effect<boolean> {
    return Effect.sync(() => this.connection.writes.buffered === 0)
  }

  isActive(): boolean {
    return !this.over
  }

  get isShutdown(): Effect.Effect<boolean> {
    return Effect.sync(() => this.over)
  }

  get shutdown(): Effect.Effect<void> {
    return Effect.ignore(this.transport.closeWrite)
  }

  get awaitShutdown(): Effect.Effect<void> {
    return Effect.suspend(() => this.transport.awaitCondition(() => this.over))
  }
}
