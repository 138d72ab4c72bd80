/** The handler of `handler.ts` on top of one of the library's own network layers, or of several. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ConnectionLimit from "effect-transport/policy/ConnectionLimit"
import * as Deadline from "effect-transport/policy/Deadline"
import * as IdleTimeout from "effect-transport/policy/IdleTimeout"
import * as Tap from "effect-transport/policy/Tap"
import * as Throttle from "effect-transport/policy/Throttle"
import * as Wiretap from "effect-transport/policy/Wiretap"
import * as WriteStalled from "effect-transport/policy/WriteStalled"
import * as ProxyProtocol from "effect-transport/server/ProxyProtocol"
import type { Transport } from "effect-transport/Transport"
import { serve } from "./serving.ts"

type Layer = (transport: Transport<any>) => Effect.Effect<Transport<any>, unknown, Scope.Scope>

const unlimited = 1e12
const limit = Effect.runSync(ConnectionLimit.make({ total: 1e6, perPeer: 1e6 }))
const shared = Effect.runSync(Throttle.share(unlimited))

let bytes = 0
const count = (more: number) => {
  bytes += more
}

/** None of them ever limits anything here: what they cost is what they do besides. */
const layers: Record<string, Layer> = {
  ConnectionLimit: limit.admit,
  ProxyProtocol: ProxyProtocol.read({ trusted: [], untrusted: "pass" }),
  Deadline: Deadline.make({ duration: "1 hour" }),
  IdleTimeout: IdleTimeout.make({ duration: "1 hour" }),
  WriteStalled: WriteStalled.make({ duration: "1 hour" }),
  Throttle: Throttle.make({ read: unlimited, write: unlimited }),
  "Throttle.share": Throttle.make({ read: shared, write: shared }),
  Tap: Tap.make(() => ({ read: count, written: count })),
  Wiretap: Wiretap.make(Wiretap.pcapng(({ length }) => count(length)))
}

const chosen = process.argv[3]!.split(",").map((name) => layers[name]!)

const stack = (transport: Transport) =>
  chosen.reduce<ReturnType<Layer>>((below, layer) => Effect.flatMap(below, layer), Effect.succeed(transport))

serve((transport) => Effect.flatMap(stack(transport), (top) => top.forEach(top.write)))
