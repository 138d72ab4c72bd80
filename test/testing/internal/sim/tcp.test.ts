import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Address from "../../../../src/Address.ts"
import type { ConnectionLost } from "../../../../src/ConnectionError.ts"
import * as Network from "../../../../src/Network.ts"
import type { Packet } from "../../../../src/testing/Rule.ts"
import * as Rule from "../../../../src/testing/Rule.ts"
import * as SimNetwork from "../../../../src/testing/SimNetwork.ts"
import type { CloseReason, Transport } from "../../../../src/Transport.ts"
import { ascii, bytes, text } from "../../../support/bytes.ts"
import { pattern, readAll } from "../../../support/peer.ts"
import type { Simulated } from "../../../support/simulated.ts"
import { connect, first, joined, listen, now, run, segments, shown, states } from "../../../support/simulated.ts"

const simulated = (
  name: string,
  body: () => Effect.Effect<void, unknown, Simulated>,
  options: () => SimNetwork.Options = () => ({})
) => it.live(name, () => Effect.suspend(() => run(body(), options())))

const isSyn = ({ kind }: Packet) => kind === "SYN"
const isData = ({ kind }: Packet) => kind === "DATA"
const isFin = ({ kind }: Packet) => kind === "FIN"

/** Loses the first so many packets that it holds for. */
const lose = (holds: (packet: Packet) => boolean, count = 1) => Rule.drop({ matching: first(count, holds) })

const lossOf = (reason: CloseReason<ConnectionLost>): ConnectionLost =>
  reason._tag === "Lost" ? reason.error : assert.fail("it ended cleanly")

const write = (transport: Transport, what: string) => Effect.zipRight(transport.write(ascii(what)), transport.flush)

const patient = { lingerTimeout: "1 day", closeTimeout: "1 day" } as const

const bothClose = (...transports: ReadonlyArray<Transport>) =>
  Effect.all(transports.map(({ close }) => close), { concurrency: "unbounded", discard: true })

/** The first wait for an acknowledgement: a round trip of 20 ms, and 200 more. */
const patience = 220

/** 16 waits, doubled each time, and never more than 2 minutes. */
const giveUp = patience * (2 ** 10 - 1) + 6 * 120_000

const partition = Rule.partition({ between: ["client", "server"] })

