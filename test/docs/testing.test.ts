import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { run } from "../support/tool.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The code of the page, by the comment on its first line. */
const blocks = Effect.promise(async () => {
  const page = await fs.readFile(path.join(root, "docs/testing.md"), "utf8")
  return new Map([...page.matchAll(/```ts\n\/\/ (.*)\n([^]*?)```/g)].map(([, name, code]) => [name!, code!]))
})

/** A folder in which `effect-transport` is what a user would have installed. */
const folder = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(root, "test/docs/.run-"))),
  (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
)

/** What vitest says of these files: the name of each, and the block that it holds. */
const vitest = (files: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const code = yield* blocks
    const here = yield* folder
    for (const [file, block] of Object.entries(files)) {
      yield* Effect.promise(() => fs.writeFile(path.join(here, file), code.get(block)!))
    }
    // Not that of this project, which vitest would find further up.
    yield* Effect.promise(() => fs.writeFile(path.join(here, "vitest.config.mjs"), "export default {}\n"))
    const bin = path.join(root, "node_modules/vitest/vitest.mjs")
    const program = yield* run(process.execPath, [bin, "run", "--root", here], {
      cwd: here,
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined }
    })
    const { code: exitCode } = yield* program.ended
    return { exitCode, output: program.output + program.stderr }
  })

describe("the page about testing", () => {
  it.scopedLive("finds the bug, and shows the script that shrank", () =>
    Effect.gen(function*() {
      const { exitCode, output } = yield* vitest({ "tally.ts": "tally.ts", "tally.test.ts": "tally.test.ts" })
      assert.strictEqual(exitCode, 1, output)
      assert.match(output, /✓ counts five ticks \d/)
      assert.match(output, /× counts five ticks, whatever happens/)
      assert.match(output, /shrunk \d+ times\). See it again with\s+SimNetwork.run\(program, \{\s+seed: \d+,\s+hosts: /)
      assert.match(output, /AssertionError: expected \d+ to equal 5/)
    }), 60_000)

  it.scopedLive("prints the trace of one run", () =>
    Effect.gen(function*() {
      const { exitCode, output } = yield* vitest({ "tally.ts": "tally.ts", "again.test.ts": "again.test.ts" })
      assert.strictEqual(exitCode, 0, output)
      assert.include(output, "client")
      assert.include(output, "RST")
    }), 60_000)

  it.scopedLive("has fixed the bug", () =>
    Effect.gen(function*() {
      const { exitCode, output } = yield* vitest({
        "tally.ts": "tally.ts, with names",
        "tally.test.ts": "tally.test.ts, with names"
      })
      assert.strictEqual(exitCode, 0, output)
      assert.match(output, /✓ tally.test.ts \(1 test\)/)
    }), 60_000)
})
