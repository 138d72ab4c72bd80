/**
 * A page of the documentation as a user would follow it: its blocks of code are files of one folder, named by the comment on
 * their first line, and are compiled and run there.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { run } from "./tool.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const bin = (name: string) => path.join(root, "node_modules", name)

export interface Page {
  readonly folder: string
  readonly files: ReadonlyArray<string>
  /** What a file prints, by the page: the block of text that follows it. */
  readonly printed: ReadonlyMap<string, string>
}

/** With the project's own modules as `effect-transport`, and its settings for the compiler. */
const settings = (files: ReadonlyArray<string>) => ({
  "tsconfig.json": JSON.stringify({ extends: "../../../tsconfig.json", include: [], files }),
  "vitest.config.mjs":
    `export default { resolve: { alias: [{ find: /^effect-transport\\/(.*)$/, replacement: "${root}src/$1.ts" }] } }`
})

const folder = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(root, "test/docs/.run-"))),
  (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
)

export const open = (name: string): Effect.Effect<Page, never, Scope.Scope> =>
  Effect.flatMap(folder, (folder) =>
    Effect.promise(async () => {
      const text = await fs.readFile(path.join(root, name), "utf8")
      const blocks = [...text.matchAll(/```ts\n\/\/ (\S+)\n([^]*?)```\n(?:\n```text\n([^]*?)```)?/g)]
      assert.strictEqual(blocks.length, text.match(/^```ts$/gm)?.length, "each block of code has a name")
      const files = blocks.map(([, file]) => file!)
      for (const [, file, code] of blocks) await fs.writeFile(path.join(folder, file!), code!)
      for (const [file, content] of Object.entries(settings(files))) {
        await fs.writeFile(path.join(folder, file), content)
      }
      const printed = new Map(blocks.flatMap(([, file, , text]) => text === undefined ? [] : [[file!, text] as const]))
      return { folder, files, printed }
    }))

const node = ({ folder }: Page, args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined }
    const program = yield* run(process.execPath, args, { cwd: folder, env })
    const { code } = yield* program.ended
    return { code, output: program.output, stderr: program.stderr }
  })

export const compiles = (page: Page) =>
  Effect.map(
    node(page, [bin("typescript/bin/tsc"), "--noEmit", "-p", "."]),
    ({ code, output }) => assert.strictEqual(code, 0, output)
  )

/** Every file prints what the page says. */
export const prints = (page: Page) =>
  Effect.forEach(
    page.printed,
    ([file, expected]) =>
      Effect.map(node(page, ["--import", "tsx", file]), ({ code, output, stderr }) => {
        assert.strictEqual(output, expected, stderr)
        assert.strictEqual(code, 0, stderr)
      }),
    { discard: true }
  )

export const passes = (page: Page, test: string) =>
  Effect.map(node(page, [bin("vitest/vitest.mjs"), "run", "--root", ".", test]), ({ code, output, stderr }) => {
    assert.strictEqual(code, 0, output + stderr)
    return output
  })
