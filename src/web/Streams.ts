/**
 * The web's streams (WHATWG Streams Standard) and a transport, each as the other: what `fetch`, `CompressionStream`, workers
 * and the hosts beside Node speak.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "../Address.ts"
import type { SystemFailure } from "../ConnectionError.ts"
import { systemFailure } from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import { Outlet } from "../internal/outlet.ts"
import type * as Transport from "../Transport.ts"

/**
 * Both directions: `readable` is what the peer sends, `writable` is what it gets.
 *
 * @since 0.1.0
 * @category models
 */
export interface Streams {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
}

// -----------------------------------------------------------------------------
// streams as a transport
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface FromOptions extends Transport.Limits {
  /** What `localAddress` says: a `PipeAddress` named `local`. */
  readonly localAddress?: Address.Address | undefined
  /** What `remoteAddress` says: a `PipeAddress` named `streams`. */
  readonly remoteAddress?: Address.Address | undefined
}

/** With a code that says what it is to whoever is at the other end of these streams. */
const aborted = () => Object.assign(new Error("The transport was aborted"), { code: "ECONNRESET" })

/** Of a stream that was cancelled at its other end without a reason: nobody is there who reads. */
const nobodyReads: SystemFailure = { code: "EPIPE", syscall: "write", cause: undefined }

type Read = Awaited<ReturnType<ReadableStreamDefaultReader<Uint8Array>["read"]>>

class StreamsDriver implements Driver.Driver {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>
  private readonly events: Driver.Events<SystemFailure>
  private reading = false
  private asked = false
  private left = false
  private unread = false
  /** By this driver, or before it was handed over. */
  private closed = false

  constructor({ readable, writable }: Streams, events: Driver.Events<SystemFailure>) {
    this.reader = readable.getReader()
    this.writer = writable.getWriter()
    this.events = events
    this.writer.closed.then(
      () => {
        this.closed = true
      },
      (cause: unknown) => {
        this.unread = cause === undefined
        // Of nobody who reads a writer learns when it writes, as from a socket.
        if (!this.unread) this.failed(cause)
      }
    )
  }

  readonly startReading = (): void => {
    this.reading = true
    this.ask()
  }

  readonly stopReading = (): void => {
    this.reading = false
  }

  private ask(): void {
    if (this.asked || !this.reading || this.left) return
    this.asked = true
    this.reader.read().then(this.answered, this.failed)
  }

  private readonly answered = ({ done, value }: Read): void => {
    this.asked = false
    if (this.left) return
    if (done) return this.events.ended()
    if (!(value instanceof Uint8Array)) return this.failed(new TypeError(`${noBytes}, and got ${typeof value}`))
    this.events.received(value)
    this.ask()
  }

  readonly write = (chunks: ReadonlyArray<Uint8Array>): boolean => {
    if (this.closed) {
      this.lost(nobodyReads)
      return false
    }
    for (const chunk of chunks) this.writer.write(chunk).then(() => this.events.written(chunk.length), this.unwritten)
    return false
  }

  readonly end = (): void => {
    if (this.closed) return this.events.finished()
    this.writer.close().then(
      () => this.events.finished(),
      (cause: unknown) => this.unread ? this.events.finished() : this.unwritten(cause)
    )
  }

  private readonly failed = (cause: unknown): void => this.lost(systemFailure(cause))

  private readonly unwritten = (cause: unknown): void =>
    this.lost(cause === undefined ? nobodyReads : systemFailure(cause))

  private lost(failure: SystemFailure): void {
    if (!this.left) this.events.failed(failure)
  }

  readonly release = (): void => this.leave(undefined)

  readonly reset = (): void => this.leave(aborted())

  /** What the streams still do with it is theirs, and may take for ever. */
  private leave(reason: Error | undefined): void {
    this.left = true
    this.reader.cancel(reason).catch(() => {})
    this.writer.abort(reason).catch(() => {})
    this.events.released()
  }
}

const noBytes = "A transport carries Uint8Array"

