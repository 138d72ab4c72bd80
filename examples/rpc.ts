/**
 * Requests and responses as Schemas, each in JSON after its length: four bytes, the network's order. A request that does
 * not fit the Schema is answered like any other that is refused, and the connection goes on; one that is too long cannot be
 * passed over, and ends it, as does a minute of silence. Answers come in the order of the requests, so that clients can send
 * many without waiting: rpc-client.ts does. Ctrl-C ends it when what it is about to answer is sent.
 *
 *   npx tsx examples/rpc.ts 4001
 *   npx tsx examples/rpc-client.ts 4001
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Address from "effect-transport/Address"
import * as Codec from "effect-transport/Codec"
import type { ConnectionLost } from "effect-transport/ConnectionError"
import * as Framed from "effect-transport/framing/Framed"
import * as IntPrefixed from "effect-transport/framing/IntPrefixed"
import * as SchemaCodec from "effect-transport/framing/SchemaCodec"
import * as Network from "effect-transport/Network"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as IdleTimeout from "effect-transport/policy/IdleTimeout"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"

// --- the messages --------------------------------------------------------------

export const Request = Schema.Union(
  Schema.TaggedStruct("Divide", { dividend: Schema.Number, divisor: Schema.Number }),
  Schema.TaggedStruct("Weekday", { date: Schema.Date })
)

export const Answer = Schema.TaggedStruct("Answer", { value: Schema.Union(Schema.Number, Schema.String) })

/** An answer as well, which a client's `request` fails with. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", { reason: Schema.String }) {}

export const Response = Schema.Union(Answer, Refused)

const text = Codec.transform(IntPrefixed.int32({ maxLength: 4096 }), {
  decode: (bytes) => Either.right(new TextDecoder().decode(bytes)),
  encode: (text: string) => Either.right(new TextEncoder().encode(text))
})

const requests = Schema.parseJson(Request)
const responses = Schema.parseJson(Response)

/** What a client sends and receives. */
export const client = Codec.make(SchemaCodec.make(text, responses), SchemaCodec.make(text, requests))

/** The other way round. A request that does not fit the Schema is a frame as well, a `Left`. */
const server = Codec.make(SchemaCodec.either(text, requests), SchemaCodec.make(text, responses))

// --- the service ---------------------------------------------------------------

const perform = (request: typeof Request.Type): Effect.Effect<typeof Answer.Type, Refused> => {
  switch (request._tag) {
    case "Divide": {
      const value = request.dividend / request.divisor
      return Number.isFinite(value)
        ? Effect.succeed(Answer.make({ value }))
        : new Refused({ reason: "The quotient is not a finite number" })
    }
    case "Weekday": {
      const value = request.date.toLocaleDateString("en", { weekday: "long", timeZone: "UTC" })
      return Effect.succeed(Answer.make({ value }))
    }
  }
}

const session = (transport: Transport<ConnectionLost | IdleTimeout.IdleTimeout>) =>
  Framed.stream(transport, server).pipe(
    Stream.mapEffect((request) =>
      request.pipe(
        Either.mapLeft(() => new Refused({ reason: "Not a request" })),
        Effect.flatMap(perform),
        Effect.merge
      )
    ),
    Stream.catchTag("FrameTooLong", ({ limit }) => Stream.make(new Refused({ reason: `Longer than ${limit} bytes` }))),
    Stream.run(Framed.sink(transport, server)),
    Effect.catchTags({
      FrameTruncated: () => Effect.void,
      IdleTimeout: ({ message }) => Effect.log(message)
    })
  )

export const serve = (port: number) =>
  Effect.gen(function*() {
    const listener = yield* Network.listen(Address.tcp("127.0.0.1", port))
    yield* Console.log(`listening ${Address.format(listener.address)}`)
    const limited = IdleTimeout.make({ duration: "1 minute" })
    return yield* Server.serve(listener, (transport) => Effect.flatMap(limited(transport), session), {
      maxConnections: 1000
    })
  }).pipe(Effect.scoped, Effect.provide(NodeNetwork.layer))

if (process.argv[1] === import.meta.filename) NodeRuntime.runMain(serve(Number(process.argv[2] ?? 4001)))
