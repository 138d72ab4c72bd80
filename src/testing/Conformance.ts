/**
 * What the contract of a transport promises, as checks that any transport can be put to: for authors of drivers and of
 * network layers. They are data, and need no test runner.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Limits, Transport } from "../Transport.ts"
import type { Entry } from "./internal/check.ts"
import { Unexpected } from "./internal/check.ts"
import { aborting, closing, lifetime } from "./internal/ending.ts"
import { interruption } from "./internal/interruption.ts"
import { handling, reading, transfer } from "./internal/reading.ts"
import { halfClose, pressure } from "./internal/writing.ts"

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
export type MakePair = (
  limits: Limits
) => Effect.Effect<readonly [Transport, Transport], unknown, Scope.Scope>

/**
 * What is checked, and what it lacks by its nature.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  readonly makePair: MakePair
  /** Each direction ends by itself: `true`. */
  readonly halfClose?: boolean | undefined
  /** An abort is a `ConnectionReset` for the peer, and never looks like an end: `true`. */
  readonly reset?: boolean | undefined
  /** Each side's local address is the other side's remote address: `true`. */
  readonly mirroredAddresses?: boolean | undefined
  /**
   * More bytes than lie between two ends of which one does not read: 8 MiB, which is more than TCP's buffers hold. Less
   * for a carrier that holds less, and makes small chunks.
   */
  readonly bulk?: number | undefined
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
  /** What a subject must not lack. */
  readonly needs: ReadonlyArray<"halfClose" | "reset" | "mirroredAddresses">
  /**
   * Makes pairs and looks. Whatever was made is gone when it completes. Runs with real input and output: it waits for
   * events, and `timeout` (10 seconds by default, by the Clock) is for a transport that lets it wait for ever.
   */
  readonly run: (
    subject: Subject,
    options?: { readonly timeout?: Duration.DurationInput | undefined }
  ) => Effect.Effect<void, ConformanceFailure>
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

/** A pair that is gone with the check, whatever state the check has left it in: no close has to wait for a deadline. */
const open = (makePair: MakePair) => (limits: Limits = {}) =>
  Effect.tap(
    makePair(limits),
    ([left, right]) =>
      Effect.addFinalizer(() =>
        Effect.asVoid(Effect.forkDaemon(Effect.all([left.abort, right.abort], { concurrency: "unbounded" })))
      )
  )

const explain = (check: string, cause: Cause.Cause<unknown>): ConformanceFailure => {
  const failure = Cause.squash(cause)
  return failure instanceof Unexpected
    ? new ConformanceFailure({ check, expected: failure.expected, seen: failure.seen })
    : new ConformanceFailure({ check, expected: "no failure of the check itself", seen: Cause.pretty(cause) })
}

const make = ({ body, name, needs }: Entry): Check => ({
  name,
  needs,
  run: ({ bulk = 8 * 1024 * 1024, makePair }, { timeout = Duration.seconds(10) } = {}) =>
    body({ open: open(makePair), makePair, bulk }).pipe(
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () =>
          new Unexpected({
            expected: "everything that is waited for comes",
            seen: `nothing for ${Duration.format(Duration.decode(timeout))}`
          })
      }),
      Effect.scoped,
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.interrupt : Effect.fail(explain(name, cause))
      ),
      Effect.asVoid
    )
})

/**
 * All checks. Each is independent of the others.
 *
 * @since 0.1.0
 * @category checks
 */
export const checks: ReadonlyArray<Check> = [
  ...transfer,
  ...reading,
  ...handling,
  ...pressure,
  ...halfClose,
  ...closing,
  ...aborting,
  ...interruption,
  ...lifetime
].map(make)

/**
 * The checks that apply to a subject: those that need nothing that it lacks.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Conformance from "effect-transport/testing/Conformance"
 *
 * const subject: Conformance.Subject = { makePair: MemoryTransport.pair, bulk: 300_000 }
 *
 * // In a test runner, each of them is a test of its own: for (const check of …) it.live(check.name, () => check.run(subject))
 * await Effect.runPromise(Effect.forEach(Conformance.checksFor(subject), (check) => check.run(subject)))
 * ```
 *
 * @since 0.1.0
 * @category checks
 */
export const checksFor = (subject: Subject): ReadonlyArray<Check> =>
  checks.filter(({ needs }) => needs.every((capability) => subject[capability] ?? true))

/**
 * The same subject seen from the other end.
 *
 * @since 0.1.0
 * @category combinators
 */
export const flip = (subject: Subject): Subject => ({
  ...subject,
  makePair: (limits) => Effect.map(subject.makePair(limits), ([left, right]) => [right, left])
})
