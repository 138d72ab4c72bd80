/**
 * Transcripts as lines of JSON.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Address from "../../Address.ts"
import type { Event, Transcript } from "../Transcript.ts"

const version = 1

export interface Invalid {
  readonly line: number
  readonly text: string
  readonly expected: string
}

// --- writing -------------------------------------------------------------------------

export const format = (transcript: Transcript): string =>
  [headOf(transcript), ...transcript.events.map(lineOf)].map((line) => `${JSON.stringify(line)}\n`).join("")

const headOf = ({ localAddress, remoteAddress, startedAt }: Transcript) => ({
  transcript: version,
  local: formatAddress(localAddress),
  remote: formatAddress(remoteAddress),
  start: startedAt
})

const lineOf = (event: Event) => {
  const { at, from } = event
  switch (event._tag) {
    case "Data":
      return event.chunks.every(isText)
        ? { at, from, text: event.chunks.map(latin1) }
        : { at, from, base64: event.chunks.map(Encoding.encodeBase64) }
    case "End":
      return { at, from, end: true }
    case "Close":
      return { at, from, close: true }
    case "Loss":
      return { at, from, loss: event.error, code: event.code, syscall: event.syscall, unsent: event.bytesUnsent }
  }
}

const isText = (bytes: Uint8Array): boolean =>
  bytes.every((byte) => byte >= 0x20 && byte < 0x7f || byte === 0x09 || byte === 0x0a || byte === 0x0d)

const latin1 = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")

const schemes = { TcpAddress: "tcp", UnixAddress: "unix", PipeAddress: "pipe", MemoryAddress: "memory" } as const

const formatAddress = (address: Address.Address): string => `${schemes[address._tag]}:${Address.format(address)}`

// --- reading -------------------------------------------------------------------------

/** What was read, or what should have stood there. */
type Read<A> = Either.Either<A, string>

export const parse = (text: string): Either.Either<Transcript, Invalid> =>
  Either.gen(function*() {
    const lines = text.split("\n").map((text, index) => ({ text: text.trim(), line: index + 1 }))
      .filter(({ text }) => text !== "")
    const read = <A>(at: number, reader: (value: Readonly<Record<string, unknown>>) => Read<A>) => {
      const line = lines[at] ?? { text: "", line: 1 }
      return Either.mapLeft(
        Either.flatMap(parseObject(line.text), reader),
        (expected): Invalid => ({ ...line, expected })
      )
    }
    const head = yield* read(0, readHead)
    const events: Array<Event> = []
    for (let at = 1; at < lines.length; at++) {
      const earliest = events.at(-1)?.at ?? 0
      events.push(
        yield* read(at, (value) =>
          Either.filterOrLeft(readEvent(value), (event) =>
            event.at >= earliest, () => `"at" of ${earliest} or more`))
      )
    }
    return { ...head, events }
  })

const parseObject = (text: string): Read<Readonly<Record<string, unknown>>> =>
  Either.try({
    try: () => {
      const value: unknown = JSON.parse(text)
      if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError()
      return value as Readonly<Record<string, unknown>>
    },
    catch: () => "a JSON object"
  })

const readHead = (
  { local, remote, start, transcript }: Readonly<Record<string, unknown>>
): Read<Omit<Transcript, "events">> =>
  Either.gen(function*() {
    if (transcript !== version) return yield* Either.left(`a head with "transcript":${version}, which is the version`)
    const localAddress = yield* readAddress("local", local)
    const remoteAddress = yield* readAddress("remote", remote)
    return { localAddress, remoteAddress, startedAt: yield* readNumber("start", start) }
  })

const readAddress = (name: string, value: unknown): Read<Address.Address> => {
  const expected = () => `"${name}" to be an address, as in "tcp:127.0.0.1:80" or "memory:left"`
  const [, scheme, rest = ""] = /^(\w+):(.*)$/s.exec(typeof value === "string" ? value : "") ?? []
  if (scheme === "pipe" || scheme === "memory") return Either.right(Address[scheme](rest))
  return Either.filterOrLeft(
    Either.mapLeft(Address.parse(rest), expected),
    ({ _tag }) => schemes[_tag] === scheme,
    expected
  )
}

const readNumber = (name: string, value: unknown): Read<number> =>
  typeof value === "number" && value >= 0 && value < Infinity
    ? Either.right(value)
    : Either.left(`"${name}" to be a number, 0 or more`)

const readEvent = (value: Readonly<Record<string, unknown>>): Read<Event> =>
  Either.gen(function*() {
    const at = yield* readNumber("at", value["at"])
    const { base64, close, code, end, from, loss, syscall, text, unsent } = value
    if (typeof loss === "string") {
      if (from !== "local" && from !== "peer" && from !== "network") {
        return yield* Either.left(`"from" to be "local", "peer" or "network"`)
      }
      return {
        _tag: "Loss" as const,
        at,
        from,
        error: loss,
        code: yield* readOptional("code", code),
        syscall: yield* readOptional("syscall", syscall),
        ...unsent === undefined ? {} : { bytesUnsent: yield* readNumber("unsent", unsent) }
      }
    }
    if (from !== "local" && from !== "peer") return yield* Either.left(`"from" to be "local" or "peer"`)
    if (end === true) return { _tag: "End" as const, at, from }
    if (close === true && from === "local") return { _tag: "Close" as const, at, from }
    const chunks = yield* text === undefined
      ? readChunks("base64", base64, fromBase64)
      : readChunks("text", text, fromLatin1)
    return { _tag: "Data" as const, at, from, chunks }
  })

const readOptional = (name: string, value: unknown): Read<string | undefined> =>
  value === undefined || typeof value === "string"
    ? Either.right(value)
    : Either.left(`"${name}" to be a text, or missing`)

const readChunks = (
  name: "text" | "base64",
  value: unknown,
  decode: (text: string) => Uint8Array | undefined
): Read<ReadonlyArray<Uint8Array>> => {
  const texts: ReadonlyArray<unknown> = Array.isArray(value) ? value : []
  const chunks = texts.map((text) => typeof text === "string" ? decode(text) : undefined).filter((chunk) =>
    chunk !== undefined
  )
  return Array.isArray(value) && chunks.length === texts.length
    ? Either.right(chunks)
    : Either.left(
      name === "text"
        ? `"text" to be a list of texts with characters up to U+00FF`
        : `"text", "base64", "end", "close" or "loss", and "base64" to be a list of texts in base64`
    )
}

const fromBase64 = (text: string): Uint8Array | undefined => Either.getOrUndefined(Encoding.decodeBase64(text))

const fromLatin1 = (text: string): Uint8Array | undefined => {
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0))
  return Array.from(text).every((character) => character <= "\u00ff") ? bytes : undefined
}
