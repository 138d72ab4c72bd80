/** As its documentation has it: `run` with a handler, and the socket's writer. */
import * as Effect from "effect/Effect"
import { pieces, service } from "../listening.mjs"
import { serve } from "./serving.mjs"

const handlers = {
  echo: (socket, write) => socket.run(write),
  pieces: (socket, write) => socket.run((chunk) => Effect.forEach(pieces(chunk), write, { discard: true }))
}

serve(handlers[service])
