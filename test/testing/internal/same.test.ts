import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { FrameTooLong, FrameTruncated, InvalidFrame } from "../../../src/FrameError.ts"
import { same } from "../../../src/testing/internal/same.ts"
import { ascii } from "../../support/bytes.ts"

class Point {
  readonly x: number

  constructor(x: number) {
    this.x = x
  }
}

describe("same", () => {
  const table: ReadonlyArray<readonly [what: string, one: () => unknown, another: () => unknown]> = [
    ["numbers", () => 1, () => 2],
    ["zeros", () => 0, () => -0],
    ["NaN", () => NaN, () => 0],
    ["big integers", () => 1n, () => 1],
    ["strings", () => "a", () => "b"],
    ["nothing", () => null, () => undefined],
    ["bytes", () => ascii("abc"), () => ascii("abd")],
    ["bytes in a larger buffer", () => ascii("xabcx").subarray(1, 4), () => ascii("xabcx").subarray(1, 3)],
    ["arrays", () => [1, [2]], () => [1, [3]]],
    ["arrays of another length", () => [1], () => [1, undefined]],
    ["records", () => ({ a: 1, b: { c: 2 } }), () => ({ a: 1, b: { c: 3 } })],
    ["records with other fields", () => ({ a: undefined }), () => ({ b: undefined })],
    ["an array and a record", () => [], () => ({})],
    ["maps", () => new Map([["a", [1]]]), () => new Map([["a", [2]]])],
    ["sets", () => new Set([1]), () => new Set([2])],
    ["dates", () => new Date(1), () => new Date(2)],
    ["instances", () => new Point(1), () => new Point(2)],
    ["an instance and a record", () => new Point(1), () => ({ x: 1 })],
    ["options", () => Option.some(ascii("a")), () => Option.some(ascii("b"))],
    ["what is redacted", () => Redacted.make("a"), () => Redacted.make("b")],
    ["patterns", () => /a/, () => /a/g],
    ["URLs", () => new URL("http://a"), () => new URL("http://b")],
    ["data", () => Data.struct({ a: [1] }), () => Data.struct({ a: [2] })],
    ["failures", () => new FrameTooLong({ limit: 1, length: 2 }), () => new FrameTooLong({ limit: 1, length: 3 })],
    [
      "failures with a cause",
      () => new InvalidFrame({ reason: "a", cause: new Error("a") }),
      () => new InvalidFrame({ reason: "b", cause: new Error("a") })
    ],
    ["failures of two kinds", () => new FrameTruncated({ held: 1 }), () => new FrameTooLong({ limit: 1, length: 1 })],
    ["other errors", () => new Error("a"), () => new Error("b")]
  ]
  for (const [what, one, another] of table) {
    it(what, () => {
      assert.isTrue(same(one(), one()))
      assert.isFalse(same(one(), another()))
      assert.isFalse(same(another(), one()))
    })
  }

  it("is the same value in any order of fields", () => {
    assert.isTrue(same({ a: 1, b: 2 }, { b: 2, a: 1 }))
  })
})
