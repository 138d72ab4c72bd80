/** The socket server of @effect/platform-node 4, with a handler for each connection. */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Effect from "effect/Effect"
import { options } from "../listening.mjs"

export const serve = (handler) => {
  const program = Effect.flatMap(NodeSocketServer.make(options), (server) => {
    console.log(server.address.port)
    return server.run((socket) =>
      Effect.flatMap(socket.writer, (writer) => handler(socket, writer)).pipe(Effect.scoped, Effect.ignore)
    )
  })
  Effect.runFork(Effect.scoped(program))
}
