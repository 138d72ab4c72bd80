/**
 * The laws of cost: how much is held, and how many bytes are looked at or copied.
 *
 * @internal
 */
import * as FastCheck from "effect/FastCheck"
import type { Context } from "./codecCase.ts"
import { hex, inputs } from "./codecInput.ts"
import { begun, expect, type Fed, feed, take } from "./decoding.ts"

/** Long inputs: frames again and again, and bytes that may never be a frame. */
const longInput = <In, Out, E>({ codec, frame, others }: Context<In, Out, E>, length: number) =>
  FastCheck.oneof(
    inputs(codec, frame, others).map(({ bytes }) => bytes),
    others,
    FastCheck.uint8Array({ maxLength: 3 })
  ).map((bytes) => {
    const long = new Uint8Array(bytes.length === 0 ? 0 : Math.max(length, bytes.length))
    for (let at = 0; at < long.length; at++) long[at] = bytes[at % bytes.length]!
    return long
  })

export const bounded = <In, Out, E>(context: Context<In, Out, E>, maxHeld: number) =>
  FastCheck.property(longInput(context, 2 * maxHeld + 64), (bytes) => {
    // Few bytes at a time, so that no frame is complete before it is seen how much is held of it.
    const size = Math.ceil(bytes.length / 1024)
    let fed = begun(context.codec)
    for (let at = 0; at < bytes.length && fed.failure === undefined; at += size) {
      fed = feed(fed.next, [bytes.slice(at, at + size)])
      const held = fed.failure === undefined ? fed.next.rest().length : 0
      expect(held <= maxHeld, () => `${held} bytes are held, of ${hex(bytes.subarray(0, at + size))}`)
    }
  })

/**
 * A byte counts once for having come, and a frame may cost a little more, whatever its length. One frame at a time costs
 * as much as all at once, so that who looks after each one whether to go on does not pay for it.
 */
export const linear = <In, Out, E>(context: Context<In, Out, E>) =>
  FastCheck.property(longInput(context, 512), (bytes) => {
    const whole = costOf(context, () => feed(context.codec, [bytes]))
    const told = `${bytes.length} bytes with ${whole.frames} frames cost ${whole.cost} in one chunk`
    const frames = perFrame * (1 + whole.frames)
    expect(whole.cost <= perByte * bytes.length + frames, () => `${told}, more than ${perByte} each`)
    const most = 3 * (bytes.length + whole.cost) + frames - bytes.length
    const single = costOf(context, () => feed(context.codec, Array.from(bytes, (byte) => Uint8Array.of(byte))))
    expect(single.cost <= most, () => `${told}, and ${single.cost} byte by byte`)
    const limited = costOf(context, () => take(context.codec, [bytes], Infinity))
    expect(limited.cost <= most, () => `${told}, and ${limited.cost} one frame at a time`)
  })

const perByte = 8
const perFrame = 64

const costOf = <In, Out, E>({ scanned }: Context<In, Out, E>, decode: () => Fed<Out, E>) => {
  const before = scanned()
  const { frames } = decode()
  return { cost: scanned() - before, frames: frames.length }
}
