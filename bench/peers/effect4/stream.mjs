/** As a Stream: the socket's channel, and its writer for each chunk. */
import { mapArray, never, pipeThroughChannel, runForEach } from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import { pieces, service } from "../listening.mjs"
import { serve } from "./serving.mjs"

serve((socket, { write }) => {
  const stream = pipeThroughChannel(never, Socket.toChannel(socket))
  return runForEach(service === "pieces" ? mapArray(stream, (all) => all.flatMap(pieces)) : stream, write)
})
