import { makeNetstringReader, makeNetstringWriter } from "@endo/netstring"

export const decoder = (seen) => async (chunks) => {
  for await (const frame of makeNetstringReader(chunks)) seen(frame)
}

const written = Promise.resolve({ done: false })

export const encoder = (seen) => {
  const writer = makeNetstringWriter({
    next: (bytes) => {
      seen(bytes)
      return written
    }
  })
  return async (messages) => {
    for (let index = 0; index < messages.length; index++) {
      if (index % 1024 === 0) await written
      void writer.next(messages[index])
    }
  }
}
