import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { describe, expectTypeOf, it } from "vitest"
import * as Address from "../../src/Address.ts"
import type { Listener } from "../../src/Listener.ts"
import * as Network from "../../src/Network.ts"
import type * as SocketActivation from "../../src/node/SocketActivation.ts"
import type * as Tcp from "../../src/node/Tcp.ts"
import type * as Unix from "../../src/node/Unix.ts"
import * as Observability from "../../src/Observability.ts"
import * as Server from "../../src/server/Server.ts"
import type { Transport } from "../../src/Transport.ts"

declare const tcp: Listener<Address.TcpAddress>
declare const unix: Listener<Address.UnixAddress>
declare const handled: Effect.Effect<void>
declare const accepts: (effect: Effect.Effect<unknown, unknown, Scope.Scope>) => void

describe("the address of a listener", () => {
  it("is of the kind that was asked for", () => {
    const tcp = Network.listen(Address.tcp("127.0.0.1", 0))
    expectTypeOf<Effect.Effect.Success<typeof tcp>["address"]>().toEqualTypeOf<Address.TcpAddress>()
    const unix = Network.listen(Address.unix("/run/app.sock"))
    expectTypeOf<Effect.Effect.Success<typeof unix>["address"]>().toEqualTypeOf<Address.UnixAddress>()
    expectTypeOf<Effect.Effect.Success<ReturnType<typeof Tcp.listen>>>().toEqualTypeOf<Listener<Address.TcpAddress>>()
    expectTypeOf<Effect.Effect.Success<ReturnType<typeof Unix.listen>>>().toEqualTypeOf<Listener<Address.UnixAddress>>()
  })

  it("may be of either kind where a descriptor is taken over", () => {
    expectTypeOf<SocketActivation.Activated["listener"]["address"]>()
      .toEqualTypeOf<Address.TcpAddress | Address.UnixAddress>()
  })

  it("is any where nobody says more", () => {
    expectTypeOf<Listener["address"]>().toEqualTypeOf<Address.Address>()
    expectTypeOf<Listener<Address.TcpAddress>>().toExtend<Listener>()
  })
})

describe("a handler", () => {
  it("gets the listener that was given", () => {
    const taking = (
      listener: Listener<Address.TcpAddress>
    ) => (expectTypeOf(listener.address.port).toBeNumber(), handled)
    accepts(Server.serve(tcp, (_, listener) => taking(listener)))
    accepts(Server.serve([tcp, tcp], (_, listener) => taking(listener)))
    accepts(Server.make(tcp, (_, listener) => taking(listener)))
    // @ts-expect-error: a listener on a path has no port
    accepts(Server.serve(unix, (_, listener) => taking(listener)))
    // @ts-expect-error: one of them has none
    accepts(Server.serve([tcp, unix], (_, listener) => taking(listener)))
  })

  it("gets one of several, whatever they are", () => {
    accepts(Server.serve([tcp, unix], (_, listener) => {
      expectTypeOf(listener).toEqualTypeOf<Listener<Address.TcpAddress> | Listener<Address.UnixAddress>>()
      return handled
    }))
  })

  it("may ask for any, and for none", () => {
    accepts(Server.serve(
      [tcp, unix],
      (
        ...[, listener]: [Transport, Listener]
      ) => (expectTypeOf(listener.address).toEqualTypeOf<Address.Address>(), handled)
    ))
    accepts(Server.serve([tcp, unix], () => handled))
    accepts(Server.serve([], () => handled))
    expectTypeOf(Server.serve(tcp, () => handled)).toEqualTypeOf<Effect.Effect<Server.ServerReport>>()
  })

  it("keeps what it asks for when it is observed", () => {
    const observed = Observability.handler((
      _: Transport,
      { address }: Listener<Address.TcpAddress>
    ) => (expectTypeOf(address.port).toBeNumber(), handled))
    type Observed = Effect.Effect.Success<typeof observed>
    accepts(Server.serve(tcp, null as unknown as Observed))
    // @ts-expect-error: a listener on a path has no port
    accepts(Server.serve(unix, null as unknown as Observed))
    expectTypeOf<Effect.Effect.Success<ReturnType<typeof anyObserved>>>()
      .toEqualTypeOf<(transport: Transport, listener?: Listener) => Effect.Effect<void>>()
  })
})

const anyObserved = () => Observability.handler((transport: Transport) => transport.close)

describe("the listeners of a server", () => {
  it("are those that it was made of", () => {
    const server = Server.make([tcp, unix], () => handled)
    expectTypeOf<Effect.Effect.Success<typeof server>["listeners"][number]>()
      .toEqualTypeOf<Listener<Address.TcpAddress> | Listener<Address.UnixAddress>>()
    expectTypeOf<Server.Server<Listener<Address.TcpAddress>>>().toExtend<Server.Server>()
  })
})
