/**
 * Sends a file to whoever connects, and shows how far it has come. A file is a Stream of bytes like any other: it is read as
 * fast as the peer takes it, chunk by chunk, whatever its size. Where it stops, on either side, a typed error says how much
 * was sent.
 *
 *   npx tsx examples/send-file.ts package-lock.json 4002
 *   nc -d 127.0.0.1 4002 > copy
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Address from "effect-transport/Address"
import * as Network from "effect-transport/Network"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as Producer from "effect-transport/Producer"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"

const sendFile = (path: string, transport: Transport) =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const { size } = yield* fileSystem.stat(path)
    let shown = 0
    const sent = yield* Producer.send(fileSystem.stream(path), transport, {
      progress: (bytes) => {
        const percent = Math.floor(100 * bytes / Number(size))
        return percent - shown < 10 ? Effect.void : Console.log(`${shown = percent} %`)
      }
    })
    yield* Console.log(`${Address.format(transport.remoteAddress)} was sent ${sent} bytes`)
  }).pipe(
    // A reset, so that the peer does not take a part of the file for the whole.
    Effect.catchTag("SendStopped", ({ message }) => Effect.zipRight(Console.error(message), transport.abort))
  )

export const serve = (path: string, port: number) =>
  Effect.gen(function*() {
    const listener = yield* Network.listen(Address.tcp("127.0.0.1", port))
    yield* Console.log(`listening ${Address.format(listener.address)}`)
    return yield* Server.serve(listener, (transport) => sendFile(path, transport), { maxConnections: 100 })
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeNetwork.layer, NodeFileSystem.layer)))

if (process.argv[1] === import.meta.filename) {
  NodeRuntime.runMain(serve(process.argv[2] ?? "README.md", Number(process.argv[3] ?? 4002)))
}