describe("the handshake", () => {
  simulated("takes a round trip, and the server half of one more", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      yield* connect()
      assert.strictEqual(yield* now, 20)
      yield* listener.accept
      assert.strictEqual(yield* now, 30)
      assert.deepStrictEqual((yield* segments()).map(shown), ["SYN", "SYN ACK", "ACK"])
    }))

  const losses: ReadonlyArray<readonly [what: string, from: string, after: number, count: number]> = [
    ["SYN", "client", 1020, 1],
    ["SYN, and the second one", "client", 3020, 2],
    // The client tries again before the server does.
    ["answer", "server", 1020, 1]
  ]
  for (const [what, from, after, count] of losses) {
    simulated(`whose ${what} is lost comes later`, () =>
      Effect.gen(function*() {
        yield* listen()
        yield* connect()
        assert.strictEqual(yield* now, after)
      }), () => ({ rules: [lose((packet) => isSyn(packet) && packet.from === from, count)] }))
  }

  simulated("whose last acknowledgement is lost is done when the answer comes again", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      yield* connect()
      yield* listener.accept
      assert.strictEqual(yield* now, 10 + 1000 + 20)
    }), () => ({ rules: [lose(({ from, kind }) => kind === "ACK" && from === "client")] }))

  simulated("whose last acknowledgement is lost is done when data comes", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const client = yield* connect()
      yield* client.write(ascii("x"))
      const server = yield* listener.accept
      assert.strictEqual(yield* now, 30)
      assert.strictEqual(text((yield* server.pull)!), "x")
    }), () => ({ rules: [lose(({ from, kind }) => kind === "ACK" && from === "client")] }))

  simulated(
    "whose last acknowledgement never comes is half done: the first write is reset",
    () =>
      Effect.gen(function*() {
        const listener = yield* listen()
        const client = yield* connect()
        yield* Effect.sleep("70 seconds")
        assert.deepStrictEqual([yield* states("client"), yield* states("server")], [["ESTABLISHED"], []])
        yield* client.write(ascii("x"))
        assert.strictEqual((yield* Effect.flip(client.pull))._tag, "ConnectionReset")
        assert.strictEqual(listener.stats().connected, 0)
      }),
    () => ({ rules: [Rule.drop({ from: "client", for: "69 seconds", matching: ({ kind }) => kind === "ACK" })] })
  )

  simulated("is given up after seven tries in 127 s", () =>
    Effect.gen(function*() {
      yield* listen()
      const error = yield* Effect.flip(connect())
      assert.strictEqual(yield* now, 127_000)
      assert.deepInclude(error, { _tag: "ConnectTimeout", code: "ETIMEDOUT", phase: "connect" })
      const syns = yield* segments(({ syn }) => syn === true)
      assert.deepStrictEqual(syns.map(({ at }) => at), [0, 1000, 3000, 7000, 15_000, 31_000, 63_000])
      assert.deepStrictEqual(yield* states("client"), [])
    }), () => ({ rules: [partition] }))

  simulated("is given up by the server after six answers in 63 s", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      // The client is gone before the answer comes, and what it would say to that is lost.
      const attempt = yield* Effect.fork(Effect.scoped(connect()))
      yield* Effect.sleep("15 millis")
      yield* Fiber.interrupt(attempt)
      assert.deepStrictEqual(yield* states("server"), ["SYN_RECEIVED"])
      yield* Effect.sleep("63 seconds")
      assert.deepStrictEqual(yield* states("server"), [])
      assert.strictEqual((yield* segments(({ ack, syn }) => syn === true && ack === true)).length, 6)
      assert.strictEqual(listener.stats().connected, 0)
    }), () => ({ rules: [Rule.drop({ from: "server" })] }))

  simulated("with nobody there is refused after a round trip", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Effect.flip(connect()))._tag, "ConnectionRefused")
      assert.strictEqual(yield* now, 20)
      assert.deepStrictEqual((yield* segments()).map(shown), ["SYN", "RST ACK"])
    }))

  simulated("of an attempt that was given up leaves nothing at the server", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const attempt = yield* Effect.fork(Effect.scoped(connect()))
      yield* Effect.sleep("5 millis")
      yield* Fiber.interrupt(attempt)
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(yield* states("server"), [])
      assert.strictEqual(listener.stats().connected, 0)
      assert.deepStrictEqual((yield* segments()).map(shown), ["SYN", "SYN ACK", "RST ACK"])
    }))

  simulated("is one when both ends call each other at once (RFC 9293 §3.5)", () =>
    Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      const [left, right] = [sim.addressOf("client", 5000), sim.addressOf("server", 5000)]
      const call = (host: string, localAddress: Address.TcpAddress, remote: Address.TcpAddress) =>
        SimNetwork.on(Network.connect(remote, { localAddress }), host)
      const [here, there] = yield* Effect.all([call("client", left, right), call("server", right, left)], {
        concurrency: "unbounded"
      })
      yield* write(here, "question")
      assert.strictEqual(text((yield* there.pull)!), "question")
      yield* write(there, "answer")
      assert.strictEqual(text((yield* here.pull)!), "answer")
      yield* bothClose(here, there)
      assert.strictEqual((yield* here.closed)._tag, "Clean")
    }))
})

describe("a backlog", () => {
  simulated("that is full ignores who comes, who tries again after a second", () =>
    Effect.gen(function*() {
      yield* listen({ backlog: 1 })
      const times = yield* Effect.all([1, 2].map(() => Effect.zipRight(connect(), now)), { concurrency: "unbounded" })
      assert.deepStrictEqual(times, [20, 1020])
    }))

  simulated("forgets who was not done when the listener closes", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const attempt = yield* Effect.fork(Effect.flip(Effect.flatMap(connect(), (client) => client.pull)))
      yield* Effect.sleep("15 millis")
      yield* listener.close
      assert.deepStrictEqual(yield* states("server"), [])
      assert.strictEqual((yield* Fiber.join(attempt))._tag, "ConnectionReset")
    }))
})

