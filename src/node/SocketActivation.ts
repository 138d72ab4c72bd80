/**
 * Listening sockets that were open before this process began: a service manager holds them, so that the service is
 * restarted, or started by its first client, without a refused connection (systemd.socket(5)).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import cluster from "node:cluster"
import type * as Address from "../Address.ts"
import type { ListenError } from "../ConnectionError.ts"
import type { Listener } from "../Listener.ts"
import type { ListenOptions } from "../Network.ts"
import { countFor, firstDescriptor } from "./internal/activation.ts"
import * as Tcp from "./Tcp.ts"

/**
 * A listener over a socket that was passed to this process.
 *
 * @since 0.1.0
 * @category models
 */
export interface Activated {
  /** What the manager calls it (`FileDescriptorName=`, systemd.socket(5)): `unknown` if it has no name. */
  readonly name: string
  readonly listener: Listener<Address.TcpAddress | Address.UnixAddress>
}

/**
 * The listeners that this process was started with, in the order of the manager's configuration: TCP and UNIX sockets. They
 * are closed with the Scope; the manager keeps its own descriptors, and whoever connects meanwhile waits for the next process.
 *
 * Empty if the process was not started so: `LISTEN_PID` is not this process, or `LISTEN_FDS` is no decimal number of them
 * (sd_listen_fds(3)).
 * In a worker of `Cluster` it gives what the primary was started with, shared by all workers, and closed with the last one.
 * Fails with `InvalidDescriptor` for what cannot listen. To be run once.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Address from "effect-transport/Address"
 * import * as SocketActivation from "effect-transport/node/SocketActivation"
 * import * as Tcp from "effect-transport/node/Tcp"
 * import * as Server from "effect-transport/server/Server"
 *
 * // On the manager's sockets, or on its own where there is no manager.
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const activated = yield* SocketActivation.listeners()
 *   const listeners = activated.length > 0
 *     ? activated.map(({ listener }) => listener)
 *     : [yield* Tcp.listen(Address.tcp("127.0.0.1", 4000))]
 *   return yield* Server.serve(listeners, ({ forEach, write }) => forEach(write))
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const listeners = (
  options: ListenOptions = {}
): Effect.Effect<ReadonlyArray<Activated>, ListenError, Scope.Scope> =>
  Effect.suspend(() => {
    const names = process.env["LISTEN_FDNAMES"]?.split(":") ?? []
    // A worker of a cluster listens on descriptors of its primary.
    const count = countFor(process.pid) || (cluster.isWorker ? countFor(process.ppid) : 0)
    // One by one: it may be any number, and the first that cannot listen is the end.
    return Effect.loop(0, {
      while: (index) => index < count,
      step: (index) => index + 1,
      body: (index) =>
        Effect.map(
          Tcp.adopt(firstDescriptor + index, options),
          (listener): Activated => ({ name: names[index] || "unknown", listener })
        )
    })
  })
