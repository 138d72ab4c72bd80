/** Echo on Effect's own socket server: `run` with a handler, and the socket's writer. */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Effect from "effect/Effect"
import { announce, listenOptions } from "./control.ts"

const program = Effect.gen(function*() {
  const server = yield* NodeSocketServer.make(listenOptions)
  if (server.address._tag === "TcpAddress") announce(server.address.port)
  yield* server.run((socket) =>
    Effect.scoped(Effect.flatMap(socket.writer, (write) => socket.run((chunk) => write(chunk)))).pipe(Effect.ignore)
  )
})

Effect.runFork(Effect.scoped(program))
