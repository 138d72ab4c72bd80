/**
 * One end of a simulated TCP connection: RFC 9293 in miniature, with what Linux and libuv make of it. Sequence numbers,
 * windows, retransmission and its end, keep-alive, half-close, resets and TIME_WAIT are there; congestion control,
 * selective and delayed acknowledgements are not: they change how fast a network is, not what can happen on it.
 *
 * @internal
 */
import type * as Address from "../../../Address.ts"
import type { SystemFailure } from "../../../ConnectionError.ts"
import type { Driver, Events } from "../../../Driver.ts"
import type { Agenda } from "../../../internal/agenda.ts"
import { Alarm, nanosecond } from "../../../internal/agenda.ts"
import { nothing } from "../../../internal/bytes.ts"
import { ByteQueue } from "./byteQueue.ts"
import { RoundTrip } from "./roundTrip.ts"
import type { Segment } from "./segment.ts"
import { lengthOf, resetFor, tuple } from "./segment.ts"

/** What a connection needs of its host. */
export interface Kernel {
  readonly agenda: Agenda
  /** The most bytes of payload in one segment. */
  readonly mssTo: (remote: Address.TcpAddress) => number
  /** Bytes that are written and not yet acknowledged, at most; what is more is still the program's. */
  readonly sendBuffer: number
  /** Bytes that have come and are not yet read, at most: the window that is advertised. */
  readonly receiveBuffer: number
  readonly initialSequence: () => number
  readonly transmit: (segment: Segment) => void
  /** The connection is no more: its descriptor is free, or was before. */
  readonly forget: (connection: TcpConnection) => void
  /** The program has let go of the connection. */
  readonly freeDescriptor: () => void
}

/** Linux (tcp(7)): after how many tries the kernel gives up. */
const synRetries = 6
const synAckRetries = 5
const dataRetries = 15
const orphanRetries = 8

/** Linux: TIME_WAIT, and FIN_WAIT_2 of a connection that no program holds any more. */
const timeWait = 60_000

/** libuv: TCP_KEEPINTVL and TCP_KEEPCNT; the idle time is the program's. */
const keepAliveInterval = 1000
const keepAliveProbes = 10

/** What read(2) asks for at once in libuv. */
const readSize = 65536

export const failure = (code: string, syscall: string): SystemFailure => ({ code, syscall, cause: undefined })

interface Sent {
  readonly segment: Segment
  readonly at: number
  /** It was lost, as far as one can tell, or at least sent twice. */
  again: boolean
}

export type State = "SYN_SENT" | "SYN_RECEIVED" | "ESTABLISHED" | "TIME_WAIT" | "CLOSED"

export class TcpConnection implements Driver {
  readonly local: Address.TcpAddress
  readonly remote: Address.TcpAddress
  readonly key: string
  state: State
  private readonly kernel: Kernel
  private readonly mss: number
  private events: Events<SystemFailure> | undefined = undefined
  /** Called once: the handshake is done, or has failed. */
  private settle: ((failure: SystemFailure | undefined) => void) | undefined

  // sending
  private acknowledged: number
  private next: number
  /** What lies before it, the peer takes. It never moves back: the room that a window has promised is kept. */
  private limit = 0
  private nagle = false
  private readonly sent: Array<Sent> = []
  private sentBytes = 0
  private readonly unsent = new ByteQueue()
  private ending = false
  private finSent = false
  private finAcknowledged = false
  /** This end was the first to say that it has ended: it lingers (RFC 9293 §3.6.1). */
  private endedFirst = false

  // receiving
  private expected = 0
  private advertised: number
  private readonly early = new Map<number, Segment>()
  private readonly input = new ByteQueue()
  private finReceived = false
  private endReported = false
  private reading = false
  private delivering = false
  private error: SystemFailure | undefined = undefined
  /** No program holds it any more: the kernel sends what is left. */
  private orphan = false

  // timers
  private readonly roundTrip = new RoundTrip()
  private retries = 0
  private readonly retransmission: Alarm
  private keepAliveIdle: number | false = false
  private readonly keepAlive: Alarm
  private lastReceived: number
  private probes = 0
  private readonly lifetime: Alarm

