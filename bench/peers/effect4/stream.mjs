/** As a Stream: the socket's channel, and its writer for each chunk. */
import { decodeText, map, mapArray, never, pipeThroughChannel, runForEach, splitLines } from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import { pieces, service } from "../listening.mjs"
import { serve } from "./serving.mjs"

const answers = {
  echo: (stream) => stream,
  pieces: mapArray((all) => all.flatMap(pieces)),
  lines: (stream) => stream.pipe(decodeText, splitLines, map((line) => `${line}\n`))
}

serve((socket, { write }) => {
  const stream = pipeThroughChannel(never, Socket.toChannel(socket))
  return runForEach(answers[service](stream), write)
})
