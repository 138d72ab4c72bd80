import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as fs from "node:fs"
import * as Address from "../../src/Address.ts"
import * as Driver from "../../src/Driver.ts"
import * as MemoryTransport from "../../src/memory/MemoryTransport.ts"
import * as NetworkLayer from "../../src/NetworkLayer.ts"
import * as Wiretap from "../../src/policy/Wiretap.ts"
import { sweep } from "../../src/testing/InterruptSweep.ts"
import type { Transport } from "../../src/Transport.ts"
import { counting as carrierThatCounts } from "../cost/carrier.ts"
import { ascii, bytes, counting, joined, text } from "../support/bytes.ts"
import { rootFibers, schedulerThatCounts, settle } from "../support/fibers.ts"
import * as Peer from "../support/peer.ts"
import { has, run } from "../support/tool.ts"

/** What was told: `>` for out, `<` for in. */
const recorder = () => {
  const told: Array<string> = []
  const tap: Wiretap.Tap = () => ({ bytes, direction, kind }) =>
    void told.push(`${direction === "out" ? ">" : "<"}${kind === "data" ? text(bytes) : `(${kind})`}`)
  return { told, tap }
}

const tapped = (pair: MemoryTransport.PairOptions = {}) =>
  Effect.gen(function*() {
    const [carrier, peer] = yield* MemoryTransport.pair(pair)
    const { tap, told } = recorder()
    return { carrier, peer, told, transport: yield* Wiretap.make(tap)(carrier) }
  })