  constructor(
    kernel: Kernel,
    local: Address.TcpAddress,
    remote: Address.TcpAddress,
    state: "SYN_SENT" | "SYN_RECEIVED",
    settle: (failure: SystemFailure | undefined) => void
  ) {
    this.kernel = kernel
    this.mss = kernel.mssTo(remote)
    this.local = local
    this.remote = remote
    this.key = tuple(local, remote)
    this.state = state
    this.settle = settle
    this.acknowledged = this.next = kernel.initialSequence()
    this.advertised = kernel.receiveBuffer
    this.lastReceived = kernel.agenda.now
    this.retransmission = new Alarm(kernel.agenda, () => this.expired())
    this.keepAlive = new Alarm(kernel.agenda, () => this.probe())
    this.lifetime = new Alarm(kernel.agenda, () => this.vanish())
  }

  // --- the handshake -----------------------------------------------------------

  /** Sends SYN. */
  open(): void {
    this.send({ syn: true })
  }

  /** Answers a SYN. */
  answer(syn: Segment): void {
    this.expected = syn.sequence + 1
    this.send({ syn: true, ack: true })
    this.limit = this.next + syn.window
  }

  /** The program takes the connection over, and hears of it from now on. */
  attach(events: Events<SystemFailure>): this {
    this.events = events
    return this
  }

  private established(): void {
    this.state = "ESTABLISHED"
    this.settled(undefined)
  }

  private settled(failure: SystemFailure | undefined): void {
    const { settle } = this
    this.settle = undefined
    settle?.(failure)
  }

  // --- the program's side --------------------------------------------------------

  readonly startReading = (): void => {
    this.reading = true
    this.deliver()
  }

  readonly stopReading = (): void => {
    this.reading = false
  }

