import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Page from "../support/page.ts"

describe("the page for users of Effect's Socket", () => {
  it.scopedLive("has programs that compile, and print what it says", () =>
    Effect.flatMap(
      Page.open("docs/from-effect-socket.md"),
      (page) => Effect.zipRight(Page.compiles(page), Page.prints(page))
    ), 60_000)
})
