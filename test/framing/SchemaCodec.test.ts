import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import { pipe } from "effect/Function"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Codec from "../../src/Codec.ts"
import * as Framed from "../../src/framing/Framed.ts"
import * as LengthField from "../../src/framing/LengthField.ts"
import * as Lines from "../../src/framing/Lines.ts"
import * as MsgPack from "../../src/framing/MsgPack.ts"
import * as Ndjson from "../../src/framing/Ndjson.ts"
import * as SchemaCodec from "../../src/framing/SchemaCodec.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as CodecLaws from "../../src/testing/CodecLaws.ts"
import { ascii, bytes, joined } from "../support/bytes.ts"
import { bytewise, decodeChunks, decoded, encoded } from "../support/decoding.ts"

class Reading extends Schema.Class<Reading>("Reading")({
  sensor: Schema.NonEmptyString,
  value: Schema.NumberFromString,
  at: Schema.optional(Schema.Date)
}) {}

const hot = new Reading({ sensor: "hall", value: 21.5 })
const cold = new Reading({ sensor: "cellar", value: -3, at: new Date("2024-02-29T12:00:00Z") })

const wire = ascii(
  "{\"sensor\":\"hall\",\"value\":\"21.5\"}\n{\"sensor\":\"cellar\",\"value\":\"-3\",\"at\":\"2024-02-29T12:00:00.000Z\"}\n"
)

/** A frame, or why it is none. */
const shown = (frames: ReadonlyArray<Either.Either<unknown, { readonly _tag: string }>>) =>
  frames.map(Either.getOrElse(({ _tag }) => _tag))

describe("make", () => {
  const codec = SchemaCodec.make(Ndjson.make(), Reading)

  it("checks and transforms in both directions", () => {
    assert.deepStrictEqual(encoded(codec, hot, cold), wire)
    const { failure, frames } = decodeChunks(codec, bytewise(wire))
    assert.deepStrictEqual({ failure, frames }, { failure: undefined, frames: [hot, cold] })
    assert.instanceOf(frames[0], Reading)
  })

  it("fails with a ParseError, after the frames before it, and leaves that frame unread", () => {
    const bad = ascii("{\"sensor\":\"\",\"value\":\"1\"}\n")
    const { failure, frames, next, unread } = codec.step(joined([wire, bad, wire]))
    assert.deepStrictEqual(frames, [hot, cold])
    assert.instanceOf(failure, ParseResult.ParseError)
    assert.include(failure?.message, "Expected a non empty string, actual \"\"")
    assert.deepStrictEqual(unread, joined([bad, wire]))
    assert.strictEqual(next.step(wire).failure, failure)
    assert.strictEqual((decodeChunks(codec, bytewise(joined([wire, bad]))).failure as Error).message, failure?.message)
  })

  it("fails to encode what the schema does not allow, and what the codec cannot write", () => {
    const invalid = { ...hot, value: "warm" } as unknown as Reading
    assert.instanceOf(Either.merge(codec.encode([hot, invalid])), ParseResult.ParseError)
    const unknown = SchemaCodec.make(Ndjson.make(), Schema.Unknown)
    assert.propertyVal(Either.merge(unknown.encode([1n])), "_tag", "InvalidFrame")
  })

  it("is also what is piped to", () => {
    assert.deepStrictEqual(pipe(Ndjson.make(), SchemaCodec.make(Reading)).step(wire).frames, [hot, cold])
    assert.deepStrictEqual(pipe(Ndjson.make(), SchemaCodec.either(Reading)).step(wire).frames.map(Either.isRight), [
      true,
      true
    ])
  })

  it("can be two for the two directions", () => {
    const codec = Codec.make(
      SchemaCodec.make(MsgPack.make(), Schema.Int),
      SchemaCodec.make(MsgPack.make(), Schema.String)
    )
    assert.deepStrictEqual(encoded(codec, "a"), Uint8Array.of(0xa1, 0x61))
    assert.deepStrictEqual(codec.step(Uint8Array.of(7)).frames, [7])
    assert.instanceOf(codec.step(Uint8Array.of(0xa1, 0x61)).failure, ParseResult.ParseError)
  })

  it("is over MsgPack, alone and in frames of another format", () => {
    const schema = Schema.Struct({
      at: Schema.DateFromSelf,
      data: Schema.Uint8ArrayFromSelf,
      id: Schema.BigIntFromSelf
    })
    const value = { at: new Date(250), data: bytes(3, 7), id: 2n ** 60n }
    const framed = Codec.transform(LengthField.make({ length: 2 }), MsgPack.value())
    for (const codec of [SchemaCodec.make(MsgPack.make(), schema), SchemaCodec.make(framed, schema)]) {
      assert.deepStrictEqual(decoded(codec, encoded(codec, value, value)), {
        frames: [value, value],
        failure: undefined
      })
    }
  })

  it("takes the options of the schema", () => {
    const options = { errors: "all", onExcessProperty: "error" } as const
    const codec = SchemaCodec.make(Ndjson.make(), Schema.Struct({ a: Schema.Int, b: Schema.Int }), options)
    const { failure } = codec.step(ascii("{\"a\":\"x\",\"b\":\"y\",\"c\":1}\n"))
    assert.match(failure?.message ?? "", /\["c"\][^]*\["a"\][^]*\["b"\]/)
    const lenient = SchemaCodec.make(Ndjson.make(), Schema.Struct({ a: Schema.Int }))
    assert.deepStrictEqual(lenient.step(ascii("{\"a\":1,\"c\":1}\n")).frames, [{ a: 1 }])
  })
})

