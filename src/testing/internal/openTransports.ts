/**
 * The transports that go by a Clock and are open, for whoever wants to know where a program hangs.
 *
 * @internal
 */
import type { Transport } from "../../Transport.ts"
import type { OpenTransport } from "../VirtualClock.ts"

interface Opened {
  readonly transport: Transport<unknown>
  readonly isClosed: () => boolean
}

/** Closed ones are looked for when there are as many as twice those that were open the last time, and no fewer than these. */
const few = 64

export class OpenTransports {
  private all: Array<Opened> = []
  private limit = few

  add(transport: Transport<unknown>, isClosed: () => boolean): void {
    if (this.all.length >= this.limit) {
      this.forgetClosed()
      this.limit = Math.max(few, this.all.length * 2)
    }
    this.all.push({ transport, isClosed })
  }

  /** In the order in which they were opened. */
  get list(): ReadonlyArray<OpenTransport> {
    this.forgetClosed()
    return this.all.map(({ transport }) => {
      const { localAddress, remoteAddress } = transport
      return { localAddress, remoteAddress, ...transport.stats() }
    })
  }

  private forgetClosed(): void {
    this.all = this.all.filter(({ isClosed }) => !isClosed())
  }
}

/** More than these a message does not tell. */
const mostTold = 10

/** Lines for a message, or nothing. */
export const told = (transports: ReadonlyArray<OpenTransport>): string => {
  if (transports.length === 0) return ""
  const lines = transports.slice(0, mostTold).map((open) => {
    const { buffered, bytesRead, bytesWritten, unread, writersWaiting } = open
    const says = [
      `${bytesRead} bytes read, ${bytesWritten} written`,
      open.pulling ? "waits for input" : "is not read",
      ...(unread > 0 ? [`${unread} bytes unread`] : []),
      ...(open.peerEnded ? ["its peer has ended"] : []),
      ...(writersWaiting > 0
        ? [`${writersWaiting} ${writersWaiting === 1 ? "write waits" : "writes wait"} for room`]
        : []),
      ...(buffered > 0 ? [`${buffered} bytes not sent`] : [])
    ]
    return `\n  ${open.localAddress} to ${open.remoteAddress}: ${says.join(", ")}`
  })
  const more = transports.length - lines.length
  return `\nOpen transports:${lines.join("")}${more > 0 ? `\n  and ${more} more` : ""}`
}
