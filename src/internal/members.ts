/**
 * What comes and goes by the thousand, each once.
 *
 * No `Set`: as it loses and gets members it is copied again and again, and the copies that are over hold the members that
 * they had, and the next copy. Once one of them lies in V8's old generation, two of five connections that had come and gone
 * were moved there as well.
 *
 * @internal
 */
export interface Member {
  /** Where it stands: its owner's alone to set. */
  place: number
}

export class Members<A extends Member> {
  private readonly members: Array<A> = []

  get size(): number {
    return this.members.length
  }

  add(member: A): void {
    member.place = this.members.length
    this.members.push(member)
  }

  /** One that was added, and only once: the last one takes its place. */
  remove({ place }: A): void {
    const last = this.members.pop()!
    if (place === this.members.length) return
    this.members[place] = last
    last.place = place
  }

  /** As they are now: whoever goes through them may remove some. */
  all(): ReadonlyArray<A> {
    return this.members.slice()
  }
}
