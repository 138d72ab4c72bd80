import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Page from "../support/page.ts"

describe("the README", () => {
  it.scopedLive("compile, pass their test, and print what they say", () =>
    Effect.gen(function*() {
      const page = yield* Page.open("README.md")
      yield* Page.compiles(page)
      yield* Page.passes(page, "shout.test.ts")
      yield* Page.prints(page)
    }), 120_000)
})
