/**
 * The layer of TLS, whichever side it is and whatever it lies on: the handshake, and the transport that comes of it.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { pipe } from "effect/Function"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { TLSSocket } from "node:tls"
import * as Address from "../../Address.ts"
import type { ConnectionLost } from "../../ConnectionError.ts"
import { ConnectTimeout, systemFailure } from "../../ConnectionError.ts"
import * as Driver from "../../Driver.ts"
import { timersOf } from "../../internal/timers.ts"
import * as NetworkLayer from "../../NetworkLayer.ts"
import type { Transport } from "../../Transport.ts"
import type { Info, LenientTlsTransport, Options, TlsTransport } from "../Tls.ts"
import type { TlsError, TlsLost } from "../TlsError.ts"
import { TlsFailed, TlsTruncated } from "../TlsError.ts"
import { coreOf } from "./streamDriver.ts"
import { alertOf } from "./tlsAlerts.ts"
import { TlsCarrier } from "./tlsCarrier.ts"
import { DetectingDriver } from "./tlsDetecting.ts"
import type { Failures, TlsDriver } from "./tlsDriver.ts"
import * as Handshake from "./tlsHandshake.ts"
import { SocketCarrier, SocketTlsDriver } from "./tlsSocket.ts"
import type { Ends } from "./tlsVerification.ts"
import { broken, endsOf, isHandshakeError } from "./tlsVerification.ts"

export type AnyEnd<O extends Options> = Omit<O, "truncation"> & { readonly truncation?: "fail" | "end" | undefined }

/** Which of them it is, the options say. */
type Opened<E> = TlsTransport<E> & LenientTlsTransport<E>

/** What is different at the two sides. */
export interface Side<CE, CR> {
  readonly begin: Effect.Effect<Handshake.Handshake<TlsError>["begin"], CE, CR>
  readonly verify: (socket: TLSSocket) => TlsError | undefined
  readonly agreed: (socket: TLSSocket) => Info
}

export const defaultTimeout = Duration.seconds(10)

/** By the socket, which is the handle of every light layer above TLS. */
export const infos = new WeakMap<TLSSocket, Info>()

/** RFC 7301 §3.1. Of an empty one of a client, Node ends the process by an assertion. */
const checkProtocols = (alpn: Options["alpn"] = []): void => {
  const wrong = alpn.find((protocol) => protocol.length === 0 || Buffer.byteLength(protocol) > 255)
  if (wrong !== undefined) {
    throw new TypeError(`An application protocol (alpn) has 1 to 255 bytes, and this one has not: "${wrong}"`)
  }
}

export const layer = <CE, CR>(options: AnyEnd<Options>, sideOf: (ends: Ends) => Side<CE, CR>) => {
  checkProtocols(options.alpn)
  return <E>(transport: Transport<E>): Effect.Effect<Opened<E>, TlsError | E | CE, CR | Scope.Scope> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.zip(Effect.runtime(), Effect.clock), ([runtime, clock]) => {
        const ends = endsOf(transport)
        const { agreed, begin, verify } = sideOf(ends)
        const duration = Duration.decode(options.timeout ?? defaultTimeout)
        const limits = Driver.resolveLimits(options)
        const run = (effect: Effect.Effect<void>) =>
          Runtime.runFork(runtime, Effect.interruptible(effect), { immediate: false })
        const isLenient = options.truncation === "end"
        const carrier = isLenient && SocketCarrier.of(transport, run) || new TlsCarrier(transport, run)
        const handshake = Effect.map(begin, (begin) =>
          Handshake.perform<E, TlsError>(carrier, {
            begin,
            verify,
            describe: (cause, socket) => broken(cause, socket, ends),
            timeout: Duration.toMillis(duration),
            timedOut: () => handshakeTimeout(ends, duration)
          }, timersOf(clock)))
        // The peer is to hear the alert that says why. Who does not even answer, hears nothing.
        const givenUp = (error: unknown) =>
          Effect.suspend(() => {
            const how = isHandshakeError(error) ? "close" : "abort"
            const left = Fiber.await(carrier.run(carrier.leave(how)))
            return how === "close" ? restore(left) : left
          })
        return pipe(
          restore(Effect.flatten(handshake)),
          Effect.tapErrorCause((cause) => givenUp(cause._tag === "Fail" ? cause.error : undefined)),
          Effect.flatMap((socket) => {
            const info = agreed(socket)
            infos.set(socket, info)
            return carrier instanceof SocketCarrier
              ? openOnSocket(socket, carrier, limits, info)
              : open(socket, carrier, limits, info, isLenient)
          })
        )
      })
    )
}

