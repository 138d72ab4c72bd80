/**
 * `net.Socket` → `Transport`, once for TCP and UNIX sockets, dialled and accepted.
 *
 * The socket has to be made with `allowHalfOpen`, and unread (`pauseOnConnect`, or paused before it connects). Its buffers
 * for reading and writing are not used: the bounds that count are the core's.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type * as net from "node:net"
import { Duplex } from "node:stream"
import * as Address from "../../Address.ts"
import type { SystemFailure } from "../../ConnectionError.ts"
import * as Driver from "../../Driver.ts"
import { concat, nothing } from "../../internal/bytes.ts"
import { settable } from "../../internal/settable.ts"
import * as Turn from "../../internal/turn.ts"
import type * as Transport from "../../Transport.ts"
import { driverOf, receive, StreamDriver } from "./streamDriver.ts"

/**
 * What a socket is made with, whoever makes it. What is written below the high-water mark, and taken at once, costs no tick:
 * beyond it `'drain'` follows in one.
 */
export const socketOptions = { allowHalfOpen: true, highWaterMark: 16384 } as const

export interface SocketSettings {
  readonly kind: "tcp" | "unix"
  readonly noDelay: boolean
  readonly keepAlive: Duration.DurationInput | false
  readonly limits: Driver.ResolvedLimits
}

/**
 * Up to so many bytes, many chunks are copied into one: that costs less than what Node does for each chunk of a writev
 * (a message answered in 16 × 64 B: 18 against 22 µs of CPU).
 */
const joinLimit = 16384

const onDrain = Turn.event(function(this: net.Socket) {
  ;(driverOf(this) as SocketDriver | undefined)?.drained()
})

/**
 * In the place of the socket's own `push`, by which Node hands over what it has read: to the driver, past the buffer of
 * `Readable`, `'data'`, and a tick for whether to read more (64 B echoed, with the tick for `'drain'`: 4.7 → 3.8 µs of CPU
 * outside of the kernel). `false` stops the reading, as ever. The end takes the stream's way, which emits `'end'`.
 */
const pushed = function(this: net.Socket, chunk: Uint8Array | null, encoding?: BufferEncoding): boolean {
  const driver = driverOf(this) as SocketDriver | undefined
  if (chunk !== null && driver !== undefined && !driver.lent) return driver.take(chunk)
  return Duplex.prototype.push.call(this, chunk, encoding)
}

class SocketDriver extends StreamDriver<net.Socket> implements Driver.Driver {
  private readonly isTcp: boolean
  private inFlight = 0
  private probing = false
  private reading = false
  /** The handle was told to stop. */
  private stopped = false
  /** After this side's end, input is read step by step; see `end`. */
  private stepping = false
  private stepDue = false

  constructor(socket: net.Socket, events: Driver.Events<SystemFailure>, isTcp: boolean) {
    super(socket, events)
    this.isTcp = isTcp
    socket.push = pushed
  }

  /**
   * The buffer that libuv reads into (`uv__read`): when it was filled the next read follows, up to 32 of them. What answers
   * them leaves as one writev(2) then (64 KiB echoed over 4 connections: 22.8 µs of CPU each, and 30 one by one).
   */
  override get fullRead(): number {
    return 65536
  }

  startReading(): void {
    this.reading = true
    if (this.stepping) this.step()
    else this.read()
  }

  stopReading(): void {
    this.reading = false
  }

  /** Whether the handle is to go on. */
  take(chunk: Uint8Array): boolean {
    receive.call(this, chunk)
    this.stopped = this.stepping || !this.reading
    if (this.stepping && this.reading) this.step()
    return !this.stopped
  }

  private read(): void {
    if (this.lent) return
    if (this.stopped) {
      this.stopped = false
      // A push of nothing ends the reading that `push` was told of: Node would wait for it before it starts another.
      Duplex.prototype.push.call(this.stream, nothing)
    }
    this.stream.read(0)
  }

