/**
 * What runs on one connection. A protocol is an Effect that needs a `Transport` and a Scope, and that is all there is to
 * it: its state is its variables, its parser is `readExactly` and `readUntil`, waiting for the peer is a suspension, and
 * what it does not pull stays with the peer. For those who come from Twisted there is the callback form, compiled to it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Scope from "effect/Scope"
import type { Address } from "./Address.ts"
import type { ConnectionLost } from "./ConnectionError.ts"
import { ConnectionClosed } from "./ConnectionError.ts"
import * as Immediate from "./internal/immediate.ts"
import * as NetworkLayer from "./NetworkLayer.ts"
import * as Transport from "./Transport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What runs on one connection: an Effect that finds it in its context. The Scope is the connection's: what it acquires
 * there is released before the connection is ended.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import type * as Protocol from "effect-transport/Protocol"
 * import * as Transport from "effect-transport/Transport"
 *
 * // Requests of eight bytes, each answered before the next is read, until the client ends: then no whole one has come.
 * export const sums = Effect.gen(function*() {
 *   const transport = yield* Transport.Transport
 *   while (true) {
 *     const request = yield* Transport.readExactly(transport, 8)
 *     const numbers = new DataView(request.buffer, request.byteOffset)
 *     const answer = new DataView(new ArrayBuffer(8))
 *     answer.setBigUint64(0, BigInt(numbers.getUint32(0)) + BigInt(numbers.getUint32(4)))
 *     yield* transport.write(new Uint8Array(answer.buffer))
 *   }
 * }).pipe(Effect.catchTag("IncompleteRead", () => Effect.void)) satisfies Protocol.Protocol<void, unknown>
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export type Protocol<A, E = never, R = never> = Effect.Effect<A, E, R | Transport.Transport | Scope.Scope>

/**
 * Why a connection ended, for `connectionLost`: as the transport tells it, or because a callback failed or died. (A callback
 * that fails with the loss itself, as a write does, has only met it: the reason is the loss.)
 *
 * @since 0.1.0
 * @category models
 */
export type EndReason<E = ConnectionLost> =
  | Transport.CloseReason<E>
  | { readonly _tag: "Failed"; readonly cause: Cause.Cause<unknown> }

/**
 * Twisted's `IProtocol` and `IHalfCloseableProtocol`. `TE` is what the transport fails with, `E` and `R` what the callbacks
 * fail with and need.
 *
 * In this order, the next one when the Effect of the last one has succeeded, never two at a time:
 *
 * 1. `connectionMade`: once, before any byte is read.
 * 2. `dataReceived`: at least one byte each time, as many as there are, in order. While it runs nothing is taken, and a
 *    peer that sends is held back.
 * 3. `readConnectionLost`: the peer has ended its writing, after all its bytes. This side may go on writing, and owes a
 *    `close` or a `closeWrite`. Without this callback the connection is closed then, gracefully.
 * 4. `writeConnectionLost`: after a `closeWrite`, this side's end is out. It comes when it comes, before or between the
 *    others. Not after a `close` or an `abort` by the transport that the callbacks were given.
 * 5. `connectionLost`: once, last, when nothing of the connection is left. No interruption cuts it short.
 *
 * @since 0.1.0
 * @category models
 */
export interface Callbacks<in TE = ConnectionLost, out E = unknown, out R = unknown> {
  readonly connectionMade?: Effect.Effect<unknown, E, R> | undefined
  readonly dataReceived: (data: Uint8Array) => Effect.Effect<unknown, E, R>
  readonly readConnectionLost?: Effect.Effect<unknown, E, R> | undefined
  readonly writeConnectionLost?: Effect.Effect<unknown, E, R> | undefined
  readonly connectionLost?: ((reason: EndReason<TE>) => Effect.Effect<unknown, never, R>) | undefined
}

type Answer<C> = {
  readonly [K in keyof C]: C[K] extends (...args: never) => infer A ? A : C[K]
}[keyof C & keyof Callbacks]

type AnswerEffect<C> = Extract<Answer<C>, Effect.Effect<unknown, unknown, unknown>>

/**
 * What the callbacks fail with.
 *
 * @since 0.1.0
 * @category models
 */
export type Failure<C> = Effect.Effect.Error<AnswerEffect<C>>

