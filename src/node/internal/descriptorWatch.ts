/**
 * Watches how many descriptors are left, because nothing else tells: at the limit, libuv accepts and closes every peer
 * by itself (`uv__emfile_trick`), and Node emits no event at all.
 *
 * The watch costs nothing while nobody connects: an accepted connection starts it, at most one look a second, and it looks
 * again only as long as descriptors are short.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { readdirSync, readFileSync } from "node:fs"
import type { Address } from "../../Address.ts"
import { format } from "../../Address.ts"

/** Descriptors that can still be opened. */
const headroomGauge = Metric.gauge("effect_transport_descriptor_headroom", {
  description: "Descriptors that the process can still open (RLIMIT_NOFILE less those open)"
})

const interval = Duration.seconds(1)

/** Fewer than these left, or than a 50th of the limit: peers are about to be turned away. */
const isShort = (headroom: number, limit: number): boolean => headroom < Math.max(8, limit / 50)

/** RLIMIT_NOFILE, soft: getrlimit(2) as proc(5) shows it; `undefined` where there is no /proc. */
const readLimit = (): number | undefined => {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]
    return limit === undefined ? undefined : Number(limit)
  } catch {
    return undefined
  }
}

/** To look costs a descriptor itself: none for it means none at all. */
const readHeadroom = (limit: number): number => {
  try {
    return Math.max(0, limit - (readdirSync("/proc/self/fd").length - 1))
  } catch {
    return 0
  }
}

/** Gives what is to be called for each accepted connection. */
export const make = (address: Address): Effect.Effect<() => void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const limit = readLimit()
    if (limit === undefined) return () => {}
    const run = yield* FiberSet.makeRuntime<never>()
    let watching = false
    let short = false
    /** A connection has come since the last look: a burst that uses all up may be over before anybody looks twice. */
    let unseen = false
    const look: Effect.Effect<void> = Effect.suspend(() => {
      unseen = false
      const headroom = readHeadroom(limit)
      const wasShort = short
      short = isShort(headroom, limit)
      const report = short === wasShort ? Effect.void : short
        ? Effect.logWarning(
          `Descriptors run out: ${headroom} of ${limit} left. New connections are closed as they come; raise ulimit -n ` +
            `or limit the connections`
        )
        : Effect.logInfo(`Descriptors are free again: ${headroom} of ${limit} left`)
      return Effect.zipRight(Metric.set(headroomGauge, headroom), report)
    })
    const watch: Effect.Effect<void> = Effect.suspend(() =>
      Effect.zipRight(
        look,
        Effect.zipRight(
          Effect.sleep(interval),
          Effect.suspend(() => {
            if (short || unseen) return watch
            watching = false
            return Effect.void
          })
        )
      )
    )
    // Whoever makes it may do so uninterruptibly, and the runtime of the set keeps that: a close would wait out the interval.
    const annotated = Effect.interruptible(Effect.annotateLogs(watch, { listener: format(address) }))
    return () => {
      unseen = true
      if (watching) return
      watching = true
      run(annotated)
    }
  })
