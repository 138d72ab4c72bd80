/**
 * What waits for peers, and hands out their connections one by one.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Address from "./Address.ts"
import { ListenerClosed } from "./ConnectionError.ts"
import * as Driver from "./Driver.ts"
import { AcceptQueue } from "./internal/acceptQueue.ts"
import { async } from "./internal/async.ts"
import { Bell } from "./internal/bell.ts"
import type { Printed } from "./internal/inspecting.ts"
import { printedAs } from "./internal/inspecting.ts"
import type { Transport } from "./Transport.ts"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-transport/Listener")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * An open listener. `A` is the kind of its address: who listens on a `TcpAddress` can ask for the port.
 *
 * @since 0.1.0
 * @category models
 */
export interface Listener<out A extends Address.Address = Address.Address> {
  readonly [TypeId]: TypeId

  /** The address that is bound: the port is the real one, also where 0 was asked for. Still there after the close. */
  readonly address: A

  /**
   * The next connection, tied to the Scope. Suspends until there is one; nothing of it is read before its first pull.
   * Fails with `ListenerClosed` once the listener is closed. Interrupted, it takes none: the next accept does. Any number
   * of fibers may accept.
   */
  readonly accept: Effect.Effect<Transport, ListenerClosed, Scope.Scope>

  /**
   * Suspends until there is a connection to accept; fails with `ListenerClosed`. It takes none: `unsafePoll` does. For
   * accept loops, which own the end of what they accept.
   */
  readonly ready: Effect.Effect<void, ListenerClosed>

  /** The next connection if one waits, tied to no Scope: the caller owes it a `close` or an `abort`. */
  readonly unsafePoll: () => Transport | undefined

  /**
   * `ready` without a fiber: calls `notify`, once and perhaps at once, when there is a connection to accept, or when the
   * listener is closed. Gives what withdraws it; `undefined` if the listener is closed.
   */
  readonly unsafeAwait: (notify: () => void) => (() => void) | undefined

  /** All connections from here on, until the listener is closed. All are tied to the one Scope: `Server` gives each its own. */
  readonly connections: Stream.Stream<Transport, never, Scope.Scope>

  /**
   * Stops accepting. The address can be bound again when this completes; connections that wait to be accepted are closed,
   * accepted ones are not touched. Suspends until nothing is left of those that were turned away, now or before. Interrupted
   * meanwhile, it aborts them; the address is freed all the same. Idempotent; never fails.
   */
  readonly close: Effect.Effect<void>

  /** Completes when the listener accepts no more: as soon as `close` is called. */
  readonly closed: Effect.Effect<void>

  /** Counters as they are now: synchronous and cheap. */
  readonly stats: () => ListenerStats
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ListenerStats {
  /** Connections that came in. */
  readonly connected: number
  /** Of these, closed at once because `maxPending` of them waited already, or because the listener was closed. */
  readonly refused: number
  /** Of these, waiting for `accept`. */
  readonly pending: number
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isListener = (u: unknown): u is Listener => hasProperty(u, TypeId)

/**
 * Makes a listener of whatever brings connections: for authors of networks.
 *
 * `offer` hands a connection in; a connection that finds no place is refused: closed gracefully, so that the peer sees an
 * end and not a reset. `stop` frees the address; it is run once.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A extends Address.Address>(options: {
  readonly address: A
  readonly maxPending: number
  readonly stop: Effect.Effect<void>
}): { readonly listener: Listener<A>; readonly offer: (transport: Transport) => void } => {
  const queue = new AcceptQueue<Transport>(options.maxPending)
  /** Those that were turned away, until nothing is left of them. */
  const leaving = new Set<Transport>()
  const left = new Bell()
  const refuse = (transport: Transport) => {
    leaving.add(transport)
    Effect.runFork(transport.close).addObserver(() => {
      leaving.delete(transport)
      left.ring()
    })
  }

  const ready: Effect.Effect<void, ListenerClosed> = Effect.suspend(() => {
    if (queue.pending > 0) return Exit.void
    if (queue.closed) return Exit.fail(new ListenerClosed({ address: options.address }))
    return async<void, ListenerClosed>((resume) => queue.await(() => resume(ready)))
  })

  const accept: Effect.Effect<Transport, ListenerClosed, Scope.Scope> = Effect.uninterruptibleMask((restore) => {
    const poll: Effect.Effect<Transport, ListenerClosed, Scope.Scope> = Effect.suspend(() => {
      const transport = queue.take()
      return transport === undefined ? Effect.zipRight(restore(ready), poll) : Driver.closeWithScope(transport)
    })
    return poll
  })

  const stopped = Deferred.unsafeMake<void>(FiberId.none)

  const alone: Effect.Effect<void> = Effect.suspend(() =>
    leaving.size === 0 ? Effect.void : Effect.zipRight(left.await, alone)
  )
  const abort = Effect.suspend(() => Effect.forEach(leaving, (transport) => transport.abort, { discard: true }))

  const close = Effect.uninterruptibleMask((restore) => {
    if (queue.closed) return restore(Deferred.await(stopped))
    for (const transport of queue.close()) refuse(transport)
    return options.stop.pipe(
      Effect.zipRight(Effect.onInterrupt(restore(alone), () => Effect.zipRight(abort, alone))),
      Effect.ensuring(Deferred.succeed(stopped, undefined))
    )
  })

  const listener: Listener<A> & Printed = {
    __proto__: printed,
    [TypeId]: TypeId,
    address: options.address,
    accept,
    ready,
    unsafePoll: () => queue.take(),
    unsafeAwait: (notify) => queue.closed ? undefined : queue.await(notify),
    connections: Stream.catchTag(Stream.repeatEffect(accept), "ListenerClosed", () => Stream.empty),
    close,
    closed: async<void>((resume) => queue.awaitClosed(() => resume(Effect.void))),
    stats: () => ({ connected: queue.offered, refused: queue.refused, pending: queue.pending })
  }
  return {
    listener,
    offer: (transport) => {
      if (!queue.offer(transport)) refuse(transport)
    }
  }
}

const printed = printedAs(({ address, stats }: Listener) => ({ _id: "Listener", address: `${address}`, ...stats() }))
