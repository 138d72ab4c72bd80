/** This library with a handler for each chunk. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Address from "effect-transport/Address"
import * as Tcp from "effect-transport/node/Tcp"
import * as Framed from "effect-transport/framing/Framed"
import * as Lines from "effect-transport/framing/Lines"
import * as Relay from "effect-transport/Relay"
import { pieces, service, upstream } from "./listening.ts"
import type { Handler } from "./serving.ts"
import { serve } from "./serving.ts"

const codec = Lines.make()

const handlers: Record<typeof service, Handler> = {
  echo: (transport) => transport.forEach(transport.write),
  pieces: (transport) =>
    transport.forEach((chunk) => Effect.forEach(pieces(chunk), transport.write, { discard: true })),
  lines: (transport) =>
    Framed.forEach(transport, codec, (lines) => transport.write(Either.getOrThrow(codec.encode(lines)))),
  relay: (transport) =>
    Effect.flatMap(
      Tcp.connect(Address.tcp(upstream.host, upstream.port)),
      // The loss of this connection, which a server does not report.
      (other) => Effect.catchTag(Relay.run(transport, other), "RelayLost", ({ error }) => Effect.fail(error))
    )
}

serve(handlers[service])
