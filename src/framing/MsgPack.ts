/**
 * MessagePack values, one after the other (https://msgpack.org): what MessagePack-RPC, fluentd and msgpackr's streams send.
 * `msgpackr` reads and writes them.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { Packr } from "msgpackr"
import * as Codec from "../Codec.ts"
import type { FrameTooLong, FrameTruncated } from "../FrameError.ts"
import { InvalidFrame } from "../FrameError.ts"
import { view } from "../internal/bytes.ts"
import { wholeNumber } from "./internal/limits.ts"
import * as MessagePack from "./internal/messagePack.ts"
import * as Values from "./internal/messagePackValues.ts"
import { isWellFormed } from "./internal/utf8.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface MsgPackOptions {
  /** The longest value, in bytes. 1 MiB. */
  readonly maxLength?: number | undefined
  /** So many arrays and maps may be in one another, at most. 128. */
  readonly maxDepth?: number | undefined
  /** Maps become objects, with strings as keys, or else `Map`s. `true`. */
  readonly mapsAsObjects?: boolean | undefined
  /**
   * What integers of 64 bits become, which other implementations may send for any integer: `bigint`; `number`, which is not
   * exact beyond 2 ** 53; or `auto`, a number where it is exact. `bigint`.
   */
  readonly int64AsType?: "bigint" | "number" | "auto" | undefined
  /** The types of extensions that frames may have, and that msgpackr was told by `addExtension`, with `pack` and `unpack`. None. */
  readonly extensions?: Iterable<number> | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A frame is a value, with nothing around it: MessagePack tells where it ends.
 *
 * A value is what JSON has, and also bigints of 64 bits, `Uint8Array`s, `Date`s (the extension that is called timestamp) and,
 * for encoding, `Map`s. Other objects are encoded by their `toJSON`, or else their properties, without those that are
 * `undefined`; elsewhere `undefined` is nil. A `Uint8Array` that was decoded is a view of the bytes that came.
 *
 * What is on the wire is MessagePack and nothing more. msgpackr's own extensions are refused in both directions: its records
 * (`useRecords: false` turns them off in a peer; `@effect/platform`'s `MsgPack` has them on), sets, errors, and so on.
 *
 * - FrameTooLong: the value has more than `maxLength` bytes. Decoding fails with the first item that makes it so, and an item
 *   that is not there counts one byte: an array is not made because somebody says how long it is.
 * - InvalidFrame: a byte that MessagePack does not use; arrays and maps more than `maxDepth` deep, or that contain themselves;
 *   a string that is not UTF-8; an unknown extension; a timestamp that is no time, or none that a `Date` can have; a key that
 *   is no string, number, boolean or nil and cannot be an object's, or is `__proto__`, which is a key of `Map`s alone
 *   (`mapsAsObjects: false`). Or a value to be encoded is a function, a symbol, a `Set`, `RegExp` or `Error`, a typed array
 *   of another kind, an invalid `Date`, or a bigint of more than 64 bits.
 * - FrameTruncated: the input ended within a value.
 *
 * @example
 * ```ts
 * import { deepStrictEqual, strictEqual } from "node:assert"
 * import * as Either from "effect/Either"
 * import * as Codec from "effect-transport/Codec"
 * import * as MsgPack from "effect-transport/framing/MsgPack"
 *
 * const codec = MsgPack.make()
 * const bytes = Either.getOrThrow(codec.encode([{ compact: true, schema: 0 }, [1, 2]]))
 * strictEqual(bytes.length, 18 + 3)
 * deepStrictEqual(Codec.decode(codec, bytes).frames, [{ compact: true, schema: 0 }, [1, 2]])
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: MsgPackOptions = {}
): Codec.Codec<unknown, unknown, FrameTooLong | FrameTruncated | InvalidFrame> => {
  const format = new Format(options)
  return Codec.make(Values.decoder(format, (bytes, ends, faults) => format.read(bytes, ends, faults, 0)), format)
}

/**
 * `make`, where a value that cannot be read is a frame as well, a `Left`, and the values behind it are decoded: one with a
 * string that is not UTF-8, an unknown extension, a timestamp that no `Date` can have, or a key that cannot be an object's.
 * The codec still fails where it cannot be known where a value ends: all other failures of `make`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const either = (
  options: MsgPackOptions = {}
): Codec.Codec<unknown, Either.Either<unknown, InvalidFrame>, FrameTooLong | FrameTruncated | InvalidFrame> => {
  const format = new Format(options)
  return Codec.make(Values.decoder(format, (bytes, ends, faults) => format.readAll(bytes, ends, faults)), format)
}

/**
 * The two functions for a frame of another format that holds one value, for `Codec.transform`. Bytes that are less or more
 * than one value are an InvalidFrame.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Either from "effect/Either"
 * import * as Codec from "effect-transport/Codec"
 * import * as LengthField from "effect-transport/framing/LengthField"
 * import * as MsgPack from "effect-transport/framing/MsgPack"
 *
 * // The length of the value in four bytes, and the value.
 * const codec = Codec.transform(LengthField.make(), MsgPack.value())
 *
 * const bytes = Either.getOrThrow(codec.encode([["hello"]]))
 * deepStrictEqual(bytes, Uint8Array.of(0, 0, 0, 7, 0x91, 0xa5, 0x68, 0x65, 0x6c, 0x6c, 0x6f))
 * deepStrictEqual(Codec.decode(codec, bytes), { frames: [["hello"]], failure: undefined })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const value = (options: MsgPackOptions = {}): {
  readonly decode: (bytes: Uint8Array) => Either.Either<unknown, FrameTooLong | InvalidFrame>
  readonly encode: (value: unknown) => Either.Either<Uint8Array, FrameTooLong | InvalidFrame>
} => {
  const format = new Format(options)
  return { decode: (bytes) => format.decode(bytes), encode: (value) => format.encode([value]) }
}

class Format implements MessagePack.Rules, Codec.Encoder<unknown, FrameTooLong | InvalidFrame> {
  readonly maxLength: number
  readonly maxDepth: number
  readonly extensions: ReadonlySet<number>
  readonly mapsAsObjects: boolean
  private readonly packr: Packr

  constructor({ extensions = [], int64AsType, mapsAsObjects, maxDepth, maxLength }: MsgPackOptions) {
    this.maxLength = wholeNumber("maxLength", maxLength ?? 1048576, 1)
    this.maxDepth = wholeNumber("maxDepth", maxDepth ?? 128, 0)
    this.extensions = new Set(Array.from(extensions, (type) => wholeNumber("An extension's type", type, -128, 127)))
    this.mapsAsObjects = mapsAsObjects ?? true
    const settings = {
      useRecords: false,
      // By default an object has its size in two bytes, whatever it is.
      variableMapSize: true,
      mapsAsObjects: this.mapsAsObjects,
      encodeUndefinedAsNil: true,
      skipValues: [undefined],
      // The types of msgpackr do not know "auto".
      int64AsType: (int64AsType ?? "bigint") as "bigint"
    }
    this.packr = new Packr(settings)
  }

  /** The values from the `first` on, up to one that cannot be read. */
  read(
    bytes: Uint8Array,
    ends: ReadonlyArray<number>,
    faults: Values.Faults,
    first: number
  ): Codec.End<unknown, InvalidFrame> {
    let last = faults.length === 0 ? ends.length : first
    while (last < ends.length && faults[last] === undefined) last++
    const count = last - first
    if (count === 0) return { frames: [], failure: faults[last] }
    try {
      const frames = this.packr.unpackMultiple(view(bytes, ends[first - 1] ?? 0, ends[last - 1]!))
      return frames.length === count
        ? { frames, failure: faults[last] }
        : { frames: [], failure: new InvalidFrame({ reason: "an extension in it is more than one value" }) }
    } catch (cause) {
      // msgpackr leaves in its error what it has read before, and where: that depends on the chunks.
      const error = cause as { values?: ReadonlyArray<unknown>; lastPosition?: number }
      const frames = error.values ?? []
      delete error.values
      delete error.lastPosition
      return { frames, failure: new InvalidFrame({ reason: "it cannot be unpacked", cause }) }
    }
  }

  readAll(
    bytes: Uint8Array,
    ends: ReadonlyArray<number>,
    faults: Values.Faults
  ): Codec.End<Either.Either<unknown, InvalidFrame>> {
    const all: Array<Either.Either<unknown, InvalidFrame>> = []
    while (all.length < ends.length) {
      const { failure, frames } = this.read(bytes, ends, faults, all.length)
      for (const frame of frames) all.push(Either.right(frame))
      if (failure !== undefined) all.push(Either.left(failure))
    }
    return { frames: all, failure: undefined }
  }

  decode(bytes: Uint8Array): Either.Either<unknown, FrameTooLong | InvalidFrame> {
    const found = MessagePack.walk(bytes, 0, MessagePack.Walk.start, this)
    if (typeof found !== "number" && !(found instanceof MessagePack.Walk)) return Either.left(found)
    const { fault, needed, next } = typeof found === "number" ? MessagePack.Walk.to(found) : found
    if (needed > 0 || next < bytes.length) return Either.left(new InvalidFrame({ reason: "it is not one value" }))
    const { failure, frames: [value] } = this.read(bytes, [next], [fault], 0)
    return failure === undefined ? Either.right(value) : Either.left(failure)
  }

  encode(frames: ReadonlyArray<unknown>): Either.Either<Uint8Array, FrameTooLong | InvalidFrame> {
    const together = this.pack(frames)
    if (together instanceof Uint8Array) return Either.right(together)
    for (const frame of frames) {
      const alone = this.pack([frame])
      if (!(alone instanceof Uint8Array)) return Either.left(alone)
    }
    return Either.left(together)
  }

  /** As an array, of which the head is left out: so the values stand in one buffer. */
  private pack(values: ReadonlyArray<unknown>): Uint8Array | FrameTooLong | InvalidFrame {
    try {
      // Twice: a `toJSON` is in between, perhaps. How deep exactly the bytes tell.
      const found = unwritable(values, 2 * this.maxDepth + 2)
      if (found !== undefined) return new InvalidFrame({ reason: found })
      const packed = this.packr.pack(values)
      const head = values.length < 16 ? 1 : values.length < 65536 ? 3 : 5
      const bytes = view(packed, head, packed.length)
      return this.refusal(bytes, values.length) ?? bytes
    } catch (cause) {
      return new InvalidFrame({ reason: "it cannot be packed", cause })
    }
  }

  /** What this side refuses to read it does not write. */
  private refusal(bytes: Uint8Array, count: number): FrameTooLong | InvalidFrame | undefined {
    let at = 0
    for (let index = 0; index < count; index++) {
      const found = MessagePack.walk(bytes, at, MessagePack.Walk.start, this)
      if (typeof found !== "number") return found instanceof MessagePack.Walk ? found.fault : found
      at += found
    }
    return at === bytes.length ? undefined : new InvalidFrame({ reason: "an extension in it is more than one value" })
  }
}

/**
 * What msgpackr writes as something else (halves of surrogate pairs in a long string too), or as what its memory contains
 * (typed arrays), and what has no end: it would go on until memory or stack are full.
 */
const unwritable = (value: unknown, depth: number): string | undefined => {
  if (typeof value === "string") return isWellFormed(value) ? undefined : "a string in it is not UTF-8"
  if (typeof value === "function" || typeof value === "symbol") return `MessagePack has nothing for a ${typeof value}`
  if (typeof value !== "object" || value === null) return undefined
  if (value instanceof Uint8Array || value instanceof Date) return undefined
  if (ArrayBuffer.isView(value) || value instanceof Set || value instanceof Error || value instanceof RegExp) {
    return `MessagePack has nothing for ${value.constructor.name}`
  }
  if (depth === 0) return "its arrays and objects are too deep, or contain themselves"
  for (const item of itemsOf(value)) {
    const found = unwritable(item, depth - 1)
    if (found !== undefined) return found
  }
  return undefined
}

const itemsOf = (value: object): ReadonlyArray<unknown> => {
  if (Array.isArray(value)) return value
  if (value instanceof Map) return [...value.keys(), ...value.values()]
  if (value.constructor !== Object && "toJSON" in value && typeof value.toJSON === "function") return [value.toJSON()]
  // An array of all keys would cost twice as much: it is given those alone that are refused.
  for (const key in value) if (!isWellFormed(key)) return [key]
  return Object.values(value)
}
