import type * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { describe, expectTypeOf, test } from "vitest"
import type { ConnectionClosed, ConnectionLost, ListenerClosed, WriteAfterEnd } from "../../src/ConnectionError.ts"
import type * as Listener from "../../src/Listener.ts"
import type * as Network from "../../src/Network.ts"
import * as Transport from "../../src/Transport.ts"

class Mine {
  readonly _tag = "Mine"
}

declare const transport: Transport.Transport
declare const mine: Transport.Transport<ConnectionLost | Mine>
declare const unknownTransport: Transport.Transport<unknown>

describe("Transport<E>", () => {
  test("fails with ConnectionLost by default", () => {
    expectTypeOf<Transport.Transport>().toEqualTypeOf<Transport.Transport<ConnectionLost>>()
  })

  test("is covariant: a transport with fewer failures stands for one with more, and not the other way round", () => {
    expectTypeOf<Transport.Transport<never>>().toExtend<Transport.Transport>()
    expectTypeOf<Transport.Transport>().toExtend<Transport.Transport<ConnectionLost | Mine>>()
    expectTypeOf<Transport.Transport<ConnectionLost | Mine>>().not.toExtend<Transport.Transport>()
    expectTypeOf<Transport.Transport>().toExtend<Transport.Transport<unknown>>()
  })

  test("has its failures in the types of its members", () => {
    type E = ConnectionLost | Mine
    expectTypeOf(mine.pull).toEqualTypeOf<Effect.Effect<Uint8Array | null, E>>()
    expectTypeOf(mine.stream).toEqualTypeOf<Stream.Stream<Uint8Array, E>>()
    expectTypeOf(mine.write).toEqualTypeOf<(bytes: Uint8Array) => Effect.Effect<void, E | WriteAfterEnd>>()
    expectTypeOf(mine.writeAll).returns.toEqualTypeOf<Effect.Effect<void, E | WriteAfterEnd>>()
    expectTypeOf(mine.sink).toEqualTypeOf<Sink.Sink<void, Uint8Array, never, E | WriteAfterEnd>>()
    expectTypeOf(mine.outgoing).toEqualTypeOf<Queue.Enqueue<Uint8Array>>()
    expectTypeOf(mine.flush).toEqualTypeOf<Effect.Effect<void, E>>()
    expectTypeOf(mine.closeWrite).toEqualTypeOf<Effect.Effect<void, E>>()
    expectTypeOf(mine.unread).returns.toEqualTypeOf<Effect.Effect<void>>()
    expectTypeOf(mine.close).toEqualTypeOf<Effect.Effect<void>>()
    expectTypeOf(mine.abort).toEqualTypeOf<Effect.Effect<void>>()
    expectTypeOf(mine.closed).toEqualTypeOf<Effect.Effect<Transport.CloseReason<E>>>()
  })

  test("an echo fails with what its transport fails with", () => {
    expectTypeOf(Stream.run(mine.stream, mine.sink)).toEqualTypeOf<
      Effect.Effect<void, ConnectionLost | Mine | WriteAfterEnd>
    >()
  })

  test("a stream into the Queue has no failure of writing in its type: use `sink`", () => {
    expectTypeOf(Stream.run(Stream.make(new Uint8Array(1)), Sink.fromQueue(transport.outgoing)))
      .toEqualTypeOf<Effect.Effect<void>>()
  })

  test("takes bytes and nothing else", () => {
    expectTypeOf(transport.write).parameter(0).toEqualTypeOf<Uint8Array>()
    // @ts-expect-error a text is not bytes
    void transport.write("text")
    // @ts-expect-error nor are numbers
    void transport.writeAll([1, 2])
  })
})

