/**
 * A transport as the Duplex that carries a TLS socket of Node.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { isTagged } from "effect/Predicate"
import { Duplex } from "node:stream"
import type { TLSSocket } from "node:tls"
import { async } from "../../internal/async.ts"
import { concat, nothing } from "../../internal/bytes.ts"
import type { Connection } from "../../internal/connection.ts"
import * as Turn from "../../internal/turn.ts"
import type { Transport } from "../../Transport.ts"
import type { Referring } from "./referring.ts"
import { refer } from "./referring.ts"
import type { StreamDriver } from "./streamDriver.ts"
import { coreOf, socketDriverOf } from "./streamDriver.ts"
import type { Carrier } from "./tlsHandshake.ts"
import { handshakeEnded } from "./tlsHandshake.ts"
import { TlsRecords } from "./tlsRecords.ts"

/** The reader takes no more. */
const held: Effect.Effect<void> = async(() => () => {})

type Done = (error?: Error | null) => void

/** Never filled. */
const none: Array<Uint8Array> = []

const endedHere = Object.assign(new Error("This side had ended its writing before"), { code: "EPIPE" })

/**
 * Reading and writing do without the buffers of `Duplex`, since the transport and TLS have theirs (64 B echoed: 19.7 against
 * 22.8 µs of CPU): Node's TLS, which is all that listens and writes here, is given each record when it comes, unless it has
 * paused, and what it writes goes into the transport's buffer, if there is room.
 */
export class TlsCarrier<E> extends Duplex implements Carrier<E> {
  readonly stream = this
  readonly transport: Transport<E>
  /** TLS was told that the carrier's input is over: what it says of an end from now on is the carrier's. */
  inputOver = false
  /** The peer has ended TLS itself, while the carrier was still there. */
  closeNotified = false
  /** The transport is given back after the end of TLS, and not ended with it. */
  kept = false
  /** What the carrier was lost of. */
  loss: { readonly error: E } | undefined = undefined
  /** How TLS failed behind the handshake, perhaps before there was a driver to hear of it. */
  failure: unknown = undefined
  /** Input has come, in a turn of the event loop of its own. */
  onTurned: () => void = () => {}
  /** A write found that somebody has ended the carrier's writing beneath TLS. */
  onEndedBeneath: () => void = () => {}
  readonly run: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
  private readonly fibers = new Set<Fiber.RuntimeFiber<void>>()
  private readonly records = new TlsRecords()
  /** Taken from the transport, and not given to TLS. */
  private rest: Uint8Array = nothing
  private readonly core: Connection<unknown> | undefined
  /** Of the socket that the transport lies straight on, and that can give its input to this carrier. */
  private driver: StreamDriver<Duplex> | undefined
  /** Gives its input to this carrier, past the core. */
  private shortcut: StreamDriver<Duplex> | undefined = undefined
  private gathering = false
  private chunks: Array<Uint8Array> = none
  private done: (() => void) | undefined = undefined
  private reading = false
  private paused = true
  private wake: (() => void) | undefined = undefined

  constructor(transport: Transport<E>, run: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>) {
    // What TLS does not take at once stays in the transport. Who made it also ends it.
    super({ allowHalfOpen: true, autoDestroy: false })
    this.transport = transport
    this.core = coreOf(transport)
    this.driver = socketDriverOf(transport)
    this.run = run
    // The first of the listeners: TLS looks at the end after it.
    this.on("end", () => (this.inputOver = true)).on("error", () => {})
  }

  prepare(begin: () => void, failed: (cause: unknown) => void): void {
    // What TLS has to say of the last bytes comes first.
    this.once("end", () => Turn.macrotask(() => failed(handshakeEnded)))
    this.onEndedBeneath = () => failed(endedHere)
    begin()
  }

