/**
 * `net.Server` → `Listener`, once for TCP, UNIX sockets and adopted descriptors.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as net from "node:net"
import * as Address from "../../Address.ts"
import type { ListenError } from "../../ConnectionError.ts"
import * as ConnectionError from "../../ConnectionError.ts"
import * as Turn from "../../internal/turn.ts"
import * as Listener from "../../Listener.ts"
import type { ListenOptions } from "../../Network.ts"
import * as DescriptorWatch from "./descriptorWatch.ts"
import type { SocketSettings } from "./socket.ts"
import * as socket from "./socket.ts"

const acceptErrors = Metric.counter("effect_transport_accept_errors", {
  description: "Errors that Node told of listeners after they had started",
  incremental: true
})

export interface Binding<A extends Address.Address> {
  readonly settings: SocketSettings
  /** What node:net is told to listen on. */
  readonly listen: net.ListenOptions | { readonly fd: number }
  /** What stands in errors, and for a UNIX socket in `Listener.address`. */
  readonly address: A
  readonly ipv6Only?: boolean | undefined
  /** Runs once it listens, before anybody can connect. */
  readonly publish?: Effect.Effect<void, ListenError>
  /** Runs when the address is let go. */
  readonly unbind?: Effect.Effect<void>
}

/** What was really bound, of the kind that was asked for; Node knows no name of a UNIX socket that it adopted. */
const boundAddress = <A extends Address.Address>(server: net.Server, asked: A): A => {
  const bound = server.address()
  const address = bound !== null && typeof bound === "object"
    ? Address.tcp(bound.address, bound.port)
    : asked._tag === "UnixAddress"
    ? asked
    : Address.unix(bound ?? "")
  return address as A
}

/** Binds and listens; interrupted or failed, nothing is left. */
const bind = (server: net.Server, binding: Binding<Address.Address>, backlog = 511): Effect.Effect<void, ListenError> =>
  Effect.async<void, ListenError>((resume) => {
    const onListening = () => {
      server.removeListener("error", onError)
      resume(Effect.void)
    }
    const onError = (cause: unknown) => {
      server.removeListener("listening", onListening)
      resume(Effect.fail(ConnectionError.fromListenFailure(ConnectionError.systemFailure(cause), binding.address)))
    }
    server.once("listening", onListening)
    server.once("error", onError)
    try {
      // Beside the options: among those of a descriptor Node takes no notice of it.
      server.listen({ ...binding.listen, ipv6Only: binding.ipv6Only ?? false }, backlog)
    } catch (cause) {
      onError(cause)
    }
  })

/** The listener is closed with the Scope. */
export const listen = <A extends Address.Address>(
  binding: Binding<A>,
  options: ListenOptions
): Effect.Effect<Listener.Listener<A>, ListenError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const runtime = yield* Effect.runtime<never>()
      const clock = yield* Effect.clock
      const server = net.createServer({
        ...socket.socketOptions,
        ...socket.nodeOptions(binding.settings),
        pauseOnConnect: true
      })
      // Node accepts as soon as it listens, which may be turns of the event loop before this fiber goes on.
      const early: Array<net.Socket> = []
      let accept: (connection: net.Socket) => void = (connection) => early.push(connection)
      server.on("connection", (connection) => accept(connection))
      // Transient by nature (accept(2): ECONNABORTED, ENOBUFS, EPERM of a firewall): the listener lives on. On UNIX systems
      // Node 20 tells of none, since its libuv returns without a word (`uv__server_io`); elsewhere it would end the process.
      server.on("error", (cause) => {
        // Until it listens, an error is the bind's.
        if (!server.listening) return
        const { code } = ConnectionError.systemFailure(cause)
        const report = Effect.zipRight(
          Metric.increment(Metric.tagged(acceptErrors, "code", code ?? "unknown")),
          Effect.logWarning(`Accepting a connection failed, the listener goes on`, cause)
        )
        const address = Address.format(boundAddress(server, binding.address))
        Runtime.runFork(runtime)(Effect.annotateLogs(report, { listener: address }))
      })
      const stop = Effect.zipRight(
        Effect.sync(() => {
          // Not awaited: the descriptor is free at once, and the callback waits for every connection to end.
          server.close()
          for (const connection of early) connection.destroy()
        }),
        binding.unbind ?? Effect.void
      )
      const bound = Effect.try({
        try: () => boundAddress(server, binding.address),
        catch: (cause) => ConnectionError.fromListenFailure(ConnectionError.systemFailure(cause), binding.address)
      })
      const address = yield* Effect.onError(
        restore(bind(server, binding, options.backlog)).pipe(
          Effect.zipRight(binding.publish ?? Effect.void),
          Effect.zipRight(bound)
        ),
        () => stop
      )
      const isUnix = address._tag === "UnixAddress"
      const settings = { ...binding.settings, kind: isUnix ? "unix" : "tcp" } as const
      const { listener, offer } = Listener.make({ address, maxPending: options.maxPending ?? 128, stop })
      const accepted = yield* DescriptorWatch.make(address)
      // Bound to one address, all connections have it: no getsockname(2) for each. A UNIX client is unnamed, and the kernel
      // does not tell its name if it has one.
      const local = Address.isUnspecified(address) ? undefined : address
      const remote = isUnix ? Address.unix("") : undefined
      accept = Turn.event((connection: net.Socket) => {
        accepted()
        offer(socket.unsafeOpen(connection, settings, local, remote, clock))
      })
      for (const connection of early.splice(0)) accept(connection)
      yield* Effect.addFinalizer(() => listener.close)
      return listener
    })
  )
