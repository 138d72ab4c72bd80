/** The formats, and for each the package of npm that is used most. */
import type * as Codec from "effect-transport/Codec"
import * as Cobs from "effect-transport/framing/Cobs"
import * as Delimited from "effect-transport/framing/Delimited"
import * as FixedLength from "effect-transport/framing/FixedLength"
import * as IntPrefixed from "effect-transport/framing/IntPrefixed"
import * as Lines from "effect-transport/framing/Lines"
import * as MsgPack from "effect-transport/framing/MsgPack"
import * as Ndjson from "effect-transport/framing/Ndjson"
import * as Netstring from "effect-transport/framing/Netstring"
import * as Varint from "effect-transport/framing/Varint"

export interface Format {
  /** Also of the file in `peers/codecs` that adapts the package. */
  readonly key: string
  readonly name: string
  readonly codec: (size: number) => Codec.Codec<never, unknown, unknown>
  /** One of about so many bytes. */
  readonly message: (size: number, index: number) => unknown
  readonly peer: string
  /** Some packages only decode. */
  readonly peerEncodes: boolean
  readonly note?: string
}

/** In bytes, of a message. */
export const sizes = [16, 64, 1024, 65536]

// -----------------------------------------------------------------------------
// messages
// -----------------------------------------------------------------------------

/** The same in each process. */
const noise = Buffer.alloc(8 * 1024 * 1024)
for (let at = 0, state = 1; at < noise.length; at += 2) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  noise.writeUInt16LE(state >>> 16, at)
}
const letters = Buffer.from(noise.map((byte) => 0x61 + byte % 26))

const part = (of: Buffer, size: number, index: number): Buffer => {
  const at = index * size % (of.length - size)
  return of.subarray(at, at + size)
}

const bytes = (size: number, index: number): Buffer => part(noise, size, index)

const line = (size: number, index: number): Buffer => part(letters, size, index)

const text = (size: number, index: number): string => line(size, index).toString("latin1")

/** As JSON 16 bytes, or 64 with a text. */
const row = (index: number, ...texts: ReadonlyArray<string>) => ({
  id: 100_000_000 + index,
  ...texts.length > 0 ? { text: texts[0] } : {}
})

const rows = (size: number, index: number): unknown =>
  size < 64
    ? row(index)
    : size === 64
    ? row(index, text(38, index))
    : Array.from({ length: size / 64 }, (_, place) => row(index + place, text(38, index + place)))

// -----------------------------------------------------------------------------
// formats
// -----------------------------------------------------------------------------

export const all: ReadonlyArray<Format> = [
  {
    key: "text",
    name: "Lines.text",
    codec: () => Lines.text(),
    message: text,
    peer: "split2",
    peerEncodes: false
  },
  {
    key: "lines",
    name: "Lines.make",
    codec: () => Lines.make({ delimiter: "\n" }),
    message: line,
    peer: "binary-split",
    peerEncodes: false
  },
  {
    key: "delimited",
    name: "Delimited",
    codec: () => Delimited.make({ delimiters: ["\r\n"] }),
    message: line,
    peer: "@serialport/parser-delimiter",
    peerEncodes: false
  },
  {
    key: "ndjson",
    name: "Ndjson",
    codec: () => Ndjson.make(),
    message: rows,
    peer: "ndjson",
    peerEncodes: true,
    note: "The package encodes strings, of which each is made a buffer here."
  },
  {
    key: "int32",
    name: "IntPrefixed.int32",
    codec: () => IntPrefixed.int32(),
    message: bytes,
    peer: "frame-stream",
    peerEncodes: true
  },
  {
    key: "varint",
    name: "Varint",
    codec: () => Varint.make(),
    message: bytes,
    peer: "it-length-prefixed",
    peerEncodes: true,
    note: "The package encodes a message as two pieces, its length and the message itself, of which nothing is copied."
  },
  {
    key: "netstring",
    name: "Netstring",
    codec: () => Netstring.make(),
    message: bytes,
    peer: "@endo/netstring",
    peerEncodes: true
  },
  {
    key: "fixed",
    name: "FixedLength",
    codec: (length) => FixedLength.make({ length }),
    message: bytes,
    peer: "@serialport/parser-byte-length",
    peerEncodes: false
  },
  {
    key: "cobs",
    name: "Cobs",
    codec: () => Cobs.make(),
    message: bytes,
    peer: "cobs",
    peerEncodes: true
  },
  {
    key: "msgpack",
    name: "MsgPack",
    codec: () => MsgPack.make(),
    message: rows,
    peer: "msgpackr",
    peerEncodes: true,
    note: "The package is what this codec reads and writes values with, once it knows where they end."
  }
]
