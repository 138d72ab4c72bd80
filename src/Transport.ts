/**
 * The contract of an open connection: a scoped, typed, byte-bounded duplex, whatever carries it; and what derives from
 * it. Drivers make transports (`Driver`), network layers wrap them (`NetworkLayer`), everything else uses them.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import { hasProperty } from "effect/Predicate"
import type * as Queue from "effect/Queue"
import type * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import type { Address } from "./Address.ts"
import type { ConnectionLost, WriteAfterEnd } from "./ConnectionError.ts"
import { concat, indexOf } from "./internal/bytes.ts"
import { sinkOf, streamOf } from "./internal/streams.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The brand of every transport.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-transport/Transport")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * One open connection. `E` is what its reads and writes can fail with: `ConnectionLost`, and what each network layer adds.
 *
 * @example
 * ```ts
 * import * as Stream from "effect/Stream"
 * import type { Transport } from "effect-transport/Transport"
 *
 * // An echo server for one connection: ends when the peer ends, suspends when the peer does not read.
 * export const echo = <E>(transport: Transport<E>) => Stream.run(transport.stream, transport.sink)
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface Transport<out E = ConnectionLost> {
  readonly [TypeId]: TypeId

  /**
   * The address at this side, numeric, as it was when the connection was opened; still there after the close.
   */
  readonly localAddress: Address

  /**
   * The address at the peer's side, numeric, as it was when the connection was opened; still there after the close.
   */
  readonly remoteAddress: Address

  /**
   * The next bytes of input, at least one; `null` at the end of input, and again at each later pull.
   *
   * - Suspends until there is input. Nothing is taken from the carrier before the first pull, and after it at most
   *   `readBufferSize` and one chunk ahead of the consumer, so a slow reader holds the peer back.
   * - Ends (`null`) when the peer has ended its writing, after all it sent. The write side stays open.
   * - Fails with the loss, after the bytes that came before it; with `ConnectionClosed` after this side's `close`.
   * - One at a time: a pull while another one waits is a bug in the caller and dies saying so.
   * - An interruption loses no byte: they are there for the next pull. The pull ends in the step that gives the bytes to
   *   what follows: `flatMap` has them at once, `map` one step later, before which an interruption may come.
   * - The bytes belong to the caller for ever; no buffer is used again.
   */
  readonly pull: Effect.Effect<Uint8Array | null, E>

  /**
   * Gives `f` the input from here to its end, chunk by chunk, the next one when the Effect for the last one has succeeded.
   *
   * This is the fastest form: while the Effect is a write into a buffer with room, or `Effect.void`, the chunk costs no
   * wake-up of the fiber, unless the Effect before it did. What `f` itself does is done outside of any fiber then.
   *
   * - Suspends until the input ends. Fails like `pull`, and as `f`'s Effects do; what `f` throws is a defect.
   * - It is a reader like `pull`: one at a time. An interruption interrupts the Effect that is running; what `f` was given is
   *   `f`'s, and nothing else was taken.
   *
   * @example
   * ```ts
   * import type { Transport } from "effect-transport/Transport"
   *
   * export const echo = <E>(transport: Transport<E>) => transport.forEach((chunk) => transport.write(chunk))
   * ```
   */
  readonly forEach: <E2, R>(
    f: (chunk: Uint8Array) => Effect.Effect<unknown, E2, R>
  ) => Effect.Effect<void, E | E2, R>

  /**
   * The input from here to its end, chunk by chunk as `pull` gives it, with no further buffering. Failing like `pull`.
   *
   * It is a reader like `pull`: one at a time. Ended or interrupted while it waits, it has taken nothing beyond what it
   * gave; a chunk that is on its way through the Stream then is lost with it.
   */
  readonly stream: Stream.Stream<Uint8Array, E>

  /**
   * Puts bytes back in front of the input: the next pull gives them first. Bytes that were read beyond what was wanted
   * are not lost to whoever reads next. Never suspends. When `close` or `abort` has cut the input off, they are dropped.
   */
  readonly unread: (bytes: Uint8Array) => Effect.Effect<void>

  /**
   * Sends bytes: completes when they are accepted into the write buffer, not when they are delivered.
   *
   * - Suspends while the buffer is at its high-water mark, until it has drained to the low-water mark.
   * - Accepted in the order of the calls, each chunk whole, never mixed with another fiber's.
   * - Fails with the loss once the connection is lost, also when it was waiting; with `WriteAfterEnd` once this side has
   *   ended. None hangs, and none reports a success that it did not have.
   * - Interrupted before the acceptance, nothing of it is sent; afterwards, the interruption changes nothing.
   * - The caller leaves the bytes unchanged until they are flushed: they are not copied.
   * - What is not a `Uint8Array` dies with a `TypeError` and queues nothing.
   */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, E | WriteAfterEnd>

  /**
   * Sends several chunks as one: nothing of another fiber comes between them. All are checked before the first is
   * accepted, the iterable is consumed once. Otherwise like `write` for each in turn; an interruption takes back those
   * that are not yet accepted.
   */
  readonly writeAll: (chunks: Iterable<Uint8Array>) => Effect.Effect<void, E | WriteAfterEnd>

  /**
   * Writes a stream's chunks with `writeAll`. It does not end the write side: follow it with `closeWrite` if that is meant.
   */
  readonly sink: Sink.Sink<void, Uint8Array, never, E | WriteAfterEnd>

  /**
   * The write buffer itself, as a `Queue.Enqueue` whose capacity is in bytes. An offer is a `write` whose failure is
   * `false`: after the end it neither hangs nor interrupts. `Queue.shutdown` is `closeWrite`, and `awaitShutdown` completes
   * when the write side has ended. `unsafeOffer` is a `write` for which there is room at once, and otherwise `false`, with
   * nothing accepted: for who would rather drop a slow peer than wait for it. `Sink.fromQueue` ignores `false`: use `sink`,
   * which fails.
   */
  readonly outgoing: Queue.Enqueue<Uint8Array>

  /**
   * Suspends until every byte accepted so far is in the carrier's hands (the kernel's, for a socket). That is not
   * delivery. Fails with the loss if they will never be. An interruption changes nothing.
   */
  readonly flush: Effect.Effect<void, E>

  /**
   * Half-close: sends what was accepted, then the end (FIN, RFC 9293 §3.6), while reading goes on.
   *
   * Suspends until the end is in the carrier's hands; writes that still waited fail with `WriteAfterEnd`. Idempotent. Fails
   * with the loss. An interruption does not take the end back.
   */
  readonly closeWrite: Effect.Effect<void, E>

  /**
   * Closes gracefully: stops taking input, sends what was accepted, then the end, reads and discards until the peer ends
   * too or `lingerTimeout` is over, and lets go. Unread input must not turn into a reset, which would destroy sent bytes.
   *
   * Suspends until nothing is left. With bytes unsent at `closeTimeout` it aborts, and `closed` says how many.
   * Idempotent; never fails. Interrupted, the close goes on by itself, within the same deadlines.
   */
  readonly close: Effect.Effect<void>

  /**
   * Ends at once: drops the buffers, sends a reset (RST) where the carrier has one; who waits fails with
   * `ConnectionAborted`. Suspends until nothing is left. Idempotent, in any order with `close`.
   */
  readonly abort: Effect.Effect<void>

  /**
   * Completes when the connection is over and nothing of it is left: once, after everything else, with the same value for
   * everybody. Both directions ended means over; no further call is owed. A carrier that is not being read may learn of its
   * end only when it is (a paused socket sees neither FIN nor RST).
   */
  readonly closed: Effect.Effect<CloseReason<E>>

  /**
   * What can be set while connected; `undefined` for what the carrier lacks.
   */
  readonly options: TransportOptions

  /**
   * Counters and conditions as they are now: synchronous and cheap.
   */
  readonly stats: () => TransportStats

  /**
   * What carries it (a `net.Socket`, …), to reach what this contract does not: at your own risk. A socket's input goes to
   * the transport alone, without `'data'`.
   */
  readonly unsafeHandle: unknown
}

