/**
 * The programs of examples/, started as their readers start them, and killed with the Scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { fileURLToPath } from "node:url"
import { type Program, run } from "./tool.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

export const example = (name: string, ...args: ReadonlyArray<string>): Effect.Effect<Program, never, Scope.Scope> =>
  run(process.execPath, ["--import", "tsx", `${root}examples/${name}.ts`, ...args], { cwd: root })

export interface Server {
  readonly program: Program
  readonly port: string
}

/** One that listens. */
export const server = (name: string, ...args: ReadonlyArray<string>): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.gen(function*() {
    const program = yield* example(name, ...args, "0")
    return { program, port: `${(yield* program.address).port}` }
  })
