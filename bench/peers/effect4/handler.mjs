/** A loop of the reader's pull and the writer's write. */
import * as Effect from "effect/Effect"
import { pieces, service } from "../listening.mjs"
import { serve } from "./serving.mjs"

const answers = {
  echo: ({ writeAll }) => writeAll,
  pieces: ({ write }) => (chunks) => Effect.forEach(chunks.flatMap(pieces), write, { discard: true })
}

serve((socket, writer) =>
  Effect.flatMap(socket.reader, ({ pull }) => {
    const answer = answers[service](writer)
    const loop = Effect.flatMap(pull, (chunks) => Effect.flatMap(answer(chunks), () => loop))
    return loop
  })
)
