import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as Cluster from "../../src/node/Cluster.ts"
import * as Peer from "../support/peer.ts"
import { run } from "../support/tool.ts"

const file = path.join(import.meta.dirname, "../support/clustered.ts")

/** Two workers, which listen; those that replace them have so many seconds for it. */
const clustered = (seconds = 60) =>
  Effect.gen(function*() {
    const order = path.join(yield* Peer.directory, "order")
    const write = (text: string) => Effect.sync(() => fs.writeFileSync(order, text))
    yield* write("")
    const program = yield* run(process.execPath, ["--import", "tsx", file, order, `${seconds}`], {
      env: { ...process.env, npm_config_loglevel: "silent" }
    })
    /** The numbers of the processes that have ever listened, in their order. */
    const workers = () => [...program.output.matchAll(/^listening \S+ (\d+)$/gm)].map(([, pid]) => Number(pid))
    const listening = (count: number) => program.until(() => workers().length >= count)
    yield* listening(2)
    const port = Number(/^listening \S+:(\d+) /m.exec(program.output)![1])
    return { program, workers, listening, order: write, port }
  })

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Connects, asks, and reads to the end: the answer, or what went wrong. */
const ask = (port: number, question = "?") =>
  Effect.async<string>((resume) => {
    let answer = ""
    const socket = net.connect({ host: "127.0.0.1", port }, () => socket.write(question))
    socket.on("data", (chunk) => (answer += String(chunk)))
    socket.on("end", () => resume(Effect.succeed(answer)))
    socket.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(`${error.code}`)))
    return Effect.sync(() => socket.destroy())
  })

/** Asks again and again, by some clients at once, until it is interrupted; gives what it counts answers by. */
const asking = (port: number) =>
  Effect.gen(function*() {
    const answers = new Map<string, number>()
    const client = (question: string) =>
      Effect.forever(
        Effect.map(ask(port, question), (answer) => answers.set(answer, (answers.get(answer) ?? 0) + 1))
      )
    yield* Effect.forkScoped(Effect.all([..."????w"].map(client), { concurrency: "unbounded" }))
    return answers
  })

describe("Cluster.run", () => {
  it.scopedLive("replaces its workers, and no client is refused or loses an answer", () =>
    Effect.gen(function*() {
      const { listening, port, program, workers } = yield* clustered()
      const answers = yield* asking(port)
      const old = workers()
      yield* Effect.sync(() => program.kill("SIGHUP"))
      yield* listening(4)
      yield* Peer.eventually(() => !old.some(isAlive))
      const young = workers().slice(2).map(String)
      yield* Peer.eventually(() => young.every((pid) => answers.has(pid)))
      const pids = workers().map(String)
      assert.lengthOf(pids, 4)
      assert.deepStrictEqual([...answers.keys()].filter((answer) => !pids.includes(answer)), [])
    }), 60_000)

  it.scopedLive("ends by SIGTERM when the last answer is given", () =>
    Effect.gen(function*() {
      const { port, program, workers } = yield* clustered()
      const late = yield* Effect.fork(ask(port, "w"))
      // It is asked for when the workers, which are asked in turn, have answered what came after it.
      yield* ask(port)
      yield* ask(port)
      yield* Effect.sync(() => program.kill("SIGTERM"))
      assert.include(workers().map(String), yield* Fiber.join(late))
      assert.deepStrictEqual(yield* program.ended, { code: 0, signal: null })
      assert.deepStrictEqual(workers().filter(isAlive), [])
      for (const pid of [program.pid, ...workers()]) assert.include(program.output, `${pid} ended: Success`)
      assert.strictEqual(yield* ask(port), "ECONNREFUSED")
    }), 60_000)

  it.scopedLive("starts a worker anew that has died, however it did", () =>
    Effect.gen(function*() {
      const { listening, port, workers } = yield* clustered()
      const [first] = workers()
      yield* Effect.sync(() => process.kill(first!, "SIGKILL"))
      yield* listening(3)
      assert.strictEqual(yield* ask(port, "x"), "")
      yield* listening(4)
      assert.lengthOf(workers().filter(isAlive), 2)
      const answers = yield* Effect.all([ask(port), ask(port)])
      assert.sameMembers(answers, workers().filter(isAlive).map(String))
    }), 60_000)

  it.scopedLive(
    "gives a restart up whose worker fails, or does not listen in time; the old ones go on",
    () =>
      Effect.gen(function*() {
        const { order, port, program, workers } = yield* clustered(1)
        const answers = yield* asking(port)
        const given = () => program.output.split("the restart is given up").length - 1
        for (const [index, what] of ["fail", "hang"].entries()) {
          yield* order(what)
          yield* Effect.sync(() => program.kill("SIGHUP"))
          yield* program.until(() => given() === index + 1)
        }
        assert.lengthOf(workers(), 2)
        assert.lengthOf(workers().filter(isAlive), 2)
        yield* Peer.eventually(() => answers.size === 2)
        assert.sameMembers([...answers.keys()], workers().map(String))
      }),
    60_000
  )

  it.scopedLive("fails when its workers do, again and again, and ends the others", () =>
    Effect.gen(function*() {
      const { order, program, workers } = yield* clustered()
      yield* order("fail")
      yield* Effect.sync(() => process.kill(workers()[0]!, "SIGKILL"))
      yield* program.until(() => program.output.includes(`${program.pid} ended: Failure`))
      yield* program.ended
      assert.deepStrictEqual(workers().filter(isAlive), [])
      assert.include(program.output, `${workers()[1]} ended: Success`)
      assert.match(program.output, /Worker \d+ ended by SIGKILL/)
      assert.match(program.output, /Worker \d+ ended with status 1/)
    }), 60_000)

  it.effect("dies of a number of workers that is none", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Cluster.run(Effect.void, { workers: 0 }))
      assert(Exit.isFailure(exit) && Cause.isDieType(exit.cause) && exit.cause.defect instanceof RangeError)
    }))
})
