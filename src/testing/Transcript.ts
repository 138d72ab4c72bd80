/**
 * What went over a connection, written down: the bytes of both directions, when they came, and how it ended. A transcript
 * of a failure in production is a file, and then a test: `record` writes it, `replay` plays the peer's side back, byte for
 * byte and with its timing, in virtual time.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type { Address } from "../Address.ts"
import type { Side } from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import type * as Transport from "../Transport.ts"
import { derive, Recorder } from "./internal/recorder.ts"
import * as Text from "./internal/transcriptText.ts"
import * as Script from "./ScriptedTransport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What happened. `from` is who did it, the side that recorded being `local`; `at` is when, in milliseconds since the start, by
 * the Clock.
 *
 * - `Data` from `local`: what one `write` or `writeAll` got accepted, its chunks as they were. From `peer`: a chunk as it was
 *   pulled, when it was.
 * - `End`: of the writing of that side. It is noted for this side when `closeWrite` or `close` is called, and for the peer
 *   when its end is pulled.
 * - `Close`: this side called `close`, and reads no further.
 * - `Loss`: the connection was lost; the last event. `error` is the tag of the error, `ConnectionAborted` for an abort here;
 *   `bytesUnsent` is how many bytes at the end of what this side had got accepted never left, nor did its end after them.
 *
 * @since 0.1.0
 * @category models
 */
export type Event =
  | {
    readonly _tag: "Data"
    readonly at: number
    readonly from: "local" | "peer"
    readonly chunks: ReadonlyArray<Uint8Array>
  }
  | { readonly _tag: "End"; readonly at: number; readonly from: "local" | "peer" }
  | { readonly _tag: "Close"; readonly at: number; readonly from: "local" }
  | {
    readonly _tag: "Loss"
    readonly at: number
    readonly from: Side
    readonly error: string
    readonly code: string | undefined
    readonly syscall: string | undefined
    readonly bytesUnsent?: number | undefined
  }

/**
 * One connection, from when it was recorded.
 *
 * @since 0.1.0
 * @category models
 */
export interface Transcript {
  readonly localAddress: Address
  readonly remoteAddress: Address
  /** Milliseconds since 1970, by the Clock. */
  readonly startedAt: number
  /** In their order. */
  readonly events: ReadonlyArray<Event>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Recorded<E> {
  readonly transport: Transport.Transport<E>
  /** What has happened until now. */
  readonly transcript: () => Transcript
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ReplayOptions extends Transport.Limits {
  /**
   * `recorded`: what the peer did comes as long after the event before it as it did then, whoever's that was; the default. `none`:
   * as soon as what came before it has happened.
   */
  readonly timing?: "recorded" | "none" | undefined
  /** What is written must be what was recorded: `true`. Otherwise so many bytes will do, whatever they are. */
  readonly strict?: boolean | undefined
}

/**
 * A line of the text is not what `format` writes. Nothing of the text is used.
 *
 * @since 0.1.0
 * @category errors
 */
export class TranscriptInvalid extends Data.TaggedError("TranscriptInvalid")<{
  /** 1 is the first. */
  readonly line: number
  readonly text: string
  /** What should have stood there. */
  readonly expected: string
}> {
  override get message() {
    const { expected, line, text } = this
    const seen = text.length > 80 ? `${text.slice(0, 80)}…` : text || "nothing"
    return `Line ${line} is no line of a transcript: expected ${expected}, and got ${seen}`
  }
}

// -----------------------------------------------------------------------------
// recording
// -----------------------------------------------------------------------------

/**
 * Notes everything that goes over the transport that it gives, until the Scope ends, which closes it: gracefully after
 * success, at once after a failure or an interruption.
 *
 * It is a light layer: the carrier's buffers and deadlines stay as they are, so that what is recorded is what happens
 * without it. Noted is what passes between the program and the transport: writes when they are accepted, and input when it
 * is pulled; what is never pulled is not in it. All of it is kept in memory. Writers who wait do so one after the other,
 * and `unsafeOffer` of its `outgoing` accepts nothing.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Transcript from "effect-transport/testing/Transcript"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const [left, right] = yield* MemoryTransport.pair()
 *   const { transcript, transport } = yield* Transcript.record(left)
 *   yield* transport.write(new TextEncoder().encode("PING\r\n"))
 *   yield* right.pull
 *   yield* right.write(new TextEncoder().encode("+PONG\r\n"))
 *   yield* transport.pull
 *   return Transcript.format(transcript())
 * }))
 *
 * console.log(await Effect.runPromise(program))
 * // {"transcript":1,"local":"memory:left","remote":"memory:right","start":1760000000000}
 * // {"at":0,"from":"local","text":["PING\r\n"]}
 * // {"at":1,"from":"peer","text":["+PONG\r\n"]}
 * ```
 *
 * @since 0.1.0
 * @category recording
 */
export const record = <E>(transport: Transport.Transport<E>): Effect.Effect<Recorded<E>, never, Scope.Scope> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const recorder = new Recorder(transport, yield* Effect.clock)
    // A loss that nobody asks for is noted as well.
    yield* Effect.forkScoped(Effect.interruptible(recorder.closed))
    const recorded = yield* Driver.closeWithScope(derive(transport, recorder))
    return { transport: recorded, transcript: recorder.transcript }
  }))