describe("make", () => {
  const sent = Effect.tap(
    tapped({ chunks: [3], lingerTimeout: 0 }),
    ({ peer }) => Effect.zip(peer.write(ascii("abcdef")), peer.closeWrite)
  )

  it.scoped("tells what passes in both directions, and the ends", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped()
      yield* transport.write(ascii("a"))
      yield* peer.write(ascii("b"))
      assert.strictEqual(text((yield* transport.pull)!), "b")
      yield* transport.writeAll([ascii("c"), ascii("d")])
      yield* transport.closeWrite
      yield* peer.closeWrite
      assert.isNull(yield* transport.pull)
      assert.isNull(yield* transport.pull)
      yield* transport.closed
      yield* settle
      assert.deepStrictEqual(told, [">a", "<b", ">c", ">d", ">(end)", "<(end)"])
      assert.strictEqual(text(yield* Peer.readAll(peer)), "acd")
    }))

  it.scoped("tells what is offered without waiting, and passes on none before a write that waits", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped({ capacity: 0, highWaterMark: 2 })
      assert.isTrue(transport.outgoing.unsafeOffer(ascii("abc")))
      const waiting = yield* Effect.fork(transport.write(ascii("d")))
      yield* settle
      assert.isFalse(transport.outgoing.unsafeOffer(ascii("e")))
      assert.deepStrictEqual(told, [">abc"])
      assert.strictEqual(text((yield* peer.pull)!), "abc")
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(told, [">abc", ">d"])
    }))

  it.scoped("tells what is put back once", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped()
      yield* peer.write(ascii("abc"))
      yield* transport.unread((yield* transport.pull)!.subarray(1))
      assert.strictEqual(text((yield* transport.pull)!), "bc")
      yield* peer.write(ascii("d"))
      assert.strictEqual(text((yield* transport.pull)!), "d")
      assert.deepStrictEqual(told, ["<abc", "<d"])
    }))

  it.scoped("tells nothing of a write that was withdrawn, nor of one that was refused", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped({ capacity: 0, highWaterMark: 1 })
      yield* transport.write(ascii("a"))
      const waiting = yield* Effect.fork(transport.write(ascii("b")))
      yield* settle
      yield* Fiber.interrupt(waiting)
      assert.strictEqual(text((yield* peer.pull)!), "a")
      const closing = yield* Effect.fork(transport.closeWrite)
      assert.isNull(yield* peer.pull)
      yield* Fiber.join(closing)
      assert.strictEqual((yield* Effect.flip(transport.write(ascii("c"))))._tag, "WriteAfterEnd")
      assert.deepStrictEqual(told, [">a", ">(end)"])
    }))

  it.scoped("who comes when there is room again comes behind those that still wait for their turn", () =>
    Effect.forEach(Array.from({ length: 8 }, (_, yields) => yields), (yields) =>
      Effect.gen(function*() {
        const { peer, told, transport } = yield* tapped({ capacity: 0, highWaterMark: 4, lowWaterMark: 3 })
        const writing = [yield* Effect.fork(transport.write(ascii("aaaa")))]
        for (const next of ["b", "c"]) writing.push(yield* Effect.fork(transport.write(ascii(next))))
        yield* settle
        assert.strictEqual(text((yield* peer.pull)!), "aaaa")
        yield* Effect.repeatN(Effect.yieldNow(), yields)
        yield* transport.write(ascii("d"))
        yield* Effect.forEach(writing, Fiber.join)
        assert.deepStrictEqual(told, [">aaaa", ">b", ">c", ">d"])
      }).pipe(Effect.scoped)))

  it.scoped("tells what is accepted of a write that waits before what answers it", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped({ capacity: 0, highWaterMark: 1, readBufferSize: 0 })
      const writing = yield* Effect.fork(transport.writeAll(["a", "b", "c", "d"].map(ascii)))
      assert.strictEqual(text((yield* peer.pull)!), "a")
      yield* peer.write(ascii("x"))
      yield* transport.pull
      assert.deepStrictEqual([told[0], told.at(-1)], [">a", "<x"])
      assert.isNull(writing.unsafePoll())
      yield* Fiber.interrupt(writing)
      assert.strictEqual(told.filter((one) => one === ">a").length, 1)
    }))

  it.scoped("tells a reset, and from where", () =>
    Effect.gen(function*() {
      for (const by of ["peer", "transport"] as const) {
        const { told, ...ends } = yield* tapped()
        yield* ends[by].abort
        yield* ends.transport.closed
        yield* settle
        assert.deepStrictEqual(told, [by === "peer" ? "<(reset)" : ">(reset)"])
      }
    }))

  it.scoped("tells a reset behind the bytes that came before it, however late they are read", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped({ chunks: [3] })
      yield* peer.write(ascii("abcdef"))
      assert.strictEqual(text((yield* transport.pull)!), "abc")
      yield* peer.abort
      yield* transport.closed
      yield* settle
      assert.deepStrictEqual(told, ["<abc"])
      assert.strictEqual(text((yield* transport.pull)!), "def")
      assert.deepStrictEqual(told, ["<abc", "<def", "<(reset)"])
    }))

  it.scoped("tells the end behind the last bytes, if the connection is over and nobody asks for more", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped()
      yield* peer.writeAll([ascii("a"), ascii("b")])
      yield* peer.closeWrite
      yield* transport.pull
      yield* Effect.all([transport.closeWrite, Peer.readAll(peer)], { concurrency: "unbounded" })
      yield* transport.closed
      yield* settle
      assert.deepStrictEqual(told, ["<a", ">(end)"])
      yield* transport.pull
      assert.deepStrictEqual(told, ["<a", ">(end)", "<b", "<(end)"])
    }))

  it.live("an interruption of a pull loses nothing, and tells nothing twice", () =>
    sweep({
      setup: sent,
      scenario: ({ transport }) => Effect.map(transport.pull, (chunk) => text(chunk!)),
      check: ({ told, transport }, exit) =>
        Effect.map(Peer.readAll(transport), (rest) => {
          assert.include(Exit.isSuccess(exit) ? ["def"] : ["abcdef", "def"], text(rest))
          assert.deepStrictEqual(told, ["<abc", "<def", "<(end)"])
        })
    }))

  it.scoped("tells a handler's input before what it answers, and its end after all", () =>
    Effect.gen(function*() {
      const { peer, told, transport } = yield* tapped()
      yield* Effect.fork(peer.writeAll([ascii("a"), ascii("b")]))
      const handling = yield* Effect.fork(transport.forEach((chunk) => transport.write(ascii(`${text(chunk)}!`))))
      yield* settle
      yield* peer.closeWrite
      yield* Fiber.join(handling)
      assert.deepStrictEqual(told, ["<a", ">a!", "<b", ">b!", "<(end)"])
    }))

  it.live("a message that a handler answers costs no fiber, no wake-up, no copy and one write", () =>
    Effect.gen(function*() {
      const { carrier, counts } = carrierThatCounts({ messages: 1000, size: 64, taking: "a turn later" })
      const passed = { in: 0, out: 0 }
      const layer = Wiretap.make(() => ({ bytes, direction }) => void (passed[direction] += bytes.length))
      const transport = yield* Effect.flatMap(Driver.open(carrier), layer)
      const { scheduler, wakeUps } = schedulerThatCounts()
      yield* Effect.withScheduler(transport.forEach(transport.write), scheduler)
      const { copied, fibers, writes } = counts()
      assert.deepStrictEqual({ copied, fibers, writes }, { copied: 0, fibers: 0, writes: 1000 })
      assert.deepStrictEqual(passed, { in: 64_000, out: 64_000 })
      assert.isAtMost(wakeUps(), 5)
    }).pipe(Effect.scoped))

  const sizes = FastCheck.array(FastCheck.integer({ min: 1, max: 30 }), { maxLength: 10 })

  it.effect.prop(
    "tells each byte once and in its order, however many read and write it",
    [FastCheck.array(sizes, { maxLength: 4 }), FastCheck.boolean()],
    ([writers, byPull]) =>
      Effect.gen(function*() {
        const { peer, told, transport } = yield* tapped({ capacity: 20, highWaterMark: 40, lingerTimeout: 0 })
        const echoing = yield* Effect.fork(Effect.zipRight(peer.forEach(peer.write), peer.closeWrite))
        const got: Array<string> = []
        const note = (chunk: Uint8Array) => Effect.sync(() => got.push(text(chunk)))
        const reading = yield* Effect.fork(
          byPull ? Stream.runForEach(Stream.rechunk(transport.stream, 1), note) : transport.forEach(note)
        )
        yield* Effect.forEach(writers, (sizes, writer) =>
          Effect.forEach(sizes, (size, index) => {
            const piece = bytes(size, 97 + writer)
            return index % 3 === 0 ? transport.writeAll([piece, piece]) : transport.write(piece)
          }), { concurrency: "unbounded" })
        yield* transport.closeWrite
        yield* Fiber.join(reading)
        yield* Fiber.join(echoing)
        const said = (arrow: string) => told.filter((one) => one.startsWith(arrow)).map((one) => one.slice(1))
        assert.strictEqual(said(">").join(""), `${got.join("")}(end)`)
        assert.strictEqual(said("<").join(""), `${got.join("")}(end)`)
      }).pipe(Effect.scoped)
  )
})