  write(chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean {
    const socket = this.stream
    if (chunks.length === 1) {
      socket.write(chunks[0]!)
    } else if (bytes <= joinLimit) {
      socket.write(concat(chunks))
    } else {
      // One writev for all that was written in this turn.
      socket.cork()
      for (const chunk of chunks) socket.write(chunk)
      socket.uncork()
    }
    // Nothing left in the stream: the kernel took it all within the call.
    if (socket.writableLength === 0 && socket.errored === null) return true
    this.inFlight = bytes
    if (socket.writableNeedDrain) socket.once("drain", onDrain)
    // Below the high-water mark there is no `'drain'`: a write of nothing is through when this one is.
    else if (socket.errored === null) socket.write(nothing, Turn.event((error) => error ? undefined : this.drained()))
    return false
  }

  drained(): void {
    const bytes = this.inFlight
    if (bytes === 0) return
    this.inFlight = 0
    this.events.turned()
    this.events.written(bytes)
  }

  /**
   * Sends FIN, and reads on step by step. When data and a reset arrive together, libuv reports the data and then, without
   * looking, an end (`uv__read`: a partial read with POLLHUP). While the write side is open a write tells the two apart
   * (see `onEnd`); after it has ended only the next read does, and only if the handle did not read when POLLHUP came. So
   * each chunk stops the handle, and the next read is asked for in a later turn.
   */
  override end(): void {
    this.stepping = this.isTcp && !this.stream.readableEnded
    super.end()
    // Also if nobody reads: the peer's end, or its reset, is the end of the connection now.
    if (this.stepping) this.step()
  }

  private step(): void {
    if (this.stepDue) return
    this.stepDue = true
    setImmediate(() => {
      this.stepDue = false
      this.read()
    })
  }

  /** `'end'` may be a reset in disguise (see `end`). */
  override onEnd(): void {
    if (this.stepping || !this.stream.writable) super.onEnd()
    else this.probe(() => super.onEnd())
  }

  /**
   * A write of nothing tells: it succeeds after FIN and fails after RST. When bytes are under way already they tell, in the
   * same round of polling. A UNIX socket has no reset that destroys input, and its peer's plain close would fail the write:
   * there `'end'` is the end.
   */
  override probe(then: () => void): void {
    if (!this.isTcp) return then()
    const socket = this.stream
    this.probing = true
    const passed = () => {
      this.probing = false
      then()
    }
    if (socket.writableLength > 0) setImmediate(() => socket.errored === null && passed())
    else socket.write(nothing, (error) => error ? undefined : passed())
  }

  override onError(failure: SystemFailure): void {
    // SO_LINGER is refused: Node has let go of the handle by then, and `'close'` never comes.
    if (failure.syscall === "reset") this.events.released()
    // The kernel says EPIPE when the reset came after a FIN; the probe was not the program's own write.
    super.onError(this.probing && failure.code === "EPIPE" ? { ...failure, code: "ECONNRESET" } : failure)
  }

  override reset(): void {
    const socket = this.stream
    // Only a TCP handle can send a reset, and only while it is there.
    if (!this.isTcp || socket.destroyed) {
      socket.destroy()
    } else if (socket.writableEnded && !socket.writableFinished && socket.writableLength === 0) {
      // The FIN is on its way: libuv refuses a reset until it is out (EINVAL), and Node would never close the handle then.
      socket.once("finish", () => socket.resetAndDestroy())
    } else {
      socket.resetAndDestroy()
    }
  }
}

const tcpAddress = (
  host: string | undefined,
  port: number | undefined,
  family: Address.Family = "IPv4"
): Address.Address => host === undefined || port === undefined ? Address.unspecified(family) : Address.tcp(host, port)

/**
 * The carrier of a connected socket. The kernel forgets the addresses with the connection: they are asked for now. Node
 * remembers the peer's, so that ours is made for those who look at it; the socket's own it forgets with the handle.
 */
class SocketCarrier implements Driver.Carrier<SystemFailure> {
  readonly handle: net.Socket
  private readonly settings: SocketSettings
  readonly localAddress: Address.Address
  private remote: Address.Address | undefined
  private settable: Transport.TransportOptions | undefined = undefined

  constructor(
    socket: net.Socket,
    settings: SocketSettings,
    local: Address.Address | undefined,
    remote: Address.Address | undefined
  ) {
    this.handle = socket
    this.settings = settings
    this.localAddress = local ?? tcpAddress(socket.localAddress, socket.localPort)
    this.remote = remote
    if (remote === undefined) void socket.remotePort
  }

  driver(events: Driver.Events<SystemFailure>): Driver.Driver {
    return new SocketDriver(this.handle, events, this.settings.kind === "tcp")
  }

  get remoteAddress(): Address.Address {
    const { handle, localAddress } = this
    const family = localAddress._tag === "TcpAddress" ? localAddress.family : undefined
    return this.remote ??= tcpAddress(handle.remoteAddress, handle.remotePort, family)
  }

  get options(): Transport.TransportOptions | undefined {
    return this.settings.kind === "tcp" ? this.settable ??= tcpOptions(this.handle, this.settings) : undefined
  }

  get limits(): Driver.ResolvedLimits {
    return this.settings.limits
  }
}

export const unsafeOpen = (
  socket: net.Socket,
  settings: SocketSettings,
  local: Address.Address | undefined,
  remote: Address.Address | undefined,
  clock: Clock.Clock
): Transport.Transport => Driver.unsafeOpen(new SocketCarrier(socket, settings, local, remote), clock)

/** Node has no getsockopt. */
const tcpOptions = (socket: net.Socket, { keepAlive, noDelay }: SocketSettings): Transport.TransportOptions => ({
  noDelay: settable(noDelay, (value) => socket.setNoDelay(value)),
  keepAlive: settable(keepAlive, (value) => socket.setKeepAlive(value !== false, idleMillis(value)))
})

/**
 * TCP_KEEPIDLE as the kernel takes it, from 1 to 32767 seconds: what Node cuts to none, or the kernel refuses, is the system's
 * two hours without a word. 0 is the system's.
 */
const idleMillis = (keepAlive: Duration.DurationInput | false): number =>
  keepAlive === false ? 0 : 1000 * Math.min(32767, Math.ceil(Duration.toMillis(keepAlive) / 1000))

/** Node's options for TCP_NODELAY and SO_KEEPALIVE, given when the socket is made: no call for each connection later. */
export const nodeOptions = (settings: SocketSettings) =>
  settings.kind === "unix" ? {} : {
    noDelay: settings.noDelay,
    keepAlive: settings.keepAlive !== false,
    keepAliveInitialDelay: idleMillis(settings.keepAlive)
  }
