/**
 * What `npm install` gets: packs what was built, installs it in an empty folder by the line of the README, and tries it there
 * as the README says. It takes a registry.
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { run } from "./support/tool.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

const read = (file: string) => fs.readFileSync(path.join(root, file), "utf8")

const readme = read("README.md")

class Failed extends Data.TaggedError("Failed")<{ readonly what: string; readonly output: string }> {
  override get message() {
    return `${this.what}\n${this.output}`
  }
}

const expect = (holds: boolean, what: string, output: string) =>
  holds ? Effect.void : Effect.fail(new Failed({ what, output }))

// -----------------------------------------------------------------------------
// a user's shell
// -----------------------------------------------------------------------------

/** Without what `npm run` puts into the environment of a script. */
const env: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("npm_"))),
  NO_COLOR: "1"
}

const started = (folder: string, script: string) =>
  run("bash", ["-euo", "pipefail", "-c", script], { cwd: folder, env, detached: true })

/** What the script prints; fails when it does, or takes too long. */
const shell = (folder: string, script: string) =>
  Effect.scoped(Effect.gen(function*() {
    const program = yield* started(folder, script)
    const printed = () => program.output + program.stderr
    const { code } = yield* program.ended.pipe(Effect.timeoutFail({
      duration: "90 seconds",
      onTimeout: () => new Failed({ what: `Takes too long: ${script}`, output: printed() })
    }))
    yield* expect(code === 0, `Fails: ${script}`, printed())
    return program.output
  }))

// -----------------------------------------------------------------------------
// the steps
// -----------------------------------------------------------------------------

const findRegistry = shell(root, "npm ping --fetch-retries 0 --fetch-timeout 10000").pipe(
  Effect.mapError(({ output }) => new Failed({ what: "Not checked: the registry of npm cannot be reached.", output }))
)

const install = (app: string) =>
  Effect.gen(function*() {
    const tarball = (yield* shell(root, `npm pack --silent --pack-destination '${app}'`)).trim()
    const [, commands = ""] = /^```sh\n(npm init [^]*?)^```$/m.exec(readme) ?? []
    const own = commands.replace("npm install effect-transport ", `npm install ./${tarball} `)
    yield* expect(own !== commands, "The README does not install the package.", commands)
    yield* shell(app, own)
  })

/** As users name the modules. */
const modules = fs.readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && file !== "index.ts")
  .map((file) => `effect-transport/${file.slice(0, -".ts".length)}`)
  .concat("effect-transport")

const isPublic = (name: string) => !/\/(cli|internal)\//.test(name)

/** The code of the README, and all types that a user can meet: errors in those of other packages are theirs. */
const compile = (app: string) =>
  Effect.gen(function*() {
    for (const [, file, code] of readme.matchAll(/^```ts\n\/\/ (\S+)\n([^]*?)^```$/gm)) {
      fs.writeFileSync(path.join(app, file!), code!)
    }
    const imports = modules.filter(isPublic).map((name, index) => `export * as m${index} from "${name}"\n`).join("")
    fs.writeFileSync(path.join(app, "modules.ts"), imports)
    const compilerOptions = { strict: true, module: "NodeNext", noEmit: true, allowImportingTsExtensions: true }
    fs.writeFileSync(path.join(app, "tsconfig.json"), JSON.stringify({ compilerOptions }))
    const output = yield* shell(app, "npx tsc --version; npx tsc || true")
    const errors = output.split("\n").filter((line) => /^(?!node_modules\/(?!effect-transport\/)).*error TS/.test(line))
    yield* expect(errors.length === 0, "Does not compile:", errors.join("\n"))
  })

const importAll = (app: string) =>
  Effect.gen(function*() {
    const script = `for (const name of ${JSON.stringify(modules)}) {
      console.log(name, await import(name).then(() => "imported", (error) => error.code ?? error.message))
    }`
    fs.writeFileSync(path.join(app, "modules.mjs"), script)
    const expected = modules.map((name) => `${name} ${isPublic(name) ? "imported" : "ERR_PACKAGE_PATH_NOT_EXPORTED"}`)
    const lines = (yield* shell(app, "node modules.mjs")).trim().split("\n")
    const wrong = lines.filter((line, index) => line !== expected[index])
    yield* expect(wrong.length === 0, "Expected to be imported, or not to be exported:", wrong.join("\n"))
  })

const freePort = Effect.async<number>((resume) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** The server, with the shell for a client, and its test. */
const runFirstExample = (app: string) =>
  Effect.scoped(Effect.gen(function*() {
    const port = yield* freePort
    const main = path.join(app, "main.ts")
    fs.writeFileSync(main, fs.readFileSync(main, "utf8").replace("4000", `${port}`))
    const server = yield* started(app, "exec npx tsx main.ts")
    const answer = yield* shell(app, `exec 3<>/dev/tcp/127.0.0.1/${port}; echo hello >&3; head -n 1 <&3`).pipe(
      Effect.retry(Schedule.spaced("100 millis")),
      Effect.timeoutFail({
        duration: "20 seconds",
        onTimeout: () => new Failed({ what: "The server does not answer.", output: server.stderr })
      })
    )
    yield* expect(answer === "HELLO\n", "The server answers:", answer)
    yield* shell(app, "npx vitest run shout.test.ts")
  }))

const runTool = (app: string) =>
  Effect.flatMap(
    shell(app, "npx effect-transport --version"),
    (output) => expect(output === `${JSON.parse(read("package.json")).version}\n`, "The tool says:", output)
  )

const steps: Readonly<Record<string, (app: string) => Effect.Effect<unknown, Failed>>> = {
  "there is a registry": () => findRegistry,
  "the README installs it": install,
  "the code of the README and all types compile": compile,
  "each public module can be imported, and no internal one": importAll,
  "the first example runs, and its test passes": runFirstExample,
  "the tool runs": runTool
}

const check = Effect.scoped(Effect.gen(function*() {
  const app = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-transport-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
  )
  for (const [name, step] of Object.entries(steps)) {
    const [duration] = yield* Effect.timed(step(app))
    console.log(`✔ ${name} (${Duration.toSeconds(duration).toFixed(1)} s)`)
  }
}))

const exit = await Effect.runPromiseExit(check)
if (Exit.isFailure(exit)) {
  const error = Cause.squash(exit.cause)
  console.error(`✘ ${error instanceof Failed ? error.message : Cause.pretty(exit.cause)}`)
  process.exitCode = 1
}
