/** This library as a Stream into a Sink. */
import * as Stream from "effect/Stream"
import * as Framed from "effect-transport/framing/Framed"
import * as Lines from "effect-transport/framing/Lines"
import { pieces, service } from "./listening.ts"
import type { Handler } from "./serving.ts"
import { serve } from "./serving.ts"

const codec = Lines.make()

const handlers: Record<Exclude<typeof service, "relay">, Handler> = {
  echo: ({ sink, stream }) => Stream.run(stream, sink),
  pieces: ({ sink, stream }) => Stream.run(Stream.mapConcat(stream, pieces), sink),
  lines: (transport) => Stream.run(Framed.stream(transport, codec), Framed.sink(transport, codec))
}

serve(handlers[service as keyof typeof handlers])
