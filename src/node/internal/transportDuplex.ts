/**
 * A transport as a Duplex of Node, with what node:http and its like ask of a `net.Socket` besides.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { Duplex } from "node:stream"
import type { Address } from "../../Address.ts"
import type { Timers } from "../../internal/connection.ts"
import { Outlet } from "../../internal/outlet.ts"
import type { Transport } from "../../Transport.ts"
import { Inactivity } from "./inactivity.ts"
import type { Referring } from "./referring.ts"
import { refer } from "./referring.ts"

type Done = (error?: Error | null) => void

export class TransportDuplex<E> extends Duplex {
  timeout: number | undefined = undefined
  private readonly transport: Transport<E>
  private readonly runtime: Runtime.Runtime<never>
  private readonly outlet: Outlet<E>
  private readonly inactivity: Inactivity
  /** Bytes of the write that is with the transport. */
  private inFlight = 0

  constructor(transport: Transport<E>, runtime: Runtime.Runtime<never>, timers: Timers, allowHalfOpen: boolean) {
    // What is not read stays in the transport, which has buffers enough: so a loss comes after the bytes before it.
    super({ allowHalfOpen, readableHighWaterMark: 1 })
    this.transport = transport
    this.runtime = runtime
    this.inactivity = new Inactivity(timers, () => void this.emit("timeout"))
    this.outlet = new Outlet(transport, runtime, {
      take: this.give,
      ended: () => this.push(null),
      failed: (error) => this.destroy(error),
      refused: this.leave
    })
    // One that nobody listens to would end the process; who wants to know of a loss is told by the transport as well.
    this.on("error", () => {})
  }

  // --- the stream --------------------------------------------------------------

  override _read(): void {
    this.outlet.want()
  }

  private readonly give = (chunk: Uint8Array): boolean => {
    this.inactivity.touch()
    try {
      return this.push(chunk)
    } catch (error) {
      // A listener's, and no failure of the stream: it goes where all listeners' errors go.
      process.nextTick(() => {
        throw error
      })
      return true
    }
  }

  /** A stream that is destroyed before its `'end'` has none. */
  private readonly leave = (error: Error): void => {
    const leave = () => {
      if (this.allowHalfOpen && !this.writableEnded) this.destroy(error)
    }
    if (this.readableEnded) leave()
    else this.once("end", leave)
  }

  override _write(chunk: Uint8Array, _: BufferEncoding, done: Done): void {
    this.send([chunk], chunk.length, done)
  }

  override _writev(chunks: ReadonlyArray<{ readonly chunk: Uint8Array }>, done: Done): void {
    this.send(chunks.map(({ chunk }) => chunk), this.writableLength, done)
  }

  private send(chunks: ReadonlyArray<Uint8Array>, bytes: number, done: Done): void {
    this.inFlight = bytes
    this.inactivity.touch()
    this.outlet.write(chunks, (error) => {
      this.inFlight = 0
      this.inactivity.touch()
      done(error)
    })
  }

  override _final(done: Done): void {
    this.outlet.end(done)
  }

  override _destroy(error: Error | null, done: Done): void {
    this.inactivity.set(0)
    const isCut = error !== null || this.writableLength > this.inFlight
    this.outlet.leave(isCut ? "abort" : "close", () => done(error))
  }

  // --- the socket --------------------------------------------------------------

  get localAddress(): string | undefined {
    return hostOf(this.transport.localAddress)
  }

  get localPort(): number | undefined {
    return portOf(this.transport.localAddress)
  }

  get localFamily(): string | undefined {
    return familyOf(this.transport.localAddress)
  }

  get remoteAddress(): string | undefined {
    return hostOf(this.transport.remoteAddress)
  }

  get remotePort(): number | undefined {
    return portOf(this.transport.remoteAddress)
  }

  get remoteFamily(): string | undefined {
    return familyOf(this.transport.remoteAddress)
  }

  setTimeout(millis: number, listener?: () => void): this {
    this.timeout = millis
    if (!this.destroyed) this.inactivity.set(millis)
    if (listener !== undefined && millis > 0) this.once("timeout", listener)
    if (listener !== undefined && millis === 0) this.removeListener("timeout", listener)
    return this
  }

  setNoDelay(value = true): this {
    return this.set(this.transport.options.noDelay?.set(value))
  }

  setKeepAlive(value = false, initialDelay = 0): this {
    return this.set(this.transport.options.keepAlive?.set(value && Duration.millis(initialDelay)))
  }

  private set(setting: Effect.Effect<void> = Effect.void): this {
    Runtime.runSync(this.runtime, setting)
    return this
  }

  ref(): this {
    return this.refer("ref")
  }

  unref(): this {
    return this.refer("unref")
  }

  /** What carries it keeps the process, or does not, and so does the timeout. */
  private refer(how: Referring): this {
    refer(this.transport, how)
    this.inactivity.setBackground(how === "unref")
    return this
  }

  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once("finish", () => this.destroy())
  }
}

const hostOf = (address: Address) => address._tag === "TcpAddress" ? address.host : undefined
const portOf = (address: Address) => address._tag === "TcpAddress" ? address.port : undefined
const familyOf = (address: Address) => address._tag === "TcpAddress" ? address.family : undefined