/**
 * What the callbacks need.
 *
 * @since 0.1.0
 * @category models
 */
export type Needs<C> = Effect.Effect.Context<AnswerEffect<C>>

/**
 * A connection that was turned away.
 *
 * @since 0.1.0
 * @category models
 */
export interface Refused {
  readonly _tag: "Refused"
  readonly remoteAddress: Address
}

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/**
 * A protocol as a function of its transport, which is what `Server.serve` takes.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Protocol from "effect-transport/Protocol"
 * import * as Transport from "effect-transport/Transport"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 *
 * const echo = Effect.flatMap(Transport.Transport, (transport) => transport.forEach(transport.write))
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const [client, server] = yield* MemoryTransport.pair()
 *   yield* Effect.fork(Protocol.handler(echo)(server))
 *   yield* client.write(new TextEncoder().encode("hello"))
 *   return yield* Transport.readExactly(client, 5)
 * }))
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const handler =
  <A, E, R>(protocol: Effect.Effect<A, E, R>) =>
  (transport: Transport.Transport): Effect.Effect<A, E, Exclude<R, Transport.Transport>> =>
    Effect.provideService(protocol, Transport.Transport, transport)

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Chooses the protocol by the peer's address, before any byte is read: Twisted's `buildProtocol`. What it chooses may be
 * `refuse`, and choosing may take time, fail or need something, as any Effect. State for all connections, Twisted's factory
 * attributes, is what it closes over; what is started and stopped with them is a Layer.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as Protocol from "effect-transport/Protocol"
 * import * as Transport from "effect-transport/Transport"
 *
 * const echo = Effect.flatMap(Transport.Transport, (transport) => transport.forEach(transport.write))
 *
 * export const local = Protocol.factory((address) =>
 *   Address.format(address).startsWith("127.0.0.1:") ? echo : Protocol.refuse
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const factory = <P extends Effect.Effect<any, any, any>>(
  build: (address: Address) => P
): Effect.Effect<Effect.Effect.Success<P>, Effect.Effect.Error<P>, Effect.Effect.Context<P> | Transport.Transport> =>
  Effect.flatMap(Transport.Transport, ({ remoteAddress }) => build(remoteAddress))

/**
 * Turns the connection away: closes it at once, and the peer sees an end and no reset. No byte of it is given to anybody.
 *
 * It succeeds, and `Server` counts it as completed: a refusal is a decision, and no failure. To refuse by address alone,
 * `Server`'s `admit` is cheaper, and counts as refused.
 *
 * @since 0.1.0
 * @category constructors
 */
export const refuse: Effect.Effect<Refused, never, Transport.Transport> = Effect.flatMap(
  Transport.Transport,
  ({ close, remoteAddress }) => Effect.as(close, { _tag: "Refused", remoteAddress })
)

