/**
 * A TLS socket of Node, whose handshake is over, as a driver.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { TLSSocket } from "node:tls"
import type { Driver, Events } from "../../Driver.ts"
import { concat } from "../../internal/bytes.ts"
import { Batches } from "./batches.ts"
import type { TlsCarrier } from "./tlsCarrier.ts"

export interface Failures<E> {
  /** The carrier has ended, and TLS has not: after so many bytes. */
  readonly truncated: (bytesRead: number) => E
  /** TLS itself failed. */
  readonly failed: (cause: unknown) => E
  /** Somebody closed the carrier beneath TLS. */
  readonly endedBeneath: () => E
}

/** Up to so many bytes, the largest record of TLS (RFC 8446 §5.1), many chunks are copied into one. */
const joinLimit = 16384

export class TlsDriver<E, F> implements Driver {
  /** This side closes: that the peer lets go of the carrier is then all that is waited for. */
  closing = false
  private readonly socket: TLSSocket
  private readonly carrier: TlsCarrier<E>
  private readonly events: Events<E | F>
  private readonly failures: Failures<F>
  private flowing = false
  private draining = false
  private inputEnded = false
  private ending = false
  private bytesRead = 0
  private readonly batches: Batches

  constructor(socket: TLSSocket, carrier: TlsCarrier<E>, events: Events<E | F>, failures: Failures<F>) {
    this.socket = socket
    this.carrier = carrier
    this.events = events
    this.failures = failures
    this.batches = new Batches(socket, (bytes) => events.written(bytes))
    carrier.onEndedBeneath = () => events.failed(failures.endedBeneath())
    socket.on("end", () => this.onEnd()).on("error", (cause) => this.onError(cause))
  }

  /** To be called once the core is there to hear of it. */
  watch(): void {
    const { carrier } = this
    carrier.fork(Effect.map(carrier.transport.closed, (reason) => {
      if (reason._tag === "Clean") return
      carrier.loss ??= { error: reason.error }
      if (this.inputEnded) return this.onLoss()
      // It concerns writers at once; but what came before it is read first, and the end of that input tells of it.
      this.draining = true
      this.startReading()
    }))
    if (this.socket.errored) this.onError(this.socket.errored)
  }

  // --- reading -----------------------------------------------------------------

  startReading(): void {
    if (!this.flowing) {
      this.flowing = true
      this.socket.on("data", (chunk: Uint8Array) => {
        this.bytesRead += chunk.length
        this.events.received(chunk)
      })
    }
    this.socket.resume()
  }

  stopReading(): void {
    if (!this.draining) this.socket.pause()
  }

  private onEnd(): void {
    const { carrier, closing, events, failures } = this
    this.inputEnded = true
    if (carrier.closeNotified) events.ended()
    if (carrier.loss !== undefined) this.onLoss()
    else if (closing) events.ended()
    else if (!carrier.closeNotified) events.failed(failures.truncated(this.bytesRead))
  }

  /** A peer that has said all, and is gone, needs no close_notify: who closes first may go without waiting for it. */
  private onLoss(): void {
    const { carrier, events } = this
    if (this.ending && carrier.closeNotified) events.finished()
    else if (carrier.loss !== undefined) events.failed(carrier.loss.error)
  }

  private onError(cause: unknown): void {
    const { carrier, events, failures } = this
    events.failed(carrier.loss === undefined ? failures.failed(cause) : carrier.loss.error)
  }

  // --- writing -----------------------------------------------------------------

  write(chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean {
    return this.batches.write(chunks.length > 1 && bytes <= joinLimit ? [concat(chunks)] : chunks, bytes)
  }

  /** close_notify, and the carrier's end behind it; not before the carrier has handed over what was written. */
  end(): void {
    const { transport } = this.carrier
    const notify = () => {
      this.ending = true
      this.socket.once("finish", () => this.events.finished()).end()
    }
    if (transport.stats().buffered === 0) notify()
    else this.carrier.fork(Effect.match(transport.flush, { onFailure: () => {}, onSuccess: notify }))
  }

  // --- ending ------------------------------------------------------------------

  release(): void {
    this.leave("close")
  }

  reset(): void {
    this.leave("abort")
  }

  private leave(how: "close" | "abort"): void {
    this.socket.destroy()
    const { carrier, events } = this
    carrier.run(Effect.map(carrier.leave(how), () => events.released()))
  }
}
