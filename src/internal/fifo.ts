/**
 * Who waits for a turn, in the order in which they came: the first one has it until it leaves.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

/** One of them. A wake-up carries nothing: who is woken looks again. */
export class Place {
  left = false
  /** Something will come for it, also when it has left. */
  due = false
  wake: (() => void) | undefined = undefined
}

export class Fifo {
  private readonly places: Array<Place> = []

  get first(): Place | undefined {
    return this.places[0]
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return Math.max(0, this.places.filter(({ left }) => !left).length - 1)
  }

  join(place: Place): void {
    this.places.push(place)
  }

  /**
   * Leaves, and wakes whoever is the first then. A place in the middle goes when it comes to the front. Gives how many
   * went from there for which something is due.
   */
  leave(place: Place): number {
    place.left = true
    const { first } = this
    let due = 0
    for (; this.first?.left === true; this.places.shift()) due += Number(this.first.due)
    if (this.first !== first) this.first?.wake?.()
    return due
  }

  /** Runs the effect in its turn. */
  inTurn<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      const place = new Place()
      const turn = Effect.suspend(() => {
        this.join(place)
        return Effect.zipRight(turnOf(() => this.first === place, place), effect)
      })
      return Effect.ensuring(turn, Effect.sync(() => this.leave(place)))
    })
  }
}

/** Waits until it holds; whoever makes it hold wakes one of the places. */
export const turnOf = (holds: () => boolean, ...places: ReadonlyArray<Place>): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (holds()) return resume(Effect.void)
    for (const place of places) place.wake = () => resume(Effect.void)
  })
