/** This library's server, with a handler for each connection. */
import * as Effect from "effect/Effect"
import * as Address from "effect-transport/Address"
import * as Tcp from "effect-transport/node/Tcp"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"
import { announce, listenOptions } from "./control.ts"

export const serve = (handler: (transport: Transport) => Effect.Effect<void, unknown>): void => {
  const { host, port, ...options } = listenOptions
  const program = Effect.flatMap(Tcp.listen(Address.tcp(host, port), options), (listener) => {
    if (listener.address._tag === "TcpAddress") announce(listener.address.port)
    return Server.serve(listener, handler)
  })
  Effect.runFork(Effect.scoped(program))
}
