import ndjson from "ndjson"
import { through } from "./through.mjs"

export const decoder = (seen) => through(ndjson.parse(), seen)

/** Strings come out, of which each becomes bytes at last, in a socket if not here. */
export const encoder = (seen) => through(ndjson.stringify(), (line) => seen(Buffer.from(line)))
