/**
 * A transport whose peer follows a script: it expects these bytes, then answers those, waits, ends, resets. For tests of a
 * client, and of a server's handler, against a conversation that is written down.
 *
 * It is a transport like every other one (`Driver.open`), so the whole contract holds of it; its peer goes by the Clock.
 * What is expected are bytes, in whatever pieces they are written.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Address } from "../Address.ts"
import { firstOf } from "../internal/firstOf.ts"
import type * as Transport from "../Transport.ts"
import { hexdump, lineOf, mark, quoted } from "./internal/hexdump.ts"
import * as Peer from "./internal/peer.ts"
import { Player } from "./internal/player.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What the peer does next, or waits for.
 *
 * - `Expect`, `ExpectAny`, `ExpectEnd`, `ExpectAbort`: until the transport under test has done it.
 * - `Send`, `End`, `Lose`: at once, also if nobody reads: it is on its way then, and is not lost.
 * - `Wait`: by the Clock.
 *
 * @since 0.1.0
 * @category models
 */
export type Step =
  | { readonly _tag: "Expect"; readonly bytes: Uint8Array }
  | { readonly _tag: "ExpectAny"; readonly count: number }
  | { readonly _tag: "ExpectEnd" }
  | { readonly _tag: "ExpectAbort" }
  | { readonly _tag: "Send"; readonly bytes: Uint8Array }
  | { readonly _tag: "End" }
  | { readonly _tag: "Lose"; readonly code: string; readonly syscall: string }
  | { readonly _tag: "Wait"; readonly duration: Duration.Duration }

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Transport.Limits {
  /** The address at the side of the transport under test: `local`, in memory. */
  readonly localAddress?: Address | undefined
  /** The address at the side of the script: `peer`, in memory. */
  readonly remoteAddress?: Address | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ScriptedTransport {
  /** What is tested uses it. */
  readonly transport: Transport.Transport
  /**
   * Suspends until the script has come to its end, or cannot any more. Fails with `ScriptMismatch` if something else was
   * written than it expects, also after its end; with `ScriptUnfinished` if the connection is over before it.
   */
  readonly finished: Effect.Effect<void, ScriptMismatch | ScriptUnfinished>
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * Something else was written than the script expects. The peer has reset the connection: what is tested sees a
 * `ConnectionReset`, of which this is the cause.
 *
 * @since 0.1.0
 * @category errors
 */
export class ScriptMismatch extends Data.TaggedError("ScriptMismatch")<{
  /** The step that expects something else: 1 is the first. One more than there are steps, if it expects nothing more. */
  readonly step: number
  /** Where the first byte that differs stands in all that was written. */
  readonly position: number
  /** From the last multiple of 16 before it; `undefined`: nothing more, but an end. Empty: more bytes, whichever. */
  readonly expected: Uint8Array | undefined
  /** From the same place; `undefined`: the end. */
  readonly seen: Uint8Array | undefined
}> {
  override get message() {
    const { expected, position, seen, step } = this
    const line = lineOf(position)
    const shown = (bytes: Uint8Array | undefined, otherwise: string) =>
      bytes === undefined ? otherwise : bytes.length === 0 ? "more bytes" : hexdump(line, bytes)
    return `Something else was written than step ${step} of the script expects, from byte ${position} on.\n` +
      `expected  ${shown(expected, "nothing more")}\n` +
      `seen      ${shown(seen, "the end")}\n` +
      `          ${mark(position - line)}`
  }
}

/**
 * The connection is over, or what was tested is, and the script is not.
 *
 * @since 0.1.0
 * @category errors
 */
export class ScriptUnfinished extends Data.TaggedError("ScriptUnfinished")<{
  /** The step that was not done: 1 is the first. */
  readonly step: number
  /** How many steps there are. */
  readonly steps: number
  readonly waitedFor: Step
  /** How many bytes have been written in all. */
  readonly position: number
}> {
  override get message() {
    return `The script came to step ${this.step} of ${this.steps}, after ${this.position} bytes were written, ` +
      `and no further: ${describe(this.waitedFor)}.`
  }
}

const describe = (step: Step): string => {
  switch (step._tag) {
    case "Expect":
      return `it expects ${quoted(step.bytes)}`
    case "ExpectAny":
      return `it expects ${step.count} bytes`
    case "ExpectEnd":
      return "it expects the end"
    case "ExpectAbort":
      return "it expects an abort"
    case "Send":
      return `it was to send ${quoted(step.bytes)}`
    case "End":
      return "it was to end"
    case "Lose":
      return `it was to fail with ${step.code}`
    case "Wait":
      return `it was to wait ${Duration.format(step.duration)}`
  }
}

// -----------------------------------------------------------------------------
// steps
// -----------------------------------------------------------------------------

const encoded = (bytes: Uint8Array | string): Uint8Array =>
  typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes

/**
 * Until these bytes (of a text: in UTF-8) have been written. They may have been already: what is written before the script
 * comes to it is not taken amiss, as long as it is what is expected next.
 *
 * @since 0.1.0
 * @category steps
 */
export const expect = (bytes: Uint8Array | string): Step => ({ _tag: "Expect", bytes: encoded(bytes) })

/**
 * Until so many bytes have been written, whatever they are: for what differs each time.
 *
 * @since 0.1.0
 * @category steps
 */
export const expectAny = (count: number): Step => ({ _tag: "ExpectAny", count })

/**
 * Until this side's end has come: after `closeWrite` or `close`. Not needed as a last step: an end is welcome then.
 *
 * @since 0.1.0
 * @category steps
 */
export const expectEnd: Step = { _tag: "ExpectEnd" }

/**
 * Until the connection is aborted by this side. What is written before, beyond what is expected, is not read.
 *
 * @since 0.1.0
 * @category steps
 */
export const expectAbort: Step = { _tag: "ExpectAbort" }

/**
 * The peer sends these bytes (of a text: in UTF-8), as one chunk.
 *
 * @since 0.1.0
 * @category steps
 */
export const send = (bytes: Uint8Array | string): Step => ({ _tag: "Send", bytes: encoded(bytes) })

/**
 * The peer ends its writing. Without this step it does so when the script has come to its end, and this side has ended.
 *
 * @since 0.1.0
 * @category steps
 */
export const end: Step = { _tag: "End" }

/**
 * The connection fails with what an operating system says: `ETIMEDOUT`, `EHOSTUNREACH` (see `ConnectionError.errnoTable`).
 * What was sent before is read before. What is written beyond what is expected is not read.
 *
 * @since 0.1.0
 * @category steps
 */
export const lose = (code: string, syscall = "read"): Step => ({ _tag: "Lose", code, syscall })

/**
 * The peer resets: `lose("ECONNRESET")`.
 *
 * @since 0.1.0
 * @category steps
 */
export const reset: Step = lose("ECONNRESET")

/**
 * The peer does nothing for so long, by the Clock, from when the script comes to this step.
 *
 * @since 0.1.0
 * @category steps
 */
export const wait = (duration: Duration.DurationInput): Step => ({ _tag: "Wait", duration: Duration.decode(duration) })

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

const open = (
  script: ReadonlyArray<Step>,
  options: Options
): Effect.Effect<{ readonly transport: Transport.Transport; readonly player: Player }, never, Scope.Scope> =>
  Effect.flatMap(Effect.clock, (clock) => {
    const player = new Player(script, clock, { ScriptMismatch, ScriptUnfinished })
    return Effect.map(Peer.open(options, player), ({ peer, transport }) => {
      player.start(peer)
      return { transport, player }
    })
  })

/**
 * A transport with a script for a peer, tied to the Scope. A script that goes on after its own end is a `RangeError`.
 *
 * When the Scope ends the peer leaves its script, takes what is written and ends: closing it waits for nobody.
 *
 * @since 0.1.0
 * @category running
 */
export const make = (
  script: ReadonlyArray<Step>,
  options: Options = {}
): Effect.Effect<ScriptedTransport, never, Scope.Scope> =>
  Effect.map(open(script, options), ({ player, transport }) => ({ transport, finished: player.finished }))

/**
 * Runs a client, or a server's handler, against the script.
 *
 * When it has completed, what it wrote is sent, then its end, and the script must have come to its own. Fails with
 * `ScriptMismatch` as soon as something else is written, instead of what was made of that by what is tested, and with
 * `ScriptUnfinished`; otherwise with what it fails with. Nothing is left then, nor after an interruption.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Script from "effect-transport/testing/ScriptedTransport"
 * import * as VirtualClock from "effect-transport/testing/VirtualClock"
 * import * as Transport from "effect-transport/Transport"
 *
 * const ping = (transport: Transport.Transport) =>
 *   Effect.gen(function*() {
 *     yield* transport.write(new TextEncoder().encode("PING\r\n"))
 *     return new TextDecoder().decode(yield* Transport.readUntil(transport, new TextEncoder().encode("\r\n")))
 *   })
 *
 * const test = Script.run([
 *   Script.expect("PING\r\n"),
 *   Script.wait("1 hour"),
 *   Script.send("+PO"),
 *   Script.send("NG\r\n")
 * ], ping)
 *
 * console.log(await Effect.runPromise(VirtualClock.run(test))) // +PONG, at once
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const run = <A, E, R>(
  script: ReadonlyArray<Step>,
  use: (transport: Transport.Transport) => Effect.Effect<A, E, R>,
  options: Options = {}
): Effect.Effect<A, E | ScriptMismatch | ScriptUnfinished, Exclude<R, Scope.Scope>> =>
  Effect.scoped(Effect.flatMap(open(script, options), ({ player, transport }) => {
    // Behind what is held no end comes.
    const sendEnd = firstOf(player.held, Effect.ignore(transport.closeWrite))
    return firstOf(use(transport), player.mismatched).pipe(
      Effect.zipLeft(sendEnd),
      Effect.zipLeft(Effect.suspend(() => player.verdict)),
      Effect.catchAllCause((cause) =>
        player.mismatch === undefined || Cause.isInterruptedOnly(cause)
          ? Effect.failCause(cause)
          : Effect.fail(player.mismatch)
      )
    )
  }))
