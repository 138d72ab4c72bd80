/**
 * A platform Socket over transports: what one that dials and one that was accepted have in common.
 *
 * @internal
 */
import * as Socket from "@effect/platform/Socket"
import * as Effect from "effect/Effect"
import type { Transport } from "../../Transport.ts"
import type { Unfinished } from "./handling.ts"
import { handling } from "./handling.ts"
import { closed, readError } from "./socketErrors.ts"
import { SocketWriter } from "./socketWriter.ts"

/** Gets a connection, and has it read. */
type Run = <E, R>(
  read: (transport: Transport<unknown>) => Effect.Effect<void, Socket.SocketError | E, R>,
  onOpen: Effect.Effect<void>
) => Effect.Effect<void, Socket.SocketError | E, R>

export class TransportSocket implements Socket.Socket {
  readonly [Socket.TypeId]: Socket.TypeId = Socket.TypeId
  readonly run: Socket.Socket["run"]
  readonly runRaw: Socket.Socket["runRaw"]
  readonly writer: Socket.Socket["writer"]
  private readonly output: SocketWriter
  private handlers: Unfinished<any, any> | undefined = undefined

  constructor(output: SocketWriter, run: Run, concurrency = 16) {
    if (!(concurrency >= 1)) throw new RangeError(`concurrency is at least 1, not ${concurrency}`)
    const lost = (error: unknown) => output.closeEvent === undefined ? readError(error) : closed(output.closeEvent)
    this.output = output
    this.writer = output.scoped
    this.run = (handler, { onOpen = Effect.void } = {}) =>
      Effect.interruptible(
        run((transport) => handling(transport, handler, concurrency, lost, (begun) => (this.handlers = begun)), onOpen)
      )
    this.runRaw = this.run
  }

  get transport(): Transport<unknown> | undefined {
    return this.output.transport
  }

  /** Handlers that have begun and are not over. */
  get unfinished(): number {
    return this.handlers?.size ?? 0
  }
}

/** A connection that is open already. */
export const accepted = <E>(transport: Transport<E>, concurrency?: number): TransportSocket => {
  let ended = false
  return new TransportSocket(
    new SocketWriter(transport),
    (read, onOpen) =>
      Effect.suspend(() => {
        if (ended) return Effect.fail(closed(new Socket.CloseEvent(1000)))
        return Effect.zipRight(onOpen, Effect.tap(read(transport), () => Effect.sync(() => (ended = true))))
      }),
    concurrency
  )
}
