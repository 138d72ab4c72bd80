import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Address from "../../src/Address.ts"
import * as Peer from "../support/peer.ts"
import * as Child from "./child.ts"

const exchanges = 51
/** Milliseconds. */
const limit = 20
/** What other processes do can only add to it: the best of so many attempts counts. */
const attempts = 5

/** How long a byte takes there and back, in milliseconds: the median. */
const median = (peer: Peer.Peer): Effect.Effect<number> =>
  Effect.gen(function*() {
    const latencies: Array<number> = []
    while (latencies.length < exchanges) {
      const start = performance.now()
      const next = peer.received + 1
      yield* peer.write("x")
      yield* peer.until(() => peer.received === next)
      latencies.push(performance.now() - start)
    }
    return latencies.toSorted((a, b) => a - b)[(exchanges - 1) / 2]!
  })

/** What the eight are, see `programs/busy.ts`. */
const busy: ReadonlyArray<readonly [name: string, place: string, form: string]> = [
  ["handlers over TCP", "tcp", "handler"],
  ["Streams over TCP", "tcp", "stream"],
  ["handlers in memory", "memory", "handler"],
  ["Streams in memory", "memory", "stream"],
  ["handlers in memory, of a server", "served memory", "handler"],
  ["Streams in memory, of a server", "served memory", "stream"],
  ["handlers that never wait, of a server", "served memory", "yielding"]
]

describe("a ninth connection is answered in time, and none starves, beside eight", () => {
  for (const [name, place, form] of busy) {
    it.scopedLive(name, (context) =>
      Effect.gen(function*() {
        const server = yield* Child.start(new URL("./programs/busy.ts", import.meta.url), [place, form])
        const port = yield* server.next<number>()
        if (place === "tcp") {
          const flood = yield* Child.start(new URL("./programs/flood.ts", import.meta.url), [`${port}`])
          yield* flood.next()
        }
        const ofTheEight = Effect.map(server.ask<ReadonlyArray<number>>("rounds"), (all) => all.slice(0, 8))
        const peer = yield* Peer.connect(Address.tcp("127.0.0.1", port))
        peer.read()
        const before = yield* ofTheEight
        let best = Infinity
        for (let attempt = 0; attempt < attempts && best > limit; attempt++) {
          best = Math.min(best, yield* median(peer))
        }
        const done = (yield* ofTheEight).map((rounds, index) => rounds - before[index]!)
        yield* Effect.promise(() => context.annotate(JSON.stringify({ median: best, done })))
        assert.isAtMost(best, limit)
        assert.lengthOf(done, 8)
        assert.isAbove(Math.min(...done), 0)
      }))
  }
})