describe("hexdump", () => {
  it.scoped("is lines, with offsets", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const [left, peer] = yield* MemoryTransport.pair()
      const from = NetworkLayer.derive(left, {
        localAddress: Address.tcp("127.0.0.1", 1),
        remoteAddress: Address.tcp("127.0.0.1", 2)
      })
      const transport = yield* Wiretap.make(Wiretap.hexdump((line) => lines.push(line)))(from)
      yield* transport.write(counting(20, 0x5a))
      yield* peer.write(ascii("x"))
      yield* transport.pull
      yield* transport.write(ascii("!"))
      assert.deepStrictEqual(lines, [
        "127.0.0.1:1 -> 127.0.0.1:2 20 bytes",
        "00000000  5a 5b 5c 5d 5e 5f 60 61 62 63 64 65 66 67 68 69  Z[\\]^_`abcdefghi",
        "00000010  6a 6b 6c 6d                                      jklm",
        "127.0.0.1:1 <- 127.0.0.1:2 1 byte",
        "00000000  78                                               x",
        "127.0.0.1:1 -> 127.0.0.1:2 1 byte",
        "00000014  21                                               !"
      ])
    }))

  it.scoped("goes to the log", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const [left] = yield* MemoryTransport.pair()
      const transport = yield* Wiretap.log(left).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(LogLevel.Debug)
      )
      yield* transport.write(ascii("x"))
      assert.deepStrictEqual(lines.length, 2)
    }))
})