/**
 * How a connection ended.
 *
 * - `Clean`: both directions came to their end, or this side closed and everything accepted was handed over. `firstEnded`
 *   tells who finished first, `peerEnded` whether the peer's end was seen at all within the linger time.
 * - `Lost`: by the error.
 *
 * @since 0.1.0
 * @category models
 */
export type CloseReason<E> =
  | {
    readonly _tag: "Clean"
    readonly firstEnded: "local" | "peer"
    readonly peerEnded: boolean
    readonly bytesRead: number
    readonly bytesWritten: number
  }
  | { readonly _tag: "Lost"; readonly error: E }

/**
 * An option of the carrier: the value last set, and the setter.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransportOption<A> {
  readonly get: () => A
  readonly set: (value: A) => Effect.Effect<void>
}

/**
 * What can be set while connected. `undefined` is a carrier that has no such thing.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransportOptions {
  /** TCP_NODELAY (tcp(7)): small writes leave at once. Default `true`. */
  readonly noDelay: TransportOption<boolean> | undefined
  /** SO_KEEPALIVE (socket(7)): the idle time before the first probe, or `false`. Default `false`. */
  readonly keepAlive: TransportOption<Duration.DurationInput | false> | undefined
}

/**
 * What a transport tells about itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransportStats {
  /** Bytes taken from the carrier. */
  readonly bytesRead: number
  /** Bytes handed to the carrier. */
  readonly bytesWritten: number
  /** Bytes accepted and not yet handed over. */
  readonly buffered: number
  /** Bytes read ahead and not yet pulled. */
  readonly unread: number
  /** Writes that wait for room. */
  readonly writersWaiting: number
  /** A reader waits: for input, or until the event loop has turned. */
  readonly pulling: boolean
  /** The carrier has seen the peer's end; what came before it may be unread. */
  readonly peerEnded: boolean
  /** When bytes last came in, or the connection opened: milliseconds of the Clock, as of the event that brought them. */
  readonly lastRead: number
  /** When bytes were last handed over, or the connection opened: milliseconds of the Clock, as of the event that did it. */
  readonly lastWrite: number
}

