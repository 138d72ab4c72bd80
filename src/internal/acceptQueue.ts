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
  private readonly takers = new Set<() => void>()
  private readonly closing = new Set<() => void>()

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
    this.wake(this.takers)
    return true
  }

  take(): A | undefined {
    return this.items.shift()
  }

  /** Calls `notify`, once, when there is something to take or nothing will ever be. Everybody looks again then. */
  await(notify: () => void): () => void {
    if (this.items.length > 0 || this.closed) notify()
    else this.takers.add(notify)
    return () => void this.takers.delete(notify)
  }

  awaitClosed(notify: () => void): () => void {
    if (this.closed) notify()
    else this.closing.add(notify)
    return () => void this.closing.delete(notify)
  }

  /** What was still waiting. */
  close(): ReadonlyArray<A> {
    this.closed = true
    this.wake(this.takers)
    this.wake(this.closing)
    return this.items.splice(0)
  }

  private wake(waiting: Set<() => void>): void {
    const all = [...waiting]
    waiting.clear()
    for (const notify of all) notify()
  }
}
