/**
 * Frames after an unsigned integer of fixed size that counts their bytes: Twisted's `Int8StringReceiver`,
 * `Int16StringReceiver` and `Int32StringReceiver`, Erlang's `{packet, 1 | 2 | 4}`, Python's `struct.pack("!I", length)`.
 *
 * @since 0.1.0
 */
import type { Codec } from "../Codec.ts"
import type { FrameTooLong, FrameTruncated } from "../FrameError.ts"
import * as LengthField from "./LengthField.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface IntPrefixedOptions {
  /** `big`, the network's order. */
  readonly endianness?: "big" | "little" | undefined
  /** The longest frame, in bytes, without the prefix. 65536, and never more than the integer can tell. */
  readonly maxLength?: number | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * After one byte come up to 255. Fails with FrameTooLong, as soon as the prefix has come, and FrameTruncated.
 *
 * @since 0.1.0
 * @category constructors
 */
export const int8 = (
  options?: Pick<IntPrefixedOptions, "maxLength">
): Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated> => prefixed(1, options)

/**
 * After two bytes come up to 65535. Fails with FrameTooLong, as soon as the prefix has come, and FrameTruncated.
 *
 * @since 0.1.0
 * @category constructors
 */
export const int16 = (options?: IntPrefixedOptions): Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated> =>
  prefixed(2, options)

/**
 * After four bytes come up to 4294967295, if `maxLength` allows it. Fails with FrameTooLong, as soon as the prefix has
 * come, and FrameTruncated.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Either from "effect/Either"
 * import * as Codec from "effect-transport/Codec"
 * import * as IntPrefixed from "effect-transport/framing/IntPrefixed"
 *
 * const codec = IntPrefixed.int32()
 * const bytes = Uint8Array.of(0, 0, 0, 2, 0x68, 0x69, 0, 0, 0, 0)
 * deepStrictEqual(Codec.decode(codec, bytes).frames, [Uint8Array.of(0x68, 0x69), Uint8Array.of()])
 * deepStrictEqual(codec.encode([Uint8Array.of(0x68, 0x69), Uint8Array.of()]), Either.right(bytes))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const int32 = (options?: IntPrefixedOptions): Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated> =>
  prefixed(4, options)

/** No such frame is invalid: with nothing but a prefix that counts what follows, every length is one. */
const prefixed = (
  length: number,
  options: IntPrefixedOptions | undefined
): Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated> =>
  LengthField.make({ ...options, length }) as Codec<Uint8Array, Uint8Array, FrameTooLong | FrameTruncated>
