/**
 * Codecs: bytes ↔ frames, pure, without I/O and without waiting. `framing/` has one for each wire format; `framing/Framed`
 * joins a codec and a transport; `testing/CodecLaws` checks what holds for every one.
 *
 * A decoder is a value, and a step gives the decoder for what follows. So a change of format in mid-stream is nothing but
 * another `next`, the same bytes can be decoded twice, and what a decoder has taken and not used can be given to another.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import { append, nothing } from "./internal/bytes.ts"
import { scanned } from "./internal/scanned.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What a decoder has made of some bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Step<out Frame, out E = never> {
  /** In their order. What was decoded before a failure is here too. Where they can, frames are views of the bytes. */
  readonly frames: ReadonlyArray<Frame>
  /** Decodes what follows. */
  readonly next: Decoder<Frame, E>
  /** What comes after the last of `limit` frames, or from a frame on that failed; otherwise empty. */
  readonly unread: Uint8Array
  /** Why no further frame can be decoded. `next` fails in the same way, whatever it is given. */
  readonly failure: E | undefined
}

/**
 * Bytes → frames. A decoder is never changed: to decode on, use `next`; to decode again, use the same one again.
 *
 * The bytes belong to the decoder from then on, and frames may be views of them: they must not be changed.
 *
 * For authors: the frames must not depend on how the bytes are cut into steps, each byte is to be looked at a bounded number
 * of times, and what is held is to be bounded. `CodecLaws` checks that.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decoder<out Frame, out E = never> {
  /**
   * Decodes at most `limit` frames (at least 1; all by default). With fewer frames than that, and no failure, all bytes
   * have been taken. With so many, the decoder stands between two frames: `next.rest()` is empty, and the other bytes are
   * `unread`.
   */
  readonly step: (bytes: Uint8Array, limit?: number) => Step<Frame, E>
  /** The input is over: a last frame that needs no terminator, or the failure of one that is incomplete. */
  readonly end: () => End<Frame, E>
  /** The bytes that were taken and of which no frame was made: whoever takes over reads them first. */
  readonly rest: () => Uint8Array
}

/**
 * What a decoder makes of the end of the input.
 *
 * @since 0.1.0
 * @category models
 */
export interface End<out Frame, out E = never> {
  readonly frames: ReadonlyArray<Frame>
  readonly failure: E | undefined
}

/**
 * Frames → bytes. Each frame is written by itself, whatever was written before: that is what lets a write be withdrawn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Encoder<in Frame, out E = never> {
  /** All frames in one buffer, or the failure of the first that cannot be encoded. */
  readonly encode: (frames: ReadonlyArray<Frame>) => Either.Either<Uint8Array, E>
}

/**
 * Both directions of one format. What `encode` makes of frames, the decoder makes frames of again.
 *
 * @since 0.1.0
 * @category models
 */
export interface Codec<in In, out Out = In, out E = never> extends Decoder<Out, E>, Encoder<In, E> {}

const none: ReadonlyArray<never> = []

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * A codec of a decoder and an encoder.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <In, Out, E, E2>(
  decoder: Decoder<Out, E>,
  encoder: Encoder<In, E2>
): Codec<In, Out, E | E2> => ({
  step: (bytes, limit) => decoder.step(bytes, limit),
  end: () => decoder.end(),
  rest: () => decoder.rest(),
  encode: (frames) => encoder.encode(frames)
})

/**
 * A decoder that has failed: what a `Step` with a failure has as its `next`. `rest` are the bytes that it had taken.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failed = <E>(failure: E, rest: Uint8Array = nothing): Decoder<never, E> => {
  const decoder: Decoder<never, E> = {
    step: (bytes) => ({ frames: none, next: decoder, unread: bytes, failure }),
    end: () => ({ frames: none, failure }),
    rest: () => rest
  }
  return decoder
}

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

/**
 * All frames of an input that is complete, its end included; those before a failure count.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Codec from "effect-transport/Codec"
 * import * as Lines from "effect-transport/framing/Lines"
 *
 * deepStrictEqual(Codec.decode(Lines.text(), new TextEncoder().encode("one\ntwo\r\nthree")), {
 *   frames: ["one", "two", "three"],
 *   failure: undefined
 * })
 * ```
 *
 * @since 0.1.0
 * @category decoding
 */
export const decode = <Frame, E>(decoder: Decoder<Frame, E>, bytes: Uint8Array): End<Frame, E> => {
  const step = decoder.step(bytes)
  if (step.failure !== undefined) return { frames: step.frames, failure: step.failure }
  const end = step.next.end()
  return { frames: [...step.frames, ...end.frames], failure: end.failure }
}

// -----------------------------------------------------------------------------
// mapping
// -----------------------------------------------------------------------------

