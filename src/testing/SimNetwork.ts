/**
 * A network in memory, with hosts, time and faults: the `Network` that programs are tested on, without changing a line
 * of them. It goes by Effect's Clock; what happens on it is a function of its seed and its rules.
 *
 * Simulated are names and addresses, ports and descriptors, TCP with handshakes, segments, windows, retransmission,
 * keep-alive, half-close, resets and TIME_WAIT (see `Rule` for what may befall them). A program cannot tell it from the real
 * loopback by what it sees; `test/testing/parity.test.ts` asserts that of one behaviour after the other.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Address from "../Address.ts"
import * as ConnectionError from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import { async } from "../internal/async.ts"
import { firstOf } from "../internal/firstOf.ts"
import { settable } from "../internal/settable.ts"
import * as Listener from "../Listener.ts"
import * as Network from "../Network.ts"
import type { Transport } from "../Transport.ts"
import type { Host } from "./internal/sim/host.ts"
import { Simulation } from "./internal/sim/simulation.ts"
import type { TcpConnection } from "./internal/sim/tcp.ts"
import { failure } from "./internal/sim/tcp.ts"
import type { Rule } from "./Rule.ts"
import type { TraceEvent } from "./Trace.ts"
import * as VirtualClock from "./VirtualClock.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface HostOptions {
  /** Its addresses, besides loopback's: the n-th host has `10.0.0.n` and `fd00::n`. */
  readonly addresses?: ReadonlyArray<string> | undefined
  /** Names that are looked up to these addresses, besides the host's own. */
  readonly aliases?: ReadonlyArray<string> | undefined
  /** Sockets that it can hold: 1024. */
  readonly maxDescriptors?: number | undefined
  /** The ports that are given to whoever asks for any: 32768 to 60999 (ip(7)). */
  readonly ephemeralPorts?: readonly [first: number, last: number] | undefined
  /** Bytes of each connection that the kernel holds for sending: 65536. */
  readonly sendBuffer?: number | undefined
  /** Bytes of each connection that the kernel holds for reading, which is the window that the peer sees: 65536. */
  readonly receiveBuffer?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** What all chance comes from: 0. The same seed, rules and program give the same run. */
  readonly seed?: number | undefined
  /** The hosts. There is always one more, `localhost`, on which programs run that are not put `on` another. */
  readonly hosts?: ReadonlyArray<string> | Readonly<Record<string, HostOptions>> | undefined
  readonly rules?: ReadonlyArray<Rule> | undefined
  /** The time from one host to another, at random between two bounds: 0.5 to 1.5 ms. On loopback it is 20 µs. */
  readonly latency?: Duration.DurationInput | readonly [Duration.DurationInput, Duration.DurationInput] | undefined
  /** The most bytes of payload in one segment: 1460, and on loopback 65,483. */
  readonly mss?: number | undefined
  /** So many events are kept for `trace`, the latest ones: 10,000. */
  readonly traceLimit?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RunOptions extends Options, Pick<VirtualClock.Options, "limit"> {}

/**
 * A socket of the simulation, as ss(8) would show it.
 *
 * @since 0.1.0
 * @category models
 */
export interface SocketState {
  readonly host: string
  /** `LISTEN`, or a state of RFC 9293 §3.3.2. */
  readonly state: string
  readonly local: Address.TcpAddress
  readonly remote: Address.TcpAddress | undefined
  /** Bytes that are not yet acknowledged. */
  readonly sendQueue: number
  /** Bytes that are not yet read; of a listener, handshakes that are not done. */
  readonly receiveQueue: number
}

/**
 * The simulation, beside the `Network` that it is for each of its hosts.
 *
 * @since 0.1.0
 * @category tags
 */
