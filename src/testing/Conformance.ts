/**
 * What the contract of a transport promises, as checks that any transport can be put to: for authors of drivers and of
 * network layers. They are data, and need no test runner.
 *
 * What a carrier lacks by its nature (a reset, a half-close, …) is declared, and then the lack itself is checked: it must be
 * seen, and not look as if the thing were there.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Limits, Transport } from "../Transport.ts"
import { aborting } from "./internal/aborting.ts"
import type { Entry } from "./internal/check.ts"
import { abandoned, Unexpected } from "./internal/check.ts"
import { closing } from "./internal/closing.ts"
import { halfClose } from "./internal/halfClosing.ts"
import { handling } from "./internal/handling.ts"
import { interruption } from "./internal/interruption.ts"
import { lacking } from "./internal/lacking.ts"
import { leavingNothing } from "./internal/leftovers.ts"
import { lifetime } from "./internal/lifetime.ts"
import { reading } from "./internal/reading.ts"
import { transfer } from "./internal/transfer.ts"
import { pressure } from "./internal/writing.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * Makes two transports that are connected with each other, with these limits, tied to the Scope: the first one is the one
 * that is checked, the second one its peer.
 *
 * @since 0.1.0
 * @category models
 */
export type MakePair<R = never> = (
  limits: Limits
) => Effect.Effect<readonly [Transport, Transport], unknown, R | Scope.Scope>

/**
 * What a transport has, or lacks by its nature. TCP has all of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Capabilities {
  /** Each direction ends by itself: `true`. Without, the end of one is the end of both. */
  readonly halfClose?: boolean | undefined
  /** An abort is a `ConnectionReset` for the peer, and never looks like an end: `true`. */
  readonly reset?: boolean | undefined
  /** Each side's local address is the other side's remote address: `true`. */
  readonly mirroredAddresses?: boolean | undefined
  /** `options.noDelay` can be set: `true`. Without, it is `undefined`. */
  readonly noDelay?: boolean | undefined
  /** `options.keepAlive` can be set: `true`. Without, it is `undefined`. */
  readonly keepAlive?: boolean | undefined
  /**
   * More bytes than lie between two ends of which one does not read: 8 MiB, which is more than TCP's buffers hold. Less
   * for a carrier that holds less, and makes small chunks.
   */
  readonly bulk?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type Capability = "halfClose" | "reset" | "mirroredAddresses" | "noDelay" | "keepAlive"

/**
 * @since 0.1.0
 * @category models
 */
export interface CheckOptions {
  /** How long a transport may let a check wait, by the Clock: 10 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * One promise.
 *
 * @since 0.1.0
 * @category models
 */
export interface Check {
  /** What is promised. */
  readonly name: string
  /** It is a promise of transports that have these. */
  readonly needs: ReadonlyArray<Capability>
  /** It is a promise of transports that lack these only. */
  readonly lacks: ReadonlyArray<Capability>
  /**
   * Makes pairs and looks. Fails with what does not hold; dies and is interrupted of nothing that a transport does.
   *
   * When the promise holds, it is looked at what is left: each transport is over, nobody waits, and no fiber and no timer of
   * the Clock is there that was not there before. (Only the host knows of its descriptors, its listeners and its own timers:
   * look at those around the check.)
   *
   * It waits for events, by the Clock: run it with the live one, or in a `VirtualClock`. `TestClock` would have to be moved.
   */
  readonly run: <R = never>(
    makePair: MakePair<R>,
    options?: CheckOptions
  ) => Effect.Effect<void, ConformanceFailure, Exclude<R, Scope.Scope>>
}

/**
 * A transport does not keep a promise.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConformanceFailure extends Data.TaggedError("ConformanceFailure")<{
  /** The name of the check. */
  readonly check: string
  readonly expected: string
  readonly seen: string
}> {
  override get message() {
    return `"${this.check}" does not hold. Expected: ${this.expected}. Seen: ${this.seen}.`
  }
}

// -----------------------------------------------------------------------------
// the checks
// -----------------------------------------------------------------------------

const explain = (check: string, cause: Cause.Cause<unknown>): ConformanceFailure => {
  const failure = Cause.squash(cause)
  return failure instanceof Unexpected
    ? new ConformanceFailure({ check, expected: failure.expected, seen: failure.seen })
    : new ConformanceFailure({ check, expected: "no failure of the check itself", seen: Cause.pretty(cause) })
}

const run = (
  { body, name }: Entry,
  makePair: MakePair,
  bulk: number,
  timeout: Duration.DurationInput
): Effect.Effect<void, ConformanceFailure> =>
  leavingNothing((opened) => {
    const make: MakePair = (limits) => Effect.tap(makePair(limits), (pair) => Effect.sync(() => pair.forEach(opened)))
    const open = (limits: Limits = {}) => Effect.tap(make(limits), abandoned)
    return Effect.scoped(body({ open, makePair: make, bulk }))
  }).pipe(
    // What does not even let itself be interrupted is left behind.
    Effect.disconnect,
    Effect.timeoutFail({
      duration: timeout,
      onTimeout: () =>
        new Unexpected({
          expected: "everything that is waited for comes",
          seen: `nothing for ${Duration.format(Duration.decode(timeout))}`
        })
    }),
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause) ? Effect.interrupt : Effect.fail(explain(name, cause))
    ),
    Effect.asVoid
  )

const entries: ReadonlyArray<Entry> = [
  ...transfer,
  ...reading,
  ...handling,
  ...pressure,
  ...halfClose,
  ...closing,
  ...aborting,
  ...interruption,
  ...lifetime,
  ...lacking
]

/**
 * The checks for a transport with these capabilities, each independent of the others: what it promises, and that what it
 * lacks is seen to be lacking.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Conformance from "effect-transport/testing/Conformance"
 * import * as VirtualClock from "effect-transport/testing/VirtualClock"
 *
 * const checks = Conformance.checks({ noDelay: false, keepAlive: false, bulk: 300_000 })
 *
 * // In a test runner, each of them is a test of its own:
 * // for (const check of checks) it.live(check.name, () => check.run(MemoryTransport.pair))
 * await Effect.runPromise(Effect.forEach(checks, (check) => VirtualClock.run(check.run(MemoryTransport.pair))))
 * ```
 *
 * @since 0.1.0
 * @category checks
 */
export const checks = (capabilities: Capabilities = {}): ReadonlyArray<Check> => {
  const { bulk = 8 * 1024 * 1024 } = capabilities
  const has = (capability: Capability) => capabilities[capability] ?? true
  return entries
    .filter(({ lacks, needs }) => needs.every(has) && !lacks.some(has))
    .map((entry) => ({
      name: entry.name,
      needs: entry.needs,
      lacks: entry.lacks,
      // What the pair needs, it finds in the context of the fiber.
      run: <R>(makePair: MakePair<R>, { timeout = Duration.seconds(10) }: CheckOptions = {}) =>
        run(entry, makePair as MakePair, bulk, timeout)
    }))
}

/**
 * The same pair, seen from the other end: a transport is to be checked at both.
 *
 * @since 0.1.0
 * @category combinators
 */
export const flip = <R = never>(makePair: MakePair<R>): MakePair<R> => (limits) =>
  Effect.map(makePair(limits), ([left, right]) => [right, left])
