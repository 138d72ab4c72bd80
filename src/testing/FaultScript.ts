/**
 * Fault scripts: lists of `Rule`s made at random, under which a program has to keep its promises. A script that breaks one
 * shrinks to the shortest that still does, and is printed so that it can be run again.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type * as Network from "../Network.ts"
import { parametersOf } from "./internal/runs.ts"
import * as Rule from "./Rule.ts"
import * as SimNetwork from "./SimNetwork.ts"
import type { TraceEvent } from "./Trace.ts"
import * as VirtualClock from "./VirtualClock.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The faults that scripts are made of: kinds of rules.
 *
 * @since 0.1.0
 * @category models
 */
export type Kind = Exclude<Rule.Rule["_tag"], "Pass">

/**
 * What scripts are like.
 *
 * @since 0.1.0
 * @category models
 */
export interface ScriptOptions {
  /** The hosts that faults befall; two at least, for faults between hosts. */
  readonly hosts: ReadonlyArray<string>
  /** Faults begin within so long: 10 seconds. */
  readonly within?: Duration.DurationInput | undefined
  /** Each fault ends after so long at the latest, so that the network heals: 5 seconds. */
  readonly longest?: Duration.DurationInput | undefined
  /** The most rules of a script: 6. */
  readonly maxRules?: number | undefined
  /** The kinds of faults: all but `Limit`, `Names` and `Descriptors`. */
  readonly kinds?: ReadonlyArray<Kind> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CheckOptions extends Omit<SimNetwork.RunOptions, "seed" | "hosts">, Omit<ScriptOptions, "hosts"> {
  readonly hosts: ReadonlyArray<string> | Readonly<Record<string, SimNetwork.HostOptions>>
  /** How many scripts are tried: 100. The environment variable `EFFECT_TRANSPORT_RUNS` counts more. */
  readonly runs?: number | undefined
  /** The most time that a run may take, by its own clock: 1 hour. One that is not over by then has failed. */
  readonly limit?: Duration.DurationInput | undefined
  /** What the scripts come from; at random if it is not given, and told in the failure. */
  readonly seed?: number | undefined
}

/**
 * The program breaks a promise under this script; no shorter one was found with which it does.
 *
 * @since 0.1.0
 * @category errors
 */
export class FaultScriptFailed<E = unknown> extends Data.TaggedError("FaultScriptFailed")<{
  /** What `SimNetwork.run` is to be given to see it again. */
  readonly seed: number
  readonly hosts: CheckOptions["hosts"]
  readonly latency: CheckOptions["latency"]
  readonly mss: CheckOptions["mss"]
  readonly traceLimit: CheckOptions["traceLimit"]
  readonly limit: CheckOptions["limit"]
  readonly rules: ReadonlyArray<Rule.Rule>
  /** What the program failed with, `SimNetwork.run`'s `Deadlock` and `TimeLimitExceeded` included. */
  readonly cause: Cause.Cause<E>
  /** What happened on the network in that run, for `Trace.format`; see `traceLimit`. */
  readonly trace: () => ReadonlyArray<TraceEvent>
  /** How many scripts were tried, and how often the failing one became shorter. */
  readonly runs: number
  readonly shrinks: number
  /** With which `check` finds it again. */
  readonly checkSeed: number
}> {
  override get message() {
    const { hosts, latency, limit, mss, rules, seed, traceLimit } = this
    const options = Object.entries({ seed, hosts, latency, mss, traceLimit, limit })
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `  ${name}: ${formatValue(value)},\n`)
    return `The program fails under a fault script (the ${ordinal(this.runs)} that was tried with the seed ` +
      `${this.checkSeed}, shrunk ${this.shrinks} times). See it again with\n\n` +
      `SimNetwork.run(program, {\n${options.join("")}` +
      `  rules: ${format(rules).replaceAll("\n", "\n  ")}\n})\n\n` +
      Cause.pretty(this.cause)
  }
}

const isOverLimit = (cause: Cause.Cause<unknown>): boolean =>
  Chunk.some(Cause.failures(cause), (failure) => failure instanceof VirtualClock.TimeLimitExceeded)

const ordinal = (n: number): string => {
  const suffix = n % 100 > 10 && n % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][n % 10] ?? "th"
  return `${n}${suffix}`
}

// -----------------------------------------------------------------------------
// arbitraries
// -----------------------------------------------------------------------------

const everyKind: ReadonlyArray<Kind> = [
  "Delay",
  "Drop",
  "Partition",
  "Crash",
  "Reset",
  "Duplicate",
  "Stall",
  "SlowClose",
  "Bandwidth",
  "Slice",
  "Down",
  "Unreachable"
]

/** Milliseconds: fine enough to fall between any two things that happen, coarse enough to shrink fast. */
const step = 100

const millis = (n: number): Duration.DurationInput => `${n} millis`

