import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Peer from "../support/peer.ts"
import { shell } from "../support/tool.ts"

describe("a server that runs out of descriptors", () => {
  it.scopedLive("says so, does not spin, and serves again when there are some", () =>
    Effect.gen(function*() {
      const server = yield* shell("ulimit -n 64; exec $tool echo tcp:0")
      const address = yield* server.address
      const served = (peer: Peer.Peer) =>
        Effect.gen(function*() {
          yield* peer.write("x")
          peer.read()
          yield* peer.until(() => peer.received > 0 || peer.ended || peer.closed)
          return peer.received > 0
        })

      yield* Effect.scoped(Effect.gen(function*() {
        const peers = yield* Effect.forEach(Array.from({ length: 100 }), () => Peer.connect(address))
        yield* server.says(/Descriptors run out/)
        const answers = yield* Effect.forEach(peers, served, { concurrency: "unbounded" })
        assert.isAbove(answers.filter((isServed) => isServed).length, 10)
        assert.isAbove(answers.filter((isServed) => !isServed).length, 10)
        const before = server.processorSeconds
        yield* Effect.sleep("2 seconds")
        assert.isBelow(server.processorSeconds - before, 1)
      }))

      const next = Effect.scoped(Effect.flatMap(Peer.connect(address), served))
      yield* Effect.repeat(next, { until: (isServed) => isServed })
      assert.isUndefined(server.exit)
      assert.notInclude(server.stderr, "    at ")
    }))
})
