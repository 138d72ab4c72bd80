import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { root } from "../support/page.ts"

// Installing takes a registry: what is looked at is what would be installed.

const read = (file: string) => fs.readFileSync(path.join(root, file), "utf8")

/** What `npm install` is told to get, continued lines included: the version of each, by its name. */
const installed = (page: string) =>
  new Map(
    [...page.matchAll(/npm install ((?:\\\n|[^`\n])+)/g)].flatMap(([, packages]) =>
      packages!.split(/[\s\\]+/).filter((name) => name !== "" && !name.startsWith("-")).map((name) => {
        const [, of, version] = /^(.+?)(?:@(.+))?$/.exec(name)!
        return [of!, version] as const
      })
    )
  )

const imported = (page: string) => {
  const code = [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code).join("")
  const names = [...code.matchAll(/ from "((?:@[^/"]+\/)?[^/"]+)/g)].map(([, name]) => name!)
  return new Set(names.filter((name) => !name.startsWith(".") && !name.startsWith("node:")))
}

const pages = ["README.md", ...fs.readdirSync(path.join(root, "docs")).map((name) => `docs/${name}`)]
  .filter((name) => name.endsWith(".md") && read(name).includes("```ts\n"))

const readme = installed(read("README.md"))

describe.each(pages)("what %s installs", (page) => {
  const packages = installed(read(page))

  it("is all that its code imports, or the README has said so", () => {
    for (const name of imported(read(page))) assert.isTrue(packages.has(name) || readme.has(name), name)
  })

  it("are the versions that this is tested with", () => {
    for (const [name, version] of packages) {
      // Of these, the latest is another line.
      if (version === undefined) assert.notMatch(name, /^(effect|@effect\/.*)$/)
      else {assert.isTrue(
          `${JSON.parse(read(`node_modules/${name}/package.json`)).version}.`.startsWith(`${version}.`),
          name
        )}
    }
  })
})
