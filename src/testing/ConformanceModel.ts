/**
 * A transport against a model: any order of writes, reads, ends and interruptions at both ends must do what a model of a
 * few lines says. It finds what nobody has thought of checking (`Conformance` is what somebody has), and a failure shrinks
 * to the fewest steps, printed as a test.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { Capabilities, MakePair } from "./Conformance.ts"
import { abandoned, Unexpected } from "./internal/check.ts"
import { leavingNothing } from "./internal/leftovers.ts"
import { limits, runSteps } from "./internal/modelRun.ts"
import { parametersOf } from "./internal/runs.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * One of the two transports of a pair.
 *
 * @since 0.1.0
 * @category models
 */
export type Side = "left" | "right"

/**
 * What is done at one end, or that time passes. A write or a read is started, and goes on beside the steps that follow:
 * one of each at each end at a time (a second one is passed over), until it is over or interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export type Step =
  | { readonly act: "write" | "read"; readonly end: Side; readonly bytes: number }
  | { readonly act: "interruptWrite" | "interruptRead" | "closeWrite" | "close" | "abort"; readonly end: Side }
  | { readonly act: "sleep"; readonly millis: number }

/**
 * What runs are asked for. Of the capabilities, `halfClose`, `reset` and `bulk` count: `bulk` bytes are written now and then,
 * so that writes wait; a carrier of which none is told holds nothing up.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Capabilities {
  /** Time passes as well, up to half a minute at once: for runs in virtual time. `false`. */
  readonly sleeps?: boolean | undefined
  /** How long something may take that must come, by the Clock: 2 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CheckOptions extends Options {
  /** How many lists of steps are tried: 100. The environment variable `EFFECT_TRANSPORT_RUNS`, if it is set, says it. */
  readonly runs?: number | undefined
  /** The most steps of a list: 25. */
  readonly maxSteps?: number | undefined
  /** As a failure tells it, to see the same again. */
  readonly seed?: number | undefined
}

/**
 * The transport did not do what the model says. Its message is a sentence, and a test that shows it.
 *
 * @since 0.1.0
 * @category errors
 */
export class ModelFailure extends Data.TaggedError("ModelFailure")<{
  /** The fewest that were found. */
  readonly steps: ReadonlyArray<Step>
  readonly expected: string
  readonly seen: string
  readonly options: Options
  /** With which `check` finds it again. */
  readonly seed: number | undefined
}> {
  override get message() {
    const seed = this.seed === undefined ? "" : ` (seed ${this.seed})`
    return `Expected: ${this.expected}. Seen: ${this.seen}${seed}.\n\n${this.test}`
  }

  /** A test, to be pasted: `makePair` is what was checked. */
  get test(): string {
    const { bulk, halfClose, reset, timeout } = this.options
    const given = Object.entries({ bulk, halfClose, reset, timeout }).filter(([, value]) => value !== undefined)
    const options = given.length === 0 ? "" : `, ${literal(given)}`
    const steps = this.steps.map((step) => `\n    ${literal(Object.entries(step))}`).join(",")
    return `it.live("goes by the model", () =>\n  ConformanceModel.replay(makePair, [${steps}\n  ]${options}))`
  }
}

