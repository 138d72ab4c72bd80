// An echo server that ends who is silent. Run it with `npx tsx examples/server.ts`, and talk to it: `nc 127.0.0.1 4000`.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Address from "effect-transport/Address"
import * as Network from "effect-transport/Network"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as IdleTimeout from "effect-transport/policy/IdleTimeout"
import * as Server from "effect-transport/server/Server"

const program = Effect.gen(function*() {
  const listener = yield* Network.listen(Address.tcp("127.0.0.1", 4000))
  return yield* Server.serve(
    listener,
    (transport) =>
      IdleTimeout.make({ duration: "1 minute" })(transport).pipe(
        Effect.flatMap((guarded) => Stream.run(guarded.stream, guarded.sink)),
        Effect.catchTag("IdleTimeout", () => Effect.log("silent for a minute"))
      ),
    { maxConnections: 1000 }
  )
}).pipe(Effect.scoped, Effect.provide(NodeNetwork.layer))

NodeRuntime.runMain(program)
