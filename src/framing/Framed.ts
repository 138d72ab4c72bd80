/**
 * A codec on a transport: frames in the place of bytes.
 *
 * `forEach`, `write`, `stream` and `sink` take and give all frames of a chunk at once, and are the fast forms. `duplex` makes a
 * connection of single messages, which are sent, received, asked and answered, until the transport is handed over to
 * somebody who goes on with its bytes.
 *
 * A failure of the codec leaves the transport as it is: the caller says whether it is closed, is aborted, or goes on in
 * another format.
 *
 * @since 0.1.0
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Inspectable from "effect/Inspectable"
import type * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import * as Address from "../Address.ts"
import type { Codec, Decoder, Encoder } from "../Codec.ts"
import type { ConnectionLost, WriteAfterEnd } from "../ConnectionError.ts"
import { Fifo, Place, turnOf } from "../internal/fifo.ts"
import { firstOf } from "../internal/firstOf.ts"
import { advance, suspend } from "../internal/immediate.ts"
import { inspected } from "../internal/inspecting.ts"
import { sinkOf, streamOf } from "../internal/streams.ts"
import * as Turn from "../internal/turn.ts"
import type { Transport } from "../Transport.ts"
import { Frames } from "./internal/frames.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * A connection of messages. `E` is what the transport fails with and what the codec does; `TE` the transport's alone.
 *
 * It has no fiber of its own and needs no Scope: who waits for a message reads. While nobody does, nothing is read. It
 * holds at most what one chunk of the transport was decoded to, and the bytes of one incomplete frame.
 *
 * @since 0.1.0
 * @category models
 */
export interface Framed<in In, out Out, out E, out TE = ConnectionLost> {
  /** What carries it, with its addresses and its end (`closeWrite`, `close`). Its input is not to be read here. */
  readonly transport: Transport<TE>

  /**
   * Sends a message, as `Transport.write` does bytes: suspends while the write buffer is full; accepted in the order of
   * the calls; interrupted before that, nothing of it is sent. Fails with the codec's failure before a byte is written.
   */
  readonly send: (frame: In) => Effect.Effect<void, E | WriteAfterEnd>

  /** Sends messages as one write: all of them, or none if one cannot be encoded. Otherwise like `send`. */
  readonly sendAll: (frames: Iterable<In>) => Effect.Effect<void, E | WriteAfterEnd>

  /**
   * The next message; `null` at the end of input, and again each time after. (Where `null` is a message, as in JSON,
   * `messages` tells the two apart.)
   *
   * - Suspends until a message is complete. Fails like the transport's `pull`, and with the codec's failure, after all
   *   messages before it; and again each time after.
   * - Interrupted, it loses no message. Like `pull` it ends in the step that gives the message to what follows:
   *   `flatMap` has it at once, `map` one step later.
   * - One at a time, and not while a `request` waits: that is a bug in the caller, and dies saying so.
   */
  readonly receive: Effect.Effect<Out | null, E>

  /**
   * What `receive` gives up to the end of input, one by one: when it is left after a message (`Stream.takeUntil`),
   * those behind it are still to be received. An interruption may lose the one that is on its way through the Stream.
   * `stream` costs a fraction of it where messages are small and many.
   */
  readonly messages: Stream.Stream<Out, E>

  /**
   * Asks, and gives the answer. For protocols in which each question has one answer, and the answers have the order of
   * the questions: many can ask at once, and none waits for another one's answer to do so.
   *
   * - Suspends while the write buffer is full, then until the answer is there.
   * - Fails, and so do all who wait, when the connection is lost, when a message cannot be decoded, and with
   *   `Unanswered` when the input ends. That does not end the connection, on which this side could still send: it is
   *   over when somebody closes it. While nobody asks, `transport.stats().peerEnded` tells of such an end.
   * - Interrupted before the question is accepted for writing, nothing of it is sent. Afterwards its answer is dropped
   *   when it comes, by whoever asks or receives then, and the others get theirs.
   */
  readonly request: (frame: In) => Effect.Effect<Out, E | WriteAfterEnd | Unanswered>