describe("retransmission", () => {
  simulated("brings lost data after a round trip and 200 ms", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const begin = yield* now
      yield* client.write(ascii("x"))
      assert.strictEqual(text((yield* server.pull)!), "x")
      assert.strictEqual((yield* now) - begin, patience + 10)
    }), () => ({ rules: [lose(isData)] }))

  simulated("brings what was lost in the middle, once, and all comes in order", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const sent = pattern(20 * 1460)
      const begin = yield* now
      yield* client.write(sent)
      yield* client.closeWrite
      assert.isTrue((yield* readAll(server)).equals(sent))
      // What was lost with the first is not waited for once more.
      assert.isBelow((yield* now) - begin, patience + 100)
      const data = yield* segments(({ from, payload }) => from === "client" && payload.length > 0)
      // Two were lost; the rest had come and is not asked for again.
      assert.strictEqual(data.length, 22)
    }), () => ({
      rules: [lose((packet) => isData(packet) && (packet.offset === 5 * 1460 || packet.offset === 9 * 1460), 2)]
    }))

  simulated("waits as long as the round trips say", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      for (let round = 0; round < 20; round++) {
        yield* client.write(ascii("x"))
        yield* server.pull
        yield* Effect.sleep("3 seconds")
      }
      const sim = yield* SimNetwork.SimNetwork
      const begin = yield* now
      yield* sim.apply(lose(isData))
      yield* client.write(ascii("y"))
      yield* server.pull
      // A round trip of 600 ms that does not vary any more.
      assert.isAtLeast((yield* now) - begin, 800 + 300)
      assert.isBelow((yield* now) - begin, 850 + 300)
    }), () => ({ latency: "300 millis" }))

  simulated(
    "doubles its wait to 2 minutes, and gives up after 15 tries and a quarter of an hour",
    () =>
      Effect.gen(function*() {
        const { client } = yield* joined()
        const sim = yield* SimNetwork.SimNetwork
        yield* sim.apply(partition)
        const begin = yield* now
        const reading = yield* Effect.fork(Effect.flip(client.pull))
        yield* client.write(ascii("x"))
        const loss = yield* Fiber.join(reading)
        assert.deepInclude(loss, { _tag: "ConnectionTimedOut", code: "ETIMEDOUT", side: "network" })
        assert.strictEqual((yield* now) - begin, giveUp)
        const tries = yield* segments(({ payload }) => payload.length > 0)
        assert.strictEqual(tries.length, 16)
        assert.strictEqual(tries[15]!.at - tries[14]!.at, 120_000)
      })
  )

  simulated("begins anew once something got through", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.write(ascii("x"))
      yield* server.pull
      assert.isAbove(yield* now, 5000)
      yield* Effect.sleep("1 second")
      const begin = yield* now
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(lose(isData))
      yield* client.write(ascii("y"))
      yield* server.pull
      assert.strictEqual((yield* now) - begin, patience + 10)
    }), () => ({ rules: [lose(isData, 5)] }))

  simulated("goes on for an hour of outages that are shorter than its patience", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const sim = yield* SimNetwork.SimNetwork
      const received = yield* Effect.fork(readAll(server))
      for (let round = 0; round < 6; round++) {
        yield* Effect.scoped(Effect.gen(function*() {
          yield* sim.apply(partition)
          yield* client.write(ascii(`${round}`))
          yield* Effect.sleep("8 minutes")
        }))
        yield* Effect.sleep("2 minutes")
      }
      yield* client.closeWrite
      assert.strictEqual((yield* Fiber.join(received)).toString(), "012345")
    }))
})