describe.skipIf(!has("tshark"))("pcapng (skipped: tshark is not installed)", () => {
  const tshark = (capture: Uint8Array, ...args: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const file = `${yield* Peer.directory}/tap.pcapng`
      fs.writeFileSync(file, capture)
      const checked = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
      const program = yield* run("tshark", ["-n", "-r", file, ...checked, ...args])
      assert.strictEqual((yield* program.ended).code, 0, program.stderr)
      return program.output.trim()
    })

  const addresses = [
    ["IPv4", { localAddress: Address.tcp("192.0.2.1", 1024), remoteAddress: Address.tcp("192.0.2.2", 9) }],
    ["IPv6", { localAddress: Address.tcp("2001:db8::1", 1024), remoteAddress: Address.tcp("2001:db8::2", 9) }],
    ["no IP", {}]
  ] as const

  for (const [family, members] of addresses) {
    it.scopedLive(`tshark reads it, and finds nothing wrong with it: ${family}`, () =>
      Effect.gen(function*() {
        const blocks: Array<Uint8Array> = []
        const layer = Wiretap.make(Wiretap.pcapng((block) => blocks.push(block)))
        const one = (talk: (transport: Transport, peer: Transport) => Effect.Effect<unknown, unknown>) =>
          Effect.scoped(Effect.gen(function*() {
            const [left, peer] = yield* MemoryTransport.pair({ capacity: 1 << 20, highWaterMark: 1 << 20 })
            yield* talk(yield* layer(NetworkLayer.derive(left, members)), peer)
          }))
        yield* one((transport, peer) =>
          Effect.gen(function*() {
            yield* transport.write(ascii("hello"))
            yield* transport.write(bytes(150_000, 7))
            yield* peer.write(bytes(100_000, 8))
            yield* peer.closeWrite
            yield* Effect.all([Peer.readAll(transport), transport.closeWrite, Peer.readAll(peer)], {
              concurrency: "unbounded"
            })
            yield* transport.closed
          })
        )
        yield* settle
        const capture = joined(blocks)
        assert.strictEqual(
          yield* tshark(capture, "-Y", "tcp.analysis.flags || _ws.malformed || _ws.expert.severity >= 0x600000"),
          ""
        )
        const flags = yield* tshark(capture, "-T", "fields", "-e", "tcp.flags.str")
        assert.strictEqual(flags.split("\n").filter((line) => line.includes("S")).length, 2)
        assert.strictEqual(flags.split("\n").filter((line) => line.includes("F")).length, 2)
        const followed = yield* tshark(capture, "-q", "-z", "follow,tcp,raw,0")
        assert.include(followed, "68656c6c6f")
        const lengths = (yield* tshark(capture, "-T", "fields", "-e", "tcp.len")).split("\n").map(Number)
        assert.strictEqual(lengths.reduce((sum, length) => sum + length, 0), 250_005)
      }))
  }

  it.scopedLive("the same addresses again are another connection", () =>
    Effect.gen(function*() {
      const blocks: Array<Uint8Array> = []
      const layer = Wiretap.make(Wiretap.pcapng((block) => blocks.push(block)))
      for (const said of ["first", "second"]) {
        const [left, peer] = yield* MemoryTransport.pair()
        const transport = yield* layer(NetworkLayer.derive(left, addresses[0][1]))
        yield* transport.write(ascii(said))
        yield* peer.abort
        yield* transport.closed
        yield* settle
      }
      const fields = ["-e", "tcp.stream", "-e", "tcp.len", "-Y", "tcp.len > 0"]
      assert.strictEqual(yield* tshark(joined(blocks), "-T", "fields", ...fields), "0\t5\n1\t6")
      assert.strictEqual(yield* tshark(joined(blocks), "-Y", "tcp.analysis.retransmission"), "")
    }))

  it.scopedLive("what has no ports is taken for no protocol that has", () =>
    Effect.gen(function*() {
      const blocks: Array<Uint8Array> = []
      const layer = Wiretap.make(Wiretap.pcapng((block) => blocks.push(block)))
      for (let count = 0; count < 60; count++) {
        const transport = yield* Effect.flatMap(MemoryTransport.pair(), ([left]) => layer(left))
        yield* transport.write(bytes(60, 0xff))
      }
      const protocols = yield* tshark(joined(blocks), "-T", "fields", "-e", "frame.protocols", "-Y", "tcp.len > 0")
      assert.deepStrictEqual(new Set(protocols.replaceAll(":data", "").split("\n")), new Set(["raw:ip:tcp"]))
    }))

  it.scopedLive("a reset, and a server's side", () =>
    Effect.gen(function*() {
      const blocks: Array<Uint8Array> = []
      const scope = yield* Scope.make()
      const [left, peer] = yield* Scope.extend(MemoryTransport.pair(), scope)
      const from = NetworkLayer.derive(left, addresses[0][1])
      const transport = yield* Wiretap.make(Wiretap.pcapng((block) => blocks.push(block), { side: "server" }))(from)
      yield* peer.abort
      yield* transport.closed
      yield* settle
      const packets = yield* tshark(joined(blocks), "-T", "fields", "-e", "ip.src", "-e", "tcp.flags.str")
      const seen = packets.split("\n").map((line) => line.replaceAll("·", ""))
      assert.deepStrictEqual(seen, ["192.0.2.2\tS", "192.0.2.1\tAS", "192.0.2.2\tA", "192.0.2.2\tAR"])
      yield* Scope.close(scope, Exit.void)
    }))
})

it.scoped("pcapng has times to the microsecond, if the Clock knows them", () =>
  Effect.gen(function*() {
    const blocks: Array<Uint8Array> = []
    const [carrier] = yield* MemoryTransport.pair()
    yield* TestClock.adjust("1500 micros")
    yield* Wiretap.make(Wiretap.pcapng((block) => blocks.push(block)))(carrier)
    const { buffer, byteOffset } = blocks[2]!
    assert.strictEqual(new DataView(buffer, byteOffset).getBigUint64(12), 1_500_000n)
  }))