  /**
   * Gives the transport back. What has come behind the last message that was delivered is the first to be read from it,
   * as raw bytes, decoded or not: further messages, one that could not be decoded, the beginning of one.
   *
   * - Never suspends. Interrupted, it has happened or not, and can be asked for again.
   * - From then on everything else here dies.
   * - It dies itself, and changes nothing, while somebody receives, asks or waits to send. Answers to questions of
   *   those who were interrupted are in the bytes.
   * - Of several messages that only the end of input has completed, those behind the first to be delivered are not
   *   given back. (Codecs have one at most, a last line without a delimiter; but for `Codec.orElse`, undecided to the
   *   end.)
   */
  readonly handOver: Effect.Effect<Transport<TE>>
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * The input ended before the answer had come. Whether the question was seen is not known; this side can still send.
 *
 * @since 0.1.0
 * @category errors
 */
export class Unanswered extends Data.TaggedError("Unanswered")<{
  readonly localAddress: Address.Address
  readonly remoteAddress: Address.Address
}> {
  override get message() {
    return `The peer at ${Address.format(this.remoteAddress)} ended its side of the connection from ` +
      `${Address.format(this.localAddress)} before it had answered.`
  }
}

// -----------------------------------------------------------------------------
// many frames at once
// -----------------------------------------------------------------------------

/**
 * Gives `f` the frames of the input from here to its end: all that a chunk has completed, at least one, at once.
 *
 * What `Transport.forEach` says holds here: frames cost no wake-up of the fiber while the Effect is done at once, and
 * the next ones are decoded when it has succeeded.
 *
 * - Fails like the transport's `pull`, as `f`'s Effects do, and with the decoder's failure, after the frames before it.
 * - After a failure or an interruption, the bytes behind the frames that `f` was given are put back: the next reader
 *   begins there, and with the frame that could not be decoded.
 *
 * @example
 * ```ts
 * import * as Framed from "effect-transport/framing/Framed"
 * import * as Netstring from "effect-transport/framing/Netstring"
 * import type { Transport } from "effect-transport/Transport"
 *
 * const codec = Netstring.make()
 *
 * // Tells how many messages there were.
 * export const counted = <E>(transport: Transport<E>) => {
 *   let count = 0
 *   return Framed.forEach(transport, codec, (frames) => transport.write(Uint8Array.of(count += frames.length)))
 * }
 * ```
 *
 * @since 0.1.0
 * @category chunks
 */
export const forEach: {
  <Frame, FE, E, R>(
    decoder: Decoder<Frame, FE>,
    f: (frames: ReadonlyArray<Frame>) => Effect.Effect<unknown, E, R>
  ): <TE>(transport: Transport<TE>) => Effect.Effect<void, TE | FE | E, R>
  <TE, Frame, FE, E, R>(
    transport: Transport<TE>,
    decoder: Decoder<Frame, FE>,
    f: (frames: ReadonlyArray<Frame>) => Effect.Effect<unknown, E, R>
  ): Effect.Effect<void, TE | FE | E, R>
} = dual(3, <TE, Frame, FE, E, R>(
  transport: Transport<TE>,
  decoder: Decoder<Frame, FE>,
  f: (frames: ReadonlyArray<Frame>) => Effect.Effect<unknown, E, R>
): Effect.Effect<void, TE | FE | E, R> =>
  Effect.suspend(() => {
    const frames = new Frames(decoder)
    const handle = (chunk: Uint8Array | null): Effect.Effect<unknown, FE | E, R> => {
      frames.feed(chunk)
      const handled = frames.available ? f(frames.takeAll()) : Effect.void
      return frames.failure === undefined ? handled : Effect.zipRight(handled, Effect.fail(frames.failure))
    }
    return Effect.onError(
      Effect.zipRight(transport.forEach(handle), Effect.asVoid(Effect.suspend(() => handle(null)))),
      () => transport.unread(frames.left)
    )
  }))

/**
 * The frames of the input from here to its end, as one Chunk all that a chunk of bytes has completed. Failing like the
 * transport's `pull`, and with the decoder's failure, after the frames before it.
 *
 * What it has read is its own: to read on after a frame, use `duplex`.
 *
 * @since 0.1.0
 * @category chunks
 */
export const stream: {
  <Frame, FE>(decoder: Decoder<Frame, FE>): <TE>(transport: Transport<TE>) => Stream.Stream<Frame, TE | FE>
  <TE, Frame, FE>(transport: Transport<TE>, decoder: Decoder<Frame, FE>): Stream.Stream<Frame, TE | FE>
} = dual(2, <TE, Frame, FE>(transport: Transport<TE>, decoder: Decoder<Frame, FE>): Stream.Stream<Frame, TE | FE> => {
  type Loop = Channel.Channel<Chunk.Chunk<Frame>, unknown, TE | FE, unknown, void, unknown>
  // A Channel by hand, as `streamOf` has one.
  return Stream.fromChannel(Channel.suspend((): Loop => {
    const frames = new Frames(decoder)
    const goOn = (): Loop =>
      frames.failure !== undefined ? Channel.fail(frames.failure) : frames.ended ? Channel.void : loop
    const loop: Loop = Channel.flatMap(Channel.fromEffect(transport.pull), (chunk) => {
      frames.feed(chunk)
      return frames.available
        ? Channel.flatMap(Channel.write(Chunk.unsafeFromArray(frames.takeAll())), goOn)
        : goOn()
    })
    return loop
  }))
})

/**
 * Writes a stream's frames: those of a Chunk as one write, or none if one cannot be encoded, with whose failure it
 * fails. It does not end the write side: follow it with `closeWrite` if that is meant.
 *
 * @since 0.1.0
 * @category chunks
 */
export const sink: {
  <Frame, FE>(
    encoder: Encoder<Frame, FE>
  ): <TE>(transport: Transport<TE>) => Sink.Sink<void, Frame, never, TE | FE | WriteAfterEnd>
  <TE, Frame, FE>(
    transport: Transport<TE>,
    encoder: Encoder<Frame, FE>
  ): Sink.Sink<void, Frame, never, TE | FE | WriteAfterEnd>
} = dual(2, <TE, Frame, FE>(
  transport: Transport<TE>,
  encoder: Encoder<Frame, FE>
): Sink.Sink<void, Frame, never, TE | FE | WriteAfterEnd> =>
  sinkOf((frames: ReadonlyArray<Frame>) => writeNow(transport, encoder, frames)))

/**
 * Writes frames as one write: all of them, or none if one cannot be encoded, with whose failure it fails. Otherwise like
 * `Transport.write`; within `forEach` it is as cheap.
 *
 * @example
 * ```ts
 * import * as Framed from "effect-transport/framing/Framed"
 * import * as Lines from "effect-transport/framing/Lines"
 * import type { Transport } from "effect-transport/Transport"
 *
 * const codec = Lines.text()
 *
 * // Answers each line in capitals; lines that came together are answered together.
 * export const shout = <E>(transport: Transport<E>) =>
 *   Framed.forEach(transport, codec, (lines) =>
 *     Framed.write(transport, codec, lines.map((line) => line.toUpperCase())))
 * ```
 *
 * @since 0.1.0
 * @category chunks
 */
export const write: {
  <Frame, FE>(
    encoder: Encoder<Frame, FE>,
    frames: ReadonlyArray<Frame>
  ): <TE>(transport: Transport<TE>) => Effect.Effect<void, TE | FE | WriteAfterEnd>
  <TE, Frame, FE>(
    transport: Transport<TE>,
    encoder: Encoder<Frame, FE>,
    frames: ReadonlyArray<Frame>
  ): Effect.Effect<void, TE | FE | WriteAfterEnd>
} = dual(3, <TE, Frame, FE>(
  transport: Transport<TE>,
  encoder: Encoder<Frame, FE>,
  frames: ReadonlyArray<Frame>
): Effect.Effect<void, TE | FE | WriteAfterEnd> => suspend(() => advance(writeNow(transport, encoder, frames))))

const writeNow = <TE, Frame, FE>(
  transport: Transport<TE>,
  encoder: Encoder<Frame, FE>,
  frames: ReadonlyArray<Frame>
): Effect.Effect<void, TE | FE | WriteAfterEnd> => {
  const bytes = encoder.encode(frames)
  return Either.isLeft(bytes) ? Exit.fail(bytes.left) : transport.write(bytes.right)
}

// -----------------------------------------------------------------------------
// one message at a time
// -----------------------------------------------------------------------------

/**
 * Makes a connection of messages of a transport, which is its own from then on. See `Framed`.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Effect from "effect/Effect"
 * import * as Framed from "effect-transport/framing/Framed"
 * import * as Lines from "effect-transport/framing/Lines"
 * import * as MemoryTransport from "effect-transport/memory/MemoryTransport"
 *
 * // STARTTLS: what comes behind the answer is no longer lines.
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const [client, server] = yield* MemoryTransport.pair()
 *   yield* server.write(new TextEncoder().encode("220 go ahead\r\n\u0016\u0003"))
 *   const smtp = yield* Framed.duplex(client, Lines.text())
 *   const answer = yield* smtp.request("STARTTLS")
 *   const raw = yield* smtp.handOver
 *   return [answer, yield* raw.pull]
 * }))
 *
 * deepStrictEqual(await Effect.runPromise(program), ["220 go ahead", Uint8Array.of(0x16, 0x03)])
 * ```
 *
 * @since 0.1.0
 * @category messages
 */
export const duplex: {
  <In, Out, FE>(
    codec: Codec<In, Out, FE>
  ): <TE>(transport: Transport<TE>) => Effect.Effect<Framed<In, Out, TE | FE, TE>>
  <TE, In, Out, FE>(
    transport: Transport<TE>,
    codec: Codec<In, Out, FE>
  ): Effect.Effect<Framed<In, Out, TE | FE, TE>>
} = dual(2, <TE, In, Out, FE>(
  transport: Transport<TE>,
  codec: Codec<In, Out, FE>
): Effect.Effect<Framed<In, Out, TE | FE, TE>> => Effect.sync(() => new Duplex(transport, codec)))

/** What `messages` has at the end of input, where `receive` has a `null`, which may be a message. */
const inputEnd = Symbol("inputEnd")

/** So many messages are received before the event loop turns, which it may not have to for those of one chunk. */
const turnBudget = 1024

class Duplex<In, Out, FE, TE> extends Inspectable.Class implements Framed<In, Out, TE | FE, TE> {
  readonly transport: Transport<TE>
  readonly receive: Effect.Effect<Out | null, TE | FE>
  readonly messages: Stream.Stream<Out, TE | FE>
  private readonly codec: Codec<In, Out, FE>
  private readonly frames: Frames<Out, FE>
  /** Whose questions are not written yet, and who came after them to send something. */
  private readonly writers = new Fifo()
  /** Who asks, in the order of the questions and so of the answers. The first one reads. */
  private readonly askers = new Fifo()
  /** So many answers come before that of the first asker: those who asked for them have left. */
  private owed = 0
  private handedOver = false
  private budget = turnBudget

