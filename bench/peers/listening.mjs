/** What `servers/listening.ts` says, for servers with dependencies of their own. */
export const options = { host: "127.0.0.1", port: 0, backlog: 4096, noDelay: true }

export const service = process.argv[2]

export const pieces = (message) => {
  const all = []
  for (let from = 0; from < message.length; from += 64) all.push(message.subarray(from, from + 64))
  return all
}
