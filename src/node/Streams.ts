/**
 * Node's `Readable` and `Writable` as a Stream and a Sink: what `NodeStream` and `NodeSink` of @effect/platform-node do, with
 * the same arguments, and with backpressure, an answer when a stream is destroyed, and no clean end that is none. For a
 * `Duplex` there is `Duplex.from`.
 *
 * @since 0.1.0
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { LazyArg } from "effect/Function"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import type { Readable, Writable } from "node:stream"
import { finished } from "node:stream"
import { Bell } from "../internal/bell.ts"
import { streamOf } from "../internal/streams.ts"

/** How the stream is over, once it is, and whoever waits for that or for something else of it. */
class Watch {
  /** What it failed of; `undefined`: it has ended. */
  over: { readonly error: unknown } | undefined = undefined
  private readonly bell = new Bell()
  private readonly unwatch: () => void

  constructor(stream: Readable | Writable, sides: { readonly readable: boolean; readonly writable: boolean }) {
    this.unwatch = finished(stream, sides, (error) => {
      this.over = { error: error ?? undefined }
      this.ring()
    })
  }

  readonly ring = this.bell.ring

  /** A wake-up says nothing but that it is time to look again. */
  readonly wait: Effect.Effect<void> = this.bell.await

  /** No listener is left, but for one: the error of a stream that nobody listens to ends the process. */
  leave(stream: Readable | Writable): void {
    this.unwatch()
    if (!stream.closed && stream.listenerCount("error") === 0) stream.on("error", () => {})
  }
}

/**
 * What a Readable reads, chunk by chunk, taken when it is asked for.
 *
 * - Suspends until there is something; ends when the Readable has ended.
 * - Fails with `onError` of its error, or of `ERR_STREAM_PREMATURE_CLOSE` when it is destroyed before its end, also when
 *   that was before the Stream began. (`NodeStream.fromReadable` hangs in the one case, and ends in the other.)
 * - When the Stream is over, however, the Readable is destroyed; unless `closeOnDone` is `false`.
 *
 * @example
 * ```ts
 * import * as Stream from "effect/Stream"
 * import * as Streams from "effect-transport/node/Streams"
 * import { Readable } from "node:stream"
 *
 * export const program = Stream.runCollect(
 *   Streams.fromReadable(() => Readable.from([Buffer.from("hello")]), (cause) => new Error("not read", { cause }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromReadable = <E, A = Uint8Array>(
  evaluate: LazyArg<Readable>,
  onError: (error: unknown) => E,
  options: {
    /** How many bytes are read at a time, a whole number: what is there. */
    readonly chunkSize?: number | undefined
    /** `true`. */
    readonly closeOnDone?: boolean | undefined
  } = {}
): Stream.Stream<A, E> => {
  const { chunkSize } = options
  if (chunkSize !== undefined && !(Number.isInteger(chunkSize) && chunkSize >= 1)) {
    throw new RangeError(`chunkSize is a whole number, at least 1, not ${chunkSize}`)
  }
  return Stream.fromChannel(Channel.acquireUseRelease(
    Effect.sync(() => {
      const readable = evaluate()
      const watch = new Watch(readable, { readable: true, writable: false })
      readable.on("readable", watch.ring)
      return { readable, watch }
    }),
    ({ readable, watch }) => {
      const look: Effect.Effect<A | null, E> = Effect.suspend(() => {
        const chunk = (chunkSize === undefined ? readable.read() : readable.read(chunkSize)) as A | null
        if (chunk !== null) return Exit.succeed(chunk)
        if (watch.over === undefined) return Effect.zipRight(watch.wait, look)
        return watch.over.error === undefined ? Exit.succeed(null) : Exit.fail(onError(watch.over.error))
      })
      return Stream.toChannel(streamOf<A, null, E>(look, null))
    },
    ({ readable, watch }) =>
      Effect.sync(() => {
        readable.off("readable", watch.ring)
        watch.leave(readable)
        if (options.closeOnDone !== false) readable.destroy()
      })
  ))
}

