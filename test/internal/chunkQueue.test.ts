import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { ChunkQueue } from "../../src/internal/chunkQueue.ts"

const operation = FastCheck.constantFrom("push", "push", "unshift", "shift", "shift", "takeAll", "clear")

describe("a queue of chunks", () => {
  it.prop("goes by an array", [FastCheck.array(operation, { maxLength: 30 })], ([operations]) => {
    const queue = new ChunkQueue()
    let model: Array<Uint8Array> = []
    for (const [index, operation] of operations.entries()) {
      const chunk = Uint8Array.of(index)
      switch (operation) {
        case "push":
          queue.push(chunk)
          model.push(chunk)
          break
        case "unshift":
          queue.unshift(chunk)
          model.unshift(chunk)
          break
        case "shift":
          assert.strictEqual(queue.shift(), model.shift())
          break
        case "takeAll":
          assert.deepStrictEqual(queue.takeAll(), model)
          model = []
          break
        case "clear":
          queue.clear()
          model = []
      }
      assert.strictEqual(queue.length, model.length)
    }
    assert.deepStrictEqual(queue.takeAll(), model)
  })
})
