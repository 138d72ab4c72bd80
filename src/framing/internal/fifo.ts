/**
 * Who waits for a turn, in the order in which they came: the first one has it until it leaves.
 *
 * @internal
 */

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
}
