/**
 * Dialling: from a name or a path to an open connection, within one deadline.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import type { Pipeable } from "effect/Pipeable"
import { Prototype } from "effect/Pipeable"
import { hasProperty } from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Address from "./Address.ts"
import * as ConnectionError from "./ConnectionError.ts"
import * as Endpoint from "./Endpoint.ts"
import { Bell } from "./internal/bell.ts"
import { firstOf } from "./internal/firstOf.ts"
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
export interface Connector<out E = ConnectionError.ConnectionLost, out Err = never> extends Pipeable {
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
  /**
   * Where a name has several addresses: how long an attempt may go on before the next one is started beside it. 250
   * milliseconds, at least 10, as in RFC 8305; `Infinity` for one after the other, each when the one before it has failed.
   */
  readonly attemptDelay?: Duration.DurationInput | undefined
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
 * Connects to a TCP port of a host: resolves the name and races its addresses (RFC 8305, "happy eyeballs"), in the order
 * of the resolver, IPv6 and IPv4 in turn. The next one is tried when the last one has failed, or after `attemptDelay`
 * beside it; the first that answers wins, and nothing is left of the others. The system's resolver is trusted in its order
 * (RFC 6724), and it waits for the answers of both families itself.
 *
 * - `HostNotFound`, `ResolverUnavailable`, `TooManyOpenFiles` with a `host`: there is nothing to try.
 * - All tries failed: the first one's error. Were there several, its `attempts` lists them all (`ConnectionReset`,
 *   `PermissionDenied`, `TooManyOpenFiles` and `AddressUnsupported` have no such list).
 * - `ConnectTimeout`: the deadline has passed; `phase` tells in what, and `attempts` what was tried, also what was under way.
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
    Effect.map(Network.resolve(host, { port, family: options.localAddress?.family }), alternating),
    options
  )
}

/**
 * Connects to a UNIX socket by its path, or by an abstract name after a NUL (unix(7)).
 *
 * @since 0.1.0
 * @category constructors
 */
export const unix = (path: string, options: Omit<Options, "attemptDelay"> = {}): Connector => {
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
  return connectorOf({ target, timeout, connect: withOwnScope(dial) })
})

// -----------------------------------------------------------------------------
// one dial
// -----------------------------------------------------------------------------

const defaultTimeout = Duration.seconds(30)

/** RFC 8305 §8 recommends it. */
const defaultAttemptDelay = Duration.millis(250)

/** In milliseconds: RFC 8305 §8 forbids less. */
const leastAttemptDelay = 10

const connectorOf = <E, Err = never>(
  members: Pick<Connector<E, Err>, "target" | "timeout" | "connect">
): Connector<E, Err> => ({ ...Prototype, ...members, [TypeId]: TypeId })

type Dial<A, Err = never> = Effect.Effect<A, ConnectionError.ConnectError | Err, Scope.Scope | Network.Network>

const dialling = (
  target: string,
  candidates: Dial<ReadonlyArray<Address.Address>>,
  { attemptDelay, timeout, ...options }: Options & Network.ConnectOptions
): Connector => {
  const duration = Duration.decode(timeout ?? defaultTimeout)
  const delay = Duration.toMillis(attemptDelay ?? defaultAttemptDelay)
  if (delay < leastAttemptDelay) {
    throw new RangeError(`attemptDelay must be ${leastAttemptDelay} milliseconds at least (RFC 8305 §8), got ${delay}`)
  }
  const dial = Effect.clockWith((clock) =>
    Effect.suspend(() => {
      const race = new Race(options, delay, () => clock.unsafeCurrentTimeMillis())
      return Effect.timeoutFail(Effect.flatMap(candidates, (addresses) => race.run(addresses)), {
        duration,
        onTimeout: () => race.timeout(target, duration)
      })
    })
  )
  return connectorOf<ConnectionError.ConnectionLost>({ target, timeout: duration, connect: withOwnScope(dial) })
}

/** The families in turn (RFC 8305 §4): a network without one of them costs one delay, however many addresses it has. */
const alternating = (addresses: ReadonlyArray<Address.TcpAddress>): ReadonlyArray<Address.TcpAddress> => {
  const [others, likeFirst] = Arr.partition(addresses, ({ family }) => family === addresses[0]!.family)
  const pairs = likeFirst.flatMap((address, index) => [address, ...others.slice(index, index + 1)])
  return [...pairs, ...others.slice(likeFirst.length)]
}

type Outcome = Exit.Exit<Transport, ConnectionError.ConnectError>

interface Attempt {
  readonly address: Address.Address
  /** In milliseconds since the first one. */
  readonly startedAfter: number
  readonly scope: Scope.CloseableScope
  readonly fiber: Fiber.RuntimeFiber<Outcome>
}

