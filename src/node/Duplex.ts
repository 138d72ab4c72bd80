/**
 * Node's `Duplex` and a transport, each as the other: a child's pipes, an SSH channel or a stream of a test as a transport;
 * a transport for node:http, node:tls and whatever else speaks through streams.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as stream from "node:stream"
import * as Address from "../Address.ts"
import type { SystemFailure } from "../ConnectionError.ts"
import * as Driver from "../Driver.ts"
import { timersOf } from "../internal/timers.ts"
import * as Turn from "../internal/turn.ts"
import type * as Transport from "../Transport.ts"
import { Batches } from "./internal/batches.ts"
import { driverOf, StreamDriver } from "./internal/streamDriver.ts"
import { TransportDuplex } from "./internal/transportDuplex.ts"

// -----------------------------------------------------------------------------
// a Duplex as a transport
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface FromOptions extends Transport.Limits {
  /** What `localAddress` says: a `PipeAddress` named `local`. */
  readonly localAddress?: Address.Address | undefined
  /** What `remoteAddress` says: a `PipeAddress` named `duplex`. */
  readonly remoteAddress?: Address.Address | undefined
}

// Neither this nor that a write is through says that the event loop has turned: a stream may call within one that is written
// to, or read.
const onData = Turn.event(function(this: stream.Duplex, chunk: Uint8Array) {
  driverOf(this)?.give(chunk)
})

class DuplexDriver extends StreamDriver<stream.Duplex> implements Driver.Driver {
  private flowing = false
  private readonly batches = new Batches(this.stream, (bytes) => this.events.written(bytes))

  startReading(): void {
    if (this.lent) return
    if (!this.flowing) {
      this.flowing = true
      this.stream.on("data", onData)
      // Before it was handed over: `'end'` does not come again.
      if (this.stream.readableEnded) Turn.macrotask(Turn.event(() => this.onEnd()))
    }
    this.stream.resume()
  }

  stopReading(): void {
    if (!this.lent) this.stream.pause()
  }

  override lend(): void {
    super.lend()
    this.stream.removeListener("data", onData).pause()
  }

  write(chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean {
    if (!this.stream.writableEnded) return this.batches.write(chunks, bytes)
    // Not by this driver: with the peer's end (`allowHalfOpen: false`), or before it was handed over.
    this.events.failed(ended)
    return false
  }

  override end(): void {
    if (this.stream.writableFinished) this.events.finished()
    else super.end()
  }

  override release(): void {
    this.destroy(undefined)
  }

  override reset(): void {
    this.destroy(Object.assign(new Error("The transport was aborted"), { code: "ECONNABORTED" }))
  }

  private destroy(reason: Error | undefined): void {
    if (this.stream.closed) this.events.released()
    else this.stream.destroy(reason)
  }

  /** A stream that has ended in both directions is lost to nobody: the transport is over when this side has ended it. */
  override onClose(): void {
    if (!this.stream.readableEnded || !this.stream.writableFinished) super.onClose()
    else this.events.released()
  }
}

const ended: SystemFailure = { code: "EPIPE", syscall: "write", cause: undefined }

/**
 * Takes over a Duplex: from here on nobody else reads, writes or ends it. The transport is tied to the Scope.
 *
 * Half-close works if the stream was made with `allowHalfOpen` (the default of `Duplex`, not of `net.Socket`); without, a
 * write after the peer's end is a `BrokenPipe`. `abort` destroys the stream with an error, which is a reset where the stream
 * has one. A stream that closes without having ended is a `ConnectionReset`; what its error says decides otherwise. Nothing is
 * left of the transport at the stream's `'close'`: of one that never emits it (`emitClose: false`), something always is.
 *
 * A stream in object mode, one that reads text (`setEncoding`), or one that is destroyed already, is a bug in the caller and
 * dies.
 *
 * A readable and a writable are made one by Node's `Duplex.from`: the standard streams of this process, or of a child.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Duplex from "effect-transport/node/Duplex"
 * import { spawn } from "node:child_process"
 * import * as stream from "node:stream"
 *
 * // A child process, which is killed if it is there still when the Scope ends.
 * export const child = (command: string) =>
 *   Effect.gen(function*() {
 *     const { stdin, stdout } = yield* Effect.acquireRelease(
 *       Effect.async<ReturnType<typeof start>, Error>((resume) => {
 *         const process = start(command)
 *         process.once("error", (error) => resume(Effect.fail(error)))
 *         process.once("spawn", () => resume(Effect.succeed(process)))
 *       }),
 *       (process) => Effect.sync(() => process.kill())
 *     )
 *     return yield* Duplex.from(stream.Duplex.from({ readable: stdout, writable: stdin }))
 *   })
 *
 * const start = (command: string) => spawn(command, { stdio: ["pipe", "pipe", "inherit"] })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const from = (
  duplex: stream.Duplex,
  options: FromOptions = {}
): Effect.Effect<Transport.Transport, never, Scope.Scope> =>
  Effect.suspend(() => {
    if (duplex.readableObjectMode || duplex.writableObjectMode) {
      throw new TypeError("A transport carries bytes, and this Duplex is in object mode")
    }
    if (typeof duplex.readableEncoding === "string") {
      throw new TypeError(`A transport carries bytes, and this Duplex reads text: ${duplex.readableEncoding}`)
    }
    if (duplex.destroyed) throw new TypeError("This Duplex is destroyed already")
    duplex.pause()
    return Driver.open({
      driver: (events: Driver.Events<SystemFailure>) => new DuplexDriver(duplex, events),
      localAddress: options.localAddress ?? Address.pipe("local"),
      remoteAddress: options.remoteAddress ?? Address.pipe("duplex"),
      options: undefined,
      handle: duplex,
      limits: Driver.resolveLimits(options)
    })
  })

// -----------------------------------------------------------------------------
// a transport as a Duplex
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface ToOptions {
  /**
   * After the peer's end the writable side goes on until it is ended too: `true`. `net.Socket`'s own default is `false`, and
   * an Agent of node:http needs that: it keeps an idle connection that its server has ended, for a request that nobody answers.
   */
  readonly allowHalfOpen?: boolean | undefined
}

