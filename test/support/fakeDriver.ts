import * as Address from "../../src/Address.ts"
import type * as Driver from "../../src/Driver.ts"
import type { Limits, Timers } from "../../src/internal/connection.ts"
import { Connection } from "../../src/internal/connection.ts"
import * as Turn from "../../src/internal/turn.ts"

/** Time that stands still until it is told to pass. */
export class ManualTimers implements Timers {
  private time = 0
  private readonly timers: Array<{ readonly at: number; readonly run: () => void }> = []
  private readonly macrotasks: Array<() => void> = []

  readonly now = () => this.time

  readonly schedule = (delay: number, run: () => void) => {
    const timer = { at: this.time + delay, run }
    this.timers.push(timer)
    return () => {
      const index = this.timers.indexOf(timer)
      if (index >= 0) this.timers.splice(index, 1)
    }
  }

  readonly macrotask = (run: () => void) => void this.macrotasks.push(run)

  readonly defer = Turn.defer

  /** The timers that are set. */
  get armed(): number {
    return this.timers.length
  }

  /** Lets so many milliseconds pass; what is due runs in its order. */
  advance(milliseconds: number): void {
    const until = this.time + milliseconds
    for (;;) {
      const due = this.timers.filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.timers.splice(this.timers.indexOf(due), 1)
      this.time = Math.max(this.time, due.at)
      due.run()
    }
    this.time = until
  }

  /** Runs what waits for a macrotask. */
  turn(): void {
    for (const run of this.macrotasks.splice(0)) run()
  }
}

/** A driver's call, as it is recorded. */
export type Call = "startReading" | "stopReading" | "write" | "end" | "release" | "reset"

/** A driver that does nothing but remember, and what a test makes it do within a call. */
export class FakeDriver<F = string> implements Driver.Driver {
  readonly calls: Array<Call> = []
  /** Each call of `write`, its chunks as they were. */
  readonly batches: Array<ReadonlyArray<Uint8Array>> = []
  /** What `write` returns. */
  takesAtOnce = true
  /** What happens within a call, before it returns. */
  readonly within: { [C in Call]?: () => void } = {}
  events!: Driver.Events<F>

  startReading(): void {
    this.note("startReading")
  }

  stopReading(): void {
    this.note("stopReading")
  }

  write(batch: ReadonlyArray<Uint8Array>): boolean {
    this.batches.push(batch.map((chunk) => chunk.slice()))
    const takesAtOnce = this.takesAtOnce
    this.note("write")
    return takesAtOnce
  }

  end(): void {
    this.note("end")
  }

  release(): void {
    this.note("release")
  }

  reset(): void {
    this.note("reset")
  }

  count(call: Call): number {
    return this.calls.filter((made) => made === call).length
  }

  get written(): Array<number> {
    return this.batches.flat().flatMap((chunk) => [...chunk])
  }

  private note(call: Call): void {
    this.calls.push(call)
    this.within[call]?.()
  }
}

const defaults: Limits = {
  readBufferSize: 10,
  highWaterMark: 10,
  lowWaterMark: 4,
  lingerTimeout: 1000,
  closeTimeout: 5000
}

export interface Opened {
  readonly connection: Connection<string>
  readonly driver: FakeDriver
  readonly timers: ManualTimers
}

export const open = (limits: Partial<Limits> = {}): Opened => {
  const driver = new FakeDriver()
  const timers = new ManualTimers()
  const connection = new Connection<string>(
    {
      driver: (core) => {
        driver.events = core
        return driver
      }
    },
    { ...defaults, ...limits },
    timers
  )
  return { connection, driver, timers }
}

/** A fake driver as a carrier, for the shell around the core. */
export const carrier = <F>(limits: Partial<Limits> = {}): {
  readonly carrier: Driver.Carrier<F>
  readonly driver: FakeDriver<F>
} => {
  const driver = new FakeDriver<F>()
  return {
    driver,
    carrier: {
      driver: (events) => {
        driver.events = events
        return driver
      },
      localAddress: Address.memory("here"),
      remoteAddress: Address.memory("there"),
      options: { noDelay: undefined, keepAlive: undefined },
      handle: driver,
      limits: { ...defaults, ...limits }
    }
  }
}
