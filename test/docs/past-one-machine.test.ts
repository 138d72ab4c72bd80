import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Page from "../support/page.ts"
import { has, run } from "../support/tool.ts"

const guide = "docs/past-one-machine.md"

/** A call over the two layers of `secure.ts`, as a runner calls another. */
const call = `
import * as RunnerAddress from "@effect/cluster/RunnerAddress"
import * as Runners from "@effect/cluster/Runners"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import { SocketServer } from "@effect/platform/SocketServer"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import { clientProtocol, socketServer } from "./secure.ts"

const Calls = RpcGroup.make(Rpc.make("Double", { payload: { value: Schema.Number }, success: Schema.Number }))

const server = RpcServer.layer(Calls).pipe(
  Layer.provide(Calls.toLayer({ Double: ({ value }) => Effect.succeed(2 * value) })),
  Layer.provide(RpcServer.layerProtocolSocketServer),
  Layer.provideMerge(socketServer),
  Layer.provide(ShardingConfig.layer({ runnerAddress: Option.some(RunnerAddress.make("127.0.0.1", 0)) }))
)

const program = Effect.gen(function*() {
  const { address } = yield* SocketServer
  const open = yield* Runners.RpcClientProtocol
  const protocol = yield* open(RunnerAddress.make("127.0.0.1", (address as { port: number }).port))
  const { Double } = yield* Effect.provideService(RpcClient.make(Calls), RpcClient.Protocol, protocol)
  console.log(yield* Double({ value: 21 }))
})

await Effect.runPromise(program.pipe(
  Effect.scoped,
  Effect.provide(Layer.merge(server, clientProtocol)),
  Effect.provide([RpcSerialization.layerMsgPack, NodeNetwork.layer])
))
`

// Its cluster is run by test/integration/cluster.test.ts.
describe("the page about more than one machine", () => {
  it.scopedLive("has programs that compile", () => Effect.flatMap(Page.open(guide), Page.compiles), 60_000)

  it.scopedLive.skipIf(!has("openssl"))(
    "has runners that call each other over TLS (skipped if openssl is not installed)",
    () =>
      Effect.gen(function*() {
        const page = yield* Page.open(guide)
        const certificate = (yield* Page.blocks(guide, "sh")).find((block) => block.startsWith("openssl"))!
        const openssl = yield* run("bash", ["-c", certificate], { cwd: page.folder })
        assert.strictEqual((yield* openssl.ended).code, 0, openssl.stderr)
        yield* Page.write(page, "call.ts", call)
        assert.strictEqual(yield* Page.output(page, "call.ts"), "42\n")
      }),
    60_000
  )
})
