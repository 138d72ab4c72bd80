/**
 * A Schema over any codec: frames are checked and transformed, in both directions.
 *
 * A frame that does not fit the Schema either fails the decoder (`make`), or is a frame as well, a `Left` (`either`): then
 * what is behind it is decoded, and the connection goes on.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { ParseOptions } from "effect/SchemaAST"
import * as Codec from "../Codec.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * A frame of `either`: a `Left` is a `ParseError`, or what the frames of the codec below, if they are `Either`s, have there.
 *
 * @since 0.1.0
 * @category models
 */
export type Frame<A, Out> = Either.Either<
  A,
  ParseError | (Out extends Either.Either<unknown, infer Left> ? Left : never)
>

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * The codec of what the Schema describes.
 *
 * - ParseError: a frame cannot be decoded; the frames before it are. Or a value cannot be encoded, and no byte is written.
 * - The failures of the codec below, as they are.
 *
 * The Schema needs no services, and does not wait. That one would wait its type does not tell: then each frame is a
 * `ParseError`, which says so. What its functions throw is thrown.
 *
 * The frames below are what the Schema calls encoded: strings of `Lines.text` for a `Schema.parseJson`, any value of `Ndjson`
 * and `MsgPack`. `Codec.make` joins two codecs, for a side that receives other messages than it sends.
 *
 * @example
 * ```ts
 * import * as Schema from "effect/Schema"
 * import * as Codec from "effect-transport/Codec"
 * import * as LengthField from "effect-transport/framing/LengthField"
 * import * as MsgPack from "effect-transport/framing/MsgPack"
 * import * as SchemaCodec from "effect-transport/framing/SchemaCodec"
 *
 * const Question = Schema.Struct({ id: Schema.Int, text: Schema.String })
 * const Answer = Schema.Struct({ id: Schema.Int, at: Schema.DateFromSelf })
 *
 * const messages = Codec.transform(LengthField.make(), MsgPack.value())
 *
 * // What a client receives, and what it sends.
 * export const client = Codec.make(SchemaCodec.make(messages, Answer), SchemaCodec.make(messages, Question))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  <A, I>(
    schema: Schema.Schema<A, I>,
    options?: ParseOptions
  ): <E>(codec: Codec.Codec<I, unknown, E>) => Codec.Codec<A, A, E | ParseError>
  <A, I, E>(
    codec: Codec.Codec<I, unknown, E>,
    schema: Schema.Schema<A, I>,
    options?: ParseOptions
  ): Codec.Codec<A, A, E | ParseError>
} = dual(
  (args) => Schema.isSchema(args[1]),
  <A, I, E>(
    codec: Codec.Codec<I, unknown, E>,
    schema: Schema.Schema<A, I>,
    options?: ParseOptions
  ): Codec.Codec<A, A, E | ParseError> =>
    Codec.transform(codec, {
      decode: Schema.decodeUnknownEither(schema, options),
      encode: Schema.encodeEither(schema, options)
    })
)

/**
 * `make`, where a frame that cannot be decoded is a frame as well: a `Left`. The frames behind it are decoded.
 *
 * The frames below may be `Either`s already, those of `Ndjson.either` and `MsgPack.either`: a `Left` of theirs stays what it
 * is. So take these and not their `make`, which fails where a line is not JSON. A codec that cannot know where the next frame
 * begins fails here too.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Either from "effect/Either"
 * import * as Schema from "effect/Schema"
 * import * as Codec from "effect-transport/Codec"
 * import * as Ndjson from "effect-transport/framing/Ndjson"
 * import * as SchemaCodec from "effect-transport/framing/SchemaCodec"
 *
 * const codec = SchemaCodec.either(Ndjson.either(), Schema.Struct({ port: Schema.NumberFromString }))
 *
 * const lines = "{\"port\":\"80\"}\n{\"port\":\"http\"}\n{oops\n{\"port\":\"443\"}\n"
 * const { frames } = Codec.decode(codec, new TextEncoder().encode(lines))
 * deepStrictEqual(
 *   frames.map(Either.match({ onLeft: ({ _tag }) => _tag, onRight: ({ port }) => port })),
 *   [80, "ParseError", "InvalidFrame", 443]
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const either: {
  <A, I>(
    schema: Schema.Schema<A, I>,
    options?: ParseOptions
  ): <Out, E>(codec: Codec.Codec<I, Out, E>) => Codec.Codec<A, Frame<A, Out>, E | ParseError>
  <A, I, Out, E>(
    codec: Codec.Codec<I, Out, E>,
    schema: Schema.Schema<A, I>,
    options?: ParseOptions
  ): Codec.Codec<A, Frame<A, Out>, E | ParseError>
} = dual(
  (args) => Schema.isSchema(args[1]),
  <A, I, Out, E>(
    codec: Codec.Codec<I, Out, E>,
    schema: Schema.Schema<A, I>,
    options?: ParseOptions
  ): Codec.Codec<A, Frame<A, Out>, E | ParseError> => {
    const decode = Schema.decodeUnknownEither(schema, options)
    return Codec.make(
      Codec.map(
        codec,
        (frame): Frame<A, Out> =>
          Either.isEither(frame) ? Either.flatMap(frame, decode) as Frame<A, Out> : decode(frame)
      ),
      Codec.contramapEither(codec, Schema.encodeEither(schema, options))
    )
  }
)
