/** Echo on this library, by hand: a loop of pull and write. */
import * as Effect from "effect/Effect"
import type { ConnectionLost, WriteAfterEnd } from "effect-transport/ConnectionError"
import { serve } from "./serving.ts"

serve((transport) => {
  const loop: Effect.Effect<void, ConnectionLost | WriteAfterEnd> = Effect.flatMap(
    transport.pull,
    (chunk) => chunk === null ? Effect.void : Effect.flatMap(transport.write(chunk), () => loop)
  )
  return loop
})
