/**
 * What an event of the event loop brings about is done before the event is over: the fibers that it woke run, and what
 * they wrote leaves, gathered for each connection. In microtasks, which is where Effect's scheduler and `queueMicrotask`
 * would do it, the same costs 0.5 µs more for each message, out of about 10.
 *
 * A driver makes an `event` of each listener that the event loop calls. Fibers take part that have the `scheduler` of this
 * module, as those of `Server` do; all others run as ever, and what they write leaves in a microtask.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import type { Deferred } from "./connection.ts"

/**
 * So many times the fibers that are due run within a turn, each time those that the time before has woken. What is left
 * then waits until the event loop has turned: fibers that yield, or keep each other busy, do not hold it.
 */
const passLimit = 8

/** After so many of a fiber's operations its limit before it has to yield is looked up, and not after each. */
const yieldCheck = 64

/** Fibers that are due, those of priority 0, which nearly all have, apart: a bucket for each turn would be for nothing. */
let due: Array<Scheduler.Task> = []
const others = new Scheduler.PriorityBuckets()
/** Fibers that have to wait until the event loop has turned. */
let late: Array<Scheduler.Task> = []
let awaited = false
let deferred: Array<Deferred> = []
/** Events and flushes that are under way: the outermost one flushes. */
let depth = 0
let scheduled = false
/** The event that is under way leaves what it puts off to the next one, see `hold`. */
let held = false
/** For whose next event something is held. */
let holder: object | undefined
/** When the event that is under way was asked for the time first; 0 if it was not. */
let time = 0

/** When the event loop has turned. */
const immediately: (run: () => void) => void = typeof setImmediate === "function"
  ? (run) => void setImmediate(run)
  : (run) => void setTimeout(run, 0)

let macrotasks = 0

/** Runs it when the event loop has turned, or in the later task that `by` makes of it. */
export const macrotask = (run: () => void, by = immediately): void => {
  macrotasks++
  by(() => {
    macrotasks--
    run()
  })
}

/** Suspends until the event loop has turned. */
export const breath: Effect.Effect<void> = Effect.async((resume) => macrotask(() => resume(Effect.void)))

/**
 * Calls `look` when the event loop has turned, with whether nothing was left to do in it: no fiber of this scheduler is
 * due, no work was put off, no promise waits for its turn. For a clock that moves only then.
 */
export const whenTurned = (look: (idle: boolean) => void): void =>
  immediately(() => look(macrotasks === 0 && !isDue() && deferred.length === 0 && late.length === 0))

/** A listener of the event loop: its event is over once all that it brought about is done. */
export const event = <This, A = void>(listener: (this: This, argument: A) => void) =>
  function(this: This, argument: A): void {
    depth++
    try {
      listener.call(this, argument)
    } finally {
      depth--
      if (depth === 0) flush()
    }
  }

/** To be run where fibers are. */
export const task = (run: Scheduler.Task): void => {
  // Most often it is the only one: a push onto an empty array would make room for 17.
  if (due.length > 0) due.push(run)
  else due = [run]
  schedule()
}

/** To be run when the fibers that are due have run. */
export const defer = (work: Deferred): void => {
  if (deferred.length > 0) deferred.push(work)
  else deferred = [work]
  schedule()
}

/**
 * What the event that is under way puts off waits for the next event, or until the event loop has turned: for a driver that
 * sees that more comes at once, so that the answers to all of it leave together. What was held for another one leaves now:
 * nobody's answers wait for the input of others.
 */
export const hold = (by: object): void => {
  if (depth === 0) return
  if (holder !== undefined && holder !== by) runDeferred()
  holder = by
  held = true
}

/**
 * The host's time in milliseconds, asked once for each event, as libuv does for its timers: a message has two to four times
 * to note, each of which costs 0.05 µs.
 */
export const now = (): number => depth === 0 ? Date.now() : time ||= Date.now()

/** Runs fibers within the turn that wakes them; in a microtask, if it is no event that does. */
export const scheduler: Scheduler.Scheduler = Scheduler.make(
  (run, priority) => {
    if (priority === 0) return task(run)
    others.scheduleTask(run, priority)
    schedule()
  },
  (fiber) => fiber.currentOpCount % yieldCheck === 0 && Scheduler.defaultShouldYield(fiber)
)

const schedule = (): void => {
  if (depth > 0 || scheduled) return
  scheduled = true
  void Promise.resolve().then(flush)
}

const isDue = (): boolean => due.length > 0 || others.buckets.length > 0

/** Something was put off that nothing holds. */
const isLeaving = (): boolean => deferred.length > 0 && !held

const flush = (): void => {
  scheduled = false
  depth++
  for (let pass = 0; pass < passLimit && (isDue() || isLeaving()); pass++) {
    if (isDue()) takeDue().forEach(attempt)
    // Not before nobody is due any more: what all of them write leaves together.
    if (!isDue()) runDeferred()
  }
  runDeferred()
  if (!held) holder = undefined
  held = false
  time = 0
  depth--
  if (isDue() || deferred.length > 0) putOff(takeDue())
}

/** In the order of their priorities. */
const takeDue = (): ReadonlyArray<Scheduler.Task> => {
  const now = due
  due = []
  if (others.buckets.length === 0) return now
  const { buckets } = others
  others.buckets = []
  return [
    ...buckets.flatMap(([priority, tasks]) => priority < 0 ? tasks : []),
    ...now,
    ...buckets.flatMap(([priority, tasks]) => priority > 0 ? tasks : [])
  ]
}

/** To the next turn, and not to the next event: there may be many more in this one. */
const putOff = (tasks: ReadonlyArray<Scheduler.Task>): void => {
  late.push(...tasks)
  if (awaited) return
  awaited = true
  macrotask(resume)
}

const resume = event(() => {
  awaited = false
  const now = late
  late = []
  now.forEach(attempt)
})

const runDeferred = (): void => {
  if (!isLeaving()) return
  const now = deferred
  deferred = []
  for (let index = 0; index < now.length; index++) {
    try {
      now[index]!.run()
    } catch (error) {
      raise(error)
    }
  }
}

const attempt = (run: Scheduler.Task): void => {
  try {
    run()
  } catch (error) {
    raise(error)
  }
}

/** Where an event listener's goes; nobody else's work is lost for it. */
const raise = (error: unknown): void =>
  queueMicrotask(() => {
    throw error
  })
