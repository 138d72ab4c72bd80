/**
 * The failures of this library as those of a platform Socket. The typed failure itself is the `cause`.
 *
 * @internal
 */
import * as Socket from "@effect/platform/Socket"
import { isTagged } from "effect/Predicate"

const generic = (reason: Socket.SocketGenericError["reason"]) => (cause: unknown): Socket.SocketError =>
  Socket.isSocketError(cause) ? cause : new Socket.SocketGenericError({ reason, cause })

const opening = generic("Open")
const openingInTime = generic("OpenTimeout")
const reading = generic("Read")

/** Of connecting, and of what stands between the connection and its user. */
export const openError = (error: unknown): Socket.SocketError =>
  isTagged(error, "ConnectTimeout") ? openingInTime(error) : opening(error)

/** Of reading: that this side has closed the connection is no failure of it. TCP has no close codes: they are RFC 6455's. */
export const readError = (error: unknown): Socket.SocketError =>
  isTagged(error, "ConnectionClosed")
    ? closed(new Socket.CloseEvent(1000))
    : isTagged(error, "ConnectionAborted")
    ? closed(new Socket.CloseEvent(1006))
    : reading(error)

export const writeError = generic("Write")

export const closed = ({ code, reason }: Socket.CloseEvent): Socket.SocketError =>
  new Socket.SocketCloseError({ reason: "Close", code, closeReason: reason })
