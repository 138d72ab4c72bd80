/**
 * What the benchmark wants of a server beside its service: its port on a line, an answer on a line to each question on
 * stdin, and its end when stdin ends, so that none outlives the benchmark.
 */
import { createInterface } from "node:readline"
import { setTimeout } from "node:timers/promises"

/** Of every server: Node's default backlog is too short for a thousand connections at once. */
export const listenOptions = { host: "127.0.0.1", port: 0, backlog: 4096, noDelay: true } as const

/** What is left once nothing more can be freed: V8 gives pages back a moment after it has collected. */
const settledMemory = async () => {
  for (let count = 0; count < 3; count++) {
    globalThis.gc?.()
    await setTimeout(50)
  }
  return process.memoryUsage()
}

const answers = { cpu: () => process.cpuUsage(), memory: settledMemory }

export const announce = (port: number): void => {
  const questions = createInterface({ input: process.stdin })
  questions.on("line", async (question) => console.log(JSON.stringify(await answers[question as "cpu" | "memory"]())))
  questions.on("close", () => process.exit())
  console.log(port)
}
