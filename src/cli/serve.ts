/**
 * What `echo` and `relay` have in common: listening, the limits, the reports, the shutdown.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { ListenError } from "../ConnectionError.ts"
import * as Endpoint from "../Endpoint.ts"
import type * as Network from "../Network.ts"
import * as NetworkLayer from "../NetworkLayer.ts"
import * as NodeEndpoint from "../node/NodeEndpoint.ts"
import * as ConnectionLimit from "../policy/ConnectionLimit.ts"
import * as Throttle from "../policy/Throttle.ts"
import * as ProxyProtocol from "../server/ProxyProtocol.ts"
import * as Server from "../server/Server.ts"
import type { Transport } from "../Transport.ts"
import type { Connection, Failure } from "./connections.ts"
import { Connections } from "./connections.ts"
import * as Policies from "./policies.ts"
import * as Signals from "./signals.ts"
import * as Terminal from "./terminal.ts"
import { watch } from "./watch.ts"

export interface Options extends Policies.Options {
  readonly maxConnections: number | undefined
  readonly maxPerPeer: number | undefined
  readonly totalRate: number | undefined
  readonly verbose: boolean
  readonly watch: boolean
}

/** What is done with each connection. It calls `opened` when bytes can flow, with where they go if it is not back. */
export type Handler = (
  transport: Transport<Failure>,
  opened: (outgoing?: Transport<unknown>) => void
) => Effect.Effect<void, Failure, Network.Network | Scope.Scope>

/** From what was accepted to what the handler gets. */
type Layers = (
  accepted: Transport,
  connection: Connection
) => Effect.Effect<Transport<Failure>, Failure, Scope.Scope>

/** Serves until a signal asks to stop, and until what was open then has come to its end. */
export const serve = (
  endpoint: Endpoint.ServerEndpoint,
  handler: Handler,
  options: Options
): Effect.Effect<void, ListenError | NodeEndpoint.CredentialError | Policies.CaptureFailed, Network.Network> =>
  Effect.scoped(Effect.gen(function*() {
    const described = endpoint._tag === "HaproxyServer" ? endpoint.server : endpoint
    const { listen, secure } = yield* NodeEndpoint.server(described)
    const layers = yield* layersOf(endpoint, secure, options)
    const connections = new Connections(options.verbose)
    // Before it listens, so that the file of a UNIX socket is removed whenever the signal comes.
    const asked = yield* Signals.asking
    const listener = yield* listen
    const scheme = described._tag === "TlsServer" ? "tls" : "tcp"
    yield* Terminal.print(`listening ${Endpoint.describeClient(listener.address, scheme)}`)
    if (options.watch) yield* Effect.forkScoped(watch(connections))
    yield* Effect.forkScoped(Effect.zipRight(asked, listener.close))
    yield* Server.serve(listener, (accepted) => handle(connections, accepted, layers, handler), {
      maxConnections: options.maxConnections,
      whenFull: "refuse",
      drainTimeout: "5 seconds",
      isIdle: (accepted) => connections.isIdle(accepted)
    })
  }))

const layersOf = (
  endpoint: Endpoint.ServerEndpoint,
  secure: NodeEndpoint.Secure,
  options: Options
): Effect.Effect<Layers, Policies.CaptureFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const { maxPerPeer: perPeer, rate, totalRate } = options
    const { admit } = yield* ConnectionLimit.make({ perPeer })
    const shared = totalRate === undefined ? undefined : {
      read: yield* Throttle.share(totalRate),
      write: yield* Throttle.share(totalRate)
    }
    const policies = yield* Policies.make(options, "server", shared)
    const header = endpoint._tag === "HaproxyServer"
      ? ProxyProtocol.read({ trusted: endpoint.trusted })
      : NetworkLayer.identity
    return (accepted, connection) =>
      Effect.gen(function*() {
        const known = yield* header(accepted)
        connection.known(known)
        // Before TLS: one too many costs no handshake.
        const admitted = yield* admit(known)
        const secured = yield* secure(admitted)
        connection.known(secured)
        const limited = yield* policies(secured)
        if (rate !== undefined || shared !== undefined) connection.buffers(limited)
        return limited
      })
  })

/**
 * One connection. Whatever the layers or the handler fail with is told on stderr and ends it: what lost a transport has
 * closed it already, and of all else the peer is told by a plain end.
 */
const handle = (
  connections: Connections,
  accepted: Transport,
  layers: Layers,
  handler: Handler
): Effect.Effect<void, never, Network.Network | Scope.Scope> =>
  Effect.gen(function*() {
    const connection = connections.accepted(accepted)
    // Before the layers, so that it runs after them, when nothing is left but to say how it ended.
    yield* Effect.addFinalizer((exit) =>
      Effect.zipRight(
        Exit.isSuccess(exit) ? accepted.close : accepted.abort,
        Effect.map(connection.closed, (reason) => connections.closed(accepted, reason))
      )
    )
    const opened = (outgoing?: Transport<unknown>) => {
      if (outgoing !== undefined) connection.joined(outgoing)
      connections.opened(connection)
    }
    yield* layers(accepted, connection).pipe(
      Effect.flatMap((transport) => handler(transport, opened)),
      Effect.catchAll((failure) => Effect.sync(() => connection.failure = failure))
    )
  })
