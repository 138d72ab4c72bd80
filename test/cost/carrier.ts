/**
 * A carrier that counts. It gives one message after another, each in a macrotask of its own, once the answer to the last
 * one was handed over; then the input ends.
 */
import * as FiberId from "effect/FiberId"
import * as Address from "../../src/Address.ts"
import type { SystemFailure } from "../../src/ConnectionError.ts"
import * as Driver from "../../src/Driver.ts"

export interface Options {
  readonly messages: number
  readonly size: number
  /** Handed-over bytes are taken within the call, or a turn of the event loop later. */
  readonly taking: "at once" | "a turn later"
}

/** Every fiber takes the next number when it is made, and so does this. */
const nextFiber = (): number => FiberId.unsafeMake().id

class Counting implements Driver.Driver {
  /** Between the first message and the last answer. */
  fibers = 0
  writes = 0
  /** Handed over, in bytes. */
  carried = 0
  /** Of these, not in the buffer that was received. */
  copied = 0
  private readonly options: Options
  private readonly events: Driver.Events<SystemFailure>
  private readonly message: Uint8Array
  private started = false
  private given = 0
  private taken = 0

  constructor(options: Options, events: Driver.Events<SystemFailure>) {
    this.options = options
    this.events = events
    this.message = new Uint8Array(options.size)
  }

  startReading(): void {
    if (this.started) return
    this.started = true
    this.later(this.give)
  }

  stopReading(): void {}

  write(chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean {
    this.writes++
    this.carried += bytes
    for (const chunk of chunks) {
      if (chunk.buffer !== this.message.buffer) this.copied += chunk.length
    }
    if (this.options.taking === "at once") {
      this.take(bytes)
      return true
    }
    this.later(() => {
      this.events.written(bytes)
      this.take(bytes)
    })
    return false
  }

  end(): void {
    this.events.finished()
  }

  release(): void {
    this.events.released()
  }

  reset(): void {
    this.events.released()
  }

  private later(run: () => void): void {
    setImmediate(() => {
      this.events.turned()
      run()
    })
  }

  private readonly give = (): void => {
    if (this.given === 0) this.fibers = -nextFiber() - 1
    this.given++
    this.events.received(this.message)
  }

  private take(bytes: number): void {
    const { messages, size } = this.options
    this.taken += bytes
    if (this.taken < this.given * size) return
    if (this.given < messages) return this.later(this.give)
    this.fibers += nextFiber()
    this.later(() => this.events.ended())
  }
}

export const counting = (options: Options): {
  readonly carrier: Driver.Carrier<SystemFailure>
  /** Known once the carrier is opened. */
  readonly counts: () => Counting
} => {
  let counts: Counting | undefined
  return {
    carrier: {
      driver: (events) => counts = new Counting(options, events),
      localAddress: Address.memory("here"),
      remoteAddress: Address.memory("there"),
      options: undefined,
      handle: undefined,
      limits: Driver.resolveLimits()
    },
    counts: () => counts!
  }
}
