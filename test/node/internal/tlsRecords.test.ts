import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { TlsRecords } from "../../../src/node/internal/tlsRecords.ts"

const lengths = FastCheck.array(FastCheck.oneof(FastCheck.integer({ min: 0, max: 20 }), FastCheck.constant(700)), {
  maxLength: 10
})

describe("the records of TLS", () => {
  it.prop("end where they end, however they are cut", [
    lengths,
    FastCheck.array(FastCheck.integer({ min: 1, max: 40 }))
  ], (
    [lengths, cuts]
  ) => {
    const all = Buffer.concat(lengths.map((length) => {
      const record = Buffer.alloc(5 + length, 255)
      record.writeUInt16BE(length, 3)
      return record
    }))
    const ends = new Set(
      lengths.map((_, index) => lengths.slice(0, index + 1).reduce((sum, length) => sum + 5 + length, 0))
    )
    const records = new TlsRecords()
    let at = 0
    for (let cut = 0; at < all.length; cut++) {
      const until = Math.min(all.length, at + (cuts[cut] ?? all.length))
      while (at < until) {
        const before = at
        at += records.take(all.subarray(at, until))
        assert.isAbove(at, before)
        for (const end of ends) assert.isFalse(before < end && end < at, "no end is passed over")
        assert.isTrue(at === until || ends.has(at))
      }
    }
  })
})
