/**
 * A counter that is kept on several hosts: each counts by itself, tells the others, and all come to the same number, however
 * often hosts crash and connections are lost in between. What is told is everything that is known, not what is new: to
 * hear it twice does no harm (a state-based G-Counter, Shapiro et al. 2011).
 *
 * test/examples/counter.test.ts runs three of them on a simulated network, under hundreds of fault scripts.
 *
 *   npx tsx examples/counter.ts 4001 4002 4003
 *   npx tsx examples/counter.ts 4002 4001 4003
 *   npx tsx examples/counter.ts 4003 4001 4002
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Address from "effect-transport/Address"
import * as Framed from "effect-transport/framing/Framed"
import * as Ndjson from "effect-transport/framing/Ndjson"
import * as SchemaCodec from "effect-transport/framing/SchemaCodec"
import * as Network from "effect-transport/Network"
import * as NodeNetwork from "effect-transport/node/NodeNetwork"
import * as Server from "effect-transport/server/Server"
import type { Transport } from "effect-transport/Transport"

/** What each host has counted, as far as it is known. */
const Counts = Schema.Record({ key: Schema.String, value: Schema.NonNegativeInt })
export type Counts = typeof Counts.Type

export interface Replica {
  readonly name: string
  readonly address: Address.Address
  readonly peers: ReadonlyArray<Address.Address>
  /** What survives a crash, as a disk would. */
  readonly counts: SubscriptionRef.SubscriptionRef<Counts>
  readonly protocol?: Protocol
}

/** What is said of the counts to a peer that has acknowledged these, and what is made of what is heard. */
export interface Protocol {
  readonly say: (name: string, counts: Counts, acknowledged: Counts) => Counts
  readonly hear: (counts: Counts, said: Counts) => Counts
}

const everything: Protocol = {
  say: (_, counts) => counts,
  hear: (counts, said) => {
    const merged: Record<string, number> = { ...counts }
    for (const [name, count] of Object.entries(said)) merged[name] = Math.max(count, merged[name] ?? 0)
    return merged
  }
}

/** Both sides say counts; to hear them is acknowledged by what the hearer has then. */
const codec = SchemaCodec.make(Ndjson.make(), Counts)

export const total = (counts: Counts): number => Object.values(counts).reduce((sum, count) => sum + count, 0)

const isSame = (left: Counts, right: Counts): boolean =>
  Object.keys(right).every((name) => left[name] === right[name]) && total(left) === total(right)

export const count = ({ counts, name }: Replica) =>
  SubscriptionRef.update(counts, (all) => ({ ...all, [name]: (all[name] ?? 0) + 1 }))

const hear = ({ counts, protocol = everything }: Replica, transport: Transport) =>
  Framed.stream(transport, codec).pipe(
    Stream.mapEffect((said) => SubscriptionRef.updateAndGet(counts, (all) => protocol.hear(all, said))),
    Stream.run(Framed.sink(transport, codec))
  )

/** For ever, over one connection after the other: a peer that does not answer within 2 seconds may be gone. */
const tell = ({ counts, name, protocol = everything }: Replica, peer: Address.Address) => {
  let acknowledged: Counts = {}
  const session = Effect.gen(function*() {
    const { request } = yield* Framed.duplex(yield* Network.connect(peer), codec)
    yield* Stream.runForEach(
      Stream.changesWith(counts.changes, isSame),
      (all) =>
        request(protocol.say(name, all, acknowledged)).pipe(
          Effect.timeout("2 seconds"),
          Effect.andThen(() => {
            acknowledged = all
          })
        )
    )
  })
  return Effect.retry(Effect.scoped(session), Schedule.spaced("1 second"))
}

export const run = (replica: Replica) =>
  Effect.gen(function*() {
    const listener = yield* Network.listen(replica.address)
    yield* Effect.forEach(replica.peers, (peer) => Effect.forkScoped(tell(replica, peer)))
    return yield* Server.serve(listener, (transport) => hear(replica, transport))
  })

const main = (port: number, ...peers: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const here = (port: number) => Address.tcp("127.0.0.1", port)
    const counts = yield* SubscriptionRef.make<Counts>({})
    const replica: Replica = { name: String(port), address: here(port), peers: peers.map(here), counts }
    yield* Effect.fork(Effect.repeat(count(replica), Schedule.spaced("1 second")))
    yield* Effect.fork(Stream.runForEach(counts.changes, (all) => Console.log(total(all), JSON.stringify(all))))
    return yield* run(replica)
  }).pipe(Effect.scoped, Effect.provide(NodeNetwork.layer))

if (process.argv[1] === import.meta.filename) {
  const [port = 4001, ...peers] = process.argv.slice(2).map(Number)
  NodeRuntime.runMain(main(port, ...peers))
}