/**
 * Scripts. They shrink to fewer rules, to shorter and earlier ones, and to the hosts and kinds that come first.
 *
 * @example
 * ```ts
 * import * as FastCheck from "effect/FastCheck"
 * import * as FaultScript from "effect-transport/testing/FaultScript"
 *
 * const scripts = FaultScript.arbitrary({ hosts: ["a", "b"], kinds: ["Partition", "Crash"], maxRules: 2 })
 *
 * for (const script of FastCheck.sample(scripts, 3)) console.log(FaultScript.format(script))
 * ```
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const arbitrary = (options: ScriptOptions): FastCheck.Arbitrary<ReadonlyArray<Rule.Rule>> => {
  const kinds = options.kinds ?? everyKind
  const make = arbitrariesOf(options)
  return FastCheck.array(FastCheck.oneof(...kinds.map((kind) => make[kind])), { maxLength: options.maxRules ?? 6 })
}

const arbitrariesOf = (options: ScriptOptions): Record<Kind, FastCheck.Arbitrary<Rule.Rule>> => {
  const { hosts } = options
  const within = Duration.toMillis(options.within ?? Duration.seconds(10))
  const longest = Duration.toMillis(options.longest ?? Duration.seconds(5))
  const duration = (most: number) => {
    const [size, max] = most < step ? [most / 10, 10] : [step, Math.floor(most / step)]
    return FastCheck.integer({ min: 1, max }).map((steps) => millis(steps * size))
  }
  const when = FastCheck.record({ at: duration(within), for: duration(longest) })
  const host = FastCheck.constantFrom(...hosts)
  const pairs = hosts.flatMap((from) => hosts.filter((to) => to !== from).map((to) => ({ from, to })))
  // Two hosts, or any that there are where there are no two.
  const where = pairs.length === 0 ? FastCheck.constant({}) : FastCheck.constantFrom(...pairs)
  const sides = pairs.length === 0
    ? FastCheck.constant<readonly [Rule.Side, Rule.Side]>([hosts, hosts])
    : FastCheck.subarray([...hosts], { minLength: 1, maxLength: hosts.length - 1 }).map(
      (left): readonly [Rule.Side, Rule.Side] => [left, hosts.filter((name) => !left.includes(name))]
    )
  const rate = FastCheck.integer({ min: 1, max: 10 }).map((tenths) => (11 - tenths) / 10)
  const bytes = FastCheck.nat(5000)
  const on = <Options>(
    make: (options: Options) => Rule.Rule,
    fields: Readonly<Record<string, FastCheck.Arbitrary<unknown>>>
  ): FastCheck.Arbitrary<Rule.Rule> =>
    FastCheck.tuple(where, FastCheck.record(fields), when)
      .map(([where, fields, when]) => make({ ...where, ...fields, ...when } as Options))
  return {
    Delay: on(Rule.delay, { by: duration(longest), jitter: duration(longest / 5) }),
    Drop: on(Rule.drop, { rate }),
    Partition: FastCheck.tuple(sides, when).map(([between, when]) => Rule.partition({ between, ...when })),
    Bandwidth: on(Rule.bandwidth, { bytesPerSecond: FastCheck.integer({ min: 100, max: 100_000 }) }),
    Slice: on(Rule.slice, { size: FastCheck.integer({ min: 1, max: 500 }), gap: duration(100) }),
    Duplicate: on(Rule.duplicate, { rate, after: duration(longest) }),
    Reset: on(Rule.reset, { afterBytes: bytes }),
    Limit: on(Rule.limit, { bytes }),
    Stall: on(Rule.stall, {}),
    SlowClose: on(Rule.slowClose, { by: duration(longest) }),
    Down: on(Rule.down, {}),
    Unreachable: on(Rule.unreachable, {}),
    Crash: FastCheck.tuple(host, when).map(([host, when]) => Rule.crash({ host, ...when })),
    Names: FastCheck.tuple(FastCheck.constantFrom("NXDOMAIN" as const, "SERVFAIL" as const), duration(longest), when)
      .map(([fails, by, when]) => Rule.names({ fails, by, ...when })),
    Descriptors: FastCheck.tuple(host, FastCheck.nat(8), when)
      .map(([host, limit, when]) => Rule.descriptors({ host, limit, ...when }))
  }
}

// -----------------------------------------------------------------------------
// printing
// -----------------------------------------------------------------------------

const formatValue = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(formatValue).join(", ")}]`
  if (Duration.isDuration(value)) return Duration.isFinite(value) ? `"${Duration.toMillis(value)} millis"` : "Infinity"
  if (typeof value === "object" && value !== null) return formatFields(value)
  if (typeof value === "string") return JSON.stringify(value)
  return typeof value === "bigint" ? `${value}n` : String(value)
}

const formatFields = (fields: object): string => {
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${/^[a-z_]\w*$/i.test(name) ? name : JSON.stringify(name)}: ${formatValue(value)}`)
  return shown.length === 0 ? "{}" : `{ ${shown.join(", ")} }`
}

const formatRule = ({ _tag, ...fields }: Rule.Rule): string =>
  `Rule.${_tag[0]!.toLowerCase()}${_tag.slice(1)}(${formatFields(fields)})`

/**
 * The script as the code that makes it.
 *
 * @example
 * ```ts
 * import * as FaultScript from "effect-transport/testing/FaultScript"
 * import * as Rule from "effect-transport/testing/Rule"
 *
 * console.log(FaultScript.format([Rule.crash({ host: "a", at: "1 second" })]))
 * // [
 * //   Rule.crash({ host: "a", at: "1 second" })
 * // ]
 * ```
 *
 * @since 0.1.0
 * @category printing
 */
