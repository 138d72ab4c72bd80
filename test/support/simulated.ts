/** Two simulated hosts with a connection between them, 10 ms apart. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ConnectError, ListenerClosed, ListenError } from "../../src/ConnectionError.ts"
import type { Listener } from "../../src/Listener.ts"
import * as Network from "../../src/Network.ts"
import type { Packet } from "../../src/testing/Rule.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import type { SegmentEvent } from "../../src/testing/Trace.ts"
import type { Transport } from "../../src/Transport.ts"

export type Simulated = Network.Network | SimNetwork.SimNetwork | Scope.Scope

export const run = <A, E>(body: Effect.Effect<A, E, Simulated>, options: SimNetwork.Options = {}) =>
  SimNetwork.run(Effect.scoped(body), { hosts: ["client", "server"], latency: "10 millis", ...options })

/** Milliseconds since the start of the simulation. */
export const now = Clock.currentTimeMillis

export const listen = (options?: Network.ListenOptions, port = 80) =>
  Effect.flatMap(
    SimNetwork.SimNetwork,
    (sim) => SimNetwork.on(Network.listen(sim.addressOf("server", port), options), "server")
  )

export const connect = (options?: Network.ConnectOptions, port = 80) =>
  Effect.flatMap(
    SimNetwork.SimNetwork,
    (sim) => SimNetwork.on(Network.connect(sim.addressOf("server", port), options), "client")
  )

export interface Joined {
  readonly listener: Listener
  readonly client: Transport
  readonly server: Transport
}

export const joined = (
  options?: Network.ListenOptions
): Effect.Effect<Joined, ConnectError | ListenError | ListenerClosed, SimNetwork.SimNetwork | Scope.Scope> =>
  Effect.gen(function*() {
    const listener = yield* listen(options)
    const client = yield* connect(options)
    const server = yield* listener.accept
    yield* Effect.addFinalizer(() => Effect.all([client.abort, server.abort]))
    return { listener, client, server }
  })

/** Holds for the first so many packets that the condition holds for. */
export const first = (count: number, holds: (packet: Packet) => boolean) => {
  let left = count
  return (packet: Packet) => holds(packet) && left-- > 0
}

/** All segments that were sent until now and for which it holds. */
export const segments = (holds: (segment: SegmentEvent) => boolean = () => true) =>
  Effect.map(SimNetwork.SimNetwork, (sim) => sim.trace().filter((event) => event._tag === "Segment").filter(holds))

/** What ss(8) would show of a host, without its listeners. */
export const states = (host: string) =>
  Effect.map(
    SimNetwork.SimNetwork,
    (sim) =>
      sim.sockets().filter((socket) => socket.host === host && socket.state !== "LISTEN").map(({ state }) => state)
  )

/** `SYN ACK`, `FIN ACK`, `ACK 5`: the flags, and the bytes of payload. */
export const shown = ({ ack, fin, payload, rst, syn }: SegmentEvent): string =>
  [syn && "SYN", fin && "FIN", rst && "RST", ack && "ACK", payload.length > 0 && payload.length].filter(Boolean).join(
    " "
  )
