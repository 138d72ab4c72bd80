/**
 * Where MessagePack values end, and what may be in them: https://github.com/msgpack/msgpack/blob/master/spec.md
 *
 * @internal
 */
import { FrameTooLong, InvalidFrame } from "../../FrameError.ts"
import { scanned } from "../../internal/scanned.ts"
import { isUtf8 } from "./utf8.ts"

// What an item's first byte tells: an item is a head, and then so many bytes of content, or so many further items.

const plain = 0
const string = 1
const extension = 2
const array = 3
const map = 4

const never = 5

const timestamp = -1

const kinds = new Uint8Array(256)
/** The bytes of the head: the first one, the number that tells how much follows, and the type of an extension. */
const heads = new Uint8Array(256)
/** The width of that number in bytes, 0 if the first byte tells as much. */
const widths = new Uint8Array(256)
const counts = new Uint8Array(256)

const define = (first: number, kind: number, width: number, ...fixed: ReadonlyArray<number>) =>
  fixed.forEach((count, index) => {
    kinds[first + index] = kind
    heads[first + index] = 1 + width + (kind === extension ? 1 : 0)
    widths[first + index] = width
    counts[first + index] = count
  })

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)

define(0x80, map, 0, ...upTo(16))
define(0x90, array, 0, ...upTo(16))
define(0xa0, string, 0, ...upTo(32))
define(0xc0, plain, 0, 0)
define(0xc1, never, 0, 0)
define(0xc2, plain, 0, 0, 0)
define(0xca, plain, 0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8)
define(0xd4, extension, 0, 1, 2, 4, 8, 16)
for (const [index, width] of [1, 2, 4].entries()) {
  define(0xc4 + index, plain, width, 0)
  define(0xc7 + index, extension, width, 0)
  define(0xd9 + index, string, width, 0)
  if (width > 1) define(0xdb + index, array, width, 0)
  if (width > 1) define(0xdd + index, map, width, 0)
}

const countOf = (bytes: Uint8Array, at: number): number =>
  widths[bytes[at]!] === 0 ? counts[bytes[at]!]! : numberOf(bytes, at)

const numberOf = (bytes: Uint8Array, at: number): number => {
  switch (widths[bytes[at]!]) {
    case 1:
      return bytes[at + 1]!
    case 2:
      return bytes[at + 1]! * 256 + bytes[at + 2]!
    default:
      return ((bytes[at + 1]! * 256 + bytes[at + 2]!) * 256 + bytes[at + 3]!) * 256 + bytes[at + 4]!
  }
}

export interface Rules {
  /** The longest value, in bytes. */
  readonly maxLength: number
  /** So many arrays and maps may be in one another. */
  readonly maxDepth: number
  /** The types of extensions that are known, besides the timestamp. */
  readonly extensions: ReadonlySet<number>
  /** Maps become objects, with strings as keys. */
  readonly mapsAsObjects: boolean
}

/** How far a value is known: up to an item that is not there as a whole, or to its end. */
export class Walk {
  /** Where that is, counted from the beginning of the value. */
  readonly next: number
  /** So many bytes of the item have to be there before it is worth a look; 0 if there is no further item. */
  readonly needed: number
  /**
   * How many items the value, each array and each map that is open lacks, the outermost first, those open in it included.
   * Negative if the one that is open in it is a map.
   */
  readonly open: ReadonlyArray<number>
  /** What is wrong with the content of an item: of the value no frame is made, but it is known where it ends. */
  readonly fault: InvalidFrame | undefined

  constructor(next: number, needed: number, open: ReadonlyArray<number>, fault: InvalidFrame | undefined) {
    this.next = next
    this.needed = needed
    this.open = open
    this.fault = fault
  }

  static readonly start = new Walk(0, 1, [1], undefined)

  static to(end: number, fault?: InvalidFrame): Walk {
    return new Walk(end, 0, [], fault)
  }
}

/** Why it cannot be known where a value ends. */
export type Refusal = FrameTooLong | InvalidFrame

const enclosing: Array<number> = []

/**
 * The size of a value that began at `start`, negative if it did so in earlier bytes; or how far it is known, if it is not
 * whole or has a fault. Each item is looked at once.
 */
