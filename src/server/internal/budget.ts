/**
 * How many bytes all connections of a server may have buffered for writing, together. It looks at them now and then, and
 * so costs nothing when bytes are written; what is over the limit at two looks one after the other is more than a burst.
 *
 * @internal
 */
import type { Timers } from "../../internal/connection.ts"
import type { Connection, Connections } from "./connections.ts"

/** Milliseconds between two looks. */
export const interval = 100

/** Somebody for whom bytes wait. */
export interface Consumer {
  readonly connection: Connection
  /** Bytes that wait for it. */
  readonly buffered: number
  /** Bytes that it took since the last look. */
  readonly taken: number
}

export class Budget {
  private limit = Infinity
  private readonly connections: Connections
  private readonly schedule: Timers["schedule"]
  private readonly evict: (slowest: Consumer, total: number, limit: number) => void
  private cancel: (() => void) | undefined = undefined
  /** What everybody for whom bytes waited had taken in all, at the last look; only while they were over the limit. */
  private before: Map<Connection, number> | undefined = undefined

  constructor(
    connections: Connections,
    timers: Timers,
    evict: (slowest: Consumer, total: number, limit: number) => void
  ) {
    this.connections = connections
    this.schedule = timers.schedule
    this.evict = evict
  }

  set(limit: number): void {
    this.limit = limit
    if (limit === Infinity) this.stop()
    else this.watch()
  }

  /** To be called when there is somebody to look at: with nobody there, no timer runs. */
  watch(): void {
    if (this.limit === Infinity || this.cancel !== undefined || this.connections.size === 0) return
    this.cancel = this.schedule(interval, () => {
      this.cancel = undefined
      this.look()
      this.watch()
    })
  }

  stop(): void {
    this.cancel?.()
    this.cancel = undefined
    this.before = undefined
  }

  private look(): void {
    const { before, limit } = this
    const now = new Map<Connection, number>()
    const consumers: Array<Consumer> = []
    let total = 0
    for (const connection of this.connections.all()) {
      const { buffered, bytesWritten } = connection.transport.stats()
      if (buffered === 0) continue
      total += buffered
      now.set(connection, bytesWritten)
      // Who had nothing to take at the last look is no slower than the others can be.
      consumers.push({ connection, buffered, taken: bytesWritten - (before?.get(connection) ?? -Infinity) })
    }
    this.before = total > limit ? now : undefined
    if (before === undefined) return
    consumers.sort(bySlowness)
    for (let index = 0, left = total; left > limit && index < consumers.length; index++) {
      const slowest = consumers[index]!
      left -= slowest.buffered
      this.evict(slowest, total, limit)
    }
  }
}

/** The slowest is who has the longest to go; of those that take nothing, for whom most waits. */
const bySlowness = (one: Consumer, other: Consumer): number =>
  one.taken * other.buffered - other.taken * one.buffered || other.buffered - one.buffered
