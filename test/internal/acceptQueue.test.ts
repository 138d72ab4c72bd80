import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { AcceptQueue } from "../../src/internal/acceptQueue.ts"

describe("AcceptQueue", () => {
  it("gives what was offered, in order, and undefined when nothing waits", () => {
    const queue = new AcceptQueue<number>(9)
    assert.isUndefined(queue.take())
    assert.isTrue(queue.offer(1))
    assert.isTrue(queue.offer(2))
    assert.deepStrictEqual([queue.take(), queue.take(), queue.take()], [1, 2, undefined])
  })

  it("has a place for `limit` items, and counts who found none", () => {
    const queue = new AcceptQueue<number>(2)
    assert.deepStrictEqual([1, 2, 3].map((item) => queue.offer(item)), [true, true, false])
    assert.deepStrictEqual([queue.offered, queue.refused, queue.pending], [3, 1, 2])
    queue.take()
    assert.isTrue(queue.offer(4))
  })

  it("a limit of zero refuses everybody", () => {
    assert.isFalse(new AcceptQueue<number>(0).offer(1))
  })

  it("tells everybody who waits, once, that there is something", () => {
    const queue = new AcceptQueue<number>(9)
    const told: Array<string> = []
    queue.await(() => void told.push("a"))
    queue.await(() => void told.push("b"))
    queue.offer(1)
    queue.offer(2)
    assert.deepStrictEqual(told, ["a", "b"])
  })

  it("tells at once when there is something already, or nothing will ever be", () => {
    const told: Array<string> = []
    const queue = new AcceptQueue<number>(9)
    queue.offer(1)
    queue.await(() => void told.push("something"))
    queue.close()
    queue.await(() => void told.push("closed"))
    assert.deepStrictEqual(told, ["something", "closed"])
  })

  it("does not tell who waits no longer", () => {
    const queue = new AcceptQueue<number>(9)
    const told: Array<string> = []
    const stop = queue.await(() => void told.push("taker"))
    const stopClosing = queue.awaitClosed(() => void told.push("closing"))
    stop()
    stopClosing()
    queue.offer(1)
    queue.close()
    assert.deepStrictEqual(told, [])
  })

  it("a waiter that asks again while it is told is told the next time", () => {
    const queue = new AcceptQueue<number>(9)
    let told = 0
    const ask = () => {
      told++
      queue.take()
      queue.await(ask)
    }
    queue.await(ask)
    queue.offer(1)
    assert.strictEqual(told, 1)
    queue.offer(2)
    assert.strictEqual(told, 2)
  })

  it("close gives what still waited, tells everybody, and refuses from then on", () => {
    const queue = new AcceptQueue<number>(9)
    const told: Array<string> = []
    queue.await(() => void told.push("first"))
    queue.offer(1)
    queue.offer(2)
    queue.awaitClosed(() => void told.push("closed"))
    assert.deepStrictEqual(queue.close(), [1, 2])
    assert.deepStrictEqual(told, ["first", "closed"])
    assert.isTrue(queue.closed)
    assert.isFalse(queue.offer(3))
    assert.deepStrictEqual(queue.close(), [])
    assert.strictEqual(queue.pending, 0)
  })

  it("tells at once that it is closed already", () => {
    const queue = new AcceptQueue<number>(9)
    queue.close()
    let told = false
    queue.awaitClosed(() => {
      told = true
    })()
    assert.isTrue(told)
  })

  it.prop(
    "every item is taken once, given back by close, or refused",
    [FastCheck.array(FastCheck.constantFrom("offer", "take", "close"), { maxLength: 40 }), FastCheck.nat({ max: 4 })],
    ([steps, limit]) => {
      const queue = new AcceptQueue<number>(limit)
      const gone: Array<number> = []
      let next = 0
      for (const step of steps) {
        if (step === "offer") {
          if (!queue.offer(next)) gone.push(next)
          next++
        } else if (step === "take") {
          const item = queue.take()
          if (item !== undefined) gone.push(item)
        } else if (next % 3 === 0) gone.push(...queue.close())
        assert.isAtMost(queue.pending, limit)
      }
      gone.push(...queue.close())
      assert.deepStrictEqual(gone.toSorted((a, b) => a - b), Array.from({ length: next }, (_, item) => item))
    }
  )
})
