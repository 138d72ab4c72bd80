/**
 * The driver of TLS over any transport, which tells the end that TLS has announced from any other.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { TLSSocket } from "node:tls"
import type { Events } from "../../Driver.ts"
import type { TlsCarrier } from "./tlsCarrier.ts"
import type { Failures } from "./tlsDriver.ts"
import { TlsDriver } from "./tlsDriver.ts"

export class DetectingDriver<E, F> extends TlsDriver<E, F> {
  /** An end of the carrier is as good as one of TLS: so it is when this side closes, and only waits for the peer to let go. */
  trusting: boolean
  private readonly carrier: TlsCarrier<E>
  private draining = false
  private inputEnded = false
  private ending = false
  private bytesRead = 0

  constructor(
    socket: TLSSocket,
    carrier: TlsCarrier<E>,
    events: Events<E | F>,
    failures: Failures<F>,
    trusting: boolean
  ) {
    super(socket, events, failures)
    this.carrier = carrier
    this.trusting = trusting
    carrier.onTurned = () => events.turned()
    carrier.onEndedBeneath = () => events.failed(failures.endedBeneath())
  }

  override watch(): void {
    const { carrier } = this
    carrier.fork(Effect.map(carrier.transport.closed, (reason) => {
      if (reason._tag === "Clean") return
      carrier.loss ??= { error: reason.error }
      if (this.inputEnded) return this.onLoss()
      // It concerns writers at once; but what came before it is read first, and the end of that input tells of it.
      this.draining = true
      this.startReading()
    }))
    if (carrier.failure === undefined) super.watch()
    else this.onError(carrier.failure)
  }

  override stopReading(): void {
    if (!this.draining) super.stopReading()
  }

  protected override onData(chunk: Uint8Array): void {
    this.bytesRead += chunk.length
    super.onData(chunk)
  }

  protected onEnd(): void {
    const { carrier, events, failures, trusting } = this
    this.inputEnded = true
    if (carrier.closeNotified) events.ended()
    if (carrier.loss !== undefined) this.onLoss()
    else if (trusting) events.ended()
    else if (!carrier.closeNotified) events.failed(failures.truncated(this.bytesRead))
  }

  /** A peer that has said all, and is gone, needs no close_notify: who closes first may go without waiting for it. */
  private onLoss(): void {
    const { carrier, events } = this
    if (this.ending && carrier.closeNotified) events.finished()
    else if (carrier.loss !== undefined) events.failed(carrier.loss.error)
  }

  protected onError(cause: unknown): void {
    const { carrier, events, failures } = this
    this.takeRest()
    events.failed(carrier.loss === undefined ? failures.failed(cause) : carrier.loss.error)
  }

  /** Not before the carrier has handed over what was written. */
  override end(): void {
    const { transport } = this.carrier
    const notify = () => {
      this.ending = true
      super.end()
    }
    if (transport.stats().buffered === 0) notify()
    else this.carrier.fork(Effect.match(transport.flush, { onFailure: () => {}, onSuccess: notify }))
  }

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
