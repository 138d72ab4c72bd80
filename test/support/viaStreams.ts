/** Transports over the web's streams. */
import * as Effect from "effect/Effect"
import * as Address from "../../src/Address.ts"
import type * as Conformance from "../../src/testing/Conformance.ts"
import type { Limits, Transport } from "../../src/Transport.ts"
import * as Streams from "../../src/web/Streams.ts"

const thereAndBack = (transport: Transport, limits: Limits) =>
  Effect.flatMap(Streams.to(transport), (streams) => {
    const { localAddress, remoteAddress } = transport
    return Streams.from(streams, { ...limits, localAddress, remoteAddress })
  })

export const viaStreams = (makePair: Conformance.MakePair): Conformance.MakePair => (limits) =>
  Effect.flatMap(
    makePair(limits),
    ([left, right]) => Effect.all([thereAndBack(left, limits), thereAndBack(right, limits)])
  )

/** A copy, as a kernel makes one: the writer may use its buffer again. */
const copying = () =>
  new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => controller.enqueue(new Uint8Array(chunk))
  })

/** What one writes the other reads, by two streams of the host. */
export const streamsPair: Conformance.MakePair = (limits) =>
  Effect.suspend(() => {
    const [there, back] = [copying(), copying()]
    const [left, right] = [Address.pipe("left"), Address.pipe("right")]
    return Effect.all([
      Streams.from({ readable: back.readable, writable: there.writable }, {
        ...limits,
        localAddress: left,
        remoteAddress: right
      }),
      Streams.from({ readable: there.readable, writable: back.writable }, {
        ...limits,
        localAddress: right,
        remoteAddress: left
      })
    ])
  })
