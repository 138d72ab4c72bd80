/**
 * The handshakes of Node's TLS over a carrier.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { EventEmitter } from "node:events"
import type { Duplex } from "node:stream"
import * as tls from "node:tls"
import type { Timers } from "../../internal/connection.ts"

/** What TLS lies on. */
export interface Carrier<E> {
  readonly stream: Duplex
  /** What the carrier was lost of. */
  readonly loss: { readonly error: E } | undefined
  /** Calls `begin` when TLS can have the stream; `failed` when the carrier fails or ends before the handshake is over. */
  readonly prepare: (begin: () => void, failed: (cause: unknown) => void) => void
  /** The handshake is over. */
  readonly secured: (socket: tls.TLSSocket) => void
  /** `false`: a failure of TLS itself. Otherwise it calls `then` when `loss` tells what it was. */
  readonly fails: (cause: unknown, then: () => void) => boolean
}

export interface Outcome {
  readonly secure: (socket: tls.TLSSocket) => void
  /** With the socket, where there is one to ask: it may be destroyed already. */
  readonly failed: (cause: unknown, socket: tls.TLSSocket | undefined) => void
}

export interface Handshake<Err> {
  /** Starts it. */
  readonly begin: (stream: Duplex, outcome: Outcome) => void
  /** What Node and OpenSSL say of the peer is not enough: what is wrong with a socket that is secure. */
  readonly verify: (socket: tls.TLSSocket) => Err | undefined
  readonly describe: (cause: unknown, socket: tls.TLSSocket | undefined) => Err
  /** In milliseconds. */
  readonly timeout: number
  readonly timedOut: () => Err
}

/** Bytes before the end of the handshake are TLS's own: what ends there is no end of the peer's. */
export const handshakeEnded = Object.assign(new Error("The connection ended during the handshake"), {
  code: "ECONNRESET"
})

/** Suspends until the peer is verified. Whatever comes of it, the carrier has to be left. */
export const perform = <E, Err>(
  carrier: Carrier<E>,
  handshake: Handshake<Err>,
  timers: Timers
): Effect.Effect<tls.TLSSocket, E | Err> =>
  Effect.async((resume) => {
    let over = false
    const settle = (outcome: Effect.Effect<tls.TLSSocket, E | Err>) => {
      if (over) return
      over = true
      cancelDeadline()
      resume(outcome)
    }
    const failed = (cause: unknown, socket?: tls.TLSSocket) => {
      const tell = () =>
        settle(Effect.fail(carrier.loss === undefined ? handshake.describe(cause, socket) : carrier.loss.error))
      if (!carrier.fails(cause, tell)) tell()
    }
    const secure = (socket: tls.TLSSocket) => {
      if (over) return
      carrier.secured(socket)
      const wrong = handshake.verify(socket)
      settle(wrong === undefined ? Effect.succeed(socket) : Effect.fail(wrong))
    }

    const cancelDeadline = timers.schedule(
      handshake.timeout,
      () => settle(Effect.fail(handshake.timedOut()))
    )
    carrier.prepare(() => over || handshake.begin(carrier.stream, { failed, secure }), failed)
    return Effect.sync(() => {
      over = true
      cancelDeadline()
    })
  })

/** What is not heard would end the process. */
const ignored = () => {}

export const connect =
  (options: tls.ConnectionOptions, onSession: (session: Uint8Array) => void) =>
  (stream: Duplex, { failed, secure }: Outcome): void => {
    // Verified by `verify`, while the peer's certificates can still be asked for: Node would destroy the socket before.
    const socket = tls.connect({
      ...options,
      socket: stream,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined
    })
    socket
      .on("error", (cause) => failed(cause, socket))
      .on("session", onSession)
      .once("secureConnect", () => secure(socket))
  }

/**
 * `tls.Server` takes connections by its event `'connection'` (Node's documentation of `tls.Server` says so) and tells of all
 * of them by events of its own. An object that inherits from it, one for each connection, hears only of that one.
 */
export const accept = (server: tls.Server) => (stream: Duplex, { failed, secure }: Outcome): void => {
  const heard: Record<string, (...args: ReadonlyArray<never>) => void> = {
    secureConnection: (socket: tls.TLSSocket) => {
      socket.on("error", ignored)
      secure(socket)
    },
    tlsClientError: failed
  }
  const emit = (event: string, ...args: ReadonlyArray<never>): boolean => {
    heard[event]?.(...args)
    return event in heard
  }
  const own = Object.create(server, { emit: { value: emit } }) as tls.Server
  // Its own `emit` is for what Node tells.
  EventEmitter.prototype.emit.call(own, "connection", stream)
}
