import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { Held } from "../../../src/framing/internal/held.ts"
import { scanned } from "../../../src/internal/scanned.ts"
import { ascii, bytes, counting, joined } from "../../support/bytes.ts"

const append = (held: Held, chunk: Uint8Array, most?: number) => held.append(chunk, 0, chunk.length, most)

describe("Held", () => {
  it("is empty at first", () => {
    assert.deepStrictEqual([Held.empty.length, Held.empty.bytes], [0, bytes(0)])
  })

  it("appends a part of the bytes", () => {
    const held = Held.empty.append(ascii("abcdef"), 1, 3).append(ascii("xyz"), 2, 3)
    assert.deepStrictEqual([held.length, held.bytes], [3, ascii("bcz")])
  })

  it("is itself if nothing is appended", () => {
    const held = append(Held.empty, ascii("a"))
    assert.strictEqual(held.append(ascii("bcd"), 2, 2), held)
    assert.strictEqual(Held.empty.append(ascii("bcd"), 2, 2), Held.empty)
  })

  it("does not keep the bytes that it was given", () => {
    const chunk = ascii("abc")
    const held = append(Held.empty, chunk)
    chunk.fill(0)
    assert.deepStrictEqual(held.bytes, ascii("abc"))
  })

  /** To what, as an index modulo how many there are, and what is appended. */
  const growth = FastCheck.array(FastCheck.tuple(FastCheck.nat(), FastCheck.uint8Array({ maxLength: 40 })), {
    maxLength: 40,
    size: "max"
  })

  it.prop("is a value: whatever is appended to it, and to what was made of it, in any order", [growth], ([growth]) => {
    const all = [{ held: Held.empty, wanted: bytes(0) }]
    for (const [index, chunk] of growth) {
      const { held, wanted } = all[index % all.length]!
      all.push({ held: append(held, chunk), wanted: joined([wanted, chunk]) })
    }
    for (const { held, wanted } of all) assert.deepStrictEqual(held.bytes, wanted)
  })

  it("gives views that stay as they are while it grows", () => {
    let held = append(Held.empty, ascii("abc"))
    const view = held.bytes
    const other = held
    for (let count = 0; count < 1000; count++) held = append(held, ascii("x"))
    append(other, ascii("yyy"))
    assert.deepStrictEqual(view, ascii("abc"))
  })

  it("copies each byte three times at most, one by one", () => {
    const before = scanned.bytes
    let held = Held.empty
    for (let count = 0; count < 100_000; count++) held = append(held, bytes(1, count % 256))
    assert.deepStrictEqual(held.bytes, counting(100_000))
    assert.isAtMost(scanned.bytes - before, 3 * 100_000)
  })

  it("takes no more room than four times what it holds, and no more than it is told that it needs", () => {
    let held = Held.empty
    for (let count = 1; count <= 1000; count++) {
      held = append(held, bytes(1), 700)
      const room = held.bytes.buffer.byteLength
      assert.isAtMost(room, Math.max(64, 4 * count))
      if (count <= 700) assert.isAtMost(room, 700)
    }
    assert.strictEqual(append(Held.empty, bytes(5), 6).bytes.buffer.byteLength, 6)
    assert.strictEqual(append(Held.empty, bytes(5), 1).bytes.buffer.byteLength, 5)
  })
})
