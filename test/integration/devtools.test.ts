import * as DevToolsClient from "@effect/experimental/DevTools/Client"
import type * as Domain from "@effect/experimental/DevTools/Domain"
import * as DevToolsServer from "@effect/experimental/DevTools/Server"
import type * as SocketServer from "@effect/platform/SocketServer"
import { SocketServer as Tag } from "@effect/platform/SocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as PlatformSocket from "../../src/interop/PlatformSocket.ts"
import * as PlatformSocketServer from "../../src/interop/PlatformSocketServer.ts"
import * as NodeNetwork from "../../src/node/NodeNetwork.ts"

describe("DevTools", () => {
  it.scopedLive("gets the spans of a program, and asks for its metrics", () =>
    Effect.gen(function*() {
      const received = yield* Queue.unbounded<Domain.Request.WithoutPing>()
      const server = yield* Tag
      yield* Effect.forkScoped(DevToolsServer.run(({ queue, request }) =>
        Effect.zipRight(
          request({ _tag: "MetricsRequest" }),
          Effect.ignore(Effect.forever(Effect.flatMap(queue.take, (message) => Queue.offer(received, message))))
        )
      ))
      const { hostname, port } = server.address as SocketServer.TcpAddress
      const tracer = DevToolsClient.layerTracer.pipe(
        Layer.provide(PlatformSocket.layer({ host: hostname, port })),
        Layer.provide(NodeNetwork.layer)
      )
      yield* Effect.provide(Effect.withSpan(Effect.void, "a span of the program"), tracer)

      const seen: Array<Domain.Request.WithoutPing> = []
      const isOver = () =>
        seen.some((message) => message._tag === "MetricsSnapshot") &&
        seen.some((message) =>
          message._tag === "Span" && message.name === "a span of the program" && message.status._tag === "Ended"
        )
      while (!isOver()) seen.push(yield* Queue.take(received))
      assert.isTrue(isOver())
    }).pipe(
      Effect.provide(PlatformSocketServer.layer({ port: 0, drainTimeout: 0 })),
      Effect.provide(NodeNetwork.layer)
    ))
})
