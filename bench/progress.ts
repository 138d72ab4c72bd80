/** On stderr, for whoever waits: what runs, and about how long all of it will take. */

let planned = 0
let done = 0
let since = 0
let shown = ""

/** So many runs, which take about as long as each other. */
export const plan = (runs: number): void => {
  planned += runs
}

/** The next of them starts. A terminal has one line that changes, all else a line for each new text. */
export const run = (text: string): void => {
  since ||= performance.now()
  const left = done === 0 ? "" : `, about ${duration((performance.now() - since) * (planned / done - 1))} left`
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}${left}`)
  else if (text !== shown) process.stderr.write(`${text}${left}\n`)
  shown = text
  done++
}

export const clear = (): void => {
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K")
}

const duration = (millis: number): string => {
  const seconds = Math.round(millis / 1000)
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`
}
