/** haproxy(1), started for a test. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, writeFileSync } from "node:fs"
import { run } from "./tool.ts"

/** Forwards from what `bind` says to `server`, each with haproxy's own words behind it. Ready when this completes. */
export const start = (directory: string, options: {
  readonly bind: string
  readonly server: string
  readonly more?: string | undefined
}) =>
  Effect.gen(function*() {
    writeFileSync(
      `${directory}/haproxy.cfg`,
      `
      global
        stats socket ${directory}/ready
      defaults
        mode tcp
        timeout connect 5s
        timeout client 20s
        timeout server 20s
      listen front
        bind ${options.bind}
        ${options.more ?? ""}
        server server ${options.server}
      `.replaceAll(/^ {6}/gm, "")
    )
    const program = yield* run("haproxy", ["-db", "-f", `${directory}/haproxy.cfg`])
    const ready = () => program.exit !== undefined || existsSync(`${directory}/ready`)
    yield* Effect.repeat(Effect.sleep("20 millis"), { until: ready })
    assert.isUndefined(program.exit, program.stderr)
  })