/**
 * Writes into a Writable.
 *
 * - A chunk is written when the Writable has said that it wants more: with chunks of one element as well, for which
 *   `NodeSink.fromWritable` never waits.
 * - Fails with `onError` of the Writable's error, or of `ERR_STREAM_PREMATURE_CLOSE` when it is destroyed, also while the Sink
 *   waits. (`NodeSink` hangs then.)
 * - After the last chunk the Writable is ended, and the Sink is done when it has finished. When the Stream fails or is
 *   interrupted, it is destroyed with an error: whoever reads it must not take that for an end. With `endOnDone: false` it
 *   is left as it is, in both cases.
 *
 * @example
 * ```ts
 * import * as Stream from "effect/Stream"
 * import * as Streams from "effect-transport/node/Streams"
 *
 * const stdout = Streams.fromWritable(() => process.stdout, (cause) => new Error("not printed", { cause }), {
 *   endOnDone: false
 * })
 *
 * export const program = Stream.run(Stream.make("hello\n"), stdout)
 * ```
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromWritable = <E, A = Uint8Array | string>(
  evaluate: LazyArg<Writable>,
  onError: (error: unknown) => E,
  options: {
    /** `true`. */
    readonly endOnDone?: boolean | undefined
    /** Of strings: UTF-8. */
    readonly encoding?: BufferEncoding | undefined
  } = {}
): Sink.Sink<void, A, never, E> =>
  Sink.fromChannel(Channel.acquireUseRelease(
    Effect.sync(() => {
      const writable = evaluate()
      const watch = new Watch(writable, { readable: false, writable: true })
      writable.on("drain", watch.ring)
      return { writable, watch, output: new Output<A, E>(writable, watch, onError, options) }
    }),
    ({ output }) => output.channel,
    ({ output, watch, writable }, exit) =>
      Effect.sync(() => {
        writable.off("drain", watch.ring)
        watch.leave(writable)
        if (options.endOnDone !== false && (Exit.isFailure(exit) || !output.done)) writable.destroy(cutOff())
      })
  ))

const prematureClose = () => Object.assign(new Error("Premature close"), { code: "ERR_STREAM_PREMATURE_CLOSE" })

const cutOff = () => Object.assign(new Error("What was written is cut off"), { code: "ECONNABORTED" })

class Output<A, E> {
  readonly channel: Channel.Channel<never, Chunk.Chunk<A>, E, never, void>
  done = false
  private readonly writable: Writable
  private readonly watch: Watch
  private readonly onError: (error: unknown) => E
  private readonly encoding: BufferEncoding | undefined

  constructor(
    writable: Writable,
    watch: Watch,
    onError: (error: unknown) => E,
    { encoding, endOnDone }: {
      readonly endOnDone?: boolean | undefined
      readonly encoding?: BufferEncoding | undefined
    }
  ) {
    this.writable = writable
    this.watch = watch
    this.onError = onError
    this.encoding = encoding
    const end = Effect.suspend(() => {
      this.done = true
      if (endOnDone === false) return Exit.void
      if (this.isCut) return this.refused
      writable.end()
      return this.finish
    })
    const process: Channel.Channel<never, Chunk.Chunk<A>, E, never, void> = Channel.readWithCause({
      onInput: (chunk: Chunk.Chunk<A>) =>
        Channel.flatMap(Channel.fromEffect(this.write(Chunk.toReadonlyArray(chunk), 0)), () => process),
      onFailure: Channel.failCause,
      onDone: () => Channel.fromEffect(end)
    })
    this.channel = process
  }

  private write(items: ReadonlyArray<A>, from: number): Effect.Effect<void, E> {
    return Effect.suspend(() => {
      for (let next = from; next < items.length; next++) {
        // Of one that somebody else has ended, the error of a write may come after its end.
        if (this.isOver || this.writable.writableEnded) return this.refused
        if (!this.put(items[next]!)) return Effect.zipRight(this.drained, this.write(items, next + 1))
      }
      return Exit.void
    })
  }

  private put(item: A): boolean {
    return this.encoding === undefined ? this.writable.write(item) : this.writable.write(item, this.encoding)
  }

  private readonly drained: Effect.Effect<void, E> = Effect.suspend(() => {
    if (this.isOver) return this.refused
    return this.writable.writableNeedDrain ? Effect.zipRight(this.watch.wait, this.drained) : Exit.void
  })

  private readonly finish: Effect.Effect<void, E> = Effect.suspend(() => {
    if (this.watch.over === undefined) return Effect.zipRight(this.watch.wait, this.finish)
    // `finished` takes one that was destroyed within its `final` for one that has finished.
    return this.watch.over.error === undefined && !this.isCut ? Exit.void : this.refused
  })

  /** Its `'close'` comes later than it was destroyed: what is written in between is lost without a word. */
  private get isOver(): boolean {
    return this.watch.over !== undefined || this.writable.destroyed
  }

  private get isCut(): boolean {
    return this.writable.destroyed && !this.writable.writableFinished
  }

  private get refused(): Effect.Effect<never, E> {
    const closed = this.isCut ? prematureClose() : new Error("The stream has ended")
    const reason = this.watch.over?.error ?? this.writable.errored ?? closed
    return Exit.fail(this.onError(reason))
  }
}