const literal = (entries: ReadonlyArray<readonly [string, unknown]>): string =>
  `{ ${entries.map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join(", ")} }`

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/**
 * Does these steps, one after the other, with a new pair: each is started, and then it is waited for what must come by the
 * model. In the end everything that was sent is read, both sides end, and nothing may be left (see `Conformance.Check`).
 *
 * The pair is made with a high-water mark of 64 bytes, and with deadlines of 10 (`lingerTimeout`) and 20 seconds.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as ConformanceModel from "effect-transport/testing/ConformanceModel"
 *
 * await Effect.runPromise(ConformanceModel.replay(MemoryTransport.pair, [
 *   { act: "read", end: "right", bytes: 3 },
 *   { act: "write", end: "left", bytes: 2 },
 *   { act: "interruptRead", end: "right" },
 *   { act: "close", end: "left" }
 * ]))
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const replay = <R = never>(
  makePair: MakePair<R>,
  steps: ReadonlyArray<Step>,
  options: Options = {}
): Effect.Effect<void, ModelFailure, Exclude<R, Scope.Scope>> =>
  leavingNothing((opened) =>
    Effect.scoped(Effect.gen(function*() {
      const pair = yield* makePair(limits)
      pair.forEach(opened)
      yield* abandoned(pair)
      yield* runSteps(pair, steps, {
        halfClose: options.halfClose ?? true,
        reset: options.reset ?? true,
        timeout: Duration.toMillis(options.timeout ?? Duration.seconds(2))
      })
    }))
  ).pipe(
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause) ? Effect.interrupt : Effect.fail(explain(steps, options, cause))
    )
  )

const explain = (steps: ReadonlyArray<Step>, options: Options, cause: Cause.Cause<unknown>): ModelFailure => {
  const failure = Cause.squash(cause)
  const { expected, seen } = failure instanceof Unexpected
    ? failure
    : { expected: "no failure of the run itself", seen: Cause.pretty(cause) }
  return new ModelFailure({ steps, expected, seen, options, seed: undefined })
}

/**
 * Tries many lists of steps, at random, and gives how many; fails with the shortest that does not go by the model.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as ConformanceModel from "effect-transport/testing/ConformanceModel"
 * import * as VirtualClock from "effect-transport/testing/VirtualClock"
 *
 * const checked = ConformanceModel.check(MemoryTransport.pair, { bulk: 100_000, sleeps: true, runs: 10 })
 *
 * await Effect.runPromise(VirtualClock.run(checked))
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const check = <R = never>(
  makePair: MakePair<R>,
  options: CheckOptions = {}
): Effect.Effect<{ readonly runs: number }, ModelFailure, Exclude<R, Scope.Scope>> => {
  const { maxSteps = 25, runs = 100, seed } = options
  const lists = FastCheck.array(step(options), { maxLength: maxSteps, size: "max" })
  return Effect.flatMap(Effect.runtime<Exclude<R, Scope.Scope>>(), (runtime) =>
    Effect.flatMap(
      Effect.promise((signal) => {
        const property = FastCheck.asyncProperty(lists, async (steps) => {
          // Whoever interrupts does not wait for all the others.
          if (!signal.aborted) await runEither(runtime, replay(makePair, steps, options), signal)
        })
        return FastCheck.check(property, parametersOf(runs, seed))
      }),
      ({ errorInstance, numRuns, seed }) =>
        errorInstance instanceof ModelFailure
          ? Effect.fail(new ModelFailure({ ...errorInstance, seed }))
          : errorInstance === null || errorInstance === undefined
          ? Effect.succeed({ runs: numRuns })
          : Effect.die(errorInstance)
    ))
}

const runEither = async <E, R>(
  runtime: Runtime.Runtime<R>,
  effect: Effect.Effect<void, E, R>,
  signal: AbortSignal
): Promise<void> => {
  const failure = await Runtime.runPromise(runtime, Effect.either(effect), { signal })
  if (failure._tag === "Left") throw failure.left
}

const step = ({ bulk, sleeps = false }: Options): FastCheck.Arbitrary<Step> => {
  const end = FastCheck.constantFrom<Array<Side>>("left", "right")
  const few = FastCheck.integer({ min: 1, max: 40 })
  const bytes = bulk === undefined
    ? few
    : FastCheck.oneof({ withCrossShrink: true }, { arbitrary: few, weight: 9 }, FastCheck.constant(bulk))
  const act = <A extends Step["act"]>(...names: ReadonlyArray<A>) => FastCheck.constantFrom(...names)
  const steps: Array<FastCheck.WeightedArbitrary<Step>> = [
    { weight: 12, arbitrary: FastCheck.record({ act: act("write", "read"), end, bytes }) },
    { weight: 4, arbitrary: FastCheck.record({ act: act("interruptRead", "interruptWrite"), end }) },
    { weight: 3, arbitrary: FastCheck.record({ act: act("closeWrite", "close", "abort"), end }) }
  ]
  const sleep = FastCheck.record({ act: act("sleep"), millis: FastCheck.integer({ min: 1, max: 30_000 }) })
  return FastCheck.oneof(...steps, ...sleeps ? [{ weight: 1, arbitrary: sleep }] : [])
}
