/** This library with a handler for each chunk, over TLS. */
import * as Effect from "effect/Effect"
import * as Tls from "effect-transport/node/Tls"
import { certificate, key, kind } from "./identity.ts"
import { serve } from "./serving.ts"

const context = Effect.runSync(Tls.context({ identity: { certificate, privateKey: key } }))
const detecting = Tls.server({ context })
const onSocket = Tls.server({ context, truncation: "end" })

serve((transport) =>
  kind === "end"
    ? Effect.flatMap(onSocket(transport), (secured) => secured.forEach(secured.write))
    : Effect.flatMap(detecting(transport), (secured) => secured.forEach(secured.write))
)
