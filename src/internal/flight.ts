/**
 * What is on its way to one end: it arrives after the latency, by the Clock, in its order. However much it is, one timer is
 * set, and none when nothing is on its way.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import { timersOf } from "./timers.ts"
import * as Turn from "./turn.ts"

interface Departed {
  readonly arrivesAt: number
  readonly arrive: () => void
}

export class Flight {
  private readonly clock: Clock.Clock
  private readonly latency: number
  private readonly departed: Array<Departed> = []
  private cancel: (() => void) | undefined = undefined
  private ended = false

  constructor(clock: Clock.Clock, latency: number) {
    this.clock = clock
    this.latency = latency
  }

  /** It arrives when it has gone this way so many times. */
  depart(arrive: () => void, ways = 1): void {
    if (this.ended) return
    this.departed.push({ arrivesAt: this.now + ways * this.latency, arrive })
    this.arm()
  }

  /** Nothing arrives any more. */
  end(): void {
    this.ended = true
    this.departed.length = 0
    this.cancel?.()
    this.cancel = undefined
  }

  /** Milliseconds, with fractions. */
  private get now(): number {
    return Number(this.clock.unsafeCurrentTimeNanos()) / 1e6
  }

  private arm(): void {
    const next = this.departed[0]
    if (next === undefined || this.cancel !== undefined) return
    this.cancel = timersOf(this.clock).schedule(Math.max(0, next.arrivesAt - this.now), this.land)
  }

  private readonly land = Turn.event(() => {
    this.cancel = undefined
    const { now } = this
    // A timer of the host may come a little early, and is set again.
    while (this.departed.length > 0 && this.departed[0]!.arrivesAt <= now) this.departed.shift()!.arrive()
    this.arm()
  })
}
