import { assert, describe, it } from "@effect/vitest"
import { RoundTrip } from "../../../../src/testing/internal/sim/roundTrip.ts"

const after = (...times: ReadonlyArray<number>): RoundTrip => {
  const roundTrip = new RoundTrip()
  for (const time of times) roundTrip.measure(time)
  return roundTrip
}

describe("the wait for an acknowledgement", () => {
  it("is a second before anything is known", () => assert.strictEqual(after().timeout, 1000))

  it("is the first round trip and 200 ms, or twice its length more", () => {
    assert.strictEqual(after(0).timeout, 200)
    assert.strictEqual(after(20).timeout, 220)
    assert.strictEqual(after(1000).timeout, 3000)
  })

  it("comes close to round trips that do not vary, and keeps away from those that do", () => {
    const steady = after(...Array.from({ length: 100 }, () => 1000)).timeout
    assert.approximately(steady, 1200, 1)
    assert.isAbove(after(...Array.from({ length: 100 }, (_, index) => index % 2 === 0 ? 500 : 1500)).timeout, 2000)
  })

  it("doubles each time that nothing came, up to 2 minutes, and is the old one again when something does", () => {
    const roundTrip = after(0)
    const waits = Array.from({ length: 12 }, () => {
      const { timeout } = roundTrip
      roundTrip.backOff()
      return timeout
    })
    assert.deepStrictEqual(waits.slice(0, 3), [200, 400, 800])
    assert.deepStrictEqual(waits.slice(-3), [102_400, 120_000, 120_000])
    roundTrip.recover()
    assert.strictEqual(roundTrip.timeout, 200)
  })
})
