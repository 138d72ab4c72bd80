import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { PassThrough } from "node:stream"
import * as Stdio from "../../src/cli/stdio.ts"
import * as Peer from "../support/peer.ts"

/** Stands in for the process's own. */
const standardInput = Effect.acquireRelease(
  Effect.sync(() => {
    const own = Object.getOwnPropertyDescriptor(process, "stdin")!
    const stdin = new PassThrough()
    Object.defineProperty(process, "stdin", { ...own, get: () => stdin })
    return { own, stdin }
  }),
  ({ own }) => Effect.sync(() => Object.defineProperty(process, "stdin", own))
)

describe("the standard input", () => {
  it.scopedLive("that fails while nobody waits for it is a failure of the next read", () =>
    Effect.gen(function*() {
      const { stdin } = yield* standardInput
      stdin.write("x")
      assert.strictEqual(String(yield* Stdio.read), "x")
      stdin.destroy(Object.assign(new Error("gone"), { code: "EIO" }))
      yield* Peer.eventually(() => stdin.closed)
      const error = yield* Effect.flip(Stdio.read)
      assert.deepInclude(error, { _tag: "InputFailed", code: "EIO" })
    }))
})
