import { describe, it } from "@effect/vitest"
import * as Conformance from "../../src/testing/Conformance.ts"
import { duplexPair, socketPair } from "../support/pairs.ts"

const subjects: ReadonlyArray<readonly [name: string, subject: Conformance.Subject]> = [
  ["two joined streams", { makePair: duplexPair, bulk: 1_000_000 }],
  // A stream has no reset; on a socket, abort is a plain close.
  ["sockets", { makePair: socketPair, reset: false }]
]

describe.each(subjects)("Duplex over %s", (_, subject) => {
  for (const check of Conformance.checksFor(subject)) it.live(check.name, () => check.run(subject))
})
