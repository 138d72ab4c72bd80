/** Echo on this library, as a Stream into a Sink. */
import * as Stream from "effect/Stream"
import { serve } from "./serving.ts"

serve((transport) => Stream.run(transport.stream, transport.sink))
