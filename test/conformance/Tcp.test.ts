import { describe, it } from "@effect/vitest"
import * as Conformance from "../../src/testing/Conformance.ts"
import { tcpPair } from "../support/pairs.ts"

const subject: Conformance.Subject = { makePair: tcpPair }

describe.each([["dialled", subject], ["accepted", Conformance.flip(subject)]] as const)("TCP, %s", (_, subject) => {
  for (const check of Conformance.checksFor(subject)) it.live(check.name, () => check.run(subject))
})
