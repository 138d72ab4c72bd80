/**
 * What people see of a transport, who print it, or compare it in a test: not its buffers, timers and fibers.
 *
 * @internal
 */
import type { Transport } from "../Transport.ts"

export const inspected = (transport: Transport<unknown>): object => ({
  _id: "Transport",
  localAddress: `${transport.localAddress}`,
  remoteAddress: `${transport.remoteAddress}`,
  ...transport.stats()
})