  readonly write = (chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean => {
    if (this.state === "CLOSED") {
      this.reportError("write")
      return false
    }
    // A copy, as a kernel makes one.
    for (const chunk of chunks) this.unsent.push(new Uint8Array(chunk))
    const held = this.heldBack
    if (held > 0 && held < bytes) this.events?.written(bytes - held)
    this.pump()
    return held === 0
  }

  readonly end = (): void => {
    this.ending = true
    this.pump()
    // Also of a connection that was reset: shutdown(2) fails then, and Node does not mind.
    this.events?.finished()
    // What came before, and nobody read, the driver of Node finds by itself now.
    if (!this.reading && (this.finReceived || this.error !== undefined)) {
      this.kernel.agenda.schedule(0, () => this.deliver())
    }
  }

  readonly release = (): void => {
    // RFC 2525 §2.17: unread input turns a close into a reset.
    if (this.input.length > 0) return this.reset()
    this.ending = true
    this.let()
    this.orphan = true
    this.pump()
    this.checkEnd()
  }

  readonly reset = (): void => {
    if (this.state === "TIME_WAIT") return this.let()
    if (this.state === "ESTABLISHED" || this.state === "SYN_RECEIVED") {
      this.emit({ rst: true, ack: true, sequence: this.next })
    }
    this.vanish()
    this.let()
  }

  /** The program has no more to do with it. */
  private let(): void {
    const { events } = this
    if (events === undefined) return
    this.events = undefined
    this.orphan = true
    this.kernel.freeDescriptor()
    events.released()
  }

  get noDelay(): boolean {
    return !this.nagle
  }

  set noDelay(value: boolean) {
    this.nagle = !value
    this.pump()
  }

  setKeepAlive(idle: number | false): void {
    this.keepAliveIdle = idle
    if (idle === false || this.state !== "ESTABLISHED") this.keepAlive.cancel()
    else this.keepAlive.set(Math.max(0, this.lastReceived + idle - this.kernel.agenda.now), true)
  }

  /** Its host has lost its power: nobody is told anything, but for the program, which should not be there any more. */
  powerOff(): void {
    const { events } = this
    const error = failure("ENETDOWN", "read")
    this.error = error
    this.vanish()
    this.settled(failure("ENETDOWN", "connect"))
    if (events === undefined) return
    this.events = undefined
    this.kernel.freeDescriptor()
    events.failed(error)
    events.released()
  }

  /** What ss(8) would show. */
  get describe() {
    return {
      state: this.state === "ESTABLISHED" ? this.phase : this.state,
      sendQueue: this.unsent.length + this.sentBytes,
      receiveQueue: this.input.length
    }
  }

  private get phase() {
    if (!this.finSent) return this.finReceived ? "CLOSE_WAIT" : "ESTABLISHED"
    if (this.finReceived) return this.endedFirst ? "CLOSING" : "LAST_ACK"
    return this.finAcknowledged ? "FIN_WAIT_2" : "FIN_WAIT_1"
  }

  // --- receiving -------------------------------------------------------------------

  /** RFC 9293 §3.10.7, in its order. */
  receive(segment: Segment): void {
    this.lastReceived = this.kernel.agenda.now
    this.probes = 0
    if (this.state === "SYN_SENT") return this.receiveAnswer(segment)
    if (segment.rst) return this.receiveReset(segment)
    if (this.state === "TIME_WAIT") return this.receiveLate(segment)
    // One that is sent twice, or of a peer that has forgotten this connection: it will find out by the answer.
    if (segment.syn && !segment.ack) return this.state === "SYN_RECEIVED" ? this.resend() : this.acknowledge()
    if (segment.syn && this.state !== "SYN_RECEIVED") return this.acknowledge()
    if (!segment.ack) return
    if (this.state === "SYN_RECEIVED" && segment.acknowledgement !== this.next) {
      return this.kernel.transmit(resetFor(segment))
    }
    this.receiveAcknowledgement(segment)
    // By now the program may have let go of it.
    if (this.state !== "ESTABLISHED") return
    this.receiveData(segment)
    this.pump()
    this.checkEnd()
  }

  private receiveAnswer(segment: Segment): void {
    const answers = segment.ack === true && segment.acknowledgement === this.next
    if (segment.rst) return answers ? this.refused("ECONNREFUSED") : undefined
    // The peer has a connection that is forgotten here, and is told so; the next try will succeed.
    if (segment.ack && !answers) return this.kernel.transmit(resetFor(segment))
    if (!segment.syn) return
    this.expected = segment.sequence + 1
    if (!segment.ack) return this.meet(segment)
    this.receiveAcknowledgement(segment)
    this.acknowledge()
    this.established()
  }

  /** Both ends have called each other at once (RFC 9293 §3.5), or one end itself. */
  private meet(syn: Segment): void {
    this.state = "SYN_RECEIVED"
    this.limit = this.next + syn.window
    const first = this.sent[0]!
    this.sent[0] = { ...first, segment: { ...first.segment, ack: true } }
    this.resend()
  }

  /** The attempt to connect has failed. */
  refused(code: string): void {
    this.vanish()
    this.settled(failure(code, "connect"))
  }

  /** One within the window counts (RFC 9293 §3.5.3). */
  private receiveReset(segment: Segment): void {
    if (segment.sequence < this.expected || segment.sequence > this.expected + this.kernel.receiveBuffer) return
    if (this.state === "TIME_WAIT") return this.vanish()
    // Linux, tcp_reset(): after the peer's end, nothing of the input could have been lost.
    this.die(failure(this.finReceived ? "EPIPE" : "ECONNRESET", "read"))
  }

  /** The acknowledgement of the peer's end was lost. */
  private receiveLate(segment: Segment): void {
    if (lengthOf(segment) === 0) return
    this.acknowledge()
    this.lifetime.set(timeWait, true)
  }

  private receiveAcknowledgement({ acknowledgement, window }: Segment): void {
    if (acknowledgement > this.next || acknowledgement < this.acknowledged) return
    this.limit = Math.max(this.limit, acknowledgement + window)
    const held = this.heldBack
    if (acknowledgement > this.acknowledged) this.advance(acknowledgement)
    else if (this.sent.length > 0) return
    // The answer to a probe of a closed window shows as well that the peer is alive.
    this.retries = 0
    this.retransmission.cancel()
    this.arm()
    if (this.state === "SYN_RECEIVED") this.established()
    const taken = held - this.heldBack
    if (taken > 0) this.events?.written(taken)
  }

  private advance(acknowledgement: number): void {
    const { now } = this.kernel.agenda
    const before = this.sent[0]
    let first = before
    while (first !== undefined && first.segment.sequence + lengthOf(first.segment) <= acknowledgement) {
      this.sent.shift()
      this.sentBytes -= first.segment.payload.length
      if (first.segment.fin) this.finAcknowledged = true
      // Karn: what was sent twice says nothing about the time of a round trip.
      if (!first.again) this.roundTrip.measure(now - first.at)
      first = this.sent[0]
    }
    this.acknowledged = acknowledgement
    this.roundTrip.recover()
    // Go-back-N: what was lost with the first is lost as well, and is not waited for one by one. Of one that comes in pieces
    // each is acknowledged, and the rest of it is on its way.
    if (first?.again === true && first !== before) this.resend()
  }

  private receiveData(segment: Segment): void {
    // Out of the window: of a connection between the same ends that was before this one.
    if (segment.sequence > this.expected + this.kernel.receiveBuffer) return this.acknowledge()
    if (segment.payload.length === 0 && !segment.fin) {
      // A probe, of a window or of life: it asks for an answer.
      if (segment.sequence < this.expected) this.acknowledge()
      return
    }
    const known = this.expected - segment.sequence
    if (known < 0) this.early.set(segment.sequence, segment)
    else if (known < lengthOf(segment)) this.accept(segment, known)
    let following: Segment | undefined
    while ((following = this.takeEarly()) !== undefined) this.accept(following, this.expected - following.sequence)
    // The program may have aborted on what it was given, or have closed before it came.
    if (this.state !== "ESTABLISHED") return
    this.acknowledge()
    this.deliver()
  }

  private takeEarly(): Segment | undefined {
    for (const [sequence, segment] of this.early) {
      if (sequence > this.expected) continue
      this.early.delete(sequence)
      if (sequence + lengthOf(segment) > this.expected) return segment
    }
    return undefined
  }

  /** In its place; the first `known` of its bytes have been accepted before. */
  private accept(segment: Segment, known: number): void {
    // RFC 9293 §3.10.7.4: nothing comes after the peer's end.
    if (this.state !== "ESTABLISHED" || this.finReceived) return
    const room = Math.max(0, this.kernel.receiveBuffer - this.input.length)
    const payload = segment.payload.subarray(known, known + room)
    if (payload.length > 0) {
      // RFC 1122 §4.2.2.13: a program that has closed cannot take what comes now, and the peer must know.
      if (this.orphan) return this.reset()
      this.expected += payload.length
      this.input.push(payload)
      this.deliver()
    }
    if (segment.fin && segment.sequence + segment.payload.length === this.expected) {
      this.expected++
      this.finReceived = true
    }
  }

  /**
   * Gives the program what has come, if it reads, as read(2) would; then how it ended. After its own end the driver of Node
   * looks on by itself, up to the next data.
   */
  private deliver(): void {
    if (this.delivering) return
    this.delivering = true
    let last = readSize
    while (this.reading && this.input.length > 0 && this.events !== undefined) {
      const bytes = this.read()
      last = bytes.length
      this.events.received(bytes)
    }
    this.delivering = false
    if (!this.reading && !(this.ending && this.input.length === 0)) return
    if (this.endReported || this.events === undefined) return
    if (this.finReceived) this.reportEnd()
    // libuv does not look again behind the last data, and the driver of Node asks by a write, as long as it can.
    else if (this.error !== undefined) this.reportError(last < readSize && !this.ending ? "write" : "read")
  }

  private read(): Uint8Array {
    // A copy: the program may do with it what it likes, and the trace keeps the segments.
    const bytes = new Uint8Array(this.input.take(Math.min(readSize, this.input.length)))
    // A window that was small opens: the peer waits to hear of it.
    const { receiveBuffer } = this.kernel
    const enough = Math.min(this.mss, receiveBuffer / 2)
    const opens = this.advertised < enough && receiveBuffer - this.input.length >= enough
    if (opens && this.state === "ESTABLISHED") this.acknowledge()
    return bytes
  }

  /**
   * After FIN a read gives the end, also when a reset has come since (Linux, tcp_recvmsg()). A write would tell; the driver
   * of Node writes nothing, to ask, as long as it can write at all.
   */
  private reportEnd(): void {
    const { error, events } = this
    if (error !== undefined && !this.ending) {
      return events?.failed({ ...error, code: error.code === "EPIPE" ? "ECONNRESET" : error.code, syscall: "write" })
    }
    this.endReported = true
    events?.ended()
  }

  /** What the program is told comes when it reads, or writes: a paused socket sees neither end nor reset. */
  private reportError(syscall: string): void {
    const error = this.error ?? failure("EPIPE", syscall)
    this.events?.failed({ ...error, syscall })
  }

  // --- sending -----------------------------------------------------------------------

  /** Bytes that the kernel has no place for: the program still has to account for them. */
  private get heldBack(): number {
    return Math.max(0, this.unsent.length + this.sentBytes - this.kernel.sendBuffer)
  }

  private pump(): void {
    if (this.state !== "ESTABLISHED") return
    for (;;) {
      const usable = Math.max(0, this.limit - this.next)
      const size = Math.min(this.unsent.length, this.mss, usable)
      const fin = this.ending && !this.finSent && size === this.unsent.length
      if (size === 0 && !fin) break
      // Less than a full segment: by Nagle (RFC 896) not while something is under way, and never into the last bit of a
      // window that is closing (RFC 9293 §3.8.6.2.1).
      const small = size < this.mss && !fin && this.sent.length > 0
      if (small && (this.nagle || size < this.unsent.length)) break
      const payload = this.unsent.take(size)
      this.sentBytes += size
      if (fin) {
        this.finSent = true
        this.endedFirst = !this.finReceived
      }
      this.send({ payload, ack: true, ...(fin ? { fin } : {}) })
    }
    this.arm()
  }

  /** Something that takes a sequence number, and is sent again until it is acknowledged. */
  private send(part: Partial<Segment>): void {
    const segment = this.emit({ ...part, sequence: this.next })
    this.next += lengthOf(segment)
    this.sent.push({ segment, at: this.kernel.agenda.now, again: false })
    this.arm()
  }

  private acknowledge(): void {
    this.emit({ ack: true, sequence: this.next })
  }

  private emit(part: Partial<Segment> & { readonly sequence: number }): Segment {
    const segment: Segment = {
      source: this.local,
      destination: this.remote,
      acknowledgement: this.expected,
      window: this.advertised = Math.max(0, this.kernel.receiveBuffer - this.input.length),
      payload: nothing,
      ...part
    }
    this.kernel.transmit(segment)
    return segment
  }

  // --- timers ------------------------------------------------------------------------

  /** The retransmission timer runs while something is unacknowledged, and while a closed window holds something back. */
  private arm(): void {
    const held = this.unsent.length > 0 && this.limit <= this.next && this.state === "ESTABLISHED"
    if (this.sent.length === 0 && !held) this.retransmission.cancel()
    else if (!this.retransmission.isSet) this.retransmission.set(this.roundTrip.timeout, this.sent.length === 0)
  }

  private expired(): void {
    if (++this.retries > this.mostRetries) return this.giveUp()
    this.roundTrip.backOff()
    for (const sent of this.sent) sent.again = true
    if (this.sent.length > 0) this.resend()
    // A probe of the window: what is old is answered.
    else this.emit({ ack: true, sequence: this.next - 1 })
    this.arm()
  }

  private get mostRetries(): number {
    if (this.state === "SYN_SENT") return synRetries
    if (this.state === "SYN_RECEIVED") return synAckRetries
    return this.orphan ? orphanRetries : dataRetries
  }

  private giveUp(): void {
    if (this.state === "SYN_SENT") return this.refused("ETIMEDOUT")
    this.die(failure("ETIMEDOUT", "read"))
  }

  /** The oldest that is unacknowledged, again. */
  private resend(): void {
    const first = this.sent[0]
    if (first === undefined) return
    first.again = true
    const { acknowledgement: _, window: __, ...segment } = first.segment
    this.emit(segment)
  }

  /** Linux, tcp_keepalive_timer(). */
  private probe(): void {
    const idle = this.keepAliveIdle
    if (idle === false || this.orphan || this.state !== "ESTABLISHED") return
    // What is under way tells by itself whether the peer is there.
    if (this.sent.length > 0 || this.unsent.length > 0) return this.keepAlive.set(idle, true)
    const left = this.lastReceived + idle - this.kernel.agenda.now
    if (left > nanosecond) return this.keepAlive.set(left, true)
    if (++this.probes > keepAliveProbes) {
      this.emit({ rst: true, ack: true, sequence: this.next })
      return this.die(failure("ETIMEDOUT", "read"))
    }
    this.emit({ ack: true, sequence: this.next - 1 })
    this.keepAlive.set(keepAliveInterval, true)
  }

  // --- the end -------------------------------------------------------------------------

  private checkEnd(): void {
    if (this.state !== "ESTABLISHED" || !this.finAcknowledged) return
    if (this.finReceived && !this.endedFirst) return this.vanish()
    if (this.finReceived) this.state = "TIME_WAIT"
    // A program that still holds its end may wait for the peer's for ever.
    else if (!this.orphan || this.lifetime.isSet) return
    this.lifetime.set(timeWait, true)
  }

  /** It was reset, or the kernel has given up. What has come before can still be read. */
  private die(error: SystemFailure): void {
    this.error = error
    const pending = this.heldBack > 0
    this.vanish()
    this.settled(error)
    this.deliver()
    // Who has been told already does not listen any more.
    if (pending) this.reportError("write")
  }

  /** Nothing is left of it; nobody is told. */
  vanish(): void {
    if (this.state === "CLOSED") return
    this.state = "CLOSED"
    this.retransmission.end()
    this.keepAlive.end()
    this.lifetime.end()
    this.unsent.clear()
    this.sent.length = 0
    this.early.clear()
    this.kernel.forget(this)
  }
}
