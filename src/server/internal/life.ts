/**
 * How the connections of one listener begin, and how they end.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as LogLevel from "effect/LogLevel"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Address from "../../Address.ts"
import type { ConnectionLost } from "../../ConnectionError.ts"
import { isDone } from "../../internal/immediate.ts"
import { NoInput } from "../../internal/input.ts"
import { Unattended } from "../../internal/unattended.ts"
import type { Listener } from "../../Listener.ts"
import type { DeadlineExceeded } from "../../policy/Deadline.ts"
import type { IdleTimeout } from "../../policy/IdleTimeout.ts"
import type { WriteStalled } from "../../policy/WriteStalled.ts"
import { RelayLost } from "../../Relay.ts"
import type { Transport } from "../../Transport.ts"
import type { ConnectionEnd, Outcome } from "../Server.ts"
import type { Connection, Connections } from "./connections.ts"

/** Of the connections of one listener. */
export type Handler = (transport: Transport) => Effect.Effect<unknown, unknown, any>

interface Options {
  readonly handler: Handler
  readonly listener: Listener
  readonly connections: Connections
  readonly runtime: Runtime.Runtime<any>
  readonly onEnd: ((end: ConnectionEnd) => void) | undefined
  readonly now: () => number
}

export class Life {
  private readonly options: Options
  private readonly annotations: HashMap.HashMap<string, unknown>
  private readonly isDebugged: boolean

  constructor(options: Options) {
    const { fiberRefs } = options.runtime
    this.options = options
    const inherited = FiberRefs.getOrDefault(fiberRefs, FiberRef.currentLogAnnotations)
    this.annotations = HashMap.set(inherited, "listener", Address.format(options.listener.address))
    this.isDebugged = LogLevel.lessThanEqual(
      FiberRefs.getOrDefault(fiberRefs, FiberRef.currentMinimumLogLevel),
      LogLevel.Debug
    )
  }

  begin(transport: Transport, served: boolean): void {
    const { connections, now, onEnd } = this.options
    const connection = connections.add(this, transport, served, onEnd === undefined ? 0 : now())
    if (served) this.serve(connection)
    else this.whenDone(transport, transport.close, () => this.settle(connection, refused))
  }

  /** At once. First the transport: a handler that ends what it uses when it is interrupted does not wait for the peer then. */
  abort(connection: Connection, ending: NonNullable<Connection["ending"]>): void {
    // That of a slow consumer, whose handler may take its time to end, stays.
    if (typeof connection.ending !== "object") connection.ending = ending
    this.whenDone(connection.transport, connection.transport.abort, () => connection.interrupt?.())
  }

  /** Without a fiber for as long as it needs none. */
  private serve(connection: Connection): void {
    const handled = this.handle(connection.transport)
    if (!(handled instanceof Unattended)) return this.attend(connection, handled)
    let over = false
    const started = handled.start((rest: Effect.Effect<unknown, unknown, any>) => {
      over = true
      connection.interrupt = undefined
      if (isDone(rest)) this.end(connection, Exit.void)
      else if (this.isUntold(connection, rest)) this.end(connection, untold)
      else if (Exit.isExit(rest)) this.end(connection, Exit.asVoid(rest))
      else this.attend(connection, rest)
    })
    if (over) return
    const interrupt = () => {
      connection.interrupt = undefined
      started.stop()
      this.end(connection, Exit.interrupt(FiberId.none))
    }
    connection.interrupt = interrupt
  }

  /** The loss of the connection, of which nobody wants to know more. */
  private isUntold({ transport }: Connection, rest: Effect.Effect<unknown, unknown, any>): boolean {
    return rest instanceof NoInput && rest.isOf(transport) && this.options.onEnd === undefined && !this.isDebugged
  }

