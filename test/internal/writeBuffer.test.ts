import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import type { Waiter } from "../../src/internal/writeBuffer.ts"
import { WriteBuffer } from "../../src/internal/writeBuffer.ts"
import { bytes, counting, joined } from "../support/bytes.ts"

const silent = () => {}

describe("WriteBuffer", () => {
  describe("the high-water mark", () => {
    const table: ReadonlyArray<[buffered: ReadonlyArray<number>, admits: boolean, why: string]> = [
      [[], true, "nothing is buffered"],
      [[9], true, "one byte below"],
      [[10], false, "exactly the mark: the writer that reached it went on, the next one waits"],
      [[9, 1], false, "the mark in two steps"],
      [[9, 100], false, "overshot by one chunk"],
      [[100], false, "one chunk larger than the mark is taken by an empty buffer"],
      [[0, 0], true, "empty chunks are nothing"]
    ]
    for (const [sizes, admits, why] of table) {
      it(`${sizes.join("+") || "0"} of 10: ${admits ? "admits" : "holds"} (${why})`, () => {
        const buffer = new WriteBuffer(10, 4)
        for (const size of sizes) {
          assert.isTrue(buffer.admits)
          buffer.push(bytes(size))
        }
        assert.strictEqual(buffer.admits, admits)
        const sum = sizes.reduce((total, size) => total + size, 0)
        assert.strictEqual(buffer.buffered, sum)
        assert.strictEqual(buffer.accepted, sum)
      })
    }

    it("admits all of several chunks if each of them is admitted behind those before it", () => {
      const buffer = new WriteBuffer(10, 4)
      buffer.push(bytes(3))
      for (const sizes of [[], [100], [6, 100], [3, 0, 3, 100]]) {
        assert.isTrue(buffer.admitsAll(sizes.map((size) => bytes(size))))
      }
      for (const sizes of [[7, 0], [7, 1], [3, 4, 1]]) {
        assert.isFalse(buffer.admitsAll(sizes.map((size) => bytes(size))))
      }
      buffer.wait([bytes(1)], 0, silent)
      assert.isFalse(buffer.admitsAll([bytes(1)]))
    })

    it("a waiter whose chunks were all admitted is told so", () => {
      const buffer = new WriteBuffer(10, 4)
      buffer.push(bytes(5))
      assert.strictEqual(buffer.wait([bytes(5)], 1, silent).outcome, "accepted")
      assert.strictEqual(buffer.waiting, 0)
    })

    it("counts what the carrier holds as buffered", () => {
      const buffer = new WriteBuffer(10, 4)
      buffer.push(bytes(10))
      buffer.take(100)
      assert.strictEqual(buffer.inFlight, 10)
      assert.isFalse(buffer.admits)
      buffer.written(1)
      assert.isTrue(buffer.admits)
      assert.strictEqual(buffer.buffered, 9)
      assert.strictEqual(buffer.accepted, 10)
    })

    it("holds a newcomer while somebody waits, also when there is room", () => {
      const buffer = new WriteBuffer(10, 4)
      buffer.push(bytes(10))
      buffer.wait([bytes(1)], 0, silent)
      buffer.take(100)
      buffer.written(5)
      assert.strictEqual(buffer.buffered, 5)
      assert.isFalse(buffer.admits)
    })
  })

  describe("the low-water mark", () => {
    const filled = () => {
      const buffer = new WriteBuffer(10, 4)
      buffer.push(bytes(10))
      buffer.take(100)
      return buffer
    }

    it("admits nobody one byte above it, and everybody there is room for at it", () => {
      const buffer = filled()
      const waiter = buffer.wait([bytes(1)], 0, silent)
      buffer.written(5)
      buffer.admit()
      assert.strictEqual(waiter.outcome, "waiting")
      buffer.written(1)
      buffer.admit()
      assert.strictEqual(waiter.outcome, "accepted")
      assert.strictEqual(buffer.buffered, 5)
      assert.strictEqual(buffer.waiting, 0)
    })

    it("admits in order, until the mark is reached again", () => {
      const buffer = filled()
      const told: Array<string> = []
      const waiters = ["a", "b", "c", "d"].map((name) => buffer.wait([bytes(3)], 0, () => void told.push(name)))
      buffer.written(6)
      buffer.admit()
      // 4, 7, 10: the third reaches no further than the second.
      assert.deepStrictEqual(told, ["a", "b"])
      assert.deepStrictEqual(waiters.map(({ outcome }) => outcome), ["accepted", "accepted", "waiting", "waiting"])
      assert.strictEqual(buffer.buffered, 10)
    })

    it("overshoots by one waiter's chunk at most", () => {
      const buffer = filled()
      buffer.wait([bytes(5)], 0, silent)
      buffer.wait([bytes(100)], 0, silent)
      const third = buffer.wait([bytes(1)], 0, silent)
      buffer.written(6)
      buffer.admit()
      assert.strictEqual(buffer.buffered, 4 + 5 + 100)
      assert.strictEqual(third.outcome, "waiting")
    })

    it("admits a part of a waiter's chunks, and goes on with it the next time, before everybody else", () => {
      const buffer = filled()
      const first = buffer.wait([bytes(1, 9), bytes(4, 1), bytes(4, 2), bytes(4, 3)], 1, silent)
      const second = buffer.wait([bytes(1, 4)], 0, silent)
      buffer.written(6)
      buffer.admit()
      assert.strictEqual(first.outcome, "waiting")
      assert.strictEqual(first.next, 3)
      assert.strictEqual(buffer.buffered, 12)
      buffer.written(4)
      assert.deepStrictEqual([...joined(buffer.take(100))], [1, 1, 1, 1, 2, 2, 2, 2])
      buffer.written(4)
      buffer.admit()
      assert.deepStrictEqual([first.outcome, second.outcome], ["accepted", "accepted"])
      buffer.written(4)
      assert.deepStrictEqual([...joined(buffer.take(100))], [3, 3, 3, 3, 4])
    })

    it("a mark of zero admits waiters when all is written", () => {
      const buffer = new WriteBuffer(1, 0)
      buffer.push(bytes(1))
      buffer.take(1)
      const waiter = buffer.wait([bytes(1)], 0, silent)
      buffer.admit()
      assert.strictEqual(waiter.outcome, "waiting")
      buffer.written(1)
      buffer.admit()
      assert.strictEqual(waiter.outcome, "accepted")
    })
  })

  describe("withdraw", () => {
    it("takes back what was not accepted, and makes room for whoever comes", () => {
      const buffer = new WriteBuffer(10, 4)
      buffer.push(bytes(10))
      buffer.take(100)
      const waiter = buffer.wait([bytes(3, 1), bytes(9, 2), bytes(9, 3)], 0, silent)
      buffer.written(6)
      buffer.admit()
      buffer.withdraw(waiter)
      assert.strictEqual(buffer.waiting, 0)
      buffer.written(4)
      assert.deepStrictEqual([...joined(buffer.take(100))], [...bytes(3, 1), ...bytes(9, 2)])
      assert.strictEqual(buffer.accepted, 22)
    })

    it("is too late after the acceptance", () => {
      const buffer = new WriteBuffer(1, 0)
      const waiter = buffer.wait([bytes(1, 7)], 0, silent)
      buffer.admit()
      buffer.withdraw(waiter)
      assert.strictEqual(waiter.outcome, "accepted")
      assert.deepStrictEqual(buffer.take(9), [bytes(1, 7)])
    })

    it("a withdrawn writer is not told anything", () => {
      const buffer = new WriteBuffer(1, 0)
      const told: Array<string> = []
      const waiter = buffer.wait([bytes(1)], 0, () => void told.push("withdrawn"))
      buffer.withdraw(waiter)
      buffer.admit()
      buffer.refuse()
      assert.deepStrictEqual(told, [])
      assert.strictEqual(waiter.outcome, "waiting")
    })
  })

  describe("take", () => {
    const table: ReadonlyArray<[sizes: ReadonlyArray<number>, limit: number, batches: ReadonlyArray<Array<number>>]> = [
      [[3, 3], 6, [[3, 3]]],
      [[3, 3], 7, [[3, 3]]],
      [[3, 3], 3, [[3], [3]]],
      [[3, 3], 4, [[3, 1], [2]]],
      [[3, 3], 1, [[1], [1], [1], [1], [1], [1]]],
      [[10], 4, [[4], [4], [2]]],
      [[1, 10, 1], 4, [[1, 3], [4], [3, 1]]]
    ]
    for (const [sizes, limit, expected] of table) {
      it(`${sizes.join("+")} by ${limit}: ${expected.map((batch) => batch.join("+")).join(", ")}`, () => {
        const buffer = new WriteBuffer(100, 10)
        const sum = sizes.reduce((total, size) => total + size, 0)
        const whole = counting(sum)
        let at = 0
        for (const size of sizes) buffer.push(whole.subarray(at, at += size))
        const batches: Array<ReadonlyArray<Uint8Array>> = []
        while (buffer.buffered > 0) {
          batches.push(buffer.take(limit))
          buffer.written(buffer.inFlight)
        }
        assert.deepStrictEqual(batches.map((batch) => batch.map((chunk) => chunk.length)), expected)
        assert.deepStrictEqual(joined(batches.flat()), whole)
      })
    }

    it("gives the very chunks that were pushed, without a copy", () => {
      const buffer = new WriteBuffer(100, 10)
      const chunk = counting(5)
      buffer.push(chunk)
      assert.strictEqual(buffer.take(100)[0], chunk)
    })
  })

  it("refuse tells everybody who waits, in order, and keeps what was accepted", () => {
    const buffer = new WriteBuffer(2, 1)
    buffer.push(bytes(2, 5))
    const told: Array<string> = []
    const waiters = ["a", "b"].map((name) => buffer.wait([bytes(1)], 0, () => void told.push(name)))
    buffer.refuse()
    assert.deepStrictEqual(told, ["a", "b"])
    assert.deepStrictEqual(waiters.map(({ outcome }) => outcome), ["refused", "refused"])
    assert.strictEqual(buffer.waiting, 0)
    assert.deepStrictEqual(buffer.take(9), [bytes(2, 5)])
  })

  it("drop forgets what was accepted and not written, not how much it was", () => {
    const buffer = new WriteBuffer(10, 4)
    buffer.push(bytes(6))
    buffer.take(4)
    buffer.drop()
    assert.deepStrictEqual([buffer.buffered, buffer.inFlight, buffer.accepted], [0, 0, 6])
    assert.deepStrictEqual(buffer.take(9), [])
  })

  // ---------------------------------------------------------------------------

  type Command =
    | { readonly kind: "write"; readonly sizes: ReadonlyArray<number> }
    | { readonly kind: "take"; readonly limit: number }
    | { readonly kind: "written"; readonly part: number }
    | { readonly kind: "withdraw"; readonly which: number }
    | { readonly kind: "refuse" }
    | { readonly kind: "drop" }

  const command: FastCheck.Arbitrary<Command> = FastCheck.oneof(
    {
      weight: 6,
      arbitrary: FastCheck.array(FastCheck.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 4 })
        .map((sizes): Command => ({ kind: "write", sizes }))
    },
    { weight: 4, arbitrary: FastCheck.integer({ min: 1, max: 20 }).map((limit): Command => ({ kind: "take", limit })) },
    { weight: 6, arbitrary: FastCheck.integer({ min: 1, max: 4 }).map((part): Command => ({ kind: "written", part })) },
    { weight: 1, arbitrary: FastCheck.nat({ max: 4 }).map((which): Command => ({ kind: "withdraw", which })) },
    { weight: 1, arbitrary: FastCheck.constant<Command>({ kind: "refuse" }) },
    { weight: 1, arbitrary: FastCheck.constant<Command>({ kind: "drop" }) }
  )

  /** The rules of the buffer on a list of single bytes and a list of writers: slow, and plainly right. */
  class Model {
    unsent: Array<number> = []
    inFlight = 0
    accepted = 0
    waiting: Array<{ readonly id: number; chunks: Array<Uint8Array> }> = []
    told: Array<string> = []
    readonly high: number
    readonly low: number

    constructor(high: number, low: number) {
      this.high = high
      this.low = low
    }

    get buffered() {
      return this.unsent.length + this.inFlight
    }

    push(chunk: Uint8Array) {
      this.unsent.push(...chunk)
      this.accepted += chunk.length
    }

    write(id: number, chunks: Array<Uint8Array>) {
      const left = [...chunks]
      while (left.length > 0 && this.waiting.length === 0 && this.buffered < this.high) this.push(left.shift()!)
      if (left.length > 0) this.waiting.push({ id, chunks: left })
    }

    admit() {
      if (this.buffered > this.low) return
      while (this.waiting.length > 0) {
        const first = this.waiting[0]!
        while (first.chunks.length > 0 && this.buffered < this.high) this.push(first.chunks.shift()!)
        if (first.chunks.length > 0) return
        this.waiting.shift()
        this.told.push(`${first.id} accepted`)
      }
    }

    refuse() {
      for (const { id } of this.waiting) this.told.push(`${id} refused`)
      this.waiting = []
    }
  }

  it.prop(
    "behaves like a list of bytes and a list of writers",
    [FastCheck.array(command, { maxLength: 60 }), FastCheck.integer({ min: 1, max: 12 }), FastCheck.nat({ max: 11 })],
    ([commands, high, lowOrMore]) => {
      const low = Math.min(lowOrMore, high - 1)
      const buffer = new WriteBuffer(high, low)
      const model = new Model(high, low)
      const told: Array<string> = []
      const waiters = new Map<number, Waiter>()
      let value = 0
      let id = 0
      for (const step of commands) {
        switch (step.kind) {
          case "write": {
            const chunks = step.sizes.map((size) => counting(size, (value += size) - size))
            const me = id++
            model.write(me, chunks)
            let next = 0
            while (next < chunks.length && buffer.admits) buffer.push(chunks[next++]!)
            if (next < chunks.length) {
              const waiter = buffer.wait(chunks, next, () => void told.push(`${me} ${waiter.outcome}`))
              waiters.set(me, waiter)
            }
            break
          }
          case "take": {
            if (buffer.inFlight > 0) break
            const batch = joined(buffer.take(step.limit))
            const expected = model.unsent.splice(0, step.limit)
            model.inFlight = expected.length
            assert.deepStrictEqual([...batch], expected)
            break
          }
          case "written": {
            const taken = Math.ceil(buffer.inFlight / step.part)
            buffer.written(taken)
            model.inFlight -= taken
            buffer.admit()
            model.admit()
            break
          }
          case "withdraw": {
            const found = model.waiting[step.which]
            if (found === undefined) break
            model.waiting.splice(step.which, 1)
            buffer.withdraw(waiters.get(found.id)!)
            break
          }
          case "refuse":
            buffer.refuse()
            model.refuse()
            break
          case "drop":
            buffer.drop()
            model.unsent = []
            model.inFlight = 0
        }
        assert.strictEqual(buffer.buffered, model.buffered)
        assert.strictEqual(buffer.inFlight, model.inFlight)
        assert.strictEqual(buffer.accepted, model.accepted)
        assert.strictEqual(buffer.waiting, model.waiting.length)
        assert.deepStrictEqual(told, model.told)
        assert.isBelow(buffer.buffered, high + 9)
      }
    }
  )
})
