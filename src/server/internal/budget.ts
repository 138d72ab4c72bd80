/**
 * How many bytes all connections of a server may have buffered for writing, together. It looks at them now and then, and
 * so costs nothing when bytes are written; what is over the limit at two looks one after the other is more than a burst.
 *
 * @internal
 */
import type { Timers } from "../../internal/connection.ts"
import type { TransportStats } from "../../Transport.ts"
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
  /** Bytes waited for it at the last look, too. */
  readonly waited: boolean
}

export class Budget {
  private limit = Infinity
  private readonly connections: Connections
  private readonly schedule: Timers["schedule"]
  private readonly evict: (slowest: Consumer, total: number, limit: number) => void
  private cancel: (() => void) | undefined = undefined
  /** How it was with everybody at the last look; only while they were over the limit. */
  private before: ReadonlyMap<Connection, TransportStats> | undefined = undefined

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
    const connections = this.connections.all()
    const total = connections.reduce((sum, { transport }) => sum + transport.stats().buffered, 0)
    if (total <= limit) {
      this.before = undefined
      return
    }
    this.before = new Map(connections.map((connection) => [connection, connection.transport.stats()]))
    if (before === undefined) return
    const consumers: Array<Consumer> = []
    for (const [connection, { buffered, bytesWritten }] of this.before) {
      if (buffered === 0) continue
      const last = before.get(connection)
      const taken = bytesWritten - (last?.bytesWritten ?? 0)
      consumers.push({ connection, buffered, taken, waited: last !== undefined && last.buffered > 0 })
    }
    consumers.sort(bySlowness)
    for (let index = 0, left = total; left > limit && index < consumers.length; index++) {
      const slowest = consumers[index]!
      left -= slowest.buffered
      this.evict(slowest, total, limit)
    }
  }
}

/**
 * The slowest is who has the longest to go; of those that take nothing, for whom most waits. Who had nothing to take at the
 * last look is no slower than the others can be.
 */
const bySlowness = (one: Consumer, other: Consumer): number =>
  Number(other.waited) - Number(one.waited) ||
  one.taken * other.buffered - other.taken * one.buffered || other.buffered - one.buffered
