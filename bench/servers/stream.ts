/** This library as a Stream into a Sink. */
import * as Stream from "effect/Stream"
import { pieces, service } from "./listening.ts"
import { serve } from "./serving.ts"

serve(({ sink, stream }) => Stream.run(service === "pieces" ? Stream.mapConcat(stream, pieces) : stream, sink))
