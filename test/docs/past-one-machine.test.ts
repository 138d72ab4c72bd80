import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Page from "../support/page.ts"

// test/integration/cluster.test.ts runs them.
describe("the page about more than one machine", () => {
  it.scopedLive(
    "has programs that compile",
    () => Effect.flatMap(Page.open("docs/past-one-machine.md"), Page.compiles),
    60_000
  )
})
