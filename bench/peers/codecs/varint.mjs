import { decode, encode } from "it-length-prefixed"

/** What comes out are lists of buffers: `subarray` copies only what lies in several. */
export const decoder = (seen) => (chunks) => {
  for (const frame of decode(chunks)) seen(frame.subarray())
}

/** The message itself comes out behind its prefix. */
export const encoder = (seen) => (messages) => {
  for (const bytes of encode(messages)) seen(bytes)
}
