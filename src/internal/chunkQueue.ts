/**
 * Chunks in their order. Nearly always there is one at most, which needs no array: what is pushed onto an empty one makes
 * room for 17.
 *
 * @internal
 */
export class ChunkQueue {
  private only: Uint8Array | undefined = undefined
  /** In the place of `only`, once there were two. */
  private all: Array<Uint8Array> | undefined = undefined

  get length(): number {
    return this.all !== undefined ? this.all.length : this.only === undefined ? 0 : 1
  }

  push(chunk: Uint8Array): void {
    if (this.length === 0) this.only = chunk
    else this.asArray().push(chunk)
  }

  /** Puts it in front of the others. */
  unshift(chunk: Uint8Array): void {
    if (this.length === 0) this.only = chunk
    else this.asArray().unshift(chunk)
  }

  shift(): Uint8Array | undefined {
    const { all, only } = this
    if (all === undefined) {
      this.only = undefined
      return only
    }
    if (all.length === 1) this.all = undefined
    return all.shift()
  }

  /** All of them; none is left. */
  takeAll(): ReadonlyArray<Uint8Array> {
    const all = this.all ?? (this.only === undefined ? [] : [this.only])
    this.clear()
    return all
  }

  clear(): void {
    this.only = undefined
    this.all = undefined
  }

  private asArray(): Array<Uint8Array> {
    if (this.all === undefined) {
      this.all = [this.only!]
      this.only = undefined
    }
    return this.all
  }
}
