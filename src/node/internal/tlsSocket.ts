/**
 * TLS straight on a socket of Node, without a stream in between. There the peer's close_notify and a bare end of the socket
 * are the same event.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { TLSSocket } from "node:tls"
import type { SystemFailure } from "../../ConnectionError.ts"
import { systemFailure } from "../../ConnectionError.ts"
import type { Events } from "../../Driver.ts"
import { concat } from "../../internal/bytes.ts"
import type { Connection } from "../../internal/connection.ts"
import * as Turn from "../../internal/turn.ts"
import type { Transport } from "../../Transport.ts"
import type { StreamDriver } from "./streamDriver.ts"
import { socketDriverOf } from "./streamDriver.ts"
import type { Failures } from "./tlsDriver.ts"
import { recordSize, TlsDriver } from "./tlsDriver.ts"
import type { Carrier } from "./tlsHandshake.ts"
import { handshakeEnded } from "./tlsHandshake.ts"

type Run = (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>

/**
 * The carrier itself stays what it was for whoever has accepted or dialled it: it is closed and aborted as ever, says what
 * became of it, and its counters are those of the transport above.
 */
export class SocketCarrier<E> implements Carrier<E> {
  readonly transport: Transport<E>
  readonly stream: Socket
  readonly run: Run
  loss: { readonly error: E } | undefined = undefined
  private readonly driver: StreamDriver<Duplex>
  private readonly core: Connection<SystemFailure>
  private preparing: Fiber.RuntimeFiber<void> | undefined = undefined

  /** `undefined` if the transport is none straight on a socket, or is not open in both directions and without a reader. */
  static of<E>(transport: Transport<E>, run: Run): SocketCarrier<E> | undefined {
    const driver = socketDriverOf(transport)
    const { peerEnded, pulling } = transport.stats()
    return driver === undefined || peerEnded || pulling || !transport.outgoing.isActive()
      ? undefined
      : new SocketCarrier(transport, driver, run)
  }

  private constructor(transport: Transport<E>, driver: StreamDriver<Duplex>, run: Run) {
    this.transport = transport
    this.stream = transport.unsafeHandle as Socket
    this.driver = driver
    this.core = driver.events as Connection<SystemFailure>
    this.run = run
  }

  /** Calls `begin` when what was written is out, and what was read is back in the socket, whose new reader takes it. */
  prepare(begin: () => void, failed: (cause: unknown) => void): void {
    const { buffered, unread } = this.transport.stats()
    const taken: Array<Uint8Array> = []
    const handOver = () => {
      if (this.transport.stats().peerEnded) return failed(handshakeEnded)
      this.driver.lend()
      if (taken.length > 0) this.stream.unshift(concat(taken))
      // An end in the handshake is to be an error of Node's.
      this.stream.allowHalfOpen = false
      begin()
    }
    if (buffered === 0 && unread === 0) return handOver()
    const prepared = Effect.zipRight(this.transport.flush, takeUnread(this.transport, taken))
    this.preparing = this.run(Effect.match(prepared, {
      onFailure: (error) => {
        this.loss = { error }
        failed(error)
      },
      onSuccess: handOver
    }))
  }

  secured(socket: TLSSocket): void {
    socket.allowHalfOpen = true
  }

  /** A failure that is the socket's: calls `then` with what the carrier makes of it. `false`: it is TLS's own. */
  fails(cause: unknown, then: () => void): boolean {
    const failure = systemFailure(cause)
    if (this.loss === undefined && failure.syscall === undefined) return false
    this.driver.onError(failure)
    this.whenClosed(then)
    return true
  }

  whenClosed(then: () => void): void {
    this.run(Effect.map(this.transport.closed, (reason) => {
      if (reason._tag === "Lost") this.loss ??= reason
      then()
    }))
  }

  /** The input is over, which may be a reset in disguise: the socket's driver finds out. Calls `then` if it is none. */
  ended(then: () => void): void {
    const { core, driver } = this
    driver.onEnd()
    core.awaitInput({ waits: () => true, notify: () => core.peerEnded && then() })
  }

  /** Calls `then` unless the connection is lost. */
  probe(then: () => void): void {
    this.driver.probe(then)
  }