  private handle(transport: Transport): Effect.Effect<unknown, unknown, any> {
    try {
      return this.options.handler(transport)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  /** By a fiber, with a Scope. */
  private attend(connection: Connection, handled: Effect.Effect<unknown, unknown, any>): void {
    const { transport } = connection
    let ended: Ended | undefined
    const life = Effect.flatMap(Scope.make(), (scope) => {
      const end = (exit: Exit.Exit<void, unknown>) => {
        const graceful = isGraceful(connection, exit)
        return Effect.flatMap(
          Effect.exit(Scope.close(scope, graceful ? Exit.void : exit)),
          (closed) =>
            Effect.flatMap(graceful ? transport.close : transport.abort, () => {
              ended = endedAs(connection, exit, closed)
              return this.logged(connection, ended)
            })
        )
      }
      return Effect.zipRight(
        // Set for good, since the fiber is the connection's own: what provides services takes them back at the end, and
        // costs 10 µs and 2 KB for that.
        FiberRef.set(FiberRef.currentContext, Context.add(this.options.runtime.context, Scope.Scope, scope)),
        Effect.matchCauseEffect(Effect.interruptible(handled), {
          onFailure: (cause) => end(Exit.failCause(cause)),
          onSuccess: () => end(Exit.void)
        })
      )
    })
    const fiber = this.fork(transport, life)
    // The fibers that the handler has forked are over then, too.
    fiber.addObserver((exit) => this.settle(connection, ended ?? { outcome: "failed", exit }))
    const interrupt = () => fiber.unsafeInterruptAsFork(FiberId.none)
    connection.interrupt = interrupt
  }

  /** The handler is over, and had no Scope. */
  private end(connection: Connection, handled: Exit.Exit<void, unknown>): void {
    const { transport } = connection
    this.whenDone(transport, isGraceful(connection, handled) ? transport.close : transport.abort, () => {
      const ended = endedAs(connection, handled, Exit.void)
      this.settle(connection, ended)
      const report = this.logged(connection, ended)
      if (report !== Exit.void) this.fork(transport, report)
    })
  }

  /** Nothing of it is left. */
  private settle(connection: Connection, ended: Ended): void {
    const { connections, onEnd } = this.options
    if (onEnd !== undefined) this.tell(onEnd, connection, ended)
    connections.settle(connection, ended.outcome)
  }

  private tell(
    onEnd: (end: ConnectionEnd) => void,
    { openedAt, transport }: Connection,
    { exit, outcome }: Ended
  ): void {
    const { localAddress, remoteAddress } = transport
    const { bytesRead, bytesWritten } = transport.stats()
    const duration = Duration.millis(this.options.now() - openedAt)
    try {
      onEnd({ localAddress, remoteAddress, outcome, exit, duration, bytesRead, bytesWritten })
    } catch (defect) {
      this.fork(transport, Effect.logError("Telling of the end of a connection died", Cause.die(defect)))
    }
  }

  private logged({ ending, transport }: Connection, { exit }: Ended): Effect.Effect<void> {
    if (Exit.isSuccess(exit) || exit === untold) return Exit.void
    const { cause } = exit
    if (typeof ending === "object") return Effect.logWarning("A connection that takes too little was aborted", cause)
    if (Cause.isInterruptedOnly(cause)) return Exit.void
    if (Cause.isDie(cause)) return Effect.logError("The handler of a connection died", cause)
    if (!isEveryday(transport, cause)) return Effect.logWarning("The handler of a connection failed", cause)
    return this.isDebugged ? Effect.logDebug("A connection was lost", cause) : Exit.void
  }

  private whenDone(transport: Transport, effect: Effect.Effect<void>, then: () => void): void {
    if (effect instanceof Unattended) effect.start(then)
    else this.fork(transport, Effect.map(effect, then))
  }

  /** Annotated for good, as its context is. */
  fork(transport: Transport, effect: Effect.Effect<void, never, any>): Fiber.RuntimeFiber<void> {
    const annotations = HashMap.set(
      HashMap.set(this.annotations, "localAddress", Address.format(transport.localAddress)),
      "remoteAddress",
      Address.format(transport.remoteAddress)
    )
    return Runtime.runFork(
      this.options.runtime,
      Effect.zipRight(FiberRef.set(FiberRef.currentLogAnnotations, annotations), effect)
    )
  }
}

/** Stands for a loss whose error nobody asks for, see `NoInput`. */
const untold: Exit.Exit<never, "lost"> = Exit.fail("lost")

const isGraceful = (connection: Connection, handled: Exit.Exit<void, unknown>): boolean =>
  Exit.isSuccess(handled) || isIdleEnd(connection, handled)

/** What became of a connection. */
interface Ended {
  readonly outcome: Outcome
  readonly exit: Exit.Exit<void, unknown>
}

const refused: Ended = { outcome: "refused", exit: Exit.void }

const endedAs = (
  connection: Connection,
  handled: Exit.Exit<void, unknown>,
  closed: Exit.Exit<void, never>
): Ended => {
  const { ending } = connection
  if (typeof ending === "object") return { outcome: "aborted", exit: Exit.fail(ending) }
  const idle = isIdleEnd(connection, handled)
  const exit = idle ? closed : closed === Exit.void ? handled : Exit.zipRight(handled, closed)
  if (ending === "aborted") return { outcome: "aborted", exit }
  return { outcome: Exit.isFailure(exit) ? "failed" : idle ? "drained" : "completed", exit }
}

/** It was interrupted because it was idle. */
const isIdleEnd = (connection: Connection, handled: Exit.Exit<void, unknown>): boolean =>
  connection.ending === "drained" && isInterruptedOnly(handled)

const isInterruptedOnly = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)

/** What the peer or the network does to one connection: its loss, the limits that it runs into, no TLS where TLS is spoken. */
const everyday: Record<(ConnectionLost | IdleTimeout | WriteStalled | DeadlineExceeded)["_tag"] | TlsTag, true> = {
  ConnectionReset: true,
  BrokenPipe: true,
  ConnectionAborted: true,
  ConnectionClosed: true,
  ConnectionTimedOut: true,
  CloseTimeout: true,
  PeerUnreachable: true,
  ConnectionFailed: true,
  IdleTimeout: true,
  WriteStalled: true,
  DeadlineExceeded: true,
  ProtocolVersion: true,
  HandshakeFailed: true,
  TlsTruncated: true,
  TlsFailed: true
}

/** Their types are a driver's. */
type TlsTag = "ProtocolVersion" | "HandshakeFailed" | "TlsTruncated" | "TlsFailed"

/** Most often it is the one failure, and a `Chunk` of it would cost 2 µs. */
const isEveryday = (transport: Transport, cause: Cause.Cause<unknown>): boolean =>
  Cause.isFailType(cause)
    ? isEverydayOf(transport, cause.error)
    : Chunk.every(Cause.failures(cause), (error) => isEverydayOf(transport, error))

/** Not of another connection, which the handler uses. An alert of TLS is the peer's complaint of this side: its certificate. */
const isEverydayOf = (transport: Transport, error: unknown): boolean => {
  if (error instanceof RelayLost) return isEverydayOf(transport, error.error)
  if (typeof error !== "object" || error === null) return false
  const { _tag, alert, localAddress, remoteAddress } = error as Partial<ConnectionLost> & { readonly alert?: unknown }
  return _tag !== undefined && Object.hasOwn(everyday, _tag) && alert === undefined &&
    Equal.equals(localAddress, transport.localAddress) && Equal.equals(remoteAddress, transport.remoteAddress)
}
