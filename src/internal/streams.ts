/**
 * Streams and Sinks whose Channels are made by hand: Effect's own for the same cost more for each chunk.
 *
 * @internal
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import type * as Effect from "effect/Effect"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { advance, isDone } from "./immediate.ts"

/** What is pulled, one by one, up to the `end`. `Stream.repeatEffectChunkOption` costs twice as much for each. */
export const streamOf = <A, End, E>(pull: Effect.Effect<A | End, E>, end: End): Stream.Stream<A, E> => {
  const again = () => loop
  const loop: Channel.Channel<Chunk.Chunk<A>, unknown, E, unknown, void, unknown> = Channel.flatMap(
    Channel.fromEffect(pull),
    (pulled) => pulled === end ? Channel.void : Channel.flatMap(Channel.write(Chunk.of(pulled as A)), again)
  )
  return Stream.fromChannel(loop)
}

/**
 * Writes what a Chunk has at once. A write into a buffer with room is done here and now, and not as an Effect of the channel
 * as with `Sink.forEachChunk`: that would cost a message 10 % more.
 */
export const sinkOf = <A, E>(
  write: (all: ReadonlyArray<A>) => Effect.Effect<void, E>
): Sink.Sink<void, A, never, E> => {
  const loop: Channel.Channel<never, Chunk.Chunk<A>, E, never, void, unknown> = Channel.readWithCause({
    onInput: (chunk: Chunk.Chunk<A>) => {
      const rest = advance(write(Chunk.toReadonlyArray(chunk)))
      return isDone(rest) ? loop : Channel.flatMap(Channel.fromEffect(rest), () => loop)
    },
    onFailure: (cause) => Channel.failCause(cause),
    onDone: () => Channel.void
  })
  return Sink.fromChannel(loop)
}