describe("a window", () => {
  const small = { hosts: { client: {}, server: { receiveBuffer: 4096 } } }

  const full = () =>
    Effect.gen(function*() {
      const ends = yield* joined()
      const sent = pattern(20_000)
      yield* ends.client.write(sent)
      yield* Effect.sleep("100 millis")
      return { ...ends, sent }
    })

  simulated("that is full stops the sender", () =>
    Effect.gen(function*() {
      yield* full()
      const data = yield* segments(({ payload }) => payload.length > 0)
      assert.strictEqual(data.reduce((sum, { payload }) => sum + payload.length, 0), 4096)
      const acknowledged = yield* segments(({ from }) => from === "server")
      assert.strictEqual(acknowledged.at(-1)!.window, 0)
    }), () => small)

  simulated("that opens says so, and all comes", () =>
    Effect.gen(function*() {
      const { client, sent, server } = yield* full()
      const begin = yield* now
      yield* client.closeWrite
      assert.isTrue((yield* readAll(server)).equals(sent))
      // No timer had to tell.
      assert.isBelow((yield* now) - begin, 200)
    }), () => small)

  simulated("that opens unheard is found out by a probe", () =>
    Effect.gen(function*() {
      const { client, sent, server } = yield* full()
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(lose(({ from, kind }) => kind === "ACK" && from === "server"))
      yield* client.closeWrite
      assert.isTrue((yield* readAll(server)).equals(sent))
      assert.isAbove(yield* now, 200)
      assert.isBelow(yield* now, 2000)
    }), () => small)

  simulated(
    "that stays closed is probed ever more rarely, for hours, and the connection lives",
    () =>
      Effect.gen(function*() {
        const { client, sent, server } = yield* full()
        yield* Effect.sleep("4 hours")
        const probes = yield* segments(({ at, from, payload }) => from === "client" && payload.length === 0 && at > 100)
        assert.isAbove(probes.length, 100)
        assert.isBelow(probes.length, 140)
        yield* client.closeWrite
        assert.isTrue((yield* readAll(server)).equals(sent))
      }),
    () => small
  )

  simulated("that is closed and whose host is gone is given up", () =>
    Effect.gen(function*() {
      const { client } = yield* full()
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(partition)
      const loss = yield* Effect.flip(client.pull)
      assert.deepInclude(loss, { _tag: "ConnectionTimedOut", code: "ETIMEDOUT" })
      assert.isAbove(yield* now, 900_000)
    }), () => small)

  simulated("that is larger than a read is read to its end", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const sent = pattern(200_000)
      yield* client.write(sent)
      yield* client.closeWrite
      yield* Effect.sleep("1 second")
      assert.isTrue((yield* readAll(server)).equals(sent))
    }), () => ({ hosts: { client: { sendBuffer: 300_000 }, server: { receiveBuffer: 300_000 } } }))

  simulated("that is smaller than a segment is used", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const sent = pattern(2000)
      yield* client.write(sent)
      yield* client.closeWrite
      assert.isTrue((yield* readAll(server)).equals(sent))
    }), () => ({ hosts: { client: {}, server: { receiveBuffer: 100 } } }))

  simulated("of the sender's own kernel bounds what is written and not acknowledged", () =>
    Effect.gen(function*() {
      const { client } = yield* joined()
      yield* client.write(bytes(200_000))
      yield* Effect.sleep("1 second")
      // The peer's kernel holds 65,536, and this one 10,000.
      assert.strictEqual(client.stats().bytesWritten, 75_536)
    }), () => ({ hosts: { client: { sendBuffer: 10_000 }, server: {} } }))
})

describe("Nagle's algorithm", () => {
  const data = segments(({ payload }) => payload.length > 0)

  const threeWrites = (noDelay: boolean) =>
    Effect.gen(function*() {
      const { client, server } = yield* joined({ noDelay })
      for (const letter of "abc") yield* write(client, letter)
      yield* client.closeWrite
      assert.strictEqual((yield* readAll(server)).toString(), "abc")
      return (yield* data).map(({ payload }) => text(payload))
    })

  simulated("is off: small writes leave at once", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* threeWrites(true), ["a", "b", "c"])
    }))

  simulated("is on with noDelay: false: what is small waits for what is under way", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* threeWrites(false), ["a", "bc"])
    }))

  simulated("lets go of what waits when it is turned off", () =>
    Effect.gen(function*() {
      const { client } = yield* joined({ noDelay: false })
      yield* write(client, "a")
      yield* write(client, "b")
      assert.strictEqual((yield* data).length, 1)
      yield* client.options.noDelay!.set(true)
      assert.strictEqual((yield* data).length, 2)
    }))
})

