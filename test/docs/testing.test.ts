import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Page from "../support/page.ts"

const guide = "docs/testing.md"

describe("the page about testing", () => {
  it.scopedLive("compiles, before the bug is fixed and after", () =>
    Effect.gen(function*() {
      yield* Page.compiles(yield* Page.open(guide))
      yield* Page.compiles(yield* Page.open(guide, { variant: "with names" }))
    }), 120_000)

  it.scopedLive("finds the bug, and shows the script that shrank", () =>
    Effect.gen(function*() {
      const { code, output } = yield* Page.tested(yield* Page.open(guide), "tally.test.ts")
      assert.strictEqual(code, 1, output)
      assert.match(output, /✓ counts five ticks +\d/)
      assert.match(output, /× counts five ticks, whatever happens/)
      assert.match(output, /shrunk \d+ times\). See it again with\s+SimNetwork.run\(program, \{\s+seed: \d+,\s+hosts: /)
      assert.match(output, /AssertionError: expected \d+ to equal 5/)
    }), 60_000)

  it.scopedLive("shows the run that the page shows", () =>
    Effect.gen(function*() {
      const [, trace] = yield* Page.blocks(guide, "")
      const output = yield* Page.passes(yield* Page.open(guide), "again.test.ts")
      assert.include(output, trace!)
    }), 60_000)

  it.scopedLive("has fixed the bug", () =>
    Effect.gen(function*() {
      const output = yield* Page.passes(yield* Page.open(guide, { variant: "with names" }), "tally.test.ts")
      assert.match(output, /✓ tally.test.ts \(1 test\)/)
    }), 60_000)
})
