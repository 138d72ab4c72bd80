import * as Effect from "effect/Effect"
import * as Wiretap from "../../src/policy/Wiretap.ts"
import { conformsThrough } from "../support/conforms.ts"

conformsThrough("tapped", (makePair) => (limits) =>
  Effect.gen(function*() {
    const [left, right] = yield* makePair(limits)
    const shown: Array<unknown> = []
    return [yield* Wiretap.make(Wiretap.pcapng((block) => shown.push(block)))(left), right] as const
  }))
