/**
 * The faults of `Rule` on any transport, a real one as well: what Toxiproxy does as a process, as a network layer.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { ConnectionLost } from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import { firstOf } from "../internal/firstOf.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import * as Relay from "../Relay.ts"
import type { Limits, Transport } from "../Transport.ts"
import type { Packet, Rule } from "./Rule.ts"
import * as SimNetwork from "./SimNetwork.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface FaultOptions extends Limits {
  /**
   * In these the user of the layer is the host `here`, the peer the host `there`. Times count from the layer's start, which is
   * the first packet of the connection as well. It is the only connection, and has none of the carrier's ports:
   * `port` is not for these rules.
   */
  readonly rules: ReadonlyArray<Rule>
  /** What all chance comes from: 0. */
  readonly seed?: number | undefined
}

/**
 * A layer through which the bytes take a simulated connection on their way, to which the rules apply: delay, bandwidth,
 * slices, limits, stalls, slow ends and resets befall both directions, or that from `here` or `there` alone.
 *
 * It is a proxy, in the same process: what the rules do to the connection both ends see, this one at once, the peer
 * as an end or a reset of the carrier. It goes by the Clock. One fiber serves it while it is open. When the Scope ends, what
 * was written before arrives, within `closeTimeout`; where it does not, the carrier is aborted.
 *
 * The layer's failures are those of a connection, and the carrier's own where that was lost; addresses are the carrier's.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as FaultLayer from "effect-transport/testing/FaultLayer"
 * import * as Rule from "effect-transport/testing/Rule"
 *
 * const cut = FaultLayer.make({ rules: [Rule.reset({ from: "there", afterBytes: 3 })] })
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const [left, right] = yield* MemoryTransport.pair()
 *   const client = yield* cut(left)
 *   yield* right.write(new Uint8Array(5))
 *   console.log((yield* client.pull)?.length) // 3
 *   return yield* Effect.flip(client.pull)
 * }))
 *
 * console.log((await Effect.runPromise(program))._tag) // ConnectionReset
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make =
  (options: FaultOptions) =>
  <E>(transport: Transport<E>): Effect.Effect<Transport<E | ConnectionLost>, never, Scope.Scope> =>
    Effect.gen(function*() {
      const sim = yield* SimNetwork.make({ hosts: ["here", "there"], latency: 0, seed: options.seed })
      const [near, far] = yield* connected(sim, options)
      const endCarried = yield* Deferred.make<void>()
      let carrierAborted = false
      let carrierLoss: { readonly error: E } | undefined
      // Noted at once: this side hears of the loss before the relay is over.
      const carrier = NetworkLayer.mapError(
        NetworkLayer.derive<E, E>(transport, {
          closeWrite: Effect.zipLeft(transport.closeWrite, Deferred.succeed(endCarried, undefined)),
          abort: Effect.suspend(() => {
            carrierAborted = true
            return transport.abort
          })
        }),
        (error) => {
          if (!carrierAborted) carrierLoss ??= { error }
          return error
        }
      )
      const relay = Effect.ignore(Relay.run(far, carrier))
      const relaying = yield* Effect.forkScoped(Effect.interruptible(relay))
      const carried = firstOf(Deferred.await(endCarried), Effect.asVoid(Fiber.await(relaying)))
      const { closeTimeout } = Driver.resolveLimits(options)
      const inTime = Effect.flatten(firstOf(
        Effect.interruptible(Effect.as(Effect.zipRight(near.close, carried), Effect.void)),
        Effect.interruptible(Effect.as(Effect.sleep(closeTimeout), carrier.abort))
      ))
      // An interruption reaches the children of a fiber, also of one that is closing its Scope.
      const closing = Effect.flatMap(Effect.forkDaemon(inTime), Fiber.join)
      // Once more, so that it ends while there is still a relay to the carrier. What is still on its way then arrives, or is
      // cut off by a reset: an orderly end would pass for all of it.
      yield* Effect.addFinalizer((exit) => Exit.isSuccess(exit) ? closing : near.abort)
      const { localAddress, options: settings, remoteAddress, unsafeHandle } = transport
      const asTheCarriers = (error: ConnectionLost): E | ConnectionLost =>
        carrierLoss !== undefined && error.side === "peer" ? carrierLoss.error : withAddresses(error, transport)
      return NetworkLayer.derive<E | ConnectionLost>(NetworkLayer.mapError(near, asTheCarriers), {
        localAddress,
        remoteAddress,
        options: settings,
        unsafeHandle
      })
    })

/** Both ends of a simulated connection, whose handshake no rule befalls, but starts the clock of those that end it later. */
const connected = (sim: SimNetwork.SimNetwork["Type"], { rules, ...limits }: FaultOptions) =>
  Effect.gen(function*() {
    let opening = true
    for (const rule of rules.flatMap((rule) => timing(rule, () => opening))) yield* sim.apply(rule)
    const listener = yield* sim.networkOf("there").listen(sim.addressOf("there", 1))
    const near = yield* sim.networkOf("here").connect(listener.address, limits)
    const far = yield* listener.accept
    yield* listener.close
    opening = false
    for (const rule of rules) yield* sim.apply(rule)
    return [near, far] as const
  }).pipe(Effect.orDie)

/** What of a rule counts time from the handshake: the connection may idle from then on, and no packet show it to the rule. */
const timing = (rule: Rule, opening: () => boolean): ReadonlyArray<Rule> => {
  if (rule._tag !== "Pass" && rule._tag !== "Reset") return []
  const matching = (packet: Packet) => opening() && (rule.matching?.(packet) ?? true)
  if (rule._tag === "Pass") return [{ ...rule, matching }]
  const { after, afterBytes, at = 0, for: duration } = rule
  if (after === undefined || afterBytes !== undefined) return []
  return [{
    ...rule,
    matching,
    at: 0,
    after: Duration.sum(at, after),
    for: duration === undefined ? undefined : Duration.sum(at, duration)
  }]
}

/** The error as it would be if the carrier had failed with it. */
const withAddresses = (error: ConnectionLost, { localAddress, remoteAddress }: Transport<unknown>): ConnectionLost => {
  const Lost = error.constructor as new(detail: object) => ConnectionLost
  return new Lost({ ...error, localAddress, remoteAddress })
}
