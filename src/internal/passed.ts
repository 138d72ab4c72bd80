/**
 * How far the bytes of a transport have come, by its counters: for those who tell what passes through it.
 *
 * @internal
 */
import type { TransportStats } from "../Transport.ts"

/** How many bytes of the input were pulled, and not put back. */
export const taken = ({ bytesRead, unread }: TransportStats): number => bytesRead - unread

/** How many bytes were ever accepted. */
export const accepted = ({ buffered, bytesWritten }: TransportStats): number => bytesWritten + buffered

/** The chunks that so many bytes are: those of them that were accepted whole. */
export const first = (chunks: ReadonlyArray<Uint8Array>, bytes: number): ReadonlyArray<Uint8Array> => {
  let left = bytes
  return chunks.filter(({ length }) => (left -= length) >= 0)
}
