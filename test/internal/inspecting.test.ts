import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as util from "node:util"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"

describe("a transport that is printed", () => {
  // What hangs on it is large and in circles: a test runner that prints it would be busy for minutes.
  it.scoped("shows its addresses and counters, and nothing of its inside", () =>
    Effect.gen(function*() {
      const [left] = yield* MemoryTransport.pair()
      const expected = { _id: "Transport", localAddress: "left", remoteAddress: "right", ...left.stats() }
      assert.deepStrictEqual(JSON.parse(JSON.stringify(left)), expected)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(NetworkLayer.derive(left, {}))), expected)
      assert.isBelow(util.inspect(left).length, 400)
    }))
})
