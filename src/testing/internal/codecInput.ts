/**
 * What a decoder may be given: what a codec has encoded, the same damaged, and bytes that nobody has encoded.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type { Encoder } from "../../Codec.ts"
import { concat } from "../../internal/bytes.ts"

export interface Input<In> {
  /** What was encoded. */
  readonly frames: ReadonlyArray<In>
  /** What was done to it then. */
  readonly damage: Damage
  readonly bytes: Uint8Array
  /** Why the frames, which were to be encoded, cannot be. */
  readonly refusal: unknown
}

/** Places are fractions, 0 to 65535, of the length. */
export type Damage =
  | { readonly _tag: "None" }
  | { readonly _tag: "Truncated"; readonly at: number }
  | { readonly _tag: "Flipped"; readonly at: number; readonly mask: number }
  | { readonly _tag: "Inserted"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly _tag: "Replaced"; readonly bytes: Uint8Array }

const place = (at: number, length: number): number => Math.floor(at * (length + 1) / 65536)

const damaged = (bytes: Uint8Array, damage: Damage): Uint8Array => {
  switch (damage._tag) {
    case "None":
      return bytes
    case "Truncated":
      return bytes.slice(0, place(damage.at, bytes.length))
    case "Flipped":
      return bytes.map((byte, index) => index === place(damage.at, bytes.length) ? byte ^ damage.mask : byte)
    case "Inserted": {
      const at = place(damage.at, bytes.length)
      return concat([bytes.subarray(0, at), damage.bytes, bytes.subarray(at)])
    }
    case "Replaced":
      return damage.bytes
  }
}

const fraction = FastCheck.nat(65535)

const untouched: FastCheck.Arbitrary<Damage> = FastCheck.constant({ _tag: "None" })

const truncated: FastCheck.Arbitrary<Damage> = FastCheck.record({
  _tag: FastCheck.constant("Truncated" as const),
  at: fraction
})

const damages = (others: FastCheck.Arbitrary<Uint8Array>): FastCheck.Arbitrary<Damage> =>
  FastCheck.oneof(
    { withCrossShrink: true },
    { weight: 3, arbitrary: untouched },
    truncated,
    FastCheck.record({
      _tag: FastCheck.constant("Flipped" as const),
      at: fraction,
      mask: FastCheck.integer({ min: 1, max: 255 })
    }),
    FastCheck.record({
      _tag: FastCheck.constant("Inserted" as const),
      at: fraction,
      bytes: FastCheck.uint8Array({ minLength: 1, maxLength: 4 })
    }),
    FastCheck.record({
      _tag: FastCheck.constant("Replaced" as const),
      bytes: FastCheck.oneof(FastCheck.uint8Array({ maxLength: 48 }), others)
    })
  )

const inputOf = <In, E>(
  codec: Encoder<In, E>,
  frame: FastCheck.Arbitrary<In>,
  damage: FastCheck.Arbitrary<Damage>
): FastCheck.Arbitrary<Input<In>> =>
  FastCheck.tuple(FastCheck.array(frame, { maxLength: 6 }), damage).map(([frames, damage]) => {
    const encoded = codec.encode(frames)
    return Either.isLeft(encoded)
      ? { frames, damage, bytes: new Uint8Array(0), refusal: encoded.left }
      : { frames, damage, bytes: damaged(encoded.right, damage), refusal: undefined }
  })

/** What was encoded, or a beginning of it. */
export const beginnings = <In, E>(
  codec: Encoder<In, E>,
  frame: FastCheck.Arbitrary<In>
): FastCheck.Arbitrary<Input<In>> => inputOf(codec, frame, FastCheck.oneof(untouched, truncated))

/** Anything, `others` as well. */
export const inputs = <In, E>(
  codec: Encoder<In, E>,
  frame: FastCheck.Arbitrary<In>,
  others: FastCheck.Arbitrary<Uint8Array>
): FastCheck.Arbitrary<Input<In>> => inputOf(codec, frame, damages(others))

export const describe = ({ bytes, damage, frames }: Input<unknown>): string =>
  damage._tag === "Replaced"
    ? `bytes ${hex(bytes)}`
    : `frames ${FastCheck.stringify(frames)}${damage._tag === "None" ? "" : ` (${damage._tag})`}, bytes ${hex(bytes)}`

/** "61 0d 0a"; long ones are cut short. */
export const hex = (bytes: Uint8Array): string => {
  const digits = Array.from(bytes.subarray(0, 64), (byte) => byte.toString(16).padStart(2, "0")).join(" ")
  return bytes.length === 0 ? "(none)" : bytes.length <= 64 ? digits : `${digits} … (${bytes.length} bytes)`
}
