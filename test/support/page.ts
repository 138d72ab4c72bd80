/**
 * A page of the documentation as a user would follow it: its blocks of code are files of one folder, named by the comment on
 * their first line, and are compiled and run there.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Address from "../../src/Address.ts"
import * as Peer from "./peer.ts"
import { run } from "./tool.ts"

export const root = fileURLToPath(new URL("../..", import.meta.url))

const bin = (name: string) => path.join(root, "node_modules", name)

export interface Page {
  readonly folder: string
  readonly files: ReadonlyArray<string>
  /** What a file prints, by the page: the block of text that follows it. */
  readonly printed: ReadonlyMap<string, string>
}

export interface Options {
  /** What stands in the place of a port that the page names: tests take none that is fixed. */
  readonly ports?: Readonly<Record<number, number>> | undefined
  /** Only the blocks with this after the name: `// tally.ts, with names`. Those with nothing after it otherwise. */
  readonly variant?: string | undefined
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

export const text = (name: string): Effect.Effect<string> =>
  Effect.promise(() => fs.readFile(path.join(root, name), "utf8"))

/** What the page has in blocks of a language (`sh`), in order. */
export const blocks = (name: string, language: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(text(name), (text) => {
    const fenced = [...text.matchAll(/^```(\w*)\n([^]*?)^```$/gm)]
    return fenced.flatMap(([, of, code]) => of === language ? [code!] : [])
  })

const withPorts = (text: string, ports: Readonly<Record<number, number>>) =>
  Object.entries(ports).reduce(
    (text, [port, other]) => text.replaceAll(new RegExp(`\\b${port}\\b`, "g"), `${other}`),
    text
  )

/** Another file in the folder of the page: who drives one that the page only defines. */
export const write = ({ folder }: Page, file: string, code: string): Effect.Effect<void> =>
  Effect.promise(() => fs.writeFile(path.join(folder, file), code))

export const open = (name: string, { ports = {}, variant }: Options = {}): Effect.Effect<Page, never, Scope.Scope> =>
  Effect.gen(function*() {
    const page = withPorts(yield* text(name), ports)
    const named = /^```ts\n\/\/ ([^\s,]+)(?:, (.+))?\n([^]*?)^```\n(?:\n```text\n([^]*?)^```$)?/gm
    const all = [...page.matchAll(named)].map(([, file, variant, code, printed]) => ({
      file: file!,
      variant,
      code,
      printed
    }))
    assert.strictEqual(all.length, page.match(/^```ts$/gm)?.length, "each block of code has a name")
    const own = all.filter((block) => block.variant === variant)
    const opened: Page = {
      folder: yield* folder,
      files: own.map(({ file }) => file),
      printed: new Map(own.flatMap(({ file, printed }) => printed === undefined ? [] : [[file, printed]]))
    }
    for (const { code, file } of own) yield* write(opened, file, code!)
    for (const [file, content] of Object.entries(settings(opened.files))) yield* write(opened, file, content)
    return opened
  })

const node = ({ folder }: Page, args: ReadonlyArray<string>) =>
  run(process.execPath, args, { cwd: folder, env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined } })

const ended = (page: Page, args: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const program = yield* node(page, args)
    const { code } = yield* program.ended
    return { code, output: program.output, stderr: program.stderr }
  }))

export const compiles = (page: Page) =>
  Effect.map(
    ended(page, [bin("typescript/bin/tsc"), "--noEmit", "-p", "."]),
    ({ code, output }) => assert.strictEqual(code, 0, output)
  )

/** A file as a program that goes on: `npx tsx FILE`. */
export const start = (page: Page, file: string, ...args: ReadonlyArray<string>) =>
  node(page, ["--import", "tsx", file, ...args])

/** What a file prints, which is all that it does. */
export const output = (page: Page, file: string) =>
  Effect.map(ended(page, ["--import", "tsx", file]), ({ code, output, stderr }) => {
    assert.strictEqual(code, 0, output + stderr)
    return output
  })

/** Every file prints what the page says. */
export const prints = (page: Page) =>
  Effect.forEach(
    page.printed,
    ([file, expected]) => Effect.map(output(page, file), (output) => assert.strictEqual(output, expected)),
    { discard: true }
  )

/** What `npx vitest run FILE` makes of it. */
export const tested = (page: Page, file: string) =>
  Effect.map(ended(page, [bin("vitest/vitest.mjs"), "run", "--root", ".", file]), ({ code, output, stderr }) => ({
    code,
    output: output + stderr
  }))

export const passes = (page: Page, file: string) =>
  Effect.map(tested(page, file), ({ code, output }) => {
    assert.strictEqual(code, 0, output)
    return output
  })

/** A port that is free now, for a program that has to know its own. */
export const freePort: Effect.Effect<number> = Effect.map(
  Effect.scoped(Peer.listen(Address.tcp("127.0.0.1", 0))),
  ({ address }) => address.port
)

/** A peer of a program that has just been started: it is refused until that listens. */
export const connect = (port: number): Effect.Effect<Peer.Peer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const peer = yield* Peer.connect(Address.tcp("127.0.0.1", port))
    return peer.closed ? yield* Effect.fail("refused") : peer
  }).pipe(Effect.retry(Schedule.spaced("20 millis")), Effect.orDie)
