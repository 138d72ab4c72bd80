/**
 * The bytes of a frame that is not complete: the one place where decoders copy.
 *
 * @internal
 */

import { scanned } from "../../internal/scanned.ts"

/** A buffer that grows at its end, of which several `Held` may be prefixes. */
interface Buffer {
  readonly bytes: Uint8Array
  used: number
}

const leastCapacity = 64

/** While bytes come one by one, each is copied 0.5 times for more room, on the average of all lengths; with 2 it is 1.35 times. */
const growth = 4

/**
 * A value, as decoders are: bytes are appended behind what it holds, where only those look that were made by appending. If
 * two are made of the same one, the second copies. So a decoder can be used twice, and bytes that come one by one still cost
 * a bounded number of copies each.
 */
export class Held {
  private readonly buffer: Buffer
  readonly length: number

  private constructor(buffer: Buffer, length: number) {
    this.buffer = buffer
    this.length = length
  }

  static readonly empty = new Held({ bytes: new Uint8Array(0), used: 0 }, 0)

  get bytes(): Uint8Array {
    return this.buffer.bytes.subarray(0, this.length)
  }

  /** With the bytes from `from` to `to` appended. It will need no more than `most` bytes in the end, if that is known. */
  append(bytes: Uint8Array, from: number, to: number, most = Infinity): Held {
    const length = this.length + to - from
    if (length === this.length) return this
    let buffer = this.buffer
    if (buffer.used !== this.length || buffer.bytes.length < length) {
      const capacity = Math.max(length, Math.min(most, Math.max(leastCapacity, growth * length)))
      buffer = { bytes: new Uint8Array(capacity), used: this.length }
      buffer.bytes.set(this.bytes)
      scanned.bytes += this.length
    }
    if (to - from === 1) buffer.bytes[this.length] = bytes[from]!
    else buffer.bytes.set(bytes.subarray(from, to), this.length)
    scanned.bytes += to - from
    buffer.used = length
    return new Held(buffer, length)
  }
}
