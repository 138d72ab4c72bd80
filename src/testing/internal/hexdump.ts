/**
 * Bytes as hexdump(1) shows them with -C.
 *
 * @internal
 */
const width = 16

const printable = (byte: number): string => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."

/** One line: where the bytes stand, at most 16 of them, and their characters. */
export const hexdump = (position: number, bytes: Uint8Array): string => {
  const shown = [...bytes.subarray(0, width)]
  const hex = Array.from({ length: width }, (_, at) => shown[at]?.toString(16).padStart(2, "0") ?? "  ")
  const halves = [hex.slice(0, width / 2), hex.slice(width / 2)].map((half) => half.join(" ")).join("  ")
  return `${position.toString(16).padStart(8, "0")}  ${halves}  |${shown.map(printable).join("")}|`
}

/** A line under it with a mark at a byte of it. */
export const mark = (at: number): string => `${" ".repeat(10 + at * 3 + (at >= width / 2 ? 1 : 0))}^^`

/** Where the line begins that has this position in it. */
export const lineOf = (position: number): number => position - position % width

/** A few bytes in a sentence: as text if they are one, with what is no character escaped. */
export const quoted = (bytes: Uint8Array): string => {
  const most = 32
  const shown = bytes.subarray(0, most)
  const text = Array.from(shown, (byte) =>
    byte === 0x0d
      ? "\\r"
      : byte === 0x0a
      ? "\\n"
      : byte >= 0x20 && byte < 0x7f
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`)
  return `"${text.join("")}"${bytes.length > most ? `… (${bytes.length} bytes)` : ""}`
}