describe("reading", () => {
  test("readExactly fails with the transport's failures and IncompleteRead", () => {
    type Expected = Effect.Effect<Uint8Array, ConnectionLost | Mine | Transport.IncompleteRead>
    expectTypeOf(Transport.readExactly(mine, 4)).toEqualTypeOf<Expected>()
    expectTypeOf(Transport.readExactly(4)(mine)).toEqualTypeOf<Expected>()
  })

  test("readUntil also with DelimiterNotFound", () => {
    type Expected = Effect.Effect<
      Uint8Array,
      ConnectionLost | Mine | Transport.IncompleteRead | Transport.DelimiterNotFound
    >
    const delimiter = new Uint8Array(1)
    expectTypeOf(Transport.readUntil(mine, delimiter)).toEqualTypeOf<Expected>()
    expectTypeOf(Transport.readUntil(mine, delimiter, { limit: 1 })).toEqualTypeOf<Expected>()
    expectTypeOf(Transport.readUntil(delimiter, { limit: 1 })(mine)).toEqualTypeOf<Expected>()
  })

  test("a failure that is handled is gone", () => {
    const handled = Effect.catchTag(Transport.readExactly(mine, 4), "Mine", () => Effect.never)
    expectTypeOf(handled).toEqualTypeOf<Effect.Effect<Uint8Array, ConnectionLost | Transport.IncompleteRead>>()
  })
})

describe("conversions", () => {
  test("toChannel carries the failures of both sides", () => {
    expectTypeOf(Transport.toChannel<ConnectionLost, "upstream">(transport)).toEqualTypeOf<
      Channel.Channel<
        Chunk.Chunk<Uint8Array>,
        Chunk.Chunk<Uint8Array>,
        ConnectionLost | WriteAfterEnd | "upstream",
        "upstream",
        void,
        unknown
      >
    >()
  })

  test("streamFromPull and sinkFromWriteAll keep the failure", () => {
    expectTypeOf(Transport.streamFromPull(mine.pull)).toEqualTypeOf<Stream.Stream<Uint8Array, ConnectionLost | Mine>>()
    expectTypeOf(Transport.sinkFromWriteAll(mine.writeAll))
      .toEqualTypeOf<Sink.Sink<void, Uint8Array, never, ConnectionLost | Mine | WriteAfterEnd>>()
  })
})

describe("CloseReason", () => {
  test("is a clean end or a loss", () => {
    type Reason = Transport.CloseReason<Mine>
    expectTypeOf<Reason["_tag"]>().toEqualTypeOf<"Clean" | "Lost">()
    expectTypeOf<Extract<Reason, { _tag: "Lost" }>["error"]>().toEqualTypeOf<Mine>()
    expectTypeOf<Transport.CloseReason<ConnectionClosed>>().toExtend<Transport.CloseReason<ConnectionLost>>()
  })
})

describe("tags and guards", () => {
  test("the module's own holds a plain transport", () => {
    expectTypeOf<Effect.Effect.Success<typeof Transport.Transport>>().toEqualTypeOf<Transport.Transport>()
    expectTypeOf<Effect.Effect.Context<typeof Transport.Transport>>().toEqualTypeOf<Transport.Transport>()
  })

  test("Tag makes one for a stack with its own failures, with its key as its identity", () => {
    const Guarded = Transport.Tag<ConnectionLost | Mine>()("app/Guarded")
    expectTypeOf(Guarded).toEqualTypeOf<Context.Tag<"app/Guarded", Transport.Transport<ConnectionLost | Mine>>>()
    const program = Effect.flatMap(Guarded, (guarded) => guarded.pull)
    expectTypeOf(program).toEqualTypeOf<Effect.Effect<Uint8Array | null, ConnectionLost | Mine, "app/Guarded">>()
  })

  test("isTransport knows nothing of the failures", () => {
    const isTransport = (u: unknown) => Transport.isTransport(u)
    expectTypeOf(isTransport).guards.toEqualTypeOf<Transport.Transport<unknown>>()
    expectTypeOf(unknownTransport.pull).toEqualTypeOf<Effect.Effect<Uint8Array | null, unknown>>()
  })
})

describe("Listener and Network", () => {
  test("accept ties the connection to a Scope", () => {
    expectTypeOf<Listener.Listener["accept"]>().toEqualTypeOf<
      Effect.Effect<Transport.Transport, ListenerClosed, Scope.Scope>
    >()
    expectTypeOf<Listener.Listener["connections"]>().toEqualTypeOf<
      Stream.Stream<Transport.Transport, never, Scope.Scope>
    >()
  })

  test("the accessors need the service", () => {
    expectTypeOf<Effect.Effect.Context<ReturnType<typeof Network.connect>>>()
      .toEqualTypeOf<Network.Network | Scope.Scope>()
    expectTypeOf<Effect.Effect.Context<ReturnType<typeof Network.resolve>>>().toEqualTypeOf<Network.Network>()
  })
})
