import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import type { Action, Event, State, Step } from "../../src/internal/connectionState.ts"
import { transitions } from "../../src/internal/connectionState.ts"

/** The life of a connection once more, as somebody would tell it. What is not told here changes nothing. */
const told = `
open         peerEnded      readEnded
open         closeWrite     writeEnding   endWrite
open         close          closing       armClose discardInput endWrite
open         abort          resetting     reset
open         failed         resetting     reset

readEnded    closeWrite     bothEnding    endWrite
readEnded    close          bothEnding    armClose discardInput endWrite
readEnded    abort          resetting     reset
readEnded    failed         resetting     reset

writeEnding  peerEnded      bothEnding
writeEnding  writeFinished  writeEnded
writeEnding  close          closing       armClose discardInput
writeEnding  abort          resetting     reset
writeEnding  failed         resetting     reset

writeEnded   peerEnded      releasing     release
writeEnded   close          lingering     armLinger discardInput
writeEnded   abort          resetting     reset
writeEnded   failed         resetting     reset

bothEnding   writeFinished  releasing     release
bothEnding   close          bothEnding    armClose discardInput
bothEnding   closeExpired   resetting     reset
bothEnding   abort          resetting     reset
bothEnding   failed         resetting     reset

closing      peerEnded      bothEnding
closing      writeFinished  lingering     armLinger
closing      closeExpired   resetting     reset
closing      abort          resetting     reset
closing      failed         resetting     reset

lingering    peerEnded      releasing     release
lingering    lingerExpired  releasing     release
lingering    abort          resetting     reset
lingering    failed         resetting     reset

releasing    abort          resetting     reset
releasing    released       closed        settle
resetting    released       closed        settle
`

const expected = new Map(
  told.split("\n").filter((line) => line !== "").map((line) => {
    const [state, event, ...step] = line.split(/\s+/)
    return [`${state} × ${event}`, step]
  })
)

const states = Object.keys(transitions) as Array<State>
const events = Array.from(new Set(Object.values(transitions).flatMap((steps) => Object.keys(steps) as Array<Event>)))

const stepOf = (state: State, event: Event): Step | undefined => transitions[state][event]

/** Where a sequence of events leads to, and what is done on the way. */
const run = (
  from: State,
  sequence: ReadonlyArray<Event>
): { readonly state: State; readonly actions: Array<Action> } => {
  let state = from
  const done: Array<Action> = []
  for (const event of sequence) {
    const step = stepOf(state, event)
    if (step === undefined) continue
    const [next, ...actions] = step
    state = next
    done.push(...actions)
  }
  return { state, actions: done }
}

const count = (actions: ReadonlyArray<Action>, ...which: ReadonlyArray<Action>) =>
  actions.filter((action) => which.includes(action)).length

const anyEvent = FastCheck.constantFrom(...events)
const anySequence = FastCheck.array(anyEvent, { maxLength: 30 })

describe("connectionState", () => {
  it("has ten states and nine events", () => {
    assert.strictEqual(states.length, 10)
    assert.strictEqual(events.length, 9)
  })

  describe("every event in every state", () => {
    for (const state of states) {
      for (const event of events) {
        const step = expected.get(`${state} × ${event}`)
        it(`${state} × ${event} → ${step === undefined ? "stays" : step.join(" ")}`, () => {
          assert.deepStrictEqual(stepOf(state, event), step as unknown as Step | undefined)
        })
      }
    }

    it("is told above, and nothing else is", () => {
      const listed = states.flatMap((state) => Object.keys(transitions[state]).map((event) => `${state} × ${event}`))
      assert.deepStrictEqual(listed.toSorted(), [...expected.keys()].toSorted())
    })
  })

  describe("reachability", () => {
    it("every state is reached from open", () => {
      const reached = new Set<State>(["open"])
      for (const state of reached) {
        for (const event of events) reached.add(stepOf(state, event)?.[0] ?? state)
      }
      assert.deepStrictEqual([...reached].toSorted(), [...states].toSorted())
    })

    it("an abort and the release lead from every state to closed", () => {
      for (const state of states) assert.strictEqual(run(state, ["abort", "released"]).state, "closed", state)
    })

    it("a failure and the release lead from every state to closed", () => {
      for (const state of states) assert.strictEqual(run(state, ["failed", "released"]).state, "closed", state)
    })

    it("a close, both ends in any order, and the release lead from every state to closed", () => {
      for (const state of states) {
        assert.strictEqual(run(state, ["close", "peerEnded", "writeFinished", "released"]).state, "closed", state)
        assert.strictEqual(run(state, ["close", "writeFinished", "peerEnded", "released"]).state, "closed", state)
      }
    })

    it("a close leads to closed with nothing but its deadlines and the release", () => {
      for (const state of states) {
        assert.strictEqual(run(state, ["close", "closeExpired", "lingerExpired", "released"]).state, "closed", state)
      }
    })

    it("a deadline that is armed has a state in which it expires", () => {
      for (const state of states) {
        const step = stepOf(state, "close")
        if (step?.includes("armClose")) assert.isDefined(stepOf(step[0], "closeExpired"), state)
        if (step?.includes("armLinger")) assert.isDefined(stepOf(step[0], "lingerExpired"), state)
      }
    })

    it("nothing leaves closed", () => {
      for (const event of events) assert.isUndefined(stepOf("closed", event))
    })
  })

  describe("whatever happens, in whatever order", () => {
    it.prop("it settles at most once, last, and exactly when it is closed", [anySequence], ([sequence]) => {
      const { actions, state } = run("open", sequence)
      assert.strictEqual(count(actions, "settle"), state === "closed" ? 1 : 0)
      if (state === "closed") assert.strictEqual(actions.at(-1), "settle")
    })

    it.prop(
      "the carrier is released once or reset once, or first the one and then the other",
      [anySequence],
      ([sequence]) => {
        const { actions, state } = run("open", sequence)
        const ways = actions.filter((action) => action === "release" || action === "reset").join(" ")
        const gone = state === "releasing" || state === "resetting" || state === "closed"
        assert.include(gone ? ["release", "reset", "release reset"] : [""], ways)
      }
    )

    it.prop("the write side ends at most once", [anySequence], ([sequence]) => {
      assert.isAtMost(count(run("open", sequence).actions, "endWrite"), 1)
    })

    it.prop("it is released in order only after this side has ended", [anySequence], ([sequence]) => {
      const { actions } = run("open", sequence)
      if (actions.includes("release")) {
        assert.isTrue(actions.includes("endWrite"))
        assert.isBelow(actions.indexOf("endWrite"), actions.indexOf("release"))
      }
    })

    it.prop("an abort and the release end it", [anySequence], ([sequence]) => {
      assert.strictEqual(run("open", [...sequence, "abort", "released"]).state, "closed")
    })
  })
})
