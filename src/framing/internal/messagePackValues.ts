/**
 * The decoder of MessagePack values that follow one another.
 *
 * @internal
 */
import type { Decoder, End, Step } from "../../Codec.ts"
import { failed } from "../../Codec.ts"
import { FrameTruncated, type InvalidFrame } from "../../FrameError.ts"
import { nothing } from "../../internal/bytes.ts"
import { Held } from "./held.ts"
import * as MessagePack from "./messagePack.ts"

/** What is wrong with values, at their places. */
export type Faults = ReadonlyArray<InvalidFrame | undefined>

/** The frames of whole values, which end there: all of them, or those before the first that is refused. */
export type Read<Frame> = (
  bytes: Uint8Array,
  ends: ReadonlyArray<number>,
  faults: Faults
) => End<Frame, InvalidFrame>

type Failure = MessagePack.Refusal | FrameTruncated

const none: ReadonlyArray<never> = []

export const decoder = <Frame>(rules: MessagePack.Rules, read: Read<Frame>): Decoder<Frame, Failure> =>
  new Values(rules, read, Held.empty, MessagePack.Walk.start)

class Values<Frame> implements Decoder<Frame, Failure> {
  private readonly rules: MessagePack.Rules
  private readonly read: Read<Frame>
  /** The beginning of a value. */
  private readonly held: Held
  private readonly known: MessagePack.Walk

  constructor(rules: MessagePack.Rules, read: Read<Frame>, held: Held, known: MessagePack.Walk) {
    this.rules = rules
    this.read = read
    this.held = held
    this.known = known
  }

  step(bytes: Uint8Array, limit = Infinity): Step<Frame, Failure> {
    return this.held.length === 0 ? this.within(bytes, 0, none, limit) : this.across(bytes, limit)
  }

  end(): End<Frame, FrameTruncated> {
    const { length } = this.held
    return { frames: none, failure: length === 0 ? undefined : new FrameTruncated({ held: length }) }
  }

  rest(): Uint8Array {
    return this.held.bytes
  }

  /** All values that lie in the bytes as a whole are read at once: that costs half as much as one by one. */
  private within(bytes: Uint8Array, from: number, before: ReadonlyArray<Frame>, limit: number): Step<Frame, Failure> {
    const ends: Array<number> = []
    const faults: Array<InvalidFrame | undefined> = []
    let at = from
    let stop: MessagePack.Walk | MessagePack.Refusal | undefined
    while (stop === undefined && at < bytes.length && before.length + ends.length < limit) {
      const found = MessagePack.walk(bytes, at, MessagePack.Walk.start, this.rules)
      if (typeof found === "number") ends.push((at += found) - from)
      else if (!(found instanceof MessagePack.Walk) || found.needed > 0) stop = found
      else {
        faults[ends.length] = found.fault
        ends.push((at += found.next) - from)
      }
    }
    const { failure, frames } = ends.length === 0
      ? { frames: none, failure: undefined }
      : this.read(bytes.subarray(from, at), ends, faults)
    const all = before.length === 0 ? frames : [...before, ...frames]
    if (failure !== undefined) {
      return this.refused(failure, Held.empty, bytes, from + (ends[frames.length - 1] ?? 0), all)
    }
    if (stop instanceof MessagePack.Walk) return this.hold(Held.empty.append(bytes, at, bytes.length), stop, all)
    if (stop !== undefined) return this.refused(stop, Held.empty, bytes, at, all)
    const unread = at === bytes.length ? nothing : bytes.subarray(at)
    return { frames: all, next: decoder(this.rules, this.read), unread, failure: undefined }
  }

  /** The value that began in earlier bytes. */
  private across(bytes: Uint8Array, limit: number): Step<Frame, Failure> {
    let { held, known } = this
    let at = 0
    while (known.needed > 0) {
      const missing = known.next + known.needed - held.length
      if (at + missing > bytes.length) return this.hold(held.append(bytes, at, bytes.length), known, none)
      // An item that began there as well is completed; those behind it are looked at where they are.
      const parted = known.next < held.length
      if (parted) held = held.append(bytes, at, at += missing)
      const found = parted
        ? MessagePack.walk(held.bytes, 0, known, this.rules)
        : MessagePack.walk(bytes, at - held.length, known, this.rules)
      if (typeof found === "number") known = MessagePack.Walk.to(found)
      else if (found instanceof MessagePack.Walk) known = found
      else return this.refused(found, held, bytes, at, none)
    }
    const end = at + known.next - held.length
    const whole = held.append(bytes, at, end).bytes
    const { failure, frames } = this.read(whole, [whole.length], [known.fault])
    return failure === undefined
      ? this.within(bytes, end, frames, limit)
      : this.refused(failure, held, bytes, at, none)
  }

  private hold(held: Held, known: MessagePack.Walk, frames: ReadonlyArray<Frame>): Step<Frame, Failure> {
    return { frames, next: new Values(this.rules, this.read, held, known), unread: nothing, failure: undefined }
  }

  private refused(
    failure: Failure,
    held: Held,
    bytes: Uint8Array,
    at: number,
    frames: ReadonlyArray<Frame>
  ): Step<Frame, Failure> {
    return { frames, next: failed(failure, held.bytes), unread: bytes.subarray(at), failure }
  }
}
