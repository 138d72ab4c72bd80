/**
 * What the conformance checks are written with.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { concat } from "../../internal/bytes.ts"
import type { Limits, Transport } from "../../Transport.ts"
import type { Capability } from "../Conformance.ts"

export type Pair = readonly [Transport, Transport]

export interface Context {
  /** A new pair, the first of which is looked at, and the second of which is its peer. */
  readonly open: (limits?: Limits) => Effect.Effect<Pair, unknown, Scope.Scope>
  /** The same, ended by nothing but the Scope. */
  readonly makePair: (limits: Limits) => Effect.Effect<Pair, unknown, Scope.Scope>
  /** More bytes than the carrier holds between two ends of which one does not read. */
  readonly bulk: number
}

export interface Entry {
  readonly name: string
  /** It says nothing of a transport that lacks one of these. */
  readonly needs: ReadonlyArray<Capability>
  /** It says something only of a transport that lacks these. */
  readonly lacks: ReadonlyArray<Capability>
  readonly body: (context: Context) => Effect.Effect<unknown, unknown, Scope.Scope>
}

export const entry = (name: string, body: Entry["body"], ...needs: ReadonlyArray<Capability>): Entry => ({
  name,
  needs,
  lacks: [],
  body
})

export const withoutIt = (lack: Capability, name: string, body: Entry["body"]): Entry => ({
  name,
  needs: [],
  lacks: [lack],
  body
})

/** It is gone with the Scope, whatever state the check has left it in: no close has to wait for a deadline. */
export const abandoned = (pair: Pair): Effect.Effect<void, never, Scope.Scope> =>
  Effect.addFinalizer(() => Effect.forkDaemon(Effect.all(pair.map(({ abort }) => abort), { concurrency: "unbounded" })))

// -----------------------------------------------------------------------------
// expectations
// -----------------------------------------------------------------------------

export class Unexpected extends Data.TaggedError("Unexpected")<{
  readonly expected: string
  readonly seen: string
}> {}

export const expect = (holds: boolean, expected: string, seen: unknown): Effect.Effect<void, Unexpected> =>
  holds ? Effect.void : Effect.fail(new Unexpected({ expected, seen: String(seen) }))

export const expectEqual = <A>(actual: A, wanted: A, what: string): Effect.Effect<void, Unexpected> =>
  expect(actual === wanted, `${what}: ${String(wanted)}`, actual)

const differsAt = (left: Uint8Array, right: Uint8Array): number => {
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return at
  return -1
}

export const expectBytes = (actual: Uint8Array, wanted: Uint8Array, what: string): Effect.Effect<void, Unexpected> =>
  actual.length !== wanted.length
    ? expect(false, `${what}: ${wanted.length} bytes`, `${actual.length} bytes`)
    : Effect.suspend(() => {
      const at = differsAt(actual, wanted)
      return expect(at < 0, `${what}: byte ${at} is ${wanted[at]}`, `byte ${at} is ${actual[at]}`)
    })

/** Equal bytes stand together in runs of this length or a multiple of it. */
export const expectRuns = (received: Uint8Array, length: number) => {
  const torn = received.findIndex((byte, at) => byte !== received[at - (at % length)])
  return expect(torn < 0, `chunks of ${length} bytes, each whole`, `a chunk that is torn at byte ${torn}`)
}

const describeExit = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit)
    ? `success (${exit.value === null ? "null" : exit.value instanceof Uint8Array ? "bytes" : typeof exit.value})`
    : Cause.pretty(exit.cause)

/** The tag with which it fails, which is one of these. */
export const expectFailure = (
  effect: Effect.Effect<unknown, unknown>,
  what: string,
  ...tags: ReadonlyArray<string>
): Effect.Effect<void, Unexpected> => Effect.flatMap(Effect.exit(effect), (exit) => expectFailed(exit, what, ...tags))

/** With no tags given, any failure will do. */
export const expectFailed = (
  exit: Exit.Exit<unknown, unknown>,
  what: string,
  ...tags: ReadonlyArray<string>
): Effect.Effect<void, Unexpected> => {
  const failure = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()
  const tag = Option.isSome(failure) ? (failure.value as { readonly _tag?: unknown })._tag : undefined
  return expect(
    Option.isSome(failure) && (tags.length === 0 || tags.includes(String(tag))),
    `${what} fails${tags.length === 0 ? "" : ` with ${tags.join(" or ")}`}`,
    describeExit(exit)
  )
}

// -----------------------------------------------------------------------------
// bytes
// -----------------------------------------------------------------------------

export const bytes = (...values: ReadonlyArray<number>): Uint8Array => Uint8Array.from(values)

/** Many bytes are told by their number. */
export const shown = (bytes: Uint8Array): string => bytes.length > 40 ? `${bytes.length} bytes` : `the bytes [${bytes}]`

