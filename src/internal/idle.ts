/**
 * Which connections a server that drains may end.
 *
 * @internal
 */
import type { Transport } from "../Transport.ts"

/** In milliseconds. Who has connected is about to send: to end that connection would lose what is on its way. */
const arrivalTime = 250

/** Its handler waits for input, nothing is left to send, and it has been used, or has had the time for that. */
export const isIdleAt = (transport: Transport, now: number): boolean => {
  const { buffered, bytesRead, bytesWritten, lastRead, pulling } = transport.stats()
  return pulling && buffered === 0 && (bytesRead + bytesWritten > 0 || now - lastRead >= arrivalTime)
}
