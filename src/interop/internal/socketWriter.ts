/**
 * The writer of a platform Socket. It may be there before a connection is, and outlive it.
 *
 * @internal
 */
import * as Socket from "@effect/platform/Socket"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { WriteAfterEnd } from "../../ConnectionError.ts"
import { async } from "../../internal/async.ts"
import { advance, isDone, suspend } from "../../internal/immediate.ts"
import type { Transport } from "../../Transport.ts"
import { writeError } from "./socketErrors.ts"

type Written = Uint8Array | string | Socket.CloseEvent

export class SocketWriter {
  /** The connection that is written to. */
  transport: Transport<unknown> | undefined = undefined
  /** How this side has ended it. */
  closeEvent: Socket.CloseEvent | undefined = undefined
  /** There will be no other connection: a loss is a failure, and nothing to wait for. */
  private readonly final: boolean
  private readonly waiting = new Set<() => void>()

  constructor(transport?: Transport<unknown>) {
    this.transport = transport
    this.final = transport !== undefined
  }

  connected(transport: Transport<unknown>): void {
    this.transport = transport
    this.closeEvent = undefined
    for (const look of this.waiting) look()
  }

  disconnected(transport: Transport<unknown>): void {
    if (this.transport === transport) this.transport = undefined
  }

  /** Without a fiber where there is room. */
  readonly write = (chunk: Written): Effect.Effect<void, Socket.SocketError> => suspend(() => this.put(chunk))

  /** Its release ends this side's writing, and does not wait for the kernel to take it. */
  readonly scoped: Effect.Effect<(chunk: Written) => Effect.Effect<void, Socket.SocketError>, never, Scope.Scope> =
    Effect.acquireRelease(Effect.succeed(this.write), () =>
      Effect.suspend(() => {
        const { transport } = this
        return transport === undefined ? Effect.void : Effect.forkDaemon(Effect.ignore(transport.closeWrite))
      }))

  private put(chunk: Written): Effect.Effect<void, Socket.SocketError> {
    const { transport } = this
    if (transport === undefined) return this.later(chunk, undefined)
    if (Socket.isCloseEvent(chunk)) return this.end(transport, chunk)
    const rest = advance(transport.write(typeof chunk === "string" ? encoder.encode(chunk) : chunk))
    return isDone(rest) ?
      Exit.void :
      Effect.catchAll(rest, (error) =>
        this.final || error instanceof WriteAfterEnd && this.transport === transport
          ? Exit.fail(writeError(error))
          : this.later(chunk, transport))
  }

  /** There are no close codes on the wire: 1000 is an end in order, any other a reset. */
  private end(transport: Transport<unknown>, event: Socket.CloseEvent): Effect.Effect<void> {
    this.closeEvent = event
    return event.code === 1000 ? transport.close : transport.abort
  }

  /** On another connection than this one. */
  private later(chunk: Written, than: Transport<unknown> | undefined): Effect.Effect<void, Socket.SocketError> {
    const connected = async<void>((resume) => {
      const look = () => {
        if (this.transport === undefined || this.transport === than) return
        this.waiting.delete(look)
        resume(Exit.void)
      }
      this.waiting.add(look)
      look()
      return () => this.waiting.delete(look)
    })
    return Effect.flatMap(connected, () => this.put(chunk))
  }
}

const encoder = new TextEncoder()
