/** What is measured runs on plain Node, and this library from `dist`, as it is installed: no loader stands between. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const sources = fileURLToPath(new URL(".", import.meta.url))

/** Within the package, so that its own name and its dependencies are found. */
const directory = fs.mkdtempSync(path.join(sources, ".compiled-"))
process.once("exit", () => fs.rmSync(directory, { recursive: true, force: true }))

const target = (source: string, extension: string) => {
  const file = path.join(directory, path.relative(sources, source).replace(/\.[a-z]+$/, extension))
  fs.mkdirSync(path.dirname(file), { recursive: true })
  return file
}

/** The types go, nothing else changes. */
export const typescript = (url: URL): string => {
  const source = fileURLToPath(url)
  const { outputText } = ts.transpileModule(fs.readFileSync(source, "utf8"), {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true
    }
  })
  const file = target(source, ".js")
  fs.writeFileSync(file, outputText)
  return file
}

const native = (
  url: URL,
  [compiler, ...parameters]: readonly [string, ...ReadonlyArray<string>],
  ...libraries: ReadonlyArray<string>
): string | undefined => {
  const source = fileURLToPath(url)
  const file = target(source, libraries.join(""))
  return spawnSync(compiler, [...parameters, "-o", file, source, ...libraries]).status === 0 ? file : undefined
}

const cc = [process.env["CC"] ?? "cc", "-O2"] as const

/** With `CC` or cc; `undefined` without a C compiler. */
export const c = (url: URL): string | undefined => native(url, cc)

/** The same with OpenSSL; `undefined` without its headers, too. */
export const cWithTls = (url: URL): string | undefined => native(url, [...cc, "-DTLS"], "-lssl", "-lcrypto")

export const go = (url: URL): string | undefined => native(url, ["go", "build"])