describe("either", () => {
  const mixed = ascii("{\"sensor\":\"hall\",\"value\":\"21.5\"}\n[]\n{oops\n{\"sensor\":\"hall\",\"value\":\"21.5\"}\n")

  it("gives a frame that does not fit as a Left, and goes on", () => {
    const codec = SchemaCodec.either(Ndjson.either(), Reading)
    for (const chunks of [[mixed], bytewise(mixed)]) {
      const { failure, frames } = decodeChunks(codec, chunks)
      assert.strictEqual(failure, undefined)
      assert.deepStrictEqual(shown(frames), [hot, "ParseError", "InvalidFrame", hot])
    }
    assert.deepStrictEqual(encoded(codec, hot, cold), wire)
  })

  it("has the codec's own failures where that does not give Eithers", () => {
    const { failure, frames } = SchemaCodec.either(Ndjson.make(), Reading).step(mixed)
    assert.deepStrictEqual(shown(frames), [hot, "ParseError"])
    assert.strictEqual(failure?._tag, "InvalidFrame")
  })

  it("is over lines and Schema.parseJson: then all that can be wrong is a ParseError", () => {
    const codec = SchemaCodec.either(Lines.text(), Schema.parseJson(Reading))
    assert.deepStrictEqual(shown(codec.step(mixed).frames), [hot, "ParseError", "ParseError", hot])
    assert.deepStrictEqual(encoded(codec, hot, cold), wire)
  })

  it("is over MsgPack", () => {
    const codec = SchemaCodec.either(MsgPack.either(), Schema.Int)
    const { failure, frames } = codec.step(Uint8Array.of(1, 0xa1, 0x61, 0xa1, 0xff, 2))
    assert.deepStrictEqual(shown(frames), [1, "ParseError", "InvalidFrame", 2])
    assert.strictEqual(failure, undefined)
    assert.strictEqual(codec.step(Uint8Array.of(0xc1)).failure?._tag, "InvalidFrame")
  })

  it("still fails to encode", () => {
    const codec = SchemaCodec.either(MsgPack.either(), Schema.Int)
    assert.instanceOf(Either.merge(codec.encode([1, 0.5])), ParseResult.ParseError)
  })
})

