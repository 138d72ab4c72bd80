// A client: asks a redis on this machine. Run it with `npx tsx examples/client.ts`.
import * as Effect from "effect/Effect"
import * as Connector from "effect-transport/Connector"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as Transport from "effect-transport/Transport"

const crlf = new TextEncoder().encode("\r\n")

const ping = Effect.gen(function*() {
  const transport = yield* Connector.make({ host: "localhost", port: 6379, timeout: "2 seconds" }).connect
  yield* transport.write(new TextEncoder().encode("PING\r\n"))
  const answer = yield* Transport.readUntil(transport, crlf, { limit: 1024 })
  return new TextDecoder().decode(answer)
}).pipe(
  Effect.scoped,
  Effect.catchTags({
    ConnectionRefused: () => Effect.succeed("no redis there"),
    ConnectTimeout: ({ phase }) => Effect.succeed(`too slow: ${phase}`)
  }),
  Effect.provide(NodeNetwork.layer)
)

console.log(await Effect.runPromise(ping))
