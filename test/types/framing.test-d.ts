import { describe, expectTypeOf, test } from "vitest"
import type { Codec } from "../../src/Codec.ts"
import type { FrameTooLong, FrameTruncated, InvalidFrame } from "../../src/FrameError.ts"
import * as FixedLength from "../../src/framing/FixedLength.ts"
import * as IntPrefixed from "../../src/framing/IntPrefixed.ts"
import * as LengthField from "../../src/framing/LengthField.ts"
import * as Netstring from "../../src/framing/Netstring.ts"
import * as Varint from "../../src/framing/Varint.ts"

type Bytes<E> = Codec<Uint8Array, Uint8Array, E>

describe("a codec whose frames begin with their size", () => {
  test("fails with what it can fail with, and no more", () => {
    type All = FrameTooLong | FrameTruncated | InvalidFrame
    expectTypeOf(LengthField.make()).toEqualTypeOf<Bytes<All>>()
    expectTypeOf(Varint.make()).toEqualTypeOf<Bytes<All>>()
    expectTypeOf(Netstring.make()).toEqualTypeOf<Bytes<All>>()
    expectTypeOf(IntPrefixed.int8()).toEqualTypeOf<Bytes<FrameTooLong | FrameTruncated>>()
    expectTypeOf(IntPrefixed.int16()).toEqualTypeOf<Bytes<FrameTooLong | FrameTruncated>>()
    expectTypeOf(IntPrefixed.int32()).toEqualTypeOf<Bytes<FrameTooLong | FrameTruncated>>()
    expectTypeOf(FixedLength.make({ length: 1 })).toEqualTypeOf<Bytes<FrameTruncated | InvalidFrame>>()
  })

  test("of one byte has no end that comes first", () => {
    expectTypeOf<Parameters<typeof IntPrefixed.int8>[0]>().toEqualTypeOf<
      { readonly maxLength?: number | undefined } | undefined
    >()
  })
})
