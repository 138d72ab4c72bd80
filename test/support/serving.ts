/** A server, and clients of it, without an operating system. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "../../src/Address.ts"
import * as Listener from "../../src/Listener.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as Server from "../../src/server/Server.ts"
import type { Transport } from "../../src/Transport.ts"
import { ascii, text } from "./bytes.ts"
import * as Peer from "./peer.ts"

/** Reads one byte for each thing it does: `w` works for a second, `.` succeeds, `!` fails, `?` dies. Answers each with it. */
export const obedient = (transport: Transport) =>
  Effect.gen(function*() {
    for (let chunk = yield* transport.pull; chunk !== null; chunk = yield* transport.pull) {
      for (const order of text(chunk)) {
        if (order === "w") yield* Effect.sleep("1 second")
        if (order === "!") yield* Effect.fail("as ordered")
        if (order === "?") yield* Effect.die("as ordered")
        yield* transport.write(ascii(order))
        if (order === ".") return
      }
    }
  })

export interface Net {
  readonly listener: Listener.Listener
  /** The client's end of a connection that was just handed to the listener. */
  readonly connect: Effect.Effect<Transport, never, Scope.Scope>
  /** The same, as if it were from that address. */
  readonly connectFrom: (remoteAddress: Address.Address) => Effect.Effect<Transport, never, Scope.Scope>
}

/** A listener without an operating system. Clients are as impatient as they are polite: they never make a close wait. */
export const network = (
  options: { readonly name?: string; readonly maxPending?: number } & MemoryTransport.PairOptions = {}
): Net => {
  const { listener, offer } = Listener.make({
    address: Address.memory(options.name ?? "server"),
    maxPending: options.maxPending ?? 4096,
    stop: Effect.void
  })
  const connect = Effect.map(MemoryTransport.pair(options), ([client, server]) => {
    offer(server)
    return client
  })
  const connectFrom = (remoteAddress: Address.Address) =>
    Effect.map(MemoryTransport.pair(options), ([client, server]) => {
      offer(NetworkLayer.derive(server, { remoteAddress }))
      return client
    })
  return { listener, connect, connectFrom }
}

export const serving = <E, R>(
  net: Net,
  handler: (transport: Transport) => Effect.Effect<unknown, E, R>,
  options?: Server.ServeOptions
) => Effect.forkDaemon(Server.serve(net.listener, handler, options))

/** Asks, and gives the answer: the handler is up and waits again. */
export const ask = (client: Transport, question: string) =>
  Effect.gen(function*() {
    yield* client.write(ascii(question))
    let answer = ""
    while (answer.length < question.length) {
      const chunk = yield* client.pull
      if (chunk === null) break
      answer += text(chunk)
    }
    return answer
  })

/** How the input of a client ended. */
export const ending = (client: Transport) =>
  Effect.match(Peer.readAll(client), { onFailure: (error) => error._tag, onSuccess: () => "end" as const })

/** Reads to the end, ends too, and tells how the input ended. */
export const leave = (client: Transport) => Effect.zipLeft(ending(client), Effect.ignore(client.closeWrite))

export const none: Server.ServerReport = { accepted: 0, refused: 0, completed: 0, failed: 0, drained: 0, aborted: 0 }
