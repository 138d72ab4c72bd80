/** Two transports of the library that are connected with each other, over every carrier that there is. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as net from "node:net"
import * as path from "node:path"
import { Duplex } from "node:stream"
import * as Address from "../../src/Address.ts"
import * as Network from "../../src/Network.ts"
import * as NodeDuplex from "../../src/node/Duplex.ts"
import * as Tcp from "../../src/node/Tcp.ts"
import * as Unix from "../../src/node/Unix.ts"
import type * as Conformance from "../../src/testing/Conformance.ts"
import * as SimNetwork from "../../src/testing/SimNetwork.ts"
import type * as Transport from "../../src/Transport.ts"
import { directory } from "./peer.ts"

type Pair = readonly [Transport.Transport, Transport.Transport]

export const tcpPair = (limits: Transport.Limits): Effect.Effect<Pair, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const listener = yield* Tcp.listen(Address.tcp("127.0.0.1", 0), limits)
    const client = yield* Tcp.connect(listener.address, limits)
    const server = yield* listener.accept
    yield* listener.close
    return [client, server]
  })

export const unixPair = (limits: Transport.Limits): Effect.Effect<Pair, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const address = Address.unix(path.join(yield* directory, "s"))
    const listener = yield* Unix.listen(address, limits)
    const client = yield* Unix.connect(address, limits)
    const server = yield* listener.accept
    yield* listener.close
    return [client, server]
  })

/** One side of two joined streams: what is written here is read there. Destroyed, it destroys the other, as a socket does. */
class Side extends Duplex {
  other!: Side
  private continueWrite: (() => void) | undefined = undefined

  override _read() {
    const resume = this.other?.continueWrite
    if (resume === undefined) return
    this.other.continueWrite = undefined
    resume()
  }

  override _write(chunk: Buffer, _: BufferEncoding, callback: (error?: Error | null) => void) {
    if (this.other.destroyed) return callback(Object.assign(new Error("broken pipe"), { code: "EPIPE" }))
    // A copy, as a kernel makes one.
    if (this.other.push(Buffer.from(chunk))) callback()
    else this.continueWrite = callback
  }

  override _final(callback: () => void) {
    if (!this.other.destroyed) this.other.push(null)
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void) {
    callback(error)
    const { other } = this
    // Whoever has had this side's end keeps what it still has to read.
    if (this.writableFinished && this.readableEnded) return
    setImmediate(() => {
      const pending = other.continueWrite
      other.continueWrite = undefined
      pending?.()
      if (!this.writableFinished) other.destroy()
    })
  }
}

export const duplexPair = (limits: Transport.Limits): Effect.Effect<Pair, unknown, Scope.Scope> =>
  Effect.suspend(() => {
    const [left, right] = [new Side(), new Side()]
    left.other = right
    right.other = left
    const [leftName, rightName] = [Address.pipe("left"), Address.pipe("right")]
    return Effect.all([
      NodeDuplex.from(left, { ...limits, localAddress: leftName, remoteAddress: rightName }),
      NodeDuplex.from(right, { ...limits, localAddress: rightName, remoteAddress: leftName })
    ])
  })

/** Two ends of a TCP connection, not made by the library. */
const sockets: Effect.Effect<readonly [net.Socket, net.Socket]> = Effect.async((resume) => {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (accepted) => {
    server.close()
    resume(Effect.succeed([dialled, accepted]))
  })
  const dialled = new net.Socket({ allowHalfOpen: true })
  server.listen(0, "127.0.0.1", () => dialled.connect((server.address() as net.AddressInfo).port, "127.0.0.1"))
})

export const socketPair = (limits: Transport.Limits): Effect.Effect<Pair, unknown, Scope.Scope> =>
  Effect.flatMap(sockets, ([dialled, accepted]) => {
    const [here, there] = [Address.pipe("dialled"), Address.pipe("accepted")]
    return Effect.all([
      NodeDuplex.from(dialled, { ...limits, localAddress: here, remoteAddress: there }),
      NodeDuplex.from(accepted, { ...limits, localAddress: there, remoteAddress: here })
    ])
  })

/** Between two hosts of a simulation that has them. */
export const simPair: Conformance.MakePair<SimNetwork.SimNetwork | Network.Network> = (limits) =>
  Effect.gen(function*() {
    const sim = yield* SimNetwork.SimNetwork
    const listener = yield* SimNetwork.on(Network.listen(sim.addressOf("server", 0), limits), "server")
    const client = yield* SimNetwork.on(Network.connect(listener.address, limits), "client")
    const server = yield* listener.accept
    yield* listener.close
    return [client, server]
  })

/** Runs it on such a simulation, in virtual time. */
export const simulated = <A, E, R>(program: Effect.Effect<A, E, R>, options: SimNetwork.Options = {}) =>
  SimNetwork.run(program, { hosts: ["server", "client"], ...options })
