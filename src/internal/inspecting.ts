/**
 * What people see who print a thing, or compare it in a test: not its buffers, timers and fibers.
 *
 * @internal
 */
import * as Inspectable from "effect/Inspectable"
import type { Transport } from "../Transport.ts"

export const inspected = (transport: Transport<unknown>): object => ({
  _id: "Transport",
  localAddress: `${transport.localAddress}`,
  remoteAddress: `${transport.remoteAddress}`,
  ...transport.stats()
})

/** A prototype (`__proto__`) for objects that are made without a class. */
export const printedAs = <A>(toJSON: (self: A) => object): Inspectable.Inspectable => ({
  ...Inspectable.BaseProto,
  toJSON(this: A) {
    return toJSON(this)
  }
})

/** An object with such a prototype. */
export interface Printed {
  readonly __proto__: Inspectable.Inspectable
}
