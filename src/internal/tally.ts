/**
 * Counts by name.
 *
 * @internal
 */

/** One more, or one less, of that name; what is nameless is not counted, and what has come to 0 is gone. */
export const tally = (counts: Map<string, number>, name: string | undefined, by: 1 | -1): void => {
  if (name === undefined) return
  const left = (counts.get(name) ?? 0) + by
  if (left === 0) counts.delete(name)
  else counts.set(name, left)
}
