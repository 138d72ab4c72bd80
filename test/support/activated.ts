/**
 * Serves on the sockets that it was started with, by itself, in a single worker or in two, and answers by its number and their
 * names. One that is `slow`, in a single worker, goes on with each connection until the peer has ended.
 */
import * as Effect from "effect/Effect"
import * as Cluster from "../../src/node/Cluster.ts"
import * as SocketActivation from "../../src/node/SocketActivation.ts"
import * as Server from "../../src/server/Server.ts"

const program = Effect.scoped(Effect.gen(function*() {
  const activated = yield* SocketActivation.listeners()
  yield* Effect.sync(() => console.log(`ready ${activated.length} ${process.pid}`))
  return yield* Server.serve(activated.map(({ listener }) => listener), (transport, listener) =>
    Effect.zipRight(
      transport.write(
        new TextEncoder().encode(`${process.pid} ${activated.find((other) => other.listener === listener)!.name}`)
      ),
      process.argv[2] === "slow" ? Effect.uninterruptible(transport.forEach(() => Effect.void)) : Effect.void
    ))
}))

const stopped = Effect.async<void>((resume) => void process.once("SIGTERM", () => resume(Effect.void)))

void Effect.runPromise(
  process.argv[2] === "alone"
    ? Effect.raceFirst(program, stopped)
    : Cluster.run(program, { workers: process.argv[2] === "cluster" ? 2 : 1 })
)
