/**
 * The handshakes of Node's TLS over a carrier.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { EventEmitter } from "node:events"
import * as tls from "node:tls"
import type { Timers } from "../../internal/connection.ts"
import * as Turn from "../../internal/turn.ts"
import type { TlsCarrier } from "./tlsCarrier.ts"

export interface Outcome {
  readonly secure: (socket: tls.TLSSocket) => void
  /** With the socket, where there is one to ask: it may be destroyed already. */
  readonly failed: (cause: unknown, socket: tls.TLSSocket | undefined) => void
}

export interface Handshake<E, Err> {
  /** Starts it. */
  readonly begin: (carrier: TlsCarrier<E>, outcome: Outcome) => void
  /** What Node and OpenSSL say of the peer is not enough: what is wrong with a socket that is secure. */
  readonly verify: (socket: tls.TLSSocket) => Err | undefined
  readonly describe: (cause: unknown, socket: tls.TLSSocket | undefined) => Err
  /** In milliseconds. */
  readonly timeout: number
  readonly timedOut: () => Err
}

/** Bytes before the end of the handshake are TLS's own: what ends there is no end of the peer's. */
const ended = Object.assign(new Error("The connection ended during the handshake"), { code: "ECONNRESET" })
const endedHere = Object.assign(new Error("This side had ended its writing before"), { code: "EPIPE" })

/** Suspends until the peer is verified. Whatever comes of it, the carrier has to be left. */
export const perform = <E, Err>(
  carrier: TlsCarrier<E>,
  handshake: Handshake<E, Err>,
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
    const failed: Outcome["failed"] = (cause, socket) =>
      settle(Effect.fail(carrier.loss === undefined ? handshake.describe(cause, socket) : carrier.loss.error))

    const cancelDeadline = timers.schedule(
      handshake.timeout,
      () => settle(Effect.fail(handshake.timedOut()))
    )
    // What TLS has to say of the last bytes comes first.
    carrier.once("end", () => Turn.macrotask(() => failed(ended, undefined)))
    carrier.onEndedBeneath = () => failed(endedHere, undefined)
    handshake.begin(carrier, {
      failed,
      secure: (socket) => {
        if (over) return
        watchEnd(socket, carrier)
        const wrong = handshake.verify(socket)
        settle(wrong === undefined ? Effect.succeed(socket) : Effect.fail(wrong))
      }
    })
    return Effect.sync(() => {
      over = true
      cancelDeadline()
    })
  })

/**
 * Node tells the peer's close_notify and the bare end of the carrier in the same way, by pushing `null`. But the first one
 * comes while the carrier is still there.
 */
const watchEnd = <E>(socket: tls.TLSSocket, carrier: TlsCarrier<E>): void => {
  const push = socket.push.bind(socket)
  socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk === null && !carrier.inputOver) carrier.closeNotified = true
    return push(chunk, encoding)
  }
}

/** What is not heard would end the process. */
const ignored = () => {}

export const connect =
  (options: tls.ConnectionOptions, onSession: (session: Uint8Array) => void) =>
  <E>(carrier: TlsCarrier<E>, { failed, secure }: Outcome): void => {
    // Verified by `verify`, while the peer's certificates can still be asked for: Node would destroy the socket before.
    const socket = tls.connect({
      ...options,
      socket: carrier,
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
export const accept = (server: tls.Server) => <E>(carrier: TlsCarrier<E>, { failed, secure }: Outcome): void => {
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
  EventEmitter.prototype.emit.call(own, "connection", carrier)
}
