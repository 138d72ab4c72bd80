import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { concat, indexOf } from "../../src/internal/bytes.ts"
import { ascii, chunks, joined } from "../support/bytes.ts"

describe("concat", () => {
  it.prop("is all bytes in their order", [chunks], ([parts]) => {
    assert.deepStrictEqual(concat(parts), joined(parts))
  })

  it("gives a single chunk itself, and an empty array for none", () => {
    const chunk = ascii("one")
    assert.strictEqual(concat([chunk]), chunk)
    assert.strictEqual(concat([]).length, 0)
  })
})

describe("indexOf", () => {
  const table: ReadonlyArray<[bytes: string, needle: string, at: number]> = [
    ["", "a", -1],
    ["a", "a", 0],
    ["a", "ab", -1],
    ["ab", "ab", 0],
    ["xab", "ab", 1],
    ["aab", "ab", 1],
    ["xa", "ab", -1],
    ["\r\r\n", "\r\n", 1],
    ["aaab", "aab", 1],
    ["abababc", "ababc", 2],
    ["abab", "b", 1]
  ]
  for (const [bytes, needle, at] of table) {
    it(`of ${JSON.stringify(needle)} in ${JSON.stringify(bytes)} is ${at}`, () => {
      assert.strictEqual(indexOf(ascii(bytes), ascii(needle)), at)
    })
  }

  const few = (minLength: number) =>
    FastCheck.string({ unit: FastCheck.constantFrom("a", "b"), minLength, maxLength: 12 })

  it.prop("is String.indexOf", [few(0), few(1)], ([bytes, needle]) => {
    assert.strictEqual(indexOf(ascii(bytes), ascii(needle)), bytes.indexOf(needle))
  })

  it("looks only at the view, not at the bytes around it", () => {
    const view = ascii("xab").subarray(0, 2)
    assert.strictEqual(indexOf(view, ascii("ab")), -1)
  })
})
