/**
 * A driver whose carrier is a platform Socket: one fiber runs it, another writes.
 *
 * @internal
 */
import * as Socket from "@effect/platform/Socket"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Driver, Events } from "../../Driver.ts"
import { firstOf } from "../../internal/firstOf.ts"
import * as Turn from "../../internal/turn.ts"
import { Held } from "./held.ts"
import { readError, writeError } from "./socketErrors.ts"

export interface Options<F> {
  /** Bytes that may come while nobody wants them. */
  readonly maxUnread: number
  readonly overflow: () => F
  /** The end of the writer's Scope ends one direction, and not both. */
  readonly halfClose: boolean
  /** Makes a fiber that starts a little later: no event may reach the core from within a call of the core. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
}

type Failure<F> = F | Socket.SocketError

/** Handlers that wait, for a Socket that waits for them. One that goes on after so many does not, and each costs a fiber. */
const mostWaiting = 1024

type Write = Effect.Effect.Success<Socket.Socket["writer"]>

export class SocketDriver<F> implements Driver {
  private readonly socket: Socket.Socket
  private readonly events: Events<Failure<F>>
  private readonly options: Options<F>
  private readonly writing: Scope.CloseableScope
  private running: Fiber.RuntimeFiber<void, Socket.SocketError> | undefined = undefined
  private writer: Fiber.RuntimeFiber<void> | undefined = undefined
  private acquired: Write | undefined = undefined
  /** Nothing comes any more, and nothing can be sent. */
  private over = false
  private wanted = false
  private unwanted = 0
  private readonly held = new Held()
  private waiting = 0
  private ending = false
  private left = false
  /** Where handlers wait while nobody wants input: a Socket that waits for its handlers is held back so. */
  private readonly wants = Effect.unsafeMakeLatch(false)

  constructor(
    socket: Socket.Socket,
    writing: Scope.CloseableScope,
    events: Events<Failure<F>>,
    options: Options<F>
  ) {
    this.socket = socket
    this.writing = writing
    this.events = events
    this.options = options
  }

  /** Runs the Socket until it is released. Suspends until it is open. */
  readonly open: Effect.Effect<void, Socket.SocketError> = Effect.suspend(() => {
    const opened = Effect.unsafeMakeLatch(false)
    this.running = this.options.fork(Effect.interruptible(this.socket.run(this.received, { onOpen: opened.open })))
    this.running.addObserver(this.ended)
    // Who loses is interrupted also where nothing else is, as in an HttpApp, which would wait for it for ever.
    return firstOf(Effect.interruptible(opened.await), Effect.interruptible(Fiber.join(this.running)))
  })

  // --- reading -----------------------------------------------------------------

  readonly startReading = (): void => {
    this.wanted = true
    this.unwanted = 0
    this.passHeld()
    // Enough of it for now, perhaps.
    if (!this.wanted) return
    this.waiting = 0
    this.wants.unsafeOpen()
  }

  readonly stopReading = (): void => {
    this.wanted = false
    this.wants.unsafeClose()
  }

  private readonly received = (bytes: Uint8Array): Effect.Effect<void> | undefined => {
    if (this.wanted) this.events.received(bytes)
    else this.hold(bytes)
    return this.wanted || ++this.waiting > mostWaiting ? undefined : this.wants.await
  }

  private hold(bytes: Uint8Array): void {
    this.unwanted += bytes.length
    if (this.unwanted <= this.options.maxUnread) return this.held.push(bytes)
    this.passHeld()
    this.events.failed(this.options.overflow())
  }

  private passHeld(): void {
    for (const bytes of this.held.take()) this.events.received(bytes)
  }

  /** The end of a Socket is that of both directions: one that still has its writer cannot write. */
  private readonly ended = (exit: Exit.Exit<void, Socket.SocketError>): void => {
    this.over = true
    this.passHeld()
    if (this.ending && isClose(exit)) return this.events.ended()
    if (Exit.isSuccess(exit)) {
      this.events.ended()
      // It would wait for another connection.
      if (this.writer?.unsafePoll() === null) this.events.failed(gone)
    }
    if (Exit.isFailure(exit) && !(this.left && Cause.isInterruptedOnly(exit.cause))) {
      this.events.failed(readError(Cause.squash(exit.cause)))
    }
  }

  // --- writing -----------------------------------------------------------------

  /** Acquired once: each time would leave one more release in the Scope, and a stream cannot be closed twice. */
  private readonly output: Effect.Effect<Write> = Effect.suspend(() =>
    this.acquired !== undefined
      ? Effect.succeed(this.acquired)
      : Effect.map(Scope.extend(this.socket.writer, this.writing), (write) => (this.acquired = write))
  )

  readonly write = (chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean => {
    const all = Effect.flatMap(
      this.output,
      (write) => Effect.forEach(chunks, (chunk) => this.over ? Effect.fail(gone) : write(chunk), { discard: true })
    )
    this.writer = this.options.fork(Effect.matchCause(all, {
      onFailure: this.failed,
      onSuccess: () => this.events.written(bytes)
    }))
    return false
  }

  /** A Socket over a stream dies of what the stream fails with. */
  private readonly failed = (cause: Cause.Cause<Socket.SocketError>): void =>
    this.events.failed(writeError(Cause.squash(cause)))

  /** Without a half-close the whole Socket ends, and `ended` tells. */
  readonly end = (): void => {
    this.ending = true
    const end = this.over
      ? Effect.void
      : this.options.halfClose
      ? Effect.zipRight(this.output, Scope.close(this.writing, Exit.void))
      : this.close(1000)
    this.options.fork(Effect.matchCause(end, { onFailure: this.failed, onSuccess: () => this.events.finished() }))
  }

  /** It waits while the Socket is not open. */
  private close(code: number): Effect.Effect<void> {
    return this.output.pipe(
      Effect.flatMap((write) => write(new Socket.CloseEvent(code))),
      Effect.ignore
    )
  }

  // --- ending ------------------------------------------------------------------

  readonly release = (): void => this.leave(Effect.void)

  /** Of the codes that a WebSocket may give, one without a meaning. */
  readonly reset = (): void => this.leave(Effect.suspend(() => this.over ? Effect.void : this.close(4000)))

  private leave(closing: Effect.Effect<void>): void {
    if (this.left) return
    this.left = true
    // A turn ahead: it may wait for ever, and what it does it has done by then. A Duplex that it destroys tells of an error
    // within that turn, which ends the process when nobody listens any more.
    const left = Effect.flatMap(Effect.zipLeft(Effect.fork(closing), Turn.breath), (closing) => {
      const fibers = [this.writer, this.running, closing].filter((fiber) => fiber !== undefined)
      return Effect.zipRight(Fiber.interruptAll(fibers), Scope.close(this.writing, Exit.void))
    })
    this.options.fork(Effect.ensuring(left, Effect.sync(() => this.events.released())))
  }
}

/** As a Socket that is no WebSocket fails once this side has closed it in order. */
const isClose = (exit: Exit.Exit<void, Socket.SocketError>): boolean =>
  Exit.isFailure(exit) && Cause.isFailType(exit.cause) && exit.cause.error.reason === "Close" &&
  exit.cause.error.code === 1000

const gone = new Socket.SocketCloseError({ reason: "Close", code: 1000 })