export const walk = (bytes: Uint8Array, start: number, from: Walk, rules: Rules): number | Walk | Refusal => {
  let at = start + from.next
  let refusal: Refusal | undefined
  let { fault } = from
  let depth = from.open.length - 1
  let lacks = from.open[depth]!
  let owed = lacks
  for (let index = 0; index < depth; index++) {
    enclosing[index] = from.open[index]!
    owed += Math.abs(from.open[index]!) - 1
  }
  while (owed > 0 && at < bytes.length) {
    const token = bytes[at]!
    if (token < 0x80 || token >= 0xe0) at++ // a small number: most items are
    else {
      const content = at + heads[token]!
      if (content > bytes.length) break
      const kind = kinds[token]!
      const count = countOf(bytes, at)
      if (kind < array) {
        const next = content + count
        const least = next - start + owed - 1
        if (least > rules.maxLength) refusal = tooLong(rules, owed === 1 ? least : undefined)
        if (refusal !== undefined || next > bytes.length) break
        if (kind !== plain) fault ??= faultOf(kind, bytes, content, next, rules)
        // Of a map the keys are those items with which it lacks an even number.
        if (count === proto.length && rules.mapsAsObjects && lacks % 2 === 0 && enclosing[depth - 1]! < 0) {
          if (kind === string && isProto(bytes, content)) fault ??= refused("a key in it is __proto__")
        }
        at = next
      } else {
        const items = kind === map ? 2 * count : count
        const least = content - start + owed - 1 + items
        if (kind === never) refusal = refused("byte 0xc1, which MessagePack does not use, begins an item")
        else if (least > rules.maxLength) refusal = tooLong(rules, undefined)
        else if (depth === rules.maxDepth) refusal = refused(`its arrays and maps are more than ${depth} deep`)
        if (refusal !== undefined) break
        enclosing[depth++] = kind === map ? -lacks : lacks
        lacks = items + 1
        owed += items
        at = content
      }
    }
    owed--
    lacks--
    while (lacks === 0 && depth > 0) lacks = Math.abs(enclosing[--depth]!) - 1
  }
  scanned.bytes += at - start - from.next
  if (refusal !== undefined) return refusal
  if (owed > 0) return new Walk(at - start, needed(bytes, at), [...enclosing.slice(0, depth), lacks], fault)
  return fault === undefined ? at - start : Walk.to(at - start, fault)
}

const tooLong = ({ maxLength }: Rules, length: number | undefined): FrameTooLong =>
  new FrameTooLong({ limit: maxLength, length })

/** An item that is not there yet has one byte at least. */
const needed = (bytes: Uint8Array, at: number): number => {
  if (at === bytes.length) return 1
  const head = heads[bytes[at]!]!
  return at + head > bytes.length ? head : head + countOf(bytes, at)
}

/** As an object's key, msgpackr renames it: another key may have that name. */
const proto = new TextEncoder().encode("__proto__")

const isProto = (bytes: Uint8Array, at: number): boolean => proto.every((byte, index) => bytes[at + index] === byte)

const refused = (reason: string): InvalidFrame => new InvalidFrame({ reason })

/** Of a string, or of an extension, whose type is the last byte of its head. */
const faultOf = (
  kind: number,
  bytes: Uint8Array,
  from: number,
  to: number,
  { extensions }: Rules
): InvalidFrame | undefined => {
  if (kind === string) return isUtf8(bytes, from, to) ? undefined : refused("a string in it is not UTF-8")
  const type = bytes[from - 1]! << 24 >> 24
  if (extensions.has(type)) return undefined
  if (type === timestamp && (to - from === 4 || to - from === 8 || to - from === 12)) {
    return isTime(bytes, from, to) ? undefined : refused("a timestamp in it is no time that a Date can have")
  }
  return refused(`an extension in it has type ${type} and ${to - from} bytes`)
}

const nanosecondsOfSecond = 1e9

/** The seconds before and after 1970 that a Date reaches (ECMA-262 section 21.4.1.1). */
const lastSecond = 8.64e12

/** Seconds in 32 bits, alone or with 2 more behind 30 bits of nanoseconds; or in 64 behind 32. */
const isTime = (bytes: Uint8Array, from: number, to: number): boolean => {
  if (to - from === 4) return true
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  if (to - from === 8) return view.getUint32(from) >>> 2 < nanosecondsOfSecond
  const nanoseconds = view.getUint32(from)
  const seconds = view.getInt32(from + 4) * 2 ** 32 + view.getUint32(from + 8)
  return nanoseconds < nanosecondsOfSecond && seconds >= -lastSecond &&
    (seconds < lastSecond || seconds === lastSecond && nanoseconds === 0)
}