export const format = (rules: ReadonlyArray<Rule.Rule>): string =>
  rules.length === 0 ? "[]" : `[\n${rules.map((rule) => `  ${formatRule(rule)}`).join(",\n")}\n]`

// -----------------------------------------------------------------------------
// checking
// -----------------------------------------------------------------------------

/**
 * Runs the program on a simulation of its own under script after script, in virtual time. It says itself what must hold, by
 * failing, or dying, if it does not.
 *
 * Completes with the number of scripts that were tried; fails with the shortest script found under which the program
 * fails. Interrupted, it stops with the run that is under way.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Network from "effect-transport/Network"
 * import * as FaultScript from "effect-transport/testing/FaultScript"
 * import * as SimNetwork from "effect-transport/testing/SimNetwork"
 *
 * // Whoever connects without trying again, and expects it to succeed, is mistaken.
 * const naive = Effect.gen(function*() {
 *   const sim = yield* SimNetwork.SimNetwork
 *   yield* SimNetwork.on(Network.listen(sim.addressOf("server", 80)), "server")
 *   yield* Effect.sleep("5 seconds")
 *   yield* SimNetwork.on(Network.connect(sim.addressOf("server", 80)), "client")
 * })
 *
 * const failure = await Effect.runPromise(Effect.flip(
 *   FaultScript.check(naive, { hosts: ["server", "client"], kinds: ["Crash"], runs: 1000 })
 * ))
 * console.log(FaultScript.format(failure.rules)) // [ Rule.crash({ host: "server", at: …, for: … }) ]
 * ```
 *
 * @since 0.1.0
 * @category checking
 */
export const check = <E, R>(
  program: Effect.Effect<unknown, E, R>,
  options: CheckOptions
): Effect.Effect<
  { readonly runs: number },
  FaultScriptFailed,
  Exclude<R, SimNetwork.SimNetwork | Network.Network | Scope.Scope>
> =>
  Effect.flatMap(
    Effect.runtime<Exclude<R, SimNetwork.SimNetwork | Network.Network | Scope.Scope>>(),
    (runtime) =>
      Effect.flatten(Effect.promise(async (signal) => {
        let cause: Cause.Cause<unknown> = Cause.empty
        let trace: () => ReadonlyArray<TraceEvent> = () => []
        const limit = options.limit ?? "1 hour"
        const names = Array.isArray(options.hosts) ? options.hosts as ReadonlyArray<string> : Object.keys(options.hosts)
        const property = FastCheck.asyncProperty(
          FastCheck.noShrink(FastCheck.nat()),
          arbitrary({ ...options, hosts: names }),
          async (seed, script) => {
            if (signal.aborted) return true
            let traceOfRun = trace
            const noting = Effect.flatMap(SimNetwork.SimNetwork, (sim) => {
              traceOfRun = sim.trace
              return Effect.scoped(program)
            })
            const run = SimNetwork.run(noting, {
              ...options,
              limit,
              seed,
              rules: [...options.rules ?? [], ...script]
            })
            const exit = await Runtime.runPromiseExit(runtime, run as Effect.Effect<unknown, unknown, never>, {
              signal
            })
            if (Exit.isSuccess(exit) || signal.aborted) return true
            cause = exit.cause
            trace = traceOfRun
            return false
          }
        )
        const details = await FastCheck.check(property, parametersOf(options.runs ?? 100, options.seed))
        if (details.counterexample === null) return Effect.succeed({ runs: details.numRuns })
        const [seed, script] = details.counterexample
        const { numRuns: runs, numShrinks: shrinks, seed: checkSeed } = details
        return Effect.fail(
          new FaultScriptFailed({
            seed,
            hosts: options.hosts,
            latency: options.latency,
            mss: options.mss,
            traceLimit: options.traceLimit,
            // Where it is what the program failed with, it takes the same limit to see that again.
            limit: isOverLimit(cause) ? limit : options.limit,
            rules: [...options.rules ?? [], ...script],
            cause,
            trace,
            runs,
            shrinks,
            checkSeed
          })
        )
      }))
  )