  constructor(transport: Transport<TE>, codec: Codec<In, Out, FE>) {
    super()
    this.transport = transport
    this.codec = codec
    this.frames = new Frames(codec)
    this.receive = this.receiving(null)
    this.messages = streamOf<Out, typeof inputEnd, TE | FE>(this.receiving(inputEnd), inputEnd)
  }

  // --- sending -----------------------------------------------------------------

  readonly send = (frame: In): Effect.Effect<void, TE | FE | WriteAfterEnd> => suspend(() => this.sendNow([frame]))

  readonly sendAll = (frames: Iterable<In>): Effect.Effect<void, TE | FE | WriteAfterEnd> =>
    suspend(() => this.sendNow(frames))

  /** Takes the first step of sending: what is left of it. */
  private sendNow(frames: Iterable<In>): Effect.Effect<void, TE | FE | WriteAfterEnd> {
    if (this.handedOver) return Effect.die(new Error(notOurs))
    const bytes = this.codec.encode(Array.isArray(frames) ? frames : Array.from(frames))
    if (Either.isLeft(bytes)) return Exit.fail(bytes.left)
    const write = this.transport.write(bytes.right)
    return this.writers.first === undefined ? advance(write) : this.writers.inTurn(write)
  }

  // --- receiving ---------------------------------------------------------------

