/**
 * Whether a transport keeps the process.
 *
 * @internal
 */
import { hasProperty } from "effect/Predicate"
import type { Transport } from "../../Transport.ts"

export type Referring = "ref" | "unref"

/** Passed on to what carries the transport, if that has it. */
export const refer = ({ unsafeHandle }: Pick<Transport<unknown>, "unsafeHandle">, how: Referring): void => {
  if (hasProperty(unsafeHandle, how) && typeof unsafeHandle[how] === "function") unsafeHandle[how]()
}
