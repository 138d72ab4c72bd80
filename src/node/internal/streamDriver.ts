/**
 * What every driver over a Node stream shares: who takes its input, and the events that say how it ended.
 *
 * @internal
 */
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { SystemFailure } from "../../ConnectionError.ts"
import { systemFailure } from "../../ConnectionError.ts"
import type { Driver, Events } from "../../Driver.ts"
import type { Connection } from "../../internal/connection.ts"
import * as Turn from "../../internal/turn.ts"
import type { Transport } from "../../Transport.ts"

/** The stream that closes without an end or an error: `stream.finished` calls it a premature close. */
const prematureClose: SystemFailure = { code: "ERR_STREAM_PREMATURE_CLOSE", syscall: undefined, cause: undefined }

const driverKey = Symbol("effect-transport/driver")

interface Carried extends Duplex {
  [driverKey]: StreamDriver<Duplex> | undefined
}

/** The driver that carries the stream, until it has closed. */
export const driverOf = (stream: Duplex): StreamDriver<Duplex> | undefined => (stream as Carried)[driverKey]

/** The core of a transport that a driver carries. */
export const coreOf = <E>(transport: Transport<E>): Connection<unknown> | undefined =>
  (transport as { readonly connection?: Connection<unknown> }).connection

/** The driver of the socket that a transport lies straight on: a layer has the handle of its carrier, but not its core. */
export const socketDriverOf = <E>(transport: Transport<E>): StreamDriver<Duplex> | undefined => {
  const { unsafeHandle: socket } = transport
  const driver = socket instanceof Socket ? driverOf(socket) : undefined
  return driver?.events === coreOf(transport) ? driver : undefined
}

/** The stream has read something. */
export const receive = Turn.event(function(this: StreamDriver<Duplex>, chunk: Uint8Array) {
  if (chunk.length >= this.fullRead) Turn.hold(this)
  this.events.turned()
  this.give(chunk)
})

// Listeners are functions of the module, which find their driver on the stream: a closure for each of them would cost
// every idle connection its memory.
const onEnd = Turn.event(function(this: Carried) {
  this[driverKey]?.onEnd()
})
const onFinish = Turn.event(function(this: Carried) {
  this[driverKey]?.events.finished()
})
const onError = Turn.event(function(this: Carried, cause: unknown) {
  this[driverKey]?.onError(systemFailure(cause))
})
const onClose = Turn.event(function(this: Carried) {
  const driver = this[driverKey]
  // It is the last event. Node's handle, with the stream and all that hangs on it, outlives collections of the young
  // generation: a closed connection would be copied into the old one.
  this[driverKey] = undefined
  driver?.onClose()
})

export abstract class StreamDriver<S extends Duplex> implements Driver {
  readonly events: Events<SystemFailure>
  /** Whoever takes the input in place of the core. The end, a failure and the close are the core's still. */
  receiver: ((chunk: Uint8Array) => void) | undefined = undefined
  lent = false
  protected readonly stream: S
  /** Who reads so many bytes at once reads on at once: there is probably more. */
  get fullRead(): number {
    return Number.POSITIVE_INFINITY
  }

  constructor(stream: S, events: Events<SystemFailure>) {
    this.stream = stream
    this.events = events
    ;(stream as unknown as Carried)[driverKey] = this
    // The listener for 'error' stays for the stream's whole life: an unhandled one would end the process.
    stream.on("error", onError).on("end", onEnd).on("close", onClose)
  }

  /** Gives input to whoever takes it. */
  give(chunk: Uint8Array): void {
    if (this.receiver === undefined) this.events.received(chunk)
    else this.receiver(chunk)
  }

  abstract startReading(): void

  abstract stopReading(): void

  /** Somebody else reads the stream from now on. Its end, its failure and its close are this driver's still. */
  lend(): void {
    this.lent = true
  }

  abstract write(chunks: ReadonlyArray<Uint8Array>, bytes: number): boolean

  end(): void {
    this.stream.on("finish", onFinish).end()
  }

  release(): void {
    this.stream.destroy()
  }

  reset(): void {
    this.stream.destroy()
  }

  /** Calls `then` unless the stream can tell that it is lost, which is a failure. */
  probe(then: () => void): void {
    then()
  }

  onEnd(): void {
    this.events.turned()
    this.events.ended()
  }

  onError(failure: SystemFailure): void {
    this.events.failed(failure)
  }

  onClose(): void {
    this.events.failed(prematureClose)
    this.events.released()
  }
}