  private receiving<End>(end: End): Effect.Effect<Out | End, TE | FE> {
    // The last step, which no interruption can separate from what follows.
    const take = Effect.sync(() => {
      if (!this.frames.available) throw new Error(oneAtATime)
      return this.frames.take()
    })
    const loop: Effect.Effect<Out | End, TE | FE> = Effect.suspend(() => {
      if (this.handedOver) return Effect.die(new Error(notOurs))
      if (this.askers.first !== undefined) return Effect.die(new Error(askersWait))
      if (!this.hasNext()) return this.more(loop, Exit.succeed(end))
      if (--this.budget >= 0) return take
      this.budget = turnBudget
      return Effect.zipRight(Turn.breath, loop)
    })
    return loop
  }

  /** Whether a frame is there that somebody wants. */
  private hasNext(): boolean {
    for (; this.owed > 0 && this.frames.available; this.owed--) this.frames.take()
    return this.frames.available
  }

  /** Reads on. Where two do that, the transport dies saying so. */
  private more<A, E>(goOn: Effect.Effect<A, E>, end: Effect.Effect<A, E>): Effect.Effect<A, TE | FE | E> {
    const { failure, ended } = this.frames
    if (failure !== undefined) return Exit.fail(failure)
    if (ended) return end
    return Effect.flatMap(this.transport.pull, (chunk) => {
      this.frames.feed(chunk)
      return goOn
    })
  }

  // --- asking ------------------------------------------------------------------

