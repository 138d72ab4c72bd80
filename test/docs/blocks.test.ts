import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Page from "../support/page.ts"

/** What runs each block of code, by its first line. All TypeScript is compiled by the test of its page as well. */
const runBy: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "README.md": {
    "npm ci && npm run demo": "readme.test.ts; the second line is what runs it",
    "npm init -y && npm pkg set type=module": "tarball.ts, which takes a registry",
    "// shout.ts": "main.ts, shout.test.ts",
    "// main.ts": "readme.test.ts, with a client",
    "// shout.test.ts": "readme.test.ts, which expects it to pass",
    "// rpc.ts": "readme.test.ts, by what it prints",
    "// ping.ts": "readme.test.ts, with a server and without",
    "// sums.ts": "readme.test.ts, with questions",
    "// faults.test.ts": "readme.test.ts, which expects it to fail",
    "npx effect-transport echo tcp:0                                  # listening tcp:127.0.0.1:43117":
      "readme.test.ts, line by line"
  },
  "docs/from-effect-socket.md": {
    "// client.ts": "from-effect-socket.test.ts, with a server",
    "// server.ts": "from-effect-socket.test.ts, with a client",
    "// rpc.ts": "from-effect-socket.test.ts, by what it prints",
    "// websocket.ts": "from-effect-socket.test.ts, with a WebSocket server"
  },
  "docs/from-node-net.md": {
    "const server = net.createServer({ allowHalfOpen: true }, (socket) => {": "from-node-net.test.ts, with a client",
    "// echo.ts": "from-node-net.test.ts, by what it prints",
    "// errors.ts": "from-node-net.test.ts, by what it prints",
    "// certificate.ts": "from-node-net.test.ts, with servers that have good and bad ones",
    "// gzip.ts": "from-node-net.test.ts, by what it prints",
    "// http.ts": "from-node-net.test.ts, by what it prints"
  },
  "docs/from-twisted.md": {
    "class Echo(protocol.Protocol):": "not run: Twisted's own, to compare with",
    "// callbacks.ts": "from-twisted.test.ts, with a client",
    "// echo.ts": "from-twisted.test.ts, with a client",
    "// again.ts": "from-twisted.test.ts, with a server that ends and resets"
  },
  "docs/observability.md": {
    "npm install @effect/opentelemetry@0.64 @opentelemetry/sdk-trace-base@2 @opentelemetry/sdk-metrics@2":
      "not run, it takes a registry: install.test.ts looks at what it gets",
    "// traced.ts": "observability.test.ts, by what it prints",
    "// waits.ts": "observability.test.ts, by what it prints",
    "// settings.ts": "observability.test.ts, by what it prints"
  },
  "docs/past-one-machine.md": {
    "npm install effect-transport effect@3 @effect/platform@0.97 @effect/platform-node@0.108 @effect/rpc@0.76 \\":
      "not run, it takes a registry: install.test.ts looks at what it gets",
    "// account.ts": "runner.ts, client.ts",
    "// cluster.ts": "runner.ts, client.ts",
    "// runner.ts": "integration/cluster.test.ts",
    "// client.ts": "integration/cluster.test.ts",
    "// database.ts": "runner.ts, client.ts",
    "npx tsx runner.ts ledger.db 34101 &": "integration/cluster.test.ts, which starts the same on ports that are free",
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=runners \\":
      "past-one-machine.test.ts",
    "// secure.ts": "past-one-machine.test.ts, by a call between two runners"
  },
  "docs/testing.md": {
    "npm install effect-transport effect@3 @effect/platform@0.97 @effect/platform-node@0.108":
      "not run, it takes a registry: install.test.ts looks at what it gets",
    "// tally.ts": "tally.test.ts",
    "// tally.test.ts": "testing.test.ts, which expects the one to pass and the other to fail",
    "// again.test.ts": "testing.test.ts, by what it prints",
    "// tally.ts, with names": "tally.test.ts, with names",
    "// tally.test.ts, with names": "testing.test.ts, which expects it to pass"
  }
}

const docs = fs.readdirSync(path.join(Page.root, "docs")).filter((name) => name.endsWith(".md"))

/** Blocks in a language: those without one are what a program prints. */
const firstLines = (text: string) =>
  [...text.matchAll(/^```(\w*)\n(.*)\n[^]*?^```$/gm)].flatMap(([, language, line]) =>
    language === "" || language === "text" ? [] : [line!]
  )

describe.each(["README.md", ...docs.map((name) => `docs/${name}`)])("%s", (page) => {
  it.effect("has no code that nobody runs", () =>
    Effect.map(Page.text(page), (text) => assert.deepStrictEqual(firstLines(text), Object.keys(runBy[page] ?? {}))))
})