/**
 * A Duplex with those members of `net.Socket` that node:http, its Agent and undici use.
 *
 * @since 0.1.0
 * @category models
 */
export interface Socket extends stream.Duplex {
  /** Numeric; `undefined` where the address is not of TCP. */
  readonly localAddress: string | undefined
  readonly localPort: number | undefined
  readonly localFamily: string | undefined
  /** Numeric; `undefined` where the address is not of TCP. */
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  readonly remoteFamily: string | undefined
  /** What `setTimeout` was given last. */
  readonly timeout: number | undefined
  /** Emits `'timeout'` when no byte has moved for so many milliseconds, by the Clock; and does nothing else. 0: never. */
  readonly setTimeout: (millis: number, listener?: () => void) => this
  /** The transport's option; without effect where the transport has none. */
  readonly setNoDelay: (value?: boolean) => this
  /** The transport's option, the delay in milliseconds; without effect where the transport has none. */
  readonly setKeepAlive: (value?: boolean, initialDelay?: number) => this
  /** Passed on to what carries the transport, if that has it. After `unref`, `setTimeout` keeps the process no longer. */
  readonly ref: () => this
  readonly unref: () => this
  /** Ends, and destroys when the end is sent. */
  readonly destroySoon: () => void
}

/**
 * A transport as a Duplex, for code that knows nothing of Effect. From here on nobody else reads, writes or ends the
 * transport. It goes on as long as the transport does: until its Scope ends, or the Duplex does.
 *
 * - Reading: nothing is taken before somebody reads, and then a chunk at a time; a reader that stops holds the peer back.
 *   The peer's end is `'end'`.
 * - Writing: a write calls back when the bytes are in the carrier's hands, and may be changed; `write` gives `false` by the
 *   stream's own mark (16 KiB), and `'drain'` comes when the carrier has taken what was written. `end` half-closes.
 * - `destroy()` closes gracefully: what is with the carrier is sent, then the end. With an error, or when that would cut
 *   off what was written, it aborts, so that the peer does not take it for an end. `'close'` comes when nothing is left.
 * - A loss destroys it with the transport's own error, after the bytes that came before it; a reader that has stopped
 *   learns of it when it goes on, a writer at once. The same when somebody closes or aborts the transport beneath, also
 *   after the peer's end.
 * - There is a listener for `'error'` already: a loss does not end the process.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 * import * as Duplex from "effect-transport/node/Duplex"
 * import * as http from "node:http"
 *
 * const server = http.createServer((_request, response) => response.end("hello"))
 *
 * // HTTP on any transport, here in memory: no port is bound.
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const [client, accepted] = yield* MemoryTransport.pair()
 *   server.emit("connection", yield* Duplex.to(accepted))
 *   yield* client.write(new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n"))
 *   return yield* client.pull
 * }))
 * ```
 *
 * @since 0.1.0
 * @category conversions
 */
export const to = <E>(transport: Transport.Transport<E>, options: ToOptions = {}): Effect.Effect<Socket> =>
  Effect.flatMap(Effect.clock, (clock) =>
    Effect.map(
      Effect.runtime(),
      (runtime) => new TransportDuplex(transport, runtime, timersOf(clock), options.allowHalfOpen ?? true)
    ))
