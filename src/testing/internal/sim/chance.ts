/**
 * All chance of a simulation, from its seed.
 *
 * @internal
 */
import { PCGRandom } from "effect/Utils"

export class Chance {
  private readonly random: PCGRandom

  constructor(seed: number) {
    this.random = new PCGRandom(seed)
  }

  below(bound: number): number {
    return this.random.integer(bound)
  }

  between(least: number, most: number): number {
    return least === most ? least : least + this.random.number() * (most - least)
  }

  /** With this probability. */
  happens(rate = 1): boolean {
    return rate >= 1 || this.random.number() < rate
  }
}
