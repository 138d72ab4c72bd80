import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { heapPerMessage, heapPerMessageOf16Writes, perConnection, survivingPerConnection } from "./bounds.ts"
import * as Child from "./child.ts"
import * as Load from "./load.ts"

/** Of the server's process, see `programs/echo.ts`. */
interface Sample {
  readonly heapUsed: number
  readonly arrayBuffers: number
  readonly writeCalls: number
  readonly fibers: number
  readonly collections: ReadonlyArray<unknown>
}

/** Of one operation. */
interface Cost {
  /** Bytes of heap. */
  readonly heap: number
  /** Bytes of buffers, which lie outside of the heap: what is read into, and what is copied to. */
  readonly buffers: number
  /** System calls that write. */
  readonly writeCalls: number
  readonly fibers: number
}

/**
 * A young generation too big to be collected: all that a run allocates is still there when it is over. And no memory reducer,
 * which collects again 8 s after a collection: a run can take that long on a busy machine.
 */
const flags = ["--expose-gc", "--min-semi-space-size=512", "--max-semi-space-size=512", "--no-memory-reducer"]

const echo = (form: string, writes: number) =>
  Child.start(new URL("./programs/echo.ts", import.meta.url), [form, `${writes}`], flags)

/** Of so many operations; as many before have warmed up the server. */
const cost = (server: Child.Child, operations: number, run: Effect.Effect<void>): Effect.Effect<Cost> =>
  Effect.gen(function*() {
    yield* run
    const before = yield* server.ask<Sample>("collect")
    yield* run
    const after = yield* server.ask<Sample>("sample")
    assert.deepStrictEqual(after.collections, before.collections, "The heap was collected during the run")
    const each = (field: Exclude<keyof Sample, "collections">) => (after[field] - before[field]) / operations
    return {
      heap: each("heapUsed"),
      buffers: each("arrayBuffers"),
      writeCalls: each("writeCalls"),
      // The second sample has taken the number of a fiber itself.
      fibers: (after.fibers - before.fibers - 1) / operations
    }
  })

const sizes = { small: 2048, large: 65536 } as const

const costOfMessages = (form: string, writes: number) =>
  Effect.scoped(Effect.gen(function*() {
    const server = yield* echo(form, writes)
    const sockets = yield* Load.dial(yield* server.next<number>(), 16)
    const exchange = (messages: number, size: number) =>
      cost(server, messages, Load.exchange(sockets, { messages, size }))
    return { small: yield* exchange(4000, sizes.small), large: yield* exchange(100, sizes.large) }
  }))

/** And the bytes of it that outlive the collections of the young generation, although it is over. */
const costOfConnection = (form: string) =>
  Effect.scoped(Effect.gen(function*() {
    const server = yield* echo(form, 1)
    const port = yield* server.next<number>()
    const count = 1000
    const each = yield* cost(server, count, Load.churn(port, count))
    const young = yield* server.ask<Sample>("collect young")
    const all = yield* server.ask<Sample>("collect")
    return { ...each, surviving: (young.heapUsed - all.heapUsed) / count }
  }))

/** Beside the buffer that it was read into. */
const copiesPerByte = (costs: Cost, size: number) => costs.buffers / size - 1

/** Of a run, for what the samples themselves read and write. */
const slack = 0.01

const countsWrites = fs.existsSync("/proc/thread-self/io")

const describeMessages = (
  name: string,
  server: { readonly form: string; readonly writes: number; readonly copies: number; readonly heap: number }
) =>
  describe(`${name} over TCP, for each message,`, () => {
    let costs: { readonly small: Cost; readonly large: Cost }
    beforeAll(async () => {
      costs = await Effect.runPromise(costOfMessages(server.form, server.writes))
    })

    it("starts no fiber", () => {
      assert.deepStrictEqual([costs.small.fibers, costs.large.fibers], [0, 0])
    })

    it.skipIf(!countsWrites)("calls the kernel once to write it (skipped: no /proc/thread-self/io)", () => {
      assert.closeTo(costs.small.writeCalls, 1, slack)
    })

    it(server.copies === 0 ? "copies no byte" : "copies each byte at most once", () => {
      for (const size of ["small", "large"] as const) {
        const copies = copiesPerByte(costs[size], sizes[size])
        assert.isAtLeast(copies, -slack)
        assert.isAtMost(copies, server.copies + slack)
      }
    })

    it("allocates no more heap than it may", async ({ annotate }) => {
      await annotate(`${costs.small.heap} bytes`)
      assert.isAtMost(costs.small.heap, server.heap)
    })
  })

describeMessages("node:net alone", { form: "raw", writes: 1, copies: 0, heap: Infinity })
const forms = [["a handler", "handler"], ["a loop of pulls", "loop"], ["a Stream into the Sink", "stream"]] as const
for (const [name, form] of forms) {
  describeMessages(name, { form, writes: 1, copies: 0, heap: heapPerMessage[form] })
  describeMessages(`${name}, in 16 pieces`, { form, writes: 16, copies: 1, heap: heapPerMessageOf16Writes[form] })
}

describe("a connection over TCP, from its acceptance to its end,", () => {
  for (const form of ["raw", "handler", "loop", "stream"] as const) {
    const bounds = form === "raw" ? { heap: Infinity, fibers: 0 } : perConnection[form]
    it.live(`${form}: allocates no more heap than it may, and starts no more fibers`, (context) =>
      Effect.gen(function*() {
        const { fibers, heap, surviving } = yield* costOfConnection(form)
        yield* Effect.promise(() => context.annotate(`${heap} bytes, ${surviving} surviving, ${fibers} fibers`))
        assert.isAtMost(heap, bounds.heap)
        assert.isAtMost(fibers, bounds.fibers)
        if (form === "handler") assert.isAtMost(surviving, survivingPerConnection)
      }))
  }
})
