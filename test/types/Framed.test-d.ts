import * as Effect from "effect/Effect"
import type * as Sink from "effect/Sink"
import type * as Stream from "effect/Stream"
import { describe, expectTypeOf, test } from "vitest"
import type * as Codec from "../../src/Codec.ts"
import type { ConnectionLost, WriteAfterEnd } from "../../src/ConnectionError.ts"
import * as Framed from "../../src/framing/Framed.ts"
import type * as Transport from "../../src/Transport.ts"

class Mine {
  readonly _tag = "Mine"
}

class Bad {
  readonly _tag = "Bad"
}

declare const transport: Transport.Transport<ConnectionLost | Mine>
declare const codec: Codec.Codec<string, number, Bad>

type E = ConnectionLost | Mine | Bad

describe("many frames at once", () => {
  test("stream and sink fail with what the transport and the codec fail with", () => {
    expectTypeOf(Framed.stream(transport, codec)).toEqualTypeOf<Stream.Stream<number, E>>()
    expectTypeOf(Framed.stream(codec)(transport)).toEqualTypeOf<Stream.Stream<number, E>>()
    expectTypeOf(Framed.sink(transport, codec)).toEqualTypeOf<Sink.Sink<void, string, never, E | WriteAfterEnd>>()
    expectTypeOf(Framed.sink(codec)(transport)).toEqualTypeOf<Sink.Sink<void, string, never, E | WriteAfterEnd>>()
  })

  test("write fails as sink does", () => {
    expectTypeOf(Framed.write(transport, codec, ["one"])).toEqualTypeOf<Effect.Effect<void, E | WriteAfterEnd>>()
    expectTypeOf(Framed.write(codec, ["one"])(transport)).toEqualTypeOf<Effect.Effect<void, E | WriteAfterEnd>>()
  })

  test("forEach also with what the handler fails with, and needs what it needs", () => {
    const handler = (frames: ReadonlyArray<number>): Effect.Effect<number, "no", "service"> =>
      Effect.succeed(frames.length)
    expectTypeOf(Framed.forEach(transport, codec, handler)).toEqualTypeOf<Effect.Effect<void, E | "no", "service">>()
    expectTypeOf(Framed.forEach(codec, handler)(transport)).toEqualTypeOf<Effect.Effect<void, E | "no", "service">>()
  })
})

describe("a connection of messages", () => {
  const made = Framed.duplex(transport, codec)
  type Made = Effect.Effect.Success<typeof made>

  test("carries both kinds of failures, and hands over the transport with its own", () => {
    expectTypeOf(made).toEqualTypeOf<
      Effect.Effect<Framed.Framed<string, number, E, ConnectionLost | Mine>>
    >()
    expectTypeOf(Framed.duplex(codec)(transport)).toEqualTypeOf<typeof made>()
    expectTypeOf<Made["handOver"]>().toEqualTypeOf<Effect.Effect<Transport.Transport<ConnectionLost | Mine>>>()
  })

  test("sends what goes in and receives what comes out", () => {
    expectTypeOf<Made["send"]>().toEqualTypeOf<(frame: string) => Effect.Effect<void, E | WriteAfterEnd>>()
    expectTypeOf<Made["sendAll"]>().parameter(0).toEqualTypeOf<Iterable<string>>()
    expectTypeOf<Made["receive"]>().toEqualTypeOf<Effect.Effect<number | null, E>>()
    expectTypeOf<Made["messages"]>().toEqualTypeOf<Stream.Stream<number, E>>()
    expectTypeOf<Made["request"]>().toEqualTypeOf<
      (frame: string) => Effect.Effect<number, E | WriteAfterEnd | Framed.Unanswered>
    >()
  })

  test("one that fails with less stands for one that fails with more", () => {
    expectTypeOf<Framed.Framed<string, number, ConnectionLost>>()
      .toExtend<Framed.Framed<string, number | null, ConnectionLost | Bad>>()
    expectTypeOf<Framed.Framed<string, number, ConnectionLost | Bad>>()
      .not.toExtend<Framed.Framed<string, number, ConnectionLost>>()
  })
})