const outcome = ({ fiber }: Attempt): Outcome | undefined => {
  const exit = fiber.unsafePoll()
  return exit === null ? undefined : Exit.flatten(exit)
}

/** Neither under way, nor interrupted. */
const failure = (outcome: Outcome | undefined): ConnectionError.ConnectError | undefined =>
  outcome !== undefined && Exit.isFailure(outcome)
    ? Option.getOrUndefined(Cause.failureOption(outcome.cause))
    : undefined

/**
 * The attempts of one dial (RFC 8305 §5): after the delay, or when the last one has failed, the next one is started beside
 * those that are under way. None is given up but at the deadline, or because another one has succeeded.
 */
class Race {
  private readonly options: Network.ConnectOptions
  private readonly delay: number
  private readonly now: () => number
  private addresses: ReadonlyArray<Address.Address> = []
  private startedAt = 0
  private readonly attempts: Array<Attempt> = []
  private readonly bell = new Bell()

  constructor(options: Network.ConnectOptions, delay: number, now: () => number) {
    this.options = options
    this.delay = delay
    this.now = now
  }

  run(addresses: ReadonlyArray<Address.Address>): Dial<Transport> {
    this.addresses = addresses
    this.startedAt = this.now()
    if (addresses.length === 1) return Network.connect(addresses[0]!, this.options)
    return Effect.uninterruptibleMask((restore) => {
      const next: Dial<Transport> = Effect.suspend(() => {
        const outcomes = this.attempts.map(outcome)
        const decision = outcomes.find((outcome) => outcome !== undefined && failure(outcome) === undefined)
        if (decision !== undefined) return decision
        const wait = this.wait
        if (wait <= 0) return Effect.zipRight(this.begin(this.addresses[this.attempts.length]!), next)
        if (wait === Infinity && !outcomes.includes(undefined)) return Effect.fail(this.firstError)
        return Effect.zipRight(restore(firstOf(this.bell.await, Effect.sleep(wait))), next)
      })
      return Effect.onExit(next, (exit) => this.leave(exit))
    })
  }

  /** How long until the next attempt, in milliseconds. */
  private get wait(): number {
    const last = this.attempts.at(-1)
    if (this.attempts.length === this.addresses.length) return Infinity
    if (last === undefined || failure(outcome(last)) !== undefined) return 0
    return last.startedAfter + this.delay - this.elapsed
  }

  private get elapsed(): number {
    return this.now() - this.startedAt
  }

  private begin(address: Address.Address): Effect.Effect<void, never, Scope.Scope | Network.Network> {
    return Effect.gen(this, function*() {
      const outer = yield* Effect.scope
      const scope = yield* Scope.fork(outer, outer.strategy)
      const startedAfter = this.elapsed
      const connect = Scope.extend(Network.connect(address, this.options), scope)
      // As an Exit: a fiber that fails is logged.
      const fiber = yield* Effect.fork(Effect.exit(Effect.interruptible(connect)))
      this.attempts.push({ address, startedAfter, scope, fiber })
      fiber.addObserver(this.bell.ring)
    })
  }

  /** Nothing is left of the others, also of one that succeeded in the same moment. */
  private leave(exit: Outcome): Effect.Effect<void> {
    const winner = Exit.isSuccess(exit) ? exit.value : undefined
    const isWinner = (outcome: Outcome | undefined) =>
      outcome !== undefined && Exit.isSuccess(outcome) && outcome.value === winner
    const others = this.attempts.filter((attempt) => !isWinner(outcome(attempt)))
    return Effect.zipRight(
      Fiber.interruptAll(others.map(({ fiber }) => fiber)),
      Effect.forEach(others, ({ scope }) => Scope.close(scope, Exit.interrupt(FiberId.none)), { discard: true })
    )
  }

  /** Those that have not failed have taken too long. */
  private get failures(): ReadonlyArray<ConnectionError.ConnectAttempt> {
    return this.attempts.map((attempt) => {
      const { address, startedAfter } = attempt
      const spent = Duration.millis(this.elapsed - startedAfter)
      const error = failure(outcome(attempt)) ?? timedOut(Address.format(address), "connect", spent, [])
      return { address, startedAfter, error }
    })
  }

  /** Stands for all: the resolver put that address first. */
  private get firstError(): ConnectionError.ConnectError {
    const { failures } = this
    const { error } = failures[0]!
    return "attempts" in error ? withAttempts(error, failures) : error
  }

  timeout(target: string, duration: Duration.Duration): ConnectionError.ConnectTimeout {
    return timedOut(target, this.addresses.length === 0 ? "resolve" : "connect", duration, this.failures)
  }
}

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
