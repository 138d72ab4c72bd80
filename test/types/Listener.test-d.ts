import type * as Effect from "effect/Effect"
import { describe, expectTypeOf, it } from "vitest"
import * as Address from "../../src/Address.ts"
import type { Listener } from "../../src/Listener.ts"
import * as Network from "../../src/Network.ts"
import type * as SocketActivation from "../../src/node/SocketActivation.ts"
import type * as Tcp from "../../src/node/Tcp.ts"
import type * as Unix from "../../src/node/Unix.ts"

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
