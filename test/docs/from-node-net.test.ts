import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Page from "../support/page.ts"

describe("the page for who comes from node:net", () => {
  it.scopedLive("compiles, and prints what it says", () =>
    Effect.gen(function*() {
      const page = yield* Page.open("docs/from-node-net.md")
      yield* Page.compiles(page)
      yield* Page.prints(page)
    }), 120_000)
})
