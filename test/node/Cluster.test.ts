import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import cluster from "node:cluster"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as Address from "../../src/Address.ts"
import * as ConnectionError from "../../src/ConnectionError.ts"
import * as Cluster from "../../src/node/Cluster.ts"
import * as Peer from "../support/peer.ts"
import { run } from "../support/tool.ts"

const file = path.join(import.meta.dirname, "../support/clustered.ts")

/** Two workers, which do as they are ordered; those that replace them have so many seconds to listen, all of them to end. */
const started = (ordered: string, seconds = 60) =>
  Effect.gen(function*() {
    const order = path.join(yield* Peer.directory, "order")
    const write = (text: string) => Effect.sync(() => fs.writeFileSync(order, text))
    yield* write(ordered)
    const program = yield* run(process.execPath, ["--import", "tsx", file, order, `${seconds}`], {
      env: { ...process.env, npm_config_loglevel: "silent" }
    })
    /** The numbers of the processes that have ever listened, in their order. */
    const workers = () => [...program.output.matchAll(/^listening \S+ (\d+)$/gm)].map(([, pid]) => Number(pid))
    const listening = (count: number) => program.until(() => workers().length >= count)
    return { program, workers, listening, order: write }
  })

/** Two workers, which listen. */
const clustered = (seconds?: number, ordered = "") =>
  Effect.gen(function*() {
    const cluster = yield* started(ordered, seconds)
    yield* cluster.listening(2)
    const port = Number(/^listening \S+:(\d+) /m.exec(cluster.program.output)![1])
    return { ...cluster, port }
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

  it.scopedLive("starts a worker anew that has died while the one before still drains", () =>
    Effect.gen(function*() {
      const { listening, port, program, workers } = yield* clustered()
      yield* Effect.fork(Effect.all([ask(port, "n"), ask(port, "n")], { concurrency: "unbounded" }))
      yield* program.until(() => program.output.split("asked for nothing").length === 3)
      const old = workers()
      yield* Effect.sync(() => program.kill("SIGHUP"))
      yield* program.until(() => program.output.includes("have been replaced"))
      yield* Effect.sync(() => process.kill(workers()[2]!, "SIGKILL"))
      yield* listening(5)
      assert.deepStrictEqual(old.filter(isAlive), old)
    }), 60_000)

  it.scopedLive("does not replace a worker that ends with success meanwhile", () =>
    Effect.gen(function*() {
      const { listening, order, program, workers } = yield* clustered()
      // It was started first, and is replaced first.
      const first = Math.min(...workers())
      yield* order("wait")
      yield* Effect.sync(() => program.kill("SIGHUP"))
      yield* program.until(() => /^\d+ waits$/m.test(program.output))
      yield* Effect.sync(() => process.kill(first, "SIGTERM"))
      yield* Peer.eventually(() => !isAlive(first))
      yield* order("")
      yield* listening(4)
      yield* Peer.eventually(() => workers().filter(isAlive).length === 1)
    }), 60_000)

  it.scopedLive("replaces a worker that has listened on an address more than once", () =>
    Effect.gen(function*() {
      const { address } = yield* Effect.scoped(Peer.listen(Address.tcp("127.0.0.1", 0)))
      const { port } = Peer.asTcp(address)
      const { listening, order, program } = yield* clustered(2, `listen 3 ${port}`)
      yield* order(`listen 1 ${port}`)
      yield* Effect.sync(() => program.kill("SIGHUP"))
      yield* program.until(() => program.output.includes("The workers have been replaced"))
      yield* listening(4)
    }), 60_000)

  it.scopedLive(
    "gives a restart up whose worker does not come to its program, also where none listens",
    () =>
      Effect.gen(function*() {
        const { order, program } = yield* started("hang")
        const hanging = () => [...program.output.matchAll(/^(\d+) hangs$/gm)].map(([, pid]) => Number(pid))
        yield* program.until(() => hanging().length === 2)
        yield* order("break")
        yield* Effect.sync(() => program.kill("SIGHUP"))
        yield* program.until(() => program.output.includes("the restart is given up"))
        assert.lengthOf(hanging().filter(isAlive), 2)
      }),
    60_000
  )

  it.scopedLive(
    "ends a worker by SIGTERM that leaves something open, after the time to end",
    () =>
      Effect.gen(function*() {
        const { program, workers } = yield* clustered(0.1, "leave")
        const [first, second] = workers()
        yield* Effect.sync(() => process.kill(first!, "SIGTERM"))
        yield* program.until(() => program.output.includes(`${first} ended: Success`))
        yield* Peer.eventually(() => !isAlive(first!))
        assert.isTrue(isAlive(second!))
      }),
    60_000
  )

  it.scopedLive(
    "hears SIGINT also while it ends because it has failed, and cuts nothing off",
    () =>
      Effect.gen(function*() {
        const { order, port, program, workers } = yield* clustered(2)
        yield* Effect.fork(Effect.all([ask(port, "n"), ask(port, "n")], { concurrency: "unbounded" }))
        yield* program.until(() => program.output.split("asked for nothing").length === 3)
        yield* order("fail")
        yield* Effect.sync(() => process.kill(workers()[0]!, "SIGKILL"))
        yield* program.until(() => program.output.includes("drains"))
        yield* Effect.sync(() => program.kill("SIGINT"))
        assert.deepStrictEqual(yield* program.ended, { code: 0, signal: null })
        assert.include(program.output, `${program.pid} ended: Failure`)
      }),
    60_000
  )

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

  it.scopedLive(
    "ends by SIGTERM also workers that have not yet come to their program, which they end as the others",
    () =>
      Effect.gen(function*() {
        const { order, program } = yield* started("wait")
        const waiting = () => [...program.output.matchAll(/^(\d+) waits$/gm)].map(([, pid]) => Number(pid))
        yield* program.until(() => waiting().length === 2)
        yield* Effect.sync(() => program.kill("SIGTERM"))
        yield* program.until(() => program.output.includes("SIGTERM"))
        yield* order("hang")
        assert.deepStrictEqual(yield* program.ended, { code: 0, signal: null })
        for (const pid of waiting()) assert.include(program.output, `${pid} ended: Success`)
      }),
    60_000
  )

  it.scopedLive("kills by SIGTERM what has not ended after the time for it", () =>
    Effect.gen(function*() {
      const { port, program, workers } = yield* clustered(1)
      const unanswered = yield* Effect.fork(ask(port, "n"))
      yield* program.until(() => program.output.includes("asked for nothing"))
      yield* Effect.sync(() => program.kill("SIGTERM"))
      assert.deepStrictEqual(yield* program.ended, { code: 0, signal: null })
      assert.strictEqual(yield* Fiber.join(unanswered), "")
      assert.deepStrictEqual(workers().filter(isAlive), [])
      const killed = workers().filter((pid) => !program.output.includes(`${pid} ended`))
      assert.lengthOf(killed, 1)
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
    "starts a worker anew that has failed and leaves something open, after the time to end",
    () =>
      Effect.gen(function*() {
        const { listening, order, program, workers } = yield* clustered(0.1)
        yield* order("linger")
        yield* Effect.sync(() => process.kill(workers()[0]!, "SIGKILL"))
        yield* program.until(() => /^\d+ ended: Failure$/m.test(program.output))
        yield* order("")
        yield* listening(3)
        assert.lengthOf(workers().filter(isAlive), 2)
        assert.match(program.output, /Worker \d+ ended with status 1/)
      }),
    60_000
  )

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

  for (const [what, cwd, code] of [["is told", "/nowhere", "ENOENT"], ["is thrown", import.meta.filename, "ENOTDIR"]]) {
    it.scopedLive(`fails with the reason why a worker cannot be started, which ${what}`, () =>
      Effect.gen(function*() {
        yield* Effect.acquireRelease(
          Effect.sync(() => cluster.setupPrimary({ cwd })),
          () => Effect.sync(() => cluster.setupPrimary({ cwd: process.cwd() }))
        )
        const error = yield* Effect.flip(Cluster.run(Effect.void, { workers: 1, retry: Schedule.stop })).pipe(
          Logger.withMinimumLogLevel(LogLevel.None)
        )
        assert.deepInclude(error, { _tag: "WorkerFailed", pid: undefined, code: null, signal: null })
        assert.strictEqual(ConnectionError.systemFailure(error.cause).code, code)
        assert.match(error.message, new RegExp(`^A worker could not be started: .*${code}`))
      }))
  }

  it.effect("dies of a number of workers that is none", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Cluster.run(Effect.void, { workers: 0 }))
      assert(Exit.isFailure(exit) && Cause.isDieType(exit.cause) && exit.cause.defect instanceof RangeError)
    }))
})
