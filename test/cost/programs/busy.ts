/**
 * A server whose handlers, `handler` or `stream`, echo what they are sent, and are kept busy: by clients over `tcp`; or eight
 * of them by peers in this process, so that their reads and writes are always ready. These are fibers of their own
 * (`memory`) or, with their peers, of a server (`served memory`), where `yielding` ones do not even wait for a peer.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Address from "effect-transport/Address"
import * as Listener from "effect-transport/Listener"
import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
import * as Tcp from "effect-transport/node/Tcp"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"

const [place, form] = process.argv.slice(1) as [string, string]

/** How many chunks each handler has answered. */
const rounds: Array<number> = []

const handler = (transport: Transport) => {
  const index = rounds.push(0) - 1
  if (form === "stream") {
    return Stream.run(Stream.map(transport.stream, (chunk) => (rounds[index]!++, chunk)), transport.sink)
  }
  const loop: Effect.Effect<void, unknown> = Effect.flatMap(transport.pull, (chunk) => {
    rounds[index]!++
    return chunk === null ? Effect.void : Effect.flatMap(transport.write(chunk), () => loop)
  })
  return loop
}

const message = new Uint8Array(64)

/** Sends and receives as fast as it can. */
const flood = ({ pull, write }: Transport) =>
  Effect.zipRight(Effect.forkDaemon(Effect.forever(pull)), Effect.forever(write(message)))

const pair = MemoryTransport.pair()

const alone = Effect.flatMap(
  pair,
  ([left, right]) => Effect.zipRight(Effect.forkDaemon(handler(right)), Effect.forkDaemon(flood(left)))
)

/** Works on and on, and does no more for the others than to yield. */
const yielding = () => {
  const index = rounds.push(0) - 1
  return Effect.forever(Effect.zipRight(Effect.sync(() => rounds[index]!++), Effect.yieldNow()))
}

const served = Effect.gen(function*() {
  const peers = new Map<Transport, Transport>()
  const address = Address.memory("busy")
  const { listener, offer } = Listener.make({ address, maxPending: 8, stop: Effect.void })
  for (let count = 0; count < 8; count++) {
    const [left, right] = yield* pair
    offer(right)
    peers.set(right, left)
  }
  yield* Server.serve(
    listener,
    (transport) =>
      form === "yielding" ? yielding() : Effect.zipRight(Effect.fork(flood(peers.get(transport)!)), handler(transport))
  )
})

const program = Effect.gen(function*() {
  const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
  process.send!(listener.address.port)
  if (place === "memory") yield* Effect.replicateEffect(alone, 8)
  if (place === "served memory") yield* Effect.forkDaemon(served)
  return yield* Server.serve(listener, handler)
})

process.on("message", () => process.send!(rounds))
process.on("disconnect", () => process.exit())
Effect.runFork(Effect.scoped(program))
