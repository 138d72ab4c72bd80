/** Peers of the tool that say nothing. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Peer from "./peer.ts"
import { tool } from "./tool.ts"

/** Of a peer that ends before it has sent anything an endpoint tells with --verbose only; of one that has begun, in any case. */
export const tellsOfMuteWithVerbose = (
  endpoint: string,
  beginning: Uint8Array
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    for (const [told, ...options] of [[1], [2, "--verbose"]] as const) {
      const server = yield* tool("echo", endpoint, ...options)
      const failures = () => server.complaints.filter((line) => line.startsWith("failed ")).length
      const address = yield* server.address
      for (const bytes of [new Uint8Array(), beginning]) {
        const peer = yield* Peer.connect(address)
        peer.socket.end(bytes)
        yield* peer.readAll()
      }
      yield* server.until(() => failures() === told)
      server.kill("SIGTERM")
      yield* server.ended
      assert.strictEqual(failures(), told, server.stderr)
    }
  })
