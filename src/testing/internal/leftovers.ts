/**
 * What a transport leaves behind, as far as it can be seen without the host: fibers, timers, and its own state.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Supervisor from "effect/Supervisor"
import type { Scheduling } from "../../internal/timers.ts"
import { timersOf } from "../../internal/timers.ts"
import type { Transport } from "../../Transport.ts"
import type { Unexpected } from "./check.ts"
import { expect, turn } from "./check.ts"

/** The Clock that it is made of, which knows how many timers are set. */
class CountingClock implements Clock.Clock, Scheduling {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  armed = 0
  private readonly clock: Clock.Clock

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  readonly unsafeCurrentTimeMillis = () => this.clock.unsafeCurrentTimeMillis()
  readonly unsafeCurrentTimeNanos = () => this.clock.unsafeCurrentTimeNanos()
  readonly currentTimeMillis = Effect.sync(this.unsafeCurrentTimeMillis)
  readonly currentTimeNanos = Effect.sync(this.unsafeCurrentTimeNanos)

  readonly sleep = (duration: Duration.Duration): Effect.Effect<void> =>
    Effect.acquireUseRelease(
      Effect.sync(() => this.armed++),
      () => this.clock.sleep(duration),
      () => Effect.sync(() => this.armed--)
    )

  readonly unsafeSchedule = (delay: number, run: () => void): () => void => {
    let set = true
    const over = () => {
      if (set) this.armed--
      set = false
    }
    this.armed++
    const cancel = timersOf(this.clock).schedule(delay, () => {
      over()
      run()
    })
    return () => {
      over()
      cancel()
    }
  }
}

/** So many moments are given to what is about to go. */
const patience = 200

/**
 * Runs it in a fiber of its own and then looks at what is left: the transports that it has given to `opened` are over, and
 * nothing that they, or anybody, forked or set within is there any more. (But for what goes past Effect: a `runFork` of
 * nobody's runtime, a timer of the host.)
 */
export const leavingNothing = <A, E, R>(
  body: (opened: (transport: Transport) => void) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Unexpected, R> =>
  Effect.gen(function*() {
    const clock = new CountingClock(yield* Effect.clock)
    const fibers = yield* Supervisor.track
    const transports: Array<Transport> = []
    const alone = Effect.flatMap(Effect.fork(body((transport) => transports.push(transport))), Fiber.join)
    const result = yield* alone.pipe(Effect.withClock(clock), Effect.supervised(fibers))
    for (const transport of transports) {
      yield* transport.closed
      const { buffered, pulling, writersWaiting } = transport.stats()
      const waiting = writersWaiting + Number(pulling)
      yield* expect(buffered + waiting === 0, "nothing left", `${buffered} bytes buffered, ${waiting} who wait`)
    }
    let left = yield* fibers.value
    for (let moment = 0; left.length + clock.armed > 0 && moment < patience; moment++) {
      yield* turn
      left = yield* fibers.value
    }
    yield* expect(left.length + clock.armed === 0, "nothing left", `${left.length} fibers, ${clock.armed} timers`)
    return result
  })