  leave(how: "close" | "abort"): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { core, preparing, transport } = this
      // TLS has ended both directions, or waited for the peer long enough.
      if (how === "close") {
        core.close()
        core.ended()
        core.finished()
      }
      return Effect.zipRight(preparing === undefined ? Effect.void : Fiber.interrupt(preparing), transport[how])
    })
  }
}

const takeUnread = <E>(transport: Transport<E>, taken: Array<Uint8Array>): Effect.Effect<void, E> =>
  Effect.suspend(() =>
    transport.stats().unread === 0 ? Effect.void : Effect.flatMap(transport.pull, (chunk) => {
      if (chunk !== null) taken.push(chunk)
      return takeUnread(transport, taken)
    })
  )

const lostWithTickets = Object.assign(new Error("write ECONNRESET"), { code: "ECONNRESET", syscall: "write" })

/** The driver of TLS on such a socket. */
export class SocketTlsDriver<E, F> extends TlsDriver<E, F> {
  private readonly carrier: SocketCarrier<E>
  private over = false

  constructor(socket: TLSSocket, carrier: SocketCarrier<E>, events: Events<E | F>, failures: Failures<F>) {
    super(socket, events, failures)
    this.carrier = carrier
    socket.on("close", Turn.event(() => this.onClose()))
  }

  override watch(): void {
    super.watch()
    if (this.socket.destroyed) this.onClose()
  }

  protected override onData(chunk: Uint8Array): void {
    this.events.turned()
    super.onData(chunk)
  }

  override write(chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean {
    const isTaken = super.write(chunks, bytes)
    if (!isTaken && this.socket.readableEnded) Turn.macrotask(() => this.failIfLost())
    return isTaken
  }

  /**
   * In a turn of its own. Within the one that hands over input, OpenSSL would throw away the records that came with it: Node
   * calls `SSL_shutdown` twice, which reads while the peer has not ended. In the one of the input's end, Node would destroy
   * the socket before `onEnd` has looked.
   *
   * Node tells nobody that close_notify has failed, and what is read after a reset that was told before is an end.
   */
  override end(): void {
    Turn.macrotask(() => {
      if (this.over) return
      const { carrier, socket } = this
      if (socket.readableEnded || socket.writableLength > 0) super.end()
      else carrier.probe(() => super.end())
    })
  }

  protected onEnd(): void {
    const { carrier, events, socket } = this
    // Nothing may be written beneath TLS while it writes itself: Node would take the one for the other. A failure of what
    // is under way is there in the next turn.
    if (socket.writableLength > 0) Turn.macrotask(() => this.failIfLost() || events.ended())
    // After this side's end a write tells nothing any more.
    else if (socket.writableEnded) events.ended()
    else carrier.ended(() => events.ended())
  }

  /**
   * To be asked once the input is over. Of tickets behind the handshake that fail Node tells nobody, and lets the next write
   * wait for ever: so it is if the first write waits that is small enough to find room.
   */
  private failIfLost(): boolean {
    const { hasWritten, socket } = this
    if (socket.errored !== null || socket.destroyed) return true
    const { writableLength } = socket
    const withTickets = !hasWritten && writableLength > 0 && writableLength <= recordSize
    if (withTickets) this.onError(lostWithTickets)
    return withTickets
  }

  protected onError(cause: unknown): void {
    if (this.over) return
    this.over = true
    const { carrier, events, failures } = this
    const isCarriers = carrier.fails(cause, () => events.failed(carrier.loss?.error ?? failures.endedBeneath()))
    if (!isCarriers) events.failed(failures.failed(cause))
  }

  /** Nobody above has asked for it: it was closed beneath, or lost while nobody read. */
  private onClose(): void {
    if (this.over) return
    this.over = true
    const { carrier, events, failures } = this
    carrier.whenClosed(() => events.failed(carrier.loss?.error ?? failures.endedBeneath()))
  }

  release(): void {
    this.leave("close")
  }

  reset(): void {
    const { socket } = this
    const isEnding = () => socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished
    if (!isEnding()) return this.leave("abort")
    // The FIN is on its way: libuv refuses a reset until it is out, which it is in the next turn, or waits for the peer.
    Turn.macrotask(() => {
      if (isEnding()) socket.destroy()
      this.leave("abort")
    })
  }

  private leave(how: "close" | "abort"): void {
    this.over = true
    const { carrier, events } = this
    carrier.run(Effect.map(carrier.leave(how), () => events.released()))
  }
}
