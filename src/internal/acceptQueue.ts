/**
 * Connections that came in and wait to be accepted: bounded, because whoever brings them cannot be made to stop.
 *
 * @internal
 */
export class AcceptQueue<A> {
  offered = 0
  refused = 0
  closed = false
  private readonly limit: number
  private items: Array<A> = []
  private takers: ReadonlyArray<() => void> = []
  private closing: ReadonlyArray<() => void> = []

  constructor(limit: number) {
    this.limit = limit
  }

  get pending(): number {
    return this.items.length
  }

  /** False: there is no place for it. */
  offer(item: A): boolean {
    this.offered++
    if (this.closed || this.items.length >= this.limit) {
      this.refused++
      return false
    }
    // Most often it is the only one: a push onto an empty array would make room for 17.
    if (this.items.length > 0) this.items.push(item)
    else this.items = [item]
    this.wakeTakers()
    return true
  }

  take(): A | undefined {
    return this.items.shift()
  }

  /** Calls `notify`, once, when there is something to take or nothing will ever be. Everybody looks again then. */
  await(notify: () => void): () => void {
    if (this.items.length > 0 || this.closed) notify()
    else this.takers = [...this.takers, notify]
    return () => {
      this.takers = this.takers.filter((other) => other !== notify)
    }
  }

  awaitClosed(notify: () => void): () => void {
    if (this.closed) notify()
    else this.closing = [...this.closing, notify]
    return () => {
      this.closing = this.closing.filter((other) => other !== notify)
    }
  }

  /** What was still waiting, and is refused. */
  close(): ReadonlyArray<A> {
    this.closed = true
    this.refused += this.items.length
    this.wakeTakers()
    for (const notify of this.closing) notify()
    return this.items.splice(0)
  }

  private wakeTakers(): void {
    const { takers } = this
    this.takers = []
    for (const notify of takers) notify()
  }
}
