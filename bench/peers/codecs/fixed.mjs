import { ByteLengthParser } from "@serialport/parser-byte-length"
import { through } from "./through.mjs"

export const decoder = (seen, length) => through(new ByteLengthParser({ length }), seen)
