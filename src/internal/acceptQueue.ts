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
  private readonly items: Array<A> = []
  // No Set: V8 makes the tables of one that is old in the old generation, and leaves each that is full there as garbage.
  private takers: Array<() => void> = []
  private closing: Array<() => void> = []

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
    this.items.push(item)
    this.wake()
    return true
  }

  take(): A | undefined {
    return this.items.shift()
  }

  /** Calls `notify`, once, when there is something to take or nothing will ever be. Everybody looks again then. */
  await(notify: () => void): () => void {
    if (this.items.length > 0 || this.closed) notify()
    else this.takers.push(notify)
    return () => {
      this.takers = this.takers.filter((other) => other !== notify)
    }
  }

  awaitClosed(notify: () => void): () => void {
    if (this.closed) notify()
    else this.closing.push(notify)
    return () => {
      this.closing = this.closing.filter((other) => other !== notify)
    }
  }

  /** What was still waiting. */
  close(): ReadonlyArray<A> {
    this.closed = true
    this.wake()
    for (const notify of this.closing.splice(0)) notify()
    return this.items.splice(0)
  }

  private wake(): void {
    if (this.takers.length === 0) return
    const all = this.takers
    this.takers = []
    for (const notify of all) notify()
  }
}
