import { assert, describe, it } from "@effect/vitest"
import * as Conformance from "../../src/testing/Conformance.ts"
import * as sources from "./conformance/sources.ts"

const names = new Set(
  [Conformance.checks(), Conformance.checks({ halfClose: false })].flat().map(({ name }) => name)
)

describe.each(Object.entries(sources))("every line of %s", (source, lines) => {
  it("has a check of its name, or says why not", () => {
    for (const [line, answer] of Object.entries(lines)) {
      if (typeof answer === "string") continue
      assert.isNotEmpty(answer, line)
      for (const name of answer) assert.isTrue(names.has(name), `${line}: there is no check "${name}"`)
    }
  })

  it("is there", () => {
    const count = { trio: 48, nettest: 11, twisted: 24, missing: 10 }[source]
    assert.strictEqual(Object.keys(lines).length, count)
  })
})

describe("a transport that can half-close", () => {
  it("is put to at least 150 checks, at both ends together", () => {
    assert.isAtLeast(Conformance.checks().length, 75)
    assert.isAtLeast(2 * Conformance.checks().length, 150)
  })
})
