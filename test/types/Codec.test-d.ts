import { pipe } from "effect/Function"
import { describe, expectTypeOf, test } from "vitest"
import * as Codec from "../../src/Codec.ts"
import type { FrameTooLong, FrameTruncated, InvalidFrame } from "../../src/FrameError.ts"
import * as FixedLength from "../../src/framing/FixedLength.ts"
import * as Lines from "../../src/framing/Lines.ts"

describe("switchTo", () => {
  const lines = Lines.text()

  const next = (frame: string | Uint8Array) =>
    typeof frame !== "string" ? lines : frame === "" ? FixedLength.make({ length: 5 }) : undefined

  test("has the frames and the failures of all formats that are chosen", () => {
    type Both = Codec.Decoder<string | Uint8Array, FrameTooLong | FrameTruncated | InvalidFrame>
    expectTypeOf(Codec.switchTo(lines, next)).toEqualTypeOf<Both>()
    expectTypeOf(pipe(lines, Codec.switchTo(next))).toEqualTypeOf<Both>()
  })

  test("has those of the first format alone if no other is chosen", () => {
    const seen: Array<string> = []
    const same = Codec.switchTo(lines, (frame: string) => frame === "" ? lines : undefined)
    expectTypeOf(same).toEqualTypeOf<Codec.Decoder<string, FrameTooLong | InvalidFrame>>()
    expectTypeOf(Codec.switchTo(lines, (frame: string) => void seen.push(frame))).toEqualTypeOf<typeof same>()
  })

  test("is asked after each frame, of whichever format", () => {
    const fixed = FixedLength.make({ length: 5 })
    // @ts-expect-error the frames of the other format come as well
    Codec.switchTo(lines, (frame: string) => frame === "" ? fixed : undefined)
  })
})
