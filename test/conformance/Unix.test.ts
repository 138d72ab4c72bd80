import { describe, it } from "@effect/vitest"
import * as Conformance from "../../src/testing/Conformance.ts"
import { unixPair } from "../support/pairs.ts"

// unix(7): a peer that goes away is an end, whatever it left unread; a client has no name.
const subject: Conformance.Subject = { makePair: unixPair, reset: false }

describe.each([["dialled", subject], ["accepted", Conformance.flip(subject)]] as const)("UNIX, %s", (_, subject) => {
  for (const check of Conformance.checksFor(subject)) it.live(check.name, () => check.run(subject))
})
