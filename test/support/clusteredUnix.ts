/** A worker listens at the path, takes a connection of its own, and says so. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Address from "../../src/Address.ts"
import * as Cluster from "../../src/node/Cluster.ts"
import * as Unix from "../../src/node/Unix.ts"

const program = Effect.scoped(Effect.gen(function*() {
  const address = Address.unix(process.argv[2]!)
  const listener = yield* Unix.listen(address)
  yield* Unix.connect(address, { lingerTimeout: 0 })
  yield* listener.accept
  yield* Effect.sync(() => console.log("accepted"))
}))

void Effect.runPromise(Cluster.run(program, { workers: 1, retry: Schedule.stop }))