/**
 * The same as a network layer, for stacks: when the Scope ends and the connection is over, `save` gets the transcript.
 *
 * @since 0.1.0
 * @category recording
 */
export const layer =
  <R>(save: (transcript: Transcript) => Effect.Effect<void, never, R>) =>
  <E>(transport: Transport.Transport<E>): Effect.Effect<Transport.Transport<E>, never, R | Scope.Scope> =>
    Effect.uninterruptible(Effect.gen(function*() {
      let transcript: (() => Transcript) | undefined
      // First, so that it comes last.
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() => transcript === undefined ? Effect.void : save(transcript()))
      )
      const recorded = yield* record(transport)
      transcript = recorded.transcript
      return recorded.transport
    }))

// -----------------------------------------------------------------------------
// replaying
// -----------------------------------------------------------------------------

/**
 * The transcript as the other side would have recorded it: so a client's transcript tests the server. What never left is
 * not in it, nor a loss that the other side brought about behind its own end: who has closed notes no more, and it is its
 * kernel that resets what comes then.
 *
 * @since 0.1.0
 * @category replaying
 */
export const flip = (transcript: Transcript): Transcript => ({
  ...transcript,
  localAddress: transcript.remoteAddress,
  remoteAddress: transcript.localAddress,
  events: sent(transcript.events).flatMap((event, index, events) =>
    event._tag === "Loss" && event.from === "peer" && events.slice(0, index).some(isPeerEnd) ? [] : flipEvent(event)
  )
})

const isPeerEnd = ({ _tag, from }: Event): boolean => _tag === "End" && from === "peer"

const flipEvent = (event: Event): ReadonlyArray<Event> => {
  if (event._tag === "Close") return []
  if (event._tag !== "Loss") return [{ ...event, from: event.from === "local" ? "peer" : "local" }]
  const { bytesUnsent: _, ...loss } = event
  if (loss.from === "network") return [loss]
  return loss.from === "local"
    ? [{ ...loss, from: "peer", error: "ConnectionReset", code: "ECONNRESET", syscall: "read" }]
    : [{ ...loss, from: "local", error: "ConnectionAborted", code: undefined, syscall: undefined }]
}

/** Without what this side had written that never left. */
const sent = (events: ReadonlyArray<Event>): ReadonlyArray<Event> => {
  const last = events.at(-1)
  const { bytesUnsent = 0 } = last?._tag === "Loss" ? last : {}
  if (bytesUnsent === 0) return events
  let left = localBytes(events) - bytesUnsent
  const cut = (chunk: Uint8Array): ReadonlyArray<Uint8Array> => {
    const room = Math.max(0, left)
    left -= chunk.length
    return room === 0 ? [] : [chunk.subarray(0, room)]
  }
  return events.flatMap((event) => {
    if (event.from !== "local" || event._tag === "Close" || event._tag === "Loss") return [event]
    if (event._tag === "End") return []
    const chunks = event.chunks.flatMap(cut)
    return chunks.length === 0 ? [] : [{ ...event, chunks }]
  })
}

const localBytes = (events: ReadonlyArray<Event>): number =>
  events.flatMap((event) => event._tag === "Data" && event.from === "local" ? event.chunks : [])
    .reduce((sum, { length }) => sum + length, 0)

/**
 * The part of the peer, as a script: what this side wrote is expected, what the peer did is done.
 *
 * @since 0.1.0
 * @category replaying
 */
export const toScript = (transcript: Transcript, options: ReplayOptions = {}): ReadonlyArray<Script.Step> => {
  const { strict = true, timing = "recorded" } = options
  // Before another loss it is taken: the peer's would come before what is written in the same instant.
  const events = transcript.events.some(isAbort) ? sent(transcript.events) : transcript.events
  let before = 0
  return events.flatMap((event) => {
    const pause = timing === "none" ? 0 : event.at - before
    const steps = event.from === "local" ? localSteps(event, strict) : peerSteps(event)
    // What the peer does not see, such as that it is no more read, is nothing that it could wait for.
    if (steps.length > 0) before = event.at
    return event.from !== "local" && pause > 0 ? [Script.wait(Duration.millis(pause)), ...steps] : steps
  })
}

const peerSteps = (event: Event): ReadonlyArray<Script.Step> => {
  switch (event._tag) {
    case "Data":
      return event.chunks.map((chunk) => Script.send(chunk))
    case "Loss":
      return [Script.lose(event.code ?? event.error, event.syscall)]
    default:
      return [Script.end]
  }
}