/**
 * The decoder with each of its frames mapped. `f` must be pure: a frame may be decoded twice.
 *
 * @since 0.1.0
 * @category mapping
 */
export const map: {
  <A, B>(f: (frame: A) => B): <E>(self: Decoder<A, E>) => Decoder<B, E>
  <A, E, B>(self: Decoder<A, E>, f: (frame: A) => B): Decoder<B, E>
} = dual(2, <A, E, B>(self: Decoder<A, E>, f: (frame: A) => B): Decoder<B, E> => ({
  step: (bytes, limit) => {
    const { failure, frames, next, unread } = self.step(bytes, limit)
    return { frames: frames.map((frame) => f(frame)), next: map(next, f), unread, failure }
  },
  end: () => {
    const { failure, frames } = self.end()
    return { frames: frames.map((frame) => f(frame)), failure }
  },
  rest: () => self.rest()
}))

/**
 * The decoder with each of its frames mapped by what may fail. A failure is the decoder's, with the frames before it; the
 * frame that failed is the first of the `unread` bytes. `f` must be pure.
 *
 * @since 0.1.0
 * @category mapping
 */
export const mapEither: {
  <A, B, E2>(f: (frame: A) => Either.Either<B, E2>): <E>(self: Decoder<A, E>) => Decoder<B, E | E2>
  <A, E, B, E2>(self: Decoder<A, E>, f: (frame: A) => Either.Either<B, E2>): Decoder<B, E | E2>
} = dual(2, <A, E, B, E2>(self: Decoder<A, E>, f: (frame: A) => Either.Either<B, E2>): Decoder<B, E | E2> => ({
  step: (bytes, limit) => {
    const step = self.step(bytes, limit)
    const mapped = mapUntilLeft(step.frames, f)
    if (mapped.failure === undefined) {
      return { frames: mapped.frames, next: mapEither(step.next, f), unread: step.unread, failure: step.failure }
    }
    // Decoded again up to there, the bytes tell where the frame began.
    const before = mapped.frames.length === 0 ? undefined : self.step(bytes, mapped.frames.length)
    return {
      frames: mapped.frames,
      next: failed(mapped.failure, before === undefined ? self.rest() : nothing),
      unread: before === undefined ? bytes : before.unread,
      failure: mapped.failure
    }
  },
  end: () => {
    const { failure, frames } = self.end()
    const mapped = mapUntilLeft(frames, f)
    return { frames: mapped.frames, failure: mapped.failure ?? failure }
  },
  rest: () => self.rest()
}))

const mapUntilLeft = <A, B, E>(frames: ReadonlyArray<A>, f: (frame: A) => Either.Either<B, E>): End<B, E> => {
  const mapped: Array<B> = []
  for (const frame of frames) {
    const result = f(frame)
    if (Either.isLeft(result)) return { frames: mapped, failure: result.left }
    mapped.push(result.right)
  }
  return { frames: mapped, failure: undefined }
}

/**
 * The encoder of what `f` makes a frame of, or fails to.
 *
 * @since 0.1.0
 * @category mapping
 */
export const contramapEither: {
  <A, B, E2>(f: (frame: B) => Either.Either<A, E2>): <E>(self: Encoder<A, E>) => Encoder<B, E | E2>
  <A, E, B, E2>(self: Encoder<A, E>, f: (frame: B) => Either.Either<A, E2>): Encoder<B, E | E2>
} = dual(2, <A, E, B, E2>(self: Encoder<A, E>, f: (frame: B) => Either.Either<A, E2>): Encoder<B, E | E2> => ({
  encode: (frames) => {
    const mapped = mapUntilLeft(frames, f)
    return mapped.failure === undefined ? self.encode(mapped.frames) : Either.left(mapped.failure)
  }
}))

/**
 * The codec of other frames: one function for each direction.
 *
 * @since 0.1.0
 * @category mapping
 */
export const transform = <In, Out, E, In2, Out2, E2, E3>(
  self: Codec<In, Out, E>,
  options: {
    readonly decode: (frame: Out) => Either.Either<Out2, E2>
    readonly encode: (frame: In2) => Either.Either<In, E3>
  }
): Codec<In2, Out2, E | E2 | E3> => make(mapEither(self, options.decode), contramapEither(self, options.encode))

// -----------------------------------------------------------------------------
// composition
// -----------------------------------------------------------------------------

/**
 * A codec within another one: what the frames of `outer` contain is one stream of bytes, which is `inner`'s. A frame of
 * `inner` may begin in one frame of `outer` and end in a later one; each one that is encoded has its own.
 *
 * Bytes that are left over (`rest`, `unread`) are in the format of `outer` again. Only what it cannot hold, like a part of a
 * frame whose length is fixed, is left as it is. Where a step is limited within a content, what is left of this is copied:
 * a change of format among the frames of one content is best made by `inner` (`pipe(outer, switchTo(...))`).
 *
 * @since 0.1.0
 * @category composition
 */
