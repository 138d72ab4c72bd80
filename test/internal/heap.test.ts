import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { Heap } from "../../src/internal/heap.ts"

describe("a heap", () => {
  it("is empty at first", () => {
    const heap = new Heap<string>()
    assert.deepStrictEqual([heap.size, heap.least, heap.pop()], [0, Infinity, undefined])
  })

  it("gives back what is in it and nothing twice", () => {
    const heap = new Heap<string>()
    heap.push(1, "a")
    assert.deepStrictEqual([heap.size, heap.least], [1, 1])
    assert.strictEqual(heap.pop(), "a")
    assert.strictEqual(heap.pop(), undefined)
    assert.strictEqual(heap.least, Infinity)
  })

  it.prop(
    "gives the least first, and of equal ones the one that came first, however pushes and pops follow each other",
    [FastCheck.array(FastCheck.option(FastCheck.integer({ min: 0, max: 9 })), { maxLength: 100 })],
    ([acts]) => {
      const heap = new Heap<number>()
      const model: Array<{ readonly rank: number; readonly value: number }> = []
      acts.forEach((rank, value) => {
        if (rank !== null) {
          heap.push(rank, value)
          model.push({ rank, value })
        } else {
          // A stable sort.
          model.sort((left, right) => left.rank - right.rank)
          assert.strictEqual(heap.pop(), model.shift()?.value)
        }
        assert.strictEqual(heap.size, model.length)
        assert.strictEqual(heap.least, Math.min(Infinity, ...model.map(({ rank }) => rank)))
      })
    }
  )

  it.prop(
    "gives what is retained in the same order as before, and what comes after it",
    [FastCheck.array(FastCheck.integer({ min: 0, max: 9 })), FastCheck.array(FastCheck.integer({ min: 0, max: 9 }))],
    ([before, after]) => {
      const heap = new Heap<{ readonly rank: number; readonly index: number }>()
      const all = [...before, ...after].map((rank, index) => ({ rank, index }))
      const isKept = ({ index }: { readonly index: number }) => index >= before.length || index % 3 === 0
      for (const value of all.slice(0, before.length)) heap.push(value.rank, value)
      heap.retain(isKept)
      for (const value of all.slice(before.length)) heap.push(value.rank, value)
      const expected = all.filter(isKept).toSorted((left, right) => left.rank - right.rank)
      assert.strictEqual(heap.size, expected.length)
      assert.deepStrictEqual(heap.first, expected[0])
      assert.deepStrictEqual(expected.map(() => heap.pop()), expected)
    }
  )
})