describe("the end", () => {
  simulated("whose FIN is lost is clean all the same", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined(patient)
      yield* bothClose(client, server)
      for (const transport of [client, server]) {
        assert.deepInclude(yield* transport.closed, { _tag: "Clean", peerEnded: true })
      }
    }), () => ({ rules: [lose(isFin, 2)] }))

  simulated("whose acknowledgement is lost is repeated until it is heard", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined(patient)
      const closing = yield* Effect.fork(client.close)
      assert.isNull(yield* server.pull)
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(lose(({ from, kind }) => kind === "ACK" && from === "client", 3))
      yield* server.close
      yield* Fiber.join(closing)
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(yield* states("server"), ["LAST_ACK"])
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(yield* states("server"), [])
      // Which begins anew with each.
      yield* Effect.sleep("59 seconds")
      assert.deepStrictEqual(yield* states("client"), ["TIME_WAIT"])
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(yield* states("client"), [])
    }))

  simulated("goes through the states of RFC 9293", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined(patient)
      const both = Effect.all([states("client"), states("server")])
      assert.deepStrictEqual(yield* both, [["ESTABLISHED"], ["ESTABLISHED"]])
      yield* client.closeWrite
      assert.deepStrictEqual(yield* both, [["FIN_WAIT_1"], ["ESTABLISHED"]])
      yield* Effect.sleep("15 millis")
      assert.deepStrictEqual(yield* both, [["FIN_WAIT_1"], ["CLOSE_WAIT"]])
      yield* Effect.sleep("10 millis")
      assert.deepStrictEqual(yield* both, [["FIN_WAIT_2"], ["CLOSE_WAIT"]])
      yield* server.closeWrite
      assert.deepStrictEqual(yield* both, [["FIN_WAIT_2"], ["LAST_ACK"]])
      yield* Effect.sleep("15 millis")
      assert.deepStrictEqual(yield* both, [["TIME_WAIT"], ["LAST_ACK"]])
      yield* Effect.sleep("10 millis")
      assert.deepStrictEqual(yield* both, [["TIME_WAIT"], []])
      yield* Effect.sleep("60 seconds")
      assert.deepStrictEqual(yield* both, [[], []])
    }))

  simulated("of both at once leaves TIME_WAIT at both", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined(patient)
      yield* Effect.all([client.closeWrite, server.closeWrite])
      yield* Effect.sleep("15 millis")
      assert.deepStrictEqual([yield* states("client"), yield* states("server")], [["CLOSING"], ["CLOSING"]])
      yield* Effect.sleep("10 millis")
      assert.deepStrictEqual([yield* states("client"), yield* states("server")], [["TIME_WAIT"], ["TIME_WAIT"]])
    }))

  simulated("of one side only may last for ever", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.closeWrite
      yield* Effect.sleep("10 hours")
      yield* server.write(ascii("late"))
      yield* server.closeWrite
      assert.strictEqual((yield* readAll(client)).toString(), "late")
    }))

  simulated("in the kernel's hands goes on when the program has let go", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined({ lingerTimeout: 0, closeTimeout: "1 day" })
      const sent = pattern(65_536)
      yield* client.write(sent)
      yield* client.close
      assert.strictEqual((yield* client.closed)._tag, "Clean")
      assert.isTrue((yield* readAll(server)).equals(sent))
    }))

  simulated("that nobody answers is given up by the kernel after 8 tries", () =>
    Effect.gen(function*() {
      const { client } = yield* joined({ lingerTimeout: 0 })
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(partition)
      yield* client.close
      // 0.22 s, doubled eight times.
      yield* Effect.sleep("112 seconds")
      assert.deepStrictEqual(yield* states("client"), ["FIN_WAIT_1"])
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(yield* states("client"), [])
    }))

  simulated("that the peer does not answer with its own is forgotten after a minute", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined({ lingerTimeout: 0, keepAlive: "10 seconds" })
      yield* client.close
      yield* Effect.sleep("59 seconds")
      assert.deepStrictEqual(yield* states("client"), ["FIN_WAIT_2"])
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(yield* states("client"), [])
      // By now the host knows of no such connection, though it was probed.
      yield* server.closeWrite
      assert.isNull(yield* server.pull)
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(yield* states("server"), [])
    }))

  simulated("of a program that has let go is a reset for data that comes then", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined({ lingerTimeout: 0 })
      yield* client.close
      yield* write(server, "x")
      yield* Effect.sleep("100 millis")
      assert.deepStrictEqual([yield* states("client"), yield* states("server")], [[], []])
      const [reset] = yield* segments(({ rst }) => rst === true)
      assert.strictEqual(reset!.from, "client")
    }))
})

