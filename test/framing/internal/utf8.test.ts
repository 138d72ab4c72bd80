import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { isUtf8 } from "../../../src/framing/internal/utf8.ts"

const strict = new TextDecoder("utf-8", { fatal: true })

/** What the platform says. */
const isText = (bytes: Uint8Array): boolean => {
  try {
    strict.decode(bytes)
    return true
  } catch {
    return false
  }
}

const expectSame = (...bytes: ReadonlyArray<number>) => {
  const array = Uint8Array.from(bytes)
  assert.strictEqual(
    isUtf8(array, 0, array.length),
    isText(array),
    `[${bytes.map((byte) => byte.toString(16)).join(" ")}]`
  )
}

const all = Array.from({ length: 256 }, (_, byte) => byte)

/** Where the ranges of table 3-7 of the Unicode Standard begin and end. */
const borders = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff]

describe("isUtf8", () => {
  it("agrees with TextDecoder on all sequences of one and two bytes", () => {
    for (const first of all) expectSame(first)
    for (const first of all) for (const second of all) expectSame(first, second)
  })

  it("agrees with it on all first bytes of three and four, and the borders of the others", () => {
    for (const first of all.slice(0xc0)) {
      for (const second of borders) {
        for (const third of borders) {
          expectSame(first, second, third)
          for (const fourth of borders) expectSame(first, second, third, fourth)
        }
      }
    }
  })

  it("agrees with it on all characters", () => {
    const encoder = new TextEncoder()
    for (let point = 0; point <= 0x10ffff; point += point < 0x3000 ? 1 : 61) {
      if (point >= 0xd800 && point <= 0xdfff) continue
      const bytes = encoder.encode(String.fromCodePoint(point))
      assert.isTrue(isUtf8(bytes, 0, bytes.length), point.toString(16))
      assert.strictEqual(isUtf8(bytes, 0, bytes.length - 1), bytes.length === 1, `${point.toString(16)} cut off`)
    }
  })

  it.prop(
    "agrees with it on text with a byte changed, and looks only at its part of the bytes",
    [FastCheck.string({ unit: "grapheme", maxLength: 12 }), FastCheck.nat(255), FastCheck.nat(40)],
    ([text, byte, at]) => {
      const bytes = new TextEncoder().encode(text)
      if (at < bytes.length) bytes[at] = byte
      const padded = Uint8Array.from([0xff, 0xc3, ...bytes, 0x80, 0xff])
      assert.strictEqual(isUtf8(padded, 2, 2 + bytes.length), isText(bytes))
    },
    { fastCheck: { numRuns: 1000 } }
  )
})
