/** This library's server, with a handler for each connection. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "effect-transport/Address"
import * as Tcp from "effect-transport/node/Tcp"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"
import { options } from "./listening.ts"

export type Handler = (transport: Transport) => Effect.Effect<unknown, unknown, Scope.Scope>

export const serve = (handler: Handler): void => {
  const { host, port, ...others } = options
  const program = Effect.flatMap(Tcp.listen(Address.tcp(host, port), others), (listener) => {
    if (listener.address._tag === "TcpAddress") console.log(listener.address.port)
    return Server.serve(listener, handler)
  })
  Effect.runFork(Effect.scoped(program))
}
