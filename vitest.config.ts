import { defineConfig } from "vitest/config"
import type { Reporter } from "vitest/reporters"

/** Ends a run with its counts on one line, which continuous integration reads. */
const counts: Reporter = {
  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 }
    for (const module of modules) {
      if (module.errors().length > 0) count.failed++
      for (const test of module.children.allTests()) count[test.result().state]++
    }
    process.once("exit", () => {
      console.log(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped`)
    })
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/certificatesDirectory.ts"],
    typecheck: { enabled: true, include: ["test/types/**/*.test-d.ts"] },
    pool: "forks",
    poolOptions: { forks: { minForks: 1, maxForks: 2 } },
    testTimeout: 20_000,
    hookTimeout: 20_000,
    sequence: { shuffle: { files: true, tests: true } },
    reporters: process.env["CI"] === "true" ? ["default", counts] : ["default"],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      exclude: ["src/index.ts", "src/cli/main.ts"],
      reporter: ["text-summary", "html"]
    }
  }
})