describe("on a connection", () => {
  const Question = Schema.Struct({ id: Schema.Int, text: Schema.NonEmptyString })
  const Answer = Schema.Struct({ id: Schema.NullOr(Schema.Int), length: Schema.Int })
  const questions = SchemaCodec.either(Ndjson.either(), Question)
  const server = Codec.make(questions, SchemaCodec.make(Ndjson.make(), Answer))

  it.scoped("a bad message is answered, and those behind it as well", () =>
    Effect.gen(function*() {
      const [peer, transport] = yield* MemoryTransport.pair()
      const framed = yield* Framed.duplex(transport, server)
      const fiber = yield* framed.messages.pipe(
        Stream.runForEach(Either.match({
          onLeft: () => framed.send({ id: null, length: 0 }),
          onRight: ({ id, text }) => framed.send({ id, length: text.length })
        })),
        Effect.zipRight(transport.closeWrite),
        Effect.fork
      )
      const lines = [
        "{\"id\":1,\"text\":\"hello\"}",
        "{\"id\":2,\"text\":\"\"}",
        "GET / HTTP/1.1",
        "{\"id\":3,\"text\":\"you\"}"
      ]
      yield* peer.write(ascii(`${lines.join("\n")}\n`))
      yield* peer.closeWrite
      const answers = yield* Stream.runCollect(Framed.stream(peer, SchemaCodec.make(Ndjson.make(), Answer)))
      assert.deepStrictEqual(Chunk.toReadonlyArray(answers), [
        { id: 1, length: 5 },
        { id: null, length: 0 },
        { id: null, length: 0 },
        { id: 3, length: 3 }
      ])
      yield* Fiber.join(fiber)
    }))

  it.scoped("a bad message fails the stream, after the messages before it", () =>
    Effect.gen(function*() {
      const [peer, transport] = yield* MemoryTransport.pair()
      const received: Array<unknown> = []
      yield* peer.write(ascii("{\"id\":1,\"text\":\"hello\"}\n{\"id\":2}\n{\"id\":3,\"text\":\"you\"}\n"))
      const failure = yield* Framed.stream(transport, SchemaCodec.make(Ndjson.make(), Question)).pipe(
        Stream.runForEach((question) => Effect.sync(() => received.push(question))),
        Effect.flip
      )
      assert.strictEqual(failure._tag, "ParseError")
      assert.deepStrictEqual(received, [{ id: 1, text: "hello" }])
    }))
})

describe("a schema that would wait", () => {
  const waiting = Schema.transformOrFail(Schema.Number, Schema.Number, {
    strict: true,
    decode: (value) => Effect.as(Effect.sleep("1 millis"), value),
    encode: (value) => Effect.as(Effect.sleep("1 millis"), value)
  })

  it("is a ParseError for each frame that says so", () => {
    const codec = SchemaCodec.make(Ndjson.make(), waiting)
    const { failure } = codec.step(ascii("1\n"))
    assert.instanceOf(failure, ParseResult.ParseError)
    assert.include(failure?.message, "cannot be be resolved synchronously")
    assert.instanceOf(Either.merge(codec.encode([1])), ParseResult.ParseError)
    assert.deepStrictEqual(shown(SchemaCodec.either(Ndjson.make(), waiting).step(ascii("1\n2\n")).frames), [
      "ParseError",
      "ParseError"
    ])
  })
})

describe("the laws", () => {
  const schema = Schema.Struct({ id: Schema.Int, at: Schema.ValidDateFromSelf, tags: Schema.Array(Schema.Trimmed) })

  describe("over MsgPack", () => {
    const codec = SchemaCodec.make(MsgPack.make(), schema)
    for (const { name, run } of CodecLaws.laws({ codec, frames: Arbitrary.make(schema), runs: 200 })) it(name, run)
  })

  describe("of the Either form over Ndjson", () => {
    const schema = Schema.Struct({ id: Schema.Int, tags: Schema.Array(Schema.Trimmed) })
    const codec = SchemaCodec.either(Ndjson.either(), schema)
    const decoded = (value: typeof schema.Type) => Either.right(value)
    const laws = CodecLaws.laws({ codec, frames: Arbitrary.make(schema), decoded, runs: 200 })
    for (const { name, run } of laws) it(name, run)
  })
})
