/**
 * How many bytes decoders have looked at or copied, so that a test can tell without a clock that their cost is linear.
 *
 * @internal
 */
export const scanned = { bytes: 0 }
