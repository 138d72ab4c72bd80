import * as Effect from "effect/Effect"
import { describe, expectTypeOf, test } from "vitest"
import * as ConnectionError from "../../src/ConnectionError.ts"

type Tags<E extends { readonly _tag: string }> = E["_tag"]

describe("the unions are closed", () => {
  test("ConnectionLost", () => {
    expectTypeOf<Tags<ConnectionError.ConnectionLost>>().toEqualTypeOf<
      | "ConnectionReset"
      | "BrokenPipe"
      | "ConnectionAborted"
      | "ConnectionClosed"
      | "ConnectionTimedOut"
      | "CloseTimeout"
      | "PeerUnreachable"
      | "ConnectionFailed"
    >()
  })

  test("ResolveError", () => {
    expectTypeOf<Tags<ConnectionError.ResolveError>>().toEqualTypeOf<
      "HostNotFound" | "ResolverUnavailable" | "TooManyOpenFiles"
    >()
  })

  test("ConnectError", () => {
    expectTypeOf<Tags<ConnectionError.ConnectError>>().toEqualTypeOf<
      | "ConnectionRefused"
      | "ConnectTimeout"
      | "HostNotFound"
      | "ResolverUnavailable"
      | "HostUnreachable"
      | "NetworkUnreachable"
      | "ConnectionReset"
      | "BindFailed"
      | "ConnectFailed"
      | "PathNotFound"
      | "PathTooLong"
      | "PermissionDenied"
      | "TooManyOpenFiles"
      | "AddressUnsupported"
    >()
  })

  test("ListenError", () => {
    expectTypeOf<Tags<ConnectionError.ListenError>>().toEqualTypeOf<
      | "AddressInUse"
      | "AddressNotAvailable"
      | "PathNotFound"
      | "PathTooLong"
      | "PermissionDenied"
      | "TooManyOpenFiles"
      | "AddressUnsupported"
      | "InvalidDescriptor"
      | "ListenFailed"
    >()
  })

  test("a class has its own name as its tag", () => {
    type Module = typeof ConnectionError
    type Wrong = {
      [Name in keyof Module]: Module[Name] extends new(...args: never) => { readonly _tag: infer Tag }
        ? [Tag, Name] extends [Name, Tag] ? never : Name
        : never
    }[keyof Module]
    expectTypeOf<Wrong>().toEqualTypeOf<never>()
  })

  test("who has handled every loss has none left", () => {
    const open = null as unknown as Effect.Effect<void, ConnectionError.ConnectionLost | ConnectionError.WriteAfterEnd>
    const handled = Effect.catchIf(open, ConnectionError.isConnectionLost, () => Effect.void)
    expectTypeOf<Effect.Effect.Error<typeof handled>>().toEqualTypeOf<ConnectionError.WriteAfterEnd>()
  })

  test("a loss has its details, whatever it is", () => {
    expectTypeOf<ConnectionError.ConnectionLost>().toExtend<ConnectionError.LossDetail>()
    expectTypeOf<ConnectionError.ConnectionLost>().toExtend<Effect.Effect<never, ConnectionError.ConnectionLost>>()
  })
})