export const pipe = <E, In, Out, E2>(
  outer: Codec<Uint8Array, Uint8Array, E>,
  inner: Codec<In, Out, E2>
): Codec<In, Out, E | E2> => {
  const wrap = (bytes: Uint8Array): Uint8Array => {
    if (bytes.length === 0) return nothing
    scanned.bytes += bytes.length
    const wrapped = outer.encode([bytes])
    if (Either.isRight(wrapped)) return wrapped.right
    if (bytes.length === 1) return bytes
    // What came in several frames may not fit into one.
    const half = bytes.length >> 1
    return append(wrap(bytes.subarray(0, half)), wrap(bytes.subarray(half)))
  }
  return make(piped(outer, inner, wrap), {
    encode: (frames) => {
      const contents: Array<Uint8Array> = []
      for (const frame of frames) {
        const content = inner.encode([frame])
        if (Either.isLeft(content)) return Either.left<E | E2>(content.left)
        contents.push(content.right)
      }
      return outer.encode(contents)
    }
  })
}

const piped = <E, Out, E2>(
  outer: Decoder<Uint8Array, E>,
  inner: Decoder<Out, E2>,
  wrap: (bytes: Uint8Array) => Uint8Array
): Decoder<Out, E | E2> => ({
  step: (bytes, limit = Infinity) => {
    const frames: Array<Out> = []
    let [from, within] = [outer, inner]
    for (let input = bytes;;) {
      // One at a time, so that it is known where the bytes of `inner` end.
      const { failure, frames: [content], next, unread } = from.step(input, 1)
      from = next
      input = unread
      if (content !== undefined) {
        const step = within.step(content, limit - frames.length)
        for (const frame of step.frames) frames.push(frame)
        within = step.next
        if (step.failure !== undefined || frames.length >= limit) {
          const left = append(wrap(step.unread), unread)
          if (step.failure === undefined) {
            return { frames, next: piped(from, within, wrap), unread: left, failure: undefined }
          }
          return { frames, next: failed(step.failure, wrap(within.rest())), unread: left, failure: step.failure }
        }
      }
      if (failure !== undefined || content === undefined) {
        return { frames, next: piped(from, within, wrap), unread, failure }
      }
    }
  },
  end: () => {
    const last = outer.end()
    const decoded = feed(inner, last.frames)
    const failure = decoded.failure ?? last.failure
    if (failure !== undefined) return { frames: decoded.frames, failure }
    const end = decoded.next.end()
    return { frames: [...decoded.frames, ...end.frames], failure: end.failure }
  },
  rest: () => append(wrap(inner.rest()), outer.rest())
})

/** Decodes chunk after chunk, up to a failure. */
const feed = <Frame, E>(decoder: Decoder<Frame, E>, chunks: ReadonlyArray<Uint8Array>): Step<Frame, E> => {
  const frames: Array<Frame> = []
  let next = decoder
  for (const chunk of chunks) {
    const step = next.step(chunk)
    for (const frame of step.frames) frames.push(frame)
    next = step.next
    if (step.failure !== undefined) return { frames, next, unread: step.unread, failure: step.failure }
  }
  return { frames, next, unread: nothing, failure: undefined }
}

/**
 * The first bytes decide which of two formats a connection speaks: this one if they match, the other one if they do not.
 * Several formats are tried by `orElse` after `orElse`. No byte is lost: the decoder that is chosen gets the first ones too.
 *
 * `matches` is asked with all the bytes that have come, 4096 at most, until it knows: `undefined` waits for more, `startsWith`
 * makes one of a prefix. At the end of the input, or with 4096 bytes, not to know means no.
 *
 * @example
 * ```ts
 * import * as Codec from "effect-transport/Codec"
 * import * as Lines from "effect-transport/framing/Lines"
 * import * as Netstring from "effect-transport/framing/Netstring"
 *
 * // What begins with a digit is read as netstrings, all else as lines.
 * export const sniffed = Codec.orElse(Netstring.make(), Lines.make(), ([first]) => first! >= 0x30 && first! <= 0x39)
 * ```
 *
 * @since 0.1.0
 * @category composition
 */
export const orElse: {
  <B, E2>(
    that: Decoder<B, E2>,
    matches: (first: Uint8Array) => boolean | undefined
  ): <A, E>(self: Decoder<A, E>) => Decoder<A | B, E | E2>
  <A, E, B, E2>(
    self: Decoder<A, E>,
    that: Decoder<B, E2>,
    matches: (first: Uint8Array) => boolean | undefined
  ): Decoder<A | B, E | E2>
} = dual(3, <A, E, B, E2>(
  self: Decoder<A, E>,
  that: Decoder<B, E2>,
  matches: (first: Uint8Array) => boolean | undefined
): Decoder<A | B, E | E2> => sniffing(self, that, matches, nothing))

