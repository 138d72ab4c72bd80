/** One workload over one kind of Sockets, in a process of its own: what came of it, as JSON. */
import * as Effect from "effect/Effect"
import { type Kind, sockets } from "./sockets.ts"
import * as workloads from "./workloads.ts"

const [workload, kind] = process.argv.slice(2) as [keyof typeof workloads, Kind]

const result = await Effect.runPromise(
  Effect.scoped(workloads[workload](sockets[kind]) as Effect.Effect<unknown, unknown>).pipe(
    // What hangs is left behind.
    Effect.tap((result) => Effect.sync(() => process.send?.(result, () => process.exit())))
  )
)
console.log(JSON.stringify(result))
