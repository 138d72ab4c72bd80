/**
 * What `socket.setTimeout` counts: the time in which nothing moves. A movement costs a look at the clock, and no timer.
 *
 * @internal
 */
import type { Timers } from "../../internal/connection.ts"

export class Inactivity {
  private readonly timers: Timers
  private readonly onTimeout: () => void
  private millis = 0
  private moved = 0
  private background = false
  private cancel: (() => void) | undefined = undefined

  constructor(timers: Timers, onTimeout: () => void) {
    this.timers = timers
    this.onTimeout = onTimeout
  }

  /** From now on so long; 0 is for ever. */
  set(millis: number): void {
    this.cancel?.()
    this.cancel = undefined
    this.millis = millis
    this.touch()
  }

  /** In the background it keeps no process, as a socket that is unref'd keeps none. */
  setBackground(background: boolean): void {
    this.background = background
    if (this.cancel === undefined) return
    this.cancel()
    this.arm(this.left)
  }

  /** Something moves. After a timeout the time begins anew. */
  touch(): void {
    if (this.millis === 0) return
    this.moved = this.timers.now()
    if (this.cancel === undefined) this.arm(this.millis)
  }

  private get left(): number {
    return this.moved + this.millis - this.timers.now()
  }

  private arm(delay: number): void {
    const due = () => {
      this.cancel = undefined
      const { left } = this
      if (left > 0) this.arm(left)
      else this.onTimeout()
    }
    this.cancel = this.timers.schedule(delay, due, this.background)
  }
}
