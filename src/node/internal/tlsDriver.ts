/**
 * A TLS socket of Node, whose handshake is over, as a driver: what is the same whatever it lies on.
 *
 * @internal
 */
import type { TLSSocket } from "node:tls"
import type { Driver, Events } from "../../Driver.ts"
import * as Turn from "../../internal/turn.ts"

export interface Failures<F> {
  /** The carrier has ended, and TLS has not: after so many bytes. */
  readonly truncated: (bytesRead: number) => F
  /** TLS itself failed. */
  readonly failed: (cause: unknown) => F
  /** Somebody closed the carrier beneath TLS. */
  readonly endedBeneath: () => F
}

/** The largest record of TLS (RFC 8446 §5.1). */
export const recordSize = 16384

export abstract class TlsDriver<E, F> implements Driver {
  protected readonly socket: TLSSocket
  protected readonly events: Events<E | F>
  protected readonly failures: Failures<F>
  /** A write is through. */
  protected hasWritten = false
  private taking = false
  /** Of the write that is under way. */
  private bytes = 0

  constructor(socket: TLSSocket, events: Events<E | F>, failures: Failures<F>) {
    this.socket = socket
    this.events = events
    this.failures = failures
    socket
      .on("end", Turn.event(() => this.onEnd()))
      .on("error", Turn.event((cause: unknown) => this.onError(cause)))
  }

  /** To be called once the core is there to hear of it: of what has happened since the handshake, too. */
  watch(): void {
    if (this.socket.errored) this.onError(this.socket.errored)
    else if (this.socket.readableEnded) this.onEnd()
  }

  startReading(): void {
    this.takeInput()
    this.socket.resume()
  }

  stopReading(): void {
    this.socket.pause()
  }

  /** What the socket has in its buffer, and came before a failure. */
  protected takeRest(): void {
    this.takeInput()
    while (this.socket.read() !== null);
  }

  /**
   * What the socket has read while it flows comes past the buffer of `Readable` and a tick for whether to read more; by
   * `'data'` comes what it had in its buffer.
   */
  private takeInput(): void {
    if (this.taking) return
    this.taking = true
    const { socket } = this
    const push = socket.push.bind(socket)
    const take = Turn.event((chunk: Uint8Array) => this.onData(chunk))
    socket.on("data", take)
    // Not written where it is assigned: V8 would allocate it, and all that hangs on it, in the old generation.
    const pushed = (chunk: Uint8Array | null, encoding?: BufferEncoding) => {
      if (chunk === null || !socket.readableFlowing || socket.readableLength > 0) return push(chunk, encoding)
      take(chunk)
      return true
    }
    socket.push = pushed
  }

  /**
   * All at once: Node copies several into one for OpenSSL, outside of V8's heap, which takes them as one write with fewer
   * system calls. It tells that they are through when the event loop has turned, even if they left at once; what is one
   * record, with none before it, counts as taken without that.
   */
  write(chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean {
    const { socket } = this
    const isTaken = this.hasWritten && bytes <= recordSize && socket.writableLength === 0
    const last = chunks.length - 1
    if (last > 0) socket.cork()
    for (let index = 0; index < last; index++) socket.write(chunks[index]!)
    if (isTaken) {
      socket.write(chunks[last]!)
    } else {
      this.bytes = bytes
      socket.write(chunks[last]!, this.onWritten)
    }
    if (last > 0) socket.uncork()
    return isTaken && socket.errored === null
  }

  private readonly onWritten = Turn.event((error: Error | null | undefined) => {
    if (error) return
    this.hasWritten = true
    const { bytes, events } = this
    events.turned()
    events.written(bytes)
  })

  /** close_notify, and the carrier's end behind it. */
  end(): void {
    this.socket.once("finish", Turn.event(() => this.onFinish())).end()
  }

  abstract release(): void
  abstract reset(): void

  protected onData(chunk: Uint8Array): void {
    this.events.received(chunk)
  }

  protected onFinish(): void {
    this.events.finished()
  }

  protected abstract onEnd(): void
  protected abstract onError(cause: unknown): void
}
