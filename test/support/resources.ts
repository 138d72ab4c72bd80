/** What the host has left of a run: descriptors, and what keeps Node's event loop alive. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import { eventually } from "./peer.ts"

const resources = () => ({
  descriptors: fs.readdirSync("/proc/self/fd").length,
  active: process.getActiveResourcesInfo().filter((name) =>
    !/^(Timeout|Immediate|TTYWrap|PipeWrap|FSReqCallback)$/.test(name)
  )
})

/** First in a run's Scope, so that it looks last: as many are left as there were. */
export const nothingLeft: Effect.Effect<void, never, Scope.Scope> = Effect.suspend(() => {
  const before = resources()
  return Effect.addFinalizer(() =>
    eventually(() => {
      const now = resources()
      return now.descriptors <= before.descriptors && now.active.length <= before.active.length
    }).pipe(Effect.timeout("5 seconds"), Effect.orDie, Effect.interruptible)
  )
})

/** The same around a whole run. */
export const leavingNothing = <A, E, R>(run: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.scoped(Effect.zipRight(nothingLeft, run))

/** What the system refuses to others, as it does it: root acts as nobody for a while. */
export const asNobody: Effect.Effect<void, never, Scope.Scope> = process.getuid?.() === 0
  ? Effect.acquireRelease(
    Effect.sync(() => process.seteuid!(65534)),
    () => Effect.sync(() => process.seteuid!(0))
  )
  : Effect.void
