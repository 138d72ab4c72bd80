/** A child process that is given descriptors: `listener` (3 and 4 are one listening socket, with this backlog) or `connection` (3). */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as net from "node:net"
import * as Address from "../../src/Address.ts"
import * as Duplex from "../../src/node/Duplex.ts"
import * as Tcp from "../../src/node/Tcp.ts"

const backlog = process.argv[3] === undefined ? undefined : Number(process.argv[3])

const answerOne = (fd: number) =>
  Effect.scoped(Effect.gen(function*() {
    const listener = yield* Tcp.adopt(fd, { backlog })
    yield* Effect.sync(() => process.stdout.write(`${fd} ${Address.format(listener.address)}\n`))
    const transport = yield* listener.accept
    // Before the peer hears of it: whoever connects next finds only the other descriptor.
    yield* listener.close
    yield* transport.write(new TextEncoder().encode(`served by ${fd}`))
  }))

const echo = Effect.scoped(Effect.gen(function*() {
  const transport = yield* Duplex.from(new net.Socket({ fd: 3, allowHalfOpen: true }))
  yield* Stream.run(transport.stream, transport.sink)
}))

void Effect.runPromise(process.argv[2] === "listener" ? Effect.zipRight(answerOne(3), answerOne(4)) : echo)