/**
 * The bounds of one transport; every field has a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /** How much is read ahead of the consumer, in bytes: 65536. 0 takes input only when a reader waits for it. */
  readonly readBufferSize?: number | undefined
  /** Buffered bytes from which on writers wait: 262144. At least 1. */
  readonly highWaterMark?: number | undefined
  /** Buffered bytes down to which waiting writers stay out: a quarter of the high-water mark. */
  readonly lowWaterMark?: number | undefined
  /** How long a close waits for the peer's end once everything is sent: 1 second. */
  readonly lingerTimeout?: Duration.DurationInput | undefined
  /** How long a close may take in all before it aborts: 5 seconds. */
  readonly closeTimeout?: Duration.DurationInput | undefined
}

// -----------------------------------------------------------------------------
// guards, tags
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category guards
 */
export const isTransport = (u: unknown): u is Transport<unknown> => hasProperty(u, TypeId)

/**
 * The transport of the current connection, as a service: for handlers that are written as Effects which need one.
 *
 * @since 0.1.0
 * @category tags
 */
export const Transport: Context.Tag<Transport, Transport> = Context.GenericTag<Transport>("effect-transport/Transport")

/**
 * A tag for a transport with failures of its own, as a stack of network layers has them.
 *
 * @example
 * ```ts
 * import type { ConnectionLost } from "effect-transport/ConnectionError"
 * import type { IdleTimeout } from "effect-transport/policy/IdleTimeout"
 * import * as Transport from "effect-transport/Transport"
 *
 * export const Guarded = Transport.Tag<ConnectionLost | IdleTimeout>()("app/Guarded")
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export const Tag = <E>() => <const Key extends string>(key: Key): Context.Tag<Key, Transport<E>> =>
  Context.GenericTag<Key, Transport<E>>(key)

// -----------------------------------------------------------------------------
// derived reads
// -----------------------------------------------------------------------------

/**
 * The input ended before what was asked for had come. The bytes that did come are in the error; nothing is left to read.
 *
 * @since 0.1.0
 * @category errors
 */
export class IncompleteRead extends Data.TaggedError("IncompleteRead")<{
  readonly bytes: Uint8Array
  /** How many bytes were asked for; `undefined` when a delimiter was. */
  readonly expected: number | undefined
}> {
  override get message() {
    return `The input ended after ${this.bytes.length} bytes, before ` +
      (this.expected === undefined ? "the delimiter." : `the ${this.expected} that were asked for.`)
  }
}

/**
 * No delimiter within the limit. Nothing was consumed: the bytes are the next to be read.
 *
 * @since 0.1.0
 * @category errors
 */