const localSteps = (event: Event, strict: boolean): ReadonlyArray<Script.Step> => {
  switch (event._tag) {
    case "Data":
      return event.chunks.map((chunk) => strict ? Script.expect(chunk) : Script.expectAny(chunk.length))
    case "End":
      return [Script.expectEnd]
    case "Loss":
      return isAbort(event) ? [Script.expectAbort] : []
    case "Close":
      return []
  }
}

const isAbort = (event: Event): boolean =>
  event._tag === "Loss" && event.from === "local" && event.error === "ConnectionAborted"

const scriptOptions = (transcript: Transcript, options: ReplayOptions): Script.Options => ({
  ...options,
  localAddress: transcript.localAddress,
  remoteAddress: transcript.remoteAddress
})

/**
 * A transport whose peer does what it did in the transcript, tied to the Scope: the same bytes in the same chunks, the same
 * end or loss, with the same addresses, after what this side did before it then. What both sides did in the same
 * millisecond may come in another order; and the peer takes what is expected at once, so who waited for room does not wait.
 * See `ScriptedTransport`, also for what happens when something else is written.
 *
 * @since 0.1.0
 * @category replaying
 */
export const replay = (
  transcript: Transcript,
  options: ReplayOptions = {}
): Effect.Effect<Script.ScriptedTransport, never, Scope.Scope> =>
  Effect.suspend(() => Script.make(toScript(transcript, options), scriptOptions(transcript, options)))

/**
 * Runs a client, or a server's handler, against the transcript, as `ScriptedTransport.run` does: all that was recorded must
 * be written again, and nothing else.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Transcript from "effect-transport/testing/Transcript"
 * import * as VirtualClock from "effect-transport/testing/VirtualClock"
 * import type { Transport } from "effect-transport/Transport"
 *
 * const bugReport = `
 * {"transcript":1,"local":"tcp:127.0.0.1:51000","remote":"tcp:127.0.0.1:6379","start":1760000000000}
 * {"at":0,"from":"local","text":["PING\\r\\n"]}
 * {"at":3000,"from":"peer","text":["+PO"]}
 * {"at":3000,"from":"peer","loss":"ConnectionReset","code":"ECONNRESET","syscall":"read"}
 * `
 *
 * const ping = (transport: Transport) =>
 *   Effect.gen(function*() {
 *     yield* transport.write(new TextEncoder().encode("PING\r\n"))
 *     const answer = yield* transport.pull
 *     return [new TextDecoder().decode(answer ?? undefined), yield* Effect.flip(transport.pull)] as const
 *   })
 *
 * const test = Effect.flatMap(Transcript.parse(bugReport), (transcript) => Transcript.run(transcript, ping))
 * const [answer, loss] = await Effect.runPromise(VirtualClock.run(test))
 *
 * console.log(answer, loss._tag) // +PO ConnectionReset, at once
 * ```
 *
 * @since 0.1.0
 * @category replaying
 */
export const run = <A, E, R>(
  transcript: Transcript,
  use: (transport: Transport.Transport) => Effect.Effect<A, E, R>,
  options: ReplayOptions = {}
): Effect.Effect<A, E | Script.ScriptMismatch | Script.ScriptUnfinished, Exclude<R, Scope.Scope>> =>
  Effect.suspend(() => Script.run(toScript(transcript, options), use, scriptOptions(transcript, options)))

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

/**
 * The transcript as text: lines of JSON (RFC 8259), each ended by a line feed. This is version 1.
 *
 * The first line is `{"transcript":1,"local":…,"remote":…,"start":…}`: the addresses as `tcp:127.0.0.1:80`, `unix:/run/x`,
 * `pipe:name` or `memory:name`, the start in milliseconds since 1970. Then comes a line for each event, with `at` and `from`
 * and one of
 *
 * - `"text":["…"]`: `Data`, where all bytes are printable ASCII, TAB, CR or LF; a character for each byte.
 * - `"base64":["…"]`: any other `Data` (RFC 4648 section 4).
 * - `"end":true`, `"close":true`.
 * - `"loss":"ConnectionReset"`, with `code`, `syscall` and `unsent` (`bytesUnsent`) if it has them.
 *
 * @since 0.1.0
 * @category text
 */
export const format: (transcript: Transcript) => string = Text.format

/**
 * Reads what `format` writes. Blank lines are skipped, lines may end with CR LF, and a text may have any character up to
 * U+00FF, which is the byte of that number (ISO 8859-1). Times must not go back.
 *
 * @since 0.1.0
 * @category text
 */
export const parse = (text: string): Either.Either<Transcript, TranscriptInvalid> =>
  Either.mapLeft(Text.parse(text), (invalid) => new TranscriptInvalid(invalid))
