/** As a Stream: the socket's channel, and its writer for each chunk. */
import * as Socket from "@effect/platform/Socket"
import * as Stream from "effect/Stream"
import { pieces, service } from "../listening.mjs"
import { serve } from "./serving.mjs"

serve((socket, write) => {
  const stream = Stream.pipeThroughChannel(Stream.never, Socket.toChannel(socket))
  return Stream.runForEach(service === "pieces" ? Stream.mapConcat(stream, pieces) : stream, write)
})
