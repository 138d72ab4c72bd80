/**
 * Bytes, and where they are cut, as an arbitrary that shrinks both.
 *
 * @internal
 */
import * as FastCheck from "effect/FastCheck"

/** What is cut, and where: positions in rising order. The same one twice, or one at an end, makes an empty chunk. */
export interface Cut<A> {
  readonly whole: A
  readonly cuts: ReadonlyArray<number>
}

/** At least one chunk, copied, so that none can be seen through another. */
export const chunksOf = (bytes: Uint8Array, cuts: ReadonlyArray<number>): ReadonlyArray<Uint8Array> =>
  [...cuts, bytes.length].map((cut, index) => bytes.slice(cuts[index - 1] ?? 0, cut))

/** What `whole` gives, with cuts in its bytes. */
export const cutting = <A>(
  whole: FastCheck.Arbitrary<A>,
  lengthOf: (whole: A) => number
): FastCheck.Arbitrary<Cut<A>> => new Cutting(whole, lengthOf)

interface Context<A> {
  readonly source: FastCheck.Value<A>
  readonly cuts: ReadonlyArray<number>
}

/**
 * What is cut shrinks first, by its own arbitrary, and takes its cuts along: at the same distance from its beginning, or
 * from its end, as what was left out may have stood behind a cut or before it. Then there are fewer cuts, then they move
 * to the front. (`chain` would draw new cuts for each smaller whole, and so lose the ones that matter.)
 */
class Cutting<A> extends FastCheck.Arbitrary<Cut<A>> {
  private readonly whole: FastCheck.Arbitrary<A>
  private readonly lengthOf: (whole: A) => number

  constructor(whole: FastCheck.Arbitrary<A>, lengthOf: (whole: A) => number) {
    super()
    this.whole = whole
    this.lengthOf = lengthOf
  }

  override generate(random: FastCheck.Random, bias: number | undefined): FastCheck.Value<Cut<A>> {
    const source = this.whole.generate(random, bias)
    const length = this.lengthOf(source.value)
    const count = random.nextInt(0, 3) === 0 ? random.nextInt(0, length) : random.nextInt(0, 3)
    const cuts = Array.from({ length: count }, () => random.nextInt(0, length))
    return this.value({ source, cuts: cuts.toSorted((a, b) => a - b) })
  }

  override canShrinkWithoutContext(_value: unknown): _value is Cut<A> {
    return false
  }

  override shrink(_value: Cut<A>, context: unknown): FastCheck.Stream<FastCheck.Value<Cut<A>>> {
    const { cuts, source } = context as Context<A>
    const length = this.lengthOf(source.value)
    const smaller = this.whole.shrink(source.value_, source.context).map((source): ReadonlyArray<Context<A>> => {
      const shorter = this.lengthOf(source.value)
      const fromStart = cuts.map((cut) => Math.min(cut, shorter))
      const fromEnd = cuts.map((cut) => Math.max(0, cut - length + shorter))
      return [{ source, cuts: fromStart }, { source, cuts: fromEnd }]
    })
    const others = [...fewer(cuts), ...lower(cuts)].map((cuts) => ({ source, cuts }))
    return smaller
      .join(FastCheck.Stream.of(others))
      .flatMap((contexts) => FastCheck.Stream.of(...contexts))
      .map((context) => this.value(context))
  }

  private value(context: Context<A>): FastCheck.Value<Cut<A>> {
    return new FastCheck.Value({ whole: context.source.value, cuts: context.cuts }, context)
  }
}

const fewer = (cuts: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<number>> =>
  cuts.length < 2 ? cuts.map(() => []) : [[], ...cuts.map((_, index) => cuts.toSpliced(index, 1))]

/** One cut moved to the front, in halves of the way to the cut before it. */
const lower = (cuts: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<number>> =>
  cuts.flatMap((cut, index) => {
    const moved: Array<ReadonlyArray<number>> = []
    for (let way = cut - (cuts[index - 1] ?? 0); way > 0; way = Math.floor(way / 2)) {
      moved.push(cuts.with(index, cut - way))
    }
    return moved
  })
