import type { Service } from "../workloads.ts"

/** Of every server: Node's default backlog is too short for a thousand connections at once. */
export const options = { host: "127.0.0.1", port: 0, backlog: 4096, noDelay: true } as const

/** What the server is to do, and where the other side of a relay is. */
export const service = process.argv[2] as Service
export const upstream = { host: options.host, port: Number(process.argv[3]) }

/** A message, as the small writes that answer it. */
export const pieces = (message: Uint8Array): Array<Uint8Array> => {
  const all: Array<Uint8Array> = []
  for (let from = 0; from < message.length; from += 64) all.push(message.subarray(from, from + 64))
  return all
}
