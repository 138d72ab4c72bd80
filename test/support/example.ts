/**
 * The programs of examples/, started as their readers start them, and killed with the Scope.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { fileURLToPath } from "node:url"
import * as Address from "../../src/Address.ts"
import * as Peer from "./peer.ts"
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

/** Ctrl-C ends a client that has had an answer to this, and then the server, without a complaint. */
export const endsInOrder = (name: string, question: string) =>
  Effect.gen(function*() {
    const { port, program } = yield* server(name)
    const client = yield* Peer.connect(Address.tcp("127.0.0.1", Number(port)))
    yield* client.write(question)
    yield* client.readBytes(1)
    program.kill("SIGINT")
    yield* client.readAll()
    client.end()
    assert.strictEqual(client.code, undefined)
    assert.deepStrictEqual(yield* program.ended, { code: 0, signal: null })
    assert.strictEqual(program.stderr, "")
  })
