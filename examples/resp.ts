/**
 * A codec of one's own: RESP, the protocol of redis (https://redis.io/docs/latest/develop/reference/protocol-spec), as its
 * server needs it. A decoder is a value: `step` gives the frames and the decoder of what follows. This one parses what it
 * holds together with what comes: simple, and cheap enough with a limit on what it holds. What a codec owes its users
 * (frames do not depend on how the bytes were cut, no byte is lost, and so on) is checked by `testing/CodecLaws`, in
 * test/examples/resp.test.ts. A server that uses this one is redis.ts.
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as Codec from "effect-transport/Codec"
import { FrameTooLong, FrameTruncated, InvalidFrame } from "effect-transport/FrameError"

/** A name and its arguments; nothing at all is a command as well, which needs no answer. */
export type Command = ReadonlyArray<Uint8Array>

/** A string is a simple one, without a line break; bytes are a bulk string, and may be anything. */
export type Reply = string | number | null | Refused | Uint8Array | ReadonlyArray<Reply>

export class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

const nothing = new Uint8Array(0)
const decoding = new TextDecoder()
const encoding = new TextEncoder()
const text = (bytes: Uint8Array) => decoding.decode(bytes)
const utf8 = (text: string) => encoding.encode(text)

// --- decoding ------------------------------------------------------------------

type Failure = FrameTooLong | FrameTruncated | InvalidFrame

const decoder = (maxLength: number, held: Uint8Array): Codec.Decoder<Command, Failure> => ({
  step: (bytes, limit = Infinity) => {
    let unread: Uint8Array = held.length === 0 ? bytes : Buffer.concat([held, bytes])
    const frames: Array<Command> = []
    while (frames.length < limit) {
      const parsed = parse(unread.subarray(0, maxLength), maxLength)
      if (parsed instanceof Error) return { frames, next: Codec.failed(parsed), unread, failure: parsed }
      if (parsed === undefined) return { frames, next: decoder(maxLength, unread), unread: nothing, failure: undefined }
      frames.push(parsed.command)
      unread = unread.subarray(parsed.end)
    }
    return { frames, next: decoder(maxLength, nothing), unread, failure: undefined }
  },
  end: () => ({ frames: [], failure: held.length > 0 ? new FrameTruncated({ held: held.length }) : undefined }),
  rest: () => held
})

/** The command at the beginning of the bytes, and where it ends; `undefined` while it is not complete. */
const parse = (bytes: Uint8Array, maxLength: number) => {
  const incomplete = (leastEnd: number) =>
    leastEnd > maxLength ? new FrameTooLong({ limit: maxLength, length: undefined }) : undefined

  let [line, end] = readLine(bytes, 0)
  if (line === undefined) return incomplete(end)
  // Words, and not an array: what a person types into nc.
  if (!line.startsWith("*")) return { command: line === "" ? [] : line.split(" ").map(utf8), end }
  const count = integer(line)
  if (count === undefined) return new InvalidFrame({ reason: "the length of an array is no number" })
  const command: Array<Uint8Array> = []
  for (let left = count; left > 0; left--) {
    const [header, start] = readLine(bytes, end)
    if (header === undefined) return incomplete(start)
    const length = header.startsWith("$") ? integer(header) : undefined
    if (length === undefined) return new InvalidFrame({ reason: "an argument is no bulk string" })
    end = start + length + 2
    if (end > bytes.length) return incomplete(end)
    command.push(bytes.subarray(start, end - 2))
  }
  return { command, end }
}

/** The line, if it is there, and where the next one begins, or may begin. */
const readLine = (bytes: Uint8Array, from: number): [line: string | undefined, end: number] => {
  const end = bytes.indexOf(10, from) + 1
  return end === 0 ? [undefined, bytes.length + 1] : [text(bytes.subarray(from, end)).trim(), end]
}

const integer = (line: string) => /^.\d+$/.test(line) ? Number(line.slice(1)) : undefined

// --- encoding ------------------------------------------------------------------

const bytesOf = (reply: Reply): Uint8Array => {
  if (reply === null) return utf8("$-1\r\n")
  if (typeof reply === "string") return utf8(`+${reply}\r\n`)
  if (typeof reply === "number") return utf8(`:${reply}\r\n`)
  if (reply instanceof Refused) return utf8(`-ERR ${reply.message}\r\n`)
  return reply instanceof Uint8Array
    ? Buffer.concat([utf8(`$${reply.length}\r\n`), reply, utf8("\r\n")])
    : Buffer.concat([utf8(`*${reply.length}\r\n`), ...reply.map(bytesOf)])
}

/** `maxLength` is that of a command, in bytes, with all that belongs to it. */
export const make = (
  { maxLength = 65536 }: { readonly maxLength?: number } = {}
): Codec.Codec<Reply, Command, Failure> =>
  Codec.make(decoder(maxLength, nothing), {
    encode: (replies) => Either.right(Buffer.concat(replies.map(bytesOf)))
  })