const sniffLimit = 4096

const sniffing = <A, E, B, E2>(
  self: Decoder<A, E>,
  that: Decoder<B, E2>,
  matches: (first: Uint8Array) => boolean | undefined,
  held: Uint8Array
): Decoder<A | B, E | E2> => ({
  step: (bytes, limit) => {
    if (bytes.length === 0) {
      return { frames: none, next: sniffing(self, that, matches, held), unread: nothing, failure: undefined }
    }
    const first = append(held, bytes)
    scanned.bytes += held.length
    const matched = matches(first.subarray(0, sniffLimit))
    if (matched === undefined && first.length < sniffLimit) {
      return { frames: none, next: sniffing(self, that, matches, first), unread: nothing, failure: undefined }
    }
    return (matched === true ? self : that).step(first, limit)
  },
  end: () => decode(that, held),
  rest: () => held
})

/**
 * For `orElse`: whether the input begins with these bytes.
 *
 * @since 0.1.0
 * @category composition
 */
export const startsWith = (prefix: Uint8Array) => (first: Uint8Array): boolean | undefined => {
  const length = Math.min(prefix.length, first.length)
  for (let at = 0; at < length; at++) {
    if (first[at] !== prefix[at]) return false
  }
  return length === prefix.length ? true : undefined
}

/**
 * A change of format in mid-stream: `next` is asked after each frame, of whichever format, and tells the decoder of what
 * follows, or `undefined` to go on with the same one. It decides within the step, so that no byte is decoded in the wrong
 * format, and none is lost: HTTP-like headers as lines, then so many raw bytes, then lines again.
 *
 * The type of the parameter of `next` has to be written: all that there may be frames of.
 *
 * What a side sends is encoded by `encode` of the format that it has chosen: see `make`.
 *
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert"
 * import * as Codec from "effect-transport/Codec"
 * import * as FixedLength from "effect-transport/framing/FixedLength"
 * import * as Lines from "effect-transport/framing/Lines"
 *
 * // "DATA 5" announces five raw bytes. What a peer can announce is bounded; "DATA 0" is a line like any other.
 * const lines = Lines.text()
 * const decoder = Codec.switchTo(lines, (frame: string | Uint8Array) => {
 *   if (typeof frame !== "string") return lines
 *   const announced = /^DATA ([1-9]\d{0,4})$/.exec(frame)
 *   return announced === null ? undefined : FixedLength.make({ length: Number(announced[1]) })
 * })
 *
 * const { frames } = Codec.decode(decoder, new TextEncoder().encode("HELO\nDATA 5\na\nb\ncQUIT\n"))
 * deepStrictEqual(frames, ["HELO", "DATA 5", new TextEncoder().encode("a\nb\nc"), "QUIT"])
 * ```
 *
 * @since 0.1.0
 * @category composition
 */
export const switchTo: {
  <A, D extends Decoder<unknown, unknown> | undefined>(
    next: (frame: A | FrameOf<D>) => D
  ): <E>(self: Decoder<A, E>) => Decoder<A | FrameOf<D>, E | FailureOf<D>>
  <A, E, D extends Decoder<unknown, unknown> | undefined>(
    self: Decoder<A, E>,
    next: (frame: A | FrameOf<D>) => D
  ): Decoder<A | FrameOf<D>, E | FailureOf<D>>
} = dual(2, <Frame, E>(
  self: Decoder<Frame, E>,
  next: (frame: Frame) => Decoder<Frame, E> | undefined
): Decoder<Frame, E> => switching(self, next))

// Of one of several decoders.
type FrameOf<D> = D extends Decoder<infer Frame, unknown> ? Frame : never

type FailureOf<D> = D extends Decoder<unknown, infer E> ? E : never

const switching = <Frame, E>(
  current: Decoder<Frame, E>,
  choose: (frame: Frame) => Decoder<Frame, E> | undefined
): Decoder<Frame, E> => ({
  step: (bytes, limit = Infinity) => {
    const frames: Array<Frame> = []
    let decoder = current
    for (let input = bytes;;) {
      const step = decoder.step(input, 1)
      decoder = step.next
      input = step.unread
      if (step.frames.length === 1) {
        frames.push(step.frames[0]!)
        decoder = choose(step.frames[0]!) ?? decoder
      }
      if (step.failure !== undefined || step.frames.length === 0 || frames.length >= limit) {
        return { frames, next: switching(decoder, choose), unread: input, failure: step.failure }
      }
    }
  },
  end: () => current.end(),
  rest: () => current.rest()
})
