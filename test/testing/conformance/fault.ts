import type * as Conformance from "../../../src/testing/Conformance.ts"

/** Something that is wrong on purpose, and the checks that find it. */
export interface Fault {
  readonly makePair: Conformance.MakePair
  readonly breaks: ReadonlyArray<string>
  /** Puts it in, and gives what takes it out again. */
  readonly patch?: () => () => void
}

type Method = (...args: ReadonlyArray<never>) => unknown

/** Another method, or another getter, in place of that one. */
export const patched = (
  prototype: object,
  name: string,
  replace: (original: Method) => (this: never, ...args: ReadonlyArray<never>) => unknown
) =>
() => {
  const original = Object.getOwnPropertyDescriptor(prototype, name)
  if (original === undefined) throw new Error(`There is no ${name} any more`)
  const member = original.get === undefined ? "value" : "get"
  const replacement = { ...original, [member]: replace(original[member] as Method) }
  Object.defineProperty(prototype, name, replacement)
  return () => void Object.defineProperty(prototype, name, original)
}
