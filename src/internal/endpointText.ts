/**
 * The text of endpoints, whatever their fields mean: quoted fields, with keys or in their places (the grammar is in
 * `Endpoint.ts`).
 *
 * @internal
 */
import * as Either from "effect/Either"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What stands where something else should. */
interface Fault {
  /** In the whole description. */
  readonly position: number
  readonly found: string
  readonly expected: string
}

/** What a field may hold: the rule for its text, and through its text for its value. */
export interface Field<A> {
  /** Completes "expected …" and "must be …". */
  readonly expected: string
  /** A value as it stands in a description, or undefined if none is right. */
  readonly example: string | undefined
  readonly read: (text: string) => A | undefined
  readonly write: (value: A) => string
}

/** How an endpoint of one kind is described. */
interface Scheme<A> {
  /** A whole description, for error messages. */
  readonly example: string
  /** The keys that must be given, in the order in which their values may stand without a key. */
  readonly positional: ReadonlyArray<string>
  /** The keys that may be given. */
  readonly keyword: ReadonlyArray<string>
  readonly read: (fields: Fields) => Either.Either<A, Fault>
}

export type Schemes<A> = Readonly<Record<string, Scheme<A>>>

export interface Fields {
  readonly required: <A>(key: string, field: Field<A>) => Either.Either<A, Fault>
  readonly optional: <A>(key: string, field: Field<A>) => Either.Either<A | undefined, Fault>
  /** A whole description as a value. */
  readonly description: <A>(key: string, schemes: Schemes<A>) => Either.Either<A, Fault>
}

// -----------------------------------------------------------------------------
// from text to fields
// -----------------------------------------------------------------------------

/** What is read: the whole description, or one that is a value in it, unescaped. */
interface Source {
  readonly text: string
  /** Where a character of the text, or its end, stands in the whole. */
  readonly positionAt: (index: number) => number
}

/** One field of a description, unescaped; positions are indices into the whole description. */
interface Part {
  readonly key: string | undefined
  readonly value: string
  readonly position: number
  /** Of each character of the value, and of its end. */
  readonly valuePositions: ReadonlyArray<number>
}

export const parse = <A>(description: string, schemes: Schemes<A>): Either.Either<A, Fault> =>
  parseFrom({ text: description, positionAt: (index) => index }, schemes)

const parseFrom = <A>(source: Source, schemes: Schemes<A>): Either.Either<A, Fault> =>
  Either.gen(function*() {
    const [first, ...rest] = yield* split(source)
    const scheme = yield* schemeOf(source, first, schemes)
    return yield* scheme.read(yield* assign(source, scheme, rest))
  })

/** Splits at unescaped colons, each field at its first unescaped equals sign. */
const split = ({ positionAt, text }: Source): Either.Either<[Part, ...Array<Part>], Fault> => {
  const partAt = (index: number) => ({
    key: undefined as string | undefined,
    value: "",
    position: positionAt(index),
    valuePositions: [] as Array<number>
  })
  let last = partAt(0)
  const parts: [Part, ...Array<Part>] = [last]
  for (let index = 0; index < text.length; index++) {
    const character = text[index]!
    if (character === ":") {
      last.valuePositions.push(positionAt(index))
      last = partAt(index + 1)
      parts.push(last)
      // What has a colon is no key, but a description or a path.
    } else if (character === "=" && last.key === undefined && !last.value.includes(":")) {
      last.key = last.value
      last.value = ""
      last.valuePositions = []
    } else {
      last.valuePositions.push(positionAt(index))
      if (character === "\\" && ++index === text.length) {
        const expected = "a character after it (a backslash is written \\\\)"
        return fail(positionAt(index - 1), "a lone backslash", expected)
      }
      last.value += text[index]!
    }
  }
  last.valuePositions.push(positionAt(text.length))
  return Either.right(parts)
}

