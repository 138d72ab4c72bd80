/** What docs/from-effect-socket.md says of the stock Sockets and of these, as far as it is quick and always the same. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Kind, sockets } from "../../bench/interop/sockets.ts"
import * as workloads from "../../bench/interop/workloads.ts"

const expected: ReadonlyArray<readonly [Exclude<keyof typeof workloads, "rates">, Kind, unknown]> = [
  ["answerAfterEnd", "stock", 0],
  ["answerAfterEnd", "ours", 1024 * 1024],
  ["handledAtEnd", "stock", "0 of 10"],
  ["handledAtEnd", "ours", "10 of 10"],
  ["order", "strict", "0123456789"],
  ["writeAfterLoss", "ours", "fails (SocketError Write, by ConnectionReset)"],
  ["scopeClose", "ours", "ends"],
  ["callAtReset", "ours", "fails (RpcClientError)"]
]

describe("the same program over both kinds of Sockets", () => {
  for (const [workload, kind, outcome] of expected) {
    it.scopedLive(`${workload}, ${kind}: ${outcome}`, () =>
      Effect.map(
        workloads[workload](sockets[kind]) as Effect.Effect<unknown, unknown, Scope.Scope>,
        (result) => assert.strictEqual(result, outcome)
      ))
  }
})
