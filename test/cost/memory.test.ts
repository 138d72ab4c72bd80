import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Address from "../../src/Address.ts"
import * as Peer from "../support/peer.ts"
import * as Child from "./child.ts"

const KiB = 1024
const MiB = 1024 * KiB

/** Of the process that offers, see `programs/offer.ts`. In bytes. */
interface Report {
  readonly offered: number
  /** The most at any sample: one before each chunk, and one a millisecond. */
  readonly maxBuffered: number
  /** Resident memory at its highest, less what it was before. */
  readonly growth: number
}

/** To a peer that never reads: it comes to a stop without an end. Then the peer goes away. */
const offer = (form: string) =>
  Effect.scoped(Effect.gen(function*() {
    const { accept, address } = yield* Peer.listen(Address.tcp("127.0.0.1", 0))
    const port = address.port
    const child = yield* Child.start(new URL("./programs/offer.ts", import.meta.url), [form, `${port}`], [
      "--expose-gc"
    ])
    const peer = yield* accept
    const report = yield* child.next<Report>()
    peer.reset()
    return { ...report, ended: yield* child.next<string>() }
  }))

describe("1 GiB offered to a peer that never reads", () => {
  let raw: Report
  beforeAll(async () => {
    raw = await Effect.runPromise(offer("raw"))
  })

  for (const form of ["write", "writeAll", "offer", "sink"]) {
    it.live(`${form}: suspends within the mark and the memory of node:net, and fails when the peer is gone`, (context) =>
      Effect.gen(function*() {
        const report = yield* offer(form)
        yield* Effect.promise(() => context.annotate(JSON.stringify({ ...report, raw })))
        assert.isAbove(report.maxBuffered, 0)
        assert.isAtMost(report.maxBuffered, 256 * KiB + 64 * KiB)
        // The rest is in the kernel's buffers.
        assert.isBelow(report.offered, 64 * MiB)
        assert.isAtMost(report.growth, raw.growth + 2 * MiB)
        assert.include(["ConnectionReset", "BrokenPipe"], report.ended)
      }))
  }
})
