/**
 * `cat`: the standard streams joined to a connection.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { ConnectError, ConnectionLost } from "../ConnectionError.ts"
import type { Connector } from "../Connector.ts"
import type { Network } from "../Network.ts"
import type { Transport } from "../Transport.ts"
import * as Stdio from "./stdio.ts"

/**
 * To the end of the standard input, then half-close. What the connection fails with is for the other direction to tell,
 * after the bytes that came before the loss.
 */
const send = (transport: Transport): Effect.Effect<void, Stdio.InputFailed> => {
  const loop: Effect.Effect<void, Stdio.InputFailed> = Effect.flatMap(Stdio.read, (bytes) =>
    bytes === null
      ? Effect.ignore(transport.closeWrite)
      : Effect.matchEffect(transport.write(bytes), { onFailure: () => Effect.void, onSuccess: () => loop }))
  return loop
}

const receive = (transport: Transport): Effect.Effect<void, ConnectionLost | Stdio.OutputFailed> =>
  transport.forEach(Stdio.write)

/** Ends when the peer has ended; what was read from the standard input until then is still sent. */
export const cat = (
  connector: Connector
): Effect.Effect<void, ConnectError | ConnectionLost | Stdio.InputFailed | Stdio.OutputFailed, Network> =>
  Effect.scoped(Effect.flatMap(connector.connect, (transport) =>
    Effect.zipRight(
      Effect.raceFirst(receive(transport), Effect.zipRight(send(transport), Effect.never)),
      Effect.zipRight(transport.close, sentAll(transport))
    ))).pipe(
      // The reader of the output has seen enough.
      Effect.catchTag("OutputFailed", (error) => error.code === "EPIPE" ? Effect.void : Effect.fail(error))
    )

const sentAll = (transport: Transport): Effect.Effect<void, ConnectionLost> =>
  Effect.flatMap(transport.closed, (reason) => reason._tag === "Lost" ? Effect.fail(reason.error) : Effect.void)
