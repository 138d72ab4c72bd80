/**
 * The servers of Node's that do the handshakes of the side that answers.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { constants } from "node:crypto"
import * as tls from "node:tls"
import type { Options, ServerOptions } from "../Tls.ts"
import type { Context } from "../TlsContext.ts"
import { ContextTypeId } from "../TlsContext.ts"
import type { AnyEnd } from "./tlsLayer.ts"
import { defaultTimeout } from "./tlsLayer.ts"

/** The last one that was made, as long as the context is the same: making one reads the keys again. */
export const servers = ({ alpn, clientCertificate, serverNames, timeout }: AnyEnd<ServerOptions<unknown, unknown>>) => {
  let made: { readonly context: Context; readonly server: tls.Server } | undefined
  return (context: Context, runtime: Runtime.Runtime<never>): tls.Server => {
    if (made?.context === context) return made.server
    const { [ContextTypeId]: resolved } = context
    if (resolved.key === undefined) throw new TypeError("A TLS server needs a context with an identity")
    const server = tls.createServer({
      ...resolved,
      ...(alpn && { ALPNProtocols: [...alpn] }),
      ...(serverNames && { SNICallback: choosing(serverNames, timeout, runtime) }),
      // OpenSSL resumes the session of one name under another one, without asking for the context of that: a client would be
      // let in whom only the trust roots of the first one vouch for.
      ...(serverNames && clientCertificate !== undefined && { secureOptions: constants.SSL_OP_NO_TICKET }),
      requestCert: clientCertificate !== undefined,
      rejectUnauthorized: clientCertificate === "required",
      // The deadline is this module's, by the Clock.
      handshakeTimeout: 2 ** 31 - 1
    })
    made = { context, server }
    return server
  }
}

type Choose = (serverName: string, chosen: (error: Error | null, context?: tls.SecureContext) => void) => void

/** Node does not say for which connection it asks: that its handshake is over, is known by the time only. */
const choosing = (
  serverNames: NonNullable<ServerOptions["serverNames"]>,
  timeout: Options["timeout"],
  runtime: Runtime.Runtime<never>
): Choose =>
(serverName, chosen) => {
  const choice = Effect.timeout(serverNames(serverName), timeout ?? defaultTimeout)
  Runtime.runFork(runtime, Effect.interruptible(choice)).addObserver((exit) =>
    Exit.isSuccess(exit)
      ? chosen(null, exit.value?.secureContext)
      : chosen(new Error("serverNames did not answer", { cause: Cause.squash(exit.cause) }))
  )
}