const schemeOf = <A>(
  { positionAt }: Source,
  { key, value }: Part,
  schemes: Schemes<A>
): Either.Either<Scheme<A>, Fault> => {
  const found = key === undefined ? value : `${key}=${value}`
  if (Object.hasOwn(schemes, found)) return Either.right(schemes[found]!)
  const lowerCase = found.toLowerCase()
  const examples = Object.values(schemes).map(({ example }) => example)
  return fail(
    positionAt(0),
    found === "" ? "no scheme" : `the unknown scheme ${quoted(found)}`,
    Object.hasOwn(schemes, lowerCase)
      ? `${lowerCase} in lower case, as in ${schemes[lowerCase]!.example}`
      : `${oneOf(Object.keys(schemes))}, as in ${oneOf(examples)}`
  )
}

/** Gives each part its key: named ones first, so that a value without a key fills the next place that is still free. */
const assign = (
  { positionAt, text }: Source,
  { example, keyword, positional }: Scheme<unknown>,
  parts: ReadonlyArray<Part>
): Either.Either<Fields, Fault> => {
  const keys = [...positional, ...keyword]
  const given = new Map<string, Part>()
  for (const part of parts) {
    if (part.key === undefined) continue
    if (!keys.includes(part.key)) {
      const found = `the unknown key ${quoted(part.key)}`
      const expected = `one of ${keys.join(", ")}, as in ${example} (an equals sign in a value is written \\=)`
      return fail(part.position, found, expected)
    }
    if (given.has(part.key)) {
      return fail(part.position, `the key ${part.key} again`, `each key once, as in ${example}`)
    }
    given.set(part.key, part)
  }
  const free = positional.filter((key) => !given.has(key))
  for (const part of parts) {
    if (part.key !== undefined) continue
    const key = free.shift()
    if (key === undefined) {
      const found = `the surplus value ${quoted(part.value)}`
      const expected = `key=value with ${oneOf(keyword)}, as in ${example} (a colon in a value is written \\:)`
      return fail(part.position, found, expected)
    }
    given.set(key, part)
  }

  const optional: Fields["optional"] = (key, field) => {
    const part = given.get(key)
    if (part === undefined) return Either.right(undefined)
    const value = field.read(part.value)
    if (value !== undefined) return Either.right(value)
    const expected = field.example === undefined ? field.expected : `${field.expected}, as in ${key}=${field.example}`
    return fail(part.valuePositions[0]!, `the ${key} ${quoted(part.value)}`, expected)
  }
  const missing = (key: string, expected: string) =>
    fail(positionAt(text.length), `no ${key}`, `${expected}, as in ${example}`)
  const required: Fields["required"] = (key, field) =>
    Either.flatMap(
      optional(key, field),
      (value) => value === undefined ? missing(key, field.expected) : Either.right(value)
    )
  const nested: Fields["description"] = (key, schemes) => {
    const part = given.get(key)
    if (part === undefined) return missing(key, "a description, quoted")
    return parseFrom({ text: part.value, positionAt: (index) => part.valuePositions[index]! }, schemes)
  }
  return Either.right({ required, optional, description: nested })
}

const fail = (position: number, found: string, expected: string): Either.Either<never, Fault> =>
  Either.left({ position, found, expected })

const oneOf = (all: ReadonlyArray<string>): string =>
  all.length < 2 ? all.join() : `${all.slice(0, -1).join(", ")} or ${all.at(-1)}`

/** In quotes, without control characters, but each backslash as it was typed. */
export const quoted = (text: string): string => JSON.stringify(text).replaceAll("\\\\", "\\")

// -----------------------------------------------------------------------------
// from fields to text
// -----------------------------------------------------------------------------

export const written = <A>(field: Field<A>, value: A | undefined): string | undefined =>
  value === undefined ? undefined : field.write(value)

export const describe = (
  scheme: string,
  positional: ReadonlyArray<string>,
  keyword: Readonly<Record<string, string | undefined>>
): string => {
  const fields = positional.map((value) => value.replace(/[\\:=]/g, "\\$&"))
  for (const [key, value] of Object.entries(keyword)) {
    // After its key an equals sign is a character like any other.
    if (value !== undefined) fields.push(`${key}=${value.replace(/[\\:]/g, "\\$&")}`)
  }
  return [scheme, ...fields].join(":")
}