/**
 * Takes over two streams of bytes: both are locked from here on. The transport is tied to the Scope.
 *
 * - Nothing is read before the first pull, but for what the stream reads ahead by itself (a chunk, by default).
 * - A write is handed over when the stream's sink is done with it: a slow sink holds writers back.
 * - `closeWrite` closes the writable one; the other one goes on. At the end a readable one that has not ended is cancelled.
 * - `abort` cancels and aborts with an error whose code is `ECONNRESET`: where two transports meet over a pair of streams,
 *   it is a `ConnectionReset` for the other one. Any other error of the streams is a loss by its `code`, as `cause`.
 *
 * A stream that is locked already is a bug in the caller and dies with a `TypeError`. One that gives no `Uint8Array` is
 * lost: `ConnectionFailed`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Streams from "effect-transport/web/Streams"
 *
 * // Bytes through gzip and back.
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const { readable, writable } = new CompressionStream("gzip")
 *   const zip = yield* Streams.from({ readable: readable.pipeThrough(new DecompressionStream("gzip")), writable })
 *   yield* zip.write(new TextEncoder().encode("hello"))
 *   yield* zip.closeWrite
 *   return yield* zip.pull
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const from = (
  streams: Streams,
  options: FromOptions = {}
): Effect.Effect<Transport.Transport, never, Scope.Scope> =>
  Effect.suspend(() => {
    if (streams.readable.locked || streams.writable.locked) {
      throw new TypeError("Somebody else reads or writes one of these streams: it is locked")
    }
    return Driver.open({
      driver: (events: Driver.Events<SystemFailure>) => new StreamsDriver(streams, events),
      localAddress: options.localAddress ?? Address.pipe("local"),
      remoteAddress: options.remoteAddress ?? Address.pipe("streams"),
      options: undefined,
      handle: streams,
      limits: Driver.resolveLimits(options)
    })
  })

// -----------------------------------------------------------------------------
// a transport as streams
// -----------------------------------------------------------------------------

/** What a callback brings, as the streams want to wait for it: `undefined` when it is there at once. */
const settled = (start: (done: (error?: Error) => void) => void): Promise<void> | undefined => {
  let over = false
  let failure: Error | undefined
  let settle = (): void => {}
  start((error) => {
    over = true
    failure = error
    settle()
  })
  if (over && failure === undefined) return undefined
  return new Promise((resolve, reject) => {
    settle = () => failure === undefined ? resolve() : reject(failure)
    if (over) settle()
  })
}

/** It is not in Node's types. */
const signalOf = (controller: WritableStreamDefaultController): AbortSignal =>
  (controller as WritableStreamDefaultController & { readonly signal: AbortSignal }).signal

/**
 * A transport as two streams of bytes. From here on nobody else reads, writes or ends the transport. They go on as long as
 * it does: until its Scope ends, or both of them do.
 *
 * - `readable`: nothing is taken before somebody reads, and then a chunk for each read; the peer's end closes it. Cancelled,
 *   what still comes is read and dropped, so that the peer is not held back.
 * - `writable`: a write is done when the bytes are in the carrier's hands, and may be changed; `ready` waits for that.
 *   `close` half-closes. `abort` aborts the transport, whatever the reason, and so does a chunk that is no `Uint8Array`.
 * - Closed here and cancelled there, the transport is closed gracefully: it does not wait for the peer's end.
 * - A loss is the error of both, the transport's own: of `readable` after the bytes that came before it. The same when
 *   somebody closes or aborts the transport beneath.
 *
 * @since 0.1.0
 * @category conversions
 */
export const to = <E>(transport: Transport.Transport<E>): Effect.Effect<Streams> =>
  Effect.map(Effect.runtime(), (runtime) => {
    let reader!: ReadableStreamDefaultController<Uint8Array>
    let writer!: WritableStreamDefaultController
    let cancelled = false
    let closed = false
    const leave = (how: "close" | "abort") => settled((done) => outlet.leave(how, done))

    const readable = new ReadableStream<Uint8Array>({
      start: (controller) => void (reader = controller),
      pull: () => outlet.want(),
      cancel: () => {
        cancelled = true
        if (closed) return leave("close")
        outlet.drain()
        outlet.want()
        return undefined
      }
      // Read ahead is what the transport has, and no more.
    }, { highWaterMark: 0 })

    const writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        writer = controller
        // `abort` is called only when the write that is under way has settled, which may take for ever.
        signalOf(controller).addEventListener("abort", () => void leave("abort"))
      },
      write: (chunk) => {
        if (chunk instanceof Uint8Array) return settled((done) => outlet.write([chunk], done))
        void leave("abort")
        throw new TypeError(`${noBytes}, and got ${typeof chunk}`)
      },
      close: () => {
        closed = true
        return cancelled ? leave("close") : settled((done) => outlet.end(done))
      },
      abort: () => leave("abort")
    })

    const outlet = new Outlet(transport, runtime, {
      take: (chunk) => {
        if (!cancelled) reader.enqueue(chunk)
        return cancelled
      },
      ended: () => {
        if (!cancelled) reader.close()
      },
      failed: (error) => {
        if (!cancelled) reader.error(error)
        writer.error(error)
      },
      lost: (error) => writer.error(error),
      refused: (error) => {
        if (!closed) writer.error(error)
      }
    })
    return { readable, writable }
  })
