/** Pairs whose ends have gone through a stream of the host, and come back. */
import * as Effect from "effect/Effect"
import * as Duplex from "../../src/node/Duplex.ts"
import type * as Conformance from "../../src/testing/Conformance.ts"
import type { Limits, Transport } from "../../src/Transport.ts"

const thereAndBack = (transport: Transport, limits: Limits) =>
  Effect.flatMap(Duplex.to(transport), (duplex) => {
    const { localAddress, remoteAddress } = transport
    return Duplex.from(duplex, { ...limits, localAddress, remoteAddress })
  })

export const viaDuplex = (makePair: Conformance.MakePair): Conformance.MakePair => (limits) =>
  Effect.flatMap(
    makePair(limits),
    ([left, right]) => Effect.all([thereAndBack(left, limits), thereAndBack(right, limits)])
  )