export class DelimiterNotFound extends Data.TaggedError("DelimiterNotFound")<{
  /** In bytes, without the delimiter. */
  readonly limit: number
}> {
  override get message() {
    return `There is no delimiter within the limit of ${this.limit} bytes.`
  }
}

/**
 * Pulls until `step` knows how many bytes the answer has, and arranges the input so that the next pull gives just those,
 * and the rest comes after. What was pulled is put back on a failure, a loss or an interruption: nothing is lost.
 */
const pullUntil = <E, E2>(
  transport: Transport<E>,
  step: (chunk: Uint8Array) => number | E2 | undefined,
  incomplete: (bytes: Uint8Array) => E2
): Effect.Effect<Uint8Array, E | E2> =>
  Effect.zipRight(
    Effect.uninterruptibleMask((restore) => {
      const chunks: Array<Uint8Array> = []
      const putBack = () => chunks.length === 0 ? Effect.void : transport.unread(concat(chunks))
      const loop: Effect.Effect<void, E | E2> = Effect.matchCauseEffect(restore(transport.pull), {
        onFailure: (cause) => Effect.zipRight(putBack(), Effect.failCause(cause)),
        onSuccess: (chunk) => {
          if (chunk === null) return Effect.fail(incomplete(concat(chunks)))
          chunks.push(chunk)
          const answer = step(chunk)
          if (answer === undefined) return loop
          if (typeof answer !== "number") return Effect.zipRight(putBack(), Effect.fail(answer))
          const bytes = concat(chunks)
          return Effect.zipRight(transport.unread(bytes.subarray(answer)), transport.unread(bytes.subarray(0, answer)))
        }
      })
      return loop
    }),
    transport.pull as Effect.Effect<Uint8Array, E>
  )

/**
 * Exactly `size` bytes. What came with them stays for the next read.
 *
 * Suspends until they are there; fails with `IncompleteRead` when the input ends before, and with the loss. After an
 * interruption, and after a loss, the bytes that had come are read again by the next pull.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Transport from "effect-transport/Transport"
 *
 * // A message with its length in the first four bytes.
 * export const message = <E>(transport: Transport.Transport<E>) =>
 *   Effect.flatMap(Transport.readExactly(transport, 4), (head) =>
 *     Transport.readExactly(transport, new DataView(head.buffer, head.byteOffset).getUint32(0)))
 * ```
 *
 * @since 0.1.0
 * @category reading
 */
export const readExactly: {
  (size: number): <E>(transport: Transport<E>) => Effect.Effect<Uint8Array, E | IncompleteRead>
  <E>(transport: Transport<E>, size: number): Effect.Effect<Uint8Array, E | IncompleteRead>
} = dual(2, <E>(transport: Transport<E>, size: number): Effect.Effect<Uint8Array, E | IncompleteRead> => {
  if (!Number.isSafeInteger(size) || size < 0) {
    return Effect.die(new RangeError(`readExactly needs a number of bytes, 0 or more, and got ${size}`))
  }
  if (size === 0) return Effect.succeed(new Uint8Array(0))
  return Effect.suspend(() => {
    let length = 0
    return pullUntil(
      transport,
      (chunk) => (length += chunk.length) < size ? undefined : size,
      (bytes) => new IncompleteRead({ bytes, expected: size })
    )
  })
})

/**
 * The bytes before the next `delimiter`, which is consumed and not part of the result. What came after it stays.
 *
 * `limit` (in bytes, without the delimiter; default 65536) bounds what a peer can make this side hold: with no delimiter
 * in time it fails with `DelimiterNotFound`, and nothing is consumed. Fails with `IncompleteRead` when the input ends
 * before, and with the loss. Each byte is looked at once, but for the delimiter's own beginnings. After an interruption
 * nothing is lost.
 *
 * @since 0.1.0
 * @category reading
 */