export class SimNetwork extends Context.Tag("effect-transport/testing/SimNetwork")<SimNetwork, {
  /** The names of all hosts. */
  readonly hosts: ReadonlyArray<string>
  /** The network as that host sees it. */
  readonly networkOf: (host: string) => Network.Network["Type"]
  /** The first address of the host of that family, with a port: IPv4. */
  readonly addressOf: (host: string, port: number, family?: Address.Family) => Address.TcpAddress
  /** The rule holds until the Scope ends. */
  readonly apply: (rule: Rule) => Effect.Effect<void, never, Scope.Scope>
  /** The host is without power until it is restarted. See `Rule.crash`. */
  readonly crash: (host: string) => Effect.Effect<void>
  /** The host has power again, whatever took it, and the programs that were booted on it start anew. */
  readonly restart: (host: string) => Effect.Effect<void>
  /** Suspends until the host has lost its power, or has none. */
  readonly crashed: (host: string) => Effect.Effect<void>
  /** Suspends until the host has power. */
  readonly running: (host: string) => Effect.Effect<void>
  /** What happened until now; see `traceLimit`. */
  readonly trace: () => ReadonlyArray<TraceEvent>
  /** A number that differs when anything at all that happened does. */
  readonly fingerprint: () => number
  /** All sockets that there are. */
  readonly sockets: () => ReadonlyArray<SocketState>
}>() {}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A simulation by itself, which ends with the Scope; `layer` and `run` provide one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<SimNetwork["Type"], never, Scope.Scope> =>
  Effect.flatMap(Effect.clock, (clock) => {
    const simulation = new Simulation(clock, {
      seed: options.seed ?? 0,
      latency: bounds(options.latency),
      traceLimit: options.traceLimit ?? 10_000
    })
    addHosts(simulation, options)
    const networks = new Map(
      [...simulation.hosts.values()].map((host) => [host.name, networkOf(simulation, host, clock)] as const)
    )
    const known = (name: string): Host => {
      const host = simulation.hosts.get(name)
      if (host !== undefined) return host
      throw new RangeError(`There is no host ${JSON.stringify(name)}, only ${[...simulation.hosts.keys()].join(", ")}`)
    }
    const checked = (rule: Rule): Rule => {
      for (const name of hostsOf(rule)) known(name)
      return rule
    }
    const power = (name: string, up: boolean) =>
      async<void>((resume) => {
        const host = known(name)
        const remove = simulation.onPower((changed) => {
          if (changed !== host || changed.up !== up) return
          remove()
          resume(Effect.void)
        })
        return remove
      })
    const crashed = (name: string) => Effect.suspend(() => known(name).up ? power(name, false) : Effect.void)
    // By the time that it looks, the host may have crashed again.
    const running = (name: string): Effect.Effect<void> =>
      Effect.suspend(() => known(name).up ? Effect.void : Effect.zipRight(power(name, true), running(name)))
    const sim: SimNetwork["Type"] = {
      hosts: [...simulation.hosts.keys()],
      networkOf: (name) => networks.get(known(name).name)!,
      addressOf: (name, port, family = "IPv4") => {
        const host = known(name).settings.addresses.find((address) => Address.tcp(address, 0).family === family)
        if (host === undefined) throw new RangeError(`The host ${JSON.stringify(name)} has no ${family} address`)
        return Address.tcp(host, port)
      },
      apply: (rule) =>
        Effect.asVoid(
          Effect.acquireRelease(
            Effect.sync(() => simulation.apply(checked(rule))),
            (remove) => Effect.sync(remove)
          )
        ),
      crash: (name) => Effect.sync(() => simulation.powerOff(known(name).name, "crash")),
      restart: (name) => Effect.sync(() => simulation.powerOn(known(name).name)),
      crashed,
      running,
      trace: () => simulation.history.latest,
      fingerprint: () => simulation.history.fingerprint,
      sockets: () => [...simulation.hosts.values()].flatMap((host) => host.sockets)
    }
    for (const rule of options.rules ?? []) simulation.apply(checked(rule))
    return Effect.acquireRelease(Effect.succeed(sim), () => Effect.sync(() => simulation.end()))
  })

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * The simulation, and the network as the host `localhost` sees it.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Network from "effect-transport/Network"
 * import * as Rule from "effect-transport/testing/Rule"
 * import * as SimNetwork from "effect-transport/testing/SimNetwork"
 * import * as VirtualClock from "effect-transport/testing/VirtualClock"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const sim = yield* SimNetwork.SimNetwork
 *   const listener = yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
 *   const client = yield* SimNetwork.on(Network.connect(listener.address), "client")
 *   return `${client.remoteAddress}`
 * }))
 *
 * const slow = SimNetwork.layer({ hosts: ["server", "client"], rules: [Rule.delay({ by: "10 seconds" })] })
 *
 * console.log(await Effect.runPromise(VirtualClock.run(Effect.provide(program, slow)))) // 10.0.0.1:80
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<SimNetwork | Network.Network> =>
  Layer.scopedContext(
    Effect.map(make(options), (sim) =>
      Context.make(SimNetwork, sim).pipe(Context.add(Network.Network, sim.networkOf("localhost"))))
  )

