/** Clients on node:net in the test's own process. What the server does wrong is a defect. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as net from "node:net"

const host = "127.0.0.1"

/** Connections, destroyed with the Scope. */
export const dial = (port: number, count: number): Effect.Effect<ReadonlyArray<net.Socket>, never, Scope.Scope> =>
  Effect.forEach(
    Array.from({ length: count }),
    () =>
      Effect.acquireRelease(
        Effect.async<net.Socket>((resume) => {
          const socket = net.connect({ host, port, noDelay: true }, () => resume(Effect.succeed(socket)))
          socket.once("error", (error) => resume(Effect.die(error)))
        }),
        (socket) => Effect.sync(() => socket.destroy())
      )
  )

/** So many messages in all; each connection sends one when its last one has come back. */
export const exchange = (
  sockets: ReadonlyArray<net.Socket>,
  options: { readonly messages: number; readonly size: number }
): Effect.Effect<void> =>
  Effect.async((resume) => {
    const message = Buffer.alloc(options.size)
    let sent = 0
    let echoed = 0
    const finish = (outcome: Effect.Effect<void>) => {
      for (const socket of sockets) socket.removeAllListeners("data").removeAllListeners("close")
      resume(outcome)
    }
    for (const socket of sockets) {
      let received = 0
      const send = () => {
        if (sent === options.messages) return
        sent++
        socket.write(message)
      }
      socket.on("data", (chunk) => {
        received += chunk.length
        if (received < options.size) return
        received = 0
        echoed++
        if (echoed === options.messages) finish(Effect.void)
        else send()
      })
      socket.on("close", () => finish(Effect.dieMessage("The server has closed a connection")))
      send()
    }
  })

/** So many connections, one after the other: a byte there and back, then the end from here, and from there. */
export const churn = (port: number, connections: number): Effect.Effect<void> =>
  Effect.async((resume) => {
    const next = (left: number) => {
      if (left === 0) return resume(Effect.void)
      const socket = net.connect({ host, port, noDelay: true }, () => socket.write("x"))
      socket.on("data", () => socket.end())
      socket.on("end", () => next(left - 1))
      socket.on("error", (error) => resume(Effect.die(error)))
    }
    next(connections)
  })