export const readUntil: {
  (
    delimiter: Uint8Array,
    options?: { readonly limit?: number | undefined }
  ): <E>(transport: Transport<E>) => Effect.Effect<Uint8Array, E | IncompleteRead | DelimiterNotFound>
  <E>(
    transport: Transport<E>,
    delimiter: Uint8Array,
    options?: { readonly limit?: number | undefined }
  ): Effect.Effect<Uint8Array, E | IncompleteRead | DelimiterNotFound>
} = dual((args) => isTransport(args[0]), <E>(
  transport: Transport<E>,
  delimiter: Uint8Array,
  options?: { readonly limit?: number | undefined }
): Effect.Effect<Uint8Array, E | IncompleteRead | DelimiterNotFound> => {
  const limit = options?.limit ?? 65536
  if (delimiter.length === 0) return Effect.die(new RangeError("readUntil needs a delimiter of at least one byte"))
  return Effect.suspend(() => {
    // The end of what was scanned that could be the beginning of a delimiter: only it is looked at again.
    let tail: Uint8Array = new Uint8Array(0)
    let tailAt = 0
    const line = pullUntil<E, IncompleteRead | DelimiterNotFound>(
      transport,
      (chunk) => {
        const window = tail.length === 0 ? chunk : concat([tail, chunk])
        const found = indexOf(window, delimiter)
        if (found >= 0 && tailAt + found <= limit) return tailAt + found + delimiter.length
        const keep = Math.min(delimiter.length - 1, window.length)
        tailAt += window.length - keep
        tail = window.subarray(window.length - keep)
        return found >= 0 || tailAt > limit ? new DelimiterNotFound({ limit }) : undefined
      },
      (bytes) => new IncompleteRead({ bytes, expected: undefined })
    )
    return Effect.map(line, (bytes) => bytes.subarray(0, bytes.length - delimiter.length))
  })
})

// -----------------------------------------------------------------------------
// conversions
// -----------------------------------------------------------------------------

/**
 * The input as a Stream: what `Transport.stream` is made of, for whoever implements one from a pull.
 *
 * @since 0.1.0
 * @category conversions
 */
export const streamFromPull = <E>(pull: Effect.Effect<Uint8Array | null, E>): Stream.Stream<Uint8Array, E> =>
  streamOf<Uint8Array, null, E>(pull, null)

/**
 * The handler form: what `Transport.forEach` is made of, for whoever implements one from a pull.
 *
 * @since 0.1.0
 * @category conversions
 */
export const forEachFromPull =
  <E>(pull: Effect.Effect<Uint8Array | null, E>) =>
  <E2, R>(f: (chunk: Uint8Array) => Effect.Effect<unknown, E2, R>): Effect.Effect<void, E | E2, R> => {
    const loop: Effect.Effect<void, E | E2, R> = Effect.flatMap(
      pull,
      (chunk) => chunk === null ? Effect.void : Effect.zipRight(f(chunk), loop)
    )
    return loop
  }

/**
 * The output as a Sink: what `Transport.sink` is made of, for whoever implements one from `writeAll`.
 *
 * @since 0.1.0
 * @category conversions
 */
export const sinkFromWriteAll: <E>(
  writeAll: (chunks: Iterable<Uint8Array>) => Effect.Effect<void, E>
) => Sink.Sink<void, Uint8Array, never, E> = sinkOf

/**
 * Both directions as one Channel: what comes in upstream is written, what the peer sends goes downstream. The end of the
 * upstream is `closeWrite`; a failure of the upstream, or of a write, aborts and is the Channel's failure.
 *
 * It ends with the input: what the upstream would still give is not written then, and the write side is left as it is. For
 * a peer that ends its side first and waits for the rest, use `stream` and `sink`.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toChannel = <E, IE = never>(
  transport: Transport<E>
): Channel.Channel<Chunk.Chunk<Uint8Array>, Chunk.Chunk<Uint8Array>, E | WriteAfterEnd | IE, IE, void, unknown> =>
  Channel.suspend(() => {
    let failure: Cause.Cause<E | WriteAfterEnd | IE> | undefined
    const fail = (cause: Cause.Cause<E | WriteAfterEnd | IE>) => {
      failure ??= cause
      return transport.abort
    }
    const pull = Effect.catchAllCause(
      transport.pull,
      (cause) => Effect.failCause(failure === undefined || Cause.isInterruptedOnly(cause) ? cause : failure)
    )
    return Channel.embedInput(Stream.toChannel(streamFromPull(pull)), {
      awaitRead: () => Effect.void,
      emit: (chunk: Chunk.Chunk<Uint8Array>) => Effect.catchAllCause(transport.writeAll(chunk), fail),
      error: (cause: Cause.Cause<IE>) => fail(cause),
      done: () => Effect.catchAllCause(transport.closeWrite, fail)
    })
  })
