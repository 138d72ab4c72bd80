import { readdirSync } from "node:fs"
import { sep } from "node:path"
import { expect, test } from "vitest"

const source = new URL("../src/", import.meta.url)

/** The modules that a user can import: `Transport.ts`, `node/Tcp.ts` … */
const publicModules = (): ReadonlyArray<string> =>
  readdirSync(source, { recursive: true, encoding: "utf8" })
    .map((path) => path.split(sep).join("/"))
    .filter((path) => path.endsWith(".ts") && !/(^|\/)(internal|cli)\//.test(path))
    .toSorted()

/**
 * A name that appears here is a promise to users. After a change that is meant, update with
 * `npx vitest run test/publicSurface.test.ts --update`, and let the changelog tell it.
 */
test("the public modules export what test/publicSurface.txt says", async () => {
  let surface = ""
  for (const path of publicModules()) {
    const module: Record<string, unknown> = await import(new URL(path, source).href)
    surface += `${path}\n${Object.keys(module).toSorted().map((name) => `  ${name}\n`).join("")}`
  }
  await expect(surface).toMatchFileSnapshot("./publicSurface.txt")
})
