/**
 * Equality of frames and failures, whatever these are.
 *
 * @internal
 */
import * as Equal from "effect/Equal"

/** By content: bytes, arrays, plain objects, class instances, maps, sets, dates, errors, and what has Effect's `Equal`. */
export const same = (left: unknown, right: unknown): boolean => {
  if (Object.is(left, right)) return true
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false
  if (left instanceof Uint8Array && right instanceof Uint8Array) return sameBytes(left, right)
  if (Object.getPrototypeOf(left) !== Object.getPrototypeOf(right)) return false
  if (Equal.isEqual(left) && Equal.equals(left, right)) return true
  if (left instanceof Error && left.message !== (right as Error).message) return false
  const parts = partsOf(left)
  // What shows nothing of its content, as Redacted does, only its own Equal knows.
  if (parts.length === 0 && Equal.isEqual(left)) return false
  return sameParts(parts, partsOf(right))
}

export const sameBytes = (left: Uint8Array, right: Uint8Array): boolean => {
  if (left.length !== right.length) return false
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false
  return true
}

const partsOf = (value: object): ReadonlyArray<unknown> => {
  if (Array.isArray(value)) return value
  if (value instanceof Map || value instanceof Set) return [...value]
  if (value instanceof Date) return [value.getTime()]
  if (value instanceof RegExp || value instanceof URL) return [String(value)]
  if (value instanceof DataView) return [new Uint8Array(value.buffer, value.byteOffset, value.byteLength)]
  if (value instanceof ArrayBuffer) return [new Uint8Array(value)]
  return Object.keys(value).toSorted().flatMap((key) => [key, (value as Record<string, unknown>)[key]])
}

const sameParts = (left: ReadonlyArray<unknown>, right: ReadonlyArray<unknown>): boolean =>
  left.length === right.length && left.every((part, index) => same(part, right[index]))
