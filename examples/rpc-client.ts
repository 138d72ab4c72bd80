/**
 * The client of rpc.ts: asks many questions at once, over one connection, without waiting for an answer before the next one
 * is sent. `request` gives each caller the answer to its own question; a refusal is a typed failure of that call alone. When
 * the connection is lost, or ends too soon, all who wait learn it, by its cause.
 *
 *   npx tsx examples/rpc.ts 4001
 *   npx tsx examples/rpc-client.ts 4001
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Connector from "effect-transport/Connector"
import * as Framed from "effect-transport/framing/Framed"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as Rpc from "./rpc.ts"

const questions: ReadonlyArray<typeof Rpc.Request.Type> = [
  { _tag: "Divide", dividend: 355, divisor: 113 },
  { _tag: "Weekday", date: new Date("1969-07-20") },
  { _tag: "Divide", dividend: 1, divisor: 0 }
]

export const ask = (port: number) =>
  Effect.gen(function*() {
    const transport = yield* Connector.make({ host: "localhost", port, timeout: "2 seconds" }).connect
    const { request } = yield* Framed.duplex(transport, Rpc.client)
    const call = (question: typeof Rpc.Request.Type) =>
      Effect.flatMap(
        request(question),
        (response) => response._tag === "Refused" ? response : Effect.succeed(response.value)
      )
    yield* Effect.forEach(questions, (question) =>
      call(question).pipe(
        Effect.catchTag("Refused", ({ reason }) => Effect.succeed(`refused: ${reason}`)),
        Effect.flatMap((answer) => Console.log(`${JSON.stringify(question)}: ${answer}`))
      ), { concurrency: "unbounded" })
  }).pipe(
    Effect.scoped,
    Effect.tapError(({ message }) => Console.error(message)),
    Effect.provide(NodeNetwork.layer)
  )

if (process.argv[1] === import.meta.filename) {
  NodeRuntime.runMain(ask(Number(process.argv[2] ?? 4001)), { disableErrorReporting: true })
}
