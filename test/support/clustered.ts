/**
 * Two workers that answer by their number: `?` at once, `w` after 300 ms, `n` never, `x` by ending without an answer. Before a worker
 * listens, and says so, it does what stands in the file: `fail`, `linger` (which fails with a timer set), `hang`, `leave` (which
 * sets a timer), `listen` so many times on a port of its own; and before it comes to its program, `break` (throws), or `wait` until
 * something else stands there. Workers have so many seconds to listen, and to end.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import cluster from "node:cluster"
import * as fs from "node:fs"
import * as timers from "node:timers/promises"
import * as Address from "../../src/Address.ts"
import * as Cluster from "../../src/node/Cluster.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as Server from "../../src/server/Server.ts"

const read = () => fs.readFileSync(process.argv[2]!, "utf8")

// Later, so that what it asks of its workers is on its way.
process.once("SIGTERM", () => setTimeout(() => console.log("SIGTERM"), 100))

if (cluster.isWorker && read() === "wait") {
  console.log(`${process.pid} waits`)
  while (read() === "wait") await timers.setTimeout(10)
}

const order = read()
if (cluster.isWorker && order === "break") throw new Error("as ordered")

const program = Effect.scoped(Effect.gen(function*() {
  if (order === "linger") setInterval(() => {}, 60_000)
  if (order === "fail" || order === "linger") return yield* Effect.fail("as ordered")
  if (order === "leave") setInterval(() => {}, 60_000)
  if (order === "hang") {
    yield* Effect.sync(() => console.log(`${process.pid} hangs`))
    return yield* Effect.never
  }
  if (order.startsWith("listen ")) {
    const [, times, port] = order.split(" ").map(Number)
    for (let time = 0; time < times!; time++) yield* Effect.scoped(Tcp.listen(Address.tcp("127.0.0.1", port!)))
  }
  const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0))
  yield* Effect.sync(() => console.log(`listening ${Address.format(listener.address)} ${process.pid}`))
  return yield* Server.serve(listener, ({ pull, write }) =>
    Effect.gen(function*() {
      const question = String.fromCharCode((yield* pull)![0]!)
      if (question === "w") yield* Effect.sleep("300 millis")
      if (question === "x") process.exit(3)
      if (question === "n") {
        yield* Effect.sync(() => console.log("asked for nothing"))
        yield* Effect.flatMap(Server.Server, ({ draining }) => draining)
        yield* Effect.sync(() => console.log("drains"))
        yield* Effect.never
      }
      yield* write(new TextEncoder().encode(`${process.pid}`))
    }), { drainTimeout: `${10 * Number(process.argv[3])} seconds` })
}))

void Effect.runPromiseExit(Cluster.run(program, {
  workers: 2,
  startTimeout: `${Number(process.argv[3])} seconds`,
  stopTimeout: `${Number(process.argv[3])} seconds`,
  retry: Schedule.intersect(Schedule.spaced("10 millis"), Schedule.recurs(3))
})).then((exit) => console.log(`${process.pid} ended: ${exit._tag}`))
