/** This library by hand: a loop of pull and write. No generator and no fiber for a chunk. */
import * as Effect from "effect/Effect"
import type { ConnectionLost, WriteAfterEnd } from "effect-transport/ConnectionError"
import { pieces, service } from "./listening.ts"
import { serve } from "./serving.ts"

serve(({ pull, write }) => {
  const answer = service === "pieces"
    ? (chunk: Uint8Array) => Effect.forEach(pieces(chunk), write, { discard: true })
    : write
  const loop: Effect.Effect<void, ConnectionLost | WriteAfterEnd> = Effect.flatMap(
    pull,
    (chunk) => chunk === null ? Effect.void : Effect.flatMap(answer(chunk), () => loop)
  )
  return loop
})
