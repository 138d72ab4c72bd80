import * as RunnerAddress from "@effect/cluster/RunnerAddress"
import * as Runners from "@effect/cluster/Runners"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Driver from "../../src/Driver.ts"
import * as Cluster from "../../src/interop/Cluster.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import type { Transport } from "../../src/Transport.ts"
import { forked, settle } from "../support/fibers.ts"

const address = RunnerAddress.make("runner", 1)

/** The client's side in a Layer of its own Scope, and the runners' sides of its connections. */
const client = Effect.gen(function*() {
  const outer = yield* Effect.scope
  const accepted = yield* Queue.unbounded<Transport>()
  const open = Effect.gen(function*() {
    const [ours, theirs] = yield* Scope.extend(MemoryTransport.pair(), outer)
    yield* Queue.offer(accepted, theirs)
    return yield* Driver.closeWithScope(ours)
  })
  const layer = yield* Scope.make()
  const context = yield* Layer.buildWithScope(
    Layer.provide(Cluster.layerClientProtocolWith({ open: () => open }), RpcSerialization.layerMsgPack),
    layer
  )
  const protocolTo = yield* Effect.provide(Runners.RpcClientProtocol, context)
  return { accept: Queue.take(accepted), layer, protocolTo }
})

/** Closes a Scope in which a connection is; the other side of it sees the end, and ends too. */
const closes = (scope: Scope.CloseableScope, other: Transport) =>
  Effect.gen(function*() {
    const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
    assert.isNull(yield* other.pull)
    yield* other.close
    yield* closing
  })

describe("layerClientProtocolWith", () => {
  it.scoped("holds a connection until its Scope is closed, and no longer", () =>
    Effect.gen(function*() {
      const { accept, layer, protocolTo } = yield* client
      const one = yield* Scope.make()
      yield* Scope.extend(protocolTo(address), one)
      const first = yield* accept
      const two = yield* Scope.make()
      yield* Scope.extend(protocolTo(address), two)
      const second = yield* accept
      const reading = yield* forked(second.pull)
      yield* closes(one, first)
      yield* settle
      assert.isNull(reading.unsafePoll())
      yield* Fiber.interrupt(reading)
      yield* closes(two, second)
      yield* Scope.close(layer, Exit.void)
    }))

  // The RcMap of `Runners` forgets one that it was told to invalidate while a call used it, and that was made anew meanwhile
  // (https://github.com/Effect-TS/effect/issues/7515): a client that had lost a runner did not end.
  it.scoped("leaves no connection when the Layer is over, and nobody who runs one, whoever forgot to close its Scope", () =>
    Effect.gen(function*() {
      const { accept, layer, protocolTo } = yield* client
      const protocol = yield* Scope.extend(protocolTo(address), yield* Scope.make())
      const running = yield* forked(protocol.run(() => Effect.void))
      yield* closes(layer, yield* accept)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(running)))
    }))
})