/** Numbers that look random, the same ones for the same seed (xorshift). */
export const random = (seed: number) => {
  let state = seed | 1
  return (below: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** Bytes of which none can be missing, doubled or moved without a difference. */
export const pattern = (size: number, seed = 1): Uint8Array => {
  const next = random(seed * 2654435761)
  const words = new Uint32Array(Math.ceil(size / 4))
  for (let at = 0; at < words.length; at++) words[at] = next(0xffffffff)
  return new Uint8Array(words.buffer, 0, size)
}

/** Cut into pieces of 1 to `longest` bytes. */
export const pieces = (whole: Uint8Array, longest: number, seed = 1): ReadonlyArray<Uint8Array> => {
  const next = random(seed)
  const cut: Array<Uint8Array> = []
  for (let at = 0; at < whole.length;) {
    const piece = whole.subarray(at, at + 1 + next(longest))
    cut.push(piece)
    at += piece.length
  }
  return cut
}

// -----------------------------------------------------------------------------
// reading, writing, waiting
// -----------------------------------------------------------------------------

/** What comes in until there are `size` bytes, or the end. */
export const read = (transport: Transport, size = Infinity): Effect.Effect<Uint8Array, unknown> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let length = 0
    const loop: Effect.Effect<Uint8Array, unknown> = Effect.flatMap(transport.pull, (chunk) => {
      if (chunk !== null) {
        chunks.push(chunk)
        length += chunk.length
      }
      if (chunk === null || length >= size) return Effect.succeed(concat(chunks))
      // Should the input have no end: virtual time stands still while there is something to do.
      return chunks.length % 100 === 0 ? Effect.zipRight(turn, loop) : loop
    })
    return loop
  })

/** Everything up to the end. */
export const readAll = (transport: Transport): Effect.Effect<Uint8Array, unknown> => read(transport)

export const expectEnd = (transport: Transport, what: string): Effect.Effect<void, unknown> =>
  Effect.flatMap(
    transport.pull,
    (chunk) => expect(chunk === null, `${what}: the end of input`, `${chunk?.length} bytes`)
  )

/** A moment, in which events of the carrier can come: by the Clock, so that virtual time passes as well. */
export const turn: Effect.Effect<void> = Effect.sleep(1)

/** Looks again and again. */
export const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.flatMap(turn, () => until(holds)))

/** Some moments, in which what must not happen would have time to. */
export const turns: Effect.Effect<void> = Effect.repeatN(turn, 4)

type Forked<A> = Effect.Effect<Fiber.RuntimeFiber<Exit.Exit<A, unknown>>>

/** A reader that waits, in a fiber. */
export const suspended = <A>(transport: Transport, reader: Effect.Effect<A, unknown>): Forked<A> =>
  Effect.zipLeft(Effect.fork(Effect.exit(reader)), until(() => transport.stats().pulling))

/** A pull that waits. */
export const suspendedPull = (transport: Transport): Forked<Uint8Array | null> => suspended(transport, transport.pull)

/** A write that waits, in a fiber. */
export const suspendedWrite = (transport: Transport, chunk: Uint8Array): Forked<void> =>
  Effect.suspend(() => {
    const waiting = transport.stats().writersWaiting
    return Effect.zipLeft(
      Effect.fork(Effect.exit(transport.write(chunk))),
      until(() => transport.stats().writersWaiting > waiting)
    )
  })

/** Fills the write buffer of a transport whose peer does not read: the next write waits. */
export const clog = (transport: Transport, bulk: number): Effect.Effect<Uint8Array, unknown> =>
  Effect.suspend(() => {
    const filler = pattern(bulk, 99)
    return Effect.as(transport.write(filler), filler)
  })

/** Sends everything and ends. */
export const send = (transport: Transport, chunks: Iterable<Uint8Array>) =>
  Effect.zipRight(Effect.forEach(chunks, transport.write, { discard: true }), transport.closeWrite)

export const expectAllAndEnd = (transport: Transport, wanted: Uint8Array, what: string) =>
  Effect.flatMap(readAll(transport), (received) => expectBytes(received, wanted, what))

// -----------------------------------------------------------------------------
// ending
// -----------------------------------------------------------------------------

export const expectClean = (transport: Transport) =>
  Effect.flatMap(transport.closed, (reason) =>
    expect(
      reason._tag === "Clean",
      "a clean close",
      reason._tag === "Lost" ? reason.error._tag : reason._tag
    ))

/** Reads to the end and closes, as a peer does that has nothing to say. */
export const readAndClose = (transport: Transport) => Effect.fork(Effect.zipLeft(readAll(transport), transport.close))

/** Nothing waits, nothing is kept, and both of `close` and `abort` are done. */
export const expectNothingLeft = (transport: Transport) =>
  Effect.gen(function*() {
    yield* transport.closed
    const { buffered, pulling, unread, writersWaiting } = transport.stats()
    yield* expectEqual(buffered, 0, "buffered after the end")
    yield* expectEqual(unread, 0, "unread after the end")
    yield* expectEqual(writersWaiting, 0, "writersWaiting after the end")
    yield* expectEqual(pulling, false, "pulling after the end")
    yield* transport.close
    yield* transport.abort
  })

export const expectLost = (transport: Transport, ...tags: ReadonlyArray<string>) =>
  Effect.flatMap(transport.closed, (reason) => {
    const tag = reason._tag === "Lost" ? reason.error._tag : reason._tag
    return expect(
      reason._tag === "Lost" && (tags.length === 0 || tags.includes(tag)),
      `closed tells of a loss${tags.length === 0 ? "" : `: ${tags.join(" or ")}`}`,
      tag
    )
  })

/** Writes a little after each moment, for ever. */
export const writeOn = (transport: Transport) => Effect.forever(Effect.zipRight(transport.write(bytes(1)), turn))