describe("TIME_WAIT", () => {
  const over = (options?: Network.ConnectOptions) =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const client = yield* connect(options)
      const server = yield* listener.accept
      yield* client.closeWrite
      yield* server.pull
      yield* server.closeWrite
      yield* client.pull
      yield* client.closed
      assert.deepStrictEqual(yield* states("client"), ["TIME_WAIT"])
    })

  const localAddress = Address.tcp("10.0.0.1", 5000)

  simulated("keeps the port for that peer for a minute", () =>
    Effect.gen(function*() {
      yield* over({ localAddress })
      const error = yield* Effect.flip(connect({ localAddress }))
      assert.deepInclude(error, { _tag: "BindFailed", code: "EADDRNOTAVAIL" })
      yield* Effect.sleep("61 seconds")
      yield* connect({ localAddress })
    }))

  simulated("of a server gives way to a new connection", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const old = yield* connect({ localAddress })
      const server = yield* listener.accept
      yield* server.closeWrite
      yield* old.pull
      yield* old.closeWrite
      yield* server.pull
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual([yield* states("client"), yield* states("server")], [[], ["TIME_WAIT"]])
      const begin = yield* now
      const client = yield* connect({ localAddress })
      assert.strictEqual((yield* now) - begin, 20)
      yield* client.write(ascii("again"))
      assert.strictEqual(text((yield* (yield* listener.accept).pull)!), "again")
    }))
})

