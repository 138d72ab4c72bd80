/**
 * Dialling: from a name or a path to an open connection, within one deadline.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import { hasProperty } from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Address from "./Address.ts"
import * as ConnectionError from "./ConnectionError.ts"
import * as Endpoint from "./Endpoint.ts"
import * as Network from "./Network.ts"
import type { Transport } from "./Transport.ts"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-transport/Connector")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A way to get a connection (Twisted's client endpoint): a value that can be used again and again. `E` is what the
 * transports that it opens can fail with, `Err` what opening can fail with beside a `ConnectError`: a handshake's.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connector<out E = ConnectionError.ConnectionLost, out Err = never> {
  readonly [TypeId]: TypeId

  /** What is dialled, as `Endpoint.format` writes it where that is possible: for logs and errors. */
  readonly target: string

  /** The deadline of each `connect`. */
  readonly timeout: Duration.Duration

  /**
   * Opens a new connection. Suspends until it is established, or fails by the cause, at the deadline of the connector at
   * the latest. The transport is tied to the Scope: closed gracefully after success, at once after a failure or an
   * interruption. An interruption gives the attempt up; nothing of it is left.
   */
  readonly connect: Effect.Effect<Transport<E>, ConnectionError.ConnectError | Err, Scope.Scope | Network.Network>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Network.SocketOptions {
  /** The deadline for everything from the look-up of the name to the established connection: 30 seconds, as in Twisted. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface HostOptions extends Options {
  /** A name to resolve, or an IP literal, without brackets. */
  readonly host: string
  /** From 1 to 65535. */
  readonly port: number
  /** The address to connect from; port 0 lets the system choose one. Only addresses of its family are then tried. */
  readonly localAddress?: Address.TcpAddress | undefined
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isConnector = (u: unknown): u is Connector<unknown, unknown> => hasProperty(u, TypeId)

/**
 * Connects to a TCP port of a host: resolves the name and tries its addresses one after the other, in the order of the
 * resolver. The first that answers wins. (Racing them is another connector's task: this one never has two attempts open.)
 * One that never answers has its part of what is left of the deadline, 2 seconds at least, before the next one is tried.
 *
 * - `HostNotFound`, `ResolverUnavailable`, `TooManyOpenFiles` with a `host`: there is nothing to try.
 * - All tries failed: the first one's error. Were there several, its `attempts` lists them all (`ConnectionReset`,
 *   `PermissionDenied`, `TooManyOpenFiles` and `AddressUnsupported` have no such list).
 * - `ConnectTimeout`: the deadline has passed; `phase` tells in what, and `attempts` what was tried, the unfinished last.
 *
 * A host or a port that is none is a bug in the caller: a `RangeError`, thrown at once. For text from elsewhere there is
 * `Endpoint.parseClient`, which returns its error.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Connector from "effect-transport/Connector"
 *
 * const connector = Connector.make({ host: "localhost", port: 8080, timeout: "5 seconds" })
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const transport = yield* connector.connect
 *   yield* transport.write(new TextEncoder().encode("hello\n"))
 *   return yield* transport.pull
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ host, port, ...options }: HostOptions): Connector => {
  const endpoint = new Endpoint.TcpClient({ host, port, bindAddress: options.localAddress?.host })
  return dialling(
    Endpoint.format(endpoint),
    Network.resolve(host, { port, family: options.localAddress?.family }),
    options
  )
}

/**
 * Connects to a UNIX socket by its path, or by an abstract name after a NUL (unix(7)).
 *
 * @since 0.1.0
 * @category constructors
 */
export const unix = (path: string, options: Options = {}): Connector => {
  const address = Address.unix(path)
  return dialling(Endpoint.describeClient(address), Effect.succeed([address]), options)
}

/**
 * The connector of a description, as `Endpoint.parseClient` reads it from a configuration or a command line. A timeout in
 * the description goes before the one in the options. One with TLS needs files: that is `node/NodeEndpoint`'s.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromEndpoint = (
  endpoint: Endpoint.TcpClient | Endpoint.UnixClient,
  options: Options = {}
): Connector => {
  const timeout = endpoint.timeout ?? options.timeout
  if (endpoint._tag === "UnixClient") return unix(endpoint.address.path, { ...options, timeout })
  const { bindAddress, host, port } = endpoint
  const localAddress = bindAddress === undefined ? undefined : Address.tcp(bindAddress, 0)
  return make({ ...options, host, port, timeout, localAddress })
}

/**
 * The connector whose connections have a network layer: TLS, a limit, a tap. The making of the layer, with its handshake,
 * belongs to the connecting: it has what is left of the same deadline, after which `connect` fails with a `ConnectTimeout`
 * of the phase `handshake`; and what fails or is interrupted in it leaves no connection.
 *
 * @example
 * ```ts
 * import * as Connector from "effect-transport/Connector"
 * import * as Tls from "effect-transport/node/Tls"
 *
 * export const secured = Connector.layered(
 *   Connector.make({ host: "example.org", port: 443, timeout: "5 seconds" }),
 *   Tls.client({ serverName: "example.org" })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const layered: {
  <E1, E2, Err2>(
    layer: (transport: Transport<E1>) => Effect.Effect<Transport<E2>, Err2, Scope.Scope>
  ): <Err1>(connector: Connector<E1, Err1>) => Connector<E2, Err1 | Err2>
  <E1, Err1, E2, Err2>(
    connector: Connector<E1, Err1>,
    layer: (transport: Transport<E1>) => Effect.Effect<Transport<E2>, Err2, Scope.Scope>
  ): Connector<E2, Err1 | Err2>
} = dual(2, <E1, Err1, E2, Err2>(
  connector: Connector<E1, Err1>,
  layer: (transport: Transport<E1>) => Effect.Effect<Transport<E2>, Err2, Scope.Scope>
): Connector<E2, Err1 | Err2> => {
  const { target, timeout } = connector
  const late = () => timedOut(target, "handshake", timeout, [])
  const dial = Effect.clockWith((clock) =>
    Effect.suspend(() => {
      const deadline = clock.unsafeCurrentTimeMillis() + Duration.toMillis(timeout)
      return Effect.flatMap(connector.connect, (transport) =>
        Effect.timeoutFail(layer(transport), {
          duration: Math.max(0, deadline - clock.unsafeCurrentTimeMillis()),
          onTimeout: late
        }))
    })
  )
  return { [TypeId]: TypeId, target, timeout, connect: withOwnScope(dial) }
})

// -----------------------------------------------------------------------------
// one dial
// -----------------------------------------------------------------------------

const defaultTimeout = Duration.seconds(30)

type Dial<A, Err = never> = Effect.Effect<A, ConnectionError.ConnectError | Err, Scope.Scope | Network.Network>

const dialling = (
  target: string,
  candidates: Dial<ReadonlyArray<Address.Address>>,
  { timeout, ...options }: Options & Network.ConnectOptions
): Connector => {
  const duration = Duration.decode(timeout ?? defaultTimeout)
  const dial = Effect.clockWith((clock) =>
    Effect.suspend(() => {
      const tries = new Tries(options, duration, () => clock.unsafeCurrentTimeMillis())
      return Effect.timeoutFail(Effect.flatMap(candidates, (addresses) => tries.oneByOne(addresses)), {
        duration,
        onTimeout: () => tries.timeout(target, duration)
      })
    })
  )
  return { [TypeId]: TypeId, target, timeout: duration, connect: withOwnScope(dial) }
}

/** What was tried so far: the deadline may pass at any point of it. */
class Tries {
  private readonly options: Network.ConnectOptions
  private readonly deadline: number
  private readonly now: () => number
  private readonly attempts: Array<ConnectionError.ConnectAttempt> = []
  private addresses: ReadonlyArray<Address.Address> = []
  private started = 0
  private startedAfter = 0

  constructor(options: Network.ConnectOptions, timeout: Duration.Duration, now: () => number) {
    this.options = options
    this.deadline = now() + Duration.toMillis(timeout)
    this.now = now
  }

  oneByOne(addresses: ReadonlyArray<Address.Address>): Dial<Transport> {
    this.addresses = addresses
    this.started = this.now()
    return this.next()
  }

  private next(): Dial<Transport> {
    this.startedAfter = this.now() - this.started
    return Effect.catchAll(this.attempt(this.addresses[this.attempts.length]!), (error) => {
      this.failed(error)
      return this.attempts.length < this.addresses.length ? this.next() : Effect.fail(this.firstError())
    })
  }

  /** One that never answers leaves the others their part of the time, as in Go's `net.Dial`; the last one has all that is left. */
  private attempt(address: Address.Address): Dial<Transport> {
    const connect = Network.connect(address, this.options)
    const others = this.addresses.length - this.attempts.length - 1
    const left = this.deadline - this.now()
    if (others === 0 || left === Infinity) return connect
    const duration = Duration.millis(Math.max(left / (others + 1), leastPart))
    return withOwnScope(Effect.timeoutFail(connect, {
      duration,
      onTimeout: () => timedOut(Address.format(address), "connect", duration, [])
    }))
  }

  private failed(error: ConnectionError.ConnectError): void {
    const address = this.addresses[this.attempts.length]!
    this.attempts.push({ address, startedAfter: this.startedAfter, error })
  }

  /** Stands for all: the resolver put that address first. */
  private firstError(): ConnectionError.ConnectError {
    const { error } = this.attempts[0]!
    return this.attempts.length > 1 && "attempts" in error ? withAttempts(error, this.attempts) : error
  }

  timeout(target: string, duration: Duration.Duration): ConnectionError.ConnectTimeout {
    const { addresses, attempts } = this
    // The last one may have failed in the same moment.
    if (addresses.length > 1 && attempts.length < addresses.length) {
      const unfinished = Address.format(addresses[attempts.length]!)
      const spent = Duration.millis(this.now() - this.started - this.startedAfter)
      this.failed(timedOut(unfinished, "connect", spent, []))
    }
    return timedOut(target, addresses.length === 0 ? "resolve" : "connect", duration, attempts)
  }
}

/** In milliseconds: what an attempt has at least, as long as the deadline allows it. */
const leastPart = 2000

const timedOut = (
  target: string,
  phase: ConnectionError.ConnectTimeout["phase"],
  duration: Duration.Duration,
  attempts: ReadonlyArray<ConnectionError.ConnectAttempt>
) => new ConnectionError.ConnectTimeout({ phase, target, duration, code: undefined, cause: undefined, attempts })

type WithAttempts = Extract<ConnectionError.ConnectError, { readonly attempts: unknown }>

/** The same error once more, as it cannot be changed. Spreading leaves `cause` out: it is not enumerable. */
const withAttempts = <E extends WithAttempts>(error: E, attempts: ReadonlyArray<ConnectionError.ConnectAttempt>): E =>
  new (error.constructor as new(fields: object) => E)({ ...error, cause: error.cause, attempts })

/**
 * A Scope of its own, which ends with the caller's, and at once when the dial fails or is interrupted: a connection that
 * is established in the very moment of the deadline must not outlive it.
 */
const withOwnScope = <A, Err>(dial: Dial<A, Err>): Dial<A, Err> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const outer = yield* Effect.scope
      const scope = yield* Scope.fork(outer, outer.strategy)
      const close = (exit: Exit.Exit<unknown, unknown>) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit)
      return yield* Effect.onExit(restore(Scope.extend(dial, scope)), close)
    })
  )
