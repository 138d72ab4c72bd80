/**
 * What `echo` and `relay` have in common: listening, the limits, the reports, the shutdown.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { ConnectionLost, ListenError } from "../ConnectionError.ts"
import * as Endpoint from "../Endpoint.ts"
import type { Listener } from "../Listener.ts"
import * as Network from "../Network.ts"
import * as IdleTimeout from "../policy/IdleTimeout.ts"
import * as Throttle from "../policy/Throttle.ts"
import * as Server from "../server/Server.ts"
import type { Transport } from "../Transport.ts"
import type { Failure } from "./connections.ts"
import { Connections } from "./connections.ts"
import * as Signals from "./signals.ts"
import * as Terminal from "./terminal.ts"
import { watch } from "./watch.ts"

export interface Options {
  readonly idleTimeout: Duration.Duration | undefined
  readonly maxConnections: number | undefined
  readonly rate: number | undefined
  readonly verbose: boolean
  readonly watch: boolean
}

export type Accepted = Transport<ConnectionLost | IdleTimeout.IdleTimeout>

/** What is done with each connection. It calls `opened` when bytes can flow, with where they go if it is not back. */
export type Handler = (
  transport: Accepted,
  opened: (outgoing?: Transport) => void
) => Effect.Effect<void, Failure, Network.Network | Scope.Scope>

/** Serves until a signal asks to stop, and until what was open then has come to its end. */
export const serve = (
  endpoint: Endpoint.ServerEndpoint,
  handler: Handler,
  options: Options
): Effect.Effect<void, ListenError, Network.Network> =>
  Effect.scoped(Effect.gen(function*() {
    const connections = new Connections(options.verbose)
    const listener = yield* listen(endpoint)
    yield* Terminal.print(`listening ${Endpoint.describeClient(listener.address)}`)
    if (options.watch) yield* Effect.forkScoped(watch(connections))
    yield* Effect.forkScoped(Effect.zipRight(Signals.first, listener.close))
    yield* Server.serve(listener, (accepted) => handle(connections, accepted, handler, options), {
      maxConnections: options.maxConnections,
      whenFull: "refuse",
      drainTimeout: "5 seconds",
      isIdle: (accepted) => connections.isIdle(accepted)
    })
  }))

const listen = (
  endpoint: Endpoint.ServerEndpoint
): Effect.Effect<Listener, ListenError, Network.Network | Scope.Scope> =>
  Network.listen(endpoint.address, {
    backlog: endpoint.backlog,
    mode: endpoint._tag === "UnixServer" ? endpoint.mode : undefined
  })

/**
 * One connection. Whatever the handler fails with is told on stderr and ends it: what lost a transport has closed it
 * already, and of all else the peer is told by a plain end.
 */
const handle = (
  connections: Connections,
  accepted: Transport,
  handler: Handler,
  options: Options
): Effect.Effect<void, never, Network.Network | Scope.Scope> =>
  Effect.gen(function*() {
    const connection = connections.accepted(accepted)
    // Before the layers, so that it runs after them, when nothing is left but to say how it ended.
    yield* Effect.addFinalizer((exit) =>
      Effect.zipRight(
        Exit.isSuccess(exit) ? accepted.close : accepted.abort,
        Effect.map(accepted.closed, (reason) => connections.closed(accepted, reason))
      )
    )
    const transport = yield* limited(accepted, options)
    if (options.rate !== undefined) connection.layered(transport)
    const opened = (outgoing?: Transport) => {
      if (outgoing !== undefined) connection.joined(outgoing)
      connections.opened(connection)
    }
    yield* Effect.catchAll(handler(transport, opened), (failure) => Effect.sync(() => connection.failure = failure))
  })

/** The idle limit stands above the shaper: a connection that waits for its share is not idle. */
const limited = (
  transport: Transport,
  { idleTimeout, rate }: Options
): Effect.Effect<Accepted, never, Scope.Scope> =>
  Effect.flatMap(
    rate === undefined ? Effect.succeed(transport) : Throttle.make({ read: rate, write: rate })(transport),
    (throttled) =>
      idleTimeout === undefined ? Effect.succeed(throttled) : IdleTimeout.make({ duration: idleTimeout })(throttled)
  )