/**
 * Runs a program on a simulation of its own, in virtual time, with all of Effect's `Random` from the same seed.
 *
 * Fails as the program does, with `Deadlock` when everything waits for ever, and with `TimeLimitExceeded` when a `limit` is over.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Network from "effect-transport/Network"
 * import * as SimNetwork from "effect-transport/testing/SimNetwork"
 *
 * const refused = Effect.scoped(Effect.flip(Effect.flatMap(
 *   SimNetwork.SimNetwork,
 *   (sim) => Network.connect(sim.addressOf("server", 80))
 * )))
 *
 * console.log((await Effect.runPromise(SimNetwork.run(refused, { hosts: ["server"] })))._tag) // ConnectionRefused
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const run = <A, E, R>(
  program: Effect.Effect<A, E, R>,
  options: RunOptions = {}
): Effect.Effect<
  A,
  E | VirtualClock.Deadlock | VirtualClock.TimeLimitExceeded,
  Exclude<R, SimNetwork | Network.Network>
> =>
  VirtualClock.run(
    program.pipe(Effect.provide(layer(options)), Effect.withRandom(Random.make(options.seed ?? 0))),
    { limit: options.limit }
  )

// -----------------------------------------------------------------------------
// hosts
// -----------------------------------------------------------------------------

/**
 * The program with the network as that host sees it. Dies with a `RangeError` if there is no such host.
 *
 * A crash of the host does not stop the program, whose connections and listeners fail then; see `boot`.
 *
 * @since 0.1.0
 * @category hosts
 */
