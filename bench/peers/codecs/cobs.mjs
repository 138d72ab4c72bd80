import cobs from "cobs"
import { through } from "./through.mjs"

export const decoder = (seen) => through(cobs.decodeStream(), seen)

export const encoder = (seen) => through(cobs.encodeStream(), seen)