describe("a host", () => {
  simulated("that loses its power and gets it back resets who writes to it", () =>
    Effect.gen(function*() {
      const { client } = yield* joined()
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.crash("server")
      yield* sim.restart("server")
      const begin = yield* now
      const reading = yield* Effect.fork(Effect.flip(client.pull))
      yield* client.write(ascii("x"))
      assert.deepInclude(yield* Fiber.join(reading), { _tag: "ConnectionReset", code: "ECONNRESET" })
      assert.strictEqual((yield* now) - begin, 20)
    }))

  simulated("that loses its power for good lets its peers wait", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.crash("server")
      assert.deepInclude(lossOf(yield* server.closed), { _tag: "PeerUnreachable", code: "ENETDOWN" })
      const begin = yield* now
      yield* client.write(ascii("x"))
      assert.strictEqual((yield* Effect.flip(client.pull))._tag, "ConnectionTimedOut")
      assert.strictEqual((yield* now) - begin, giveUp)
    }))

  simulated(
    "that has forgotten a connection makes the next one from the same port, and the old one is reset",
    () =>
      Effect.gen(function*() {
        const localAddress = Address.tcp("10.0.0.1", 5000)
        const sim = yield* SimNetwork.SimNetwork
        const listener = yield* listen()
        yield* connect({ localAddress })
        const old = yield* listener.accept
        yield* sim.crash("client")
        yield* sim.restart("client")
        const begin = yield* now
        const client = yield* connect({ localAddress })
        // The first attempt is answered by the old connection.
        assert.strictEqual((yield* now) - begin, 1020)
        assert.deepInclude(yield* Effect.flip(old.pull), { _tag: "ConnectionReset", code: "ECONNRESET" })
        yield* write(client, "new")
        assert.strictEqual(text((yield* (yield* listener.accept).pull)!), "new")
      })
  )

  simulated("that loses its power between the handshake and its program is a loss", () =>
    Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      const listener = yield* listen()
      const attempt = yield* Effect.fork(connect())
      yield* listener.ready
      yield* sim.crash("client")
      const exit = yield* Fiber.await(attempt)
      if (Exit.isFailure(exit)) return assert.strictEqual(Cause.squash(exit.cause), "NetworkUnreachable")
      assert.strictEqual((yield* Effect.flip(exit.value.pull))._tag, "PeerUnreachable")
    }))

  simulated("has no more connections to one peer than ports", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      yield* listen({}, 81)
      const clients = yield* Effect.all(Array.from({ length: 10 }, () => connect()))
      const error = yield* Effect.flip(connect())
      assert.deepInclude(error, { _tag: "BindFailed", code: "EADDRNOTAVAIL", syscall: "connect" })
      // Of another peer the same ports are free.
      yield* connect({}, 81)
      // An end that begins at the other side leaves nothing here.
      const server = yield* listener.accept
      yield* server.closeWrite
      yield* clients[0]!.pull
      yield* clients[0]!.closeWrite
      yield* Effect.sleep("1 second")
      const again = yield* connect()
      assert.deepStrictEqual(again.localAddress, clients[0]!.localAddress)
    }), () => ({ hosts: { client: { ephemeralPorts: [40_000, 40_009] }, server: {} } }))

  simulated("has no more connections than descriptors", () =>
    Effect.gen(function*() {
      yield* listen()
      const one = yield* connect()
      const two = yield* connect()
      const error = yield* Effect.flip(connect())
      assert.deepInclude(error, { _tag: "TooManyOpenFiles", code: "EMFILE" })
      yield* one.abort
      yield* connect()
      yield* two.abort
    }), () => ({ hosts: { client: { maxDescriptors: 2 }, server: {} } }))

  simulated("gives every descriptor back, however the connection ended", () =>
    Effect.gen(function*() {
      const listener = yield* listen({ lingerTimeout: 0 })
      const ways: ReadonlyArray<(client: Transport, server: Transport) => Effect.Effect<unknown, unknown>> = [
        (client, server) => bothClose(client, server),
        (client) => client.abort,
        (_, server) => server.abort,
        (client, server) => Effect.all([client.abort, server.abort]),
        (client) => client.close,
        (client, server) => Effect.zipRight(client.abort, Effect.zipRight(Effect.sleep("1 second"), server.close))
      ]
      for (const way of [...ways, ...ways]) {
        yield* Effect.scoped(Effect.gen(function*() {
          const client = yield* connect()
          const server = yield* listener.accept
          yield* Effect.exit(way(client, server))
          yield* Effect.all([client.abort, server.abort])
        }))
        assert.strictEqual((yield* Effect.flip(Effect.scoped(connect({}, 81))))._tag, "ConnectionRefused")
      }
      yield* connect()
      yield* listener.accept
    }), () => ({ hosts: { client: { maxDescriptors: 1 }, server: { maxDescriptors: 2 } } }))

  simulated("that is out of descriptors ends who comes, and recovers", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const one = yield* connect()
      const accepted = yield* listener.accept
      const two = yield* connect()
      assert.isNull(yield* two.pull)
      yield* two.close
      assert.strictEqual(listener.stats().connected, 1)
      yield* bothClose(one, accepted)
      const three = yield* connect()
      yield* write(three, "x")
      assert.strictEqual(text((yield* (yield* listener.accept).pull)!), "x")
    }), () => ({ hosts: { client: {}, server: { maxDescriptors: 2 } } }))

  simulated("does not reach another one from its loopback", () =>
    Effect.gen(function*() {
      yield* listen()
      const error = yield* Effect.flip(connect({ localAddress: Address.tcp("127.0.0.1", 0) }))
      assert.deepInclude(error, { code: "EINVAL" })
    }))

  simulated("does not connect to itself by chance", () =>
    Effect.gen(function*() {
      for (let round = 0; round < 3; round++) {
        const attempt = Network.connect(Address.tcp("127.0.0.1", 40_000))
        const error = yield* Effect.flip(SimNetwork.on(attempt, "client"))
        assert.strictEqual(error._tag, "ConnectionRefused")
      }
    }), () => ({ hosts: { client: { ephemeralPorts: [40_000, 40_001] } } }))

  simulated("without an address of a family has no route to it", () =>
    Effect.gen(function*() {
      const sim = yield* SimNetwork.SimNetwork
      const attempt = Network.connect(sim.addressOf("server", 80, "IPv6"))
      const error = yield* Effect.flip(SimNetwork.on(attempt, "client"))
      assert.deepInclude(error, { _tag: "NetworkUnreachable", code: "ENETUNREACH" })
    }), () => ({ hosts: { client: { addresses: ["10.0.0.7"] }, server: {} } }))
})

