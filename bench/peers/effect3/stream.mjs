/** As a Stream: the socket's channel, and its writer for each chunk. */
import * as Socket from "@effect/platform/Socket"
import * as Stream from "effect/Stream"
import { pieces, service } from "../listening.mjs"
import { serve } from "./serving.mjs"

const answers = {
  echo: (stream) => stream,
  pieces: Stream.mapConcat(pieces),
  lines: (stream) => stream.pipe(Stream.decodeText(), Stream.splitLines, Stream.map((line) => `${line}\n`))
}

serve((socket, write) => {
  const stream = Stream.pipeThroughChannel(Stream.never, Socket.toChannel(socket))
  return Stream.runForEach(answers[service](stream), write)
})
