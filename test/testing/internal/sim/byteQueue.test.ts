import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { ByteQueue } from "../../../../src/testing/internal/sim/byteQueue.ts"
import { bytes, chunks, joined } from "../../../support/bytes.ts"

describe("a queue of bytes", () => {
  it.prop(
    "gives them in their order, however they are pushed and taken",
    [chunks, FastCheck.array(FastCheck.integer({ min: 0, max: 20 }), { minLength: 1 })],
    ([chunks, sizes]) => {
      const queue = new ByteQueue()
      const taken: Array<Uint8Array> = []
      chunks.forEach((chunk, index) => {
        queue.push(chunk)
        taken.push(queue.take(Math.min(queue.length, sizes[index % sizes.length]!)))
      })
      taken.push(queue.take(queue.length))
      assert.deepStrictEqual(joined(taken), joined(chunks))
      assert.strictEqual(queue.length, 0)
    }
  )

  it("is empty once it is cleared", () => {
    const queue = new ByteQueue()
    queue.push(bytes(3))
    queue.clear()
    assert.deepStrictEqual([queue.length, queue.take(0).length], [0, 0])
  })
})
