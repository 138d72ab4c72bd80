/**
 * What limits have in common that abort a connection when they see that something has not happened in time.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Address from "../../Address.ts"
import { ConnectionAborted } from "../../ConnectionError.ts"
import * as NetworkLayer from "../../NetworkLayer.ts"
import type { Transport } from "../../Transport.ts"

/** What a connection that was aborted says about itself. */
export interface Detail {
  readonly localAddress: Transport["localAddress"]
  readonly remoteAddress: Transport["remoteAddress"]
  readonly bytesRead: number
  readonly bytesWritten: number
  /** Accepted by `write`, and never handed over. */
  readonly bytesUnsent: number
}

export const detailOf = ({ localAddress, remoteAddress, stats }: Transport<unknown>): Detail => {
  const { buffered, bytesRead, bytesWritten } = stats()
  return { localAddress, remoteAddress, bytesRead, bytesWritten, bytesUnsent: buffered }
}

/** Why it was aborted, and what had moved until then. */
export const messageOf = (detail: Detail, why: string): string =>
  `The connection from ${Address.format(detail.localAddress)} to ${Address.format(detail.remoteAddress)} ` +
  `was aborted because ${why}, after ${detail.bytesRead} bytes read and ${detail.bytesWritten} written` +
  (detail.bytesUnsent === 0 ? "." : `, with ${detail.bytesUnsent} accepted bytes unsent.`)

/** A duration of a limit, in milliseconds: a wrong one is a bug in the caller. */
export const millisOf = (what: string, duration: Duration.DurationInput): number => {
  const millis = Duration.toMillis(duration)
  if (!(millis > 0)) throw new RangeError(`The duration of ${what} is more than 0, not ${millis} ms`)
  return millis
}

/**
 * Aborts the transport with the failure that `look` gives. It is asked now, and then each time after as many milliseconds
 * as it said; not after it has said `Infinity`, nor once somebody has called `close` or `abort`, which have deadlines of
 * their own.
 */
export const watched = <E, Own extends object>(
  transport: Transport<E>,
  look: (now: number) => number | Own
): Effect.Effect<Transport<E | Own>, never, Scope.Scope> =>
  Effect.flatMap(Effect.clock, (clock) => {
    let closing = false
    let failure: Own | undefined
    const watch: Effect.Effect<void> = Effect.suspend(() => {
      const seen = look(clock.unsafeCurrentTimeMillis())
      if (seen === Infinity) return Effect.void
      if (typeof seen === "number") return Effect.zipRight(clock.sleep(Duration.millis(seen)), watch)
      if (closing) return Effect.void
      failure = seen
      return transport.abort
    })
    const ending = (end: Effect.Effect<void>) =>
      Effect.suspend(() => {
        closing = true
        return end
      })
    const nameOf = <E2>(error: E2): E2 | Own =>
      failure !== undefined && error instanceof ConnectionAborted ? failure : error
    const limited = NetworkLayer.derive<E | Own, E | Own>(NetworkLayer.mapError(transport, nameOf<E>), {
      close: ending(transport.close),
      abort: ending(transport.abort),
      // The carrier's own, and not one of pulls: a chunk wakes no fiber.
      forEach: (f) => Effect.catchAllCause(transport.forEach(f), (cause) => Effect.failCause(Cause.map(cause, nameOf)))
    })
    // The region in which the layer is made may be uninterruptible; its fibers must not be.
    const fork = (effect: Effect.Effect<void>) => Effect.forkScoped(Effect.interruptible(effect))
    return fork(watch).pipe(
      Effect.flatMap((fiber) => fork(Effect.zipRight(transport.closed, Fiber.interrupt(fiber)))),
      Effect.as(limited)
    )
  })