/**
 * The protocol of Twisted's callbacks. `build` is called once for each connection, and gives them their transport; what
 * it closes over is the protocol's state.
 *
 * - Suspends until the connection is over and `connectionLost` is done. It ends the connection itself: gracefully when the
 *   peer has ended and there is no `readConnectionLost`, at once when a callback has failed.
 * - Fails with the loss, and with what a callback failed with, or dies of it. A close by this side is a success.
 * - The callbacks' Scope is that of the connection: what they acquire in it is released before the connection is ended, and
 *   that before `connectionLost`.
 * - Interrupted, it leaves the connection to its own Scope, as all that reads a transport does: the end of that closes it
 *   after success, aborts it otherwise, and runs `connectionLost`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Protocol from "effect-transport/Protocol"
 *
 * export const echo = Protocol.fromCallbacks((transport) => {
 *   let received = 0
 *   return {
 *     connectionMade: transport.write(new TextEncoder().encode("hello\r\n")),
 *     dataReceived: (data) => {
 *       received += data.length
 *       return transport.write(data)
 *     },
 *     connectionLost: (reason) => Effect.logDebug(`${reason._tag} after ${received} bytes`)
 *   }
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromCallbacks = <C extends Callbacks>(
  build: (transport: Transport.Transport) => C
): Protocol<void, ConnectionLost | Failure<C>, Needs<C>> =>
  Effect.flatMap(Transport.Transport, (transport) => runCallbacks(transport, build))

/**
 * `fromCallbacks` for a transport with failures of its own, as a stack of network layers has them.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import type { Transport } from "effect-transport/Transport"
 * import * as IdleTimeout from "effect-transport/policy/IdleTimeout"
 * import * as Protocol from "effect-transport/Protocol"
 *
 * // Twisted's TimeoutMixin: ends a connection over which nothing moves for half a minute.
 * export const handler = (transport: Transport) =>
 *   Effect.flatMap(IdleTimeout.make({ duration: "30 seconds" })(transport), (guarded) =>
 *     Protocol.runCallbacks(guarded, (guarded) => ({
 *       dataReceived: (data) => guarded.write(data),
 *       connectionLost: (reason) =>
 *         reason._tag === "Lost" && reason.error._tag === "IdleTimeout" ? Effect.log("too quiet") : Effect.void
 *     })))
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const runCallbacks = <TE, C extends Callbacks<TE>>(
  transport: Transport.Transport<TE>,
  build: (transport: Transport.Transport<TE>) => C
): Effect.Effect<void, TE | Failure<C>, Needs<C> | Scope.Scope> => {
  type E = TE | Failure<C>
  type R = Needs<C>
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.make(), (scope) => {
      let callbacks: Callbacks<TE, E, R> | undefined
      const end = endOnce(transport, scope, (reason) => callbacks?.connectionLost?.(reason) ?? Effect.void)
      const talk = Effect.suspend(() => {
        const guarded = guard(transport)
        // What the callbacks fail with and need is in the type of each of them, and in that of C as a whole.
        const built: Callbacks<TE, unknown, unknown> = build(guarded.transport)
        callbacks = built as Callbacks<TE, E, R>
        return converse(transport, guarded, callbacks)
      })
      const talkAndEnd = Effect.matchCauseEffect(restore(Scope.extend(talk, scope)), {
        onFailure: (cause) =>
          Cause.isInterruptedOnly(cause)
            ? Effect.failCause(cause)
            : Effect.zipRight(end(Exit.failCause(cause), endReason(cause)), Effect.failCause(cause)),
        onSuccess: () => Effect.flatMap(end(Exit.void, identity), outcome)
      })
      return endWithScope(talkAndEnd, (exit) => end(exit, identity))
    })
  )
}

/** Ends, in this order: what the callbacks have acquired, the connection, the protocol. */
const endOnce = <TE, R>(
  transport: Transport.Transport<TE>,
  scope: Scope.CloseableScope,
  connectionLost: (reason: EndReason<TE>) => Effect.Effect<unknown, never, R>
) => {
  let ending = false
  return (
    exit: Exit.Exit<unknown, unknown>,
    because: (closed: Transport.CloseReason<TE>) => EndReason<TE>
  ): Effect.Effect<Transport.CloseReason<TE>, never, R> =>
    Effect.suspend(() => {
      if (ending) return transport.closed
      ending = true
      const ended = Effect.zipRight(Exit.isSuccess(exit) ? transport.close : transport.abort, transport.closed)
      return Effect.flatMap(Effect.exit(Scope.close(scope, exit)), (released) =>
        Effect.flatMap(ended, (closed) =>
          Effect.as(Effect.zipRight(connectionLost(because(closed)), released), closed)))
    })
}

/** The Scope ends what an interruption has left, and interrupts what still runs. */
const endWithScope = <A, E, R, R2>(
  effect: Effect.Effect<A, E, R>,
  end: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown, never, R2>
): Effect.Effect<A, E, R | R2 | Scope.Scope> =>
  Effect.withFiberRuntime((fiber) => {
    let running = true
    const stop = Effect.suspend(() => running ? Fiber.interrupt(fiber) : Effect.void)
    const stopped = Effect.sync(() => {
      running = false
    })
    return Effect.zipRight(
      Effect.addFinalizer((exit) => Effect.zipRight(stop, end(exit))),
      Effect.ensuring(effect, stopped)
    )
  })

const outcome = <TE>(closed: Transport.CloseReason<TE>): Exit.Exit<void, TE> =>
  closed._tag === "Lost" ? Exit.fail(closed.error) : Exit.void

const endReason = (cause: Cause.Cause<unknown>) => <TE>(closed: Transport.CloseReason<TE>): EndReason<TE> =>
  closed._tag === "Lost" && Chunk.some(Cause.failures(cause), (error) => error === closed.error)
    ? closed
    : { _tag: "Failed", cause }

