/**
 * Loaded before each Node server (`--import`), so that the servers themselves only serve: answers what the benchmark
 * asks on stdin, a line for a line, and ends with stdin, so that no server outlives the benchmark.
 */
import type { Session } from "node:inspector/promises"
import { createInterface } from "node:readline"
import { setTimeout } from "node:timers/promises"

/** V8 gives pages back a moment after it has collected. */
const collect = async () => {
  for (let count = 0; count < 3; count++) {
    globalThis.gc?.()
    await setTimeout(50)
  }
  return "collected"
}

let session: Session

const startProfile = async () => {
  // Only here: the inspector costs memory.
  const inspector = await import("node:inspector/promises")
  session = new inspector.Session()
  session.connect()
  await session.post("Profiler.enable")
  await session.post("Profiler.start")
  return "profiling"
}

const stopProfile = async () => {
  const { profile } = await session.post("Profiler.stop")
  session.disconnect()
  return JSON.stringify(profile)
}

const answers = { collect, startProfile, stopProfile }

const questions = createInterface({ input: process.stdin })
questions.on("line", async (question) => console.log(await answers[question as keyof typeof answers]()))
questions.on("close", () => process.exit())
