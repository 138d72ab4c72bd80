/**
 * `echo`: what a connection sends comes back, as it comes or line by line.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { WriteAfterEnd } from "../ConnectionError.ts"
import type { FrameTooLong, InvalidFrame } from "../FrameError.ts"
import * as Framed from "../framing/Framed.ts"
import * as Lines from "../framing/Lines.ts"
import { concat } from "../internal/bytes.ts"
import type { Transport } from "../Transport.ts"

/** Ends when the peer has ended and all is sent back. A peer that does not read is not read from either. */
export const bytes = <E>(transport: Transport<E>): Effect.Effect<void, E | WriteAfterEnd> =>
  Effect.zipRight(transport.forEach(transport.write), transport.closeWrite)

const line = Lines.make({ delimiter: "\n", keepDelimiter: true })

/** Lines end with LF; an unterminated last one is sent back as it is. */
export const lines = <E>(
  transport: Transport<E>
): Effect.Effect<void, E | WriteAfterEnd | FrameTooLong | InvalidFrame> =>
  Effect.zipRight(
    Framed.forEach(transport, line, (lines) => transport.write(joined(lines))),
    transport.closeWrite
  )

/** One write of all: of the part of a chunk that they are, if they lie side by side, and not of a copy. */
const joined = (lines: ReadonlyArray<Uint8Array>): Uint8Array => {
  const { buffer, byteOffset } = lines[0]!
  let end = byteOffset
  for (const line of lines) {
    if (line.buffer !== buffer || line.byteOffset !== end) return concat(lines)
    end += line.length
  }
  return new Uint8Array(buffer, byteOffset, end - byteOffset)
}
