/**
 * The network layers that the options of a command ask for.
 *
 * @internal
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as Deadline from "../policy/Deadline.ts"
import * as IdleTimeout from "../policy/IdleTimeout.ts"
import * as Throttle from "../policy/Throttle.ts"
import * as Wiretap from "../policy/Wiretap.ts"
import * as WriteStalled from "../policy/WriteStalled.ts"
import type { Transport } from "../Transport.ts"
import type { Failure } from "./connections.ts"
import * as Terminal from "./terminal.ts"

/** Of each connection. */
export interface Options {
  readonly idleTimeout: Duration.Duration | undefined
  readonly maxDuration: Duration.Duration | undefined
  readonly rate: number | undefined
  readonly wiretap: string | undefined
  readonly writeTimeout: Duration.Duration | undefined
}

/** A layer that cannot fail to be made; what it adds to the failures is one that is told like all others. */
export type Policy = (transport: Transport<Failure>) => Effect.Effect<Transport<Failure>, never, Scope.Scope>

export class CaptureFailed extends Data.TaggedError("CaptureFailed")<
  { readonly path: string; readonly reason: string }
> {
  override get message() {
    return `Cannot write the capture to ${this.path} (${this.reason}).`
  }
}

/** A policy for what was given; nothing otherwise. */
const given = <A>(value: A | undefined, policy: (value: A) => Policy): Policy =>
  value === undefined ? Effect.succeed : policy(value)

/**
 * All of them, from the wire up. A connection that waits for its share is not idle, so the idle limit stands above the
 * shaper; whether its peer takes what is written, only the carrier knows.
 */
export const make = (
  options: Options,
  side: "client" | "server",
  total?: { readonly read: Throttle.Shared; readonly write: Throttle.Shared }
): Effect.Effect<Policy, CaptureFailed, Scope.Scope> =>
  Effect.map(
    options.wiretap === undefined ? Effect.succeed(undefined) : capture(options.wiretap, side),
    (tap) => {
      const policies = [
        given(tap, (tap) => Wiretap.make(tap)),
        given(options.writeTimeout, (duration) => WriteStalled.make({ duration })),
        given(options.maxDuration, (duration) => Deadline.make({ duration })),
        throttle(options.rate, total),
        given(options.idleTimeout, (duration) => IdleTimeout.make({ duration }))
      ]
      return (transport) =>
        policies.reduce<ReturnType<Policy>>(
          (below, policy) => Effect.flatMap(below, policy),
          Effect.succeed(transport)
        )
    }
  )

const throttle = (rate: number | undefined, total: Throttle.ThrottleOptions | undefined): Policy => {
  if (rate === undefined && total === undefined) return Effect.succeed
  const own = rate === undefined ? [] : [rate]
  const limits = (shared: Throttle.ThrottleOptions["read"]) => [...own, shared ?? []].flat()
  return Throttle.make({ read: limits(total?.read), write: limits(total?.write) })
}

/** Written at once, so that a capture is whole whatever becomes of this process, and can be read while it grows. */
const capture = (path: string, side: "client" | "server"): Effect.Effect<Wiretap.Tap, CaptureFailed, Scope.Scope> => {
  const failed = (cause: unknown) => new CaptureFailed({ path, reason: (cause as Error).message })
  return Effect.map(
    Effect.acquireRelease(
      Effect.try({ try: () => fs.openSync(path, "w"), catch: failed }),
      (file) => Effect.sync(() => fs.closeSync(file))
    ),
    (file) => {
      let isWritten = true
      return Wiretap.pcapng((block) => {
        if (!isWritten) return
        try {
          fs.writeSync(file, block)
        } catch (cause) {
          isWritten = false
          Terminal.unsafeReport(`warn: ${failed(cause).message}`)
        }
      }, { side })
    }
  )
}