it.scoped("a tap can listen to several connections, and is told the time of the Clock", () =>
  Effect.gen(function*() {
    const seen: Array<readonly [string, number]> = []
    const layer = Wiretap.make(({ localAddress }) => ({ at }) => void seen.push([Address.format(localAddress), at]))
    const [left, right] = yield* MemoryTransport.pair()
    const [one, other] = [yield* layer(left), yield* layer(right)]
    yield* TestClock.adjust(500)
    yield* one.write(ascii("x"))
    yield* TestClock.adjust(500)
    yield* other.pull
    assert.deepStrictEqual(seen, [[Address.format(left.localAddress), 500], [Address.format(right.localAddress), 1000]])
  }))

describe("toSink", () => {
  /** What a Sink has got when the Scope has ended, and the warnings. */
  const shown = <E>(
    sink: (got: Array<string>) => Sink.Sink<unknown, string, unknown, E>,
    use: (transport: Transport, peer: Transport) => Effect.Effect<unknown, unknown>
  ) =>
    Effect.gen(function*() {
      const got: Array<string> = []
      const warned: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel._tag === "Warning") warned.push([message].flat().join())
      })
      const print = (write: (line: string) => void): Wiretap.Tap => () => ({ bytes, kind }) =>
        write(kind === "data" ? text(bytes) : kind)
      yield* Effect.scoped(Effect.gen(function*() {
        const tap = yield* Wiretap.toSink(print, sink(got))
        const [carrier, peer] = yield* MemoryTransport.pair({ highWaterMark: 1e6, lingerTimeout: 0 })
        yield* use(yield* Wiretap.make(tap)(carrier), peer)
      })).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      return { got, warned }
    })

  const noting = (got: Array<string>) => Sink.forEach((line: string) => Effect.sync(() => got.push(line)))

  it.effect("gets all that was shown until the Scope ends", () =>
    Effect.gen(function*() {
      const { got, warned } = yield* shown(noting, (transport) =>
        Effect.zipRight(transport.write(ascii("a")), transport.writeAll([ascii("b"), ascii("c")])))
      assert.deepStrictEqual(got.slice(0, 3), ["a", "b", "c"])
      assert.deepStrictEqual(warned, [])
    }))

  it.effect("leaves no fiber if its making is interrupted as that one starts", () =>
    Effect.gen(function*() {
      const before = yield* rootFibers
      let making: Fiber.RuntimeFiber<unknown> | undefined
      const scheduler = Scheduler.make((run, priority) => {
        making!.unsafeInterruptAsFork(FiberId.none)
        Scheduler.defaultScheduler.scheduleTask(run, priority)
      })
      const made = Effect.withScheduler(Wiretap.toSink(Wiretap.hexdump, Sink.drain), scheduler)
      making = yield* Effect.fork(Effect.scoped(made))
      yield* Fiber.await(making)
      yield* settle
      assert.strictEqual(yield* rootFibers, before)
    }))

  it.effect("that is slow leaves some of it out, and holds no connection back", () =>
    Effect.gen(function*() {
      const begins = yield* Deferred.make<void>()
      const { got, warned } = yield* shown(
        (got) => Sink.zipRight(Sink.fromEffect(Deferred.await(begins)), noting(got)),
        (transport) =>
          Effect.zipRight(
            Effect.forEach(Array.from({ length: 3000 }), () => transport.write(ascii("x"))),
            Deferred.succeed(begins, undefined)
          )
      )
      assert.isAtLeast(got.length, 1024)
      assert.isBelow(got.length, 3000)
      assert.deepStrictEqual(warned, ["A wiretap shows more than is taken; some of it is left out"])
    }))

  it.effect("that fails, or has enough, ends the showing and nothing else", () =>
    Effect.gen(function*() {
      const use = (transport: Transport) =>
        Effect.forEach(["a", "b", "c"], (line) => Effect.zipRight(transport.write(ascii(line)), settle))
      const failed = yield* shown(() => Sink.fail("disk full"), use)
      assert.deepStrictEqual(failed.warned, ["Nothing takes what a wiretap shows any more"])
      const enough = yield* shown(
        (got) => Sink.map(Sink.take<string>(1), (first) => got.push(...first)),
        use
      )
      assert.deepStrictEqual(enough, { got: ["a"], warned: [] })
    }))
})
