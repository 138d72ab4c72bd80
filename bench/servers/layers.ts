/** The handler of `handler.ts` on top of a stack of network layers. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as NetworkLayer from "effect-transport/NetworkLayer"
import type { Transport } from "effect-transport/Transport"
import { serve } from "./serving.ts"

let reads = 0
let bytesWritten = 0

/** One that looks at each read and at each write, and keeps the carrier's buffers. */
const derived = (transport: Transport): Effect.Effect<Transport> =>
  Effect.sync(() =>
    NetworkLayer.derive(transport, {
      pull: Effect.suspend(() => {
        reads++
        return transport.pull
      }),
      write: (bytes) => {
        bytesWritten += bytes.length
        return transport.write(bytes)
      }
    })
  )

/** One with buffers of its own. */
const buffered = (transport: Transport): Effect.Effect<Transport, never, Scope.Scope> =>
  NetworkLayer.buffered(transport)

const layer = { derived, buffered }[process.argv[3] as "derived" | "buffered"]
const layers = new Array<typeof layer>(Number(process.argv[4])).fill(layer)

const stack = (transport: Transport) =>
  layers.reduce<Effect.Effect<Transport, never, Scope.Scope>>(
    (below, layer) => Effect.flatMap(below, layer),
    Effect.succeed(transport)
  )

serve((transport) => Effect.flatMap(stack(transport), (top) => top.forEach(top.write)))