  /**
   * Node tells the peer's close_notify and the bare end of the carrier in the same way, by pushing `null`. But the first one
   * comes while the carrier is still there.
   */
  secured(socket: TLSSocket): void {
    // Node emits it in the tick that ends the handshake, if it came with that, and does not keep it.
    socket.once("error", (cause: unknown) => (this.failure = cause))
    // Node passes them on to the handle of a socket, which this has not.
    socket.ref = () => this.refer(socket, "ref")
    socket.unref = () => this.refer(socket, "unref")
    const push = socket.push.bind(socket)
    socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (chunk === null && !this.inputOver) this.closeNotified = true
      return push(chunk, encoding)
    }
  }

  private refer(socket: TLSSocket, how: Referring): TLSSocket {
    refer(this.transport, how)
    return socket
  }

  fails(_: unknown, then: () => void): boolean {
    if (this.loss === undefined) return false
    then()
    return true
  }

  /** Runs it until it has ended, or this is left. */
  fork(effect: Effect.Effect<void>): void {
    const fiber = this.run(effect)
    this.fibers.add(fiber)
    fiber.addObserver(() => this.fibers.delete(fiber))
  }

  /** Ends the fibers, and then the transport in this way. */
  leave(how: "close" | "abort"): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.lengthen()
      this.destroy()
      const end = Effect.suspend(() =>
        how === "close" && this.kept ? this.transport.unread(this.rest) : this.transport[how]
      )
      return Effect.zipRight(Fiber.interruptAll(this.fibers), end)
    })
  }

  // --- reading -----------------------------------------------------------------

  /**
   * Where the carrier is a socket, its input comes here past the core once the core has none in hand: a fifth less CPU.
   * Whether it has ended, was lost or is discarded the core tells, as ever; then, or when this side has ended, the way is
   * the long one again.
   */
  private shorten(): void {
    const { core, driver } = this
    if (driver === undefined || this.paused || core!.unreadBytes > 0) return
    driver.receiver = this.receive
    this.shortcut = driver
  }

  /** For good. What was given and not taken by TLS is in `rest`, and comes before what the core reads from now on. */
  private lengthen(): void {
    const { shortcut } = this
    this.driver = undefined
    if (shortcut === undefined) return
    this.shortcut = undefined
    shortcut.receiver = undefined
    const { core, rest } = this
    this.rest = nothing
    core!.unread(rest)
    shortcut.startReading()
  }

  private readonly receive = (chunk: Uint8Array): void => {
    this.core!.countRead(chunk.length)
    this.accept(chunk)
  }

  private accept(chunk: Uint8Array): void {
    this.onTurned()
    this.rest = this.rest.length === 0 ? chunk : concat([this.rest, chunk])
    this.pass()
  }

  /** Record by record: what follows a close_notify is no longer TLS's. */
  private pass(): void {
    while (this.rest.length > 0 && !this.closeNotified && !this.paused) {
      const { rest } = this
      const taken = this.records.take(rest)
      const isLast = taken === rest.length
      this.rest = isLast ? nothing : rest.subarray(taken)
      this.emit("data", isLast ? rest : rest.subarray(0, taken))
    }
    if (this.closeNotified) this.lengthen()
  }

  override resume(): this {
    const { shortcut, wake } = this
    this.paused = false
    if (shortcut !== undefined) {
      this.pass()
      if (!this.paused) this.shortcut?.startReading()
      return this
    }
    this.wake = undefined
    wake?.()
    if (this.reading) return this
    this.reading = true
    this.fork(this.input)
    return this
  }

  override pause(): this {
    this.paused = true
    this.shortcut?.stopReading()
    return this
  }

  override _read(): void {}

  private readonly give = (chunk: Uint8Array): Effect.Effect<void> => {
    this.accept(chunk)
    return this.taken()
  }

  /** Ends when TLS has taken all. */
  private taken(): Effect.Effect<void> {
    if (this.rest.length > 0) return this.closeNotified ? held : Effect.flatMap(this.demand, this.giveRest)
    this.shorten()
    return Effect.void
  }

  private readonly giveRest = (): Effect.Effect<void> => {
    this.pass()
    return this.taken()
  }

  private readonly demand: Effect.Effect<void> = async<void>((resume) => {
    const wake = () => resume(Effect.void)
    if (!this.paused) wake()
    else this.wake = wake
    return () => {
      this.wake = undefined
    }
  })

  private readonly input: Effect.Effect<void> = Effect.suspend(() =>
    Effect.matchEffect(this.transport.forEach(this.give), {
      onFailure: (error) => this.over(() => (this.loss ??= { error })),
      onSuccess: () => this.over(() => {})
    })
  )

  /** What came before the end, and went past the core, comes before it. */
  private over(note: () => void): Effect.Effect<void> {
    return Effect.suspend(() => {
      note()
      this.lengthen()
      if (this.core !== undefined && this.core.unreadBytes > 0) return this.input
      if (!this.destroyed) this.emit("end")
      return Effect.void
    })
  }

  // --- writing -----------------------------------------------------------------

  override cork(): void {
    this.gathering = true
  }

  /** TLS has one write under way at a time, of several chunks: they leave together. */
  override uncork(): void {
    const { chunks, done } = this
    const { length } = chunks
    this.gathering = false
    if (length === 0) return
    this.chunks = none
    if (length === 1) return this.send(chunks, done!)
    this.send(chunks, () => {
      for (let index = 0; index < length; index++) done!()
    })
  }

  override write(chunk: Uint8Array, encoding?: BufferEncoding | Done, done?: Done): boolean {
    if (typeof encoding !== "function" || this.destroyed) return super.write(chunk, encoding as BufferEncoding, done)
    if (this.chunks.length > 0) this.chunks.push(chunk)
    else this.chunks = [chunk]
    this.done = encoding
    if (!this.gathering) this.uncork()
    return true
  }

  override _write(chunk: Uint8Array, _: BufferEncoding, done: Done): void {
    this.send([chunk], done)
  }

  /** TLS goes on when the transport has accepted it. Of a loss TLS hears as the end of its input, in its place. */
  private send(chunks: ReadonlyArray<Uint8Array>, done: () => void): void {
    const { core } = this
    if (core !== undefined && core.writes.buffered === 0) return this.sendAtOnce(core, chunks, done)
    const { outgoing } = this.transport
    const rest = chunks.findIndex((chunk) => !outgoing.unsafeOffer(chunk))
    if (rest < 0) return done()
    this.fork(Effect.match(this.transport.writeAll(chunks.slice(rest)), {
      onFailure: (error) => {
        if (isTagged(error, "WriteAfterEnd")) this.onEndedBeneath()
      },
      onSuccess: () => done()
    }))
  }

  /** Past the mark of the buffer, which TLS cannot exceed by more than this one write, and without a fiber that waits. */
  private sendAtOnce(core: Connection<unknown>, chunks: ReadonlyArray<Uint8Array>, done: () => void): void {
    if (core.report !== undefined) return
    if (core.writeEnded) return this.onEndedBeneath()
    for (const chunk of chunks) core.writes.push(chunk)
    core.send()
    if (core.report === undefined && core.writes.admits) return done()
    core.awaitCondition(
      () => core.writes.admits || core.report !== undefined,
      () => core.report === undefined && done()
    )
  }

  override _final(done: Done): void {
    this.lengthen()
    if (this.kept) return done()
    this.fork(Effect.match(this.transport.closeWrite, { onFailure: () => {}, onSuccess: () => done() }))
  }
}
