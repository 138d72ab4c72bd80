import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { Members } from "../../src/internal/members.ts"

describe("Members", () => {
  it.prop(
    "has those that were added and not removed, whatever the order",
    [FastCheck.array(FastCheck.oneof(FastCheck.constant("add"), FastCheck.nat()))],
    ([steps]) => {
      const members = new Members<{ place: number; readonly name: number }>()
      const expected = new Set<{ place: number; readonly name: number }>()
      steps.forEach((step, name) => {
        if (step === "add") {
          const member = { place: 0, name }
          members.add(member)
          expected.add(member)
        } else if (expected.size > 0) {
          const member = [...expected][step as number % expected.size]!
          members.remove(member)
          expected.delete(member)
        }
        assert.strictEqual(members.size, expected.size)
        assert.sameMembers([...members.all()], [...expected])
      })
    }
  )

  it("can lose members while somebody goes through all", () => {
    const members = new Members<{ place: number }>()
    for (let count = 0; count < 3; count++) members.add({ place: 0 })
    for (const member of members.all()) members.remove(member)
    assert.strictEqual(members.size, 0)
  })
})
