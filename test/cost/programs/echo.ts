/**
 * An echo server whose cost is counted: `raw` on node:net, `handler`, `loop` and `stream` on the library. It answers a message
 * with so many writes.
 */
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Stream from "effect/Stream"
import * as Address from "effect-transport/Address"
import type { ConnectionLost, WriteAfterEnd } from "effect-transport/ConnectionError"
import * as Tcp from "effect-transport/node/Tcp"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"
import * as fs from "node:fs"
import * as net from "node:net"
import type { NodeGCPerformanceDetail } from "node:perf_hooks"
import { constants, PerformanceObserver } from "node:perf_hooks"

const [form, writesPerMessage] = process.argv.slice(1) as [string, string]
const writes = Number(writesPerMessage)

const listenOptions = { backlog: 4096, noDelay: true }

// -----------------------------------------------------------------------------
// the forms
// -----------------------------------------------------------------------------

const raw = () => {
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on("data", (chunk) => {
      if (socket.write(chunk)) return
      socket.pause()
      socket.once("drain", () => socket.resume())
    })
    socket.on("error", () => {})
  })
  server.listen({ ...listenOptions, host: "127.0.0.1", port: 0 }, () => {
    process.send!((server.address() as net.AddressInfo).port)
  })
}

const piece = (chunk: Uint8Array, index: number) =>
  chunk.subarray(chunk.length * index / writes, chunk.length * (index + 1) / writes)

const handler = ({ forEach, write }: Transport) =>
  forEach((chunk) => {
    let index = 0
    return writes === 1
      ? write(chunk)
      : Effect.whileLoop({ while: () => index < writes, body: () => write(piece(chunk, index++)), step: () => {} })
  })

const loop = (transport: Transport) => {
  const loop: Effect.Effect<void, ConnectionLost | WriteAfterEnd> = Effect.flatMap(
    transport.pull,
    (chunk) => chunk === null ? Effect.void : answer(chunk, 0)
  )
  const answer = (chunk: Uint8Array, index: number): typeof loop =>
    index === writes ? loop : Effect.flatMap(transport.write(piece(chunk, index)), () => answer(chunk, index + 1))
  return loop
}

const stream = ({ sink, stream }: Transport) =>
  Stream.run(
    writes === 1
      ? stream
      : Stream.mapConcat(stream, (chunk) => Array.from({ length: writes }, (_, index) => piece(chunk, index))),
    sink
  )

const serve = (handler: (transport: Transport) => Effect.Effect<void, unknown>) => {
  const program = Effect.flatMap(
    Tcp.listen(Address.tcp("127.0.0.1", 0), { ...listenOptions, maxPending: 4096 }),
    (listener) => {
      process.send!(listener.address.port)
      return Server.serve(listener, handler)
    }
  )
  Effect.runFork(Effect.scoped(program))
}

if (form === "raw") raw()
else serve({ handler, loop, stream }[form as "handler" | "loop" | "stream"])

// -----------------------------------------------------------------------------
// the counts
// -----------------------------------------------------------------------------

/** Of each when it came, and its kind. */
const collections: Array<unknown> = []
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const { detail } = entry.toJSON() as { readonly detail: NodeGCPerformanceDetail }
    // Callbacks of weak references run some time after a collection, and free nothing.
    if (detail.kind !== constants.NODE_PERFORMANCE_GC_WEAKCB) collections.push(entry.toJSON())
  }
}).observe({ entryTypes: ["gc"] })

/** Calls of write(2) and writev(2) by this thread, proc(5): other threads wake this one up with some, too. */
const writeCalls = (): number => {
  const counts = /^syscw: (\d+)/m.exec(fs.readFileSync("/proc/thread-self/io", "latin1"))
  return Number(counts![1])
}

const sample = () => {
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  // Every fiber takes the next number when it is made, as this does.
  return { heapUsed, arrayBuffers, writeCalls: writeCalls(), fibers: FiberId.unsafeMake().id, collections }
}

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

process.on("message", async (question) => {
  // What has survived two of these lies in the old generation.
  if (question === "collect young") { for (let times = 0; times < 3; times++) globalThis.gc!({ type: "minor" }) }
  if (question === "collect") {
    globalThis.gc!()
    // Ends the sweeping of buffers, which the first one has begun in the background.
    globalThis.gc!()
  }
  // A collection is reported a turn later.
  await turns(5)
  process.send!(sample())
})
process.on("disconnect", () => process.exit())