  readonly request = (frame: In): Effect.Effect<Out, TE | FE | WriteAfterEnd | Unanswered> =>
    Effect.suspend(() => {
      if (this.handedOver) return Effect.die(new Error(notOurs))
      const bytes = this.codec.encode([frame])
      if (Either.isLeft(bytes)) return Exit.fail(bytes.left)
      const asker = new Place()
      const writer = new Place()
      const ask = this.ask(asker, writer, bytes.right)
      const answer = this.answer(asker)
      const waits = () => this.writers.first !== writer && !this.reads(asker)
      const asks: Effect.Effect<Out, TE | FE | WriteAfterEnd | Unanswered> = Effect.flatMap(ask, (asked) => {
        if (asked) return answer
        // Most of many who ask at once wait for others: with the fibers of a race, each of 1000 costs three times the CPU.
        if (waits()) return Effect.zipRight(turnOf(() => !waits(), writer, asker), asks)
        return firstOf(this.askLater(ask, writer), answer)
      })
      const asking = Effect.suspend(() => {
        // In both at once: questions are written in the order in which the answers are waited for.
        this.askers.join(asker)
        this.writers.join(writer)
        return asks
      })
      return Effect.ensuring(
        asking,
        Effect.sync(() => {
          this.writers.leave(writer)
          this.owed += this.askers.leave(asker)
        })
      )
    })

  /**
   * Writes the question if it is its turn and there is room, so that the write neither waits nor can be interrupted:
   * one that is accepted without anybody knowing would give its answer to the next one.
   */
  private ask(asker: Place, writer: Place, bytes: Uint8Array): Effect.Effect<boolean, TE | WriteAfterEnd> {
    return Effect.uninterruptible(Effect.suspend(() => {
      const { buffered, writersWaiting } = this.transport.stats()
      const { outgoing } = this.transport
      const isFull = writersWaiting > 0 || buffered >= outgoing.capacity()
      if (this.writers.first !== writer || isFull && outgoing.isActive()) return Exit.succeed(false)
      return Effect.map(this.transport.write(bytes), () => {
        asker.due = true
        asker.wake?.()
        this.writers.leave(writer)
        return true
      })
    }))
  }

  /** Comes to an end only by a failure: it is the answer that is waited for. */
  private askLater<E>(ask: Effect.Effect<boolean, E>, writer: Place): Effect.Effect<never, TE | E> {
    const isFirst = () => this.writers.first === writer
    const { flush, outgoing } = this.transport
    const loop: Effect.Effect<never, TE | E> = Effect.zipRight(
      // The end of the writing comes before the flush, which may take its time; asking fails then.
      Effect.suspend(() => isFirst() ? firstOf(flush, outgoing.awaitShutdown) : turnOf(isFirst, writer)),
      Effect.flatMap(ask, (asked) => asked ? Effect.never : loop)
    )
    return loop
  }

  /**
   * Reads when it is the first, also before the question is written if there are answers to drop: the peer may not read
   * before it has got rid of them.
   */
  private reads(asker: Place): boolean {
    return this.askers.first === asker && (asker.due || this.owed > 0 || this.frames.over)
  }

  private answer(asker: Place): Effect.Effect<Out, TE | FE | Unanswered> {
    const reads = () => this.reads(asker)
    const loop: Effect.Effect<Out, TE | FE | Unanswered> = Effect.suspend(() => {
      const available = this.hasNext()
      if (!reads()) return Effect.zipRight(turnOf(reads, asker), loop)
      if (!available || !asker.due) return this.more(loop, this.unanswered)
      asker.due = false
      const frame = this.frames.take()
      this.owed += this.askers.leave(asker)
      return Exit.succeed(frame)
    })
    return loop
  }

  private readonly unanswered = Effect.suspend(() => {
    const { localAddress, remoteAddress } = this.transport
    return Exit.fail(new Unanswered({ localAddress, remoteAddress }))
  })

  // --- printing ----------------------------------------------------------------

  toJSON() {
    return { _id: "Framed", transport: inspected(this.transport) }
  }

  // --- handing over ------------------------------------------------------------

  readonly handOver: Effect.Effect<Transport<TE>> = Effect.uninterruptible(Effect.suspend(() => {
    const { transport } = this
    if (this.handedOver) return Exit.succeed(transport)
    const { pulling, writersWaiting } = transport.stats()
    if (pulling || writersWaiting > 0 || this.askers.first !== undefined || this.writers.first !== undefined) {
      return Effect.die(new Error(somebodyWaits))
    }
    this.handedOver = true
    return Effect.as(transport.unread(this.frames.left), transport)
  }))
}

const notOurs = "This connection of messages was handed over: its transport is somebody else's now"
const oneAtATime = "This connection of messages is being received from already: one receive at a time"
const askersWait = "The next messages are the answers to questions that wait: receive when they are there"
const somebodyWaits = "Somebody receives, asks or waits to send: hand a connection over when nobody does"