export const on: {
  (
    host: string
  ): <A, E, R>(program: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Network.Network> | SimNetwork>
  <A, E, R>(
    program: Effect.Effect<A, E, R>,
    host: string
  ): Effect.Effect<A, E, Exclude<R, Network.Network> | SimNetwork>
} = dual(
  2,
  <A, E, R>(
    program: Effect.Effect<A, E, R>,
    host: string
  ): Effect.Effect<A, E, Exclude<R, Network.Network> | SimNetwork> =>
    Effect.flatMap(SimNetwork, (sim) => Effect.provideService(program, Network.Network, sim.networkOf(host)))
)

/**
 * Starts a program on a host, as if it were started with it: when the host crashes, it is interrupted, and what it has sent
 * and not yet got out is gone; when the host restarts, it starts anew. It has a Scope of its own each time.
 *
 * Gives the fiber that looks after it, which ends when the program does by itself, as it did. Interrupted with the Scope.
 *
 * @since 0.1.0
 * @category hosts
 */
export const boot: {
  (host: string): <A, E, R>(program: Effect.Effect<A, E, R>) => Booted<A, E, R>
  <A, E, R>(program: Effect.Effect<A, E, R>, host: string): Booted<A, E, R>
} = dual(
  2,
  <A, E, R>(program: Effect.Effect<A, E, R>, host: string) =>
    Effect.flatMap(SimNetwork, (sim) => {
      const once = Effect.scoped(on(program, host))
      const life: Effect.Effect<A, E, Exclude<R, Network.Network | Scope.Scope> | SimNetwork> = Effect.gen(function*() {
        yield* sim.running(host)
        const exit = yield* firstOf(Effect.exit(once), sim.crashed(host))
        return exit === undefined ? yield* life : yield* exit
      }) as Effect.Effect<A, E, Exclude<R, Network.Network | Scope.Scope> | SimNetwork>
      return Effect.forkScoped(life)
    })
)

type Booted<A, E, R> = Effect.Effect<
  Fiber.RuntimeFiber<A, E>,
  never,
  Exclude<R, Network.Network | Scope.Scope> | SimNetwork | Scope.Scope
>

// -----------------------------------------------------------------------------
// the service
// -----------------------------------------------------------------------------

const toMillis = Duration.toMillis

const bounds = (latency: Options["latency"]): readonly [number, number] =>
  latency === undefined
    ? [0.5, 1.5]
    : isBounds(latency)
    ? [toMillis(latency[0]), toMillis(latency[1])]
    : [toMillis(latency), toMillis(latency)]

/** Not the pair of seconds and nanoseconds that a duration can be as well. */
const isBounds = (
  latency: NonNullable<Options["latency"]>
): latency is readonly [Duration.DurationInput, Duration.DurationInput] => Array.isArray(latency)

const hostsOf = (rule: Rule): ReadonlyArray<string> => {
  switch (rule._tag) {
    case "Names":
      return []
    case "Crash":
    case "Descriptors":
      return [rule.host]
    case "Partition":
      return rule.between.flat()
    default:
      return [rule.from, rule.to, ...rule.between ?? []].filter((name) => name !== undefined)
  }
}

const addHosts = (simulation: Simulation, options: Options): void => {
  const { hosts = [], mss } = options
  const named: ReadonlyArray<readonly [string, HostOptions]> = isNames(hosts)
    ? hosts.map((name) => [name, {}])
    : Object.entries(hosts)
  const all = named.some(([name]) => name === "localhost") ? named : [...named, ["localhost", {}] as const]
  all.forEach(([name, host], index) => {
    const place = index + 1
    const addresses = (host.addresses ?? [
      `10.0.${place >> 8}.${place & 255}`,
      `fd00::${place.toString(16)}`
    ]).map((address) => Address.tcp(address, 0).host)
    simulation.addHost({
      name,
      addresses,
      mss: mss ?? 1460,
      loopbackMss: mss ?? 65_483,
      sendBuffer: host.sendBuffer ?? 65536,
      receiveBuffer: host.receiveBuffer ?? 65536,
      ephemeralPorts: host.ephemeralPorts ?? [32768, 60999],
      maxDescriptors: host.maxDescriptors ?? 1024
    })
    for (const alias of [name, ...host.aliases ?? []]) {
      simulation.names.set(alias.toLowerCase(), name === "localhost" ? ["127.0.0.1", "::1"] : addresses)
    }
  })
  simulation.names.set("localhost", ["127.0.0.1", "::1"])
}

const isNames = (hosts: NonNullable<Options["hosts"]>): hosts is ReadonlyArray<string> => Array.isArray(hosts)

// -----------------------------------------------------------------------------
// the network of one host
// -----------------------------------------------------------------------------

interface Settings {
  readonly noDelay: boolean
  readonly keepAlive: Duration.DurationInput | false
  readonly limits: Driver.ResolvedLimits
}

const settingsOf = (options: Network.SocketOptions): Settings => ({
  noDelay: options.noDelay ?? true,
  keepAlive: options.keepAlive ?? false,
  limits: Driver.resolveLimits(options)
})

const networkOf = (simulation: Simulation, host: Host, clock: Clock.Clock): Network.Network["Type"] => ({
  // Only TCP addresses give a listener, and of their kind, which the compiler cannot follow.
  listen:
    ((address: Address.Address, options: Network.ListenOptions = {}) =>
      Effect.suspend(() =>
        address._tag === "TcpAddress"
          ? listen(host, clock, address, options)
          : Effect.fail(ConnectionError.fromListenFailure(failure("EAFNOSUPPORT", "listen"), address))
      )) as Network.Network["Type"]["listen"],
  connect: (address, options = {}) =>
    Effect.suspend(() =>
      address._tag === "TcpAddress"
        ? connect(host, clock, address, options)
        : Effect.fail(
          ConnectionError.fromConnectFailure(failure("EAFNOSUPPORT", "connect"), { address, localAddress: undefined })
        )
    ),
  resolve: (name, options = {}) => Effect.suspend(() => resolve(simulation, host, name, options))
})

const openTransport = (
  connection: TcpConnection,
  settings: Settings,
  clock: Clock.Clock,
  remoteAddress: Address.TcpAddress
): Transport => {
  const { keepAlive, noDelay } = settings
  const setNoDelay = (value: boolean) => void (connection.noDelay = value)
  const setKeepAlive = (value: Duration.DurationInput | false) =>
    connection.setKeepAlive(value === false ? false : toMillis(value))
  setNoDelay(noDelay)
  setKeepAlive(keepAlive)
  return Driver.unsafeOpen({
    driver: (events) => connection.attach(events),
    localAddress: connection.local,
    remoteAddress,
    options: { noDelay: settable(noDelay, setNoDelay), keepAlive: settable(keepAlive, setKeepAlive) },
    handle: undefined,
    limits: settings.limits
  }, clock)
}

const listen = (
  host: Host,
  clock: Clock.Clock,
  address: Address.TcpAddress,
  options: Network.ListenOptions
): Effect.Effect<Listener.Listener<Address.TcpAddress>, ConnectionError.ListenError, Scope.Scope> =>
  Effect.uninterruptible(Effect.suspend(() => {
    const settings = settingsOf(options)
    const bound = host.listen(address, {
      backlog: Math.max(1, options.backlog ?? 511),
      ipv6Only: options.ipv6Only ?? false,
      accept: (connection) => offer(openTransport(connection, settings, clock, connection.remote))
    })
    if ("code" in bound) return Effect.fail(ConnectionError.fromListenFailure(bound, address))
    const { listener, offer } = Listener.make({
      address: bound.address,
      maxPending: options.maxPending ?? 128,
      stop: Effect.sync(() => host.unlisten(bound))
    })
    return Effect.as(Effect.addFinalizer(() => listener.close), listener)
  }))

const connect = (
  host: Host,
  clock: Clock.Clock,
  address: Address.TcpAddress,
  options: Network.ConnectOptions
): Effect.Effect<Transport, ConnectionError.ConnectError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const settings = settingsOf(options)
      const { localAddress } = options
      const failed = (reason: ConnectionError.SystemFailure) =>
        Effect.fail(ConnectionError.fromConnectFailure(reason, { address, localAddress }))
      if (!host.takeDescriptor()) return failed(failure("EMFILE", "connect"))
      let connection: TcpConnection | undefined
      const attempt = Effect.async<void, ConnectionError.ConnectError>((resume) => {
        const opened = host.connect(address, localAddress, (reason) =>
          resume(reason === undefined ? Effect.void : failed(reason)))
        if ("code" in opened) {
          resume(failed(opened))
        } else connection = opened
      })
      const giveUp = Effect.sync(() => {
        connection?.reset()
        host.freeDescriptor()
      })
      return Effect.zipRight(
        Effect.onExit(restore(attempt), (exit) =>
          Exit.isSuccess(exit) ? Effect.void : giveUp),
        Effect.suspend(() =>
          // As Node has it: the address that was dialled, also where it is none.
          Driver.closeWithScope(openTransport(connection!, settings, clock, address))
        )
      )
    })
  )

const resolve = (
  simulation: Simulation,
  asker: Host,
  name: string,
  options: Network.ResolveOptions
): Effect.Effect<ReadonlyArray<Address.TcpAddress>, ConnectionError.ResolveError> => {
  const port = options.port ?? 0
  const answer = (hosts: ReadonlyArray<string>) => {
    const wanted = hosts.map((host) => Address.tcp(host, port)).filter(({ family }) =>
      options.family === undefined || family === options.family
    )
    return wanted.length > 0 ? Effect.succeed(wanted) : failed("ENOTFOUND")
  }
  const failed = (code: string) =>
    Effect.fail(ConnectionError.fromResolveFailure(failure(code, "getaddrinfo"), name, options.family))
  if (Address.isLiteral(name)) return answer([name])
  const found = simulation.lookUp(asker.name, name)
  return Effect.zipRight(
    Effect.sleep(Duration.millis(found.after)),
    found.answer === "NXDOMAIN"
      ? failed("ENOTFOUND")
      : found.answer === "SERVFAIL"
      ? failed("EAI_AGAIN")
      : answer(found.answer)
  )
}
