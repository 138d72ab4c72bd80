/**
 * `cat`: the standard streams joined to a connection.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Connector } from "../Connector.ts"
import { firstOf } from "../internal/firstOf.ts"
import type { Network } from "../Network.ts"
import type { Transport } from "../Transport.ts"
import type { Failure } from "./connections.ts"
import * as Policies from "./policies.ts"
import * as Stdio from "./stdio.ts"

/**
 * To the end of the standard input, then half-close. What the connection fails with is for the other direction to tell,
 * after the bytes that came before the loss.
 */
const send = (transport: Transport<Failure>): Effect.Effect<void, Stdio.InputFailed> => {
  const loop: Effect.Effect<void, Stdio.InputFailed> = Effect.flatMap(Stdio.read, (bytes) =>
    bytes === null
      ? Effect.ignore(transport.closeWrite)
      : Effect.matchEffect(transport.write(bytes), { onFailure: () => Effect.void, onSuccess: () => loop }))
  return loop
}

const receive = (transport: Transport<Failure>): Effect.Effect<void, Failure> => transport.forEach(Stdio.write)

/** Ends when the peer has ended; what was read from the standard input until then is still sent. */
const joined = (transport: Transport<Failure>): Effect.Effect<void, Failure> =>
  firstOf(receive(transport), Effect.zipRight(send(transport), Effect.never)).pipe(
    Effect.zipRight(transport.close),
    Effect.zipRight(transport.closed),
    Effect.flatMap((reason) => reason._tag === "Lost" ? Effect.fail(reason.error) : Effect.void),
    // The reader of the output has seen enough.
    Effect.catchAll((error) =>
      error instanceof Stdio.OutputFailed && error.code === "EPIPE" ? Effect.void : Effect.fail(error)
    )
  )

export const cat = (
  connector: Connector<Failure, Failure>,
  options: Policies.Options
): Effect.Effect<void, Failure, Network> =>
  Effect.scoped(
    Effect.flatMap(Policies.make(options, "client"), (policies) =>
      connector.connect.pipe(Effect.flatMap(policies), Effect.flatMap(joined)))
  )
