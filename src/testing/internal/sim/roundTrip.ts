/**
 * How long to wait for an acknowledgement: RFC 6298, with the bounds of Linux.
 *
 * @internal
 */

/** Milliseconds. */
const initialTimeout = 1000
/** What is added to a round trip that does not vary (tcp_rto_min). */
const leastVariation = 200
const maxTimeout = 120_000

export class RoundTrip {
  private smoothed: number | undefined = undefined
  private variation = 0
  private doublings = 0

  get timeout(): number {
    const ordinary = this.smoothed === undefined
      ? initialTimeout
      : this.smoothed + Math.max(leastVariation, 4 * this.variation)
    return Math.min(maxTimeout, ordinary * 2 ** this.doublings)
  }

  measure(time: number): void {
    if (this.smoothed === undefined) {
      this.smoothed = time
      this.variation = time / 2
    } else {
      this.variation += (Math.abs(this.smoothed - time) - this.variation) / 4
      this.smoothed += (time - this.smoothed) / 8
    }
  }

  /** Nothing came in time. */
  backOff(): void {
    this.doublings++
  }

  /** Something was acknowledged. */
  recover(): void {
    this.doublings = 0
  }
}