/** A transport that knows whether its user wants all of it to end, and not the writing alone. */
interface Guarded<TE> {
  readonly transport: Transport.Transport<TE>
  readonly isClosing: () => boolean
}

const guard = <TE>(transport: Transport.Transport<TE>): Guarded<TE> => {
  let closing = false
  const noting = (end: Effect.Effect<void>) =>
    Effect.suspend(() => {
      closing = true
      return end
    })
  const members = { close: noting(transport.close), abort: noting(transport.abort) }
  return { transport: NetworkLayer.derive(transport, members), isClosing: () => closing }
}

/** From `connectionMade` to the end of all that is read; `connectionLost` is not its affair. */
const converse = <TE, E, R>(
  transport: Transport.Transport<TE>,
  guarded: Guarded<TE>,
  callbacks: Callbacks<TE, E, R>
): Effect.Effect<void, TE | E, R | Scope.Scope> => {
  const { connectionMade = Effect.void, readConnectionLost, writeConnectionLost } = callbacks
  const noticing = writeConnectionLost === undefined ? noNotice : notice(transport, guarded, writeConnectionLost)
  return Effect.flatMap(Effect.zipRight(connectionMade, noticing), ({ around, told }) => {
    const over = Effect.flatMap(Effect.zipRight(told, transport.closed), outcome)
    // Half-closed by this side before: then this was the other half, and all that is left is to have it told.
    const halfClosed = Effect.suspend(() =>
      transport.outgoing.isActive() ? Effect.void : Effect.zipRight(transport.close, over)
    )
    // Hot path: an answer that is written into a buffer with room costs no wake-up of the fiber.
    const answer = (data: Uint8Array): Effect.Effect<unknown, Failed<E>, R> =>
      Immediate.catchAll(around(callbacks.dataReceived(data)), failed)
    return Effect.matchEffect(transport.forEach(answer), {
      onFailure: (error) => {
        if (error instanceof Failed) return Effect.fail(error.error)
        // Lost, or closed by this side: that is under way then, and how it ends is what counts.
        const closed = Effect.zipRight(guarded.transport.close, over)
        return error instanceof ConnectionClosed ? closed : Effect.zipRight(closed, Effect.fail(error))
      },
      onSuccess: () => readConnectionLost === undefined ? halfClosed : Effect.zipRight(around(readConnectionLost), over)
    })
  })
}

/** A callback failed, and not the reading. */
class Failed<E> {
  readonly error: E

  constructor(error: E) {
    this.error = error
  }
}

const failed = <E>(error: E) => Effect.fail(new Failed(error))

/** How `writeConnectionLost` comes to its turn. */
interface Notice<E, R> {
  /** Runs another callback, and never two at a time. */
  readonly around: (callback: Effect.Effect<unknown, E, R>) => Effect.Effect<unknown, E, R>
  /** Suspends until it has been told, or never will be. Fails as it does. */
  readonly told: Effect.Effect<void, E>
}

const noNotice = Effect.succeed({ around: identity, told: Effect.void })

const notice = <TE, E, R>(
  transport: Transport.Transport<TE>,
  { isClosing }: Guarded<TE>,
  writeConnectionLost: Effect.Effect<unknown, E, R>
): Effect.Effect<Notice<E, R>, never, R | Scope.Scope> => {
  let due = false
  const tell = Effect.suspend(() => {
    if (!due || isClosing()) return Effect.void
    due = false
    return Effect.asVoid(writeConnectionLost)
  })
  const oneAtATime = Effect.unsafeMakeSemaphore(1).withPermits(1)
  const ended = Effect.suspend(() => {
    due = true
    return oneAtATime(tell)
  })
  const watching = Effect.zipRight(
    transport.outgoing.awaitShutdown,
    Effect.matchEffect(transport.closeWrite, { onFailure: () => Effect.void, onSuccess: () => ended })
  )
  // The abort ends the reading, which then finds the cause here. The fiber can be interrupted, wherever this is run.
  return Effect.map(
    Effect.forkScoped(Effect.interruptible(Effect.tapErrorCause(watching, () => transport.abort))),
    (fiber) => ({ around: (callback) => oneAtATime(Effect.zipRight(callback, tell)), told: Fiber.join(fiber) })
  )
}
