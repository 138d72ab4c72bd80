/**
 * What is going to happen, by the Clock. However much that is, one timer is set, since `TestClock` takes milliseconds for
 * each; and none when nothing is.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import { Heap } from "./heap.ts"
import type { Scheduling } from "./timers.ts"
import { timersOf } from "./timers.ts"
import * as Turn from "./turn.ts"

/** Something that is going to happen; without `run`, it does not. */
export interface Entry {
  run: (() => void) | undefined
  /** No program waits for it, and it could go on for ever. */
  readonly background: boolean
}

/** Milliseconds in whole nanoseconds, as the Clock counts: what is due at a time is due when the Clock says that time. */
const inNanoseconds = (millis: number): number => Math.round(millis * 1e6) / 1e6

/** In milliseconds. What lies less than this ahead is now. */
export const nanosecond = 1e-6

export class Agenda {
  private readonly clock: Clock.Clock
  private readonly set: Scheduling["unsafeSchedule"]
  private readonly entries = new Heap<Entry>()
  /** Entries that are not in the background. */
  private awaited = 0
  private alarmAt = Infinity
  private alarmInBackground = false
  private cancelAlarm: () => void = () => {}
  private ended = false

  constructor(clock: Clock.Clock) {
    this.clock = clock
    this.set = timersOf(clock).schedule
  }

  /** Milliseconds, with fractions. */
  get now(): number {
    return Number(this.clock.unsafeCurrentTimeNanos()) / 1e6
  }

  schedule(delay: number, run: () => void, background = false): Entry {
    const entry: Entry = { run, background }
    if (this.ended || delay === Infinity) return entry
    if (!background) this.awaited++
    this.entries.push(inNanoseconds(this.now + Math.max(0, delay)), entry)
    this.arm()
    return entry
  }

  /** Nothing happens any more. */
  end(): void {
    this.ended = true
    this.cancelAlarm()
  }

  private arm(): void {
    const { least } = this.entries
    const background = this.awaited === 0
    if (this.ended || least >= this.alarmAt && (background || !this.alarmInBackground)) return
    this.cancelAlarm()
    this.alarmAt = least
    this.alarmInBackground = background
    this.cancelAlarm = this.set(Math.max(0, least - this.now), this.ring, background)
  }

  private readonly ring = (): void => {
    this.alarmAt = Infinity
    const { now } = this
    // A timer of the host may come a little early, and is set again.
    while (this.entries.least <= now && !this.ended) {
      const entry = this.entries.pop()!
      const { background, run } = entry
      entry.run = undefined
      if (!background) this.awaited--
      if (run !== undefined) Turn.event(run)(undefined)
    }
    this.arm()
  }
}

/** Calls back at a time that may be moved: to later at no cost. */
export class Alarm {
  private readonly agenda: Agenda
  private readonly run: () => void
  private at = Infinity
  private inBackground = false
  private entryAt = Infinity
  private entry: Entry | undefined = undefined

  constructor(agenda: Agenda, run: () => void) {
    this.agenda = agenda
    this.run = run
  }

  get isSet(): boolean {
    return this.at < Infinity
  }

  set(delay: number, background = false): void {
    this.at = this.agenda.now + delay
    this.inBackground = background
    // An entry that is earlier finds out.
    if (this.at < this.entryAt || this.entry?.background === true && !background) this.enter()
  }

  cancel(): void {
    this.at = Infinity
  }

  /** It is not set again. */
  end(): void {
    this.cancel()
    if (this.entry !== undefined) this.entry.run = undefined
  }

  private enter(): void {
    if (this.entry !== undefined) this.entry.run = undefined
    this.entryAt = this.at
    this.entry = this.agenda.schedule(this.at - this.agenda.now, this.ring, this.inBackground)
  }

  private readonly ring = (): void => {
    this.entry = undefined
    this.entryAt = Infinity
    if (!this.isSet) return
    if (this.at - this.agenda.now > nanosecond) return this.enter()
    this.at = Infinity
    this.run()
  }
}
