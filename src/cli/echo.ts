/**
 * `echo`: what a connection sends comes back, as it comes or line by line.
 *
 * @internal
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { WriteAfterEnd } from "../ConnectionError.ts"
import type { Transport } from "../Transport.ts"
import { DelimiterNotFound, IncompleteRead, readUntil } from "../Transport.ts"

/** Ends when the peer has ended and all is sent back. A peer that does not read is not read from either. */
export const bytes = <E>(transport: Transport<E>): Effect.Effect<void, E | WriteAfterEnd> =>
  Effect.zipRight(transport.forEach(transport.write), transport.closeWrite)

export class FrameTooLong extends Data.TaggedError("FrameTooLong")<{ readonly limit: number }> {
  override get message() {
    return `A line is longer than ${this.limit} bytes.`
  }
}

const newline = new Uint8Array([0x0a])

const maxLength = 64 * 1024

/** Lines end with LF; an unterminated last one is sent back as it is. */
export const lines = <E>(transport: Transport<E>): Effect.Effect<void, E | WriteAfterEnd | FrameTooLong> => {
  type Failure = E | WriteAfterEnd | FrameTooLong
  const next = readUntil(transport, newline, { limit: maxLength })
  const loop: Effect.Effect<void, Failure> = Effect.matchEffect(next, {
    onSuccess: (line) => Effect.zipRight(transport.writeAll([line, newline]), loop),
    onFailure: (error): Effect.Effect<void, Failure> => {
      if (error instanceof IncompleteRead) return Effect.zipRight(transport.write(error.bytes), transport.closeWrite)
      return Effect.fail(error instanceof DelimiterNotFound ? new FrameTooLong({ limit: maxLength }) : error)
    }
  })
  return loop
}