const handshakeTimeout = ({ remoteAddress }: Ends, duration: Duration.Duration): ConnectTimeout =>
  new ConnectTimeout({
    phase: "handshake",
    target: Address.format(remoteAddress),
    duration,
    code: undefined,
    cause: undefined,
    attempts: []
  })

type Lost = TlsLost | ConnectionLost

const failuresOf = <E>(transport: Transport<E>): Failures<Lost> => {
  const ends = endsOf(transport)
  return {
    truncated: (bytesRead) => new TlsTruncated({ ...ends, bytesRead }),
    failed: (cause) => new TlsFailed({ ...ends, alert: alertOf(cause), code: systemFailure(cause).code, cause }),
    endedBeneath: () => NetworkLayer.endedBeneath(transport)
  }
}

/** The transport above, and its driver, which is told to watch. */
const openOver = <E, D extends TlsDriver<E, Lost>>(
  transport: Transport<E>,
  socket: TLSSocket,
  limits: Driver.ResolvedLimits,
  driverOf: (events: Driver.Events<E | Lost>, failures: Failures<Lost>) => D
) => {
  let driver: D
  const opened = Driver.openLayered<E | Lost>({
    driver: (events) => driver = driverOf(events, failuresOf(transport)),
    ...endsOf(transport),
    options: transport.options,
    handle: socket,
    limits
  })
  return Effect.map(opened, (outer) => {
    driver.watch()
    return { outer, driver }
  })
}

const open = <E>(
  socket: TLSSocket,
  carrier: TlsCarrier<E>,
  limits: Driver.ResolvedLimits,
  info: Info,
  isLenient: boolean
): Effect.Effect<Opened<E>, never, Scope.Scope> => {
  const { transport } = carrier
  const opened = openOver(
    transport,
    socket,
    limits,
    (events, failures) => new DetectingDriver(socket, carrier, events, failures, isLenient)
  )
  return Effect.flatMap(opened, ({ driver, outer }) => {
    const closing = Effect.sync(() => {
      driver.trusting = true
      // Of an `unwrap` that has not come to its end.
      carrier.kept = false
    })
    const derived = NetworkLayer.derive(outer, {
      flush: Effect.zipRight(outer.flush, transport.flush),
      close: Effect.zipRight(closing, outer.close)
    })
    const unwrap = Effect.suspend(() => {
      carrier.kept = true
      return outer.closeWrite.pipe(
        Effect.zipRight(outer.forEach(() => Effect.void)),
        Effect.zipRight(outer.closed),
        Effect.flatMap((reason) => reason._tag === "Clean" ? Effect.succeed(transport) : Effect.fail(reason.error))
      )
    })
    Object.defineProperties(derived, { tls: { value: info }, unwrap: { value: unwrap } })
    return Effect.as(Effect.addFinalizer(() => closing), derived)
  }) as Effect.Effect<Opened<E>, never, Scope.Scope>
}

/** Without `unwrap`, which the type of a lenient one does not promise: Node does not let go of a socket before its end. */
const openOnSocket = <E>(
  socket: TLSSocket,
  carrier: SocketCarrier<E>,
  limits: Driver.ResolvedLimits,
  info: Info
): Effect.Effect<Opened<E>, never, Scope.Scope> => {
  const { transport } = carrier
  const opened = openOver(
    transport,
    socket,
    limits,
    (events, failures) => new SocketTlsDriver(socket, carrier, events, failures)
  )
  return Effect.map(opened, ({ outer }) => {
    // Who limits or drains connections looks at those that were accepted, and of these it is told what was lost.
    coreOf(transport)!.counted = coreOf(outer)!
    return Object.defineProperty(outer, "tls", { value: info })
  }) as Effect.Effect<Opened<E>, never, Scope.Scope>
}
