import { createClient } from "@libsql/client"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as path from "node:path"
import * as Page from "../support/page.ts"
import { run } from "../support/tool.ts"

const count = 200

describe("@effect/cluster, in four processes", () => {
  it.scopedLive("takes over the shards of a runner that is killed, and loses nothing", () =>
    Effect.gen(function*() {
      const { folder } = yield* Page.open("docs/past-one-machine.md")
      const file = path.join(folder, "ledger.db")
      const start = (name: string, argument: number) =>
        run(process.execPath, ["--import", "tsx", path.join(folder, name), file, `${argument}`], { cwd: folder })

      const runners = yield* Effect.forEach([1, 2, 3], () =>
        Effect.flatMap(Page.freePort, (port) =>
          Effect.map(start("runner.ts", port), (program) => ({ program, name: `127.0.0.1:${port}` }))))
      yield* Effect.forEach(
        runners,
        ({ program }) =>
          program.until(() =>
            program.output.includes("Listening on")
          ),
        { concurrency: "unbounded" }
      )

      const client = yield* start("client.ts", count)
      const answers = () => client.output.split("\n").slice(0, -1).map((line) => line.split(" "))
      // One that has answered, so that it holds shards of ours.
      yield* client.until(() => answers().length >= 30)
      const name = answers().at(-1)![1]!
      const victim = runners.find((runner) => runner.name === name)!
      victim.program.kill("SIGKILL")
      assert.strictEqual((yield* victim.program.ended).signal, "SIGKILL")
      assert.deepStrictEqual(yield* client.ended, { code: 0, signal: null }, client.stderr)

      const answered = answers()
      assert.strictEqual(new Set(answered.map(([id]) => id)).size, count)
      const accountOf = (id: string) => Number(id.slice("deposit-".length)) % 12
      const orphans = new Set(answered.filter(([, by]) => by === name).map(([id]) => accountOf(id!)))
      const heirs = answered.filter(([id, by]) => by !== name && orphans.has(accountOf(id!)))
      assert.isAbove(heirs.length, 0)

      const database = createClient({ url: `file:${file}` })
      yield* Effect.addFinalizer(() => Effect.sync(() => database.close()))
      const execute = (statement: string) => Effect.promise(() => database.execute(statement))
      // The runners that are left renew their locks in the same file.
      yield* execute("PRAGMA busy_timeout = 10000")
      const { rows } = yield* execute("SELECT id, sum(amount) AS sum FROM deposits GROUP BY id")
      assert.deepStrictEqual(new Set(rows.map(({ id }) => id)), new Set(answered.map(([id]) => id)))
      assert.strictEqual(rows.length, count)
      assert.isTrue(rows.every(({ sum }) => sum === 1))
    }), 60_000)
})
