/**
 * A binary heap (Williams 1964): the least element first, and of equal ones the one that came first.
 *
 * @internal
 */
interface Entry<A> {
  readonly rank: number
  readonly order: number
  readonly value: A
}

const before = <A>(left: Entry<A>, right: Entry<A>): boolean =>
  left.rank < right.rank || left.rank === right.rank && left.order < right.order

export class Heap<A> {
  private entries: Array<Entry<A>> = []
  private order = 0

  get size(): number {
    return this.entries.length
  }

  get first(): A | undefined {
    return this.entries[0]?.value
  }

  /** The rank of the least element; `Infinity` if there is none. */
  get least(): number {
    return this.entries[0]?.rank ?? Infinity
  }

  push(rank: number, value: A): void {
    const { entries } = this
    const entry = { rank, order: this.order++, value }
    let at = entries.length
    for (let parent = (at - 1) >> 1; at > 0 && before(entry, entries[parent]!); parent = (at - 1) >> 1) {
      entries[at] = entries[parent]!
      at = parent
    }
    entries[at] = entry
  }

  pop(): A | undefined {
    const { entries } = this
    const first = entries[0]
    const last = entries.pop()
    if (first === undefined || last === undefined || first === last) return first?.value
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= entries.length) break
      if (child + 1 < entries.length && before(entries[child + 1]!, entries[child]!)) child++
      if (!before(entries[child]!, last)) break
      entries[at] = entries[child]!
      at = child
    }
    entries[at] = last
    return first.value
  }

  /** Drops all for which it does not hold. */
  retain(holds: (value: A) => boolean): void {
    // An array in order is a heap.
    this.entries = this.entries
      .filter(({ value }) => holds(value))
      .toSorted((left, right) => before(left, right) ? -1 : 1)
  }
}
