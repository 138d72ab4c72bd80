/**
 * What the fields of endpoints may hold, but for addresses.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type { Field } from "./endpointText.ts"

// What listen(2) and setTimeout take at most: a signed 32-bit integer.
const int32Max = 2_147_483_647

const wholeNumber = (min: number, max: number, example: string): Field<number> => ({
  expected: `a whole number from ${min} to ${max}`,
  example,
  read: (text) => /^\d{1,10}$/.test(text) && Number(text) >= min && Number(text) <= max ? Number(text) : undefined,
  write: String
})

export const listenPort = wholeNumber(0, 65535, "8080")

export const remotePort = wholeNumber(1, 65535, "443")

export const backlog = wholeNumber(1, int32Max, "128")

export const timeout: Field<Duration.Duration> = {
  expected: "a number of seconds above 0 and up to 2147483.647",
  example: "2.5",
  read: (text) => {
    const millis = /^\d+(?:\.\d+)?$/.test(text) ? Math.round(Number(text) * 1000) : 0
    return millis > 0 && millis <= int32Max ? Duration.millis(millis) : undefined
  },
  write: (duration) => String(Duration.toSeconds(duration))
}

export const mode: Field<number> = {
  expected: "three or four octal digits up to 0777",
  example: "660",
  read: (text) => /^0?[0-7]{3}$/.test(text) ? parseInt(text, 8) : undefined,
  write: (bits) => bits.toString(8).padStart(3, "0")
}

export const noMode: Field<number> = {
  ...mode,
  expected: "no mode, as an abstract address has no file",
  example: undefined,
  read: () => undefined
}

export const file: Field<string> = {
  expected: "the path of a file in PEM",
  example: "/etc/tls/example.pem",
  read: (text) => text === "" || text.includes("\0") ? undefined : text,
  write: (path) => path
}
