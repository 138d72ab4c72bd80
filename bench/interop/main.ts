/**
 * The same workloads over the Sockets of @effect/platform-node and over this library's, as a table:
 *
 *   npx tsx bench/interop/main.ts
 *
 * Each runs in a process of its own. The rates are medians of five rounds, in which the kinds take turns.
 */
import * as childProcess from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Kind } from "./sockets.ts"
import type * as workloads from "./workloads.ts"

const program = fileURLToPath(new URL("program.ts", import.meta.url))

const run = (workload: keyof typeof workloads, kind: Kind): Promise<any> =>
  new Promise((resolve, reject) => {
    const child = childProcess.fork(program, [workload, kind], { execArgv: ["--import", "tsx"], silent: true })
    child.once("message", resolve)
    child.once("exit", (code) => reject(new Error(`${workload} over ${kind} ended with ${code}`)))
  })

const median = (values: ReadonlyArray<number>) => values.toSorted((one, other) => one - other)[values.length >> 1]!

const grouped = (value: number) => value.toLocaleString("en")

const row = (...cells: ReadonlyArray<string>) => console.log(`| ${cells.join(" | ")} |`)

const both = async (title: string, workload: keyof typeof workloads, kind: Kind = "ours", unit = "") => {
  const [stock, ours] = [await run(workload, "stock"), await run(workload, kind)]
  const cell = (result: unknown) => typeof result === "number" ? grouped(result) + unit : String(result)
  row(title, cell(stock), cell(ours))
}

row("", "stock", "this library")
row("---", "---", "---")
await both("resident after 5 s: a fast sender, a `Stream` that takes 10 ms for a chunk", "slowStream", "ours", " MiB")
await both("the same, with `run` and a semaphore around the handler", "slowHandler", "ours", " MiB")
await both("the same, `concurrency: 1`", "slowHandler", "strict", " MiB")
await both("of an answer of 1 MiB after the peer's end, bytes that arrive", "answerAfterEnd")
await both("of 10 chunks before the peer's end, handled when `run` has ended", "handledAtEnd")
await both("the order in which handlers end that take 100, 90, … 10 ms", "order")
await both("the same, `concurrency: 1`", "order", "strict")
await both("a write to a peer that has reset the connection", "writeAfterLoss")
await both("the end of the server's Scope, a connection being open", "scopeClose")
await both("RPC calls in the moment of a reset", "callAtReset")

const rates: Record<"stock" | "ours", Array<{ sequential: number; concurrent: number }>> = { stock: [], ours: [] }
for (let round = 0; round < 5; round++) {
  for (const kind of round % 2 === 0 ? ["stock", "ours"] as const : ["ours", "stock"] as const) {
    rates[kind].push(await run("rates", kind))
  }
}
for (const [title, key] of [["one after the other", "sequential"], ["64 at once", "concurrent"]] as const) {
  const of = (kind: "stock" | "ours") => grouped(median(rates[kind].map((rate) => rate[key])))
  row(`RPC calls a second, ${title}`, of("stock"), of("ours"))
}