describe("keep-alive", () => {
  const idle = { keepAlive: "1 minute" } as const

  simulated(
    "finds out that the peer is gone, ten probes and seconds after the idle time",
    () =>
      Effect.gen(function*() {
        const { client } = yield* joined(idle)
        const sim = yield* SimNetwork.SimNetwork
        yield* sim.crash("server")
        const loss = yield* Effect.flip(client.pull)
        assert.deepInclude(loss, { _tag: "ConnectionTimedOut", code: "ETIMEDOUT", syscall: "read" })
        // Nothing has come since the handshake, at 20 ms.
        assert.strictEqual(yield* now, 20 + 60_000 + 10_000)
        const probes = yield* segments(({ ack, at, rst }) => at > 1000 && ack === true && rst === undefined)
        assert.strictEqual(probes.length, 10)
      })
  )

  simulated("gives up with a reset, for a peer that can hear and not be heard", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined()
      yield* client.options.keepAlive!.set("1 minute")
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.apply(Rule.drop({ from: "server" }))
      const there = yield* Effect.fork(Effect.flip(server.pull))
      assert.strictEqual((yield* Effect.flip(client.pull))._tag, "ConnectionTimedOut")
      assert.strictEqual((yield* Fiber.join(there))._tag, "ConnectionReset")
    }))

  simulated("is answered, and the connection lives", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined(idle)
      yield* Effect.sleep("1 hour")
      yield* client.write(ascii("x"))
      assert.strictEqual(text((yield* server.pull)!), "x")
      const segmentsOfHour = (yield* segments()).length
      assert.isAbove(segmentsOfHour, 100)
      assert.isBelow(segmentsOfHour, 250)
    }))

  simulated("is off: a peer that is gone is not missed", () =>
    Effect.gen(function*() {
      const { client } = yield* joined()
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.crash("server")
      const reading = yield* Effect.fork(client.pull)
      yield* Effect.sleep("10 days")
      assert.isNull(reading.unsafePoll())
      yield* Fiber.interrupt(reading)
    }))

  simulated("leaves it to the retransmission while something is under way", () =>
    Effect.gen(function*() {
      const { client } = yield* joined(idle)
      const sim = yield* SimNetwork.SimNetwork
      yield* sim.crash("server")
      const begin = yield* now
      yield* client.write(ascii("x"))
      yield* Effect.flip(client.pull)
      assert.strictEqual((yield* now) - begin, giveUp)
    }))

  simulated("begins and ends when it is set", () =>
    Effect.gen(function*() {
      const { client } = yield* joined()
      const count = Effect.map(segments(), ({ length }) => length)
      yield* client.options.keepAlive!.set("10 seconds")
      yield* Effect.sleep("11 seconds")
      assert.strictEqual(yield* count, 5)
      yield* client.options.keepAlive!.set(false)
      yield* Effect.sleep("1 hour")
      assert.strictEqual(yield* count, 5)
    }))
})

describe("copies and disorder", () => {
  simulated("of every packet change nothing", () =>
    Effect.gen(function*() {
      const { client, server } = yield* joined(patient)
      const sent = pattern(100_000)
      yield* client.write(sent)
      yield* Effect.fork(client.close)
      assert.isTrue((yield* readAll(server)).equals(sent))
      yield* server.close
      assert.deepInclude(yield* client.closed, { _tag: "Clean", peerEnded: true })
      assert.deepInclude(yield* server.closed, { _tag: "Clean", bytesRead: 100_000 })
    }), () => ({ rules: [Rule.duplicate({}), Rule.duplicate({ rate: 0.5, after: "3 seconds" })] }))

  simulated("that come when the connection is over open none, and reset none", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      for (let round = 0; round < 3; round++) {
        const client = yield* connect({ localAddress: Address.tcp("10.0.0.1", 5000) })
        const server = yield* listener.accept
        yield* write(client, `round ${round}`)
        assert.strictEqual(text((yield* server.pull)!), `round ${round}`)
        yield* server.closeWrite
        assert.isNull(yield* client.pull)
        yield* client.closeWrite
        assert.isNull(yield* server.pull)
        // The copies of each round come in the next.
        yield* Effect.sleep("2 seconds")
      }
      assert.strictEqual(listener.stats().connected, 3)
    }), () => ({ rules: [Rule.duplicate({ after: "2050 millis" })] }))
})
