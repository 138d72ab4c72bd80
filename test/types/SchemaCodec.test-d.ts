import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import { pipe } from "effect/Function"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { describe, expectTypeOf, test } from "vitest"
import type { Codec } from "../../src/Codec.ts"
import type { FrameTooLong, FrameTruncated, InvalidFrame } from "../../src/FrameError.ts"
import * as Lines from "../../src/framing/Lines.ts"
import * as MsgPack from "../../src/framing/MsgPack.ts"
import * as Ndjson from "../../src/framing/Ndjson.ts"
import * as SchemaCodec from "../../src/framing/SchemaCodec.ts"

class Reading extends Schema.Class<Reading>("Reading")({ value: Schema.NumberFromString }) {}

describe("a codec with a schema", () => {
  type Failure = FrameTooLong | FrameTruncated | InvalidFrame | ParseError

  test("has frames of the schema's type, and a ParseError more", () => {
    expectTypeOf(SchemaCodec.make(MsgPack.make(), Reading)).toEqualTypeOf<Codec<Reading, Reading, Failure>>()
    expectTypeOf(pipe(MsgPack.make(), SchemaCodec.make(Reading))).toEqualTypeOf<Codec<Reading, Reading, Failure>>()
    expectTypeOf(SchemaCodec.make(Ndjson.make(), Reading)).toEqualTypeOf<
      Codec<Reading, Reading, FrameTooLong | InvalidFrame | ParseError>
    >()
  })

  test("has Eithers of all that can be wrong with one frame", () => {
    type Checked = Codec<Reading, Either.Either<Reading, ParseError>, Failure>
    expectTypeOf(SchemaCodec.either(MsgPack.make(), Reading)).toEqualTypeOf<Checked>()
    expectTypeOf(pipe(MsgPack.make(), SchemaCodec.either(Reading))).toEqualTypeOf<Checked>()
    expectTypeOf(SchemaCodec.either(MsgPack.either(), Reading)).toEqualTypeOf<
      Codec<Reading, Either.Either<Reading, ParseError | InvalidFrame>, Failure>
    >()
    expectTypeOf(SchemaCodec.either(Lines.text(), Schema.parseJson(Reading))).toEqualTypeOf<
      Codec<Reading, Either.Either<Reading, ParseError>, FrameTooLong | InvalidFrame | ParseError>
    >()
  })

  test("has a schema of what the codec can write", () => {
    // @ts-expect-error lines are strings
    SchemaCodec.make(Lines.text(), Schema.Number)
    // @ts-expect-error lines are strings
    SchemaCodec.either(Lines.text(), Schema.Number)
  })

  test("has a schema that needs no services", () => {
    class Service extends Effect.Service<Service>()("Service", { succeed: {} }) {}
    const needing = Schema.transformOrFail(Schema.Number, Schema.Number, {
      strict: true,
      decode: (value) => Effect.as(Service, value),
      encode: (value) => Effect.succeed(value)
    })
    // @ts-expect-error it needs a service
    SchemaCodec.make(Ndjson.make(), needing)
    // @ts-expect-error it needs a service
    SchemaCodec.either(Ndjson.make(), needing)
  })
})
