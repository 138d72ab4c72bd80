/**
 * The programs of this folder as processes of their own: plain Node and the built library, so that no loader stands
 * between, and nothing of another test is in their figures. They speak over an IPC channel, and end with it.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import ts from "typescript"
import { run } from "../support/tool.ts"

/** From where a program finds this package by its own name. */
const root = fileURLToPath(new URL("../..", import.meta.url))

/** The types go, nothing else changes. */
const javascript = (program: URL): string =>
  ts.transpileModule(fs.readFileSync(program, "utf8"), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
  }).outputText

export interface Child {
  /** The next message that it sends; dies when it has ended instead. */
  readonly next: <A>() => Effect.Effect<A>
  readonly ask: <A>(question: "collect" | "collect young" | "sample" | "rounds") => Effect.Effect<A>
}

export const start = (
  program: URL,
  args: ReadonlyArray<string>,
  flags: ReadonlyArray<string> = []
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.gen(function*() {
    const parameters = [...flags, "--input-type=module", "--eval", javascript(program), ...args]
    const running = yield* run(process.execPath, parameters, { cwd: root, stdio: ["ignore", "pipe", "pipe", "ipc"] })
    const messages = yield* Queue.unbounded<unknown>()
    running.child.on("message", (message) => Queue.unsafeOffer(messages, message))
    const message = Effect.raceFirst(Queue.take(messages), running.until(() => false))
    const next = <A>() => message as Effect.Effect<A>
    return {
      next,
      ask: <A>(question: string) => Effect.zipRight(Effect.sync(() => running.child.send(question)), next<A>())
    }
  })
