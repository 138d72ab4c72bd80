/**
 * The limits that all framing modules check alike.
 *
 * @internal
 */

/** `maxLength` of the options, in bytes, or its default of 64 KiB; a wrong one is a bug in the caller. */
export const maxLengthOf = (options: { readonly maxLength?: number | undefined } | undefined): number =>
  wholeNumber("maxLength", options?.maxLength ?? 65536, 0)

/** `value`, if it is a whole number within these bounds. */
export const wholeNumber = (name: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): number => {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new RangeError(`${name} is a whole number from ${least} to ${most}, not ${value}`)
}
